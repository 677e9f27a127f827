"""Images before and after an attack, and the change between them."""

import math

import numpy as np

from skrobust.inspection._palette import DIVERGING

CHANNELS = (1, 3, 4)


def shape_of(X, image_shape):
    """Return the shape of the images that rows are, or None if they are rows of a table."""
    shape = np.shape(X)
    if image_shape is None:
        return shape[1:] if len(shape) > 2 else None
    image_shape = tuple(int(size) for size in image_shape)
    if math.prod(image_shape) != math.prod(shape[1:]) or len(image_shape) not in (2, 3):
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width), with channels first or last if there are some, and "
            f"have the {math.prod(shape[1:])} numbers of a row of X."
        )
    return image_shape


def draw(axes, examples, shape, image_kw):
    """Draw images before, their change, and after; return them as an ndarray of shape (3, n_examples)."""
    before, after = ([_picture(example[key], shape) for example in examples] for key in ("before", "after"))
    low, high = min(map(np.min, [*before, *after])), max(map(np.max, [*before, *after]))
    changes = [_gray(last) - _gray(first) for first, last in zip(before, after, strict=True)]
    most = max(float(np.abs(change).max()) for change in changes) or 1.0
    style = {"cmap": "gray", "vmin": low, "vmax": high, **image_kw}
    drawn = np.empty((3, len(examples)), dtype=object)
    for k in range(len(examples)):
        for line, picture in ((0, before[k]), (2, after[k])):
            drawn[line, k] = axes[line, k].imshow(_in_range(picture, low, high), **style)
        drawn[1, k] = axes[1, k].imshow(changes[k], cmap=DIVERGING, vmin=-most, vmax=most)
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
    for ax, text in zip(axes[:, 0], ("before", f"change, ±{most:.2g}\npurple: up, orange: down", "after"), strict=True):
        ax.set_ylabel(text, fontsize="small")
    return drawn


def _picture(row, shape):
    """Return a row as matplotlib shows images: channels last, none if there is but one."""
    image = row.reshape(shape)
    if image.ndim == 3 and image.shape[2] not in CHANNELS and image.shape[0] in CHANNELS:
        image = np.moveaxis(image, 0, 2)
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image


def _gray(image):
    return image.mean(axis=2) if image.ndim == 3 else image


def _in_range(image, low, high):
    """Return colors between 0 and 1; gray images have their own range."""
    return (image - low) / ((high - low) or 1.0) if image.ndim == 3 else image
