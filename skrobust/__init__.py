"""Classifiers that are hard to fool, and scores of how easily any classifier is fooled, for scikit-learn."""

from skrobust._classifier import OffSupportRobustClassifier
from skrobust._version import __version__
from skrobust.attacks import ThreatModel
from skrobust.evaluation import compare_training, robustness_curves
from skrobust.metrics import make_robustness_scorer, make_robustness_scorers, robustness_report

__all__ = [
    "OffSupportRobustClassifier",
    "ThreatModel",
    "__version__",
    "compare_training",
    "make_robustness_scorer",
    "make_robustness_scorers",
    "robustness_curves",
    "robustness_report",
]
