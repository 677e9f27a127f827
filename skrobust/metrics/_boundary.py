"""How far the decision boundary lies from rows: in the worst direction, and along rays in others."""

import dataclasses
import functools

import numpy as np
import torch
from sklearn.utils import Bunch, check_random_state

from skrobust.attacks._original import Original
from skrobust.data import Moments
from skrobust.metrics._bisection import bisected
from skrobust.metrics._parameters import check_count, counting
from skrobust.metrics._scores import adversarial_distance
from skrobust.unlabeled import Support, prepared_sampler, resolve_sampler

# The first point of a ray that is looked at, as a share of the last.
NEAREST = 1e-3
# Numbers in the points that are asked about at a time.
CHUNK_NUMBERS = 2**22
# How often a sampler may return the row itself before there is no direction.
N_DRAWS = 10


def boundary_distance(
    estimator,
    X,
    y=None,
    *,
    directions="adversarial",
    n_directions=8,
    norm=2,
    threat_model=None,
    max_distance=None,
    X_reference=None,
    sampler="extrapolation",
    radius=1.0,
    n_grid=32,
    attack="worst_case",
    random_state=0,
):
    """Return how far the answer of a classifier stays the same, in the worst direction or along random rays.

    Robust accuracy at eps is the share of rows whose worst distance is larger, so that the worst distance adds nothing
    to it. Distances along other directions do: they say whether the boundary as a whole moved away from the data.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,), default=None
        True labels; rows that are misclassified have the distance 0. None takes the answers of the estimator.
    directions : {"adversarial", "random", "off_support", "other_class"}, default="adversarial"
        - "adversarial": the worst direction, by :func:`adversarial_distance`;
        - "random": evenly distributed directions;
        - "off_support": directions to the unlabeled points that `sampler` makes around the row;
        - "other_class": directions to random rows of `X_reference` that the estimator answers otherwise. The answer
          changes at the latest when such a row is reached.
    n_directions : int, default=8
        Rays from each row; "adversarial" has one.
    norm : {numpy.inf, 2, 1}, default=2
        Norm of distances, unless there is a threat model.
    threat_model : ThreatModel, default=None
        Units in which distances are counted and directions drawn, and features that stay. The rest of it counts for
        "adversarial" alone: rays are straight, and go beyond bounds.
    max_distance : float, default=None
        How far is looked. None is for rays the root of the mean squared distance of two rows of `X_reference`, and no
        limit for "adversarial".
    X_reference : array-like or DataFrame, default=None
        Rows of the support of the data, such as training rows. None takes X.
    sampler : {"gaussian", "uniform", "extrapolation"}, sampler object or fitted generator, default="extrapolation"
        What makes unlabeled points, see :mod:`skrobust.unlabeled`. Directions to "gaussian" ones are random ones. A
        sampler works in the units of the threat model, a generator in those of X.
    radius : float, default=1.0
        Radius of the sampler.
    n_grid : int, default=32
        Points that are looked at on each ray, from a thousandth of `max_distance` up, each the same factor farther.
        Between the first one with another answer and the one before, the crossing is bisected. Returns of the answer
        between two points are not seen.
    attack : str, ART attack class or callable, default="worst_case"
        For "adversarial", as in :func:`skrobust.attacks.find_adversarial`.
    random_state : int, RandomState instance or None, default=0
        Seed of directions and attacks. Rays do not depend on the estimator, except to "other_class", so that
        estimators can be compared in pairs.

    Returns
    -------
    result : Bunch
        - distance: ndarray of shape (n, n_directions), or (n, 1) for "adversarial"; inf where the answer stays the
          same up to `max_distance`.
        - is_censored: bool ndarray of the same shape; whether it does.
        - max_distance: float; how far was looked.
        - median: float; of all distances, inf if most are censored.
        - censored_share: float.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or there is no such direction.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import boundary_distance
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
    >>> worst = boundary_distance(clf, X, y)
    >>> rays = boundary_distance(clf, X, y, directions="random")
    >>> rays.distance.shape, bool((rays.distance >= 0.99 * worst.distance).all())
    ((150, 8), True)
    """
    _check_ways(directions, n_directions, n_grid, max_distance)
    threat_model = counting(norm, threat_model)
    y = estimator.predict(X) if y is None else y
    if directions == "adversarial":
        distance = adversarial_distance(
            estimator, X, y, threat_model=threat_model, attack=attack, random_state=random_state
        )
        return _summarized(distance[:, np.newaxis], np.inf if max_distance is None else float(max_distance))
    rays = _Rays.of(estimator, X, y, X_reference, threat_model, random_state)
    farthest = rays.scatter() if max_distance is None else float(max_distance)
    if not farthest > 0:
        raise ValueError(
            f"max_distance={max_distance!r} takes the distance of rows of X_reference, which are all alike: set it."
        )
    sampler = rays.prepared(_sampler_of(sampler, radius))
    # From the far end, which is looked at even if it is the only point.
    grid = np.geomspace(farthest, NEAREST * farthest, n_grid)[::-1]
    distances = [rays.crossings(DIRECTIONS[directions](rays, sampler, radius), grid) for _ in range(n_directions)]
    return _summarized(np.stack(distances, axis=1), farthest)


def check_directions(directions):
    """Raise a ValueError if there are no directions of that name."""
    if directions not in ("adversarial", *DIRECTIONS):
        raise ValueError(f"directions={directions!r} is unknown: use one of {['adversarial', *DIRECTIONS]}.")


def _check_ways(directions, n_directions, n_grid, max_distance):
    """Check how many ways there are, of which kind, and how they are looked at."""
    check_directions(directions)
    check_count("n_directions", n_directions)
    check_count("n_grid", n_grid)
    if max_distance is not None and not 0 < max_distance < np.inf:
        raise ValueError(f"max_distance={max_distance!r} must be a positive, finite number, or None.")


def _sampler_of(sampler, radius):
    if sampler is None:
        raise ValueError("sampler=None makes no points to go to: name a sampler, such as 'extrapolation'.")
    if not 0 < radius < np.inf:
        raise ValueError(f"radius={radius!r} must be a positive, finite number.")
    return resolve_sampler(sampler, parameter="sampler")


def _summarized(distance, farthest):
    distance = np.where(distance <= farthest, distance, np.inf)
    is_censored = np.isinf(distance)
    return Bunch(
        distance=distance,
        is_censored=is_censored,
        max_distance=farthest,
        median=float(np.median(distance)),
        censored_share=float(is_censored.mean()),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Rays:
    """Rays from rows, in coordinates that count in the units of the threat model.

    Parameters
    ----------
    original : Original
        The rows where rays begin.
    reference : Original
        Rows of the support of the data.
    scale : ndarray of shape (n_features,)
        Units of the features; 0 for those that stay.
    norm : float
    seed : int
    """

    original: Original
    reference: Original
    scale: np.ndarray
    norm: float
    seed: int

    @functools.cached_property
    def rng(self):
        """The source of all rays."""
        return np.random.default_rng(self.seed)

    @classmethod
    def of(cls, estimator, X, y, X_reference, threat_model, random_state):
        original = reference = Original(estimator, X, y)
        if X_reference is not None:
            reference = Original(estimator, X_reference, estimator.predict(X_reference))
        if reference.rows.shape[1] != original.rows.shape[1]:
            raise ValueError(
                f"X_reference has {reference.rows.shape[1]} features, but X has {original.rows.shape[1]}: give rows of "
                "the same kind."
            )
        budget = original.budget(threat_model)
        # Booleans have no points between their values, so that rays leave them as they are.
        moves = (budget.low < budget.high).any(axis=0) & ~original.is_boolean
        scale = np.where(moves, budget.scale, 0.0)
        if not scale.any():
            raise ValueError(
                f"threat_model={threat_model!r} lets no feature move, so that there are no rays: free one."
            )
        return cls(original, reference, scale, budget.norm, check_random_state(random_state).randint(2**31 - 1))

    def points(self, rows):
        """Return the coordinates of rows in which they can move, of shape (n, n_moving)."""
        moves = self.scale > 0
        return rows[:, moves].astype(np.float64) / self.scale[moves]

    def prepared(self, sampler):
        """Return a sampler of points in these coordinates; what it draws once, it draws as rows."""
        return prepared_sampler(
            sampler, lambda rows: torch.from_numpy(self.points(rows)), len(self.scale), seed=self.seed
        )

    def scatter(self):
        """Return the root of the mean squared distance of two rows of the support."""
        points = self.rng.permutation(self.points(self.reference.rows))
        gaps = np.linalg.norm(points - np.roll(points, 1, axis=0), ord=self.norm, axis=1)
        return float(np.sqrt(np.mean(gaps**2)))

    def crossings(self, ways, grid):
        """Return the distances at which answers change, of shape (n,), inf where they do not.

        Parameters
        ----------
        ways : ndarray of shape (n, n_moving)
            Directions, of any length but 0.
        grid : ndarray of shape (n_grid,)
            Ascending.
        """
        lengths = np.linalg.norm(ways, ord=self.norm, axis=1, keepdims=True)
        if not lengths.all():
            raise ValueError(
                f"sampler returns row {lengths.argmin()} of X itself, {N_DRAWS} times over, so that there is no "
                "direction: give another sampler, or more rows as X_reference."
            )
        is_right = self.original.answers == self.original.y
        return np.where(is_right, self._search(np.flatnonzero(is_right), ways / lengths, grid), 0.0)

    def _search(self, still, ways, grid):
        """Return the distances at which the answers to these rows change; inf for others and where they do not."""
        low, high, before = np.zeros(len(ways)), np.full(len(ways), np.inf), 0.0
        for t in grid:
            has_changed = self._changes(still, ways[still], np.full(len(still), t))
            low[still[has_changed]], high[still[has_changed]] = before, t
            still, before = still[~has_changed], t
        return bisected(low, high, lambda rays, t: self._changes(rays, ways[rays], t))

    def _changes(self, rows, ways, t):
        """Return whether the answers at these distances differ from those to the rows, of shape (n_rays,)."""
        original, moves = self.original, self.scale > 0
        has_changed = np.zeros(len(rows), dtype=bool)
        size = max(1, CHUNK_NUMBERS // len(moves))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            points = original.rows[rows[part]].astype(np.float64)
            points[:, moves] += t[part, np.newaxis] * ways[part] * self.scale[moves]
            answers = original.predict(points.astype(original.rows.dtype))
            has_changed[part] = answers != original.answers[rows[part]]
        return has_changed


def _random(rays, sampler, radius):
    return rays.rng.standard_normal((len(rays.original.rows), np.count_nonzero(rays.scale)))


def _off_support(rays, sampler, radius):
    """Return the ways to unlabeled points; where the sampler returns the row itself, those to others that it makes."""
    points, support_points = rays.points(rays.original.rows), rays.points(rays.reference.rows)
    support = Support.from_moments(
        Moments.of(support_points), noise_units="global", dtype=torch.float64, device=torch.device("cpu")
    )
    # Samplers that pair rows find their partners among all of these.
    batch = torch.from_numpy(np.concatenate([points, support_points]))
    generator = torch.Generator().manual_seed(int(rays.rng.integers(2**31 - 1)))
    ways = np.zeros_like(points)
    for _ in range(N_DRAWS):
        is_none = ~ways.any(axis=1)
        if not is_none.any():
            break
        made = sampler.sample(batch, support, radius, generator)[: len(points)].numpy()
        ways[is_none] = (made - points)[is_none]
    return ways


def _other_class(rays, sampler, radius):
    """Return the ways to random rows of the support that are answered otherwise."""
    points, support_points = rays.points(rays.original.rows), rays.points(rays.reference.rows)
    ways = np.empty_like(points)
    for answer in np.unique(rays.original.answers):
        own, others = rays.original.answers == answer, np.flatnonzero(rays.reference.answers != answer)
        if not len(others):
            raise ValueError(
                f"directions='other_class' needs rows of X_reference that are not answered {answer!r}: add some."
            )
        ways[own] = support_points[rays.rng.choice(others, own.sum())] - points[own]
    return ways


DIRECTIONS = {"random": _random, "off_support": _off_support, "other_class": _other_class}
