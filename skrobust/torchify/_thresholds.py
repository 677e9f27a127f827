"""What scikit-learn's wrappers that move the threshold of a binary classifier compare with what."""

from typing import NamedTuple

from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

WRAPPERS = (FixedThresholdClassifier, TunedThresholdClassifierCV)


class Threshold(NamedTuple):
    """The rule of a fitted wrapper: it answers the class `positive` where the score of that class is not below `value`.

    `method` is that of `estimator`, the classifier within, which gives the scores; those of decision_function are for
    the second class, and change their sign for the first.
    """

    estimator: object
    method: str
    value: float
    positive: int


def threshold_of(fitted):
    """Return the rule of one of scikit-learn's threshold wrappers, fitted."""
    estimator = thresholded(fitted)
    methods = fitted._get_response_method()
    methods = [methods] if isinstance(methods, str) else methods
    method = next(name for name in methods if hasattr(estimator, name))
    value = getattr(fitted, "best_threshold_", getattr(fitted, "threshold", None))
    value = {"predict_proba": 0.5, "decision_function": 0.0}[method] if value == "auto" else value
    label = fitted._curve_scorer._get_pos_label() if hasattr(fitted, "_curve_scorer") else fitted.pos_label
    return Threshold(estimator, method, value, 1 if label is None else int(fitted.classes_[1] == label))


def thresholded(fitted):
    """Return the fitted classifier within a wrapper."""
    return getattr(fitted, "estimator_", fitted.estimator)
