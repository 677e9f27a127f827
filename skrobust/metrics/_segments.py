"""Where on the way to another class the answer changes."""

import numpy as np
from sklearn.utils import Bunch

from skrobust.attacks._original import Original
from skrobust.metrics._bisection import bisected
from skrobust.metrics._neighbors import CHUNK_NUMBERS, Setting
from skrobust.metrics._parameters import check_count, counting


def boundary_position(
    estimator,
    X,
    y,
    *,
    X_reference=None,
    y_reference=None,
    n_neighbors=1,
    norm=2,
    threat_model=None,
    n_grid=32,
):
    """Return where on the segments to the nearest rows of other classes the answer of a classifier changes.

    At t = 0 a segment is at the row, at t = 1 at the other one; t = 1/2 is halfway. A boundary that lies beside the
    data, as the data sparsity hypothesis says of plain networks [1]_, has a t near 0 for rows of one class; one that
    is folded changes the answer more than once.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them, all of whose columns hold numbers.
    y : array-like of shape (n,)
        True labels.
    X_reference : array-like or DataFrame of shape (m, n_features), or images, default=None
        Rows to which segments lead, such as training rows. None takes X.
    y_reference : array-like of shape (m,), default=None
        True labels of `X_reference`.
    n_neighbors : int, default=1
        Segments from each row, to the nearest rows of other classes.
    norm : {numpy.inf, 2, 1}, default=2
        Norm in which these are the nearest, unless there is a threat model.
    threat_model : ThreatModel, default=None
        In which norm and units is measured; a change of category counts once. Nothing else of it counts: segments are
        straight, whatever features may take.
    n_grid : int, default=32
        Points that are looked at on each segment, evenly spaced, the last at t = 1. The first change away from `y`
        is bisected to a relative precision of 1e-6. Answers that come and go between two points are not seen.

    Returns
    -------
    result : Bunch
        - position: ndarray of shape (n, n_neighbors); the first t with another answer than `y`, 0 for misclassified
          rows, and inf where even the other row is answered `y`.
        - n_changes: ndarray of shape (n, n_neighbors), int; how often the answer changes from one point to the next.
          One is the least that separates two rows.
        - neighbors: ndarray of shape (n, n_neighbors), int; which reference rows the segments lead to.
        - length: ndarray of shape (n, n_neighbors); of the segments.
        - median: float; of all positions.
        - censored_share: float; of positions that are inf.

    Raises
    ------
    ValueError
        If X holds no numbers, there are too few rows of other classes, or a parameter is out of its range.

    See Also
    --------
    boundary_distance : How far the boundary lies in other directions.

    References
    ----------
    .. [1] M. Paknezhad, C. P. Ngo, A. A. Winarto, A. Cheong, C. Y. Beh, J. Wu, H. K. Lee: Explaining adversarial
       vulnerability with a data sparsity hypothesis. Neurocomputing, 2022, arXiv:2103.00778.

    Examples
    --------
    The plane w.x + b = 0 is met at t = f(x) / (f(x) - f(x')), where f is its left side:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import boundary_position
    >>> X, y = [[-1.0], [1.0]], [0, 1]
    >>> clf = LogisticRegression().fit(X, y)
    >>> clf.intercept_ = -clf.coef_[0] / 2
    >>> result = boundary_position(clf, X, y)
    >>> result.position.round(4).tolist(), result.n_changes.tolist()
    ([[0.75], [0.25]], [[1], [1]])
    """
    check_count("n_neighbors", n_neighbors)
    check_count("n_grid", n_grid)
    threat_model = counting(norm, threat_model)
    setting = Setting.of(X, y, X_reference, y_reference, threat_model)
    fewest = setting.n_others().min()
    if fewest < n_neighbors:
        raise ValueError(
            f"n_neighbors={n_neighbors} is more than the {fewest} rows of other classes that some row has among the "
            "reference rows: ask for fewer."
        )
    nearest = setting.nearest_others(n_neighbors)
    segments = _Segments(Original(estimator, X, y), setting.reference.rows, nearest.index)
    position, n_changes = segments.crossings(np.linspace(0, 1, n_grid + 1)[1:])
    return Bunch(
        position=position,
        n_changes=n_changes,
        neighbors=nearest.index,
        length=nearest.distance,
        median=float(np.median(position)),
        censored_share=float(np.isinf(position).mean()),
    )


class _Segments:
    """Segments from the rows of a classifier to other rows, in the order of raveled indices."""

    def __init__(self, original, others, index):
        self.original, self.others, self.shape = original, others, index.shape
        self.starts, self.ends = np.arange(len(index)).repeat(index.shape[1]), index.ravel()

    def crossings(self, grid):
        """Return the first places where answers are wrong, inf without one, and how often they change."""
        answers = self.original.answers[self.starts]
        is_wrong, n_changes = answers != self.original.y[self.starts], np.zeros(len(answers), dtype=int)
        low, high, every = np.zeros(len(answers)), np.where(is_wrong, 0.0, np.inf), np.arange(len(answers))
        for before, t in zip(np.concatenate([[0.0], grid]), grid, strict=False):
            now = self.answers(every, np.full(len(every), t))
            n_changes += now != answers
            is_first = np.isinf(high) & (now != self.original.y[self.starts])
            low[is_first], high[is_first], answers = before, t, now
        position = bisected(low, high, self.is_wrong)
        return position.reshape(self.shape), n_changes.reshape(self.shape)

    def is_wrong(self, index, t):
        """Return whether the answers at places on these segments are wrong for the rows where they start."""
        return self.answers(index, t) != self.original.y[self.starts[index]]

    def answers(self, index, t):
        """Return the answers at places on these segments, of the shape of both."""
        rows, size = self.original.rows, max(1, CHUNK_NUMBERS // self.original.rows.shape[1])
        parts = [(index[i : i + size], t[i : i + size, np.newaxis]) for i in range(0, len(index), size)]
        return np.concatenate([self.original.predict(self._points(*part).astype(rows.dtype)) for part in parts])

    def _points(self, index, t):
        starts = self.original.rows[self.starts[index]].astype(np.float64)
        return (1 - t) * starts + t * self.others[self.ends[index]]
