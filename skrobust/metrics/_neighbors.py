"""The nearest rows of some classes among reference rows, in memory that does not grow with their number."""

import dataclasses
import functools

import numpy as np
from sklearn import config_context
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_array, check_consistent_length

from skrobust.attacks._budget import Budget
from skrobust.attacks._original import FLOATS, check_labels, is_text

METRICS = {np.inf: "chebyshev", 2.0: "euclidean", 1.0: "manhattan"}
# Numbers in the rows, the reference rows and the differences that are held at a time.
CHUNK_NUMBERS = 2**22
# MiB that scikit-learn may use for what it holds itself.
WORKING_MEMORY = 32
# Products of matrices round squared distances: this many more rows than asked for are measured by differences.
N_SPARE = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """The rows nearest to some others, nearest first.

    Parameters
    ----------
    distance : ndarray of shape (n, n_neighbors)
        inf where there are fewer.
    index : ndarray of shape (n, n_neighbors), int
        Of the reference rows; -1 where there are fewer.
    """

    distance: np.ndarray
    index: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Labeled rows among which the nearest are looked for.

    Parameters
    ----------
    rows : ndarray of shape (m, n_features)
    codes : ndarray of shape (m,), int
        Their classes, as indices into `classes`.
    classes : ndarray of shape (n_classes,)
        Ascending.
    norm : {numpy.inf, 2, 1}
    scale : ndarray of shape (n_features,)
        Units of the features; those with the unit 0 do not count.
    """

    rows: np.ndarray
    codes: np.ndarray
    classes: np.ndarray
    norm: float
    scale: np.ndarray

    def codes_of(self, y):
        """Return labels as indices into the classes, -1 for labels that no reference row has."""
        place = np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)
        return np.where(self.classes[place] == y, place, -1)

    def is_own(self, codes):
        """Return which classes are those of rows with these codes, of shape (n, n_classes)."""
        return codes[:, np.newaxis] == np.arange(len(self.classes))

    def points(self, rows):
        """Return the coordinates of rows in which distances count, of shape (n, n_counted)."""
        counted = self.scale > 0
        return rows[:, counted].astype(np.float64) / self.scale[counted]

    def nearest(self, rows, wanted, n_neighbors):
        """Return the nearest reference rows of wanted classes.

        Parameters
        ----------
        rows : ndarray of shape (n, n_features)
        wanted : ndarray of shape (n, n_classes), bool
            Classes in which is looked, for each row.
        n_neighbors : int

        Returns
        -------
        nearest : Nearest
        """
        found = Nearest(np.full((len(rows), n_neighbors), np.inf), np.full((len(rows), n_neighbors), -1))
        with config_context(working_memory=WORKING_MEMORY):
            for asking, block in self._pairs(wanted):
                points, others = self.points(rows[asking]), self.points(self.rows[block])
                index = _shortlist(points - self._origin, others - self._origin, self.norm, n_neighbors + N_SPARE)
                _merge(found, asking, self.distances(rows[asking], block[index]), block[index])
        return found

    def distances(self, rows, index):
        """Return the distances of rows to given reference rows, of the shape of the index; inf where that is -1."""
        distance = np.empty(index.shape)
        size = max(1, CHUNK_NUMBERS // (index.shape[1] * self.rows.shape[1]))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            others = self.points(self.rows[index[part].ravel()]).reshape(*index[part].shape, -1)
            change = others - self.points(rows[part])[:, np.newaxis]
            distance[part] = np.linalg.norm(change, ord=self.norm, axis=2)
        return np.where(index < 0, np.inf, distance)

    @functools.cached_property
    def _origin(self):
        """The mean of the rows: products of matrices are most exact near the origin."""
        return self.points(self.rows.mean(axis=0, dtype=np.float64, keepdims=True))

    def _pairs(self, wanted):
        """Yield indices of rows that ask, and of reference rows of one class that are asked about."""
        size = max(1, CHUNK_NUMBERS // self.rows.shape[1])
        for code in range(len(self.classes)):
            asking, members = np.flatnonzero(wanted[:, code]), np.flatnonzero(self.codes == code)
            for first in range(0, len(asking) and len(members), size):
                for start in range(0, len(asking), size):
                    yield asking[start : start + size], members[first : first + size]


def _shortlist(points, others, norm, n_neighbors):
    """Return the indices of the nearest of others, give or take rounding; of shape (n, at most n_neighbors)."""
    if len(others) <= n_neighbors:
        return np.broadcast_to(np.arange(len(others)), (len(points), len(others)))
    finder = NearestNeighbors(n_neighbors=n_neighbors, metric=METRICS[norm]).fit(others)
    return finder.kneighbors(points, return_distance=False)


def _merge(found, asking, distance, index):
    """Keep the nearest of what was found before and now; of equals the one that stands first among the rows."""
    n_neighbors = found.index.shape[1]
    distance = np.concatenate([found.distance[asking], distance], axis=1)
    index = np.concatenate([found.index[asking], index], axis=1)
    order = np.lexsort((index, distance), axis=1)[:, :n_neighbors]
    found.distance[asking] = np.take_along_axis(distance, order, axis=1)
    found.index[asking] = np.take_along_axis(index, order, axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """Rows, and the reference rows between which they lie.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features)
    codes : ndarray of shape (n,), int
        Classes of the rows; -1 for a class that no reference row has.
    reference : Reference
    """

    rows: np.ndarray
    codes: np.ndarray
    reference: Reference

    @classmethod
    def of(cls, X, y, X_reference, y_reference, threat_model):
        """Return rows and reference rows, checked; without reference rows the rows are their own.

        Raises
        ------
        ValueError
            If they are no finite numbers, do not fit each other, or a row has none of another class.
        TypeError
            If they are sparse.
        """
        if (X_reference is None) != (y_reference is None):
            raise ValueError(
                f"X_reference={_brief(X_reference)} and y_reference={_brief(y_reference)} go together: give both, or "
                "neither to take X and y."
            )
        rows, y = _labeled("X", X, "y", y)
        others, labels = (rows, y) if X_reference is None else _labeled("X_reference", X_reference, "", y_reference)
        check_alike(X, rows, X_reference, others)
        if len(y) and is_text(y) != is_text(labels):
            raise ValueError(
                f"y has labels such as {y[:1].tolist()[0]!r}, but y_reference such as {labels[:1].tolist()[0]!r}: give "
                "labels of the same kind."
            )
        classes, codes = np.unique(labels, return_inverse=True)
        scale = scale_of(threat_model, rows, getattr(X, "columns", None))
        reference = Reference(others, codes, classes, threat_model.norm, scale)
        setting = cls(rows, reference.codes_of(y), reference)
        setting._check_others()
        return setting

    def part(self, part):
        """Return some of the rows, between the same reference rows."""
        return dataclasses.replace(self, rows=self.rows[part], codes=self.codes[part])

    def nearest_others(self, n_neighbors):
        """Return the nearest reference rows of other classes."""
        return self.reference.nearest(self.rows, ~self.reference.is_own(self.codes), n_neighbors)

    def n_others(self):
        """Return how many reference rows of other classes each row has, of shape (n,)."""
        counts = np.append(np.bincount(self.reference.codes, minlength=len(self.reference.classes)), 0)
        return len(self.reference.codes) - counts[self.codes]

    def _check_others(self):
        if not self.n_others().all():
            raise ValueError(
                f"y has rows of the class {self.reference.classes.tolist()[0]!r}, which is the only one among the "
                "reference rows: add rows of another class, as distances to them are measured."
            )


def numbers_of(name, X):
    """Return rows or images as float32 or float64, of shape (n, n_features)."""
    try:
        array = check_array(X, dtype=FLOATS, allow_nd=True, input_name=name)
    except (TypeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise type(error)(
            f"{name} must hold dense, finite numbers in every column, as distances between rows are measured: encode "
            f"or leave out what is none. It says: {reason}"
        ) from error
    return array.reshape(len(array), -1)


def check_alike(X, rows, X_reference, others):
    """Check that rows and reference rows have the same features."""
    if rows.shape[1] != others.shape[1]:
        raise ValueError(
            f"X_reference has {others.shape[1]} features, but X has {rows.shape[1]}: give rows of the same kind."
        )
    both = hasattr(X, "columns") and hasattr(X_reference, "columns")
    if both and list(X.columns) != list(X_reference.columns):
        raise ValueError(
            f"X_reference has the columns {list(X_reference.columns)!r}, but X has {list(X.columns)!r}: give the same "
            "in the same order."
        )


def scale_of(threat_model, rows, columns):
    """Return the changes of features that count as 1, of which norms, units, and eps per feature tell.

    A change of category moves two features of a group by 1 each, and counts as 1 in every norm.
    """
    free = dataclasses.replace(threat_model, bounds=None, immutable=(), direction=None, integer=())
    # Groups are checked in all rows; units need none.
    budget = Budget.of(free, rows if free.one_hot_groups else rows[:1], columns)
    scale = budget.scale * np.where(budget.is_grouped, 2 ** (1 / budget.norm), 1.0)
    if not scale.any():
        raise ValueError(f"threat_model={threat_model!r} has no unit but 0, so that nothing is measured: free a unit.")
    return scale


def _labeled(name, X, label_name, y):
    rows, y = numbers_of(name, X), check_labels(y)
    check_consistent_length(rows, y)
    return rows, y


def _brief(X):
    return None if X is None else f"<{type(X).__name__}>"
