"""What a training is made of, as text that is the same in every process: parameters, data, and where it begins."""

import functools
import hashlib
import random
import re

import numpy as np
import torch
from torch.nn.parameter import is_lazy

# They change neither what is trained nor on what.
ASIDE = {"accelerator", "checkpoint_dir", "checkpoint_every", "device", "n_threads", "verbose", "warm_start"}
RANDOM = (np.random.RandomState, np.random.Generator, torch.Generator, random.Random)
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
BYTES_AT_A_TIME = 2**24
INITIAL_WEIGHTS = "weights of the module given"


def described_training(estimator, data, device, net):
    """Return what a training is made of: dict of name to text.

    Functions and classes count by their names, a network that is given as an object by its layers and their sizes, and
    by its weights under a name of their own.

    Parameters
    ----------
    estimator : OffSupportRobustClassifier
    data : skrobust._validation.TrainingData
    device : torch.device
    net : OffSupportNet or None
        The net that a warm start goes on from.
    """
    params = estimator.get_params(deep=False)
    arrays = {"X": data.X, "y": data.y, "sample_weight": data.weight, "X_unlabeled": data.X_unlabeled}
    given = params["module"].state_dict() if isinstance(params["module"], torch.nn.Module) else {}
    return {
        **{name: described(params[name]) for name in sorted(set(params) - ASIDE)},
        INITIAL_WEIGHTS: described([*given.values()]),
        **{name: digest(array) for name, array in arrays.items()},
        "weights of unlabeled rows": digest(data.unlabeled_weight),
        "image_shape of X": repr(data.row_shape),
        "type of device": device.type,
        "network to go on from": "none" if net is None else described([*net.module_.state_dict().values()]),
    }


def fingerprint(description):
    """Return a short text that stands for a description."""
    return _hashed(repr(sorted(description.items())).encode())


def digest(array):
    """Return a text that stands for the type, shape and values of an array; None is "none"."""
    if array is None:
        return "none"
    array = np.asarray(array)
    kind = f"{array.dtype}{list(array.shape)}"
    if array.dtype.hasobject:
        return f"{kind} {_hashed(repr(array.tolist()).encode())}"
    rows = np.atleast_1d(array)
    step = max(1, BYTES_AT_A_TIME // max(1, rows[:1].nbytes))
    chunks = (np.ascontiguousarray(rows[start : start + step]) for start in range(0, len(rows), step))
    return f"{kind} {_hashed(*(chunk.tobytes() for chunk in chunks))}"


def _hashed(*parts):
    state = hashlib.blake2b(digest_size=12)
    for part in parts:
        state.update(part)
    return state.hexdigest()


def described(value, within=()):
    """Return a parameter as text without addresses in memory; `within` are the objects around it."""
    if id(value) in within:
        return "..."
    nested = functools.partial(described, within=(*within, id(value)))
    for kinds, text in _TEXTS:
        if isinstance(value, kinds):
            return text(value, nested)
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    return f"{type(value).__qualname__}({nested(_attributes(value))})"


def _attributes(value):
    """Return the attributes of an object that tell what it is; of an estimator the parameters and what it learned."""
    attributes = getattr(value, "__dict__", None) or compiled_state(value)
    if not hasattr(value, "get_params") or isinstance(value, type):
        return attributes
    return value.get_params(deep=False) | {name: attributes[name] for name in attributes if name[-1] == "_" != name[0]}


def compiled_state(value):
    """Return what an object without attributes would save, such as a tree of scikit-learn."""
    if hasattr(value, "get_arrays"):  # of a tree of neighbors, which would also save how often it was asked
        return list(map(np.asarray, value.get_arrays()))
    return value.__getstate__() or {}


def _listed(values, nested):
    return f"[{', '.join(map(nested, values))}]"


def _keyed(values, nested):
    return f"{{{', '.join(sorted(f'{nested(key)}: {nested(value)}' for key, value in values.items()))}}}"


def _network(network, nested):
    """Return the layers of a network, what they keep of numbers and words, and the shapes of its weights."""
    shapes = {name: _shape(value) for name, value in network.state_dict().items()}
    frozen = [name for name, weight in network.named_parameters() if not weight.requires_grad]
    kept = {name: nested(_kept(part)) for name, part in network.named_modules()}
    return re.sub("0x[0-9a-f]+", "", f"{network!r} {shapes} {frozen} {_hashed(repr(kept).encode())}")


def _kept(part):
    """Return what is plain of the attributes of a layer: not every layer tells all of them in its repr."""
    own = {name: value for name, value in vars(part).items() if name[0] != "_"}
    return {name: value for name, value in own.items() if isinstance(value, (*PLAIN, np.generic, list, tuple))}


def _shape(value):
    is_tensor = isinstance(value, torch.Tensor) and not is_lazy(value)
    return tuple(value.shape) if is_tensor else type(value).__qualname__


def _tensor(tensor, nested):
    if is_lazy(tensor):
        return type(tensor).__qualname__
    values = tensor.detach().to_dense()
    try:
        return digest(values.numpy(force=True))
    except TypeError:  # numpy knows no bfloat16
        return f"{tensor.dtype} {digest(values.float().numpy(force=True))}"


_TEXTS = (
    (np.generic, lambda value, nested: nested(value.item())),
    (PLAIN, lambda value, nested: repr(value)),
    (RANDOM, lambda value, nested: type(value).__qualname__),
    (np.ndarray, lambda value, nested: digest(value)),
    (torch.nn.Module, _network),
    (torch.Tensor, _tensor),
    ((list, tuple), _listed),
    ((set, frozenset), lambda value, nested: _listed(sorted(value, key=repr), nested)),
    (dict, _keyed),
    (functools.partial, lambda value, nested: nested([value.func, value.args, value.keywords])),
)
