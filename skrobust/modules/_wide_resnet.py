"""WideResNet."""

import collections
import functools

from torch import nn

from skrobust._numbers import is_whole
from skrobust.modules._activations import new_activation
from skrobust.modules._checks import check_image_shape, check_size
from skrobust.modules._convolutional import ConvolutionalNetwork
from skrobust.modules._residual import ResidualBlock, classifier, convolution, stages


class WideResNet(ConvolutionalNetwork):
    """Wide residual network with activations before convolutions; images of any size in, logits out.

    It is made for small images: no layer before the second stage has a stride.

    Parameters
    ----------
    image_shape : tuple of int
        (channels, height, width).
    n_classes : int
    depth : int, default=28
        Number of convolutions on the way through, 6 n + 4 for n blocks in each of three stages: 10, 16, 22, 28, 34...
    width : int, default=10
        The stages have 16, 32 and 64 times as many channels.
    dropout : float, default=0.0
        Share of activations dropped between the two convolutions of a block.
    activation : str, callable or torch.nn.Module, default="relu"
        "relu", "sigmoid", "celu", "mish", "tanh" or "softplus", or what returns a new activation module.

    Raises
    ------
    ValueError
        If a size is no positive whole number, the depth is not 6 n + 4, or the activation is unknown.

    Notes
    -----
    WideResNet-28-10 has 36,479,194 parameters for images of 3 channels and 10 classes.

    References
    ----------
    S. Zagoruyko, N. Komodakis: Wide Residual Networks. BMVC 2016, arXiv:1605.07146.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import WideResNet
    >>> WideResNet((1, 8, 8), 10, depth=10, width=1)(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, image_shape, n_classes, depth=28, width=10, dropout=0.0, activation="relu"):
        check_image_shape("WideResNet", image_shape)
        check_size("WideResNet", "n_classes", n_classes)
        check_size("WideResNet", "width", width)
        if not is_whole(depth, least=10) or (depth - 4) % 6:
            raise ValueError(f"depth={depth!r} of a WideResNet must be 6 n + 4: use 10, 16, 22, 28, 34 or 40.")
        n_blocks = (depth - 4) // 6
        widths = [16, 16 * width, 32 * width, 64 * width]
        block = functools.partial(_block, dropout=dropout, activation=activation)
        super().__init__(
            collections.OrderedDict(
                stem=convolution(image_shape[0], 16, 3),
                **stages(block, widths, [n_blocks] * 3),
                norm=nn.BatchNorm2d(widths[-1]),
                activation=new_activation(activation),
                **classifier(widths[-1], n_classes),
            )
        )


def _block(n_in, n_out, stride, *, dropout, activation):
    first = [nn.BatchNorm2d(n_in), new_activation(activation)]
    drop = [nn.Dropout(dropout)] if dropout else []
    path = [
        convolution(n_in, n_out, 3, stride),
        nn.BatchNorm2d(n_out),
        new_activation(activation),
        *drop,
        convolution(n_out, n_out, 3),
    ]
    if n_in == n_out and stride == 1:
        return ResidualBlock(nn.Sequential(*first, *path))
    # Where the size changes, the shortcut branches off behind the first activation.
    return ResidualBlock(nn.Sequential(*path), convolution(n_in, n_out, 1, stride), before=nn.Sequential(*first))
