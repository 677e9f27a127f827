"""What a penalty may ask for beside its anchors: neighbors, units, labels, and the network while it is not trained."""

import contextlib
import dataclasses
import math

import torch
from sklearn.base import BaseEstimator

from skrobust._points import made_of
from skrobust.adversary import Ball, worst_directions
from skrobust.adversary._checks import check_count
from skrobust.unlabeled import Support, resolve_sampler


@dataclasses.dataclass(frozen=True)
class Neighborhood:
    """What a penalty may ask for, beside its anchors, in one step of training.

    Parameters
    ----------
    sampler : sampler object
        See :mod:`skrobust.unlabeled`.
    n_neighbors : int
        Neighbors of each anchor.
    radius : float
        Root mean squared distance of a neighbor from its anchor, in units of the data scale D, as far as the sampler
        goes by it.
    support : Support
    generator : torch.Generator
    evaluating : callable, default=None
        Gives a context manager, within which the function that it yields maps points to logits, with the network in
        evaluation mode.
    labels : Tensor of shape (n_anchors,) or (n_anchors, n_classes), default=None
        Classes of the anchors, or their probabilities; None if there are unlabeled ones among them.
    """

    sampler: object
    n_neighbors: int
    radius: float
    support: Support
    generator: torch.Generator
    evaluating: contextlib.AbstractContextManager | None = None
    labels: torch.Tensor | None = None

    def at(self, evaluating, labels):
        """Return the neighborhood for one step."""
        return dataclasses.replace(self, evaluating=evaluating, labels=labels)

    def repeated(self, anchors):
        """Return the anchors once for each neighbor, one full set of them behind the other."""
        return anchors if self.n_neighbors == 1 else anchors.repeat(self.n_neighbors, 1)

    def sample(self, anchors):
        """Return n_neighbors points for each anchor, one full set of anchors behind the other."""
        return made_of(
            self.repeated(anchors),
            lambda rows: self.sampler.sample(rows, self.support, self.radius, self.generator),
            self.sampler,
            parameter="neighbors",
        )

    def scale(self, radius):
        """Return the length of a displacement of that radius in the units of the anchors, of each feature or of all."""
        return radius * math.sqrt(self.support.n_moving) * self.support.unit

    def squared_gradient(self, gradient):
        r"""Return :math:`D^2 \|g\|^2` for gradients with respect to points: a pure number, as radii are.

        Parameters
        ----------
        gradient : Tensor of shape (n, n_features)

        Returns
        -------
        squares : Tensor of shape (n,)
        """
        # D^2 is d times the square of the unit, where there is one unit; else each feature has its own.
        return self.support.n_moving * (gradient * self.support.unit).square().sum(dim=1)


class WorstDirection(BaseEstimator):
    """Neighbors in the direction in which the softmax outputs change most, for ``neighbors="adversarial"``.

    A random neighbor at ``neighbor_radius`` is turned into the direction of the gradient of the squared change of the
    softmax outputs. It costs a forward and a backward pass for each step, and one more forward pass.

    Parameters
    ----------
    n_steps : int, default=1
        Gradients to take.

    Examples
    --------
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.penalties import WorstDirection
    >>> OffSupportRobustClassifier(neighbors=WorstDirection(n_steps=2)).get_params()["neighbors__n_steps"]
    2
    """

    def __init__(self, n_steps=1):
        self.n_steps = n_steps


class WorstNeighborhood(Neighborhood):
    """Neighborhood whose sampler is a :class:`WorstDirection`: it follows gradients of the network."""

    def sample(self, anchors):
        """Return n_neighbors points for each anchor, one full set of anchors behind the other."""
        rows, scale = self.repeated(anchors), self.scale(self.radius)
        start = rows.detach()
        with self.evaluating() as outputs:
            with torch.no_grad():
                here = self.repeated(outputs(anchors.detach()).softmax(dim=1))
            Z = worst_directions(
                lambda points: (outputs(points).softmax(dim=1) - here).square().sum(),
                start,
                scale,
                self.generator,
                self.sampler.n_steps,
            )
        return Ball(rows, None, scale).points(Z)


def resolve_neighbors(neighbors):
    """Return the object that the parameter ``neighbors`` of the estimator names, and its kind of neighborhood.

    Raises
    ------
    ValueError
        If there is no such object, or None, which leaves nothing to compare an anchor with.
    """
    if neighbors is None:
        raise ValueError("neighbors=None leaves nothing to compare an anchor with: use penalty=None to train plainly.")
    if isinstance(neighbors, str) and neighbors == "adversarial":
        return WorstDirection(), WorstNeighborhood
    if isinstance(neighbors, WorstDirection):
        check_count("n_steps", neighbors.n_steps)
        return neighbors, WorstNeighborhood
    return resolve_sampler(neighbors, parameter="neighbors", also=("adversarial",)), Neighborhood
