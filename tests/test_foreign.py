"""foreign_confidence: what a classifier says to rows of other data sets."""

import builtins

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.svm import LinearSVC

from skrobust.metrics import foreign_confidence


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    return X, np.array(["a", "b", "c"])[X[:, :3].argmax(axis=1)]


@pytest.fixture(scope="module")
def clf(data):
    return LogisticRegression().fit(*data)


def test_figures_are_those_of_the_probabilities(clf, data):
    X = 3 * data[0] + 1
    table = foreign_confidence(clf, X)
    proba = clf.predict_proba(X)
    assert (table["data"] == "foreign").all()
    assert table["label"].tolist() == ["a", "b", "c", None]
    assert table["quantity"].tolist() == ["probability"] * 3 + ["top"]
    assert table["mean"].tolist() == pytest.approx([*proba.mean(axis=0), proba.max(axis=1).mean()])
    assert table["std"].tolist() == pytest.approx([*proba.std(axis=0), proba.max(axis=1).std()])
    assert table["answered"].tolist() == [*(np.mean(clf.predict(X) == k) for k in "abc"), 1.0]
    assert (table["n_rows"] == 90).all()
    assert table["mean"][:3].sum() == pytest.approx(1)


def test_answers_are_those_of_predict_where_a_threshold_decides(data):
    X = data[0]
    clf = FixedThresholdClassifier(LogisticRegression(), threshold=0.9, response_method="predict_proba")
    clf.fit(X, X[:, 0] > 0)
    answered = foreign_confidence(clf, X)["answered"].tolist()
    share = np.mean(clf.predict(X))
    assert answered == pytest.approx([1 - share, share, 1])
    assert share < np.mean(clf.predict_proba(X)[:, 1] > 0.5)


def test_several_data_sets_and_a_reference(clf, data):
    X = data[0]
    table = foreign_confidence(clf, {"far": 10 * X, "near": X[:5] / 10}, X_reference=X)
    assert table["data"].unique().tolist() == ["reference", "far", "near"]
    top = table[table["quantity"] == "top"].set_index("data")
    assert top["n_rows"].to_dict() == {"reference": 90, "far": 90, "near": 5}
    assert top["mean"]["near"] < top["mean"]["reference"] < top["mean"]["far"]


def test_labels_keep_their_kind(data):
    clf = LogisticRegression().fit(data[0], data[0][:, 0] > 0)
    frame = pd.DataFrame(data[0])
    assert foreign_confidence(clf, frame)["label"].tolist() == [False, True, None]


def test_images(quick, digit_images):
    images, y = digit_images
    clf = quick().fit(images, y)
    noise = np.random.default_rng(0).random((7, 8, 8))
    table = foreign_confidence(clf, {"noise": noise}, X_reference=images)
    assert len(table) == 22
    assert table.query("quantity == 'probability'").groupby("data")["mean"].sum().to_numpy() == pytest.approx(1)


def test_a_classifier_without_probabilities(data):
    with pytest.raises(TypeError, match="LinearSVC has no predict_proba"):
        foreign_confidence(LinearSVC().fit(*data), data[0])


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        ({}, r"foreign has the data sets \[\]"),
        ({"reference": np.zeros((2, 4))}, r"foreign has the data sets \['reference'\]"),
        ({"none": np.zeros((0, 4))}, "foreign has no rows in the data set 'none'"),
    ],
)
def test_wrong_data_sets(clf, data, foreign, message):
    with pytest.raises(ValueError, match=message):
        foreign_confidence(clf, foreign, X_reference=data[0])


def test_without_pandas(monkeypatch, clf, data):
    def without(name, *args, **kwargs):
        if name == "pandas":
            raise ImportError(name)
        return builtins_import(name, *args, **kwargs)

    builtins_import = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="foreign_confidence returns DataFrames, but pandas is not installed"):
        foreign_confidence(clf, data[0])
