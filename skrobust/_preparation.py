"""What is done to the labeled rows of a batch before anything else: augmentation, soft labels, mixtures.

Each is a callable that maps rows, labels and row weights (None without) to others.
"""

import dataclasses

import numpy as np
import torch
from torch.nn import functional

from skrobust.augment import resolve_augmentation
from skrobust.augment._base import check_range


@dataclasses.dataclass(frozen=True)
class Augmented:
    """Transform the rows as images.

    Parameters
    ----------
    transform : callable
        Maps images, Tensor of shape (n, channels, height, width), and a generator to images of that shape.
    image_shape : tuple of int
    generator : torch.Generator
    """

    transform: object
    image_shape: tuple
    generator: torch.Generator

    def __call__(self, X, y, weight):
        """Return other rows with the same labels and weights."""
        return self._transformed(X, self.generator).to(X).reshape(X.shape), y, weight

    def check(self, rows):
        """Raise a ValueError if the transform does not keep its promise: finite images of the same shape."""
        images = rows.reshape(-1, *self.image_shape)
        try:
            changed = self._transformed(rows, torch.Generator(device=rows.device).manual_seed(0))
        except TypeError as error:
            raise ValueError(
                f"augmentation={self.transform!r} fails when it is called with images and a generator ({error}): give "
                "a function of both, such as lambda images, generator: transform(images)."
            ) from error
        shape = tuple(changed.shape) if isinstance(changed, torch.Tensor) else type(changed).__name__
        if shape != tuple(images.shape) or not changed.isfinite().all():
            raise ValueError(
                f"augmentation={self.transform!r} returned {shape} for images of shape {tuple(images.shape)}: it must "
                "return a tensor of that shape, of finite values."
            )

    def _transformed(self, rows, generator):
        return self.transform(rows.reshape(-1, *self.image_shape), generator)


@dataclasses.dataclass(frozen=True)
class SoftLabels:
    """Turn class indices into probabilities, of which a share is spread evenly over all classes.

    Parameters
    ----------
    n_classes : int
    smoothing : float
    """

    n_classes: int
    smoothing: float

    def __call__(self, X, y, weight):
        """Return the rows with soft labels, Tensor of shape (n, n_classes)."""
        soft = functional.one_hot(y, self.n_classes).to(X.dtype)
        return X, torch.lerp(soft, torch.full_like(soft, 1 / self.n_classes), self.smoothing), weight


@dataclasses.dataclass(frozen=True)
class Mixup:
    """Mix every row with another one of the batch, and their soft labels alike (Zhang et al., 2018).

    Parameters
    ----------
    alpha : float
        The share of a batch is drawn from Beta(alpha, alpha).
    generator : torch.Generator
        Source of the partners.
    random : numpy.random.Generator
        Source of the shares, which torch cannot draw from a generator of its own.
    """

    alpha: float
    generator: torch.Generator
    random: np.random.Generator

    def __call__(self, X, y, weight):
        """Return the mixed rows; a loss of theirs is the weighted sum of those for either label."""
        share = self.random.beta(self.alpha, self.alpha)
        partner = torch.randperm(len(X), generator=self.generator, device=X.device)
        mixed = torch.lerp(X[partner], X, share)
        if weight is None:
            return mixed, torch.lerp(y[partner], y, share), None
        own, others = share * weight, (1 - share) * weight[partner]
        total = own + others
        # Two rows of a class that weighs nothing mix to one that weighs nothing either, whatever its label.
        labels = (own[:, None] * y + others[:, None] * y[partner]) / total.clamp_min(torch.finfo(X.dtype).tiny)[:, None]
        return mixed, labels, total


def make_preparation(estimator, setting, generator):
    """Return what an estimator's parameters do to the labeled rows, a tuple of callables.

    Raises
    ------
    ValueError
        If there is an augmentation, but rows are no images, it returns none, or they leave its `clip_values`.
    """
    steps, row_shape = [], setting.data.row_shape
    transform = resolve_augmentation(estimator.augmentation)
    if transform is not None:
        if row_shape is None:
            raise ValueError(f"augmentation={transform!r} needs images: give X as images, or set image_shape.")
        # The ranges of all rows are known, so that no epoch ends at the one image that is out of range.
        check_range(transform, setting.moments.low.min(), setting.moments.high.max())
        steps.append(Augmented(transform, row_shape, generator))
        steps[0].check(setting.example)
    if estimator.label_smoothing or estimator.mixup:
        steps.append(SoftLabels(setting.n_classes, estimator.label_smoothing))
    if estimator.mixup:
        steps.append(Mixup(estimator.mixup, generator, np.random.default_rng(setting.seed)))
    return tuple(steps)
