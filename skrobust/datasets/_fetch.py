"""MNIST and CIFAR-10, from a file of one's own or from OpenML."""

import contextlib
import io

import numpy as np
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch

from skrobust.datasets._pixels import BRIGHTEST, unit_range

PARTS = ("train", "test")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def fetch_mnist(path=None, *, data_home=None):
    """Load MNIST: 28 x 28 images of handwritten digits, 60,000 to train on and 10,000 to test on.

    Parameters
    ----------
    path : str, path-like or file, default=None
        Local npz file with the arrays ``X_train``, ``y_train``, ``X_test`` and ``y_test`` (or ``x_train``, ``x_test``,
        as in the file that Keras uses), images of 8-bit integers. None downloads the data from OpenML once, which
        scikit-learn needs pandas for.
    data_home : str or path-like, default=None
        Where downloads are kept; None is the folder of scikit-learn.

    Returns
    -------
    data : Bunch
        With ``X_train`` and ``X_test``, ndarrays of shape (n, height, width), float32 in [0, 1]; ``y_train`` and
        ``y_test``, ndarrays of shape (n,), int64; and ``target_names``.

    Raises
    ------
    ValueError
        If the file lacks an array, is damaged, or holds something else than labeled images.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition. Proceedings
    of the IEEE 86(11), 1998.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> from skrobust.datasets import fetch_mnist
    >>> images, y, file = np.zeros((5, 28, 28), dtype=np.uint8), np.arange(5), io.BytesIO()
    >>> np.savez(file, X_train=images, y_train=y, X_test=images[:2], y_test=y[:2])
    >>> start = file.seek(0)
    >>> fetch_mnist(file).X_train.shape
    (5, 28, 28)
    """
    names = [str(digit) for digit in range(10)]
    if path is None:
        return _from_openml("mnist_784", 60_000, (28, 28), names, data_home)
    arrays = _arrays(path, ["X_train", "y_train", "X_test", "y_test"], {"X_train": "x_train", "X_test": "x_test"})
    images = {part: arrays[f"X_{part}"] for part in PARTS}
    for part in PARTS:
        _check_images(path, part, images[part])
    return _local_bunch(path, images, {part: arrays[f"y_{part}"] for part in PARTS}, names)


def fetch_cifar10(path=None, *, data_home=None):
    """Load CIFAR-10: color images of 32 x 32 pixels in ten classes.

    Parameters
    ----------
    path : str, path-like or file, default=None
        Local npz file of images as JPEG bytes, which need Pillow: for each part, "train" and "test", the arrays
        ``jpeg_train``, all bytes in one row; ``offsets_train`` of shape (n + 1,), such that image i is
        ``jpeg_train[offsets_train[i]:offsets_train[i + 1]]``; and ``y_train``. None downloads the data from OpenML
        once, which scikit-learn needs pandas for; its first 50,000 images are those to train on.
    data_home : str or path-like, default=None
        Where downloads are kept; None is the folder of scikit-learn.

    Returns
    -------
    data : Bunch
        With ``X_train`` and ``X_test``, ndarrays of shape (n, 3, height, width), float32 in [0, 1]; ``y_train`` and
        ``y_test``, ndarrays of shape (n,), int64; and ``target_names``.

    Raises
    ------
    ValueError
        If the file lacks an array, is damaged, or holds something else than labeled images.
    ImportError
        If Pillow is not installed.

    References
    ----------
    A. Krizhevsky: Learning multiple layers of features from tiny images. University of Toronto, 2009.

    Examples
    --------
    >>> from skrobust.datasets import fetch_cifar10
    >>> data = fetch_cifar10("cifar10.npz")  # doctest: +SKIP
    >>> data.X_train.shape[1:]  # doctest: +SKIP
    (3, 32, 32)
    """
    names = list(CIFAR10_CLASSES)
    if path is None:
        return _from_openml("CIFAR_10", 50_000, (3, 32, 32), names, data_home)
    arrays = _arrays(path, [f"{name}_{part}" for part in PARTS for name in ("jpeg", "offsets", "y")], {})
    decode = _jpeg_decoder()
    with _explained(path):
        images = {part: _decoded(decode, arrays[f"jpeg_{part}"], arrays[f"offsets_{part}"]) for part in PARTS}
    return _local_bunch(path, images, {part: arrays[f"y_{part}"] for part in PARTS}, names)


def _from_openml(name, n_train, image_shape, target_names, data_home):
    table = fetch_openml(name, version=1, data_home=data_home, as_frame=False)
    images = table.data.astype(np.uint8).reshape(-1, *image_shape)
    slices = {"train": slice(None, n_train), "test": slice(n_train, None)}
    y = np.asarray(table.target)
    return _bunch(
        {part: images[rows] for part, rows in slices.items()},
        {part: y[rows] for part, rows in slices.items()},
        target_names,
    )


def _arrays(path, names, other_names):
    """Return arrays of an npz file by name; `other_names` maps some of them to what they are also called."""
    with _explained(path), np.load(path, allow_pickle=False) as archive:
        stored = {name: archive.get(name, archive.get(other_names.get(name))) for name in names}
        present = sorted(archive.files)
    missing = sorted(name for name, array in stored.items() if array is None)
    if missing:
        raise ValueError(
            f"path={str(path)!r} has no {', '.join(missing)} but {present}: give an npz file with the arrays "
            f"{', '.join(names)}."
        )
    return stored


@contextlib.contextmanager
def _explained(path):
    """Within this context, whatever a damaged file makes its readers raise is a ValueError that says so."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # zipfile, zlib, numpy and Pillow have some twenty ways to stumble
        raise ValueError(
            f"path={str(path)!r} is no npz file of images, or is damaged ({type(error).__name__}): get it anew."
        ) from error


def _local_bunch(path, images, y, target_names):
    """Return images and labels of a local file; the labels are checked."""
    for part in PARTS:
        _check_labels(path, part, y[part], len(images[part]), len(target_names))
    return _bunch(images, y, target_names)


def _check_images(path, part, images):
    if images.ndim != 3 or images.dtype.kind not in "uif" or not _is_in_range(images):
        raise ValueError(
            f"path={str(path)!r} has X_{part} of shape {images.shape} and type {images.dtype}, which are no images: "
            "store 8-bit integers, or floating point numbers in [0, 1], of shape (n, height, width)."
        )


def _check_labels(path, part, y, n_images, n_classes):
    is_label = y.dtype.kind in "uif" and bool(np.isin(y, np.arange(n_classes)).all())
    if y.size != n_images or not is_label:
        raise ValueError(
            f"path={str(path)!r} has y_{part} of shape {y.shape} and type {y.dtype} for {n_images} images: store one "
            f"label from 0 to {n_classes - 1} for each."
        )


def _is_in_range(images):
    brightest = 1 if images.dtype.kind == "f" else BRIGHTEST
    return not images.size or bool(images.min() >= 0 and images.max() <= brightest)


def _bunch(images, y, target_names):
    data = {f"X_{part}": unit_range(images[part]) for part in PARTS}
    data |= {f"y_{part}": y[part].ravel().astype(np.int64) for part in PARTS}
    return Bunch(**data, target_names=target_names)


def _jpeg_decoder():
    """Return a function from the bytes of a JPEG image to its pixels, an array of shape (height, width, 3)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("path has images as JPEG bytes, which need Pillow: pip install pillow.") from error

    def decode(stream):
        # Of the many formats that Pillow would try on the bytes of others, only the one that they should have.
        return np.asarray(Image.open(io.BytesIO(stream), formats=["JPEG"]).convert("RGB"))

    return decode


def _decoded(decode, jpeg, offsets):
    """Return images of shape (n, 3, height, width), uint8, from their bytes as JPEG."""
    pairs = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    images = [decode(jpeg[i:j].tobytes()) for i, j in pairs]
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))
