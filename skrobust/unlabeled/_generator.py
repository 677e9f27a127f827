"""Unlabeled points from a fitted generative model."""

import copy
import inspect

import numpy as np
import torch
from sklearn.base import BaseEstimator

from skrobust._numbers import is_whole
from skrobust.unlabeled._samplers import Pool


class FromGenerator(BaseEstimator):
    """Draw points from a fitted generator, whatever the rows and the radius are.

    At the beginning of each fit one pool of points is drawn, since generators are slow and some, asked again, repeat
    themselves. The fit then draws from this pool.

    Parameters
    ----------
    generator : object with a method ``sample(n)``
        Fitted, such as a GaussianMixture or KernelDensity on other rows of the same features. ``sample`` returns an
        array or tensor of n points, or a tuple that begins with it. It is seeded anew for each fit if it takes
        ``random_state`` or has it as a parameter; otherwise it decides for itself. It stays as it is, and fitted:
        copies of this sampler, as GridSearchCV makes them, share it. Its own parameters are none of this sampler,
        since they would have no effect before another fit.
    pool_size : int, default=10000
        Points to draw for a fit.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.mixture import GaussianMixture
    >>> from skrobust import OffSupportRobustClassifier
    >>> from skrobust.unlabeled import FromGenerator
    >>> X, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    >>> wide = GaussianMixture(random_state=0).fit(3 * X)
    >>> clf = OffSupportRobustClassifier(unlabeled=FromGenerator(wide), max_epochs=2, random_state=0).fit(X, y)
    >>> clf.off_support_fraction_ > 0.1
    True
    """

    def __init__(self, generator, pool_size=10_000):
        self.generator = generator
        self.pool_size = pool_size

    def __sklearn_clone__(self):
        return type(self)(self.generator, self.pool_size)  # a clone of the generator would not be fitted

    def get_params(self, deep=True):
        """Return the parameters, without those of the generator.

        Parameters
        ----------
        deep : bool, default=True
            Has no effect.

        Returns
        -------
        params : dict
        """
        return super().get_params(deep=False)

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params : dict
            `generator` and `pool_size`.

        Returns
        -------
        self : FromGenerator

        Raises
        ------
        ValueError
            If a parameter of the generator is among them.
        """
        own = [name for name in params if name.startswith("generator__")]
        if own:
            raise ValueError(
                f"{own[0]}={params[own[0]]!r} has no effect, since the generator is fitted already: fit another one, "
                "and give it as a whole, as unlabeled=FromGenerator(other)."
            )
        return super().set_params(**params)

    def prepared(self, tensor, n_features, seed):
        """Return a :class:`Pool` of points for one fit.

        Parameters
        ----------
        tensor : callable
            Takes an array and returns it as a tensor on the training device.
        n_features : int
            Features of a row.
        seed : int

        Returns
        -------
        pool : Pool

        Raises
        ------
        ValueError
            If `pool_size` is no positive integer, the generator is not fitted, or its points do not fit.
        """
        if not is_whole(self.pool_size):
            raise ValueError(f"pool_size={self.pool_size!r} of FromGenerator must be a positive integer.")
        return Pool(tensor(self._drawn(int(self.pool_size), n_features, seed)))

    def sample(self, X, support, radius, generator):
        """Return one new point for each row of X; radius has no effect. A fit uses :meth:`prepared` instead."""
        if not len(X):
            return X
        seed = torch.randint(2**31 - 1, (1,), generator=generator, device=X.device).item()
        points = torch.from_numpy(self._drawn(len(X), X.shape[1], seed)).to(device=X.device, dtype=X.dtype)
        # Some generators sort their points, by component for instance.
        return points[torch.randperm(len(X), generator=generator, device=X.device)]

    def _drawn(self, n, n_features, seed):
        """Return n points that have been checked: ndarray of shape (n, n_features)."""
        try:
            points = _first_array(_seeded_sample(self.generator.sample, seed)(n))
        except (AttributeError, TypeError, ValueError) as error:  # scikit-learn's NotFittedError is two of them
            raise ValueError(
                f"generator={self.generator!r} cannot draw points ({str(error).strip().rstrip('.')}): fit it first, "
                "and give it as FromGenerator(generator), which stays fitted where scikit-learn clones estimators; its "
                "sample(n) must return n points."
            ) from error
        if points.dtype.kind not in "biuf" or points.shape[:1] != (n,) or points.size != n * n_features:
            raise ValueError(
                f"generator={self.generator!r} returned {points.dtype} of shape {points.shape} where {n} points of "
                f"{n_features} features, real numbers, were asked for: fit it on rows like those of X."
            )
        if not np.isfinite(points).all():
            raise ValueError(f"generator={self.generator!r} returned points that are not finite: mend it or fit again.")
        return np.ascontiguousarray(points.reshape(n, n_features))


def _first_array(drawn):
    """Return what a generator drew as an array; of a tuple, what it begins with."""
    points = drawn[0] if isinstance(drawn, tuple) and drawn else drawn
    return points.numpy(force=True) if isinstance(points, torch.Tensor) else np.asarray(points)


def _seeded_sample(sample, seed):
    """Return a bound method ``sample`` that draws from a seed, if there is a way to give it one."""
    signature = signature_of(sample)
    if signature is not None and "random_state" in signature.parameters:
        return lambda n: sample(n, random_state=seed)
    owner = getattr(sample, "__self__", None)
    if "random_state" not in getattr(owner, "__dict__", {}):
        return sample
    seeded = copy.copy(owner)  # the user's own keeps its seed
    seeded.random_state = seed
    return seeded.sample


def signature_of(function):
    """Return the signature of a function, or None if it tells none, as some compiled ones do."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None
