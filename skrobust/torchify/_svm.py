"""Converters of support vector machines."""

import itertools

import numpy as np
import torch
from sklearn.svm import SVC, NuSVC
from torch import nn

from skrobust.torchify._kernels import Kernel
from skrobust.torchify._outputs import decision, log_probabilities, refuse
from skrobust.torchify._parts import Difference, Elementwise, dense, float64, linear, logits_of_scores
from skrobust.torchify._registry import builtin


@builtin(SVC, NuSVC)
def convert_svc(fitted):
    """Return the decision values; of more than two classes, their one-vs-one votes and confidences."""
    if len(fitted.classes_) == 2:
        return logits_of_scores(_pairs(fitted))
    return nn.Sequential(_pairs(fitted), Elementwise(torch.negative), Votes(len(fitted.classes_)))


@decision.register(SVC)
@decision.register(NuSVC)
def decide_svc(fitted):
    """Return the decision values, one per pair of classes if the classifier does so."""
    if fitted.decision_function_shape == "ovo" and len(fitted.classes_) > 2:
        return _pairs(fitted)
    return nn.Sequential(convert_svc(fitted), Difference())


@log_probabilities.register(SVC)
@log_probabilities.register(NuSVC)
def refuse_probabilities(fitted):
    """Refuse: they come from another model than the answers."""
    refuse(fitted, "to probabilities (wrap it in CalibratedClassifierCV instead)")


class Votes(nn.Module):
    """One-vs-one votes of each class, and its confidences squeezed to break their ties.

    Parameters
    ----------
    n_classes : int
    midpoint : float, default=0.0
        Confidence beyond which the second class of a pair gets the vote.
    """

    def __init__(self, n_classes, midpoint=0.0):
        super().__init__()
        pairs = list(itertools.combinations(range(n_classes), 2))
        signs = np.zeros((len(pairs), n_classes))
        for index, (first, second) in enumerate(pairs):
            signs[index, first], signs[index, second] = -1, 1
        self.register_buffer("signs", float64(signs))
        self.midpoint = midpoint

    def forward(self, confidences):
        """Return votes, from confidences of shape (n, n_pairs) in the second class of each pair."""
        for_second = (confidences > self.midpoint).to(confidences.dtype)
        votes = for_second @ self.signs.clamp(min=0) + (1 - for_second) @ (-self.signs).clamp(min=0)
        total = confidences @ self.signs
        return votes + total / (3 * (total.abs() + 1))


def _pairs(fitted):
    weights = dense(fitted.dual_coef_) if len(fitted.classes_) == 2 else _pair_weights(fitted)
    if not isinstance(fitted.kernel, str) or fitted.kernel == "precomputed":
        refuse(fitted, f"with kernel={fitted.kernel!r}")
    kernel = Kernel(fitted.support_vectors_, fitted.kernel, fitted._gamma, fitted.degree, fitted.coef0)
    return nn.Sequential(kernel, linear(weights.T, fitted.intercept_))


def _pair_weights(fitted):
    """Return the weights of the support vectors in the decision between each pair, of shape (n_pairs, n_vectors).

    Vectors are ordered by class; row j - 1 of the dual coefficients of a vector of class i < j, and row i of one of
    class j, are those of the pair (i, j).
    """
    coef = np.asarray(dense(fitted.dual_coef_))
    ends = np.cumsum(fitted.n_support_)
    blocks = [slice(end - size, end) for size, end in zip(fitted.n_support_, ends, strict=True)]
    pairs = list(itertools.combinations(range(len(blocks)), 2))
    weights = np.zeros((len(pairs), coef.shape[1]))
    for row, (first, second) in zip(weights, pairs, strict=True):
        row[blocks[first]] = coef[second - 1, blocks[first]]
        row[blocks[second]] = coef[first, blocks[second]]
    return weights
