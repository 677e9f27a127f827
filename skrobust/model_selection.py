"""Cross-validation when some rows have no label."""

from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import column_or_1d

from skrobust._labels import label_array, marked_unlabeled, plain_labels

__all__ = ["LabeledFolds"]


class LabeledFolds(BaseCrossValidator):
    """Split labeled rows only; unlabeled rows are in every training fold and in no test fold.

    A splitter of scikit-learn takes the mark of unlabeled rows for a class of its own and puts such rows into test
    folds, where each counts as an error. This one hands the labeled rows to another splitter and adds all unlabeled
    rows to each of its training folds.

    Parameters
    ----------
    cv : int, splitter of scikit-learn or None, default=None
        How to split the labeled rows. A number of folds, or None for 5 folds, means
        :class:`~sklearn.model_selection.StratifiedKFold`. Where a splitter holds a value for each row, as
        :class:`~sklearn.model_selection.PredefinedSplit` does, these are the labeled rows only.
    unlabeled_label : int, float, bool, str or None, default=-1
        Rows with this label are unlabeled; None means that none are. Set the same value on the classifier.

    See Also
    --------
    skrobust.OffSupportRobustClassifier : Learns from unlabeled rows when its ``unlabeled_label`` is set.

    Notes
    -----
    :func:`~sklearn.model_selection.cross_val_predict` needs every row in a test fold, so that it cannot work with
    unlabeled rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import KFold
    >>> from skrobust.model_selection import LabeledFolds
    >>> X = np.zeros((6, 2))
    >>> y = np.array([0, -1, 1, 0, -1, 1])
    >>> for train, test in LabeledFolds(KFold(2)).split(X, y):
    ...     print(train, test)
    [1 3 4 5] [0 2]
    [0 1 2 4] [3 5]
    """

    # With metadata routing, groups given to cross_validate reach the wrapped splitter without further requests.
    __metadata_request__split = {"groups": True}

    def __init__(self, cv=None, *, unlabeled_label=-1):
        self.cv = cv
        self.unlabeled_label = unlabeled_label

    def split(self, X, y=None, groups=None):
        """Generate indices of training and test rows.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows.
        y : array-like of shape (n,), default=None
            Class labels, which are needed; ``unlabeled_label`` marks rows without one.
        groups : array-like of shape (n,), default=None
            Groups for splitters that want them; those of unlabeled rows have no effect.

        Yields
        ------
        train : ndarray of int
            Labeled rows of the training fold and all unlabeled rows, in ascending order.
        test : ndarray of int
            Labeled rows of the test fold, in ascending order.

        Raises
        ------
        ValueError
            If `y` is None or has no labeled row, if `cv` is not a splitter, or if it returns rows that do not exist.
        """
        labeled, unlabeled, arguments = self._labeled_part(X, y, groups)
        splitter = self._splitter(arguments[1])
        for train, test in splitter.split(*arguments):
            _check_rows(splitter, train, test, len(labeled))
            yield np.sort(np.concatenate([labeled[train], unlabeled])), np.sort(labeled[test])

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of splits.

        Parameters
        ----------
        X : array-like of shape (n, ...), default=None
            Rows.
        y : array-like of shape (n,), default=None
            Class labels; needed where the number depends on the labeled rows, as for
            :class:`~sklearn.model_selection.LeaveOneOut`.
        groups : array-like of shape (n,), default=None
            Groups of the rows.

        Returns
        -------
        n_splits : int

        Raises
        ------
        ValueError
            If `y` is needed and None, or `y` has no labeled row, or `cv` is not a splitter.
        """
        if y is not None:
            _, _, arguments = self._labeled_part(y if X is None else X, y, groups)
            return self._splitter(arguments[1]).get_n_splits(*arguments)
        splitter = self._splitter(None)
        try:
            return splitter.get_n_splits(None, None, None)
        except ValueError as error:
            raise ValueError(
                f"y=None, but the number of splits of cv={splitter!r} depends on the labeled rows: pass X, y and, if "
                "it uses them, groups."
            ) from error

    def _splitter(self, y):
        has_split = hasattr(self.cv, "split") and not isinstance(self.cv, str)
        if self.cv is not None and not isinstance(self.cv, Integral) and not has_split:
            raise ValueError(
                f"cv={self.cv!r} is not a splitter: use a number of folds, None, or an object with a method split, "
                "such as StratifiedKFold()."
            )
        return check_cv(self.cv, y, classifier=True)

    def _labeled_part(self, X, y, groups):
        """Return labeled rows, unlabeled rows, and (X, y, groups) of the labeled rows."""
        if y is None:
            raise ValueError("y=None leaves unknown which rows are labeled: pass the labels y.")
        X, y, groups = indexable(X, y, groups)
        y = column_or_1d(label_array(y))
        is_unlabeled = marked_unlabeled(y, self.unlabeled_label)
        labeled, unlabeled = np.flatnonzero(~is_unlabeled), np.flatnonzero(is_unlabeled)
        if not len(labeled):
            raise ValueError(
                f"y has no labeled row: all {len(y)} equal unlabeled_label={self.unlabeled_label!r}; label some, or "
                "set another unlabeled_label."
            )
        groups = None if groups is None else _safe_indexing(groups, labeled)
        return labeled, unlabeled, (_safe_indexing(X, labeled), plain_labels(y[labeled]), groups)


def _check_rows(splitter, train, test, n_labeled):
    """Raise if a splitter that brings its own rows, such as PredefinedSplit, counts unlabeled ones among them."""
    last = max((int(rows.max()) for rows in (train, test) if len(rows)), default=-1)
    if last >= n_labeled:
        raise ValueError(
            f"cv={splitter!r} returned row {last}, but there are {n_labeled} labeled rows: build it from the labeled "
            "rows only."
        )
