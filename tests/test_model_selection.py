"""LabeledFolds keeps unlabeled rows in training; most_robust_within weighs accuracy against robustness."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context, model_selection
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust import OffSupportRobustClassifier
from skrobust.metrics import make_robustness_scorer, make_robustness_scorers
from skrobust.model_selection import LabeledFolds, most_robust_within

N_LABELED = 24
SPLITTERS = [
    None,
    3,
    KFold(4),
    KFold(4, shuffle=True, random_state=0),
    StratifiedKFold(3),
    StratifiedKFold(3, shuffle=True, random_state=0),
    GroupKFold(3),
    StratifiedGroupKFold(3),
    LeaveOneGroupOut(),
    ShuffleSplit(3, random_state=0),
    StratifiedShuffleSplit(3, random_state=0),
    LeaveOneOut(),
    PredefinedSplit(np.repeat([-1, 0, 1], N_LABELED // 3)),
    TimeSeriesSplit(3),
    RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=0),
]
WANT_GROUPS = (GroupKFold, StratifiedGroupKFold, LeaveOneGroupOut)


def partly_labeled(label=-1, classes=(0, 1)):
    """Return rows, labels of which two in three are known, groups, and where the labeled rows are."""
    n = 3 * N_LABELED // 2
    y = np.asarray([classes[i % 2] for i in range(n)], dtype=object)
    y[2::3] = label
    y = y if isinstance(label, str) else np.asarray(y.tolist())
    X = np.arange(2.0 * n).reshape(n, 2)
    return X, y, np.arange(n) // 6, np.flatnonzero(np.arange(n) % 3 != 2)


@pytest.mark.parametrize("cv", SPLITTERS, ids=repr)
def test_splits_labeled_rows_as_the_wrapped_splitter_would(cv):
    X, y, groups, labeled = partly_labeled()
    groups = groups if isinstance(cv, WANT_GROUPS) else None
    wrapped = model_selection.check_cv(cv, y[labeled], classifier=True)
    expected = list(wrapped.split(X[labeled], y[labeled], None if groups is None else groups[labeled]))
    folds = LabeledFolds(cv)
    got = list(folds.split(X, y, groups))
    assert len(got) == len(expected) == folds.get_n_splits(X, y, groups)
    for (train, test), (train_labeled, test_labeled) in zip(got, expected, strict=True):
        assert set(test) == set(labeled[test_labeled])
        assert set(train) == set(labeled[train_labeled]) | set(np.flatnonzero(y == -1))
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()


@given(
    labels=st.lists(st.sampled_from([-1, 0, 1, 2]), min_size=4, max_size=60).filter(
        lambda y: len(y) - y.count(-1) >= 3
    ),
    shuffle=st.booleans(),
)
@settings(deadline=None)
def test_k_fold_is_a_partition_of_the_labeled_rows(labels, shuffle):
    y = np.asarray(labels)
    unlabeled = set(np.flatnonzero(y == -1))
    splits = list(LabeledFolds(KFold(3, shuffle=shuffle, random_state=0 if shuffle else None)).split(y[:, None], y))
    tested = np.concatenate([test for _, test in splits])
    assert sorted(tested) == sorted(set(range(len(y))) - unlabeled)
    for train, test in splits:
        assert unlabeled <= set(train)
        assert sorted([*train, *test]) == list(range(len(y)))


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (-1, (0, 1)),
        (-1, (-3, 7)),
        ("?", ("cat", "dog")),
        (9.5, (0.0, 1.0)),
        ("", ("a", "bcd")),
        ("?", (3, 4)),
    ],
)
@pytest.mark.parametrize("container", [np.asarray, list, pd.Series], ids=["array", "list", "series"])
def test_labels_of_any_type_in_any_container(label, classes, container):
    X, y, _, labeled = partly_labeled(label, classes)
    y = container(y)
    if container is pd.Series:
        y.index = y.index[::-1]  # positions count, not index labels
    splits = list(LabeledFolds(3, unlabeled_label=label).split(pd.DataFrame(X), y))
    assert sorted(np.concatenate([test for _, test in splits])) == labeled.tolist()


@pytest.mark.parametrize(("label", "y"), [(-1, np.arange(12) % 2), (None, np.arange(12) % 2 - 1)])
def test_without_unlabeled_rows_nothing_changes(label, y):
    X = np.zeros((12, 1))
    for got, expected in zip(
        LabeledFolds(3, unlabeled_label=label).split(X, y), StratifiedKFold(3).split(X, y), strict=True
    ):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.parametrize("cv", [cv for cv in SPLITTERS if not isinstance(cv, PredefinedSplit)], ids=repr)
def test_repr_rebuilds_it(cv):
    folds = LabeledFolds(cv, unlabeled_label="?")
    rebuilt = eval(repr(folds), {**vars(model_selection), "LabeledFolds": LabeledFolds})  # noqa: S307
    assert repr(rebuilt) == repr(folds)


def test_pickle_and_clone_of_a_search_around_it():
    X, y, _, _ = partly_labeled()
    folds = LabeledFolds(StratifiedKFold(3, shuffle=True, random_state=1))
    search = clone(GridSearchCV(DummyClassifier(), {}, cv=folds))
    for copied in (pickle.loads(pickle.dumps(folds)), search.cv):
        for got, expected in zip(copied.split(X, y), folds.split(X, y), strict=True):
            np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.parametrize(("cv", "n"), [(4, 4), (None, 5), (RepeatedStratifiedKFold(n_splits=2, n_repeats=3), 6)])
def test_number_of_splits_without_data(cv, n):
    assert LabeledFolds(cv).get_n_splits() == n


def test_number_of_splits_without_x():
    _, y, groups, labeled = partly_labeled()
    assert LabeledFolds(LeaveOneOut()).get_n_splits(None, y) == len(labeled)
    assert LabeledFolds(LeaveOneGroupOut()).get_n_splits(None, y, groups) == len(np.unique(groups))


def test_groups_arrive_with_metadata_routing():
    X, y, groups, _ = partly_labeled()
    with config_context(enable_metadata_routing=True):
        folds = LabeledFolds(GroupKFold(3))
        results = cross_validate(DummyClassifier(), X, y, params={"groups": groups}, cv=folds, return_indices=True)
    for train, test in zip(results["indices"]["train"], results["indices"]["test"], strict=True):
        assert not set(groups[test]) & set(groups[np.intersect1d(train, np.flatnonzero(y != -1))])


def test_groups_may_be_left_out_with_metadata_routing():
    X, y, _, _ = partly_labeled()
    with config_context(enable_metadata_routing=True):
        assert len(cross_validate(DummyClassifier(), X, y, cv=LabeledFolds(3))["test_score"]) == 3


def test_y_none_is_refused():
    with pytest.raises(ValueError, match=r"y=None leaves unknown which rows are labeled: pass the labels"):
        next(LabeledFolds(3).split(np.zeros((4, 1))))


def test_y_none_is_refused_where_the_number_of_splits_depends_on_it():
    with pytest.raises(ValueError, match=r"y=None, but the number of splits of cv=LeaveOneOut\(\).*: pass X, y"):
        LabeledFolds(LeaveOneOut()).get_n_splits(np.zeros((4, 1)))


def test_a_mark_that_numpy_made_text_is_refused():
    y = np.array(["cat", "dog", -1] * 6)
    with pytest.raises(ValueError, match=r"unlabeled_label=-1 is not among the labels, but '-1' is, of type str: use"):
        next(LabeledFolds(3).split(np.zeros((18, 1)), y))
    for _, test in LabeledFolds(3, unlabeled_label="-1").split(np.zeros((18, 1)), y):
        assert set(y[test]) == {"cat", "dog"}


def test_no_labeled_row_is_refused():
    with pytest.raises(ValueError, match=r"no labeled row: all 4 equal unlabeled_label='\?'; label some"):
        next(LabeledFolds(3, unlabeled_label="?").split(np.zeros((4, 1)), ["?"] * 4))


@pytest.mark.parametrize("cv", ["5", [([0], [1])], 2.5])
def test_what_is_no_splitter_is_refused(cv):
    with pytest.raises(ValueError, match=r"cv=.* is not a splitter: use a number of folds, None, or an object"):
        next(LabeledFolds(cv).split(np.zeros((4, 1)), [0, 1, 0, 1]))


def test_predefined_split_that_counts_unlabeled_rows_is_refused():
    X, y, _, _ = partly_labeled()
    folds = LabeledFolds(PredefinedSplit(np.arange(len(y)) % 2))
    with pytest.raises(
        ValueError, match=r"returned row 3[45], but there are 24 labeled rows: build it from the labeled"
    ):
        list(folds.split(X, y))


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(LabeledFolds(3).split(np.zeros((4, 1)), [0, 1, 0]))


def digits_with_few_labels():
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    partly = y.copy()
    partly[::2] = -1
    return X, y, partly


def test_scores_of_the_classifier_are_those_of_labeled_rows():
    X, y, partly = digits_with_few_labels()
    labeled = partly != -1
    clf = OffSupportRobustClassifier(unlabeled_label=-1, max_epochs=15, random_state=0)
    pipe = make_pipeline(StandardScaler(), clf)
    splitter = StratifiedKFold(3, shuffle=True, random_state=0)
    alone = cross_validate(pipe, X[labeled], y[labeled], cv=splitter)["test_score"]
    folds = cross_validate(pipe, X, partly, cv=LabeledFolds(splitter), error_score="raise", return_estimator=True)
    naive = cross_validate(pipe, X, partly, cv=splitter)["test_score"]
    assert abs(folds["test_score"].mean() - alone.mean()) < 0.05
    assert naive.mean() < 0.6 < alone.mean()
    assert all(-1 not in fitted[-1].classes_ for fitted in folds["estimator"])


def test_grid_search_refits_on_all_rows():
    X, _, partly = digits_with_few_labels()
    search = GridSearchCV(
        OffSupportRobustClassifier(unlabeled_label=-1, max_epochs=2, random_state=0, noise_units="std"),
        {"smoothness": [0.01, 0.1]},
        cv=LabeledFolds(2),
        error_score="raise",
    ).fit(X, partly)
    assert search.n_splits_ == 2
    assert -1 not in search.best_estimator_.classes_


def test_serves_classifiers_that_know_no_unlabeled_rows():
    X, _, partly = digits_with_few_labels()
    results = cross_validate(LogisticRegression(max_iter=5000), X / 16, partly, cv=LabeledFolds(3), return_indices=True)
    assert all((partly[test] != -1).all() for test in results["indices"]["test"])


def results_of(clean, robust, **others):
    """Return what a search would have found."""
    scores = {"clean": clean, "robust_0.1": robust, **others}
    return {f"mean_test_{name}": np.asarray(values, dtype=float) for name, values in scores.items()}


@pytest.mark.parametrize(
    ("tolerance", "clean", "robust", "chosen"),
    [
        (0.01, [0.90, 0.89, 0.88], [0.1, 0.5, 0.9], 1),
        (0.02, [0.90, 0.89, 0.88], [0.1, 0.5, 0.9], 2),
        (0.0, [0.90, 0.89, 0.88], [0.1, 0.5, 0.9], 0),
        (1.0, [0.90, 0.89, 0.88], [0.5, 0.5, 0.5], 0),
        (0.1, [0.85, 0.90, 0.90], [0.5, 0.5, 0.5], 1),
        (0.1, [np.nan, 0.9, 0.85], [0.9, 0.1, 0.3], 2),
        (0.1, [0.99, 0.5], [np.nan, 0.3], 1),
        (0.1, [1.0, 0.9], [0.1, 0.2], 1),
    ],
)
def test_most_robust_within_the_tolerance(tolerance, clean, robust, chosen):
    assert most_robust_within(tolerance)(results_of(clean, robust)) == chosen
    assert most_robust_within(tolerance, robust="robust_0.1")(results_of(clean, robust)) == chosen


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_rounding_decides_no_tie(order):
    """The same scores of folds, in another order, have another mean."""
    means = np.array([0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1]) / 3
    assert means[0] != means[1] == pytest.approx(means[0])
    clean = np.array([0.895, 0.9])
    assert most_robust_within(0.01)(results_of(clean[order], means)) == order.index(1)
    # Of equals in both, the first.
    assert most_robust_within(0.01)(results_of(means[order], [0.5, 0.5])) == 0


def test_most_robust_within_a_search(blobs):
    scoring = make_robustness_scorers("pgd", eps_grid=[0.5])
    refit = most_robust_within(0.05)
    grid = {"C": [1e-5, 1e-2, 1.0, 100.0]}
    search = GridSearchCV(LogisticRegression(max_iter=1000), grid, cv=3, scoring=scoring, refit=refit).fit(*blobs)
    clean, robust = (search.cv_results_[f"mean_test_{key}"] for key in ("clean", "robust_0.5"))
    assert clean[search.best_index_] >= clean.max() - 0.05
    assert robust[search.best_index_] == robust[clean >= clean.max() - 0.05].max()
    assert pickle.loads(pickle.dumps(refit)) == refit
    assert clone(search).refit == refit
    assert eval(repr(refit)) == refit  # noqa: S307


def test_most_robust_within_takes_the_keys_of_a_dict(blobs):
    scoring = {"accuracy": "accuracy", "pgd": make_robustness_scorer("pgd", eps=0.5)}
    refit = most_robust_within(1.0, clean="accuracy", robust="pgd")
    search = GridSearchCV(LogisticRegression(), {"C": [1e-3, 1.0]}, cv=2, scoring=scoring, refit=refit).fit(*blobs)
    assert search.best_index_ == search.cv_results_["mean_test_pgd"].argmax()


def test_most_robust_within_warns_of_different_routes():
    results = results_of([0.9, 0.9, 0.5], [0.1, 0.5, 0.9], white_box=[1.0, 0.0, 1.0])
    with pytest.warns(UserWarning, match="Between 0% and 100%"):
        assert most_robust_within(0.1)(results) == 1
    results["mean_test_white_box"] = np.array([1.0, 1.0, 0.0])
    assert most_robust_within(0.1)(results) == 1


def test_most_robust_within_warns_of_flags():
    results = results_of([0.9, 0.9], [0.1, 0.5], unflagged=[0.0, 1.0])
    assert most_robust_within(0.1)(results) == 1
    results["mean_test_unflagged"] = np.array([1.0, 0.8])
    with pytest.warns(UserWarning, match="candidate 1, which was chosen, may be at fault in 20%"):
        assert most_robust_within(0.1)(results) == 1


def test_most_robust_within_says_what_is_wrong():
    results = results_of([0.9], [0.5])
    for tolerance in (-0.1, np.nan, np.inf, "0.1", True):
        with pytest.raises(ValueError, match="tolerance="):
            most_robust_within(tolerance)
    with pytest.raises(ValueError, match=r"'accuracy' .* \['clean', 'robust_0.1'\]"):
        most_robust_within(clean="accuracy")(results)
    with pytest.raises(ValueError, match="'pgd' is not among"):
        most_robust_within(robust="pgd")(results)
    with pytest.raises(ValueError, match="robust=None"):
        most_robust_within()({**results, "mean_test_robust_0.2": np.array([0.4])})
    with pytest.raises(ValueError, match="no candidate with a finite score"):
        most_robust_within()(results_of([np.nan], [0.5]))
