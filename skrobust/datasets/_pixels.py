"""What numbers mean as pixels, for images of files and of users alike."""

import numpy as np

BRIGHTEST = 255


def unit_range(images):
    """Return images as float32 in [0, 1], 8-bit integers divided by 255."""
    images = np.asarray(images)
    if images.dtype.kind in "iu":
        return images.astype(np.float32) / np.float32(BRIGHTEST)
    with np.errstate(over="ignore"):  # an infinity is out of range, which is checked where a range is wanted
        return images.astype(np.float32, copy=False)
