"""Converters of transformers that scale, shift or project."""

import numpy as np
import torch
from sklearn.decomposition import FactorAnalysis, FastICA, TruncatedSVD
from sklearn.decomposition._base import _BasePCA
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.random_projection import BaseRandomProjection
from torch import nn

from skrobust.torchify._parts import Affine, Clip, Elementwise, projection
from skrobust.torchify._registry import builtin


@builtin(StandardScaler)
def convert_standard_scaler(fitted):
    """Return the affine map of the scaler."""
    return Affine(fitted.mean_ if fitted.with_mean else None, fitted.scale_ if fitted.with_std else None)


@builtin(MinMaxScaler)
def convert_min_max_scaler(fitted):
    """Return the affine map of the scaler, clipped if it clips."""
    affine = Affine(scale=1 / fitted.scale_, offset=fitted.min_)
    return nn.Sequential(affine, Clip(*fitted.feature_range)) if fitted.clip else affine


@builtin(MaxAbsScaler)
def convert_max_abs_scaler(fitted):
    """Return the division by the largest values, clipped if it clips."""
    affine = Affine(scale=fitted.scale_)
    return nn.Sequential(affine, Clip(-1.0, 1.0)) if getattr(fitted, "clip", False) else affine


@builtin(RobustScaler)
def convert_robust_scaler(fitted):
    """Return the affine map of the scaler."""
    return Affine(fitted.center_ if fitted.with_centering else None, fitted.scale_ if fitted.with_scaling else None)


@builtin(Normalizer)
def convert_normalizer(fitted):
    """Return the division of each row by its norm."""
    return Elementwise(_normalized, order={"l1": 1, "l2": 2, "max": np.inf}[fitted.norm])


@builtin(_BasePCA)
def convert_pca(fitted):
    """Return the projection onto the components, whitened if it whitens."""
    scale = np.sqrt(fitted.explained_variance_) if fitted.whiten else None
    if scale is not None:
        scale[scale < np.finfo(scale.dtype).eps] = np.finfo(scale.dtype).eps
    return projection(fitted.components_, fitted.mean_, scale)


@builtin(FastICA)
def convert_fast_ica(fitted):
    """Return the unmixed sources."""
    return projection(fitted.components_, fitted.mean_ if fitted.whiten else None)


@builtin(FactorAnalysis)
def convert_factor_analysis(fitted):
    """Return the expected latent factors."""
    weighted = fitted.components_ / fitted.noise_variance_
    covariance = np.linalg.inv(np.eye(len(weighted)) + weighted @ fitted.components_.T)
    return projection(covariance @ weighted, fitted.mean_)


@builtin(TruncatedSVD, BaseRandomProjection, NeighborhoodComponentsAnalysis)
def convert_projection(fitted):
    """Return the projection onto the components."""
    return projection(fitted.components_)


def _normalized(X, order):
    # The norm of a row of zeros has no derivative: leave such rows out before, not after.
    is_zero = (X == 0).all(dim=1, keepdim=True)
    norm = torch.linalg.vector_norm(torch.where(is_zero, 1.0, X), ord=order, dim=1, keepdim=True)
    return X / torch.where(is_zero, 1.0, norm)
