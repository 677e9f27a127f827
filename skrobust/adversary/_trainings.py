"""Adversarial trainings: where they start, what they raise, and how the loss weighs it."""

import functools
import math

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skrobust._norms import BY_NAME
from skrobust.adversary._checks import check_bounds, check_count, check_lengths, check_number
from skrobust.adversary._maximizer import Ball, ascend, inverse
from skrobust.losses import cross_entropy, divergence

NORMS = (math.inf, 2)


class Averaged(BaseEstimator):
    """A loss that is the average, by a weight, of those of the clean and of the perturbed rows."""

    def check(self, n_features):
        """Check the parameters.

        Parameters
        ----------
        n_features : int

        Raises
        ------
        ValueError
            If a parameter is wrong; the message names the parameter, the value and the remedy.
        """
        self._check_own(n_features)
        self._check_rest()

    def _check_rest(self):
        check_number("weight", self.weight, largest=1)

    @property
    def uses_clean(self):
        """Whether the loss needs the logits of the rows as they are."""
        return self.weight < 1

    def loss(self, logits, perturbed, y, weight=None):
        """Return the loss, and its terms by name, from the logits of the rows and of the perturbed rows."""
        adversarial = cross_entropy(perturbed, y, weight)
        if not self.uses_clean:
            return adversarial, {"adversarial": adversarial}
        clean = cross_entropy(logits, y, weight)
        return torch.lerp(clean, adversarial, self.weight), {"cross_entropy": clean, "adversarial": adversarial}


class _Adversary(Averaged):
    """What those with one ball share: it and its checks. Subclasses say where they start and what they raise."""

    def _check_own(self, n_features):
        if self.norm not in NORMS:
            raise ValueError(f"norm={self.norm!r} is no norm of {type(self).__name__}: use inf or 2.")
        check_lengths("eps", self.eps, n_features)
        if self.eps_step is not None:
            check_lengths("eps_step", self.eps_step, n_features)
        check_bounds(self.clip_values, n_features)

    def perturb(self, outputs, X, y, generator):
        """Return rows near X that are answered badly (see the head of this module)."""
        X = X.detach()
        scale = _values(self.eps, X)
        ball = Ball(X, BY_NAME[float(self.norm)], scale, _bounds(self.clip_values, X))
        step = self._step() if self.eps_step is None else _values(self.eps_step, X) * inverse(scale)
        start, gain = self._start(ball, generator), self._gain(outputs, X, y)
        return ball.points(ascend(gain, ball, start, lambda Z, u: self._kept(ball, Z + step * u), self._n_steps()))

    def _gain(self, outputs, X, y):
        return lambda points: len(points) * cross_entropy(outputs(points), y)

    def _start(self, ball, generator):
        if not self.random_start:
            return torch.zeros_like(ball.X)
        return ball.inside(_noise(ball, generator))

    def _kept(self, ball, Z):
        return ball.inside(Z)


class FGSM(_Adversary):
    r"""One step along the sign of the gradient, for fast adversarial training.

    .. math:: (1 - w) \, \text{CE}(x) + w \, \text{CE}(x'), \quad
        x' = x + \eta + \text{eps\_step} \cdot \operatorname{sign} \nabla_x \text{CE}(x + \eta)

    projected onto the ball of radius eps around x.

    Parameters
    ----------
    eps : float or array-like of shape (n_features,), default=0.1
        Largest change, in the units of X, of each feature or of all.
    norm : {inf, 2}, default=math.inf
        Norm in which eps is a radius. For 2 the step is along the gradient itself.
    eps_step : float or array-like of shape (n_features,), default=None
        Length of the step; None is eps, or 1.25 eps behind a random start [1]_.
    random_start : bool, default=True
        Start from a random point of the ball, which keeps training from collapsing at small and middling eps.
    weight : float, default=0.5
        Share of the adversarial loss, from 0 to 1; the rest is that of the clean rows. At 1 these are not evaluated.
    clip_values : tuple of two floats or arrays of shape (n_features,), default=None
        Smallest and largest values that features may have. Values of X beyond them may move back, but no farther.

    See Also
    --------
    NFGSM : The variant that collapses least.

    References
    ----------
    .. [1] E. Wong, L. Rice, J. Z. Kolter: Fast is better than free. ICLR, 2020, arXiv:2001.03994.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.adversary import FGSM
    >>> OffSupportRobustClassifier(adversary=FGSM(eps=0.2)).get_params()["adversary__eps"]
    0.2
    """

    def __init__(self, eps=0.1, *, norm=math.inf, eps_step=None, random_start=True, weight=0.5, clip_values=None):
        self.eps = eps
        self.norm = norm
        self.eps_step = eps_step
        self.random_start = random_start
        self.weight = weight
        self.clip_values = clip_values

    def _step(self):
        return 1.25 if self.random_start else 1.0

    def _n_steps(self):
        return 1


class NFGSM(_Adversary):
    r"""One step from a noisy row, which is not brought back into the ball (N-FGSM).

    .. math:: x' = x + \eta + \text{eps} \cdot \operatorname{sign} \nabla_x \text{CE}(x + \eta), \quad
        \eta \sim U[-\text{noise} \cdot \text{eps}, \text{noise} \cdot \text{eps}]

    With bounds, x + eta is brought within them before the step, and x' after it, as in the authors' code.

    Parameters
    ----------
    eps : float or array-like of shape (n_features,), default=0.1
        Length of the step, in the units of X, and unit of the noise.
    norm : {inf, 2}, default=math.inf
        Norm in which eps is a length.
    noise : float, default=2.0
        Radius of the noise, in units of eps (k in the paper).
    eps_step : float or array-like of shape (n_features,), default=None
        Length of the step; None is eps.
    weight : float, default=0.5
        Share of the adversarial loss, from 0 to 1; the rest is that of the clean rows. At 1 these are not evaluated.
    clip_values : tuple of two floats or arrays of shape (n_features,), default=None
        Smallest and largest values that features may have. Values of X beyond them may move back, but no farther.

    References
    ----------
    P. de Jorge, A. Bibi, R. Volpi, A. Sanyal, P. H. S. Torr, G. Rogez, P. K. Dokania: Make Some Noise: Reliable and
    Efficient Single-Step Adversarial Training. NeurIPS, 2022, arXiv:2202.01181.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.adversary import NFGSM
    >>> OffSupportRobustClassifier(adversary=NFGSM(eps=0.2)).adversary
    NFGSM(eps=0.2)
    """

    def __init__(self, eps=0.1, *, norm=math.inf, noise=2.0, eps_step=None, weight=0.5, clip_values=None):
        self.eps = eps
        self.norm = norm
        self.noise = noise
        self.eps_step = eps_step
        self.weight = weight
        self.clip_values = clip_values

    def _check_rest(self):
        super()._check_rest()
        check_number("noise", self.noise)

    def _start(self, ball, generator):
        return ball.possible(self.noise * _noise(ball, generator))

    def _kept(self, ball, Z):
        return Z

    def _step(self):
        return 1.0

    def _n_steps(self):
        return 1


class PGD(_Adversary):
    r"""Several projected steps along the gradient, for adversarial training.

    .. math:: (1 - w) \, \text{CE}(x) + w \max_{\|x' - x\| \le \text{eps}} \text{CE}(x')

    Parameters
    ----------
    eps : float or array-like of shape (n_features,), default=0.1
        Largest change, in the units of X, of each feature or of all.
    norm : {inf, 2}, default=math.inf
        Norm in which eps is a radius.
    eps_step : float or array-like of shape (n_features,), default=None
        Length of a step; None is 2.5 eps / max_iter.
    max_iter : int, default=7
        Number of steps.
    random_start : bool, default=True
        Start from a random point of the ball.
    weight : float, default=0.5
        Share of the adversarial loss, from 0 to 1; the rest is that of the clean rows. At 1 these are not evaluated.
    clip_values : tuple of two floats or arrays of shape (n_features,), default=None
        Smallest and largest values that features may have. Values of X beyond them may move back, but no farther.

    References
    ----------
    A. Madry, A. Makelov, L. Schmidt, D. Tsipras, A. Vladu: Towards Deep Learning Models Resistant to Adversarial
    Attacks. ICLR, 2018, arXiv:1706.06083.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.adversary import PGD
    >>> OffSupportRobustClassifier(adversary=PGD(eps=0.5, norm=2, max_iter=3)).adversary
    PGD(eps=0.5, max_iter=3, norm=2)
    """

    def __init__(
        self, eps=0.1, *, norm=math.inf, eps_step=None, max_iter=7, random_start=True, weight=0.5, clip_values=None
    ):
        self.eps = eps
        self.norm = norm
        self.eps_step = eps_step
        self.max_iter = max_iter
        self.random_start = random_start
        self.weight = weight
        self.clip_values = clip_values

    def _check_rest(self):
        super()._check_rest()
        check_count("max_iter", self.max_iter)

    def _step(self):
        return 2.5 / self.max_iter

    def _n_steps(self):
        return self.max_iter


class TRADES(_Adversary):
    r"""Cross-entropy of the rows, and the divergence of the answers to rows that were moved to raise it.

    .. math:: \text{CE}(x) + w \max_{\|x' - x\| \le \text{eps}} \text{KL}(p(x) \,\|\, p(x'))

    The search starts at noise of standard deviation eps / 30, which is 0.001 at the paper's eps of 0.031; for norm 2 at
    noise of length eps / 30.

    Parameters
    ----------
    eps : float or array-like of shape (n_features,), default=0.1
        Largest change, in the units of X, of each feature or of all.
    norm : {inf, 2}, default=math.inf
        Norm in which eps is a radius.
    eps_step : float or array-like of shape (n_features,), default=None
        Length of a step; None is 2.5 eps / max_iter.
    max_iter : int, default=10
        Number of steps.
    weight : float, default=6.0
        Weight of the divergence (beta in the authors' code, 1 / lambda in the paper).
    clip_values : tuple of two floats or arrays of shape (n_features,), default=None
        Smallest and largest values that features may have. Values of X beyond them may move back, but no farther.

    References
    ----------
    H. Zhang, Y. Yu, J. Jiao, E. P. Xing, L. El Ghaoui, M. I. Jordan: Theoretically Principled Trade-off between
    Robustness and Accuracy. ICML, 2019, arXiv:1901.08573.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.adversary import TRADES
    >>> OffSupportRobustClassifier(adversary=TRADES(eps=0.2)).adversary
    TRADES(eps=0.2)
    """

    uses_clean = True

    def __init__(self, eps=0.1, *, norm=math.inf, eps_step=None, max_iter=10, weight=6.0, clip_values=None):
        self.eps = eps
        self.norm = norm
        self.eps_step = eps_step
        self.max_iter = max_iter
        self.weight = weight
        self.clip_values = clip_values

    def _check_rest(self):
        check_number("weight", self.weight)
        check_count("max_iter", self.max_iter)

    def _gain(self, outputs, X, y):
        with torch.no_grad():
            clean = outputs(X)
        return lambda points: len(points) * divergence(clean, outputs(points))

    def _start(self, ball, generator):
        noise = torch.randn(ball.X.shape, generator=generator, device=ball.X.device, dtype=ball.X.dtype)
        return ball.inside(noise / (30 if self.norm == math.inf else 30 * math.sqrt(ball.X.shape[1])))

    def _step(self):
        return 2.5 / self.max_iter

    def _n_steps(self):
        return self.max_iter

    def loss(self, logits, perturbed, y, weight=None):
        """Return the loss, and its terms by name, from the logits of the rows and of the perturbed rows."""
        clean, adversarial = cross_entropy(logits, y, weight), divergence(logits, perturbed, weight)
        return clean + self.weight * adversarial, {"cross_entropy": clean, "adversarial": adversarial}


def _noise(ball, generator):
    """Return random displacements within the ball of radius 1."""
    return ball.norm.noise(ball.X.shape, generator, ball.X.device, ball.X.dtype)


def _values(value, X):
    """Return a number as a float, and one value for each feature as a tensor like X."""
    if np.ndim(value) == 0:
        return float(value)
    return _on_device(np.ravel(value).astype(np.float64).tobytes(), X.dtype, X.device)


@functools.lru_cache(maxsize=32)
def _on_device(values, dtype, device):
    """Return the bytes of float64 values as a tensor, kept for the next step: copies to a GPU wait for the GPU."""
    return torch.tensor(np.frombuffer(values), dtype=dtype, device=device)


def _bounds(clip_values, X):
    """Return the smallest and largest values of each entry of X, which include X itself."""
    if clip_values is None:
        return None
    low, high = (_values(value, X) for value in clip_values)
    if isinstance(low, float) and isinstance(high, float):
        return X.clamp_max(low), X.clamp_min(high)
    return torch.minimum(X, X.new_zeros(1) + low), torch.maximum(X, X.new_zeros(1) + high)


ADVERSARIES = {"fgsm": FGSM, "n_fgsm": NFGSM, "pgd": PGD, "trades": TRADES}


def resolve_adversary(adversary, *, parameter="adversary"):
    """Return the adversary that the parameter ``adversary`` of the estimator names.

    Parameters
    ----------
    adversary : {"fgsm", "n_fgsm", "pgd", "trades"}, adversary object or None
    parameter : str, default="adversary"
        By which the user gave it, for the message.

    Returns
    -------
    adversary : object with methods ``perturb`` and ``loss``, or None

    Raises
    ------
    ValueError
        If the name is unknown or a method is missing.

    Examples
    --------
    >>> from skrobust.adversary import resolve_adversary
    >>> resolve_adversary("pgd")
    PGD()
    """
    if isinstance(adversary, str) and adversary in ADVERSARIES:
        return ADVERSARIES[adversary]()
    has_methods = all(callable(getattr(adversary, name, None)) for name in ("perturb", "loss"))
    if adversary is None or (has_methods and not isinstance(adversary, type)):
        return adversary
    raise ValueError(
        f"{parameter}={adversary!r} is not an adversary: use one of {sorted(ADVERSARIES)}, None, or an object with "
        "methods perturb(outputs, X, y, generator) and loss(logits, perturbed, y, weight)."
    )
