"""The nearest row of another answer, and the way to it: an attack on any estimator, and a bound for every other."""

import numpy as np
from scipy.spatial.distance import cdist

N_HALVINGS = 24
# Numbers in the arrays of distances that are held at a time.
CHUNK_NUMBERS = 2**22
# Work, in differences of numbers, up to which the norms other than the Euclidean are computed between all rows. Beyond
# that, of the rows nearest in the Euclidean norm.
MOST_WORK = 4e9
N_SHORTLIST = 64


def nearest_other(pursuit, index, radius, rng, *, n_neighbors=3):
    """Go from each row towards the nearest rows with another answer, as far as it takes.

    Parameters
    ----------
    pursuit : Pursuit
        Its rows are where neighbors are looked for.
    index : ndarray of int
    radius : float
        Not used: a row counts at whatever distance.
    rng : numpy.random.Generator
        Not used.
    n_neighbors : int, default=3
        Rows towards which each row goes.
    """
    starts, ends = neighbors_of_another_answer(pursuit, index, n_neighbors)
    size = max(1, CHUNK_NUMBERS // pursuit.original.rows.shape[1])
    for first in range(0, len(starts), size):
        part = slice(first, first + size)
        _bisect(pursuit, starts[part], ends[part])


def neighbors_of_another_answer(pursuit, index, n_neighbors):
    """Return pairs of rows and their nearest rows whose answer is another, in the norm and units of the threat model.

    Returns
    -------
    starts, ends : ndarray of shape (n_pairs,), int
        Rows of the pursuit. A row may have fewer neighbors, or none.
    """
    original, budget = pursuit.original, pursuit.budget
    moves = budget.scale > 0
    points = original.rows[:, moves].astype(np.float64) / budget.scale[moves]
    points -= points.mean(axis=0) if len(points) else 0.0
    answers = original.codes(original.answers)
    starts, ends = [], []
    for code in np.unique(answers[index]):
        own, others = index[answers[index] == code], np.flatnonzero(answers != code)
        if len(others):
            found = others[_nearest(points[own], points[others], budget.norm, min(n_neighbors, len(others)))]
            starts.append(own.repeat(found.shape[1]))
            ends.append(found.ravel())
    empty = np.zeros(0, dtype=np.intp)
    return np.concatenate([empty, *starts]), np.concatenate([empty, *ends])


def _nearest(points, others, norm, n_neighbors):
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


def _bisect(pursuit, starts, ends):
    """Halve the way from rows to others until the boundary is met; ways that cannot lead nearer are given up."""
    budget = pursuit.budget.take(starts).at(np.inf)
    # The other row itself may break a constraint, such as a feature that stays.
    far = budget.project(pursuit.original.rows[ends])
    is_adversarial = pursuit.offer(starts, far)
    starts, budget, far = starts[is_adversarial], budget.take(is_adversarial), far[is_adversarial].astype(np.float64)
    length = budget.distance(far)
    low, high = np.zeros(len(starts)), np.ones(len(starts))
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        point = budget.rows + middle[:, np.newaxis] * (far - budget.rows)
        is_adversarial = pursuit.offer(starts, budget.project(point))
        low, high = np.where(is_adversarial, low, middle), np.where(is_adversarial, middle, high)
        keep = low * length < pursuit.distance[starts]
        if not keep.all():
            starts, budget, far, length = starts[keep], budget.take(keep), far[keep], length[keep]
            low, high = low[keep], high[keep]
