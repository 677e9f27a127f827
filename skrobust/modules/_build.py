"""From the parameter ``module`` of the estimator to a network whose sizes fit the data."""

import copy
import functools
import inspect

import torch

from skrobust.modules._lenet import LeNet
from skrobust.modules._mlp import MLP
from skrobust.modules._normalize import normalized
from skrobust.modules._resnet import ResNet, XResNet
from skrobust.modules._resnet9 import ResNet9
from skrobust.modules._wide_resnet import WideResNet

MODULES = {
    "mlp": MLP,
    "lenet": LeNet,
    "resnet9": ResNet9,
    **{f"resnet{depth}": functools.partial(ResNet, depth=depth) for depth in (18, 34, 50)},
    **{f"xresnet{depth}": functools.partial(XResNet, depth=depth) for depth in (18, 34, 50)},
    "wide_resnet": WideResNet,
}

# Parameters that can be given by name.
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def build_module(
    module,
    *,
    n_features,
    n_classes,
    image_shape=None,
    hidden_layer_sizes=(100,),
    normalization=None,
    **module_params,
):
    """Return a new network for data of the given sizes.

    Parameters
    ----------
    module : str, class, factory or torch.nn.Module
        "mlp", "lenet", "resnet9", "resnet18", "resnet34", "resnet50", "xresnet18", "xresnet34", "xresnet50" or
        "wide_resnet"; all but the first need images. A class or factory is called with those of ``n_features``,
        ``n_classes``, ``image_shape``, ``in_channels`` and ``hidden_layer_sizes`` that its signature names (other
        common spellings are known: ``in_features``, ``input_size``, ``input_dim``, ``out_features``, ``output_size``,
        ``output_dim``, ``num_classes``). An instance is copied, with its weights.
    n_features, n_classes : int
    image_shape : tuple of int (channels, height, width), default=None
    hidden_layer_sizes : sequence of int, default=(100,)
    normalization : {"cifar10", "imagenet", "mnist"}, pair (mean, std) or None, default=None
        What images are normalized by as they enter the network: a number for each channel, in the units of the images.
        The names mean the usual constants, for pixels in [0, 1]. The layers of the network then have names that begin
        with ``network.``, behind one named ``normalize``. A class or factory whose signature names it takes it instead.
    **module_params : dict
        Further arguments of the class or factory; they win over the sizes of the data.

    Returns
    -------
    network : torch.nn.Module

    Raises
    ------
    ValueError
        If the name is unknown, images are needed and missing, an instance is given arguments, or the normalization does
        not fit the images.
    TypeError
        If the class or factory does not return a module, or does not take an argument in `module_params`.

    Examples
    --------
    >>> from skrobust.modules import build_module
    >>> build_module("mlp", n_features=4, n_classes=3, hidden_layer_sizes=())
    MLP(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=3, bias=True)
    )
    """
    if isinstance(module, torch.nn.Module):
        return normalized(_copied(module, module_params), normalization, image_shape)
    factory = _resolve_factory(module)
    sizes = _known_sizes(n_features, n_classes, image_shape, hidden_layer_sizes)
    _check_takes(factory, module, module_params)
    arguments = {**_accepted(factory, {**sizes, "normalization": normalization}), **module_params}
    if arguments.get("image_shape", ()) is None:
        raise ValueError(
            f"module={module!r} needs images, got rows of {n_features} features: give X as (n, height, width) or "
            "(n, channels, height, width), or set image_shape."
        )
    network = factory(**arguments)
    if not isinstance(network, torch.nn.Module):
        raise TypeError(f"module={module!r} must make a torch.nn.Module, got {type(network).__name__}.")
    return network if "normalization" in arguments else normalized(network, normalization, image_shape)


def _copied(instance, module_params):
    if module_params:
        raise ValueError(
            f"module__{next(iter(module_params))} has no effect on a module instance: pass the class "
            f"{type(instance).__name__} instead of an instance of it."
        )
    return copy.deepcopy(instance)


def _resolve_factory(module):
    if isinstance(module, str) and module in MODULES:
        return MODULES[module]
    if callable(module):
        return module
    raise ValueError(
        f"module={module!r} is unknown: use one of {sorted(MODULES)}, a torch.nn.Module class, a factory or an "
        "instance."
    )


def _known_sizes(n_features, n_classes, image_shape, hidden_layer_sizes):
    inputs = dict.fromkeys(("n_features", "in_features", "input_size", "input_dim"), n_features)
    outputs = dict.fromkeys(("n_classes", "num_classes", "out_features", "output_size", "output_dim"), n_classes)
    sizes = {**inputs, **outputs, "image_shape": image_shape, "hidden_layer_sizes": hidden_layer_sizes}
    if image_shape is not None:
        sizes["in_channels"] = image_shape[0]
    return sizes


def _check_takes(factory, module, module_params):
    """Check that the signature of a factory names the arguments that it is to get."""
    parameters = inspect.signature(factory).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind in NAMED]
    unknown = [name for name in module_params if name not in names]
    if unknown and inspect.Parameter.VAR_KEYWORD not in [parameter.kind for parameter in parameters]:
        raise TypeError(
            f"module__{unknown[0]} is no parameter of module={module!r}: use one of "
            f"{[f'module__{name}' for name in dict.fromkeys([*names, 'normalization'])]}, or another module."
        )


def _accepted(factory, sizes):
    """Return those sizes that the signature of a factory names, less those it would rather default."""
    parameters = inspect.signature(factory).parameters
    return {
        name: value
        for name, value in sizes.items()
        if name in parameters and (value is not None or parameters[name].default is inspect.Parameter.empty)
    }


def check_logits(network, rows, n_classes):
    """Check on a few rows that a network returns one logit for each class, in evaluation and in training mode.

    Parameters
    ----------
    network : torch.nn.Module
    rows : Tensor of shape (n, n_features) or (n, channels, height, width)
    n_classes : int

    Raises
    ------
    ValueError
        If the network fails on the rows, changes them, returns another shape, NaN or further outputs, or returns
        probabilities.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import check_logits
    >>> check_logits(torch.nn.Linear(4, 3), torch.zeros(2, 4), n_classes=3)
    """
    outputs = _outputs(network, rows)
    _check_shape(network, outputs, (len(rows), n_classes))
    if outputs.isnan().any():
        raise ValueError(
            f"module {type(network).__name__} returns NaN for rows of X: look where it takes a logarithm, a root or a "
            "quotient."
        )
    _check_training(network, rows, n_classes)
    if _are_probabilities(outputs):
        raise ValueError(
            f"module {type(network).__name__} returns probabilities (its outputs lie in [0, 1] and add up to 1): "
            "remove the softmax at its end, so that it returns logits."
        )


def check_trainable(network):
    """Raise a ValueError if a network has no parameter to train."""
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError(
            f"module {type(network).__name__} has no parameter to train: leave some with requires_grad=True, those of "
            "its last layer, say."
        )


def _check_shape(network, outputs, expected, mode=""):
    """Check that outputs are a tensor of the expected shape, one column for each class."""
    is_tensor = isinstance(outputs, torch.Tensor)
    got = tuple(outputs.shape) if is_tensor else type(outputs).__name__
    if got != expected:
        remedy = f"set its number of outputs to {expected[1]}" if is_tensor else "return the logits alone"
        raise ValueError(
            f"module {type(network).__name__} must return one logit for each of {expected[1]} classes, shape "
            f"{expected}, got {got}{mode}: {remedy}."
        )


def _check_training(network, rows, n_classes):
    """Check the shape of the outputs in training mode, in which some networks return further heads."""
    devices = [rows.device] if rows.device.type == "cuda" else []
    try:
        twin = copy.deepcopy(network).train()  # for statistics of batches and counters move in this mode
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            outputs = twin(rows.clone())
    except Exception:  # batches may be too small here; if not, training is to say what is wrong
        return
    _check_shape(network, outputs, (len(rows), n_classes), mode=" in training mode")


def _outputs(network, rows):
    """Return the outputs of a network in evaluation mode, and check that it leaves the rows as they are."""
    name, given = type(network).__name__, rows.clone()
    try:
        with torch.no_grad():
            outputs = network.eval()(given)
    except Exception as error:
        raise ValueError(
            f"module {name} failed on rows of shape {tuple(rows.shape)}: {type(error).__name__}: {error} "
            "Fit its input size with module__ parameters, or set image_shape if it wants images."
        ) from error
    finally:
        network.train()
    if not torch.equal(given, rows):
        raise ValueError(
            f"module {name} changes its input in place, which may be your X: set inplace=False in its first layers."
        )
    return outputs


def _are_probabilities(outputs):
    ones = torch.ones(len(outputs), dtype=outputs.dtype, device=outputs.device)
    return bool((outputs >= 0).all()) and torch.allclose(outputs.sum(dim=1), ones, atol=1e-4)
