"""The part of a saved classifier that is a network: weights by name, and what the network is made from."""

import contextlib
import math
import threading

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from skrobust._persistence import (
    PickledNetwork,
    as_tensor,
    is_as_named,
    net_description,
    network_of,
    shapes_of,
    unfilled_network,
    weights_of,
)
from skrobust._runtime import isolated_random_state
from skrobust.io._answers import is_another, saved_answers
from skrobust.io._errors import ModelFileError
from skrobust.modules import build_module

SIZES = {"n_features", "n_classes", "image_shape", "hidden_layer_sizes"}


def saved_state(fitted):
    """Return the state of a classifier, its network as arrays alone.

    Raises
    ------
    TypeError
        If the network is one of this package that was changed by hand.
    """
    state, net = fitted.__getstate__(), fitted.net_
    if isinstance(net.module, str) and not is_as_named(net):
        raise TypeError(
            f"estimator has module={net.module!r}, but its network was changed after fit, which a file without code "
            "cannot keep: use pickle among people you trust."
        )
    saved = {**net_description(net), "weights": weights_of(net), "history": state["net_"]["history"]}
    if isinstance(net.module, str):
        return {**state, "net_": saved}
    # Weights may not be all that a network of one's own computes with.
    answers = saved_answers(network_of(net), saved, state["_moments"])
    own = {"module": None, "made_by": _name_of(net.module), "answers": answers}
    return {**state, "module": None, "net_": {**saved, **own}}


def _name_of(module):
    named = module if hasattr(module, "__qualname__") else type(module)
    return f"{named.__module__}.{named.__qualname__}"


def restored_state(state, module):
    """Return the state of a classifier as it takes it back, after a look at everything that sizes come from.

    Parameters
    ----------
    state : dict
        What :func:`saved_state` returned, or anything else.
    module : class, factory or torch.nn.Module
        Makes the network if it is none of this package; None if it is.

    Raises
    ------
    ValueError
        If the parts contradict each other, or the module is missing or has no place.
    ModelFileError
        If the module makes another network than the one that was saved.
    """
    net = dict(state["net_"])
    # Files of the first versions have no answers.
    made_by, answers = net.pop("made_by", None), net.pop("answers", None)
    _check_sizes(state, net)
    if (made_by is None) != (module is None):
        raise ValueError(
            f"its network is made by {made_by}, whose code is not in the file, so that load needs module={made_by}"
            if module is None
            else f"its network is {net['module']!r}, so that module={module!r} has no place"
        )
    if module is None:
        _check_shapes(net)
        return {**state, "net_": net}
    network = _filled(module, net)
    if is_another(network, net, state["_moments"], answers):
        raise ModelFileError(
            f"module={_name_of(module)} answers otherwise than the network that was saved, although it has its "
            "weights: register what else it computes with as persistent buffers and save it anew, or give load an "
            "instance that has it."
        )
    del net["weights"]
    return {**state, "module": module, "net_": {**net, "network": PickledNetwork(network, is_own=True)}}


def _check_sizes(state, net):
    """Check the sizes against arrays: a file cannot ask for more memory than it has bytes."""
    n_features, sizes = state["n_features_in_"], net["sizes"]
    shapes = {array.shape for name, array in state["_moments"].items() if name != "weight"}
    n_classes = len(state["classes_"])
    image_shape = net["row_shape"]
    fits = (
        set(sizes) == SIZES
        and shapes == {(n_features,)}
        and sizes["n_features"] == n_features
        and sizes["n_classes"] == net["n_classes"] == n_classes
        and sizes["image_shape"] == image_shape
        and (image_shape is None or (len(image_shape) == 3 and math.prod(image_shape) == n_features))
        and net["float_type"] in ("float32", "float64")
    )
    if not fits:
        raise ValueError("the sizes of its network contradict each other")


def _check_shapes(net):
    """Check that the network has the weights that the file has, before it takes memory or time."""
    with _limited_parameters(len(net["weights"])):
        network = unfilled_network(net["module"], net["sizes"], net["module_params"])
    if shapes_of(network) != {name: array.shape for name, array in net["weights"].items()}:
        raise ValueError("its weights do not fit its network")


def _filled(module, net):
    """Return the network that the user's own module makes, with the weights of the file."""
    with isolated_random_state(torch.device("cpu"), 0):
        network = build_module(module, **net["sizes"], **_params_for(module, net["module_params"]))
    network = network.to(getattr(torch, net["float_type"]))
    network.load_state_dict({name: as_tensor(array) for name, array in net["weights"].items()})
    return network.eval()


def _params_for(module, module_params):
    # What an instance was given went into it.
    return {} if isinstance(module, nn.Module) else module_params


@contextlib.contextmanager
def _limited_parameters(limit):
    """Raise a ValueError within this context once this thread has made more parameters than that."""
    thread, n_made = threading.get_ident(), 0

    def count(module, name, parameter):
        nonlocal n_made
        n_made += threading.get_ident() == thread
        if n_made > limit and threading.get_ident() == thread:
            raise ValueError("its network has more parameters than the file has weights")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
