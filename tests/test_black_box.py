"""Attacks that only ask find what brute force finds, keep every constraint, and are the same for the same seed."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_selection import VarianceThreshold
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import fbeta_score, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.metaestimators import available_if

from skrobust import ThreatModel
from skrobust.attacks._budget import Budget
from skrobust.attacks._minimum import minimum_norm
from skrobust.attacks._original import Original
from skrobust.attacks._pursuit import Pursuit
from skrobust.attacks._search import noise, square
from skrobust.attacks._segment import nearest_other
from skrobust.attacks._surface import Surface
from skrobust.attacks._surrogate import transfer
from skrobust.attacks._walk import walk
from skrobust.torchify import to_torch

NORMS = [np.inf, 2, 1]
ATTACKS = [noise, square, nearest_other, transfer, walk]
DUAL = {np.inf: 1, 2: 2, 1: np.inf}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:700] / 16, y[:700], X[1000:1100] / 16, y[1000:1100]


@pytest.fixture(scope="module")
def untied(digits):
    """Return digits with a little noise, so that no two distances are equal."""
    noise = np.random.default_rng(0).normal(scale=1e-3, size=digits[2].shape)
    return digits[2] + noise, digits[3]


@pytest.fixture(scope="module")
def network(digits):
    return MLPClassifier((32,), max_iter=300, tol=1e-2, random_state=0).fit(*digits[:2])


@pytest.fixture(scope="module")
def linear():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 8))
    return LogisticRegression(C=100).fit(X, X @ rng.normal(size=8) > 0), X[:60]


def pursuit_of(estimator, X, y, threat_model, *, has_gradient=False):
    original = Original(estimator, X, y)
    budget = Budget.of(threat_model, original.rows, original.columns, original.is_fixed)
    return Pursuit(original, budget, Surface(to_torch(estimator)) if has_gradient else None)


def attacked(attack, pursuit, radius=None, seed=0, **params):
    index = np.flatnonzero(pursuit.distance > 0)
    radius = pursuit.budget.radius if radius is None else radius
    attack(pursuit, index, radius, np.random.default_rng(seed), **params)
    return pursuit


def robust(pursuit):
    return (pursuit.distance > pursuit.reach()).mean()


def exact_margins(clf, X, norm):
    return np.abs(clf.decision_function(X)) / np.linalg.norm(clf.coef_[0], ord=DUAL[norm])


def hidden(estimator):
    """Return the estimator without scores, as one that votes."""
    return VotingClassifier([("only", estimator)], voting="hard")


@pytest.mark.parametrize("norm", NORMS)
def test_search_comes_close_to_the_margin_of_a_linear_classifier(linear, norm):
    clf, X = linear
    exact = exact_margins(clf, X, norm)
    pursuit = pursuit_of(clf, X, clf.predict(X), ThreatModel(norm=norm))
    attacked(nearest_other, pursuit)
    attacked(square, pursuit, np.inf, max_queries=2000)
    ratio = pursuit.distance / exact
    assert (ratio > 1 - 1e-6).all()
    assert np.median(ratio) < 1.06


@pytest.mark.parametrize("norm", NORMS)
def test_search_within_a_radius_agrees_with_the_margin(linear, norm):
    clf, X = linear
    exact = exact_margins(clf, X, norm)
    radius = np.median(exact)
    pursuit = attacked(square, pursuit_of(clf, X, clf.predict(X), ThreatModel(radius, norm)), max_queries=2000)
    found = pursuit.distance <= pursuit.reach()
    assert not found[exact > radius * 1.001].any()
    assert found[exact < 0.95 * radius].all()


class Island(ClassifierMixin, BaseEstimator):
    """Answers 1 in a small disk, and 0 elsewhere."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (np.linalg.norm(X[:, :2] - [0.5, 0.1], axis=1) < 0.12).astype(int)


class IslandWithScores(Island):
    def predict_proba(self, X):
        return np.eye(2)[self.predict(X)]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n_features", [2, 3])
@pytest.mark.parametrize("island", [Island(), IslandWithScores()], ids=["answers", "scores"])
def test_islands_are_found_where_few_features_move(island, n_features, norm):
    X, y = np.zeros((40, n_features)), np.zeros(40, dtype=int)
    clf = island.fit(X, [0] * 39 + [1])
    # The disk takes 1 to 3 % of the balls; corners, surfaces and scores lead nowhere.
    pursuit = attacked(square, pursuit_of(clf, X, y, ThreatModel(1.0, norm, immutable=range(2, n_features))))
    assert pursuit.original.has_scores == hasattr(clf, "predict_proba")
    assert (pursuit.distance <= pursuit.reach()).mean() > 0.9


@pytest.mark.parametrize("norm", NORMS)
def test_walk_comes_close_to_the_margin_by_answers_alone(linear, norm):
    clf, X = linear
    y = clf.predict(X)
    answers = hidden(LogisticRegression(C=100)).fit(np.vstack([X, X]), np.append(y, y))
    exact = exact_margins(answers.estimators_[0], X, norm)
    pursuit = pursuit_of(answers, X, answers.predict(X), ThreatModel(norm=norm))
    assert not pursuit.original.has_scores
    attacked(nearest_other, pursuit)
    before = pursuit.distance.copy()
    attacked(square, pursuit, np.inf, max_queries=2000)
    ratio = pursuit.distance / exact
    assert (ratio > 1 - 1e-6).all()
    assert np.median(ratio) < 1.25
    assert np.median(ratio) < 0.8 * np.median(before / exact)


@pytest.mark.parametrize(("norm", "eps"), [(np.inf, 0.1), (2, 0.5), (1, 2.0)])
def test_search_is_nearly_as_strong_as_gradients_and_beats_noise(digits, network, norm, eps):
    threat_model = ThreatModel(eps, norm, bounds=(0, 1))
    by_gradient, by_search, by_noise = (
        robust(attacked(attack, pursuit_of(network, *digits[2:], threat_model, has_gradient=attack is minimum_norm)))
        for attack in (minimum_norm, square, noise)
    )
    assert by_search <= by_gradient + 0.1
    assert by_search < by_noise - 0.1


def test_patches_fool_images(digits):
    X, y, X_test, y_test = digits
    clf = make_pipeline(FunctionTransformer(_flat), LogisticRegression(max_iter=200)).fit(X.reshape(-1, 8, 8), y)
    threat_model = ThreatModel(0.15, bounds=(0, 1))
    for shape in ((8, 8), (1, 8, 8)):
        images = X_test.reshape(-1, *shape)
        by_patches = robust(attacked(square, pursuit_of(clf, images, y_test, threat_model)))
        assert by_patches < robust(attacked(noise, pursuit_of(clf, images, y_test, threat_model))) - 0.1


def _flat(images):
    return images.reshape(len(images), -1)


def without_stored_rows(n_neighbors):
    """Return a classifier whose stored rows lie behind a step that says nothing of its features."""
    return make_pipeline(FunctionTransformer(np.asarray), KNeighborsClassifier(n_neighbors))


@pytest.mark.parametrize("norm", NORMS)
def test_nearest_other_is_bisected_to_the_nearest_row_of_another_answer(digits, untied, norm):
    clf = without_stored_rows(3).fit(*digits[:2])
    X, y = untied
    pursuit = attacked(nearest_other, pursuit_of(clf, X, y, ThreatModel(norm=norm)), n_neighbors=1)
    answers = clf.predict(X)
    metric = {np.inf: "chebyshev", 2: "euclidean", 1: "cityblock"}[norm]
    distances = np.where(answers[:, None] == answers, np.inf, cdist(X, X, metric))
    ends = X[distances.argmin(axis=1)]
    low, high = np.zeros((len(X), 1)), np.ones((len(X), 1))
    for _ in range(20):
        middle = (low + high) / 2
        is_other = (clf.predict(X + middle * (ends - X)) != y)[:, None]
        low, high = np.where(is_other, low, middle), np.where(is_other, middle, high)
    is_right = answers == y
    bisected = np.linalg.norm(high * (ends - X), ord=norm, axis=1)
    assert is_right.sum() > 80
    np.testing.assert_allclose(pursuit.distance[is_right], bisected[is_right], rtol=1e-5)


def test_more_neighbors_are_never_farther(digits):
    clf = KNeighborsClassifier(3).fit(*digits[:2])
    one, more = (
        attacked(nearest_other, pursuit_of(clf, *digits[2:], ThreatModel(norm=2)), n_neighbors=n).distance
        for n in (1, 6)
    )
    assert (more <= one * (1 + 1e-9)).all()
    assert (more < one).any()


def test_nearest_other_looks_at_a_shortlist_where_there_is_much_work(digits, untied, monkeypatch):
    clf = KNeighborsClassifier(3).fit(*digits[:2])
    threat_model = ThreatModel(norm=1)
    exact = attacked(nearest_other, pursuit_of(clf, *untied, threat_model)).distance
    monkeypatch.setattr("skrobust.attacks._neighbors.MOST_WORK", 0)
    short = attacked(nearest_other, pursuit_of(clf, *untied, threat_model)).distance
    np.testing.assert_allclose(short, exact, rtol=1e-6)


def test_one_answer_alone_has_no_neighbors(blobs):
    X, y = blobs
    clf = without_stored_rows(1).fit(X, y)
    assert np.isinf(attacked(nearest_other, pursuit_of(clf, X[y == 0], y[y == 0], ThreatModel(1.0))).distance).all()


@pytest.mark.parametrize("norm", [np.inf, 2])
def test_transfer_finds_what_noise_does_not(digits, norm):
    bins = KBinsDiscretizer(6, strategy="uniform")
    clf = make_pipeline(VarianceThreshold(), bins, LogisticRegression(max_iter=300)).fit(*digits[:2])
    threat_model = ThreatModel({np.inf: 0.15, 2: 0.7}[norm], norm, bounds=(0, 1))
    # With the seed both move by about .05: means part what single runs do not.
    by_transfer, by_noise = (
        np.mean([robust(attacked(attack, pursuit_of(clf, *digits[2:], threat_model), seed=seed)) for seed in range(4)])
        for attack in (transfer, noise)
    )
    assert by_transfer < by_noise - 0.05


def test_transfer_does_nothing_to_a_constant_answer(blobs):
    X = blobs[0]
    clf = KNeighborsClassifier(1).fit(X, np.zeros(len(X), dtype=int))
    assert np.isinf(
        attacked(transfer, pursuit_of(clf, X, np.zeros(len(X), dtype=int), ThreatModel(1.0))).distance
    ).all()


def test_transfer_comes_nearer_without_a_radius(digits, network):
    pursuit = attacked(nearest_other, pursuit_of(network, *digits[2:], ThreatModel(norm=2, bounds=(0, 1))))
    before = pursuit.distance.copy()
    attacked(transfer, pursuit, np.inf)
    assert (pursuit.distance <= before).all()
    assert np.median(pursuit.distance) < 0.95 * np.median(before)


# ---- what holds of every attack ----


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("norm", NORMS)
def test_no_constraint_is_broken(attack, norm):
    rng = np.random.default_rng(0)
    category = np.eye(3)[rng.integers(3, size=150)]
    X = np.hstack([rng.normal(size=(150, 3)), rng.integers(5, size=(150, 2)), category])
    y = (X[:, 0] + X[:, 3] / 2 + 2 * X[:, 5] - X[:, 7] > 1).astype(int)
    clf = RandomForestClassifier(10, random_state=0).fit(X, y)
    threat_model = ThreatModel(
        1.5, norm, bounds=(-4, 5), immutable=[1], direction={2: "up"}, integer=[3, 4], one_hot_groups=[[5, 6, 7]]
    )
    pursuit = pursuit_of(clf, X, y, threat_model)
    attacked(nearest_other, pursuit)
    attacked(attack, pursuit)
    found = np.isfinite(pursuit.distance) & (pursuit.distance > 0)
    rows, nearest = X[found], pursuit.nearest[found]
    assert found.sum() > 50
    assert (clf.predict(nearest) != y[found]).all()
    assert (nearest[:, 1] == rows[:, 1]).all()
    assert (nearest[:, 2] >= rows[:, 2]).all()
    assert (nearest[:, 3:5] == np.rint(nearest[:, 3:5])).all()
    assert ((nearest >= -4) & (nearest <= 5)).all()
    assert (np.sort(nearest[:, 5:], axis=1) == [0, 0, 1]).all()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("radius", [0.3, np.inf])
def test_the_same_seed_finds_the_same(digits, network, attack, radius):
    def found(seed):
        X, y = digits[2][:40], digits[3][:40]
        pursuit = attacked(nearest_other, pursuit_of(network, X, y, ThreatModel(0.3, 2, bounds=(0, 1))))
        return attacked(attack, pursuit, radius, seed).distance

    one, again, other = found(1), found(1), found(2)
    np.testing.assert_array_equal(one, again)
    assert attack is nearest_other or (one != other).any()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_of_any_scale_and_offset_are_attacked_alike(attack, dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 5))
    scale, offset = np.array([1e-3, 1, 1, 1e3, 1e4]), np.array([0, 0, 1e2, 1e4, -1e3])
    clf = LogisticRegression(C=1e4).fit(X, X[:, 0] - X[:, 3] > 0)
    moved = make_pipeline(FunctionTransformer(lambda rows: (np.asarray(rows, float) - offset) / scale), clf)
    plain, scaled = (
        pursuit_of(estimator, rows, clf.predict(X), threat_model)
        for estimator, rows, threat_model in (
            (clf, X, ThreatModel(1.0, 2)),
            (moved, (X * scale + offset).astype(dtype), ThreatModel(1.0, 2, units=scale)),
        )
    )
    for pursuit in (plain, scaled):
        attacked(nearest_other, pursuit)
        attacked(attack, pursuit)
    np.testing.assert_allclose(np.median(scaled.distance), np.median(plain.distance), rtol=0.15)


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_to_attack(network, digits, attack):
    pursuit = pursuit_of(network, *digits[2:], ThreatModel(0.1))
    for radius in (0.1, np.inf, 0.0):
        attack(pursuit, np.zeros(0, dtype=int), radius, np.random.default_rng(0))
    immutable = pursuit_of(network, *digits[2:], ThreatModel(0.1, immutable=range(64)))
    attacked(attack, immutable)
    assert set(immutable.distance) <= {0.0, np.inf}


# ---- scores that are not what the answers follow ----


class Misleading(ClassifierMixin, BaseEstimator):
    """A classifier whose decision_function is that of other answers; whose probabilities are right, if it has any."""

    def __init__(self, clf, has_probabilities):
        self.clf, self.has_probabilities = clf, has_probabilities
        self.classes_ = clf.classes_

    def predict(self, X):
        return self.clf.predict(X)

    def decision_function(self, X):
        return self.clf.decision_function(X)[:, ::-1]

    @available_if(lambda self: self.has_probabilities)
    def predict_proba(self, X):
        return self.clf.predict_proba(X)


def assert_margins_tell_answers(original, n=2000):
    rng = np.random.default_rng(0)
    low, high = original.rows.min(axis=0), original.rows.max(axis=0)
    rows = rng.uniform(low, high, size=(n, len(low))).astype(original.rows.dtype)
    codes = rng.integers(len(original.classes), size=n)
    is_other = original.codes(original.predict(rows)) != codes
    assert 0.05 < is_other.mean() < 0.95
    np.testing.assert_array_equal(original.margins(rows, codes) > 0, is_other)


@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_scores_of_pairs_of_classes_become_scores_of_classes(digits, n_classes):
    X, y = (part[digits[1] < n_classes] for part in digits[:2])
    one, other = (
        pursuit_of(SVC(decision_function_shape=shape).fit(X, y), X[:60], y[:60], ThreatModel(0.2, bounds=(0, 1)))
        for shape in ("ovr", "ovo")
    )
    codes = np.zeros(60, dtype=int)
    np.testing.assert_allclose(*(pursuit.original.margins(X[:60], codes) for pursuit in (one, other)))
    np.testing.assert_array_equal(*(attacked(square, pursuit, max_queries=50).distance for pursuit in (one, other)))


@pytest.mark.parametrize("has_probabilities", [True, False])
def test_scores_that_disagree_with_the_answers_are_not_used(has_probabilities):
    X, y = load_iris(return_X_y=True)
    original = Original(Misleading(LogisticRegression(max_iter=500).fit(X, y), has_probabilities), X, y)
    assert original.has_scores == has_probabilities
    assert_margins_tell_answers(original)


def test_what_has_probabilities_by_name_only_is_asked_for_answers():
    X, y = load_iris(return_X_y=True)
    clf = GaussianProcessClassifier(multi_class="one_vs_one", optimizer=None).fit(X[::5], y[::5])
    assert hasattr(clf, "predict_proba")
    pursuit = attacked(square, pursuit_of(clf, X[1::15], y[1::15], ThreatModel(0.6)), max_queries=50)
    assert not pursuit.original.has_scores
    assert robust(pursuit) < (pursuit.original.answers == y[1::15]).mean()


@pytest.mark.parametrize("threshold", ["auto", 0.1, 0.9])
@pytest.mark.parametrize("label", [None, "no", "yes"])
@pytest.mark.parametrize("is_behind", [False, True])
def test_scores_know_the_threshold(threshold, label, is_behind):
    X = np.random.default_rng(0).normal(size=(200, 3))
    y = np.where(X.sum(axis=1) > 0, "yes", "no")
    forest = RandomForestClassifier(10, max_depth=3, random_state=0)
    clf = FixedThresholdClassifier(forest, threshold=threshold, pos_label=label)
    original = Original((make_pipeline(StandardScaler(), clf) if is_behind else clf).fit(X, y), X, y)
    assert original.has_scores
    assert_margins_tell_answers(original)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("method", ["decision_function", "predict_proba"])
def test_scores_know_the_threshold_that_was_tuned(label, method):
    X = np.random.default_rng(0).normal(size=(200, 3))
    y = (X.sum(axis=1) > np.sin(9 * X[:, 0])).astype(int)
    scoring = make_scorer(fbeta_score, beta=5, pos_label=label)
    clf = TunedThresholdClassifierCV(LogisticRegression(), scoring=scoring, response_method=method).fit(X, y)
    original = Original(clf, X, y)
    assert (clf.predict(X) != clf.estimator_.predict(X)).mean() > 0.05
    assert original.has_scores
    assert_margins_tell_answers(original)
