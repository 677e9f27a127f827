"""Transforms that cut a box out of each image, or move it by whole pixels."""

from numbers import Integral

import torch
from torch.nn import functional

from skrobust.augment._base import ImageTransform, uniform, where_chosen
from skrobust.augment._warp import warp


class RandomCrop(ImageTransform):
    """Move images by up to `padding` whole pixels in each direction: pad them and cut out the original size.

    Parameters
    ----------
    padding : int, default=4
    fill : float, default=0.0
        Value of the padded pixels.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import RandomCrop
    >>> RandomCrop(padding=4)(torch.rand(8, 3, 32, 32), torch.Generator().manual_seed(0)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(self, padding=4, fill=0.0):
        self.padding = padding
        self.fill = fill

    def _transformed(self, images, generator):
        padding = self._checked("padding", 0, max(images.shape[2:]), kind=Integral)
        n, _, height, width = images.shape
        padded = functional.pad(images, (padding,) * 4, value=self._checked_fill()).movedim(1, -1)
        # One start from 0 to 2 * padding for the rows of each image, and one for its columns.
        start = uniform(images, generator, 2, high=2 * padding + 1).long().clamp_max(2 * padding)
        rows = start[:, 0, None] + torch.arange(height, device=images.device)
        columns = start[:, 1, None] + torch.arange(width, device=images.device)
        image = torch.arange(n, device=images.device)[:, None, None]
        return padded[image, rows[:, :, None], columns[:, None, :]].movedim(-1, 1).contiguous()


class RandomResizedCrop(ImageTransform):
    """Cut a box out of each image and enlarge it, bilinearly, to the size of the image.

    Parameters
    ----------
    scale : tuple of float, default=(0.08, 1.0)
        Smallest and largest area of the box, as a share of the image.
    ratio : tuple of float, default=(0.75, 1.3333)
        Smallest and largest width of the box divided by its height, in pixels. A box that would not fit into the image
        gets the nearest ratio that does.

    References
    ----------
    C. Szegedy et al.: Going Deeper with Convolutions. CVPR 2015.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import RandomResizedCrop
    >>> images = torch.rand(2, 3, 32, 32)
    >>> whole = RandomResizedCrop(scale=(1.0, 1.0))(images, torch.Generator().manual_seed(0))
    >>> torch.allclose(whole, images, atol=1e-4)
    True
    """

    def __init__(self, scale=(0.08, 1.0), ratio=(0.75, 1.3333)):
        self.scale = scale
        self.ratio = ratio

    def _transformed(self, images, generator):
        scale, ratio = checked_box(self)
        size, center = random_boxes(images, generator, scale, ratio)
        matrix = torch.diag_embed(functional.pad(size, (0, 1), value=1.0))
        matrix[:, :2, 2] = center
        return warp(images, matrix, fill=None)


class RandomErasing(ImageTransform):
    """Fill a box in each image with one value.

    Parameters
    ----------
    p : float, default=0.5
        Probability for each image.
    scale : tuple of float, default=(0.02, 0.33)
        Smallest and largest area of the box, as a share of the image.
    ratio : tuple of float, default=(0.3, 3.3)
        Smallest and largest width of the box divided by its height, in pixels.
    fill : float, default=0.0

    References
    ----------
    Z. Zhong, L. Zheng, G. Kang, S. Li, Y. Yang: Random Erasing Data Augmentation. AAAI 2020.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import RandomErasing
    >>> erase = RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))
    >>> erased = erase(torch.ones(1, 1, 100, 100), torch.Generator().manual_seed(0))
    >>> round(erased.mean().item(), 2)
    0.75
    """

    def __init__(self, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), fill=0.0):
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.fill = fill

    def _transformed(self, images, generator):
        scale, ratio = checked_box(self)
        size, center = random_boxes(images, generator, scale, ratio)
        is_row, is_column = (
            (_pixel_centers(n, images.device) - center[:, axis, None]).abs() < size[:, axis, None]
            for n, axis in zip(images.shape[2:], (1, 0), strict=True)
        )
        erased = images.masked_fill((is_row[:, :, None] & is_column[:, None, :])[:, None], self._checked_fill())
        return where_chosen(images, erased, self._checked("p", 0, 1), generator)


def checked_box(transform):
    """Return the parameters scale and ratio of a transform, pairs of positive numbers."""
    tiny = 1e-6  # nothing can be cut out of nothing
    return transform._checked_range("scale", tiny, 1), transform._checked_range("ratio", tiny, 1 / tiny)


def random_boxes(images, generator, scale, ratio):
    """Return one random box inside each image, in shares of the image and in normalized coordinates.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    generator : torch.Generator
    scale, ratio : tuple of float
        Ranges of the area, as a share of the image, and of width by height, in pixels.

    Returns
    -------
    size : Tensor of shape (n, 2)
        Width and height as shares of those of the image.
    center : Tensor of shape (n, 2)
        Its (x, y), where the image spans from -1 to 1.
    """
    height, width = images.shape[2:]
    area = uniform(images, generator, low=scale[0], high=scale[1])
    # With shares w and h, w * h = area and w <= 1, h <= 1 keep w / h between area and 1 / area.
    narrowest, widest = ((area.new_tensor(side * height / width)).clamp(area, 1 / area).log() for side in ratio)
    shape = torch.lerp(narrowest, widest, uniform(images, generator)).exp()
    size = torch.stack([(area * shape).sqrt(), (area / shape).sqrt()], dim=1).clamp_max(1.0)
    return size, uniform(images, generator, 2, low=-1.0) * (1 - size)


def _pixel_centers(n, device):
    return (torch.arange(n, device=device) * 2 + 1) / n - 1
