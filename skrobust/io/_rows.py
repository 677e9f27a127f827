"""Rows on which an exported model is compared with the estimator."""

import warnings

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skrobust.io._errors import ExportError
from skrobust.torchify import encode_frame

N_ROWS = 64
SCALES = (0.1, 1.0, 10.0)


def rows_at_hand(fitted, X):
    """Return rows that an estimator answers, as it takes them and as a matrix; made up if X is None.

    Raises
    ------
    ExportError
        If X holds text, or the estimator answers none of the rows that were made up.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    """
    check_is_fitted(fitted)
    if X is not None:
        matrix, vocabularies = encode_frame(X)
        if any(vocabulary is not None for vocabulary in vocabularies or ()):
            raise ExportError(
                "X holds text or categories, but an exported model takes numbers alone: encode them before."
            )
        return X, matrix
    made = [rows for rows in _made(fitted) if _is_answered(fitted, rows)]
    if not made:
        raise ExportError(
            f"X=None, but {type(fitted).__name__} answers none of the rows that were made up to check the exported "
            "model: pass some rows as X."
        )
    matrix = np.concatenate(made)
    return _named(fitted, matrix), matrix


def _made(fitted):
    """Yield rows of several scales, and some that resemble the training rows as far as the steps can tell."""
    rng = np.random.default_rng(0)
    shape = (N_ROWS, fitted.n_features_in_)
    yield from (scale * rng.normal(size=shape) for scale in SCALES)
    yield rng.random(shape)
    if hasattr(fitted, "steps"):
        shape = (N_ROWS, getattr(fitted.steps[-1][1], "n_features_in_", 1))
        for rows in (rng.normal(size=shape), rng.random(shape)):
            try:
                yield np.asarray(fitted[:-1].inverse_transform(rows), dtype=np.float64)
            except Exception:  # noqa: S112 - a step that has no inverse, or none here
                continue


def _is_answered(fitted, rows):
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            scores = scores_of(fitted, _named(fitted, rows))
        except Exception:  # of any kind: what an estimator does not take is its own affair
            return False
    return bool(np.isfinite(scores).all())


def _named(fitted, matrix):
    """Return rows under the names that an estimator was fitted with."""
    names = getattr(fitted, "feature_names_in_", None)
    if names is None:
        return matrix
    import pandas

    return pandas.DataFrame(matrix, columns=names)


def scores_of(fitted, X):
    """Return what an estimator answers by its probabilities, or by its decision function if it has none."""
    scores = np.asarray(getattr(fitted, method_of(fitted))(X))
    return scores[:, None] if scores.ndim == 1 else scores


def method_of(fitted):
    """Return the name of the method whose answers are exported.

    Raises
    ------
    ExportError
        If there is none.
    """
    for name in ("predict_proba", "decision_function"):
        if hasattr(fitted, name):
            return name
    raise ExportError(
        f"estimator is of type {type(fitted).__name__}, which has neither predict_proba nor decision_function: export "
        "a classifier, or a Pipeline that ends in one."
    )
