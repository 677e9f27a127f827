"""Penalties against their mathematics: autograd references, invariance, and the loss of the paper."""

import contextlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from torch import nn

from skrobust._objective import OffSupport
from skrobust.adversary import worst_directions
from skrobust.data import Moments
from skrobust.losses import cross_entropy
from skrobust.modules import MLP
from skrobust.penalties import (
    Curvature,
    InputGradient,
    Jacobian,
    Smoothness,
    Stability,
    UniformConfidence,
    VirtualAdversarial,
    WorstDirection,
    lambda_from_smoothness,
    resolve_neighbors,
    resolve_penalty,
    smoothness_from_lambda,
)
from skrobust.unlabeled import Gaussian, Support

N_FEATURES, N_CLASSES = 5, 3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MLP(N_FEATURES, N_CLASSES, (16,), activation=nn.Tanh).double()


@pytest.fixture(name="X")
def rows():
    spread = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0], dtype=torch.float64)
    return torch.randn(20, N_FEATURES, generator=generator(), dtype=torch.float64) * spread + 1


@pytest.fixture
def y():
    return torch.arange(20) % N_CLASSES


def support_of(X, noise_units="global"):
    return Support.from_moments(Moments.of(X.numpy()), noise_units=noise_units, dtype=X.dtype, device=X.device)


def neighborhood_of(support, radius=0.3, n_neighbors=2, sampler=None, seed=1):
    neighbors, kind = resolve_neighbors(sampler or Gaussian())
    return kind(neighbors, n_neighbors, radius, support, generator(seed))


def penalty_of(network, anchors, neighborhood, penalty=None, labels=None):
    penalty = penalty or Smoothness()
    neighborhood = neighborhood.at(lambda: contextlib.nullcontext(network), labels)
    points = penalty.points(anchors, neighborhood)
    return penalty.value(points, network(points), neighborhood)


def softmax_jacobians(network, X):
    """Return d p_c / d x_j at every row, shape (n, n_classes, n_features), by automatic differentiation."""
    return torch.func.vmap(torch.func.jacrev(lambda x: network(x[None])[0].softmax(dim=0)))(X)


def test_it_tends_to_the_squared_frobenius_norm_of_the_softmax_jacobian(network, X):
    support = support_of(X)
    with torch.no_grad():
        value = penalty_of(network, X, neighborhood_of(support, radius=1e-4, n_neighbors=4000))
    frobenius = softmax_jacobians(network, X).square().sum(dim=(1, 2)).mean()
    assert value.item() == pytest.approx(support.data_scale**2 * frobenius.item(), rel=0.02)


def test_with_units_of_each_feature_it_tends_to_that_of_the_standardized_features(network, X):
    with torch.no_grad():
        value = penalty_of(network, X, neighborhood_of(support_of(X, "std"), radius=1e-4, n_neighbors=4000))
    # Standardized features have D^2 = 2 d, and their derivative is the derivative times the standard deviation.
    scaled = softmax_jacobians(network, X) * X.std(dim=0, correction=0)
    assert value.item() == pytest.approx(2 * N_FEATURES * scaled.square().sum(dim=(1, 2)).mean().item(), rel=0.02)


def test_one_linear_direction_gives_the_slope_exactly():
    class Along(nn.Module):
        def forward(self, X):
            return torch.stack([X[:, 0], torch.zeros(len(X), dtype=X.dtype)], dim=1)

    anchors = torch.zeros(1, 1, dtype=torch.float64)
    support = Support(3.0, torch.tensor(3.0, dtype=torch.float64), anchors[0], anchors[0])
    neighborhood = neighborhood_of(support, radius=0.5, n_neighbors=1)
    points = Smoothness().points(anchors, neighborhood)
    step = (points[1] - points[0]).item()
    change = 1 / (1 + math.exp(-step)) - 0.5
    value = Smoothness().value(points, Along()(points), neighborhood)
    assert value.item() == pytest.approx(3.0**2 * 2 * change**2 / step**2)


def test_points_are_the_anchors_and_then_their_neighbors(X):
    points = Smoothness().points(X, neighborhood_of(support_of(X), radius=1e-6, n_neighbors=3))
    assert points.shape == (4 * 20, N_FEATURES)
    assert torch.equal(points[:20], X)
    torch.testing.assert_close(points[20:], X.repeat(3, 1), rtol=0, atol=1e-4)
    assert len(points.unique(dim=0)) == 80, "every neighbor has noise of its own"


@pytest.mark.parametrize("n_neighbors", [1, 3])
def test_it_is_the_mean_over_anchors_and_neighbors(network, X, n_neighbors):
    support = support_of(X)
    neighborhood = neighborhood_of(support, n_neighbors=n_neighbors)
    points = Smoothness().points(X, neighborhood)
    p = network(points).softmax(dim=1)
    quotients = [
        N_FEATURES * (p[i] - p[i % 20]).square().sum() / (points[i] - points[i % 20]).square().sum()
        for i in range(20, len(points))
    ]
    expected = support.data_scale**2 * torch.stack(quotients).mean()
    torch.testing.assert_close(Smoothness().value(points, network(points), neighborhood), expected)


# Against automatic differentiation, row by row


def jacobians(function, X):
    """Return the derivative of a function of one row at every row, shape (n, ..., n_features)."""
    return torch.stack([torch.autograd.functional.jacobian(function, x) for x in X])


def loss_gradients(network, X, y):
    """Return the gradient of the cross-entropy of each row on its own."""
    return torch.cat(
        [jacobians(lambda x, i=i: cross_entropy(network(x[None]), y[i, None]), X[i, None]) for i in range(len(X))]
    )


def units_of(X, noise_units):
    """Return what one unit of noise is in each feature, times the root of the number of features."""
    return X.std(dim=0, correction=0) * (2 * N_FEATURES) ** 0.5 if noise_units == "std" else support_of(X).data_scale


UNITS = pytest.mark.parametrize("noise_units", ["global", "std"])


@UNITS
def test_the_exact_jacobian(network, X, noise_units):
    value = penalty_of(network, X, neighborhood_of(support_of(X, noise_units)), Jacobian(n_projections=-1))
    J = jacobians(lambda x: network(x[None])[0], X) * units_of(X, noise_units)
    torch.testing.assert_close(value, J.square().sum(dim=(1, 2)).mean(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("n_projections", [1, 2, 7])
def test_projections_estimate_the_jacobian_without_bias(network, X, n_projections):
    neighborhood, penalty = neighborhood_of(support_of(X)), Jacobian(n_projections)
    exact = penalty_of(network, X, neighborhood, Jacobian(n_projections=-1)).item()
    estimates = np.array([penalty_of(network, X, neighborhood, penalty).item() for _ in range(300)])
    error = estimates.std() / len(estimates) ** 0.5
    assert abs(estimates.mean() - exact) < 4 * error
    # A projection hits each of the singular directions of J by chance: more of them miss by less.
    assert estimates.std() / exact < 0.25 / n_projections**0.5


@UNITS
@pytest.mark.parametrize("soft", [False, True])
def test_the_input_gradient(network, X, y, noise_units, soft):
    labels = torch.nn.functional.one_hot(y, N_CLASSES) * 0.7 + 0.1 if soft else y
    value = penalty_of(network, X, neighborhood_of(support_of(X, noise_units)), InputGradient(), labels)
    gradients = loss_gradients(network, X, labels) * units_of(X, noise_units)
    torch.testing.assert_close(value, gradients.square().sum(dim=1).mean(), rtol=1e-9, atol=0)


@UNITS
@pytest.mark.parametrize("direction", ["sign", "gradient"])
def test_the_curvature_is_the_same_finite_difference(network, X, y, noise_units, direction):
    penalty, units = Curvature(h=0.2, direction=direction), units_of(X, noise_units)
    value = penalty_of(network, X, neighborhood_of(support_of(X, noise_units)), penalty, y)
    slope = loss_gradients(network, X, y) * units
    z = slope.sign() if direction == "sign" else slope
    z = z / z.norm(dim=1, keepdim=True)
    change = loss_gradients(network, X + 0.2 * units * z, y) * units - slope
    torch.testing.assert_close(value, change.square().sum(dim=1).mean(), rtol=1e-9, atol=0)


def kl(network, X, others):
    p, q = network(X).softmax(dim=1), network(others).softmax(dim=1)
    return (p * (p / q).log()).sum(dim=1)


def recorded(network, X, neighborhood, penalty):
    """Return the points of a penalty and its value."""
    neighborhood = neighborhood.at(lambda: contextlib.nullcontext(network), None)
    points = penalty.points(X, neighborhood)
    return points.detach(), penalty.value(points, network(points), neighborhood)


@pytest.mark.parametrize("n_neighbors", [1, 3])
@pytest.mark.parametrize("penalty", [Stability(), VirtualAdversarial()], ids=repr)
def test_divergence_from_the_answers_at_the_anchors(network, X, penalty, n_neighbors):
    points, value = recorded(network, X, neighborhood_of(support_of(X), n_neighbors=n_neighbors), penalty)
    assert torch.equal(points[:20], X)
    expected = kl(network, X.repeat(n_neighbors, 1), points[20:]).mean()
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)


@UNITS
@pytest.mark.parametrize("penalty", [VirtualAdversarial(3), Smoothness()], ids=repr)
def test_worst_neighbors_lie_at_the_radius(network, X, penalty, noise_units):
    neighborhood = neighborhood_of(support_of(X, noise_units), 0.3, 2, sampler=WorstDirection())
    points, _ = recorded(network, X, neighborhood, penalty)
    length = ((points[20:] - X.repeat(2, 1)) / units_of(X, noise_units)).norm(dim=1)
    torch.testing.assert_close(length, torch.full_like(length, 0.3))


def test_power_iteration_finds_the_direction_of_greatest_curvature_of_the_divergence(network, X):
    neighborhood = neighborhood_of(support_of(X), radius=1e-3, n_neighbors=1)
    points, _ = recorded(network, X, neighborhood, VirtualAdversarial(100))
    direction = (points[20:] - X) / (points[20:] - X).norm(dim=1, keepdim=True)
    J, p = jacobians(lambda x: network(x[None])[0], X), network(X).softmax(dim=1).detach()
    fisher = torch.einsum("nci,nc,ncj->nij", J, p, J) - torch.einsum("nci,nc,nd,ndj->nij", J, p, p, J)
    leading = torch.linalg.eigh(fisher).eigenvectors[:, :, -1]
    assert ((direction * leading).sum(dim=1).abs() > 0.999).all()


def test_a_given_first_direction_and_one_gradient_give_a_given_r(network, X):
    support, radius, xi = support_of(X), 0.3, 0.1
    points, _ = recorded(network, X, neighborhood_of(support, radius, 1), VirtualAdversarial(1, xi=xi))
    start = torch.randn(X.shape, generator=generator(1), dtype=X.dtype)
    start = start / start.norm(dim=1, keepdim=True)
    step = (xi * radius * support.data_scale * start).requires_grad_()
    (gradient,) = torch.autograd.grad(kl(network, X, X + step).sum(), step)
    r = radius * support.data_scale * gradient / gradient.norm(dim=1, keepdim=True)
    torch.testing.assert_close(points[20:], X + r, rtol=1e-9, atol=1e-9)


def test_the_answers_at_the_anchors_are_constants_of_virtual_adversarial_training(network, X):
    support = support_of(X)

    def slope(penalty, freeze):
        neighborhood = neighborhood_of(support, n_neighbors=1)
        neighborhood = neighborhood.at(lambda: contextlib.nullcontext(network), None)
        points = penalty.points(X, neighborhood).detach()
        logits = network(points)
        here = logits[:20].detach() if freeze else logits[:20]
        expected = torch.nn.functional.kl_div(
            logits[20:].log_softmax(1), here.log_softmax(1), log_target=True, reduction="batchmean"
        )
        parameters = list(network.parameters())
        ours = torch.autograd.grad(penalty.value(points, logits, neighborhood), parameters, retain_graph=True)
        return ours, torch.autograd.grad(expected, parameters)

    torch.testing.assert_close(*slope(VirtualAdversarial(), freeze=True))
    torch.testing.assert_close(*slope(Stability(), freeze=False))


def test_worst_neighbors_of_a_linear_network_follow_its_weights(X):
    network = nn.Linear(N_FEATURES, 2, dtype=X.dtype)
    with torch.no_grad():
        network.weight *= 0.01  # far from saturation
    neighborhood = neighborhood_of(support_of(X), 0.5, 1, sampler=WorstDirection())
    points, value = recorded(network, X, neighborhood, Smoothness())
    normal = (network.weight[0] - network.weight[1]).detach()
    cosine = (points[20:] - X) @ normal / (points[20:] - X).norm(dim=1) / normal.norm()
    torch.testing.assert_close(cosine.abs(), torch.ones(20, dtype=X.dtype))
    random = [penalty_of(network, X, neighborhood_of(support_of(X), 0.5, 1, seed=seed)) for seed in range(5)]
    assert value > 2 * max(random)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_where_there_is_no_gradient_the_direction_is_random(X, dtype):
    class Sure(nn.Linear):
        def forward(self, X):
            return 0 * super().forward(X) + torch.tensor([1000.0, 0.0, 0.0], dtype=X.dtype)

    X = X.to(dtype)
    network = Sure(N_FEATURES, N_CLASSES, dtype=dtype)
    for penalty in (Smoothness(), VirtualAdversarial()):
        points, value = recorded(network, X, neighborhood_of(support_of(X), 0.3, 1, sampler=WorstDirection()), penalty)
        length = (points[20:] - X).norm(dim=1) / support_of(X).data_scale
        torch.testing.assert_close(length, torch.full_like(length, 0.3), rtol=1e-3, atol=0)
        assert value == 0


@pytest.mark.parametrize("size", [1e-4, 1.0])
def test_a_tiny_gradient_has_a_direction_in_single_precision_too(X, size):
    # Its square is 0 in single precision: the direction must not be that of rounding errors.
    X, weight = X.float(), torch.linspace(-1, 1, N_FEATURES)[:, None]
    ball_points = worst_directions_of(lambda points: size * 1e-26 * (points @ weight).sum(), X)
    torch.testing.assert_close(ball_points, (weight / weight.norm()).T.expand_as(X))


def worst_directions_of(gain, X):
    return worst_directions(gain, X, 1.0, generator(0))


@pytest.mark.parametrize("measure", ["max", "uniform"])
def test_confidence_is_zero_where_all_classes_are_equally_likely_and_else_above(network, X, measure):
    penalty, neighborhood = UniformConfidence(measure), neighborhood_of(support_of(X))
    even = penalty.value(X, torch.zeros(20, N_CLASSES, dtype=X.dtype), neighborhood)
    assert even.item() == pytest.approx(0, abs=1e-12)
    p = network(X).softmax(dim=1)
    expected = p.max(dim=1).values.log().mean() if measure == "max" else -p.log().mean()
    constant = math.log(N_CLASSES) * (1 if measure == "max" else -1)
    value = penalty_of(network, X, neighborhood, penalty)
    torch.testing.assert_close(value, expected + constant)
    assert value > 0


@pytest.mark.parametrize("measure", ["max", "uniform"])
def test_the_most_confident_point_nearby_is_within_the_radius(network, X, measure):
    neighborhood = neighborhood_of(support_of(X), radius=0.2)
    given, value = recorded(network, X, neighborhood, UniformConfidence(measure))
    moved, higher = recorded(network, X, neighborhood, UniformConfidence(measure, n_steps=5))
    assert torch.equal(given, X)
    assert higher > 1.2 * value
    length = (moved - X).norm(dim=1) / support_of(X).data_scale
    assert (length <= 0.2 + 1e-9).all()
    assert length.max() > 0.19


ALL = {
    "smoothness": Smoothness(),
    "worst direction": Smoothness(),
    "jacobian": Jacobian(),
    "exact jacobian": Jacobian(-1),
    "input gradient": InputGradient(),
    "curvature": Curvature(),
    "curvature along the gradient": Curvature(direction="gradient"),
    "virtual adversarial": VirtualAdversarial(),
    "stability": Stability(),
    "uniform confidence": UniformConfidence(),
    "acet": UniformConfidence("uniform", n_steps=3),
}


def value_in_other_units(name, network, X, y, scale, noise_units):
    neighborhood = neighborhood_of(
        support_of(scale * X, noise_units), sampler=WorstDirection() if name == "worst direction" else None
    )
    inverse = Inverse(network, torch.eye(N_FEATURES, dtype=X.dtype), scale)
    return penalty_of(inverse, scale * X, neighborhood, ALL[name], y)


@UNITS
@pytest.mark.parametrize("scale", [1e-3, 255.0])
@pytest.mark.parametrize("name", ALL)
def test_every_penalty_is_a_pure_number(network, X, y, name, scale, noise_units):
    expected = value_in_other_units(name, network, X, y, 1.0, noise_units)
    value = value_in_other_units(name, network, X, y, scale, noise_units)
    assert expected > 1e-4
    torch.testing.assert_close(value, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", ALL)
def test_constant_features_change_no_penalty_where_each_has_its_own_unit(network, X, y, name):
    def mean(rows, network):
        sampler = WorstDirection() if name == "worst direction" else None
        support = support_of(rows, "std")
        values = [
            penalty_of(
                network, rows, neighborhood_of(support, n_neighbors=20, sampler=sampler, seed=seed), ALL[name], y
            )
            for seed in range(10)
        ]
        return torch.stack(values).mean()

    padded = torch.cat([X, torch.ones(len(X), 45, dtype=X.dtype)], dim=1)
    expected = mean(X, network)
    torch.testing.assert_close(mean(padded, lambda rows: network(rows[:, :N_FEATURES])), expected, rtol=0.15, atol=0)


@pytest.mark.parametrize("name", ALL)
def test_every_penalty_has_the_derivative_of_its_value(network, X, y, name):
    penalty = ALL[name]
    neighborhood = neighborhood_of(support_of(X), sampler=WorstDirection() if name == "worst direction" else None)
    neighborhood = neighborhood.at(lambda: contextlib.nullcontext(network), y)
    points, weight = penalty.points(X, neighborhood), next(network.parameters())

    def value():
        neighborhood.generator.manual_seed(5)
        logits = network(points)
        if name == "virtual adversarial":  # whose answers at the anchors are constants
            logits = torch.cat([here, logits[20:]])
        return penalty.value(points, logits, neighborhood)

    here = network(points)[:20].detach()
    (gradient,) = torch.autograd.grad(value(), weight)
    step = 1e-5 * torch.randn(weight.shape, generator=generator(6), dtype=X.dtype)
    with torch.no_grad():
        weight += step
    above = value().item()
    with torch.no_grad():
        weight -= 2 * step
    assert above - value().item() == pytest.approx(2 * (gradient * step).sum().item(), rel=1e-5)


def test_neighbors_that_coincide_with_their_anchors_cost_nothing(network, X):
    support = support_of(torch.ones(4, N_FEATURES, dtype=torch.float64))
    value = penalty_of(network, X, neighborhood_of(support))
    value.backward()
    assert value.item() == 0.0
    assert all(not parameter.grad.any() for parameter in network.parameters())


class Mapped:
    """Sampler whose noise goes through the same rotation and scale as the data."""

    def __init__(self, rotation):
        self.rotation = rotation

    def sample(self, X, support, radius, generator):
        noise = torch.randn(X.shape, generator=generator, dtype=X.dtype)
        return X + radius * support.unit * noise @ self.rotation.T


class Inverse(nn.Module):
    """Network behind the inverse of x -> scale * rotation x."""

    def __init__(self, network, rotation, scale):
        super().__init__()
        self.network, self.rotation, self.scale = network, rotation, scale

    def forward(self, X):
        return self.network(X @ self.rotation / self.scale)


def objective_of(X, sampler, *, n_unlabeled=1, weight=0.03, n_neighbors=2):
    support = support_of(X)
    return OffSupport(
        weight=weight,
        penalty=Smoothness(),
        neighborhood=neighborhood_of(support, radius=0.8, n_neighbors=n_neighbors, sampler=sampler),
        sampler=sampler,
        generated=sampler,
        n_unlabeled=n_unlabeled,
        radius=1.0,
        support=support,
        generator=generator(2),
        projection=torch.ones(X.shape[1], dtype=X.dtype),
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 255.0])
@pytest.mark.parametrize("rotate", [False, True])
def test_scaling_and_rotating_points_and_noise_changes_nothing(network, X, y, scale, rotate):
    identity = torch.eye(N_FEATURES, dtype=torch.float64)
    rotation = (
        torch.linalg.qr(torch.randn(5, 5, generator=generator(3), dtype=torch.float64))[0] if rotate else identity
    )
    mapped_X, mapped_network = scale * X @ rotation.T, Inverse(network, rotation, scale)

    step = objective_of(X, Mapped(identity))(lambda points, *layout: network(points), X, y)
    mapped = objective_of(mapped_X, Mapped(rotation))(lambda points, *layout: mapped_network(points), mapped_X, y)
    assert step["terms"]["penalty"] > 0.01
    for name, value in step["terms"].items():
        torch.testing.assert_close(mapped["terms"][name], value, rtol=1e-9, atol=0, msg=name)


@pytest.mark.parametrize("n_unlabeled", [1, 3])
def test_the_loss_of_the_paper_is_ours_by_the_conversion_of_lambda(network, X, y, n_unlabeled):
    smoothness, seen = 0.04, []
    objective = objective_of(X, Gaussian(), n_unlabeled=n_unlabeled, weight=smoothness, n_neighbors=1)
    lambda_ = lambda_from_smoothness(
        smoothness,
        data_scale=objective.support.data_scale,
        n_features=N_FEATURES,
        n_classes=N_CLASSES,
        n_unlabeled=n_unlabeled,
    )

    def forward(points, *layout):
        seen.append(points)
        return network(points)

    ours = objective(forward, X[:1], y[:1])["loss"]

    # The paper takes one step per anchor, at batch size 1; only that of the labeled anchor has a cross-entropy.
    anchors, neighbors = seen[0].tensor_split(2)
    assert len(anchors) == 1 + n_unlabeled
    paper = cross_entropy(network(X[:1]), y[:1])
    for anchor, neighbor in zip(anchors, neighbors, strict=True):
        p, q = network(torch.stack([anchor, neighbor])).softmax(dim=1)
        paper = paper + lambda_ * (p - q).square().mean() / (anchor - neighbor).square().sum()
    torch.testing.assert_close(ours, paper)


@given(
    smoothness=st.floats(1e-6, 1e3),
    data_scale=st.floats(1e-3, 1e4),
    n_features=st.integers(1, 10_000),
    n_classes=st.integers(2, 1000),
    n_unlabeled=st.floats(0, 10),
)
def test_the_conversions_are_inverse_to_each_other(smoothness, **sizes):
    lambda_ = lambda_from_smoothness(smoothness, **sizes)
    assert lambda_ > 0
    assert smoothness_from_lambda(lambda_, **sizes) == pytest.approx(smoothness, rel=1e-12)


def test_the_conversion_by_hand():
    sizes = {"data_scale": 2.0, "n_features": 3, "n_classes": 5, "n_unlabeled": 1}
    assert lambda_from_smoothness(0.1, **sizes) == pytest.approx(0.1 * 4 * 3 * 5 / 2)


def test_names_objects_and_none_are_penalties():
    penalty = Smoothness()
    assert isinstance(resolve_penalty("smoothness"), Smoothness)
    assert resolve_penalty(penalty) is penalty
    assert resolve_penalty(None) is None
    assert isinstance(clone(penalty), Smoothness)


def test_a_function_is_a_penalty(network, X, y):
    seen = []

    def size(anchors, logits, neighborhood):
        seen.append((anchors, neighborhood))
        (gradient,) = torch.autograd.grad(logits.sum(), anchors, create_graph=True)
        return gradient.square().sum()

    neighborhood = neighborhood_of(support_of(X))
    value = penalty_of(network, X, neighborhood, resolve_penalty(size), y)
    value.backward()
    assert next(network.parameters()).grad.any()
    assert torch.equal(seen[0][0], X)
    assert seen[0][1].labels is y


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (
            InputGradient(("labeled", "unlabeled")),
            "of InputGradient have 'unlabeled', but the cross-entropy needs labels",
        ),
        (
            Curvature(anchors=("unlabeled",)),
            "of Curvature have 'unlabeled', but the cross-entropy needs labels: use only",
        ),
        (UniformConfidence(anchors=("labeled",)), "have 'labeled', but where there are data, confidence is right: use"),
        (Smoothness(("label",)), r"anchors=\('label',\) of Smoothness are unknown: use some of"),
        (Smoothness(()), r"anchors=\(\) of Smoothness are unknown: use some of"),
        (Stability("labeled"), "anchors='labeled' of Stability are unknown"),
        (Jacobian(0), "n_projections=0 is no number of projections: use a positive integer, or -1"),
        (Jacobian(1.5), "n_projections=1.5 is no number of projections"),
        (Curvature(0), "h=0 is no step of a finite difference: use a positive number, in units of D"),
        (Curvature(math.inf), "h=inf is no step"),
        (Curvature(direction="up"), "direction='up' is unknown: use one of .'gradient', 'sign'."),
        (VirtualAdversarial(0), "n_power_iterations=0 is no number of steps: use a positive integer"),
        (VirtualAdversarial(xi=0), "xi=0 is no distance: use a positive number"),
        (UniformConfidence("least"), "measure='least' is unknown: use one of .'max', 'uniform'."),
        (UniformConfidence(n_steps=-1), "n_steps=-1 is no number of steps"),
    ],
    ids=repr,
)
def test_parameters_of_penalties_that_make_no_sense(penalty, message):
    with pytest.raises(ValueError, match=message):
        resolve_penalty(penalty)


@pytest.mark.parametrize("neighbors", ["nearest", None, Gaussian, 3, WorstDirection(0)], ids=str)
def test_wrong_neighbors(neighbors):
    with pytest.raises(ValueError, match=r"neighbors=.* (is not a sampler|leaves nothing to)|n_steps=0 is no number"):
        resolve_neighbors(neighbors)


@pytest.mark.parametrize("wrong", ["smooth", 0.5, Smoothness, np.zeros(2), Gaussian()])
def test_anything_else_is_no_penalty(wrong):
    with pytest.raises(ValueError, match=r"penalty=.* is not a penalty: use one of .*'smoothness'.*, None, or an"):
        resolve_penalty(wrong)


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (Jacobian(n_projections=True), "n_projections=True is no number of projections: use a positive integer, or -1"),
        (Jacobian(n_projections=-2), "n_projections=-2 is no number of projections"),
        (Jacobian(n_projections=np.ones(2)), r"n_projections=array\(\[1\., 1\.\]\) is no number of projections"),
        (UniformConfidence(measure=["x"]), r"measure=\['x'\] is unknown: use one of .'max', 'uniform'."),
        (Curvature(direction=["x"]), r"direction=\['x'\] is unknown: use one of .'gradient', 'sign'."),
        (Smoothness(anchors=(["labeled"],)), r"anchors=\(\['labeled'\],\) of Smoothness are unknown: use some of"),
    ],
    ids=repr,
)
def test_parameters_of_penalties_of_another_type_are_refused_by_name(penalty, message):
    with pytest.raises(ValueError, match=message):
        resolve_penalty(penalty)
