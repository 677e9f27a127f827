"""From what a file holds to objects of the known classes; nothing in a file is ever executed."""

import math

import numpy as np
import sklearn
import torch

from skrobust._persistence import SAVABLE
from skrobust.io._known import CLASSES, FOLDERS, TYPES, VALUES
from skrobust.io._network import restored_state

# Text in arrays takes as much room for each row as for the longest one.
LARGEST_TEXT = 2**28


class Decoder:
    """Decodes one object.

    Parameters
    ----------
    arrays : dict of str to ndarray
    module : class, factory or torch.nn.Module
        Makes the network of a classifier that has one of the user's own; None if there is none.
    """

    def __init__(self, arrays, module):
        self.arrays = arrays
        self.unused = set(arrays)
        self.module = module

    def decode(self, value):
        """Return the value that something stands for.

        Raises
        ------
        Exception
            Of any kind, if it stands for nothing.
        """
        if isinstance(value, list):
            return [self.decode(part) for part in value]
        if not isinstance(value, dict):
            return value
        return DECODERS[next(iter(value))](self, value)

    def _object(self, coded):
        known = CLASSES[coded["object"]]
        state = {_checked_name(name, known): self.decode(part) for name, part in coded["state"].items()}
        if any(state.get(name) is not None for name in FOLDERS):
            raise ValueError("it names a folder to write to")
        if known in SAVABLE:
            state = restored_state(state, self.module)
        instance = known.__new__(known)
        instance.__setstate__(state)
        with sklearn.config_context(enable_metadata_routing=True):
            for method, request in coded["requests"].items():
                getattr(instance, f"set_{method}_request")(**request)
        return instance

    def _float(self, coded):
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[coded["float"]]

    def _tuple(self, coded):
        return tuple(self.decode(coded["tuple"]))

    def _set(self, coded):
        return set(self.decode(coded["set"]))

    def _slice(self, coded):
        return slice(*self.decode(coded["slice"]))

    def _dict(self, coded):
        return {self.decode(key): self.decode(part) for key, part in coded["dict"]}

    def _array(self, coded):
        self.unused.discard(coded["array"])
        values = self.arrays[coded["array"]]
        return values.T if coded["order"] == "F" else values

    def _items(self, coded):
        parts = self.decode(coded["items"])
        if coded["kind"] == "U":
            if max(map(len, parts), default=0) * len(parts) > LARGEST_TEXT:
                raise ValueError("it has an array of more text than fits into memory")
            return np.array(parts, dtype=str).reshape(coded["shape"])
        values = np.empty(len(parts), dtype=object)
        for i, part in enumerate(parts):
            values[i] = part
        return values.reshape(coded["shape"])

    def _device(self, coded):
        return torch.device(coded["device"])

    def _dtype(self, coded):
        return np.dtype(coded["dtype"])

    def _scalar(self, coded):
        kind = str if coded["scalar"][0] == "U" else coded["scalar"]
        return np.dtype(kind).type(self.decode(coded["value"]))

    def _type(self, coded):
        return TYPES[coded["type"]]

    def _name(self, coded):
        return VALUES[coded["name"]]


DECODERS = {
    name: getattr(Decoder, f"_{name}")
    for name in (
        *("object", "float", "tuple", "set", "slice", "dict", "array", "items"),
        *("device", "dtype", "scalar", "type", "name"),
    )
}


def _checked_name(name, known):
    """Return the name of an attribute; one that would hide a method is refused."""
    if not name.isidentifier() or name.startswith("__") or callable(getattr(known, name, None)):
        raise ValueError(f"it has an attribute {name!r}")
    return name
