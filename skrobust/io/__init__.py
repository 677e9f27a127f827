"""Fitted classifiers in files: saved and loaded without executing anything, or exported to run without this package.

:func:`save` and :func:`load` keep an OffSupportRobustClassifier, alone or in a Pipeline, as numbers and plain values.
"""

from skrobust.io._errors import ModelFileError
from skrobust.io._saved import load, save

__all__ = ["ModelFileError", "load", "save"]
