"""Where trees split and bins end inside a fitted estimator: the values just to either side, in raw units."""

import dataclasses
import functools

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.ensemble._forest import BaseForest
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import BaseDecisionTree

from skrobust.attacks._axes import Axes, answers_as_sklearn, parts_of, stages_of

# Rounding errors that scaling may make, in units of the last place of the numbers involved.
N_LAST_PLACES = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """Splits of trees, or ends of bins.

    Parameters
    ----------
    feature : ndarray of shape (k,), int
    below : ndarray of shape (k,)
        Largest value that goes left.
    above : ndarray of shape (k,)
        Smallest value that goes right.
    """

    feature: np.ndarray
    below: np.ndarray
    above: np.ndarray

    @classmethod
    def joined(cls, parts):
        """Return the splits of all parts that have any, or None."""
        parts = [part for part in parts if part is not None]
        if not parts:
            return None
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(cls)))

    def renamed(self, features):
        """Return splits of features that are columns of a wider matrix."""
        return dataclasses.replace(self, feature=np.asarray(features)[self.feature])


def splits_of(estimator, n_features, dtype=np.float64, names=None):
    """Return the splits of the trees and the ends of the bins inside an estimator, in raw units.

    Parameters
    ----------
    estimator : classifier, transformer or Pipeline
    n_features : int
    dtype : numpy dtype, default=numpy.float64
        Of the rows: values are such that this type tells them apart.
    names : sequence of str or None, default=None
        Columns of the rows, if the estimator is asked about a frame.

    Returns
    -------
    splits : Splits or None
        None if there are none, or none that can be told: behind a step that mixes features, for instance.
    """
    stages = [(axes, step) for axes, step in stages_of(estimator, n_features, names) if axes is not None]
    own = [(axes, _own_splits(step, len(axes.source), axes.names, dtype)) for axes, step in stages]
    return Splits.joined(_in_raw_units(splits, axes, dtype) for axes, splits in own if splits is not None)


def _in_raw_units(own, axes, dtype):
    source = axes.source[own.feature]
    # What the step before clips away is never reached.
    is_met = (source >= 0) & (own.below >= axes.low[own.feature]) & (own.above <= axes.high[own.feature])
    inputs, source = own.feature[is_met], source[is_met]
    below, rounding = axes.raw(own.below[is_met], inputs)
    above, _ = axes.raw(own.above[is_met], inputs)
    slack = N_LAST_PLACES * np.finfo(dtype).eps * rounding
    return Splits(source, *rounded_apart(below - slack, above + slack, dtype))


def rounded_apart(below, above, dtype):
    """Return ends of gaps as numbers of a type, in float64, not nearer to each other than they were."""
    with np.errstate(over="ignore"):
        low, high = below.astype(dtype), above.astype(dtype)
    low = np.where(low > below, np.nextafter(low, dtype(-np.inf)), low)
    high = np.where(high < above, np.nextafter(high, dtype(np.inf)), high)
    return low.astype(np.float64), high.astype(np.float64)


def around_float32(threshold):
    """Return the float64 numbers to either side of where float32(x) <= threshold changes."""
    nearest = threshold.astype(np.float32)
    left = np.where(nearest > threshold, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    middle = (left.astype(np.float64) + np.nextafter(left, np.float32(np.inf)).astype(np.float64)) / 2
    return np.nextafter(middle, -np.inf), np.nextafter(middle, np.inf)


@functools.singledispatch
def _own_splits(step, n_features, names, dtype):
    """Return the splits of a classifier or transformer in the units of its own input, or None."""
    return None


@_own_splits.register
def _(step: KBinsDiscretizer, n_features, names, dtype):
    ends = [edges[1:-1] for edges in step.bin_edges_]
    above = np.concatenate(ends)
    below = np.nextafter(above, -np.inf)
    if step.dtype == np.float32:
        below, above = around_float32(below)
    return Splits(np.repeat(np.arange(len(ends)), [len(part) for part in ends]), below, above)


@_own_splits.register
def _(step: Binarizer, n_features, names, dtype):
    below = np.full(n_features, step.threshold, dtype=np.float64)
    return Splits(np.arange(n_features), below, np.nextafter(below, np.inf))


@_own_splits.register
def _(step: Pipeline, n_features, names, dtype):
    return splits_of(step, n_features, dtype, names) if answers_as_sklearn(step) else None


@_own_splits.register
def _(step: FeatureUnion, n_features, names, dtype):
    return Splits.joined(splits_of(part, n_features, dtype, names) for _, part in step.transformer_list)


@_own_splits.register
def _(step: ColumnTransformer, n_features, names, dtype):
    found = ((splits_of(part, len(columns), dtype), columns) for _, part, columns in parts_of(step, names))
    return Splits.joined(
        _in_raw_units(splits, Axes.of(columns), dtype) for splits, columns in found if splits is not None
    )


@_own_splits.register
def _(classifier: BaseDecisionTree, n_features, names, dtype):
    is_split = classifier.tree_.feature >= 0
    below, above = around_float32(classifier.tree_.threshold[is_split])
    return Splits(classifier.tree_.feature[is_split], below, above)


@_own_splits.register(BaseForest)
@_own_splits.register(AdaBoostClassifier)
@_own_splits.register(VotingClassifier)
@_own_splits.register(StackingClassifier)
@_own_splits.register(OneVsRestClassifier)
def _(classifier, n_features, names, dtype):
    # A member may be a Pipeline itself, and is given the frame where the ensemble is.
    members = [member for member in classifier.estimators_ if not isinstance(member, str)]
    return Splits.joined(splits_of(member, n_features, dtype, names) for member in members)


@_own_splits.register(FixedThresholdClassifier)
@_own_splits.register(TunedThresholdClassifierCV)
def _(classifier, n_features, names, dtype):
    return splits_of(classifier.estimator_, n_features, dtype, names)


@_own_splits.register
def _(classifier: CalibratedClassifierCV, n_features, names, dtype):
    members = [calibrated.estimator for calibrated in classifier.calibrated_classifiers_]
    return Splits.joined(splits_of(member, n_features, dtype, names) for member in members)


@_own_splits.register
def _(classifier: SelfTrainingClassifier, n_features, names, dtype):
    # It makes an array of a frame.
    return splits_of(classifier.estimator_, n_features, dtype)


@_own_splits.register
def _(classifier: OneVsOneClassifier, n_features, names, dtype):
    # As does this one.
    return Splits.joined(splits_of(member, n_features, dtype) for member in classifier.estimators_)


@_own_splits.register
def _(classifier: GradientBoostingClassifier, n_features, names, dtype):
    return Splits.joined(_own_splits(tree, n_features, None, dtype) for tree in classifier.estimators_.ravel())


@_own_splits.register
def _(classifier: BaggingClassifier, n_features, names, dtype):
    parts = zip(classifier.estimators_, classifier.estimators_features_, strict=True)
    found = ((splits_of(member, len(features), dtype), features) for member, features in parts)
    return Splits.joined(splits.renamed(features) for splits, features in found if splits is not None)


@_own_splits.register
def _(classifier: HistGradientBoostingClassifier, n_features, names, dtype):
    if classifier._preprocessor is not None:
        # Categories stand first there, in another order of columns.
        return None
    trees = [tree.nodes for round_ in classifier._predictors for tree in round_]
    nodes = np.concatenate(trees)
    nodes = nodes[nodes["is_leaf"] == 0]
    threshold = nodes["num_threshold"]
    return Splits(nodes["feature_idx"].astype(np.intp), threshold, np.nextafter(threshold, np.inf))
