"""Penalties on gradients with respect to the points: training differentiates them once more.

Every gradient is one of the sum over the points of a pass. Where batch normalization ties the rows of a pass together,
that gradient has a small part that goes through its statistics.
"""

import math
from numbers import Real

import torch

from skrobust._norms import L2
from skrobust._numbers import is_whole
from skrobust.adversary import Ball, ascend
from skrobust.adversary._maximizer import gradient_of
from skrobust.losses import cross_entropy
from skrobust.penalties._base import LABELED, Penalty, tracked


def slope(values, points, along=None):
    """Return the gradient of values with respect to points, which can be differentiated once more."""
    return gradient_of(values, points, grad_outputs=along, create_graph=True)


def _loss_slope(points, logits, labels):
    """Return the gradient of each point's own cross-entropy, Tensor of shape (n, n_features)."""
    return slope(len(points) * cross_entropy(logits, labels), points)


class Jacobian(Penalty):
    r"""Squared Frobenius norm of the Jacobian of the logits.

    .. math:: D^2 \operatorname{mean}_a \|J(a)\|_F^2
        \approx D^2 \operatorname{mean}_a \frac{C}{m} \sum_{i=1}^m \|v_i^\top J(a)\|^2

    with unit vectors :math:`v_i` drawn evenly from the sphere, anew for every anchor, and the data scale D. As in the
    paper, J is that of the logits, not of the softmax outputs.

    Parameters
    ----------
    n_projections : int, default=1
        Number m of random projections, a backward pass each; the estimate has no bias. -1 is the exact norm, by one
        backward pass for each class.
    anchors : tuple of {"labeled", "adversarial", "unlabeled"}, default=("labeled", "adversarial")
        The points at which it acts, of those that there are; as published, labeled ones.

    References
    ----------
    J. Hoffman, D. A. Roberts, S. Yaida: Robust Learning with Jacobian Regularization. 2019, arXiv:1908.02729.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.penalties import Jacobian
    >>> OffSupportRobustClassifier(penalty=Jacobian(n_projections=-1), smoothness=1e-4).penalty
    Jacobian(n_projections=-1)
    """

    differentiates = True

    def __init__(self, n_projections=1, *, anchors=LABELED):
        self.n_projections = n_projections
        self.anchors = anchors

    def check(self):
        """Raise a ValueError if a parameter is wrong."""
        if not is_whole(self.n_projections, least=-1) or self.n_projections == 0:
            raise ValueError(
                f"n_projections={self.n_projections!r} is no number of projections: use a positive integer, or -1 for "
                "the exact Jacobian."
            )

    def value(self, points, logits, neighborhood):
        """Return the penalty, Tensor of shape (), from what :meth:`points` returned and the outputs there."""
        along = self._directions(logits, neighborhood.generator)
        squares = [neighborhood.squared_gradient(slope(logits, points, v)).mean() for v in along]
        return logits.shape[1] / len(squares) * torch.stack(squares).sum()

    def _directions(self, logits, generator):
        """Return unit vectors, Tensor of shape (n_projections, n, n_classes): random ones, or the axes."""
        if self.n_projections == -1:
            axes = torch.eye(logits.shape[1], dtype=logits.dtype, device=logits.device)
            return axes[:, None, :].expand(-1, *logits.shape)
        shape = (self.n_projections, *logits.shape)
        noise = torch.randn(shape, generator=generator, dtype=logits.dtype, device=logits.device)
        return noise / noise.norm(dim=-1, keepdim=True)


class InputGradient(Penalty):
    r"""Squared norm of the gradient of the cross-entropy with respect to the input (double backpropagation).

    .. math:: D^2 \operatorname{mean}_a \|\nabla_a \text{CE}(a, y)\|^2

    Parameters
    ----------
    anchors : tuple of {"labeled", "adversarial"}, default=("labeled", "adversarial")
        The points at which it acts, of those that there are.

    References
    ----------
    A. S. Ross, F. Doshi-Velez: Improving the Adversarial Robustness and Interpretability of Deep Neural Networks by
    Regularizing their Input Gradients. AAAI, 2018, arXiv:1711.09404.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.penalties import InputGradient
    >>> OffSupportRobustClassifier(penalty=InputGradient()).penalty
    InputGradient()
    """

    usable = LABELED
    reason = "the cross-entropy needs labels"
    differentiates = True

    def __init__(self, anchors=LABELED):
        self.anchors = anchors

    def value(self, points, logits, neighborhood):
        """Return the penalty, Tensor of shape (), from what :meth:`points` returned and the outputs there."""
        return neighborhood.squared_gradient(_loss_slope(points, logits, neighborhood.labels)).mean()


class Curvature(Penalty):
    r"""Squared change of the gradient of the cross-entropy along its own direction (CURE).

    .. math:: D^2 \operatorname{mean}_a \|\nabla \text{CE}(a + h D z) - \nabla \text{CE}(a)\|^2

    where z is the sign of the gradient at a, or the gradient itself, normalized to length 1. The direction comes from
    the network in evaluation mode, and is not trained.

    Parameters
    ----------
    h : float, default=0.1
        Step of the finite difference, in units of D. As in the paper, the difference is not divided by it.
    direction : {"sign", "gradient"}, default="sign"
        What is normalized to z; "sign" is as published.
    anchors : tuple of {"labeled", "adversarial"}, default=("labeled", "adversarial")
        The points at which it acts, of those that there are.

    References
    ----------
    S.-M. Moosavi-Dezfooli, A. Fawzi, J. Uesato, P. Frossard: Robustness via Curvature Regularization, and Vice Versa.
    CVPR, 2019, arXiv:1811.09716.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.penalties import Curvature
    >>> OffSupportRobustClassifier(penalty=Curvature(h=0.2)).get_params()["penalty__h"]
    0.2
    """

    usable = LABELED
    reason = "the cross-entropy needs labels"
    differentiates = True

    def __init__(self, h=0.1, *, direction="sign", anchors=LABELED):
        self.h = h
        self.direction = direction
        self.anchors = anchors

    def check(self):
        """Raise a ValueError if a parameter is wrong."""
        if not (isinstance(self.h, Real) and 0 < self.h < math.inf):
            raise ValueError(f"h={self.h!r} is no step of a finite difference: use a positive number, in units of D.")
        if not (isinstance(self.direction, str) and self.direction in DIRECTIONS):
            raise ValueError(f"direction={self.direction!r} is unknown: use one of {sorted(DIRECTIONS)}.")

    def points(self, anchors, neighborhood):
        """Return the anchors, then the points a step away: Tensor of shape (2 * n, n_features)."""
        ball = Ball(anchors, L2, neighborhood.scale(self.h))
        turned, labels = DIRECTIONS[self.direction], neighborhood.labels
        with neighborhood.evaluating() as outputs:
            start = torch.zeros_like(anchors)
            Z = ascend(lambda points: cross_entropy(outputs(points), labels), ball, start, lambda Z, u: turned(u), 1)
        return tracked(torch.cat([anchors, ball.points(Z)]))

    def value(self, points, logits, neighborhood):
        """Return the penalty, Tensor of shape (), from what :meth:`points` returned and the outputs there."""
        labels = torch.cat([neighborhood.labels, neighborhood.labels])
        here, there = _loss_slope(points, logits, labels).chunk(2)
        return neighborhood.squared_gradient(there - here).mean()


DIRECTIONS = {"sign": lambda u: L2.direction(u.sign()), "gradient": L2.direction}
