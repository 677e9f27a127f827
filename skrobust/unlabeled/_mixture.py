"""Several samplers in one."""

import torch

from skrobust.unlabeled._resolve import resolve_sampler
from skrobust.unlabeled._samplers import prepared_sampler


class Mixture:
    """Take points from several samplers in equal shares, each for rows that are chosen at random.

    Where the rows cannot be shared out evenly, chance decides which samplers make fewer points.

    Parameters
    ----------
    samplers : list of samplers
        Names, objects or fitted generators, as the parameter ``unlabeled`` takes them.

    Raises
    ------
    ValueError
        If this is no list of samplers, or one of them is none.

    Examples
    --------
    >>> import torch
    >>> from skrobust.unlabeled import Mixture, Pool
    >>> mixture = Mixture([Pool(torch.tensor([[1.0]])), Pool(torch.tensor([[2.0]]))])
    >>> mixture.sample(torch.zeros(4, 1), None, 1.0, torch.Generator()).flatten().sort().values
    tensor([1., 1., 2., 2.])
    """

    def __init__(self, samplers):
        if not isinstance(samplers, (list, tuple)) or not samplers:
            raise ValueError(
                f"samplers={samplers!r} is no list of samplers: give one, such as ['gaussian', 'uniform']."
            )
        self.samplers = [resolve_sampler(sampler, parameter="samplers", also=()) for sampler in samplers]

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
