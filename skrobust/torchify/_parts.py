"""Small modules that many converters are made of."""

import numpy as np
import torch
from torch import nn

# Stands for the logarithm of zero: its exponential is zero, and unlike infinity it keeps gradients finite.
LOG_ZERO = -800.0


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


class Difference(nn.Module):
    """One score from two logits, as decision_function has it; more logits stay as they are."""

    def forward(self, X):
        """Return scores of shape (n, 1) or (n, n_classes)."""
        return X[:, 1:] - X[:, :1] if X.shape[1] == 2 else X


class Select(nn.Module):
    """Some of the columns.

    Parameters
    ----------
    indices : array-like of int
    vocabularies : tuple, default=()
        Vocabularies of the columns that are left.
    """

    def __init__(self, indices, vocabularies=()):
        super().__init__()
        self.register_buffer("indices", torch.tensor(np.asarray(indices, dtype=np.int64)))
        self.vocabularies = vocabularies

    def forward(self, X):
        """Return rows of these columns."""
        return X[:, self.indices]


class Elementwise(nn.Module):
    """A function of torch, applied to rows."""

    def __init__(self, function, **kwargs):
        super().__init__()
        self.function, self.kwargs = function, kwargs

    def forward(self, X):
        """Return the values of the function."""
        return self.function(X, **self.kwargs)


class Concatenate(nn.Module):
    """What several modules return for the same rows, side by side, each times its weight.

    Parameters
    ----------
    parts : list of nn.Module
    weights : list of float, default=None
    """

    def __init__(self, parts, weights=None):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.weights = [1.0] * len(parts) if weights is None else weights

    def forward(self, X):
        """Return joined rows."""
        outputs = [part(X) * weight for part, weight in zip(self.parts, self.weights, strict=True)]
        return torch.cat(outputs, dim=1) if outputs else X[:, :0]


class Mixture(nn.Module):
    """Logarithm of the mean of probabilities.

    Parameters
    ----------
    parts : list of nn.Module
        Return log-probabilities.
    weights : list of float, default=None
    """

    def __init__(self, parts, weights=None):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        weights = np.ones(len(parts)) if weights is None else np.asarray(weights, dtype=np.float64)
        with np.errstate(divide="ignore"):
            logarithms = np.log(weights / weights.sum())
        self.register_buffer("log_weights", float64(logarithms).clamp(min=LOG_ZERO)[:, None, None])

    def forward(self, X):
        """Return log-probabilities of shape (n, n_classes)."""
        return torch.logsumexp(torch.stack([part(X) for part in self.parts]) + self.log_weights, dim=0)


class Mean(nn.Module):
    """Mean of what several modules return."""

    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, X):
        """Return the mean."""
        return torch.stack([part(X) for part in self.parts]).mean(dim=0)


def float64(values):
    """Return values as a tensor of their own, in float64."""
    return torch.from_numpy(np.array(dense(values), dtype=np.float64, order="C"))


def dense(values):
    """Return an array of what may be sparse."""
    return values.toarray() if hasattr(values, "toarray") else values


def linear(weight, bias=None):
    """Return the module X @ weight + bias.

    Parameters
    ----------
    weight : array-like of shape (n_features, n_outputs)
    bias : array-like of shape (n_outputs,) or float, default=None

    Returns
    -------
    layer : nn.Linear
    """
    weight = float64(weight)
    # skip_init: what nn.Linear draws for new weights would advance the random state of the caller
    layer = nn.utils.skip_init(nn.Linear, *weight.shape, bias=bias is not None, dtype=torch.float64)
    layer.weight.data = weight.T.contiguous()
    if bias is not None:
        layer.bias.data = float64(np.broadcast_to(bias, len(layer.weight)))
    return layer


def projection(components, mean=None, scale=None):
    """Return the module (X - mean) @ components.T / scale."""
    parts = [Affine(mean)] if mean is not None else []
    parts += [linear(np.asarray(dense(components)).T)]
    return nn.Sequential(*parts, *([Affine(scale=scale)] if scale is not None else []))


def safe_log(shares):
    """Return logarithms, finite also those of zeros, and with gradients that are so too."""
    return shares.where(shares > 0, 1.0).log().where(shares > 0, LOG_ZERO)


def logits_of_scores(scores):
    """Return a module of one logit per class, from one of what decision_function returns."""
    return nn.Sequential(scores, Elementwise(_one_per_class))


def _one_per_class(scores):
    return torch.cat([torch.zeros_like(scores), scores], dim=1) if scores.shape[1] == 1 else scores
