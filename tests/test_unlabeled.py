"""Samplers: where points lie, and that nothing but the given generator decides."""

import math
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KernelDensity

from skrobust.data import Moments
from skrobust.penalties import WorstDirection, resolve_neighbors
from skrobust.unlabeled import (
    Extrapolation,
    FromGenerator,
    Gaussian,
    Mixture,
    Pool,
    Support,
    Uniform,
    layer_activations,
    off_support_fraction,
    off_support_scale,
    pairwise_distance_histogram,
    prepared_sampler,
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
    for seed in range(20):
        assert (Extrapolation().sample(X, None, 0.5, generator(seed)) != X).all(), "no row is its own partner"
    assert torch.equal(Extrapolation().sample(X[:1], None, 0.5, generator()), X[:1])


def test_every_other_row_is_as_likely_a_partner():
    X, source = torch.eye(5, dtype=torch.float64), generator()
    away = sum(X - Extrapolation().sample(X, None, 1.0, source) + X for _ in range(4000)) / 4000
    np.testing.assert_allclose(away, (1 - X) / 4, atol=0.03)


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


@pytest.mark.parametrize("n_samplers", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 10, 11])
def test_a_mixture_takes_equal_shares(n, n_samplers):
    pools = [Pool(torch.full((1, 2), float(value))) for value in range(n_samplers)]
    mixture, source = Mixture(pools), generator()
    drawn = torch.stack([mixture.sample(torch.zeros(n, 2), None, 1.0, source)[:, 0] for _ in range(600)])
    counts = torch.stack([(drawn == value).sum(dim=1) for value in range(n_samplers)])
    assert counts.max() <= math.ceil(n / n_samplers)
    # Over many steps, every row gets as much from each sampler.
    for value in range(n_samplers):
        np.testing.assert_allclose((drawn == value).double().mean(dim=0), 1 / n_samplers, atol=0.1)


def test_a_mixture_puts_every_point_at_its_own_row():
    X = torch.arange(7.0)[:, None]
    support = support_of(X, "global")
    near = Mixture([Gaussian(), Gaussian(), Gaussian()]).sample(X, support, 1e-6, generator())
    np.testing.assert_allclose(near, X, atol=1e-3)
    partners = Mixture([Extrapolation(), Extrapolation()]).sample(X, support, 1.0, generator())
    assert ((2 * X - partners) % 1 == 0).all()  # x' of x + (x - x') is a row


def test_points_of_a_generator_that_sorts_them_fall_to_any_row():
    X = np.repeat([[-50.0], [50.0]], 100, axis=0) + np.random.default_rng(0).normal(size=(200, 1))
    sorting = GaussianMixture(2, random_state=0).fit(X)
    points = FromGenerator(sorting).sample(torch.zeros(1000, 1), None, 1.0, generator()).flatten()
    assert 0.4 < (points[:500] > 0).double().mean() < 0.6


def test_a_mixture_takes_all_that_unlabeled_takes(quick, blobs):
    X, y = blobs
    wide = GaussianMixture(random_state=0).fit(3 * X)
    given, resolved = Mixture(["gaussian", wide]), Mixture([Gaussian(), FromGenerator(wide)])
    probabilities = [quick(unlabeled=mixture).fit(X, y).predict_proba(X) for mixture in (given, resolved)]
    np.testing.assert_array_equal(*probabilities)


@pytest.mark.parametrize("samplers", [[], "gaussian", None, Gaussian()], ids=str)
def test_a_mixture_is_one_of_several(samplers):
    with pytest.raises(ValueError, match=r"samplers=.* is no list of samplers: give one, such as \['gaussian', 'uni"):
        Mixture(samplers)


@pytest.mark.parametrize("wrong", ["gauss", None, Gaussian], ids=str)
def test_a_mixture_is_one_of_samplers(wrong):
    with pytest.raises(ValueError, match=r"samplers=.* is not a sampler: use one of \['extrapolation', .*'uniform'\]"):
        Mixture(["gaussian", wrong])


@pytest.mark.parametrize("kind", [np.array, np.ndarray.tolist, pd.DataFrame], ids=["array", "list", "frame"])
def test_a_pool_takes_arrays(quick, blobs, kind):
    X, y = blobs
    rows, weight = 3 * X, np.arange(90.0)
    given, tensors = Pool(kind(rows), weight), Pool(torch.from_numpy(rows), torch.from_numpy(weight))
    probabilities = [quick(unlabeled=pool).fit(X.astype("f4"), y).predict_proba(X) for pool in (given, tensors)]
    np.testing.assert_array_equal(*probabilities)
    assert given.sample(torch.zeros(5, 4), None, 1.0, generator()).dtype == torch.float32


@pytest.mark.parametrize("enlarge", [-5, np.nan, np.inf, "a", None])
def test_a_box_is_enlarged_by_a_number_that_is_not_negative(enlarge, X, support):
    with pytest.raises(ValueError, match=rf"enlarge={enlarge!r} is out of range: use a number that is not negative"):
        Uniform(enlarge).sample(X, support, 1.0, generator())


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


@pytest.mark.parametrize("kind", [np.array, pd.DataFrame, torch.tensor], ids=["array", "frame", "tensor"])
def test_rows_are_no_sampler(kind):
    message = r"unlabeled is an array or frame of shape \(1, 2\), not a sampler: pass rows .* fit\(X, y, X_unlabeled="
    with pytest.raises(ValueError, match=message):
        resolve_sampler(kind([[1.0, 2.0]]), parameter="unlabeled")


def test_names_from_an_array_are_names():
    assert isinstance(resolve_sampler(np.array(["uniform"])[0], parameter="unlabeled"), Uniform)


def test_none_is_a_sampler_only_where_it_may_be():
    with pytest.raises(ValueError, match=r"neighbors=None is not a sampler: use one of \[.*'uniform', 'adversarial'\]"):
        resolve_sampler(None, parameter="neighbors", also=("adversarial",))


def test_neighbors_name_all_that_they_may_be():
    with pytest.raises(ValueError, match=r"neighbors=<class .*WorstDirection'> is not a sampler: .*'adversarial'\]"):
        resolve_neighbors(WorstDirection)


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


class Witness:
    """A generator that is not scikit-learn's, and keeps what it was asked for."""

    def __init__(self, points):
        self.points = points
        self.asked = []

    def sample(self, n_samples):
        self.asked.append(n_samples)
        return self.points(n_samples)


def fitted_generators(X):
    return {
        "mixture": GaussianMixture(2, random_state=0).fit(X),
        "unseeded mixture": GaussianMixture(2).fit(X),
        "density": KernelDensity(bandwidth=0.5).fit(X),
        "frozen": FrozenEstimator(GaussianMixture(2, random_state=0).fit(X)),
    }


@pytest.mark.parametrize("name", ["mixture", "unseeded mixture", "density", "frozen"])
def test_a_pool_from_a_generator_depends_on_the_seed_alone(name, X):
    sampler = FromGenerator(fitted_generators(X[:, :3].numpy())[name], pool_size=50)
    before, state = pickle.dumps(sampler), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (sampler.prepared(torch.from_numpy, 3, seed) for seed in (1, 1, 2))
    assert first.rows.shape == (50, 3)
    assert torch.equal(first.rows, again.rows)
    assert not torch.equal(first.rows, other.rows)
    assert pickle.dumps(sampler) == before, "the user's generator stays as it is"
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    center = X[:, :3].mean(dim=0)
    assert (first.rows.mean(dim=0) - center).abs().max() < 3


@pytest.mark.parametrize("name", ["mixture", "density", "frozen"])
def test_a_generator_without_a_pool_draws_new_points_for_rows(name, X, support):
    sampler = FromGenerator(fitted_generators(X.numpy())[name])
    first, again, other = (sampler.sample(X[:30].float(), support, 1.0, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == (30, 4)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert sampler.sample(X[:0], support, 1.0, generator()).shape == (0, 4)


@pytest.mark.parametrize(
    "points",
    [
        lambda n: np.ones((n, 6)),
        lambda n: torch.ones(n, 6, requires_grad=True),
        lambda n: (np.ones((n, 6)), np.zeros(n)),
        lambda n: np.ones((n, 2, 3)),
        lambda n: np.ones((n, 6)).tolist(),
    ],
)
def test_arrays_tensors_lists_images_and_pairs_are_taken(points):
    witness = Witness(points)
    pool = FromGenerator(witness, pool_size=7).prepared(torch.from_numpy, 6, 0)
    assert torch.equal(pool.rows, torch.ones(7, 6))
    assert witness.asked == [7]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (
            lambda n: np.ones((n, 5)),
            r"returned float64 of shape \(7, 5\) where 7 points of 6 features, real numbers, were asked for: fit it on",
        ),
        (lambda n: np.ones((n + 1, 6)), r"returned float64 of shape \(8, 6\)"),
        (lambda n: np.float64(1.0), r"returned float64 of shape \(\)"),
        (lambda n: (), r"returned float64 of shape \(0,\)"),
        (lambda n: {"points": np.ones((n, 6))}, r"returned object of shape \(\)"),
        (lambda n: np.ones((n, 6)).astype(object), r"returned object of shape \(7, 6\) where .* real numbers"),
        (lambda n: np.full((n, 6), "a"), r"returned <U1 of shape \(7, 6\)"),
        (lambda n: np.ones((n, 6), complex), r"returned complex128 of shape \(7, 6\)"),
        (lambda n: [[1.0], [1.0, 2.0]], r"cannot draw points \(.*inhomogeneous.* its sample\(n\) must return n points"),
        (lambda n: np.full((n, 6), np.nan), r"returned points that are not finite: mend it or fit again"),
    ],
)
def test_points_that_do_not_fit_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        FromGenerator(Witness(points), pool_size=7).prepared(torch.from_numpy, 6, 0)


@pytest.mark.parametrize("generator", [GaussianMixture(), KernelDensity()])
def test_a_generator_that_is_not_fitted_is_refused(generator):
    message = r"generator=.* cannot draw points \(This .* is not fitted yet.*\): fit it first, and give it as From"
    with pytest.raises(ValueError, match=message):
        FromGenerator(generator).prepared(torch.from_numpy, 2, 0)


@pytest.mark.parametrize("pool_size", [0, -1, 1.5, True, "many"])
def test_a_pool_has_a_positive_size(pool_size):
    with pytest.raises(ValueError, match=r"pool_size=.* of FromGenerator must be a positive integer"):
        FromGenerator(Witness(np.ones), pool_size=pool_size).prepared(torch.from_numpy, 2, 0)


def test_a_distribution_of_torch_is_no_generator():
    normal = torch.distributions.Normal(torch.zeros(6), torch.ones(6))
    with pytest.raises(
        ValueError, match=r"generator=Normal\(.* cannot draw points .* its sample\(n\) must return n po"
    ):
        FromGenerator(normal, pool_size=7).prepared(torch.from_numpy, 6, 0)


def test_clones_share_the_fitted_generator_and_have_a_pool_size_of_their_own(X):
    fitted = GaussianMixture(2, random_state=0).fit(X.numpy())
    sampler = FromGenerator(fitted, pool_size=20)
    copy = clone(sampler).set_params(pool_size=30)
    assert copy.prepared(torch.from_numpy, 4, 0).rows.shape == (30, 4)
    assert copy.generator is fitted
    assert sampler.pool_size == 20


def test_parameters_of_a_fitted_generator_are_out_of_reach(quick, X):
    fitted = KernelDensity(bandwidth=0.5).fit(X.numpy())
    clf = quick(unlabeled=FromGenerator(fitted))
    params = clf.get_params()
    assert (params["unlabeled__generator"], params["unlabeled__pool_size"]) == (fitted, 10_000)
    assert not [name for name in params if name.startswith("unlabeled__generator__")]
    message = r"generator__bandwidth=9.0 has no effect, since the generator is fitted already: fit another one, and"
    with pytest.raises(ValueError, match=message):
        clf.set_params(unlabeled__generator__bandwidth=9.0)
    other = KernelDensity().fit(X.numpy())
    assert clf.set_params(unlabeled__generator=other).unlabeled.generator is other
    assert fitted.bandwidth == 0.5


def test_a_grid_search_reaches_the_pool_of_a_fitted_generator(quick, blobs):
    X, y = blobs
    wide = GaussianMixture(random_state=0).fit(3 * X)
    search = GridSearchCV(quick(unlabeled=FromGenerator(wide)), {"unlabeled__pool_size": [5, 50]}, cv=2).fit(X, y)
    assert search.best_estimator_.unlabeled.generator.means_ is wide.means_
    assert (search.cv_results_["mean_test_score"] > 0.3).all()


def test_a_fit_draws_one_pool_from_a_bare_generator(quick, blobs):
    X, y = blobs
    witness = Witness(lambda n: 3 * np.random.default_rng(0).normal(size=(n, 4)))
    clf = quick(unlabeled=witness).fit(X, y)
    assert witness.asked == [10_000]
    assert clf.off_support_fraction_ > 0.5
    assert clf.unlabeled is witness


def test_a_fit_with_a_generator_repeats_itself(quick, blobs):
    X, y = blobs
    unseeded = GaussianMixture(2).fit(3 * X)
    first, again = (quick(unlabeled=unseeded).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (quick(unlabeled=unseeded, random_state=1).fit(X, y).predict_proba(X) != first).any()


def test_a_bare_generator_that_cross_validation_has_unfitted_names_the_remedy(quick, blobs):
    X, y = blobs
    clf = quick(unlabeled=GaussianMixture().fit(3 * X))
    with pytest.raises(ValueError, match=r"is not fitted yet.* give it as FromGenerator\(generator\)"):
        cross_val_score(clf, X, y, cv=2, error_score="raise")
    clf.set_params(unlabeled=FromGenerator(clf.unlabeled))
    assert cross_val_score(clf, X, y, cv=2).shape == (2,)


def test_bare_generators_are_told_from_samplers(X):
    mixture = GaussianMixture().fit(X.numpy())
    for bare in (mixture, KernelDensity(), Witness(np.ones)):
        resolved = resolve_sampler(bare, parameter="unlabeled")
        assert isinstance(resolved, FromGenerator)
        assert resolved.generator is bare

    class Anything:
        def sample(self, *args):
            return args[0]

    class Curious:
        def sample(self, X, support, radius, generator, more=None):
            return X

    class Compiled:
        def __init__(self):
            self.sample = Unsigned()

    for sampler in (Anything(), Curious(), Compiled(), Pool(X), FromGenerator(mixture)):
        assert resolve_sampler(sampler, parameter="unlabeled") is sampler


def test_samplers_are_prepared_where_they_want_it(X):
    mixture = FromGenerator(GaussianMixture().fit(X.numpy()), pool_size=10)
    gaussian = Gaussian()
    assert prepared_sampler(gaussian, torch.from_numpy, 4, 0) is gaussian
    assert prepared_sampler(None, torch.from_numpy, 4, 0) is None
    assert isinstance(prepared_sampler(mixture, torch.from_numpy, 4, 0), Pool)
    parts = prepared_sampler(Mixture([gaussian, mixture, mixture]), torch.from_numpy, 4, 2**32 - 1).samplers
    assert parts[0] is gaussian
    assert not torch.equal(parts[1].rows, parts[2].rows), "each has a seed of its own"


class Unsigned:
    """A function without a signature, as some compiled ones are."""

    __signature__ = "none"

    def __call__(self, n):
        return np.ones((n, 6))


def test_a_generator_in_compiled_code_can_be_wrapped():
    generator = Witness(None)
    generator.sample = Unsigned()
    assert FromGenerator(generator, pool_size=3).prepared(torch.from_numpy, 6, 0).rows.shape == (3, 6)


def noisy_grid(rng, n=40, noise=0.0):
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2).astype(float)
    return grid + noise * rng.normal(size=grid.shape)


def test_the_suggested_radius_puts_the_share_of_points_outside(rng):
    X = rng.normal(size=(500, 30))
    radii = [off_support_scale(X, share=share) for share in (0.1, 0.5, 0.9)]
    assert radii == sorted(radii)
    rows = torch.from_numpy(X)
    support = support_of(rows, "global")
    for radius, share in zip(radii, (0.1, 0.5, 0.9), strict=True):
        points = Gaussian().sample(rows, support, radius, generator(7))
        assert off_support_fraction(rows, points, n_queries=500) == pytest.approx(share, abs=0.08)
        fewer = Gaussian().sample(rows, support, radius * 0.9, generator(7))
        assert off_support_fraction(rows, fewer, n_queries=500) < share + 0.05


def test_the_suggested_radius_agrees_with_the_closed_form_in_many_dimensions(rng):
    # Noise of length r D in 2,000 dimensions is farther from all else than it is long; rows are about D apart.
    X = rng.normal(size=(200, 2000))
    nearest = torch.cdist(torch.from_numpy(X), torch.from_numpy(X)).fill_diagonal_(torch.inf).amin(dim=1)
    expected = nearest.quantile(0.99).item() / Moments.of(X).data_scale
    assert off_support_scale(X) == pytest.approx(expected, rel=0.05)


def test_the_suggested_radius_is_a_pure_number_and_repeats_itself(rng):
    X = rng.normal(size=(300, 5))
    radius = off_support_scale(X, random_state=3)
    assert off_support_scale(X, random_state=3) == radius
    assert off_support_scale(1000 * X + 5e5, random_state=3) == pytest.approx(radius, rel=0.02)
    assert off_support_scale((X * 100).astype(np.int16), random_state=3) == pytest.approx(radius, rel=0.1)
    assert off_support_scale(X.reshape(300, 1, 5), random_state=3) == radius
    assert off_support_scale(X, max_rows=200, random_state=3) == pytest.approx(radius, rel=0.5)


def test_the_suggested_radius_suits_the_sampler_and_its_units(rng):
    X = rng.normal(size=(400, 6)) * [1, 1, 1, 1, 1, 50]
    radius = off_support_scale(X, sampler="extrapolation", noise_units="std")
    rows = torch.from_numpy(X)
    points = Extrapolation().sample(rows, support_of(rows, "std"), radius, generator(5))
    assert off_support_fraction(rows, points, n_queries=400) == pytest.approx(0.5, abs=0.1)


def test_a_fit_with_the_suggested_radius_finds_the_share_outside(quick, rng):
    X = rng.normal(size=(400, 8))
    y = (X[:, 0] > 0).astype(int)
    clf = quick(unlabeled_radius=off_support_scale(X, share=0.6), max_epochs=1).fit(X, y)
    assert clf.off_support_fraction_ == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"share": 0.0}, r"share=0.0 must lie between 0 and 1"),
        ({"share": 1}, r"share=1 must lie between 0 and 1"),
        ({"sampler": Pool(torch.full((5, 2), 1e6, dtype=torch.float64))}, r"has 1.00 to 1.00 of its points outside"),
        ({"sampler": Pool(torch.zeros(5, 2, dtype=torch.float64))}, r"has 0.00 to 0.00 .* any unlabeled_radius is as"),
        ({"sampler": "gauss"}, r"sampler='gauss' is not a sampler"),
        ({"layer": "0"}, r"estimator=None and layer='0' go together"),
    ],
)
def test_what_has_no_radius_is_refused(params, message, rng):
    with pytest.raises(ValueError, match=message):
        off_support_scale(noisy_grid(rng, 10), **params)


@pytest.mark.parametrize("X", [np.ones((5, 2)), np.array([[1.0], [np.nan]]), np.array([[1.0], [np.inf]])])
def test_rows_without_spread_or_numbers_have_no_scale(X):
    with pytest.raises(ValueError, match=r"X has the data scale .*: give rows that are not all equal, without missing"):
        off_support_scale(X)


@pytest.mark.parametrize("X", [np.ones(5), np.ones((1, 3)), np.ones((0, 3)), 3.0])
def test_fewer_than_two_rows_have_no_distances(X):
    for function in (off_support_scale, pairwise_distance_histogram):
        with pytest.raises(ValueError, match=r"X of shape .* has no pairs of rows: give an array of at least two rows"):
            function(X)


@pytest.mark.parametrize("params", [{"max_rows": 1}, {"n_queries": 0}, {"max_rows": 10.5}, {"n_queries": "9"}], ids=str)
def test_too_few_rows_to_look_at_are_refused(params, rng):
    for function in (off_support_scale, pairwise_distance_histogram):
        with pytest.raises(ValueError, match=r"max_rows=.* and n_queries=.* leave no distances: use at least 2 rows"):
            function(noisy_grid(rng, 5), **params)


def test_two_points_have_one_distance():
    counts, edges = pairwise_distance_histogram([[0.0, 0.0], [3.0, 4.0]], bins=10, units="raw")
    assert counts["pairs"].tolist() == [0] * 9 + [1]
    assert counts["nearest"].tolist() == [0] * 9 + [2]
    assert edges[-1] == 5.0
    _, edges = pairwise_distance_histogram([[0.0, 0.0], [3.0, 4.0]], bins=10)
    assert edges[-1] == pytest.approx(2**0.5)  # D^2 is 2 * (1.5^2 + 2^2) = 12.5


def test_a_grid_has_the_distances_of_a_grid(rng):
    X = noisy_grid(rng, 12)
    differences = np.linalg.norm(X[:, None] - X, axis=2)[np.triu_indices(144, k=1)]
    bins = np.arange(0.5, 18, 0.31)
    counts, edges = pairwise_distance_histogram(X, bins=bins, units="raw")
    assert (counts["pairs"] == np.histogram(differences, bins)[0]).all()
    assert counts["nearest"].tolist() == [0, 144] + [0] * (len(bins) - 3)
    assert (edges == bins).all()


def test_classes_part_the_distances():
    # Two classes on a line, at 0, 1, 2 and at 10, 12; one row is alone in its class.
    X, y = np.array([[0.0], [1.0], [2.0], [10.0], [12.0], [30.0]]), ["a", "a", "a", "b", "b", "c"]
    bins = np.arange(0.5, 31.5)
    counts, _ = pairwise_distance_histogram(X, y, bins=bins, units="raw")
    within = {int(np.flatnonzero(row)[0]) + 1 for row in [counts["nearest_within"]]}
    assert within == {1}
    assert np.repeat(np.arange(1, 31), counts["within"]).tolist() == [1, 1, 2, 2]
    assert np.repeat(np.arange(1, 31), counts["nearest_within"]).tolist() == [1, 1, 1, 2, 2]
    assert np.repeat(np.arange(1, 31), counts["nearest_between"]).tolist() == [8, 8, 9, 10, 10, 18]
    assert np.repeat(np.arange(1, 31), counts["nearest"]).tolist() == [1, 1, 1, 2, 2, 18]
    assert (counts["within"] + counts["between"] == counts["pairs"]).all()
    assert counts["pairs"].sum() == 15


def test_more_rows_than_asked_for_are_thinned_out(rng):
    X = rng.normal(size=(700, 3))
    counts, _ = pairwise_distance_histogram(X, max_rows=500, n_queries=200)
    assert counts["pairs"].sum() == 200 * 199 // 2
    assert counts["nearest"].sum() == 200
    again, _ = pairwise_distance_histogram(X, max_rows=500, n_queries=200)
    assert (counts["pairs"] == again["pairs"]).all()
    everything, edges = pairwise_distance_histogram(X, bins=5, n_queries=700)
    some, _ = pairwise_distance_histogram(X, bins=edges, max_rows=500, n_queries=200)
    np.testing.assert_allclose(
        some["pairs"] / some["pairs"].sum(), everything["pairs"] / everything["pairs"].sum(), atol=0.05
    )


def test_coordinates_far_from_the_origin_cost_no_digits(rng):
    X = rng.integers(0, 5, size=(50, 3)).astype(float)
    bins = np.arange(-0.05, 8, 0.1)
    near, far = (pairwise_distance_histogram(X + shift, bins=bins, units="raw")[0] for shift in (0, 1e9))
    assert (near["pairs"] == far["pairs"]).all()


def test_distances_can_be_those_of_a_layer(quick, blobs, digit_images):
    X, y = blobs
    clf = quick(hidden_layer_sizes=(8, 6)).fit(X, y)
    hidden = layer_activations(clf, "1", X)
    weight, bias = (parameter.numpy(force=True) for parameter in clf.net_.module_[1].parameters())
    np.testing.assert_allclose(hidden, X @ weight.T + bias, atol=1e-5)
    inside, edges = pairwise_distance_histogram(X, y, estimator=clf, layer="1")
    expected, _ = pairwise_distance_histogram(hidden, y, bins=edges)
    assert all((inside[kind] == expected[kind]).all() for kind in expected)
    assert off_support_scale(X, estimator=clf, layer="1") == off_support_scale(hidden) != off_support_scale(X)
    images, labels = digit_images
    lenet = quick(module="lenet", max_epochs=1).fit(images, labels)
    for rows in (images, images.reshape(len(images), -1)):
        assert layer_activations(lenet, "2", rows).shape == (200, 6 * 4 * 4)
    assert layer_activations(lenet.net_.module_, "2", images[:, None]).shape == (200, 6 * 4 * 4)


def test_a_network_stays_as_it_is_while_its_layers_are_looked_at():
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layer_activations(network, "1", np.random.default_rng(0).normal(size=(20, 3)))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"units": "mm"}, r"units='mm' is unknown: use 'data_scale' or 'raw'"),
        ({"y": [0, 1]}, r"y has 2 labels, but X has 25 rows"),
        (
            {"y": ["a", *[None] * 24]},
            r"y has labels that cannot be sorted \('<' not .* labels of one kind, none missing",
        ),
        ({"layer": "0"}, r"estimator=None and layer='0' go together: give both, or neither"),
        ({"estimator": GaussianMixture(), "layer": "0"}, r"estimator=GaussianMixture\(\) has no network"),
    ],
)
def test_a_histogram_of_nothing_is_refused(params, message, rng):
    with pytest.raises(ValueError, match=message):
        pairwise_distance_histogram(noisy_grid(rng, 5), **params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"share": "a"}, r"share='a' must lie between 0 and 1, both excluded: use a number"),
        ({"share": None}, r"share=None must lie between 0 and 1"),
        ({"noise_units": "x"}, r"noise_units='x' is unknown: use 'global' or 'std'"),
        ({"noise_units": ["std"]}, r"noise_units=\['std'\] is unknown"),
        ({"quantile": 2}, r"quantile=2 is out of range: use a number from 0 to 1"),
        ({"quantile": "a"}, r"quantile='a' is out of range"),
        ({"sampler": None}, r"sampler=None makes no points: name what is to be given as unlabeled, such as 'gaussian'"),
    ],
)
def test_what_names_no_share_units_or_points_is_refused(params, message, rng):
    with pytest.raises(ValueError, match=message):
        off_support_scale(noisy_grid(rng, 10), **params)


WRONG_BINS = [0, -1, 2.5, "a", None, True, [3, 2, 1], [1], [0, np.nan], ["a", "b"], [[0, 1], [1, 2]]]


@pytest.mark.parametrize("bins", WRONG_BINS, ids=str)
def test_a_histogram_has_bins(bins, rng):
    message = f"bins={bins!r} must be a whole number of at least 1, or a sequence of edges that rise"
    with pytest.raises(ValueError, match=re.escape(message)):
        pairwise_distance_histogram(noisy_grid(rng, 5), bins=bins)


@pytest.mark.parametrize(("noise_units", "n_moving"), [("global", 3), ("std", 2)])
def test_features_that_move(noise_units, n_moving):
    X = torch.tensor([[0.0, 1.0, 5.0], [1.0, 1.0, 4.0]])
    assert support_of(X, noise_units).n_moving == n_moving
