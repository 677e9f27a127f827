"""What an attacker may change."""

import collections
import dataclasses
import math
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_array

NORMS = (math.inf, 2.0, 1.0)
UNITS = ("raw", "std", "iqr", "range")
DIRECTIONS = ("up", "down", "both", "none")
# Relative excess of a distance over eps that is put down to rounding.
TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True, repr=False)
class ThreatModel:
    """What an attacker may change in a row of X.

    Features are given by column name or by index, counted from 0.

    Parameters
    ----------
    eps : float or sequence of float, default=None
        Largest distance of an adversarial row from its original, in `units`. One number per feature is the largest
        change of each where it alone is changed; 0 allows no change. None leaves eps to the scorer.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of the distance: the largest change of a feature, the Euclidean length, or the sum of absolute changes.
        With one eps per feature, the changes are first divided by them.
    units : {"raw", "std", "iqr", "range"} or sequence of float, default="raw"
        What eps counts: the units of X, or of each feature the standard deviation, the distance of the quartiles or
        the range, which :meth:`resolve` takes from training rows. Numbers are such units themselves. A feature whose
        unit is 0 is constant and stays as it is.
    bounds : tuple (low, high) or "learn", default=None
        Smallest and largest value that a feature may take, such as (0, 255) for pixels: two numbers, or two sequences
        with one number per feature. An infinite number leaves that side open, None both. With "learn",
        :meth:`resolve` takes the smallest and largest values of training rows, and makes it ("learned", low, high): a
        row that lies beyond them may keep its values, or move back, but no farther.
    immutable : sequence of features, default=()
        Features that stay as they are.
    direction : {"up", "down", "both", "none"}, a sequence of them, or a dict, default=None
        Where features may go from their original value: one word for all features, one per feature, or a dict from
        features to words. It is kept as pairs, sorted by feature. None is "both".
    integer : sequence of features, default=()
        Features that stay whole numbers.
    one_hot_groups : sequence of sequences of features, default=()
        Groups of columns of which one is 1 and the others are 0. A change of category is one change: it counts as the
        largest change within the group, in every norm.

    Raises
    ------
    ValueError
        If a value is out of its range, or two settings contradict each other.
    TypeError
        If a value is of a wrong type.

    Examples
    --------
    >>> from skrobust import ThreatModel
    >>> ThreatModel(0.1)
    ThreatModel(eps=0.1, norm=numpy.inf)
    >>> ThreatModel(2, norm=2, bounds=(0, 255)) == ThreatModel(2.0, norm=2.0, bounds=[0, 255])
    True

    Half a standard deviation of training rows; age may only rise, the sex stays:

    >>> import pandas as pd
    >>> X_train = pd.DataFrame({"age": [20.0, 40.0], "sex": [0, 1], "height": [1.5, 1.75]})
    >>> threat_model = ThreatModel(0.5, units="std", immutable=["sex"], direction={"age": "up"})
    >>> threat_model.resolve(X_train).units
    (10.0, 0.5, 0.125)
    """

    eps: float | tuple | None = None
    norm: float = math.inf
    _: dataclasses.KW_ONLY
    units: str | tuple = "raw"
    bounds: tuple | str | None = None
    immutable: tuple = ()
    direction: str | tuple | None = None
    integer: tuple = ()
    one_hot_groups: tuple = ()

    def __post_init__(self):
        checks = {
            "eps": _check_eps,
            "norm": _check_norm,
            "units": _check_units,
            "bounds": _check_bounds,
            "immutable": lambda features: _check_features("immutable", features),
            "direction": _check_direction,
            "integer": lambda features: _check_features("integer", features),
            "one_hot_groups": _check_groups,
        }
        # object.__setattr__ is how a frozen dataclass sets its own fields; plain floats and sorted tuples make equal
        # values equal, hashable and short to print.
        for name, check in checks.items():
            object.__setattr__(self, name, check(getattr(self, name)))
        _check_disjoint(self.integer, self.one_hot_groups)

    def __repr__(self):
        fields = [field for field in dataclasses.fields(self) if field.name == "norm" or not self._is_default(field)]
        return f"ThreatModel({', '.join(f'{field.name}={self._text(field.name)}' for field in fields)})"

    def resolve(self, X_reference):
        """Return this threat model with units and bounds taken from training rows.

        Parameters
        ----------
        X_reference : array-like or DataFrame of shape (n, n_features), or images
            Rows that the attacked estimator may know: training rows, not those that are attacked. Missing values are
            left out. Columns of a DataFrame that hold no numbers get the unit 0 and no bounds.

        Returns
        -------
        threat_model : ThreatModel
            With one number per feature in place of "std", "iqr", "range" and "learn".

        Raises
        ------
        ValueError
            If the rows are none, or not numbers.

        Examples
        --------
        >>> from skrobust import ThreatModel
        >>> ThreatModel(0.1, units="range", bounds="learn").resolve([[0, 5], [4, 3]])
        ThreatModel(eps=0.1, norm=numpy.inf, units=(4.0, 2.0), bounds=('learned', (0.0, 3.0), (4.0, 5.0)))
        """
        learned = {}
        if isinstance(self.units, str) and self.units != "raw":
            learned["units"] = _learn_units(*_reference(X_reference), self.units)
        if self.bounds == "learn":
            learned["bounds"] = ("learned", *_learn_bounds(*_reference(X_reference)))
        return dataclasses.replace(self, **learned)

    def with_eps(self, eps):
        """Return this threat model with an eps.

        Parameters
        ----------
        eps : float, sequence of float or None
            None keeps the eps that is there.

        Returns
        -------
        threat_model : ThreatModel

        Raises
        ------
        ValueError
            If the threat model has an eps already.

        Examples
        --------
        >>> from skrobust import ThreatModel
        >>> ThreatModel(norm=2).with_eps(0.5)
        ThreatModel(eps=0.5, norm=2)
        """
        if eps is None:
            return self
        if self.eps is not None:
            raise ValueError(
                f"eps={eps!r} and the eps={self.eps!r} of the threat model contradict each other: give one of them."
            )
        return dataclasses.replace(self, eps=eps)

    def _is_default(self, field):
        return getattr(self, field.name) == field.default

    def _text(self, name):
        value = getattr(self, name)
        if name == "norm":
            return "numpy.inf" if value == math.inf else f"{value:g}"
        return repr(dict(value)) if name == "direction" and _is_pairs(value) else _text(value)


def _text(value):
    """Return what rebuilds a value after ``import numpy``."""
    if isinstance(value, tuple):
        inner = ", ".join(map(_text, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, float) and math.isinf(value):
        return "numpy.inf" if value > 0 else "-numpy.inf"
    return repr(value)


def _check_eps(eps):
    if eps is None:
        return None
    if _is_number(eps):
        if not 0 <= eps < math.inf:
            raise ValueError(f"eps={eps!r} must be a finite number that is not negative, in the units of X.")
        return float(eps)
    return _check_numbers("eps", eps, "a number, or a sequence of one per feature")


def _check_norm(norm):
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r} is not supported: use numpy.inf, 2 or 1.")
    return float(norm)


def _check_units(units):
    if not isinstance(units, str):
        return _check_numbers("units", units, f"one of {UNITS}, or a sequence of one number per feature")
    if units not in UNITS:
        raise ValueError(f"units={units!r} is unknown: use one of {UNITS}, or one number per feature.")
    return units


def _check_numbers(name, values, expected):
    """Return one number per feature as a tuple."""
    values = values.tolist() if isinstance(values, np.ndarray) else values
    # A Series has no truth value of its own.
    numbers = tuple(values) if _is_sequence(values) else None
    if numbers is None or not all(map(_is_number, numbers)):
        raise TypeError(f"{name}={values!r} must be {expected}.")
    if not numbers or not all(0 <= number < math.inf for number in numbers):
        raise ValueError(f"{name}={values!r} must hold finite numbers that are not negative, one per feature.")
    return tuple(map(float, numbers))


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_sequence(values):
    return isinstance(values, collections.abc.Iterable) and not isinstance(
        values, str | bytes | collections.abc.Mapping
    )


def _check_bounds(bounds):
    if bounds is None or (isinstance(bounds, str) and bounds == "learn"):
        return bounds
    if isinstance(bounds, tuple) and len(bounds) == 3 and isinstance(bounds[0], str) and bounds[0] == "learned":
        return ("learned", *_check_bounds(bounds[1:]))
    sides = _read_sides(bounds)
    if sides is None:
        raise ValueError(
            f"bounds={bounds!r} must be a pair (low, high), each a number or a sequence of one per feature, or 'learn'."
        )
    low, high = sides
    if not (low <= high).all():
        raise ValueError(f"bounds={bounds!r} must have low <= high and no NaN: swap the two, or mend the entry.")
    return _plain(low), _plain(high)


def _read_sides(bounds):
    """Return low and high as arrays, or None if that is not what these bounds are."""
    if isinstance(bounds, str):
        return None
    try:
        low, high = (np.asarray(side, dtype=np.float64) for side in bounds)
        fits_rows = len(np.broadcast_shapes(low.shape, high.shape)) <= 1 and low.size > 0 and high.size > 0
    except (TypeError, ValueError):
        return None
    return (low, high) if fits_rows else None


def _plain(side):
    """Return a number or a sequence of numbers as floats of Python."""
    return float(side) if side.ndim == 0 else tuple(side.tolist())


def _check_features(name, features):
    """Return features as a sorted tuple of names and indices."""
    if not _is_sequence(features):
        raise TypeError(
            f"{name}={features!r} must be a sequence of column names or indices: put a single one in a list."
        )
    return tuple(sorted({_check_feature(name, feature) for feature in features}, key=_order))


def _check_feature(name, feature):
    if isinstance(feature, str):
        return str(feature)
    if isinstance(feature, bool | np.bool_) or not isinstance(feature, Integral):
        raise TypeError(f"{name} holds {feature!r}: give features by column name or index, not by a mask.")
    if feature < 0:
        raise ValueError(f"{name} holds the index {feature!r}: count features from 0.")
    return int(feature)


def _order(feature):
    return isinstance(feature, str), feature


def _check_direction(direction):
    """Return directions as a word, a tuple of words, or a sorted tuple of pairs of feature and word."""
    if direction is None or isinstance(direction, str):
        return None if direction is None else _check_word(direction)
    if isinstance(direction, collections.abc.Mapping):
        direction = tuple(direction.items())
    if not _is_sequence(direction):
        raise TypeError(f"direction={direction!r} must be one of {DIRECTIONS}, one of them per feature, or a dict.")
    direction = tuple(direction) or None
    if _is_pairs(direction):
        words = {_check_feature("direction", feature): _check_word(word) for feature, word in direction}
        return tuple(sorted(words.items(), key=lambda pair: _order(pair[0])))
    return None if direction is None else tuple(map(_check_word, direction))


def _check_word(word):
    if word not in DIRECTIONS:
        raise ValueError(f"direction holds {word!r}, which is unknown: use one of {DIRECTIONS}.")
    return str(word)


def _is_pairs(direction):
    return isinstance(direction, tuple) and all(isinstance(entry, tuple) and len(entry) == 2 for entry in direction)


def _check_groups(groups):
    if not _is_sequence(groups):
        raise TypeError(f"one_hot_groups={groups!r} must be a sequence of groups, each a sequence of features.")
    groups = tuple(sorted((_check_features("one_hot_groups", group) for group in groups), key=_order_group))
    for group in groups:
        if len(group) < 2:
            raise ValueError(
                f"one_hot_groups holds {group!r}, which has no other category: give two features or more, and list a "
                "single column of 0 and 1 under integer."
            )
    return groups


def _order_group(group):
    return [_order(feature) for feature in group]


def _check_disjoint(integer, groups):
    """Check that no feature is in two groups, or both an integer and in a group."""
    counts = collections.Counter([*integer, *(feature for group in groups for feature in group)])
    for feature, count in counts.items():
        if count > 1:
            raise ValueError(
                f"feature {feature!r} is in two of one_hot_groups, or also under integer: list it once, in its group."
            )


def _reference(X):
    """Return rows as float64 of shape (n, n_features), and which of their columns hold numbers; the others are 0."""
    is_numeric = np.True_
    if hasattr(X, "iloc"):
        is_numeric = np.array([dtype.kind in "biuf" for dtype in X.dtypes], dtype=bool)
        X = np.column_stack([_column(X.iloc[:, j], is_numeric[j]) for j in range(len(is_numeric))])
    X = check_array(X, dtype=np.float64, allow_nd=True, ensure_all_finite="allow-nan", input_name="X_reference")
    X = X.reshape(len(X), -1)
    is_known = is_numeric & ~np.isnan(X).all(axis=0)
    return np.where(is_known, X, 0), is_known


def _column(column, is_numeric):
    return column.to_numpy(dtype=np.float64, na_value=np.nan) if is_numeric else np.zeros(len(column))


def _learn_units(X, is_known, units):
    with np.errstate(over="ignore", invalid="ignore"):
        reach = np.nanmax(X, axis=0) - np.nanmin(X, axis=0)
        scale = UNITS_OF[units](X)
    if not np.isfinite(scale).all():
        raise ValueError(
            f"X_reference has values up to {np.nanmax(np.abs(X)):.3g}, of which units={units!r} cannot be computed: "
            "divide X by a constant."
        )
    # The standard deviation of a constant may be what rounding leaves of it.
    return np.where(is_known & (reach > 0), scale, 0)


def _learn_bounds(X, is_known):
    return np.where(is_known, np.nanmin(X, axis=0), -np.inf), np.where(is_known, np.nanmax(X, axis=0), np.inf)


UNITS_OF = {
    "std": lambda X: np.nanstd(X, axis=0),
    "iqr": lambda X: np.subtract(*np.nanpercentile(X, (75, 25), axis=0)),
    "range": lambda X: np.nanmax(X, axis=0) - np.nanmin(X, axis=0),
}
