"""Image augmentation on tensors, a whole batch at a time, on the device where the images are.

A transform is any callable::

    transform(images, generator) -> Tensor of the shape and type of images

`images` is a Tensor of shape (n, channels, height, width) of any floating point type; `generator` is a
:class:`torch.Generator` on the device of `images`, to be used for every random number. Each image gets random numbers
of its own, the same ones whatever its type. The transforms here derive from :class:`sklearn.base.BaseEstimator`, so
that they can be cloned and printed, and their parameters set.
"""

from skrobust.augment._base import Compose, resolve_augmentation
from skrobust.augment._boxes import RandomCrop, RandomErasing, RandomResizedCrop
from skrobust.augment._photometric import grey
from skrobust.augment._policies import AutoAugment, RandAugment
from skrobust.augment._warp import RandomHorizontalFlip, RandomPerspective, homography, warp

__all__ = [
    "AutoAugment",
    "Compose",
    "RandAugment",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomPerspective",
    "RandomResizedCrop",
    "grey",
    "homography",
    "resolve_augmentation",
    "warp",
]
