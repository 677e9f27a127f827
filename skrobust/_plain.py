"""Values that torch.load reads without executing anything: numbers, texts, tensors, and containers of these."""

import collections

import numpy as np
import torch

ARRAY = "_array"


class NotPlainError(ValueError):
    """A value is more than data."""


def plain(value, name):
    """Return a value with arrays and numbers of numpy as tensors; all else stays as it is.

    Raises
    ------
    NotPlainError
        If it is something else, such as a parameter of a network; the message has its name.
    """
    if type(value) in (list, tuple):
        return type(value)(plain(item, name) for item in value)
    if isinstance(value, dict) and type(value) in (dict, collections.OrderedDict):
        return {plain(key, name): plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        values = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
        return {
            ARRAY: str(value.dtype),
            "values": values,
            "shape": getattr(value, "shape", ()),
            "is_array": isinstance(value, np.ndarray),
        }
    is_data = type(value) is torch.Tensor and not value.requires_grad
    if not (is_data or value is None or type(value) in (bool, int, float, str, bytes)):
        raise NotPlainError(
            f"{name} is of type {type(value).__qualname__}, which a checkpoint cannot keep: use numbers, texts, "
            "tensors or arrays, and lists and dicts of these."
        )
    return value


def unplain(value):
    """Return the value that :func:`plain` was given."""
    if type(value) in (list, tuple):
        return type(value)(map(unplain, value))
    if type(value) is not dict:
        return value
    if ARRAY in value:
        array = np.frombuffer(value["values"].numpy(force=True).tobytes(), value[ARRAY]).reshape(value["shape"])
        return array.copy() if value["is_array"] else array[()]
    return {key: unplain(item) for key, item in value.items()}
