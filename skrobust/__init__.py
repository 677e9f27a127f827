"""Classifiers that are hard to fool, for scikit-learn."""

from skrobust._classifier import OffSupportRobustClassifier
from skrobust._version import __version__
from skrobust.attacks import ThreatModel

__all__ = ["OffSupportRobustClassifier", "ThreatModel", "__version__"]
