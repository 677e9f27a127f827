"""Projective maps of images: one core for crops, perspectives, rotations and shears."""

import torch
from torch.nn import functional

from skrobust.augment._base import ImageTransform, uniform, where_chosen
from skrobust.data import widest_float

# Normalized coordinates from here on are outside every image, however few pixels it has.
OUTSIDE = 3.0
# Corners moved farther than this can make a quadrilateral that is no longer convex.
LARGEST_DISTORTION = 0.66


def warp(images, matrix, *, fill=0.0):
    """Return images whose pixels are looked up, bilinearly, where projective maps send them.

    Coordinates (x, y) are normalized: the image spans from -1 to 1 in each direction, x to the right and y downwards.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    matrix : Tensor of shape (n, 3, 3)
        For each image the map from a place in the result to a place in the image.
    fill : float or None, default=0.0
        Value outside the image; None repeats its edge.

    Returns
    -------
    images : Tensor of shape (n, channels, height, width)

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import warp
    >>> half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    >>> warp(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), half_turn[None]).squeeze()
    tensor([[4., 3.],
            [2., 1.]])
    """
    working = torch.promote_types(images.dtype, torch.float32)  # grid_sample wants at least that
    matrix = matrix.to(working)
    # In a volume of depth 1, an affine grid has three coordinates: the homogeneous ones of a plane.
    volume = torch.stack([matrix[..., 0], matrix[..., 1], torch.zeros_like(matrix[..., 0]), matrix[..., 2]], dim=-1)
    homogeneous = functional.affine_grid(volume, (len(images), 1, 1, *images.shape[2:]), align_corners=False)[:, 0]
    grid = (homogeneous[..., :2] / homogeneous[..., 2:]).nan_to_num(nan=OUTSIDE).clamp(-OUTSIDE, OUTSIDE)
    if fill is None:
        return _sampled(images.to(working), grid, "border").to(images.dtype)
    # Zeros are what grid_sample puts outside; with fill=0 nothing is added and no digit is lost.
    return (_sampled(images.to(working) - fill, grid, "zeros") + fill).to(images.dtype)


def _sampled(images, grid, padding_mode):
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode=padding_mode, align_corners=False)


def homography(source, target):
    """Return the projective maps that take four points each to four others.

    Parameters
    ----------
    source, target : Tensor of shape (n, 4, 2)
        Points (x, y), no three of them on a line.

    Returns
    -------
    matrix : Tensor of shape (n, 3, 3)
        With a last entry of 1.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import homography
    >>> corners = torch.tensor([[[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]])
    >>> homography(corners, 2 * corners + 1).round(decimals=4).abs()
    tensor([[[2., 0., 1.],
             [0., 2., 1.],
             [0., 0., 1.]]])
    """
    place = torch.cat([source, torch.ones_like(source[..., :1])], dim=-1)
    nothing = torch.zeros_like(place)
    # For each point: (row 0 - u * row 2) . (x, y, 1) = 0 and (row 1 - v * row 2) . (x, y, 1) = 0; two lines each.
    upper = torch.cat([place, nothing, -target[..., :1] * source], dim=-1)
    lower = torch.cat([nothing, place, -target[..., 1:] * source], dim=-1)
    right = target.transpose(1, 2).flatten(1)
    # solve_ex does not wait for the device, which solve does to look for errors.
    entries = torch.linalg.solve_ex(torch.cat([upper, lower], dim=1), right)[0]
    return torch.cat([entries, torch.ones_like(entries[:, :1])], dim=1).unflatten(1, (3, 3))


class RandomHorizontalFlip(ImageTransform):
    """Mirror images left to right.

    Parameters
    ----------
    p : float, default=0.5
        Probability for each image.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import RandomHorizontalFlip
    >>> RandomHorizontalFlip(p=1.0)(torch.tensor([[[[1.0, 2.0]]]]), torch.Generator())
    tensor([[[[2., 1.]]]])
    """

    def __init__(self, p=0.5):
        self.p = p

    def _transformed(self, images, generator):
        return where_chosen(images, images.flip(-1), self._checked("p", 0, 1), generator)


class RandomPerspective(ImageTransform):
    """Look at images from aside: move each corner inwards by a random amount.

    Parameters
    ----------
    distortion_scale : float, default=0.5
        How far a corner moves at most, in units of half the height and half the width; up to 0.66, beyond which the
        corners may span no convex shape.
    p : float, default=0.5
        Probability for each image.
    fill : float, default=0.0
        Value of the pixels around the moved image.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import RandomPerspective
    >>> images = torch.ones(4, 1, 9, 9)
    >>> moved = RandomPerspective(p=1.0)(images, torch.Generator().manual_seed(0))
    >>> moved.shape, bool((moved.amin(dim=(1, 2, 3)) < 1).all())
    (torch.Size([4, 1, 9, 9]), True)
    """

    def __init__(self, distortion_scale=0.5, p=0.5, fill=0.0):
        self.distortion_scale = distortion_scale
        self.p = p
        self.fill = fill

    def _transformed(self, images, generator):
        largest = self._checked("distortion_scale", 0, LARGEST_DISTORTION)
        corners = image_corners(images.device)
        moved = corners * (1 - uniform(images, generator, 4, 2, high=largest))
        changed = warp(images, homography(moved, corners.expand_as(moved)), fill=self._checked_fill())
        return where_chosen(images, changed, self._checked("p", 0, 1), generator)


def image_corners(device):
    """Return the corners of an image in normalized coordinates, clockwise from the upper left: shape (4, 2)."""
    corners = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]
    return torch.tensor(corners, device=device, dtype=widest_float(device))
