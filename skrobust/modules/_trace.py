"""The steps of a network up to a layer and behind it, by torch.fx."""

import operator

import torch
from torch import fx
from torch.fx.node import map_arg


class NoCutError(ValueError):
    """A network cannot be cut at a layer; the message goes on from the name of the layer."""


class _Rows(torch.nn.Module):
    """A network as a function of rows alone: its other arguments keep their defaults."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, rows):
        return self.network(rows)


class _AroundLayer(fx.Tracer):
    """Tracer into the modules that have a layer in them; every other module is one step."""

    proxy_buffer_attributes = True

    def __init__(self, layer, own):
        super().__init__()
        self.layer = layer
        self.own = own
        self.own_tensors = {id(tensor) for module in own for tensor in _tensors_of(module)}

    def is_leaf_module(self, m, module_qualified_name):
        """Return whether a module is one step."""
        return m is self.layer or not _has_within(m, self.layer)

    def call_module(self, m, forward, args, kwargs):
        """Record a call; networks of other threads, and modules made within a forward, run as they are."""
        return super().call_module(m, forward, args, kwargs) if m in self.own else forward(*args, **kwargs)

    def create_arg(self, a):
        """Return an argument of a step, but refuse a tensor that the trace would make a constant."""
        if isinstance(a, torch.Tensor) and id(a) not in self.own_tensors:
            raise NoCutError("lies in a module whose forward makes tensors of its own")
        return super().create_arg(a)


def _tensors_of(module):
    return (*module._parameters.values(), *module._buffers.values())


def _has_within(module, layer):
    return any(part is layer for part in module.modules())


def ancestors_of(network, layer):
    """Return the modules around a named layer, the network first."""
    inner = network.get_submodule(layer)
    return [module for module in network.modules() if module is not inner and _has_within(module, inner)]


def halves_of(network, layer):
    """Return the part of a network up to a named layer, and the part behind it.

    Raises
    ------
    NoCutError
        If the layer does not run exactly once, more than its output is used behind it, or a forward cannot be traced.
    """
    inner = network.get_submodule(layer)
    nodes = _traced(network, inner)
    calls = [node for node in nodes if node.op == "call_module" and _fetched(network, node) is inner]
    if len(calls) != 1:
        raise NoCutError(f"runs {len(calls)} times in a pass, not once")
    place = nodes.index(calls[0])
    rows, *front = nodes[: place + 1]
    *behind, output = nodes[place + 1 :]
    return Part(rows, front, calls[0]), _head(calls[0], set(nodes[:place]), behind, output)


def _traced(network, inner):
    """Return the nodes of the graph of a network in which a layer is one step."""
    root = _Rows(network)
    try:
        return list(_AroundLayer(inner, set(root.modules())).trace(root).nodes)
    except NoCutError:
        raise
    except Exception as error:
        message = f"lies in a module whose forward torch.fx cannot trace ({type(error).__name__}: {error})"
        raise NoCutError(message) from error


def _head(cut, before, behind, output):
    """Return the part behind a cut."""
    needs = _Needs(before)
    sizes = [node for node in behind if _reads_shape(node) and node.args[0] in before]
    steps = [node for node in behind if node not in sizes]
    for node in (*steps, output):
        needs.add_inputs(node)
    return Part(cut, needs.repeated + steps, output.args[0], dict.fromkeys(sizes + needs.sizes))


class _Needs:
    """What the steps behind a cut need of those before it: sizes, and steps that do not depend on the rows."""

    def __init__(self, before):
        self.before = before
        self.sizes = []
        self.repeated = []

    def add_inputs(self, node):
        """Add what a step takes from before the cut."""
        for given in node.all_input_nodes:
            if given in self.before and given not in (*self.sizes, *self.repeated):
                self._add(given)

    def _add(self, node):
        if _reads_shape(node):
            self.sizes.append(node)
        elif _is_function(node):
            self.add_inputs(node)
            self.repeated.append(node)
        else:
            raise NoCutError("has a connection around it, so that its activations alone do not determine the logits")


def _is_function(node):
    """Return whether a step is a parameter or a function of what other steps return."""
    return node.op == "get_attr" or (node.op in ("call_function", "call_method") and bool(node.all_input_nodes))


def _reads_shape(node):
    """Return whether a step is ``t.shape`` or ``t.size()`` for a tensor t that is no parameter."""
    is_size = node.op == "call_method" and node.target == "size"
    is_shape = node.op == "call_function" and node.target is getattr and node.args[1] == "shape"
    return (is_size or is_shape) and node.args[0].op != "get_attr"


class Part:
    """Consecutive steps of a network, which run with its modules and parameters as they stand.

    Parameters
    ----------
    start : Node
        Where the values come in.
    nodes : list of Node
        The steps.
    end : Node or collection of Nodes
        What is returned.
    sizes : dict, default={}
        From steps that read the shape of a tensor of another part to this shape, less the number of rows.
    """

    def __init__(self, start, nodes, end, sizes=None):
        self.start = start
        self.nodes = nodes
        self.end = end
        self.sizes = sizes or {}
        self._spent = self._last_uses()

    def __call__(self, network, value):
        """Return what the steps make of a value."""
        values = self._given(value)
        for node in self.nodes:
            values[node] = _step(network, node, values)
            for spent in self._spent.get(node, ()):
                del values[spent]  # its memory may be needed
        return map_arg(self.end, values.__getitem__)

    def values(self, network, value):
        """Return what every step makes of a value, by step."""
        values = self._given(value)
        for node in self.nodes:
            values[node] = _step(network, node, values)
        return values

    def with_sizes(self, values, n_rows):
        """Return this part with the shapes of tensors that another part has made of a number of rows."""
        shapes = {node: values[node.args[0]].shape for node in self.sizes}
        if any(not shape or shape[0] != n_rows for shape in shapes.values()):
            raise NoCutError("has sizes behind it that are neither constant nor the number of rows")
        return Part(self.start, self.nodes, self.end, {node: tuple(shape[1:]) for node, shape in shapes.items()})

    def _given(self, value):
        return {self.start: value, **{node: _size(node, (len(value), *tail)) for node, tail in self.sizes.items()}}

    def _last_uses(self):
        """Return the values to forget after each step."""
        kept = set()
        map_arg(self.end, kept.add)
        last = {given: node for node in self.nodes for given in node.all_input_nodes if given not in kept}
        spent = {}
        for given, node in last.items():
            spent.setdefault(node, []).append(given)
        return spent


def _size(node, shape):
    """Return what a step that reads a shape reads."""
    dim = node.args[1:] if node.op == "call_method" else ()
    dim = (*dim, *node.kwargs.values())
    return shape[dim[0]] if dim else torch.Size(shape)


def _step(network, node, values):
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    if node.op == "call_function":
        return node.target(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    fetched = _fetched(network, node)
    return fetched(*args, **kwargs) if node.op == "call_module" else fetched


def _fetched(network, node):
    """Return the module or parameter that a step names."""
    return operator.attrgetter(node.target.removeprefix("network."))(network)
