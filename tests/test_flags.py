"""Flags of robustness_report: broken defences raise theirs, honest models raise none."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skrobust import OffSupportRobustClassifier, ThreatModel
from skrobust.attacks._assess import assess
from skrobust.attacks._original import Original
from skrobust.metrics import make_robustness_scorers, robustness_report
from skrobust.metrics._control import Control
from skrobust.metrics._flags import FLAGS, Evidence, cheap_flags, flags_of
from skrobust.torchify import register, to_torch

N_TRAIN, N_CLASSES = 120, 3


@pytest.fixture(scope="module")
def wine():
    """Return rows to train on, rows to attack, and labels of both."""
    X, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = StandardScaler().fit_transform(X[order]), y[order]
    return X[:N_TRAIN], X[N_TRAIN:170], y[:N_TRAIN], y[N_TRAIN:170]


@pytest.fixture(scope="module")
def mlp(wine):
    return MLPClassifier((30,), max_iter=1000, random_state=0).fit(wine[0], wine[2])


def report_on(clf, wine):
    X, y = wine[1][:24], wine[3][:24]
    return robustness_report(clf, X, y, ThreatModel(0.4), eps_factors=(1,), n_control=16)


class Asked(ClassifierMixin, BaseEstimator):
    """A classifier around another, which changes its rows or its answers."""

    def __init__(self, inner=None, change=None):
        self.inner = inner
        self.change = change

    @property
    def classes_(self):
        return self.inner.classes_

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):
        return self

    def predict(self, X):
        return self.inner.predict(self.change(X))


class OneHot(Asked):
    def predict(self, X):
        return self.inner.predict(X)

    def predict_proba(self, X):
        return (self.predict(X)[:, np.newaxis] == self.classes_).astype(float)


class Net(ClassifierMixin, BaseEstimator):
    """A classifier that is a chain of torch functions."""

    def __init__(self, *steps):
        self.chain = Chain(steps)
        self.classes_ = np.arange(N_CLASSES)

    def __sklearn_is_fitted__(self):
        return True

    def fit(self, X, y):
        return self

    def predict(self, X):
        with torch.no_grad():
            return self.chain(torch.tensor(np.array(X))).argmax(dim=1).numpy()


class Chain(torch.nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def forward(self, X):
        for step in self.steps:
            X = step(X)
        return X


@register(Net)
def convert_net(fitted):
    return Chain(fitted.chain.steps)


class Misleading(torch.autograd.Function):
    """The identity, with a gradient that points the other way."""

    @staticmethod
    def forward(ctx, X):
        return X.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def noisy(X):
    return X + np.random.standard_normal(X.shape) / 2  # noqa: NPY002  broken on purpose


def hundredfold(mlp):
    """Return a network whose logits are 100 times those of this one."""
    larger = copy.deepcopy(mlp)
    larger.coefs_[-1] *= 100
    larger.intercepts_[-1] *= 100
    return larger


def binned():
    return KBinsDiscretizer(5, encode="ordinal", quantile_method="averaged_inverted_cdf")


BROKEN = {
    "logits times 100": (lambda mlp, fit: hundredfold(mlp), {"saturated_outputs"}),
    "rounded input": (
        lambda mlp, fit: fit(make_pipeline(FunctionTransformer(np.round), LogisticRegression())),
        {"missing_gradient", "zero_gradient"},
    ),
    "binned input": (lambda mlp, fit: fit(make_pipeline(binned(), LogisticRegression())), {"zero_gradient"}),
    "one-hot outputs": (lambda mlp, fit: OneHot(mlp), {"saturated_outputs"}),
    "hidden argmax": (
        lambda mlp, fit: Net(to_torch(mlp), lambda logits: torch.eye(N_CLASSES)[logits.argmax(dim=1)]),
        {"zero_gradient"},
    ),
    "detached input": (lambda mlp, fit: Net(torch.Tensor.detach, to_torch(mlp)), {"zero_gradient"}),
    "misleading gradient": (lambda mlp, fit: Net(Misleading.apply, to_torch(mlp)), {"black_box_beats_white_box"}),
    "constant answers": (lambda mlp, fit: fit(DummyClassifier(strategy="constant", constant=1)), {"constant_answers"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_defences_raise_their_flag(wine, mlp, name):
    make, expected = BROKEN[name]
    clf = make(mlp, lambda estimator: estimator.fit(wine[0], wine[2]))
    flags = report_on(clf, wine).flags
    assert expected & set(flags)
    assert all(len(text) > 50 for text in flags.values())


def test_noise_at_prediction_raises_its_flag(wine, mlp):
    X, y = wine[1][:20], wine[3][:20]
    report = robustness_report(Asked(mlp, noisy), X, y, ThreatModel(0.4), attack="noise", eps_factors=(0, 1))
    assert "random_output" in report.flags
    # Shares of fresh answers, not 0 or 1.
    assert not report.per_row["robust_0.4"].isin([0, 1]).all()


def test_normalized_batches_raise_their_flag(wine, mlp):
    clf = Asked(mlp, lambda X: X - X[:1])
    report = robustness_report(clf, wine[1], wine[3], ThreatModel(0.4), attack="noise", eps_factors=(0, 1))
    assert "batch_dependent_output" in report.flags


class Scored(Asked):
    """A classifier whose scores change with the rows of the batch where its answers hardly do."""

    def predict(self, X):
        return self.inner.predict(X)

    def predict_proba(self, X):
        return self.inner.predict_proba(self.change(X))


@pytest.mark.parametrize(
    ("change", "depends"),
    [(lambda X: X - X.mean(axis=0) / 2, True), (noisy, False), (lambda X: X + 1e-3 * len(X), False)],
    ids=["batch", "noise", "rounding"],
)
def test_scores_tell_that_a_row_alone_is_answered_otherwise(wine, mlp, change, depends):
    assert Original(Scored(mlp, change), wine[1], wine[3]).depends_on_batch == depends


@pytest.mark.parametrize(
    ("change", "flag"), [(noisy, "random_output"), (lambda X: X - X[:1], "batch_dependent_output")]
)
def test_what_no_row_can_rely_on_shows_under_the_worst_case(wine, mlp, change, flag):
    X, y = wine[1][:12], wine[3][:12]
    report = robustness_report(Asked(mlp, change), X, y, ThreatModel(0.4), eps_factors=(0, 1), n_control=2)
    assert flag in report.flags
    assert report.route == {"black-box": 1.0}
    # The curve ends where attacks did: beyond, there is no telling what share of random answers is right.
    assert flag != "random_output" or list(report.summary.index) == [0, 0.4]


def six_times(X):
    return np.tile(X, 6)


def hiding(classifier):
    return make_pipeline(FunctionTransformer(six_times), FunctionTransformer(np.sort), classifier)


class Stubborn(LogisticRegression):
    """Answers otherwise than its coefficients say."""

    def predict(self, X):
        return np.roll(self.classes_, 1)[super().predict(X)]


HIDDEN = {
    "a step too wide for finite differences": hiding(LogisticRegression(max_iter=1000)),
    "a step that looks at other rows": make_pipeline(
        FunctionTransformer(lambda X: X - X.mean(axis=0)), GridSearchCV(LogisticRegression(), {}, cv=2)
    ),
    "an overridden predict": Stubborn(),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_gradients_that_are_hidden_raise_their_flag(wine, name):
    clf = HIDDEN[name].fit(wine[0], wine[2])
    X = wine[1][:24]
    report = robustness_report(clf, X, clf.predict(X), ThreatModel(0.4), eps_factors=(1,), n_control=2)
    assert "missing_gradient" in report.flags
    assert "register a converter" in report.flags["missing_gradient"].lower()
    assert report.route == {"black-box": 1.0}


def test_what_never_had_gradients_misses_none(wine):
    forest = hiding(RandomForestClassifier(5, random_state=0))
    result = assess(forest.fit(wine[0], wine[2]), wine[1], wine[3], "noise", threat_model=ThreatModel(0.4))
    assert cheap_flags(forest, result) == []


@pytest.mark.parametrize(
    ("params", "is_unfinished"),
    [
        ({}, False),
        ({"max_iter": 20, "eps_step": 0.004}, True),
        ({"max_iter": 20, "eps_step": 0.02}, True),
        ({"max_iter": 100, "eps_step": 0.02}, False),
    ],
)
def test_too_few_steps_raise_their_flag(wine, mlp, params, is_unfinished):
    scores = make_robustness_scorers("pgd", eps_grid=[0.4], **params)(mlp, wine[1], wine[3])
    assert scores["unflagged"] == (not is_unfinished)
    result = assess(mlp, wine[1], wine[3], "pgd", threat_model=ThreatModel(0.4), **params)
    assert cheap_flags(mlp, result) == ["optimization_unfinished"] * is_unfinished
    # Rows that were never finished are no proof: more steps fool more of them.
    finished = assess(mlp, wine[1], wine[3], "apgd", threat_model=ThreatModel(0.4)).robust(0.4).mean()
    assert result.robust(0.4).mean() >= finished - 0.02 + 0.1 * is_unfinished


def ridge(X):
    """Return logits that rise along a bent ridge only, on which steps straight ahead get nowhere."""
    length, angle = X.norm(dim=1), torch.atan2(X[:, 1], X[:, 0])
    rise = torch.exp(angle / torch.pi) - (length - 1.5) ** 2
    return torch.stack([torch.full_like(rise, 9.0), rise, torch.full_like(rise, -9.0)], dim=1)


def test_a_bent_ridge_raises_the_flag_of_unfinished_attacks(rng):
    clf, X = Net(ridge), rng.normal(size=(100, 2)) / 1000
    result = assess(clf, X, clf.predict(X), "apgd", threat_model=ThreatModel(2.0, norm=2))
    assert cheap_flags(clf, result) == ["optimization_unfinished"]


HONEST = {
    "logistic": LogisticRegression(),
    "network": MLPClassifier((30,), max_iter=1000, random_state=0),
    "kernel": SVC(),
    "off-support": OffSupportRobustClassifier(max_epochs=15, random_state=0),
    "discriminant": LinearDiscriminantAnalysis(),
    "pipeline": GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2),
    "forest": RandomForestClassifier(10, random_state=0),
    "tree": DecisionTreeClassifier(random_state=0),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_models_raise_none(wine, name):
    report = report_on(HONEST[name].fit(wine[0], wine[2]), wine)
    assert not report.flags
    assert report.is_upper_bound == (name == "forest")
    if name == "tree":
        assert report.is_exact
        assert "The figures are exact: every row that stands is certified." in " ".join(str(report).split())
        assert report.card()["is_exact"]
    if name in ("network", "forest"):
        assert not report.is_exact


def test_cheap_flags_reach_the_scorer(wine, mlp):
    scorer = make_robustness_scorers("fgsm", eps_grid=[0.3])
    assert scorer(mlp, wine[1], wine[3])["unflagged"] == 1
    assert scorer(hundredfold(mlp), wine[1], wine[3])["unflagged"] == 0
    result = assess(hundredfold(mlp), wine[1], wine[3], "fgsm", threat_model=ThreatModel(0.3))
    assert cheap_flags(hundredfold(mlp), result) == ["saturated_outputs"]


@pytest.fixture(scope="module")
def evidence(wine, mlp):
    """Return evidence of nothing on 50 rows, at the radii 0.2, 0.4 and 0.8, of which the threat model has 0.4."""
    result = assess(mlp, wine[1], wine[3], "nearest_other", threat_model=ThreatModel(0.4), radii=(0.2, 0.4, 0.8))
    n = len(wine[3])
    quiet = {name: np.zeros((3, n), dtype=bool) for name in ("fgsm", "pgd", "apgd", "minimum_norm", "square")}
    control = Control(np.arange(n), np.ones(n, dtype=bool), (0.2, 0.4, 0.8), quiet, np.ones(n, dtype=bool), {})
    return Evidence(mlp, result, control)


def with_fooled(evidence, **counts):
    """Return evidence in which attacks fool the first so many rows at the three radii."""
    n = len(evidence.control.index)
    fooled = {name: np.arange(n) < np.array(rows)[:, np.newaxis] for name, rows in counts.items()}
    control = dataclasses.replace(evidence.control, fooled={**evidence.control.fooled, **fooled})
    return dataclasses.replace(evidence, control=control)


@pytest.mark.parametrize(
    ("counts", "flags"),
    [
        ({}, []),
        ({"fgsm": (3, 0, 0)}, ["one_step_beats_many"]),
        ({"fgsm": (2, 2, 2)}, []),
        ({"fgsm": (0, 0, 9)}, []),
        ({"fgsm": (5, 6, 7), "pgd": (5, 5, 7)}, []),
        ({"square": (0, 3, 3)}, ["black_box_beats_white_box"]),
        ({"square": (3, 3, 3), "minimum_norm": (0, 1, 3)}, ["black_box_beats_white_box"]),
        ({"square": (3, 3, 3), "minimum_norm": (1, 1, 3)}, []),
        ({"apgd": (9, 9, 6)}, ["accuracy_rises_with_eps"]),
        ({"apgd": (9, 9, 6), "pgd": (9, 9, 9)}, []),
        ({"apgd": (9, 7, 9)}, []),
    ],
)
def test_comparisons_need_more_than_two_rows(evidence, counts, flags):
    assert list(flags_of(with_fooled(evidence, **counts))) == flags


@pytest.mark.parametrize(("n_marked", "is_raised"), [(0, False), (2, False), (3, True)])
def test_remarks_need_more_than_two_rows(evidence, n_marked, is_raised):
    n = len(evidence.control.index)
    control = dataclasses.replace(evidence.control, notes={"met and lost": np.arange(n) < n_marked})
    assert ("met_and_lost" in flags_of(dataclasses.replace(evidence, control=control))) == is_raised


@pytest.mark.parametrize(("n_lost", "is_raised"), [(0, False), (5, False), (6, True)])
def test_unbounded_attacks_may_fail_on_few_rows(evidence, n_lost, is_raised):
    distance = evidence.assessment.distance[evidence.control.index]
    lost = np.flatnonzero(np.isfinite(distance) & (distance > 0))[:n_lost]
    far = ~np.isin(evidence.control.index, lost)
    changed = dataclasses.replace(evidence, control=dataclasses.replace(evidence.control, far=far))
    assert ("unbounded_attack_fails" in flags_of(changed)) == is_raised


def test_every_flag_says_what_it_means_and_what_to_do():
    for flag in FLAGS.values():
        assert flag.meaning.endswith(".")
        assert flag.remedy.endswith(".")
