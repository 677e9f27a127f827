"""From fitted scikit-learn estimators to torch modules that compute the same, with gradients.

:func:`to_torch` converts; :func:`register` teaches it a further class.
"""

# Importing a room registers its converters.
from skrobust.torchify import (  # noqa: F401
    _bayes,
    _calibration,
    _columns,
    _discrete,
    _distributions,
    _ensembles,
    _expansions,
    _functions,
    _impute,
    _linear,
    _multiclass,
    _pipeline,
    _scalers,
    _svm,
)
from skrobust.torchify._bridge import has_bridge
from skrobust.torchify._frames import decode_frame, encode_frame
from skrobust.torchify._networks import RowNetwork
from skrobust.torchify._registry import NotConvertibleError, register
from skrobust.torchify._straight_through import straight_through
from skrobust.torchify._to_torch import to_torch

__all__ = [
    "NotConvertibleError",
    "RowNetwork",
    "decode_frame",
    "encode_frame",
    "has_bridge",
    "register",
    "straight_through",
    "to_torch",
]
