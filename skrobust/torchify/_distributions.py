"""Converters of transformers that give the columns another distribution."""

import numpy as np
import torch
from sklearn.preprocessing import PowerTransformer, QuantileTransformer
from torch import nn

from skrobust.torchify._interpolate import Interpolation
from skrobust.torchify._parts import Elementwise, float64
from skrobust.torchify._registry import builtin
from skrobust.torchify._scalers import convert_standard_scaler

# Quantiles this near to 0 and 1 count as these, as in scikit-learn.
BOUNDS_THRESHOLD = 1e-7


class Quantiles(nn.Module):
    """Quantiles of the values of each column, as a fitted QuantileTransformer knows them.

    Parameters
    ----------
    quantiles : array-like of shape (n_quantiles, n_features)
    references : array-like of shape (n_quantiles,)
    slack : float
        How near to the first and the last quantile a value counts as this.
    """

    def __init__(self, quantiles, references, slack):
        super().__init__()
        knots = float64(quantiles).T
        values = float64(references).expand(knots.shape)
        self.upward = Interpolation(knots, values)
        self.downward = Interpolation(-knots.flip(1), -values.flip(1))
        self.slack = slack

    def forward(self, X):
        """Return quantiles in [0, 1]."""
        low, high = self.upward.knots[:, 0], self.upward.knots[:, -1]
        # The mean of both directions: several quantiles may be equal.
        quantiles = (self.upward(X) - self.downward(-X)) / 2
        if self.slack:
            is_low, is_high = X - self.slack < low, X + self.slack > high
        else:
            is_low, is_high = low == X, high == X
        exact = torch.where(is_low, 0.0, torch.where(is_high, 1.0, quantiles))
        # At the ends the values are 0 and 1, but those that lie there can still be moved.
        return quantiles + (exact - quantiles).detach()


class YeoJohnson(nn.Module):
    """The power transform of Yeo and Johnson, one exponent per column."""

    def __init__(self, lambdas):
        super().__init__()
        self.register_buffer("lambdas", float64(lambdas))

    def forward(self, X):
        """Return transformed rows."""
        is_negative = X < 0
        power = torch.where(is_negative, 2 - self.lambdas, self.lambdas)
        transformed = _box_cox(torch.log1p(X.abs()), power)
        return torch.where(is_negative, -transformed, transformed)


class BoxCox(nn.Module):
    """The power transform of Box and Cox, one exponent per column."""

    def __init__(self, lambdas):
        super().__init__()
        self.register_buffer("lambdas", float64(lambdas))

    def forward(self, X):
        """Return transformed rows."""
        return _box_cox(X.log(), self.lambdas)


@builtin(QuantileTransformer)
def convert_quantile_transformer(fitted):
    """Return the quantiles, and what values a normal distribution has there."""
    is_normal = fitted.output_distribution == "normal"
    quantiles = Quantiles(fitted.quantiles_, fitted.references_, BOUNDS_THRESHOLD if is_normal else 0.0)
    return nn.Sequential(quantiles, Elementwise(_normal)) if is_normal else quantiles


@builtin(PowerTransformer)
def convert_power_transformer(fitted):
    """Return the power transform, standardized if it standardizes."""
    power = {"box-cox": BoxCox, "yeo-johnson": YeoJohnson}[fitted.method](fitted.lambdas_)
    return nn.Sequential(power, convert_standard_scaler(fitted._scaler)) if fitted.standardize else power


def _normal(quantiles):
    margin = BOUNDS_THRESHOLD - np.spacing(1)
    clipped = quantiles.clamp(margin, 1 - margin)
    # No straight-through gradient here: the slope at the ends would be larger than any other.
    return torch.special.ndtri(clipped)


def _box_cox(logarithm, power):
    """Return (exp(power * logarithm) - 1) / power, and its limit where the power is zero."""
    is_zero = power.abs() < torch.finfo(power.dtype).eps
    safe = torch.where(is_zero, 1.0, power)
    return torch.where(is_zero, logarithm, torch.expm1(safe * logarithm) / safe)
