"""Checks of the parameters of adversaries: each raises a ValueError that names the remedy."""

import math
from numbers import Real

import numpy as np

from skrobust._numbers import is_whole


def check_lengths(name, value, n_features):
    """Check a number, or one for each feature, that is nonnegative and somewhere positive."""
    lengths = _numbers(value)
    if lengths is None or not np.isfinite(lengths).all() or (lengths < 0).any() or not lengths.any():
        raise ValueError(
            f"{name}={value!r} is no length: use a positive number, or one nonnegative number for each feature."
        )
    if np.ndim(value) and lengths.size != n_features:
        raise ValueError(
            f"{name}={value!r} has {lengths.size} values for {n_features} features: use one for each, or a number."
        )


def check_bounds(clip_values, n_features):
    """Check a pair of bounds, each a number or one for each feature; None is no bounds."""
    if clip_values is None:
        return
    bounds = [_numbers(value) for value in clip_values] if isinstance(clip_values, (tuple, list)) else []
    if len(bounds) != 2 or not all(bound is not None and bound.size in (1, n_features) for bound in bounds):
        raise ValueError(
            f"clip_values={clip_values!r} are no bounds: use (smallest, largest), each a number or one for each of the "
            f"{n_features} features."
        )
    if not (bounds[0] <= bounds[1]).all():
        raise ValueError(f"clip_values={clip_values!r} has a smallest value that is not below the largest: swap them.")


def _numbers(value):
    """Return values as a flat array of floats; None if they are no numbers."""
    try:
        values = np.asarray(value)
    except ValueError:
        return None
    # numpy would convert texts and truth values too.
    return np.ravel(values).astype(np.float64) if values.dtype.kind in "iuf" else None


def check_number(name, value, *, largest=math.inf):
    """Check a finite number from 0 to a largest one."""
    if not (isinstance(value, Real) and 0 <= value <= largest and math.isfinite(value)):
        remedy = "that is not negative" if largest == math.inf else f"from 0 to {largest}"
        raise ValueError(f"{name}={value!r} is out of range: use a number {remedy}.")


def check_count(name, value):
    """Check a positive integer."""
    if not is_whole(value):
        raise ValueError(f"{name}={value!r} is no number of steps: use a positive integer.")
