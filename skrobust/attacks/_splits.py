"""Where the trees of a fitted ensemble split: the values just to either side, in raw units."""

import dataclasses
import functools

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
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
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import BaseDecisionTree

from skrobust.attacks._axes import front_of

# Rounding errors that scaling may make, in units of the last place of the numbers involved.
N_LAST_PLACES = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """Splits of trees.

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
    """Return the splits of the trees inside an estimator, in raw units, or None if there are no trees.

    Parameters
    ----------
    estimator : classifier or Pipeline
    n_features : int
    dtype : numpy dtype, default=numpy.float64
        Of the rows: values are such that this type tells them apart.
    names : sequence of str or None, default=None
        Columns of the rows, if the estimator is asked about a frame.

    Returns
    -------
    splits : Splits or None
    """
    axes, classifier = front_of(estimator, n_features, names)
    if axes is None:
        return None
    own = _own_splits(classifier, len(axes.source), axes.names)
    return None if own is None else _in_raw_units(own, axes, dtype)


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
def _own_splits(classifier, n_features, names):
    """Return the splits of a classifier in the units of its own input, or None."""
    return None


@_own_splits.register
def _(classifier: BaseDecisionTree, n_features, names):
    is_split = classifier.tree_.feature >= 0
    below, above = around_float32(classifier.tree_.threshold[is_split])
    return Splits(classifier.tree_.feature[is_split], below, above)


@_own_splits.register(BaseForest)
@_own_splits.register(AdaBoostClassifier)
@_own_splits.register(VotingClassifier)
@_own_splits.register(StackingClassifier)
@_own_splits.register(OneVsRestClassifier)
def _(classifier, n_features, names):
    # A member may be a Pipeline itself, and is given the frame where the ensemble is.
    members = [member for member in classifier.estimators_ if not isinstance(member, str)]
    return Splits.joined(splits_of(member, n_features, names=names) for member in members)


@_own_splits.register(FixedThresholdClassifier)
@_own_splits.register(TunedThresholdClassifierCV)
def _(classifier, n_features, names):
    return splits_of(classifier.estimator_, n_features, names=names)


@_own_splits.register
def _(classifier: CalibratedClassifierCV, n_features, names):
    members = [calibrated.estimator for calibrated in classifier.calibrated_classifiers_]
    return Splits.joined(splits_of(member, n_features, names=names) for member in members)


@_own_splits.register
def _(classifier: SelfTrainingClassifier, n_features, names):
    # It makes an array of a frame.
    return splits_of(classifier.estimator_, n_features)


@_own_splits.register
def _(classifier: OneVsOneClassifier, n_features, names):
    # As does this one.
    return Splits.joined(splits_of(member, n_features) for member in classifier.estimators_)


@_own_splits.register
def _(classifier: GradientBoostingClassifier, n_features, names):
    return Splits.joined(_own_splits(tree, n_features, None) for tree in classifier.estimators_.ravel())


@_own_splits.register
def _(classifier: BaggingClassifier, n_features, names):
    parts = zip(classifier.estimators_, classifier.estimators_features_, strict=True)
    found = ((splits_of(member, len(features)), features) for member, features in parts)
    return Splits.joined(splits.renamed(features) for splits, features in found if splits is not None)


@_own_splits.register
def _(classifier: HistGradientBoostingClassifier, n_features, names):
    if classifier._preprocessor is not None:
        # Categories stand first there, in another order of columns.
        return None
    trees = [tree.nodes for round_ in classifier._predictors for tree in round_]
    nodes = np.concatenate(trees)
    nodes = nodes[nodes["is_leaf"] == 0]
    threshold = nodes["num_threshold"]
    return Splits(nodes["feature_idx"].astype(np.intp), threshold, np.nextafter(threshold, np.inf))
