"""Penalties on the answers themselves, at points that the network chooses: worst directions, and noise."""

import math
from numbers import Real

import torch

from skrobust._norms import L2
from skrobust.adversary import Ball, ascend, worst_directions
from skrobust.adversary._checks import check_count
from skrobust.losses import divergence
from skrobust.penalties._base import ALL, Penalty, split_neighbors


class VirtualAdversarial(Penalty):
    r"""Divergence of the answers from those at the neighbor in the worst direction (virtual adversarial training).

    .. math:: \operatorname{mean}_a \; \text{KL}(p(a) \,\|\, p(a + r)), \quad
        r = \operatorname{argmax}_{\|r\| = \text{neighbor\_radius} \cdot D} \text{KL}(p(a) \,\|\, p(a + r))

    with r found by power iteration from a random direction. As published, p(a) is a constant for training. The radius
    is in units of D, so that the penalty is a pure number. The search evaluates the network in evaluation mode.

    Parameters
    ----------
    n_power_iterations : int, default=1
        Gradients to take in search of the direction.
    xi : float, default=0.1
        Distance at which they are taken, in units of the radius.
    anchors : tuple of {"labeled", "adversarial", "unlabeled"}, default=("labeled", "adversarial", "unlabeled")
        The points at which it acts, of those that there are.

    References
    ----------
    T. Miyato, S. Maeda, M. Koyama, S. Ishii: Virtual Adversarial Training: A Regularization Method for Supervised and
    Semi-Supervised Learning. IEEE TPAMI, 2018, arXiv:1704.03976.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.penalties import VirtualAdversarial
    >>> OffSupportRobustClassifier(penalty=VirtualAdversarial(), neighbor_radius=0.2, smoothness=1.0).penalty
    VirtualAdversarial()
    """

    follows_gradient = True

    def __init__(self, n_power_iterations=1, *, xi=0.1, anchors=ALL):
        self.n_power_iterations = n_power_iterations
        self.xi = xi
        self.anchors = anchors

    def check(self):
        """Raise a ValueError if a parameter is wrong."""
        check_count("n_power_iterations", self.n_power_iterations)
        if not (isinstance(self.xi, Real) and 0 < self.xi < math.inf):
            raise ValueError(f"xi={self.xi!r} is no distance: use a positive number, in units of neighbor_radius.")

    def points(self, anchors, neighborhood):
        """Return the anchors, then their neighbors: Tensor of shape (n * (1 + n_neighbors), n_features)."""
        rows, scale = neighborhood.repeated(anchors), neighborhood.scale(neighborhood.radius)
        with neighborhood.evaluating() as outputs:
            with torch.no_grad():
                here = neighborhood.repeated(outputs(anchors.detach()))
            Z = worst_directions(
                lambda points: divergence(here, outputs(points)),
                rows.detach(),
                self.xi * scale,
                neighborhood.generator,
                self.n_power_iterations,
            )
        return torch.cat([anchors, Ball(rows, L2, scale).points(Z)])

    def value(self, points, logits, neighborhood):
        """Return the penalty, Tensor of shape (), from what :meth:`points` returned and the outputs there."""
        here, there = split_neighbors(logits, neighborhood)
        return divergence(here.detach(), there)


class UniformConfidence(Penalty):
    r"""Confidence at unlabeled points, which is 0 where all classes are equally likely.

    .. math:: \operatorname{mean}_u \max_c \log p_c(u) + \log C \quad \text{or} \quad
        -\operatorname{mean}_{u, c} \log p_c(u) - \log C

    the greatest log-confidence, or the cross-entropy to the uniform distribution, both less their least values. Without
    steps this is CEDA; with steps, every point first moves within a ball of ``neighbor_radius`` in units of D to where
    the confidence is greatest, as in ACET.

    Parameters
    ----------
    measure : {"max", "uniform"}, default="max"
        The greatest log-confidence, or the cross-entropy to the uniform distribution.
    n_steps : int, default=0
        Gradient steps to the most confident point nearby.
    anchors : tuple of {"unlabeled"}, default=("unlabeled",)
        The points at which it acts.

    References
    ----------
    M. Hein, M. Andriushchenko, J. Bitterwolf: Why ReLU Networks Yield High-Confidence Predictions Far Away From the
    Training Data and How to Mitigate the Problem. CVPR, 2019, arXiv:1812.05720.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.penalties import UniformConfidence
    >>> OffSupportRobustClassifier(penalty=UniformConfidence(n_steps=5), unlabeled="uniform", smoothness=1.0).penalty
    UniformConfidence(n_steps=5)
    """

    usable = ("unlabeled",)
    reason = "where there are data, confidence is right"

    def __init__(self, measure="max", *, n_steps=0, anchors=("unlabeled",)):
        self.measure = measure
        self.n_steps = n_steps
        self.anchors = anchors

    @property
    def follows_gradient(self):
        """Whether points are moved along gradients."""
        return self.n_steps > 0

    def check(self):
        """Raise a ValueError if a parameter is wrong."""
        if not (isinstance(self.measure, str) and self.measure in MEASURES):
            raise ValueError(f"measure={self.measure!r} is unknown: use one of {sorted(MEASURES)}.")
        if self.n_steps != 0:
            check_count("n_steps", self.n_steps)

    def points(self, anchors, neighborhood):
        """Return the anchors, or where they were moved to: Tensor of shape (n, n_features)."""
        if not self.n_steps:
            return anchors
        ball = Ball(anchors, L2, neighborhood.scale(neighborhood.radius))
        measure, step = MEASURES[self.measure], 2.5 / self.n_steps
        with neighborhood.evaluating() as outputs:
            Z = ascend(
                lambda points: measure(outputs(points)),
                ball,
                torch.zeros_like(anchors),
                lambda Z, u: ball.inside(Z + step * u),
                self.n_steps,
            )
        return ball.points(Z)

    def value(self, points, logits, neighborhood):
        """Return the penalty, Tensor of shape (), from what :meth:`points` returned and the outputs there."""
        return MEASURES[self.measure](logits)


def _greatest(logits):
    """Return the mean of the greatest log-confidence, less that of equal shares."""
    return logits.log_softmax(dim=1).amax(dim=1).mean() + math.log(logits.shape[1])


def _from_uniform(logits):
    """Return the mean divergence of the softmax outputs from equal shares."""
    return -logits.log_softmax(dim=1).mean() - math.log(logits.shape[1])


MEASURES = {"max": _greatest, "uniform": _from_uniform}
