"""From objects to what JSON can hold, and arrays beside it. What is not known is refused."""

import math
from collections.abc import Hashable

import numpy as np
import torch
from sklearn.utils.metadata_routing import MetadataRequest

from skrobust._persistence import SAVABLE
from skrobust.io._known import FOLDERS, NAMES_OF_CLASSES, NAMES_OF_TYPES, NAMES_OF_VALUES
from skrobust.io._network import saved_state

REQUESTS = "_metadata_request"


class Encoder:
    """Encodes one object.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The numbers, by where they are in the object.
    """

    def __init__(self):
        self.arrays = {}

    def encode(self, value, path=()):
        """Return what stands for a value in JSON.

        Raises
        ------
        TypeError
            If the value, or one that it holds, would need code to be kept.
        """
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind in ENCODERS:
            return ENCODERS[kind](self, value, path)
        if kind in NAMES_OF_CLASSES:
            return self._object(value, path)
        return _named(value, path)

    def _object(self, value, path):
        state = saved_state(value) if type(value) in SAVABLE else dict(value.__getstate__())
        state.update({name: None for name in FOLDERS if name in state})
        requests = state.pop(REQUESTS, None)
        return {
            "object": NAMES_OF_CLASSES[type(value)],
            "state": {name: self.encode(part, (*path, name)) for name, part in state.items()},
            "requests": requests._serialize() if isinstance(requests, MetadataRequest) else {},
        }

    def _float(self, value, path):
        return value if math.isfinite(value) else {"float": str(value)}

    def _list(self, value, path):
        return [self.encode(part, (*path, str(i))) for i, part in enumerate(value)]

    def _tuple(self, value, path):
        return {"tuple": self._list(value, path)}

    def _set(self, value, path):
        return {"set": self._list(sorted(value, key=repr), path)}

    def _slice(self, value, path):
        return {"slice": self._list([value.start, value.stop, value.step], path)}

    def _dict(self, value, path):
        return {"dict": [[self.encode(key, path), self.encode(part, (*path, str(key)))] for key, part in value.items()]}

    def _array(self, value, path):
        value = np.asarray(value)
        if value.dtype.kind in "OU":
            parts = self._list(value.ravel().tolist(), path)
            return {"items": parts, "kind": value.dtype.kind, "shape": list(value.shape)}
        if not _is_kept(value.dtype):
            raise _refused(value, path)
        native = value.astype(value.dtype.newbyteorder("="), copy=False)
        name = self._unused(".".join(path))
        # Products of matrices round by the order in memory, which is to stay.
        is_fortran = native.ndim > 1 and native.flags.f_contiguous and not native.flags.c_contiguous
        self.arrays[name] = np.require(native.T if is_fortran else native, requirements="C")
        return {"array": name, "order": "F" if is_fortran else "C"}

    def _unused(self, name):
        while name in self.arrays:
            name += "_"
        return name

    def _device(self, value, path):
        return {"device": str(value)}


ENCODERS = {
    float: Encoder._float,
    list: Encoder._list,
    tuple: Encoder._tuple,
    set: Encoder._set,
    slice: Encoder._slice,
    dict: Encoder._dict,
    np.ndarray: Encoder._array,
    np.memmap: Encoder._array,
    torch.device: Encoder._device,
}


def _named(value, path):
    """Return what stands for a number or type of numpy, or for one of the known functions and classes."""
    if isinstance(value, np.generic) and _is_kept(value.dtype):
        return {"scalar": value.dtype.kind + str(value.dtype.itemsize), "value": Encoder().encode(value.item(), path)}
    if isinstance(value, np.dtype) and _is_kept(value):
        return {"dtype": value.str}
    for tag, names in (("type", NAMES_OF_TYPES), ("name", NAMES_OF_VALUES)):
        if isinstance(value, Hashable) and value in names:
            return {tag: names[value]}
    raise _refused(value, path)


def _is_kept(dtype):
    """Return whether values of a type can be kept: text, truth values, and numbers that safetensors knows."""
    return dtype.kind == "U" or (dtype.kind in "biuf" and dtype.itemsize <= 8)


def _refused(value, path):
    return TypeError(
        f"estimator holds {value!r:.200} of type {type(value).__name__} in {'.'.join(path) or 'itself'}, which a file "
        "without code cannot keep: replace it, set_params(...=None) if only training needs it, or use pickle among "
        "people you trust."
    )
