"""Attacks find what an independent attack finds, count only what holds, and leave everything as they found it."""

import logging
import os
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from art.attacks.evasion import FastGradientMethod, HopSkipJump
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skrobust import OffSupportRobustClassifier, ThreatModel
from skrobust.attacks import find_adversarial
from skrobust.torchify import to_torch

PIXELS = (0, 16)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:1000], y[:1000], X[1000:1400], y[1000:1400]


@pytest.fixture(scope="module")
def pipe(digits):
    clf = OffSupportRobustClassifier(smoothness=0, max_epochs=10, random_state=0)
    return make_pipeline(MinMaxScaler(), clf).fit(*digits[:2])


def plain_pgd(module, X, y, threat_model, n_steps=20, seed=0):
    """Return adversarial rows by a loop that shares no line with the package."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.tensor(X, dtype=torch.float64)
    eps, norm = threat_model.eps, threat_model.norm
    low, high = threat_model.bounds or (-np.inf, np.inf)
    if norm == np.inf:
        change = (2 * torch.rand(X.shape, generator=generator, dtype=torch.float64) - 1) * eps
    else:
        change = torch.randn(X.shape, generator=generator, dtype=torch.float64)
        change *= eps * torch.rand(len(X), 1, generator=generator) / change.norm(p=norm, dim=1, keepdim=True)
    for _ in range(n_steps):
        point = (X + change).clamp(low, high).requires_grad_()
        loss = torch.nn.functional.cross_entropy(module(point), torch.tensor(y), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
        if norm == np.inf:
            step = gradient.sign()
        elif norm == 2:
            step = gradient / gradient.norm(dim=1, keepdim=True)
        else:
            largest = gradient.abs().argmax(dim=1, keepdim=True)
            step = torch.zeros_like(gradient).scatter(1, largest, gradient.gather(1, largest).sign())
        change = (point.detach() + eps / 8 * step).clamp(low, high) - X
        length = change.abs().amax(dim=1, keepdim=True) if norm == np.inf else change.norm(p=norm, dim=1, keepdim=True)
        change = change.clamp(-eps, eps) if norm == np.inf else change * (eps / length).clamp(max=1)
    return (X + change).numpy()


@pytest.mark.parametrize("bounds", [None, PIXELS])
@pytest.mark.parametrize(("norm", "eps"), [(np.inf, 0.6), (np.inf, 1.0), (2, 3.0), (1, 5.0)])
def test_pgd_finds_what_an_independent_pgd_finds(pipe, digits, norm, eps, bounds):
    X, y = digits[2:]
    threat_model = ThreatModel(eps, norm, bounds=bounds)
    result = find_adversarial(pipe, X, y, threat_model=threat_model)
    expected = (pipe.predict(plain_pgd(to_torch(pipe), X, y, threat_model)) == y).mean()
    standing = np.mean(~result.success)
    assert 0.05 < expected < 0.95
    assert standing <= expected + 0.02
    # The sum norm gains from leaving alone the features that are at an end.
    assert norm == 1 or standing >= expected - 0.02


@pytest.mark.parametrize("attack", ["pgd", "fgsm"])
@pytest.mark.parametrize("norm", [np.inf, 2, 1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_counts_holds(pipe, digits, attack, norm, dtype):
    X, y = digits[2].astype(dtype), digits[3]
    threat_model = ThreatModel({np.inf: 1.2, 2: 4.0, 1: 15.0}[norm], norm, bounds=PIXELS)
    result = find_adversarial(pipe, X, y, attack, threat_model=threat_model)
    change = result.X_adv.astype(np.float64) - X.astype(np.float64)
    length = np.linalg.norm(change, ord=norm, axis=1)
    was_wrong = pipe.predict(X) != y
    fooled = result.success & ~was_wrong
    assert fooled.any()
    assert not result.success.all()
    assert result.X_adv.dtype == dtype
    assert ((pipe.predict(result.X_adv) != y) == result.success).all()
    assert (length <= threat_model.eps * (1 + 1e-12)).all()
    assert ((result.X_adv >= 0) & (result.X_adv <= 16)).all()
    assert (length[~fooled] == 0).all()
    np.testing.assert_allclose(result.distance, np.where(result.success, length, np.inf))
    assert (result.distance[was_wrong] == 0).all()
    assert (result.route == np.where(was_wrong, "none", "white-box")).all()
    assert (result.n_queries[was_wrong] == 1).all()
    assert (result.n_queries[~result.success] > {"pgd": 20, "fgsm": 1}[attack]).all()


def test_more_steps_fool_more_rows_than_one(pipe, digits):
    X, y = digits[2:]
    threat_model = ThreatModel(1.5, bounds=PIXELS)
    n_fooled = [
        find_adversarial(pipe, X, y, attack, threat_model=threat_model).success.sum() for attack in ("fgsm", "pgd")
    ]
    assert n_fooled[1] > n_fooled[0] > (pipe.predict(X) != y).sum()


def test_parameters_reach_the_attack(pipe, digits):
    X, y = digits[2:]
    few = find_adversarial(pipe, X, y, threat_model=ThreatModel(1.5), max_iter=2, eps_step=0.01, num_random_init=0)
    many = find_adversarial(pipe, X, y, threat_model=ThreatModel(1.5), max_iter=50, eps_step=0.2)
    assert few.n_queries.max() < many.n_queries.max()
    assert few.success.sum() < many.success.sum()
    fooled = few.success & (few.distance > 0)
    assert (few.distance[fooled] <= 0.02 * (1 + 1e-6)).all()


@pytest.mark.parametrize("attack", ["pgd", "fgsm"])
def test_eps_zero_changes_nothing(pipe, digits, attack):
    X, y = digits[2:]
    result = find_adversarial(pipe, X, y, attack, threat_model=ThreatModel(0))
    assert (result.X_adv == X).all()
    assert (result.success == (pipe.predict(X) != y)).all()
    assert set(result.distance) <= {0, np.inf}
    assert set(result.route) == {"none"}


@pytest.mark.parametrize("names", [["no", "yes"], [-1, 1], ["c", "a", "b"], [2.0, 0.0, 7.0]])
def test_any_labels(blobs, quick, names):
    X, codes = blobs
    X, codes = X[codes < len(names)], codes[codes < len(names)]
    y = np.array(names)[codes]
    clf = quick(max_epochs=20, lr=0.05).fit(X, y)
    result = find_adversarial(clf, X, y, threat_model=ThreatModel(1.0))
    expected = find_adversarial(
        quick(max_epochs=20, lr=0.05).fit(X, np.searchsorted(np.unique(y), y)),
        X,
        np.searchsorted(np.unique(y), y),
        threat_model=ThreatModel(1.0),
    )
    assert 0 < result.success.mean() < 1
    assert (result.success == expected.success).all()
    assert (result.X_adv == expected.X_adv).all()


@pytest.mark.parametrize("unknown", [99, -1])
def test_labels_that_the_estimator_does_not_know_are_misclassified(pipe, digits, unknown):
    X, y = digits[2][:20], digits[3][:20].copy()
    y[:5] = unknown
    result = find_adversarial(pipe, X, y, threat_model=ThreatModel(0.5))
    assert result.success[:5].all()
    assert (result.distance[:5] == 0).all()


def test_every_row_misclassified_needs_no_attack(pipe, digits):
    result = find_adversarial(pipe, digits[2][:5], np.full(5, 99), threat_model=ThreatModel(0.5))
    assert result.success.all()
    assert set(result.route) == {"none"}


def test_scikit_learn_network_in_nested_pipeline(digits):
    X, y, X_test, y_test = digits
    inner = make_pipeline("passthrough", StandardScaler())
    nested = make_pipeline(MinMaxScaler(), inner, MLPClassifier((30,), max_iter=200, tol=1e-3, random_state=0)).fit(
        X, y
    )
    result = find_adversarial(nested, X_test, y_test, threat_model=ThreatModel(1.0, bounds=PIXELS))
    assert result.success.mean() > 0.5


def test_frames_keep_their_names_and_kind(quick, blobs):
    X, y = blobs
    frame = pd.DataFrame(X, columns=list("abcd"), index=[f"row {i}" for i in range(len(X))])
    clf = make_pipeline(StandardScaler(), quick(max_epochs=20, lr=0.05)).fit(frame, y)
    result = find_adversarial(clf, frame, pd.Series(y), threat_model=ThreatModel(1.0))
    assert result.success.any()
    assert result.X_adv.columns.equals(frame.columns)
    assert result.X_adv.index.equals(frame.index)
    assert ((clf.predict(result.X_adv) != y) == result.success).all()


def test_images_keep_their_shape(quick, digit_images):
    X, y = digit_images
    clf = quick(module="lenet").fit(X, y)
    result = find_adversarial(clf, X, y, threat_model=ThreatModel(0.2, bounds=(0, 1)))
    assert result.X_adv.shape == X.shape
    assert result.success.any()


class Viewing(torch.nn.Module):
    """A network as tutorials write them: its activations must lie in memory as its input does."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, 4, 3)
        self.dense = torch.nn.Linear(4 * 6 * 6, 10)

    def forward(self, X):
        activations = self.convolution(X).relu()
        return self.dense(activations.view(len(X), -1))


@pytest.mark.parametrize("attack", ["worst_case", "carlini_l2"])
def test_networks_may_view_their_activations(attack, digit_images):
    X, y = digit_images
    clf = OffSupportRobustClassifier(Viewing, max_epochs=3, penalty="curvature", device="cpu").fit(X, y)
    threat = ThreatModel(1, norm=2, bounds=(0, 1))
    found = find_adversarial(clf, X[:5], y[:5], threat_model=threat, attack=attack)
    assert found.X_adv.shape == (5, 8, 8)


class FailsAlone(LogisticRegression):
    def decision_function(self, X):
        if len(X) == 1:
            raise RuntimeError("Expected more than 1 value per channel")
        return super().decision_function(X)


def test_estimators_that_fail_on_a_row_alone_are_explained(digits):
    clf = FailsAlone(max_iter=1000).fit(digits[0], digits[1])
    message = r"type FailsAlone fails on a row alone, .*track_running_stats=True.* It says: Expected more than 1 value"
    with pytest.raises(ValueError, match=message):
        find_adversarial(clf, digits[2][:9], digits[3][:9], threat_model=ThreatModel(0.1))


def test_integer_pixels_give_float_rows(pipe, digits):
    X, y = digits[2].astype(np.uint8), digits[3]
    result = find_adversarial(pipe, X, y, threat_model=ThreatModel(1.0, bounds=PIXELS))
    assert result.X_adv.dtype == np.float64
    assert result.success.mean() > 0.2


@pytest.mark.parametrize("high", [16, np.inf])
def test_bounds_per_feature_hold(pipe, digits, high):
    X, y = digits[2:]
    fixed = np.arange(64) % 2 == 0
    X = np.where(fixed, X[0], X)
    bounds = np.where(fixed, X[0], 0), np.where(fixed, X[0], high)
    result = find_adversarial(pipe, X, y, threat_model=ThreatModel(3.0, bounds=bounds))
    assert (result.success & (result.distance > 0)).any()
    assert (result.X_adv[:, fixed] == X[:, fixed]).all()
    assert (result.X_adv >= 0).all()


@pytest.mark.parametrize(("norm", "dual"), [(1, np.inf), (2, 2), (np.inf, 1)])
def test_deepfool_goes_on_where_the_steepest_feature_cannot_move(norm, dual):
    X = np.random.default_rng(0).uniform(size=(100, 3))
    clf = LogisticRegression().fit(X, X @ [3, 1, 2] > 3)
    threat_model = ThreatModel(100.0, norm=norm, immutable=[0])
    found = find_adversarial(clf, X, clf.predict(X), attack="deepfool", threat_model=threat_model)
    expected = np.abs(clf.decision_function(X)) / np.linalg.norm(clf.coef_[0, 1:], ord=dual)
    np.testing.assert_allclose(found.distance, expected, rtol=0.01)


def test_attack_is_as_strong_on_data_far_from_zero(pipe, digits):
    X, y = digits[2:]
    span = np.repeat([PIXELS], 64, axis=0).T
    success = []
    for shift, scale in [(0, 1), (1e4, 1e-3)]:
        shifted = make_pipeline(MinMaxScaler().fit(shift + scale * span), pipe[-1])
        result = find_adversarial(shifted, shift + scale * X, y, threat_model=ThreatModel(scale))
        success.append(result.success.mean())
    assert success[1] == pytest.approx(success[0], abs=0.01)


def test_gradients_too_small_for_float32_are_followed(digits):
    X, y, X_test, y_test = digits
    confident = make_pipeline(MinMaxScaler(), MLPClassifier((30,), max_iter=200, tol=1e-3, random_state=0)).fit(X, y)
    confident[-1].coefs_[-1] *= 100
    confident[-1].intercepts_[-1] *= 100
    threat_model = ThreatModel(1.0)
    result = find_adversarial(confident, X_test, y_test, threat_model=threat_model)
    in_float64 = plain_pgd(to_torch(confident), X_test, y_test, threat_model)
    assert result.success.mean() > (confident.predict(in_float64) != y_test).mean() - 0.02


def test_same_seed_gives_the_same_bits(pipe, digits):
    X, y = digits[2:]
    one, two, other = (
        find_adversarial(pipe, X, y, threat_model=ThreatModel(1.0), random_state=seed).X_adv
        for seed in (3, np.random.RandomState(3), 4)
    )
    assert (one == two).all()
    assert (one != other).any()


def test_everything_is_left_as_it_was(pipe, digits):
    X, y = digits[2].copy(), digits[3].copy()
    network = pipe[-1].net_.module_.eval()
    grads = [None if parameter.grad is None else parameter.grad.clone() for parameter in network.parameters()]
    weights = [parameter.detach().clone() for parameter in network.parameters()]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    level = logging.getLogger().level
    find_adversarial(pipe, X, y, threat_model=ThreatModel(1.0))
    assert not network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    for parameter, grad, weight in zip(network.parameters(), grads, weights, strict=True):
        assert (parameter.grad is None) if grad is None else torch.equal(parameter.grad, grad)
        assert torch.equal(parameter, weight)
    assert random.getstate() == states[0]
    np.testing.assert_equal(np.random.get_state(), states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert logging.getLogger().level == level
    np.testing.assert_array_equal(X, digits[2])
    np.testing.assert_array_equal(y, digits[3])


SCRIPT = """
import os, sys
import numpy as np
import skrobust, skrobust.attacks
assert not {"art", "matplotlib"} & set(sys.modules), "importing skrobust is not light"
from skrobust import OffSupportRobustClassifier, ThreatModel
X = np.random.default_rng(0).normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)
clf = OffSupportRobustClassifier(max_epochs=2, random_state=0).fit(X, y)
before = dict(os.environ)
result = skrobust.attacks.find_adversarial(clf, X, y, threat_model=ThreatModel(0.5))
assert "art" not in sys.modules, "an attack of our own imports ART"
skrobust.attacks.find_adversarial(clf, X[:5], y[:5], "carlini_l2", threat_model=ThreatModel(0.5, 2), max_iter=1)
assert dict(os.environ) == before
import art.config
print(art.config.ART_DATA_PATH)
"""


@pytest.mark.parametrize("has_config", [False, True])
def test_imports_are_lazy_and_the_home_folder_stays_clean(tmp_path, has_config):
    folder = tmp_path / ".art"
    if has_config:
        folder.mkdir()
        (folder / "config.json").write_text(f'{{"ART_DATA_PATH": "{tmp_path / "elsewhere"}"}}')
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(tmp_path / "elsewhere" if has_config else folder / "data")
    assert folder.exists() == has_config


# ---- wrong input ----


def test_unfitted_estimator(blobs):
    with pytest.raises(NotFittedError):
        find_adversarial(OffSupportRobustClassifier(), *blobs, threat_model=ThreatModel(1.0))


@pytest.mark.parametrize("estimator", [StandardScaler(), LinearRegression()])
def test_estimator_that_is_no_classifier(blobs, estimator):
    with pytest.raises(TypeError, match=r"is no classifier .* pass a fitted classifier"):
        find_adversarial(estimator.fit(*blobs), *blobs, threat_model=ThreatModel(1.0))


def halfway(estimator, X, y, *, radius, rng):
    return X + rng.uniform(-radius, radius, size=X.shape)


@pytest.mark.parametrize(
    ("attack", "params", "route"),
    [
        ("pgd", {"max_iter": 2}, "white-box"),
        ("worst_case", {}, "white-box"),
        (FastGradientMethod, {}, "white-box"),
        ("square", {"max_queries": 5}, "black-box"),
        ("nearest_other", {}, "black-box"),
        (HopSkipJump, {"max_iter": 1, "max_eval": 20, "init_eval": 5}, "black-box"),
        (halfway, {}, "black-box"),
    ],
    ids=["pgd", "worst_case", "of ART, along gradients", "square", "nearest_other", "of ART, by asking", "function"],
)
def test_attacks_that_only_ask_make_black_boxes_of_differentiable_classifiers(pipe, digits, attack, params, route):
    result = find_adversarial(pipe, digits[2][:12], digits[3][:12], attack, threat_model=ThreatModel(0.5), **params)
    assert set(result.route) <= {route, "none"}
    assert route in result.route
    assert result.max_distance == 0.5


class Contrarian(MLPClassifier):
    def predict(self, X):
        return self.classes_[::-1][super().predict(X)]


def test_subclass_that_computes_something_else_is_a_black_box(digits):
    clf = Contrarian((10,), max_iter=100, tol=1e-2, random_state=0).fit(*digits[:2])
    result = find_adversarial(clf, digits[2][:50], 9 - digits[3][:50], threat_model=ThreatModel(2.0))
    assert set(result.route) == {"black-box", "none"}
    assert result.success.mean() > 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite(pipe, digits, value):
    X = digits[2].copy()
    X[0, 0] = value
    with pytest.raises(ValueError, match=r"X cannot be attacked, .* contains (NaN|infinity)"):
        find_adversarial(pipe, X, digits[3], threat_model=ThreatModel(1.0))


def test_rows_that_are_not_numbers(pipe):
    with pytest.raises(ValueError, match=r"X cannot be attacked, .* could not convert string"):
        find_adversarial(pipe, [["a"] * 64], [0], threat_model=ThreatModel(1.0))


def test_sparse_rows(pipe, digits):
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"X cannot be attacked, .* dense data is required"):
        find_adversarial(pipe, sparse.csr_array(digits[2]), digits[3], threat_model=ThreatModel(1.0))


def test_no_rows(pipe):
    with pytest.raises(ValueError, match=r"X cannot be attacked, .* 0 sample"):
        find_adversarial(pipe, np.empty((0, 64)), [], threat_model=ThreatModel(1.0))


def test_y_of_another_length(pipe, digits):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        find_adversarial(pipe, digits[2], digits[3][:-1], threat_model=ThreatModel(1.0))


def test_unknown_attack(pipe, digits):
    with pytest.raises(
        ValueError, match=r"attack='pgf' is unknown: use one of \['apgd', .*a class of ART or a callable"
    ):
        find_adversarial(pipe, *digits[2:], "pgf", threat_model=ThreatModel(1.0))


@pytest.mark.parametrize(("attack", "name"), [("pgd", "eps"), ("pgd", "targeted"), ("fgsm", "max_iter")])
def test_unknown_parameter(pipe, digits, attack, name):
    with pytest.raises(TypeError, match=f"attack='{attack}' has no parameter '{name}': it has"):
        find_adversarial(pipe, *digits[2:], attack, threat_model=ThreatModel(1.0), **{name: 1})


@pytest.mark.parametrize(
    "params",
    [{"max_iter": 0}, {"max_iter": 1.5}, {"eps_step": 0}, {"num_random_init": -1}, {"decay": -1.0}],
    ids=str,
)
def test_parameter_out_of_range(pipe, digits, params):
    with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter of find_adversarial must be"):
        find_adversarial(pipe, *digits[2:], threat_model=ThreatModel(1.0), **params)


def test_threat_model_of_another_type(pipe, digits):
    with pytest.raises(TypeError, match=r"threat_model=0.1 must be a ThreatModel: use ThreatModel\(eps="):
        find_adversarial(pipe, *digits[2:], threat_model=0.1)


def test_rows_outside_the_bounds(pipe, digits):
    with pytest.raises(
        ValueError, match=r"bounds=\(0.0, 1.0\) .* exclude values of X in \d+ features, first in feature \d"
    ):
        find_adversarial(pipe, *digits[2:], threat_model=ThreatModel(1.0, bounds=(0, 1)))


def test_bounds_for_other_features(pipe, digits):
    with pytest.raises(ValueError, match="have 3 entries, but X has 64 features"):
        find_adversarial(pipe, *digits[2:], threat_model=ThreatModel(1.0, bounds=([0, 0, 0], 16)))
