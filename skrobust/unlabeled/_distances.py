"""Distances between rows, in input space or at a layer of a network, and their histogram."""

import copy
import math

import numpy as np
import torch

from skrobust._numbers import is_whole
from skrobust.data import Moments
from skrobust.modules import cut_at

QUERIES_AT_A_TIME = 128
ROWS_AT_A_TIME = 1024


def distances(points, rows):
    """Return Euclidean distances, Tensor of shape (n_points, n_rows)."""
    # Matrix products are more than ten times faster than differences. They are exact enough near the origin, and the
    # first row brings all of them there without rounding whole numbers.
    origin = rows[:1]
    return torch.cdist(points - origin, rows - origin, compute_mode="use_mm_for_euclid_dist")


def random_rows(X, max_rows, n_queries, rng):
    """Return the indices of at most `max_rows` rows, in random order.

    Raises
    ------
    ValueError
        If X has fewer than two dimensions or two rows, or fewer are asked for, or no whole numbers of them.
    """
    if X.ndim < 2 or len(X) < 2:
        raise ValueError(f"X of shape {X.shape} has no pairs of rows: give an array of at least two rows.")
    if not (is_whole(max_rows, least=2) and is_whole(n_queries)):
        raise ValueError(
            f"max_rows={max_rows!r} and n_queries={n_queries!r} leave no distances: use at least 2 rows and 1 query, "
            "whole numbers."
        )
    return rng.permutation(len(X))[:max_rows]


def rows_at(X, chosen, estimator, layer):
    """Return chosen rows, or the activations of a layer there, and their moments.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
    chosen : ndarray of int
    estimator : fitted classifier, torch.nn.Module or None
    layer : str or None

    Returns
    -------
    rows : Tensor of shape (n_chosen, n_features), float64
    moments : Moments
        Of all rows of X, or of the activations returned.

    Raises
    ------
    ValueError
        If X has no spread or is not finite.
    """
    at_layer = estimator is not None or layer is not None
    rows = layer_activations(estimator, layer, X[chosen]) if at_layer else X[chosen].reshape(len(chosen), -1)
    with np.errstate(invalid="ignore", over="ignore"):  # told in the next lines
        moments = Moments.of(rows if at_layer else X.reshape(len(X), -1))
    if not 0 < moments.data_scale < math.inf:
        raise ValueError(
            f"X has the data scale {moments.data_scale}: give rows that are not all equal, without missing or infinite "
            "values."
        )
    return torch.from_numpy(rows.astype(np.float64)), moments


def layer_activations(estimator, layer, X):
    """Return the activations of a layer of a network.

    Parameters
    ----------
    estimator : fitted classifier of this package or torch.nn.Module
        A module takes rows of the shape of those of `X`. It is used in evaluation mode, and stays as it is.
    layer : str
        Name of a layer, as in ``named_modules()``, whose activations alone determine the logits.
    X : array-like of shape (n, n_features), or images

    Returns
    -------
    activations : ndarray of shape (n, n_activations)

    Raises
    ------
    ValueError
        If there is no estimator or no such layer.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.modules import MLP
    >>> from skrobust.unlabeled import layer_activations
    >>> layer_activations(MLP(4, 3, hidden_layer_sizes=(8,)), "1", np.zeros((5, 4))).shape
    (5, 8)
    """
    if estimator is None or layer is None:
        raise ValueError(
            f"estimator={estimator!r} and layer={layer!r} go together: give both, or neither to stay in input space."
        )
    net = getattr(estimator, "net_", None)
    network = getattr(net, "module_", estimator)
    network = getattr(network, "_orig_mod", network)  # the one that torch.compile was given
    if not isinstance(network, torch.nn.Module):
        raise ValueError(
            f"estimator={estimator!r} has no network: give a fitted classifier of this package or a module."
        )
    network = copy.deepcopy(network).eval()
    row_shape = getattr(net, "row_shape", None) or np.shape(X)[1:]
    example = next(network.parameters())

    def tensor(rows):
        rows = torch.as_tensor(np.array(rows), dtype=example.dtype, device=example.device)
        return rows.reshape(-1, *row_shape)

    with torch.no_grad():
        cut = cut_at(network, layer, tensor(X[:8]))
        parts = range(0, len(X), ROWS_AT_A_TIME)
        return np.concatenate([cut.encode(tensor(X[i : i + ROWS_AT_A_TIME])).numpy(force=True) for i in parts])


def pairwise_distance_histogram(
    X,
    y=None,
    *,
    bins=50,
    units="data_scale",
    estimator=None,
    layer=None,
    max_rows=10_000,
    n_queries=1_000,
    random_state=0,
):
    """Return histograms of the distances between rows, as the paper chooses its noise by.

    Noise whose length is below the distances to nearest neighbors stays inside the support; noise of the length of
    distances between classes reaches other classes.

    Parameters
    ----------
    X : array-like of shape (n, n_features), or images
        Rows as the classifier gets them: behind the scaler, if there is one.
    y : array-like of shape (n,), default=None
        Class labels.
    bins : int or sequence of float, default=50
        Number of bins from 0 to the largest distance, or their edges.
    units : {"data_scale", "raw"}, default="data_scale"
        Whether distances are in units of the data scale D, as the radii of the classifier are, or in those of `X`.
    estimator : fitted classifier of this package or torch.nn.Module, default=None
        With `layer`: look at the activations of its network instead of `X` itself.
    layer : str, default=None
        Name of a layer, as in ``named_modules()`` of the network.
    max_rows : int, default=10000
        Rows to look at; if there are more, they are chosen at random, which makes nearest neighbors farther.
    n_queries : int, default=1000
        Rows all pairs of which are counted, and whose nearest neighbors are found among all rows.
    random_state : int, Generator or None, default=0
        Seed of the choice of rows.

    Returns
    -------
    counts : dict of str to ndarray of shape (n_bins,)
        "pairs" and "nearest"; with `y` also "within" and "between" classes, "nearest_within" (the nearest other row of
        the same class) and "nearest_between". Each pair counts once.
    edges : ndarray of shape (n_bins + 1,)

    Raises
    ------
    ValueError
        If a parameter is wrong or X has no spread.

    Examples
    --------
    >>> from skrobust.unlabeled import pairwise_distance_histogram
    >>> counts, edges = pairwise_distance_histogram([[0, 0], [3, 4], [3, 0]], bins=[0, 3.5, 4.5, 5.5], units="raw")
    >>> counts["pairs"], counts["nearest"]
    (array([1, 1, 1]), array([2, 1, 0]))
    """
    if units not in ("data_scale", "raw"):
        raise ValueError(f"units={units!r} is unknown: use 'data_scale' or 'raw'.")
    _check_bins(bins)
    X = np.asarray(X)
    chosen = random_rows(X, max_rows, n_queries, np.random.default_rng(random_state))
    codes = None if y is None else _codes(y, X)[chosen]
    rows, moments = rows_at(X, chosen, estimator, layer)
    unit = moments.data_scale if units == "data_scale" else 1.0
    values = {kind: part / unit for kind, part in _distances_by_kind(rows, codes, n_queries).items()}
    edges = (
        bins if np.ndim(bins) else np.linspace(0.0, max(part.max(initial=0.0) for part in values.values()), bins + 1)
    )
    edges = np.asarray(edges, dtype=np.float64)
    return {kind: np.histogram(part, edges)[0] for kind, part in values.items()}, edges


def _check_bins(bins):
    """Check that bins are a number of them, or edges that rise."""
    edges = np.asarray(bins)
    if edges.ndim:
        is_right = edges.ndim == 1 and len(edges) > 1 and edges.dtype.kind in "iuf" and (edges[1:] > edges[:-1]).all()
    else:
        is_right = is_whole(bins)
    if not is_right:
        raise ValueError(f"bins={bins!r} must be a whole number of at least 1, or a sequence of edges that rise.")


def _codes(y, X):
    if len(y) != len(X):
        raise ValueError(f"y has {len(y)} labels, but X has {len(X)} rows: give one label for each row.")
    try:
        return torch.from_numpy(np.unique(np.asarray(y), return_inverse=True)[1])
    except TypeError as error:
        raise ValueError(
            f"y has labels that cannot be sorted ({error}): give labels of one kind, none missing."
        ) from error


def _distances_by_kind(rows, codes, n_queries):
    """Return the distances of each kind of pairs: dict of str to ndarray of shape (n_pairs,)."""
    parts = [
        _chunk_by_kind(rows, codes, start, min(start + QUERIES_AT_A_TIME, n_queries, len(rows)), n_queries)
        for start in range(0, min(n_queries, len(rows)), QUERIES_AT_A_TIME)
    ]
    joined = {kind: torch.cat([part[kind] for part in parts]) for kind in parts[0]}
    return {kind: values[values.isfinite()].numpy() for kind, values in joined.items()}


def _chunk_by_kind(rows, codes, start, stop, n_queries):
    """Return the same for the pairs that begin with the rows from start to stop."""
    between = distances(rows[start:stop], rows)
    query, other = torch.arange(start, stop)[:, None], torch.arange(len(rows))
    between.masked_fill_(query == other, torch.inf)
    is_counted = (query < other) & (other < n_queries)
    kinds = {"pairs": between[is_counted], "nearest": between.amin(dim=1)}
    if codes is not None:
        is_same = codes[start:stop, None] == codes
        kinds["within"], kinds["between"] = between[is_counted & is_same], between[is_counted & ~is_same]
        kinds["nearest_within"] = between.masked_fill(~is_same, torch.inf).amin(dim=1)
        kinds["nearest_between"] = between.masked_fill(is_same, torch.inf).amin(dim=1)
    return kinds
