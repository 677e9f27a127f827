"""What fuzzing found once, each with the sentence that it now gets."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from test_fuzz import attacked, good_arrays, npz_bytes, quietly_fitted, training_rows

from skrobust import ThreatModel, make_robustness_scorer
from skrobust.datasets import adapt_images, fetch_cifar10, fetch_mnist, make_spheres
from skrobust.torchify import NotConvertibleError, to_torch


def test_a_batch_size_that_means_all_rows_asks_for_no_more_points_than_that(quick, blobs):
    clf = quick(batch_size=10**9).fit(*blobs)
    assert clf.score(*blobs) > 0


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_rows_for_which_a_network_has_no_numbers_are_refused(quick, blobs, method):
    X, y = blobs
    clf = quick(dtype="float32").fit(X, y)
    with pytest.raises(ValueError, match=r"X has values for which the network gives no numbers: scale X"):
        getattr(clf, method)(1e200 * X)


def test_numbers_whose_squares_overflow_are_refused(quick, blobs):
    X, y = blobs
    with pytest.raises(ValueError, match=r"X has values up to 2.*e\+200, whose squares are too large .* divide X by a"):
        quick().fit(1e200 * X, y)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_labels_among_words_are_named(quick, missing):
    y = np.array(["a", "b", missing] * 4, dtype=object)
    with pytest.raises(ValueError, match=r"y has missing labels \(None or NaN\)|Input contains NaN"):
        quick().fit(np.arange(24.0).reshape(12, 2), y)


def test_labels_without_an_order_are_named(quick):
    y = np.array(["a", 1] * 6, dtype=object)
    with pytest.raises(ValueError, match=r"y has labels that cannot be sorted \(.*\): give labels of one kind"):
        quick().fit(np.arange(24.0).reshape(12, 2), y)


def test_balanced_classes_of_which_one_weighs_nothing_to_speak_of(quick, blobs):
    X, y = blobs
    with pytest.raises(ValueError, match="class_weight='balanced' must be finite numbers that are not negative"):
        quick(class_weight="balanced").fit(X, y, sample_weight=np.where(y, 1.0, 5e-324))


@pytest.mark.parametrize(
    ("fetch", "arrays", "message"),
    [
        (fetch_mnist, {"X_train": np.zeros((4, 8), np.uint8)}, r"has X_train of shape \(4, 8\) and type uint8, which"),
        (fetch_mnist, {"X_test": np.full((2, 8, 8), 7.0)}, r"has X_test of shape \(2, 8, 8\) and type float64, which"),
        (fetch_mnist, {"y_test": np.zeros(3)}, r"has y_test of shape \(3,\) and type float64 for 2 images: store one"),
        (fetch_mnist, {"y_train": np.array([0, 1, 2, 10])}, r"store one label from 0 to 9 for each"),
        (fetch_mnist, {"y_train": np.array([[], 1, 2, 3], object)}, r"is no npz file of images, or is damaged \(Value"),
        (fetch_cifar10, {"jpeg_test": np.zeros(900, np.uint8)}, r"or is damaged \(UnidentifiedImageError\): get it"),
    ],
)
def test_files_of_something_else_are_refused(fetch, arrays, message, tmp_path):
    (tmp_path / "file.npz").write_bytes(npz_bytes(good_arrays(fetch) | arrays))
    with pytest.raises(ValueError, match=r"path='.*file.npz' .*" + message):
        fetch(tmp_path / "file.npz")


@pytest.mark.parametrize("units", ["std", "iqr", "range"])
def test_units_of_numbers_that_are_too_large_are_refused(units):
    with pytest.raises(ValueError, match=rf"X_reference has values up to 1.7e\+308, of which units='{units}'"):
        ThreatModel(0.1, units=units).resolve(np.array([[1.7e308], [-1.7e308]] * 4))


def test_weights_of_scorers_are_numbers():
    X, y = training_rows(np.random.default_rng(1))
    scorer = make_robustness_scorer("fgsm", eps=0.1)
    with pytest.raises(ValueError, match=r"sample_weight does not hold numbers \(.*\): give one number per row"):
        scorer(attacked()[0], X, y, sample_weight=["heavy"] * len(y))


def test_gaussians_without_variance_are_not_converted():
    X, y = training_rows(np.random.default_rng(1))
    fitted = quietly_fitted(GaussianNB(), np.zeros_like(X), y)
    with pytest.raises(NotConvertibleError, match="cannot convert where a variance is 0, for its own answers are then"):
        to_torch(fitted)


@pytest.mark.parametrize("images", [np.ones((2, 4, 4)) + 0j, np.full((2, 4, 4), "a"), [[["1"]]]])
def test_images_without_pixels_are_refused(images):
    with pytest.raises(ValueError, match=r"images hold .*, which are no pixels: give numbers in \[0, 1\]"):
        adapt_images(images, (4, 4))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_samples": 2.5}, "n_samples=2.5 must be a whole number, 0 or more"),
        ({"n_features": 0}, "n_features=0 must be a whole number, 1 or more"),
        ({"factor": "2"}, "factor='2' must be above 1"),
        ({"factor": np.inf}, "factor=inf must be above 1"),
    ],
)
def test_spheres_that_are_none(params, message):
    with pytest.raises(ValueError, match=message):
        make_spheres(**params)


def test_weights_that_are_huge_in_all_chunks_are_as_good_as_others(quick, blobs):
    X, y = blobs
    rows = 1e5 * X
    clf, other = quick(), quick()
    for weight, model in ((1.0, clf), (1e299, other)):
        for part in (slice(0, None, 2), slice(1, None, 2)):
            model.partial_fit(rows[part], y[part], classes=[0, 1, 2], sample_weight=np.full(len(y[part]), weight))
    np.testing.assert_allclose(other.data_scale_, clf.data_scale_)
    np.testing.assert_allclose(other.predict_proba(rows), clf.predict_proba(rows))


def test_bounds_of_no_feature_are_refused():
    with pytest.raises(ValueError, match=r"bounds=\(\[\], \[nan\]\) must be a pair \(low, high\), each a number or a"):
        ThreatModel(bounds=([], [np.nan]))


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning:sklearn")
def test_rows_whose_logits_overflow_are_attacked_without_gradients():
    X = np.array([[2e307, -2e307, 1.1e308, 2e307]])
    scorer = make_robustness_scorer("deepfool", eps=0.3)
    assert 0 <= scorer(attacked()[0], X, [0]) <= 1
