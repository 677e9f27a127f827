"""Fitted classifiers in files: saved and loaded without executing anything, or exported to run without this package.

:func:`save` and :func:`load` keep an OffSupportRobustClassifier, alone or in a Pipeline, as numbers and plain values.
:func:`export_onnx` and :func:`export_torch` write any classifier that :func:`skrobust.torchify.to_torch` converts.
"""

from skrobust.io._errors import ExportError, ModelFileError
from skrobust.io._onnx import export_onnx
from skrobust.io._program import export_torch
from skrobust.io._saved import load, save

__all__ = ["ExportError", "ModelFileError", "export_onnx", "export_torch", "load", "save"]
