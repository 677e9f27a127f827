"""The discrete values within reach of rows: steps of integers, categories of one-hot groups."""

import numpy as np

from skrobust.attacks._budget import SLACK
from skrobust.attacks._threat_model import TOLERANCE

# Steps that an integer may go at most, which matters where neither bounds nor a radius keep it.
MOST_STEPS = 1024


class Lattice:
    """The discrete values within reach of some rows of a pursuit.

    A choice says which: for each integer the steps from its original, for each group the category.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of shape (n,), int
    radius : float
    base : ndarray of shape (n, n_features)
        Where continuous features are.

    Attributes
    ----------
    origin : ndarray of shape (n, n_units), int
        Choices of the originals.
    """

    def __init__(self, pursuit, index, radius, base):
        self.pursuit, self.index, self.base = pursuit, index, base
        self.budget = pursuit.budget.take(index).at(radius)
        self.integers, self.groups = np.flatnonzero(self.budget.is_integer), self.budget.groups
        low, high = self.budget.box()
        rows, columns = self.budget.rows, self.integers
        self.down, self.up = (
            steps[:, columns].clip(0, MOST_STEPS).astype(np.int64) for steps in (rows - low, high - rows)
        )
        self.origin = self.choices(rows)
        self._scale = np.where(self.budget.scale > 0, self.budget.scale, 1)[columns]
        self._flip_costs = [self._costs_of_flips(group, low, high) for group in self.groups]

    def __len__(self):
        return len(self.index)

    @property
    def n_options(self):
        """Number of values of each integer and group; of shape (n, n_units)."""
        categories = np.broadcast_to([len(group) for group in self.groups], (len(self), len(self.groups)))
        return np.hstack([self.down + self.up + 1, categories.astype(np.int64)])

    @property
    def stands(self):
        """Rows that were not fooled within the radius; of shape (n,), bool."""
        distance = self.pursuit.distance[self.index]
        return (distance > self.budget.radius * (1 + TOLERANCE)) | np.isinf(distance)

    @property
    def reach(self):
        """How far to search: to the radius, or nearer than what was found; of shape (n,)."""
        return np.minimum(self.budget.radius, self.pursuit.distance[self.index] * (1 - TOLERANCE))

    def take(self, keep):
        """Return the lattice of some of the rows."""
        return Lattice(self.pursuit, self.index[keep], self.budget.radius, self.base[keep])

    def choices(self, rows):
        """Return the choices that counterparts of all rows have made."""
        steps = (rows - self.budget.rows.astype(np.float64))[:, self.integers]
        categories = [rows[:, group].argmax(axis=1)[:, np.newaxis] for group in self.groups]
        return np.hstack([steps.astype(np.int64), *categories])

    def candidates(self, owner, choice):
        """Return rows with these choices and the continuous features of the base, as far as they fit the radius."""
        candidates = self.base[owner].astype(np.float64)
        n_integers = len(self.integers)
        candidates[:, self.integers] = self.budget.rows[owner][:, self.integers] + choice[:, :n_integers]
        for unit, group in enumerate(self.groups, start=n_integers):
            candidates[:, group] = choice[:, unit, np.newaxis] == np.arange(len(group))
        return self.budget.take(owner).project(candidates)

    def costs(self, owner, choice):
        """Return the distance of each integer and group from its original; of shape (m, n_units)."""
        n_integers = len(self.integers)
        flips = [costs[owner, choice[:, n_integers + k]] for k, costs in enumerate(self._flip_costs)]
        return np.column_stack([np.abs(choice[:, :n_integers]) / self._scale, *flips])

    def left(self, reach, costs):
        """Return how far another unit may go when others cost so much; of shape (m,)."""
        norm = self.budget.norm
        if norm == np.inf:
            return reach
        return np.maximum(reach**norm * (1 + SLACK) - (costs**norm).sum(axis=1), 0) ** (1 / norm)

    def steps_within(self, unit, owner, left):
        """Return how many steps of an integer down and up fit."""
        fitting = np.floor(left * self._scale[unit] + SLACK)
        return [np.minimum(steps[owner, unit], fitting).astype(np.int64) for steps in (self.down, self.up)]

    def flips_within(self, unit, owner, left):
        """Return which categories of a group fit; of shape (m, n_categories)."""
        return self._flip_costs[unit - len(self.integers)][owner] <= left[:, np.newaxis] * (1 + SLACK)

    def cut(self, owner, choice, reach):
        """Return choices of which no change is dearer than its reach."""
        cut = np.where(self.costs(owner, choice) <= reach[:, np.newaxis], choice, self.origin[owner])
        steps = np.floor(reach[:, np.newaxis] * self._scale).astype(np.int64)
        cut[:, : len(self.integers)] = choice[:, : len(self.integers)].clip(-steps, steps)
        return cut

    def combinations(self, most):
        """Return all choices within reach of the rows that have but few.

        Parameters
        ----------
        most : int

        Returns
        -------
        is_small : ndarray of shape (n,), bool
            Rows that have at most so many.
        owner : ndarray of shape (m,), int
            Row of each choice.
        choice : ndarray of shape (m, n_units), int
            By row, the nearest first.
        """
        is_small = np.ones(len(self), dtype=bool)
        owner, choice, reach = np.arange(len(self)), self.origin, self.reach
        for unit in range(self.origin.shape[1]):
            # A beginning that fits is a choice itself, with the others at their original: no more are held than asked.
            costs = self.costs(owner, choice)
            parent, value = self._options(unit, owner, self.left(reach[owner], costs), is_small, most)
            owner, choice = owner[parent], choice[parent]
            choice[:, unit] = value
        keep = np.flatnonzero(is_small[owner])
        length = np.linalg.norm(self.costs(owner[keep], choice[keep]), ord=self.budget.norm, axis=1)
        keep = keep[np.lexsort((length, owner[keep]))]
        return is_small, owner[keep], choice[keep]

    def _options(self, unit, owner, left, is_small, most):
        """Return the values of one unit that fit each choice; rows with too many choices are crossed out."""
        is_integer = unit < len(self.integers)
        if is_integer:
            down, up = self.steps_within(unit, owner, left)
            count = down + up + 1
        else:
            fits = self.flips_within(unit, owner, left)
            count = fits.sum(axis=1)
        is_small &= np.bincount(owner, count, minlength=len(self)) <= most
        if not is_integer:
            return np.nonzero(fits & is_small[owner, np.newaxis])
        parent, nth = _spread(np.where(is_small[owner], count, 0))
        return parent, nth - down[parent]

    def moves(self, walkers, choice, rng, n_moves):
        """Return single changes of choices that fit the radius: all, or so many random ones.

        Parameters
        ----------
        walkers : ndarray of shape (k,), int
            Rows of the lattice.
        choice : ndarray of shape (n, n_units), int
        rng : numpy.random.Generator
        n_moves : int

        Returns
        -------
        owner : ndarray of shape (m,), int
        moved : ndarray of shape (m, n_units), int
        """
        n_options = self.n_options[walkers]
        has_few = n_options.sum(axis=1) <= n_moves
        every, drawn = _every_option(n_options[has_few]), _drawn_options(n_options[~has_few], rng, n_moves)
        owner = np.concatenate([walkers[has_few][every[0]], walkers[~has_few][drawn[0]]])
        unit, nth = (np.concatenate(pair) for pair in zip(every[1:], drawn[1:], strict=True))
        return self._fitting(owner, choice[owner], unit, nth)

    def _fitting(self, owner, choice, unit, nth):
        """Return choices after a change of one unit each to its nth option, cut to what fits; others are left out."""
        each = np.arange(len(owner))
        costs = self.costs(owner, choice)
        costs[each, unit] = 0
        left, value, keep = self.left(self.reach[owner], costs), nth.copy(), nth >= 0
        for k in range(choice.shape[1]):
            here = unit == k
            if k < len(self.integers):
                down, up = self.steps_within(k, owner[here], left[here])
                value[here] = (nth[here] - self.down[owner[here], k]).clip(-down, up)
            else:
                keep[here] = self.flips_within(k, owner[here], left[here])[np.arange(here.sum()), nth[here]]
        keep &= value != choice[each, unit]
        choice[each, unit] = value
        return owner[keep], choice[keep]

    def _costs_of_flips(self, group, low, high):
        """Return the distance of each category from the original; inf where it may not be taken."""
        scale, own = self.budget.scale[group], self.budget.rows[:, group] == 1
        per_flip = np.divide(1.0, scale, out=np.full(len(group), np.inf), where=scale > 0)
        may_leave = (low[:, group] == 0)[own]
        may_enter = (high[:, group] == 1) & may_leave[:, np.newaxis]
        costs = np.maximum(per_flip, np.broadcast_to(per_flip, own.shape)[own][:, np.newaxis])
        return np.where(own, 0, np.where(may_enter, costs, np.inf))


def _spread(count):
    """Return, for so many entries of each parent, the parent of each entry and its number among them."""
    parent = np.repeat(np.arange(len(count)), count)
    return parent, np.arange(len(parent)) - np.repeat(np.cumsum(count) - count, count)


def _every_option(n_options):
    """Return the row, the unit and the number of each option, for numbers of options of shape (k, n_units)."""
    row_unit, nth = _spread(n_options.ravel())
    return *np.divmod(row_unit, n_options.shape[1]), nth


def _drawn_options(n_options, rng, n_moves):
    """Return the row, the unit and the number of random options, half of them first or last ones."""
    row = np.repeat(np.arange(len(n_options)), n_moves)
    unit = rng.integers(n_options.shape[1], size=len(row))
    count = n_options[row, unit]
    nth = rng.integers(count)
    ends = np.where(2 * nth < count, 0, count - 1)
    return row, unit, np.where(rng.random(len(row)) < 0.5, ends, nth)
