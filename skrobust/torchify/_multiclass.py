"""Converters of classifiers that are made of binary ones, or shift one."""

import math

import torch
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from torch import nn

from skrobust.torchify._outputs import decision, log_probabilities, refuse, refuse_several_outputs
from skrobust.torchify._parts import LOG_ZERO, Affine, Concatenate, Elementwise, Select, logits_of_scores
from skrobust.torchify._registry import builtin, convert
from skrobust.torchify._svm import Votes
from skrobust.torchify._thresholds import WRAPPERS, threshold_of, thresholded


@builtin(OneVsRestClassifier, wants_numbers=False)
def convert_one_vs_rest(fitted):
    """Return the scores of the classes, each from its own classifier."""
    refuse_several_outputs(fitted, fitted.multilabel_)
    if len(fitted.estimators_) == 1:
        return convert(fitted.estimators_[0])
    return Concatenate([_score(estimator) for estimator in fitted.estimators_])


@log_probabilities.register(OneVsRestClassifier)
def log_probabilities_of_one_vs_rest(fitted):
    """Return the normalized log-probabilities of the classes."""
    if len(fitted.estimators_) == 1:
        return log_probabilities(fitted.estimators_[0])
    parts = [nn.Sequential(log_probabilities(estimator), Select([1])) for estimator in fitted.estimators_]
    return nn.Sequential(Concatenate(parts), nn.LogSoftmax(dim=1))


@builtin(OneVsOneClassifier, wants_numbers=False)
def convert_one_vs_one(fitted):
    """Return the votes of the classifiers for pairs of classes, and their confidences."""
    return convert(fitted.estimators_[0]) if len(fitted.classes_) == 2 else _votes(fitted)


@decision.register(OneVsOneClassifier)
def decide_one_vs_one(fitted):
    """Return votes and confidences; of two classes, those for the second."""
    return nn.Sequential(_votes(fitted), Select([1])) if len(fitted.classes_) == 2 else _votes(fitted)


@builtin(*WRAPPERS, wants_numbers=False)
def convert_threshold(fitted):
    """Return logits that are equal where the score is at the threshold."""
    estimator, method, threshold, positive = threshold_of(fitted)
    if method == "predict_proba":
        score = nn.Sequential(log_probabilities(estimator), Elementwise(_log_odds))
        threshold = _logit(threshold)
    else:
        score = decision(estimator)
    # The threshold is for the positive class, the score for the second.
    return logits_of_scores(nn.Sequential(score, Affine(center=[threshold if positive else -threshold])))


for _method in (log_probabilities, decision):
    for _class in WRAPPERS:
        _method.register(_class)(lambda fitted, method=_method: method(thresholded(fitted)))


def _score(estimator):
    """Return the module of what one-vs-rest and one-vs-one compare: scores, or else probabilities."""
    if hasattr(estimator, "decision_function"):
        return decision(estimator)
    if not hasattr(estimator, "predict_proba"):
        refuse(estimator, "without decision_function and predict_proba")
    return nn.Sequential(log_probabilities(estimator), Elementwise(torch.exp), Select([1]))


def _votes(fitted):
    has_scores = hasattr(fitted.estimators_[0], "decision_function")
    pairs = Concatenate([_score(estimator) for estimator in fitted.estimators_])
    return nn.Sequential(pairs, Votes(len(fitted.classes_), midpoint=0.0 if has_scores else 0.5))


def _log_odds(logarithms):
    return logarithms[:, 1:] - logarithms[:, :1]


def _logit(probability):
    if not 0 < probability < 1:
        return LOG_ZERO if probability <= 0 else -LOG_ZERO
    return math.log(probability) - math.log1p(-probability)
