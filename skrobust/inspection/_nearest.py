"""The 1-nearest-neighbor rule, whose boundary is halfway between rows, as what others are compared with."""

import math

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.attacks._budget import Budget
from skrobust.inspection._rows import Rows

METRICS = {np.inf: "chebyshev", 2.0: "euclidean", 1.0: "manhattan"}


def flat(X):
    """Return images as rows; a DataFrame as it is."""
    return X if hasattr(X, "iloc") else np.reshape(X, (len(X), math.prod(np.shape(X)[1:])))


def nearest_neighbor(reference, threat_model):
    """Return a fitted 1-nearest-neighbor that counts distances in the norm and units of a threat model.

    Parameters
    ----------
    reference : tuple (X_reference, y_reference)
    threat_model : ThreatModel
    """
    if not isinstance(reference, tuple | list) or len(reference) != 2:
        raise ValueError(f"reference of type {type(reference).__name__} must be a pair (X_reference, y_reference).")
    X, y = flat(reference[0]), np.asarray(reference[1])
    rows = Rows(X, "reference")
    if not rows.is_number.all():
        raise ValueError("reference has columns that hold no numbers, so that it has no distances: leave it out.")
    if len(y) != len(rows.matrix):
        raise ValueError(f"reference has {len(rows.matrix)} rows and {len(y)} labels: give one label for each row.")
    scale = Budget.of(threat_model, rows.matrix, getattr(X, "columns", None)).scale
    scaler = StandardScaler(with_mean=False).fit(X)
    scaler.scale_ = np.where(scale > 0, scale, 1.0)
    return make_pipeline(scaler, KNeighborsClassifier(1, metric=METRICS[threat_model.norm]).fit(scaler.transform(X), y))
