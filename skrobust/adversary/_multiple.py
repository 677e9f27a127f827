"""Several adversaries in one training, for robustness in more than one norm."""

import torch
from torch.nn import functional

from skrobust._points import made_of
from skrobust.adversary._trainings import Averaged, resolve_adversary

STRATEGIES = ("max", "random")


class MultiplePerturbations(Averaged):
    r"""Several adversaries at once, for robustness in the union of what each of them may do.

    .. math:: (1 - w) \, \text{CE}(x) + w \max_k \text{CE}(x'_k)

    Each row is trained on one of the perturbed rows :math:`x'_k`, of which every adversary makes one: the worst
    (``strategy="max"``, [1]_), or one of an adversary drawn for the row, which alone looks for it
    (``strategy="random"``, [2]_, who draw one for a whole batch).

    Parameters
    ----------
    adversaries : list of {"fgsm", "n_fgsm", "pgd", "trades"} or adversary objects
        Those that perturb. How each of them weighs its own loss does not matter.
    strategy : {"max", "random"}, default="max"
        Which perturbed row counts. "random" costs as much as one adversary.
    weight : float, default=0.5
        Share of the adversarial loss, from 0 to 1; the rest is that of the clean rows. At 1 these are not evaluated.

    References
    ----------
    .. [1] F. Tramèr, D. Boneh: Adversarial Training and Robustness for Multiple Perturbations. NeurIPS, 2019,
       arXiv:1904.13000.
    .. [2] F. Croce, M. Hein: Adversarial Robustness against Multiple and Single lp-Threat Models via Quick Fine-Tuning
       of Robust Classifiers. ICML, 2022, arXiv:2105.12508.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.adversary import PGD, MultiplePerturbations
    >>> both = MultiplePerturbations([PGD(eps=0.1), PGD(eps=1.0, norm=2)], strategy="random")
    >>> OffSupportRobustClassifier(adversary=both).adversary.strategy
    'random'
    """

    def __init__(self, adversaries, *, strategy="max", weight=0.5):
        self.adversaries = adversaries
        self.strategy = strategy
        self.weight = weight

    def _check_own(self, n_features):
        if not isinstance(self.adversaries, (list, tuple)) or not self.adversaries or None in self.adversaries:
            raise ValueError(
                f"adversaries={self.adversaries!r} is no list of adversaries: use one such as "
                "[PGD(0.1), PGD(1.0, norm=2)]."
            )
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy={self.strategy!r} is unknown: use one of {STRATEGIES}.")
        for adversary in self._members():
            if hasattr(adversary, "check"):
                adversary.check(n_features)

    def perturb(self, outputs, X, y, generator):
        """Return rows near X that are answered badly (see :mod:`skrobust.adversary`)."""
        return (self._worst if self.strategy == "max" else self._drawn)(outputs, X.detach(), y, generator)

    def _members(self):
        return [resolve_adversary(adversary, parameter="adversaries") for adversary in self.adversaries]

    def _worst(self, outputs, X, y, generator):
        perturbed = [_perturbed(adversary, outputs, X, y, generator) for adversary in self._members()]
        with torch.no_grad():
            losses = torch.stack([functional.cross_entropy(outputs(rows), y, reduction="none") for rows in perturbed])
        return torch.stack(perturbed)[losses.argmax(dim=0), torch.arange(len(X), device=X.device)]

    def _drawn(self, outputs, X, y, generator):
        members, perturbed = self._members(), X.clone()
        drawn = torch.randint(len(members), (len(X),), generator=generator, device=X.device)
        # A GPU is waited for here, once: how many rows each adversary has is a number that Python must know.
        counts = (drawn == torch.arange(len(members), device=X.device)[:, None]).sum(dim=1).tolist()
        for adversary, rows in zip(members, drawn.argsort(stable=True).split(counts), strict=True):
            if len(rows):
                perturbed[rows] = _perturbed(adversary, outputs, X[rows], y[rows], generator)
        return perturbed


def _perturbed(adversary, outputs, X, y, generator):
    return made_of(
        X,
        lambda rows: adversary.perturb(outputs, rows, y, generator),
        adversary,
        parameter="adversaries",
        method="perturb",
    )
