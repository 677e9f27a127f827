"""What fit says of data that it takes or refuses: units of unlabeled rows, marks, rows to hold out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FAR = r"X_unlabeled lies {} times the data scale D from the mean of X: scale it as X is. A Pipeline passes X_unlabeled"


@pytest.fixture
def raw(rng):
    """Return 60 labeled rows, 40 others without labels, and labels; the columns are far from zero."""
    X = rng.normal(size=(100, 4)) * 30 + 500
    return X[:60], X[60:], (X[:60, 0] > 500).astype(int)


def test_unlabeled_rows_that_passed_the_scaler_by_are_warned_of(quick, raw):
    X, others, y = raw
    clf = make_pipeline(StandardScaler(), quick())
    with pytest.warns(UserWarning, match=FAR.format(r"3\d\d") + r".*transform_input=\['X_unlabeled'\]"):
        clf.fit(X, y, offsupportrobustclassifier__X_unlabeled=others)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_the_warning_points_at_the_call(quick, raw, method):
    X, others, y = raw
    named = {"classes": [0, 1]} if method == "partial_fit" else {}
    with pytest.warns(UserWarning, match=FAR.format(r"\S+")) as found:
        getattr(quick(), method)(X, y, X_unlabeled=100 * others, **named)
    assert found[0].filename == __file__


def test_pixels_that_are_not_scaled_are_warned_of(quick, digit_images):
    images, y = digit_images
    with pytest.warns(UserWarning, match=FAR.format(r"\S+")):
        quick(max_epochs=1).fit(images[:150], y[:150], X_unlabeled=(images[150:] * 255).astype(np.uint8))


def test_pixels_that_are_scaled_alone_are_warned_of(quick, digit_images):
    images, y = digit_images
    with pytest.warns(UserWarning, match=r"X_unlabeled has a data scale that is 0.00\d+ times that of X: scale it"):
        quick(max_epochs=1).fit((images[:150] * 255).astype(np.uint8), y[:150], X_unlabeled=images[150:])


@pytest.mark.parametrize("factor", [0.0, 0.05, 1.0, 5.0])
def test_unlabeled_rows_in_the_units_of_x_are_taken(quick, raw, factor):
    X, others, y = raw
    quick(max_epochs=1).fit(X, y, X_unlabeled=500 + factor * (others - 500))
    quick(max_epochs=1, unlabeled_label=-1).fit(np.concatenate([X, others]), np.append(y, np.full(40, -1)))


def test_units_are_those_of_labeled_rows_with_weight(quick, raw):
    X, others, y = raw
    X, y = np.append(X, [[1e6] * 4] * 2, axis=0), np.append(y, [0, -1])
    clf = quick(max_epochs=1, unlabeled_label=-1)
    with pytest.warns(UserWarning, match=FAR.format(r"\S+")):
        clf.fit(X, y, np.append(np.ones(60), [0, 1]), X_unlabeled=others * 10)


def test_equal_rows_have_no_units(quick):
    quick(max_epochs=1).fit(np.ones((6, 2)), [0, 1] * 3, X_unlabeled=np.full((3, 2), 1e9))


def test_huge_unlabeled_rows_are_far(quick, raw):
    X, others, y = raw
    with pytest.warns(UserWarning, match=FAR.format(r"inf")), np.errstate(all="ignore"):
        quick(n_unlabeled=0.1, max_epochs=1, dtype="float64").fit(X, y, X_unlabeled=others * 1e300)


def test_images_without_any_unlabeled_one_are_taken(quick, digit_images):
    images, y = digit_images
    clf, without = quick(max_epochs=1), quick(max_epochs=1).fit(images, y)
    for empty in (np.zeros((0, 8, 8)), np.zeros((0, 1, 8, 8)), np.zeros((0, 64))):
        proba = clf.fit(images, y, X_unlabeled=empty).predict_proba(images)
        np.testing.assert_array_equal(proba, without.predict_proba(images))


def test_images_with_the_channels_last_are_refused(quick, rng):
    last, y = rng.random((20, 8, 8, 3)), np.arange(20) % 2
    first = last.transpose(0, 3, 1, 2)
    with pytest.raises(
        ValueError, match=r"X has images of shape \(8, 8, 3\), which looks like \(height, width, channels"
    ):
        quick().fit(last, y)
    clf = quick(module="lenet", max_epochs=1).fit(first, y)
    with pytest.raises(
        ValueError, match=r"give X.transpose\(0, 3, 1, 2\), or set image_shape=\(8, 8, 3\) if these are 8"
    ):
        clf.predict(last)
    with pytest.raises(ValueError, match=r"give X_unlabeled.transpose\(0, 3, 1, 2\)"):
        clf.fit(first, y, X_unlabeled=last[:5])
    assert quick(image_shape=(8, 8, 3), max_epochs=1).fit(last, y).net_.row_shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("labels", "mark", "remedy"), [(["cat", "dog", -1], -1, "-1"), ([0, 1, -1], "-1", -1)], ids=["text", "numbers"]
)
def test_a_mark_of_another_type_than_the_labels_is_refused(quick, blobs, labels, mark, remedy):
    X, codes = blobs
    y = np.array(labels)[codes]
    message = f"unlabeled_label={mark!r} is not among the labels, but {remedy!r} is, .*: use unlabeled_label={remedy!r}"
    with pytest.raises(ValueError, match=message):
        quick(unlabeled_label=mark).fit(X, y)
    with pytest.raises(ValueError, match=message):
        quick(unlabeled_label=mark).partial_fit(X, y, classes=np.unique(y))
    assert len(quick(unlabeled_label=remedy, max_epochs=1).fit(X, y).classes_) == 2


@pytest.mark.parametrize("kind", [np.array, pd.Series], ids=["array", "series"])
def test_nan_marks_nothing(quick, blobs, kind):
    X, y = blobs
    with pytest.raises(ValueError, match="unlabeled_label=nan equals no label, not even itself"):
        quick(unlabeled_label=np.nan).fit(X, kind(np.where(y == 2, np.nan, y)))


def test_rows_cannot_be_held_out_of_a_class_of_one_row(quick, blobs):
    X, y = blobs
    y = np.where(np.arange(90) == 7, 3, np.where(y == 2, 0, y))
    message = r"early_stopping=True holds out rows of each class, but 1 of the 3 classes in y have a single row: give"
    with pytest.raises(ValueError, match=message):
        quick(early_stopping=True).fit(X, y)
    assert quick(max_epochs=1).fit(X, y).n_iter_ == 1


def test_balanced_weights_go_on_without_a_class(quick, blobs):
    X, y = blobs
    clf = quick(warm_start=True, class_weight="balanced", max_epochs=1).fit(X, y)
    few = np.flatnonzero(y < 2)[10:]
    assert clf.fit(X[few], y[few]).classes_.tolist() == [0, 1, 2]
