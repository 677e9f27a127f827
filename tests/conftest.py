"""Settings that must precede every import of scipy and torch, and what many tests share."""

import os

os.environ["SCIPY_ARRAY_API"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import numpy as np
import pytest
from sklearn.datasets import load_digits, make_blobs

from skrobust import OffSupportRobustClassifier

# The same examples every time, and no deadline: machines that run tests are busy.
hypothesis.settings.register_profile("skrobust", deadline=None, derandomize=True, database=None, max_examples=60)
hypothesis.settings.load_profile("skrobust")


@pytest.fixture
def quick():
    """Return a function that makes a small classifier which trains in a few milliseconds."""

    def make(**params):
        defaults = {"hidden_layer_sizes": (8,), "max_epochs": 3, "batch_size": 32, "random_state": 0}
        return OffSupportRobustClassifier(**{**defaults, **params})

    return make


@pytest.fixture
def blobs():
    """Return 90 rows of 4 features in 3 classes that a linear classifier tells apart."""
    X, y = make_blobs(90, n_features=4, centers=3, cluster_std=1.0, random_state=1)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


@pytest.fixture
def digit_images():
    """Return 200 images of 8 x 8 pixels in [0, 1], and their labels."""
    images, y = load_digits(return_X_y=True)
    return (images / 16).reshape(-1, 8, 8)[:200], y[:200]


@pytest.fixture
def rng():
    """Return a seeded generator of numpy."""
    return np.random.default_rng(0)
