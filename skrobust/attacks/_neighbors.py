"""Which rows are nearest, under any norm."""

import numpy as np
from scipy.spatial.distance import cdist

# Numbers in the arrays of distances that are held at a time.
CHUNK_NUMBERS = 2**22
# Work, in differences of numbers, up to which the norms other than the Euclidean are computed between all rows. Beyond
# that, of the rows nearest in the Euclidean norm.
MOST_WORK = 4e9
N_SHORTLIST = 64


def of_another_code(points, codes, others, other_codes, norm, n_neighbors):
    """Return the indices of points and of their nearest others whose code is another; some have fewer, or none."""
    starts, ends = [], []
    for code in np.unique(codes):
        own, far = np.flatnonzero(codes == code), np.flatnonzero(other_codes != code)
        if len(far):
            found = far[nearest(points[own], others[far], norm, min(n_neighbors, len(far)))]
            starts.append(own.repeat(found.shape[1]))
            ends.append(found.ravel())
    empty = np.zeros(0, dtype=np.intp)
    return np.concatenate([empty, *starts]), np.concatenate([empty, *ends])


def nearest(points, others, norm, n_neighbors):
    """Return the indices of the nearest of others, nearest first; of shape (n, n_neighbors)."""
    is_short = norm != 2 and len(points) * others.size > MOST_WORK
    size = max(1, CHUNK_NUMBERS // max(1, len(others), N_SHORTLIST * points.shape[1] * is_short))
    found = np.empty((len(points), n_neighbors), dtype=np.intp)
    for start in range(0, len(points), size):
        part = slice(start, start + size)
        if is_short:
            found[part] = _of_shortlist(points[part], others, norm, n_neighbors)
        else:
            found[part] = _least(_distances(points[part], others, norm), n_neighbors)
    return found


def _of_shortlist(points, others, norm, n_neighbors):
    near = _least(_distances(points, others, 2), max(n_neighbors, min(N_SHORTLIST, len(others))))
    distances = np.linalg.norm(others[near] - points[:, np.newaxis], ord=norm, axis=2)
    return np.take_along_axis(near, _least(distances, n_neighbors), axis=1)


def _distances(points, others, norm):
    """Return all distances; of Euclidean ones the square, less what is the same for all others of a point."""
    if norm == 2:
        return (others**2).sum(axis=1) - 2 * points @ others.T
    return cdist(points, others, "chebyshev" if norm == np.inf else "cityblock")


def _least(distances, n):
    """Return the columns of the n least entries of each row, least first."""
    chosen = np.argpartition(distances, n - 1, axis=1)[:, :n]
    order = np.take_along_axis(distances, chosen, axis=1).argsort(axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)
