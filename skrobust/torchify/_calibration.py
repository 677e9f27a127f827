"""Converter of calibrated classifiers."""

import torch
from sklearn.calibration import CalibratedClassifierCV
from torch import nn

from skrobust.torchify._ensembles import Spread
from skrobust.torchify._interpolate import Interpolation
from skrobust.torchify._outputs import decision, probabilities
from skrobust.torchify._parts import Affine, Concatenate, Elementwise, Mixture, Select, float64, linear, safe_log
from skrobust.torchify._registry import builtin
from skrobust.torchify._straight_through import StraightThrough

# What scikit-learn adds to probabilities before it takes their logarithm.
TINY = 1e-12


class Isotonic(StraightThrough):
    """Rising straight lines, between which and beyond which the probability stays the same for a while.

    Parameters
    ----------
    knots, values : Tensor of shape (1, n_knots)
    """

    def __init__(self, knots, values):
        super().__init__()
        self.lines = Interpolation(knots, values)

    def values(self, X):
        """Return the probabilities."""
        return self.lines(X)

    def slope(self, X):
        """Return the scores themselves, which the probabilities never fall with."""
        return X

    def unsloped(self, X, values):
        """Return the probabilities with the gradient of the lines."""
        return self.values(X)


@builtin(CalibratedClassifierCV, wants_numbers=False)
def convert_calibrated(fitted):
    """Return the logarithm of the mean calibrated probabilities."""
    return Mixture([_convert_one(one, list(fitted.classes_)) for one in fitted.calibrated_classifiers_])


def _convert_one(calibrated, classes):
    estimator = calibrated.estimator
    has_scores = hasattr(estimator, "decision_function")
    scores = decision(estimator) if has_scores else probabilities(estimator)
    if calibrated.method == "temperature":
        return _temperature(scores, has_scores, float(calibrated.calibrators[0].beta_))
    if len(classes) == 2:
        part = scores if has_scores else nn.Sequential(scores, Select([1]))
        return nn.Sequential(part, _log_calibrated(calibrated.calibrators[0], is_binary=True))
    parts = [
        nn.Sequential(Select([index]), _log_calibrated(calibrator))
        for index, calibrator in enumerate(calibrated.calibrators)
    ]
    places = [classes.index(label) for label in estimator.classes_]
    return nn.Sequential(scores, Concatenate(parts), Spread(places, len(classes)), nn.LogSoftmax(dim=1))


def _temperature(scores, has_scores, beta):
    to_logits = Elementwise(_both_signs if has_scores else _log_with_tiny)
    return nn.Sequential(scores, to_logits, Affine(scale=1 / beta), nn.LogSoftmax(dim=1))


def _log_calibrated(calibrator, is_binary=False):
    """Return the logarithm of a calibrated probability; of two classes, that of both."""
    if hasattr(calibrator, "a_"):
        odds = linear([[-calibrator.a_]], [-calibrator.b_])
        return nn.Sequential(odds, Elementwise(_both_signs if is_binary else torch.positive), nn.LogSigmoid())
    knots, values = calibrator.X_thresholds_, calibrator.y_thresholds_
    isotonic = Isotonic(float64(knots)[None], float64(values)[None])
    return nn.Sequential(isotonic, Elementwise(_with_rest if is_binary else torch.positive), Elementwise(safe_log))


def _both_signs(scores):
    return torch.cat([-scores, scores], dim=1) if scores.shape[1] == 1 else scores


def _with_rest(shares):
    return torch.cat([1 - shares, shares], dim=1)


def _log_with_tiny(shares):
    return torch.log(shares + TINY)
