"""Planes in the space of rows: of two features, through three rows, or of the first two principal components."""

import dataclasses
from numbers import Integral

import numpy as np
from sklearn.decomposition import PCA

# Three rows lie on a line if they leave no more than this share of their distance beside it.
THINNEST = 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class Plane:
    """A plane with coordinates.

    Parameters
    ----------
    origin : ndarray of shape (n_features,)
    directions : ndarray of shape (2, n_features)
        Orthonormal.
    labels : tuple of str
        Of the two coordinates.
    note : str
        What the plane leaves out, or "".
    is_to_scale : bool
        Whether lengths in all directions can be compared.
    on_plane : ndarray of int or None
        Indices of the only rows to show; None for all.
    """

    origin: np.ndarray
    directions: np.ndarray
    labels: tuple
    note: str
    is_to_scale: bool
    on_plane: np.ndarray | None = None

    def coordinates(self, matrix):
        """Return the coordinates of rows, or of their feet on the plane, of shape (n, 2)."""
        return (matrix - self.origin) @ self.directions.T

    def points(self, coordinates):
        """Return the rows at coordinates, of shape (n, n_features)."""
        return self.origin + coordinates @ self.directions


def plane_of(rows, features, through):
    """Return the plane that the parameters of a display mean.

    Parameters
    ----------
    rows : Rows
    features : pair of int or str, or None
    through : sequence of three int, or None
    """
    if features is not None and through is not None:
        raise ValueError(f"features={features!r} and rows={through!r} name two planes: give one of them.")
    if through is not None:
        return _through_rows(rows, through)
    if rows.matrix.shape[1] < 2:
        raise ValueError(f"X has {rows.matrix.shape[1]} feature, but a plane needs two: give more.")
    if features is None and rows.matrix.shape[1] == 2:
        features = (0, 1)
    return _of_features(rows, features) if features is not None else _of_components(rows)


def _of_features(rows, features):
    index = [_index(rows, feature) for feature in features] if np.ndim(features) == 1 else []
    if len(set(index)) != 2:
        raise ValueError(f"features={features!r} must be two different features, by column name or index.")
    if not rows.is_number[index].all():
        raise ValueError(f"features={features!r} must hold numbers: choose other columns.")
    origin = np.where(rows.is_number, np.median(rows.matrix, axis=0), 0.0)
    for column in np.flatnonzero(~rows.is_number):
        values, counts = np.unique(rows.matrix[:, column], return_counts=True)
        origin[column] = values[counts.argmax()]
    origin[index] = 0.0
    is_slice = len(origin) > 2
    note = "other features at their medians, rows moved there" if is_slice else ""
    return Plane(origin, np.eye(len(origin))[index], tuple(rows.names[j] for j in index), note, is_to_scale=False)


def _index(rows, feature):
    """Return the index of a feature that is given by name or by index."""
    if isinstance(feature, str) and feature in rows.names:
        return rows.names.index(feature)
    if isinstance(feature, Integral) and 0 <= feature < len(rows.names):
        return int(feature)
    raise ValueError(
        f"features holds {feature!r}, but X has {len(rows.names)} features, such as {rows.names[:3]}: give column "
        "names or indices counted from 0."
    )


def _through_rows(rows, through):
    index = np.asarray(through)
    if index.shape != (3,) or index.dtype.kind not in "iu" or not ((index >= 0) & (index < len(rows.matrix))).all():
        raise ValueError(f"rows={through!r} must be three indices of rows of X, which has {len(rows.matrix)}.")
    first, second, third = rows.matrix[index]
    across = second - first
    size = np.linalg.norm(across)
    across = across / (size or 1.0)
    up = third - first - (third - first) @ across * across
    height = np.linalg.norm(up)
    if not size > 0 or not height > THINNEST * np.linalg.norm(third - first):
        raise ValueError(f"rows={through!r} lie on one line, so that they make no plane: choose others.")
    labels = (f"way from row {index[0]} to row {index[1]}", f"way towards row {index[2]}, at right angles")
    return Plane(first, np.stack([across, up / height]), labels, "", is_to_scale=True, on_plane=index)


def _of_components(rows):
    numbers = np.where(rows.is_number, rows.matrix, 0.0)
    if len(numbers) < 3 or not numbers.std(axis=0).any():
        raise ValueError("X has too few different rows for principal components: name two features.")
    pca = PCA(2, svd_solver="full" if numbers.shape[1] < 500 else "randomized", random_state=0).fit(numbers)
    origin = np.where(rows.is_number, pca.mean_, 0.0)
    for column in np.flatnonzero(~rows.is_number):
        origin[column] = np.bincount(rows.matrix[:, column].astype(int)).argmax()
    labels = tuple(
        f"component {k + 1} ({share:.0%} of variance)" for k, share in enumerate(pca.explained_variance_ratio_)
    )
    return Plane(origin, pca.components_, labels, "rows moved to their feet on the plane", is_to_scale=True)
