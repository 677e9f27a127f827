"""Batch normalization when only the first rows of a batch are data."""

import contextlib
import functools

import torch
from torch.nn.modules.batchnorm import _BatchNorm


@contextlib.contextmanager
def labeled_batch_norm(layers, n_labeled):
    """Within this context, normalize every row by the statistics of the first `n_labeled` rows, and keep only those.

    Unlabeled points and neighbors lie outside the support of the data; in the running statistics they would make
    the network that predicts another one than the network that was trained.

    Parameters
    ----------
    layers : list of torch.nn.Module
        The batch normalization layers of a network in training mode.
    n_labeled : int

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import labeled_batch_norm
    >>> layer = torch.nn.BatchNorm1d(1, momentum=1.0)
    >>> with labeled_batch_norm([layer], n_labeled=2):
    ...     layer(torch.tensor([[0.0], [2.0], [100.0]])).round().flatten().tolist()
    [-1.0, 1.0, 99.0]
    >>> layer.running_mean
    tensor([1.])
    """
    for layer in layers:
        layer.forward = functools.partial(_forward, layer, n_labeled)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def batch_norm_layers(network):
    """Return the batch normalization layers of a network as a list."""
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]


def _forward(layer, n_labeled, X):
    if not layer.training:
        return type(layer).forward(layer, X)
    labeled = type(layer).forward(layer, X[:n_labeled])
    if n_labeled == len(X):
        return labeled
    axes = [axis for axis in range(X.ndim) if axis != 1]
    variance, mean = torch.var_mean(X[:n_labeled], dim=axes, correction=0, keepdim=True)
    others = (X[n_labeled:] - mean) * torch.rsqrt(variance + layer.eps)
    if layer.affine:
        shape = mean.shape
        others = others * layer.weight.view(shape) + layer.bias.view(shape)
    return torch.cat([labeled, others])
