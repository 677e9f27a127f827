"""Loss terms: pure functions, tensors in, one scalar tensor out."""

import torch
from torch.nn import functional

__all__ = ["cross_entropy", "divergence", "mean_squared_slope"]


def cross_entropy(logits, y, weight=None):
    """Return the mean cross-entropy of labeled rows.

    Parameters
    ----------
    logits : Tensor of shape (n, n_classes)
        Outputs of the network, before the softmax.
    y : Tensor of shape (n,), int64, or of shape (n, n_classes)
        Class indices, or probabilities of the classes.
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


def divergence(logits, others, weight=None):
    r"""Return the mean Kullback-Leibler divergence KL(p || q) of softmax outputs over pairs of points.

    Parameters
    ----------
    logits : Tensor of shape (..., n_classes)
        Outputs whose softmax is p.
    others : Tensor of shape (..., n_classes)
        Outputs whose softmax is q.
    weight : Tensor of shape (...), default=None
        Weights of the pairs.

    Returns
    -------
    divergence : Tensor of shape ()
        In nats; 0 where p = q.

    Examples
    --------
    >>> import torch
    >>> from skrobust.losses import divergence
    >>> certain, undecided = torch.tensor([[99.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> round(divergence(certain, undecided).item(), 4)  # log(2)
    0.6931
    """
    log_p, log_q = logits.log_softmax(dim=-1), others.log_softmax(dim=-1)
    each = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    return each.mean() if weight is None else (weight * each).mean()


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
