"""Checks of the sizes of networks: each raises a ValueError that names the remedy."""

from skrobust._numbers import is_whole


def check_image_shape(network, image_shape):
    """Check that a network is told the shape of images with their channels."""
    if not (hasattr(image_shape, "__len__") and len(image_shape) == 3 and all(map(is_whole, image_shape))):
        raise ValueError(
            f"{network} has image_shape={image_shape!r}: use (channels, height, width), three positive whole numbers, "
            "such as (1, 28, 28) for grey images."
        )


def check_size(network, name, value, smallest=1):
    """Check that a size of a network is a whole number of some size."""
    if not is_whole(value, smallest):
        raise ValueError(f"{network} has {name}={value!r}: use a whole number of at least {smallest}.")
