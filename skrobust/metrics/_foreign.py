"""What a classifier says to rows that belong to none of its classes."""

from collections.abc import Mapping

import numpy as np

from skrobust.metrics._pandas import import_pandas
from skrobust.metrics._parameters import check_has_proba


def foreign_confidence(estimator, foreign, *, X_reference=None):
    """Return how sure a classifier is on rows of other data sets, where it should not be [1]_.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted, with ``predict_proba``.
    foreign : dict of str to array-like, or array-like of shape (n, n_features), or images
        Rows of other data sets, in the shape and the units in which the estimator takes its own: images are to be
        resized, and their colors converted, beforehand.
    X_reference : array-like, default=None
        Rows of the estimator's own data, unseen in training, to compare with: the data set "reference".

    Returns
    -------
    table : DataFrame
        For each data set one row per class and one for the largest probability:

        - data: name of the data set; "foreign" if there was no dict.
        - quantity: "probability" of a class, or "top", the largest probability of a row.
        - label: the class, None for "top".
        - mean, std: over the rows.
        - answered: share of rows for which ``predict`` returns this label, 1 for "top".
        - n_rows: number of rows.

    Raises
    ------
    TypeError
        If the estimator has no ``predict_proba``.
    ValueError
        If there is no data set, one of them is named "reference" beside `X_reference`, or has no rows.
    ImportError
        If pandas is not installed.

    References
    ----------
    .. [1] M. Paknezhad, C. P. Ngo, A. A. Winarto, A. Cheong, C. Y. Beh, J. Wu, H. K. Lee: Explaining adversarial
       vulnerability with a data sparsity hypothesis. Neurocomputing, 2022, arXiv:2103.00778.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import foreign_confidence
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
    >>> table = foreign_confidence(clf, {"far away": 10 + X}, X_reference=X)
    >>> table.query("quantity == 'top'")[["data", "mean"]].round(1)
            data  mean
    3  reference   0.9
    7   far away   1.0
    """
    pandas = import_pandas("foreign_confidence")
    check_has_proba(estimator)
    sets = dict(foreign) if isinstance(foreign, Mapping) else {"foreign": foreign}
    if not sets or (X_reference is not None and "reference" in sets):
        raise ValueError(
            f"foreign has the data sets {list(sets)}: give at least one, and none by the name 'reference' beside "
            "X_reference."
        )
    own = {} if X_reference is None else {"reference": X_reference}
    table = pandas.DataFrame([row for name, X in {**own, **sets}.items() for row in _rows(estimator, name, X)])
    # Labels of numbers beside None would become floats.
    labels = [*estimator.classes_.tolist(), None] * (len(own) + len(sets))
    table.insert(2, "label", pandas.Series(labels, dtype=object))
    return table


def _rows(estimator, name, X):
    """Return the rows of the table of one data set."""
    if not len(X):
        raise ValueError(f"foreign has no rows in the data set {name!r}: give some, or leave it out.")
    proba = np.asarray(estimator.predict_proba(X), dtype=np.float64)
    # Not the largest probability, which a classifier with a threshold of its own may not go by.
    labels = np.asarray(estimator.predict(X))
    answered = [np.mean(labels == label) for label in estimator.classes_]
    columns = zip(["probability"] * proba.shape[1], proba.T, answered, strict=True)
    return [
        {
            "data": name,
            "quantity": quantity,
            "mean": values.mean(),
            "std": values.std(),
            "answered": float(share),
            "n_rows": len(values),
        }
        for quantity, values, share in [*columns, ("top", proba.max(axis=1), 1.0)]
    ]
