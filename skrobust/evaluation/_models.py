"""Fitted models by name and seed, the rows that all of them get right, and work that is done for each."""

import dataclasses
from collections.abc import Mapping
from numbers import Integral

import numpy as np
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_consistent_length
from tqdm import tqdm

ROWS = ("all", "correct")


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A fitted classifier among several.

    Parameters
    ----------
    name : str
    seed : int
        Its place among those of the same name.
    estimator : classifier or Pipeline
    """

    name: str
    seed: int
    estimator: object

    @property
    def key(self):
        """The columns of a table that name it."""
        return {"model": self.name, "seed": self.seed}


def named_models(estimators):
    """Return fitted classifiers as a list of Model.

    Parameters
    ----------
    estimators : dict of str to classifier, or to list of classifiers

    Returns
    -------
    models : list of Model

    Raises
    ------
    TypeError
        If it is no dict.
    ValueError
        If there is none, or none under a name.
    """
    check_is_dict(estimators)
    models = []
    for name, entry in estimators.items():
        fitted = entry if isinstance(entry, list | tuple) else [entry]
        if not fitted:
            raise ValueError(f"estimators has no classifier under {name!r}: give one, or a list of one per seed.")
        models += [Model(str(name), seed, estimator) for seed, estimator in enumerate(fitted)]
    return models


def check_is_dict(estimators):
    """Check that estimators are a dict that is not empty, with names that differ as text."""
    if not isinstance(estimators, Mapping):
        raise TypeError(
            f"estimators of type {type(estimators).__name__} must be a dict from names to classifiers, such as "
            "{'plain': clf}."
        )
    if not estimators:
        raise ValueError("estimators={} is empty: give at least one classifier under its name.")
    if len(set(map(str, estimators))) < len(estimators):
        raise ValueError(f"estimators has names that read alike, {list(estimators)!r}: tell them apart by text.")


def chosen_rows(models, X, y, rows):
    """Return all rows and labels, or those that every model gets right.

    Parameters
    ----------
    models : list of Model
    X, y : array-like
    rows : {"all", "correct"}

    Returns
    -------
    X, y : array-like

    Raises
    ------
    ValueError
        If rows is neither, X and y have different lengths, or no row is right everywhere.
    """
    if rows not in ROWS:
        raise ValueError(f"rows={rows!r} is unknown: use one of {ROWS}.")
    check_consistent_length(X, y)
    if rows == "all":
        return X, y
    labels = np.asarray(y)
    right = np.flatnonzero(np.all([np.asarray(model.estimator.predict(X)) == labels for model in models], axis=0))
    if not len(right):
        raise ValueError(f"rows={rows!r} leaves none, as no row is answered rightly by every model: use rows='all'.")
    return _safe_indexing(X, right), _safe_indexing(y, right)


def shared_seed(random_state):
    """Return a seed that gives the same random numbers to each of several models, whatever was drawn for the others.

    Parameters
    ----------
    random_state : int, RandomState instance or None

    Returns
    -------
    seed : int
        A whole number is returned as it is; from all else one is drawn.
    """
    if isinstance(random_state, Integral):
        return random_state
    return int(check_random_state(random_state).randint(2**31 - 1))


def done_for_each(function, tasks, *, n_jobs, verbose, desc):
    """Return what a function returns for each tuple of arguments, in their order, with a progress bar.

    Parameters
    ----------
    function : callable
    tasks : list of tuple
    n_jobs : int or None
    verbose : int
    desc : str
    """
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # joblib's "multiprocessing" and Ray's backend return all results at the end
        parallel = Parallel(n_jobs=n_jobs)
    results = parallel(delayed(function)(*task) for task in tasks)
    return list(tqdm(results, total=len(tasks), desc=desc, disable=not verbose))
