"""The lattice search equals brute force where combinations are few, and comes near to it where they are many."""

import itertools

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skrobust import ThreatModel
from skrobust.attacks._budget import Budget
from skrobust.attacks._lattice import search_lattice

NORMS = (np.inf, 2, 1)
GROUPS = [[3, 4, 5], [6, 7]]
SETTINGS = {"integer": [0, 1, 2], "one_hot_groups": GROUPS, "direction": {1: "up"}, "bounds": ([-3] * 3 + [0] * 5, 9)}
CLASSIFIERS = [
    DecisionTreeClassifier(random_state=0),
    RandomForestClassifier(10, random_state=0),
    KNeighborsClassifier(),
    LogisticRegression(max_iter=1000),
    SVC(),
]


class PlainPursuit:
    """What attacks know of a pursuit, in as few lines as can be."""

    def __init__(self, estimator, X, y, budget, has_scores=True):
        self.estimator, self.y, self.budget, self.has_scores = estimator, y, budget, has_scores
        self.nearest, self.distance = X.copy(), np.where(estimator.predict(X) == y, np.inf, 0.0)
        self.n_asked, self.most_asked = 0, 0

    def offer(self, index, candidates):
        self.n_asked += len(index)
        self.most_asked = max(self.most_asked, len(index))
        if not len(index):
            return np.zeros(0, dtype=bool)
        budget = self.budget.take(index)
        distance = budget.distance(candidates)
        # No search is to come with rows that the constraints forbid.
        assert budget.respects(candidates).all()
        is_adversarial = self.estimator.predict(candidates) != self.y[index]
        for k in np.flatnonzero(is_adversarial):
            if distance[k] < self.distance[index[k]]:
                self.nearest[index[k]], self.distance[index[k]] = candidates[k], distance[k]
        return is_adversarial

    def margins(self, index, rows):
        self.n_asked += len(index)
        self.most_asked = max(self.most_asked, len(index))
        if not len(index):
            return np.zeros(0)
        codes = np.searchsorted(self.estimator.classes_, self.y[index])
        if not self.has_scores:
            return np.where(self.estimator.predict(rows) == self.y[index], -1.0, 1.0)
        scores = getattr(self.estimator, "predict_proba", None) or self.estimator.decision_function
        scores = scores(rows)
        scores = scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1)
        own = scores[np.arange(len(rows)), codes]
        others = np.where(np.arange(scores.shape[1]) == codes[:, np.newaxis], -np.inf, scores)
        return others.max(axis=1) - own


def table(rng, n_rows, n_more=0):
    """Return rows of integers, two groups and more continuous features, and labels that depend on all of them."""
    X = np.hstack(
        [
            rng.integers(-3, 10, size=(n_rows, 3)),
            np.eye(3)[rng.integers(0, 3, n_rows)],
            np.eye(2)[rng.integers(0, 2, n_rows)],
            rng.normal(size=(n_rows, n_more)),
        ]
    ).astype(float)
    score = X[:, 0] - X[:, 1] + X[:, 2] * X[:, 3] + 3 * X[:, 4] - 4 * X[:, 6] + 2 * X[:, 8:].sum(axis=1)
    return X, np.digitize(score, np.quantile(score, [0.3, 0.7]))


def brute_force(estimator, row, label, budget):
    """Return the distance of the nearest adversarial row among all there are within the radius."""
    reach = int(budget.radius * budget.scale.max()) + 1
    values = [row[j] + np.arange(-reach, reach + 1) for j in range(3)]
    points = [
        np.concatenate([steps, *eyes])
        for steps in itertools.product(*values)
        for eyes in itertools.product(np.eye(3), np.eye(2))
    ]
    budget = budget.take(np.zeros(len(points), dtype=int))
    points = np.array(points)
    is_adversarial = budget.allows(points) & (estimator.predict(points) != label)
    return budget.distance(points)[is_adversarial].min(initial=np.inf)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda estimator: type(estimator).__name__)
def test_equal_to_brute_force(rng, estimator, norm):
    X, y = table(rng, 200)
    estimator.fit(X[:180], y[:180])
    X, y = X[180:], y[180:]
    radius = {np.inf: 1, 2: 2.0, 1: 2.5}[norm]
    threat_model = ThreatModel(radius, norm, units=[1, 2, 0.8, 1, 0.9, 1.1, 0.7, 1], **SETTINGS)
    budget = Budget.of(threat_model, X)
    pursuit = PlainPursuit(estimator, X, y, budget)
    was_wrong = pursuit.distance == 0
    search_lattice(pursuit, np.flatnonzero(~was_wrong), radius, rng)
    expected = [brute_force(estimator, X[i], y[i], budget.take([i])) for i in range(len(X))]
    np.testing.assert_allclose(pursuit.distance[~was_wrong], np.array(expected)[~was_wrong], rtol=1e-12)
    fooled = np.isfinite(pursuit.distance)
    assert 0 < fooled.mean() <= 1
    assert budget.allows(pursuit.nearest).all()
    assert (estimator.predict(pursuit.nearest[fooled]) != y[fooled]).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("has_scores", [True, False])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda estimator: type(estimator).__name__)
def test_search_comes_near_to_brute_force(rng, estimator, norm, has_scores):
    X, y = table(rng, 200)
    estimator.fit(X[:150], y[:150])
    X, y = X[150:], y[150:]
    radius = {np.inf: 2, 2: 2.5, 1: 3}[norm]
    budget = Budget.of(ThreatModel(radius, norm, **SETTINGS), X)
    whole, few = (PlainPursuit(estimator, X, y, budget, has_scores) for _ in range(2))
    search_lattice(whole, np.flatnonzero(whole.distance), radius, rng)
    search_lattice(few, np.flatnonzero(few.distance), radius, rng, max_combinations=1)
    assert (few.distance >= whole.distance).all()
    fooled = np.isfinite(few.distance)
    assert fooled.sum() >= 0.9 * np.isfinite(whole.distance).sum()
    assert few.distance[fooled].sum() < 1.2 * whole.distance[fooled].sum()


@pytest.fixture
def ratings(rng):
    """Return a classifier of 20 whole numbers, rows that it answers rightly, and their labels."""
    X = rng.integers(0, 11, size=(600, 20)).astype(float)
    y = (X[:, :10] @ rng.normal(size=10) - X[:, 10:] @ rng.normal(size=10) > 0).astype(int)
    clf = RandomForestClassifier(15, random_state=0).fit(X[:400], y[:400])
    is_right = clf.predict(X[400:]) == y[400:]
    return clf, X[400:][is_right][:60], y[400:][is_right][:60]


@pytest.mark.parametrize(("norm", "radius"), [(2, 1.5), (1, 3)])
def test_search_among_many_features(ratings, rng, norm, radius):
    clf, X, y = ratings
    budget = Budget.of(ThreatModel(radius, norm, integer=range(20), bounds=(0, 10)), X)
    whole, few = PlainPursuit(clf, X, y, budget), PlainPursuit(clf, X, y, budget)
    search_lattice(whole, np.arange(len(X)), radius, rng, max_combinations=20_000)
    search_lattice(few, np.arange(len(X)), radius, rng, max_combinations=1)
    n_fooled = np.isfinite(whole.distance).sum()
    assert 5 < n_fooled < 55
    assert 0.9 * n_fooled <= np.isfinite(few.distance).sum() <= n_fooled
    assert few.n_asked < whole.n_asked


def test_a_wide_search_is_batched_and_may_be_repeated(ratings):
    clf, X, y = ratings
    budget = Budget.of(ThreatModel(4, integer=range(20), bounds=(0, 10)), X)
    pursuits = [PlainPursuit(clf, X, y, budget) for _ in range(2)]
    for pursuit in pursuits:
        search_lattice(pursuit, np.arange(len(X)), 4, np.random.default_rng(0))
        assert 0 < pursuit.most_asked <= 20_000
        assert np.isfinite(pursuit.distance).mean() > 0.9
        assert budget.allows(pursuit.nearest).all()
    np.testing.assert_array_equal(pursuits[0].nearest, pursuits[1].nearest)


def test_random_options_where_they_are_many(ratings, rng):
    clf, X, y = ratings
    budget = Budget.of(ThreatModel(2, integer=range(20)), X)
    few, many = PlainPursuit(clf, X, y, budget), PlainPursuit(clf, X, y, budget)
    search_lattice(few, np.arange(len(X)), 2, rng, n_moves=20)
    search_lattice(many, np.arange(len(X)), 2, rng, n_moves=200)
    assert few.n_asked < many.n_asked / 2
    assert 0.7 * np.isfinite(many.distance).sum() < np.isfinite(few.distance).sum()
    assert budget.allows(few.nearest).all()


def test_changes_that_are_not_needed_are_undone():
    X = np.zeros((1, 5))
    X[0, 3] = 1
    # Only feature 0 counts, from 3 on.
    clf = DecisionTreeClassifier().fit([[2, 0, 0, 0, 0], [3, 0, 0, 0, 0]], [0, 1])
    for norm in NORMS:
        budget = Budget.of(ThreatModel(20, norm, integer=[0, 1, 2], one_hot_groups=[[3, 4]]), X)
        pursuit = PlainPursuit(clf, X, np.zeros(1), budget)
        pursuit.nearest, pursuit.distance = np.array([[9.0, 9, -4, 0, 1]]), np.array([20.0])
        search_lattice(pursuit, np.arange(1), 20, np.random.default_rng(0), max_combinations=1, n_restarts=0)
        assert pursuit.distance == 3
        # The largest change alone decides in the maximum norm: what else is there does not make it farther.
        assert norm == np.inf or pursuit.nearest.tolist() == [[3, 0, 0, 1, 0]]


def test_open_radius(rng):
    X, y = table(rng, 200)
    clf = RandomForestClassifier(10, random_state=0).fit(X[:150], y[:150])
    X, y = X[150:], y[150:]
    for settings in (SETTINGS, {"integer": [0, 1, 2]}):
        budget = Budget.of(ThreatModel(**settings), X)
        pursuit = PlainPursuit(clf, X, y, budget)
        search_lattice(pursuit, np.flatnonzero(pursuit.distance), np.inf, rng)
        assert np.isfinite(pursuit.distance).all()
        assert pursuit.distance.max() < 12
        assert budget.allows(pursuit.nearest).all()


# ---- continuous features beside discrete ones ----


@pytest.fixture
def mixed(rng):
    """Return a classifier, rows whose last two features are continuous, and their labels."""
    X, y = table(rng, 300, n_more=2)
    clf = LogisticRegression(max_iter=1000).fit(X[:200], y[:200])
    is_right = clf.predict(X[200:]) == y[200:]
    return clf, X[200:][is_right], y[200:][is_right]


def mixed_budget(X, norm, radius):
    settings = {**SETTINGS, "bounds": None}
    return Budget.of(ThreatModel(radius, norm, **settings), X)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_continuous_features_are_those_of_the_base(mixed, rng, norm, dtype):
    clf, X, y = mixed
    X = X.astype(dtype)
    budget, everyone = mixed_budget(X, norm, 1.2), np.arange(len(X))
    plain, moved = PlainPursuit(clf, X, y, budget), PlainPursuit(clf, X, y, budget)
    search_lattice(plain, everyone, 1.2, rng)
    np.testing.assert_array_equal(plain.nearest[:, 8:], X[:, 8:])
    base = X + np.where(np.arange(10) >= 8, np.where(y[:, np.newaxis] == 2, -0.6, 0.6), 0)
    search_lattice(moved, everyone, 1.2, rng, base=base)
    found = np.isfinite(moved.distance)
    assert (moved.nearest[found, 8:] != X[found, 8:]).any()
    assert budget.allows(moved.nearest).all()
    assert found.sum() > np.isfinite(plain.distance).sum()


@pytest.mark.parametrize("returns", [True, False])
@pytest.mark.parametrize("max_combinations", [4096, 1])
def test_continuous_features_are_refined_at_the_best_points(mixed, rng, max_combinations, returns):
    clf, X, y = mixed
    budget, calls = mixed_budget(X, np.inf, 0.9), []

    def refine(index, rows):
        stands = ~np.isfinite(pursuit.distance[index])
        assert stands.all()
        assert len(np.unique(index)) == len(index)
        calls.append(len(index))
        better = rows + np.where(np.arange(10) >= 8, np.where(y[index, np.newaxis] == 2, -0.9, 0.9), 0)
        if returns:
            return better
        pursuit.offer(index, budget.take(index).project(better))

    plain, pursuit = PlainPursuit(clf, X, y, budget), PlainPursuit(clf, X, y, budget)
    search_lattice(plain, np.arange(len(X)), 0.9, rng, max_combinations=max_combinations)
    search_lattice(pursuit, np.arange(len(X)), 0.9, rng, max_combinations=max_combinations, refine=refine)
    assert 1 <= len(calls) <= 2 * 3
    assert np.isfinite(pursuit.distance).sum() > np.isfinite(plain.distance).sum()
    assert budget.allows(pursuit.nearest).all()


# ---- nothing to do ----


def test_nothing_discrete_and_no_rows(mixed, rng):
    clf, X, y = mixed
    for settings, index in (({}, np.arange(len(X))), ({"integer": [0]}, np.arange(0))):
        pursuit = PlainPursuit(clf, X, y, Budget.of(ThreatModel(1, **settings), X))
        search_lattice(pursuit, index, 1, rng)
        assert pursuit.n_asked == 0


@pytest.mark.parametrize("max_combinations", [4096, 0])
def test_everything_immutable(mixed, rng, max_combinations):
    clf, X, y = mixed
    pursuit = PlainPursuit(clf, X, y, Budget.of(ThreatModel(1, immutable=range(10), integer=[0]), X))
    search_lattice(pursuit, np.arange(len(X)), 1, rng, max_combinations=max_combinations)
    assert np.isinf(pursuit.distance).all()
