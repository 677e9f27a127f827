"""Bounds of the distance within which the answer of the 1-nearest-neighbor rule stays the same."""

import dataclasses

import numpy as np

from skrobust.attacks._certified import to_bisectors
from skrobust.metrics._bisection import bisected
from skrobust.metrics._neighbors import CHUNK_NUMBERS, Reference

# Nearest rows of the own class and of others that are looked at first; farther others are bounded by their distance.
N_FIRST = 32
# Share of squared distances by which their sums may be wrong.
ROUNDING = 1e-12
# Share of a distance by which another may be larger and count as equal.
SLACK = 1e-14


def bounds_of(setting, n_ways):
    """Return the distances to the nearest own and other row, and bounds of the margin; four arrays of shape (n,)."""
    size = max(1, CHUNK_NUMBERS // setting.rows.shape[1])
    parts = [_bounds(setting.part(slice(i, i + size)), n_ways) for i in range(0, len(setting.rows), size)]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _bounds(setting, n_ways):
    reference, codes = setting.reference, setting.codes
    own = reference.nearest(setting.rows, reference.is_own(codes), N_FIRST)
    others = setting.nearest_others(max(N_FIRST, n_ways))
    to_own, to_other = own.distance[:, 0], others.distance[:, 0]
    right = np.flatnonzero(to_own < to_other)
    lower, upper = np.zeros(len(codes)), np.zeros(len(codes))
    if reference.norm == 2:
        planes = [_to_bisectors_of(setting, row, own, others) for row in right]
        lower[right] = np.minimum(planes, _beyond_these(setting, right, own, others))
    lower[right] = np.maximum(lower[right], (to_other - to_own)[right] / 2)
    upper[right] = _shortest_way(setting, right, own, others, n_ways)
    return to_own, to_other, np.minimum(lower, upper), upper


def _to_bisectors_of(setting, row, own, others):
    """Return by how much a row must move to be nearer to one of these others than to each of its nearest own."""
    reference = setting.reference
    start = reference.points(setting.rows[row : row + 1])
    near, far = (
        reference.points(reference.rows[found.index[row, found.index[row] >= 0]]) - start for found in (own, others)
    )
    units = np.ones(start.shape[1])
    return to_bisectors(np.zeros_like(start), near, far, units, reference.norm, ROUNDING)[0]


def _beyond_these(setting, right, own, others):
    """Return by how much rows must move to be nearer to other rows of another class than these, inf without any.

    To be nearer to a row at the distance a than to one at the distance b takes a way of (a - b) / 2, in every norm.
    """
    is_all = setting.n_others()[right] <= others.distance.shape[1]
    return np.where(is_all, np.inf, (others.distance[right, -1] - own.distance[right, 0]) / 2)


def _shortest_way(setting, right, own, others, n_ways):
    """Return how far is to go towards rows of other classes until the answer changes, the least of several ways."""
    shortest = np.full(len(right), np.inf)
    for column in range(n_ways):
        is_there = others.index[right, column] >= 0
        rows = right[is_there]
        ways = _Ways(
            setting.reference,
            setting.rows[rows].astype(np.float64),
            setting.reference.rows[others.index[rows, column]].astype(np.float64),
            setting.codes[rows],
            others.distance[rows, column],
            own.index[rows],
        )
        found = ways.crossings(own.distance[rows, 0], shortest[is_there])
        shortest[is_there] = np.minimum(shortest[is_there], found)
    return shortest


@dataclasses.dataclass(frozen=True, eq=False)
class _Ways:
    """Ways from rows to rows of another class.

    Parameters
    ----------
    reference : Reference
    starts, ends : ndarray of shape (n, n_features)
    codes : ndarray of shape (n,), int
        Classes of the starts.
    lengths : ndarray of shape (n,)
    near : ndarray of shape (n, n_near), int
        The reference rows of the same class that are nearest to the starts; -1 where there are fewer.
    """

    reference: Reference
    starts: np.ndarray
    ends: np.ndarray
    codes: np.ndarray
    lengths: np.ndarray
    near: np.ndarray

    def crossings(self, to_own, limit):
        """Return the distances from the starts at which the ends become the nearest rows, inf beyond a limit."""
        # Before this no end can be as near as the nearest own row, see _beyond_these.
        low, high = (1 - to_own / self.lengths) / 2, np.minimum(1.0, limit / self.lengths)
        # The few nearest own rows are asked often, all of them mostly once.
        return _met(_met(low, high, self.passes_near), high, self.passes_all) * self.lengths

    def passes_near(self, index, t):
        """Return whether the ends are at least as near to places on these ways as each of the nearest own rows."""
        distance = self.reference.distances(self._points(index, t), self.near[index])
        return self._is_reached(index, t, distance)

    def passes_all(self, index, t):
        """Return whether the ends are at least as near to places on these ways as each own row."""
        is_own = self.reference.is_own(self.codes[index])
        return self._is_reached(index, t, self.reference.nearest(self._points(index, t), is_own, 1).distance)

    def _points(self, index, t):
        return self.starts[index] + t[:, np.newaxis] * (self.ends - self.starts)[index]

    def _is_reached(self, index, t, distance):
        return distance.min(axis=1) >= (1 - t) * (1 - SLACK) * self.lengths[index]


def _met(low, high, is_beyond):
    """Return where ways get beyond something: mostly at once, else by bisection; inf where not even in the end."""
    high = np.where(low < high, high, np.inf)
    asked = np.flatnonzero(np.isfinite(high))
    is_met = is_beyond(asked, low[asked])
    high[asked[is_met]] = low[asked[is_met]]
    asked = asked[~is_met]
    high[asked[~is_beyond(asked, high[asked])]] = np.inf
    return bisected(low, high, is_beyond)
