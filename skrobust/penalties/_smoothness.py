"""Penalties on what happens between anchors and random neighbors: smoothness and stability."""

import torch

from skrobust.losses import divergence, mean_squared_slope
from skrobust.penalties._base import ALL, LABELED, Penalty, split_neighbors


class Smoothness(Penalty):
    r"""Squared slope of the softmax surface between anchors and their neighbors.

    .. math:: D^2 \, S, \quad
        S = \operatorname{mean}_{a, a'} \; d \, \frac{\|p(a) - p(a')\|^2}{\|a - a'\|^2}

    with d features, the data scale D (:math:`D^2 = 2 \sum_j \operatorname{Var} x_j`) and the softmax outputs p. As the
    radius goes to zero, S tends to the squared Frobenius norm of the Jacobian of p. :math:`D^2 S` does not change when
    points and noise are mapped by a common scale or rotation.

    Parameters
    ----------
    anchors : tuple of {"labeled", "adversarial", "unlabeled"}, default=("labeled", "adversarial", "unlabeled")
        The points at which it acts, of those that there are.

    References
    ----------
    M. Paknezhad, C. P. Ngo, A. A. Winarto, A. Cheong, C. Y. Beh, J. Wu, H. K. Lee: Explaining Adversarial
    Vulnerability with a Data Sparsity Hypothesis. Neurocomputing, 2022, arXiv:2103.00778.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.penalties import Smoothness
    >>> OffSupportRobustClassifier(penalty=Smoothness()).penalty
    Smoothness()
    """

    def __init__(self, anchors=ALL):
        self.anchors = anchors

    def points(self, anchors, neighborhood):
        """Return the anchors, then their neighbors: Tensor of shape (n * (1 + n_neighbors), n_features)."""
        return torch.cat([anchors, neighborhood.sample(anchors)])

    def value(self, points, logits, neighborhood):
        """Return the penalty, Tensor of shape (), from what :meth:`points` returned and the outputs there."""
        # Laid out class by class, since torch's softmax along a short last axis is several times slower.
        probability = logits.t().softmax(dim=0).t()
        squared_distance = neighborhood.support.squared_norm(_offsets(points, neighborhood))
        # With lengths in noise units, D / sqrt(d) where there is one unit, D^2 * d / |a - a'|^2 is d^2 / length^2.
        change = _offsets(probability, neighborhood)
        return neighborhood.support.n_moving**2 * mean_squared_slope(change, squared_distance)


def _offsets(values, neighborhood):
    """Return values at the neighbors less those at their anchors, shape (n_neighbors, n_anchors, ...)."""
    anchors, neighbors = split_neighbors(values, neighborhood)
    return neighbors - anchors


class Stability(Penalty):
    r"""Divergence of the answers at random neighbors from those at their anchors (stability training).

    .. math:: \operatorname{mean}_{a, a'} \; \text{KL}(p(a) \,\|\, p(a'))

    The neighbors are those of the estimator, Gaussian at ``neighbor_radius`` by default, so that the penalty is a pure
    number. Both sides of the divergence are trained.

    Parameters
    ----------
    anchors : tuple of {"labeled", "adversarial", "unlabeled"}, default=("labeled", "adversarial")
        The points at which it acts, of those that there are; as published, labeled ones.

    References
    ----------
    S. Zheng, Y. Song, T. Leung, I. Goodfellow: Improving the Robustness of Deep Neural Networks via Stability
    Training. CVPR, 2016, arXiv:1604.04326.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.penalties import Stability
    >>> OffSupportRobustClassifier(penalty=Stability(), neighbor_radius=0.2, smoothness=1.0).penalty
    Stability()
    """

    def __init__(self, anchors=LABELED):
        self.anchors = anchors

    def points(self, anchors, neighborhood):
        """Return the anchors, then their neighbors: Tensor of shape (n * (1 + n_neighbors), n_features)."""
        return torch.cat([anchors, neighborhood.sample(anchors)])

    def value(self, points, logits, neighborhood):
        """Return the penalty, Tensor of shape (), from what :meth:`points` returned and the outputs there."""
        return divergence(*split_neighbors(logits, neighborhood))
