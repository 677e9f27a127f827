"""Batch normalization when only the first rows of a batch are data."""

import inspect
import math
import warnings

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from skrobust.modules._replace import replaced_forward

FORWARDS = (_BatchNorm.forward, nn.SyncBatchNorm.forward)
SIGNATURE = inspect.signature(nn.functional.batch_norm)


class LabeledRows:
    """Which rows of the next pass are data: the first `n` of `n_rows`.

    None means all rows, and as many rows as a layer sees.
    """

    n = n_rows = None
    has_warned = False

    def among(self, X):
        """Return how many rows at the head of a batch, as a layer sees it, make the statistics."""
        n_rows = len(X) if self.n_rows is None else self.n_rows
        if self.n is None or self.n >= n_rows:
            return len(X)
        if len(X) != n_rows:
            self._warn(len(X))
            return len(X)
        return self.n

    def _warn(self, n_seen):
        if not self.has_warned:
            self.has_warned = True
            warnings.warn(
                f"Batch normalization sees {n_seen} rows where the pass has {self.n_rows}, as in a network that folds "
                "time steps into rows: which of them are data is not known, so that unlabeled points and neighbors "
                "count in its statistics. Use LayerNorm or GroupNorm, which have none, in its place.",
                stacklevel=2,
            )


def labeled_batch_norm(network):
    """Within this context, normalize every row by the statistics of the labeled rows, and keep only those.

    Unlabeled points and neighbors lie outside the support of the data; in the running statistics they would make
    the network that predicts another one than the network that was trained. The context spans all of training: a
    compiled network would be compiled anew each time it is entered.

    Subclasses of torch's layers with a forward of their own keep it; what they have torch normalize is normalized so. A
    layer that sees more rows than the pass has, as where time steps are folded into rows, counts all of them, and says
    so once.

    Parameters
    ----------
    network : torch.nn.Module

    Yields
    ------
    labeled : LabeledRows
        Set its attribute ``n`` before each pass in training mode, and ``n_rows`` where layers may see other rows than
        those of the pass.

    Raises
    ------
    ValueError
        In a pass in training mode, if the labeled rows have a single value per channel, which has no variance.

    Warns
    -----
    UserWarning
        If a layer sees other rows than those of the pass, so that unlabeled points count in its statistics.

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
    forward = type(layer).forward
    n = labeled.among(X) if layer.training else len(X)
    if layer.training and forward in FORWARDS:
        _check_has_variance(X, n)
    if n == len(X):
        return forward(layer, X)
    if forward not in FORWARDS:
        with StatisticsOfHead(n, len(X)):
            return forward(layer, X)
    with torch.no_grad():
        forward(layer, X[:n])  # for the running statistics, by the layer's own rules
    return _by_head(X, layer.weight, layer.bias, layer.eps, n)


def _by_head(X, weight, bias, eps, n):
    """Return the rows of a batch, normalized by the statistics of the first n."""
    # A compiler makes one kernel of a formula, but none of a function with a gradient of its own.
    normalized = _by_formula if torch.compiler.is_compiling() else NormalizedByHead.apply
    return normalized(X, weight, bias, eps, n)


class StatisticsOfHead(TorchFunctionMode):
    """Within this context, batches of n_rows rows are normalized by the statistics of the first n."""

    def __init__(self, n, n_rows):
        super().__init__()
        self.n, self.n_rows = n, n_rows

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Return what a function of torch returns, but for batch normalization."""
        kwargs = kwargs or {}
        if function is not nn.functional.batch_norm:
            return function(*args, **kwargs)
        given = SIGNATURE.bind(*args, **kwargs)
        given.apply_defaults()
        X, weight, bias = (given.arguments[name] for name in ("input", "weight", "bias"))
        if not given.arguments["training"] or len(X) != self.n_rows:
            return function(*args, **kwargs)
        with torch.no_grad():
            given.arguments["input"] = X[: self.n]
            function(*given.args, **given.kwargs)  # for the running statistics
        return _by_head(X, weight, bias, given.arguments["eps"], self.n)


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
