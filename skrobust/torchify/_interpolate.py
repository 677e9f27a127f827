"""Piecewise linear functions."""

import torch
from torch import nn


def interpolate(x, knots, values):
    """Return what numpy.interp returns, column by column.

    Parameters
    ----------
    x : Tensor of shape (n_columns, n) or (n,)
    knots, values : Tensor of shape (n_columns, n_knots) or (n_knots,)
        The knots do not fall. Where several are equal, the value at them is that of the last one.

    Returns
    -------
    interpolated : Tensor of the shape of x
        Constant beyond the first and the last knot.
    """
    left, right, share = _place(x, knots)
    low, high = values.gather(-1, left), values.gather(-1, right)
    return low + share.clamp(0, 1) * (high - low)


def interpolate_rows(x, knots, table):
    """Return the rows between those of the neighboring knots, on straight lines also beyond the last ones.

    Parameters
    ----------
    x : Tensor of shape (n,)
    knots : Tensor of shape (n_knots,)
    table : Tensor of shape (n_knots, n_outputs)

    Returns
    -------
    rows : Tensor of shape (n, n_outputs)
    """
    left, right, share = _place(x, knots)
    return table[left] + share[:, None] * (table[right] - table[left])


def _place(x, knots):
    """Return the knots to the left and right of x, and where between them it is."""
    last = knots.shape[-1] - 1
    right = torch.searchsorted(knots, x.detach().contiguous(), right=True).clamp(max=last).clamp(min=min(1, last))
    left = (right - 1).clamp(min=0)
    start = knots.gather(-1, left)
    width = knots.gather(-1, right) - start
    # No width: equal knots at an end. Before them counts the first value, from there on the last.
    return left, right, torch.where(width > 0, (x - start) / width.where(width > 0, 1.0), (x >= start).to(x.dtype))


class Interpolation(nn.Module):
    """Interpolation of each column.

    Parameters
    ----------
    knots, values : Tensor of shape (n_columns, n_knots)
    """

    def __init__(self, knots, values):
        super().__init__()
        self.register_buffer("knots", knots.contiguous())
        self.register_buffer("table", values.contiguous())

    def forward(self, X):
        """Return interpolated rows."""
        return interpolate(X.T, self.knots, self.table).T
