"""The estimator under attack, asked in the kind of X that its user has."""

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d

FLOATS = (np.float64, np.float32)


class Original:
    """A fitted classifier, and its rows as plain arrays.

    Parameters
    ----------
    estimator : classifier or Pipeline
    X : array-like or DataFrame
        Rows or images.
    y : array-like of shape (n,)

    Attributes
    ----------
    rows : ndarray of shape (n, n_features)
        X as float32 or float64.
    y : ndarray of shape (n,)

    Raises
    ------
    TypeError
        If the estimator is no classifier.
    ValueError
        If X is not numeric, finite and dense, or y does not fit.
    """

    def __init__(self, estimator, X, y):
        _check_classifier(estimator)
        array = _check_numeric(X)
        self.estimator = estimator
        self.y = column_or_1d(y)
        check_consistent_length(array, self.y)
        self.rows = array.reshape(len(array), -1)
        self._shape = array.shape[1:]
        self._frame = X if hasattr(X, "iloc") else None

    @property
    def classes(self):
        """Class labels in the order of the estimator's outputs."""
        return self.estimator.classes_

    def predict(self, rows):
        """Return the answers of the estimator itself."""
        return np.asarray(self.estimator.predict(self.restored(rows)))

    def codes(self, answers):
        """Return answers as indices into the classes."""
        return (self.classes == answers[:, np.newaxis]).argmax(axis=1)

    def restored(self, rows):
        """Return all rows as what X was: a DataFrame with its names, or images in their shape."""
        if self._frame is None:
            return rows.reshape(-1, *self._shape)
        return type(self._frame)(rows, columns=self._frame.columns, index=self._frame.index)


def _check_classifier(estimator):
    check_is_fitted(estimator)
    if not hasattr(estimator, "classes_") or not hasattr(estimator, "predict"):
        raise TypeError(
            f"estimator of type {type(estimator).__name__} is no classifier (it lacks classes_ or predict): pass a "
            "fitted classifier, or a Pipeline that ends in one."
        )


def _check_numeric(X):
    try:
        return check_array(X, dtype=FLOATS, allow_nd=True, input_name="X")
    except (TypeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise type(error)(f"X cannot be attacked, which needs dense, finite numbers: {reason}") from error
