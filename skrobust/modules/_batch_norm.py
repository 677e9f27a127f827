"""Batch normalization when only the first rows of a batch are data."""

import math

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from skrobust.modules._replace import replaced_forward


class LabeledRows:
    """Number of rows at the head of the next pass that are data; None means all."""

    n = None


def labeled_batch_norm(network):
    """Within this context, normalize every row by the statistics of the labeled rows, and keep only those.

    Unlabeled points and neighbors lie outside the support of the data; in the running statistics they would make
    the network that predicts another one than the network that was trained. The context spans all of training: a
    compiled network would be compiled anew each time it is entered.

    Parameters
    ----------
    network : torch.nn.Module

    Yields
    ------
    labeled : LabeledRows
        Set its attribute ``n`` before each pass in training mode.

    Raises
    ------
    ValueError
        In a pass in training mode, if the labeled rows have a single value per channel, which has no variance.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import labeled_batch_norm
    >>> layer = torch.nn.BatchNorm1d(1, momentum=1.0)
    >>> with labeled_batch_norm(layer) as labeled:
    ...     labeled.n = 2
    ...     layer(torch.tensor([[0.0], [2.0], [100.0]])).round().flatten().tolist()
    [-1.0, 1.0, 99.0]
    >>> layer.running_mean
    tensor([1.])
    """
    return replaced_forward(network, _BatchNorm, _forward, LabeledRows())


def _forward(layer, labeled, X):
    if layer.training:
        _check_has_variance(X, len(X) if labeled.n is None else min(labeled.n, len(X)))
    if not layer.training or labeled.n is None or labeled.n >= len(X):
        return type(layer).forward(layer, X)
    head = type(layer).forward(layer, X[: labeled.n])
    return torch.cat([head, _normalized_tail(layer, X, labeled.n).to(head.dtype)])


def _check_has_variance(X, n_labeled):
    n_values = n_labeled * math.prod(X.shape[2:])
    if n_values < 2:
        raise ValueError(
            "batch normalization needs at least 2 values per channel for their variance, but a batch has "
            f"{n_labeled} labeled row and {n_values} value: raise batch_size and give 2 rows or more, or use a module "
            "without batch normalization."
        )


def _normalized_tail(layer, X, n_labeled):
    """Return the rows behind the labeled ones, normalized by the statistics of these."""
    axes = [axis for axis in range(X.ndim) if axis != 1]
    # Where activations have half precision, the layer computes its statistics in float32, and so must this.
    precise = X[:n_labeled].to(torch.promote_types(X.dtype, torch.float32))
    variance, mean = torch.var_mean(precise, dim=axes, correction=0, keepdim=True)
    scale = torch.rsqrt(variance + layer.eps)
    if layer.affine:
        scale = scale * layer.weight.view(mean.shape)
    shift = -mean * scale
    if layer.affine:
        shift = shift + layer.bias.view(mean.shape)
    return torch.addcmul(shift, X[n_labeled:], scale)  # one pass over the rows
