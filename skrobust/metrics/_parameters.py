"""What scores, scorers and reports check of their parameters, and how they average rows."""

import numpy as np

from skrobust._numbers import is_whole
from skrobust.attacks import ThreatModel


def threat_model_of(eps, norm, threat_model):
    """Return the threat model that three parameters mean together.

    Parameters
    ----------
    eps : float or None
    norm : {numpy.inf, 2, 1}
    threat_model : ThreatModel or None

    Returns
    -------
    threat_model : ThreatModel
        Its eps is None if none was given.

    Raises
    ------
    ValueError
        If they contradict each other, or the units or bounds are yet to be learned.
    TypeError
        If the threat model is none.
    """
    if threat_model is None:
        return ThreatModel(eps, norm)
    check_threat_model(threat_model)
    if norm != np.inf:  # which is the default
        check_norm(norm, threat_model)
    return threat_model.with_eps(eps)


def counting(norm, threat_model):
    """Return the threat model that says how distances are counted: the given one, or without one that of a norm."""
    return ThreatModel(None, norm) if threat_model is None else threat_model_of(None, np.inf, threat_model)


def check_norm(norm, threat_model):
    """Check that a norm that was given is that of the threat model."""
    check_threat_model(threat_model)
    if norm != threat_model.norm:
        raise ValueError(
            f"norm={norm!r} and the norm={threat_model.norm!r} of the threat model contradict each other: give one of "
            "them."
        )


def check_threat_model(threat_model):
    """Check that this is a threat model whose units and bounds are numbers."""
    if not isinstance(threat_model, ThreatModel):
        raise TypeError(f"threat_model={threat_model!r} must be a ThreatModel: use ThreatModel(eps=...).")
    for name, is_open in {
        "units": isinstance(threat_model.units, str) and threat_model.units != "raw",
        "bounds": isinstance(threat_model.bounds, str),
    }.items():
        if is_open:
            raise ValueError(
                f"{name}={getattr(threat_model, name)!r} of the threat model must be learned from training rows, which "
                "a score does not see: pass threat_model.resolve(X_train)."
            )


def check_has_proba(estimator):
    """Check that an estimator tells probabilities."""
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"estimator of type {type(estimator).__name__} has no predict_proba, from which confidence is read: give "
            "one that has, or wrap it in CalibratedClassifierCV."
        )


def check_has_eps(threat_model):
    """Check that a threat model says how far an attack may go."""
    if threat_model.eps is None:
        raise ValueError("eps=None leaves open how far the attack may go: give eps, or a threat model that has one.")


def radius_of(threat_model):
    """Return eps as a number: with one eps per feature distances are counted in them, so that it is 1."""
    return threat_model.eps if isinstance(threat_model.eps, float) else 1.0


def check_weight(sample_weight, n_rows):
    """Return the weights of rows as an array, or None.

    Parameters
    ----------
    sample_weight : array-like of shape (n,) or None
    n_rows : int

    Returns
    -------
    weight : ndarray of shape (n,) or None

    Raises
    ------
    ValueError
        If they are not one finite number per row, none negative and not all 0.
    """
    if sample_weight is None:
        return None
    weight = _as_numbers(sample_weight)
    if weight.shape != (n_rows,):
        raise ValueError(f"sample_weight has the shape {weight.shape}, but X has {n_rows} rows: give one per row.")
    if not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
        raise ValueError(
            f"sample_weight has the sum {weight.sum()} and the minimum {weight.min()}: give finite weights that are "
            "not negative, and not all 0."
        )
    return weight


def _as_numbers(sample_weight):
    try:
        return np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weight does not hold numbers ({error}): give one number per row.") from error


def check_count(name, value):
    """Check that a parameter is a positive whole number."""
    if not is_whole(value):
        raise ValueError(f"{name}={value!r} must be a positive whole number.")
