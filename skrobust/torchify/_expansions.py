"""Converters of transformers that make many features of few."""

import math

import numpy as np
import torch
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer
from torch import nn

from skrobust.torchify._kernels import Kernel
from skrobust.torchify._lookup import column_by_column
from skrobust.torchify._outputs import refuse
from skrobust.torchify._parts import Elementwise, Select, float64, linear
from skrobust.torchify._registry import builtin


class Products(nn.Module):
    """Products of columns.

    Parameters
    ----------
    powers : ndarray of shape (n_outputs, n_features)
    """

    def __init__(self, powers):
        super().__init__()
        n_outputs, n_features = powers.shape
        # One column of factors per degree; n_features is the place of the factor 1.
        factors = np.full((n_outputs, max(1, powers.sum(axis=1).max(initial=1))), n_features)
        for row, power in zip(factors, powers, strict=True):
            row[: power.sum()] = np.repeat(np.arange(n_features), power)
        self.register_buffer("factors", torch.from_numpy(factors.astype(np.int64)))

    def forward(self, X):
        """Return the products."""
        columns = torch.cat([X, torch.ones_like(X[:, :1])], dim=1)
        product = columns[:, self.factors[:, 0]]
        for factor in self.factors.T[1:]:
            product = product * columns[:, factor]
        return product


class Spline(nn.Module):
    """The splines of a basis, of one column.

    Parameters
    ----------
    spline : scipy.interpolate.BSpline
        With one column of coefficients per spline.
    extrapolation : {"constant", "linear", "continue", "error", "periodic"}
    """

    def __init__(self, spline, extrapolation):
        super().__init__()
        last = len(spline.t) - spline.k - 1
        breaks = np.unique(spline.t[spline.k : last + 1])
        self.register_buffer("breaks", float64(breaks))
        # Taylor coefficients of each piece at its left end: degree, piece, spline.
        coefs = [spline(breaks[:-1], nu=degree) / math.factorial(degree) for degree in range(spline.k + 1)]
        self.register_buffer("coefs", float64(np.stack(coefs)))
        self.extrapolation = extrapolation

    def forward(self, X):
        """Return the values of the splines, zeros for missing values."""
        is_missing = X.isnan()
        x = torch.where(is_missing, self.breaks[0], X)[:, 0]
        low, high = self.breaks[0], self.breaks[-1]
        if self.extrapolation == "periodic":
            x = low + torch.remainder(x - low, high - low)
        inside = x if self.extrapolation in ("continue", "error", "periodic") else x.clamp(low, high)
        values, slopes = self._evaluate(inside)
        if self.extrapolation == "linear":
            values = values + (x - inside)[:, None] * slopes.detach()
        return torch.where(is_missing, 0.0, values)

    def _evaluate(self, x):
        """Return the values and slopes of the splines, by Horner's rule."""
        piece = torch.searchsorted(self.breaks, x.detach(), right=True).clamp(1, len(self.breaks) - 1) - 1
        offset = (x - self.breaks[piece])[:, None]
        values, slopes = torch.zeros_like(self.coefs[0, piece]), torch.zeros_like(self.coefs[0, piece])
        for coef in self.coefs.flip(0):
            slopes = slopes * offset + values
            values = values * offset + coef[piece]
        return values, slopes


@builtin(PolynomialFeatures)
def convert_polynomial_features(fitted):
    """Return the products of columns."""
    return Products(fitted.powers_)


@builtin(SplineTransformer)
def convert_spline_transformer(fitted):
    """Return the splines of each column, the last one left out without bias."""
    if fitted.extrapolation == "linear" and fitted.degree < 2 and len(fitted.bsplines_) > 1:
        # scikit-learn 1.9 counts up the degree from column to column, and then begins too early.
        refuse(fitted, "with linear extrapolation and a degree below 2, where it begins before the last knot")
    splines = column_by_column([Spline(spline, fitted.extrapolation) for spline in fitted.bsplines_])
    if fitted.include_bias:
        return splines
    n_splines = fitted.bsplines_[0].c.shape[1]
    kept = [index for index in range(n_splines * len(fitted.bsplines_)) if (index + 1) % n_splines]
    return nn.Sequential(splines, Select(kept))


@builtin(RBFSampler)
def convert_rbf_sampler(fitted):
    """Return the cosines of random projections."""
    projection = linear(fitted.random_weights_, fitted.random_offset_)
    return nn.Sequential(projection, Elementwise(_cosine, scale=math.sqrt(2 / fitted.n_components)))


@builtin(Nystroem)
def convert_nystroem(fitted):
    """Return the kernel map."""
    params = {"gamma": 1 / fitted.n_features_in_, "degree": 3, "coef0": 1, **fitted._get_kernel_params()}
    params = {name: value for name, value in params.items() if value is not None}
    if not isinstance(fitted.kernel, str) or fitted.kernel not in Kernel.names:
        refuse(fitted, f"with kernel={fitted.kernel!r}")
    return nn.Sequential(Kernel(fitted.components_, fitted.kernel, **params), linear(fitted.normalization_.T))


def _cosine(X, scale):
    return torch.cos(X) * scale
