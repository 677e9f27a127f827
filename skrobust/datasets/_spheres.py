"""Two classes whose best boundary is known in any dimension."""

from numbers import Real

import numpy as np
from sklearn.utils import check_random_state

from skrobust._numbers import is_whole


def make_spheres(n_samples=1000, n_features=2, *, factor=1.3, random_state=None):
    """Make two classes on concentric spheres, whose best boundary is known in any dimension.

    Class 0 lies on the unit sphere, class 1 on a sphere of the radius `factor`. The boundary farthest from both is the
    sphere halfway between them, at the distance (factor - 1) / 2 from every row.

    Parameters
    ----------
    n_samples : int, default=1000
        Half of them, rounded down, are in class 1.
    n_features : int, default=2
    factor : float, default=1.3
        Radius of the outer sphere, above 1.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        0 or 1, in random order.

    Raises
    ------
    ValueError
        If `factor` is not above 1, or a count is none.

    References
    ----------
    J. Gilmer, L. Metz, F. Faghri, S. S. Schoenholz, M. Raghu, M. Wattenberg, I. Goodfellow: Adversarial Spheres.
    ICLR 2018 workshop, arXiv:1801.02774.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.datasets import make_spheres
    >>> X, y = make_spheres(6, n_features=500, random_state=0)
    >>> np.linalg.norm(X[y == 1], axis=1).round(3)
    array([1.3, 1.3, 1.3])
    """
    if not isinstance(factor, Real) or not 1 < factor < np.inf:
        raise ValueError(f"factor={factor!r} must be above 1: the inner sphere has the radius 1.")
    for name, count, least in (("n_samples", n_samples, 0), ("n_features", n_features, 1)):
        if not is_whole(count, least):
            raise ValueError(f"{name}={count!r} must be a whole number, {least} or more.")
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % 2)
    direction = rng.normal(size=(n_samples, n_features))
    radius = np.where(y == 1, factor, 1.0)
    return direction * (radius / np.linalg.norm(direction, axis=1))[:, None], y
