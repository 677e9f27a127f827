"""Loss terms: pure functions, tensors in, one scalar tensor out."""

import torch
from torch.nn import functional

__all__ = ["cross_entropy", "mean_squared_slope"]


def cross_entropy(logits, y, weight=None):
    """Return the mean cross-entropy of labeled rows.

    Parameters
    ----------
    logits : Tensor of shape (n, n_classes)
        Outputs of the network, before the softmax.
    y : Tensor of shape (n,), int64
        Class indices.
    weight : Tensor of shape (n,), default=None
        Row weights with mean 1 over the training set. Dividing by the number of rows, not by the weights of the
        batch, keeps the gradient of a batch an unbiased estimate of the gradient of the whole.

    Returns
    -------
    loss : Tensor of shape ()

    Examples
    --------
    >>> import torch
    >>> from skrobust.losses import cross_entropy
    >>> round(cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3])).item(), 4)  # log(4)
    1.3863
    """
    if weight is None:
        return functional.cross_entropy(logits, y)
    return (weight * functional.cross_entropy(logits, y, reduction="none")).mean()


def mean_squared_slope(change, squared_distance):
    r"""Return the mean of :math:`\|p(a) - p(a')\|^2 / \|a - a'\|^2` over pairs of points.

    Parameters
    ----------
    change : Tensor of shape (..., n_classes)
        Differences p(a') - p(a) of the softmax outputs of the pairs.
    squared_distance : Tensor of shape (...)
        Squared distances of the pairs, as realized after rounding. A pair that coincides counts 0.

    Returns
    -------
    slope : Tensor of shape ()

    Examples
    --------
    >>> import torch
    >>> from skrobust.losses import mean_squared_slope
    >>> change = torch.tensor([[0.6, -0.6], [0.0, 0.0]])
    >>> round(mean_squared_slope(change, torch.tensor([0.36, 0.0])).item(), 4)
    1.0
    """
    smallest = torch.finfo(squared_distance.dtype).tiny
    # The outputs at two equal points may still differ by rounding, which must not be divided by next to nothing.
    inverse = (squared_distance >= smallest) / squared_distance.clamp_min(smallest)
    return (change.square().sum(dim=-1) * inverse).mean()
