"""Attacks on trees: exact on single trees, beyond random search on ensembles; splits are found through Pipelines."""

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier
from test_black_box import attacked, pursuit_of, robust

from skrobust import ThreatModel
from skrobust.attacks import find_adversarial
from skrobust.attacks._certified import certified_distance
from skrobust.attacks._search import noise
from skrobust.attacks._segment import nearest_other
from skrobust.attacks._splits import splits_of
from skrobust.attacks._trees import decision_tree, is_single_tree, split_search, thresholds

NORMS = [np.inf, 2, 1]
TREE = DecisionTreeClassifier(max_depth=5, random_state=0)
FRONTS = [
    StandardScaler(),
    MinMaxScaler((-1, 1), clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    SimpleImputer(),
    "passthrough",
    None,
    FunctionTransformer(),
    SelectKBest(k=3),
    make_pipeline(StandardScaler(with_mean=False), MinMaxScaler()),
    ColumnTransformer([("one", StandardScaler(), [2, 3]), ("two", "passthrough", [0])]),
]
ENSEMBLES = [
    RandomForestClassifier(10, random_state=0),
    ExtraTreesClassifier(10, random_state=0),
    BaggingClassifier(TREE, n_estimators=6, max_features=0.5, random_state=0),
    GradientBoostingClassifier(n_estimators=8, random_state=0),
    HistGradientBoostingClassifier(max_iter=8, min_samples_leaf=5, random_state=0),
    AdaBoostClassifier(TREE, n_estimators=5, random_state=0),
    VotingClassifier([("tree", make_pipeline(StandardScaler(), TREE)), ("line", LogisticRegression())], voting="soft"),
]


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    # Ties between rows and splits are rounding's business.
    return X + np.random.default_rng(0).normal(scale=0.01, size=X.shape), y


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:700], y[:700], X[1000:1060], y[1000:1060]


def on_grid(clf, rows, y, norm, eps=3.0, n=25):
    """Return the distance of the nearest point of a dense grid around each row that is answered otherwise."""
    steps = np.linspace(-eps, eps, n)
    change = np.array(list(itertools.product(steps, repeat=rows.shape[1])))
    length = np.linalg.norm(change, ord=norm, axis=1)
    return np.array(
        [length[clf.predict(row + change) != label].min(initial=np.inf) for row, label in zip(rows, y, strict=True)]
    )


@pytest.mark.parametrize("norm", NORMS)
def test_a_single_tree_is_attacked_exactly(iris, norm):
    X, y = iris[0][:, 2:], iris[1]
    clf = DecisionTreeClassifier(random_state=0).fit(X[::2], y[::2])
    rows, labels = X[1::8], y[1::8]
    pursuit = attacked(decision_tree, pursuit_of(clf, rows, labels, ThreatModel(norm=norm)))
    brute = np.where(clf.predict(rows) == labels, on_grid(clf, rows, labels, norm, n=301), 0)
    # A grid cannot be nearer than the nearest row there is, nor farther than that and the width of a cell.
    assert np.isfinite(brute).all()
    assert (pursuit.distance <= brute * (1 + 1e-6)).all()
    assert (brute - pursuit.distance < 2 * 6 / 300).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("front", FRONTS, ids=lambda front: f"{front!r}"[:50])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tree_behind_a_step_is_attacked_exactly(iris, front, norm, dtype):
    X, y = iris[0].astype(dtype), iris[1]
    clf = Pipeline([("front", front), ("tree", TREE)]).fit(X, y)
    assert is_single_tree(clf)
    pursuit = pursuit_of(clf, X, y, ThreatModel(norm=norm))
    exact = attacked(decision_tree, pursuit).distance.copy()
    assert np.isfinite(exact).all()
    attacked(nearest_other, pursuit)
    attacked(split_search, pursuit, np.inf, max_queries=300)
    np.testing.assert_allclose(pursuit.distance, exact, rtol=1e-4, atol=1e-6 if dtype == np.float64 else 2e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_a_tree_is_attacked_exactly_under_constraints(norm):
    rng = np.random.default_rng(0)
    category = np.eye(3)[rng.integers(3, size=200)]
    X = np.hstack([rng.integers(4, size=(200, 2)), category, rng.integers(2, size=(200, 1))])
    y = (X[:, 0] + 2 * X[:, 2] - X[:, 1] * X[:, 3] + X[:, 5] > 1).astype(int)
    clf = DecisionTreeClassifier(random_state=0).fit(X, y)
    threat_model = ThreatModel(
        norm=norm,
        units=[1, 0.7, 1, 2, 1, 1],
        bounds=(0, 3),
        integer=[0, 1, 5],
        one_hot_groups=[[2, 3, 4]],
        direction={0: "up", 5: "none"},
    )
    pursuit = pursuit_of(clf, X, y, threat_model)
    everything = np.array([[a, b, *c, d] for a in range(4) for b in range(4) for c in np.eye(3) for d in (0, 1)])
    expected = []
    for row, label in zip(range(len(X)), y, strict=True):
        budget = pursuit.budget.take(np.full(len(everything), row))
        is_other = budget.respects(everything) & (clf.predict(everything) != label)
        expected.append(budget.distance(everything)[is_other].min(initial=np.inf))
    exact = attacked(decision_tree, pursuit).distance.copy()
    np.testing.assert_allclose(exact, expected)
    searched = attacked(split_search, pursuit_of(clf, X, y, threat_model), np.inf).distance
    assert (searched >= exact).all()
    np.testing.assert_allclose(searched, exact)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "held",
    [
        {"immutable": [1]},
        {"direction": {1: "down"}},
        {"direction": {0: "up"}},
        {"direction": {2: "up"}},
        {"units": [1, 0, 1, 1]},
        {"units": [1, 2, 0.5, 1], "direction": {1: "down"}},
        {"bounds": ([0, 0, 0, -9], [1, 0, 1, 9])},
    ],
    ids=str,
)
def test_categories_that_a_tree_does_not_ask_about_may_be_closed(norm, held):
    rng = np.random.default_rng(0)
    X = np.hstack([np.eye(3)[rng.integers(3, size=300)], rng.integers(-2, 3, size=(300, 1))])
    clf = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, (X[:, 0] == 1) ^ (X[:, 3] > 1))
    assert set(clf.tree_.feature[clf.tree_.feature >= 0]) == {0, 3}
    X = X[X[:, 1] == 0] if "bounds" in held else X
    threat_model = ThreatModel(norm=norm, one_hot_groups=[[0, 1, 2]], integer=[3], **held)
    pursuit = pursuit_of(clf, X, clf.predict(X), threat_model)
    everything = np.array([[*c, x] for c in np.eye(3) for x in range(-9, 10)])
    expected = []
    for row, answer in enumerate(pursuit.original.answers):
        budget = pursuit.budget.take(np.full(len(everything), row))
        is_other = budget.respects(everything) & (clf.predict(everything) != answer)
        expected.append(budget.distance(everything)[is_other].min(initial=np.inf))
    bound = certified_distance(clf, X, pursuit.budget, pursuit.codes)
    np.testing.assert_allclose(attacked(decision_tree, pursuit).distance, expected)
    np.testing.assert_allclose(bound, expected, rtol=3e-6)


@pytest.mark.parametrize("clf", [TREE, ENSEMBLES[0], ENSEMBLES[-1]], ids=lambda clf: type(clf).__name__)
@pytest.mark.parametrize(("attack", "params"), [(decision_tree, {}), (split_search, {"max_queries": 100})])
def test_trees_find_columns_by_their_names(iris, clf, attack, params):
    frame = pd.DataFrame(iris[0], columns=list("abcd"))
    pipe = make_pipeline(ColumnTransformer([("picked", "passthrough", ["c", "a", "d"])]), clf).fit(frame, iris[1])
    few, y = frame[60::4], iris[1][60::4]
    same, *others = (
        robust(attacked(attack, pursuit_of(pipe, X, y, ThreatModel(0.8)), **params))
        for X in (few, few[list("dcba")], few.assign(extra=0.0)[["extra", *"badc"]])
    )
    np.testing.assert_allclose(others, same, atol=0.1)


def test_a_vote_hands_the_frame_on_to_trees_that_pick_columns(iris):
    frame = pd.DataFrame(iris[0], columns=list("abcd"))
    member = make_pipeline(ColumnTransformer([("picked", "passthrough", ["c", "d"])]), TREE)
    clf = VotingClassifier([("tree", member)]).fit(frame, iris[1])
    assert set(splits_of(clf, 4, names=list("dcba")).feature) == {0, 1}


def test_features_are_counted_behind_a_step_that_does_not_say(iris):
    clf = make_pipeline("passthrough", SelectKBest(k=2), TREE).fit(*iris)
    assert is_single_tree(clf)
    assert len(thresholds(clf)) == 4


def test_of_two_clips_that_do_not_meet_the_last_decides():
    inner = MinMaxScaler((-3, -2), clip=True).fit([[0.0], [1.0]])
    outer = MinMaxScaler((0, 1), clip=True).fit([[0.0], [1.0]])
    tree = DecisionTreeClassifier().fit([[-2.0], [0.0]], [0, 1])
    pipe = make_pipeline(inner, outer, tree)
    pursuit = attacked(decision_tree, pursuit_of(pipe, np.zeros((1, 1)), [1], ThreatModel()))
    assert np.isinf(pursuit.distance).all()
    assert np.isinf(certified_distance(pipe, np.zeros((1, 1)), pursuit.budget, pursuit.codes)).all()


@pytest.mark.parametrize("clf", ENSEMBLES, ids=lambda clf: type(clf).__name__)
@pytest.mark.parametrize("norm", NORMS)
def test_split_search_finds_what_a_dense_grid_finds(iris, clf, norm):
    X, y = iris[0][:, 1:], iris[1]
    clf.fit(X[::2], y[::2])
    rows, labels = X[1::10], y[1::10]
    pursuit = attacked(split_search, pursuit_of(clf, rows, labels, ThreatModel(norm=norm)), np.inf)
    brute = np.where(clf.predict(rows) == labels, on_grid(clf, rows, labels, norm, eps=2.4, n=33), 0)
    found = np.isfinite(brute)
    assert found.mean() > 0.8
    # It is a search: a few rows may be missed by a little.
    is_farther = pursuit.distance[found] > brute[found] * (1 + 1e-6)
    assert is_farther.mean() <= 0.15
    assert (pursuit.distance[found] <= 2 * brute[found]).all()


@pytest.mark.parametrize(("norm", "eps"), [(np.inf, 1.5), (2, 7.0), (1, 20.0)])
def test_split_search_beats_noise_on_a_forest(digits, norm, eps):
    clf = RandomForestClassifier(20, random_state=0).fit(*digits[:2])
    by_splits, by_noise = (
        robust(attacked(attack, pursuit_of(clf, *digits[2:], ThreatModel(eps, norm, bounds=(0, 16)))))
        for attack in (split_search, noise)
    )
    assert by_splits < by_noise - 0.1


def test_thresholds_are_those_of_the_trees(iris):
    X, y = iris
    clf = TREE.fit(X, y)
    found = thresholds(clf)
    assert len(found) == 4
    for feature, values in enumerate(found):
        expected = np.unique(clf.tree_.threshold[clf.tree_.feature == feature])
        np.testing.assert_allclose(values, expected, rtol=1e-6)


@pytest.mark.parametrize("clf", ENSEMBLES, ids=lambda clf: type(clf).__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_answers_change_at_splits_only(iris, clf, dtype):
    X, y = iris
    pipe = make_pipeline(MinMaxScaler(), clf).fit(X[:, :1] + 100, y)
    if isinstance(clf, VotingClassifier):
        return
    splits = splits_of(pipe, 1, dtype)
    ends = np.unique(np.concatenate([splits.below, splits.above]))
    assert (ends.astype(dtype) == ends).all()
    # Between one split's upper side and the next one's lower side nothing changes.
    order = splits.below.argsort(kind="stable")
    starts, stops = splits.above[order][:-1], splits.below[order][1:]
    starts, stops = starts[starts <= stops], stops[starts <= stops]
    assert len(starts) > 5
    ask = getattr(pipe, "predict_proba", pipe.predict)
    np.testing.assert_array_equal(ask(starts[:, np.newaxis].astype(dtype)), ask(stops[:, np.newaxis].astype(dtype)))
    assert (np.diff(ask(ends[:, np.newaxis].astype(dtype)), axis=0) != 0).any()


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), make_pipeline(PCA(2), TREE), make_pipeline(FunctionTransformer(np.abs), TREE)],
    ids=lambda estimator: f"{estimator!r}"[:50],
)
def test_without_splits_in_raw_units_nothing_is_done(iris, estimator):
    X, y = iris
    clf = estimator.fit(X, y)
    assert thresholds(clf) is None
    assert not is_single_tree(clf)
    pursuit = pursuit_of(clf, X, y, ThreatModel(1.0))
    attacked(split_search, pursuit)
    attacked(decision_tree, pursuit)
    assert set(pursuit.distance) <= {0.0, np.inf}


def test_a_search_over_hyperparameters_is_its_best_estimator(iris):
    search = GridSearchCV(make_pipeline(StandardScaler(), TREE), {"decisiontreeclassifier__max_depth": [2, 3]})
    assert is_single_tree(search.fit(*iris))
    assert is_single_tree(ExtraTreeClassifier(random_state=0).fit(*iris))
    assert not is_single_tree(RandomForestClassifier(2).fit(*iris))


def test_categories_of_gradient_boosting_are_left_alone(iris):
    X, y = np.hstack([np.rint(iris[0][:, :1]), iris[0][:, 1:]]), iris[1]
    clf = HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]).fit(X, y)
    assert thresholds(clf) is None


@pytest.mark.parametrize("attack", [split_search, decision_tree])
def test_nothing_to_attack(iris, attack):
    X, y = iris
    clf = TREE.fit(X, y)
    attack(pursuit_of(clf, X, y, ThreatModel(1.0)), np.zeros(0, dtype=int), 1.0, np.random.default_rng(0))
    immutable = attacked(attack, pursuit_of(clf, X, y, ThreatModel(1.0, immutable=range(4))))
    assert set(immutable.distance) <= {0.0, np.inf}


def test_the_same_seed_finds_the_same(digits):
    clf = RandomForestClassifier(10, random_state=0).fit(*digits[:2])
    one, again = (
        attacked(split_search, pursuit_of(clf, *digits[2:], ThreatModel(5, 2)), seed=3, max_queries=200).distance
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, again)


FOREST = RandomForestClassifier(3, max_depth=3, random_state=0)
WRAPPED = [
    FixedThresholdClassifier(FOREST, threshold=0.2),
    TunedThresholdClassifierCV(FOREST, cv=2),
    CalibratedClassifierCV(FOREST, cv=2),
    OneVsRestClassifier(FOREST),
    OneVsOneClassifier(FOREST),
    SelfTrainingClassifier(FOREST),
]


@pytest.mark.parametrize("clf", WRAPPED, ids=lambda clf: type(clf).__name__)
def test_splits_are_found_within_what_wraps_trees(iris, clf):
    X, y = iris if isinstance(clf, OneVsOneClassifier) else (iris[0][:100], iris[1][:100])
    # SelfTrainingClassifier wants rows without a label.
    clf.fit(X, np.where(np.arange(len(y)) % 10, y, -1) if isinstance(clf, SelfTrainingClassifier) else y)
    pursuit = pursuit_of(clf, X[::5], y[::5], ThreatModel(norm=1))
    attacked(split_search, pursuit, np.inf, max_queries=200)
    assert np.isfinite(pursuit.distance).mean() > 0.9
    # Thresholds and calibration change the answers of a tree: nothing is certain.
    assert not is_single_tree(clf)
    assert certified_distance(clf, X[::5], pursuit.budget, pursuit.codes) is None


@pytest.mark.parametrize("clf", [TREE, FOREST, LogisticRegression()], ids=lambda clf: type(clf).__name__)
def test_what_is_frozen_is_what_it_was(iris, clf):
    X, y = iris
    plain = make_pipeline(StandardScaler(), clf).fit(X, y)
    frozen = FrozenEstimator(make_pipeline(FrozenEstimator(plain[0]), FrozenEstimator(plain[1])))
    assert is_single_tree(frozen) == is_single_tree(plain)
    one, other = (pursuit_of(estimator, X[::9], y[::9], ThreatModel(norm=1)) for estimator in (plain, frozen))
    for pursuit in (one, other):
        attacked(decision_tree, pursuit)
        attacked(split_search, pursuit, np.inf, max_queries=100)
    np.testing.assert_array_equal(one.distance, other.distance)
    bounds = [certified_distance(p.original.estimator, X[::9], p.budget, p.codes) for p in (one, other)]
    np.testing.assert_array_equal(*bounds)


@pytest.mark.parametrize("clf", [TREE, LogisticRegression()], ids=lambda clf: type(clf).__name__)
def test_no_certificate_beyond_a_threshold(iris, clf):
    X, y = iris[0][50:], iris[1][50:]
    frozen = FrozenEstimator(clf.fit(X, y))
    for wrapper in (FixedThresholdClassifier(frozen, threshold=0.9), CalibratedClassifierCV(frozen)):
        wrapper.fit(X, y)
        pursuit = pursuit_of(wrapper, X, y, ThreatModel())
        assert not is_single_tree(wrapper)
        assert certified_distance(wrapper, X, pursuit.budget, pursuit.codes) is None


# ---- bins ----


BINS = KBinsDiscretizer(6, encode="ordinal", strategy="uniform")
BINNED = {
    "bins": BINS,
    "indicators": KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
    "bins in single precision": KBinsDiscretizer(6, strategy="uniform", dtype=np.float32),
    "threshold": make_pipeline(StandardScaler(), Binarizer(threshold=0.2)),
    "scaled bins": make_pipeline(MinMaxScaler((-3, 1)), BINS),
    "bins beside a scaler": ColumnTransformer([("bins", BINS, [2, 0]), ("scaler", StandardScaler(), [1, 3])]),
    "union": FeatureUnion([("bins", BINS), ("threshold", Binarizer(threshold=2.0))]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BINNED)
def test_bins_change_at_their_ends_only(iris, name, dtype):
    step = BINNED[name].fit(iris[0])
    splits = splits_of(make_pipeline(step, LogisticRegression()).fit(*iris), 4, dtype)
    assert len(splits.feature) >= 4
    row = iris[0][:1].astype(dtype)
    for feature, below, above in zip(splits.feature, splits.below, splits.above, strict=True):
        assert dtype(below) == below < above == dtype(above)
        values = (below, above, np.nextafter(above, np.inf, dtype=dtype))
        low, high, higher = (binned(step, np.where(np.arange(4) == feature, value, row)) for value in values)
        assert (low != high).any()
        np.testing.assert_allclose(high, higher, atol=1e-5)


def binned(step, rows):
    found = step.transform(rows)
    return found.toarray() if hasattr(found, "toarray") else found


@pytest.mark.parametrize("attack", ["split_search", "pgd", "worst_case"])
def test_bins_behind_a_linear_classifier_are_searched_to_the_end(attack):
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:, :8]
    clf = make_pipeline(KBinsDiscretizer(6, quantile_method="averaged_inverted_cdf"), LogisticRegression())
    clf.fit(X[::2], y[::2])
    rows, labels = X[1:120:2], y[1:120:2]
    sign = np.where(labels == 1, 1, -1)
    scores = clf.decision_function(rows)
    # Each feature adds to the score on its own: the least of each is the least of all.
    worst = scores * sign
    for feature, edges in enumerate(clf[0].bin_edges_):
        reach = [rows[:, feature] - 0.3, rows[:, feature] + 0.3]
        values = [*reach, *(np.clip(end, *reach) for edge in edges for end in (edge, np.nextafter(edge, -np.inf)))]
        moved = np.repeat(rows[np.newaxis], len(values), axis=0)
        moved[:, :, feature] = values
        found = clf.decision_function(moved.reshape(-1, 8)).reshape(len(values), -1)
        worst += ((found - scores) * sign).min(axis=0)
    result = find_adversarial(clf, rows, labels, attack=attack, threat_model=ThreatModel(0.3))
    assert 0.1 < (worst > 0).mean() < (scores * sign > 0).mean() - 0.1
    np.testing.assert_array_equal(result.success, worst <= 0)


def test_a_part_of_a_table_that_is_not_known_has_no_bins(iris):
    frame = pd.DataFrame(iris[0], columns=list("abcd"))
    clf = make_pipeline(ColumnTransformer([("bins", BINS, ["a", "d"])]), LogisticRegression()).fit(frame, iris[1])
    assert set(splits_of(clf, 4, names=list("dcba")).feature) == {0, 3}
    assert set(splits_of(clf, 3, names=list("dcb")).feature) == {0}


class Turned(Pipeline):
    """A Pipeline that answers by itself."""

    def transform(self, X):
        return X[:, ::-1]


def test_bins_within_a_pipeline_that_answers_by_itself_are_not_known(iris):
    clf = make_pipeline(Turned([("bins", BINS)]), LogisticRegression()).fit(*iris)
    assert splits_of(clf, 4) is None
