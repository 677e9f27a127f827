"""Tables of what discrete values turn into."""

import numpy as np
import torch
from torch import nn

from skrobust.torchify._input import current_input, input_is
from skrobust.torchify._interpolate import interpolate
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
        order = np.argsort(keys)
        order = order[~np.isnan(keys[order])]
        self.register_buffer("keys", float64(keys[order]))
        self.register_buffer("table", float64(table[order]))
        self.has_missing, self.is_nearest = bool(np.isnan(keys).any()), other is None
        other = np.zeros(table.shape[1]) if other is None else other
        self.register_buffer("other", float64(other))
        self.register_buffer("missing", float64(table[np.isnan(keys)][0] if self.has_missing else other))

    def values(self, X):
        """Return rows of the table."""
        x = X[:, 0]
        if not len(self.keys):
            found = self.other.expand(len(x), -1)
        else:
            nearest = (x[:, None] - self.keys).abs().argmin(dim=1)
            is_known = (x == self.keys[nearest]) | self.is_nearest
            found = torch.where(is_known[:, None], self.table[nearest], self.other)
        return torch.where(x.isnan()[:, None], self.missing, found)

    def slope(self, X):
        """Return the row between those of the neighboring keys."""
        if not len(self.keys):
            return self.other + 0 * X
        return interpolate(X[:, 0], self.keys, self.table)


def side_by_side(columns):
    """Return modules of one column each, given all the columns."""
    return Concatenate([nn.Sequential(Select([index]), column) for index, column in enumerate(columns)])


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
        to_numbers = side_by_side([nn.Identity() if n is None else Lookup(range(len(n)), n[:, None]) for n in numbers])
    with input_is(columns.after(to_numbers)):
        return nn.Sequential(to_numbers, converter(fitted))


def _numbers(fitted, vocabulary):
    if vocabulary is None:
        return None
    try:
        return np.asarray(list(vocabulary), dtype=np.float64)
    except (TypeError, ValueError):
        refuse(fitted, f"with a column that holds no numbers but such as {vocabulary[0]!r}")
