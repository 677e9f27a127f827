"""Which function converts which class."""

import functools

import torch
from sklearn.utils.validation import check_is_fitted


class NotConvertibleError(TypeError):
    """No converter is registered for an estimator, or for a step inside it.

    Parameters
    ----------
    fitted : object
        What cannot be converted.
    path : tuple of str, default=()
        Names of the steps that lead to it, outermost first.

    Examples
    --------
    >>> from skrobust.torchify import NotConvertibleError
    >>> raise NotConvertibleError([], path=("scaler",))
    Traceback (most recent call last):
    skrobust.torchify._registry.NotConvertibleError: step 'scaler' is of type list, which to_torch cannot convert: ...
    """

    def __init__(self, fitted, path=()):
        self.fitted = fitted
        self.path = path
        name = type(fitted).__name__
        what = f"step {'__'.join(path)!r}" if path else "the estimator"
        super().__init__(
            f"{what} is of type {name}, which to_torch cannot convert: write a function that returns its "
            f"torch.nn.Module and decorate it with skrobust.torchify.register({name})."
        )

    def inside(self, step):
        """Return this error as seen from around a step of that name."""
        return NotConvertibleError(self.fitted, (step, *self.path))


@functools.singledispatch
def convert(fitted):
    """Return the module for one fitted estimator, by the converter of its class or nearest base class."""
    raise NotConvertibleError(fitted)


def register(estimator_class):
    """Make a function the converter of a class and its subclasses.

    Parameters
    ----------
    estimator_class : type
        Class of transformers or classifiers.

    Returns
    -------
    decorator : callable
        For a function that takes a fitted instance and returns a torch.nn.Module. The module maps float64 rows
        of shape (n, n_features) to what ``transform`` returns, for a transformer, or to logits of shape
        (n, n_classes) in the order of ``classes_``, for a classifier; it shares no parameters with the instance. A
        converter of something that holds estimators converts these with :func:`to_torch`.

    Examples
    --------
    >>> import torch
    >>> from sklearn.base import BaseEstimator, TransformerMixin
    >>> from skrobust.torchify import register, to_torch
    >>> class SquareRoot(TransformerMixin, BaseEstimator):
    ...     def fit(self, X, y=None):
    ...         self.n_features_in_ = X.shape[1]
    ...         return self
    ...
    ...     def transform(self, X):
    ...         return X**0.5
    >>> class SquareRootModule(torch.nn.Module):
    ...     def forward(self, X):
    ...         return X.sqrt()
    >>> @register(SquareRoot)
    ... def convert_square_root(fitted):
    ...     return SquareRootModule()
    >>> X = torch.tensor([[1.0, 4.0]])
    >>> to_torch(SquareRoot().fit(X))(X)
    tensor([[1., 2.]], dtype=torch.float64)
    """
    return convert.register(estimator_class)


def to_torch(fitted):
    """Return a torch module that computes what a fitted estimator or Pipeline computes.

    Parameters
    ----------
    fitted : estimator or Pipeline
        A classifier, a transformer, or a Pipeline of transformers that may end in a classifier. It stays as it is.

    Returns
    -------
    module : torch.nn.Module
        Maps raw rows of shape (n, n_features), of any floating point type, or images, which it flattens, to logits of
        shape (n, n_classes) in the order of ``classes_``, or to transformed rows. It computes in float64, except within
        networks that were trained in float32; it is in evaluation mode, and its parameters ask for no gradients.

    Raises
    ------
    NotConvertibleError
        If a step is of a class that has no converter; :func:`register` adds one.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

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
    >>> logits = to_torch(pipe)(torch.from_numpy(X))
    >>> bool((logits.argmax(dim=1).numpy() == pipe.predict(X)).all())
    True
    """
    if hasattr(fitted, "fit"):
        check_is_fitted(fitted)
    rows = _Rows(convert(fitted))
    return rows.to(_device_of(rows)).eval().requires_grad_(False)


class _Rows(torch.nn.Module):
    """Hands float64 rows to a module, whatever it is given."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, X):
        return self.body(X.flatten(start_dim=1).double())


def _device_of(module):
    """Return the GPU if a part of a module is there, else the CPU; a network trained on a GPU decides for its Pipeline.

    MPS knows no float64, so that what was trained there is converted to the CPU.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return next((tensor.device for tensor in tensors if tensor.device.type == "cuda"), torch.device("cpu"))
