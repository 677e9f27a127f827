"""Means of ratios of rows, some of which have none: what they leave out is always said."""

import warnings

import numpy as np
from sklearn.utils import Bunch


def ratio_of(distance, length):
    """Return distances in units of lengths, of shape (n,): 0 where both are 0, inf where only the length is."""
    return np.divide(distance, length, out=np.where(distance > 0, np.inf, 0.0), where=length > 0)


def averaged(ratio, weight):
    """Return the mean of the finite ratios of rows, and what it leaves out.

    Parameters
    ----------
    ratio : ndarray of shape (n,)
        inf where a row is censored.
    weight : ndarray of shape (n,) or None

    Returns
    -------
    result : Bunch
        score (NaN without a finite ratio), median, censored_share, per_sample.
    """
    weight = np.ones(len(ratio)) if weight is None else weight
    is_found = np.isfinite(ratio)
    counts = weight[is_found].any()
    return Bunch(
        score=float(np.average(ratio[is_found], weights=weight[is_found])) if counts else float("nan"),
        median=float(np.median(ratio)),
        censored_share=float(np.average(~is_found, weights=weight)),
        per_sample=ratio,
    )


def warn_of_censored(name, result):
    """Warn if a mean leaves rows out, as the caller of the score sees it."""
    is_found = np.isfinite(result.per_sample)
    if not is_found.all():
        warnings.warn(
            f"{name} is the mean over {is_found.sum()} of {len(is_found)} rows, as the others have no finite ratio: "
            "with return_details=True it returns their share and the median.",
            UserWarning,
            stacklevel=3,
        )
