"""What goes wrong with scores under attack: a right answer or one clear sentence, and never another fold's score."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import KFold, cross_validate
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skrobust import ThreatModel
from skrobust.attacks import find_adversarial
from skrobust.attacks._assess import assess
from skrobust.metrics import (
    adversarial_distance,
    make_robustness_scorer,
    make_robustness_scorers,
    per_class_robust_accuracy,
    rho_adv_score,
    robust_accuracy_score,
    robustness_report,
)
from skrobust.torchify import register

PGD = make_robustness_scorer("pgd", eps=0.5)
SCORES = {
    "find_adversarial": lambda clf, X, y: find_adversarial(clf, X, y, threat_model=ThreatModel(0.5)),
    "scorer": PGD,
    "scorers": make_robustness_scorers("pgd", eps_grid=[0.5], error_score="raise"),
    "robust_accuracy_score": lambda clf, X, y: robust_accuracy_score(clf, X, y, eps=0.5),
    "per_class_robust_accuracy": lambda clf, X, y: per_class_robust_accuracy(clf, X, y, eps=0.5),
    "adversarial_distance": adversarial_distance,
    "rho_adv_score": rho_adv_score,
    "robustness_report": lambda clf, X, y: robustness_report(clf, X, y, ThreatModel(0.5)),
}


@pytest.fixture
def linear(blobs):
    return LogisticRegression().fit(*blobs)


# ---- X ----


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_what_cannot_be_attacked_is_said_alike_everywhere(linear, blobs, score):
    X, y = blobs
    with_gap = X.copy()
    with_gap[3, 1] = np.nan
    cases = [
        (X[:0], y[:0], ValueError, "0 sample"),
        (with_gap, y, ValueError, "contains NaN"),
        (sparse.csr_array(X), y, TypeError, "dense data is required"),
        (X[:, 0], y, ValueError, "got 1D array"),
    ]
    for rows, labels, error, message in cases:
        with pytest.raises(error, match=f"X cannot be attacked, which needs dense, finite numbers: .*{message}"):
            score(linear, rows, labels)
    with pytest.raises(NotFittedError):
        score(make_pipeline(StandardScaler(), LogisticRegression()), X, y)
    with pytest.raises(ValueError, match="X has 3 features, but LogisticRegression is expecting 4"):
        score(linear, X[:, :3], y)


@pytest.mark.parametrize(
    "estimator", [make_pipeline(SimpleImputer(), LogisticRegression()), HistGradientBoostingClassifier(max_iter=3)]
)
def test_missing_values_are_refused_even_where_the_estimator_takes_them(blobs, estimator):
    X, y = blobs
    with_gap = pd.DataFrame(X, columns=list("abcd"))
    with_gap.loc[3, "b"] = np.nan
    estimator.fit(with_gap, y)
    with pytest.raises(ValueError, match="contains NaN"):
        PGD(estimator, with_gap, y)
    assert 0 < PGD(estimator, with_gap.drop(index=3), np.delete(y, 3)) <= 1


@pytest.mark.parametrize("attack", ["pgd", "worst_case", "minimum_norm", "square", "hopskipjump", "carlini_l2"])
def test_constant_features_change_nothing(blobs, attack):
    X, y = blobs[0][:24], blobs[1][:24]
    wide = np.hstack([X, np.full((len(X), 1), 0.1)])
    clf = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    wide_clf = make_pipeline(StandardScaler(), LogisticRegression()).fit(wide, y)
    narrow, broad = (ThreatModel(1.7, norm=2, units="std", bounds="learn").resolve(rows) for rows in (X, wide))
    expected = make_robustness_scorer(attack, threat_model=narrow)(clf, X, y)
    result = find_adversarial(wide_clf, wide, y, attack, threat_model=broad)
    assert (~result.success).mean() == pytest.approx(expected, abs=0.09)
    assert (result.X_adv[:, 4] == 0.1).all()
    assert 0 < expected < 1


def test_columns_without_any_spread_leave_nothing_to_attack(linear):
    rows = np.zeros((5, 4))
    threat_model = ThreatModel(3.0, units="range").resolve(rows)
    answers = linear.predict(rows)
    assert make_robustness_scorer("worst_case", threat_model=threat_model)(linear, rows, answers) == 1


# ---- y ----


def test_labels_that_were_not_in_training_count_as_wrong(blobs):
    X, y = blobs
    clf = LogisticRegression().fit(X[y < 2], y[y < 2])
    right = robust_accuracy_score(clf, X, y, eps=0.2, per_sample=True)
    assert (right[y == 2] == 0).all()
    known = robust_accuracy_score(clf, X[y < 2], y[y < 2], eps=0.2)
    assert right.mean() == pytest.approx(known * (y < 2).mean())
    assert per_class_robust_accuracy(clf, X, y, eps=0.2)[2] == 0
    of_class = robustness_report(clf, X[::3], y[::3], ThreatModel(0.2)).per_class.loc[2]
    assert of_class["clean"] == of_class["accuracy"] == of_class["median_distance"] == 0


def test_labels_of_which_none_was_in_training_are_all_wrong(linear, blobs):
    X, y = blobs
    assert robust_accuracy_score(linear, X, y + 10, eps=0.2) == 0
    assert make_robustness_scorers(eps_grid=[0.2])(linear, X, y + 10)["clean"] == 0


@pytest.mark.parametrize(("trained", "asked"), [(int, str), (str, int), (float, str), (str, object)])
def test_text_and_numbers_are_not_compared(blobs, trained, asked):
    X, y = blobs
    clf = LogisticRegression().fit(X, y.astype(trained))
    with pytest.raises(ValueError, match=r"y has labels such as .* no answer could be right: give the labels of y as"):
        PGD(clf, X, y.astype(asked))
    # As objects they are what they are.
    assert PGD(clf, X, y.astype(trained).astype(object)) == PGD(clf, X, y.astype(trained))


def test_folds_that_lack_a_class(blobs):
    X, y = blobs
    order = np.argsort(y, kind="stable")
    scoring = {"clean": "accuracy", "pgd": PGD}
    scores = cross_validate(LogisticRegression(), X[order], y[order], cv=KFold(3), scoring=scoring)
    # Each fold trains on two classes and is tested on the third.
    assert (scores["test_clean"] == scores["test_pgd"]).all()
    assert (scores["test_pgd"] == 0).all()
    scores = cross_validate(LogisticRegression(), X[order], y[order], cv=KFold(9), scoring=scoring)
    assert (scores["test_pgd"] <= scores["test_clean"]).all()
    assert 0 < scores["test_pgd"].mean() < scores["test_clean"].mean()


@pytest.mark.parametrize("names", [["no", "yes"], [-1, 1], [False, True], [1.0, 0.0]], ids=str)
@pytest.mark.parametrize("make", [LogisticRegression, DecisionTreeClassifier], ids=["white box", "black box"])
def test_two_classes_by_any_name(blobs, names, make):
    X, y = blobs
    X, y = X[y < 2] / 3, y[y < 2]
    named = np.array(names)[y]
    codes = np.searchsorted(np.unique(named), named)
    expected = robust_accuracy_score(make(random_state=0).fit(X, codes), X, codes, eps=0.4)
    assert robust_accuracy_score(make(random_state=0).fit(X, named), X, named, eps=0.4) == expected
    assert 0 < expected < 1


def test_y_of_several_columns(linear, blobs):
    X, y = blobs
    with pytest.raises(ValueError, match=r"y of shape .* has several labels per row: give one"):
        PGD(linear, X, np.stack([y, y], axis=1))


# ---- the threat model ----


@pytest.mark.parametrize("kind", ["linear", "tree", "vote"])
@pytest.mark.parametrize("attack", ["pgd", "worst_case", "deepfool", "square", "nearest_other", "hopskipjump"])
def test_eps_0_and_immutable_everything_are_clean_accuracy(blobs, kind, attack):
    X, y = blobs
    estimator = {"linear": LogisticRegression(), "tree": DecisionTreeClassifier(max_depth=2), "vote": Vote()}[kind]
    estimator.fit(X, y)
    clean = (estimator.predict(X) == y).mean()
    for threat_model in (ThreatModel(0.0), ThreatModel(3.0, immutable=range(4)), ThreatModel([0.0] * 4)):
        result = find_adversarial(estimator, X, y, attack, threat_model=threat_model)
        assert (~result.success).mean() == clean
        assert set(result.route) == {"none"}
        np.testing.assert_array_equal(result.X_adv, X)
    assert np.isinf(adversarial_distance(estimator, X, y, threat_model=ThreatModel(immutable=range(4)))).mean() == clean


WRONG_THREATS = {
    "eps of another length": (ThreatModel([0.1, 0.2]), "eps of the threat model have 2 entries, but X has 4 features"),
    "units of another length": (ThreatModel(0.1, units=[1, 2, 3]), "units of the threat model have 3 entries"),
    "directions of another length": (ThreatModel(0.1, direction=["up"] * 5), "direction of the threat model have 5"),
    "unknown name": (
        ThreatModel(0.1, immutable=["age"]),
        r"immutable .* the feature 'age': X has .* named \['a'",
    ),
    "unknown index": (ThreatModel(0.1, direction={7: "up"}), "direction .* names the feature 7: X has features 0 to 3"),
    "fractions": (ThreatModel(0.1, integer=["b"]), "integer .* names feature 'b', which has the value .* or round it"),
    "no categories": (ThreatModel(0.1, one_hot_groups=[["a", "b"]]), "one_hot_groups .* give groups of which one is 1"),
    "bounds": (ThreatModel(0.1, bounds=(0, 1)), "exclude values of X in 4 features, first in feature 'a': widen"),
}


@pytest.mark.parametrize(("threat_model", "message"), WRONG_THREATS.values(), ids=WRONG_THREATS)
def test_threat_models_that_do_not_suit_the_rows(blobs, threat_model, message):
    X, y = blobs
    frame = pd.DataFrame(X, columns=list("abcd"))
    clf = LogisticRegression().fit(frame, y)
    for score in (
        make_robustness_scorer("pgd", threat_model=threat_model),
        make_robustness_scorers(threat_model=threat_model, error_score="raise"),
        lambda *data: robustness_report(*data, threat_model),
    ):
        with pytest.raises(ValueError, match=message):
            score(clf, frame, y)


# ---- the estimator ----


class Vote(ClassifierMixin, BaseEstimator):
    """A classifier with nothing but predict."""

    def fit(self, X, y):
        self.inner_ = LogisticRegression().fit(X, y)
        self.is_fitted_ = True
        return self

    def predict(self, X):
        return self.inner_.predict(X)


@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        RandomForestRegressor(2),
        make_pipeline(StandardScaler(), LinearRegression()),
        KMeans(3, n_init=1),
        make_pipeline(StandardScaler()),
    ],
    ids=["regressor", "forest", "at the end", "clusters", "transformer"],
)
def test_what_is_no_classifier(blobs, estimator):
    with pytest.raises(TypeError, match=r"is no classifier .* pass a fitted classifier, or a Pipeline that"):
        PGD(estimator.fit(*blobs), *blobs)


@pytest.mark.parametrize("estimator", [MultiOutputClassifier(LogisticRegression()), DecisionTreeClassifier()])
def test_several_answers_per_row(blobs, estimator):
    X, y = blobs
    estimator.fit(X, np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match=r"answers 90 rows by an array of shape \(90, 2\): pass a classifier"):
        PGD(estimator, X, y)


class Column(LogisticRegression):
    """Answers by a column, as some gradient boosting does."""

    def predict(self, X):
        return super().predict(X)[:, np.newaxis]


def test_answers_in_a_column(linear, blobs):
    X, y = blobs
    expected = robust_accuracy_score(linear, X, y, eps=0.5)
    assert robust_accuracy_score(Column().fit(X, y), X, y, eps=0.5) == pytest.approx(expected, abs=0.04)
    assert robust_accuracy_score(Column().fit(X, y), X, y, eps=0.0) == linear.score(X, y)


def test_answers_alone_are_enough(linear, blobs):
    result = assess(Vote().fit(*blobs), *blobs, threat_model=ThreatModel(0.5))
    assert set(result.route) <= {"black-box", "none"}
    expected = robust_accuracy_score(linear, *blobs, eps=0.5)
    assert result.robust(0.5).mean() == pytest.approx(expected, abs=0.04)
    assert expected < linear.score(*blobs)


class Centered(TransformerMixin, BaseEstimator):
    """Takes the mean of the rows at hand: what it makes of a row depends on the others."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X - 0.01 * X.mean(axis=0)


class Doubled(Centered):
    """Row by row; with too many features for finite differences it needs a converter."""

    def transform(self, X):
        return np.hstack([X, X.round(6)])


def test_a_step_that_looks_at_other_rows_is_named(blobs):
    pipe = make_pipeline(StandardScaler(), Centered(), LogisticRegression()).fit(*blobs)
    result = assess(pipe, *blobs, "square", threat_model=ThreatModel(0.5))
    assert set(result.route) <= {"black-box", "none"}
    assert "step 'centered' is of type Centered" in result.reason
    assert "depends on other rows, or on chance" in result.reason
    assert "skrobust.torchify.register(Centered)" in result.reason


def test_a_step_that_no_bridge_replaces_is_named_until_it_is_registered(rng):
    class Wide(Doubled):
        pass

    X = rng.normal(size=(80, 70))
    y = (X[:, :10].sum(axis=1) > 0).astype(int)
    pipe = make_pipeline(Wide(), LogisticRegression()).fit(X, y)
    before = assess(pipe, X[:30], y[:30], "noise", threat_model=ThreatModel(0.1))
    assert set(before.route) <= {"black-box", "none"}
    assert "step 'wide' is of type Wide" in before.reason
    assert "takes 70 features, more than 64" in before.reason
    assert "register(Wide)" in before.reason

    class Twice(nn.Module):
        def forward(self, X):
            return torch.cat([X, X], dim=1)

    register(Wide)(lambda fitted: Twice())
    after = assess(pipe, X[:30], y[:30], "pgd", threat_model=ThreatModel(0.1))
    assert set(after.route) <= {"white-box", "none"}
    assert after.reason == ""


def test_a_function_that_fails_on_moved_rows_is_a_clear_error(blobs):
    def fails(X):
        if (np.abs(X) > 4).any():
            raise ValueError("out of the table")
        return X

    pipe = make_pipeline(FunctionTransformer(fails), LogisticRegression()).fit(*blobs)
    with pytest.raises(ValueError, match="out of the table"):
        make_robustness_scorer("noise", eps=5.0)(pipe, *blobs)


# ---- networks ----


class Tuple(nn.Module):
    """Returns its logits and something else."""

    def __init__(self, ends_in=None):
        super().__init__()
        self.linear, self.ends_in = nn.Linear(4, 3), ends_in

    def forward(self, X):
        logits = self.linear(X)
        return logits.softmax(dim=1) if self.ends_in == "softmax" else (logits, X)


class FirstLoss(nn.CrossEntropyLoss):
    def forward(self, outputs, y):
        return super().forward(outputs[0] if isinstance(outputs, tuple) else outputs, y)


def settings(**params):
    defaults = {"max_epochs": 30, "lr": 0.05, "optimizer": torch.optim.Adam, "train_split": None, "verbose": 0}
    return {**defaults, **params}


class Loose(NeuralNetClassifier):
    def get_loss(self, outputs, y, **params):
        return self.criterion_(outputs, y)

    def predict(self, X):
        outputs = self.forward(X)
        return (outputs[0] if isinstance(outputs, tuple) else outputs).argmax(dim=1).numpy()


@pytest.mark.parametrize("kind", ["tuple", "module that ends in softmax", "softmax layer"])
def test_networks_that_return_tuples_or_probabilities(blobs, kind):
    X, y = blobs[0].astype(np.float32), blobs[1].astype(np.int64)
    torch.manual_seed(0)
    if kind == "tuple":
        net = Loose(Tuple, criterion=FirstLoss, **settings())
    elif kind == "softmax layer":
        net = NeuralNetClassifier(nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)), **settings())
    else:
        net = NeuralNetClassifier(Tuple, module__ends_in="softmax", **settings())
    net.fit(X, y)
    result = assess(net, X, y, "pgd", threat_model=ThreatModel(0.6))
    assert set(result.route) <= {"white-box", "none"}
    weight, bias = (part.detach().double() for part in list(net.module_.parameters()))
    plain = LogisticRegression().fit(X, y)
    plain.coef_, plain.intercept_ = weight.numpy(), bias.numpy()
    expected = make_robustness_scorer("pgd", eps=0.6)(plain, X.astype(np.float64), y)
    assert result.robust(0.6).mean() == pytest.approx(expected, abs=0.03)
    assert expected < (plain.predict(X) == y).mean()


@pytest.mark.parametrize("ends_in_sigmoid", [False, True])
def test_networks_of_one_logit(blobs, ends_in_sigmoid):
    X, y = blobs
    X, y = X[y < 2].astype(np.float32) / 3, y[y < 2].astype(np.float32)
    torch.manual_seed(0)
    last = [nn.Sigmoid()] if ends_in_sigmoid else []
    criterion = nn.BCELoss if ends_in_sigmoid else nn.BCEWithLogitsLoss
    module = nn.Sequential(nn.Linear(4, 1), *last)
    net = NeuralNetBinaryClassifier(module, criterion=criterion, **settings()).fit(X, y)
    result = assess(net, X, y, "pgd", threat_model=ThreatModel(0.4))
    assert set(result.route) <= {"white-box", "none"}
    weight, bias = (part.detach().double().numpy() for part in net.module_.parameters())
    signed = np.where(y == 1, 1, -1) * (X @ weight[0] + bias)
    assert result.robust(0.4).mean() == pytest.approx((signed > 0.4 * np.abs(weight).sum()).mean(), abs=0.02)


# ---- folds ----


def test_a_failing_fold_leaves_the_others_alone(blobs):
    """Bounds that exclude one row spoil the score of its fold alone."""
    X, y = blobs
    X = X.copy()
    X[0, 0] = 50.0
    threat_model = ThreatModel(0.5, bounds=(-10, 10))
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    spoiled = [k for k, (_, test) in enumerate(folds) if 0 in test]
    for scorer, key in (
        (make_robustness_scorer("pgd", threat_model=threat_model), "score"),
        (make_robustness_scorers("pgd", threat_model=threat_model), "robust_0.5"),
    ):
        with pytest.warns(UserWarning, match="exclude values of X in 1 features, first in feature 0"):
            scores = cross_validate(LogisticRegression(), X, y, cv=folds, scoring=scorer)[f"test_{key}"]
        assert np.flatnonzero(np.isnan(scores)).tolist() == spoiled
        for k, (train, test) in enumerate(folds):
            if k not in spoiled:
                clf = LogisticRegression().fit(X[train], y[train])
                assert scores[k] == robust_accuracy_score(clf, X[test], y[test], eps=0.5, attack="pgd")
