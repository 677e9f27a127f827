"""The random generators that a training draws from, also those within objects of the user."""

import collections
import random
import types

import numpy as np
import torch

from skrobust._plain import plain, unplain
from skrobust._runtime import RandomStream

# What can hold no generator, or more than belongs to a training. Long containers hold data.
CLOSED = (str, bytes, int, float, complex, np.ndarray, torch.Tensor, type, types.ModuleType, types.FunctionType)
LONGEST = 1000


def random_sources(net):
    """Return the generators within a net that trains, by the attributes that lead to each: dict of str to generator.

    The order of the search is the same in every process, so that these names are too.
    """
    names = ("module_", "objective", "iterator_train__generator", "callbacks_")
    found, seen = {}, set()
    queue = collections.deque((name, getattr(net, name)) for name in names)
    while queue:
        path, value = queue.popleft()
        if id(value) in seen or isinstance(value, CLOSED):
            continue
        seen.add(id(value))
        if isinstance(value, tuple(_STATES)):
            found[path] = value
        else:
            queue.extend((f"{path}.{name}", part) for name, part in _parts(value))
    return found


def _parts(value):
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(enumerate(value))[:LONGEST]
    return list((value if isinstance(value, dict) else getattr(value, "__dict__", {})).items())[:LONGEST]


def state_of(source):
    """Return the state of a generator as plain values."""
    get, _ = _access(source)
    return plain(get(source), "generator")


def restore(source, state):
    """Put a generator into a state."""
    _, put = _access(source)
    put(source, unplain(state))


def _access(source):
    return next(access for kind, access in _STATES.items() if isinstance(source, kind))


_STATES = {
    RandomStream: (RandomStream.get_state, RandomStream.set_state),
    torch.Generator: (torch.Generator.get_state, lambda source, state: source.set_state(state.cpu())),
    np.random.Generator: (
        lambda source: source.bit_generator.state,
        lambda source, state: setattr(source.bit_generator, "state", state),
    ),
    np.random.RandomState: (
        lambda source: source.get_state(legacy=False),
        np.random.RandomState.set_state,
    ),
    random.Random: (random.Random.getstate, random.Random.setstate),
}
