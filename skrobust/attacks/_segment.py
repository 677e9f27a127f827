"""The nearest row of another answer, and the way to it: an attack on any estimator, and a bound for every other."""

import numpy as np

from skrobust.attacks._neighbors import of_another_code
from skrobust.attacks._search import chunks
from skrobust.attacks._stored import stored_rows, towards_stored

N_HALVINGS = 24
# Rows that a classifier stores, towards which each row goes: cheap, and what these classifiers are fooled by.
N_STORED = 20


def nearest_other(pursuit, index, radius, rng, *, n_neighbors=3):
    """Go from each row towards the nearest rows with another answer, as far as it takes.

    Of a nearest neighbors classifier, also towards and across rows that it stores.

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
        Rows towards which each row goes; of stored ones at least 20.
    """
    rows = pursuit.original.rows
    starts, ends = neighbors_of_another_answer(pursuit, index, n_neighbors)
    for part in chunks(np.arange(len(starts)), rows.shape[1]):
        _bisect(pursuit, starts[part], rows[ends[part]])
    stored = stored_rows(pursuit.original)
    for part in () if stored is None else chunks(index, N_STORED * rows.shape[1]):
        starts, *targets = towards_stored(pursuit, part, stored, max(n_neighbors, N_STORED))
        for others in targets:
            _bisect(pursuit, starts, others)


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
    starts, ends = of_another_code(points[index], answers[index], points, answers, budget.norm, n_neighbors)
    return index[starts], ends


def _bisect(pursuit, starts, others):
    """Halve the way from rows to others until the boundary is met; ways that cannot lead nearer are given up."""
    budget = pursuit.budget.take(starts).at(np.inf)
    # The other row itself may break a constraint, such as a feature that stays.
    far = budget.project(others)
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
