"""What is made small, and at which points.

A penalty is an object with two methods. ``points(anchors, neighborhood)`` returns every point that the network must be
evaluated at, the anchors first; ``value(points, logits, neighborhood)`` turns the outputs there into one
dimensionless number, which ``smoothness`` weighs.
"""

import dataclasses

import torch
from sklearn.base import BaseEstimator

from skrobust.losses import mean_squared_slope
from skrobust.unlabeled import Support

__all__ = ["Neighborhood", "Smoothness", "lambda_from_smoothness", "resolve_penalty", "smoothness_from_lambda"]


@dataclasses.dataclass(frozen=True)
class Neighborhood:
    """How neighbors of anchors are drawn.

    Parameters
    ----------
    sampler : sampler object
        See :mod:`skrobust.unlabeled`.
    n_neighbors : int
        Neighbors of each anchor.
    radius : float
        Root mean squared distance of a neighbor from its anchor, in units of the data scale D.
    support : Support
    generator : torch.Generator
    """

    sampler: object
    n_neighbors: int
    radius: float
    support: Support
    generator: torch.Generator

    def sample(self, anchors):
        """Return n_neighbors points for each anchor, one full set of anchors behind the other."""
        rows = anchors if self.n_neighbors == 1 else anchors.repeat(self.n_neighbors, 1)
        return self.sampler.sample(rows, self.support, self.radius, self.generator)


class Smoothness(BaseEstimator):
    r"""Squared slope of the softmax surface between anchors and their neighbors.

    .. math:: D^2 \, S, \quad
        S = \operatorname{mean}_{a, a'} \; d \, \frac{\|p(a) - p(a')\|^2}{\|a - a'\|^2}

    with d features, the data scale D (:math:`D^2 = 2 \sum_j \operatorname{Var} x_j`) and the softmax outputs p. As the
    radius goes to zero, S tends to the squared Frobenius norm of the Jacobian of p. :math:`D^2 S` does not change when
    points and noise are mapped by a common scale or rotation.

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

    def points(self, anchors, neighborhood):
        """Return the anchors, then their neighbors: Tensor of shape (n * (1 + n_neighbors), n_features)."""
        return torch.cat([anchors, neighborhood.sample(anchors)])

    def value(self, points, logits, neighborhood):
        """Return the penalty, Tensor of shape (), from what :meth:`points` returned and the outputs there."""
        n_anchors = len(points) // (1 + neighborhood.n_neighbors)
        # Laid out class by class, since torch's softmax along a short last axis is several times slower.
        probability = logits.t().softmax(dim=0).t()
        squared_distance = neighborhood.support.squared_norm(_offsets(points, n_anchors))
        # With lengths in noise units, D / sqrt(d) where there is one unit, D^2 * d / |a - a'|^2 is d^2 / length^2.
        return points.shape[-1] ** 2 * mean_squared_slope(_offsets(probability, n_anchors), squared_distance)


def _offsets(values, n_anchors):
    """Return values at the neighbors less those at their anchors, shape (n_neighbors, n_anchors, ...)."""
    anchors, neighbors = values.split([n_anchors, len(values) - n_anchors])
    return neighbors.unflatten(0, (-1, n_anchors)) - anchors


PENALTIES = {"smoothness": Smoothness}


def resolve_penalty(penalty):
    """Return the penalty that the parameter ``penalty`` of the estimator names.

    Parameters
    ----------
    penalty : {"smoothness"}, penalty object or None

    Returns
    -------
    penalty : object with methods ``points`` and ``value``, or None

    Raises
    ------
    ValueError
        If the name is unknown or a method is missing.

    Examples
    --------
    >>> from skrobust.penalties import resolve_penalty
    >>> resolve_penalty("smoothness")
    Smoothness()
    """
    if isinstance(penalty, str) and penalty in PENALTIES:
        return PENALTIES[penalty]()
    has_methods = all(callable(getattr(penalty, name, None)) for name in ("points", "value"))
    if penalty is None or (has_methods and not isinstance(penalty, type)):
        return penalty
    raise ValueError(
        f"penalty={penalty!r} is not a penalty: use one of {sorted(PENALTIES)}, None, or an object with methods "
        "points(anchors, neighborhood) and value(points, logits, neighborhood)."
    )


def lambda_from_smoothness(smoothness, *, data_scale, n_features, n_classes, n_unlabeled=1):
    r"""Return the weight that the paper calls lambda for a given ``smoothness``.

    The paper averages over classes, does not multiply by the number of features, and takes one step per anchor with
    a batch size of 1, so that :math:`\lambda = \text{smoothness} \, D^2 d \, C / (1 + n_u)`.

    Parameters
    ----------
    smoothness : float
        Weight of the dimensionless penalty.
    data_scale : float
        D, as in the fitted attribute ``data_scale_``.
    n_features, n_classes : int
        d and C.
    n_unlabeled : float, default=1
        Unlabeled points per labeled row.

    Returns
    -------
    lambda_ : float

    See Also
    --------
    smoothness_from_lambda : The inverse.

    References
    ----------
    Paknezhad et al., arXiv:2103.00778.

    Examples
    --------
    >>> from skrobust.penalties import lambda_from_smoothness
    >>> round(lambda_from_smoothness(0.01, data_scale=10.0, n_features=784, n_classes=10), 6)
    3920.0
    """
    return smoothness * data_scale**2 * n_features * n_classes / (1 + n_unlabeled)


def smoothness_from_lambda(lambda_, *, data_scale, n_features, n_classes, n_unlabeled=1):
    """Return the ``smoothness`` for a given weight that the paper calls lambda.

    Parameters
    ----------
    lambda_ : float
        The paper's weight of the smoothness term.
    data_scale : float
        D, as in the fitted attribute ``data_scale_``.
    n_features, n_classes : int
        d and C.
    n_unlabeled : float, default=1
        Unlabeled points per labeled row.

    Returns
    -------
    smoothness : float

    See Also
    --------
    lambda_from_smoothness : The inverse, with the derivation.

    References
    ----------
    Paknezhad et al., arXiv:2103.00778.

    Examples
    --------
    >>> from skrobust.penalties import smoothness_from_lambda
    >>> round(smoothness_from_lambda(3920.0, data_scale=10.0, n_features=784, n_classes=10), 6)
    0.01
    """
    return lambda_ * (1 + n_unlabeled) / (data_scale**2 * n_features * n_classes)
