"""Metadata routing of weights and unlabeled rows, tags, and what notebooks show."""

import pytest
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skrobust import OffSupportRobustClassifier


@pytest.fixture(autouse=True)
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def data(blobs, rng):
    """Return rows, labels, weights and unlabeled rows, of which there are others than labeled ones."""
    X, y = blobs
    return 3 + 5 * X, y, rng.integers(0, 3, len(y)).astype(float), 3 + 5 * rng.normal(size=(40, 4))


def pipeline(quick):
    clf = quick().set_fit_request(sample_weight=True, X_unlabeled=True).set_score_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    return Pipeline([("scale", scaler), ("clf", clf)], transform_input=["X_unlabeled"])


def trained_by_hand(quick, X, y, weight, unlabeled):
    scaler = StandardScaler().fit(X)
    clf = quick().fit(scaler.transform(X), y, sample_weight=weight, X_unlabeled=scaler.transform(unlabeled))
    return lambda X, y, weight: clf.score(scaler.transform(X), y, sample_weight=weight)


def test_folds_get_their_weights_and_all_unlabeled_rows(quick, data):
    X, y, weight, unlabeled = data
    folds, params = KFold(3, shuffle=True, random_state=0), {"sample_weight": weight, "X_unlabeled": unlabeled}
    scores = cross_validate(pipeline(quick), X, y, cv=folds, params=params)["test_score"]
    for score, (train, test) in zip(scores, folds.split(X), strict=True):
        by_hand = trained_by_hand(quick, X[train], y[train], weight[train], unlabeled)
        assert score == pytest.approx(by_hand(X[test], y[test], weight[test]))


def test_a_search_hands_weights_and_unlabeled_rows_on(quick, data):
    X, y, weight, unlabeled = data
    search = GridSearchCV(pipeline(quick), {"clf__smoothness": [0.02]}, cv=2)
    search.fit(X, y, sample_weight=weight, X_unlabeled=unlabeled)
    by_hand = trained_by_hand(quick, X, y, weight, unlabeled)
    assert search.score(X, y, sample_weight=weight) == pytest.approx(by_hand(X, y, weight))


@pytest.mark.parametrize("name", ["sample_weight", "X_unlabeled"])
def test_what_nobody_asked_for_is_an_error(quick, data, name):
    X, y, weight, unlabeled = data
    value = {"sample_weight": weight, "X_unlabeled": unlabeled}[name]
    with pytest.raises(ValueError, match=rf"{name}.* but .*not explicitly set as requested or not"):
        cross_validate(Pipeline([("clf", quick())]), X, y, params={name: value})


def test_tags():
    tags = get_tags(OffSupportRobustClassifier())
    assert tags.estimator_type == "classifier"
    assert tags.target_tags.required
    assert tags.classifier_tags.multi_class
    assert not tags.classifier_tags.multi_label
    assert tags.input_tags.two_d_array
    assert not tags.input_tags.sparse
    assert not tags.input_tags.allow_nan


def test_notebooks_show_parameters_and_whether_it_is_fitted(quick, blobs):
    clf = quick(smoothness=0.125)
    before = clf._repr_html_()
    after = clf.fit(*blobs)._repr_html_()
    for html in (before, after):
        assert "OffSupportRobustClassifier" in html
        assert "0.125" in html
    assert "Not fitted" in before
    assert "Not fitted" not in after
