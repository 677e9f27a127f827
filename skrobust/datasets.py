"""Data sets: MNIST and CIFAR-10 as images, foreign images made to fit, and classes whose best boundary is known."""

import contextlib
import io
import warnings
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.datasets import fetch_openml
from sklearn.utils import Bunch, check_random_state
from torch.nn import functional

from skrobust._validation import full_image_shape
from skrobust.augment import grey

__all__ = ["adapt_images", "fetch_cifar10", "fetch_mnist", "make_spheres"]

PARTS = ("train", "test")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGES_AT_A_TIME = 1024
BRIGHTEST = 255


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
    data = {f"X_{part}": _unit_range(images[part]) for part in PARTS}
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


def _unit_range(images):
    """Return images as float32 in [0, 1], 8-bit integers divided by 255."""
    images = np.asarray(images)
    if images.dtype.kind in "iu":
        return images.astype(np.float32) / np.float32(BRIGHTEST)
    with np.errstate(over="ignore"):  # an infinity is out of range, which is checked where a range is wanted
        return images.astype(np.float32, copy=False)


def adapt_images(images, image_shape, *, normalize="range", reference=None, clip=True):
    """Return images of another data set in the shape that a classifier wants, to ask how sure it is of them.

    Colors become grey with the weights of ITU-R BT.601, grey becomes a color of three equal channels, and sizes change
    by bilinear interpolation, which averages where images shrink.

    Parameters
    ----------
    images : array-like of shape (n, height, width) or (n, channels, height, width)
        8-bit integers, floating point numbers in [0, 1], or booleans. Integers up to 1 are taken for nearly black
        images, with a warning.
    image_shape : tuple of int
        (height, width) or (channels, height, width) of the result.
    normalize : {"range", "standardize"}, default="range"
        "range" keeps black at 0 and white at 1; "standardize" gives each channel of all images together the mean and
        the standard deviation that it has in `reference`.
    reference : array-like of shape (m, *image_shape), default=None
        The classifier's own images, in [0, 1].
    clip : bool, default=True
        Whether to bring what "standardize" takes out of [0, 1] back to its ends, which moves mean and spread away from
        those of the reference again.

    Returns
    -------
    images : ndarray of shape (n, *image_shape), float32

    Raises
    ------
    ValueError
        If images or parameters are wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.datasets import adapt_images
    >>> colored = np.random.default_rng(0).random((5, 3, 32, 32))
    >>> adapt_images(colored, (28, 28)).shape
    (5, 28, 28)
    """
    target = _checked_shape(image_shape)
    tensor = _as_tensor(images, "images")
    parts = [_reshaped(part, target) for part in tensor.split(IMAGES_AT_A_TIME)]
    adapted = NORMALIZATIONS[_checked_normalization(normalize)](torch.cat(parts).clamp_(0.0, 1.0), target, reference)
    adapted = adapted.clamp_(0.0, 1.0) if clip else adapted
    return adapted.reshape(-1, *(int(side) for side in image_shape)).numpy()


def _checked_shape(image_shape):
    """Return (channels, height, width) for a shape with or without channels."""
    if not np.iterable(image_shape):
        raise ValueError(
            f"image_shape={image_shape!r} is not a shape of images: use (height, width) or (channels, height, width)."
        )
    return full_image_shape(image_shape)


def _as_tensor(images, parameter):
    """Return checked images as a Tensor of shape (n, channels, height, width), float32 in [0, 1]."""
    given = np.asarray(images)
    if given.dtype.kind not in "uifb":
        raise ValueError(f"{parameter} hold {given.dtype}, which are no pixels: give numbers in [0, 1].")
    images = _unit_range(given)
    if images.ndim not in (3, 4) or not images.size:
        raise ValueError(
            f"{parameter} of shape {images.shape} are no images: give shape (n, height, width) or "
            "(n, channels, height, width)."
        )
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"{parameter} have values from {low:.3g} to {high:.3g}: give floating point numbers in [0, 1] or 8-bit "
            "integers."
        )
    _warn_of_black(given, parameter)
    images = images[:, None] if images.ndim == 3 else images
    return torch.from_numpy(np.ascontiguousarray(images))


def _warn_of_black(images, parameter):
    """Warn of images that are 0 and 1, but not in a type that makes 1 white."""
    if images.dtype.kind in "iu" and images.max() == 1:
        warnings.warn(
            f"{parameter} are {images.dtype} from 0 to 1, which as 8-bit levels is all but black: give booleans or "
            f"floating point numbers if 1 is white, as in {parameter}.astype(float).",
            stacklevel=4,
        )


def _reshaped(images, target):
    """Return images with the channels and the size of a target shape."""
    channels, height, width = target
    given = images.shape[1]
    if channels != given:
        if channels not in (1, 3) or given not in (1, 3):
            raise ValueError(
                f"images with {given} channels cannot get {channels}: 1 and 3 can be converted into each other."
            )
        images = grey(images) if channels == 1 else images.expand(-1, 3, -1, -1)
    if images.shape[2:] == (height, width):
        return images
    return functional.interpolate(images, size=(height, width), mode="bilinear", antialias=True)


def _checked_normalization(normalize):
    if not isinstance(normalize, str) or normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize={normalize!r} is unknown: use one of {sorted(NORMALIZATIONS)}.")
    return normalize


def _kept(images, target, reference):
    """Return the images as they are."""
    return images


def _standardized(images, target, reference):
    """Return the images with the mean and spread of each channel of the reference."""
    if reference is None:
        raise ValueError("reference=None, but normalize='standardize' needs the classifier's own images: give some.")
    reference = _as_tensor(reference, "reference")
    if tuple(reference.shape[1:]) != target:
        raise ValueError(
            f"reference has images of shape {tuple(reference.shape[1:])}, but image_shape asks for {target}: give the "
            "same shape."
        )
    (mean, std), (own_mean, own_std) = _moments(reference), _moments(images)
    scale = std / torch.where(own_std > 0, own_std, 1.0)  # images of one value have no spread to change
    return ((images - own_mean) * scale + mean).to(images.dtype)


def _moments(images):
    # In double precision, in which the sums over millions of pixels keep their digits.
    precise = images.double()
    return precise.mean(dim=(0, 2, 3), keepdim=True), precise.std(dim=(0, 2, 3), correction=0, keepdim=True)


NORMALIZATIONS = {"range": _kept, "standardize": _standardized}


def make_spheres(n_samples=1000, n_features=2, *, factor=1.3, random_state=None):
    """Make two classes on concentric spheres, whose best boundary is known in any dimension.

    Class 0 lies on the unit sphere, class 1 on a sphere of the radius `factor`. The boundary farthest from both is the
    sphere halfway between them, at the distance (factor - 1) / 2 from every row.

    Parameters
    ----------
    n_samples : int, default=1000
        Half of them, rounded down, are in class 1.
    n_features : int, default=2
    factor : float, default=1.3
        Radius of the outer sphere, above 1.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        0 or 1, in random order.

    Raises
    ------
    ValueError
        If `factor` is not above 1, or a count is none.

    References
    ----------
    J. Gilmer, L. Metz, F. Faghri, S. S. Schoenholz, M. Raghu, M. Wattenberg, I. Goodfellow: Adversarial Spheres.
    ICLR 2018 workshop, arXiv:1801.02774.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.datasets import make_spheres
    >>> X, y = make_spheres(6, n_features=500, random_state=0)
    >>> np.linalg.norm(X[y == 1], axis=1).round(3)
    array([1.3, 1.3, 1.3])
    """
    if not isinstance(factor, Real) or not 1 < factor < np.inf:
        raise ValueError(f"factor={factor!r} must be above 1: the inner sphere has the radius 1.")
    for name, count, least in (("n_samples", n_samples, 0), ("n_features", n_features, 1)):
        if not isinstance(count, Integral) or isinstance(count, bool) or count < least:
            raise ValueError(f"{name}={count!r} must be a whole number, {least} or more.")
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % 2)
    direction = rng.normal(size=(n_samples, n_features))
    radius = np.where(y == 1, factor, 1.0)
    return direction * (radius / np.linalg.norm(direction, axis=1))[:, None], y
