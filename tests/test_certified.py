"""What is certified is never above what an attack finds, and exact where it is said to be."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from test_black_box import attacked, pursuit_of

from skrobust import ThreatModel
from skrobust.attacks._certified import certified_distance
from skrobust.attacks._minimum import minimum_norm
from skrobust.attacks._search import square
from skrobust.attacks._segment import nearest_other
from skrobust.attacks._trees import decision_tree

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


def fitted(name, estimator, dtype=np.float64):
    X, y = LOADERS[name](return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(X))
    X, y = X[chosen].astype(dtype), y[chosen]
    return estimator.fit(X[60:], y[60:]), X[:60], y[:60]


def bound_of(pursuit):
    return certified_distance(pursuit.original.estimator, pursuit.original.rows, pursuit.budget, pursuit.codes)


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
    ],
    ids=lambda estimator: f"{estimator!r}"[:60],
)
def test_nothing_is_certified_of_what_is_not_known(estimator):
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    clf = estimator.fit(X, y)
    assert bound_of(pursuit_of(clf, X[:5], y[:5], ThreatModel(1.0))) is None


def test_classes_of_one_side_only():
    X = load_wine(return_X_y=True)[0]
    clf = KNeighborsClassifier(1).fit(X, np.zeros(len(X)))
    assert np.isinf(bound_of(pursuit_of(clf, X[:5], np.zeros(5), ThreatModel(1.0)))).all()
