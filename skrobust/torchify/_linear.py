"""Converters of linear classifiers and of scikit-learn's network."""

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier, RidgeClassifierCV
from sklearn.linear_model._stochastic_gradient import BaseSGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from torch import nn
from torch.nn import functional

from skrobust.torchify._outputs import decision, log_probabilities, refuse_several_outputs
from skrobust.torchify._parts import LOG_ZERO, Affine, Elementwise, OneLogit, dense, linear, logits_of_scores
from skrobust.torchify._registry import builtin, convert, transformers

ACTIVATIONS = {"identity": nn.Identity, "logistic": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


@builtin(LogisticRegression, LinearSVC, LinearDiscriminantAnalysis)
def convert_linear(fitted):
    """Return the scores of the classes."""
    return logits_of_scores(_scores(fitted))


@builtin(RidgeClassifier, RidgeClassifierCV)
def convert_ridge(fitted):
    """Return the scores of the classes."""
    refuse_several_outputs(fitted, fitted._label_binarizer.y_type_.startswith("multilabel"))
    return convert_linear(fitted)


@builtin(BaseSGDClassifier)
def convert_sgd(fitted):
    """Return the scores of the classes, or their log-probabilities where these are normalized one-vs-rest."""
    scores = _scores(fitted)
    if len(fitted.classes_) > 2 and getattr(fitted, "loss", None) == "log_loss":
        return nn.Sequential(scores, nn.LogSigmoid())
    return logits_of_scores(scores)


@decision.register(BaseSGDClassifier)
def decide_sgd(fitted):
    """Return the scores, which are no log-probabilities."""
    return _scores(fitted)


@log_probabilities.register(BaseSGDClassifier)
def log_probabilities_of_sgd(fitted):
    """Return log-probabilities, which for the loss modified_huber are those of clipped scores."""
    if fitted.loss != "modified_huber":
        return nn.Sequential(convert(fitted), nn.LogSoftmax(dim=1))
    return nn.Sequential(_scores(fitted), Elementwise(_log_of_clipped))


@transformers.register(LinearDiscriminantAnalysis)
def convert_projection(fitted):
    """Return the projection onto the axes that separate the classes best."""
    mean = fitted.xbar_ if fitted.solver == "svd" else None
    return nn.Sequential(Affine(mean), linear(fitted.scalings_[:, : fitted._max_components]))


@builtin(MLPClassifier)
def convert_mlp_classifier(fitted):
    """Return the network before its last activation."""
    refuse_several_outputs(fitted, fitted._label_binarizer.y_type_.startswith("multilabel"))
    layers = []
    for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True):
        layers += [linear(weight, bias), ACTIVATIONS[fitted.activation]()]
    layers[-1] = OneLogit() if fitted.n_outputs_ == 1 else nn.Identity()
    return nn.Sequential(*layers)


def _scores(fitted):
    return linear(np.atleast_2d(dense(fitted.coef_)).T, fitted.intercept_)


def _log_of_clipped(scores):
    shares = (scores.clamp(-1, 1) + 1) / 2
    if shares.shape[1] == 1:
        shares = torch.cat([1 - shares, shares], dim=1)
    total = shares.sum(dim=1, keepdim=True)
    shares = torch.where(total > 0, shares, 1.0)
    logarithms = shares.where(shares > 0, 1.0).log().where(shares > 0, LOG_ZERO)
    return functional.log_softmax(logarithms, dim=1)
