"""What a fitted classifier returns by one of its methods, as a module."""

import functools

import torch
from torch import nn

from skrobust.torchify._parts import Difference, Elementwise
from skrobust.torchify._registry import NotConvertibleError, convert


@functools.singledispatch
def log_probabilities(fitted):
    """Return the module of the logarithm of what ``predict_proba`` returns."""
    return nn.Sequential(convert(fitted), nn.LogSoftmax(dim=1))


@functools.singledispatch
def decision(fitted):
    """Return the module of what ``decision_function`` returns, of shape (n, 1) for two classes."""
    return nn.Sequential(convert(fitted), Difference())


def refuse_several_outputs(fitted, is_multilabel):
    """Raise an error for a classifier that gives several answers per row.

    Raises
    ------
    ValueError
        If it does.
    """
    if is_multilabel:
        raise ValueError(
            f"{type(fitted).__name__} was fitted on multilabel y, which has no single answer per row: fit one "
            "classifier per label."
        )


def refuse(fitted, reason):
    """Raise NotConvertibleError: the estimator has settings that its converter does not know."""
    raise NotConvertibleError(fitted, reason=reason)


def probabilities(fitted):
    """Return the module of what ``predict_proba`` returns."""
    return nn.Sequential(log_probabilities(fitted), Elementwise(torch.exp))
