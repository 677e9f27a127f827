"""Converters of imputers."""

import numpy as np
import torch
from sklearn.impute import MissingIndicator, SimpleImputer
from torch import nn

from skrobust.torchify._frames import is_missing
from skrobust.torchify._input import current_input
from skrobust.torchify._lookup import Lookup, column_by_column
from skrobust.torchify._parts import Concatenate, Select, float64
from skrobust.torchify._registry import builtin
from skrobust.torchify._straight_through import StraightThrough


class Impute(nn.Module):
    """Values in the place of missing ones, where the gradient is zero."""

    def __init__(self, missing, values):
        super().__init__()
        self.missing = missing
        self.register_buffer("values", float64(values))

    def forward(self, X):
        """Return complete rows."""
        return torch.where(_where_missing(X, self.missing), self.values, X)


class Missing(StraightThrough):
    """1 where a value is missing, else 0."""

    def __init__(self, missing):
        super().__init__()
        self.missing = missing

    def values(self, X):
        """Return zeros and ones."""
        return _where_missing(X, self.missing).to(X.dtype)

    def slope(self, X):
        """Return zeros: no small change makes a value go missing."""
        return 0 * X


@builtin(SimpleImputer, wants_numbers=False)
def convert_simple_imputer(fitted):
    """Return the replacement of missing values, and indicators of them if it adds these."""
    kept = [i for i, value in enumerate(fitted.statistics_) if fitted.keep_empty_features or not is_missing(value)]
    columns = current_input().at(kept)
    statistics = [fitted.statistics_[index] for index in kept]
    if columns.vocabularies:
        imputed, known = _impute_codes(fitted.missing_values, statistics, columns.vocabularies)
    else:
        imputed, known = Impute(fitted.missing_values, statistics), ()
    module = nn.Sequential(Select(kept), imputed)
    if fitted.indicator_ is not None:
        module = Concatenate([module, convert_missing_indicator(fitted.indicator_)])
        known += (None,) * (len(fitted.indicator_.features_) if known else 0)
    module.vocabularies = known
    return module


@builtin(MissingIndicator, wants_numbers=False)
def convert_missing_indicator(fitted):
    """Return indicators of missing values."""
    columns = current_input().at(fitted.features_)
    if not columns.vocabularies:
        return nn.Sequential(Select(fitted.features_), Missing(fitted.missing_values))
    parts = [_indicator_of_codes(fitted.missing_values, vocabulary) for vocabulary in columns.vocabularies]
    return nn.Sequential(Select(fitted.features_), column_by_column(parts))


def _impute_codes(missing, statistics, vocabularies):
    """Return the replacement of missing values in columns of numbers and of codes, and the new vocabularies."""
    parts, known = [], []
    for value, vocabulary in zip(statistics, vocabularies, strict=True):
        if vocabulary is None:
            parts.append(Impute(missing, [value]))
            known.append(None)
            continue
        filled = [value if _means_missing(word, missing) else word for word in vocabulary]
        words = list(dict.fromkeys(filled))
        parts.append(Lookup(range(len(filled)), [[words.index(word)] for word in filled]))
        known.append(np.array([*words, None], dtype=object)[:-1])
    return column_by_column(parts), tuple(known)


def _indicator_of_codes(missing, vocabulary):
    if vocabulary is None:
        return Missing(missing)
    return Lookup(range(len(vocabulary)), [[float(_means_missing(word, missing))] for word in vocabulary])


def _means_missing(word, missing):
    return is_missing(word) if is_missing(missing) else bool(word == missing)


def _where_missing(X, missing):
    return X.isnan() if is_missing(missing) else X == missing
