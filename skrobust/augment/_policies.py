"""Policies: a few random operations on each image, from a list (RandAugment) or a learned policy (AutoAugment)."""

import functools
import math
from numbers import Integral

import torch

from skrobust.augment._base import ImageTransform, is_number, uniform
from skrobust.augment._photometric import PHOTOMETRIC
from skrobust.augment._warp import warp

LARGEST_ANGLE = math.radians(30)
LARGEST_SHEAR = 0.3
LARGEST_VALUE = 1e6
LARGEST_SHIFT = 150 / 331  # of a side: AutoAugment moved images of 331 pixels by up to 150
ROUNDING = 1 / 255  # of the range: as far outside as narrow types round, and less than anyone sees


def _rotation(strength, aspect):
    angle = LARGEST_ANGLE * strength
    sine, cosine = angle.sin(), angle.cos()
    return _matrix(strength, {(0, 0): cosine, (0, 1): -sine / aspect, (1, 0): sine * aspect, (1, 1): cosine})


def _shear_x(strength, aspect):
    return _matrix(strength, {(0, 1): LARGEST_SHEAR * strength / aspect})


def _shear_y(strength, aspect):
    return _matrix(strength, {(1, 0): LARGEST_SHEAR * strength * aspect})


def _shift_x(strength, aspect):
    return _matrix(strength, {(0, 2): 2 * LARGEST_SHIFT * strength})


def _shift_y(strength, aspect):
    return _matrix(strength, {(1, 2): 2 * LARGEST_SHIFT * strength})


def _matrix(strength, entries):
    """Return identity matrices with some entries replaced: Tensor of shape (n, 3, 3)."""
    matrix = torch.eye(3, device=strength.device, dtype=strength.dtype).repeat(len(strength), 1, 1)
    for (row, column), value in entries.items():
        matrix[:, row, column] = value
    return matrix


# Functions of strength, Tensor of shape (n,) from -1 to 1, and of width by height: maps in normalized coordinates.
GEOMETRIC = {
    "rotate": _rotation,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _shift_x,
    "translate_y": _shift_y,
}
OPERATIONS = sorted({*GEOMETRIC, *PHOTOMETRIC})
RANDAUGMENT = tuple(name for name in OPERATIONS if name != "invert")


def apply_operations(images, names, which, strength, fill):
    """Return images after one operation each.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        In [0, 1].
    names : sequence of str
        Names of operations.
    which : Tensor of shape (n,), int64
        For each image the index of its operation in `names`.
    strength : Tensor of shape (n,)
        From -1 to 1.
    fill : float
        In [0, 1], for what comes in from outside.
    """
    order = which.argsort(stable=True)
    sizes = torch.bincount(which, minlength=len(names)).tolist()  # the one wait for the device
    groups = zip(names, images[order].split(sizes), strength[order].split(sizes), strict=True)
    changed = [_operation(name, fill)(group, level) for name, group, level in groups if len(group)]
    result = torch.empty_like(images)
    result[order] = torch.cat(changed) if changed else images
    return result


def _operation(name, fill):
    """Return a function of images and their strengths."""
    if name in GEOMETRIC:
        return functools.partial(_moved, GEOMETRIC[name], fill)
    return functools.partial(_recolored, PHOTOMETRIC[name])


def _moved(matrix, fill, images, strength):
    height, width = images.shape[2:]
    return warp(images, matrix(strength, width / height), fill=fill).clamp(0.0, 1.0)


def _recolored(function, images, strength):
    return function(images, strength.to(images.dtype).reshape(-1, 1, 1, 1))


class _Policy(ImageTransform):
    """Base of the policies: the range of the images, and one round of operations after the other."""

    def check_range(self, low, high):
        """Raise a ValueError if images with values from low to high leave `clip_values`."""
        black, white = self._checked_clip_values()
        slack = ROUNDING * (white - black)
        if not black - slack <= low <= high <= white + slack:
            raise ValueError(
                f"{type(self).__name__} has clip_values={self.clip_values!r}, but there are images with values from "
                f"{low:.6g} to {high:.6g}: set clip_values=(low, high) to what black and white are in all images, or "
                "scale the images."
            )

    def _checked_clip_values(self):
        return self._checked_range("clip_values", -LARGEST_VALUE, LARGEST_VALUE, least_width=1 / LARGEST_VALUE)

    def _transformed(self, images, generator):
        if images.device.type == "cpu":  # a GPU would be waited for; a fit has checked all rows beforehand
            self.check_range(*torch.stack(images.aminmax()).tolist())
        low, high = self._checked_clip_values()
        fill = (self._checked("fill", low, high) - low) / (high - low)
        working = torch.promote_types(images.dtype, torch.float32)
        unit = ((images.to(working) - low) / (high - low)).clamp(0.0, 1.0)
        for names, which, strength in self._rounds(images, generator):
            sign = (uniform(images, generator) < 0.5) * 2 - 1
            unit = apply_operations(unit, names, which, strength * sign, fill)
        return (unit * (high - low) + low).to(images.dtype)

    def _checked_names(self, names, parameter):
        if not isinstance(names, (list, tuple)):
            raise ValueError(
                f"{type(self).__name__} has {parameter}={names!r}: use a list of names, such as ['rotate', 'contrast']."
            )
        unknown = [name for name in names if not (isinstance(name, str) and name in OPERATIONS)]
        if unknown or not names:
            raise ValueError(
                f"{type(self).__name__} has {parameter} with {unknown or 'nothing'} in it: use names from {OPERATIONS}."
            )
        return names


class RandAugment(_Policy):
    """Apply random operations of one strength to each image.

    Parameters
    ----------
    n_ops : int, default=2
        Operations for each image, drawn independently.
    strength : float, default=0.3
        From 0 to 1, where 1 is the largest change of AutoAugment: 30 degrees, a shear of 0.3, a shift of 45 % of a
        side, a blend of 0.9, four bits, all levels inverted. Directions are random. The operations "autocontrast",
        "equalize" and "invert" know no strength.
    operations : sequence of str, default=None
        Names of "autocontrast", "brightness", "contrast", "equalize", "identity", "invert", "posterize", "rotate",
        "saturation", "sharpness", "shear_x", "shear_y", "solarize", "translate_x" and "translate_y"; None is all of
        them but "invert", as in the paper.
    clip_values : tuple of float, default=(0, 1)
        Range of the images: what black and white are. Images that leave it by more than 1/255 of its width are refused.
    fill : float, default=0.0
        Value of what comes in from outside the image, within `clip_values`.

    Raises
    ------
    ValueError
        When it is called, if a parameter is wrong, or the images leave `clip_values`.

    References
    ----------
    E. D. Cubuk, B. Zoph, J. Shlens, Q. V. Le: RandAugment: Practical automated data augmentation with a reduced search
    space. NeurIPS 2020, arXiv:1909.13719.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import RandAugment
    >>> images = torch.rand(8, 3, 32, 32)
    >>> augmented = RandAugment(strength=0.5)(images, torch.Generator().manual_seed(0))
    >>> augmented.shape, bool((augmented >= 0).all() and (augmented <= 1).all())
    (torch.Size([8, 3, 32, 32]), True)
    """

    def __init__(self, n_ops=2, strength=0.3, operations=None, clip_values=(0, 1), fill=0.0):
        self.n_ops = n_ops
        self.strength = strength
        self.operations = operations
        self.clip_values = clip_values
        self.fill = fill

    def _rounds(self, images, generator):
        names = self._checked_names(RANDAUGMENT if self.operations is None else self.operations, "operations")
        strength = self._checked("strength", 0, 1)
        for _ in range(self._checked("n_ops", 0, 1000, kind=Integral)):
            share = uniform(images, generator)
            which = (share * len(names)).long().clamp_max(len(names) - 1)
            yield names, which, torch.full_like(share, strength)


# Table 7 of the AutoAugment paper: pairs of operation, probability and level from 0 to 9.
CIFAR10 = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("saturation", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("saturation", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("saturation", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("saturation", 0.9, 9), ("equalize", 0.6, 0)),
    (("autocontrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("saturation", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("autocontrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("autocontrast", 0.9, 0)),
)
POLICIES = {"cifar10": CIFAR10}
HIGHEST_LEVEL = 9


class AutoAugment(_Policy):
    """Apply one of a list of learned sequences of operations to each image.

    Parameters
    ----------
    policy : {"cifar10"} or sequence, default="cifar10"
        The 25 pairs of operations that the paper learned on CIFAR-10; or sequences of one length, each of triples: the
        name of an operation (see :class:`RandAugment`), its probability, and its level from 0 to 9, the largest change.
    clip_values : tuple of float, default=(0, 1)
        Range of the images: what black and white are. Images that leave it by more than 1/255 of its width are refused.
    fill : float, default=0.0
        Value of what comes in from outside the image, within `clip_values`.

    Raises
    ------
    ValueError
        When it is called, if a parameter is wrong, or the images leave `clip_values`.

    Notes
    -----
    Levels mean what they mean in torchvision: they rise evenly from no change at 0 to the largest change of
    :class:`RandAugment` at 9, and directions are random. In the paper, on whose levels the policy was learned, those of
    "brightness", "contrast", "saturation" and "sharpness" range over blend factors from 0.1 to 1.9, direction and all:
    ``("saturation", p, 0)`` makes images nearly grey there, and leaves them as they are here.

    References
    ----------
    E. D. Cubuk, B. Zoph, D. Mane, V. Vasudevan, Q. V. Le: AutoAugment: Learning Augmentation Strategies from Data.
    CVPR 2019, arXiv:1805.09501.

    Examples
    --------
    >>> import torch
    >>> from skrobust.augment import AutoAugment
    >>> turn = AutoAugment([[("rotate", 0.5, 9)], [("invert", 1.0, 0)]])
    >>> turn(torch.rand(8, 3, 32, 32), torch.Generator().manual_seed(0)).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(self, policy="cifar10", clip_values=(0, 1), fill=0.0):
        self.policy = policy
        self.clip_values = clip_values
        self.fill = fill

    def _rounds(self, images, generator):
        policy = self._checked_policy()
        pick = (uniform(images, generator) * len(policy)).long().clamp_max(len(policy) - 1)
        for step in zip(*policy, strict=True):
            # The last operation stands for none.
            names = self._checked_names([*(name for name, _, _ in step), "identity"], "policy")
            share = uniform(images, generator)
            p, level = share.new_tensor([numbers for _, *numbers in step]).T
            which = torch.where(share < p[pick], pick, len(policy))
            yield names, which, level[pick] / HIGHEST_LEVEL

    def _checked_policy(self):
        policy = POLICIES.get(self.policy) if isinstance(self.policy, str) else self.policy
        if not (_is_sequence(policy) and all(map(_is_subpolicy, policy)) and len(set(map(len, policy))) == 1):
            raise ValueError(
                f"AutoAugment has policy={self.policy!r}: use one of {sorted(POLICIES)} or sequences, all of one "
                "length, of triples (name, probability, level from 0 to 9)."
            )
        return policy


def _is_sequence(value):
    return isinstance(value, (list, tuple))


def _is_subpolicy(sequence):
    return _is_sequence(sequence) and len(sequence) > 0 and all(map(_is_operation, sequence))


def _is_operation(triple):
    if not (_is_sequence(triple) and len(triple) == 3 and all(map(is_number, triple[1:]))):
        return False
    _, p, level = triple
    return 0 <= p <= 1 and 0 <= level <= HIGHEST_LEVEL
