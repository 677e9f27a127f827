"""The leaves of a single decision tree as boxes in raw units, and how far rows are from them: exact in every norm."""

import dataclasses

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from skrobust.attacks._axes import answers_as_sklearn, front_of
from skrobust.attacks._splits import N_LAST_PLACES, around_float32, rounded_apart

# Numbers in the arrays of rows by leaves by features that are held at a time.
CHUNK_NUMBERS = 2**21


@dataclasses.dataclass(frozen=True, eq=False)
class Leaves:
    """Leaves of a tree.

    Parameters
    ----------
    features : ndarray of shape (u,), int
        Raw features that the tree splits at.
    low, high : ndarray of shape (n_leaves, u)
        Least and largest value of each such feature with which rows come to a leaf.
    codes : ndarray of shape (n_leaves,)
        Class that each leaf answers.
    """

    features: np.ndarray
    low: np.ndarray
    high: np.ndarray
    codes: np.ndarray

    def distances(self, budget, codes):
        """Return the distance of each row from each leaf of another class; inf where a constraint is in the way.

        Parameters
        ----------
        budget : Budget
        codes : ndarray of shape (n,)
            Classes of the rows.

        Returns
        -------
        distances : ndarray of shape (n, n_leaves)
        """
        found = np.empty((len(budget), len(self.codes)))
        size = max(1, CHUNK_NUMBERS // max(1, self.low.size))
        for start in range(0, len(budget), size):
            part = slice(start, start + size)
            inner = budget.take(np.arange(len(budget))[part])
            _, change = self._nearest(inner, self.low[np.newaxis], self.high[np.newaxis])
            found[part] = np.linalg.norm(change, ord=budget.norm, axis=-1)
        found[self.codes == codes[:, np.newaxis]] = np.inf
        return found

    def enter(self, budget, leaves):
        """Return each row moved into a leaf, by as little as it takes.

        Parameters
        ----------
        budget : Budget
            Of n rows.
        leaves : ndarray of shape (n,), int

        Returns
        -------
        moved : ndarray of shape (n, n_features), float64
        """
        values, _ = self._nearest(budget, self.low[leaves][:, np.newaxis], self.high[leaves][:, np.newaxis])
        moved = budget.rows.astype(np.float64)
        moved[:, self.features] = values[:, 0]
        for group in budget.groups:
            open_ones = np.setdiff1d(group, self.features)
            if len(open_ones) and len(open_ones) < len(group):
                n_known = moved[:, np.intersect1d(group, self.features)].sum(axis=1)
                moved[n_known == 1, open_ones[:, np.newaxis]] = 0
                lacks = np.flatnonzero(moved[:, group].sum(axis=1) == 0)
                moved[lacks, open_ones[_flip_costs(budget, group, open_ones)[lacks].argmin(axis=1)]] = 1
        return moved

    def _nearest(self, budget, low, high):
        """Return the values of the features that are nearest to the rows' own, and the sizes of these changes.

        Sizes are in units of the threat model, and inf where a leaf cannot be entered; that of a group stands in the
        first of its columns.
        """
        own = budget.rows[:, np.newaxis, self.features].astype(np.float64)
        low = np.maximum(low, budget.low[:, np.newaxis, self.features])
        high = np.minimum(high, budget.high[:, np.newaxis, self.features])
        discrete = budget.is_discrete[self.features]
        if discrete.any():
            low[..., discrete], high[..., discrete] = np.ceil(low[..., discrete]), np.floor(high[..., discrete])
        values = np.minimum(np.maximum(own, low), high)
        change, scale = np.abs(values - own), budget.scale[self.features]
        size = np.divide(change, scale, out=np.where(change > 0, np.inf, 0.0), where=scale > 0)
        size[np.broadcast_to(low > high, size.shape)] = np.inf
        for group in budget.groups:
            known = np.flatnonzero(np.isin(self.features, group))
            if len(known):
                values[..., known], size[..., known[0]] = self._category(budget, group, known, low, high, own)
                size[..., known[1:]] = 0
        return values, size

    def _category(self, budget, group, known, low, high, own):
        """Return the values of a group that make up the cheapest category that leaves allow, and what it costs."""
        categories, open_ones = np.eye(len(known)), np.setdiff1d(group, self.features)
        costs = _flip_costs(budget, group, self.features[known])
        if len(open_ones):
            # Whichever of those that the tree does not ask about.
            categories = np.vstack([categories, np.zeros(len(known))])
            costs = np.column_stack([costs, _flip_costs(budget, group, open_ones).min(axis=1)])
        low, high, own = low[..., known], high[..., known], own[..., known]
        shape = np.broadcast_shapes(low.shape, own.shape)
        values, best = np.broadcast_to(own, shape).copy(), np.full(shape[:-1], np.inf)
        for category, flip in zip(categories, costs.T, strict=True):
            is_own = (own == category).all(axis=-1)
            fits = ((low <= category) & (category <= high)).all(axis=-1)
            cost = np.where(fits, np.where(is_own, 0.0, flip[:, np.newaxis]), np.inf)
            values = np.where((cost < best)[..., np.newaxis], category, values)
            best = np.minimum(cost, best)
        return values, best


def _flip_costs(budget, group, members):
    """Return what it costs each row to take the categories of members of a group; inf where it may not."""
    with np.errstate(divide="ignore"):
        cost = 1 / budget.scale
    is_own = budget.rows[:, group] == 1
    left = np.where(is_own & (budget.low[:, group] > 0), np.inf, np.where(is_own, cost[group], 0.0)).max(axis=1)
    is_open = (budget.low[:, members] <= 1) & (budget.high[:, members] >= 1)
    return np.where(is_open, np.maximum(left[:, np.newaxis], cost[members]), np.inf)


def leaves_of(estimator, n_features, dtype=np.float64, names=None):
    """Return the leaves of a single decision tree, perhaps behind scalers, or None if the estimator is something else.

    Parameters
    ----------
    estimator : classifier or Pipeline
    n_features : int
    dtype : numpy dtype, default=numpy.float64
        Of the rows.
    names : sequence of str or None, default=None
        Columns of the rows, if the estimator is asked about a frame.

    Returns
    -------
    leaves : Leaves or None
    """
    axes, tree = front_of(estimator, n_features, names)
    is_known = is_tree(tree) and axes is not None and axes.is_known
    return leaves_behind(axes, tree, dtype, is_outer=False) if is_known else None


def leaves_behind(axes, tree, dtype, *, is_outer):
    """Return the leaves of a single decision tree in raw units.

    Parameters
    ----------
    axes : Axes
        Of the inputs of the tree, all raw features.
    tree : DecisionTreeClassifier
    dtype : numpy dtype
        Of the rows.
    is_outer : bool
        Whether boxes are too large, by what rounding may do, rather than too small.

    Returns
    -------
    leaves : Leaves
    """
    inputs = np.unique(tree.tree_.feature[tree.tree_.feature >= 0])
    low, high, leaf = _boxes(tree.tree_, inputs, axes, dtype, is_outer)
    features = np.unique(axes.source[inputs])
    shape = (len(leaf), len(features))
    raw_low, raw_high = np.full(shape, -np.inf), np.full(shape, np.inf)
    for k, feature in enumerate(axes.source[inputs]):
        at = np.searchsorted(features, feature)
        raw_low[:, at] = np.maximum(raw_low[:, at], low[:, k])
        raw_high[:, at] = np.minimum(raw_high[:, at], high[:, k])
    codes = tree.tree_.value[leaf, 0].argmax(axis=1)
    is_met = (raw_low <= raw_high).all(axis=1)
    return Leaves(features, raw_low[is_met], raw_high[is_met], codes[is_met])


def is_tree(classifier):
    """Return whether a classifier is a single decision tree with a single output, which its leaves answer."""
    return (
        isinstance(classifier, DecisionTreeClassifier) and classifier.n_outputs_ == 1 and answers_as_sklearn(classifier)
    )


def _boxes(tree, inputs, axes, dtype, is_outer):
    """Return the boxes of the leaves in terms of inputs of the tree that are split at, in raw units, and the leaves."""
    shape = (tree.node_count, len(inputs))
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    splits = np.flatnonzero(tree.feature >= 0)
    below, above = _ends(tree.feature[splits], tree.threshold[splits], axes, dtype, is_outer)
    columns = np.searchsorted(inputs, tree.feature[splits])
    # Parents come before their children.
    for node, column, least, most in zip(splits, columns, above, below, strict=True):
        left, right = tree.children_left[node], tree.children_right[node]
        low[left], low[right], high[left], high[right] = low[node], low[node], high[node], high[node]
        high[left, column] = min(high[left, column], most)
        low[right, column] = max(low[right, column], least)
    leaf = np.flatnonzero(tree.feature < 0)
    return low[leaf], high[leaf], leaf


def _ends(inputs, thresholds, axes, dtype, is_outer):
    """Return the raw values to either side of splits."""
    own_below, own_above = around_float32(thresholds)
    (below, rounding), (above, _) = axes.raw(own_below, inputs), axes.raw(own_above, inputs)
    slack = N_LAST_PLACES * np.finfo(dtype).eps * rounding
    if is_outer:
        below, above = below + slack, above - slack
    else:
        below, above = rounded_apart(below - slack, above + slack, dtype)
    # What the step before clips never comes to the other side.
    is_left, is_right = own_below >= axes.high[inputs], own_above <= axes.low[inputs]
    below = np.where(is_left, np.inf, np.where(is_right, -np.inf, below))
    above = np.where(is_left, np.inf, np.where(is_right, -np.inf, above))
    return below, above
