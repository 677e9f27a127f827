"""The estimator under attack, asked in the kind of X that its user has."""

import contextlib

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d

from skrobust.attacks._budget import Budget
from skrobust.attacks._features import check_moves
from skrobust.attacks._scores import best_scores, margins_of
from skrobust.torchify import decode_frame, encode_frame
from skrobust.torchify._frames import is_boolean

FLOATS = (np.float64, np.float32)
# How often an estimator whose answers are random is asked about a row.
N_FRESH = 20
# Rows that are asked about twice, in another order and in smaller batches, to see whether the answers depend on it.
N_PROBED = 256
# Rows among them that are asked about alone.
N_ALONE = 8
# Of the spread of the scores: far above rounding, also in bfloat16.
TOLERANCE = 0.02


class Original:
    """A fitted classifier, and its rows as plain arrays.

    Parameters
    ----------
    estimator : classifier or Pipeline
    X : array-like or DataFrame
        Rows or images. Columns of a frame that hold no numbers become codes.
    y : array-like of shape (n,)

    Attributes
    ----------
    rows : ndarray of shape (n, n_features)
        X as float32 or float64.
    y : ndarray of shape (n,)
    answers : ndarray of shape (n,)
        What the estimator answers to its rows.
    classes : ndarray of shape (n_classes,)
        In the order of the estimator's outputs.
    columns : ndarray of shape (n_features,) or None
        Names of the features.
    is_fixed : ndarray of shape (n_features,), bool
        Features that hold neither numbers nor booleans.
    is_boolean : ndarray of shape (n_features,), bool
        Columns of a frame that hold booleans: their rows are 0 and 1, and :meth:`restored` rounds to these.
    is_random, depends_on_batch : bool
        Whether two answers to the same row differed, and whether the other rows of a batch made them differ.

    Raises
    ------
    TypeError
        If the estimator is no classifier.
    ValueError
        If X is not numeric, finite and dense, or y does not fit.
    """

    def __init__(self, estimator, X, y):
        _check_classifier(estimator)
        self.estimator = estimator
        self._frame = X if hasattr(X, "iloc") else None
        numbers, vocabularies = (X, None) if self._frame is None else encode_frame(X)
        array = _check_numeric(numbers)
        self.y = check_labels(y)
        check_consistent_length(array, self.y)
        # A copy: estimators such as StandardScaler(copy=False) write into what they are given.
        self.rows = array.reshape(len(array), -1).copy()
        self._shape = array.shape[1:]
        self.columns = None if self._frame is None else np.asarray(X.columns)
        vocabularies = vocabularies or [None] * self.rows.shape[1]
        self.is_boolean = np.array([is_boolean(vocabulary) for vocabulary in vocabularies])
        self.is_fixed = ~self.is_boolean & np.array([vocabulary is not None for vocabulary in vocabularies])
        self.answers = self._answers(self.rows)
        self.classes = np.asarray(getattr(estimator, "classes_", np.unique(self.answers)))
        _check_kind(self.y, self.classes)
        self._scores = best_scores(self, self.rows[:N_PROBED])
        self.is_random, self.depends_on_batch = self._probe()

    def budget(self, threat_model):
        """Return what a threat model lets an attacker change in the rows."""
        check_moves(threat_model, self.columns, self.is_fixed)
        return Budget.of(threat_model, self.rows, self.columns, self.is_fixed, self.is_boolean)

    def ask(self, rows):
        """Return one answer to each row."""
        with _explained():
            return self._answers(rows)

    def predict(self, rows):
        """Return the answers to rows; of random ones the most frequent."""
        if not self.is_random:
            return self._answers(rows)
        counts = np.stack([(self._fresh(rows) == label).sum(axis=0) for label in self.classes])
        return self.classes[counts.argmax(axis=0)]

    def share_right(self, rows, y, n_fresh=N_FRESH):
        """Return the share of fresh answers to each row that are y: 0 or 1 where answers are not random."""
        with _explained():
            if not self.is_random:
                return (self._answers(rows) == y).astype(np.float64)
            return np.mean([self._answers(rows) == y for _ in range(n_fresh)], axis=0)

    def codes(self, answers):
        """Return answers as indices into the classes."""
        return (self.classes == answers[:, np.newaxis]).argmax(axis=1)

    def margins(self, rows, codes):
        """Return the best score of another class less that of the class with this code; positive means fooled.

        Without scores that agree with the answers it is 1 for another answer and -1 for this one.
        """
        if self._scores is None:
            return np.where(self.codes(self.predict(rows)) == codes, -1.0, 1.0)
        with _explained():
            return margins_of(self._scores(self.restored(rows)), codes)

    @property
    def has_scores(self):
        """Whether margins are more than right or wrong."""
        return self._scores is not None

    def restored(self, rows):
        """Return rows as what X was: a DataFrame with its names and kinds, or images in their shape."""
        if self._frame is None:
            return rows.copy().reshape(-1, *self._shape)
        return decode_frame(rows, self._frame)

    def matrix(self, X, rows):
        """Return counterparts of rows, given as X was, as an array; what holds no numbers is taken from the rows."""
        if self._frame is None:
            return np.asarray(X, dtype=np.float64).reshape(len(rows), -1)
        matrix = rows.astype(np.float64)
        for column in np.flatnonzero(~self.is_fixed):
            matrix[:, column] = X.iloc[:, column]
        return matrix

    def _answers(self, rows):
        answers = np.asarray(self.estimator.predict(self.restored(rows)))
        if answers.shape not in ((len(rows),), (len(rows), 1)):
            raise ValueError(
                f"estimator of type {type(self.estimator).__name__} answers {len(rows)} rows by an array of shape "
                f"{answers.shape}: pass a classifier that gives one label per row."
            )
        return answers.reshape(-1)

    def _fresh(self, rows):
        return np.stack([self._answers(rows) for _ in range(N_FRESH)])

    def _probe(self):
        """Return whether answers are random, and whether they depend on the order or the size of the batch."""
        rows, first = self.rows[:N_PROBED], self.answers[:N_PROBED]
        end = len(rows) // 3 + 1
        parts = [part for part in (rows[::-1][:end], rows[::-1][end:]) if len(part)]
        again = np.concatenate([self._answers(part) for part in parts])[::-1]
        n_other = (again != first).sum()
        if n_other and any((self._answers(rows) != self._answers(rows)).any() for _ in range(2)):
            return True, False
        # A few rows that lie on a boundary may go either way by rounding.
        return False, bool(n_other > max(2, len(rows) / 100)) or self._depends_on_others(rows)

    def _depends_on_others(self, rows):
        """Return whether a few rows, asked about one at a time, have other scores or answers than together."""
        some = rows[np.unique(np.linspace(0, len(rows) - 1, N_ALONE).astype(int))]
        ask = self._answers if self._scores is None else lambda rows: self._scores(self.restored(rows))
        together, alone = ask(some), self._asked_alone(ask, some)
        if _n_different(together, alone) <= 2:
            return False
        return _n_different(together, ask(some)) == 0  # or scores are random where answers are not

    def _asked_alone(self, ask, rows):
        try:
            return np.concatenate([ask(row) for row in np.split(rows, len(rows))])
        except Exception as error:
            raise ValueError(
                f"estimator of type {type(self.estimator).__name__} fails on a row alone, though it answers the same "
                "row among others, and attacks ask about single rows: have its predict take one row (a network with "
                "batch normalization needs track_running_stats=True, or GroupNorm or LayerNorm in its place). It "
                f"says: {error}"
            ) from error


def _n_different(ours, others):
    """Return the number of rows whose answers differ, or whose scores do by more than rounding."""
    if ours.ndim == 1:
        return (ours != others).sum()
    ours, others = ours.astype(np.float64), others.astype(np.float64)
    with np.errstate(all="ignore"):  # scores that overflow have no spread
        spread = ours.max() - ours.min()
        return (~np.isclose(ours, others, rtol=0, atol=TOLERANCE * spread, equal_nan=True)).any(axis=1).sum()


@contextlib.contextmanager
def _explained():
    """Within this context, an estimator that refuses rows of an attack does so with the remedy."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ValueError(
            "estimator refuses rows that the attack asks about: list the features that may not take any value under "
            "immutable, integer or one_hot_groups of the threat model, or give bounds; a classifier that has no answer "
            f"far from its rows may be given one, as by outlier_label of RadiusNeighborsClassifier. It says: {error}"
        ) from error


def _check_classifier(estimator):
    if hasattr(estimator, "fit"):
        check_is_fitted(estimator)
    if not hasattr(estimator, "predict") or not _is_classifying(estimator):
        raise TypeError(
            f"estimator of type {type(estimator).__name__} is no classifier (it lacks classes_ or predict): pass a "
            "fitted classifier, or a Pipeline that ends in one."
        )


def _is_classifying(estimator):
    """Return whether what has a predict method is a classifier: by its classes, else by what scikit-learn says."""
    if hasattr(estimator, "classes_") or not hasattr(estimator, "__sklearn_tags__"):
        return True
    return is_classifier(estimator)


def check_labels(y):
    if np.ndim(y) == 2 and np.shape(y)[1] > 1:
        raise ValueError(
            f"y of shape {np.shape(y)} has several labels per row: give one; of several outputs, fit one classifier "
            "per output."
        )
    y = column_or_1d(y)
    is_missing = np.array([label is None for label in y]) if y.dtype == object else np.zeros(len(y), dtype=bool)
    if (is_missing | (y != y)).any():  # only NaN differs from itself
        raise ValueError("y has missing labels (NaN or None): leave these rows out, there is no telling what is right.")
    return y


def _check_kind(y, classes):
    """Check that text is not compared with numbers; single labels that are unknown only make their rows wrong."""
    if len(y) and is_text(y) != is_text(classes):
        raise ValueError(
            f"y has labels such as {y[:1].tolist()[0]!r}, but the classes of the estimator are "
            f"{classes.tolist()[:3]!r}{' and so on' if len(classes) > 3 else ''}, so that no answer could be right: "
            "give the labels of y as they were in training."
        )


def is_text(labels):
    return all(isinstance(label, str) for label in labels.tolist())


def _check_numeric(X):
    try:
        return check_array(X, dtype=FLOATS, allow_nd=True, input_name="X")
    except (TypeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise type(error)(f"X cannot be attacked, which needs dense, finite numbers: {reason}") from error
