"""From what users pass to checked arrays: images as rows, labels as codes, unlabeled rows set apart."""

import dataclasses
import inspect
import math
import warnings

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_array, column_or_1d, validate_data

from skrobust._labels import check_mark, check_sortable, label_array, marked_unlabeled, normalized, plain_labels
from skrobust._numbers import is_whole

FLOATS = (np.float64, np.float32)
# Largest number whose squares can be summed over any rows in double precision.
LARGEST = 1e150
# Standard deviations of raw columns that differ by more than this call for a scaler; the pixels of images and the
# leading principal components of the usual data sets stay below it.
SPREAD = 10.0
# Unlabeled rows that lie farther from the mean of X than this, in units of the data scale D, are hardly in its units:
# rows of X themselves lie about 0.7 D from it.
FAR = 10.0
# Those whose own data scale is less than this share of D, but not 0, neither: pixels of [0, 1] among such of [0, 255].
NARROW = 0.02
# Rows whose distances tell how far all of them lie.
MEASURED_ROWS = 1024
# Axes of this length can be the colors of images.
COLORS = (1, 3, 4)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Checked training data.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        Labeled rows of positive weight.
    y : ndarray of shape (n,)
        Labels as given.
    weight : ndarray of shape (n,) or None
        Positive row weights with mean 1; None if all are equal.
    mean_weight : float
        What a weight of 1 stands for: the mean of the row weights as given.
    X_unlabeled : ndarray of shape (m, n_features) or None
    unlabeled_weight : ndarray of shape (m,) or None
    row_shape : tuple of int or None
        (channels, height, width) if the rows are images.
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    mean_weight: float
    X_unlabeled: np.ndarray | None
    unlabeled_weight: np.ndarray | None
    row_shape: tuple | None


def check_training_data(estimator, X, y, sample_weight, X_unlabeled, *, reset):
    """Return the checked training data of an estimator.

    Parameters
    ----------
    estimator : OffSupportRobustClassifier
    X : array-like of shape (n, n_features), (n, height, width) or (n, channels, height, width)
    y : array-like of shape (n,)
    sample_weight : array-like of shape (n,) or None
    X_unlabeled : array-like, rows shaped like those of X, or None
    reset : bool
        Whether the number and names of features are learned or checked.

    Returns
    -------
    data : TrainingData

    Raises
    ------
    ValueError
        If anything does not fit; the message names the parameter, the value and the remedy.
    """
    X, row_shape = as_rows(X, estimator.image_shape)
    if not reset:
        fitted_shape = estimator.net_.row_shape
        check_same_shape(row_shape, fitted_shape, name="X", others="the classifier was fitted on images")
    check_mark(estimator.unlabeled_label)  # before missing labels are refused without naming it
    X, y = validate_data(estimator, X, label_array(y), dtype=FLOATS, reset=reset)
    _check_size(X)
    y, weight = column_or_1d(y), None
    if sample_weight is not None:
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    given = _check_unlabeled(X_unlabeled, estimator, X, row_shape)
    counted = np.ones(len(y), dtype=bool) if weight is None else weight > 0
    marked = marked_unlabeled(y, estimator.unlabeled_label)
    pool, pool_weight = _joined_pool(_chosen(X, counted & marked), _chosen(weight, counted & marked), given)
    X, y, weight = (_chosen(array, counted & ~marked) for array in (X, y, weight))
    if not len(y):
        raise ValueError(
            "y has no labeled row of positive weight: label some rows with anything but "
            f"unlabeled_label={estimator.unlabeled_label!r}, and give them sample_weight."
        )
    _warn_about_units(given, X)
    y = plain_labels(y)
    check_sortable(y)
    check_classification_targets(y)
    mean_weight = 1.0 if weight is None else float(weight.mean())
    return TrainingData(X, y, normalized(weight), mean_weight, pool, pool_weight, row_shape)


def as_rows(X, image_shape, *, name="X"):
    """Return images as flat rows, and their shape (channels, height, width), or None for rows that are no images.

    Parameters
    ----------
    X : array-like with two dimensions, or images with three or four
    image_shape : tuple of int or None
        (height, width) or (channels, height, width), as set by the user.
    name : str, default="X"
        What the user calls `X`, for error messages.

    Raises
    ------
    ValueError
        If `X` and `image_shape` contradict each other, or the channels of images are last.
    """
    expected = None if image_shape is None else full_image_shape(image_shape)
    X = np.asarray(X) if isinstance(X, (list, tuple)) and expected is not None else X
    n_dimensions = np.ndim(X) if isinstance(X, (list, tuple)) else getattr(X, "ndim", 2)
    if n_dimensions in (3, 4):
        images = np.asarray(X)
        shape = full_image_shape(images.shape[1:])
        if expected not in (None, shape):
            raise ValueError(
                f"image_shape={tuple(image_shape)} does not match {name} of shape {images.shape}: leave "
                f"image_shape=None, or give {name} in that shape."
            )
        if expected is None:
            _check_channels_first(shape, name)
        return images.reshape(len(images), math.prod(shape)), shape
    if expected is not None and n_dimensions == 2 and hasattr(X, "shape") and X.shape[1] != math.prod(expected):
        raise ValueError(
            f"image_shape={tuple(image_shape)} has {math.prod(expected)} pixels, but {name} has {X.shape[1]} features: "
            f"set image_shape to (height, width) or (channels, height, width) of the images in {name}."
        )
    return X, expected


def _check_channels_first(shape, name):
    """Raise a ValueError if (channels, height, width) are rather (height, width, channels)."""
    if shape[2] in COLORS and min(shape[:2]) > max(COLORS):
        raise ValueError(
            f"{name} has images of shape {shape}, which looks like (height, width, channels): give "
            f"{name}.transpose(0, 3, 1, 2), or set image_shape={shape} if these are {shape[0]} channels."
        )


def full_image_shape(shape):
    """Return (channels, height, width) for a shape with or without channels.

    Raises
    ------
    ValueError
        If the shape is not two or three positive integers.
    """
    if len(shape) not in (2, 3) or not all(map(is_whole, shape)):
        raise ValueError(
            f"image_shape={tuple(shape)} is not a shape of images: use (height, width) or (channels, height, width), "
            "positive integers."
        )
    sides = tuple(int(side) for side in shape)
    return (1, *sides) if len(sides) == 2 else sides


def check_same_shape(shape, expected, *, name, others):
    """Raise a ValueError if two shapes of images, either of which may be None for plain rows, differ."""
    if None not in (shape, expected) and shape != expected:
        raise ValueError(f"{name} has images of shape {shape}, but {others} of shape {expected}: give the same shape.")


def takes_sample_weight(scorer):
    """Return whether a scorer, of scikit-learn or any callable, takes sample_weight."""
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in inspect.signature(scorer).parameters


def warn_about_spread(std):
    """Warn if isotropic noise cannot suit columns whose standard deviations differ by orders of magnitude."""
    moving = np.sort(std[std > 0])
    if len(moving) > 1 and moving[-1] > SPREAD * moving[(len(moving) - 1) // 2]:
        warnings.warn(
            f"The standard deviations of the columns of X go up to {moving[-1] / moving[(len(moving) - 1) // 2]:.3g} "
            "times their median, but the training noise is the same in every column: put a StandardScaler before this "
            "classifier in a Pipeline, or set noise_units='std'.",
            stacklevel=6,
        )


def _check_size(X):
    """Check that squares of numbers are still numbers."""
    largest = float(max(-X.min(), X.max()))
    if largest > LARGEST:
        raise ValueError(
            f"X has values up to {largest:.3g}, whose squares are too large for floating point numbers: divide X by a "
            "constant."
        )


def _check_unlabeled(X_unlabeled, estimator, X, row_shape):
    if X_unlabeled is None:
        return None
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and hasattr(X_unlabeled, "columns") and list(X_unlabeled.columns) != list(names):
        raise ValueError(
            f"X_unlabeled has the columns {list(X_unlabeled.columns)}, but X has {list(names)}: give both the same "
            "columns in the same order."
        )
    rows, unlabeled_shape = as_rows(X_unlabeled, estimator.image_shape, name="X_unlabeled")
    check_same_shape(unlabeled_shape, row_shape, name="X_unlabeled", others="X has images")
    rows = check_array(rows, dtype=FLOATS, input_name="X_unlabeled", ensure_min_samples=0)
    if rows.shape[1] != X.shape[1]:
        raise ValueError(
            f"X_unlabeled has {rows.shape[1]} features, but X has {X.shape[1]}: give both the same columns (inside a "
            "Pipeline, X_unlabeled is transformed only with transform_input=['X_unlabeled'])."
        )
    if len(rows) == len(X):
        warnings.warn(
            f"X_unlabeled has as many rows as X ({len(X)}): cross-validation takes such an array for a property of "
            "each row and splits it too; leave a row out to keep it whole.",
            stacklevel=5,
        )
    return rows if len(rows) else None


def _warn_about_units(rows, X):
    """Warn if unlabeled rows can hardly be in the units of labeled ones: too far away, or too close together."""
    if rows is None:
        return
    rows, X = (part[:: math.ceil(len(part) / MEASURED_ROWS)].astype(np.float64) for part in (rows, X))
    data_scale = _spread(X)
    with np.errstate(over="ignore"):
        distance = np.linalg.norm(rows - X.mean(axis=0), axis=1).mean()
        own_scale = _spread(rows)
    if 0 < FAR * data_scale < distance:
        observed = f"lies {distance / data_scale:.3g} times the data scale D from the mean of X"
    elif 0 < own_scale < NARROW * data_scale:
        observed = f"has a data scale that is {own_scale / data_scale:.2g} times that of X"
    else:
        return
    warnings.warn(
        f"X_unlabeled {observed}: scale it as X is. A Pipeline passes X_unlabeled on as it is, unless it has "
        "transform_input=['X_unlabeled'].",
        stacklevel=5,
    )


def _spread(rows):
    """Return the root mean square distance between rows."""
    return math.sqrt(2 * rows.var(axis=0).sum())


def _chosen(array, mask):
    """Return the rows of an array that a mask chooses, without a copy if it chooses all; None for None."""
    return array if array is None or mask.all() else array[mask]


def _joined_pool(marked, marked_weight, pool):
    """Return all unlabeled rows together with their weights; None for either if there is nothing to say."""
    if not len(marked):
        return pool, None
    if pool is None:
        return marked, marked_weight
    if marked_weight is not None:
        marked_weight = np.concatenate([marked_weight, np.full(len(pool), marked_weight.mean())])
    return np.concatenate([marked, pool]), marked_weight
