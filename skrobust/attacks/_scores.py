"""Scores of classes that agree with what an estimator answers."""

import functools

import numpy as np
from sklearn.utils.multiclass import _ovr_decision_function

from skrobust.attacks._axes import end_of
from skrobust.torchify._thresholds import WRAPPERS, threshold_of

# Share of the rows at which scores may disagree with the answers, by ties and by rounding.
SHARE_OTHER = 0.05


def best_scores(original, rows):
    """Return a function from X to scores of shape (n, n_classes), the largest for the class that is answered.

    Parameters
    ----------
    original : Original
    rows : ndarray of shape (m, n_features)
        Rows at which scores must agree with the answers.

    Returns
    -------
    scores : callable or None
        None if the estimator has no such scores.
    """
    codes, again = (original.codes(original.ask(rows)) for _ in range(2))
    # Scores cannot agree with random answers more than these agree with themselves.
    most = SHARE_OTHER * len(rows) + 2 * (codes != again).sum()
    for scores in _candidates(original.estimator, len(original.classes)):
        try:
            found = scores(original.restored(rows))
        except Exception:  # noqa: S112  methods that are there, but refuse what the estimator answers
            continue
        if found.shape == (len(rows), len(original.classes)) and (found.argmax(axis=1) != codes).sum() <= most:
            return scores
    return None


def margins_of(scores, codes):
    """Return the best of the other scores less that of the class with this code, as an array of shape (n,)."""
    each = np.arange(len(codes))
    others = scores.astype(np.float64, copy=True)
    others[each, codes] = -np.inf
    return others.max(axis=1) - scores[each, codes]


def _candidates(estimator, n_classes):
    """Yield functions from X to scores, the most telling first."""
    end = end_of(estimator)
    if isinstance(end, WRAPPERS):
        yield functools.partial(_beyond_threshold, estimator, threshold_of(end))
    if hasattr(estimator, "decision_function"):
        yield functools.partial(_plain, estimator.decision_function)
        yield functools.partial(_from_pairs, estimator.decision_function, n_classes)
    if hasattr(estimator, "predict_proba"):
        yield functools.partial(_plain, estimator.predict_proba)


def _beyond_threshold(estimator, threshold, X):
    """Return scores that are equal at the threshold of the classifier at the end of an estimator."""
    # What is at the threshold is answered by the positive class, and forests often are there.
    lead = _plain(getattr(estimator, threshold.method), X)[:, threshold.positive]
    lead = lead - np.nextafter(threshold.value, -np.inf)
    return np.stack([-lead, lead] if threshold.positive else [lead, -lead], axis=1)


def _plain(method, X):
    """Return scores with one column per class, of two classes also where the method gives only one."""
    scores = np.asarray(method(X), dtype=np.float64)
    if scores.shape in ((len(scores),), (len(scores), 1)):
        scores = scores.reshape(-1)
        return np.stack([-scores, scores], axis=1)
    return scores


def _from_pairs(method, n_classes, X):
    """Return scores of classes from those of pairs, as SVC(decision_function_shape="ovo") has them."""
    scores = np.asarray(method(X), dtype=np.float64)
    return _ovr_decision_function(scores < 0, -scores, n_classes)
