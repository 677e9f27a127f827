"""What penalties share: the anchors that they act at, and points along which one can differentiate."""

from sklearn.base import BaseEstimator

LABELED = ("labeled", "adversarial")
ALL = ("labeled", "adversarial", "unlabeled")


class Penalty(BaseEstimator):
    """Base of penalties: points are the anchors themselves, made ready for gradients."""

    # Kinds of anchors that it can use; those that it does use are its parameter `anchors`.
    usable = ALL
    # Why it cannot use others, to end a sentence.
    reason = ""
    # Whether its value holds a gradient, so that training differentiates twice.
    differentiates = False

    @property
    def follows_gradient(self):
        """Whether the network must have gradients with respect to the points."""
        return self.differentiates

    def points(self, anchors, neighborhood):
        """Return the anchors, Tensor of shape (n, n_features), along which one can differentiate."""
        return tracked(anchors)


def tracked(points):
    """Return points along which one can differentiate: themselves if they have a history, a view of them if not."""
    return points if points.requires_grad else points.detach().requires_grad_()


def split_neighbors(values, neighborhood):
    """Return values at the anchors, shape (n, ...), and at their neighbors, shape (n_neighbors, n, ...)."""
    n_anchors = len(values) // (1 + neighborhood.n_neighbors)
    anchors, neighbors = values.split([n_anchors, len(values) - n_anchors])
    return anchors, neighbors.unflatten(0, (-1, n_anchors))
