"""Attacks that only ask: noise, and a random search in the spirit of Square Attack for images and vectors alike."""

import dataclasses
import functools

import numpy as np

from skrobust.attacks._budget import SLACK
from skrobust.attacks._threat_model import TOLERANCE
from skrobust.attacks._walk import walk

# Numbers in the rows that are searched at a time: memory stays flat in the number of rows.
CHUNK_NUMBERS = 2**20
# Few rows get several proposals each at a time, up to this many, so that the estimator is asked about so many rows.
MOST_PROPOSALS = 8
ROWS_AT_ONCE = 256
# Share of the features that a proposal moves, and after which shares of the queries it is halved, as in Square Attack
# (Andriushchenko et al., 2020, section 5).
FIRST_SHARE = 0.8
HALVED_AFTER = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
# With so few features that move, draws from all over the ball find islands that corners and ways along scores miss:
# half of the proposals are such.
FEW_FEATURES = 8
SHARE_ANEW = 0.5
# Length of a step under the norms that are sums, where it moves all features, as a share of the radius.
STEP = {1: 2.0, 2: 1.0}
# Without a radius: rows are searched at this share of the distance at which they were last fooled, so many times; where
# that was too near, at its root.
NEARER = 0.6
N_ROUNDS = 8


def noise(pursuit, index, radius, rng, *, n_draws=20):
    """Random rows of the ball, half of them on its corners or its surface: what every attack must beat.

    Without a radius, noise goes as far as a row was fooled already.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of int
    radius : float
    rng : numpy.random.Generator
    n_draws : int, default=20
        Rows drawn for each row.
    """
    for part in chunks(index, pursuit.original.rows.shape[1]):
        for draw in range(n_draws):
            part, space = space_around(pursuit, part, radius)
            space = space.take(np.isfinite(space.goal))
            pursuit.offer(space.index, space.rows(space.random(rng, is_outmost=draw % 2 == 0)))


def square(pursuit, index, radius, rng, *, max_queries=1000):
    """Random search by patches of images or groups of features that shrink as it goes on.

    Where few features move, half of the questions are about rows from all over the ball. Without a radius, it looks
    ever nearer to the row than the last adversarial row. An estimator without scores is asked along its boundary.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of int
    radius : float
    rng : numpy.random.Generator
    max_queries : int, default=1000
        Questions asked about each row, at most.
    """
    if pursuit.surface is None and not pursuit.original.has_scores:
        noise(pursuit, index, radius, rng, n_draws=max(1, max_queries // 10))
        if np.isfinite(radius):
            _, space = space_around(pursuit, index, radius)
            _search(pursuit, space.index[space.is_small], radius, rng, max_queries // 2)
        walk(pursuit, index, radius, rng, max_queries=max_queries)
        return
    before = pursuit.distance.copy()
    for part in chunks(index, pursuit.original.rows.shape[1]):
        if np.isfinite(radius):
            _search(pursuit, part, radius, rng, max_queries)
        else:
            for nearer in approaches(pursuit, part, N_ROUNDS):
                _search(pursuit, part, radius, rng, max(1, max_queries // N_ROUNDS), nearer)
    pursuit.shrink(index[pursuit.distance[index] < before[index]])


def chunks(index, n_features, n_numbers=CHUNK_NUMBERS):
    """Return parts of an index such that rows of so many features hold so many numbers at most."""
    size = max(1, n_numbers // max(1, n_features))
    return [index[start : start + size] for start in range(0, len(index), size)]


def approaches(pursuit, index, n_rounds):
    """Yield shares of the distance at which each row is to be looked for, in rounds; near ones first."""
    nearer = np.full(len(index), NEARER)
    for _ in range(n_rounds):
        before = pursuit.distance[index]
        yield nearer
        nearer = np.where(pursuit.distance[index] < before, nearer, np.sqrt(nearer))


def space_around(pursuit, index, radius, nearer=NEARER):
    """Return the rows that stand and have somewhere to go, and the space around them.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of shape (n,), int
    radius : float
        Where it is infinite, adversarial rows are worth finding that are nearer than the nearest that is known.
    nearer : float or ndarray of shape (n,), default=0.6
        How much nearer, as a share of its distance.

    Returns
    -------
    index : ndarray of shape (m,), int
    space : Space
    """
    distance = pursuit.distance[index]
    goal = np.full(len(index), float(radius)) if np.isfinite(radius) else nearer * distance
    stands = (goal > 0) & ((distance > goal * (1 + TOLERANCE)) | np.isinf(goal))
    space = Space.around(pursuit, index[stands], goal[stands])
    can_move = space.budget.can_move
    return space.index[can_move], space.take(can_move)


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """What may be reached from some rows, each with a radius of its own.

    Parameters
    ----------
    index : ndarray of shape (m,), int
    budget : Budget
        Of unlimited radius, and bounds that are the box of each row.
    goal : ndarray of shape (m,)
        Radii.
    shape : tuple of (int, int, int) or None
        Channels, height and width of images.
    """

    index: np.ndarray
    budget: object
    goal: np.ndarray
    shape: tuple | None = None

    @classmethod
    def around(cls, pursuit, index, goal):
        """Return the space around rows of a pursuit."""
        budget = pursuit.budget.take(index).at(np.inf)
        moves = budget.scale > 0
        reach = np.zeros((len(index), len(moves)))
        reach[:, moves] = budget.scale[moves] * goal[:, np.newaxis]
        reach = np.where(budget.is_discrete, np.floor(reach + SLACK), reach)
        low, high = np.maximum(budget.low, budget.rows - reach), np.minimum(budget.high, budget.rows + reach)
        budget = dataclasses.replace(budget, low=low, high=high)
        return cls(index, budget, goal, _image_shape(pursuit.original))

    def take(self, keep):
        """Return the space around some of the rows; an index may name a row several times."""
        return Space(self.index[keep], self.budget.take(keep), self.goal[keep], self.shape)

    @functools.cached_property
    def units(self):
        """Units of the features, of shape (n_features,); features that stay have unit 1."""
        return np.where(self.budget.scale > 0, self.budget.scale, 1.0)

    @functools.cached_property
    def is_small(self):
        """Rows of which so few features move that random draws look through the whole ball; of shape (m,), bool."""
        return (self.budget.low < self.budget.high).sum(axis=1) <= FEW_FEATURES

    @functools.cached_property
    def _ends(self):
        return (self.budget.low - self.budget.rows) / self.units, (self.budget.high - self.budget.rows) / self.units

    def ends(self):
        """Return the ends of changes in units of the threat model, each of shape (m, n_features)."""
        return self._ends

    def rows(self, Z):
        """Return the rows at changes Z, which the threat model allows."""
        return self.budget.project(self.budget.rows + self.shortened(Z) * self.units)

    def rows_to_try(self, Z):
        """Return the rows at changes that were shortened, up to rounding: good enough to ask about, not to offer."""
        if self.budget.is_discrete.any():
            return self.rows(Z)
        return (self.budget.rows + Z * self.units).astype(self.budget.rows.dtype, copy=False)

    def shortened(self, Z):
        """Return changes brought between the ends and into the ball."""
        low, high = self.ends()
        Z = Z.clip(low, high)
        if self.budget.norm == np.inf:
            return Z
        length = np.linalg.norm(Z, ord=self.budget.norm, axis=1)
        factor = np.divide(self.goal, length, out=np.ones_like(length), where=length > self.goal)
        return Z * factor[:, np.newaxis]

    def random(self, rng, *, is_outmost):
        """Return random changes, at the corners of the box or on the surface of the ball if outmost."""
        low, high = self.ends()
        if self.budget.norm == np.inf:
            share = rng.integers(2, size=low.shape) if is_outmost else rng.random(low.shape)
            return low + share * (high - low)
        Z = rng.standard_normal(low.shape)
        # Noise beyond an end is wasted: it goes the other way where there is room.
        Z = np.where((Z > 0) & (high <= 0) | (Z < 0) & (low >= 0), -Z, Z)
        if self.budget.norm == 1:
            Z *= rng.random(Z.shape) < rng.random((len(Z), 1))
        length = np.linalg.norm(Z.clip(low, high) if self.budget.norm == 1 else Z, ord=self.budget.norm, axis=1)
        share = 1.0 if is_outmost else rng.random(len(Z))
        return Z * (share * self.goal / np.maximum(length, 1e-300))[:, np.newaxis]


def _image_shape(original):
    """Return the channels, height and width of images, or None for vectors."""
    shape = original._shape
    if len(shape) == 2:
        return (1, *shape)
    return shape if len(shape) == 3 else None


def _search(pursuit, index, radius, rng, max_queries, nearer=NEARER):
    """Search for rows beyond the boundary within the space; rows that are fooled are left in peace."""
    index, space = space_around(pursuit, index, radius, nearer)
    bounded = np.isfinite(space.goal)
    index, space = index[bounded], space.take(bounded)
    if not len(index):
        return
    Z, lead = _first(pursuit, space, rng)
    n_asked = 1
    while True:
        keep = ~_fooled(pursuit, index, space, Z, lead)
        if not keep.all():
            index, space, Z, lead = index[keep], space.take(keep), Z[keep], lead[keep]
        if not len(index) or n_asked >= max_queries:
            return
        n_each = int(np.clip(ROWS_AT_ONCE // len(index), 1, MOST_PROPOSALS))
        proposed, leads = _best_proposals(pursuit, index, space, Z, n_each, share_at(n_asked / max_queries), rng)
        # Where scores are flat, wandering finds what standing still does not.
        rises = leads >= lead
        Z[rises], lead[rises] = proposed[rises], leads[rises]
        n_asked += n_each


def _best_proposals(pursuit, index, space, Z, n_each, share, rng):
    """Return for each row the change that leads farthest of those proposed, and how far it leads."""
    each = np.repeat(np.arange(len(index)), n_each)
    # With one proposal each the space stays itself, with what it has computed.
    wide = space if n_each == 1 else space.take(each)
    propose = _corner_proposals if space.budget.norm == np.inf else _ball_proposals
    proposed = wide.shortened(_some_anew(wide, propose(wide, Z[each], share, rng), rng))
    leads = pursuit.margins(index[each], wide.rows_to_try(proposed)).reshape(-1, n_each)
    rows, best = np.arange(len(index)), leads.argmax(axis=1)
    return proposed[rows * n_each + best], leads[rows, best]


def _some_anew(space, Z, rng):
    """Return changes, some of which are drawn from all over the ball where that is small."""
    if not space.is_small.any():
        return Z
    is_anew = space.is_small & (rng.random(len(Z)) < SHARE_ANEW)
    return np.where(is_anew[:, np.newaxis], space.random(rng, is_outmost=False), Z)


def _fooled(pursuit, index, space, Z, lead):
    """Offer rows beyond the boundary, and return which are adversarial."""
    fooled = lead > 0
    if fooled.any():
        fooled[fooled] = pursuit.offer(index[fooled], space.take(fooled).rows(Z[fooled]))
    return fooled


def share_at(progress):
    """Return the share of features that a proposal moves after a share of the queries."""
    return FIRST_SHARE / 2 ** sum(progress > end for end in HALVED_AFTER)


def _first(pursuit, space, rng):
    """Return the first changes and how far they lead: random ones, or the way to the nearest adversarial row known."""
    Z = space.shortened(_random_start(space, rng))
    lead = pursuit.margins(space.index, space.rows(Z))
    known = np.isfinite(pursuit.distance[space.index])
    if not known.any():
        return Z, lead
    part = space.take(known)
    way = part.shortened((pursuit.nearest[part.index] - part.budget.rows) / part.units)
    leads = pursuit.margins(part.index, part.rows(way))
    Z[known] = np.where((leads > lead[known])[:, np.newaxis], way, Z[known])
    lead[known] = np.maximum(leads, lead[known])
    return Z, lead


def _random_start(space, rng):
    """Return stripes on images, else random corners or changes on the surface of the ball."""
    if space.shape is None or space.budget.norm != np.inf:
        return space.random(rng, is_outmost=True)
    low, high = space.ends()
    channels, height, width = space.shape
    stripes = rng.integers(2, size=(len(low), channels, 1, width)).repeat(height, axis=2).reshape(low.shape)
    return np.where(stripes, high, low)


def _corner_proposals(space, Z, share, rng):
    """Return changes with some features moved to an end: patches all one way, single features to the other end."""
    low, high = space.ends()
    mask, sign = _moved(space, share, rng)
    if sign is None:
        is_up = np.where(Z == high, False, np.where(Z == low, True, rng.integers(2, size=Z.shape).astype(bool)))
    else:
        is_up = sign
    moved = np.where(mask, np.where(is_up, high, low), Z)
    grouped = space.budget.is_grouped
    if grouped.any():
        # Of the categories that are touched one is taken, by lot.
        moved[:, grouped] = np.where(mask, rng.random(Z.shape) * high, Z)[:, grouped]
    return moved


def _ball_proposals(space, Z, share, rng):
    """Return changes to some of which noise is added, brought back onto the surface of the ball."""
    norm = space.budget.norm
    mask, _ = _moved(space, share, rng)
    noise = np.where(mask, rng.standard_normal(Z.shape), 0.0)
    length = STEP[norm] * np.sqrt(share) * space.goal
    moved = Z + _of_length(noise, length, norm)
    return _of_length(moved, space.goal, norm)


def _of_length(Z, length, norm):
    return Z * (length / np.maximum(np.linalg.norm(Z, ord=norm, axis=1), 1e-300))[:, np.newaxis]


def _moved(space, share, rng):
    """Return which features proposals move, and for images which way; each of shape (m, n_features)."""
    if space.shape is not None:
        return _patches(space, share, rng)
    m, d = space.budget.rows.shape
    can_move = np.broadcast_to(space.budget.low < space.budget.high, (m, d))
    n_movable = can_move.sum(axis=1)
    # Features that can move, row after row; drawn with replacement.
    features = np.nonzero(can_move)[1]
    first = n_movable.cumsum() - n_movable
    n_moved = max(1, round(share * n_movable.mean()))
    drawn = first[:, np.newaxis] + (rng.random((m, n_moved)) * n_movable[:, np.newaxis]).astype(np.intp)
    mask = np.zeros((m, d), dtype=bool)
    mask[np.arange(m)[:, np.newaxis], features[drawn]] = True
    return mask, None


def _patches(space, share, rng):
    """Return masks of random squares, and for each channel one way."""
    m = len(space.index)
    channels, height, width = space.shape
    side = int(np.clip(round((share * height * width) ** 0.5), 1, max(1, min(height, width) - 1)))
    top = rng.integers(height - side + 1, size=(m, 1))
    left = rng.integers(width - side + 1, size=(m, 1))
    down, across = np.arange(height) - top, np.arange(width) - left
    patch = ((down >= 0) & (down < side))[:, :, np.newaxis] & ((across >= 0) & (across < side))[:, np.newaxis, :]
    shape = (m, channels, height, width)
    sign = rng.integers(2, size=(m, channels, 1, 1)).astype(bool)
    return (np.broadcast_to(part, shape).reshape(m, -1) for part in (patch[:, np.newaxis], sign))
