"""Attacks on trees, their ensembles and bins, from split to split where there is no gradient to follow."""

import dataclasses

import numpy as np

from skrobust.attacks._axes import front_of, unwrapped
from skrobust.attacks._leaves import is_tree, leaves_of
from skrobust.attacks._search import approaches, chunks, share_at, space_around
from skrobust.attacks._splits import splits_of

# Leaves that are tried for each row, nearest first: rounding may spoil the first.
N_LEAVES = 3
# Rows that the estimator is asked about at a time: a call of an ensemble costs as much for hundreds of rows as for one.
ROWS_AT_ONCE = 1024
MOST_PROPOSALS = 8
N_STARTS = 3
# Without a radius, so many searches, each nearer to the row than the last adversarial row.
N_ROUNDS = 8
# Then, after each, so many times so many trials for each row to take back changes that were not needed.
N_TIMES_BACK = 4
N_TRIALS_BACK = 8
# Share of the steps under the maximum norm that go as far as they can, where it costs nothing.
SHARE_FARTHEST = 0.5


def thresholds(estimator):
    """Return where the trees of an estimator split, and its bins end.

    Parameters
    ----------
    estimator : classifier or Pipeline

    Returns
    -------
    thresholds : list of ndarray or None
        For each raw feature the sorted values; None if the estimator holds neither, or a step before them mixes
        features.
    """
    splits = _splits(estimator)
    if splits is None:
        return None
    middle = splits.below / 2 + splits.above / 2
    return [np.unique(middle[splits.feature == feature]) for feature in range(_n_features(estimator))]


def has_splits(estimator):
    """Return whether :func:`thresholds` knows where an estimator splits."""
    return _splits(estimator) is not None


def _splits(estimator):
    n_features = _n_features(estimator)
    return None if n_features is None else splits_of(estimator, n_features)


def is_single_tree(estimator):
    """Return whether an estimator is one decision tree, perhaps behind steps that treat each feature alone."""
    n_features = _n_features(estimator)
    if n_features is None:
        return False
    axes, classifier = front_of(estimator, n_features)
    return is_tree(classifier) and axes is not None and axes.is_known


def decision_tree(pursuit, index, radius, rng):
    """Enter the nearest leaf of another class: the nearest adversarial row that there is, in every norm.

    Parameters
    ----------
    pursuit : Pursuit
        Of a single decision tree, else nothing is found.
    index : ndarray of int
    radius : float
        Not used: a row counts at whatever distance.
    rng : numpy.random.Generator
        Not used.
    """
    original, rows = pursuit.original, pursuit.original.rows
    leaves = leaves_of(original.estimator, rows.shape[1], rows.dtype.type, original.columns)
    if leaves is None:
        return
    for part in chunks(index, max(rows.shape[1], len(leaves.codes))):
        budget = pursuit.budget.take(part).at(np.inf)
        distances = leaves.distances(budget, pursuit.codes[part])
        for leaf in distances.argsort(axis=1, kind="stable")[:, :N_LEAVES].T:
            can_enter = np.isfinite(distances[np.arange(len(part)), leaf])
            entered = leaves.enter(budget.take(can_enter), leaf[can_enter])
            pursuit.offer(part[can_enter], entered)


def split_search(pursuit, index, radius, rng, *, max_queries=3000):
    """Search over values just beyond splits and the ends of bins, by random steps that are kept if they are no worse.

    Without a radius, it looks ever nearer to the row than the last adversarial row.

    Parameters
    ----------
    pursuit : Pursuit
        Of an estimator that holds trees or bins, else nothing is found.
    index : ndarray of int
    radius : float
    rng : numpy.random.Generator
    max_queries : int, default=3000
        Questions asked about each row, at most.
    """
    original, rows = pursuit.original, pursuit.original.rows
    splits = splits_of(original.estimator, rows.shape[1], rows.dtype.type, original.columns)
    if splits is None:
        return
    before = pursuit.distance.copy()
    n_searches = N_STARTS if np.isfinite(radius) else N_ROUNDS
    for part in chunks(index, rows.shape[1]):
        for number, nearer in enumerate(approaches(pursuit, part, n_searches)):
            _search(pursuit, part, radius, rng, splits, max(1, max_queries // n_searches), number, nearer)
            if np.isinf(radius):
                _take_back(pursuit, part[pursuit.distance[part] < before[part]], rng)
    pursuit.shrink(index[pursuit.distance[index] < before[index]])


def _take_back(pursuit, index, rng):
    """Move features of adversarial rows back to where they were, under the norms that are sums, if it does no harm."""
    budget = pursuit.budget
    if budget.norm == np.inf:
        return
    label = np.arange(budget.rows.shape[1])
    for group in budget.groups:
        label[group] = group[0]
    for _ in range(N_TIMES_BACK):
        each = np.repeat(index, N_TRIALS_BACK)
        rows, nearest = budget.rows[each], pursuit.nearest[each]
        is_moved = rows != nearest
        # From one feature to half of those that were moved.
        share = np.maximum(1 / is_moved.sum(axis=1).clip(min=1), rng.random(len(each)) ** 2 / 2)
        is_back = (rng.random(rows.shape) < share[:, np.newaxis])[:, label]
        keep = (is_moved & is_back).any(axis=1) & (is_moved & ~is_back).any(axis=1)
        pursuit.offer(each[keep], np.where(is_back, rows, nearest)[keep])


@dataclasses.dataclass(frozen=True, eq=False)
class Steps:
    """Values of each feature of each row that lie just beyond splits and within reach.

    Parameters
    ----------
    space : Space
    above, below : ndarray
        Values beyond splits for rows that come from below or from above, sorted within each feature, one feature after
        the other.
    first_up, n_up, last_down, n_down : ndarray of shape (m, n_features), int
        Which of them are within reach.
    """

    space: object
    above: np.ndarray
    below: np.ndarray
    first_up: np.ndarray
    n_up: np.ndarray
    last_down: np.ndarray
    n_down: np.ndarray

    @classmethod
    def within(cls, space, splits):
        """Return the steps within a space."""
        budget, d = space.budget, space.budget.rows.shape[1]
        whole = budget.is_discrete[splits.feature]
        above = np.where(whole, np.ceil(splits.above), splits.above)
        below = np.where(whole, np.floor(splits.below), splits.below)
        counts = np.zeros((4, len(budget), d), dtype=np.intp)
        ups, downs, start_up, start_down = [], [], 0, 0
        for feature in range(d):
            mine = splits.feature == feature
            up, down = np.unique(above[mine]), np.unique(below[mine])
            own, low, high = (side[:, feature] for side in (budget.rows, budget.low, budget.high))
            first, last = np.searchsorted(up, own, "right"), np.searchsorted(down, own, "left")
            counts[0, :, feature] = start_up + first
            counts[1, :, feature] = np.searchsorted(up, high, "right") - first
            counts[2, :, feature] = start_down + last - 1
            counts[3, :, feature] = last - np.searchsorted(down, low, "left")
            ups.append(up)
            downs.append(down)
            start_up, start_down = start_up + len(up), start_down + len(down)
        # Who leaves a category takes another, which is a step up.
        counts[3][:, budget.is_grouped] = 0
        counts[1][:, budget.is_grouped] = counts[1][:, budget.is_grouped].clip(max=1)
        return cls(space, np.concatenate(ups), np.concatenate(downs), *counts.clip(min=0))

    @property
    def n_steps(self):
        """How many values each feature may go to, of shape (m, n_features)."""
        return self.n_up + self.n_down

    def take(self, keep):
        """Return the steps of some rows."""
        counts = (self.first_up, self.n_up, self.last_down, self.n_down)
        return Steps(self.space.take(keep), self.above, self.below, *(part[keep] for part in counts))

    def farthest(self, rows, features, rng):
        """Return the choices that take features of rows to the last step, one way or the other."""
        up, down = self.n_up[rows, features], self.n_down[rows, features]
        is_up = (rng.random(len(rows)) < 0.5) & (up > 0) | (down == 0)
        return np.where(is_up, up - 1, up + down - 1)

    def values(self, rows, features, choice):
        """Return the values that features of rows take by a choice among their steps and staying (the last)."""
        up, down = self.n_up[rows, features], self.n_down[rows, features]
        risen = self.above.take(self.first_up[rows, features] + choice, mode="clip")
        # More than any other member of a group, so that its category is the one that is taken.
        risen = np.where(self.space.budget.is_grouped[features], 2.0, risen)
        fallen = self.below.take(self.last_down[rows, features] - (choice - up), mode="clip")
        own = self.space.budget.rows[rows, features]
        return np.where(choice < up, risen, np.where(choice < up + down, fallen, own))


def _search(pursuit, index, radius, rng, splits, max_queries, number, nearer):
    """Search once, and leave rows in peace that are fooled."""
    index, space = space_around(pursuit, index, radius, nearer)
    steps = Steps.within(space, splits)
    keep = steps.n_steps.any(axis=1)
    index, steps = index[keep], steps.take(keep)
    if not len(index):
        return
    rows, lead = _first(pursuit, index, steps, rng, number)
    n_asked = 1
    while True:
        fooled = lead > 0
        fooled[fooled] = pursuit.offer(index[fooled], rows[fooled])
        index, steps, rows, lead = index[~fooled], steps.take(~fooled), rows[~fooled], lead[~fooled]
        if not len(index) or n_asked >= max_queries:
            return
        n_each = int(np.clip(ROWS_AT_ONCE // len(index), 1, MOST_PROPOSALS))
        rows, lead = _better(pursuit, index, steps, rows, lead, n_each, share_at(n_asked / max_queries), rng)
        n_asked += n_each


def _first(pursuit, index, steps, rng, number):
    """Return where to start: the rows themselves the first time, then random rows."""
    rows = steps.space.budget.rows.astype(np.float64)
    if number:
        rows = _proposals(steps, rows, 1.0, rng)
    return rows, pursuit.margins(index, rows.astype(pursuit.original.rows.dtype))


def _better(pursuit, index, steps, rows, lead, n_each, share, rng):
    """Return rows and leads after the best of some proposals for each, where that is no worse."""
    each = np.repeat(np.arange(len(index)), n_each)
    wide = steps if n_each == 1 else steps.take(each)
    proposed = _proposals(wide, rows[each], share, rng)
    leads = pursuit.margins(index[each], proposed.astype(pursuit.original.rows.dtype)).reshape(-1, n_each)
    best = leads.argmax(axis=1)
    everyone = np.arange(len(index))
    best_rows, best_leads = proposed[everyone * n_each + best], leads[everyone, best]
    rises = best_leads >= lead
    return np.where(rises[:, np.newaxis], best_rows, rows), np.where(rises, best_leads, lead)


def _proposals(steps, rows, share, rng):
    """Return rows with some features at other steps, shortened by taking back other changes at random."""
    m, d = rows.shape
    can_move = steps.n_steps > 0
    n_movable = can_move.sum(axis=1)
    features = np.nonzero(can_move)[1]
    n_moved = np.maximum(1, np.rint(share * n_movable * rng.random(m))).astype(np.intp)
    first = n_movable.cumsum() - n_movable
    who = np.repeat(np.arange(m), n_moved)
    what = features[first[who] + (rng.random(len(who)) * n_movable[who]).astype(np.intp)]
    choice = (rng.random(len(who)) * (steps.n_steps[who, what] + 1)).astype(np.intp)
    if steps.space.budget.norm == np.inf:
        is_farthest = rng.random(len(who)) < SHARE_FARTHEST
        choice = np.where(is_farthest, steps.farthest(who, what, rng), choice)
    moved = rows.copy()
    moved[who, what] = steps.values(who, what, choice)
    budget = steps.space.budget
    if budget.norm != np.inf:
        is_new = np.zeros((m, d), dtype=bool)
        is_new[who, what] = True
        moved = _within_goal(steps.space, moved, is_new, rng)
    return budget.project(moved).astype(np.float64) if budget.is_discrete.any() else moved


def _within_goal(space, moved, is_new, rng):
    """Return rows with changes taken back, old ones first, until they are within their radius."""
    power, most = space.budget.norm, space.goal**space.budget.norm * (1 + 1e-9)
    cost = np.abs((moved - space.budget.rows) / space.units) ** power
    if space.budget.groups:
        cost = np.minimum(cost, 1 / space.units**power)
    is_long = np.flatnonzero(cost.sum(axis=1) > most)
    cost = cost[is_long]
    order = (rng.random(cost.shape) + (cost == 0) - is_new[is_long]).argsort(axis=1)
    spent = np.take_along_axis(cost, order, axis=1).cumsum(axis=1)
    fits = np.empty(cost.shape, dtype=bool)
    np.put_along_axis(fits, order, spent <= most[is_long, np.newaxis], axis=1)
    moved[is_long] = np.where(fits, moved[is_long], space.budget.rows[is_long])
    return moved


def _n_features(estimator):
    """Return the number of features of raw rows, or None if the estimator does not say."""
    # A first step such as "passthrough" says nothing, nor does its Pipeline; the next one has all features still.
    parts = [estimator, *(step for _, step in getattr(unwrapped(estimator), "steps", ()))]
    return next((part.n_features_in_ for part in parts if hasattr(part, "n_features_in_")), None)
