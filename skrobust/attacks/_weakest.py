"""Where an estimator whose answers are random is right least often."""

import numpy as np

# Questions about a row that looks weaker than what was known: the least of many shares of a few answers is mostly luck.
N_AGAIN = 100
# Questions to the last point of the attack, none of which chose it.
N_JUDGED = 100


class Weakest:
    """For each row, within each of some radii, the counterpart to which the fewest random answers were right.

    Parameters
    ----------
    original : Original
    reaches : dict of float to float
        Radius to the largest distance that counts as within it.

    Attributes
    ----------
    rows : dict of float to ndarray of shape (n, n_features)
        By radius.
    share : dict of float to ndarray of shape (n,)
        Of right answers, when they were chosen.
    """

    def __init__(self, original, reaches):
        self._original, self._reaches = original, reaches
        share = original.share_right(original.rows, original.y, N_AGAIN)
        self.rows = {radius: original.rows.copy() for radius in reaches}
        self.share = {radius: share.copy() for radius in reaches}

    def keep(self, index, candidates, distance, share):
        """Keep candidates that are weaker than what is known, by a first look and by a longer one.

        Parameters
        ----------
        index : ndarray of shape (m,), int
            May name a row several times.
        candidates : ndarray of shape (m, n_features)
        distance : ndarray of shape (m,)
        share : ndarray of shape (m,)
            Of a few answers that are right.
        """
        within = {radius: distance <= reach for radius, reach in self._reaches.items()}
        looks_weaker = np.zeros(len(index), dtype=bool)
        for radius, near in within.items():
            looks_weaker |= near & (share < self.share[radius][index])
        chosen = np.flatnonzero(looks_weaker)
        if not len(chosen):
            return
        again = self._original.share_right(candidates[chosen], self._original.y[index[chosen]], N_AGAIN)
        # Of several candidates for a row the weakest comes last, and is what stays.
        order = np.argsort(-again, kind="stable")
        chosen, again = chosen[order], again[order]
        for radius, near in within.items():
            is_weaker = near[chosen] & (again < self.share[radius][index[chosen]])
            who, which = index[chosen[is_weaker]], chosen[is_weaker]
            self.rows[radius][who], self.share[radius][who] = candidates[which], again[is_weaker]

    def judged(self):
        """Return the share of fresh answers that are right, by radius; of radius 0 those to the rows themselves."""
        original = self._original
        rows = {0.0: original.rows, **self.rows}
        return {radius: original.share_right(weakest, original.y, N_JUDGED) for radius, weakest in rows.items()}
