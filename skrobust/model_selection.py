"""Cross-validation when some rows have no label, and searches for a model that is both accurate and robust."""

import dataclasses
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import column_or_1d

from skrobust._labels import label_array, marked_unlabeled, plain_labels

__all__ = ["LabeledFolds", "most_robust_within"]

# Means over the same scores of folds, in another order, differ in the last bit.
ROUNDING = 1e-12


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
        Rows with this label are unlabeled; None means that none are. Set the same value on the classifier. Where
        labels are text, it is text too, such as "-1".

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
            If `y` is None or has no labeled row, or has ``unlabeled_label`` as another type only; if `cv` is not a
            splitter, or if it returns rows that do not exist.
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
            If `y` is needed and None, or has no labeled row, or has ``unlabeled_label`` as another type only, or `cv`
            is not a splitter.
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


def most_robust_within(tolerance=0.01, *, clean="clean", robust=None):
    """Choose the most robust candidate of a search that is almost as accurate as the best.

    Robustness has a price in accuracy. This says how much of it may be paid.

    Parameters
    ----------
    tolerance : float, default=0.01
        How far the clean score of the chosen candidate may lie below the best one.
    clean : str, default="clean"
        Key of the clean score among the scores of the search.
    robust : str, default=None
        Key of the robust score. None is the only key that begins with ``robust_``.

    Returns
    -------
    refit : callable
        For the parameter ``refit`` of :class:`~sklearn.model_selection.GridSearchCV`: it returns the index of the
        chosen candidate, of equally robust ones that with the better clean score, and picks none whose scores are NaN.

    Raises
    ------
    ValueError
        If the tolerance is negative, a key is missing, or every candidate failed.

    Warns
    -----
    UserWarning
        If candidates within the tolerance were attacked in different ways, so that their scores do not compare, or if
        the attack on the chosen one may be at fault. Both can be told where the scores are those of
        :func:`skrobust.metrics.make_robustness_scorers`.

    Notes
    -----
    A search picks whichever candidate looks robust, one that only hides its gradients too. Audit it on unseen rows, by
    :func:`skrobust.metrics.robustness_report`.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.model_selection import most_robust_within
    >>> cv_results = {"mean_test_clean": np.array([0.9, 0.895, 0.7]), "mean_test_robust_0.1": np.array([0.1, 0.5, 0.6])}
    >>> most_robust_within(0.01)(cv_results)
    1
    """
    if not isinstance(tolerance, Real) or isinstance(tolerance, bool) or not 0 <= tolerance < np.inf:
        raise ValueError(f"tolerance={tolerance!r} must be a number that is not negative.")
    return _MostRobustWithin(tolerance, clean, robust)


@dataclasses.dataclass(frozen=True)
class _MostRobustWithin:
    """The callable of :func:`most_robust_within`: a class, so that it can be pickled."""

    tolerance: float
    clean: str
    robust: str | None

    def __call__(self, cv_results):
        robust = _only_robust_key(cv_results) if self.robust is None else self.robust
        clean_scores, robust_scores = (_mean_scores(cv_results, key) for key in (self.clean, robust))
        is_scored = np.isfinite(clean_scores) & np.isfinite(robust_scores)
        if not is_scored.any():
            raise ValueError(
                f"robust={robust!r} has no candidate with a finite score, as all failed: search with "
                "error_score='raise' to see why."
            )
        eligible = _near_best(clean_scores, np.flatnonzero(is_scored), self.tolerance)
        chosen = int(_near_best(clean_scores, _near_best(robust_scores, eligible))[0])
        _warn_about_attacks(cv_results, eligible, chosen)
        return chosen

    def __repr__(self):
        return f"most_robust_within({self.tolerance!r}, clean={self.clean!r}, robust={self.robust!r})"


def _near_best(scores, candidates, tolerance=0):
    """Return those of the candidates whose score is the best of theirs, or lies below it by no more than this."""
    own = scores[candidates]
    return candidates[own >= own.max() - tolerance - ROUNDING]


def _only_robust_key(cv_results):
    prefix = "mean_test_"
    keys = [name.removeprefix(prefix) for name in cv_results if name.startswith(f"{prefix}robust_")]
    if len(keys) != 1:
        raise ValueError(f"robust=None is clear only with one key that begins with 'robust_': name one of {keys}.")
    return keys[0]


def _mean_scores(cv_results, key):
    name = f"mean_test_{key}"
    if name not in cv_results:
        known = [name.removeprefix("mean_test_") for name in cv_results if name.startswith("mean_test_")]
        raise ValueError(f"the key {key!r} is not among the scores of this search: use one of {known}.")
    return np.asarray(cv_results[name], dtype=np.float64)


def _warn_about_attacks(cv_results, eligible, chosen):
    """Warn of what the diagnostics of make_robustness_scorers tell, where they are."""
    unknown = np.ones(eligible.max() + 1)
    route = np.asarray(cv_results.get("mean_test_white_box", unknown))[eligible]
    share_flagged = 1 - np.asarray(cv_results.get("mean_test_unflagged", unknown))[chosen]
    if np.ptp(route) > 0.01:
        warnings.warn(
            f"Between {route.min():.0%} and {route.max():.0%} of the rows were attacked along gradients, depending on "
            "the candidate, so that robust scores do not compare: those of black boxes are looser upper bounds; search "
            "again with an attack that suits all candidates, such as 'hopskipjump'.",
            UserWarning,
            stacklevel=3,
        )
    if share_flagged > 0:
        warnings.warn(
            f"The attack on candidate {chosen}, which was chosen, may be at fault in {share_flagged:.0%} of the folds: "
            "see the flags of robustness_report.",
            UserWarning,
            stacklevel=3,
        )
