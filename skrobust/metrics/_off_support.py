"""How sure a classifier is where there are no data."""

import numpy as np
import torch
from sklearn.utils import Bunch, check_random_state

from skrobust.attacks._original import Original
from skrobust.data import Moments
from skrobust.metrics._neighbors import Reference, check_alike, numbers_of
from skrobust.metrics._parameters import check_has_proba
from skrobust.unlabeled import Support, prepared_sampler, resolve_sampler

NOISE_UNITS = ("global", "std")


def off_support_confidence(
    estimator,
    X,
    *,
    radii=(0.0, 0.25, 0.5, 1.0, 2.0, 4.0),
    units="data_scale",
    X_reference=None,
    sampler="gaussian",
    noise_units="global",
    random_state=0,
):
    """Return how sure a classifier is on points at growing radius from the data.

    Where there are no data, a classifier has nothing to be sure about.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted, with ``predict_proba``.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows around which points are made, as the estimator takes them. Columns of a frame that hold no numbers stay.
    radii : sequence of float, default=(0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
        Of the sampler. That of "gaussian" is the root of the mean squared distance of points from their rows; 0 leaves
        the rows as they are. The random numbers are the same at every radius.
    units : {"data_scale", "raw"}, default="data_scale"
        Whether radii and distances are in units of the data scale D, the root of the mean squared distance of two
        reference rows, as ``unlabeled_radius`` of the classifier is, or in those of `X`.
    X_reference : array-like or DataFrame of shape (m, n_features), or images, default=None
        Rows of the data, such as training rows. None takes X.
    sampler : {"gaussian", "uniform", "extrapolation"} or sampler object, default="gaussian"
        What makes points, see :mod:`skrobust.unlabeled`. "extrapolation" goes beyond pairs of rows of `X`.
    noise_units : {"global", "std"}, default="global"
        One unit of noise for all features, or each one's own standard deviation. Take "std" where a Pipeline scales
        raw columns.
    random_state : int, RandomState instance or None, default=0
        Seed of the points.

    Returns
    -------
    result : Bunch
        - radii: ndarray of shape (n_radii,).
        - confidence: ndarray of shape (n_radii,); the mean largest probability.
        - per_sample: ndarray of shape (n_radii, n); the largest probability of each point.
        - probability: ndarray of shape (n_radii, n_classes); the mean of each class, in the order of ``classes_``.
        - distance: ndarray of shape (n_radii, n); of each point to the nearest reference row, in `units`, with "std"
          of standardized columns. A small radius may stay inside the support of the data.
        - data_scale: float; D, in the units of `X`.

    Raises
    ------
    TypeError
        If the estimator has no ``predict_proba``.
    ValueError
        If a parameter is out of its range, or the reference rows are all alike.

    See Also
    --------
    foreign_confidence : The same on rows of other data sets.

    Examples
    --------
    A linear classifier gets the surer the farther it is from the data:

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import off_support_confidence
    >>> X, y = load_iris(return_X_y=True)
    >>> result = off_support_confidence(LogisticRegression(max_iter=1000).fit(X, y), X, radii=[0, 1, 10])
    >>> bool(result.confidence[0] < result.confidence[2]), round(result.data_scale, 3)
    (True, 3.014)
    """
    check_has_proba(estimator)
    radii = _checked(radii, units, noise_units)
    original = Original(estimator, X, estimator.predict(X))
    space = _Space.of(original, X, X_reference, noise_units)
    factor = 1.0 if units == "data_scale" else space.support.data_scale
    draw = _draws(space, resolve_sampler(sampler, parameter="sampler"), random_state)
    probability, distance = [], []
    for radius in radii / factor:
        points = draw(radius)
        probability.append(np.asarray(estimator.predict_proba(original.restored(points)), dtype=np.float64))
        distance.append(space.distances(points) * factor)
    per_sample = np.stack([part.max(axis=1) for part in probability])
    return Bunch(
        radii=radii,
        confidence=per_sample.mean(axis=1),
        per_sample=per_sample,
        probability=np.stack([part.mean(axis=0) for part in probability]),
        distance=np.stack(distance),
        data_scale=space.support.data_scale,
    )


def _checked(radii, units, noise_units):
    """Return the radii as an array."""
    radii = np.asarray(radii, dtype=np.float64)
    if radii.ndim != 1 or not len(radii) or not (np.isfinite(radii) & (radii >= 0)).all():
        raise ValueError(f"radii={radii.tolist()!r} must be a list of finite numbers that are not negative.")
    if units not in ("data_scale", "raw"):
        raise ValueError(f"units={units!r} must be 'data_scale' or 'raw'.")
    if noise_units not in NOISE_UNITS or (noise_units == "std" and units == "raw"):
        raise ValueError(
            f"noise_units={noise_units!r} must be one of {list(NOISE_UNITS)}, and 'global' if units='raw', as columns "
            "of several units have no distance in any of them."
        )
    return radii


class _Space:
    """The rows of a classifier, the features of them that hold numbers, and the support of the data there."""

    def __init__(self, original, moves, support, reference):
        self.original, self.moves, self.support, self.reference = original, moves, support, reference

    @classmethod
    def of(cls, original, X, X_reference, noise_units):
        moves = ~(original.is_fixed | original.is_boolean)  # noise would leave booleans between their values
        rows = others = original.rows[:, moves]
        if X_reference is not None:
            is_frame = hasattr(X_reference, "iloc") and not moves.all() and X_reference.shape[1] == len(moves)
            others = numbers_of("X_reference", X_reference.iloc[:, moves] if is_frame else X_reference)
            check_alike(X, rows, X_reference, others)
        moments = Moments.of(others)
        support = Support.from_moments(
            moments, noise_units=noise_units, dtype=torch.float64, device=torch.device("cpu")
        )
        if not support.data_scale > 0:
            raise ValueError("X_reference (or X without one) has rows that are all alike: give rows that differ.")
        # Noise of radius 1 has the length 1 in these units, but for random numbers.
        scale = np.broadcast_to(np.asarray(support.unit) * np.sqrt(len(moments.mean)), moments.mean.shape)
        one_class = np.zeros(len(others), dtype=int)
        return cls(original, moves, support, Reference(others, one_class, one_class[:1], 2, scale))

    def distances(self, points):
        """Return the distances of points to the nearest rows of the data, of shape (n,)."""
        anywhere = np.ones((len(points), 1), dtype=bool)
        return self.reference.nearest(points[:, self.moves], anywhere, 1).distance[:, 0]


def _draws(space, sampler, random_state):
    """Return a function from a radius to points around the rows, whose random numbers are always the same."""
    seed = check_random_state(random_state).randint(2**31 - 1)
    rows = torch.from_numpy(space.original.rows[:, space.moves].astype(np.float64))
    source = prepared_sampler(sampler, torch.from_numpy, rows.shape[1], seed)

    def draw(radius):
        points = space.original.rows.copy()
        generator = torch.Generator().manual_seed(seed)
        points[:, space.moves] = source.sample(rows, space.support, radius, generator).numpy()
        return points

    return draw
