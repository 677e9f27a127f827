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

from skrobust.torchify._outputs import log_probabilities, refuse_several_outputs
from skrobust.torchify._parts import Affine, Elementwise, OneLogit, dense, linear, logits_of_scores, safe_log
from skrobust.torchify._registry import builtin, transformers

ACTIVATIONS = {"identity": nn.Identity, "logistic": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


@builtin(LogisticRegression, LinearSVC, LinearDiscriminantAnalysis, BaseSGDClassifier)
def convert_linear(fitted):
    """Return the scores of the classes."""
    return logits_of_scores(_scores(fitted))


@builtin(RidgeClassifier, RidgeClassifierCV)
def convert_ridge(fitted):
    """Return the scores of the classes."""
    refuse_several_outputs(fitted, fitted._label_binarizer.y_type_.startswith("multilabel"))
    return convert_linear(fitted)


@log_probabilities.register(BaseSGDClassifier)
def log_probabilities_of_sgd(fitted):
    """Return normalized one-vs-rest log-probabilities."""
    scores, is_binary = _scores(fitted), len(fitted.classes_) == 2
    if fitted.loss == "modified_huber":
        return nn.Sequential(scores, Elementwise(_log_of_clipped))
    return nn.Sequential(logits_of_scores(scores), *([] if is_binary else [nn.LogSigmoid()]), nn.LogSoftmax(dim=1))


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
    # No share at all: safe_log makes them equal, as scikit-learn does.
    return functional.log_softmax(safe_log(shares), dim=1)
