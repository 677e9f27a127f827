"""Adversarial rows keep every constraint at once, end to end, and whole numbers and categories are searched fully."""

import functools
import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skrobust import ThreatModel
from skrobust.attacks import find_adversarial

NORMS = (np.inf, 2, 1)
N_FEATURES, N_TRAINED = 17, 600
# 0, 4, 5: free; 1: up; 2: down; 3: immutable; 6, 7: integer; 8: integer, up; 16: constant.
IMMUTABLE, UP, DOWN, INTEGER, GROUPS, CONSTANT = 3, (1, 8), (2,), [6, 7, 8], [[9, 10, 11], [12, 13, 14, 15]], 16
COUNTED = 10_000


def features(rng, n_rows):
    """Return rows of numbers, whole numbers and categories on unlike scales."""
    X = rng.normal(size=(n_rows, N_FEATURES)) * np.geomspace(0.1, 50, N_FEATURES)
    X[:, INTEGER] = rng.integers(-5, 12, size=(n_rows, 3))
    for group in GROUPS:
        X[:, group] = np.eye(len(group))[rng.integers(0, len(group), size=n_rows)]
    X[:, CONSTANT] = 0.3
    return X


def labels(X, rng):
    scaled = np.delete(X, CONSTANT, axis=1) / X[:, :CONSTANT].std(axis=0)
    score = scaled @ rng.choice([-1, 1], size=CONSTANT) + scaled[:, 0] * scaled[:, 6]
    return np.array(["a", "b", "c"])[np.digitize(score, np.quantile(score, [0.35, 0.65]))]


@functools.cache
def table():
    rng = np.random.default_rng(0)
    X = features(rng, N_TRAINED + 1500)
    return X, labels(X, rng)


ESTIMATORS = {
    "linear": make_pipeline(StandardScaler(), LogisticRegression()),
    "network": make_pipeline(StandardScaler(), MLPClassifier((20,), max_iter=400, tol=1e-3, random_state=0)),
    "forest": RandomForestClassifier(6, max_depth=8, random_state=0),
    "tree": DecisionTreeClassifier(max_depth=8, random_state=0),
}


@functools.cache
def fitted(name):
    X, y = table()
    return ESTIMATORS[name].fit(X[:N_TRAINED], y[:N_TRAINED])


def threat_model_of(norm, eps, units, X):
    """Return a threat model with everything that it can have."""
    return ThreatModel(
        eps,
        norm,
        units=units,
        bounds="learn",
        immutable=[IMMUTABLE],
        direction={**dict.fromkeys(UP, "up"), **dict.fromkeys(DOWN, "down"), 5: "none"},
        integer=INTEGER,
        one_hot_groups=GROUPS,
    ).resolve(X)


def lengths(threat_model, X, X_adv):
    """Return distances in units of the threat model, by a way of its own; a change of category counts once."""
    units = np.ones(X.shape[1]) if threat_model.units == "raw" else np.array(threat_model.units)
    reach = units * (np.array(threat_model.eps) if isinstance(threat_model.eps, tuple) else 1.0)
    change = np.abs(X_adv - X)
    share = np.where(change == 0, 0.0, change / np.where(reach == 0, 1e-300, reach))
    single = [share[:, j] for j in range(N_FEATURES) if not any(j in group for group in GROUPS)]
    coordinates = np.stack([*single, *(share[:, group].max(axis=1) for group in GROUPS)])
    return {np.inf: coordinates.max, 1: coordinates.sum}.get(threat_model.norm, (coordinates**2).sum)(axis=0) ** (
        0.5 if threat_model.norm == 2 else 1
    )


def violations(threat_model, estimator, X, y, result):
    """Return how many rows break each rule."""
    X, X_adv = X.astype(np.float64), np.asarray(result.X_adv, dtype=np.float64)
    # What was learned from training rows lets a row beyond them stay where it is.
    low, high = np.minimum(threat_model.bounds[-2], X), np.maximum(threat_model.bounds[-1], X)
    length = lengths(threat_model, X, X_adv)
    reach = 1.0 if isinstance(threat_model.eps, tuple) else threat_model.eps
    kept = {
        "finite": np.isfinite(X_adv).all(axis=1),
        "bounds": ((X_adv >= low) & (X_adv <= high)).all(axis=1),
        "untouched": (X_adv[:, [IMMUTABLE, 5, CONSTANT]] == X[:, [IMMUTABLE, 5, CONSTANT]]).all(axis=1),
        "up": (X_adv[:, UP] >= X[:, UP]).all(axis=1),
        "down": (X_adv[:, DOWN] <= X[:, DOWN]).all(axis=1),
        "integer": (X_adv[:, INTEGER] % 1 == 0).all(axis=1),
        "distance": length <= reach * (1 + 1e-9),
        "said distance": ~result.success | np.isclose(result.distance, length, rtol=1e-9),
        "verdict": (estimator.predict(result.X_adv) != y) == result.success,
        "unchanged": result.success | (length == 0),
    }
    for k, group in enumerate(GROUPS):
        kept[f"group {k}"] = (np.sort(X_adv[:, group], axis=1) == [0] * (len(group) - 1) + [1]).all(axis=1)
    return {rule: int((~holds).sum()) for rule, holds in kept.items() if not holds.all()}


# Estimator, attack, number of rows, norm, eps, units. An eps of 0 for a feature holds it.
PER_FEATURE = tuple(np.where(np.arange(N_FEATURES) == 4, 0.0, 1.2))
RUNS = [
    *(("linear", "pgd", 1500, norm, eps, "std") for norm, eps in ((np.inf, 1.2), (2, 2.5), (1, 3.0))),
    *(("linear", "minimum_norm", 400, norm, eps, "std") for norm, eps in ((2, 2.5), (1, 3.0))),
    *(("network", "apgd", 1500, norm, eps, "range") for norm, eps in ((np.inf, 0.4), (2, 1.1), (1, 1.3))),
    ("network", "pgd", 1500, np.inf, PER_FEATURE, "std"),
    ("network", "square", 600, 2, PER_FEATURE, "std"),
    ("network", "worst_case", 200, 2, 2.0, "std"),
    ("network", "noise", 1500, np.inf, 1.5, "iqr"),
    *(("tree", "worst_case", 500, norm, eps, "std") for norm, eps in ((np.inf, 1.2), (2, 2.0), (1, 2.5))),
    *(("forest", "noise", 1500, norm, eps, "std") for norm, eps in ((np.inf, 1.2), (2, 2.5), (1, 3.0))),
    ("forest", "split_search", 300, 2, 2.0, "std"),
    ("forest", "worst_case", 100, 1, PER_FEATURE, "std"),
]


@functools.cache
def run_of(k):
    name, attack, n_rows, norm, eps, units = RUNS[k]
    X, y = table()
    X = X.astype(np.float32 if k % 4 == 3 else np.float64)
    threat_model = threat_model_of(norm, eps, units, X[:N_TRAINED])
    X, y = X[N_TRAINED : N_TRAINED + n_rows], y[N_TRAINED : N_TRAINED + n_rows]
    return threat_model, X, y, find_adversarial(fitted(name), X, y, attack, threat_model=threat_model, random_state=k)


@pytest.mark.parametrize("k", range(len(RUNS)), ids=lambda k: "-".join(map(str, RUNS[k][:4])))
def test_no_row_breaks_a_rule(k):
    threat_model, X, y, result = run_of(k)
    assert violations(threat_model, fitted(RUNS[k][0]), X, y, result) == {}
    assert (result.success & (result.distance > 0)).any()


def test_ten_thousand_rows_were_checked():
    n_found = [int((result.success & (result.distance > 0)).sum()) for *_, result in map(run_of, range(len(RUNS)))]
    assert sum(n_found) >= COUNTED
    changed = [(r.X_adv != X)[r.success].any(axis=0) for _, X, _, r in map(run_of, range(len(RUNS)))]
    # The search did make use of what it was allowed.
    assert set(np.flatnonzero(~np.any(changed, axis=0))) == {IMMUTABLE, 5, CONSTANT}


# ---- brute force where everything is discrete ----

COLUMNS = ["rooms", "floor", "cars", "north", "south", "west"]
DISCRETE = {
    "integer": COLUMNS[:3],
    "one_hot_groups": [COLUMNS[3:]],
    "direction": {"floor": "up"},
    "bounds": ([0, 0, 0, 0, 0, 0], [8, 6, 3, 1, 1, 1]),
}


def houses(n_rows):
    """Return rows of three whole numbers and one of three categories, as a frame, and labels."""
    rng = np.random.default_rng(1)
    whole = rng.integers(0, [9, 7, 4], size=(n_rows, 3)).astype(float)
    X = pd.DataFrame(np.hstack([whole, np.eye(3)[rng.integers(0, 3, n_rows)]]), columns=COLUMNS)
    score = X["rooms"] - X["floor"] + 2 * X["cars"] * X["north"] - 3 * X["west"]
    return X, (score > score.median()).to_numpy()


def can_be_fooled(estimator, X, y, norm, eps, units, immutable):
    """Return, from all rows that there are, whether one within eps is answered wrongly."""
    every = np.array(
        [[*whole, *category] for whole in itertools.product(range(9), range(7), range(4)) for category in np.eye(3)],
        dtype=float,
    )
    answers = estimator.predict(pd.DataFrame(every, columns=COLUMNS))
    rows = X.to_numpy(dtype=float)
    change = np.abs(every - rows[:, np.newaxis]) / units
    size = np.concatenate([change[:, :, :3], change[:, :, 3:].max(axis=2, keepdims=True)], axis=2)
    is_allowed = np.linalg.norm(size, ord=norm, axis=2) <= eps * (1 + 1e-9)
    is_allowed &= every[:, 1] >= rows[:, [1]]
    for column in immutable:
        is_allowed &= every[:, column] == rows[:, [column]]
    return (is_allowed & (answers != np.asarray(y)[:, np.newaxis])).any(axis=1)


@pytest.mark.parametrize(("norm", "eps"), [(np.inf, 1.0), (2, 1.6), (1, 2.2)])
@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(4, random_state=0),
        KNeighborsClassifier(5, algorithm="brute"),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), MLPClassifier((10,), max_iter=600, tol=1e-3, random_state=0)),
    ],
    ids=["tree", "forest", "neighbors", "linear", "network"],
)
def test_worst_case_is_brute_force_where_everything_is_discrete(estimator, norm, eps):
    X, y = houses(210)
    estimator.fit(X[:180], y[:180])
    X, y = X[180:], y[180:]
    units, immutable = np.array([1, 0.8, 1.2, 0.7, 0.7, 0.7]), [] if norm == 1 else [0]
    threat_model = ThreatModel(eps, norm, units=units, immutable=immutable, **DISCRETE)
    result = find_adversarial(estimator, X, y, "worst_case", threat_model=threat_model)
    expected = can_be_fooled(estimator, X, y, norm, eps, units, immutable)
    np.testing.assert_array_equal(result.success, expected)
    assert 0.05 < expected.mean() < 1
    assert ((estimator.predict(result.X_adv) != y) == result.success).all()
    assert (result.X_adv[COLUMNS] % 1 == 0).all(axis=None)
