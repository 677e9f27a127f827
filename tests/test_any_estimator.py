"""Robustness of any classifier or Pipeline: how it was attacked, and scores that an independent attack confirms."""

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetClassifier

from skrobust import OffSupportRobustClassifier, ThreatModel
from skrobust.attacks import find_adversarial
from skrobust.attacks._assess import assess
from skrobust.attacks._plan import check_attack, plan_for
from skrobust.metrics import (
    boundary_distance,
    local_lipschitz,
    make_robustness_scorer,
    make_robustness_scorers,
    off_support_confidence,
    robust_accuracy_score,
)
from skrobust.torchify import decode_frame, encode_frame, to_torch

# Rows that are attacked, and random points from which gradients are followed.
N_TEST = 40
N_STARTS = 5


@dataclasses.dataclass(frozen=True)
class Data:
    """Rows to train on and to attack, and how."""

    X: object
    y: np.ndarray
    X_test: object
    y_test: np.ndarray
    threat_model: ThreatModel
    radii: tuple


def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600], y[:600], X[600 : 600 + N_TEST], y[600 : 600 + N_TEST], ThreatModel(bounds=(0, 16)), (0.5, 2.0)


def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:, :12], np.array(["malignant", "benign"])[y]
    threat_model = ThreatModel(units="std", bounds="learn").resolve(X)
    return X[N_TEST:], y[N_TEST:], X[:N_TEST], y[:N_TEST], threat_model, (0.15, 0.6)


def wine():
    X, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    return X[N_TEST:], y[N_TEST:], X[:N_TEST], y[:N_TEST], ThreatModel(units="std").resolve(X[N_TEST:]), (0.2, 0.7)


def mixed():
    """Return a frame of numbers, whole numbers, text, categories and booleans."""
    rng = np.random.default_rng(0)
    n = 400
    X = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "color": rng.choice(["red", "green", "blue"], n),
            "income": rng.lognormal(7, 0.6, n),
            "visits": rng.poisson(6, n),
            "region": pd.Categorical(rng.choice(["north", "south"], n)),
            "member": rng.random(n) < 0.4,
        }
    )
    score = (X["age"] - 40) / 10 + (np.log(X["income"]) - 7) / 0.6 + (X["visits"] - 6) / 3
    score += (X["color"] == "red") + 1.0 * X["member"] - 1.0 * (X["region"] == "south")
    y = np.array(["low", "mid", "high"])[np.digitize(score, np.quantile(score, [0.3, 0.7]))]
    threat_model = ThreatModel(units="std", bounds="learn", integer=["visits"], direction={"age": "up"}).resolve(X)
    return X[N_TEST:], y[N_TEST:], X[:N_TEST], y[:N_TEST], threat_model, (0.1, 0.4)


@functools.cache
def data_of(load):
    return Data(*load())


class Nearest:
    """Nothing but a predict method: the class whose mean is nearest."""

    def __init__(self, X, y):
        self.known = np.unique(y)
        self.scale = X.std(axis=0)
        self.means = np.stack([X[y == label].mean(axis=0) for label in self.known])

    def predict(self, X):
        distance = ((X[:, np.newaxis] - self.means) / self.scale) ** 2
        return self.known[distance.sum(axis=2).argmin(axis=1)]


class NearestFactory(BaseEstimator):
    def fit(self, X, y):
        return Nearest(X, y)


class Float32Net(NeuralNetClassifier):
    """A net of skorch that takes rows and labels of any type."""

    def fit(self, X, y):
        return super().fit(X.astype(np.float32), y.astype(np.int64))

    def infer(self, x, **params):
        return super().infer(x.float(), **params)


def ranks(X):
    """Return each row with the sorted values beside it: a function that torch does not know."""
    return np.hstack([X, np.sort(X, axis=1)])


def logarithms(X):
    return X.log1p() if isinstance(X, torch.Tensor) else np.log1p(X)


def net():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 30), torch.nn.ReLU(), torch.nn.Linear(30, 10))
    return Float32Net(
        module, criterion=torch.nn.CrossEntropyLoss, max_epochs=15, lr=0.01, train_split=None, verbose=0
    ).set_params(optimizer=torch.optim.Adam)


def linear():
    return LogisticRegression(max_iter=2000)


def scaled(*steps):
    return make_pipeline(StandardScaler(), *steps)


def columns(**params):
    """Return what makes numbers of the columns of the frame."""
    return make_column_transformer(
        (StandardScaler(), ["age", "income", "visits"]),
        (OneHotEncoder(handle_unknown="ignore"), ["color", "region"]),
        remainder="passthrough",
        **params,
    )


def nested_columns():
    numbers = ColumnTransformer(
        [("log", FunctionTransformer(np.log1p), ["income"]), ("power", PowerTransformer(), ["age"])],
        remainder=MinMaxScaler(),
    )
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(drop="if_binary"))
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include=np.number)),
            ("words", words, ["color", "region"]),
            ("flag", OrdinalEncoder(), ["member"]),
        ]
    )


def mlp(size=30, **params):
    return MLPClassifier((size,), max_iter=400, tol=1e-3, random_state=0, **params)


def forest(n=5):
    return RandomForestClassifier(n, max_depth=8, random_state=0)


WHITE, BRIDGE, BLACK = "white-box", "bridge", "black-box"
CASES = {
    # digits
    "LogisticRegression": (digits, linear(), WHITE),
    "LinearSVC": (digits, scaled(LinearSVC()), WHITE),
    "SVC rbf": (digits, SVC(), WHITE),
    "SVC poly": (digits, make_pipeline(MinMaxScaler(), SVC(kernel="poly")), WHITE),
    "LDA": (digits, LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1), WHITE),
    "MLPClassifier": (digits, make_pipeline(MinMaxScaler(), mlp()), WHITE),
    "Bagging": (digits, BaggingClassifier(linear(), 4, max_features=0.7, random_state=0), WHITE),
    "GridSearchCV": (digits, GridSearchCV(scaled(linear()), {"logisticregression__C": [0.1, 1]}, cv=2), WHITE),
    "skorch": (digits, make_pipeline(MinMaxScaler(), net()), WHITE),
    "OffSupport": (digits, OffSupportRobustClassifier(max_epochs=5, random_state=0), WHITE),
    "PCA": (digits, make_pipeline(PCA(20, whiten=True, random_state=0), mlp()), WHITE),
    "Nystroem": (digits, make_pipeline(MinMaxScaler(), Nystroem(n_components=60, random_state=0), linear()), WHITE),
    "RandomForest": (digits, forest(), BLACK),
    "ExtraTrees": (digits, ExtraTreesClassifier(5, max_depth=8, random_state=0), BLACK),
    "KNN": (digits, KNeighborsClassifier(3, algorithm="brute"), BLACK),
    # breast cancer, two classes called by words
    "RidgeClassifier": (cancer, scaled(RidgeClassifier()), WHITE),
    "SGDClassifier": (cancer, scaled(SGDClassifier(random_state=0)), WHITE),
    "Perceptron": (cancer, scaled(Perceptron(random_state=0)), WHITE),
    "SVC linear": (cancer, scaled(SVC(kernel="linear")), WHITE),
    "NuSVC": (cancer, scaled(NuSVC(nu=0.2)), WHITE),
    "GaussianNB": (cancer, GaussianNB(), WHITE),
    "QDA": (cancer, scaled(QuadraticDiscriminantAnalysis(reg_param=0.1)), WHITE),
    "CalibratedClassifierCV": (cancer, scaled(CalibratedClassifierCV(LinearSVC(), cv=3)), WHITE),
    "Voting soft": (cancer, VotingClassifier([("a", scaled(linear())), ("b", GaussianNB())], voting="soft"), WHITE),
    "OffSupport Pipeline": (cancer, scaled(OffSupportRobustClassifier(max_epochs=5, random_state=0)), WHITE),
    "PolynomialFeatures": (cancer, scaled(PolynomialFeatures(2), linear()), WHITE),
    "Quantile": (cancer, make_pipeline(QuantileTransformer(n_quantiles=50, random_state=0), linear()), WHITE),
    "Voting hard": (
        cancer,
        VotingClassifier([("a", scaled(linear())), ("b", GaussianNB()), ("c", scaled(linear()))]),
        BLACK,
    ),
    "DecisionTree": (cancer, DecisionTreeClassifier(max_depth=5, random_state=0), BLACK),
    "HistGradientBoosting": (cancer, HistGradientBoostingClassifier(max_iter=15, random_state=0), BLACK),
    "GradientBoosting": (cancer, GradientBoostingClassifier(n_estimators=15, random_state=0), BLACK),
    "AdaBoost": (cancer, AdaBoostClassifier(n_estimators=4, random_state=0), BLACK),
    # wine
    "Stacking": (wine, scaled(StackingClassifier([("a", linear()), ("b", SVC())], linear(), cv=3)), WHITE),
    "OneVsRest": (wine, scaled(OneVsRestClassifier(SVC())), WHITE),
    "convertible function": (wine, make_pipeline(FunctionTransformer(np.log1p), RobustScaler(), linear()), WHITE),
    "function for both": (wine, make_pipeline(FunctionTransformer(logarithms), StandardScaler(), mlp()), WHITE),
    "FeatureUnion": (wine, scaled(make_union(PCA(3), SelectKBest(k=5), "passthrough"), linear()), WHITE),
    "bridged function": (wine, scaled(FunctionTransformer(ranks), linear()), BRIDGE),
    "KBins": (wine, make_pipeline(KBinsDiscretizer(6, quantile_method="averaged_inverted_cdf"), linear()), BLACK),
    "duck-typed": (wine, NearestFactory(), BLACK),
    # a frame of numbers, text, categories and booleans
    "frame linear": (mixed, make_pipeline(columns(), linear()), WHITE),
    "frame nested MLP": (mixed, make_pipeline(nested_columns(), StandardScaler(with_mean=False), mlp(10)), WHITE),
    "frame union": (mixed, make_pipeline(make_union(columns(), nested_columns()), PCA(6), linear()), WHITE),
    "frame tree": (mixed, make_pipeline(columns(), DecisionTreeClassifier(max_depth=4, random_state=0)), BLACK),
}


@functools.cache
def fitted(name):
    load, estimator, _ = CASES[name]
    data = data_of(load)
    return estimator.fit(data.X, data.y)


@functools.cache
def found(name, attack, n_radii=2, random_state=0):
    """Return what an attack found out at the largest radii."""
    data = data_of(CASES[name][0])
    return assess(
        fitted(name),
        data.X_test,
        data.y_test,
        attack,
        threat_model=data.threat_model.with_eps(data.radii[-1]),
        radii=data.radii[-n_radii:],
        random_state=random_state,
    )


def n_standing(name, attack, n_radii=2):
    """Return how many rows stand at each of the largest radii."""
    result = found(name, attack, n_radii)
    return [int(result.robust(radius).sum()) for radius in result.radii]


def n_right(name):
    data = data_of(CASES[name][0])
    return int((fitted(name).predict(data.X_test) == data.y_test).sum())


def box(X, threat_model, eps):
    """Return how far an independent attack lets each number of each row go; whole numbers and codes stay."""
    matrix, vocabularies = encode_frame(X)
    names = list(getattr(X, "columns", range(matrix.shape[1])))
    units = np.ones(len(names)) if threat_model.units == "raw" else np.array(threat_model.units)
    held = [v is not None or name in threat_model.integer for v, name in zip(vocabularies, names, strict=True)]
    reach = np.where(held, 0.0, eps * units)
    low, high = (threat_model.bounds or (-np.inf, np.inf))[-2:]
    low, high = np.maximum(matrix - reach, low), np.minimum(matrix + reach, high)
    for name, _ in threat_model.direction or ():
        low[:, names.index(name)] = matrix[:, names.index(name)]
    return torch.tensor(matrix), torch.tensor(low), torch.tensor(high)


def plain_pgd(module, codes, rows, low, high, seed, n_steps=20):
    """Return adversarial rows by a loop that shares no line with the package."""
    generator = torch.Generator().manual_seed(seed)
    point = low + (high - low) * torch.rand(rows.shape, generator=generator, dtype=torch.float64)
    for _ in range(n_steps):
        point = point.detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(module(point), codes, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
        point = point.detach() + gradient.sign() * (high - low).amax(dim=0) / 16
        point = torch.minimum(torch.maximum(point, low), high)
    return point.numpy()


@pytest.mark.parametrize("name", CASES)
def test_route_and_scores(name):
    """The route is the one in the table, scores fall with eps, and the worst case is the worst."""
    route = CASES[name][2]
    # Questions take their time: one radius shows what there is to see.
    n_radii = 1 if route == BLACK else 2
    worst = found(name, "worst_case", n_radii)
    assert set(worst.route) - {"none"} == {route}
    assert (worst.reason == "") == (worst.pursuit.surface is not None)
    assert "skrobust.torchify.register(" in worst.reason or not worst.reason
    clean, noise = n_right(name), n_standing(name, "noise")
    standing = n_standing(name, "worst_case", n_radii)
    assert clean >= 0.5 * N_TEST
    assert [clean, *noise, 0] == sorted([clean, *noise, 0], reverse=True)
    assert [clean, *standing, 0] == sorted([clean, *standing, 0], reverse=True)
    assert clean > standing[-1]
    assert all(one <= other + 1 for one, other in zip(standing, noise[-n_radii:], strict=True))
    assert standing[-1] <= n_standing(name, "square", 1)[0] + 1
    if worst.pursuit.surface is None:
        # Where only questions may be asked, "pgd" asks the same ones.
        plans = [plan_for(worst.pursuit, check_attack(attack, {}), {}) for attack in ("pgd", "worst_case")]
        assert plans[0] == plans[1]
        return
    pgd = n_standing(name, "pgd", n_radii)
    assert [clean, *pgd, 0] == sorted([clean, *pgd, 0], reverse=True)
    assert clean > pgd[-1]
    assert all(one <= other + 1 for one, other in zip(standing, pgd, strict=True))


@pytest.mark.parametrize("name", [name for name, (*_, route) in CASES.items() if route != BLACK])
def test_gradients_find_what_an_independent_pgd_finds(name):
    """From several random points each, since where it starts makes a difference of rows."""
    data, estimator = data_of(CASES[name][0]), fitted(name)
    module = to_torch(estimator, data.X_test, bridge=True)
    codes = torch.tensor(np.searchsorted(estimator.classes_, data.y_test))
    for radius in data.radii:
        threat_model = data.threat_model.with_eps(radius)
        ours = robust_accuracy_score(
            estimator, data.X_test, data.y_test, threat_model=threat_model, attack="pgd", num_random_init=N_STARTS
        )
        stands = estimator.predict(data.X_test) == data.y_test
        for seed in range(N_STARTS):
            rows = plain_pgd(module, codes, *box(data.X_test, data.threat_model, radius), seed)
            stands &= estimator.predict(decode_frame(rows, data.X_test)) == data.y_test
        assert ours <= stands.mean() + 1.01 / N_TEST


@pytest.mark.parametrize("name", ["RidgeClassifier", "SVC rbf", "bridged function", "frame linear", "DecisionTree"])
def test_scorers_say_the_same(name):
    data, estimator = data_of(CASES[name][0]), fitted(name)
    scorer = make_robustness_scorers("pgd", eps_grid=data.radii, threat_model=data.threat_model)
    scores = scorer(estimator, data.X_test, data.y_test)
    assert scores["clean"] == n_right(name) / N_TEST
    robust = [scores[f"robust_{radius:g}"] for radius in data.radii]
    assert robust == [n / N_TEST for n in n_standing(name, "pgd")]
    assert 0 <= robust[1] <= robust[0] <= scores["clean"] <= 1
    assert 0 <= scores["distance"] <= data.radii[-1]
    assert scores["white_box"] == (CASES[name][2] != BLACK)


@pytest.mark.parametrize(
    ("name", "attack"), [("MLPClassifier", "worst_case"), ("bridged function", "pgd"), ("GradientBoosting", "square")]
)
def test_the_same_seed_gives_the_same_bits(name, attack):
    one, other = found(name, attack, 1), found(name, attack, 1, np.int64(0))
    assert one is not other
    np.testing.assert_array_equal(one.X_adv, other.X_adv)
    np.testing.assert_array_equal(one.found_by, other.found_by)
    np.testing.assert_array_equal(one.n_queries, other.n_queries)
    third = found(name, attack, 1, 1)
    assert (third.X_adv != one.X_adv).any()


@pytest.mark.parametrize(("name", "attack"), [("OffSupport Pipeline", "pgd"), ("DecisionTree", "noise")])
def test_folds_score_alike_in_one_process_and_in_two(name, attack):
    load, estimator, _ = CASES[name]
    data = data_of(load)
    scorer = make_robustness_scorer(attack, eps=data.radii[0], threat_model=data.threat_model)
    one, two = (
        cross_validate(estimator, data.X, data.y, cv=3, scoring={"clean": "accuracy", "robust": scorer}, n_jobs=n_jobs)
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one["test_robust"], two["test_robust"])
    assert (one["test_robust"] < one["test_clean"]).all()
    assert (one["test_robust"] > 0).all()


def test_there_are_many_cases_of_every_route():
    routes = [route for *_, route in CASES.values()]
    assert len(routes) >= 30
    assert [routes.count(route) >= least for route, least in ((WHITE, 20), (BRIDGE, 1), (BLACK, 10))] == [True] * 3


# ---- columns of booleans ----

KINDS_OF_BOOLEANS = {"int": int, "bool": bool, "nullable": "boolean", "object": object}


class Picky(ClassifierMixin, BaseEstimator):
    """Says whether one owns or is old, if columns are of the kinds of the fit; there is no torch module of it."""

    def fit(self, X, y):
        self.classes_, self.kinds_ = np.unique(y), list(X.dtypes)
        return self

    def predict(self, X):
        is_boolean = [kind.kind == "b" for kind in self.kinds_]
        assert list(X.dtypes[is_boolean]) == [kind for kind in self.kinds_ if kind.kind == "b"]
        assert X.isin([0, 1]).iloc[:, 1:].all(axis=None)
        return (X["own"].astype(bool) | (X["age"] > 1.5)).astype(int).to_numpy()


@functools.cache
def homes(kind):
    """Return rows of an age and three one-hot columns, of which the first and the age decide, and the classes."""
    rng = np.random.default_rng(0)
    home = rng.integers(0, 3, 60)
    columns = pd.DataFrame(np.eye(3)[home] > 0, columns=["own", "rent", "other"]).astype(KINDS_OF_BOOLEANS[kind])
    X = pd.concat([pd.Series(rng.normal(size=60), name="age"), columns], axis=1)
    return X, ((home == 0) | (X["age"] > 1.5)).astype(int).to_numpy()


@pytest.mark.parametrize(
    ("kind", "attack"), [*((kind, "pgd") for kind in KINDS_OF_BOOLEANS), ("bool", "worst_case"), ("nullable", "square")]
)
def test_booleans_are_attacked_like_zeros_and_ones(kind, attack):
    X, y = homes(kind)
    clf = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    group = ThreatModel([0, 1, 1, 1], one_hot_groups=[["own", "rent", "other"]])
    result = find_adversarial(clf, X, y, attack, threat_model=group)
    expected = find_adversarial(clf, *homes("int"), attack, threat_model=group)
    assert result.success.mean() > 0.5
    np.testing.assert_array_equal(result.success, expected.success)
    assert list(result.X_adv.dtypes)[1:] == ([np.dtype(float)] * 3 if kind == "int" else list(X.dtypes)[1:])
    assert (result.X_adv.iloc[:, 1:].sum(axis=1) == 1).all()


@pytest.mark.parametrize("eps", [0.9, 1.0])
@pytest.mark.parametrize("kind", ["bool", "nullable"])
def test_a_scalar_eps_flips_booleans_from_1_on(kind, eps):
    X, y = homes(kind)
    clf = DecisionTreeClassifier(max_depth=2).fit(X, y)
    result = find_adversarial(clf, X, y, threat_model=ThreatModel(eps, immutable=["age"]))
    assert result.success.any() == (eps >= 1)


@pytest.mark.parametrize("kind", ["bool", "nullable"])
@pytest.mark.parametrize("attack", ["worst_case", "noise", "transfer", "nearest_other"])
def test_no_attack_asks_about_anything_but_booleans(kind, attack):
    X, y = homes(kind)
    assert robust_accuracy_score(Picky().fit(X, y), X, y, eps=1.0, attack=attack) < 1


def test_metrics_of_continuous_noise_leave_booleans_as_they_are():
    X, y = homes("bool")
    clf = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    asked = []

    class Noted(Picky):
        def predict(self, X):
            asked.append(X)
            return super().predict(X)

        def predict_proba(self, X):
            return np.eye(2)[self.predict(X)]

    noted = Noted().fit(X, y)
    for directions in ("random", "other_class"):
        boundary_distance(noted, X, y, directions=directions, n_directions=2, max_distance=3.0)
    off_support_confidence(noted, X)
    originals = set(map(tuple, X.iloc[:, 1:].to_numpy().tolist()))
    assert {tuple(row) for part in asked for row in part.iloc[:, 1:].to_numpy().tolist()} <= originals
    assert (local_lipschitz(clf, X, eps=1.0, per_sample=True, max_iter=3) > 0).all()


def test_text_is_not_to_change_but_may_be_there():
    X, y = homes("bool")
    X = X.assign(word=np.where(y, "yes", "no"))
    columns = ColumnTransformer([("words", OneHotEncoder(), ["word"])], remainder="passthrough")
    clf = make_pipeline(columns, LogisticRegression()).fit(X, y)
    assert robust_accuracy_score(clf, X, y, attack="pgd", threat_model=ThreatModel(0.1)) == 1
    for settings in ({"integer": ["word"]}, {"direction": {"word": "up"}}):
        with pytest.raises(ValueError, match=r"names feature 'word', which stays as it is, as it holds text"):
            robust_accuracy_score(clf, X, y, threat_model=ThreatModel(0.1, **settings))


# ---- rows that an estimator refuses ----


@pytest.mark.parametrize("attack", ["pgd", "transfer"])
def test_rows_that_an_estimator_refuses_are_explained(attack):
    X, y = load_iris(return_X_y=True)
    clf = make_pipeline(PowerTransformer(method="box-cox"), LogisticRegression()).fit(X, y)
    remedy = r"or give bounds; .* by outlier_label .* It says: The Box-Cox transformation can only be applied"
    with pytest.raises(ValueError, match=remedy):
        robust_accuracy_score(clf, X[::6], y[::6], eps=0.4, attack=attack)
    bounded = ThreatModel(0.4, bounds=(0.05, np.inf))
    assert 0 < robust_accuracy_score(clf, X[::6], y[::6], threat_model=bounded, attack=attack) < 1


def test_several_labels_per_row_are_refused_with_the_remedy():
    X = np.random.default_rng(0).uniform(-1, 1, size=(20, 2))
    y = (X > 0).astype(int)
    with pytest.raises(
        ValueError, match=r"y of shape \(20, 2\) has several labels per row: give one; .* one classifier per output"
    ):
        robust_accuracy_score(KNeighborsClassifier().fit(X, y), X, y, eps=0.1)
