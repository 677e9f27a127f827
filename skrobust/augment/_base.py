"""What all transforms share: checks, random numbers, and one after the other."""

import itertools
import math
from numbers import Integral, Real

import torch
from sklearn.base import BaseEstimator

from skrobust.data import widest_float


class ImageTransform(BaseEstimator):
    """Base of the transforms: checks the images and leaves the rest to the method ``_transformed``."""

    def __call__(self, images, generator):
        """Return the transformed images (see the head of :mod:`skrobust.augment`)."""
        shape = tuple(images.shape)
        if len(shape) != 4 or not images.is_floating_point():
            raise ValueError(
                f"images of shape {shape} and type {images.dtype} cannot be augmented: give floating point numbers of "
                "shape (n, channels, height, width)."
            )
        return self._transformed(images, generator) if len(images) else images

    def check_range(self, low, high):
        """Raise a ValueError if images with values from low to high are none that the transform can change."""

    def _checked(self, name, low, high, kind=Real):
        """Return a parameter that must be a number from low to high."""
        value = getattr(self, name)
        if not (is_number(value, kind) and low <= value <= high):
            noun = "a whole number" if kind is Integral else "a number"
            raise ValueError(f"{type(self).__name__} has {name}={value!r}: use {noun} from {low:.3g} to {high:.3g}.")
        return value

    def _checked_range(self, name, low, high, least_width=0.0):
        """Return a parameter that must be a pair of ascending numbers from low to high."""
        value = getattr(self, name)
        is_pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
        if not (is_pair and low <= value[0] <= value[1] - least_width and value[1] <= high):
            raise ValueError(
                f"{type(self).__name__} has {name}={value!r}: use a pair of ascending numbers from {low:.3g} to "
                f"{high:.3g}."
            )
        return value

    def _checked_fill(self):
        """Return the parameter fill, which must be a finite number."""
        if not (is_number(self.fill) and math.isfinite(self.fill)):
            raise ValueError(f"{type(self).__name__} has fill={self.fill!r}: use a finite number, the value of pixels.")
        return self.fill


def is_number(value, kind=Real):
    """Return whether a value is a number of a kind, and no truth value."""
    return isinstance(value, kind) and not isinstance(value, bool)


def uniform(images, generator, *shape, low=0.0, high=1.0):
    """Return uniform random numbers of a shape for each image; the type of the images does not change them."""
    size, device = (len(images), *shape), images.device
    return torch.rand(size, generator=generator, device=device, dtype=widest_float(device)) * (high - low) + low


def where_chosen(images, changed, p, generator):
    """Return each image changed with probability p, and exactly as it was otherwise."""
    return torch.where(uniform(images, generator, 1, 1, 1) < p, changed, images)


class Compose(BaseEstimator):
    """Apply one transform after the other.

    Parameters
    ----------
    transforms : list of callables
        Each is called with images and a generator.

    Raises
    ------
    ValueError
        When it is called, if `transforms` is no list of callables.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import Compose, RandomCrop, RandomHorizontalFlip
    >>> standard = Compose([RandomCrop(padding=4), RandomHorizontalFlip()])
    >>> standard(torch.rand(8, 3, 32, 32), torch.Generator().manual_seed(0)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, images, generator):
        """Return the transformed images (see the head of :mod:`skrobust.augment`)."""
        for transform in self._checked_transforms():
            images = transform(images, generator)
        return images

    def _checked_transforms(self):
        if not _is_list_of_transforms(self.transforms):
            raise ValueError(
                f"Compose has transforms={self.transforms!r}: use a list of transforms, such as [RandomCrop(), "
                "RandomHorizontalFlip()]."
            )
        return self.transforms


def check_range(transform, low, high):
    """Check that a transform, or those that it is composed of, can change images with values from low to high.

    Parameters
    ----------
    transform : callable
        What comes behind a function of the user remains unchecked: nobody knows which values that function returns.
    low, high : float

    Raises
    ------
    ValueError
        If a transform has `clip_values` that the images leave.
    """
    own = itertools.takewhile(lambda part: isinstance(part, ImageTransform), _parts_of(transform))
    for part in own:
        part.check_range(low, high)


def _parts_of(transform):
    """Yield the transforms that one is composed of, in their order."""
    if isinstance(transform, Compose):
        for part in transform._checked_transforms():
            yield from _parts_of(part)
    else:
        yield transform


def resolve_augmentation(augmentation):
    """Return the transform that the parameter ``augmentation`` of an estimator stands for.

    Parameters
    ----------
    augmentation : transform, list of transforms or None
        A transform is any callable that takes images and a generator.

    Returns
    -------
    transform : callable or None

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> from skrobust.augment import RandomCrop, RandomHorizontalFlip, resolve_augmentation
    >>> resolve_augmentation([RandomCrop(), RandomHorizontalFlip()])
    Compose(transforms=[RandomCrop(), RandomHorizontalFlip()])
    """
    if augmentation is None or _is_transform(augmentation):
        return augmentation
    if _is_list_of_transforms(augmentation):
        return Compose(list(augmentation))
    raise ValueError(
        f"augmentation={augmentation!r} is not a transform: use None, an object of skrobust.augment such as "
        "RandomCrop(), a list of them, or a function of images and a generator."
    )


def _is_list_of_transforms(value):
    return isinstance(value, (list, tuple)) and all(map(_is_transform, value))


def _is_transform(value):
    return callable(value) and not isinstance(value, type)
