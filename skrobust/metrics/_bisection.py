"""Where something changes on a way: the one home of halving."""

import numpy as np

# Relative width at which halving ends, and the most often that it is done.
PRECISION = 1e-6
MOST_HALVINGS = 50


def bisected(low, high, is_beyond):
    """Return where something changes, between points at which it has not and points at which it has.

    Parameters
    ----------
    low, high : ndarray of shape (n,)
        Not yet beyond the change, and beyond it; inf for ways without one.
    is_beyond : callable
        Takes indices of ways, of shape (k,), and a place on each; returns whether they are beyond, of shape (k,).

    Returns
    -------
    high : ndarray of shape (n,)
        Places beyond the change, which lies before them by less than `PRECISION` of themselves.
    """
    low, high = low.copy(), high.copy()
    for _ in range(MOST_HALVINGS):
        unsure = np.flatnonzero(np.isfinite(high))
        unsure = unsure[high[unsure] - low[unsure] > PRECISION * high[unsure]]
        if not len(unsure):
            break
        middle = (low[unsure] + high[unsure]) / 2
        has_changed = is_beyond(unsure, middle)
        low[unsure] = np.where(has_changed, low[unsure], middle)
        high[unsure] = np.where(has_changed, middle, high[unsure])
    return high
