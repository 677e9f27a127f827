"""What of a fitted estimator is pickled: arrays and plain values, in a format that has a version.

The networks that this package names are described by their name and sizes and built anew. Others are pickled as
objects, their tensors as arrays. Neither holds on to a device, and the optimizer is left out.
"""

import copy
import dataclasses
import itertools

import numpy as np
import torch
from torch import nn

from skrobust._net import OffSupportNet
from skrobust._version import __version__
from skrobust.data import Moments
from skrobust.modules import build_module

# Format 0 was the net itself, as skorch pickles it, and had no number.
FORMAT = 1
FORMAT_KEY, VERSION_KEY = "_skrobust_format", "_skrobust_version"
# The classes that skrobust.io saves, which cannot import them.
SAVABLE = set()


def savable(estimator_class):
    """Have :mod:`skrobust.io` save the instances of a class: its state is that of :func:`portable_state`."""
    SAVABLE.add(estimator_class)
    return estimator_class


def portable_state(state):
    """Return the state of an estimator, a dict, as it is to be pickled."""
    state = {**state, "accelerator": None, FORMAT_KEY: FORMAT, VERSION_KEY: __version__}
    if "net_" in state:
        state["net_"] = {**net_state(state["net_"]), "history": packed_history(state.pop("history_"))}
        state["_moments"] = dataclasses.asdict(state["_moments"])
        del state["n_iter_"]
    return state


def readable_state(state):
    """Return the attributes of an estimator from its pickled state; the net is on the CPU.

    Raises
    ------
    ValueError
        If the state is of a format that this version does not know.
    """
    state = dict(state)
    found, version = state.pop(FORMAT_KEY, 0), state.pop(VERSION_KEY, "unknown")
    if found > FORMAT:
        raise ValueError(
            f"the pickled classifier has format {found}, written by skrobust {version}, but skrobust {__version__} "
            f"reads formats up to {FORMAT}: install skrobust {version} or a later one."
        )
    if found and "net_" in state:
        history = unpacked_history(state["net_"]["history"])
        state.update(net_=restored_net(state["net_"], history), _moments=Moments(**state["_moments"]))
        state.update(history_=state["net_"].epochs(), n_iter_=len(history))
    if "net_" in state:
        state["net_"].has_lost_optimizer = True
    return state


def net_state(net):
    """Return what a net needs to predict, a dict of arrays and plain values, and the network if it has no name."""
    description = net_description(net)
    if is_as_named(net):
        return {**description, "weights": weights_of(net)}
    return {**description, "module": None, "network": PickledNetwork(network_of(net))}


def net_description(net):
    """Return what a net is like, its weights apart."""
    return {
        "module": net.module,
        "module_params": net.get_params_for("module"),
        "sizes": net.sizes,
        "row_shape": net.row_shape,
        "float_type": str(net.float_type).removeprefix("torch."),
        "autocast": net.autocast,
        "n_classes": len(net.classes),
    }


def network_of(net):
    """Return the network of a net as it was before it was compiled."""
    return getattr(net.module_, "_orig_mod", net.module_)


def weights_of(net):
    """Return the state of the network of a net as arrays, by name."""
    return {name: as_array(value) for name, value in network_of(net).state_dict().items()}


def restored_net(state, history):
    """Return the net that a state describes, with a history, on the CPU and without an optimizer."""
    network = state["network"].taken() if "network" in state else restored_network(state)
    net = OffSupportNet(
        type(network) if state["module"] is None else state["module"],
        sizes=state["sizes"],
        row_shape=state["row_shape"],
        float_type=getattr(torch, state["float_type"]),
        autocast=state["autocast"],
        classes=np.arange(state["n_classes"]),
        **{f"module__{name}": value for name, value in state["module_params"].items()},
    )
    net.initialize_with(network)
    for epoch in history:
        net.history.new_epoch()
        net.history[-1].update(epoch)
    return net


def restored_network(state):
    """Return the network that a state names, with its weights."""
    network = unfilled_network(state["module"], state["sizes"], state["module_params"])
    weights = {name: as_tensor(array) for name, array in state["weights"].items()}
    network.load_state_dict(weights, assign=True)
    # Convolutional networks of the package lay out their weights so, which arrays do not tell.
    return network.to(memory_format=torch.channels_last)


def unfilled_network(module, sizes, module_params):
    """Return a network whose parameters have shapes alone, which takes no memory and draws no random numbers."""
    params = dict(module_params)
    normalization = params.pop("normalization", None)
    with torch.device("meta"):
        network = build_module(module, **sizes, **params)
    # The constants of the normalization are looked at as it is made.
    return build_module(network, **sizes, normalization=normalization)


def is_as_named(net):
    """Return whether a network can be built anew: it is one of the package's own, and was not rebuilt by hand."""
    if not isinstance(net.module, str):
        return False
    network = network_of(net)
    twin = unfilled_network(net.module, net.sizes, net.get_params_for("module"))
    hooked = any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in network.modules())
    return not hooked and repr(twin) == repr(network) and shapes_of(twin) == shapes_of(network)


def shapes_of(network):
    """Return the shape of each tensor in the state of a network, by name."""
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


class PickledNetwork:
    """A network that is pickled as an object, its tensors as arrays.

    Parameters
    ----------
    network : torch.nn.Module
    is_own : bool, default=False
        Whether nobody else holds the network.
    """

    def __init__(self, network, is_own=False):
        self.network = network
        self.is_own = is_own

    def taken(self):
        """Return the network; a copy of it if somebody else holds it too, or if arrays still stand for tensors."""
        return self.network if self.is_own and not self._has_arrays() else copy.deepcopy(self.network)

    def _has_arrays(self):
        held = (values for part in self.network.modules() for values in (part._parameters, part._buffers))
        return any(isinstance(value, _PickledTensor) for values in held for value in values.values())

    def __reduce__(self):
        tensors = itertools.chain(self.network.parameters(), self.network.buffers())
        memo = {id(tensor): _PickledTensor.of(tensor) for tensor in tensors if _is_plain(tensor)}
        return type(self), (copy.deepcopy(self.network, memo), True)


@dataclasses.dataclass(eq=False)
class _PickledTensor:
    """Stands for a tensor in a network that is about to be pickled; what comes back is a tensor."""

    array: np.ndarray
    is_parameter: bool
    requires_grad: bool
    has_channels_last: bool

    @classmethod
    def of(cls, tensor):
        """Return what stands for a tensor."""
        has_channels_last = tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        return cls(as_array(tensor), isinstance(tensor, nn.Parameter), tensor.requires_grad, has_channels_last)

    def __reduce__(self):
        return _tensor, (self.array, self.is_parameter, self.requires_grad, self.has_channels_last)


def _tensor(array, is_parameter, requires_grad, has_channels_last=False):
    """Return the tensor that was pickled as an array; the default is for files that were written without the last."""
    tensor = as_tensor(array)
    if has_channels_last:
        tensor = tensor.to(memory_format=torch.channels_last)
    return nn.Parameter(tensor, requires_grad) if is_parameter else tensor.requires_grad_(requires_grad)


def _is_plain(tensor):
    """Return whether an array can stand for a tensor; torch pickles the others, such as sparse and bfloat16 ones."""
    known = (torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.uint8, torch.int8, torch.bool)
    return type(tensor) in (torch.Tensor, nn.Parameter) and tensor.layout == torch.strided and tensor.dtype in known


def as_array(tensor):
    """Return the values of a tensor on any device as an array, which may share its memory."""
    return tensor.detach().cpu().numpy()


def as_tensor(array):
    """Return a tensor that shares nothing with an array, which may be mapped into memory or of another byte order."""
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def packed_history(history):
    """Return a list of dicts as triples (names, length, columns), one for each run of epochs with the same names."""
    packed = []
    for names, epochs in itertools.groupby(history, key=tuple):
        epochs = list(epochs)
        packed.append((names, len(epochs), [_packed([epoch[name] for epoch in epochs]) for name in names]))
    return packed


def unpacked_history(packed):
    """Return the list of dicts that :func:`packed_history` packed."""
    history = []
    for names, n_epochs, columns in packed:
        values = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
        history += [{name: column[i] for name, column in zip(names, values, strict=True)} for i in range(n_epochs)]
    return history


def _packed(values):
    """Return an array of floats or small integers, or the values themselves."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return np.array(values)
    if kinds == {int} and max(map(abs, values)) < 2**31:
        return np.array(values, dtype=np.int16 if max(map(abs, values)) < 2**15 else np.int32)
    return values
