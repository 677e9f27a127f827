"""Converters of classifiers that join others."""

import numpy as np
import torch
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from torch import nn

from skrobust.torchify._input import current_input, input_is
from skrobust.torchify._outputs import decision, log_probabilities, probabilities, refuse
from skrobust.torchify._parts import LOG_ZERO, Concatenate, Mean, Mixture, Select
from skrobust.torchify._registry import builtin, convert, inside
from skrobust.torchify._straight_through import StraightThrough


class Spread(nn.Module):
    """Log-probabilities of all the classes, from those of some.

    Parameters
    ----------
    places : array-like of int
        Which ones these are.
    n_classes : int
    """

    def __init__(self, places, n_classes):
        super().__init__()
        places = np.asarray(places)
        # The last column is that of a class which never occurs.
        indices = np.full(n_classes, len(places))
        indices[places] = np.arange(len(places))
        self.register_buffer("indices", torch.from_numpy(indices))

    def forward(self, X):
        """Return log-probabilities of shape (n, n_classes)."""
        return torch.cat([X, torch.full_like(X[:, :1], LOG_ZERO)], dim=1)[:, self.indices]


class Labels(StraightThrough):
    """The answers of a classifier, as numbers."""

    def __init__(self, classes):
        super().__init__()
        self.register_buffer("classes", torch.from_numpy(np.array(classes, dtype=np.float64)))

    def values(self, X):
        """Return the label of the largest logit."""
        return self.classes[X.argmax(dim=1)][:, None]

    def slope(self, X):
        """Return the mean label."""
        return (X.softmax(dim=1) @ self.classes)[:, None]


@builtin(VotingClassifier, wants_numbers=False)
def convert_voting(fitted):
    """Return the logarithm of the mean probabilities."""
    if fitted.voting != "soft":
        refuse(fitted, "with voting='hard', whose answers have no gradient")
    names = [name for name, estimator in fitted.estimators if not isinstance(estimator, str)]
    return Mixture(_each(names, fitted.estimators_, log_probabilities), fitted._weights_not_none)


@builtin(BaggingClassifier, wants_numbers=False)
def convert_bagging(fitted):
    """Return the logarithm of the mean probabilities."""
    if not hasattr(fitted.estimators_[0], "predict_proba"):
        refuse(fitted, "of estimators without predict_proba, whose votes have no gradient")
    parts = []
    for estimator, part in zip(fitted.estimators_, _bagged(fitted, log_probabilities), strict=True):
        places = np.asarray(estimator.classes_, dtype=np.int64)
        parts.append(
            part if len(places) == fitted.n_classes_ else nn.Sequential(part, Spread(places, fitted.n_classes_))
        )
    return Mixture(parts)


@decision.register(BaggingClassifier)
def decide_bagging(fitted):
    """Return the mean scores."""
    return Mean(_bagged(fitted, decision))


@builtin(StackingClassifier, wants_numbers=False)
def convert_stacking(fitted):
    """Return the final estimator, after the others."""
    return _stacked(fitted, convert)


log_probabilities.register(StackingClassifier)(lambda fitted: _stacked(fitted, log_probabilities))
decision.register(StackingClassifier)(lambda fitted: _stacked(fitted, decision))


def _each(names, estimators, method):
    modules = []
    for name, estimator in zip(names, estimators, strict=True):
        with inside(name):
            modules.append(method(estimator))
    return modules


def _bagged(fitted, method):
    modules = []
    for estimator, features in zip(fitted.estimators_, fitted.estimators_features_, strict=True):
        with input_is(current_input().at(features)):
            modules.append(nn.Sequential(Select(features), method(estimator)))
    return modules


def _stacked(fitted, convert_last):
    names = [name for name, estimator in fitted.estimators if not isinstance(estimator, str)]
    parts = []
    for name, estimator, method in zip(names, fitted.estimators_, fitted.stack_method_, strict=True):
        with inside(name):
            parts.append(_answers(estimator, method))
        if method == "predict_proba" and len(fitted.classes_) == 2:
            parts[-1] = nn.Sequential(parts[-1], Select([1]))
    first = Concatenate([*parts, nn.Identity()] if fitted.passthrough else parts)
    with input_is(current_input().after(first)), inside("final_estimator"):
        return nn.Sequential(first, convert_last(fitted.final_estimator_))


def _answers(estimator, method):
    if method == "predict":
        return nn.Sequential(convert(estimator), Labels(estimator.classes_))
    return {"predict_proba": probabilities, "decision_function": decision}[method](estimator)
