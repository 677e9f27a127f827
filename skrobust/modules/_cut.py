"""A network cut in two at a named layer."""

import copy

import torch

from skrobust.modules._trace import NoCutError, ancestors_of, halves_of

# Of the layers that a message may name, and of the rows that these are tried on: it is to come soon.
MOST_TRIED = 40
MOST_ROWS = 8


def cut_at(network, layer, rows):
    """Cut a network in two behind a layer, so that noise can be added to the activations of this layer.

    The cut is true: the activations of the layer alone determine the logits. It shares modules, parameters and modes
    with the network, takes part in what an optimizer does to it, and goes with it to another device.

    Parameters
    ----------
    network : torch.nn.Module
        Takes rows and returns logits. It is tried in a copy and stays as it is.
    layer : str
        Name of a module of the network, as in ``network.named_modules()``.
    rows : Tensor of shape (n, ...)
        A few rows in the shape, type and place that the network wants them; the cut is checked on them.

    Returns
    -------
    cut : Cut
        ``cut.encode(rows)`` runs the network up to and with the layer and returns activations, a tensor of shape
        (n, ``cut.n_features``). ``cut.head(activations)`` runs the rest and returns logits, and leaves the activations
        as they are. Both are differentiable. ``cut.shape`` is the shape of the activations of a row in the network.

    Raises
    ------
    ValueError
        If no layer has this name; if the layer runs not at all or several times in a pass; if a connection leads around
        it; if its output is not a tensor with a row for each row; if the forward of a module around it cannot be
        traced; or if both halves together are not the network. The message lists layers where a cut is possible.

    Notes
    -----
    The forward of each module around the layer is traced once by ``torch.fx``, in training mode and in evaluation
    mode; all other modules run as they are. What is neither a module nor a parameter of the traced ones, such as a
    number, stays as it was then. A network compiled by ``torch.compile`` is cut as it was before. Of forward hooks,
    those of the network itself and of modules around the layer see the trace only.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import MLP, cut_at
    >>> network, rows = MLP(4, 3, hidden_layer_sizes=(8, 5)), torch.randn(6, 4)
    >>> cut = cut_at(network, "2", rows)
    >>> cut.encode(rows).shape
    torch.Size([6, 8])
    >>> torch.equal(cut.head(cut.encode(rows)), network(rows))
    True
    """
    network = getattr(network, "_orig_mod", network)
    if layer not in dict(network.named_modules(remove_duplicate=False)) or not layer:
        raise ValueError(f"layer={layer!r} is not a layer of {type(network).__name__}: {_remedy(network, layer, rows)}")
    try:
        cuts = _cuts_of(copy.deepcopy(network), layer, rows)
    except NoCutError as error:
        message = f"layer={layer!r} of {type(network).__name__} {error}: {_remedy(network, layer, rows)}"
        raise ValueError(message) from error.__cause__
    return Cut(network, layer, cuts[0].shape, {**cuts[0].halves_by_modes, **cuts[1].halves_by_modes})


class Cut:
    """A network in two halves, made by :func:`cut_at`.

    Parameters
    ----------
    network : torch.nn.Module
    layer : str
    shape : tuple of int
        Shape of the activations of one row.
    halves_by_modes : dict
        From the modes (training or not) of the modules around the layer to the pair of parts for these modes.
    """

    def __init__(self, network, layer, shape, halves_by_modes):
        self.network = network
        self.layer = layer
        self.shape = shape
        self.halves_by_modes = halves_by_modes
        self._around = ancestors_of(network, layer)

    @property
    def n_features(self):
        """Number of activations of a row."""
        return torch.Size(self.shape).numel()

    def encode(self, rows):
        """Return the activations of rows, a tensor of shape (n, n_features); nothing behind the layer runs."""
        front, _ = self._halves()
        return front(self.network, rows).reshape(len(rows), self.n_features)

    def head(self, activations):
        """Return the logits for activations of shape (n, n_features); nothing up to the layer runs."""
        _, head = self._halves()
        # A copy, for layers that work in place would overwrite the activations of the caller.
        return head(self.network, activations.reshape(-1, *self.shape).clone())

    def _halves(self):
        modes = _modes_of(self._around)
        if modes not in self.halves_by_modes:
            raise ValueError(
                f"modules around layer={self.layer!r} are in training and in evaluation mode: call train() or eval() "
                "of the whole network."
            )
        return self.halves_by_modes[modes]


def _modes_of(modules):
    return tuple(module.training for module in modules)


def _cuts_of(twin, layer, rows):
    """Return the cuts of a network in evaluation and in training mode."""
    with _same_random_numbers(rows):
        return [_cut_in_mode(twin, layer, rows, training) for training in (False, True)]


def _cut_in_mode(twin, layer, rows, training):
    """Return the cut of a network in training or evaluation mode, checked on rows."""
    twin.train(training)
    if training and len(rows) == 1:
        rows = torch.cat([rows, rows])  # batch normalization cannot train on one
    front, head = halves_of(twin, layer)
    with torch.no_grad():
        values = front.values(twin, rows.clone())
    activations = values[front.end]
    if not (isinstance(activations, torch.Tensor) and activations.ndim and len(activations) == len(rows)):
        raise NoCutError("does not return one tensor with a row for each row")
    modes = _modes_of(ancestors_of(twin, layer))
    cut = Cut(twin, layer, tuple(activations.shape[1:]), {modes: (front, head.with_sizes(values, len(rows)))})
    _check_equal(twin, cut, rows)
    return cut


def _check_equal(network, cut, rows):
    """Check that both halves together are the network: its logits, and what their gradient reaches."""
    expected, reached = _outcome(network, network, rows)
    outputs, reached_by_cut = _outcome(network, lambda rows: cut.head(cut.encode(rows)), rows)
    if not _close(outputs, expected) and _close(_outcome(network, network, rows)[0], expected):
        raise NoCutError("parts the network in halves that together return other logits than the network")
    if reached_by_cut != reached:
        raise NoCutError("lies in a module whose forward turns gradients off or on, which a cut cannot")


def _outcome(network, function, rows):
    """Return what a function makes of rows and, in training mode, to which parameters and rows gradients come."""
    leaves = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rows = rows.detach().clone()
    if rows.is_floating_point():
        leaves.append(rows.requires_grad_())
    with _same_random_numbers(rows), torch.enable_grad():
        outputs = function(rows.clone())
        if not (network.training and outputs.requires_grad):
            return outputs.detach(), outputs.requires_grad
        gradients = torch.autograd.grad(outputs.sum(), leaves, allow_unused=True)
    return outputs.detach(), [gradient is not None for gradient in gradients]


def _same_random_numbers(rows):
    """Leave the random numbers of the device of rows as they were, to be drawn again."""
    return torch.random.fork_rng(devices=[rows.device] if rows.device.type == "cuda" else [])


def _close(outputs, expected):
    if outputs.shape != expected.shape or outputs.dtype != expected.dtype:
        return False
    tolerance = torch.finfo(expected.dtype).eps ** 0.5
    scale = expected.abs().max().item()
    return torch.allclose(outputs, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def _remedy(network, refused, rows):
    """Return the end of a message that names the layers of a network where a cut is possible."""
    twin = copy.deepcopy(network)
    names = [name for name, _ in twin.named_modules() if name not in ("", refused) and _is_possible(twin, name)]
    tried = names[:: 1 + len(names) // MOST_TRIED]  # from all over the network
    possible = [name for name in tried if _is_cut(twin, name, rows[:MOST_ROWS])]
    return f"use one of {possible}." if possible else "it has no layer where a cut is possible."


def _is_possible(network, layer):
    """Return whether the graph of a network allows a cut, which is to be tried on rows."""
    try:
        halves_of(network, layer)
    except NoCutError:
        return False
    return True


def _is_cut(twin, layer, rows):
    try:
        _cuts_of(twin, layer, rows)
    except Exception:  # of any kind, as half a network may raise: such a layer is no remedy
        return False
    return True
