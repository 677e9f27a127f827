"""Converter of FunctionTransformer."""

import numpy as np
import torch
from scipy import special
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from skrobust.torchify._input import current_input
from skrobust.torchify._lookup import with_numbers
from skrobust.torchify._outputs import refuse
from skrobust.torchify._parts import Elementwise, dense
from skrobust.torchify._registry import builtin
from skrobust.torchify._straight_through import StraightThrough

N_PROBES = 8


def _cube_root(X):
    return X.sign() * X.abs() ** (1 / 3)


# Functions of numpy and scipy, and what they are called in torch. numpy takes tensors, but cuts their gradients.
FUNCTIONS = {
    **{
        getattr(np, name): getattr(torch, name)
        for name in (
            *("abs", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "negative", "positive", "reciprocal"),
            *("sqrt", "square", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "cos", "cosh", "sin"),
            *("sinh", "tan", "tanh", "deg2rad", "rad2deg", "nan_to_num"),
        )
    },
    np.fabs: torch.abs,
    np.cbrt: _cube_root,
    np.degrees: torch.rad2deg,
    np.radians: torch.deg2rad,
    special.expit: torch.special.expit,
    special.logit: torch.special.logit,
    special.erf: torch.special.erf,
    special.log_ndtr: torch.special.log_ndtr,
    special.ndtr: torch.special.ndtr,
    special.ndtri: torch.special.ndtri,
}
# Those whose values jump.
STEPS = {
    np.rint: torch.round,
    **{getattr(np, name): getattr(torch, name) for name in ("ceil", "floor", "sign", "trunc")},
    np.fix: torch.trunc,
}


class Steps(StraightThrough):
    """A function of torch whose values jump, applied to rows."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def values(self, X):
        """Return the values of the function."""
        return self.function(X)

    def slope(self, X):
        """Return the rows themselves."""
        return X


@builtin(FunctionTransformer, wants_numbers=False)
def convert_function_transformer(fitted):
    """Return the function, if there is one and torch can compute it."""
    if fitted.func is None:
        identity = nn.Identity()
        identity.vocabularies = current_input().vocabularies
        return identity
    return with_numbers(_convert_function, fitted) if current_input().vocabularies else _convert_function(fitted)


def _convert_function(fitted):
    kwargs = fitted.kw_args or {}
    if _is_hashable(fitted.func) and not kwargs:
        if fitted.func in STEPS:
            return Steps(STEPS[fitted.func])
        if fitted.func in FUNCTIONS:
            return Elementwise(FUNCTIONS[fitted.func])
    rows = _probes(fitted)
    if not _is_function_of_torch(fitted, rows, kwargs):
        refuse(fitted, f"with func={_name(fitted.func)}, which does not compute the same of a tensor row by row")
    return Elementwise(fitted.func, **kwargs)


def _is_function_of_torch(fitted, rows, kwargs):
    """Return whether a function computes of a tensor, row by row, what it computes of an array, with gradients."""
    try:
        expected = np.asarray(dense(fitted.func(rows.numpy().copy(), **kwargs)), dtype=np.float64)
        outputs = fitted.func(rows.clone().requires_grad_(), **kwargs)
        alone = fitted.func(rows[:1].clone().requires_grad_(), **kwargs)
    except Exception:  # whatever it raises, it is not made for this
        return False
    if not all(isinstance(output, torch.Tensor) and output.requires_grad for output in (outputs, alone)):
        return False
    return all(
        np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=1e-9, equal_nan=True)
        for one, other in ((outputs.detach(), expected), (alone.detach(), expected[:1]))
    )


def _probes(fitted):
    rows = current_input().rows
    if rows is not None and len(rows) > 1:
        return rows[:N_PROBES]
    return torch.from_numpy(
        np.random.default_rng(0).uniform(0.1, 0.9, size=(N_PROBES, getattr(fitted, "n_features_in_", 2)))
    )


def _is_hashable(function):
    return type(function).__hash__ is not None


def _name(function):
    return getattr(function, "__name__", repr(function))
