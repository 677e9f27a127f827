"""The loss of one batch: its terms, its single pass, and which points are anchors."""

import math

import pytest
import torch

from skrobust._objective import CrossEntropy, OffSupport
from skrobust.adversary import worst_directions
from skrobust.data import Moments
from skrobust.losses import cross_entropy
from skrobust.penalties import Neighborhood, Smoothness
from skrobust.unlabeled import Gaussian, Support

NETWORK = torch.nn.Linear(4, 3, dtype=torch.float64)
torch.nn.init.normal_(NETWORK.weight, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(10, 4, generator=generator, dtype=torch.float64), torch.arange(10) % 3


class Passes:
    """Forward function that remembers its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, points, layout):
        self.calls.append((points, layout))
        return NETWORK(points)


GAUSSIAN = Gaussian()


def objective_of(X, *, sampler=GAUSSIAN, n_unlabeled=1.0, n_neighbors=1, full_batch=None, radius=1.0):
    support = Support.from_moments(Moments.of(X.numpy()), noise_units="global", dtype=X.dtype, device=X.device)
    generator = torch.Generator().manual_seed(2)
    return OffSupport(
        weight=0.5,
        penalty=Smoothness(),
        neighborhood=Neighborhood(GAUSSIAN, n_neighbors, 0.8, support, generator),
        sampler=sampler,
        generated=sampler,
        n_unlabeled=n_unlabeled,
        radius=radius,
        support=support,
        generator=generator,
        projection=torch.ones(4, dtype=X.dtype),
        full_batch=full_batch,
    )


def anchors_of(objective, X, weight=None):
    """Return the labeled and the unlabeled anchors of a batch; none of the latter as no rows."""
    anchors = objective.anchors({"labeled": X}, objective.drawn(X, weight))
    return anchors["labeled"], anchors.get("unlabeled", X[:0])


def test_plain_training_is_the_cross_entropy_of_the_labeled_rows(batch):
    passes, weight = Passes(), torch.linspace(0.1, 1.9, 10, dtype=torch.float64)
    step = CrossEntropy()(passes, *batch, weight)
    ((points, layout),) = passes.calls
    assert points is batch[0]
    assert layout == (10, 0, 0, 0)
    torch.testing.assert_close(step["loss"], cross_entropy(NETWORK(batch[0]), batch[1], weight))
    assert math.isnan(CrossEntropy().off_support_fraction(None, None, None))


@pytest.mark.parametrize(
    ("n_unlabeled", "n_neighbors", "weighted", "full_batch", "n_rows"),
    [
        (1, 1, False, None, 40),
        (0, 1, False, None, 20),
        (0.5, 3, False, None, 60),
        (2.5, 2, False, None, 105),
        # Drawn anchors are not the batch itself, which then goes in front of them, through the same pass.
        (1, 1, True, None, 50),
        (1, 1, False, 32, 10 + 128),
        (0, 1, True, 32, 10 + 64),
    ],
)
def test_one_pass_serves_labeled_unlabeled_and_neighbors(batch, n_unlabeled, n_neighbors, weighted, full_batch, n_rows):
    X, y = batch
    passes, weight = Passes(), torch.ones(10, dtype=X.dtype) if weighted else None
    objective = objective_of(X, n_unlabeled=n_unlabeled, n_neighbors=n_neighbors, full_batch=full_batch)
    step = objective(passes, X, y, weight)
    ((points, (n_labeled, n_twins, n_points, n_anchors)),) = passes.calls
    assert (n_labeled, n_twins) == (10, 0)
    assert len(points) == n_rows
    assert n_points == (1 + n_neighbors) * n_anchors
    anchors, neighbors = points[-n_points:].split([n_anchors, n_points - n_anchors])
    assert (neighbors - anchors.repeat(n_neighbors, 1)).norm(dim=1).max() < 0.8 * 10, "sets of anchors, one by one"
    assert torch.equal(points[:10], X), "the labeled rows lead"
    assert torch.equal(step["y_pred"], NETWORK(X))


def test_the_loss_is_the_sum_of_its_terms(batch):
    objective = objective_of(batch[0])
    terms = objective(Passes(), *batch)["terms"]
    assert list(terms) == ["cross_entropy", "penalty", "loss"]
    assert terms["penalty"] > 0
    torch.testing.assert_close(terms["cross_entropy"], cross_entropy(NETWORK(batch[0]), batch[1]))
    torch.testing.assert_close(terms["loss"], terms["cross_entropy"] + 0.5 * terms["penalty"])


@pytest.mark.parametrize(("n_unlabeled", "expected"), [(0, 0), (0.04, 1), (0.5, 5), (1, 10), (1.3, 13), (3, 30)])
def test_the_number_of_unlabeled_points_may_be_a_fraction(batch, n_unlabeled, expected):
    labeled, unlabeled = anchors_of(objective_of(batch[0], n_unlabeled=n_unlabeled), batch[0])
    assert labeled is batch[0]
    assert unlabeled.shape == (expected, 4)


def test_unlabeled_points_come_from_the_rows_of_the_batch_in_equal_numbers(batch):
    _, unlabeled = anchors_of(objective_of(batch[0], n_unlabeled=3, radius=1e-9), batch[0])
    torch.testing.assert_close(unlabeled, batch[0].repeat(3, 1), rtol=0, atol=1e-6)


def test_weights_decide_how_often_a_row_is_an_anchor(batch):
    X, _ = batch
    weight = torch.tensor([0.0] * 5 + [1.0, 1.0, 2.0, 3.0, 3.0], dtype=X.dtype)
    labeled, unlabeled = anchors_of(objective_of(X, radius=1e-9), X, weight)
    for anchors in (labeled, unlabeled):
        counts = (torch.cdist(anchors, X) < 1e-6).sum(dim=0)
        assert counts.tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 3, 3]


def test_a_full_batch_with_weights_equals_one_with_repeated_rows(batch):
    X, y = batch
    times = torch.tensor([1, 1, 2, 1, 3, 1, 1, 2, 1, 1])
    weight = times / times.double().mean()
    repeated = torch.arange(10).repeat_interleave(times)
    weighted = objective_of(X, full_batch=32)(Passes(), X, y, weight)
    given_twice = objective_of(X, full_batch=32)(Passes(), X[repeated], y[repeated])
    for name, value in weighted["terms"].items():
        torch.testing.assert_close(given_twice["terms"][name], value, msg=name)


def test_off_support_fraction_is_that_of_generated_points(batch):
    X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def fraction(**params):
        return objective_of(X, **params).off_support_fraction(
            torch.from_numpy, X.numpy(), torch.Generator().manual_seed(0)
        )

    assert 0 <= fraction(radius=1e-3) < 0.1
    assert fraction(radius=100.0) == 1.0
    assert math.isnan(fraction(sampler=None))
    assert math.isnan(fraction(n_unlabeled=0))


@pytest.mark.parametrize(
    "gain", [lambda points: torch.ones(2).sum(), lambda points: torch.ones(2, requires_grad=True).sum()]
)
def test_points_that_a_gain_does_not_depend_on_are_explained(gain):
    X = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"module has logits without a gradient .*: take torch\.no_grad\(\)"):
        worst_directions(gain, X, 1.0, torch.Generator())
