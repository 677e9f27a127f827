"""Converters of steps whose values are discrete."""

import numpy as np
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder

from skrobust.torchify._frames import is_missing
from skrobust.torchify._input import current_input
from skrobust.torchify._lookup import Bins, Lookup, column_by_column
from skrobust.torchify._outputs import refuse
from skrobust.torchify._registry import builtin
from skrobust.torchify._straight_through import StraightThrough


class Threshold(StraightThrough):
    """1 above the threshold, else 0."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def values(self, X):
        """Return zeros and ones."""
        return (X > self.threshold).to(X.dtype)

    def slope(self, X):
        """Return the rows themselves."""
        return X


@builtin(Binarizer)
def convert_binarizer(fitted):
    """Return the comparison with the threshold."""
    return Threshold(fitted.threshold)


@builtin(KBinsDiscretizer)
def convert_bins(fitted):
    """Return the number of the bin of each value, or its indicators."""
    numbers = [np.arange(n_bins) for n_bins in fitted.n_bins_]
    tables = [n[:, None] if fitted.encode == "ordinal" else np.eye(len(n)) for n in numbers]
    return column_by_column([Bins(edges, table) for edges, table in zip(fitted.bin_edges_, tables, strict=True)])


@builtin(OneHotEncoder, wants_numbers=False)
def convert_one_hot(fitted):
    """Return indicators of the categories."""
    return _convert_encoder(fitted, _one_hot_table)


@builtin(OrdinalEncoder, wants_numbers=False)
def convert_ordinal(fitted):
    """Return the numbers of the categories."""
    return _convert_encoder(fitted, _ordinal_table)


def _convert_encoder(fitted, make_table):
    columns = []
    vocabularies = current_input().vocabularies or (None,) * len(fitted.categories_)
    for index, (categories, vocabulary) in enumerate(zip(fitted.categories_, vocabularies, strict=True)):
        table, other = make_table(fitted, index, _groups(fitted, index))
        if vocabulary is None:
            columns.append(Lookup(_numbers(fitted, categories), table, other))
        else:
            rows = [_row(value, categories, table, other) for value in vocabulary]
            columns.append(Lookup(range(len(rows)), np.reshape(rows, (-1, table.shape[1]))))
    return column_by_column(columns)


def _groups(fitted, index):
    """Return the group of each category of a feature: itself, or, as the last one, that of the infrequent ones."""
    categories = fitted.categories_[index]
    infrequent = getattr(fitted, "infrequent_categories_", [None] * (index + 1))[index]
    if infrequent is None:
        return np.arange(len(categories))
    is_infrequent = np.array([any(_is_same(one, other) for other in infrequent) for one in categories])
    groups = np.cumsum(~is_infrequent) - 1
    groups[is_infrequent] = np.count_nonzero(~is_infrequent)
    return groups


def _one_hot_table(fitted, index, groups):
    """Return the indicators of each category of a feature, and those of others."""
    indicators = np.eye(groups.max() + 1)
    has_infrequent = len(indicators) < len(groups) or _has_infrequent(fitted, index)
    takes_others = has_infrequent and fitted.handle_unknown in ("infrequent_if_exist", "warn")
    table, other = indicators[groups], indicators[-1] if takes_others else np.zeros(len(indicators))
    dropped = None if fitted.drop_idx_ is None else fitted.drop_idx_[index]
    if dropped is None:
        return table, other
    return np.delete(table, groups[dropped], axis=1), np.delete(other, groups[dropped])


def _ordinal_table(fitted, index, groups):
    """Return the number of each category of a feature, and that of others."""
    numbers = groups.astype(np.float64)
    numbers[[is_missing(category) for category in fitted.categories_[index]]] = fitted.encoded_missing_value
    other = fitted.unknown_value if fitted.handle_unknown == "use_encoded_value" else 0.0
    return numbers[:, None], [other]


def _has_infrequent(fitted, index):
    return getattr(fitted, "infrequent_categories_", [None] * (index + 1))[index] is not None


def _row(value, categories, table, other):
    return next((row for one, row in zip(categories, table, strict=True) if _is_same(one, value)), other)


def _is_same(one, other):
    return bool(is_missing(one) and is_missing(other)) or bool(one == other)


def _numbers(fitted, categories):
    try:
        return np.asarray(categories, dtype=np.float64)
    except (TypeError, ValueError):
        refuse(fitted, f"with categories such as {categories[0]!r} without X, the rows that tell their codes")
