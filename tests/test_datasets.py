"""Data sets: both file formats, what is asked of OpenML, and foreign images in shape, color and units."""

import builtins
import io

import numpy as np
import pytest
from PIL import Image
from sklearn.utils import Bunch

from skrobust.datasets import _fetch, adapt_images, fetch_cifar10, fetch_mnist, make_spheres


def levels(rng, *shape):
    return rng.integers(0, 256, size=shape, dtype=np.uint8)


def mnist_arrays(rng, letter="X"):
    return {
        f"{letter}_train": levels(rng, 5, 28, 28),
        "y_train": np.arange(5, dtype=np.uint8),
        f"{letter}_test": levels(rng, 3, 28, 28),
        "y_test": np.arange(3, dtype=np.uint8)[:, None],
    }


def jpeg_arrays(images, part, mode="RGB"):
    """Return images as the arrays of one part of a file of JPEG bytes."""
    streams = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).convert(mode).save(stream, format="JPEG", quality=95)
        streams.append(stream.getvalue())
    return {
        f"jpeg_{part}": np.frombuffer(b"".join(streams), dtype=np.uint8),
        f"offsets_{part}": np.cumsum([0, *map(len, streams)]),
        f"y_{part}": np.arange(len(images), dtype=np.uint8) % 10,
    }


def soft_images(n):
    """Return color images without edges, which JPEG hardly changes."""
    y, x = np.mgrid[:32, :32] / 31
    return np.stack([np.stack([x, y, (x + y + i / n) / 3], axis=-1) * 255 for i in range(n)]).astype(np.uint8)


@pytest.fixture
def openml(monkeypatch):
    """Have OpenML answer from a table, and note what it is asked."""
    asked = []

    def answer(table):
        def fetch(*args, **kwargs):
            asked.append((args, kwargs))
            return table

        monkeypatch.setattr(_fetch, "fetch_openml", fetch)
        return asked

    monkeypatch.setattr(_fetch, "fetch_openml", None)
    return answer


@pytest.mark.parametrize("letter", ["X", "x"])
def test_mnist_comes_from_a_local_file(tmp_path, rng, letter, openml):
    arrays = mnist_arrays(rng, letter)
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    data = fetch_mnist(tmp_path / "mnist.npz")
    assert data.X_train.shape == (5, 28, 28)
    assert (data.X_train.dtype, data.y_train.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal((data.X_test * 255).round(), arrays[f"{letter}_test"])
    assert data.X_train.max() <= 1
    assert data.y_test.tolist() == [0, 1, 2]
    assert data.target_names[7] == "7"
    assert (fetch_mnist(str(tmp_path / "mnist.npz")).X_train == data.X_train).all()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_cifar_comes_from_a_local_file_of_jpeg_bytes(tmp_path, mode, openml):
    images = soft_images(6)
    np.savez(tmp_path / "cifar.npz", **jpeg_arrays(images, "train", mode), **jpeg_arrays(images[:2], "test", mode))
    data = fetch_cifar10(tmp_path / "cifar.npz")
    assert data.X_train.shape == (6, 3, 32, 32)
    assert data.X_test.shape == (2, 3, 32, 32)
    assert data.X_train.dtype == np.float32
    expected = images.transpose(0, 3, 1, 2) / 255
    if mode == "L":
        expected = np.tensordot([0.299, 0.587, 0.114], expected, axes=(0, 1))[:, None]
    assert abs(data.X_train - expected).max() < 0.06
    assert data.y_train.tolist() == list(range(6))
    assert data.target_names[data.y_train[5]] == "dog"


@pytest.mark.parametrize(
    ("fetch", "name", "n", "shape"),
    [(fetch_mnist, "mnist_784", 70_000, (28, 28)), (fetch_cifar10, "CIFAR_10", 60_000, (3, 32, 32))],
)
def test_openml_is_asked_once_for_the_right_table(fetch, name, n, shape, openml, tmp_path):
    # A thousandth of the table: all of it is at the beginning, which is for training.
    n_rows = n // 1000
    answer = Bunch(data=np.zeros((n_rows, np.prod(shape))), target=np.array([str(i % 10) for i in range(n_rows)]))
    asked = openml(answer)
    data = fetch(data_home=tmp_path)
    assert asked == [((name,), {"version": 1, "data_home": tmp_path, "as_frame": False})]
    assert data.X_train.shape[1:] == shape
    assert data.y_train.dtype == np.int64
    assert (len(data.X_train), len(data.X_test)) == (n_rows, 0)


def test_openml_rows_are_split_and_shaped_as_published(openml):
    rng = np.random.default_rng(0)
    pixels = levels(rng, 60_004, 2).repeat(2, axis=1)
    openml(Bunch(data=pixels.astype(float), target=np.array([str(i % 10) for i in range(60_004)])))
    data = _fetch._from_openml("small", 60_000, (2, 2), ["0"], None)
    assert len(data.X_train) == 60_000
    assert data.y_test.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(data.X_test[1].ravel() * 255, pixels[60_001], atol=1e-4)


@pytest.mark.parametrize(
    ("fetch", "message"),
    [
        (fetch_mnist, r"has no X_test, y_test but \['X_train', 'y_train'\]: give an npz file with the arrays X_train"),
        (fetch_cifar10, r"has no jpeg_test, jpeg_train, offsets_test, .* but \['X_train', 'y_train'\]"),
    ],
)
def test_a_file_without_the_arrays_is_refused(fetch, message, tmp_path, rng):
    arrays = mnist_arrays(rng)
    np.savez(tmp_path / "half.npz", X_train=arrays["X_train"], y_train=arrays["y_train"])
    with pytest.raises(ValueError, match=r"path='.*half.npz' " + message):
        fetch(tmp_path / "half.npz")


def test_a_file_that_is_not_there_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.npz"):
        fetch_mnist(tmp_path / "nowhere.npz")


def test_jpeg_bytes_without_pillow_name_the_remedy(tmp_path, monkeypatch):
    images = soft_images(1)
    np.savez(tmp_path / "cifar.npz", **jpeg_arrays(images, "train"), **jpeg_arrays(images, "test"))
    real = builtins.__import__

    def without_pillow(name, *args, **kwargs):
        if name == "PIL":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(ImportError, match=r"which need Pillow: pip install pillow"):
        fetch_cifar10(tmp_path / "cifar.npz")


def test_color_becomes_grey_by_its_weights_and_grey_becomes_color(rng):
    colored = rng.random((4, 3, 9, 7))
    expected = np.tensordot([0.299, 0.587, 0.114], colored, axes=(0, 1))
    np.testing.assert_allclose(adapt_images(colored, (9, 7)), expected, atol=1e-6)
    np.testing.assert_allclose(adapt_images(colored, (1, 9, 7))[:, 0], expected, atol=1e-6)
    again = adapt_images(expected, (3, 9, 7))
    assert again.shape == (4, 3, 9, 7)
    for channel in range(3):
        np.testing.assert_allclose(again[:, channel], expected, atol=1e-6)
    white = adapt_images(np.ones((1, 3, 4, 4)), (4, 4))
    np.testing.assert_allclose(white, 1.0, atol=1e-6)
    assert white.max() <= 1


def test_the_same_shape_changes_nothing(rng):
    images = rng.random((1500, 3, 5, 4)).astype(np.float32)
    np.testing.assert_array_equal(adapt_images(images, (3, 5, 4)), images)
    np.testing.assert_array_equal(adapt_images(images[:, 0], (5, 4)), images[:, 0])
    before = images.copy()
    adapt_images(images, (3, 5, 4), normalize="standardize", reference=images[:3] / 2)
    np.testing.assert_array_equal(images, before)


def test_eight_bits_are_divided_by_255(rng):
    images = levels(rng, 3, 6, 6)
    np.testing.assert_allclose(adapt_images(images, (6, 6)), images / 255, atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_integers_of_zero_and_one_are_warned_about(rng, kind):
    images = rng.random((2, 6, 6)) > 0.5
    message = rf"^images are {kind.__name__} from 0 to 1, which as 8-bit levels is all but black: give booleans or"
    with pytest.warns(UserWarning, match=message) as raised:
        adapted = adapt_images(images.astype(kind), (6, 6))
    assert raised[0].filename == __file__
    np.testing.assert_allclose(adapted, images / 255)
    with pytest.warns(UserWarning, match=r"^reference are .*, as in reference\.astype\(float\)\.$"):
        adapt_images(images, (6, 6), normalize="standardize", reference=images.astype(kind))


def test_images_that_are_meant_as_they_are_raise_no_warning(rng):
    images = rng.random((2, 6, 6)) > 0.5
    for given in (images, images.astype(float), images * np.uint8(2), np.zeros((2, 6, 6), dtype=np.uint8)):
        np.testing.assert_allclose(adapt_images(given, (6, 6)), given / (255 if given.dtype == np.uint8 else 1))


def test_shrinking_averages_and_growing_interpolates():
    # Stripes one pixel wide become even grey; a ramp stays a ramp.
    stripes = np.tile([0.0, 1.0], 16)[None, None, :].repeat(32, axis=1)
    small = adapt_images(stripes, (8, 8))
    np.testing.assert_allclose(small[:, 1:-1, 1:-1], 0.5, atol=0.05)
    ramp = np.linspace(0, 1, 16)[None, None, :].repeat(16, axis=1)
    grown = adapt_images(ramp, (3, 32, 20))
    assert grown.shape == (1, 3, 32, 20)
    np.testing.assert_allclose(
        grown[0, 0, 5], np.interp((np.arange(20) + 0.5) * 16 / 20 - 0.5, np.arange(16), ramp[0, 0]), atol=1e-5
    )


def test_standardizing_gives_each_channel_the_mean_and_spread_of_the_reference(rng):
    images, reference = rng.random((300, 3, 8, 8)), 0.4 + 0.1 * rng.random((50, 3, 8, 8))
    reference[:, 2] *= 0.5
    adapted = adapt_images(images, (3, 8, 8), normalize="standardize", reference=reference)
    np.testing.assert_allclose(adapted.mean(axis=(0, 2, 3)), reference.mean(axis=(0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(adapted.std(axis=(0, 2, 3)), reference.std(axis=(0, 2, 3)), atol=1e-5)


def test_clipping_keeps_the_range_and_can_be_left_out(rng):
    images = rng.random((50, 8, 8)) * 0.2
    reference = (rng.random((50, 8, 8)) > 0.9).astype(float)
    clipped = adapt_images(images, (8, 8), normalize="standardize", reference=reference)
    assert clipped.min() == 0
    assert clipped.max() <= 1
    free = adapt_images(images, (8, 8), normalize="standardize", reference=reference, clip=False)
    assert free.min() < 0
    np.testing.assert_allclose(free.std(), reference.std(), atol=1e-5)
    np.testing.assert_allclose(np.clip(free, 0, 1), clipped, atol=1e-6)


def test_images_of_one_value_are_only_shifted():
    reference = np.stack([np.zeros((4, 4)), np.ones((4, 4))])
    adapted = adapt_images(np.full((2, 4, 4), 0.1), (4, 4), normalize="standardize", reference=reference)
    np.testing.assert_allclose(adapted, 0.5)


@pytest.mark.parametrize(
    ("images", "image_shape", "params", "message"),
    [
        (np.ones((2, 16)), (4, 4), {}, r"images of shape \(2, 16\) are no images: give shape \(n, height, width\)"),
        (np.ones((0, 4, 4)), (4, 4), {}, r"images of shape \(0, 4, 4\) are no images"),
        (
            np.full((2, 4, 4), 7.0),
            (4, 4),
            {},
            r"images have values from 7 to 7: give floating point numbers in \[0, 1\]",
        ),
        (np.full((2, 4, 4), np.nan), (4, 4), {}, r"images have values from nan to nan"),
        (np.ones((2, 4, 4), dtype=np.int8) * -1, (4, 4), {}, r"images have values from -0.00392"),
        (np.ones((2, 2, 4, 4)), (4, 4), {}, r"images with 2 channels cannot get 1: 1 and 3 can be converted"),
        (np.ones((2, 4, 4)), (2, 4, 4), {}, r"images with 1 channels cannot get 2"),
        (np.ones((2, 4, 4)), (4,), {}, r"image_shape=\(4,\) is not a shape of images"),
        (np.ones((2, 4, 4)), 5, {}, r"image_shape=5 is not a shape of images: use \(height, width\) or"),
        (np.ones((2, 4, 4)), None, {}, r"image_shape=None is not a shape of images"),
        (np.ones((2, 4, 4)), (4, 4), {"normalize": ["range"]}, r"normalize=\['range'\] is unknown: use one of"),
        (
            np.ones((2, 4, 4)),
            (4, 4),
            {"normalize": "whiten"},
            r"normalize='whiten' is unknown: use one of \['range', 's",
        ),
        (
            np.ones((2, 4, 4)),
            (4, 4),
            {"normalize": "standardize"},
            r"reference=None, but normalize='standardize' needs",
        ),
        (
            np.ones((2, 4, 4)),
            (4, 4),
            {"normalize": "standardize", "reference": np.ones((2, 5, 5))},
            r"reference has images of shape \(1, 5, 5\), but image_shape asks for \(1, 4, 4\): give the same shape",
        ),
    ],
)
def test_what_cannot_be_adapted_is_refused(images, image_shape, params, message):
    with pytest.raises(ValueError, match=message):
        adapt_images(images, image_shape, **params)


@pytest.mark.parametrize(("n_samples", "n_features"), [(101, 2), (40, 1), (60, 500)])
def test_spheres_have_their_radii_and_classes(n_samples, n_features):
    X, y = make_spheres(n_samples, n_features, factor=2.0, random_state=0)
    assert X.shape == (n_samples, n_features)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), np.where(y == 1, 2.0, 1.0))
    assert y.sum() == n_samples // 2
    again, _ = make_spheres(n_samples, n_features, factor=2.0, random_state=0)
    np.testing.assert_array_equal(X, again)


def test_spheres_point_in_all_directions():
    X, _ = make_spheres(4000, 3, random_state=0)
    assert abs(X.mean(axis=0)).max() < 0.05
    np.testing.assert_allclose(np.cov(X.T), np.eye(3) * np.square(X).mean(), atol=0.05)


@pytest.mark.parametrize("factor", [1.0, 0.5, float("nan")])
def test_the_outer_sphere_is_outside(factor):
    with pytest.raises(ValueError, match=r"factor=.* must be above 1: the inner sphere has the radius 1"):
        make_spheres(factor=factor)


@pytest.mark.parametrize("name", ["n_samples", "n_features"])
def test_counts_of_spheres_are_no_truth_values(name):
    with pytest.raises(ValueError, match=f"{name}=True must be a whole number"):
        make_spheres(**{name: True})
