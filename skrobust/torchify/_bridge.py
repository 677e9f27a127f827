"""Transformers that have no converter, called as they are."""

import copy

import numpy as np
import torch
from torch import nn

from skrobust.torchify._frames import decode
from skrobust.torchify._input import current_input
from skrobust.torchify._outputs import refuse
from skrobust.torchify._parts import dense, float64

MAX_FEATURES = 64
# The cube root of the precision: where rounding and curvature disturb a central difference about equally.
STEP = float(np.finfo(np.float64).eps ** (1 / 3))
N_ALONE = 8
NO_BRIDGE = "and which no bridge can replace"


class NumpyBridge(nn.Module):
    """A fitted transformer as a module, whose gradient is one of central differences.

    Parameters
    ----------
    fitted : transformer
        It is copied.
    rows : Tensor of shape (n, n_features)
        Rows that tell the scale of each column.
    vocabularies : tuple
        Columns of codes have one, and no gradient.
    """

    def __init__(self, fitted, rows, vocabularies):
        super().__init__()
        self.fitted, self.vocabularies_in = copy.deepcopy(fitted), vocabularies or (None,) * rows.shape[1]
        rows = np.nan_to_num(rows.cpu().numpy())
        scale = rows.std(axis=0) if len(rows) else np.ones(rows.shape[1])
        steps = STEP * np.where(scale > 0, scale, np.maximum(np.abs(rows).max(axis=0, initial=0), 1.0))
        is_code = [vocabulary is not None for vocabulary in self.vocabularies_in]
        self.register_buffer("steps", float64(np.where(is_code, 0.0, steps)))

    def forward(self, X):
        """Return transformed rows."""
        return _Bridged.apply(X, self)

    def transformed(self, X):
        """Return transformed rows, without gradient."""
        output = self.fitted.transform(self._decoded(X.detach().cpu().numpy()))
        return torch.from_numpy(np.array(dense(output), dtype=np.float64)).to(X.device)

    def _decoded(self, rows):
        """Return rows as the transformer takes them: a DataFrame if it was fitted on one."""
        names = getattr(self.fitted, "feature_names_in_", None)
        if names is None and all(vocabulary is None for vocabulary in self.vocabularies_in):
            return rows
        columns = [decode(column, words) for column, words in zip(rows.T, self.vocabularies_in, strict=True)]
        if names is None:
            return np.stack([column.astype(object) for column in columns], axis=1)
        import pandas

        frame = pandas.DataFrame(dict(enumerate(columns))).infer_objects()
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
    if columns.rows is None or not len(columns.rows):
        refuse(fitted, f"{NO_BRIDGE} without rows to check it on (pass X)")
    n_features = columns.rows.shape[1]
    if n_features > MAX_FEATURES:
        refuse(fitted, f"{NO_BRIDGE}, since it takes {n_features} features, more than {MAX_FEATURES}")
    bridge = NumpyBridge(fitted, columns.rows, columns.vocabularies)
    if not _is_row_wise(fitted, bridge, columns.rows):
        refuse(fitted, f"{NO_BRIDGE}, since what it makes of a row depends on other rows, or on chance")
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
        refuse(fitted, f"{NO_BRIDGE}, since its transform fails ({type(error).__name__}: {error})")
    if together.ndim != 2 or len(together) != len(rows):
        return False
    tolerance = 1e-9 * together.abs().nan_to_num(posinf=0).max().item() if together.numel() else 0
    return all(
        one.shape == other.shape and torch.allclose(one, other, rtol=1e-6, atol=tolerance, equal_nan=True)
        for one, other in ((together, reverse), (together[:N_ALONE], torch.cat(alone)))
    )
