"""What a surface shows: answers on a grid of a plane, and what lies on it."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from skrobust._numbers import is_whole
from skrobust.inspection._planes import plane_of
from skrobust.inspection._rows import Rows, parts_of, sampled

# Share of the width of the data by which the picture goes beyond them.
MARGIN = 0.15
# Largest ratio of the sides of a picture that is to scale.
FLATTEST = 1.6


def surface_numbers(estimator, X, y, chosen, n_grid, nearest_neighbor, unlabeled, noise):
    """Return what a SoftmaxSurfaceDisplay is made of, a dict of its parameters.

    Parameters
    ----------
    estimator : classifier or Pipeline
    X : array-like or DataFrame
    y : array-like or None
    chosen : tuple
        Features and rows that name the plane.
    n_grid : int
    nearest_neighbor : bool
    unlabeled : array-like, str, sampler object or None
    noise : dict
        Radius, units and seed of the sampler.
    """
    _check_n_grid(n_grid)
    rows = Rows(X)
    plane = plane_of(rows, *chosen)
    y = _labels(estimator, X, y, rows)
    shown = slice(None) if plane.on_plane is None else plane.on_plane
    points = plane.coordinates(rows.matrix)[shown]
    made = _unlabeled(rows, plane, unlabeled, noise)
    x0, x1 = _grid(points, n_grid, plane.is_to_scale)
    grid = plane.points(np.stack(np.meshgrid(x0, x1), axis=-1).reshape(-1, 2))
    classes = np.asarray(getattr(estimator, "classes_", np.unique(y)))
    return {
        "x0": x0,
        "x1": x1,
        "answers": _asked(rows, estimator, grid, classes, n_grid),
        "classes": classes,
        "proba": _proba(rows, estimator, grid, n_grid),
        "nearest": _nearest(estimator, X, y, rows, grid, classes, n_grid) if nearest_neighbor else None,
        "points": points,
        "codes": _codes(y[shown], classes),
        "unlabeled_points": made,
        "labels": plane.labels,
        "note": "\n".join(part for part in (plane.note, _unseen(made, x0, x1)) if part),
        "is_to_scale": plane.is_to_scale,
    }


def _check_n_grid(n_grid):
    if not is_whole(n_grid, least=2):
        raise ValueError(f"n_grid={n_grid!r} must be a whole number of at least 2.")


def _labels(estimator, X, y, rows):
    y = np.asarray(estimator.predict(X) if y is None else y).reshape(-1)
    if len(y) != len(rows.matrix):
        raise ValueError(f"y has {len(y)} labels, but X has {len(rows.matrix)} rows: give one label for each row.")
    return y


def _grid(points, n_grid, is_to_scale):
    """Return the coordinates of a grid that goes somewhat beyond points; what is to scale is not too flat."""
    center, half = (points.max(axis=0) + points.min(axis=0)) / 2, np.ptp(points, axis=0) / 2
    half = np.where(half > 0, (1 + 2 * MARGIN) * half, 1.0)
    half = np.maximum(half, half.max() / FLATTEST) if is_to_scale else half
    return [np.linspace(center[k] - half[k], center[k] + half[k], n_grid) for k in range(2)]


def _codes(labels, classes):
    """Return labels as indices into classes, -1 for those that are none."""
    matches = labels[..., np.newaxis] == classes
    return np.where(matches.any(axis=-1), matches.argmax(axis=-1), -1)


def _asked(rows, estimator, grid, classes, n_grid):
    answers = rows.asked(estimator.predict, grid).reshape(n_grid, n_grid)
    codes = _codes(answers, classes)
    if (codes < 0).any():
        raise TypeError(
            f"estimator of type {type(estimator).__name__} answers {answers[codes < 0][0]!r}, which is none of its "
            "classes: pass a fitted classifier."
        )
    return codes


def _proba(rows, estimator, grid, n_grid):
    if not hasattr(estimator, "predict_proba"):
        return None
    return rows.asked(estimator.predict_proba, grid).reshape(n_grid, n_grid, -1).astype(np.float64)


def _nearest(estimator, X, y, rows, grid, classes, n_grid):
    """Return the answers of 1-nearest-neighbor behind the preprocessing of the estimator."""
    preprocessed, _ = parts_of(estimator)

    def seen(X):
        Z = preprocessed(X)
        Z = Z.toarray() if hasattr(Z, "toarray") else np.asarray(Z)
        return Z.reshape(len(Z), -1)

    is_known = _codes(y, classes) >= 0
    if not is_known.any():
        raise ValueError(
            f"y holds labels such as {y.tolist()[0]!r}, but none that is among classes_ of the estimator, such as "
            f"{classes.tolist()[0]!r}: give some that are, or set nearest_neighbor=False."
        )
    Z = seen(X)
    if Z.dtype.kind not in "biuf":
        raise ValueError(
            "nearest_neighbor=True needs distances, but X has columns that hold no numbers: encode them in a Pipeline, "
            "or set it to False."
        )
    neighbor = KNeighborsClassifier(1).fit(Z[is_known], y[is_known])
    return _codes(rows.asked(lambda X: neighbor.predict(seen(X)), grid).reshape(n_grid, n_grid), classes)


def _unlabeled(rows, plane, unlabeled, noise):
    """Return the coordinates of unlabeled points, given or sampled, or None."""
    if unlabeled is None:
        return None
    if isinstance(unlabeled, str) or (hasattr(unlabeled, "sample") and not hasattr(unlabeled, "iloc")):
        return plane.coordinates(sampled(rows, unlabeled, **noise))
    given = Rows(unlabeled, "unlabeled").matrix
    if given.shape[1] != rows.matrix.shape[1]:
        raise ValueError(f"unlabeled has {given.shape[1]} features, but X has {rows.matrix.shape[1]}: give the same.")
    return plane.coordinates(given)


def _unseen(made, x0, x1):
    """Return how many unlabeled points the picture leaves out, in words; the data, not these, say how wide it is."""
    if made is None:
        return ""
    low, high = np.transpose([x0[[0, -1]], x1[[0, -1]]])
    n_outside = np.count_nonzero(((made < low) | (made > high)).any(axis=1))
    return f"{n_outside} of {len(made)} unlabeled points lie outside the picture" if n_outside else ""
