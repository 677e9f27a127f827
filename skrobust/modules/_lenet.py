"""LeNet-5."""

from torch import nn

from skrobust.modules._activations import new_activation
from skrobust.modules._checks import check_image_shape, check_size
from skrobust.modules._convolutional import ConvolutionalNetwork

SMALLEST_SIDE = 4


class LeNet(ConvolutionalNetwork):
    """LeNet-5 with max pooling: two convolutions of 5 x 5, three dense layers; images in, logits out.

    On 28 x 28 images this is the classic network. On smaller images the second convolution is padded, so that sides
    from 4 pixels work.

    Parameters
    ----------
    image_shape : tuple of int
        (channels, height, width).
    n_classes : int
    activation : str, callable or torch.nn.Module, default="relu"
        "relu", "sigmoid", "celu", "mish", "tanh" or "softplus", or what returns a new activation module.

    Raises
    ------
    ValueError
        If a size is no positive whole number, a side has fewer than 4 pixels, or the activation is unknown.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition. Proceedings
    of the IEEE 86(11), 1998.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import LeNet
    >>> LeNet((1, 28, 28), 10)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(self, image_shape, n_classes, activation="relu"):
        check_image_shape("LeNet", image_shape)
        check_size("LeNet", "n_classes", n_classes)
        channels, *sides = image_shape
        if min(sides) < SMALLEST_SIDE:
            raise ValueError(
                f"LeNet needs images of at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, got {image_shape}."
            )
        padding = 0 if min(sides) // 2 >= 10 else 2
        n_flat = 16 * ((sides[0] // 2 - 4 + 2 * padding) // 2) * ((sides[1] // 2 - 4 + 2 * padding) // 2)
        super().__init__(
            nn.Conv2d(channels, 6, kernel_size=5, padding=2),
            new_activation(activation),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5, padding=padding),
            new_activation(activation),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(n_flat, 120),
            new_activation(activation),
            nn.Linear(120, 84),
            new_activation(activation),
            nn.Linear(84, n_classes),
        )
