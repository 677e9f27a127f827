"""Runs that have ended, in a file of JSON lines that outlives the process, and what tells one protocol from another."""

import copy
import functools
import hashlib
import inspect
import json
import os
import pathlib
import pickle
import types
from collections.abc import Mapping
from numbers import Number

import joblib
import numpy as np
import torch
from joblib.hashing import NumpyHasher
from sklearn.neighbors import BallTree, KDTree

from skrobust import _fingerprint

TORCH, NEIGHBORS = torch.nn.Module | torch.Tensor, KDTree | BallTree
# They hold seconds, which differ from one training to the next.
TIMED = {"cv_results_", "history_", "refit_time_"}


def fingerprint(value):
    """Return a short text that is the same for equal values, also in another process.

    Parameters
    ----------
    value : object
        Parameters, estimators or data. Of functions and classes only the names count, which must be those of a module;
        of objects with parameters only those that are not at their defaults, and what they learned where they are
        fitted; of networks the layers and the weights.

    Returns
    -------
    text : str

    Raises
    ------
    TypeError
        If it holds something that cannot be pickled, such as a lambda.
    """
    return hashlib.sha256(json.dumps(_described(value)).encode()).hexdigest()[:16]


def _described(value):
    """Return what JSON can hold and tells a value from others."""
    if value is None or isinstance(value, str | Number | np.bool_):
        return [type(value).__name__ if isinstance(value, str) else "", str(value)]
    if isinstance(value, Mapping):
        pairs = sorted(value.items(), key=lambda pair: str(pair[0]))
        return ["dict", [[_described(name), _described(entry)] for name, entry in pairs]]
    if isinstance(value, list | tuple):
        return ["list", [_described(entry) for entry in value]]
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        if "<" in value.__qualname__:
            # All lambdas have the same name, and functions made by the same function too.
            raise _unknowable(value)
        return ["name", f"{value.__module__}.{value.__qualname__}"]
    if isinstance(value, functools.partial):
        return ["partial", _described([value.func, value.args, value.keywords])]
    if hasattr(value, "get_params"):
        return [_described(part) for part in _estimator_parts(value)]
    return ["pickle", _hashed(value)]


def _estimator_parts(value):
    """Return the class of an object with parameters, what was changed of them, and what it learned if it is fitted."""
    module = getattr(value, "__dict__", {}).get("module_")
    if isinstance(module, torch.nn.Module):
        # A net of skorch answers by its module; its callbacks and its optimizer are of its training.
        return [type(value), copy.deepcopy(module).eval()]
    return [type(value), _changed_parameters(value), *([_learned(value)] if _is_fitted(value) else [])]


def _is_fitted(value):
    is_estimator = hasattr(value, "get_params") and not isinstance(value, type)
    return is_estimator and any(name[-1] == "_" != name[0] for name in getattr(value, "__dict__", {}))


def _changed_parameters(value):
    """Return the parameters that are not at their defaults: one that a later version adds changes nothing."""
    signature = inspect.signature(type(value).__init__).parameters
    parameters = value.get_params(deep=False)
    return {
        name: parameter
        for name, parameter in parameters.items()
        if name not in signature or _described(parameter) != _described(signature[name].default)
    }


def _learned(value):
    """Return what an estimator has beside its parameters, by name, as it is when it was saved and loaded.

    Some keep the rows or trees by which they answer under private names. Arrays lie otherwise in memory once loaded.
    """
    aside = TIMED.union(value.get_params(deep=False))
    attributes = {
        name: attribute
        for name, attribute in vars(value).items()
        if name not in aside and not isinstance(attribute, _fingerprint.RANDOM)
    }
    try:
        return pickle.loads(pickle.dumps(attributes))  # noqa: S301  of what this process has made itself
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise _unknowable(value) from error


def _torch_text(value):
    """Return a text that is the same for equal tensors, and for networks of the same layers and weights."""
    if isinstance(value, torch.Tensor):
        return _fingerprint.described(value)
    kinds = [_described(type(part)) for part in value.modules()]
    return f"{kinds} {_fingerprint.described(value)} {_fingerprint.described(value.state_dict())}"


class _Hasher(NumpyHasher):
    """The hash of joblib, but for what has another pickle each time: networks, tensors, and fitted estimators."""

    def save(self, obj):
        if isinstance(obj, TORCH):
            obj = _torch_text(obj)
        elif _is_fitted(obj):
            obj = _described(obj)
        elif isinstance(obj, NEIGHBORS):
            obj = [type(obj).__name__, *_fingerprint.compiled_state(obj)]
        super().save(obj)


def _hashed(value):
    if hasattr(value, "iloc"):
        import pandas

        # The hash of a frame's own pickle differs from one process to the next.
        frame = pandas.DataFrame(value)
        rows = pandas.util.hash_pandas_object(frame, index=False).to_numpy()
        return joblib.hash([list(map(str, frame.columns)), list(map(str, frame.dtypes)), rows])
    try:
        return _Hasher().hash(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise _unknowable(value) from error


def _unknowable(value):
    shown = " ".join(repr(value).split())  # a network takes a line for each layer
    return TypeError(
        f"path=... needs to know this run again, but {shown} cannot be pickled: use functions and classes of a "
        "module, or leave path=None."
    )


class Runs:
    """Records of runs in a file to which several processes may append.

    The first line is the protocol; each further line is a record, written at once, when a run has ended.

    Parameters
    ----------
    path : str or Path
    protocol : dict of str to str
        Name of a part of the protocol to its fingerprint.

    Raises
    ------
    ValueError
        If the file holds runs of another protocol, or something else.
    """

    def __init__(self, path, protocol):
        self.path, self.protocol = pathlib.Path(path), protocol
        lines = self._lines()
        if not lines:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.add({"protocol": protocol})
            return
        # A file that was joined from several has a protocol from each.
        protocols = [line["protocol"] for line in lines if "protocol" in line]
        if not protocols:
            raise ValueError(f"path={str(path)!r} is no file of compare_training: give the name of a new one.")
        names = {name for each in (protocol, *protocols) for name in each}
        changed = sorted(name for name in names if any(each.get(name) != protocol.get(name) for each in protocols))
        if changed:
            raise ValueError(
                f"path={str(path)!r} holds runs of another protocol, which differs in {', '.join(changed)}: give "
                "another path, or the same protocol."
            )

    def records(self):
        """Return the records, in the order in which they were written."""
        return [line for line in self._lines() if "protocol" not in line]

    def add(self, record):
        """Append a record, whole or not at all."""
        line = json.dumps(record) + "\n"
        with self.path.open("ab", buffering=0) as file:
            # What a killed process left unfinished is no line of its own.
            file.write((line if self._ends_with_line() else "\n" + line).encode())
            os.fsync(file.fileno())

    def _ends_with_line(self):
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if not size:
                return True
            file.seek(size - 1)
            return file.read() == b"\n"

    def _lines(self):
        """Return what the lines hold, less those that are not whole."""
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in map(_parsed, text.splitlines()) if line is not None]
        if text.strip() and not lines:
            raise ValueError(f"path={str(self.path)!r} is no file of compare_training: give the name of a new one.")
        return lines


def _parsed(line):
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None
