"""Where unlabeled points come from: small stateless samplers; the random generator is passed in.

A sampler is any object with one method::

    sample(X, support, radius, generator) -> Tensor of shape (n, n_features)

which returns one unlabeled point for each row of `X` (Tensor of shape (n, n_features), rows of the training batch).
`support` is a :class:`Support`, what is known of the data as a whole; `radius` is ``unlabeled_radius`` (or
``neighbor_radius``) in units of the data scale D; `generator` is a :class:`torch.Generator` on the device of `X`, to
be used for every random number. A sampler that derives from :class:`sklearn.base.BaseEstimator` exposes its own
parameters to GridSearchCV, as ``unlabeled__name``.
"""

import dataclasses
import functools
import math

import torch
from sklearn.base import BaseEstimator

from skrobust.data import widest_float

__all__ = [
    "Extrapolation",
    "Gaussian",
    "Mixture",
    "Pool",
    "Support",
    "Uniform",
    "off_support_fraction",
    "resolve_sampler",
]


@dataclasses.dataclass(frozen=True)
class Support:
    """What is known of the support of the data, on the training device.

    Parameters
    ----------
    data_scale : float
        D, the root of the expected squared distance of two training rows.
    unit : float or Tensor of shape (n_features,)
        Unit of the noise in each feature, such that noise of radius r has the standard deviation ``r * unit``:
        D / sqrt(n_features), or sqrt(2) times the standard deviation of each feature.
    low, high : Tensor of shape (n_features,)
        Smallest and largest value of each feature.
    """

    data_scale: float
    unit: float | torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    @classmethod
    def from_moments(cls, moments, *, noise_units, dtype, device):
        """Return the support that belongs to :class:`skrobust.data.Moments`.

        Parameters
        ----------
        moments : Moments
        noise_units : {"global", "std"}
            One unit for all features, or each feature's own standard deviation.
        dtype : torch.dtype
        device : torch.device
        """

        def tensor(values):
            return torch.as_tensor(values, dtype=dtype, device=device)

        is_global = noise_units == "global"
        unit = moments.data_scale / math.sqrt(len(moments.mean)) if is_global else tensor(moments.std * 2**0.5)
        return cls(moments.data_scale, unit, tensor(moments.low), tensor(moments.high))

    def squared_norm(self, displacement):
        """Return squared lengths in noise units: Tensor of shape (..., n_features) to Tensor of shape (...)."""
        if isinstance(self._divisor, float):
            return torch.linalg.vector_norm(displacement, dim=-1).square() / self._divisor**2
        return torch.linalg.vector_norm(displacement / self._divisor, dim=-1).square()

    @functools.cached_property
    def _divisor(self):
        # A constant feature gets no noise, so that any divisor serves it.
        if isinstance(self.unit, float):
            return self.unit or 1.0
        return torch.where(self.unit > 0, self.unit, 1.0)


class Gaussian(BaseEstimator):
    """Add isotropic Gaussian noise to each row: u = x + radius * D / sqrt(n_features) * eps.

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import Gaussian, Support
    >>> support = Support(2.0, 1.0, torch.zeros(4), torch.ones(4))
    >>> points = Gaussian().sample(torch.zeros(1000, 4), support, 0.5, torch.Generator().manual_seed(0))
    >>> round(points.std().item(), 1)
    0.5
    """

    def sample(self, X, support, radius, generator):
        """Return one point for each row of X (see the head of this module)."""
        noise = torch.randn(X.shape, generator=generator, device=X.device, dtype=X.dtype)
        return noise.mul_(radius * support.unit).add_(X)


class Uniform(BaseEstimator):
    """Draw points evenly from the box around the data, enlarged on every side by radius * D / sqrt(n_features).

    Parameters
    ----------
    enlarge : float, default=1.0
        Factor of the enlargement; 0 keeps to the box itself.

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import Support, Uniform
    >>> support = Support(2.0, 1.0, torch.zeros(4), torch.ones(4))
    >>> points = Uniform().sample(torch.zeros(1000, 4), support, 0.5, torch.Generator().manual_seed(0))
    >>> bool(points.min() >= -0.5), bool(points.max() <= 1.5)
    (True, True)
    """

    def __init__(self, enlarge=1.0):
        self.enlarge = enlarge

    def sample(self, X, support, radius, generator):
        """Return one point for each row of X (see the head of this module)."""
        margin = self.enlarge * radius * support.unit
        share = torch.rand(X.shape, generator=generator, device=X.device, dtype=X.dtype)
        return torch.lerp(support.low - margin, support.high + margin, share)


class Extrapolation(BaseEstimator):
    """Go beyond pairs of rows: u = x + radius * (x - x'), where x' is a random row of the batch.

    The expected squared distance from x is (radius * D)^2, as with Gaussian noise, but the directions are those in
    which the data vary.

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import Extrapolation, Support
    >>> support = Support(2.0, 1.0, torch.zeros(1), torch.ones(1))
    >>> X = torch.tensor([[0.0], [1.0]])
    >>> points = Extrapolation().sample(X, support, 0.5, torch.Generator().manual_seed(2))
    >>> bool((points <= 1.5).all() and (points >= -0.5).all())
    True
    """

    def sample(self, X, support, radius, generator):
        """Return one point for each row of X (see the head of this module)."""
        partner = torch.randperm(len(X), generator=generator, device=X.device)
        return torch.lerp(X, X[partner], -radius)


class Pool:
    """Draw from given unlabeled rows, with replacement.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_features)
        On the training device, or in main memory if there are too many for that.
    weight : Tensor of shape (n_rows,), default=None
        Probabilities of the rows, up to a factor, on the training device; None means equal ones.

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import Pool
    >>> pool = Pool(torch.tensor([[1.0], [2.0]]), weight=torch.tensor([0.0, 1.0]))
    >>> pool.sample(torch.zeros(3, 1), None, 1.0, torch.Generator()).flatten()
    tensor([2., 2., 2.])
    """

    def __init__(self, rows, weight=None):
        self.rows = rows
        self.edges = None if weight is None else weight.to(widest_float(weight.device)).cumsum(0)

    def sample(self, X, support, radius, generator):
        """Return one row of the pool for each row of X; radius has no effect."""
        if self.edges is None:
            index = torch.randint(len(self.rows), (len(X),), generator=generator, device=X.device)
        else:
            share = torch.rand(len(X), generator=generator, device=X.device, dtype=self.edges.dtype)
            index = torch.searchsorted(self.edges, share * self.edges[-1], right=True).clamp_max(len(self.rows) - 1)
        return self.rows[index.to(self.rows.device)].to(X.device)


class Mixture:
    """Take points from several samplers in equal shares.

    Parameters
    ----------
    samplers : list of samplers

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import Mixture, Pool
    >>> mixture = Mixture([Pool(torch.tensor([[1.0]])), Pool(torch.tensor([[2.0]]))])
    >>> mixture.sample(torch.zeros(4, 1), None, 1.0, torch.Generator()).flatten()
    tensor([1., 1., 2., 2.])
    """

    def __init__(self, samplers):
        self.samplers = samplers

    def sample(self, X, support, radius, generator):
        """Return one point for each row of X: from the first sampler for the first share of rows, and so on."""
        shares = zip(self.samplers, X.tensor_split(len(self.samplers)), strict=True)
        return torch.cat([sampler.sample(share, support, radius, generator) for sampler, share in shares])


SAMPLERS = {"gaussian": Gaussian, "uniform": Uniform, "extrapolation": Extrapolation}


def resolve_sampler(sampler, *, parameter):
    """Return the sampler that a parameter of the estimator names.

    Parameters
    ----------
    sampler : {"gaussian", "uniform", "extrapolation"}, sampler object or None
    parameter : str
        Name of the parameter, for the error message.

    Returns
    -------
    sampler : object with a method ``sample``, or None

    Raises
    ------
    ValueError
        If the name is unknown or the object has no method ``sample``.

    Examples
    --------
    >>> from skrobust.unlabeled import resolve_sampler
    >>> resolve_sampler("uniform", parameter="unlabeled")
    Uniform()
    """
    if sampler is None or (callable(getattr(sampler, "sample", None)) and not isinstance(sampler, type)):
        return sampler
    if isinstance(sampler, str) and sampler in SAMPLERS:
        return SAMPLERS[sampler]()
    raise ValueError(
        f"{parameter}={sampler!r} is not a sampler: use one of {sorted(SAMPLERS)}, None, or an object with a method "
        "sample(X, support, radius, generator)."
    )


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

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import off_support_fraction
    >>> rows = torch.linspace(0, 1, 100)[torch.randperm(100, generator=torch.Generator().manual_seed(0)), None]
    >>> off_support_fraction(rows, torch.tensor([[0.3], [7.0]]))
    0.5
    """
    if len(rows) < 2 or not len(points):
        return math.nan
    precise = widest_float(rows.device)
    rows, points = rows.to(precise), points.to(precise)
    between_rows = torch.cdist(rows[:n_queries], rows)
    between_rows.diagonal().fill_(torch.inf)
    threshold = between_rows.amin(dim=1).quantile(quantile)
    return (torch.cdist(points, rows).amin(dim=1) > threshold).to(precise).mean().item()
