"""How much noise leads outside the support of the data."""

import math
from numbers import Real

import numpy as np
import torch

from skrobust.adversary._checks import check_number
from skrobust.data import widest_float
from skrobust.unlabeled._distances import QUERIES_AT_A_TIME, distances, random_rows, rows_at
from skrobust.unlabeled._resolve import resolve_sampler
from skrobust.unlabeled._samplers import prepared_sampler
from skrobust.unlabeled._support import Support

SMALLEST_RADIUS, LARGEST_RADIUS = 2.0**-10, 2.0**10
NOISE_UNITS = ("global", "std")
# The radius is found to within this factor.
PRECISION = 1.01


def off_support_fraction(rows, points, *, quantile=0.99, n_queries=256):
    """Return the share of points that lie farther from rows than held-out rows do.

    The distances of some rows to their nearest other row tell how far rows of the same kind lie from each other; a
    point that is farther from all rows than nearly every row is from the others lies outside the support.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_features)
        Rows of the data, in random order.
    points : Tensor of shape (n_points, n_features)
    quantile : float, default=0.99
        Share of the distances of rows that counts as inside the support.
    n_queries : int, default=256
        Number of rows whose distances to their nearest other row are measured.

    Returns
    -------
    fraction : float
        Between 0 and 1; NaN if there are fewer than two rows or no points.

    Raises
    ------
    ValueError
        If `quantile` does not lie between 0 and 1.

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import off_support_fraction
    >>> rows = torch.linspace(0, 1, 100)[torch.randperm(100, generator=torch.Generator().manual_seed(0)), None]
    >>> off_support_fraction(rows, torch.tensor([[0.3], [7.0]]))
    0.5
    """
    check_number("quantile", quantile, largest=1)
    if len(rows) < 2 or not len(points):
        return math.nan
    precise = widest_float(rows.device)
    rows = rows.to(precise)
    return _fraction_beyond(_edge_of(rows, quantile, n_queries), rows, points.to(precise))


def _edge_of(rows, quantile, n_queries):
    """Return the distance from all rows at which the support of the data ends."""
    return _nearest(rows[:n_queries], rows, are_rows=True).quantile(quantile)


def _fraction_beyond(edge, rows, points):
    return (_nearest(points, rows) > edge).to(rows.dtype).mean().item()


def _nearest(queries, rows, *, are_rows=False):
    """Return the distances of queries to the nearest of the rows, of which the queries themselves may be the first."""
    nearest = []
    for start in range(0, len(queries), QUERIES_AT_A_TIME):
        between = distances(queries[start : start + QUERIES_AT_A_TIME], rows)
        if are_rows:
            between[:, start:].diagonal().fill_(torch.inf)
        nearest.append(between.amin(dim=1))
    return torch.cat(nearest)


def off_support_scale(
    X,
    *,
    share=0.5,
    sampler="gaussian",
    noise_units="global",
    quantile=0.99,
    estimator=None,
    layer=None,
    max_rows=10_000,
    n_queries=1_000,
    random_state=0,
):
    """Return the smallest radius at which a share of the generated points lies outside the support of the data.

    A suggestion for ``unlabeled_radius``: with a much smaller one, "unlabeled points" are noisy rows inside the
    support. Outside is what :func:`off_support_fraction` calls so; after fit ``off_support_fraction_`` is this share,
    give or take what other random numbers make.

    Parameters
    ----------
    X : array-like of shape (n, n_features), or images
        Training rows as the classifier gets them: behind the scaler, if there is one.
    share : float, default=0.5
        Share of points, between 0 and 1.
    sampler : {"gaussian", "uniform", "extrapolation"} or sampler, default="gaussian"
        What is to be given as ``unlabeled``.
    noise_units : {"global", "std"}, default="global"
        As in the classifier.
    quantile : float, default=0.99
        Share of the distances of rows to their nearest other row that counts as inside the support.
    estimator : fitted classifier of this package or torch.nn.Module, default=None
        With `layer`: look at the activations of its network instead of `X` itself.
    layer : str, default=None
        Name of a layer, as in ``named_modules()`` of the network.
    max_rows : int, default=10000
        Rows to look at; if there are more, they are chosen at random.
    n_queries : int, default=1000
        Rows around which points are generated.
    random_state : int, Generator or None, default=0
        Seed of the choice of rows and of the points.

    Returns
    -------
    radius : float
        In units of the data scale D, found to within one percent, between 1/1024 and 1024.

    Raises
    ------
    ValueError
        If a parameter is wrong, `X` has no spread, or the share is above or below `share` at every radius.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrobust.unlabeled import off_support_scale
    >>> X = load_digits(return_X_y=True)[0] / 16
    >>> 0.3 < off_support_scale(X) < 1.5
    True
    """
    if not (isinstance(share, Real) and 0 < share < 1):
        raise ValueError(f"share={share!r} must lie between 0 and 1, both excluded: use a number such as 0.5.")
    if noise_units not in NOISE_UNITS:
        raise ValueError(f"noise_units={noise_units!r} is unknown: use 'global' or 'std', as in the classifier.")
    check_number("quantile", quantile, largest=1)
    if sampler is None:
        raise ValueError("sampler=None makes no points: name what is to be given as unlabeled, such as 'gaussian'.")
    X, rng = np.asarray(X), np.random.default_rng(random_state)
    rows, moments = rows_at(X, random_rows(X, max_rows, n_queries, rng), estimator, layer)
    seed = int(rng.integers(2**31 - 1))
    support = Support.from_moments(moments, noise_units=noise_units, dtype=rows.dtype, device=rows.device)
    source = prepared_sampler(resolve_sampler(sampler, parameter="sampler"), torch.from_numpy, rows.shape[1], seed)
    edge = _edge_of(rows, quantile, n_queries)

    def fraction(radius):
        # The same random numbers at every radius, so that more noise is farther out.
        points = source.sample(rows[:n_queries], support, radius, torch.Generator().manual_seed(seed))
        return _fraction_beyond(edge, rows, points)

    return _first_radius(fraction, share, sampler)


def _first_radius(fraction, share, sampler):
    """Return the radius at which an increasing fraction reaches a share, by bisection."""
    low, high = SMALLEST_RADIUS, LARGEST_RADIUS
    least, most = fraction(low), fraction(high)
    if not least < share <= most:
        raise ValueError(
            f"sampler={sampler!r} has {least:.2f} to {most:.2f} of its points outside the support at radii from "
            f"{low:.3g} to {high:.3g}, which does not reach share={share!r} anywhere between: any unlabeled_radius "
            "is as good, or use another sampler."
        )
    while high > low * PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fraction(middle) >= share else (middle, high)
    return high
