"""An attack in expectation: where answers are random, go where most of them are wrong."""

import numpy as np
import torch

from skrobust.attacks import _norms
from skrobust.attacks._search import Space, chunks

# Radii, as multiples of that of the attack, of the balls around the weakest points known in which each round asks. Wide
# ones tell more of the slope, as the noise of answers is that of its own.
WIDTHS = (5.0, 5.0, 3.0, 3.0, 1.0)
# Shares of the way from the weakest point to the end of the ball.
LENGTHS = (0.25, 0.5, 1.0)


def expectation(pursuit, index, radius, rng, *, max_queries=2500):
    """Ask about random points, once each, and go along the slope of the share of wrong answers to the end of the ball.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of int
    radius : float
        Where it is infinite, as far as a row was fooled already.
    rng : numpy.random.Generator
    max_queries : int, default=2500
        Random points asked about for each row, at most.
    """
    n_probes = max(2, max_queries // len(WIDTHS))
    goal = np.full(len(index), radius) if np.isfinite(radius) else pursuit.distance[index]
    keep = np.isfinite(goal) & (goal > 0)
    index, goal = index[keep], goal[keep]
    for part in chunks(np.arange(len(index)), n_probes * pursuit.budget.rows.shape[1]):
        space = Space.around(pursuit, index[part], goal[part])
        _follow(pursuit, space.take(space.budget.can_move), radius, rng, n_probes)


def _follow(pursuit, space, radius, rng, n_probes):
    rows = space.budget.rows
    for mean in _means_of_other_classes(pursuit, space):
        pursuit.offer(space.index, space.rows(_farthest(space, (mean - rows) / space.units)))
    total = 0.0
    for width in WIDTHS:
        start = (pursuit.weakest(radius)[space.index] - rows) / space.units
        slopes = _slopes(pursuit, space, start, width, rng, n_probes)
        total = total + slopes
        for slope in (*slopes, *total):
            end = _farthest(space, slope)
            for length in LENGTHS:
                pursuit.offer(space.index, space.rows(start + length * (end - start)))


def _means_of_other_classes(pursuit, space):
    """Yield for each class the mean of the rows that get its answer, and the row itself for rows of that class."""
    original, codes = pursuit.original, pursuit.codes[space.index]
    answers = original.codes(original.answers)
    for code in np.unique(answers):
        mean = original.rows[answers == code].mean(axis=0)
        yield np.where((codes == code)[:, np.newaxis], space.budget.rows, mean)


def _slopes(pursuit, space, start, width, rng, n_probes):
    """Return slopes of wrong answers, and of margins where there are scores, of shape (n_slopes, m, n_features)."""
    each, original = np.repeat(np.arange(len(start)), n_probes), pursuit.original
    wide = Space.around(pursuit, space.index[each], (1 + width) * space.goal[each])
    noise = np.where(rng.random((len(each), 1)) < 0.5, *(wide.random(rng, is_outmost=end) for end in (True, False)))
    Z = wide.shortened(start[each] + width / (1 + width) * noise)
    rows = wide.rows_to_try(Z)
    pursuit.count(wide.index)
    signals = [-original.share_right(rows, original.y[wide.index], 1)]
    if original.has_scores:
        signals.append(original.margins(rows, pursuit.codes[wide.index]))
    Z = Z.reshape(len(start), n_probes, -1)
    Z = Z - Z.mean(axis=1, keepdims=True)
    signals = np.stack(signals).reshape(len(signals), len(start), n_probes)
    signals = signals - signals.mean(axis=2, keepdims=True)
    return np.einsum("smp,mpd->smd", np.nan_to_num(signals), Z) / n_probes


def _farthest(space, slope):
    """Return the changes that lead farthest along slopes, within the space."""
    direction = _norms.BY_NAME[space.budget.norm].direction(torch.from_numpy(slope)).numpy()
    return space.shortened(direction * space.goal[:, np.newaxis])
