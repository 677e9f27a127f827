"""Layers that compute something else for a while."""

import contextlib
import functools


@contextlib.contextmanager
def replaced_forward(network, kinds, forward, state):
    """Within this context, layers of some kinds return ``forward(layer, state, X)``.

    Parameters
    ----------
    network : torch.nn.Module
    kinds : type or tuple of types
        Layers whose forward is replaced already keep it.
    forward : callable
    state : object
        What the layers share; yielded, to be changed between passes.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, kinds) and "forward" not in vars(layer)]
    for layer in layers:
        layer.forward = functools.partial(forward, layer, state)
    try:
        yield state
    finally:
        for layer in layers:
            del layer.forward
