"""Which function converts which class."""

import contextlib
import functools
import sys

from sklearn.base import is_classifier

from skrobust.torchify._input import current_input


class NotConvertibleError(TypeError):
    """No converter is registered for an estimator, or for a step inside it, or it cannot convert this one.

    Parameters
    ----------
    fitted : object
        What cannot be converted.
    path : tuple of str, default=()
        Names of the steps that lead to it, outermost first.
    reason : str, default=None
        Why not, in words that go on from "cannot convert"; None if there is no converter.

    Examples
    --------
    >>> from skrobust.torchify import NotConvertibleError
    >>> raise NotConvertibleError([], path=("scaler",))
    Traceback (most recent call last):
    skrobust.torchify._registry.NotConvertibleError: step 'scaler' is of type list, which to_torch cannot convert: ...
    """

    def __init__(self, fitted, path=(), reason=None):
        self.fitted = fitted
        self.path = path
        self.reason = reason
        name = type(fitted).__name__
        what = f"step {'__'.join(path)!r}" if path else "the estimator"
        super().__init__(
            f"{what} is of type {name}, which to_torch cannot convert{'' if reason is None else ' ' + reason}: write a "
            f"function that returns its torch.nn.Module and decorate it with skrobust.torchify.register({name})."
        )

    def __reduce__(self):
        return type(self), (self.fitted, self.path, self.reason)

    def inside(self, step):
        """Return this error as seen from around a step of that name."""
        return NotConvertibleError(self.fitted, (step, *self.path), self.reason)


@contextlib.contextmanager
def inside(step):
    """Name the step in errors about what is converted inside."""
    try:
        yield
    except NotConvertibleError as error:
        raise error.inside(step) from None


@functools.singledispatch
def converters(fitted):
    """Return the module for one fitted estimator, by the converter of its class or nearest base class."""
    if any(base.__module__.startswith("skorch.") for base in type(fitted).__mro__) and _load_skorch():
        return converters(fitted)
    raise NotConvertibleError(fitted)


def _load_skorch():
    """Return whether the converter of skorch's nets has only now been registered."""
    room = "skrobust.torchify._skorch"
    if room in sys.modules:
        return False
    __import__(room)
    return True


def convert(fitted):
    """Return the module for a fitted estimator: of logits for a classifier, of transformed rows for a transformer."""
    if isinstance(getattr(fitted, "classes_", None), list):
        raise ValueError(
            f"{type(fitted).__name__} was fitted on several outputs, which have no single answer per row: fit one "
            "classifier per output."
        )
    converter = converters.dispatch(type(fitted))
    if not current_input().vocabularies or not getattr(converter, "wants_numbers", False):
        return converter(fitted)
    from skrobust.torchify._lookup import with_numbers  # which needs this module

    return with_numbers(converter, fitted)


@functools.singledispatch
def transformers(fitted):
    """Return the module that does what ``transform`` does."""
    if is_classifier(fitted):
        raise NotConvertibleError(fitted, reason="as a transformer")
    return convert(fitted)


def convert_transformer(fitted):
    """Return the module that does what ``transform`` does, or a bridge to it where one is allowed."""
    try:
        return transformers(fitted)
    except NotConvertibleError as error:
        if error.fitted is not fitted or not current_input().bridge or not hasattr(fitted, "transform"):
            raise
        from skrobust.torchify._bridge import bridge_to  # which needs this module

        return bridge_to(fitted)


def builtin(*classes, wants_numbers=True):
    """Make a function the converter of these classes.

    Parameters
    ----------
    *classes : type
    wants_numbers : bool, default=True
        Whether codes are turned into the numbers that they stand for before they reach the module. Not so for what
        holds other estimators, and for what knows codes.
    """

    def decorate(converter):
        converter.wants_numbers = wants_numbers
        for estimator_class in classes:
            # Not in the place of a user's own, where this module is imported late.
            if estimator_class not in converters.registry:
                converters.register(estimator_class)(converter)
        return converter

    return decorate


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
    return converters.register(estimator_class)
