"""Noise around rows, a box, beyond pairs of rows, given rows, and mixtures of these."""

import torch
from sklearn.base import BaseEstimator

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
    """Take points from several samplers in equal shares, each for rows that are chosen at random.

    Where the rows cannot be shared out evenly, chance decides which samplers make fewer points.

    Parameters
    ----------
    samplers : list of samplers

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import Mixture, Pool
    >>> mixture = Mixture([Pool(torch.tensor([[1.0]])), Pool(torch.tensor([[2.0]]))])
    >>> mixture.sample(torch.zeros(4, 1), None, 1.0, torch.Generator()).flatten().sort().values
    tensor([1., 1., 2., 2.])
    """

    def __init__(self, samplers):
        self.samplers = samplers

    def prepared(self, tensor, n_features, seed):
        """Return the mixture for one fit, each sampler prepared with a seed of its own."""
        seeds = range(seed, seed + len(self.samplers))
        parts = zip(self.samplers, seeds, strict=True)
        return Mixture([prepared_sampler(sampler, tensor, n_features, own % 2**32) for sampler, own in parts])

    def sample(self, X, support, radius, generator):
        """Return one point for each row of X, from a sampler that is drawn for it."""
        places = self._places(len(X), generator, X.device)
        sources = X.repeat(len(self.samplers), 1)[: len(X) + -len(X) % len(self.samplers)]
        sources[places] = X
        shares = zip(self.samplers, sources.chunk(len(self.samplers)), strict=True)
        return torch.cat([sampler.sample(share, support, radius, generator) for sampler, share in shares])[places]

    def _places(self, n, generator, device):
        """Return a place for each of n rows: the first share of the places is the first sampler's, and so on.

        All samplers have as many places, of which those that are left over lie together somewhere: counting rows
        instead would make a GPU wait.
        """
        n_places = n + -n % len(self.samplers)
        first = torch.randint(n_places, (1,), generator=generator, device=device)
        return (torch.randperm(n, generator=generator, device=device) + first) % n_places


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
