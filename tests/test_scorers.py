"""Scorers of robustness wherever scikit-learn takes scoring=."""

import copy
import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust import ThreatModel
from skrobust.metrics import make_robustness_scorer, make_robustness_scorers, robust_accuracy_score

# What repr writes is to be evaluated with these names.
NAMES = {
    "make_robustness_scorer": make_robustness_scorer,
    "make_robustness_scorers": make_robustness_scorers,
    "ThreatModel": ThreatModel,
    "numpy": np,
}


@pytest.fixture(scope="module")
def two_classes():
    """Return 200 rows of two classes, on the scale 1."""
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X)[:200, :8], y[:200]


@pytest.fixture(scope="module")
def linear(two_classes):
    return LogisticRegression().fit(*two_classes)


def stands(clf, X, y, eps, norm):
    """Return which rows no change within eps makes a linear classifier of two classes answer wrongly."""
    dual = {np.inf: 1, 2: 2, 1: np.inf}[norm]
    signed = np.where(y == clf.classes_[1], 1, -1) * clf.decision_function(X)
    return signed > eps * np.linalg.norm(clf.coef_[0], ord=dual)


@pytest.mark.parametrize(("norm", "eps"), [(np.inf, 0.3), (2, 0.8)])
def test_score_is_exact_for_linear_classifiers(linear, two_classes, norm, eps):
    exact = stands(linear, *two_classes, eps, norm).mean()
    assert 0.1 < exact < 0.9
    assert make_robustness_scorer("apgd", eps=eps, norm=norm)(linear, *two_classes) == pytest.approx(exact, abs=0.01)
    scores = make_robustness_scorers(eps_grid=[eps / 2, eps], norm=norm)(linear, *two_classes)
    assert scores[f"robust_{eps:g}"] == pytest.approx(exact, abs=0.01)
    assert scores["clean"] == linear.score(*two_classes)
    assert scores["white_box"] == scores["unflagged"] == 1


@pytest.mark.parametrize("attack", ["fgsm", "pgd", "apgd", "noise", "worst_case"])
def test_eps_0_is_clean_accuracy(linear, two_classes, attack):
    assert make_robustness_scorer(attack, eps=0.0)(linear, *two_classes) == linear.score(*two_classes)
    scores = make_robustness_scorers(attack, eps_grid=[0.0], diagnostics=False)(linear, *two_classes)
    assert scores == {"clean": linear.score(*two_classes), "robust_0": scores["clean"], "distance": 0.0}


def test_rows_count_by_their_weight(linear, two_classes, rng):
    X, y = two_classes
    weight = rng.random(len(y))
    rows = robust_accuracy_score(linear, X, y, eps=0.3, attack="pgd", per_sample=True)
    scorer = make_robustness_scorer(eps=0.3)
    assert scorer(linear, X, y, sample_weight=weight) == pytest.approx(np.average(rows, weights=weight))
    assert scorer(linear, X, y, rows) == 1
    scores = make_robustness_scorers("pgd", eps_grid=[0.3])(linear, X, y, sample_weight=weight)
    assert scores["robust_0.3"] == pytest.approx(np.average(rows, weights=weight))
    assert scores["clean"] == pytest.approx(np.average(linear.predict(X) == y, weights=weight))


@pytest.mark.parametrize(
    ("attack", "norm"),
    [("pgd", np.inf), ("pgd", 2), ("worst_case", np.inf), ("worst_case", 2), ("worst_case", 1)],
)
def test_distance_is_that_of_the_nearest_adversarial_row(linear, two_classes, attack, norm):
    X, y = two_classes
    slope = np.linalg.norm(linear.coef_[0], ord={np.inf: 1, 2: 2, 1: np.inf}[norm])
    lead = np.where(y == linear.classes_[1], 1, -1) * linear.decision_function(X)
    farthest = 2 * np.median(lead / slope)
    expected = np.clip(lead / slope, 0, farthest).mean()
    scores = make_robustness_scorers(attack, eps_grid=[farthest], norm=norm, diagnostics=False)(linear, X, y)
    assert scores["distance"] == pytest.approx(expected, rel=0.01)


def test_distance_from_the_nearest_of_several_classes():
    X, y = load_iris(return_X_y=True)
    clf = LogisticRegression(max_iter=1000).fit(X, y)
    scores = clf.decision_function(X)
    ways = np.linalg.norm(clf.coef_[y][:, np.newaxis] - clf.coef_, axis=2)
    leads = scores[np.arange(len(y)), y][:, np.newaxis] - scores
    # The own class leads itself by nothing over no way.
    exact = np.divide(leads, ways, out=np.full(leads.shape, np.inf), where=ways > 0).min(axis=1).clip(0, 1.5)
    scorer = make_robustness_scorers("pgd", eps_grid=[0.5, 1.5], norm=2)
    assert scorer(clf, X, y)["distance"] == pytest.approx(exact.mean(), rel=0.01)


def test_distance_is_the_area_below_the_curve(linear, two_classes):
    grid = np.linspace(0.01, 0.6, 60)
    scores = make_robustness_scorers("minimum_norm", eps_grid=[0.6])(linear, *two_classes)
    area = np.mean([stands(linear, *two_classes, eps, np.inf).mean() for eps in grid]) * 0.6
    assert scores["distance"] == pytest.approx(area, abs=0.01)


def test_keys_are_those_asked_for(linear, two_classes):
    scorer = make_robustness_scorers("fgsm", eps_grid=(0.05, 0.1), distance=False, diagnostics=False)
    assert list(scorer(linear, *two_classes)) == ["clean", "robust_0.05", "robust_0.1"]


def test_threat_model_with_eps_needs_no_other(linear, two_classes):
    threat_model = ThreatModel(0.3, norm=2)
    scores = make_robustness_scorers("pgd", threat_model=threat_model, diagnostics=False)(linear, *two_classes)
    assert list(scores) == ["clean", "robust_0.3", "distance"]
    assert make_robustness_scorer(threat_model=threat_model)(linear, *two_classes) == scores["robust_0.3"]


def test_grid_counts_in_eps_per_feature(linear, two_classes):
    per_feature = ThreatModel(np.full(8, 0.1))
    scores = make_robustness_scorers("pgd", eps_grid=[1, 3], threat_model=per_feature)(linear, *two_classes)
    plain = make_robustness_scorers("pgd", eps_grid=[0.1, 0.3])(linear, *two_classes)
    assert [scores[f"robust_{k}"] for k in (1, 3)] == pytest.approx([plain[f"robust_0.{k}"] for k in (1, 3)], abs=0.01)
    assert "robust_1" in make_robustness_scorers("fgsm", threat_model=per_feature)(linear, *two_classes)


SCORERS = [
    make_robustness_scorer("pgd", eps=0.1),
    make_robustness_scorer("apgd", eps=0.5, norm=2, max_iter=5, random_state=3),
    make_robustness_scorer("fgsm", threat_model=ThreatModel(0.1, bounds=(-9, 9), immutable=(0,))),
    make_robustness_scorers("apgd", eps_grid=[0.1, 0.2]),
    make_robustness_scorers("fgsm", eps_grid=[0.1], distance=False, error_score="raise"),
]


@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
def test_scorers_are_values(scorer, linear, two_classes):
    scores = scorer(linear, *two_classes)
    rebuilt = eval(repr(scorer), NAMES)  # noqa: S307
    for twin in (
        pickle.loads(pickle.dumps(scorer)),
        clone(scorer),
        clone(scorer, safe=False),
        copy.copy(scorer),
        rebuilt,
    ):
        assert repr(twin) == repr(scorer)
        assert twin(linear, *two_classes) == scores
    assert rebuilt == eval(repr(scorer), NAMES)  # noqa: S307
    assert scorer != make_robustness_scorer("pgd", eps=0.7)


def test_repr_shows_what_was_set():
    scorer = make_robustness_scorer("pgd", eps=0.1, norm=2, random_state=None, max_iter=5)
    assert repr(scorer) == "make_robustness_scorer('pgd', eps=0.1, norm=2, random_state=None, max_iter=5)"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_cross_validate(two_classes, n_jobs):
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    pgd = make_robustness_scorer("pgd", eps=0.2)
    scores = cross_validate(pipe, *two_classes, cv=3, scoring={"clean": "accuracy", "pgd": pgd}, n_jobs=n_jobs)
    assert (scores["test_pgd"] < scores["test_clean"]).all()
    assert (cross_val_score(pipe, *two_classes, cv=3, scoring=pgd) == scores["test_pgd"]).all()
    several = cross_validate(
        pipe, *two_classes, cv=3, scoring=make_robustness_scorers("pgd", eps_grid=[0.2]), n_jobs=n_jobs
    )
    assert (several["test_robust_0.2"] == scores["test_pgd"]).all()
    assert (several["test_clean"] == scores["test_clean"]).all()


@pytest.mark.parametrize("refit", ["clean", "robust_0.1", "robust_0.4", "distance", "white_box", "unflagged"])
def test_grid_search_refits_on_any_key(two_classes, refit):
    scorer = make_robustness_scorers("pgd", eps_grid=[0.1, 0.4])
    search = GridSearchCV(LogisticRegression(), {"C": [1e-3, 1.0]}, cv=2, scoring=scorer, refit=refit)
    search.fit(*two_classes)
    assert search.best_score_ == search.cv_results_[f"mean_test_{refit}"].max()
    assert 0 <= search.score(*two_classes) <= 1


def test_one_scorer_in_a_grid_search(two_classes):
    scorer = make_robustness_scorer("pgd", eps=0.4)
    search = GridSearchCV(LogisticRegression(), {"C": [1e-3, 1.0]}, cv=2, scoring=scorer).fit(*two_classes)
    assert search.score(*two_classes) == scorer(search.best_estimator_, *two_classes)


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize(
    ("scorer", "key"),
    [
        (make_robustness_scorer("pgd", eps=0.2), True),
        (make_robustness_scorers("pgd", eps_grid=[0.2]), "robust_0.2"),
    ],
)
def test_weights_are_routed_by_a_search(two_classes, scorer, key):
    X, y = two_classes
    weight = (np.arange(len(y)) % 3 == 0).astype(float)
    scorer = clone(scorer).set_score_request(sample_weight="importance")
    clf = LogisticRegression().set_fit_request(sample_weight=False)
    search = GridSearchCV(clf, {"C": [1.0]}, cv=2, scoring=scorer, refit=key).fit(X, y, importance=weight)
    rows = robust_accuracy_score(search.best_estimator_, X, y, eps=0.2, attack="pgd", per_sample=True)
    assert search.score(X, y, importance=weight) == pytest.approx(rows[weight > 0].mean())
    again = pickle.loads(pickle.dumps(scorer))
    assert again.get_metadata_routing().score.requests == {"sample_weight": "importance"}


@pytest.mark.usefixtures("routing")
def test_weights_are_routed_by_cross_validate(two_classes):
    X, y = two_classes
    fold = np.arange(len(y)) % 2
    scoring = {name: make_robustness_scorer("pgd", eps=0.2) for name in ("weighted", "plain")}
    scoring["weighted"].set_score_request(sample_weight=True)
    scoring["plain"].set_score_request(sample_weight=False)
    clf, params = LogisticRegression().set_fit_request(sample_weight=False), {"sample_weight": fold}
    scores = cross_validate(clf, X, y, cv=3, scoring=scoring, params=params)
    assert (scores["test_weighted"] != scores["test_plain"]).all()


def test_weights_without_routing(two_classes):
    X, y = two_classes
    weight = np.where(np.arange(len(y)) % 3 == 0, 1.0, 0.0)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2, scoring=make_robustness_scorer(eps=0.2))
    weighted = search.fit(X, y, sample_weight=weight).best_score_
    unweighted = cross_val_score(LogisticRegression(), X, y, cv=2, scoring=make_robustness_scorer(eps=0.2)).mean()
    assert weighted != unweighted


def test_unrequested_weights_are_an_error(two_classes):
    X, y = two_classes
    with config_context(enable_metadata_routing=True), pytest.raises(ValueError, match="sample_weight"):
        cross_validate(
            LogisticRegression(),
            X,
            y,
            scoring=make_robustness_scorer(eps=0.2),
            params={"sample_weight": np.ones(len(y))},
        )
    with pytest.raises(RuntimeError, match="enable_metadata_routing=True"):
        make_robustness_scorer(eps=0.2).set_score_request(sample_weight=True)


def test_early_stopping_by_robust_accuracy(quick, blobs):
    scorer = make_robustness_scorer("pgd", eps=0.3)
    clf = quick(max_epochs=4, early_stopping=True, scoring=scorer, validation_fraction=0.3).fit(*blobs)
    scores = [epoch["valid_score"] for epoch in clf.history_ if "valid_score" in epoch]
    assert len(scores) == 4
    assert all(0 <= score <= 1 for score in scores)


class FailsOnSome(ClassifierMixin, BaseEstimator):
    """A linear classifier that cannot answer if it was trained on the first row."""

    def fit(self, X, y):
        self.inner_ = LogisticRegression(max_iter=1000).fit(X, y)
        self.classes_ = self.inner_.classes_
        self.fails_ = bool((X[0] == FIRST_ROW).all())
        return self

    def predict(self, X):
        if self.fails_:
            raise ValueError("this one fails")
        return self.inner_.predict(X)


FIRST_ROW = load_iris(return_X_y=True)[0][0]


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
@pytest.mark.parametrize("scoring", ["one", "dict", "several"])
def test_a_failing_fold_leaves_the_others_alone(scoring):
    X, y = load_iris(return_X_y=True)
    pgd = make_robustness_scorer("nearest_other", eps=0.2)
    kinds = {
        "one": (pgd, "score"),
        "dict": ({"pgd": pgd}, "pgd"),
        "several": (make_robustness_scorers("nearest_other", eps_grid=[0.2]), "robust_0.2"),
    }
    scorer, key = kinds[scoring]
    with pytest.warns(UserWarning, match="this one fails"):
        scores = cross_validate(FailsOnSome(), X, y, cv=3, scoring=scorer)[f"test_{key}"]
    assert np.isnan(scores).sum() == 2
    assert 0 < scores[0] <= 1
    with pytest.warns(UserWarning, match="this one fails"):
        search = GridSearchCV(FailsOnSome(), {}, cv=3, scoring=scorer, refit=False).fit(X, y)
    assert np.isnan(search.cv_results_[f"mean_test_{key}"]).all()
    assert search.cv_results_[f"split0_test_{key}"] == scores[0]


def test_error_score_of_several_scores():
    X, y = load_iris(return_X_y=True)
    clf = FailsOnSome().fit(X, y)
    with pytest.raises(ValueError, match="this one fails"):
        make_robustness_scorers(eps_grid=[0.1], error_score="raise")(clf, X, y)
    with pytest.warns(UserWarning, match="set to 0"):
        scores = make_robustness_scorers(eps_grid=[0.1], error_score=0)(clf, X, y)
    assert set(scores.values()) == {0}


WRONG = [
    ({}, ValueError, "eps=None"),
    ({"eps": -1}, ValueError, "eps=-1"),
    ({"eps": 0.1, "norm": 3}, ValueError, "norm=3"),
    ({"eps": 0.1, "threat_model": ThreatModel(0.2)}, ValueError, r"eps=0\.1 .* eps=0\.2"),
    ({"eps": 0.1, "threat_model": ThreatModel((0.2, 0.1))}, ValueError, r"eps=0\.1 .* contradict"),
    ({"eps": 0.1, "norm": 1, "threat_model": ThreatModel(norm=2)}, ValueError, r"norm=1 .* norm=2\.0"),
    ({"eps": 0.1, "threat_model": ThreatModel(units="std")}, ValueError, r"units='std'.*resolve\(X_train\)"),
    ({"eps": 0.1, "threat_model": ThreatModel(bounds="learn")}, ValueError, r"bounds='learn'.*resolve\(X_train\)"),
    ({"eps": 0.1, "threat_model": 0.1}, TypeError, r"threat_model=0\.1"),
    ({"attack": "zap", "eps": 0.1}, ValueError, "attack='zap'"),
    ({"attack": 3, "eps": 0.1}, TypeError, "attack=3"),
    ({"eps": 0.1, "n_steps": 3}, TypeError, "n_steps"),
    ({"eps": 0.1, "max_iter": 0}, ValueError, "max_iter"),
    ({"attack": "worst_case", "eps": 0.1, "max_iter": 3}, TypeError, "max_iter"),
]


@pytest.mark.parametrize(("params", "error", "message"), WRONG, ids=[str(case[0]) for case in WRONG])
def test_wrong_parameters_are_errors_at_once(params, error, message):
    with pytest.raises(error, match=message):
        make_robustness_scorer(**params)
    several = {("eps_grid" if name == "eps" else name): [v] if name == "eps" else v for name, v in params.items()}
    if params.get("eps") != -1 and "threat_model" not in params:
        with pytest.raises(error, match=message):
            make_robustness_scorers(**{"attack": "pgd", **several})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"eps_grid": []}, r"eps_grid=\[\]"),
        ({"eps_grid": [0.2, 0.1]}, "ascending"),
        ({"eps_grid": [-0.1, 0.1]}, "negative"),
        ({"eps_grid": [0.1, np.inf]}, "finite"),
        ({"eps_grid": [0.1, 0.10000001]}, "six digits"),
        ({"eps_grid": [0.1], "threat_model": ThreatModel(0.3)}, "contradict"),
        ({"eps_grid": [0.1], "error_score": "ignore"}, "error_score='ignore'"),
    ],
)
def test_wrong_grids(params, message):
    with pytest.raises(ValueError, match=message):
        make_robustness_scorers(**params)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(3), r"shape \(3,\)"),
        (np.zeros(200), "not all 0"),
        (np.full(200, -1.0), "negative"),
        (np.full(200, np.nan), "finite"),
    ],
)
def test_wrong_weights(linear, two_classes, weight, message):
    with pytest.raises(ValueError, match=message):
        make_robustness_scorer("fgsm", eps=0.1)(linear, *two_classes, sample_weight=weight)
