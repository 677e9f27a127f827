"""What a file may name: classes and functions that do no harm, whoever writes the file. All else is refused."""

import inspect

import numpy as np
import torch
from sklearn import compose, decomposition, feature_selection, impute, pipeline, preprocessing
from sklearn.base import BaseEstimator

import skrobust.adversary
import skrobust.augment
import skrobust.penalties
import skrobust.unlabeled
from skrobust._persistence import SAVABLE

TRANSFORMERS = {
    compose: ("ColumnTransformer",),
    decomposition: ("PCA", "TruncatedSVD"),
    feature_selection: ("SelectKBest", "SelectPercentile", "VarianceThreshold"),
    impute: ("MissingIndicator", "SimpleImputer"),
    pipeline: ("FeatureUnion", "Pipeline"),
    preprocessing: (
        "Binarizer",
        "FunctionTransformer",
        "KBinsDiscretizer",
        "MaxAbsScaler",
        "MinMaxScaler",
        "Normalizer",
        "OneHotEncoder",
        "OrdinalEncoder",
        "PolynomialFeatures",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "StandardScaler",
    ),
}
UFUNCS = ("abs", "arcsinh", "cbrt", "exp", "expm1", "log", "log10", "log1p", "log2", "sqrt", "square")
SCORES = ("chi2", "f_classif", "mutual_info_classif")
# What tells a fit where to write is not for a file to say: it is saved as None.
FOLDERS = ("checkpoint_dir", "memory")


def _own_parts():
    """Yield the samplers, penalties, adversaries and augmentations of this package."""
    for room in (skrobust.adversary, skrobust.augment, skrobust.penalties, skrobust.unlabeled):
        for name in room.__all__:
            part = getattr(room, name)
            if inspect.isclass(part) and issubclass(part, BaseEstimator):
                yield f"{room.__name__}.{name}", part


def _functions_and_classes():
    yield from ((f"numpy.{name}", getattr(np, name)) for name in UFUNCS)
    yield from ((f"sklearn.feature_selection.{name}", getattr(feature_selection, name)) for name in SCORES)
    yield from ((f"torch.nn.{name}", getattr(torch.nn, name)) for name in torch.nn.modules.activation.__all__)
    for name, value in vars(torch.optim).items():
        if inspect.isclass(value) and issubclass(value, torch.optim.Optimizer):
            yield f"torch.optim.{name}", value


# By their names in a file: classes of objects, and values that are named where they are used.
CLASSES = {
    **{f"{room.__name__}.{name}": getattr(room, name) for room, names in TRANSFORMERS.items() for name in names},
    **dict(_own_parts()),
    **{f"skrobust.{estimator_class.__name__}": estimator_class for estimator_class in SAVABLE},
}
VALUES = dict(_functions_and_classes())
TYPES = {
    **{name: np.dtype(name).type for name in ("bool", "float32", "float64", "int32", "int64")},
    **{f"python.{kind.__name__}": kind for kind in (bool, float, int, object, str)},
}
NAMES_OF_CLASSES = {known: name for name, known in CLASSES.items()}
NAMES_OF_VALUES = {known: name for name, known in VALUES.items()}
NAMES_OF_TYPES = {known: name for name, known in TYPES.items()}
