"""A threat model compiled for given rows: what every attack computes with."""

import dataclasses

import numpy as np

from skrobust.attacks._features import Features, bounds_of, check_fits
from skrobust.attacks._threat_model import TOLERANCE

# Excess over a reach at which a discrete value still counts as within it: eps / 3 * 3 need not be eps.
SLACK = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class Budget:
    """What an attacker may change in each of these rows.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features), float32 or float64
        Originals, finite.
    norm : {inf, 2, 1}
    radius : float
        Largest distance, in units of `scale`; may be inf.
    scale : ndarray of shape (n_features,)
        Change of each feature that is a distance of 1; 0 holds a feature.
    low, high : ndarray of shape (n, n_features) or (1, n_features), float64
        Values that features may take at any distance.
    is_integer : ndarray of shape (n_features,), bool
        Features that stay whole numbers.
    groups : tuple of ndarray, int
        Indices of the features of each one-hot group.
    """

    rows: np.ndarray
    norm: float
    radius: float
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    is_integer: np.ndarray
    groups: tuple = ()

    @classmethod
    def of(cls, threat_model, rows, columns=None, fixed=None, boolean=None):
        """Return the budget that a threat model gives rows.

        Parameters
        ----------
        threat_model : ThreatModel
            Without an eps the radius is inf.
        rows : ndarray of shape (n, n_features)
        columns : sequence of str, default=None
            Names of the features.
        fixed : ndarray of shape (n_features,), bool, default=None
            Features that stay as they are, whatever the threat model says.
        boolean : ndarray of shape (n_features,), bool, default=None
            Features that are 0 or 1, whatever the threat model says.

        Returns
        -------
        budget : Budget

        Raises
        ------
        TypeError
            If the threat model is something else.
        ValueError
            If the threat model is not resolved, is for other features, or excludes a row.
        """
        check_fits(threat_model, rows.shape[1])
        rows = rows if rows.dtype == np.float32 else rows.astype(np.float64, copy=False)
        features = Features(rows.shape[1], columns)
        fixed, boolean = (np.zeros(features.n, dtype=bool) if mask is None else mask for mask in (fixed, boolean))
        radius, scale = _radius_and_scale(threat_model, features.n)
        is_integer = features.mask("integer", threat_model.integer)
        groups = tuple(features.indices("one_hot_groups", group) for group in threat_model.one_hot_groups)
        _check_whole(rows, is_integer, features)
        _check_one_hot(rows, groups, is_integer, features)
        binary = boolean | _members(groups, features.n)
        low, high = _sides(threat_model, rows, fixed, binary, features)
        down, up = _ways(threat_model.direction, features)
        held = fixed | (scale == 0) | features.mask("immutable", threat_model.immutable)
        low, high = _held(low, rows, held | ~down), _held(high, rows, held | ~up)
        return cls(rows, threat_model.norm, radius, scale, low, high, _whole(is_integer, boolean, groups), groups)

    def __len__(self):
        return len(self.rows)

    def take(self, index):
        """Return the budget of some of the rows; an index may name a row several times."""
        low, high = (side if len(side) == 1 else side[index] for side in (self.low, self.high))
        return dataclasses.replace(self, rows=self.rows[index], low=low, high=high)

    def at(self, radius):
        """Return this budget with another radius."""
        return dataclasses.replace(self, radius=float(radius))

    @property
    def is_grouped(self):
        """Features that belong to a one-hot group; of shape (n_features,)."""
        return _members(self.groups, len(self.is_integer))

    @property
    def is_discrete(self):
        """Features that take separate values, integers and members of groups; of shape (n_features,)."""
        return self.is_integer | self.is_grouped

    @property
    def can_move(self):
        """Rows in which the radius allows some change; of shape (n,)."""
        low, high = self.box()
        can_move = (low < high)[:, ~self.is_grouped].any(axis=1)
        for group in self.groups:
            can_leave, can_enter = low[:, group] < self.rows[:, group], high[:, group] > self.rows[:, group]
            can_move |= can_leave.any(axis=1) & can_enter.any(axis=1)
        return can_move

    def box(self):
        """Return the least and the largest value of each feature, if it alone changes; of shape (n, n_features)."""
        reach, discrete = self._reach(), self.is_discrete
        low, high = np.maximum(self.low, self.rows - reach), np.minimum(self.high, self.rows + reach)
        if discrete.any():
            low[:, discrete], high[:, discrete] = np.ceil(low[:, discrete]), np.floor(high[:, discrete])
        return low, high

    def distance(self, others):
        """Return the distances between rows and their counterparts, in units of `scale`; of shape (n,).

        It is inf where a feature of scale 0 has changed. A group counts as one coordinate.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            change = others.astype(np.float64) - self.rows
            length = np.linalg.norm(self._coordinates(change), ord=self.norm, axis=1)
        return np.where(np.isnan(length), np.inf, length)

    def respects(self, others):
        """Return which counterparts keep the constraints, at whatever distance; of shape (n,)."""
        others = others.astype(np.float64, copy=False)
        # No NaN is within bounds.
        is_kept = ((others >= self.low) & (others <= self.high) & (np.abs(others) < np.inf)).all(axis=1)
        whole = others[:, self.is_integer]
        is_kept &= (whole == np.rint(whole)).all(axis=1)
        for group in self.groups:
            is_kept &= _is_one_hot(others[:, group])
        return is_kept

    def allows(self, others):
        """Return which counterparts keep the constraints and are within the radius; of shape (n,)."""
        return self.respects(others) & (self.distance(others) <= self.radius * (1 + TOLERANCE))

    def snap(self, others):
        """Return counterparts whose discrete features have the nearest values within the box, in float64.

        A group takes the category of its largest entry, if one change of category leads there, else it stays.
        """
        return self._snap(others, *self.box())

    def project(self, others):
        """Return counterparts that the budget allows, of the type of `rows`, near these.

        The box comes first. A change that is too long is shortened, which stays in the box: of changes of category the
        dearest are undone; then integers, then the other features share what is left. Rows with a NaN stay originals.
        """
        rows, reach, (low, high) = self.rows.astype(np.float64), self._reach(), self.box()
        others = np.where(np.isfinite(others).all(axis=1, keepdims=True), others, rows)
        with np.errstate(over="ignore"):
            # The ends of the box are rounded: far from zero, that is much against a small reach.
            change = (self._snap(others, low, high).clip(low, high) - rows).clip(-reach, reach)
            return self._moved(change if self.norm == np.inf else self._shortened(change))

    def _reach(self):
        """Return the largest change of each feature, if it alone changes; of shape (n_features,)."""
        reach, moves = np.zeros(self.scale.shape), self.scale > 0
        reach[moves] = self.scale[moves] * self.radius
        return np.where(self.is_discrete, np.floor(reach + SLACK), reach)

    def _coordinates(self, change):
        """Return the size of changes in units of `scale`; that of a group stands in the first of its columns."""
        change = np.abs(change)
        size = np.divide(change, self.scale, out=np.where(change > 0, np.inf, 0), where=self.scale > 0)
        for group in self.groups:
            size[:, group[0]], size[:, group[1:]] = size[:, group].max(axis=1), 0
        return size

    def _snap(self, others, low, high):
        others, whole = np.array(others, dtype=np.float64), self.is_integer
        others[:, whole] = np.rint(others[:, whole]).clip(low[:, whole], high[:, whole])
        for group in self.groups:
            chosen = np.arange(len(group)) == others[:, group].argmax(axis=1)[:, np.newaxis]
            is_in_reach = ((chosen >= low[:, group]) & (chosen <= high[:, group])).all(axis=1, keepdims=True)
            others[:, group] = np.where(is_in_reach, chosen, self.rows[:, group])
        return others

    def _shortened(self, change):
        """Return changes within the ball, for norms that are sums."""
        change, left = self._without_dear_flips(change, np.full(len(change), self.radius**self.norm))
        size = self._coordinates(change) ** self.norm
        for features, slack in ((self.is_integer, SLACK), (~self.is_discrete, 0)):
            needed = size[:, features].sum(axis=1)
            is_long = needed > left * (1 + slack)
            factor = np.divide(left, needed, out=np.ones_like(left), where=is_long) ** (1 / self.norm)
            part = change[:, features] * factor[:, np.newaxis]
            if slack:
                part = np.trunc(part * (1 + slack))
            change[:, features] = part
            left = np.maximum(left - (self._coordinates(change)[:, features] ** self.norm).sum(axis=1), 0)
        return change

    def _without_dear_flips(self, change, left):
        """Return changes with as many changes of category as fit, cheapest first, and what is left of the radius."""
        if not self.groups:
            return change, left
        size = self._coordinates(change)[:, [group[0] for group in self.groups]] ** self.norm
        order = size.argsort(axis=1, kind="stable")
        spent = np.take_along_axis(size, order, axis=1).cumsum(axis=1)
        fits = np.empty(size.shape, dtype=bool)
        np.put_along_axis(fits, order, spent <= left[:, np.newaxis] * (1 + SLACK), axis=1)
        for group, fit in zip(self.groups, fits.T, strict=True):
            change[:, group] *= fit[:, np.newaxis]
        return change, np.maximum(left - (size * fits).sum(axis=1), 0)

    def _moved(self, change):
        """Return rows plus a change within the box and the ball, to the last bit."""
        moved = (self.rows + change).astype(self.rows.dtype)
        # Rounding may leave the ball by half a unit in the last place: go one back.
        is_beyond = np.abs(moved - self.rows.astype(np.float64)) > np.abs(change)
        moved = np.where(is_beyond, np.nextafter(moved, self.rows), moved)
        return moved.clip(self.low, self.high).astype(self.rows.dtype, copy=False)


def _members(groups, n_features):
    """Return the features of groups as a mask of shape (n_features,)."""
    is_member = np.zeros(n_features, dtype=bool)
    for group in groups:
        is_member[group] = True
    return is_member


def _whole(is_integer, boolean, groups):
    """Return which features stay whole numbers on their own: those of groups change together."""
    return is_integer | (boolean & ~_members(groups, len(boolean)))


def _is_one_hot(columns):
    return ((columns == 0) | (columns == 1)).all(axis=1) & (columns.sum(axis=1) == 1)


def _radius_and_scale(threat_model, n_features):
    units = np.ones(n_features) if threat_model.units == "raw" else np.array(threat_model.units)
    if threat_model.eps is None:
        return np.inf, units
    if isinstance(threat_model.eps, tuple):
        return 1.0, units * threat_model.eps
    return threat_model.eps, units


def _sides(threat_model, rows, fixed, binary, features):
    """Return the bounds as arrays of shape (1 or n, n_features), in float64; fixed features have none.

    Those of binary features are no wider than 0 and 1.
    """
    is_learned, bounds = bounds_of(threat_model)
    with np.errstate(over="ignore"):
        # Bounds such as 0.7 are read as the rows are: a 0.7 in float32 is within them.
        low, high = (
            np.where(fixed, open_side, np.broadcast_to(side, features.n).astype(rows.dtype).astype(np.float64))
            for open_side, side in zip((-np.inf, np.inf), bounds, strict=True)
        )
    outside = ((rows < low) | (rows > high)).any(axis=0)
    if is_learned and outside.any():
        # Unseen rows may lie beyond the training rows: such a value may stay, or come back, but go no farther.
        low, high = np.minimum(low, rows), np.maximum(high, rows)
        low[:, binary], high[:, binary] = low[:, binary].clip(min=0), high[:, binary].clip(max=1)
        return low, high
    if outside.any():
        first = outside.argmax()
        raise ValueError(
            f"bounds={(float(low[first]), float(high[first]))!r} of the threat model exclude values of X in "
            f"{outside.sum()} features, first in feature {features.label(first)}: widen the bounds, or mend these rows."
        )
    low[binary], high[binary] = low[binary].clip(min=0), high[binary].clip(max=1)
    return low[np.newaxis], high[np.newaxis]


def _ways(direction, features):
    """Return which features may go down and which up."""
    words = np.full(features.n, "both")
    if isinstance(direction, str) or (direction and isinstance(direction[0], str)):
        words[:] = direction
    else:
        for feature, word in direction or ():
            words[features.indices("direction", [feature])] = word
    return np.isin(words, ("down", "both")), np.isin(words, ("up", "both"))


def _held(side, rows, held):
    """Return low or high with features that may not go beyond their original."""
    return np.where(held, rows, side) if held.any() else side


def _check_whole(rows, is_integer, features):
    has_fraction = is_integer & (rows != np.rint(rows)).any(axis=0)
    if has_fraction.any():
        first = has_fraction.argmax()
        value = float(rows[rows[:, first] != np.rint(rows[:, first]), first][0])
        raise ValueError(
            f"integer of the threat model names feature {features.label(first)}, which has the value {value!r} in X: "
            "take it out of integer, or round it."
        )


def _check_one_hot(rows, groups, is_integer, features):
    taken = is_integer.astype(int)
    for group in groups:
        np.add.at(taken, group, 1)
        is_wrong = ~_is_one_hot(rows[:, group])
        if is_wrong.any():
            first = is_wrong.argmax()
            raise ValueError(
                f"one_hot_groups of the threat model hold [{', '.join(map(features.label, group))}], which are "
                f"{rows[first, group].tolist()!r} in row {first} of X: give groups of which one is 1 and the others 0."
            )
    if (taken > 1).any():
        raise ValueError(
            f"feature {features.label(taken.argmax())} is in two of one_hot_groups, or also under integer, once by its "
            "name and once by its index: list it once, in its group."
        )
