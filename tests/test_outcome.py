"""Training that has come to nothing says so, and no other does."""

import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skrobust import OffSupportRobustClassifier
from skrobust.adversary import FGSM

# Ten updates in an epoch.
FLAT = {"smoothness": 1e5, "hidden_layer_sizes": (16,), "batch_size": 16, "random_state": 0}


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def warned(clf, X, y, method="fit", **params):
    """Return the warnings of a training."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(clf, method)(X, y, **params)
    return caught


@pytest.mark.parametrize(
    ("params", "remedy"),
    [
        ({}, "Lower smoothness=100000.0 or lr=0.004, raise max_epochs"),
        ({"adversary": FGSM(0.2)}, "Lower smoothness=100000.0 or the eps of adversary=FGSM(eps=0.2) or lr=0.004"),
        ({"smoothness": 0, "lr": 1e-9, "hidden_layer_sizes": ()}, "Lower lr=1e-09, raise max_epochs"),
        ({"penalty": None, "lr": 1e-9, "hidden_layer_sizes": ()}, "Lower lr=1e-09, raise max_epochs"),
    ],
)
def test_a_network_that_answers_all_rows_alike_is_warned_of(params, remedy, iris):
    X, y = iris
    X = X / 100 if "lr" in params else X  # so that the first weights tell no rows apart either
    (warning,) = warned(OffSupportRobustClassifier(**FLAT | params, max_epochs=10), X, y)
    assert warning.category is ConvergenceWarning
    assert warning.filename == __file__
    assert remedy in str(warning.message)
    assert re.search(
        r"to all of 150 training rows, of which it answers 0\.\d\d rightly, after 10 epochs", str(warning.message)
    )


def test_texts_as_labels_and_a_class_that_is_most_of_the_rows(iris):
    X, y = iris
    y = np.where(y == 2, "rare", "frequent")
    (warning,) = warned(OffSupportRobustClassifier(**FLAT, max_epochs=10), X, y)
    assert "it answers 0.67 rightly" in str(warning.message)


@pytest.mark.parametrize(
    "params",
    [
        {"max_epochs": 9},  # too short a training to say
        {"max_epochs": 10, "smoothness": 0.02},
    ],
)
def test_no_warning_where_a_network_learns_or_had_no_time_to(params, iris):
    assert not warned(OffSupportRobustClassifier(**FLAT | params), *iris)


def test_no_warning_where_one_class_has_all_the_weight(iris):
    X, y = iris
    for params, fit_params in (
        ({"class_weight": {0: 1000, 1: 1e-3, 2: 1e-3}}, {}),
        ({}, {"sample_weight": np.where(y == 0, 1000.0, 1e-3)}),
    ):
        assert not warned(OffSupportRobustClassifier(**FLAT | params, max_epochs=10), X, y, **fit_params)


def test_no_warning_in_a_stream_of_chunks(iris):
    clf = OffSupportRobustClassifier(**FLAT)
    for _ in range(11):
        assert not warned(clf, *iris, method="partial_fit", classes=[0, 1, 2])


def test_flat_answers_that_tell_classes_apart_are_no_failure(iris):
    X, y = iris
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    clf = OffSupportRobustClassifier(hidden_layer_sizes=(16,), smoothness=10, max_epochs=100, random_state=0)
    assert not warned(clf, X, y)
    assert np.ptp(clf.predict_proba(X), axis=0).max() < 0.1
    assert clf.score(X, y) > 0.5
