"""Data sets: MNIST and CIFAR-10 as images, foreign images made to fit, and classes whose best boundary is known."""

from skrobust.datasets._adapt import adapt_images
from skrobust.datasets._fetch import fetch_cifar10, fetch_mnist
from skrobust.datasets._spheres import make_spheres

__all__ = ["adapt_images", "fetch_cifar10", "fetch_mnist", "make_spheres"]
