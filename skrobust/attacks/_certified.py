"""Distances within which no adversarial row exists, for the few classifiers of which that is known.

Linear classifiers, single decision trees and the 1-nearest-neighbor, perhaps behind scalers. Every bound allows for
rounding, so that it never exceeds the distance of an adversarial row.
"""

import functools

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skrobust.attacks._axes import answers_as_sklearn, front_of
from skrobust.attacks._leaves import is_tree, leaves_behind

DUAL = {np.inf: 1, 2.0: 2, 1.0: np.inf}
# Relative allowance for rounding, of the sums that a classifier computes.
ROUNDING = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 1e-4}
# Share of a bound that is given up, as distances of adversarial rows are rounded themselves.
SHARE_GIVEN_UP = 1e-6
# Rows of the own class from which another class must be farther.
N_OWN = 8
CHUNK_NUMBERS = 2**21


def certified_distance(estimator, X, budget, codes, names=None):
    """Return lower bounds of the distances to the nearest adversarial rows.

    Parameters
    ----------
    estimator : classifier or Pipeline
    X : ndarray of shape (n, n_features)
        Raw rows.
    budget : Budget
        Of these rows. Bounds and other constraints only keep an attacker from more.
    codes : ndarray of shape (n,), int
        Classes of the rows, as indices into the classes of the estimator.
    names : sequence of str or None, default=None
        Columns of X, if the estimator is asked about a frame.

    Returns
    -------
    distance : ndarray of shape (n,) or None
        In the norm and units of the threat model; 0 where nothing is certain, inf where nothing can be changed that
        matters. None if no bound is known for such an estimator, as of a subclass that answers in its own way.
    """
    axes, classifier = front_of(estimator, X.shape[1], names)
    if axes is None or not axes.is_known or not answers_as_sklearn(classifier):
        return None
    bound = _bound(classifier, axes, budget, codes)
    return None if bound is None else np.maximum(bound, 0) * (1 - SHARE_GIVEN_UP)


@functools.singledispatch
def _bound(classifier, axes, budget, codes):
    return None


@_bound.register
def _(classifier: DecisionTreeClassifier, axes, budget, codes):
    """Return the distance of the nearest leaf of another class: exact."""
    if not is_tree(classifier):
        return None
    leaves = leaves_behind(axes, classifier, budget.rows.dtype.type, is_outer=True)
    distance = leaves.distances(budget.at(np.inf), codes).min(axis=1, initial=np.inf)
    return _where_answered(leaves, budget, codes, distance)


@_bound.register(LinearClassifierMixin)
@_bound.register(LinearDiscriminantAnalysis)
@_bound.register(SVC)
def _(classifier, axes, budget, codes):
    """Return the distance of the nearest hyperplane between the class and another: exact without bounds."""
    if axes.is_clipped or not _is_linear(classifier):
        return None
    weights, offsets = _two_rows(classifier.coef_, classifier.intercept_)
    raw_weights = np.zeros((len(weights), budget.rows.shape[1]))
    np.add.at(raw_weights.T, axes.source, (weights * axes.slope).T)
    raw_offsets = offsets + weights @ axes.offset
    sizes = np.abs(offsets) + np.abs(weights) @ axes.size
    return _to_hyperplanes(raw_weights, raw_offsets, sizes, budget, codes)


@_bound.register
def _(classifier: KNeighborsClassifier, axes, budget, codes):
    """Return the distance of the nearest point that is nearer to a row of another class than to some of its own."""
    if axes.is_clipped or not _is_nearest_neighbor(classifier):
        return None
    if len(np.unique(axes.source)) < len(axes.source):
        return None
    rows = budget.rows[:, axes.source].astype(np.float64) * axes.slope + axes.offset
    units = budget.scale[axes.source] * axes.slope
    known, own = np.asarray(classifier._fit_X, dtype=np.float64), np.asarray(classifier._y).ravel()
    rounding = max(ROUNDING[np.dtype(part.dtype)] for part in (budget.rows, classifier._fit_X))
    bound = np.empty(len(rows))
    for code in np.unique(codes):
        mine = np.flatnonzero(codes == code)
        bound[mine] = to_bisectors(rows[mine], known[own == code], known[own != code], units, budget.norm, rounding)
    return bound / _group_factor(budget)


def _where_answered(leaves, budget, codes, distance):
    """Return distances, 0 for rows that are answered otherwise; a tree alone says nothing of the row's own side."""
    own = budget.rows[:, leaves.features].astype(np.float64)
    is_other = np.zeros(len(own), dtype=bool)
    for low, high, code in zip(leaves.low, leaves.high, leaves.codes, strict=True):
        is_other |= ((low <= own) & (own <= high)).all(axis=1) & (codes != code)
    return np.where(is_other, 0.0, distance)


def _is_linear(classifier):
    if isinstance(classifier, SVC):
        # With more classes each pair has a hyperplane of its own, and votes decide.
        return classifier.kernel == "linear" and len(classifier.classes_) == 2
    return hasattr(classifier, "coef_")


def _two_rows(weights, offsets):
    """Return weights and offsets with a row per class."""
    weights = np.atleast_2d(weights.toarray() if hasattr(weights, "toarray") else weights).astype(np.float64)
    offsets = np.broadcast_to(np.asarray(offsets, dtype=np.float64).ravel(), len(weights))
    if len(weights) > 1:
        return weights, offsets
    return np.concatenate([-weights, weights]) / 2, np.concatenate([-offsets, offsets]) / 2


def _to_hyperplanes(weights, offsets, sizes, budget, codes):
    rows = budget.rows.astype(np.float64)
    scores = rows @ weights.T + offsets
    # What the sums of products may be wrong by.
    sizes = np.abs(rows) @ np.abs(weights).T + sizes
    rounding = ROUNDING[budget.rows.dtype]
    each = np.arange(len(rows))
    bound = np.full(len(rows), np.inf)
    for other in range(len(weights)):
        lead = scores[each, codes] - scores[:, other] - rounding * (sizes[each, codes] + sizes[:, other])
        slope = np.linalg.norm((weights[codes] - weights[other]) * budget.scale, ord=DUAL[budget.norm], axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(lead > 0, lead / slope, 0.0)
        bound = np.where(codes == other, bound, np.minimum(bound, distance))
    return bound / _group_factor(budget)


def _group_factor(budget):
    """Return by how much the norm of changes may exceed the distance, in which a change of category counts once."""
    return 2 ** (1 / budget.norm) if budget.groups else 1.0


def _is_nearest_neighbor(classifier):
    is_euclidean = classifier.effective_metric_ == "euclidean" and isinstance(classifier._fit_X, np.ndarray)
    # A function may give the one neighbor no weight.
    is_counted = not callable(classifier.weights)
    return classifier.n_neighbors == 1 and is_euclidean and is_counted and not classifier.outputs_2d_


def to_bisectors(rows, own, others, units, norm, rounding):
    """Return by how much rows must move to be nearer to some other than to each of their nearest own."""
    if not len(own):
        return np.zeros(len(rows))
    if not len(others):
        return np.full(len(rows), np.inf)
    bound = np.empty(len(rows))
    size = max(1, CHUNK_NUMBERS // others.size)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        bound[part] = _nearest_bisector(rows[part], own, others, units, norm, rounding)
    return bound


def _nearest_bisector(rows, own, others, units, norm, rounding):
    to_own, to_others = _squared(rows, own), _squared(rows, others)
    far = np.zeros(to_others.shape)
    allowance = rounding * ((rows**2).sum(axis=1, keepdims=True) + (others**2).sum(axis=1))
    for near in to_own.argsort(axis=1)[:, :N_OWN].T:
        lead = to_others - to_own[np.arange(len(rows)), near][:, np.newaxis] - allowance
        slope = 2 * np.linalg.norm((others - own[near][:, np.newaxis]) * units, ord=DUAL[norm], axis=2)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.maximum(far, np.where(lead > 0, lead / slope, 0.0))
    return far.min(axis=1)


def _squared(rows, others):
    """Return all squared Euclidean distances, without the cancellation of a product of matrices."""
    return np.stack([((others - row) ** 2).sum(axis=1) for row in rows])
