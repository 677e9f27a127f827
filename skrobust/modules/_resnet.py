"""ResNet, and its variant XResNet."""

import collections
import functools
import math

import torch
from torch import nn

from skrobust._numbers import is_whole
from skrobust.modules._activations import new_activation
from skrobust.modules._checks import check_image_shape, check_size
from skrobust.modules._convolutional import ConvolutionalNetwork
from skrobust.modules._residual import ResidualBlock, classifier, is_small, residual_path, stages, unit

LAYOUTS = {18: (1, (2, 2, 2, 2)), 34: (1, (3, 4, 6, 3)), 50: (4, (3, 4, 6, 3))}  # expansion, blocks of each stage
REDUCTION = 16


class ResNet(ConvolutionalNetwork):
    """ResNet of 18, 34 or 50 layers; images of any size in, logits out.

    Parameters
    ----------
    image_shape : tuple of int
        (channels, height, width).
    n_classes : int
    depth : {18, 34, 50}, default=18
    width : int, default=64
        Channels of the first stage; the stages behind it have 2, 4 and 8 times as many. 50 layers have 4 times as many
        behind each stage.
    stem : {"auto", "small", "imagenet"}, default="auto"
        The first layers: "imagenet" is a convolution of 7 x 7 with stride 2 and max pooling, "small" a convolution of
        3 x 3 alone, as usual on CIFAR. "auto" is "small" for images whose shorter side has fewer than 64 pixels.
    activation : str, callable or torch.nn.Module, default="relu"
        "relu", "sigmoid", "celu", "mish", "tanh" or "softplus", or what returns a new activation module.

    Raises
    ------
    ValueError
        If a size is no positive whole number, or depth, stem or activation is unknown.

    Notes
    -----
    With the stem "imagenet", 3 channels and 1000 classes the networks have 11,689,512, 21,797,672 and 25,557,032
    parameters, as those of torchvision. The bottleneck has its stride in the convolution of 3 x 3.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Deep Residual Learning for Image Recognition. CVPR 2016, arXiv:1512.03385.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import ResNet
    >>> ResNet((1, 8, 8), 10, width=8)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, image_shape, n_classes, depth=18, width=64, stem="auto", activation="relu"):
        _check_sizes("ResNet", image_shape, n_classes, width)
        small = is_small(stem, image_shape)
        first = unit(image_shape[0], width, 3 if small else 7, 1 if small else 2, activation)
        block = functools.partial(_block, activation=activation)
        super().__init__(_layers(first, small, block, depth, width, n_classes))


class XResNet(ConvolutionalNetwork):
    """XResNet of 18, 34 or 50 layers, as in fastai; images of any size in, logits out.

    A ResNet that begins with three convolutions of 3 x 3, whose shortcuts average where they halve an image, and whose
    blocks begin as the identity: the last batch normalization of each is zero at first.

    Parameters
    ----------
    image_shape : tuple of int
        (channels, height, width).
    n_classes : int
    depth : {18, 34, 50}, default=18
    width : int, default=64
        Channels of the first stage, at least 2; the stages behind it have 2, 4 and 8 times as many. 50 layers have 4
        times as many behind each stage.
    squeeze_excitation : bool, default=False
        Weigh the channels at the end of each block by what is in the whole image, with a reduction of 16.
    self_attention : bool, default=False
        Let positions attend to one another at the end of the first stage.
    stem : {"auto", "small", "imagenet"}, default="auto"
        Whether the first convolution has a stride of 2, with max pooling behind the third ("imagenet"), or not
        ("small"). "auto" is "small" for images whose shorter side has fewer than 64 pixels.
    activation : str, callable or torch.nn.Module, default="relu"
        "relu", "sigmoid", "celu", "mish", "tanh" or "softplus", or what returns a new activation module.

    Raises
    ------
    ValueError
        If a size is no positive whole number, or depth, stem or activation is unknown.

    References
    ----------
    T. He, Z. Zhang, H. Zhang, Z. Zhang, J. Xie, M. Li: Bag of Tricks for Image Classification with Convolutional Neural
    Networks. CVPR 2019, arXiv:1812.01187.

    J. Hu, L. Shen, G. Sun: Squeeze-and-Excitation Networks. CVPR 2018, arXiv:1709.01507.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import XResNet
    >>> XResNet((3, 16, 12), 10, width=8, squeeze_excitation=True)(torch.zeros(5, 3, 16, 12)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        image_shape,
        n_classes,
        depth=18,
        width=64,
        squeeze_excitation=False,
        self_attention=False,
        stem="auto",
        activation="relu",
    ):
        _check_sizes("XResNet", image_shape, n_classes, width, narrowest=2)
        small = is_small(stem, image_shape)
        first = nn.Sequential(
            unit(image_shape[0], width // 2, 3, 1 if small else 2, activation),
            unit(width // 2, width // 2, 3, 1, activation),
            unit(width // 2, width, 3, 1, activation),
        )
        block = functools.partial(_averaging_block, squeeze_excitation=squeeze_excitation, activation=activation)
        layers = _layers(first, small, block, depth, width, n_classes)
        if self_attention:
            layers["stage1"][-1].path.append(SelfAttention(LAYOUTS[depth][0] * width))
        super().__init__(layers)


def _check_sizes(network, image_shape, n_classes, width, narrowest=1):
    check_image_shape(network, image_shape)
    check_size(network, "n_classes", n_classes)
    check_size(network, "width", width, smallest=narrowest)


def _layers(first, small, block, depth, width, n_classes):
    """Return the layers of a network by name."""
    if not (is_whole(depth) and depth in LAYOUTS):
        raise ValueError(f"depth={depth!r} is not one of a ResNet: use one of {sorted(LAYOUTS)}.")
    expansion, n_blocks = LAYOUTS[depth]
    widths = [width] + [width * expansion * 2**index for index in range(4)]
    stem = first if small else nn.Sequential(*first, nn.MaxPool2d(3, stride=2, padding=1))
    named = stages(functools.partial(block, expansion=expansion), widths, n_blocks)
    return collections.OrderedDict(stem=stem, **named, **classifier(widths[-1], n_classes))


def _block(n_in, n_out, stride, *, expansion, activation):
    path = residual_path(n_in, n_out, stride, expansion=expansion, activation=activation)
    shortcut = None if n_in == n_out and stride == 1 else unit(n_in, n_out, 1, stride)
    return ResidualBlock(nn.Sequential(*path), shortcut, after=new_activation(activation))


def _averaging_block(n_in, n_out, stride, *, expansion, squeeze_excitation, activation):
    path = residual_path(n_in, n_out, stride, expansion=expansion, activation=activation)
    nn.init.zeros_(path[-1][1].weight)
    if squeeze_excitation:
        path.append(SqueezeExcitation(n_out, activation))
    shortcut = [] if stride == 1 else [nn.AvgPool2d(2, ceil_mode=True)]
    shortcut += [] if n_in == n_out else [unit(n_in, n_out, 1)]
    return ResidualBlock(nn.Sequential(*path), nn.Sequential(*shortcut), after=new_activation(activation))


class SqueezeExcitation(nn.Module):
    """Weights of channels in (0, 1), by two dense layers from the means over all positions."""

    def __init__(self, n_channels, activation):
        super().__init__()
        n_hidden = 8 * math.ceil(n_channels / REDUCTION / 8)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(n_channels, n_hidden, 1),
            new_activation(activation),
            nn.Conv2d(n_hidden, n_channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, X):
        """Return activations with weighted channels."""
        return X * self.weigh(X)


class SelfAttention(nn.Module):
    """Attention of positions to one another, without softmax, added by a weight that is zero at first.

    The weights are divided by their largest singular value, which a step of power iteration per pass in training mode
    follows.
    """

    def __init__(self, n_channels):
        super().__init__()
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(n_channels, n_channels)))
        self.gamma = nn.Parameter(torch.zeros(1))
        self.register_buffer("direction", nn.functional.normalize(torch.randn(n_channels), dim=0))

    def forward(self, X):
        """Return activations plus what each position takes from the others."""
        positions = X.flatten(2)
        moments = positions @ positions.transpose(1, 2)
        return X + self.gamma * (moments @ (self._normalized_weight() @ positions)).view_as(X)

    def _normalized_weight(self):
        with torch.no_grad():
            right = nn.functional.normalize(self.weight.T @ self.direction, dim=0)
            left = nn.functional.normalize(self.weight @ right, dim=0)
            if self.training:
                self.direction.copy_(left)
        return self.weight / (left @ self.weight @ right)
