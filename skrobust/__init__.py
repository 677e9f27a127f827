"""Classifiers that are hard to fool, for scikit-learn."""

from skrobust._classifier import OffSupportRobustClassifier
from skrobust._version import __version__

__all__ = ["OffSupportRobustClassifier", "__version__"]

