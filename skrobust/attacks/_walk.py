"""A walk along the boundary of an estimator that only answers, towards the rows (after HopSkipJump, Chen et al., 2020).

Batched over rows; it starts from the nearest adversarial row that another attack found.
"""

import numpy as np

# Questions of one stretch: which way the boundary faces, then how far to go that way, then back towards the row.
N_PROBES = 30
N_LENGTHS = 8
N_HALVINGS = 12
# Share of the features that a step under the sum norm moves.
SPARSITY = 0.1
# Numbers in the rows that are asked about at a time.
CHUNK_NUMBERS = 2**22


def walk(pursuit, index, radius, rng, *, max_queries=1000):
    """Walk from the nearest adversarial rows along the boundary.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of int
        Rows that were never fooled are left out.
    radius : float
        Rows that are fooled within a finite radius are left in peace.
    rng : numpy.random.Generator
    max_queries : int, default=1000
        Questions asked about each row, at most.
    """
    n_stretches = max(1, max_queries // (N_PROBES + N_LENGTHS + N_HALVINGS))
    size = max(1, CHUNK_NUMBERS // (N_PROBES * pursuit.original.rows.shape[1]))
    for start in range(0, len(index), size):
        part = index[start : start + size]
        pursuit.shrink(_still_of_interest(pursuit, part, radius), N_HALVINGS)
        for stretch in range(n_stretches):
            part = _still_of_interest(pursuit, part, radius)
            if len(part):
                _go(pursuit, part, rng, stretch)


def _still_of_interest(pursuit, index, radius):
    distance = pursuit.distance[index]
    stands = distance > pursuit.reach(radius) if np.isfinite(radius) else distance > 0
    return index[stands & np.isfinite(distance)]


def _go(pursuit, index, rng, stretch):
    """Go one stretch: feel for the way the boundary faces, step across, and back towards the row."""
    budget = pursuit.budget.take(index).at(np.inf)
    units = np.where(budget.scale > 0, budget.scale, 1.0)
    here, distance = pursuit.nearest[index].astype(np.float64), pursuit.distance[index]
    normal = _normal(pursuit, index, here, units, rng, distance)
    direction = _steepest(normal, budget.norm) * units
    length = distance / np.sqrt(stretch + 1)
    crossed = here.copy()
    searching = np.arange(len(index))
    for _ in range(N_LENGTHS):
        point = budget.take(searching).project(here[searching] + length[searching, np.newaxis] * direction[searching])
        is_beyond = pursuit.offer(index[searching], point)
        crossed[searching[is_beyond]] = point[is_beyond]
        searching = searching[~is_beyond]
        length[searching] /= 2
        if not len(searching):
            break
    _bisect(pursuit, index, budget, crossed)


def _normal(pursuit, index, here, units, rng, distance):
    """Return the mean of random changes of which the estimator's answers tell whether they lead across; (m, d)."""
    m, d = here.shape
    noise = rng.standard_normal((m, N_PROBES, d))
    noise /= np.linalg.norm(noise, axis=2, keepdims=True)
    width = distance / np.sqrt(d)
    each = np.repeat(np.arange(m), N_PROBES)
    wide = pursuit.budget.take(index[each]).at(np.inf)
    probes = wide.project(here[each] + width[each, np.newaxis] * noise.reshape(-1, d) * units)
    sign = np.where(pursuit.offer(index[each], probes), 1.0, -1.0).reshape(m, N_PROBES, 1)
    mean = sign.mean(axis=1, keepdims=True)
    # Where all probes agree their mean direction is all there is to know.
    weight = np.where(np.abs(mean) < 1, sign - mean, sign)
    return (weight * noise).mean(axis=1)


def _steepest(normal, norm):
    """Return the changes of length 1 that lead farthest along the normals."""
    if norm == np.inf:
        return np.sign(normal)
    if norm == 1:
        n_moved = max(1, round(SPARSITY * normal.shape[1]))
        least = np.partition(np.abs(normal), -n_moved, axis=1)[:, [-n_moved]]
        normal = np.sign(normal) * (np.abs(normal) >= least)
    return normal / np.maximum(np.linalg.norm(normal, ord=norm, axis=1, keepdims=True), 1e-300)


def _bisect(pursuit, index, budget, far):
    """Offer points between adversarial rows and their originals, ever nearer to the boundary."""
    rows = budget.rows.astype(np.float64)
    low, high = np.zeros((len(index), 1)), np.ones((len(index), 1))
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        is_beyond = pursuit.offer(index, budget.project(rows + middle * (far - rows)))[:, np.newaxis]
        low, high = np.where(is_beyond, low, middle), np.where(is_beyond, middle, high)
