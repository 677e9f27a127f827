"""What is certified is never above what an attack finds, and exact where it is said to be."""

import numpy as np
import pandas as pd
import pytest
from fuzz_strategies import examples
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from test_black_box import attacked, pursuit_of

from skrobust import ThreatModel
from skrobust.attacks import _leaves
from skrobust.attacks._certified import certified_distance
from skrobust.attacks._minimum import minimum_norm
from skrobust.attacks._search import square
from skrobust.attacks._segment import nearest_other
from skrobust.attacks._trees import decision_tree, is_single_tree

NORMS = [np.inf, 2, 1]
LOADERS = {"cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits}
LINEAR = [
    ("wine", make_pipeline(StandardScaler(), LogisticRegression())),
    ("wine", make_pipeline(MinMaxScaler((-1, 1)), LinearSVC())),
    ("wine", make_pipeline(RobustScaler(), LinearDiscriminantAnalysis())),
    ("wine", LinearDiscriminantAnalysis()),
    ("digits", RidgeClassifier()),
    ("digits", Perceptron()),
    ("cancer", make_pipeline(StandardScaler(), SGDClassifier(random_state=0))),
    ("cancer", make_pipeline(StandardScaler(), SVC(kernel="linear"))),
    ("cancer", GridSearchCV(make_pipeline(StandardScaler(), RidgeClassifier()), {"ridgeclassifier__alpha": [1, 10]})),
]
OTHERS = [
    ("wine", DecisionTreeClassifier(random_state=0)),
    ("digits", make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=7, random_state=0))),
    ("digits", KNeighborsClassifier(1)),
    ("wine", make_pipeline(StandardScaler(), KNeighborsClassifier(1))),
    ("cancer", make_pipeline(MinMaxScaler(), KNeighborsClassifier(1))),
]
IDS = [f"{name}-{estimator!r}"[:70].replace("\n", "") for name, estimator in LINEAR + OTHERS]


STEPS = [
    StandardScaler(),
    MinMaxScaler((-1, 3), clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    SimpleImputer(),
    SelectKBest(k=4),
    make_pipeline(StandardScaler(with_std=False), MinMaxScaler()),
]
CLASSIFIERS = [
    DecisionTreeClassifier(max_depth=5, random_state=0),
    RidgeClassifier(),
    SVC(kernel="linear"),
    KNeighborsClassifier(1),
]
NUMBERS, CATEGORIES = list("abc"), list("xyz")


class CautiousTree(DecisionTreeClassifier):
    def predict(self, X):
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.2).astype(int)]


class CautiousLine(LogisticRegression):
    def decision_function(self, X):
        return super().decision_function(X) + 1


class CautiousNeighbor(KNeighborsClassifier):
    def predict(self, X):
        return super().predict(np.abs(X))


class CautiousPipeline(Pipeline):
    def predict(self, X):
        return super().predict(np.abs(X))


class CautiousSearch(GridSearchCV):
    def predict(self, X):
        return super().predict(np.abs(X))


class LogScaler(StandardScaler):
    def transform(self, X, copy=None):
        return super().transform(np.log1p(np.abs(X)))


class NamedTree(DecisionTreeClassifier):
    """Answers as a tree does."""

    def fit(self, X, y):
        return super().fit(X, y)


def fitted(name, estimator, dtype=np.float64):
    X, y = LOADERS[name](return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(X))
    X, y = X[chosen].astype(dtype), y[chosen]
    return estimator.fit(X[60:], y[60:]), X[:60], y[:60]


def bound_of(pursuit):
    original = pursuit.original
    return certified_distance(original.estimator, original.rows, pursuit.budget, pursuit.codes, original.columns)


def mixed(n, rng, dtype=np.float64):
    """Return rows of numbers, of which one is whole, and a category, as a frame, and labels that depend on all."""
    numbers = rng.normal(size=(n, 3)) * [0.1, 1, 20] + [0, 30, 0]
    numbers[:, 2] = np.rint(numbers[:, 2] / 10)
    X = np.hstack([numbers, np.eye(3)[rng.integers(3, size=n)]]).astype(dtype)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (Z @ rng.normal(size=6) + Z[:, 0] * Z[:, 3] > 0).astype(int)
    return pd.DataFrame(X, columns=NUMBERS + CATEGORIES), y


def attack_hard(pursuit, *, has_leaves=False):
    attacked(nearest_other, pursuit, n_neighbors=10)
    if has_leaves:
        attacked(decision_tree, pursuit, np.inf)
    if pursuit.surface is not None:
        attacked(minimum_norm, pursuit, np.inf)
    attacked(square, pursuit, np.inf, max_queries=240)
    return pursuit.distance


@pytest.mark.parametrize(("norm", "dtype"), [(np.inf, np.float64), (2, np.float32), (1, np.float64)])
@pytest.mark.parametrize(("name", "estimator"), LINEAR + OTHERS, ids=IDS)
def test_certified_is_never_above_attacked(name, estimator, norm, dtype):
    clf, X, y = fitted(name, estimator, dtype)
    units = np.maximum(X.std(axis=0), 1e-3)
    is_linear = any(estimator is each for _, each in LINEAR) and not hasattr(clf, "best_estimator_")
    pursuit = pursuit_of(clf, X, y, ThreatModel(norm=norm, units=units), has_gradient=is_linear)
    is_right = pursuit.distance > 0
    bound, distance = bound_of(pursuit), attack_hard(pursuit, has_leaves=True)
    assert is_right.sum() > 30
    assert (bound[is_right] <= distance[is_right]).all()
    assert np.median(bound[is_right]) > 0


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("name", "estimator"), LINEAR[:2] + LINEAR[4:8], ids=IDS[:2] + IDS[4:8])
def test_linear_classifiers_are_certified_exactly(name, estimator, norm):
    clf, X, y = fitted(name, estimator)
    units = np.maximum(X.std(axis=0), 1e-3)
    pursuit = pursuit_of(clf, X, y, ThreatModel(norm=norm, units=units), has_gradient=True)
    is_right = pursuit.distance > 0
    bound, distance = bound_of(pursuit), attacked(minimum_norm, pursuit, np.inf).distance
    # Where the classifier is linear FAB goes to the nearest hyperplane; the rounding of float64 is all that is left.
    np.testing.assert_allclose(distance[is_right], bound[is_right], rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_trees_are_certified_exactly(norm):
    clf, X, y = fitted("digits", DecisionTreeClassifier(max_depth=8, random_state=0))
    pursuit = pursuit_of(clf, X, y, ThreatModel(norm=norm, bounds=(0, 16)))
    is_right = pursuit.distance > 0
    bound, distance = bound_of(pursuit), attacked(decision_tree, pursuit, np.inf).distance
    np.testing.assert_allclose(distance[is_right], bound[is_right], rtol=3e-6)


def test_the_nearest_neighbor_of_two_rows_is_certified_exactly():
    X, y = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([0, 1])
    clf = KNeighborsClassifier(1).fit(X, y)
    np.testing.assert_allclose(bound_of(pursuit_of(clf, X, y, ThreatModel(norm=2))), 1, rtol=1e-5)
    one_sided = pursuit_of(clf, X, y, ThreatModel(norm=2, units=[0, 1]))
    assert np.isinf(bound_of(one_sided)).all()


@pytest.mark.parametrize("norm", NORMS)
def test_a_change_of_category_counts_once(norm):
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(200, 2)), np.eye(3)[rng.integers(3, size=200)]])
    y = (X[:, 0] + X[:, 2] - X[:, 4] > 0).astype(int)
    threat_model = ThreatModel(norm=norm, one_hot_groups=[[2, 3, 4]])
    for estimator in (LogisticRegression(C=100), KNeighborsClassifier(1), DecisionTreeClassifier(max_depth=4)):
        clf = estimator.fit(X[50:], y[50:])
        pursuit = pursuit_of(clf, X[:50], y[:50], threat_model)
        is_right = pursuit.distance > 0
        bound, distance = bound_of(pursuit), attack_hard(pursuit, has_leaves=True)
        assert (bound[is_right] <= distance[is_right]).all()


def test_bounds_and_immutables_leave_less_to_certify():
    clf, X, y = fitted("wine", make_pipeline(StandardScaler(), LogisticRegression()))
    free, held = (
        bound_of(pursuit_of(clf, X, y, ThreatModel(norm=2, units=units)))
        for units in (np.ones(13), 1.0 * (np.arange(13) != 6))
    )
    assert (held >= free).all()
    assert (held > free).any()


def test_a_row_that_is_answered_wrongly_is_certified_nowhere():
    clf, X, y = fitted("wine", make_pipeline(StandardScaler(), LogisticRegression()))
    pursuit = pursuit_of(clf, X, y, ThreatModel(norm=2))
    others = (pursuit.codes + 1) % 3
    assert (certified_distance(clf, X, pursuit.budget, others) == 0).all()


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier((5,), max_iter=2000),
        KNeighborsClassifier(3),
        KNeighborsClassifier(1, metric="manhattan"),
        SVC(),
        SVC(kernel="linear"),
        make_pipeline(PolynomialFeatures(), LogisticRegression(max_iter=10000)),
        make_pipeline(MinMaxScaler(clip=True), LogisticRegression()),
        CalibratedClassifierCV(LogisticRegression()),
        KNeighborsClassifier(1, weights=np.ones_like),
        make_pipeline(SimpleImputer(missing_values=0), LogisticRegression()),
        make_pipeline(SimpleImputer(missing_values=-1), DecisionTreeClassifier()),
        make_pipeline(LogScaler(), LogisticRegression()),
        make_pipeline(ColumnTransformer([("log", LogScaler(), [0, 1])]), DecisionTreeClassifier()),
        CautiousTree(max_depth=3),
        CautiousLine(),
        CautiousNeighbor(1),
        CautiousPipeline([("tree", DecisionTreeClassifier())]),
        CautiousSearch(DecisionTreeClassifier(), {"max_depth": [2, 3]}),
    ],
    ids=lambda estimator: f"{estimator!r}"[:60],
)
def test_nothing_is_certified_of_what_is_not_known(estimator):
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    clf = estimator.fit(X, y)
    assert bound_of(pursuit_of(clf, X[:5], y[:5], ThreatModel(1.0))) is None
    assert not is_single_tree(clf)


def test_a_method_set_on_the_instance_is_not_certified():
    X, y = load_wine(return_X_y=True)
    clf = DecisionTreeClassifier().fit(X, y)
    answer = clf.predict
    clf.predict = lambda X: answer(np.abs(X))
    assert bound_of(pursuit_of(clf, X[:5], y[:5], ThreatModel(1.0))) is None


def test_a_subclass_that_answers_alike_is_certified():
    X, y = load_wine(return_X_y=True)
    bounds = [
        bound_of(pursuit_of(clf.fit(X, y), X[:5], y[:5], ThreatModel(1.0)))
        for clf in (NamedTree(random_state=0), DecisionTreeClassifier(random_state=0))
    ]
    np.testing.assert_array_equal(*bounds)


@pytest.mark.parametrize("first", ["passthrough", FunctionTransformer(), make_pipeline("passthrough")])
@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=lambda clf: type(clf).__name__)
def test_columns_in_another_order_change_nothing(classifier, first):
    X, y = mixed(120, np.random.default_rng(0))
    parts = [("one", StandardScaler(), ["b", "a"]), ("two", "passthrough", ["x", "c"]), ("no", "drop", ["z"])]
    clf = make_pipeline(first, ColumnTransformer(parts), classifier).fit(X[:80], y[:80])
    rows, labels = X[80:], clf.predict(X[80:])
    bound, *others = (
        bound_of(pursuit_of(clf, seen, labels, ThreatModel(norm=2)))
        for seen in (rows, rows[list("zyxcba")], rows.assign(extra=1.0)[["extra", *"bacyzx"]])
    )
    assert (bound > 0).any()
    for other in others:
        np.testing.assert_allclose(other, bound, rtol=1e-9)


def test_weights_of_a_column_transformer_count():
    X, y = load_wine(return_X_y=True)
    for weight in (0.01, 7.0):
        front = ColumnTransformer([("a", StandardScaler(), [0, 1, 2]), ("b", RobustScaler(), [6, 9])])
        front.set_params(transformer_weights={"a": weight})
        clf = make_pipeline(front, LogisticRegression(C=1e3, max_iter=10000)).fit(X, y)
        pursuit = pursuit_of(clf, X[::3], y[::3], ThreatModel(norm=2), has_gradient=True)
        is_right = pursuit.distance > 0
        bound, distance = bound_of(pursuit), attacked(minimum_norm, pursuit, np.inf).distance
        np.testing.assert_allclose(distance[is_right], bound[is_right], rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_weights_that_turn_features_around_are_not_certified(weight):
    X, y = load_wine(return_X_y=True)
    front = ColumnTransformer([("a", StandardScaler(), [0, 1, 2])], transformer_weights={"a": weight})
    clf = make_pipeline(front, LogisticRegression()).fit(X, y)
    assert bound_of(pursuit_of(clf, X[:5], y[:5], ThreatModel(1.0))) is None


def test_what_was_learned_in_float32_is_certified_for_float64():
    X = 1e4 + np.random.default_rng(0).normal(size=(200, 1))
    y = (X[:, 0] > 1e4).astype(int)
    clf = make_pipeline(MaxAbsScaler(), DecisionTreeClassifier()).fit(X.astype(np.float32), y)
    pursuit = pursuit_of(clf, X, clf.predict(X), ThreatModel())
    bound, distance = bound_of(pursuit), attacked(decision_tree, pursuit, np.inf).distance
    for side in (-1, 1):
        np.testing.assert_array_equal(clf.predict(X + side * bound[:, np.newaxis]), pursuit.original.answers)
    np.testing.assert_allclose(distance, bound, rtol=3e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classifier", CLASSIFIERS[:2], ids=lambda clf: type(clf).__name__)
def test_rounding_on_the_way_is_allowed_for(classifier, dtype):
    X = np.random.default_rng(0).random((300, 1)).astype(dtype)
    there, back = MinMaxScaler((5000, 5001)), MinMaxScaler()
    clf = make_pipeline(there, back, classifier).fit(X[:200], X[:200, 0] > 0.5)
    bound = bound_of(pursuit_of(clf, X, clf.predict(X), ThreatModel()))[:, np.newaxis]
    for side in (-1, 1):
        np.testing.assert_array_equal(clf.predict((X + side * bound).astype(dtype)), clf.predict(X))


def test_many_leaves_and_rows_are_taken_in_parts(monkeypatch):
    clf, X, y = fitted("digits", DecisionTreeClassifier(random_state=0))
    pursuit = pursuit_of(clf, X, y, ThreatModel())
    bound = bound_of(pursuit)
    monkeypatch.setattr(_leaves, "CHUNK_NUMBERS", 50_000)
    np.testing.assert_array_equal(bound_of(pursuit), bound)


def random_pipeline(rng, steps, classifier, X, y, *, picks):
    if picks:
        picked = rng.permutation(X.columns)
        parts = [("one", StandardScaler(), picked[:2]), ("two", MinMaxScaler(clip=bool(rng.integers(2))), picked[2:4])]
        weights = {"one": rng.choice([0.1, 5])}
        steps = [ColumnTransformer(parts, remainder="passthrough", transformer_weights=weights), *steps]
    return clone(make_pipeline(*steps, classifier)).fit(X, y)


def random_threat_model(rng, norm, columns):
    kinds = {
        "one_hot_groups": [[columns.index(name) for name in CATEGORIES]],
        "immutable": [int(rng.integers(len(columns)))],
        "direction": {int(rng.integers(len(columns))): str(rng.choice(["up", "down"]))},
        "integer": [columns.index("c")],
        "bounds": (-100, 100),
    }
    return ThreatModel(norm=norm, **{key: value for key, value in kinds.items() if rng.random() < 0.5})


def within(pursuit, row, radius, rng, n=60):
    """Return random counterparts of a row within a radius, most of them as far as they may be."""
    budget = pursuit.budget.take(np.full(n, row)).at(radius)
    change = rng.normal(size=budget.rows.shape) * (rng.random(budget.rows.shape) < rng.choice([0.2, 1], (n, 1)))
    change = np.where(rng.random((n, 1)) < 0.5, np.sign(change), 2 * change) * radius
    for group in budget.groups:
        change[:, group] = rng.normal(size=(n, len(group))) * 5
    candidates = budget.project(budget.rows + change)
    return candidates[budget.allows(candidates) & (budget.distance(candidates) <= radius)]


@examples(40)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.lists(st.sampled_from(STEPS), max_size=2),
    classifier=st.sampled_from(CLASSIFIERS),
    norm=st.sampled_from(NORMS),
    dtype=st.sampled_from([np.float32, np.float64]),
    picks=st.booleans(),
    has_third=st.booleans(),
)
def test_within_the_certified_distance_every_answer_is_the_same(seed, steps, classifier, norm, dtype, picks, has_third):
    rng = np.random.default_rng(seed)
    X, y = mixed(80, rng, dtype)
    y = y + (X["b"] > 31) if has_third else y
    clf = random_pipeline(rng, steps, classifier, X if picks else X.to_numpy(), y, picks=picks)
    columns = [str(name) for name in rng.permutation([*X.columns, "extra"])] if picks else list(X.columns)
    rows = X[:8].assign(extra=0.5)[columns] if picks else X[:8].to_numpy()
    pursuit = pursuit_of(clf, rows, clf.predict(rows), random_threat_model(rng, norm, columns))
    bound = bound_of(pursuit)
    if bound is None:
        return
    for row in np.flatnonzero(bound > 0):
        candidates = within(pursuit, row, min(bound[row], 100.0), rng)
        assert (pursuit.original.ask(candidates) == pursuit.original.answers[row]).all()
    assert (attacked(nearest_other, pursuit).distance >= bound).all()
    if is_single_tree(clf):
        assert (np.isinf(attacked(decision_tree, pursuit, np.inf).distance) == np.isinf(bound)).all()


def test_classes_of_one_side_only():
    X = load_wine(return_X_y=True)[0]
    clf = KNeighborsClassifier(1).fit(X, np.zeros(len(X)))
    assert np.isinf(bound_of(pursuit_of(clf, X[:5], np.zeros(5), ThreatModel(1.0)))).all()
