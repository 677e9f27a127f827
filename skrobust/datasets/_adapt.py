"""Images of another data set in the shape, the colors and the spread of one's own."""

import warnings

import numpy as np
import torch
from torch.nn import functional

from skrobust._validation import full_image_shape
from skrobust.augment import grey
from skrobust.datasets._pixels import unit_range

IMAGES_AT_A_TIME = 1024


def adapt_images(images, image_shape, *, normalize="range", reference=None, clip=True):
    """Return images of another data set in the shape that a classifier wants, to ask how sure it is of them.

    Colors become grey with the weights of ITU-R BT.601, grey becomes a color of three equal channels, and sizes change
    by bilinear interpolation, which averages where images shrink.

    Parameters
    ----------
    images : array-like of shape (n, height, width) or (n, channels, height, width)
        8-bit integers, floating point numbers in [0, 1], or booleans. Integers up to 1 are taken for nearly black
        images, with a warning.
    image_shape : tuple of int
        (height, width) or (channels, height, width) of the result.
    normalize : {"range", "standardize"}, default="range"
        "range" keeps black at 0 and white at 1; "standardize" gives each channel of all images together the mean and
        the standard deviation that it has in `reference`.
    reference : array-like of shape (m, *image_shape), default=None
        The classifier's own images, in [0, 1].
    clip : bool, default=True
        Whether to bring what "standardize" takes out of [0, 1] back to its ends, which moves mean and spread away from
        those of the reference again.

    Returns
    -------
    images : ndarray of shape (n, *image_shape), float32

    Raises
    ------
    ValueError
        If images or parameters are wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.datasets import adapt_images
    >>> colored = np.random.default_rng(0).random((5, 3, 32, 32))
    >>> adapt_images(colored, (28, 28)).shape
    (5, 28, 28)
    """
    target = _checked_shape(image_shape)
    tensor = _as_tensor(images, "images")
    parts = [_reshaped(part, target) for part in tensor.split(IMAGES_AT_A_TIME)]
    adapted = NORMALIZATIONS[_checked_normalization(normalize)](torch.cat(parts).clamp_(0.0, 1.0), target, reference)
    adapted = adapted.clamp_(0.0, 1.0) if clip else adapted
    return adapted.reshape(-1, *(int(side) for side in image_shape)).numpy()


def _checked_shape(image_shape):
    """Return (channels, height, width) for a shape with or without channels."""
    if not np.iterable(image_shape):
        raise ValueError(
            f"image_shape={image_shape!r} is not a shape of images: use (height, width) or (channels, height, width)."
        )
    return full_image_shape(image_shape)


def _as_tensor(images, parameter):
    """Return checked images as a Tensor of shape (n, channels, height, width), float32 in [0, 1]."""
    given = np.asarray(images)
    if given.dtype.kind not in "uifb":
        raise ValueError(f"{parameter} hold {given.dtype}, which are no pixels: give numbers in [0, 1].")
    images = unit_range(given)
    if images.ndim not in (3, 4) or not images.size:
        raise ValueError(
            f"{parameter} of shape {images.shape} are no images: give shape (n, height, width) or "
            "(n, channels, height, width)."
        )
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"{parameter} have values from {low:.3g} to {high:.3g}: give floating point numbers in [0, 1] or 8-bit "
            "integers."
        )
    _warn_of_black(given, parameter)
    images = images[:, None] if images.ndim == 3 else images
    return torch.from_numpy(np.ascontiguousarray(images))


def _warn_of_black(images, parameter):
    """Warn of images that are 0 and 1, but not in a type that makes 1 white."""
    if images.dtype.kind in "iu" and images.max() == 1:
        warnings.warn(
            f"{parameter} are {images.dtype} from 0 to 1, which as 8-bit levels is all but black: give booleans or "
            f"floating point numbers if 1 is white, as in {parameter}.astype(float).",
            stacklevel=4,
        )


def _reshaped(images, target):
    """Return images with the channels and the size of a target shape."""
    channels, height, width = target
    given = images.shape[1]
    if channels != given:
        if channels not in (1, 3) or given not in (1, 3):
            raise ValueError(
                f"images with {given} channels cannot get {channels}: 1 and 3 can be converted into each other."
            )
        images = grey(images) if channels == 1 else images.expand(-1, 3, -1, -1)
    if images.shape[2:] == (height, width):
        return images
    return functional.interpolate(images, size=(height, width), mode="bilinear", antialias=True)


def _checked_normalization(normalize):
    if not isinstance(normalize, str) or normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize={normalize!r} is unknown: use one of {sorted(NORMALIZATIONS)}.")
    return normalize


def _kept(images, target, reference):
    """Return the images as they are."""
    return images


def _standardized(images, target, reference):
    """Return the images with the mean and spread of each channel of the reference."""
    if reference is None:
        raise ValueError("reference=None, but normalize='standardize' needs the classifier's own images: give some.")
    reference = _as_tensor(reference, "reference")
    if tuple(reference.shape[1:]) != target:
        raise ValueError(
            f"reference has images of shape {tuple(reference.shape[1:])}, but image_shape asks for {target}: give the "
            "same shape."
        )
    (mean, std), (own_mean, own_std) = _moments(reference), _moments(images)
    scale = std / torch.where(own_std > 0, own_std, 1.0)  # images of one value have no spread to change
    return ((images - own_mean) * scale + mean).to(images.dtype)


def _moments(images):
    # In double precision, in which the sums over millions of pixels keep their digits.
    precise = images.double()
    return precise.mean(dim=(0, 2, 3), keepdim=True), precise.std(dim=(0, 2, 3), correction=0, keepdim=True)


NORMALIZATIONS = {"range": _kept, "standardize": _standardized}
