"""Normalization of images within the network, so that eps and noise stay in the units of the images."""

import collections

import torch
from torch import nn

CONSTANTS = {  # of images whose pixels lie in [0, 1]
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mnist": ((0.1307,), (0.3081,)),
}


class Normalize(nn.Module):
    """Subtract from each channel its mean and divide by its standard deviation.

    As a layer of the network this changes neither the units of the data nor those of an attack.

    Parameters
    ----------
    mean, std : sequence of float
        One number for each channel, in the units of the images.

    Raises
    ------
    ValueError
        If there are not as many means as standard deviations, or a standard deviation is not positive.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import Normalize
    >>> Normalize(mean=[0.5], std=[0.25])(torch.ones(1, 1, 1, 2))
    tensor([[[[2., 2.]]]])
    """

    def __init__(self, mean, std):
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            values = torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1, 1)
            self.register_buffer(name, values.to(torch.get_default_dtype()))
        if self.mean.shape != self.std.shape:
            raise ValueError(
                f"mean has {len(self.mean)} numbers and std has {len(self.std)}: give one of each for a channel."
            )
        if not ((self.std > 0) & self.std.isfinite() & self.mean.isfinite()).all():
            raise ValueError(f"std={std!r} must be positive and mean={mean!r} finite, in the units of the images.")

    def forward(self, X):
        """Return images with normalized channels."""
        return (X - self.mean) / self.std


def normalized(network, normalization, image_shape):
    """Return a network that normalizes its images first.

    Parameters
    ----------
    network : torch.nn.Module
    normalization : {"cifar10", "imagenet", "mnist"}, pair (mean, std) or None
    image_shape : tuple of int (channels, height, width) or None

    Returns
    -------
    network : torch.nn.Module
        With two layers, ``normalize`` and ``network``; the network itself if there is nothing to normalize.

    Raises
    ------
    ValueError
        If the normalization is none of these, or does not have the channels of the images.
    """
    if normalization is None:
        return network
    if image_shape is None:
        raise ValueError(
            f"normalization={normalization!r} needs images: give X as (n, height, width) or (n, channels, height, "
            "width), or set image_shape; for tables put a StandardScaler before the classifier."
        )
    layer = Normalize(*_mean_and_std(normalization))
    if len(layer.mean) != image_shape[0]:
        raise ValueError(
            f"normalization={normalization!r} has {len(layer.mean)} channels, but the images have {image_shape[0]}: "
            "give a pair (mean, std) with a number for each channel."
        )
    return nn.Sequential(collections.OrderedDict(normalize=layer, network=network))


def _mean_and_std(normalization):
    pair = CONSTANTS.get(normalization) if isinstance(normalization, str) else normalization
    if not hasattr(pair, "__len__") or len(pair) != 2:
        raise ValueError(
            f"normalization={normalization!r} is unknown: use None, one of {sorted(CONSTANTS)}, or a pair (mean, std) "
            "with a number for each channel."
        )
    return pair
