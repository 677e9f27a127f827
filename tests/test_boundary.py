"""boundary_distance: exact on linear classifiers, honest about what was not found."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skrobust import ThreatModel
from skrobust.metrics import _boundary, adversarial_distance, boundary_distance


class Generator:
    """A generator of rows that sorts them, as Gaussian mixtures do."""

    def __init__(self, *centers):
        self.centers = np.asarray(centers, dtype=np.float64)

    def sample(self, n):
        return self.centers[np.arange(n) * len(self.centers) // n]


RAYS = ("random", "off_support", "other_class")


@pytest.fixture(scope="module")
def two_classes():
    """Return 60 rows of 3 features, and labels of two classes that overlap."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    return X, (X @ [1.0, -2.0, 0.5] + rng.normal(size=60) > 0).astype(int)


@pytest.fixture(scope="module")
def linear(two_classes):
    return LogisticRegression().fit(*two_classes)


class OneWay:
    """A sampler whose points lie in one direction from the rows."""

    def __init__(self, way):
        self.way = torch.tensor(way, dtype=torch.float64)

    def sample(self, X, support, radius, generator):
        return X + radius * self.way


class Band(ClassifierMixin, BaseEstimator):
    """Answers 1 between two values of the first feature, else 0."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def fit(self, X, y=None):
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, X):
        first = np.asarray(X).reshape(len(X), -1)[:, 0]
        return ((first > self.low) & (first < self.high)).astype(int)


@hypothesis.given(
    way=st.tuples(*[st.floats(-3, 3)] * 3).filter(lambda way: max(map(abs, way)) > 0.01),
    norm=st.sampled_from([1, 2, np.inf]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_crossings_of_a_linear_classifier_are_exact(linear, two_classes, way, norm, dtype):
    """The ray x + t u meets the plane w.x + b = 0 at t = -(w.x + b) / w.u, if that is positive."""
    X = two_classes[0].astype(dtype)
    found = boundary_distance(
        linear, X, directions="off_support", n_directions=1, sampler=OneWay(way), norm=norm, max_distance=50.0
    )
    u = np.array(way) / np.linalg.norm(way, ord=norm)
    with np.errstate(divide="ignore"):
        t = -linear.decision_function(X) / (u @ linear.coef_[0])
    exact = np.where(t > 0, t, np.inf)
    near = ~np.isclose(exact, 50.0)
    rtol = 1e-5 if dtype == np.float64 else 1e-3
    assert found.distance[near, 0] == pytest.approx(np.where(exact <= 50, exact, np.inf)[near], rel=rtol, abs=1e-4)
    assert (found.is_censored == np.isinf(found.distance)).all()
    assert found.censored_share == found.is_censored.mean()


def test_no_ray_is_shorter_than_the_worst_direction(linear, two_classes):
    X, y = two_classes
    worst = boundary_distance(linear, X, y)
    exact = np.abs(linear.decision_function(X)) / np.linalg.norm(linear.coef_)
    assert worst.distance[:, 0] == pytest.approx(np.where(linear.predict(X) == y, exact, 0), rel=0.01)
    assert worst.max_distance == np.inf
    for directions in RAYS:
        rays = boundary_distance(linear, X, y, directions=directions, n_directions=20)
        assert rays.distance.shape == (60, 20)
        assert (rays.distance >= np.where(linear.predict(X) == y, exact, 0)[:, None] * (1 - 1e-9)).all()
        # Of the directions in a plane's half space, some are near to the worst.
        assert (rays.distance.min(axis=1) < 2 * exact).mean() > 0.5


def test_half_of_the_random_rays_lead_away_from_a_plane(linear, two_classes):
    rays = boundary_distance(linear, two_classes[0], directions="random", n_directions=100, max_distance=1e6)
    assert rays.censored_share == pytest.approx(0.5, abs=0.03)


def test_random_rays_are_evenly_distributed(linear, two_classes):
    """In the plane |w.u| = |w| |cos a| with a uniform, so that the median of crossings is sqrt(2) times the least."""
    X, y = two_classes[0][:, :2], two_classes[1]
    clf = LogisticRegression().fit(X, y)
    rays = boundary_distance(clf, X, directions="random", n_directions=400, max_distance=1e6)
    least = np.abs(clf.decision_function(X)) / np.linalg.norm(clf.coef_)
    ratio = (rays.distance / least[:, None])[~rays.is_censored]
    assert np.median(ratio) == pytest.approx(np.sqrt(2), rel=0.03)


def test_the_answer_changes_on_the_way_to_another_class(two_classes):
    X, y = two_classes
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    rays = boundary_distance(forest, X, directions="other_class", max_distance=100.0)
    assert not rays.is_censored.any()
    assert rays.distance.max() < max(np.linalg.norm(X - row, axis=1).max() for row in X)


def test_the_first_crossing_counts():
    X = np.zeros((1, 2))
    clf = Band(1.0, 2.0).fit(X)
    found = boundary_distance(
        clf, X, directions="off_support", sampler=OneWay([3.0, 0.0]), n_directions=1, max_distance=9.0
    )
    assert found.distance == pytest.approx(np.array([[1.0]]), abs=1e-5)


def test_a_single_point_of_the_grid_is_the_last(linear, two_classes):
    few, many = (boundary_distance(linear, two_classes[0], directions="random", n_grid=n) for n in (1, 32))
    assert not few.is_censored.all()
    np.testing.assert_allclose(few.distance, many.distance, rtol=1e-5)


def test_directions_to_gaussian_points_are_random_ones(linear, two_classes):
    X = two_classes[0]
    medians = [
        boundary_distance(linear, X, directions="off_support", sampler="gaussian", n_directions=100).median,
        boundary_distance(linear, X, directions="random", n_directions=100).median,
    ]
    assert np.isinf(medians[0]) == np.isinf(medians[1])
    spread = [
        np.quantile(boundary_distance(linear, X, n_directions=200, max_distance=1e4, **ways).distance, 0.25)
        for ways in ({"directions": "off_support", "sampler": "gaussian"}, {"directions": "random"})
    ]
    assert spread[0] == pytest.approx(spread[1], rel=0.1)


def test_extrapolated_directions_lead_away_from_other_rows():
    """Of two rows on a line each looks away from the other, and never meets the boundary between them."""
    X, y = np.array([[-1.0], [1.0]]), np.array([0, 1])
    clf = LogisticRegression().fit(X, y)
    away = boundary_distance(clf, X, directions="off_support", n_directions=5)
    assert away.is_censored.all()
    assert np.isinf(away.median)
    towards = boundary_distance(clf, X, directions="other_class", n_directions=5)
    assert towards.distance == pytest.approx(np.ones((2, 5)), abs=1e-4)


def test_default_limit_is_the_scale_of_the_reference(linear, two_classes):
    X = two_classes[0]
    scale = np.sqrt(2 * X.var(axis=0).sum())
    assert boundary_distance(linear, X, directions="random").max_distance == pytest.approx(scale, rel=0.2)
    far = boundary_distance(linear, X, directions="random", X_reference=10 * X)
    assert far.max_distance == pytest.approx(10 * scale, rel=0.2)
    assert far.censored_share < 0.7


def test_limit_of_the_worst_direction(linear, two_classes):
    X, y = two_classes
    free, limited = boundary_distance(linear, X, y), boundary_distance(linear, X, y, max_distance=0.5)
    assert (limited.is_censored == (free.distance > 0.5)).all()
    assert 0 < limited.censored_share < 1


def test_misclassified_rows_have_the_distance_0(linear, two_classes):
    X, y = two_classes
    is_wrong = linear.predict(X) != y
    assert 0 < is_wrong.sum() < len(y)
    for directions in ("adversarial", *RAYS):
        with_labels = boundary_distance(linear, X, y, directions=directions).distance
        assert ((with_labels == 0).all(axis=1) == is_wrong).all()
        without = boundary_distance(linear, X, directions=directions).distance
        assert (without > 0).all()
        assert (without[~is_wrong] == with_labels[~is_wrong]).all()


def test_units_and_features_that_stay(two_classes):
    X, y = two_classes
    factors = np.array([1.0, 10.0, 1000.0])
    near, far = LogisticRegression(C=1e6).fit(X, y), StandardScaler(with_mean=False)
    far = make_pipeline(far, LogisticRegression(C=1e6)).fit(X * factors, y)
    scaled = ThreatModel(norm=2, units=factors)
    for directions in ("random", "off_support"):
        plain = boundary_distance(near, X, directions=directions, max_distance=5.0)
        found = boundary_distance(far, X * factors, directions=directions, threat_model=scaled, max_distance=5.0)
        same = plain.is_censored == found.is_censored
        assert same.mean() > 0.99
        both = ~plain.is_censored & ~found.is_censored
        assert found.distance[both] == pytest.approx(plain.distance[both], rel=0.02)
    still = boundary_distance(Band(0.0, np.inf).fit(X), X, directions="random", threat_model=ThreatModel(immutable=[0]))
    assert still.is_censored.all()


def test_frames_with_words_and_images(two_classes, digit_images):
    X, y = two_classes
    frame = pd.DataFrame(X, columns=list("abc")).assign(word=np.where(y, "yes", "no"))
    pipe = make_pipeline(make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough"), RandomForest())
    pipe.fit(frame, y)
    images, digits = digit_images
    flat = make_pipeline(Flatten(), LogisticRegression(max_iter=2000)).fit(images, digits)
    for directions in RAYS:
        assert boundary_distance(pipe, frame, y, directions=directions).distance.shape == (60, 8)
        found = boundary_distance(flat, images[:20], directions=directions, X_reference=images)
        assert found.distance.shape == (20, 8)
        assert np.isfinite(found.distance).any()


def test_many_rows_are_asked_in_parts(monkeypatch, linear, two_classes):
    X = two_classes[0]
    whole = boundary_distance(linear, X, directions="random").distance
    monkeypatch.setattr(_boundary, "CHUNK_NUMBERS", 40)
    assert (boundary_distance(linear, X, directions="random").distance == whole).all()


def test_rays_are_the_same_for_every_estimator(two_classes):
    """A classifier that is the same up to a factor has the same crossings; another seed has others."""
    X, y = two_classes
    one, two = LogisticRegression().fit(X, y), LogisticRegression().fit(X, y)
    two.coef_, two.intercept_ = 2 * two.coef_, 2 * two.intercept_
    for directions in RAYS:
        found = [boundary_distance(clf, X, directions=directions, random_state=3).distance for clf in (one, two)]
        assert (found[0] == found[1]).all()
        assert (boundary_distance(one, X, directions=directions, random_state=4).distance != found[0]).any()


def test_worst_direction_is_that_of_adversarial_distance(linear, two_classes):
    X, y = two_classes
    model = ThreatModel(bounds=(-3, 3))
    found = boundary_distance(linear, X, y, threat_model=model, attack="deepfool")
    assert (found.distance[:, 0] == adversarial_distance(linear, X, y, threat_model=model, attack="deepfool")).all()
    assert found.median == np.median(found.distance)


class Flatten(BaseEstimator):
    """Makes rows of images."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X).reshape(len(X), -1)


def RandomForest():  # noqa: N802
    return RandomForestClassifier(5, random_state=0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"directions": "sideways"}, r"directions='sideways' is unknown: use one of \['adversarial'"),
        ({"n_directions": 0}, "n_directions=0 must be a positive whole number"),
        ({"n_grid": 1.5}, r"n_grid=1\.5 must be a positive whole number"),
        ({"max_distance": 0}, "max_distance=0 must be a positive, finite number"),
        ({"max_distance": np.inf}, "max_distance=inf must be a positive, finite number"),
        ({"directions": "random", "X_reference": np.zeros((5, 3))}, "max_distance=None takes the distance of rows"),
        ({"directions": "random", "X_reference": np.zeros((5, 2))}, "expecting 3 features"),
        ({"directions": "off_support", "sampler": OneWay([0.0, 0.0, 0.0])}, "sampler returns row 0 of X itself"),
        ({"directions": "off_support", "sampler": "foam"}, "sampler='foam' is not a sampler"),
        ({"directions": "off_support", "sampler": None}, "sampler=None makes no points to go to"),
        ({"directions": "off_support", "radius": -1.0}, r"radius=-1\.0 must be a positive, finite number"),
        ({"norm": 3}, "norm=3 is not supported"),
        (
            {"directions": "random", "threat_model": ThreatModel(immutable=[0, 1, 2])},
            r"threat_model=ThreatModel\(norm=numpy.inf, immutable=\(0, 1, 2\)\) lets no feature move",
        ),
    ],
)
def test_wrong_parameters(linear, two_classes, params, message):
    with pytest.raises(ValueError, match=message):
        boundary_distance(linear, two_classes[0], **params)


def test_wrong_reference(two_classes):
    X, y = two_classes
    clf = DummyClassifier().fit(X, y)
    with pytest.raises(ValueError, match="X_reference has 2 features, but X has 3"):
        boundary_distance(clf, X, directions="random", X_reference=X[:, :2])
    with pytest.raises(ValueError, match="directions='other_class' needs rows of X_reference"):
        boundary_distance(clf, X, directions="other_class")


def test_a_generator_that_sorts_its_points_sends_rays_to_all_of_them(linear):
    sampler = Generator([100, 0, 0], [-100, 0, 0])
    params = {"directions": "off_support", "X_reference": np.eye(3), "sampler": sampler, "max_distance": 200.0}
    found = boundary_distance(linear, np.zeros((200, 3)), n_directions=1, **params)
    for half in (found.is_censored[:100], found.is_censored[100:]):
        assert 0.3 < half.mean() < 0.7, "one of the two ways leads to the boundary"


def test_a_generator_draws_rows_whatever_the_units(linear, two_classes):
    X = two_classes[0]
    params = {"directions": "off_support", "sampler": Generator([5.0, -5, 5]), "n_directions": 1}
    raw = boundary_distance(linear, X, max_distance=50.0, **params)
    counted = ThreatModel(norm=2, units=(0.1, 0.1, 0.1))
    found = boundary_distance(linear, X, threat_model=counted, max_distance=500.0, **params)
    np.testing.assert_allclose(found.distance, 10 * raw.distance, rtol=1e-4)
    fixed = ThreatModel(norm=2, immutable=[1])
    assert boundary_distance(linear, X, threat_model=fixed, max_distance=50.0, **params).distance.shape == (60, 1)
