"""Noise inside the network: anchors and neighbors in the activations of a layer."""

import contextlib

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from skrobust.data import Moments
from skrobust.unlabeled import Support

# Rows whose activations tell the scale of a layer, and how many of them go through the network at a time.
MEASURED_ROWS, ROWS_AT_A_TIME = 2048, 256


class LayerSupport:
    """What is known of the activations of the training rows: a :class:`Support` that training renews."""

    current = None

    def __getattr__(self, name):
        return getattr(self.current, name)


class LayerSpace:
    """The activations of a named layer as the space in which a penalty acts.

    Parameters
    ----------
    layer : str
    noise_units : {"global", "std"}
    weight : ndarray of shape (n,), default=None
        Weights of the training rows in D, without those of their classes.

    Attributes
    ----------
    support : LayerSupport
        D, unit and range of the activations.
    """

    def __init__(self, layer, noise_units, weight=None):
        self.layer = layer
        self.noise_units = noise_units
        self.weight = weight
        self.support = LayerSupport()
        self.cut = None

    def encode(self, forward, rows, layout):
        """Return the activations of rows."""
        forward.lay_out(len(rows), layout)
        return forward.applied(self.cut.encode, forward.shaped(rows))

    def passes(self, forward):
        """Return the passes from the activations to the logits."""
        return HeadPasses(self.cut, forward)

    def begin_epoch(self, forward, rows):
        """Measure the activations of evenly spaced training rows; it draws no random numbers and changes nothing."""
        step = -(-len(rows) // MEASURED_ROWS)
        X = rows.X[::step].to(forward.device, copy=True)
        weight = None if self.weight is None else self.weight[::step]
        if self.cut is None:
            self.cut = self._cut(forward, X[:8])
        with forward.evaluating(), batch_statistics(forward), torch.no_grad():
            chunks = X.tensor_split(-(-len(X) // ROWS_AT_A_TIME))
            activations = torch.cat([forward.applied(self.cut.encode, forward.shaped(chunk)) for chunk in chunks])
        self.support.current = Support.from_moments(
            Moments.of(activations.numpy(force=True), weight),
            noise_units=self.noise_units,
            dtype=activations.dtype,
            device=activations.device,
        )

    def _cut(self, forward, X):
        try:
            return forward.cut(self.layer, X)
        except ValueError as error:
            # A sentence about the layer, which is a parameter of the classifier by another name.
            raise ValueError(f"noise_{error}") from error


def check_layer(network, layer):
    """Check that a network has a layer of this name, whether or not it can be cut there.

    Raises
    ------
    ValueError
        If it has none.
    """
    network = getattr(network, "_orig_mod", network)  # a compiled one
    names = [name for name, _ in network.named_modules(remove_duplicate=False) if name]
    if layer not in names:
        raise ValueError(
            f"noise_layer={layer!r} is not a layer of {type(network).__name__}: use one of {names}, or "
            "noise_layer=None."
        )


@contextlib.contextmanager
def batch_statistics(forward):
    """Within this context, normalize batches by their own statistics, as training does, and keep none of them.

    In the first epochs, the kept statistics of a network are far from those by which it is trained.
    """
    layers = [layer for layer in forward.network.modules() if isinstance(layer, _BatchNorm)]
    before = [(layer, layer.momentum, layer.num_batches_tracked) for layer in layers]
    forward.labeled.n = None
    for layer in layers:
        layer.training, layer.momentum, layer.num_batches_tracked = True, 0.0, None
    try:
        yield
    finally:
        for layer, momentum, n_batches in before:
            layer.training, layer.momentum, layer.num_batches_tracked = False, momentum, n_batches


class HeadPasses:
    """The passes of training through the part of a network behind a cut.

    Parameters
    ----------
    cut : skrobust.modules.Cut
    whole : skrobust._net.Passes
    """

    def __init__(self, cut, whole):
        self.cut = cut
        self.whole = whole

    def __call__(self, points, layout):
        """Return the logits of activations in one pass (see :class:`skrobust._objective.Layout`)."""
        self.whole.lay_out(len(points), layout)
        return self.whole.applied(self.cut.head, points)

    @contextlib.contextmanager
    def evaluating(self):
        """Within this context, the network is in evaluation mode; yield the function from activations to logits."""
        with self.whole.evaluating():
            yield lambda points: self.whole.applied(self.cut.head, points)
