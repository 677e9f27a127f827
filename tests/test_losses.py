"""Loss terms against their formulas."""

import pytest
import torch

from skrobust.losses import cross_entropy, mean_squared_slope


@pytest.fixture
def logits():
    return torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def y():
    return torch.arange(12) % 4


def test_cross_entropy_is_minus_the_mean_log_probability(logits, y):
    expected = -logits.softmax(dim=1)[torch.arange(12), y].log().mean()
    torch.testing.assert_close(cross_entropy(logits, y), expected)


def test_cross_entropy_with_equal_weights_is_that_without(logits, y):
    torch.testing.assert_close(cross_entropy(logits, y, torch.ones(12)), cross_entropy(logits, y))


def test_cross_entropy_of_a_row_of_weight_two_is_that_of_the_row_given_twice(logits, y):
    weight = torch.ones(12, dtype=torch.float64)
    weight[3] = 2.0
    twice = torch.cat([torch.arange(12), torch.tensor([3])])
    # Weights have mean 1 over the training set; here they are normalized over the rows as repeated.
    expected = cross_entropy(logits[twice], y[twice])
    torch.testing.assert_close(cross_entropy(logits, y, weight / weight.mean()), expected)


def test_cross_entropies_of_batches_average_to_that_of_the_whole(logits, y):
    weight = torch.linspace(0.1, 1.9, 12, dtype=torch.float64)
    parts = [cross_entropy(logits[part], y[part], weight[part]) for part in torch.arange(12).split(3)]
    torch.testing.assert_close(torch.stack(parts).mean(), cross_entropy(logits, y, weight))


@pytest.mark.parametrize("shape", [(6,), (3, 6)])
def test_slope_is_the_mean_of_the_quotients(shape):
    generator = torch.Generator().manual_seed(0)
    change = torch.randn(*shape, 5, generator=generator, dtype=torch.float64)
    squared_distance = torch.rand(shape, generator=generator, dtype=torch.float64)
    expected = (change.square().sum(dim=-1) / squared_distance).mean()
    torch.testing.assert_close(mean_squared_slope(change, squared_distance), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coincident_pairs_count_zero_even_if_their_outputs_differ_by_rounding(dtype):
    change = torch.tensor([[1e-7, -1e-7], [0.3, -0.3]], dtype=dtype, requires_grad=True)
    slope = mean_squared_slope(change, torch.tensor([0.0, 0.18], dtype=dtype))
    torch.testing.assert_close(slope, torch.tensor(0.5, dtype=dtype))
    (gradient,) = torch.autograd.grad(slope, change)
    assert gradient[0].tolist() == [0.0, 0.0]
    assert gradient[1].isfinite().all()
    assert gradient[1].abs().min() > 0
