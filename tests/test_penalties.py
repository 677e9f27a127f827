"""The penalty against its mathematics: the Jacobian, invariance, and the loss of the paper."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from torch import nn

from skrobust._objective import OffSupport
from skrobust.data import Moments
from skrobust.losses import cross_entropy
from skrobust.modules import MLP
from skrobust.penalties import (
    Neighborhood,
    Smoothness,
    lambda_from_smoothness,
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
    return Neighborhood(sampler or Gaussian(), n_neighbors, radius, support, generator(seed))


def penalty_of(network, anchors, neighborhood):
    penalty = Smoothness()
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

    step = objective_of(X, Mapped(identity))(lambda points, n: network(points), X, y)
    mapped = objective_of(mapped_X, Mapped(rotation))(lambda points, n: mapped_network(points), mapped_X, y)
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

    def forward(points, n_labeled):
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


@pytest.mark.parametrize("wrong", ["smooth", 0.5, Smoothness, np.zeros(2), Gaussian()])
def test_anything_else_is_no_penalty(wrong):
    with pytest.raises(ValueError, match=r"penalty=.* is not a penalty: use one of .*'smoothness'.*, None, or an"):
        resolve_penalty(wrong)
