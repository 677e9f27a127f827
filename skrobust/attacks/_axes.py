"""Preprocessing that treats each feature alone: which raw feature an input of the classifier is, and on what scale."""

import dataclasses
import functools

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils._missing import is_pandas_na, is_scalar_nan

# Methods that decide what an estimator answers, also those of scikit-learn's own that these call.
DECIDING = (
    *("predict", "predict_proba", "decision_function", "kneighbors", "transform", "get_support"),
    *("_decision_function", "_validate_X_predict", "_transform"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Axes:
    """Inputs of a classifier, each a raw feature, scaled, shifted and perhaps clipped.

    Parameters
    ----------
    source : ndarray of shape (k,), int
        Raw feature of each input; -1 where it is none of them alone.
    slope : ndarray of shape (k,)
        Positive.
    offset : ndarray of shape (k,)
    size : ndarray of shape (k,)
        Of all that steps added on the way to the offset, to which rounding errors are in proportion.
    low, high : ndarray of shape (k,)
        Ends at which inputs are clipped; infinite where they are not.
    names : sequence of str or None, default=None
        Columns of the frame that the inputs come in; None if they are an array, or in the order of the fit.
    """

    source: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    low: np.ndarray
    high: np.ndarray
    names: object = None

    @classmethod
    def of(cls, source, slope=None, offset=None, low=-np.inf, high=np.inf, *, names=None):
        """Return axes, of slope 1 and offset 0 where none are given."""
        source = np.asarray(source)
        n = len(source)
        slope = np.ones(n) if slope is None else slope
        offset = np.zeros(n) if offset is None else offset
        parts = [
            np.broadcast_to(np.asarray(part, dtype=np.float64), n)
            for part in (slope, offset, np.abs(offset), low, high)
        ]
        return cls(source, *parts, names)

    @property
    def is_known(self):
        """Whether every input is a raw feature."""
        return bool((self.source >= 0).all())

    @property
    def is_identity(self):
        """Inputs that are raw features as they are, without rounding; of shape (k,)."""
        return (self.slope == 1) & (self.size == 0)

    @property
    def is_clipped(self):
        """Whether any input is clipped."""
        return bool((np.isfinite(self.low) | np.isfinite(self.high)).any())

    def take(self, columns):
        """Return the axes of some inputs, without names."""
        return Axes(*(part[columns] for part in self._parts()))

    def then(self, later):
        """Return the axes of a later step, which are in terms of these inputs, in terms of raw features."""
        mine = self.take(later.source)
        source = np.where(later.source < 0, -1, mine.source)
        offset = later.slope * mine.offset + later.offset
        low, high = (np.clip(later.slope * end + later.offset, later.low, later.high) for end in (mine.low, mine.high))
        size = later.slope * mine.size + later.size
        return Axes(source, later.slope * mine.slope, offset, size, low, high, later.names)

    def placed(self, where, part):
        """Return these axes with other ones in some places."""
        sides = [side.copy() for side in self._parts()]
        for side, new in zip(sides, part._parts(), strict=True):
            side[where] = new
        return Axes(*sides)

    def raw(self, values, inputs):
        """Return the raw values at which inputs take values.

        Parameters
        ----------
        values : ndarray
        inputs : ndarray of int
            Which input each value is of; broadcasts with `values`.

        Returns
        -------
        raw : ndarray
        rounding : ndarray
            Size of the numbers that were added up on the way, to which rounding errors are in proportion.
        """
        raw = values / self.slope[inputs] - self.offset[inputs] / self.slope[inputs]
        size = np.abs(raw) + self.size[inputs] / self.slope[inputs]
        return raw, np.where(self.is_identity[inputs], 0.0, size)

    def _parts(self):
        return self.source, self.slope, self.offset, self.size, self.low, self.high


def answers_as_sklearn(estimator):
    """Return whether an estimator has all methods that decide from scikit-learn: a subclass may answer otherwise."""
    mro = type(estimator).__mro__
    owners = [owner for name in DECIDING for owner in [cls for cls in mro if name in vars(cls)][:1]]
    is_patched = any(name in getattr(estimator, "__dict__", ()) for name in DECIDING)
    return not is_patched and all(owner.__module__.startswith("sklearn.") for owner in owners)


def unwrapped(estimator):
    """Return what answers for a search over hyperparameters or for what is frozen, else the estimator itself."""
    while answers_as_sklearn(estimator):
        if isinstance(estimator, BaseSearchCV) and hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            break
    return estimator


def end_of(estimator):
    """Return the classifier at the end of Pipelines."""
    estimator = unwrapped(estimator)
    while _is_pipeline(estimator):
        estimator = unwrapped(estimator.steps[-1][1])
    return estimator


def _is_pipeline(estimator):
    return isinstance(estimator, Pipeline) and answers_as_sklearn(estimator)


def front_of(estimator, n_features, names=None):
    """Return the axes of the classifier at the end of Pipelines, and that classifier.

    Parameters
    ----------
    estimator : classifier or Pipeline
    n_features : int
        Of raw rows.
    names : sequence of str or None, default=None
        Columns of raw rows, if these are a frame: a ColumnTransformer finds its own among them in any order.

    Returns
    -------
    axes : Axes or None
        None if a step does not treat each feature alone.
    classifier : classifier
        A Pipeline if it is of a subclass that answers otherwise.
    """
    *_, last = stages_of(estimator, n_features, names)
    return last


def stages_of(estimator, n_features, names=None):
    """Yield the axes of the inputs of each step of Pipelines, as :func:`front_of` does of the last, and that step."""
    estimator, axes = unwrapped(estimator), _identity(n_features, names)
    while _is_pipeline(estimator):
        for _, step in estimator.steps[:-1]:
            yield axes, unwrapped(step)
            axes = _chained(axes, [step])
        estimator = unwrapped(estimator.steps[-1][1])
    yield axes, estimator


def _chained(axes, steps):
    for step in map(unwrapped, steps):
        if axes is None:
            return None
        later = _axes_of(step, len(axes.source), axes.names) if answers_as_sklearn(step) else None
        axes = None if later is None else axes.then(later)
    return axes


def _identity(n_inputs, names=None):
    return Axes.of(np.arange(n_inputs), names=names)


@functools.singledispatch
def _axes_of(step, n_inputs, names):
    """Return the axes of the outputs of a fitted transformer, or None."""
    return _identity(n_inputs, names) if step is None else None


@_axes_of.register
def _(step: str, n_inputs, names):
    return _identity(n_inputs, names) if step == "passthrough" else None


@_axes_of.register
def _(step: Pipeline, n_inputs, names):
    return _chained(_identity(n_inputs, names), [part for _, part in step.steps])


@_axes_of.register
def _(step: StandardScaler, n_inputs, names):
    return _scaled(n_inputs, step.mean_ if step.with_mean else None, step.scale_)


@_axes_of.register
def _(step: RobustScaler, n_inputs, names):
    return _scaled(n_inputs, step.center_, step.scale_)


@_axes_of.register
def _(step: MaxAbsScaler, n_inputs, names):
    end = 1.0 if getattr(step, "clip", False) else np.inf
    return dataclasses.replace(_scaled(n_inputs, None, step.scale_), **_ends(n_inputs, -end, end))


@_axes_of.register
def _(step: MinMaxScaler, n_inputs, names):
    low, high = step.feature_range if step.clip else (-np.inf, np.inf)
    return Axes.of(np.arange(n_inputs), step.scale_, step.min_, low, high)


@_axes_of.register
def _(step: SelectorMixin, n_inputs, names):
    return Axes.of(np.flatnonzero(step.get_support()))


@_axes_of.register
def _(step: SimpleImputer, n_inputs, names):
    # Rows under attack have no NaN; but a number that counts as missing may be reached, and jumps to the statistic.
    missing = step.missing_values
    is_never_met = missing is None or is_scalar_nan(missing) or is_pandas_na(missing)
    is_plain = step.indicator_ is None and len(step.get_feature_names_out()) == n_inputs
    return _identity(n_inputs) if is_plain and is_never_met else None


@_axes_of.register
def _(step: FunctionTransformer, n_inputs, names):
    # What validates refuses columns in another order.
    return _identity(n_inputs, None if step.validate else names) if step.func is None else None


@_axes_of.register
def _(step: ColumnTransformer, n_inputs, names):
    n_outputs = max((part.stop for part in step.output_indices_.values()), default=0)
    axes = Axes.of(np.full(n_outputs, -1))
    for name, transformer, columns in parts_of(step, names):
        weight = (step.transformer_weights or {}).get(name, 1.0)
        part = _chained(_identity(len(columns)), [transformer])
        outputs = step.output_indices_[name]
        if weight > 0 and part is not None and part.source.size == len(range(n_outputs)[outputs]):
            part = part.then(Axes.of(np.arange(part.source.size), np.full(part.source.size, weight)))
            axes = axes.placed(outputs, Axes.of(columns).then(part))
    return axes


def parts_of(step, names):
    """Yield the name, the transformer and the inputs of each part of a ColumnTransformer; -1 is an unknown input."""
    places = _places(step, names)
    for name, transformer, _ in step.transformers_:
        yield name, transformer, places[np.asarray(step._transformer_to_input_indices[name], dtype=np.intp)]


def _places(step, names):
    """Return where each column of the fit of a ColumnTransformer is now; -1 where that is not known."""
    if names is None or not hasattr(step, "feature_names_in_"):
        return np.arange(step.n_features_in_)
    found = [np.flatnonzero([name == other for other in names]) for name in step.feature_names_in_]
    return np.array([where[0] if len(where) == 1 else -1 for where in found], dtype=np.intp)


def _scaled(n_inputs, center, scale):
    # In float64, as rows of float64 are scaled even by what was learned in float32.
    slope = np.ones(n_inputs) if scale is None else 1 / scale.astype(np.float64)
    return Axes.of(np.arange(n_inputs), slope, None if center is None else -center * slope)


def _ends(n_inputs, low, high):
    return {"low": np.full(n_inputs, low), "high": np.full(n_inputs, high)}
