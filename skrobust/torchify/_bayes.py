"""Converters of classifiers that model each class by a distribution."""

import numpy as np
import torch
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from torch import nn

from skrobust.torchify._discrete import Threshold
from skrobust.torchify._parts import float64, linear
from skrobust.torchify._registry import NotConvertibleError, builtin


class Gaussians(nn.Module):
    """Log-density of one Gaussian per class.

    Parameters
    ----------
    means : array-like of shape (n_classes, n_features)
    whitenings : list of ndarray of shape (n_features, n_axes) or (n_features,)
        What makes the deviations from the mean of a class white: a matrix, or one factor per feature.
    constants : array-like of shape (n_classes,)
    """

    def __init__(self, means, whitenings, constants):
        super().__init__()
        self.register_buffer("means", float64(means))
        self.register_buffer("constants", float64(constants))
        for index, whitening in enumerate(whitenings):
            self.register_buffer(f"whitening_{index}", float64(whitening))

    def forward(self, X):
        """Return log-densities of shape (n, n_classes)."""
        squares = [self._deviations(X, index).square().sum(dim=1) for index in range(len(self.means))]
        return self.constants - torch.stack(squares, dim=1) / 2

    def _deviations(self, X, index):
        whitening = getattr(self, f"whitening_{index}")
        deviations = X - self.means[index]
        return deviations * whitening if whitening.ndim == 1 else deviations @ whitening


@builtin(GaussianNB)
def convert_gaussian_nb(fitted):
    """Return the joint log-likelihood of the classes."""
    if not (fitted.var_ > 0).all():
        raise NotConvertibleError(fitted, reason="where a variance is 0, for its own answers are then no numbers")
    constants = np.log(fitted.class_prior_) - np.log(2 * np.pi * fitted.var_).sum(axis=1) / 2
    return Gaussians(fitted.theta_, fitted.var_**-0.5, constants)


@builtin(QuadraticDiscriminantAnalysis)
def convert_qda(fitted):
    """Return the log-posterior of the classes, but for a constant."""
    pairs = list(zip(fitted.rotations_, fitted.scalings_, strict=True))
    constants = np.log(fitted.priors_) - [np.log(scaling).sum() / 2 for _, scaling in pairs]
    return Gaussians(fitted.means_, [rotation * scaling**-0.5 for rotation, scaling in pairs], constants)


@builtin(MultinomialNB)
def convert_multinomial_nb(fitted):
    """Return the joint log-likelihood of the classes."""
    return linear(fitted.feature_log_prob_.T, fitted.class_log_prior_)


@builtin(ComplementNB)
def convert_complement_nb(fitted):
    """Return the scores of the classes."""
    return linear(fitted.feature_log_prob_.T, fitted.class_log_prior_ if len(fitted.classes_) == 1 else None)


@builtin(BernoulliNB)
def convert_bernoulli_nb(fitted):
    """Return the joint log-likelihood of the classes, given which features exceed a threshold."""
    log_absent = np.log(1 - np.exp(fitted.feature_log_prob_))
    likelihood = linear((fitted.feature_log_prob_ - log_absent).T, fitted.class_log_prior_ + log_absent.sum(axis=1))
    return likelihood if fitted.binarize is None else nn.Sequential(Threshold(fitted.binarize), likelihood)
