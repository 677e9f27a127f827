"""Preprocessing that treats each feature alone: which raw feature an input of the classifier is, and on what scale."""

import dataclasses
import functools

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler


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
    low, high : ndarray of shape (k,)
        Ends at which inputs are clipped; infinite where they are not.
    """

    source: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, source, slope=None, offset=None, low=-np.inf, high=np.inf):
        """Return axes, of slope 1 and offset 0 where none are given."""
        source = np.asarray(source)
        n = len(source)
        slope = np.ones(n) if slope is None else slope
        offset = np.zeros(n) if offset is None else offset
        parts = [np.broadcast_to(np.asarray(part, dtype=np.float64), n) for part in (slope, offset, low, high)]
        return cls(source, *parts)

    @property
    def is_known(self):
        """Whether every input is a raw feature."""
        return bool((self.source >= 0).all())

    @property
    def is_identity(self):
        """Inputs that are raw features as they are, without rounding; of shape (k,)."""
        return (self.slope == 1) & (self.offset == 0)

    @property
    def is_clipped(self):
        """Whether any input is clipped."""
        return bool((np.isfinite(self.low) | np.isfinite(self.high)).any())

    def take(self, columns):
        """Return the axes of some inputs."""
        return Axes(*(getattr(self, field.name)[columns] for field in dataclasses.fields(self)))

    def then(self, later):
        """Return the axes of a later step, which are in terms of these inputs, in terms of raw features."""
        mine = self.take(later.source)
        source = np.where(later.source < 0, -1, mine.source)
        offset = later.slope * mine.offset + later.offset
        low = np.maximum(later.low, later.slope * mine.low + later.offset)
        high = np.minimum(later.high, later.slope * mine.high + later.offset)
        return Axes(source, later.slope * mine.slope, offset, low, high)

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
        shift = self.offset[inputs] / self.slope[inputs]
        raw = values / self.slope[inputs] - shift
        return raw, np.where(self.is_identity[inputs], 0.0, np.abs(raw) + np.abs(shift))


def unwrapped(estimator):
    """Return what answers for a search over hyperparameters, else the estimator itself."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def front_of(estimator, n_features):
    """Return the axes of the classifier at the end of Pipelines, and that classifier.

    Parameters
    ----------
    estimator : classifier or Pipeline
    n_features : int
        Of raw rows.

    Returns
    -------
    axes : Axes or None
        None if a step does not treat each feature alone.
    classifier : classifier
    """
    estimator, axes = unwrapped(estimator), Axes.of(np.arange(n_features))
    while isinstance(estimator, Pipeline):
        if axes is not None:
            axes = _chained(axes, [step for _, step in estimator.steps[:-1]])
        estimator = unwrapped(estimator.steps[-1][1])
    return axes, estimator


def _chained(axes, steps):
    for step in steps:
        later = _axes_of(step, len(axes.source))
        if later is None:
            return None
        axes = axes.then(later)
    return axes


@functools.singledispatch
def _axes_of(step, n_inputs):
    """Return the axes of the outputs of a fitted transformer, or None."""
    return Axes.of(np.arange(n_inputs)) if step is None else None


@_axes_of.register
def _(step: str, n_inputs):
    return Axes.of(np.arange(n_inputs)) if step == "passthrough" else None


@_axes_of.register
def _(step: Pipeline, n_inputs):
    return _chained(Axes.of(np.arange(n_inputs)), [part for _, part in step.steps])


@_axes_of.register
def _(step: StandardScaler, n_inputs):
    return _scaled(n_inputs, step.mean_ if step.with_mean else None, step.scale_)


@_axes_of.register
def _(step: RobustScaler, n_inputs):
    return _scaled(n_inputs, step.center_, step.scale_)


@_axes_of.register
def _(step: MaxAbsScaler, n_inputs):
    end = 1.0 if getattr(step, "clip", False) else np.inf
    return dataclasses.replace(_scaled(n_inputs, None, step.scale_), **_ends(n_inputs, -end, end))


@_axes_of.register
def _(step: MinMaxScaler, n_inputs):
    low, high = step.feature_range if step.clip else (-np.inf, np.inf)
    return Axes.of(np.arange(n_inputs), step.scale_, step.min_, low, high)


@_axes_of.register
def _(step: SelectorMixin, n_inputs):
    return Axes.of(np.flatnonzero(step.get_support()))


@_axes_of.register
def _(step: SimpleImputer, n_inputs):
    # Rows under attack have no missing values.
    is_plain = step.indicator_ is None and len(step.get_feature_names_out()) == n_inputs
    return Axes.of(np.arange(n_inputs)) if is_plain else None


@_axes_of.register
def _(step: FunctionTransformer, n_inputs):
    return Axes.of(np.arange(n_inputs)) if step.func is None else None


@_axes_of.register
def _(step: ColumnTransformer, n_inputs):
    n_outputs = max((part.stop for part in step.output_indices_.values()), default=0)
    axes = Axes.of(np.full(n_outputs, -1))
    for name, transformer, _ in step.transformers_:
        columns = np.asarray(step._transformer_to_input_indices[name], dtype=np.intp)
        part = _axes_of(transformer, len(columns))
        if part is not None and part.source.size == len(range(n_outputs)[step.output_indices_[name]]):
            part = Axes.of(columns).then(part)
            for field in dataclasses.fields(Axes):
                side = getattr(axes, field.name).copy()
                side[step.output_indices_[name]] = getattr(part, field.name)
                axes = dataclasses.replace(axes, **{field.name: side})
    return axes


def _scaled(n_inputs, center, scale):
    slope = np.ones(n_inputs) if scale is None else 1 / scale
    return Axes.of(np.arange(n_inputs), slope, None if center is None else -center * slope)


def _ends(n_inputs, low, high):
    return {"low": np.full(n_inputs, low), "high": np.full(n_inputs, high)}
