"""Distances between classes, margins of the 1-nearest-neighbor rule and margin ratios: exact where they are known."""

import tracemalloc
import warnings

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from skrobust import ThreatModel
from skrobust.metrics import (
    _margins,
    _neighbors,
    adversarial_distance,
    margin_ratio_score,
    nearest_neighbor_margin,
    r_separation,
)
from skrobust.metrics._neighbors import METRICS

NORMS = [np.inf, 2, 1]
FUNCTIONS = [r_separation, nearest_neighbor_margin]


def brute(X, y, others, labels, norm, *, own):
    """Return the distances to the nearest row of the own or of another class; inf without one."""
    distance = cdist(X, others, {np.inf: "chebyshev", 2: "euclidean", 1: "cityblock"}[norm])
    distance[(y[:, np.newaxis] == labels) != own] = np.inf
    return distance.min(axis=1)


def is_fooled(points, label, others, labels, norm):
    """Return whether each point is at least as near to another class as to this one, by brute force."""
    y = np.full(len(points), label)
    return brute(points, y, others, labels, norm, own=False) <= brute(points, y, others, labels, norm, own=True)


def random_rows(seed, n, m, d, n_classes, dtype=np.float64):
    rng = np.random.default_rng(seed)
    rows, labels = rng.normal(size=(n + m, d)).astype(dtype), rng.integers(n_classes, size=n + m)
    labels[n : n + n_classes] = np.arange(n_classes)
    return rows[:n], labels[:n], rows[n:], labels[n:]


@hypothesis.given(
    seed=st.integers(0, 10**6),
    norm=st.sampled_from(NORMS),
    d=st.sampled_from([1, 3, 20]),
    n_classes=st.integers(2, 4),
    dtype=st.sampled_from([np.float32, np.float64]),
    chunk=st.sampled_from([1, 60, 2**22]),
)
def test_distances_equal_brute_force(seed, norm, d, n_classes, dtype, chunk):
    X, y, others, labels = random_rows(seed, 7, 30, d, n_classes, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_neighbors, "CHUNK_NUMBERS", chunk)
        reference = {"X_reference": others, "y_reference": labels, "norm": norm}
        separation, margin = r_separation(X, y, **reference), nearest_neighbor_margin(X, y, **reference)
    expected = brute(X.astype(float), y, others.astype(float), labels, norm, own=False)
    np.testing.assert_allclose(separation.distance, expected, rtol=1e-12)
    np.testing.assert_allclose(margin.distance_other, expected, rtol=1e-12)
    own = brute(X.astype(float), y, others.astype(float), labels, norm, own=True)
    np.testing.assert_allclose(margin.distance_own, own, rtol=1e-12)
    assert separation.separation == separation.distance.min() == 2 * separation.r
    assert (labels[separation.nearest] != y).all()
    assert separation.distance[separation.pair[0]] == separation.separation


@pytest.mark.parametrize("norm", NORMS)
def test_margins_of_the_nearest_neighbor_hold_by_brute_force(norm):
    """On a plane, no point of a fine grid within the lower bound is fooled, and the nearest fooled one is the truth."""
    X, y, others, labels = random_rows(1, 12, 40, 2, 3)
    margin = nearest_neighbor_margin(X, y, X_reference=others, y_reference=labels, norm=norm, n_ways=5)
    is_right = ~np.array([is_fooled(x[np.newaxis], k, others, labels, norm)[0] for x, k in zip(X, y, strict=True)])
    assert 0 < is_right.sum() < len(X)
    assert ((margin.lower > 0) == is_right).all()
    assert ((margin.upper > 0) == is_right).all()
    assert (margin.lower <= margin.upper).all()
    steps = np.linspace(-1, 1, 201)
    square = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    lengths, tightness = np.linalg.norm(square, ord=norm, axis=1), []
    for i in np.flatnonzero(is_right):
        points = X[i] + 1.05 * margin.upper[i] * square
        fooled = is_fooled(points, y[i], others, labels, norm)
        truth = 1.05 * margin.upper[i] * lengths[fooled].min()
        assert margin.lower[i] <= truth * (1 + 1e-9)
        assert margin.upper[i] >= truth * 0.97
        tightness.append(margin.lower[i] / truth)
    # Where the nearest cell has a corner ahead, its planes are nearer than the cell.
    assert np.median(tightness) > (0.98 if norm == 2 else 0.4)


@pytest.mark.parametrize("norm", NORMS)
@hypothesis.settings(max_examples=25)
@hypothesis.given(seed=st.integers(0, 10**6), n_first=st.integers(1, 4))
def test_bounds_hold_whatever_is_looked_at_first(norm, seed, n_first):
    X, y, others, labels = random_rows(seed, 10, 60, 2, 2)
    reference = {"X_reference": others, "y_reference": labels, "norm": norm, "n_ways": 1}
    every = nearest_neighbor_margin(X, y, **reference)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_margins, "N_FIRST", n_first)
        first = nearest_neighbor_margin(X, y, **reference)
    half = np.maximum(0, every.distance_other - every.distance_own) / 2
    assert (first.lower >= half * (1 - 1e-9)).all()
    if norm == 2:
        # A cell is convex, so that the way crosses its border once, whatever is asked first.
        np.testing.assert_allclose(first.upper, every.upper, rtol=3e-6)
        assert (first.lower <= every.lower * (1 + 1e-9)).all()
    for i in np.flatnonzero(first.lower > 0):
        noise = np.random.default_rng(seed).normal(size=(200, 2))
        within = X[i] + (1 - 1e-9) * first.lower[i] * noise / np.linalg.norm(noise, ord=norm, axis=1, keepdims=True)
        assert not is_fooled(within, y[i], others, labels, norm).any()


@pytest.mark.parametrize("norm", NORMS)
@hypothesis.given(seed=st.integers(0, 10**6), d=st.sampled_from([2, 5, 18]))
def test_upper_bounds_are_reached(norm, seed, d):
    """No bisected point is nearer than what a fine look at the same ways finds, nor farther than the first found."""
    X, y, others, labels = random_rows(seed, 5, 25, d, 2)
    margin = nearest_neighbor_margin(X, y, X_reference=others, y_reference=labels, norm=norm, n_ways=1)
    for i in np.flatnonzero(margin.lower > 0):
        ends = others[labels != y[i]]
        end = ends[cdist(X[i : i + 1], ends, METRICS[norm].replace("manhattan", "cityblock")).argmin()]
        share = margin.upper[i] / np.linalg.norm(end - X[i], ord=norm)
        assert is_fooled((X[i] + (1 + 1e-5) * share * (end - X[i]))[np.newaxis], y[i], others, labels, norm)[0]
        assert margin.lower[i] <= margin.upper[i] * (1 + 1e-9)


@hypothesis.given(
    gap=st.floats(0.1, 100), along=st.floats(-0.99, 0.99), across=st.floats(-5, 5), shift=st.floats(-1e4, 1e4)
)
def test_two_rows_have_a_plane_between_them(gap, along, across, shift):
    """Euclidean: the plane is at |t|; the way to the other row meets it where the first coordinate is 0."""
    rows, labels = np.array([[-gap, 0.0], [gap, 0.0]]) + shift, np.array(["a", "b"])
    point, label = np.array([[along * gap, across]]), "a" if along < 0 else "b"
    hypothesis.assume(abs(along) > 0.01)
    margin = nearest_neighbor_margin(point + shift, [label], X_reference=rows, y_reference=labels)
    share = abs(along) / (1 + abs(along))
    length = np.hypot((1 + abs(along)) * gap, across)
    precision = {"rtol": 2e-6, "atol": 1e-10 * (1 + abs(shift))}
    np.testing.assert_allclose(margin.lower, abs(along) * gap, **precision)
    np.testing.assert_allclose(margin.upper, share * length, **precision)


@pytest.mark.parametrize("norm", NORMS)
def test_training_rows_on_a_line_lie_halfway(norm):
    X, y = np.array([[0.0], [1.0], [4.0], [9.0]]), np.array([0, 0, 1, 1])
    margin = nearest_neighbor_margin(X, y, norm=norm)
    # The way from 0 to 4 leads past 1, and from 9 past 4: the boundary is at 2.5, which only hyperplanes know of.
    np.testing.assert_allclose(margin.lower, [2.5, 1.5, 1.5, 6.5] if norm == 2 else [2, 1.5, 1.5, 4], rtol=1e-6)
    np.testing.assert_allclose(margin.upper, [2.5, 1.5, 1.5, 6.5], rtol=1e-6)


def test_circles_have_the_difference_of_radii_between_them():
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    X, y = np.concatenate([circle, 3 * circle]), np.repeat(["inner", "outer"], 40)
    assert r_separation(X, y, norm=2).separation == pytest.approx(2)
    assert r_separation(X, y, norm=np.inf).separation == pytest.approx(2 / np.sqrt(2))
    assert r_separation(X, y, norm=1).separation == pytest.approx(2)
    margin = nearest_neighbor_margin(X, y)
    np.testing.assert_allclose(margin.lower, 1, rtol=1e-6)
    np.testing.assert_allclose(margin.upper, 1, rtol=1e-6)
    center = nearest_neighbor_margin([[0.0, 0.0]], ["inner"], X_reference=X, y_reference=y)
    assert center.lower[0] <= 2 <= center.upper[0] * (1 + 1e-6)
    assert center.upper[0] == pytest.approx(2)


def test_test_rows_are_compared_with_training_rows():
    X, y = [[0.0, 0.0], [10.0, 0.0]], [0, 1]
    found = r_separation([[1.0, 1.0], [4.0, 0.0]], [0, 1], X_reference=X, y_reference=y, norm=1)
    np.testing.assert_array_equal(found.distance, [10, 4])
    assert found.nearest.tolist() == [1, 0]
    assert (found.separation, found.r, found.pair) == (4.0, 2.0, (1, 0))


def test_the_attack_finds_nothing_between_the_bounds_of_the_euclidean_rule():
    X, y = make_blobs(120, n_features=5, centers=3, cluster_std=4.0, random_state=0)
    clf = KNeighborsClassifier(1).fit(X[40:], y[40:])
    margin = nearest_neighbor_margin(X[:40], y[:40], X_reference=X[40:], y_reference=y[40:])
    distance = adversarial_distance(clf, X[:40], y[:40], norm=2, attack="nearest_other")
    assert ((margin.lower == 0) == (distance == 0)).all()
    assert (distance >= margin.lower * (1 - 1e-6)).all()
    is_right = margin.upper > 0
    assert np.median(margin.lower[is_right] / margin.upper[is_right]) > 0.7


def test_classes_that_share_a_row_have_no_room():
    X, y = np.array([[1.0, 2.0], [1.0, 2.0], [5.0, 5.0]]), np.array([0, 1, 1])
    found = r_separation(X, y)
    assert (found.separation, found.r, found.pair) == (0.0, 0.0, (0, 1))
    margin = nearest_neighbor_margin(X, y)
    np.testing.assert_array_equal(margin.lower[:2], 0)
    np.testing.assert_array_equal(margin.upper[:2], 0)
    clf = KNeighborsClassifier(1).fit(X, y)
    result = margin_ratio_score(clf, X, y, return_details=True, attack="nearest_other")
    # One of the two is answered rightly, and there is no half of nothing; the other one is misclassified.
    assert sorted(result.per_sample[:2]) == [0, np.inf]
    assert result.censored_share == pytest.approx(1 / 3)
    assert np.isfinite(result.score)


def test_a_class_of_one_row_and_an_unknown_class():
    X, y = np.array([[0.0], [1.0], [2.0], [10.0]]), np.array(["a", "a", "a", "lone"])
    margin = nearest_neighbor_margin(X, y)
    assert margin.lower[3] == pytest.approx(4)
    assert margin.upper[3] == pytest.approx(4)
    unknown = nearest_neighbor_margin([[0.5]], ["new"], X_reference=X, y_reference=y)
    assert (unknown.lower[0], unknown.upper[0], unknown.distance_own[0]) == (0, 0, np.inf)
    assert unknown.distance_other[0] == 0.5
    assert r_separation([[0.5]], ["new"], X_reference=X, y_reference=y).separation == 0.5


@pytest.mark.parametrize("norm", NORMS)
def test_units_count(norm):
    X, y, others, labels = random_rows(3, 6, 20, 3, 2)
    factors = np.array([1.0, 10.0, 0.001])
    plain = nearest_neighbor_margin(X, y, X_reference=others, y_reference=labels, norm=norm)
    scaled = nearest_neighbor_margin(
        X * factors,
        y,
        X_reference=others * factors,
        y_reference=labels,
        threat_model=ThreatModel(norm=norm, units=factors),
    )
    for name in plain:
        np.testing.assert_allclose(scaled[name], plain[name], rtol=1e-9)
    # One eps per feature is a unit too, and a feature of no unit does not count.
    eps = r_separation(X * factors, y, threat_model=ThreatModel(tuple(factors), norm)).distance
    np.testing.assert_allclose(eps, r_separation(X, y, norm=norm).distance)
    without = r_separation(X, y, threat_model=ThreatModel(norm=norm, units=(1, 1, 0))).distance
    np.testing.assert_allclose(without, r_separation(X[:, :2], y, norm=norm).distance)


@pytest.mark.parametrize("norm", NORMS)
def test_a_change_of_category_counts_once(norm):
    X, y = np.array([[0.0, 1, 0, 0], [0.0, 0, 0, 1]]), [0, 1]
    model = ThreatModel(norm=norm, one_hot_groups=[(1, 2, 3)])
    assert r_separation(X, y, threat_model=model).separation == pytest.approx(1)


def test_frames_images_and_words():
    X, y, others, labels = random_rows(0, 5, 12, 4, 2)
    names = np.array(["no", "yes"])
    plain = nearest_neighbor_margin(X, y, X_reference=others, y_reference=labels)
    frames = nearest_neighbor_margin(
        pd.DataFrame(X, columns=list("abcd")),
        pd.Series(names[y]),
        X_reference=pd.DataFrame(others, columns=list("abcd")),
        y_reference=names[labels].astype(object),
    )
    images = nearest_neighbor_margin(
        X.reshape(-1, 2, 2), y, X_reference=others.reshape(-1, 2, 2), y_reference=labels.tolist()
    )
    for name in plain:
        np.testing.assert_array_equal(frames[name], plain[name])
        np.testing.assert_array_equal(images[name], plain[name])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X_reference": None}, "y_reference=<ndarray> go together"),
        ({"y_reference": None}, "X_reference=<ndarray> and y_reference=None go together"),
        ({"X_reference": np.zeros((4, 3))}, "X_reference has 3 features, but X has 2"),
        ({"X_reference": np.full((4, 2), np.nan)}, "X_reference must hold dense, finite numbers"),
        ({"X": pd.DataFrame({"n": [1.0, 2.0], "w": ["a", "b"]})}, "X must hold dense, finite .*'a'"),
        ({"y_reference": np.array(["a", "b", "a", "b"])}, "y has labels such as 0, but y_reference such as 'a'"),
        ({"y_reference": np.zeros(4)}, "rows of the class 0.0, which is the only one"),
        ({"y": [0.0, np.nan]}, "missing labels"),
        ({"y": [0]}, "inconsistent numbers of samples"),
        ({"norm": 3}, "norm"),
        ({"threat_model": ThreatModel(units="std")}, "must be learned from training rows"),
        ({"threat_model": ThreatModel(units=(0, 0))}, "has no unit but 0"),
        ({"threat_model": ThreatModel(units=(1, 1, 1))}, "3 entries"),
    ],
)
def test_what_has_no_answer_is_told(function, changes, message):
    X, y = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1])
    given = {"X": X, "y": y, "X_reference": np.arange(8.0).reshape(4, 2), "y_reference": np.array([0, 1, 0, 1])}
    given.update(changes)
    with pytest.raises(ValueError, match=message):
        function(given.pop("X"), given.pop("y"), **given)


def test_columns_have_one_order_and_rows_are_dense():
    frame, y = pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 2.0]}), [0, 1]
    with pytest.raises(ValueError, match="give the same in the same order"):
        r_separation(frame, y, X_reference=frame[["b", "a"]], y_reference=y)
    from scipy.sparse import csr_array

    with pytest.raises(TypeError, match="X must hold dense"):
        r_separation(csr_array(np.eye(2)), y)
    with pytest.raises(ValueError, match="n_ways=0 must be a positive"):
        nearest_neighbor_margin(frame, y, n_ways=0)
    with pytest.raises(TypeError, match="must be a ThreatModel"):
        r_separation(frame, y, threat_model="std")


@pytest.mark.parametrize("norm", NORMS)
def test_ratios_of_a_linear_classifier_are_exact(norm, blobs):
    """Its distance is |w.x + b| / |w| in the dual norm."""
    X, y = blobs[0], (blobs[1] > 0).astype(int)
    clf = LinearSVC().fit(X, y)
    result = margin_ratio_score(clf, X, y, norm=norm, return_details=True)
    dual = {np.inf: 1, 2: 2, 1: np.inf}[norm]
    distance = np.abs(clf.decision_function(X)) / np.linalg.norm(clf.coef_[0], ord=dual)
    distance[clf.predict(X) != y] = 0
    halfway = brute(X, y, X, y, norm, own=False) / 2
    np.testing.assert_allclose(result.halfway, halfway, rtol=1e-12)
    np.testing.assert_allclose(result.distance, distance, rtol=2e-6)
    np.testing.assert_allclose(result.per_sample, distance / halfway, rtol=2e-6)
    assert result.score == pytest.approx(np.mean(distance / halfway), rel=2e-6)
    assert result.score == margin_ratio_score(clf, X, y, norm=norm)
    # On its own rows the nearest-neighbor rule gets 1 by its lower bound, and no less by the upper one.
    low, high = result.nearest_neighbor
    assert low >= 1 - 1e-9 if norm == 2 else low == pytest.approx(1)
    assert high >= low


def test_weights_and_unseen_rows():
    X, y = np.array([[-1.0], [1.0]]), np.array(["a", "b"])
    clf = LogisticRegression().fit(X, y)
    clf.intercept_ = -clf.coef_[0] / 2
    assert margin_ratio_score(clf, X, y, sample_weight=[1, 3]) == pytest.approx(0.75, rel=1e-4)
    unseen = {"X_reference": X, "y_reference": y, "return_details": True}
    result = margin_ratio_score(clf, [[-0.5], [0.75]], ["a", "b"], **unseen)
    np.testing.assert_allclose(result.per_sample, [1 / 0.75, 0.25 / 0.875], rtol=1e-4)
    expected = np.mean([0.5 / 0.75, 0.75 / 0.875])
    np.testing.assert_allclose(result.nearest_neighbor, [expected, expected], rtol=1e-6)


def test_ratios_are_of_rows_of_numbers():
    frame = pd.DataFrame({"a": [0.0, 1.0], "word": ["yes", "no"]})
    with pytest.raises(ValueError, match=r"X must hold dense, finite numbers in every column.*'yes'"):
        margin_ratio_score(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), frame, [0, 1])
    with pytest.raises(ValueError, match="sample_weight has the shape"):
        margin_ratio_score(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), [[0.0], [1.0]], [0, 1], sample_weight=[1])


def test_rows_that_nothing_fools_are_told():
    X, y = np.array([[-1.0], [1.0]]), np.array([0, 1])
    clf = LogisticRegression().fit(X, y)
    model = ThreatModel(norm=2, direction="up")
    with pytest.warns(UserWarning, match="margin_ratio_score is the mean over 1 of 2 rows") as record:
        score = margin_ratio_score(clf, X, y, threat_model=model)
    assert record[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = margin_ratio_score(clf, X, y, threat_model=model, return_details=True)
    assert score == result.score == pytest.approx(1, rel=1e-4)
    assert result.censored_share == 0.5
    none = margin_ratio_score(clf, X[1:], y[1:], X_reference=X, y_reference=y, threat_model=model, return_details=True)
    assert np.isnan(none.score)
    assert none.median == np.inf


def test_two_blobs_have_a_margin_of_half_their_distance():
    """Between two Gaussians of one width the best boundary is halfway; a linear classifier finds it."""
    rng = np.random.default_rng(0)
    y = np.arange(4000) % 2
    X = rng.normal(size=(4000, 2)) + np.array([[-4.0, 0.0], [4.0, 0.0]])[y]
    clf = LogisticRegression(C=1e-2).fit(X, y)
    centers = np.array([[-4.0, 0.0], [4.0, 0.0]])
    ratio = margin_ratio_score(clf, centers, [0, 1])
    assert ratio == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("norm", NORMS)
def test_chunks_bound_the_memory(norm, monkeypatch):
    """Chunks have 64 KiB; all distances would take 13 MB, all differences 256 MB, a copy of the reference 2.6 MB."""
    chunk = 2**13
    monkeypatch.setattr(_neighbors, "CHUNK_NUMBERS", chunk)
    X, y, others, labels = random_rows(0, 100, 16_000, 20, 2)
    tracemalloc.start()
    try:
        r_separation(X, y, X_reference=others, y_reference=labels, norm=norm)
        nearest_neighbor_margin(X[:20], y[:20], X_reference=others, y_reference=labels, norm=norm, n_ways=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Of the reference there are labels, codes and masks, beside some chunks at a time.
    assert peak < 8 * (8 * chunk + 6 * len(others))
