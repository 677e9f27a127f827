"""Rows of any kind as a matrix of numbers and back, and points that a sampler makes around them."""

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from skrobust.data import Moments
from skrobust.torchify import decode_frame, encode_frame
from skrobust.unlabeled import Support, resolve_sampler

CPU = torch.device("cpu")
# Numbers in the points that a classifier is asked about at a time.
CHUNK_NUMBERS = 2**22


class Rows:
    """Rows as they were given, and as a matrix of numbers.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, n_features), or images
    name : str, default="X"
        For messages.

    Attributes
    ----------
    matrix : ndarray of shape (n, n_features), float64
        What is no number is a code.
    is_number : ndarray of shape (n_features,), bool
    names : list of str
        Of the features.
    """

    def __init__(self, X, name="X"):
        self.matrix, vocabularies = encode_frame(X)
        self._like = X if hasattr(X, "iloc") else np.asarray(X)
        self.is_number = np.array([vocabulary is None for vocabulary in vocabularies])
        if not len(self.matrix):
            raise ValueError(f"{name} has no rows: give some.")
        if not np.isfinite(self.matrix).all():
            raise ValueError(f"{name} has missing or infinite values: fill them in first, or leave these rows out.")
        self.names = [
            str(column) for column in getattr(X, "columns", map("feature {}".format, range(len(vocabularies))))
        ]
        self._dtype = np.float32 if getattr(self._like, "dtype", None) == np.float32 else np.float64

    def restored(self, matrix):
        """Return a matrix as rows of the kind of X."""
        return decode_frame(matrix.astype(self._dtype), self._like)

    def values(self, i):
        """Return the values of a row as they were given."""
        if hasattr(self._like, "iloc"):
            return [self._like.iloc[i, j] for j in range(self._like.shape[1])]
        return self._like[i].ravel().tolist()

    def asked(self, method, matrix):
        """Return what a method of an estimator says to the rows of a matrix, some at a time."""
        size = max(1, CHUNK_NUMBERS // matrix.shape[1])
        parts = (matrix[start : start + size] for start in range(0, len(matrix), size))
        return np.concatenate([np.asarray(method(self.restored(part))) for part in parts])


def parts_of(estimator):
    """Return the fitted preprocessing before a classifier, and the classifier, also within searches.

    Parameters
    ----------
    estimator : classifier, Pipeline, or search over hyperparameters

    Returns
    -------
    preprocessed : callable
        From rows as the estimator takes them to what the classifier sees.
    classifier : estimator
    """
    fronts = []
    while isinstance(estimator, Pipeline) or hasattr(estimator, "best_estimator_"):
        if not isinstance(estimator, Pipeline):
            estimator = estimator.best_estimator_
            continue
        fronts += [estimator[:-1]] if len(estimator) > 1 else []
        estimator = estimator[-1]

    def preprocessed(X):
        for front in fronts:
            X = front.transform(X)
        return X

    return preprocessed, estimator


def sampled(rows, sampler, radius, noise_units, random_state):
    """Return the point that a sampler makes around each row, as a matrix; what is no number stays.

    Parameters
    ----------
    rows : Rows
    sampler : str or sampler object
    radius : float
    noise_units : {"global", "std"}
    random_state : int, RandomState instance or None
    """
    if noise_units not in ("global", "std"):
        raise ValueError(f"noise_units={noise_units!r} is unknown: use 'global' or 'std'.")
    numbers = torch.from_numpy(rows.matrix[:, rows.is_number])
    moments = Moments.of(numbers.numpy())
    support = Support.from_moments(moments, noise_units=noise_units, dtype=torch.float64, device=CPU)
    generator = torch.Generator().manual_seed(int(check_random_state(random_state).randint(2**31 - 1)))
    matrix = rows.matrix.copy()
    sampler = resolve_sampler(sampler, parameter="unlabeled")
    matrix[:, rows.is_number] = sampler.sample(numbers, support, radius, generator).numpy()
    return matrix
