"""How far classes lie apart, how far a boundary could lie from rows, and how far it does."""

import numpy as np
from sklearn.utils import Bunch

from skrobust.metrics._margins import bounds_of
from skrobust.metrics._neighbors import Setting
from skrobust.metrics._parameters import check_count, check_weight, counting
from skrobust.metrics._ratios import averaged, ratio_of, warn_of_censored
from skrobust.metrics._scores import nearest_adversarial

# Of the ways to adversarial rows, for a relative precision of 1e-6.
N_HALVINGS = 20


def r_separation(X, y, *, X_reference=None, y_reference=None, norm=np.inf, threat_model=None):
    """Return how far rows lie from rows of other classes, and how far the nearest of them all do [1]_.

    Classes are r-separated if rows of different classes are at least 2r apart. Then there is a classifier that answers
    all rows rightly, and all points within r of them.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows, all of whose columns hold numbers.
    y : array-like of shape (n,)
        True labels.
    X_reference : array-like or DataFrame of shape (m, n_features), or images, default=None
        Rows to which distances are measured: training rows, with test rows as X, for the paper's "test-train"
        separation. None takes X itself: "train-train".
    y_reference : array-like of shape (m,), default=None
        True labels of `X_reference`.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of distances, unless there is a threat model.
    threat_model : ThreatModel, default=None
        In which norm and units is measured; a change of category counts once. Nothing else of it counts.

    Returns
    -------
    result : Bunch
        - separation: float; the least distance between rows of different classes, 0 if such rows are alike. This is
          what the paper's table lists.
        - r: float; half of it.
        - distance: ndarray of shape (n,); of each row to the nearest reference row of another class.
        - nearest: ndarray of shape (n,), int; which row of the reference that is.
        - pair: tuple of int; the row and the reference row that are nearest to each other.

    Raises
    ------
    ValueError
        If X holds no numbers, rows have none of another class, or a parameter is out of its range.

    References
    ----------
    .. [1] Y.-Y. Yang, C. Rashtchian, H. Zhang, R. Salakhutdinov, K. Chaudhuri: A closer look at accuracy vs.
       robustness. NeurIPS, 2020, arXiv:2003.02460, Sections 2 and 3, Table 1.

    Examples
    --------
    Two corners of a square, and what lies nearest to them:

    >>> from skrobust.metrics import r_separation
    >>> X, y = [[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]], ["left", "right", "right"]
    >>> [r_separation(X, y, norm=norm).separation for norm in (float("inf"), 2, 1)]
    [4.0, 5.0, 7.0]
    >>> result = r_separation(X, y, norm=2)
    >>> result.r, result.pair, result.distance.round(2)
    (2.5, (0, 1), array([ 5.  ,  5.  , 12.73]))
    """
    setting = Setting.of(X, y, X_reference, y_reference, counting(norm, threat_model))
    nearest = setting.nearest_others(1)
    distance, index = nearest.distance[:, 0], nearest.index[:, 0]
    row = distance.argmin()
    separation = float(distance[row])
    return Bunch(
        separation=separation, r=separation / 2, distance=distance, nearest=index, pair=(int(row), int(index[row]))
    )


def nearest_neighbor_margin(X, y, *, X_reference=None, y_reference=None, norm=2, threat_model=None, n_ways=3):
    """Return bounds of how far rows must move until their nearest reference row is one of another class.

    That is the adversarial distance of the 1-nearest-neighbor rule, which knows nothing but the reference rows: what
    a classifier that saw the same rows can be compared with. The rule takes the norm and the units in which the
    attacker is measured; in the Euclidean norm it is ``KNeighborsClassifier(1)``.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows, all of whose columns hold numbers.
    y : array-like of shape (n,)
        True labels.
    X_reference : array-like or DataFrame of shape (m, n_features), or images, default=None
        The rows that the rule knows, such as training rows. None takes X itself.
    y_reference : array-like of shape (m,), default=None
        True labels of `X_reference`.
    norm : {numpy.inf, 2, 1}, default=2
        Norm of distances, unless there is a threat model.
    threat_model : ThreatModel, default=None
        In which norm and units is measured; a change of category counts once. Constraints do not count: with them,
        margins are larger.
    n_ways : int, default=3
        Rows of other classes, nearest first, towards which the upper bound is looked for.

    Returns
    -------
    result : Bunch
        - lower: ndarray of shape (n,); no nearer point is answered otherwise. Half the difference of the next two,
          and in the Euclidean norm the distance to the nearest hyperplane halfway between rows, which is larger.
        - upper: ndarray of shape (n,); a point at this distance is answered otherwise. Bisected on the ways to the
          nearest rows of other classes to a relative precision of 1e-6.
        - distance_own: ndarray of shape (n,); to the nearest reference row of the same class, inf if there is none.
        - distance_other: ndarray of shape (n,); to the nearest one of another class.

        Bounds are 0 where the rule is wrong, or where a row of another class is as near as one of the own.

    Raises
    ------
    ValueError
        If X holds no numbers, rows have none of another class, or a parameter is out of its range.

    See Also
    --------
    margin_ratio_score : What a classifier makes of the room that there is.

    Notes
    -----
    A row that is itself among the reference rows is its own nearest neighbor: there both bounds are half the distance
    to the nearest row of another class, or more if further rows of the own class lie on that side.

    Examples
    --------
    Between two rows the boundary is the plane halfway. In the Euclidean norm the lower bound is exact, and from the
    point (1, 3) the way to the row is longer than the one to the plane:

    >>> from skrobust.metrics import nearest_neighbor_margin
    >>> rows, labels = [[0.0, 0.0], [4.0, 0.0]], ["left", "right"]
    >>> margin = nearest_neighbor_margin(
    ...     [[0.0, 0.0], [1.0, 3.0]], ["left", "left"], X_reference=rows, y_reference=labels
    ... )
    >>> margin.lower.round(6), margin.upper.round(6)
    (array([2., 1.]), array([2.      , 1.414214]))
    """
    check_count("n_ways", n_ways)
    setting = Setting.of(X, y, X_reference, y_reference, counting(norm, threat_model))
    to_own, to_other, lower, upper = bounds_of(setting, n_ways)
    return Bunch(lower=lower, upper=upper, distance_own=to_own, distance_other=to_other)


def margin_ratio_score(
    estimator,
    X,
    y,
    *,
    X_reference=None,
    y_reference=None,
    norm=2,
    threat_model=None,
    attack="worst_case",
    sample_weight=None,
    return_details=False,
    random_state=0,
    **attack_params,
):
    """Return how far adversarial rows are, relative to half the distance to the nearest row of another class.

    On training rows, 1 is a boundary halfway between the classes, the farthest that there is room for on the shortest
    way. On unseen rows there is no such ideal: compare with what the 1-nearest-neighbor rule gets there, which
    ``return_details`` tells.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them, all of whose columns hold numbers.
    y : array-like of shape (n,)
        True labels.
    X_reference : array-like or DataFrame of shape (m, n_features), or images, default=None
        Rows among which the nearest of another class is looked for: the training rows, if X are others. None takes X.
    y_reference : array-like of shape (m,), default=None
        True labels of `X_reference`.
    norm : {numpy.inf, 2, 1}, default=2
        Norm of both distances, unless there is a threat model.
    threat_model : ThreatModel, default=None
        What the attack has to keep to. Its norm and units count for both distances, a change of category once.
    attack : str, ART attack class or callable, default="worst_case"
        As in :func:`skrobust.attacks.find_adversarial`.
    sample_weight : array-like of shape (n,), default=None
        Weights of the rows in means.
    return_details : bool, default=False
        Whether to return more than the mean.
    random_state : int, RandomState instance or None, default=0
        Seed of the attack.
    **attack_params : dict
        Parameters of the attack.

    Returns
    -------
    score : float or Bunch
        The mean ratio over rows where it is finite, NaN if there are none; a warning says how many there are. It is an
        upper bound, as the distances of adversarial rows are. Misclassified rows count 0; rows without an adversarial
        row, or with a row of another class just where they are, do not count. With ``return_details``, a Bunch:

        - score: that mean.
        - median: median over all rows, whatever their weights; inf if most do not count.
        - censored_share: (weighted) share of rows that do not count.
        - per_sample: ndarray of shape (n,) of ratios.
        - distance: ndarray of shape (n,); of adversarial rows.
        - halfway: ndarray of shape (n,); half the distance to the nearest row of another class.
        - nearest_neighbor: tuple of two floats; the same mean for the 1-nearest-neighbor rule on the reference rows,
          by the lower and by the upper bound of :func:`nearest_neighbor_margin`.

    Raises
    ------
    ValueError
        If X holds no numbers, rows have none of another class, or a parameter is out of its range.

    See Also
    --------
    nearest_neighbor_margin : The margins of the 1-nearest-neighbor rule, row by row.
    boundary_position : Where on the way to another class the answer changes.

    Examples
    --------
    A boundary halfway between two rows, and one that is half as far from the right one:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import margin_ratio_score
    >>> X, y = [[-1.0], [1.0]], [0, 1]
    >>> clf = LogisticRegression().fit(X, y)
    >>> round(margin_ratio_score(clf, X, y), 3)
    1.0
    >>> clf.intercept_ = -clf.coef_[0] / 2
    >>> margin_ratio_score(clf, X, y, return_details=True).per_sample.round(3)
    array([1.5, 0.5])
    """
    threat_model = counting(norm, threat_model)
    setting = Setting.of(X, y, X_reference, y_reference, threat_model)
    weight = check_weight(sample_weight, len(setting.rows))
    found = nearest_adversarial(estimator, X, y, attack, threat_model, random_state, attack_params)
    # What attacks find lies beyond the boundary by up to some hundredths of a percent.
    found.pursuit.shrink(np.arange(found.n), N_HALVINGS)
    distance = found.distance
    halfway = setting.nearest_others(1).distance[:, 0] / 2
    result = averaged(ratio_of(distance, halfway), weight)
    if not return_details:
        warn_of_censored("margin_ratio_score", result)
        return result.score
    *_, lower, upper = bounds_of(setting, n_ways=3)
    own = tuple(averaged(ratio_of(bound, halfway), weight).score for bound in (lower, upper))
    return Bunch(**result, distance=distance, halfway=halfway, nearest_neighbor=own)
