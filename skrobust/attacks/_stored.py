"""The rows that nearest neighbors classifiers store: towards these their answers change."""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier

from skrobust.attacks._axes import answers_as_sklearn, front_of
from skrobust.attacks._neighbors import nearest, of_another_code
from skrobust.attacks._norms import BY_NAME

# How far beyond the surface that is as far from rows of both classes: those of other classes may be near there too.
BEYOND = 1.5


class Stored(NamedTuple):
    """Rows that a classifier stores.

    Parameters
    ----------
    rows : ndarray of shape (m, n_features)
        In raw units; 0 where the classifier is not told a feature.
    codes : ndarray of shape (m,), int
        Their classes.
    weight : ndarray of shape (n_features,)
        Of features in squared distances; 0 for those that the classifier is not told.
    n_deciding : int
        Neighbors of one class that decide, whatever the others say.
    """

    rows: np.ndarray
    codes: np.ndarray
    weight: np.ndarray
    n_deciding: int

    def middles(self, chosen, points):
        """Return the middle of each of some rows and of the nearest of its class, as many as decide."""
        middles = self.rows[chosen]
        for code in np.unique(self.codes[chosen]) if self.n_deciding > 1 else ():
            mine, alike = self.codes[chosen] == code, np.flatnonzero(self.codes == code)
            near = nearest(points[chosen[mine]], points[alike], 2, min(self.n_deciding, len(alike)))
            middles[mine] = self.rows[alike[near]].mean(axis=1)
        return middles


def stored_rows(original):
    """Return the rows that the nearest neighbors classifier at the end of an estimator stores.

    Parameters
    ----------
    original : Original

    Returns
    -------
    stored : Stored or None
        None of other estimators, and behind steps that do not treat each feature alone.
    """
    n_features = original.rows.shape[1]
    axes, classifier = front_of(original.estimator, n_features, original.columns)
    if axes is None or not axes.is_known or not _stores_rows(classifier):
        return None
    rows, weight = np.zeros((len(classifier._fit_X), n_features)), np.zeros(n_features)
    rows[:, axes.source], _ = axes.raw(np.asarray(classifier._fit_X, dtype=np.float64), np.arange(len(axes.source)))
    np.add.at(weight, axes.source, axes.slope**2)
    codes = original.codes(classifier.classes_[np.ravel(classifier._y)])
    return Stored(rows, codes, weight, classifier.n_neighbors // 2 + 1)


def towards_stored(pursuit, index, stored, n_neighbors):
    """Return rows and where to go from each, for stored rows of other classes that are near.

    Returns
    -------
    starts : ndarray of shape (n_pairs,), int
    middles : ndarray of shape (n_pairs, n_features)
        Middles of stored rows that decide.
    across : ndarray of shape (n_pairs, n_features)
        Rows beyond the surface that is as far from these middles as from those of the answered class, the shortest way
        in the norm of the threat model.
    """
    original, budget = pursuit.original, pursuit.budget
    moves = (budget.scale > 0) & (stored.weight > 0)
    rows = original.rows[index].astype(np.float64)
    points, others = (side[:, moves] / budget.scale[moves] for side in (rows, stored.rows))
    center = others.mean(axis=0)
    points -= center
    others -= center
    codes = original.codes(original.answers)[index]
    starts, ends = of_another_code(points, codes, others, stored.codes, budget.norm, n_neighbors)
    chosen, back = np.unique(ends, return_inverse=True)
    middles = stored.middles(chosen, others)[back]
    own = stored.middles(_nearest_own(points, codes, others, stored.codes), others)[starts]
    rows = rows[starts]
    across = _across(rows, middles, own, stored.weight, budget)
    return index[starts], np.where(stored.weight > 0, middles, rows), across


def _nearest_own(points, codes, others, other_codes):
    """Return for each point which of the others with its code is nearest; the first of all if there is none."""
    found = np.zeros(len(points), dtype=np.intp)
    for code in np.intersect1d(codes, other_codes):
        mine, alike = codes == code, np.flatnonzero(other_codes == code)
        found[mine] = alike[nearest(points[mine], others[alike], 2, 1)[:, 0]]
    return found


def _across(rows, others, own, weight, budget):
    """Return rows moved beyond where they are as far from others as from their own, the shortest way in the norm."""
    gap = (weight * ((rows - others) ** 2 - (rows - own) ** 2)).sum(axis=1, keepdims=True)
    gradient = weight * (others - own) * budget.scale
    step = BY_NAME[budget.norm].direction(torch.from_numpy(gradient)).numpy()
    gain = 2 * (gradient * step).sum(axis=1, keepdims=True)
    length = np.divide(BEYOND * gap, gain, out=np.zeros_like(gap), where=gain > 0)
    return rows + length * step * budget.scale


def _stores_rows(classifier):
    if not isinstance(classifier, KNeighborsClassifier) or not answers_as_sklearn(classifier) or classifier.outputs_2d_:
        return False
    # Distances are no places to go to. Some metrics take missing values, and rows under attack have none.
    has_places = classifier.effective_metric_ != "precomputed" and isinstance(classifier._fit_X, np.ndarray)
    return has_places and bool(np.isfinite(classifier._fit_X).all())
