"""What an attacker may change."""

import dataclasses
import math
from numbers import Real

import numpy as np

NORMS = (math.inf, 2.0, 1.0)
# Relative excess of a distance over eps that is put down to rounding.
TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True, repr=False)
class ThreatModel:
    """What an attacker may change in a row of X, in the raw units of X.

    Parameters
    ----------
    eps : float
        Largest distance of an adversarial row from its original. 0 allows no change.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of the distance: the largest change of a feature, the Euclidean length, or the sum of absolute changes.
    bounds : tuple (low, high), default=None
        Smallest and largest value that a feature may take, such as (0, 255) for pixels: two numbers, or two sequences
        with one number per feature. An infinite number leaves that side open, None both.

    Raises
    ------
    ValueError
        If a value is out of its range.
    TypeError
        If a value is not a number.

    Examples
    --------
    >>> from skrobust import ThreatModel
    >>> ThreatModel(0.1)
    ThreatModel(eps=0.1, norm=numpy.inf)
    >>> ThreatModel(2, norm=2, bounds=(0, 255)) == ThreatModel(2.0, norm=2.0, bounds=[0, 255])
    True
    """

    eps: float
    norm: float = math.inf
    _: dataclasses.KW_ONLY
    bounds: tuple | None = None

    def __post_init__(self):
        # object.__setattr__ is how a frozen dataclass sets its own fields; plain floats and tuples make equal values
        # equal, hashable and short to print.
        object.__setattr__(self, "eps", _check_eps(self.eps))
        object.__setattr__(self, "norm", _check_norm(self.norm))
        object.__setattr__(self, "bounds", _check_bounds(self.bounds))

    def __repr__(self):
        norm = "numpy.inf" if self.norm == math.inf else f"{self.norm:g}"
        bounds = "" if self.bounds is None else f", bounds={self.bounds!r}".replace("inf", "numpy.inf")
        return f"ThreatModel(eps={self.eps!r}, norm={norm}{bounds})"


def distance(threat_model, rows, others):
    """Return the distances between rows and their counterparts, in the norm of the threat model.

    Parameters
    ----------
    threat_model : ThreatModel
    rows, others : ndarray of shape (n, n_features)

    Returns
    -------
    distance : ndarray of shape (n,)
    """
    change = others.astype(np.float64) - rows.astype(np.float64)
    return np.linalg.norm(change, ord=threat_model.norm, axis=1)


def move(threat_model, rows, change):
    """Return rows moved by as much of a change as the threat model allows, to the last bit.

    Parameters
    ----------
    threat_model : ThreatModel
    rows : ndarray of shape (n, n_features), float32 or float64
    change : ndarray of shape (n, n_features), float64

    Returns
    -------
    moved : ndarray of shape (n, n_features)
        Of the type of `rows`.
    """
    eps = threat_model.eps
    if threat_model.norm == math.inf:
        change = change.clip(-eps, eps)
    else:
        length = np.linalg.norm(change, ord=threat_model.norm, axis=1, keepdims=True)
        change = change * np.divide(eps, length, out=np.ones_like(length), where=length > eps)
    moved = rows + change
    if threat_model.bounds is not None:
        moved = moved.clip(*threat_model.bounds)
    # Rounding to the type of the rows may leave the ball by half a unit in the last place: go one back.
    return np.nextafter(moved.astype(rows.dtype), rows)


def allows(threat_model, rows, others):
    """Return which rows are counterparts that the threat model allows.

    Parameters
    ----------
    threat_model : ThreatModel
    rows, others : ndarray of shape (n, n_features)

    Returns
    -------
    is_allowed : ndarray of shape (n,), bool
    """
    low, high = (-math.inf, math.inf) if threat_model.bounds is None else threat_model.bounds
    is_inside = (np.isfinite(others) & (others >= low) & (others <= high)).all(axis=1)
    return is_inside & (distance(threat_model, rows, others) <= threat_model.eps * (1 + TOLERANCE))


def check_rows(threat_model, rows):
    """Check that rows may be attacked under a threat model.

    Parameters
    ----------
    threat_model : ThreatModel
    rows : ndarray of shape (n, n_features)

    Raises
    ------
    TypeError
        If the threat model is something else.
    ValueError
        If the bounds are for another number of features, or exclude a row.
    """
    if not isinstance(threat_model, ThreatModel):
        raise TypeError(f"threat_model={threat_model!r} must be a ThreatModel: use ThreatModel(eps=...).")
    if threat_model.bounds is None:
        return
    n_entries = max(np.size(side) for side in threat_model.bounds)
    if n_entries not in (1, rows.shape[1]):
        raise ValueError(
            f"bounds of the threat model have {n_entries} entries, but X has {rows.shape[1]} features: give a number "
            "or one entry per feature."
        )
    low, high = threat_model.bounds
    outside = ((rows < low) | (rows > high)).any(axis=0)
    if outside.any():
        raise ValueError(
            f"bounds={threat_model.bounds!r} of the threat model exclude values of X in {outside.sum()} features, "
            f"first in feature {outside.argmax()}: widen the bounds, or mend these rows."
        )


def _check_eps(eps):
    if isinstance(eps, bool) or not isinstance(eps, Real):
        raise TypeError(f"eps={eps!r} must be a number, in the units of X.")
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps={eps!r} must be a finite number that is not negative, in the units of X.")
    return float(eps)


def _check_norm(norm):
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r} is not supported: use numpy.inf, 2 or 1.")
    return float(norm)


def _check_bounds(bounds):
    if bounds is None:
        return None
    sides = _read_sides(bounds)
    if sides is None:
        raise ValueError(
            f"bounds={bounds!r} must be a pair (low, high), each a number or a sequence of one per feature."
        )
    low, high = sides
    if not (low <= high).all():
        raise ValueError(f"bounds={bounds!r} must have low <= high and no NaN: swap the two, or mend the entry.")
    return _plain(low), _plain(high)


def _read_sides(bounds):
    """Return low and high as arrays, or None if that is not what these bounds are."""
    try:
        low, high = (np.asarray(side, dtype=np.float64) for side in bounds)
        fits_rows = len(np.broadcast_shapes(low.shape, high.shape)) <= 1
    except (TypeError, ValueError):
        return None
    return (low, high) if fits_rows else None


def _plain(side):
    """Return a number or a sequence of numbers as floats of Python."""
    return float(side) if side.ndim == 0 else tuple(side.tolist())
