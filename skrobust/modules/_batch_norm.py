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
    with torch.no_grad():
        type(layer).forward(layer, X[: labeled.n])  # for the running statistics, by the layer's own rules
    # A compiler makes one kernel of a formula, but none of a function with a gradient of its own.
    normalized = _by_formula if torch.compiler.is_compiling() else NormalizedByHead.apply
    return normalized(X, layer.weight, layer.bias, layer.eps, labeled.n)


def _check_has_variance(X, n_labeled):
    n_values = n_labeled * math.prod(X.shape[2:])
    if n_values < 2:
        raise ValueError(
            "batch normalization needs at least 2 values per channel for their variance, but a batch has "
            f"{n_labeled} labeled row and {n_values} value: raise batch_size and give 2 rows or more, or use a module "
            "without batch normalization."
        )


class NormalizedByHead(torch.autograd.Function):
    """The rows of a batch, normalized by the mean and the variance of the first n, scaled and shifted.

    torch's kernel for networks that predict does this in one pass over the rows, and their gradient in another, but
    takes the statistics for constants: what the first rows owe to them is added. Gradients that are to have gradients
    themselves go by the formula.
    """

    @staticmethod
    def forward(ctx, X, weight, bias, eps, n):
        """Return the normalized rows."""
        _, mean, inverse = torch.native_batch_norm(_precise(X[:n]), None, None, None, None, True, 0.0, eps)
        ctx.eps, ctx.n = eps, n
        ctx.save_for_backward(X, weight, bias, mean, inverse)
        return torch.nn.functional.batch_norm(X, mean, inverse**-2 - eps, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx, gradient):
        """Return the gradients of rows, weight and bias."""
        X, weight, bias, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = _gradients_by_formula(gradient, X, weight, bias, ctx.eps, ctx.n)
        else:
            constants = mean, inverse**-2 - ctx.eps, None, None, False, ctx.eps
            found = torch.ops.aten.native_batch_norm_backward(gradient, X, weight, *constants, [True] * 3)
            found[0][: ctx.n] -= _owed_to_statistics(X[: ctx.n], weight, mean, inverse, *found[1:])
        return *(None if of is None else it for it, of in zip(found, (X, weight, bias), strict=True)), None, None


def _owed_to_statistics(head, weight, mean, inverse, of_weight, of_bias):
    """Return by how much the gradient of the rows that make the statistics is less than with constant ones."""
    n_values = head.numel() // head.shape[1]
    scale = inverse / n_values if weight is None else weight * inverse / n_values
    along = (-1, *[1] * (head.ndim - 2))
    slope, offset = (scale * inverse * of_weight).view(along), (scale * of_bias).view(along)
    return torch.addcmul(offset, head - mean.view(along), slope)


def _by_formula(X, weight, bias, eps, n):
    """Return the normalized rows as torch's own operations make them, which have gradients of gradients."""
    axes = [axis for axis in range(X.ndim) if axis != 1]
    head = _precise(X[:n])
    mean = head.mean(axes, keepdim=True)
    variance = (head - mean).square().mean(axes, keepdim=True)  # torch.var_mean takes many times as long on a CPU
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight.view(mean.shape)
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias.view(mean.shape)
    return torch.addcmul(shift, X, scale).to(X.dtype)


def _gradients_by_formula(gradient, X, weight, bias, eps, n):
    tensors = X, weight, bias
    wanted = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
    found = iter(torch.autograd.grad(_by_formula(*tensors, eps, n), wanted, gradient, create_graph=True))
    return [next(found) if tensor is not None and tensor.requires_grad else None for tensor in tensors]


def _precise(head):
    """Return rows in float32 at least, in which layers compute statistics of activations in half precision."""
    return head.to(torch.promote_types(head.dtype, torch.float32))
