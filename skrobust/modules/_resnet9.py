"""ResNet9."""

import collections

from torch import nn

from skrobust.modules._checks import check_image_shape, check_size
from skrobust.modules._convolutional import ConvolutionalNetwork
from skrobust.modules._residual import ResidualBlock, unit

LOGIT_SCALE = 0.125


class ResNet9(ConvolutionalNetwork):
    """ResNet9, the quick residual network of the DAWNBench competition; images of any size in, logits out.

    Parameters
    ----------
    image_shape : tuple of int
        (channels, height, width).
    n_classes : int
    width : int, default=64
        Channels of the first layer; those behind it have 2, 4 and 8 times as many.
    activation : str, callable or torch.nn.Module, default="relu"
        "relu", "sigmoid", "celu", "mish", "tanh" or "softplus", or what returns a new activation module.

    Raises
    ------
    ValueError
        If a size is no positive whole number, or the activation is unknown.

    Notes
    -----
    Images of 3 channels and 10 classes make 6,573,120 parameters. As in the original, the last layer has no bias and
    its outputs are multiplied by 0.125. Max pooling over all positions at the end, and over what there is of a window
    at an edge, lets images have any size.

    References
    ----------
    D. Page: How to train your ResNet. Myrtle.ai, 2018.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import ResNet9
    >>> ResNet9((1, 8, 8), 10, width=8)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, image_shape, n_classes, width=64, activation="relu"):
        check_image_shape("ResNet9", image_shape)
        check_size("ResNet9", "n_classes", n_classes)
        check_size("ResNet9", "width", width)
        super().__init__(
            collections.OrderedDict(
                stem=unit(image_shape[0], width, 3, 1, activation),
                stage1=nn.Sequential(*_halving(width, activation), _block(2 * width, activation)),
                stage2=nn.Sequential(*_halving(2 * width, activation)),
                stage3=nn.Sequential(*_halving(4 * width, activation), _block(8 * width, activation)),
                pool=nn.AdaptiveMaxPool2d(1),
                flatten=nn.Flatten(),
                classifier=nn.Linear(8 * width, n_classes, bias=False),
                scale=Scale(LOGIT_SCALE),
            )
        )


def _halving(n_in, activation):
    return unit(n_in, 2 * n_in, 3, 1, activation), nn.MaxPool2d(2, ceil_mode=True)


def _block(width, activation):
    return ResidualBlock(nn.Sequential(*(unit(width, width, 3, 1, activation) for _ in range(2))))


class Scale(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, X):
        """Return a multiple of the input."""
        return self.factor * X

    def extra_repr(self):
        """Return what stands in the parentheses of the repr."""
        return str(self.factor)
