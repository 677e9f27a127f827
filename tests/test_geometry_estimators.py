"""Where on segments answers change, and confidence off the support: exact for planes, circles and spheres."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from skrobust import ThreatModel
from skrobust.metrics import _neighbors, _segments, boundary_position, off_support_confidence

NORMS = [np.inf, 2, 1]


class Stripes(ClassifierMixin, BaseEstimator):
    """Answers by the number of edges that the first feature is beyond: the labels in turn."""

    def __init__(self, edges, labels=(0, 1)):
        self.edges, self.labels = edges, labels

    def fit(self, X, y=None):
        self.classes_ = np.unique(self.labels)
        return self

    def predict(self, X):
        first = np.asarray(X).reshape(len(X), -1)[:, 0]
        return np.asarray(self.labels)[np.searchsorted(self.edges, first) % len(self.labels)]


class Radial(ClassifierMixin, BaseEstimator):
    """Tells two classes apart by the distance from the origin."""

    def fit(self, X, y=None):
        self.classes_ = np.array(["inner", "outer"])
        return self

    def predict_proba(self, X):
        outer = expit(np.linalg.norm(np.asarray(X).reshape(len(X), -1), axis=1) - 1)
        return np.stack([1 - outer, outer], axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class OneWay:
    """A sampler whose points lie in one direction from the rows, at the length of the radius times D."""

    def __init__(self, way):
        self.way = torch.tensor(way, dtype=torch.float64)

    def sample(self, X, support, radius, generator):
        return X + radius * support.data_scale * self.way / torch.linalg.vector_norm(self.way)


@pytest.mark.parametrize("norm", NORMS)
@hypothesis.given(
    seed=st.integers(0, 10**6), n_neighbors=st.integers(1, 4), dtype=st.sampled_from([np.float32, np.float64])
)
def test_planes_are_met_where_the_formula_says(norm, seed, n_neighbors, dtype):
    """t = f(x) / (f(x) - f(x')) if the signs differ."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 3)).astype(dtype)
    y = (X @ [1.0, -2.0, 0.5] + rng.normal(size=30) > 0).astype(int)
    y[:4], y[4:8] = 0, 1
    clf = LinearSVC().fit(X, y)
    found = boundary_position(clf, X, y, norm=norm, n_neighbors=n_neighbors)
    value = X.astype(float) @ clf.coef_[0] + clf.intercept_[0]
    here, there = value[:, np.newaxis], value[found.neighbors]
    is_right = (clf.predict(X) == y)[:, np.newaxis]
    changes = np.sign(here) != np.sign(there)
    expected = np.where(is_right, np.where(changes, here / (here - there), np.inf), 0.0)
    clear = np.abs(there) > 1e-4  # nearer ones are a matter of rounding
    assert found.position.shape == (30, n_neighbors)
    np.testing.assert_allclose(
        found.position[clear], expected[clear], rtol=2e-6 if dtype is np.float64 else 1e-2, atol=1e-5
    )
    assert (found.n_changes[clear] == changes[clear]).all()
    assert (y[found.neighbors] != y[:, np.newaxis]).all()
    length = np.linalg.norm(X[found.neighbors].astype(float) - X[:, np.newaxis], ord=norm, axis=2)
    np.testing.assert_allclose(found.length, length, rtol=1e-12)


def test_circles_are_met_halfway():
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    X, y = np.concatenate([0.5 * circle, 2.5 * circle]), np.repeat(["inner", "outer"], 24)
    found = boundary_position(Radial().fit(X), X, y)
    np.testing.assert_allclose(found.position[:24], 0.25, rtol=2e-6)
    np.testing.assert_allclose(found.position[24:], 0.75, rtol=2e-6)
    np.testing.assert_allclose(found.length, 2, rtol=1e-12)
    assert found.median == pytest.approx(0.5, rel=1e-5)
    rule = boundary_position(KNeighborsClassifier(1).fit(X, y), X, y)
    np.testing.assert_allclose(rule.position, 0.5, rtol=2e-6)


def test_every_change_is_counted_and_the_first_wrong_answer_counts():
    X, y = np.array([[0.0], [10.0]]), np.array([0, 1])
    folded = boundary_position(Stripes([2.0, 4.0, 7.0]).fit(X), X, y, n_grid=100)
    np.testing.assert_allclose(folded.position, [[0.2], [0.3]], rtol=2e-6)
    np.testing.assert_array_equal(folded.n_changes, [[3], [3]])
    # 2, then 1: the change from one wrong answer to another counts, but is not the boundary of class 0.
    three = boundary_position(Stripes([3.0, 6.0], labels=(0, 2, 1)).fit(X), X, y)
    np.testing.assert_allclose(three.position, [[0.3], [0.4]], rtol=2e-6)
    np.testing.assert_array_equal(three.n_changes, [[2], [2]])


def test_wrong_rows_and_wrong_ends():
    X, y = np.array([[0.0], [1.0], [3.0]]), np.array(["a", "b", "b"])
    always = DummyClassifier(strategy="constant", constant="a").fit(X, y)
    found = boundary_position(always, X, y)
    np.testing.assert_array_equal(found.position, [[np.inf], [0.0], [0.0]])
    np.testing.assert_array_equal(found.n_changes, 0)
    assert found.censored_share == pytest.approx(1 / 3)
    assert found.median == 0
    # Rows of two classes in one place: a segment without a length.
    twins = boundary_position(always, [[5.0], [5.0]], ["a", "b"])
    np.testing.assert_array_equal(twins.position, [[np.inf], [0.0]])
    np.testing.assert_array_equal(twins.length, 0)


def test_units_choose_the_neighbors():
    X, y = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 100.0]]), np.array([0, 1, 1])
    clf = Stripes([1.0]).fit(X)
    assert boundary_position(clf, X[:1], y[:1], X_reference=X, y_reference=y).neighbors.tolist() == [[1]]
    model = ThreatModel(norm=2, units=(1, 100))
    assert boundary_position(clf, X[:1], y[:1], X_reference=X, y_reference=y, threat_model=model).neighbors == [[2]]


def test_frames_and_images_and_parts(monkeypatch, digit_images):
    images, y = digit_images
    flat = images.reshape(len(images), -1)
    clf = LogisticRegression(max_iter=2000).fit(flat, y)
    plain = boundary_position(clf, flat[:20], y[:20], X_reference=flat, y_reference=y, n_neighbors=2)
    flattened = make_pipeline(FunctionTransformer(lambda Z: np.asarray(Z).reshape(len(Z), -1)), clf)
    monkeypatch.setattr(_segments, "CHUNK_NUMBERS", 2000)
    monkeypatch.setattr(_neighbors, "CHUNK_NUMBERS", 2000)
    found = boundary_position(flattened, images[:20], y[:20], X_reference=images, y_reference=y, n_neighbors=2)
    np.testing.assert_array_equal(found.neighbors, plain.neighbors)
    np.testing.assert_allclose(found.position, plain.position, rtol=1e-5)
    frame = pd.DataFrame(flat[:40], columns=[f"p{i}" for i in range(64)])
    on_frame = make_pipeline(StandardScaler().set_output(transform="pandas"), LogisticRegression()).fit(frame, y[:40])
    assert boundary_position(on_frame, frame, y[:40]).position.max() < 1
    with pytest.raises(ValueError, match="X must hold dense, finite numbers"):
        boundary_position(on_frame, frame.assign(p0="word"), y[:40])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_neighbors": 2}, "n_neighbors=2 is more than the 1 rows of other classes"),
        ({"n_neighbors": 0}, "n_neighbors=0 must be a positive whole number"),
        ({"n_grid": 0.5}, "n_grid=0.5 must be a positive whole number"),
        ({"X_reference": [[0.0]], "y_reference": [0]}, "class 0, which is the only one"),
        ({"X_reference": [[0.0, 1.0]], "y_reference": [0]}, "X_reference has 2 features, but X has 1"),
    ],
)
def test_segments_that_do_not_exist_are_told(changes, message):
    X, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    with pytest.raises(ValueError, match=message):
        boundary_position(Stripes([0.5]).fit(X), X, y, **changes)


@pytest.mark.parametrize("units", ["data_scale", "raw"])
def test_confidence_at_a_radius_is_that_of_the_sphere(units):
    """From the origin a point at the distance r is answered with the larger of expit(r - 1) and its complement."""
    reference = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0], [0.0, -4.0]])
    scale = np.sqrt(2 * reference.var(axis=0).sum())
    radii = np.array([0.0, 0.5, 1.0, 2.0, 8.0])
    found = off_support_confidence(
        Radial().fit(reference),
        np.zeros((3, 2)),
        radii=radii,
        units=units,
        X_reference=reference,
        sampler=OneWay([3.0, 4.0]),
    )
    length = radii * (scale if units == "data_scale" else 1.0)
    outer = expit(length - 1)
    assert found.data_scale == pytest.approx(scale)
    np.testing.assert_allclose(found.confidence, np.maximum(outer, 1 - outer), rtol=1e-12)
    np.testing.assert_allclose(found.per_sample, np.repeat(found.confidence[:, np.newaxis], 3, axis=1))
    np.testing.assert_allclose(found.probability, np.stack([1 - outer, outer], axis=1), rtol=1e-12)
    way = length[:, np.newaxis] * [0.6, 0.8]
    nearest = np.linalg.norm(way[:, np.newaxis] - reference, axis=2).min(axis=1)
    np.testing.assert_allclose(found.distance[:, 0], nearest / (scale if units == "data_scale" else 1), rtol=1e-12)


@pytest.mark.parametrize("noise_units", ["global", "std"])
def test_gaussian_points_are_as_far_as_the_radius(noise_units):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 300)) * (1 if noise_units == "global" else np.geomspace(1e-3, 1e3, 300))
    clf = DummyClassifier().fit(X, np.arange(400) % 2)
    found = off_support_confidence(clf, X, radii=[0, 1, 3], noise_units=noise_units)
    np.testing.assert_array_equal(found.distance[0], 0)
    # Of many features: the way from a row, and from others by Pythagoras.
    np.testing.assert_allclose(found.distance[1:].mean(axis=1), [1, 3], rtol=0.05)
    np.testing.assert_allclose(found.confidence, 0.5)
    again = off_support_confidence(clf, X, radii=[3], noise_units=noise_units)
    np.testing.assert_array_equal(again.distance[0], found.distance[2])
    other = off_support_confidence(clf, X, radii=[3], noise_units=noise_units, random_state=1)
    assert (other.distance != again.distance).any()


def test_columns_without_numbers_stay_and_images_keep_their_shape(digit_images):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 3
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(word=np.where(y == 0, "yes", "no"))
    pipe = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough"), LogisticRegression()
    ).fit(frame, y)
    found = off_support_confidence(pipe, frame[:20], X_reference=frame, radii=[0.0, 1.0])
    np.testing.assert_allclose(found.per_sample[0], pipe.predict_proba(frame[:20]).max(axis=1))
    np.testing.assert_array_equal(found.distance[0], 0)
    assert found.data_scale == pytest.approx(np.sqrt(2 * X.var(axis=0).sum()))
    assert found.probability.shape == (2, 3)
    images, _ = digit_images
    radial = off_support_confidence(Radial().fit(images), images, radii=[0.0, 1.0], sampler="extrapolation")
    assert radial.per_sample.shape == (2, 200)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radii": []}, r"radii=\[\] must be a list of finite numbers"),
        ({"radii": [-1.0]}, r"radii=\[-1.0\] must be"),
        ({"radii": 2.0}, "radii=2.0 must be"),
        ({"units": "std"}, "units='std' must be 'data_scale' or 'raw'"),
        ({"noise_units": "iqr"}, "noise_units='iqr' must be one of"),
        ({"noise_units": "std", "units": "raw"}, "'global' if units='raw'"),
        ({"X_reference": [[1.0], [1.0]]}, "rows that are all alike"),
        ({"X_reference": [[1.0, 2.0]]}, "X_reference has 2 features, but X has 1"),
        ({"X_reference": [["a"]]}, "X_reference must hold dense, finite numbers"),
        ({"sampler": "no"}, "sampler='no' is not a sampler"),
    ],
)
def test_confidence_that_cannot_be_measured_is_told(changes, message):
    X = np.array([[0.0], [1.0]])
    with pytest.raises(ValueError, match=message):
        off_support_confidence(Radial().fit(X), X, **changes)


def test_confidence_needs_probabilities():
    X = np.array([[0.0], [1.0]])
    with pytest.raises(TypeError, match="Stripes has no predict_proba"):
        off_support_confidence(Stripes([0.5]).fit(X), X)
