"""Nearest neighbors classifiers are attacked towards the rows that they store, not only towards the rows at hand."""

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from test_black_box import attacked, pursuit_of
from test_certified import bound_of

from skrobust import ThreatModel
from skrobust.attacks import _segment
from skrobust.attacks._segment import nearest_other
from skrobust.attacks._stored import stored_rows

NORMS = [np.inf, 2, 1]


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return X[::2], y[::2], X[1:160:4], y[1:160:4]


def from_rows_at_hand(monkeypatch, pursuit):
    with monkeypatch.context() as patch:
        patch.setattr(_segment, "stored_rows", lambda original: None)
        return attacked(nearest_other, pursuit).distance


@pytest.mark.parametrize(("norm", "expected"), [(np.inf, 1), (2, 2**0.5), (1, 2)])
def test_one_row_alone_crosses_half_way_to_a_stored_one(norm, expected):
    clf = KNeighborsClassifier(1).fit([[0.0, 0.0], [2.0, 2.0]], [0, 1])
    pursuit = attacked(nearest_other, pursuit_of(clf, np.zeros((1, 2)), [0], ThreatModel(norm=norm)))
    np.testing.assert_allclose(pursuit.distance, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_the_nearest_neighbor_is_attacked_nearly_as_near_as_is_proven(cancer, norm):
    clf = KNeighborsClassifier(1).fit(*cancer[:2])
    pursuit = pursuit_of(clf, *cancer[2:], ThreatModel(norm=norm))
    is_right = pursuit.distance > 0
    bound, distance = bound_of(pursuit), attacked(nearest_other, pursuit).distance
    assert (bound <= distance * (1 + 1e-9))[is_right].all()
    # In the sum of changes it goes along one feature, though several may be shorter together.
    assert np.median((distance / bound)[is_right]) < (2.0 if norm == 1 else 1.3)


@pytest.mark.parametrize("n_neighbors", [1, 5, 15])
@pytest.mark.parametrize("norm", [np.inf, 2])
def test_stored_rows_lead_nearer_than_the_rows_at_hand(cancer, n_neighbors, norm, monkeypatch):
    clf = make_pipeline(MinMaxScaler(), KNeighborsClassifier(n_neighbors)).fit(*cancer[:2])
    make = functools.partial(pursuit_of, clf, *cancer[2:], ThreatModel(norm=norm))
    before, now = from_rows_at_hand(monkeypatch, make()), attacked(nearest_other, make()).distance
    assert (now <= before).all()
    assert np.median(now / np.where(before > 0, before, np.inf)) < 0.85


def test_features_that_the_classifier_is_not_told_stay(cancer):
    frame = pd.DataFrame(cancer[0]).rename(columns="f{}".format)
    clf = make_pipeline(SelectKBest(k=4), StandardScaler(), KNeighborsClassifier(3)).fit(frame, cancer[1])
    few = pd.DataFrame(cancer[2][:1], columns=frame.columns)
    pursuit = attacked(nearest_other, pursuit_of(clf, few, cancer[3][:1], ThreatModel(norm=2)))
    assert 0 < pursuit.distance[0] < np.inf
    moved = (pursuit.nearest != pursuit.original.rows)[0]
    assert moved.any()
    assert not moved[~clf[0].get_support()].any()


def test_constraints_are_kept(cancer):
    clf = KNeighborsClassifier(3).fit(*cancer[:2])
    threat_model = ThreatModel(norm=2, bounds=(-1.0, 1.0), immutable=[0, 1], direction={2: "up"})
    rows = np.clip(cancer[2], -1, 1)
    pursuit = attacked(nearest_other, pursuit_of(clf, rows, cancer[3], threat_model))
    found = pursuit.nearest
    assert np.isfinite(pursuit.distance).mean() > 0.9
    assert (np.abs(found) <= 1).all()
    np.testing.assert_array_equal(found[:, :2], rows[:, :2])


def test_parts_give_what_all_rows_give(cancer, monkeypatch):
    clf = KNeighborsClassifier(3).fit(*cancer[:2])
    make = functools.partial(pursuit_of, clf, *cancer[2:], ThreatModel(norm=2))
    whole = attacked(nearest_other, make()).distance
    monkeypatch.setattr(_segment, "chunks", functools.partial(_segment.chunks, n_numbers=3000))
    np.testing.assert_allclose(attacked(nearest_other, make()).distance, whole, rtol=1e-9)


def test_fewer_rows_than_decide_are_taken_as_they_are():
    X, y = np.array([[0.0], [0.1], [0.2], [0.3], [2.0]]), np.array([0, 0, 0, 0, 1])
    clf = KNeighborsClassifier(4, weights="distance").fit(X, y)
    pursuit = attacked(nearest_other, pursuit_of(clf, X[:1], y[:1], ThreatModel(norm=2)))
    assert 1 < pursuit.distance[0] < 2


class Cautious(KNeighborsClassifier):
    def predict(self, X):
        return super().predict(np.abs(X))


@pytest.mark.parametrize(
    "clf",
    [PCA(2), Cautious(1)],
    ids=["mixed features", "answers of its own"],
)
def test_what_answers_otherwise_stores_no_rows_that_are_known(cancer, clf):
    clf = make_pipeline(clf, KNeighborsClassifier(1)) if isinstance(clf, PCA) else clf
    pursuit = pursuit_of(clf.fit(*cancer[:2]), *cancer[2:], ThreatModel())
    assert stored_rows(pursuit.original) is None


def test_missing_values_are_never_stored_rows_to_go_to(cancer):
    X = cancer[0].copy()
    X[::3, 1] = np.nan
    clf = KNeighborsClassifier(1, metric="nan_euclidean").fit(X, cancer[1])
    pursuit = attacked(nearest_other, pursuit_of(clf, *cancer[2:], ThreatModel()))
    assert stored_rows(pursuit.original) is None
    assert np.isfinite(pursuit.nearest).all()


def test_distances_that_are_given_are_no_rows(cancer):
    X, y = cancer[:2]
    distances = pairwise_distances(X)
    clf = KNeighborsClassifier(3, metric="precomputed").fit(distances, y)
    pursuit = attacked(nearest_other, pursuit_of(clf, distances[:40], y[:40], ThreatModel(norm=2)))
    assert stored_rows(pursuit.original) is None
    assert np.isfinite(pursuit.distance).all()


@pytest.mark.parametrize("norm", NORMS)
def test_nothing_is_found_where_only_features_move_that_the_classifier_is_not_told(cancer, norm):
    clf = make_pipeline(SelectKBest(k=3), KNeighborsClassifier(3)).fit(*cancer[:2])
    threat_model = ThreatModel(norm=norm, immutable=np.flatnonzero(clf[0].get_support()).tolist())
    pursuit = attacked(nearest_other, pursuit_of(clf, *cancer[2:], threat_model))
    assert set(pursuit.distance) <= {0.0, np.inf}


def test_sparse_rows_are_left_alone(cancer):
    clf = KNeighborsClassifier(1).fit(sparse.csr_array(cancer[0]), cancer[1])
    pursuit = pursuit_of(clf, *cancer[2:], ThreatModel())
    assert stored_rows(pursuit.original) is None
