"""The rows under attack, and the one door through which an adversarial row comes to count."""

import contextlib
import itertools

import numpy as np

from skrobust.attacks._original import N_FRESH, N_PROBED
from skrobust.attacks._threat_model import TOLERANCE
from skrobust.attacks._weakest import Weakest

# Halvings of the way from a row to its adversarial row.
N_HALVINGS = 16
# How far beyond the weakest rows to look where answers are random.
PUSHES = (1.5, 3.0, 10.0, 100.0)
# Of random answers to a row, the share of right ones below which it is left in peace.
HARDLY_EVER_RIGHT = 0.05


class Pursuit:
    """For each row the nearest adversarial row found so far, by whatever attack.

    Attacks search as they like and :meth:`offer` what they find. A row counts if it keeps the constraints of the
    threat model and the original estimator answers it wrongly, never by the word of an attack.

    Parameters
    ----------
    original : Original
    budget : Budget
        Of all rows.
    surface : Surface or None
        What gradients are taken of; None for a black box.
    radii : sequence of float, default=()
        For an estimator whose answers are random, the weakest row within each of them is kept.

    Attributes
    ----------
    nearest : ndarray of shape (n, n_features)
        Nearest adversarial row; the row itself if it is misclassified or was never fooled.
    distance : ndarray of shape (n,)
        Of the nearest adversarial row, in units of the threat model: 0 for misclassified rows, inf if none was found.
    codes : ndarray of shape (n,)
        Class indices; meaningless for rows that are misclassified.
    found_by : ndarray of shape (n,), str
        Attack that found the nearest row.
    n_queries : ndarray of shape (n,), int
        How often the estimator or its torch module was evaluated for a row.
    notes : dict of str to ndarray of shape (n,), bool
        What attacks remarked of rows.
    """

    def __init__(self, original, budget, surface, radii=()):
        self.original, self.budget, self.surface = original, budget, surface
        n_rows = len(original.rows)
        is_right = original.share_right(original.rows, original.y) > 0 if original.is_random else _is_right(original)
        self.nearest = original.rows.copy()
        self.distance = np.where(is_right, np.inf, 0.0)
        # Rows that are misclassified, also by labels that the estimator does not know, are not attacked.
        self.codes = original.codes(original.y if original.is_random else original.answers)
        self.found_by = np.full(n_rows, "", dtype=object)
        self.n_queries = np.ones(n_rows, dtype=np.int64)
        self.notes = {}
        self._attack = ""
        self._judged = None
        reaches = {radius: self.reach(radius) for radius in radii if radius < np.inf}
        self._weakest = Weakest(original, reaches) if original.is_random else None

    @contextlib.contextmanager
    def by(self, attack):
        """Within this context, what is found is put down to the attack of that name."""
        before, self._attack = self._attack, attack
        try:
            yield
        finally:
            self._attack = before

    def standing(self, radius=None):
        """Return the indices of rows that were not fooled within a radius, by default that of the budget."""
        return np.flatnonzero(self.stands(slice(None), radius))

    def stands(self, index, radius=None):
        """Return which of these rows were not fooled within a radius; where that is infinite, none is near enough."""
        share = self._share_at(self.budget.radius if radius is None else radius)
        if share is not None:
            return share[index] > HARDLY_EVER_RIGHT
        reach = self.reach(radius)
        return self.distance[index] > (reach if reach < np.inf else 0.0)

    def _share_at(self, radius):
        """Return the share of right answers to the weakest rows within a radius, or None."""
        return None if self._weakest is None else self._weakest.share.get(radius)

    def reach(self, radius=None):
        """Return the largest distance that counts as within a radius."""
        return (self.budget.radius if radius is None else radius) * (1 + TOLERANCE)

    def offer(self, index, candidates):
        """Judge rows that an attack found.

        Parameters
        ----------
        index : ndarray of shape (m,), int
            Which row each is the counterpart of; may name a row several times.
        candidates : ndarray of shape (m, n_features)

        Returns
        -------
        is_adversarial : ndarray of shape (m,), bool
            Whether each keeps the constraints, at whatever distance, and is misclassified by the original estimator.
        """
        index = np.asarray(index)
        if not len(index):
            return np.zeros(0, dtype=bool)
        budget = self.budget.take(index)
        candidates = np.asarray(candidates).astype(self.nearest.dtype, copy=False)
        is_adversarial = budget.respects(candidates)
        asked = np.flatnonzero(is_adversarial)
        distance = budget.distance(candidates)
        if len(asked):
            is_adversarial[asked] = self._is_wrong(index[asked], candidates[asked], distance[asked])
        self._keep(index, candidates, np.where(is_adversarial, distance, np.inf))
        return is_adversarial

    def _is_wrong(self, index, candidates, distance):
        """Return what the original estimator gets wrong, of random answers most of the time."""
        share = self.original.share_right(candidates, self.original.y[index])
        self.count(index, N_FRESH if self.original.is_random else 1)
        if self._weakest is not None:
            self._weakest.keep(index, candidates, distance, share)
        return share < 0.5

    def finds_random_answers(self):
        """Return whether answers to the adversarial rows differ from one time to the next."""
        found = self.nearest[np.isfinite(self.distance) & (self.distance > 0)]
        # An answer that was wrong by luck once is right most of the time: it takes many questions to see it change.
        return len(found) > 0 and (self._changes(found, 2) or self._changes(found[:N_PROBED], N_FRESH))

    def _changes(self, rows, n_times):
        first = self.original.predict(rows)
        return any((self.original.predict(rows) != first).any() for _ in range(n_times))

    def _keep(self, index, candidates, distance):
        # Of several candidates for a row the nearest comes last, and is what stays.
        order = np.argsort(-distance, kind="stable")
        order = order[distance[order] < self.distance[index[order]]]
        chosen = index[order]
        self.nearest[chosen] = candidates[order]
        self.distance[chosen] = distance[order]
        self.found_by[chosen] = self._attack

    def margins(self, index, rows):
        """Return how far rows are beyond the boundary: best other score less that of the class, positive means fooled.

        By the torch module where there is one, which is faster, else by the estimator.
        """
        self.count(index)
        return (self.surface or self.original).margins(rows, self.codes[index])

    def count(self, index, times=1):
        """Note that the estimator or its module was evaluated for these rows."""
        np.add.at(self.n_queries, index, times)

    def without_gradient(self):
        """Return the rows at which a gradient vanished, a bool array of shape (n,)."""
        return self.notes.get("zero gradient", np.zeros(len(self.distance), dtype=bool))

    def judge(self):
        """Ask a random estimator afresh about the weakest rows: what chose them may have been luck."""
        if self._weakest is not None:
            self._judged = self._weakest.judged()

    def shares_right(self, radius):
        """Return the share of fresh answers, to the weakest row met within a radius, that are right."""
        return self._judged[radius]

    def weakest(self, radius):
        """Return the rows within a radius to which the fewest random answers were right, else the nearest fooled."""
        return self.nearest if self._weakest is None else self._weakest.rows.get(radius, self.nearest)

    def push(self):
        """Offer rows beyond the weakest ones, where random answers are wrong more often, as far as the radii allow."""
        if self._weakest is None:
            return
        index, rows = np.arange(len(self.distance)), self.original.rows
        changes = [(weakest - rows).astype(np.float64) for weakest in self._weakest.rows.values()]
        for radius, change, factor in itertools.product(self._weakest.rows, changes, PUSHES):
            self.offer(index, self.budget.at(radius).project(rows + factor * change))

    def note(self, remark, index, value=True):
        """Remember that a remark is true of rows, or what it is of each."""
        self.notes.setdefault(remark, np.zeros(len(self.distance), dtype=bool))[index] = value

    def shrink(self, index, n_halvings=N_HALVINGS):
        """Move adversarial rows towards their originals, by bisection, as near as they stay adversarial.

        Where answers are random that would lead to where half of them are right, and is left undone.
        """
        if self.original.is_random:
            return
        index = index[np.isfinite(self.distance[index]) & (self.distance[index] > 0)]
        if not len(index):
            return
        rows, far = (part.astype(np.float64) for part in (self.original.rows[index], self.nearest[index]))
        budget = self.budget.take(index).at(np.inf)
        low, high = np.zeros((len(index), 1)), np.ones((len(index), 1))
        for _ in range(n_halvings):
            middle = (low + high) / 2
            is_adversarial = self.offer(index, budget.project(rows + middle * (far - rows)))[:, np.newaxis]
            low, high = np.where(is_adversarial, low, middle), np.where(is_adversarial, middle, high)


def _is_right(original):
    return original.answers == original.y
