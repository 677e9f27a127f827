"""Noise around rows, a box, beyond pairs of rows, and given rows."""

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skrobust.adversary._checks import check_number
from skrobust.data import widest_float


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
        Factor of the enlargement, not negative; 0 keeps to the box itself.

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
        """Return one point for each row of X (see the head of this module).

        Raises
        ------
        ValueError
            If `enlarge` is negative or no finite number.
        """
        check_number("enlarge", self.enlarge)
        margin = self.enlarge * radius * support.unit
        share = torch.rand(X.shape, generator=generator, device=X.device, dtype=X.dtype)
        return torch.lerp(support.low - margin, support.high + margin, share)


class Extrapolation(BaseEstimator):
    """Go beyond pairs of rows: u = x + radius * (x - x'), where x' is another row of the batch, drawn at random.

    The expected squared distance from x is (radius * D)^2, as with Gaussian noise, but the directions are those in
    which the data vary. A row that is alone in its batch stays where it is.

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
        order = torch.randperm(len(X), generator=generator, device=X.device)
        # The partner of each row is the next one in a random order, so that none is its own.
        partner = torch.empty_like(order)
        partner[order] = order.roll(1)
        return torch.lerp(X, X[partner], -radius)


class Pool:
    """Draw from given unlabeled rows, with replacement.

    Parameters
    ----------
    rows : Tensor or array-like of shape (n_rows, n_features)
        A tensor is taken as it is: on the training device, or in main memory if there are too many for that.
    weight : Tensor or array-like of shape (n_rows,), default=None
        Probabilities of the rows, up to a factor; None means equal ones.

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import Pool
    >>> pool = Pool(torch.tensor([[1.0], [2.0]]), weight=torch.tensor([0.0, 1.0]))
    >>> pool.sample(torch.zeros(3, 1), None, 1.0, torch.Generator()).flatten()
    tensor([2., 2., 2.])
    """

    def __init__(self, rows, weight=None):
        self.rows = _as_tensor(rows)
        self.edges = None if weight is None else _cumulated(_as_tensor(weight))

    def sample(self, X, support, radius, generator):
        """Return one row of the pool for each row of X; radius has no effect."""
        if self.edges is None:
            index = torch.randint(len(self.rows), (len(X),), generator=generator, device=X.device)
        else:
            edges = self.edges.to(X.device)
            share = torch.rand(len(X), generator=generator, device=X.device, dtype=edges.dtype)
            index = torch.searchsorted(edges, share * edges[-1], right=True).clamp_max(len(self.rows) - 1)
        return self.rows[index.to(self.rows.device)].to(X)


def _as_tensor(values):
    # numpy copies what nobody may write to, which torch cannot express.
    return values if isinstance(values, torch.Tensor) else torch.from_numpy(np.array(values, dtype=np.float64))


def _cumulated(weight):
    return weight.to(widest_float(weight.device)).cumsum(0)


def prepared_sampler(sampler, tensor, n_features, seed):
    """Return the sampler that one fit is to use.

    Parameters
    ----------
    sampler : sampler object or None
    tensor : callable
        Takes an array and returns it as a tensor on the training device.
    n_features : int
        Features of a row.
    seed : int
        For what the sampler draws once.

    Returns
    -------
    sampler : object with a method ``sample``, or None
        `sampler` itself if it has no method ``prepared``.

    Examples
    --------
    >>> from skrobust.unlabeled import Gaussian, prepared_sampler
    >>> prepared_sampler(Gaussian(), None, 3, seed=0)
    Gaussian()
    """
    return sampler.prepared(tensor, n_features, seed) if hasattr(sampler, "prepared") else sampler
