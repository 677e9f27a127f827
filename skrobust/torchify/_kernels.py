"""Kernels between rows and points."""

import numpy as np
import torch
from torch import nn

from skrobust.torchify._parts import dense, float64


class Kernel(nn.Module):
    """Values of a kernel between rows and points.

    Parameters
    ----------
    points : array-like of shape (n_points, n_features)
    name : str
        One of `names`, which are those of scikit-learn.
    gamma, degree, coef0 : float
    """

    names = ("linear", "poly", "polynomial", "rbf", "sigmoid", "cosine", "laplacian")

    def __init__(self, points, name, gamma=1.0, degree=3.0, coef0=0.0):
        super().__init__()
        points = dense(points)
        # Rounding of squared distances is that of coordinates about the origin: move it among the points.
        self.register_buffer("center", float64(np.mean(points, axis=0) if name == "rbf" else np.zeros(points.shape[1])))
        self.register_buffer("points", float64(points) - self.center)
        self.gamma, self.degree, self.coef0 = float(gamma), float(degree), float(coef0)
        self.name = name

    def forward(self, X):
        """Return kernel values of shape (n, n_points)."""
        return getattr(self, f"_{self.name}")(X - self.center)

    def _linear(self, X):
        return X @ self.points.T

    def _poly(self, X):
        return (self.gamma * self._linear(X) + self.coef0) ** self.degree

    _polynomial = _poly

    def _sigmoid(self, X):
        return torch.tanh(self.gamma * self._linear(X) + self.coef0)

    def _rbf(self, X):
        squares = X.square().sum(dim=1, keepdim=True) + self.points.square().sum(dim=1)
        return torch.exp(-self.gamma * (squares - 2 * self._linear(X)).clamp(min=0))

    def _laplacian(self, X):
        return torch.exp(-self.gamma * torch.cdist(X, self.points, p=1.0))

    def _cosine(self, X):
        return nn.functional.normalize(X) @ nn.functional.normalize(self.points).T
