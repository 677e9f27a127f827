"""From fitted scikit-learn estimators to torch modules that compute the same, with gradients.

:func:`to_torch` converts; :func:`register` teaches it a further class.
"""

from skrobust.torchify import _pipeline, _sklearn  # noqa: F401  importing them registers their converters
from skrobust.torchify._frames import decode_frame, encode_frame
from skrobust.torchify._networks import RowNetwork
from skrobust.torchify._registry import NotConvertibleError, register, to_torch

__all__ = ["NotConvertibleError", "RowNetwork", "decode_frame", "encode_frame", "register", "to_torch"]
