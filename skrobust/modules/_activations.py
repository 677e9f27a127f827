"""Activations by name."""

import copy

from torch import nn

ACTIVATIONS = {
    "celu": nn.CELU,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


def new_activation(activation):
    """Return a new activation layer.

    Parameters
    ----------
    activation : str, callable or torch.nn.Module
        A name, a class or factory of modules, or an instance to copy.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    made = _made(ACTIVATIONS.get(activation, activation) if isinstance(activation, str) else activation)
    if not isinstance(made, nn.Module):
        raise ValueError(
            f"activation={activation!r} is unknown: use one of {sorted(ACTIVATIONS)}, a class of torch.nn, or a "
            "function without arguments that returns a module."
        )
    return made


def _made(activation):
    if isinstance(activation, nn.Module):
        return copy.deepcopy(activation)
    try:
        return activation()
    except TypeError:  # no callable, or a function of tensors, such as torch.relu
        return None
