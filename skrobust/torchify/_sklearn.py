"""Converters of scikit-learn's own classes."""

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from skrobust.torchify._registry import register

ACTIVATIONS = {"identity": nn.Identity, "logistic": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


class Affine(nn.Module):
    """(X - center) / scale + offset, each part where there is one."""

    def __init__(self, center=None, scale=None, offset=None):
        super().__init__()
        for name, value in {"center": center, "scale": scale, "offset": offset}.items():
            self.register_buffer(name, None if value is None else float64(value))

    def forward(self, X):
        """Return transformed rows."""
        X = X if self.center is None else X - self.center
        X = X if self.scale is None else X / self.scale
        return X if self.offset is None else X + self.offset


class Clip(nn.Module):
    """Values moved into a range, with gradients that do not vanish at its ends.

    The darkest and the brightest pixels lie there, or beyond by rounding, and can be moved inward.
    """

    def __init__(self, low, high):
        super().__init__()
        self.low, self.high = low, high

    def forward(self, X):
        """Return clipped rows."""
        clipped = X.clamp(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        is_inside = (X > self.low - slack) & (X < self.high + slack)
        return torch.where(is_inside, X + (clipped - X).detach(), clipped)


class OneLogit(nn.Module):
    """Two logits from one: those of the sigmoid of the one."""

    def forward(self, X):
        """Return logits of shape (n, 2)."""
        return torch.cat([torch.zeros_like(X), X], dim=1)


def float64(values):
    """Return values as a tensor of their own, in float64."""
    return torch.from_numpy(np.array(values, dtype=np.float64, order="C"))


@register(StandardScaler)
def convert_standard_scaler(fitted):
    """Return the affine map of the scaler."""
    return Affine(fitted.mean_ if fitted.with_mean else None, fitted.scale_ if fitted.with_std else None)


@register(MinMaxScaler)
def convert_min_max_scaler(fitted):
    """Return the affine map of the scaler, clipped if it clips."""
    affine = Affine(scale=1 / fitted.scale_, offset=fitted.min_)
    return nn.Sequential(affine, Clip(*fitted.feature_range)) if fitted.clip else affine


@register(MLPClassifier)
def convert_mlp_classifier(fitted):
    """Return the network before its last activation."""
    if fitted._label_binarizer.y_type_.startswith("multilabel"):
        raise ValueError(
            "MLPClassifier was fitted on multilabel y, which has no single answer per row: fit one classifier "
            "per label."
        )
    layers = []
    for weight, bias in zip(fitted.coefs_, fitted.intercepts_, strict=True):
        layers += [_linear(weight, bias), ACTIVATIONS[fitted.activation]()]
    layers[-1] = OneLogit() if fitted.n_outputs_ == 1 else nn.Identity()
    return nn.Sequential(*layers)


def _linear(weight, bias):
    # skip_init: what nn.Linear draws for new weights would advance the random state of the caller
    layer = nn.utils.skip_init(nn.Linear, *weight.shape, dtype=torch.float64)
    layer.weight.data, layer.bias.data = float64(weight.T), float64(bias)
    return layer
