"""Samplers: where points lie, and that nothing but the given generator decides."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skrobust.data import Moments
from skrobust.unlabeled import (
    Extrapolation,
    Gaussian,
    Mixture,
    Pool,
    Support,
    Uniform,
    off_support_fraction,
    resolve_sampler,
)

SAMPLERS = [Gaussian(), Uniform(), Uniform(enlarge=0.0), Extrapolation(), Pool(torch.ones(3, 4, dtype=torch.float64))]
SAMPLERS.append(Mixture([Gaussian(), Pool(torch.ones(3, 4, dtype=torch.float64))]))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(name="X")
def rows(rng):
    # The last feature is constant.
    return torch.from_numpy(rng.normal(size=(2000, 4)) * [1.0, 5.0, 0.2, 0.0] + [0.0, 1.0, 2.0, 3.0])


@pytest.fixture
def support(X):
    return support_of(X, "global")


def support_of(X, noise_units):
    return Support.from_moments(Moments.of(X.numpy()), noise_units=noise_units, dtype=X.dtype, device=X.device)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
def test_samplers_use_the_given_generator_alone_and_keep_shape_and_type(sampler, X, support):
    before, state, X_before = sampler.__dict__.copy(), torch.get_rng_state(), X.clone()
    first = sampler.sample(X, support, 0.5, generator(1))
    assert torch.equal(first, sampler.sample(X, support, 0.5, generator(1)))
    assert first.shape == X.shape
    assert first.dtype == X.dtype
    assert sampler.__dict__ == before, "samplers are stateless"
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(X, X_before)


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if not isinstance(s, Pool)], ids=lambda s: type(s).__name__)
def test_another_seed_makes_other_points(sampler, X, support):
    first, second = (sampler.sample(X, support, 0.5, generator(seed)) for seed in (1, 2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("sampler", [Gaussian(), Extrapolation()], ids=lambda sampler: type(sampler).__name__)
@pytest.mark.parametrize("radius", [0.1, 1.0, 3.0])
def test_the_radius_is_the_root_mean_squared_distance_in_units_of_the_data_scale(sampler, radius, X, support):
    distance = (sampler.sample(X, support, radius, generator()) - X).square().sum(dim=1).mean().sqrt()
    assert distance.item() == pytest.approx(radius * support.data_scale, rel=0.05)


def test_noise_is_the_same_in_every_feature_or_in_units_of_each(X, support):
    def spread(support):
        return (Gaussian().sample(X, support, 0.5, generator()) - X).std(dim=0)

    torch.testing.assert_close(spread(support), torch.full((4,), 0.5 * support.unit, dtype=X.dtype), rtol=0.1, atol=0)
    own = spread(support_of(X, "std"))
    torch.testing.assert_close(own, 0.5 * math.sqrt(2) * X.std(dim=0, correction=0), rtol=0.1, atol=0)
    assert own[3] == 0, "a constant feature gets no noise"


@pytest.mark.parametrize("enlarge", [0.0, 0.5, 1.0])
def test_uniform_points_fill_the_enlarged_box(enlarge, X, support):
    points = Uniform(enlarge).sample(X, support, 0.4, generator())
    margin = enlarge * 0.4 * support.unit
    low, high = X.amin(dim=0) - margin, X.amax(dim=0) + margin
    assert (points >= low).all()
    assert (points <= high).all()
    torch.testing.assert_close(points.amin(dim=0), low, rtol=0, atol=0.05 * (high - low).max().item())
    torch.testing.assert_close(points.amax(dim=0), high, rtol=0, atol=0.05 * (high - low).max().item())


def test_extrapolation_goes_away_from_another_row():
    X = torch.tensor([[0.0], [1.0], [10.0], [100.0]], dtype=torch.float64)
    points = Extrapolation().sample(X, support_of(X, "global"), 0.5, generator(5))
    beyond = X + 0.5 * (X - X.T)  # beyond[i, j]: from row j through row i
    assert torch.isclose(points, beyond).any(dim=1).all()
    assert (points != X).any()


def test_a_pool_gives_its_rows_and_all_of_them():
    rows = torch.arange(12.0).reshape(6, 2)
    drawn = Pool(rows).sample(torch.zeros(300, 2), None, 7.0, generator())
    assert set(map(tuple, drawn.tolist())) == set(map(tuple, rows.tolist()))


def test_a_pool_draws_in_proportion_to_weights():
    rows, weight = torch.arange(3.0)[:, None], torch.tensor([1.0, 0.0, 3.0])
    drawn = Pool(rows, weight).sample(torch.zeros(4000, 1), None, 1.0, generator()).flatten()
    counts = torch.bincount(drawn.long(), minlength=3)
    assert counts[1] == 0
    assert counts[2] / 4000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(("n", "shares"), [(10, [5, 5]), (11, [6, 5]), (1, [1, 0])])
def test_a_mixture_takes_equal_shares(n, shares):
    pools = [Pool(torch.full((1, 2), value)) for value in (1.0, 2.0)]
    points = Mixture(pools).sample(torch.zeros(n, 2), None, 1.0, generator())
    assert points[:, 0].tolist() == [1.0] * shares[0] + [2.0] * shares[1]


def test_squared_norms_are_in_noise_units():
    displacement = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    low = high = torch.zeros(2)
    one_unit = Support(1.0, torch.tensor(0.5), low, high)
    each = Support(1.0, torch.tensor([3.0, 0.0]), low, high)  # a unit of 0 is that of a constant feature
    assert one_unit.squared_norm(displacement).tolist() == pytest.approx([100.0, 0.0])
    assert each.squared_norm(displacement).tolist() == pytest.approx([17.0, 0.0])


def test_a_support_without_any_spread_divides_by_nothing():
    X = torch.ones(5, 3)
    for noise_units in ("global", "std"):
        support = support_of(X, noise_units)
        assert torch.equal(Gaussian().sample(X, support, 1.0, generator()), X)
        assert support.squared_norm(torch.zeros(2, 3)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["gaussian", "uniform", "extrapolation"])
def test_names_stand_for_samplers_with_their_defaults(name):
    sampler = resolve_sampler(name, parameter="unlabeled")
    assert type(sampler).__name__.lower() == name
    assert clone(sampler).get_params() == sampler.get_params()


def test_sampler_objects_and_none_stay_as_they_are():
    sampler = Uniform(enlarge=2.0)
    assert resolve_sampler(sampler, parameter="unlabeled") is sampler
    assert resolve_sampler(None, parameter="unlabeled") is None


@pytest.mark.parametrize("wrong", ["gauss", 5, Gaussian, object(), ["gaussian"]])
def test_anything_else_is_no_sampler(wrong):
    with pytest.raises(ValueError, match=r"neighbors=.* is not a sampler: use one of .*'gaussian'.* method sample\("):
        resolve_sampler(wrong, parameter="neighbors")


def test_fraction_of_points_outside_the_support(rng):
    rows = torch.from_numpy(rng.normal(size=(400, 3)))
    far, near = rows + 100, torch.from_numpy(rng.normal(size=(400, 3)))
    assert off_support_fraction(rows, far) == 1.0
    assert off_support_fraction(rows, near) < 0.05
    assert off_support_fraction(rows, torch.cat([far, near])) == pytest.approx(0.5, abs=0.03)
    assert off_support_fraction(rows.float(), far.float()) == 1.0


@pytest.mark.parametrize(("n_rows", "n_points"), [(1, 5), (0, 5), (10, 0)])
def test_fraction_is_nan_where_there_is_nothing_to_compare(n_rows, n_points):
    assert np.isnan(off_support_fraction(torch.zeros(n_rows, 2), torch.zeros(n_points, 2)))
