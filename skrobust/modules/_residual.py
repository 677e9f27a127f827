"""What residual networks are made of."""

import itertools

from torch import nn

from skrobust.modules._activations import new_activation

IMAGENET_SIDE = 64


class ResidualBlock(nn.Module):
    """The sum of a path and a shortcut: ``after(path(Z) + shortcut(Z))`` with ``Z = before(X)``.

    Parameters
    ----------
    path, shortcut : torch.nn.Module
        Their outputs have one shape.
    before, after : torch.nn.Module, default=torch.nn.Identity()
    """

    def __init__(self, path, shortcut=None, *, before=None, after=None):
        super().__init__()
        self.before = before or nn.Identity()
        self.path = path
        self.shortcut = shortcut or nn.Identity()
        self.after = after or nn.Identity()

    def forward(self, X):
        """Return activations for activations of the layer before."""
        X = self.before(X)
        return self.after(self.path(X) + self.shortcut(X))


def convolution(n_in, n_out, side, stride=1):
    """Return a convolution of odd side that keeps the size of images (up to the stride), without bias, by He et al."""
    layer = nn.Conv2d(n_in, n_out, side, stride, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def unit(n_in, n_out, side, stride=1, activation=None):
    """Return a convolution, batch normalization and, if there is one, an activation."""
    last = [] if activation is None else [new_activation(activation)]
    return nn.Sequential(convolution(n_in, n_out, side, stride), nn.BatchNorm2d(n_out), *last)


def residual_path(n_in, n_out, stride, *, expansion, activation):
    """Return the units of a block with two convolutions or, with expansion, of a bottleneck with three."""
    if expansion == 1:
        return [unit(n_in, n_out, 3, stride, activation), unit(n_out, n_out, 3)]
    width = n_out // expansion
    return [unit(n_in, width, 1, 1, activation), unit(width, width, 3, stride, activation), unit(width, n_out, 1)]


def stages(make_block, widths, n_blocks):
    """Return the stages of a network by name: stages after the first halve the sides of images.

    Parameters
    ----------
    make_block : callable
        Maps n_in, n_out and stride to a block.
    widths : sequence of int
        Channels before the first stage, and behind each stage.
    n_blocks : sequence of int
        Blocks of each stage.
    """
    named = {}
    for index, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        blocks = [make_block(n_in, n_out, 1 if index == 0 else 2)]
        blocks += [make_block(n_out, n_out, 1) for _ in range(n_blocks[index] - 1)]
        named[f"stage{index + 1}"] = nn.Sequential(*blocks)
    return named


def classifier(n_in, n_classes):
    """Return the last layers, by name: the mean over all positions, and logits."""
    return {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "classifier": nn.Linear(n_in, n_classes)}


def is_small(stem, image_shape):
    """Return whether a network begins without strides, as is done for small images.

    Raises
    ------
    ValueError
        If the stem is unknown.
    """
    if stem not in ("auto", "small", "imagenet"):
        raise ValueError(f"stem={stem!r} is unknown: use 'auto', 'small' or 'imagenet'.")
    return stem == "small" or (stem == "auto" and min(image_shape[1:]) < IMAGENET_SIDE)
