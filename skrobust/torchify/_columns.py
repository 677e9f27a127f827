"""Converters of what takes some of the columns, or several copies of them."""

import itertools

from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import RFE, SelectorMixin
from sklearn.pipeline import FeatureUnion
from torch import nn

from skrobust.torchify._input import current_input, input_is
from skrobust.torchify._outputs import decision, log_probabilities
from skrobust.torchify._parts import Concatenate, Select
from skrobust.torchify._registry import builtin, convert, convert_transformer, inside, transformers


@builtin(SelectorMixin, wants_numbers=False)
def convert_selector(fitted):
    """Return the selection of the supported columns."""
    indices = fitted.get_support(indices=True)
    return Select(indices, current_input().at(indices).vocabularies)


@builtin(RFE, wants_numbers=False)
def convert_elimination(fitted):
    """Return the selection and then its classifier, since it answers as that does."""
    return _eliminated(fitted, convert)


log_probabilities.register(RFE)(lambda fitted: _eliminated(fitted, log_probabilities))
decision.register(RFE)(lambda fitted: _eliminated(fitted, decision))


transformers.register(SelectorMixin)(convert_selector)


@builtin(ColumnTransformer, wants_numbers=False)
def convert_column_transformer(fitted):
    """Return the transformers of the columns, side by side."""
    parts, weights = [], []
    for name, transformer, _ in fitted.transformers_:
        indices = _places(fitted, fitted._transformer_to_input_indices[name])
        if len(indices) and not _drops(transformer):
            with inside(name):
                parts.append(_on_columns(transformer, indices))
            weights.append((fitted.transformer_weights or {}).get(name, 1.0))
    return _side_by_side(parts, weights)


@builtin(FeatureUnion, wants_numbers=False)
def convert_feature_union(fitted):
    """Return the transformers, side by side."""
    parts, weights = [], []
    for name, transformer in fitted.transformer_list:
        if not _drops(transformer):
            with inside(name):
                parts.append(convert_transformer(transformer))
            weights.append((fitted.transformer_weights or {}).get(name, 1.0))
    return _side_by_side(parts, weights)


def _eliminated(fitted, convert_last):
    select = convert_selector(fitted)
    with input_is(current_input().after(select)):
        return nn.Sequential(select, convert_last(fitted.estimator_))


def _places(fitted, indices):
    """Return where columns of the fit are now: those of a DataFrame are found by their names."""
    names = list(current_input().names)
    if not names or not hasattr(fitted, "feature_names_in_"):
        return list(indices)
    wanted = list(fitted.feature_names_in_[indices])
    if not set(wanted) <= set(names):
        raise ValueError(f"X has no columns {sorted(set(wanted) - set(names))}, which the estimator was fitted on.")
    return [names.index(name) for name in wanted]


def _on_columns(transformer, indices):
    with input_is(current_input().at(indices)):
        module = convert_transformer(transformer)
    chain = nn.Sequential(Select(indices), module)
    chain.vocabularies = getattr(module, "vocabularies", ())
    return chain


def _side_by_side(parts, weights):
    joined = Concatenate(parts, weights)
    if any(getattr(part, "vocabularies", ()) for part in parts):
        # Vocabularies come with rows, which tell how many columns the other parts return.
        rows = current_input().rows[:1]
        known = [getattr(part, "vocabularies", ()) or (None,) * part(rows).shape[1] for part in parts]
        joined.vocabularies = tuple(itertools.chain(*known))
    return joined


def _drops(transformer):
    return isinstance(transformer, str) and transformer == "drop"
