"""Rows of any kind as one matrix of numbers, and back.

What is not a number, in a DataFrame or an array of objects, is written as a code: its place in the vocabulary of its
column.
"""

import math
from numbers import Real

import numpy as np
from scipy import sparse

# Kinds of dtypes that are taken for numbers; booleans have a vocabulary, whose codes are 0 and 1, to come back as such.
NUMERIC = "iuf"


def encode_frame(X):
    """Return the rows of a DataFrame, or an array, as one matrix of numbers.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n, n_features), or images
        Images become flat rows.

    Returns
    -------
    matrix : ndarray of shape (n, n_columns), float64
        Numbers as they are, missing ones as NaN; other values as the codes of the vocabulary.
    vocabularies : tuple
        Per column: None if its values are numbers, else the array of its distinct values, of which a code is the
        index. A missing value, NaN or None, is one of them. The values of a column of type category are all its
        categories, and those of a column of booleans False and True, whose codes are 0 and 1.

    Raises
    ------
    TypeError
        If X is sparse.
    ValueError
        If X has less than two dimensions.

    See Also
    --------
    decode_frame : The inverse.

    Examples
    --------
    >>> import pandas as pd
    >>> from skrobust.torchify import encode_frame
    >>> matrix, vocabularies = encode_frame(pd.DataFrame({"size": [3, 1], "color": ["red", "blue"]}))
    >>> matrix
    array([[3., 1.],
           [1., 0.]])
    >>> vocabularies[1].tolist()
    ['blue', 'red']
    """
    if sparse.issparse(X):
        raise TypeError("X is sparse, but torch modules take dense rows: pass X.toarray().")
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        columns = [_encode_column(X.iloc[:, index]) for index in range(X.shape[1])]
        return _joined(columns, len(X))
    array = np.asarray(X)
    if array.ndim < 2:
        raise ValueError(f"X has {array.ndim} dimension(s), but rows of features are wanted: pass a table.")
    array = array.reshape(len(array), math.prod(array.shape[1:]))
    if array.dtype.kind in "biuf":
        return array.astype(np.float64), (None,) * array.shape[1]
    return _joined([_encode_objects(column.astype(object)) for column in array.T], len(array))


def decode_frame(matrix, frame_like):
    """Return a matrix of numbers as rows of the kind that they came from.

    Parameters
    ----------
    matrix : array-like of shape (n, n_columns)
        As from :func:`encode_frame`. Codes between two values mean the nearer one.
    frame_like : DataFrame or array
        The rows that were encoded. Their types and vocabularies are those of the result.

    Returns
    -------
    rows : DataFrame or ndarray
        Of the kind of `frame_like`: a DataFrame with its columns, and with its index if the lengths agree, or an
        array whose rows have its shape. Columns of numbers have the type of the matrix, the others their own.

    Raises
    ------
    ValueError
        If the matrix has another number of columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from skrobust.torchify import decode_frame, encode_frame
    >>> frame = pd.DataFrame({"size": [3.0, 1.0], "color": ["red", "blue"]})
    >>> matrix, _ = encode_frame(frame)
    >>> decode_frame(matrix + 0.2, frame)
       size color
    0   3.2   red
    1   1.2  blue
    """
    matrix = np.asarray(matrix)
    is_frame = hasattr(frame_like, "iloc")
    shape = frame_like.shape if is_frame else np.shape(frame_like)
    if matrix.ndim != 2 or matrix.shape[1] != math.prod(shape[1:]):
        raise ValueError(
            f"matrix has shape {matrix.shape}, but the rows that it is to become have {math.prod(shape[1:])} columns: "
            "pass a matrix such as encode_frame returns."
        )
    if is_frame:
        return _decoded_frame(matrix, frame_like)
    if np.asarray(frame_like).dtype.kind in "biuf":
        return matrix.reshape(len(matrix), *shape[1:])
    columns = zip(matrix.T, encode_frame(frame_like)[1], strict=True)
    rows = np.stack([decode(column, vocabulary).astype(object) for column, vocabulary in columns], axis=1)
    return rows.astype(np.asarray(frame_like).dtype).reshape(len(matrix), *shape[1:])


def decode(values, vocabulary):
    """Return the values that codes of a vocabulary stand for; numbers, without one, as they are."""
    if vocabulary is None or not len(vocabulary):
        return values
    return vocabulary[np.rint(values).clip(0, len(vocabulary) - 1).astype(int)]


def encode(values, vocabulary):
    """Return the codes of values, missing ones being the last of the vocabulary; numbers, without one, as they are."""
    if vocabulary is None:
        return np.array([np.nan if is_missing(value) else value for value in values], dtype=np.float64)
    codes = {value: code for code, value in enumerate(vocabulary) if not is_missing(value)}
    return np.array([codes.get(value, len(vocabulary) - 1) for value in values], dtype=np.float64)


def is_missing(value):
    """Return whether a value is None, NaN, or one of those of pandas."""
    is_itself = value == value
    return value is None or not isinstance(is_itself, (bool, np.bool_)) or not is_itself


def is_boolean(vocabulary):
    """Return whether codes of a vocabulary are the numbers 0 and 1: those of booleans none of which is missing."""
    return vocabulary is not None and len(vocabulary) == 2 and all(map(_is_bool, vocabulary)) and bool(vocabulary[1])


def _decoded_frame(matrix, frame):
    is_numeric = all(getattr(dtype, "kind", "O") in NUMERIC for dtype in frame.dtypes)
    # At once, since attacks ask often about few rows.
    decoded = type(frame)(matrix, copy=True) if is_numeric else type(frame)(_decoded_columns(matrix, frame))
    decoded.columns = frame.columns
    if len(decoded) == len(frame):
        decoded.index = frame.index
    return decoded


def _decoded_columns(matrix, frame):
    parts = {}
    for index, (values, dtype) in enumerate(zip(matrix.T, frame.dtypes, strict=True)):
        if getattr(dtype, "kind", "O") in NUMERIC:
            parts[index] = values
        elif dtype == np.dtype(bool):  # the short way, since attacks ask often
            parts[index] = np.rint(values) > 0
        else:
            column = frame.iloc[:, index]
            parts[index] = type(column)(decode(values, _vocabulary_of(column)), dtype=dtype)
    return parts


def _encode_column(column):
    """Return the numbers and the vocabulary of a column of a DataFrame."""
    if getattr(column.dtype, "kind", "O") in NUMERIC:
        return column.to_numpy(dtype=np.float64, na_value=np.nan), None
    vocabulary = _vocabulary_of(column)
    return encode(column, vocabulary), vocabulary


def _vocabulary_of(column):
    kind = getattr(column.dtype, "kind", "O")
    if kind in NUMERIC:
        return None
    if kind != "b" and not hasattr(column, "cat"):
        return _vocabulary(column.unique())
    known = [False, True] if kind == "b" else list(column.cat.categories)
    return _array([*known, np.nan] if column.isna().any() else known)


def _encode_objects(values):
    vocabulary = _vocabulary(values)
    return encode(values, vocabulary), vocabulary


def _vocabulary(values):
    """Return the distinct values in order, the missing one last; None if they are numbers."""
    if all(_is_number(value) for value in values):
        return None
    distinct = dict.fromkeys(value for value in values if not is_missing(value))
    if distinct and all(map(_is_bool, distinct)):
        distinct = [False, True]  # also where these rows hold but one of them
    try:
        known = sorted(distinct)
    except TypeError:  # values of several types have no order of their own
        known = sorted(distinct, key=lambda value: (type(value).__name__, str(value)))
    return _array([*known, np.nan] if any(is_missing(value) for value in values) else known)


def _array(values):
    """Return an array of objects, also where these are lists or numbers."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _is_number(value):
    return is_missing(value) or (isinstance(value, Real) and not _is_bool(value))


def _is_bool(value):
    return isinstance(value, (bool, np.bool_))


def _joined(columns, n_rows):
    """Return one matrix of columns, and their vocabularies."""
    matrix = np.empty((n_rows, len(columns)))
    for index, (values, _) in enumerate(columns):
        matrix[:, index] = values
    return matrix, tuple(vocabulary for _, vocabulary in columns)
