"""Transformers that have no converter, called as they are."""

import copy

import numpy as np
import torch
from torch import nn

from skrobust.torchify._input import current_input
from skrobust.torchify._outputs import refuse
from skrobust.torchify._parts import dense, float64

MAX_FEATURES = 64
# The cube root of the precision: where rounding and curvature disturb a central difference about equally.
STEP = float(np.finfo(np.float64).eps ** (1 / 3))
N_ALONE = 8


class NumpyBridge(nn.Module):
    """A fitted transformer as a module, whose gradient is one of central differences.

    Parameters
    ----------
    fitted : transformer
        It is copied.
    columns : Input
        Columns that it takes. Those of codes have no gradient.
    """

    def __init__(self, fitted, columns):
        super().__init__()
        self.fitted, self.columns = copy.deepcopy(fitted), columns
        rows = columns.rows.numpy()
        scale = rows.std(axis=0) if len(rows) else np.ones(rows.shape[1])
        steps = STEP * np.where(scale > 0, scale, np.maximum(np.abs(rows).max(axis=0, initial=0), 1.0))
        is_code = [vocabulary is not None for vocabulary in columns.vocabularies] or [False] * rows.shape[1]
        self.register_buffer("steps", float64(np.where(is_code, 0.0, np.nan_to_num(steps, nan=STEP))))

    def forward(self, X):
        """Return transformed rows."""
        return _Bridged.apply(X, self)

    def transformed(self, X):
        """Return transformed rows, without gradient."""
        output = self.fitted.transform(self._decoded(X.detach().cpu().numpy()))
        return torch.from_numpy(np.array(dense(output), dtype=np.float64)).to(X.device)

    def _decoded(self, rows):
        vocabularies = self.columns.vocabularies or (None,) * rows.shape[1]
        names = getattr(self.fitted, "feature_names_in_", None)
        if names is None and not self.columns.vocabularies:
            return rows
        values = {index: _decode(column, v) for index, (column, v) in enumerate(zip(rows.T, vocabularies, strict=True))}
        if names is None:
            return np.stack([np.asarray(column, dtype=object) for column in values.values()], axis=1)
        import pandas

        frame = pandas.DataFrame(values).infer_objects()
        frame.columns = list(names)
        return frame


class _Bridged(torch.autograd.Function):
    @staticmethod
    def forward(ctx, X, bridge):
        ctx.save_for_backward(X)
        ctx.bridge = bridge
        return bridge.transformed(X)

    @staticmethod
    def backward(ctx, gradient):
        (X,) = ctx.saved_tensors
        result = torch.zeros_like(X)
        for feature in ctx.bridge.steps.nonzero().flatten().tolist():
            step = torch.zeros_like(X[:1])
            step[0, feature] = ctx.bridge.steps[feature]
            above, below = ctx.bridge.transformed(torch.cat([X + step, X - step])).split(len(X))
            slope = torch.nan_to_num((above - below) / (2 * step[0, feature]), posinf=0.0, neginf=0.0)
            result[:, feature] = (gradient * slope).sum(dim=1)
        return result, None


def bridge_to(fitted):
    """Return a bridge to a transformer, if it is row-wise and takes few features.

    Raises
    ------
    NotConvertibleError
        If there are no rows to check it on, it takes more features, or is not row-wise.
    """
    columns = current_input()
    if columns.rows is None:
        refuse(fitted, "without rows, on which a bridge is checked (no converter is registered, and X is None)")
    n_features = columns.rows.shape[1]
    if n_features > MAX_FEATURES:
        refuse(
            fitted,
            f"(no converter is registered, and {n_features} features are too many for a bridge, which takes "
            f"{MAX_FEATURES})",
        )
    bridge = NumpyBridge(fitted, columns)
    if not _is_row_wise(fitted, bridge, columns.rows):
        refuse(
            fitted,
            "(no converter is registered, and what it makes of a row depends on other rows or on chance, so "
            "that a bridge cannot take its place)",
        )
    return bridge


def has_bridge(module):
    """Return whether a module calls a transformer of numpy, whose gradients are finite differences.

    Parameters
    ----------
    module : torch.nn.Module
        As from :func:`to_torch`.

    Returns
    -------
    has_bridge : bool

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.preprocessing import FunctionTransformer, StandardScaler
    >>> from skrobust.torchify import has_bridge, to_torch
    >>> X = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> has_bridge(to_torch(StandardScaler().fit(X), X))
    False
    >>> has_bridge(to_torch(FunctionTransformer(lambda X: np.sort(X, axis=1)).fit(X), X, bridge=True))
    True
    """
    return any(isinstance(part, NumpyBridge) for part in module.modules())


def _is_row_wise(fitted, bridge, rows):
    try:
        together = bridge.transformed(rows)
        reverse = bridge.transformed(rows.flip(0)).flip(0)
        alone = [bridge.transformed(row) for row in rows[:N_ALONE].split(1)]
    except Exception as error:
        refuse(fitted, f"(no converter is registered, and a bridge fails with {type(error).__name__}: {error})")
    if any(part.ndim != 2 or len(part) != n for part, n in [(together, len(rows)), *((part, 1) for part in alone)]):
        return False
    tolerance = 1e-9 * together.abs().nan_to_num(posinf=0).amax().item() if together.numel() else 0
    return all(
        torch.allclose(one, other, rtol=1e-6, atol=tolerance, equal_nan=True)
        for one, other in [(together, reverse), *([(together[:N_ALONE], torch.cat(alone))] if alone else [])]
    )


def _decode(values, vocabulary):
    return values if vocabulary is None else vocabulary[np.rint(values).clip(0, len(vocabulary) - 1).astype(int)]
