"""Every registered class computes in torch what it computes in scikit-learn, with true gradients: a table."""

import copy
import dataclasses
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, SelectPercentile, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn.svm import SVC, LinearSVC, NuSVC

from skrobust import OffSupportRobustClassifier
from skrobust.torchify import to_torch
from skrobust.torchify._registry import converters
from skrobust.torchify._to_torch import METHODS

N_FEATURES = 4
SCALED = [StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False), RobustScaler()]
SCALED += [RobustScaler(with_centering=False, quantile_range=(5, 95)), RobustScaler(with_scaling=False)]
SCALED += [MinMaxScaler(), MinMaxScaler(feature_range=(-2, 5)), MinMaxScaler(clip=True), MaxAbsScaler()]
SCALED += [MaxAbsScaler(clip=True), Normalizer(), Normalizer("l1"), Normalizer("max")]
PROJECTED = [PCA(), PCA(2, whiten=True), IncrementalPCA(3), TruncatedSVD(2), FactorAnalysis(2, random_state=0)]
PROJECTED += [FastICA(3, random_state=0, whiten="unit-variance"), GaussianRandomProjection(3, random_state=0)]
PROJECTED += [SparseRandomProjection(3, random_state=0), NeighborhoodComponentsAnalysis(2, max_iter=3, random_state=0)]
# As a step that is not the last one, it projects.
PROJECTED += [make_pipeline(LinearDiscriminantAnalysis(), "passthrough")]
PROJECTED += [FeatureUnion([("a", LinearDiscriminantAnalysis(solver="eigen", n_components=1))])]
EXPANDED = [PolynomialFeatures(3), PolynomialFeatures((2, 3), include_bias=False), PolynomialFeatures(0)]
EXPANDED += [PolynomialFeatures(2, interaction_only=True), make_pipeline(StandardScaler(), RBFSampler(random_state=0))]
EXPANDED += [
    make_pipeline(StandardScaler(), Nystroem(kernel, n_components=3, random_state=0))
    for kernel in ("rbf", "linear", "poly", "polynomial", "sigmoid", "cosine", "laplacian")
]
EXPANDED += [make_pipeline(StandardScaler(), Nystroem("poly", gamma=0.5, degree=2, coef0=2, n_components=3))]
EXPANDED += [
    SplineTransformer(n_knots=4, degree=degree, extrapolation=extrapolation, include_bias=degree != 2)
    for degree in (1, 2, 3)
    for extrapolation in ("constant", "continue", "periodic", *(["linear"] if degree > 1 else []))
]
DISTRIBUTED = [PowerTransformer(), PowerTransformer(standardize=False), QuantileTransformer(n_quantiles=20)]
DISTRIBUTED += [QuantileTransformer(n_quantiles=15, output_distribution="normal")]
SELECTED = [SelectKBest(k=2), SelectPercentile(percentile=50), VarianceThreshold()]
SELECTED += [SelectFromModel(RandomForestClassifier(5, random_state=0))]
SELECTED += [make_pipeline(RFE(LogisticRegression()), "passthrough")]
DISCRETE = [Binarizer(threshold=0.3), KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")]
DISCRETE += [KBinsDiscretizer(3, encode=encode, strategy="uniform") for encode in ("onehot", "onehot-dense")]
DISCRETE += [KBinsDiscretizer([2, 3, 4, 5], encode="onehot", strategy="kmeans", random_state=0)]
DISCRETE += [MissingIndicator(features="all")]
JOINED = [
    FunctionTransformer(),
    FunctionTransformer(np.tanh),
    FunctionTransformer(np.abs),
    FunctionTransformer(np.cbrt),
    FunctionTransformer(lambda X: X**2 + 1),
    FunctionTransformer(lambda X, power: X**power, kw_args={"power": 3}),
    make_pipeline(StandardScaler(), "passthrough", PCA(2)),
    FeatureUnion([("a", PCA(2)), ("b", "passthrough"), ("c", "drop")], transformer_weights={"a": 3.0}),
    ColumnTransformer([("a", StandardScaler(), [0, -1]), ("b", "drop", [1]), ("c", PCA(1), [])]),
    ColumnTransformer([("a", StandardScaler(), slice(0, 2))], remainder="passthrough", transformer_weights={"a": 2}),
    ColumnTransformer([("a", "passthrough", np.array([True, False, False, True]))], remainder=MinMaxScaler()),
    ColumnTransformer([("a", PolynomialFeatures(2), lambda X: [1, 3])], sparse_threshold=0),
    FrozenEstimator(StandardScaler()),
]
POSITIVE = [PowerTransformer("box-cox"), PowerTransformer("box-cox", standardize=False)]
POSITIVE += [FunctionTransformer(function) for function in (np.log1p, np.log, np.sqrt, np.log10, np.reciprocal)]
MISSING = [SimpleImputer(), SimpleImputer(strategy="median"), SimpleImputer(strategy="most_frequent")]
MISSING += [SimpleImputer(strategy="constant", fill_value=7), SimpleImputer(add_indicator=True), MissingIndicator()]
MISSING += [SimpleImputer(missing_values=0.0), SimpleImputer(missing_values=0.0, add_indicator=True)]
MISSING += [make_pipeline(SimpleImputer(), StandardScaler()), StandardScaler(), PowerTransformer()]
MISSING += [QuantileTransformer(n_quantiles=10), SplineTransformer(handle_missing="zeros")]
CATEGORIES = [OneHotEncoder(), OneHotEncoder(drop="first"), OneHotEncoder(drop="if_binary", sparse_output=False)]
CATEGORIES += [OneHotEncoder(handle_unknown="ignore"), OneHotEncoder(handle_unknown="ignore", drop="first")]
CATEGORIES += [OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.2), OneHotEncoder(max_categories=2)]
CATEGORIES += [OneHotEncoder(max_categories=2, drop="first", handle_unknown="warn"), OrdinalEncoder()]
CATEGORIES += [OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, max_categories=2)]


@dataclasses.dataclass(frozen=True)
class Case:
    """An estimator, and the data that it is for."""

    estimator: object
    kind: str = "real"
    n_classes: int = 3

    def __str__(self):
        # Processes that share the tests must call them the same: no addresses in memory.
        estimator = re.sub(r" at 0x\w+|\s", "", repr(self.estimator))
        return f"{self.kind}-{self.n_classes}-{estimator}"[:90]


TRANSFORMERS = [
    *(Case(one) for one in SCALED + PROJECTED + EXPANDED + DISTRIBUTED + SELECTED + DISCRETE + JOINED),
    *(Case(one, "positive") for one in POSITIVE),
    *(Case(one, "missing") for one in MISSING),
    *(Case(one, "categories") for one in CATEGORIES),
]


def mlp(**params):
    return MLPClassifier(**{"hidden_layer_sizes": (5,), "max_iter": 30, "random_state": 0, **params})


def scaled(estimator):
    return make_pipeline(StandardScaler(), estimator)


LINEAR = [LogisticRegression(C=0.1), LogisticRegressionCV(Cs=2, cv=2, use_legacy_attributes=False), LinearSVC()]
LINEAR += [
    LinearSVC(random_state=0),
    RidgeClassifier(),
    RidgeClassifierCV(),
    Perceptron(),
    SGDClassifier(random_state=0),
]
LINEAR += [SGDClassifier(loss=loss, random_state=0) for loss in ("log_loss", "modified_huber")]
LINEAR += [LinearDiscriminantAnalysis(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")]
DENSITIES = [GaussianNB(), QuadraticDiscriminantAnalysis(), BernoulliNB(), BernoulliNB(binarize=0.5)]
MACHINES = [SVC(kernel=kernel) for kernel in ("rbf", "poly", "linear", "sigmoid")] + [NuSVC(nu=0.2), SVC(gamma=0.3)]
MACHINES += [SVC(decision_function_shape="ovo"), SVC(break_ties=True), SVC(kernel="poly", degree=2, coef0=1.0)]
NETS = [mlp(), mlp(activation="tanh"), mlp(activation="logistic"), mlp(activation="identity")]
NETS += [OffSupportRobustClassifier(hidden_layer_sizes=(5,), max_epochs=2, random_state=0)]
PAIR = [("lr", LogisticRegression()), ("svc", SVC()), ("nb", GaussianNB())]
ENSEMBLES = [
    VotingClassifier([*PAIR[::2], ("mlp", "drop")], voting="soft", weights=[2, 1, 5]),
    VotingClassifier([("sgd", SGDClassifier(loss="log_loss", random_state=0)), PAIR[2]], voting="soft"),
    VotingClassifier([("sgd", SGDClassifier(loss="modified_huber", random_state=0)), PAIR[2]], voting="soft"),
    StackingClassifier(PAIR, cv=2),
    StackingClassifier([*PAIR, ("no", "drop")], SVC(), cv=2, passthrough=True),
    StackingClassifier(PAIR[:2], GaussianNB(), cv=2, stack_method="decision_function"),
    StackingClassifier(PAIR, LogisticRegression(), cv=2, stack_method="predict"),
    BaggingClassifier(LogisticRegression(), 4, max_features=0.5, bootstrap_features=True, random_state=0),
    BaggingClassifier(mlp(), 2, max_samples=0.2, random_state=0),
    *(
        CalibratedClassifierCV(estimator, method=method, ensemble=ensemble, cv=2)
        for method in ("sigmoid", "isotonic", "temperature")
        for ensemble in (True, False)
        for estimator in (LinearSVC(), GaussianNB())
    ),
    CalibratedClassifierCV(BaggingClassifier(SVC(), 2, random_state=0), cv=2),
]
MULTICLASS = [OneVsRestClassifier(one) for one in (LogisticRegression(), SVC(), GaussianNB())]
MULTICLASS += [OneVsOneClassifier(one) for one in (LinearSVC(), SVC(), GaussianNB())]
SEARCHES = [
    GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
    RandomizedSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [1, 3]}, n_iter=1, cv=2, random_state=0),
    HalvingGridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-8]}, cv=2, random_state=0),
    RFE(LogisticRegression()),
    RFE(SGDClassifier(loss="log_loss", random_state=0)),
]
THRESHOLDS = [
    FixedThresholdClassifier(LogisticRegression(), threshold=0.8),
    FixedThresholdClassifier(LogisticRegression(), threshold=0.8, pos_label=0),
    FixedThresholdClassifier(SVC(), threshold=0.5, response_method="decision_function", pos_label=0),
    FixedThresholdClassifier(SVC()),
    FixedThresholdClassifier(GaussianNB(), threshold=0.0),
    FixedThresholdClassifier(GaussianNB(), threshold=1.5),
    TunedThresholdClassifierCV(GaussianNB(), cv=2, random_state=0),
    TunedThresholdClassifierCV(LinearSVC(), cv=2, random_state=0),
]
COUNTED = [MultinomialNB(), ComplementNB(), BernoulliNB(binarize=2.5)]
CLASSIFIERS = [
    *(
        Case(scaled(one), n_classes=n_classes)
        for one in LINEAR + DENSITIES + MACHINES + NETS + ENSEMBLES + MULTICLASS + SEARCHES
        for n_classes in (2, 3)
    ),
    *(Case(scaled(one), n_classes=2) for one in THRESHOLDS),
    *(Case(one, "counts", n_classes) for one in COUNTED for n_classes in (2, 3)),
    *(Case(BernoulliNB(binarize=None), "binary", n_classes) for n_classes in (2, 3)),
    *(Case(FrozenEstimator(LogisticRegression()), n_classes=n_classes) for n_classes in (2, 3)),
]
CASES = TRANSFORMERS + CLASSIFIERS


def make_data(case, seed, scale=1.0, shift=0.0, n=40):
    """Return rows of the kind of a case, and classes that they tell about."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % case.n_classes)
    Z = rng.normal(size=(n, N_FEATURES)) + np.eye(3, N_FEATURES)[y] * 2
    make = {
        "real": lambda: (Z + shift) * [scale, 1.0, scale, 1 / scale],
        "positive": lambda: np.exp(Z / 2) * scale,
        "missing": lambda: np.where(rng.uniform(size=Z.shape) < 0.2, np.nan, (Z + shift) * scale),
        "categories": lambda: np.rint(Z.clip(-2, 2)) * scale,
        "binary": lambda: (Z > 0).astype(float),
        "counts": lambda: np.rint(np.exp(Z / 2)),
    }
    X = make[case.kind]()
    if getattr(case.estimator, "missing_values", np.nan) == 0:
        X = np.nan_to_num(X)
    return X, y


def fit(estimator, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frozen = isinstance(estimator, FrozenEstimator)
        return FrozenEstimator(estimator.estimator.fit(X, y)) if frozen else copy.deepcopy(estimator).fit(X, y)


def outputs_of(module, X):
    with torch.no_grad():
        return module(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize("case", TRANSFORMERS, ids=str)
@settings(max_examples=4, phases=[Phase.generate])
@given(scale=st.floats(1e-3, 1e4), shift=st.floats(-10, 10), seed=st.integers(0, 99))
def test_transformers_give_the_same_values(case, scale, shift, seed):
    X, y = make_data(case, seed, scale, shift)
    fitted = fit(case.estimator, X, y)
    module = to_torch(fitted, X)
    expected = fitted.transform(X)
    expected = np.asarray(expected.toarray() if hasattr(expected, "toarray") else expected, dtype=np.float64)
    size = np.abs(np.nan_to_num(expected)).max(axis=0, initial=0)
    difference = np.abs(np.nan_to_num(outputs_of(module, X)) - np.nan_to_num(expected))
    assert (np.isnan(expected) == np.isnan(outputs_of(module, X))).all()
    assert (difference <= 1e-10 * np.maximum(size, 1e-3 * size.max(initial=0))).all()


@pytest.mark.parametrize("case", CLASSIFIERS, ids=str)
@settings(max_examples=2, phases=[Phase.generate])
@given(scale=st.floats(1e-3, 1e4), shift=st.floats(-10, 10), seed=st.integers(0, 99))
def test_classifiers_give_the_same_scores(case, scale, shift, seed):
    X, y = make_data(case, seed, scale, shift)
    fitted = fit(case.estimator, X, y)
    logits = outputs_of(to_torch(fitted, X), X)
    assert logits.shape == (len(X), case.n_classes)
    answers, expected = logits.argmax(axis=1), fitted.predict(X)
    assert (answers != expected).sum() <= (1 if case.n_classes > 2 else 0)
    for name, convert_method in METHODS.items():
        if hasattr(fitted, name):
            expected = getattr(fitted, name)(X).reshape(len(X), -1)
            found = outputs_of(convert_method(fitted), X)
            assert np.abs(found - expected).max() <= 1e-10 * np.abs(expected).max()


def finite_differences(module, X):
    """Return the Jacobian of a module by differences of fourth order, of shape (n_outputs, n, n_features)."""
    jacobian = []
    for feature in range(X.shape[1]):
        step = np.zeros(X.shape[1])
        step[feature] = 1e-5 * max(1e-3, np.abs(X[:, feature]).max())
        near, far = (outputs_of(module, X + h) - outputs_of(module, X - h) for h in (step, 2 * step))
        jacobian.append((8 * near - far).T / (12 * step[feature]))
    return np.stack(jacobian, axis=2)


def gradients(module, X):
    """Return the same from the backward pass."""
    return torch.autograd.functional.jacobian(lambda rows: module(rows).sum(dim=0), torch.from_numpy(X)).numpy()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_those_of_finite_differences(case):
    X, y = make_data(case, seed=0)
    module = to_torch(fit(case.estimator, X, y))
    # Not where the data lie: quantiles, thresholds and the ends of ranges are kinks.
    rows = np.random.default_rng(1).dirichlet(np.ones(len(X)) / 2, size=8) @ np.nan_to_num(X, nan=0.5)
    expected, found = finite_differences(module, rows), gradients(module, rows)
    assert np.abs(expected - found).max(initial=0) <= 1e-6 * max(1.0, np.abs(expected).max(initial=0))


def estimators_in(estimator):
    yield estimator
    for value in estimator.get_params(deep=True).values():
        if hasattr(value, "fit"):
            yield value


def test_every_registered_class_has_a_case():
    classes = [cls for cls, converter in converters.registry.items() if converter.__module__.startswith("skrobust.")]
    used = {type(one) for case in CASES for one in estimators_in(case.estimator)}
    missing = [cls for cls in classes if not any(issubclass(one, cls) for one in used)]
    # A net of skorch has tests of its own; object is where a class without a converter ends up.
    assert {cls.__name__ for cls in missing} <= {"object", "NeuralNetClassifier", "NeuralNetBinaryClassifier"}
