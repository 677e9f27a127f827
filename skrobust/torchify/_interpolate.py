"""Piecewise linear functions."""

import torch
from torch import nn


def interpolate(x, knots, values):
    """Return piecewise linear interpolations, constant beyond the first and the last knot.

    Parameters
    ----------
    x : Tensor of shape (n,)
    knots : Tensor of shape (n_knots,)
        Not falling. Where several are equal, the value at them is that of the last one.
    values : Tensor of shape (n_knots,) or (n_knots, n_outputs)

    Returns
    -------
    interpolated : Tensor of shape (n,) or (n, n_outputs)
    """
    if len(knots) == 1:
        return values[torch.zeros_like(x, dtype=torch.long)] + 0 * _like(x, values)
    right = torch.searchsorted(knots, x.detach().contiguous(), right=True).clamp(1, len(knots) - 1)
    left = right - 1
    width = knots[right] - knots[left]
    inside = torch.minimum(torch.maximum(x, knots[0]), knots[-1])
    share = _like((inside - knots[left]) / width.where(width > 0, 1.0), values)
    return values[left] + share * (values[right] - values[left])


def _like(x, values):
    return x if values.ndim == 1 else x[:, None]


class Isotonic(nn.Module):
    """What a fitted IsotonicRegression predicts of a column."""

    def __init__(self, knots, values):
        super().__init__()
        self.register_buffer("knots", knots)
        self.register_buffer("values", values)

    def forward(self, X):
        """Return predictions of shape (n, 1)."""
        return interpolate(X[:, 0], self.knots, self.values)[:, None]
