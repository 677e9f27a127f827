"""Tables of what discrete values turn into."""

import numpy as np
import torch
from torch import nn

from skrobust.torchify._input import current_input, input_is
from skrobust.torchify._interpolate import interpolate_rows
from skrobust.torchify._outputs import refuse
from skrobust.torchify._parts import Concatenate, Select, float64
from skrobust.torchify._straight_through import StraightThrough


class Lookup(StraightThrough):
    """Row of a table for each value of one column.

    Parameters
    ----------
    keys : array-like of shape (n_keys,)
        Values of the column, NaN being one like any other.
    table : array-like of shape (n_keys, n_outputs)
    other : array-like of shape (n_outputs,), default=None
        Row for other values; None gives them that of the nearest key.
    """

    def __init__(self, keys, table, other=None):
        super().__init__()
        keys, table = np.asarray(keys, dtype=np.float64), np.asarray(table, dtype=np.float64)
        is_missing = np.isnan(keys)
        order = np.argsort(keys)[: np.count_nonzero(~is_missing)]
        self.is_nearest = other is None
        other = np.zeros(table.shape[1]) if other is None else other
        missing = table[is_missing][0] if is_missing.any() else other
        arrays = {"keys": keys[order], "table": table[order], "other": other, "missing": missing}
        for name, array in arrays.items():
            self.register_buffer(name, float64(array))

    def values(self, X):
        """Return rows of the table."""
        x = X[:, 0]
        found = self.other.expand(x.shape[0], -1)  # a length would fix the number of rows of an export
        if len(self.keys):
            nearest = (x[:, None] - self.keys).abs().argmin(dim=1)
            is_known = (x == self.keys[nearest]) | self.is_nearest
            found = torch.where(is_known[:, None], self.table[nearest], found)
        return torch.where(x.isnan()[:, None], self.missing, found)

    def slope(self, X):
        """Return the row between those of the neighboring keys."""
        if not len(self.keys):
            return self.other + 0 * X
        return interpolate_rows(X[:, 0], self.keys, self.table)


class Bins(StraightThrough):
    """Row of a table for each bin of one column.

    Parameters
    ----------
    edges : array-like of shape (n_bins + 1,)
    table : array-like of shape (n_bins, n_outputs)
    """

    def __init__(self, edges, table):
        super().__init__()
        self.register_buffer("edges", float64(edges))
        self.register_buffer("table", float64(table))

    def values(self, X):
        """Return rows of the table."""
        return self.table[torch.searchsorted(self.edges[1:-1], X[:, 0].contiguous(), right=True)]

    def slope(self, X):
        """Return the row between those of the bins whose middles are nearest."""
        if len(self.table) == 1:
            return self.table + 0 * X
        return interpolate_rows(X[:, 0], self.edges[:-1] / 2 + self.edges[1:] / 2, self.table)


def column_by_column(modules):
    """Return modules of one column each, side by side, given all the columns."""
    return Concatenate([nn.Sequential(Select([index]), module) for index, module in enumerate(modules)])


def with_numbers(converter, fitted):
    """Return a converted estimator that takes codes as the numbers that they stand for.

    Raises
    ------
    NotConvertibleError
        If they stand for something else.
    """
    columns = current_input()
    numbers = [_numbers(fitted, vocabulary) for vocabulary in columns.vocabularies]
    if all(known is None or np.array_equal(known, np.arange(len(known))) for known in numbers):
        to_numbers = nn.Identity()
    else:
        to_numbers = column_by_column(
            [nn.Identity() if known is None else Lookup(range(len(known)), known[:, None]) for known in numbers]
        )
    with input_is(columns.after(to_numbers)):
        return nn.Sequential(to_numbers, converter(fitted))


def _numbers(fitted, vocabulary):
    if vocabulary is None:
        return None
    try:
        return np.asarray(list(vocabulary), dtype=np.float64)
    except (TypeError, ValueError):
        refuse(fitted, f"with a column that holds no numbers but such as {vocabulary[0]!r}")
