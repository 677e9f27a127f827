"""Steps whose values jump: their gradient is zero, unless one asks for that of a slope in their place."""

import contextlib

import torch
from torch import nn


class StraightThrough(nn.Module):
    """A function of discrete values, which can be given the gradient of a smooth one.

    Subclasses define ``values``, and ``slope``, a function of gradient that leads in the same direction; both map rows
    to the same shape. By default the gradient is zero, which is the true one.
    """

    is_sloped = False

    def forward(self, X):
        """Return the values."""
        values = self.values(X.detach())
        if self.is_sloped:
            return _WithGradientOf.apply(values, self.slope(X))
        return self.unsloped(X, values)

    def unsloped(self, X, values):
        """Return the values with their true gradient."""
        # A gradient of zeros, not none: what comes before this step may still be asked for one.
        return _WithGradientOf.apply(values, X[:, :1].expand(-1, values.shape[1]) * 0.0)


class _WithGradientOf(torch.autograd.Function):
    """The first argument, with the gradient of the second."""

    @staticmethod
    def forward(ctx, values, smooth):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient


def has_steps(module):
    """Return whether there are steps inside a module that can be given the gradient of a slope."""
    return any(isinstance(part, StraightThrough) for part in module.modules())


@contextlib.contextmanager
def straight_through(module):
    """Give the discrete steps inside a module the gradient of a slope, for the length of a ``with`` block.

    A KBinsDiscretizer then seems to rise evenly within its bins, a Binarizer and an encoder from one value to the
    next. Values stay as they are.

    Parameters
    ----------
    module : torch.nn.Module
        As from :func:`to_torch`.

    Yields
    ------
    module : torch.nn.Module
        The same one.

    Examples
    --------
    >>> import torch
    >>> from sklearn.preprocessing import Binarizer
    >>> from skrobust.torchify import straight_through, to_torch
    >>> module = to_torch(Binarizer(threshold=0.5).fit([[0.0]]))
    >>> X = torch.tensor([[0.4]], requires_grad=True)
    >>> module(X).sum().backward()
    >>> X.grad
    tensor([[0.]])
    >>> with straight_through(module):
    ...     module(X).sum().backward()
    >>> X.grad
    tensor([[1.]])
    """
    parts = [part for part in module.modules() if isinstance(part, StraightThrough)]
    before = [part.is_sloped for part in parts]
    for part in parts:
        part.is_sloped = True
    try:
        yield module
    finally:
        for part, was_sloped in zip(parts, before, strict=True):
            part.is_sloped = was_sloped
