"""Changes of color: functions of images in [0, 1] and one strength for each image.

Each takes images, Tensor of shape (n, channels, height, width), and strength, Tensor of shape (n, 1, 1, 1) from -1
to 1, the sign of which matters only where the function says so. The ranges are those of AutoAugment.
"""

import torch
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)
LARGEST_BLEND = 0.9
BITS_TO_DROP = 4
LEVELS = 256


def grey(images):
    """Return the brightness of each pixel.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        Three channels are red, green and blue, and count as in ITU-R BT.601; any other channels count alike.

    Returns
    -------
    images : Tensor of shape (n, 1, height, width)

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import grey
    >>> grey(torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1))
    tensor([[[[0.2990]]]])
    """
    if images.shape[1] != len(LUMA):
        return images.mean(dim=1, keepdim=True)
    weight = images.new_tensor(LUMA).reshape(-1, 1, 1)
    return (images * weight).sum(dim=1, keepdim=True)


def _blended(images, dull, strength):
    """Return images moved towards a dull version (negative strength) or away from it, within [0, 1]."""
    return (images + LARGEST_BLEND * strength * (images - dull)).clamp(0.0, 1.0)


def brightness(images, strength):
    """Blend with black; a negative strength darkens."""
    return _blended(images, torch.zeros_like(images), strength)


def contrast(images, strength):
    """Blend with the mean grey of the image; a negative strength flattens."""
    return _blended(images, grey(images).mean(dim=(1, 2, 3), keepdim=True), strength)


def saturation(images, strength):
    """Blend with the grey image; a negative strength pales."""
    return _blended(images, grey(images), strength)


def sharpness(images, strength):
    """Blend with a smoothed image; a negative strength blurs. The outermost pixels stay."""
    kernel = images.new_tensor([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13
    smooth = functional.conv2d(images.flatten(0, 1)[:, None], kernel[None, None], padding=1).reshape(images.shape)
    dull = images.clone()
    dull[..., 1:-1, 1:-1] = smooth[..., 1:-1, 1:-1]
    return _blended(images, dull, strength)


def posterize(images, strength):
    """Clear the lowest bits of 8-bit levels, up to four of them."""
    dropped = 2 ** (BITS_TO_DROP * strength.abs()).round()
    return (images - _levels(images) % dropped / (LEVELS - 1)).clamp(0.0, 1.0)


def solarize(images, strength):
    """Invert the 8-bit levels from 256 (1 - strength) on: none at the strength 0, all at 1."""
    return torch.where(_levels(images) >= LEVELS * (1 - strength.abs()), 1 - images, images)


def autocontrast(images, strength):
    """Stretch each channel to all of [0, 1], whatever the strength; a channel of one value stays."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    is_flat = high == low
    return torch.where(is_flat, images, (images - low) / torch.where(is_flat, 1.0, high - low)).clamp(0.0, 1.0)


def equalize(images, strength):
    """Make all 256 levels of each channel about equally frequent, whatever the strength."""
    levels = _levels(images).long().flatten(2)
    counts = levels.new_zeros(*levels.shape[:2], LEVELS).scatter_add_(2, levels, torch.ones_like(levels))
    top = counts.gather(2, levels.amax(dim=2, keepdim=True))
    step = (levels.shape[2] - top).div(LEVELS - 1, rounding_mode="floor")
    below = counts.cumsum(2) - counts
    table = (below + step // 2).div(step.clamp_min(1), rounding_mode="floor").clamp_max(LEVELS - 1)
    equal = (table.gather(2, levels).to(images.dtype) / (LEVELS - 1)).reshape(images.shape)
    # Too few pixels above the rest for one step: the image stays, as in Pillow.
    return torch.where((step == 0)[..., None], images, equal)


def invert(images, strength):
    """Swap dark and bright, whatever the strength."""
    return 1 - images


def identity(images, strength):
    """Return the images as they are."""
    return images


def _levels(images):
    """Return the nearest of 256 levels, as floating point numbers from 0 to 255."""
    return (images * (LEVELS - 1)).round()


PHOTOMETRIC = {
    "autocontrast": autocontrast,
    "brightness": brightness,
    "contrast": contrast,
    "equalize": equalize,
    "identity": identity,
    "invert": invert,
    "posterize": posterize,
    "saturation": saturation,
    "sharpness": sharpness,
    "solarize": solarize,
}
