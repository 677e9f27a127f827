"""MNIST from a file, for the benchmarks."""

import numpy as np


def load(path, n_train=10_000):
    """Return X_train, y_train, X_test, y_test: the first training images and all test images, in [0, 1]."""
    with np.load(path) as file:
        X_train, y_train, X_test, y_test = (file[name] for name in ("X_train", "y_train", "X_test", "y_test"))
    return _scaled(X_train[:n_train]), y_train[:n_train], _scaled(X_test), y_test


def thinned(X, y, n=1_000):
    """Return evenly spaced rows.

    The first half of MNIST's test images was written by other people than the second half; evenly spaced images
    stand for both.
    """
    step = max(1, len(X) // n)
    return X[::step][:n], y[::step][:n]


def _scaled(images):
    return images.astype(np.float32) / 255
