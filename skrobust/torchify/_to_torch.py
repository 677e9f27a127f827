"""to_torch: the one call that converts."""

import dataclasses

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skrobust.torchify._check import check_equal
from skrobust.torchify._frames import encode_frame
from skrobust.torchify._input import Input, current_input, input_is
from skrobust.torchify._outputs import decision, probabilities
from skrobust.torchify._registry import convert, convert_transformer

# Rows that are shown to the converters of the steps.
N_ROWS = 256
METHODS = {"predict_proba": probabilities, "decision_function": decision}


def to_torch(fitted, X=None, *, bridge=False):
    """Return a torch module that computes what a fitted estimator or Pipeline computes.

    Parameters
    ----------
    fitted : estimator or Pipeline
        A classifier, a transformer, or a Pipeline of transformers that may end in a classifier. It stays as it is.
    X : DataFrame or array-like of shape (n, n_features), or images, default=None
        Rows at hand, as `fitted` takes them. With them, the module is checked to answer as `fitted` does, and columns
        of text, categories and booleans are known: the module then takes the matrix that :func:`encode_frame` returns.
    bridge : bool, default=False
        Whether a transformer that has no converter may become a numpy bridge, which calls ``transform`` and takes its
        gradients by central differences. It needs X, at most 64 features, and that each row is transformed alone.

    Returns
    -------
    module : torch.nn.Module
        Maps raw rows of shape (n, n_features), of any floating point type, or images, which it flattens, to logits of
        shape (n, n_classes) in the order of ``classes_``, or to transformed rows. It computes in float64, except within
        networks that were trained in float32; it is in evaluation mode, and its parameters ask for no gradients.

    Raises
    ------
    NotConvertibleError
        If a step is of a class that has no converter, or has settings that its converter does not know;
        :func:`register` adds one.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If the module does not compute what the estimator computes of X, such as for a subclass that overrides
        ``predict``; if X has other columns than the estimator was fitted on; or if the estimator gives several answers
        per row.
    TypeError
        If X is sparse.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust.torchify import to_torch
    >>> X, y = load_iris(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), MLPClassifier(max_iter=1000, random_state=0)).fit(X, y)
    >>> logits = to_torch(pipe, X)(torch.from_numpy(X))
    >>> bool((logits.argmax(dim=1).numpy() == pipe.predict(X)).all())
    True
    """
    if hasattr(fitted, "fit"):
        check_is_fitted(fitted)
    if X is None:
        return _module(fitted, dataclasses.replace(current_input(), bridge=True) if bridge else current_input())
    matrix, vocabularies = encode_frame(X)
    _check_width(fitted, X, matrix.shape[1])
    rows = torch.from_numpy(matrix)
    row_shape = np.shape(X)[1:] if np.ndim(X) > 2 else None
    columns = Input(vocabularies, tuple(getattr(X, "columns", ())), lambda: rows[:N_ROWS], bridge, row_shape)
    module = _module(fitted, columns)
    if len(rows):
        check_equal(module, fitted, X, rows, lambda method: _module(fitted, columns, METHODS[method]))
    return module


def _check_width(fitted, X, n_features):
    """Check the number of columns; of DataFrames and images, the estimator itself does so."""
    expected = getattr(fitted, "n_features_in_", n_features)
    if expected != n_features and not hasattr(X, "columns") and np.ndim(X) == 2:
        raise ValueError(f"X has {n_features} features, but {type(fitted).__name__} was fitted on {expected}.")


def _module(fitted, columns, convert_method=None):
    if convert_method is None:
        is_transformer = hasattr(fitted, "transform") and not is_classifier(fitted)
        convert_method = convert_transformer if is_transformer else convert
    with input_is(columns):
        rows = _Rows(convert_method(fitted))
    return rows.to(_device_of(rows)).eval().requires_grad_(False)


class _Rows(torch.nn.Module):
    """Hands float64 rows to a module, whatever it is given."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.vocabularies = getattr(body, "vocabularies", ())

    def forward(self, X):
        return self.body(X.flatten(start_dim=1).double())


def _device_of(module):
    """Return the GPU if a part of a module is there, else the CPU; a network trained on a GPU decides for its Pipeline.

    MPS knows no float64, so that what was trained there is converted to the CPU.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return next((tensor.device for tensor in tensors if tensor.device.type == "cuda"), torch.device("cpu"))
