"""save and load: fitted classifiers in a file that holds no code."""

import json

import sklearn
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skrobust._persistence import SAVABLE
from skrobust._version import __version__
from skrobust.io._container import read_members, write_members
from skrobust.io._decode import Decoder
from skrobust.io._encode import Encoder
from skrobust.io._errors import ModelFileError
from skrobust.io._optional import needed

FORMAT = 1


def save(estimator, path):
    """Save a fitted classifier in a file that can be loaded without executing anything in it.

    The file is a zip archive without compression: ``model.json`` holds the parameters, ``arrays.safetensors`` the
    weights and other numbers, ``SHA256SUMS`` the checksums of both. It appears whole or not at all: if the process is
    killed or the disk is full, an older file of that name stays as it was. The optimizer is left out, and so are
    parameters that name folders: ``checkpoint_dir`` of the classifier, ``memory`` of Pipelines.

    Parameters
    ----------
    estimator : OffSupportRobustClassifier or Pipeline
        Fitted; a Pipeline ends in the classifier, behind transformers of scikit-learn: ColumnTransformer, FeatureUnion,
        SimpleImputer, MissingIndicator, PCA, TruncatedSVD, SelectKBest, SelectPercentile, VarianceThreshold, and all of
        ``sklearn.preprocessing`` but those for labels, splines, targets and kernels. A FunctionTransformer may apply a
        function of numpy such as ``numpy.log1p``.
    path : str or Path
        Of the file; its folder exists.

    Raises
    ------
    TypeError
        If something can only be kept as code, such as a callback, a class of your own, or another estimator.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    OSError
        If the file cannot be written.
    ImportError
        If safetensors is missing.

    See Also
    --------
    load : Load it again.

    Notes
    -----
    A module of the user's own is not in the file, only its ``state_dict``: :func:`load` then needs its class. Of what
    else the module computes with, such as a buffer with ``persistent=False``, the file holds nothing. It holds what the
    network answers to four made-up rows (unless that is random), by which :func:`load` tells another network.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust import OffSupportRobustClassifier, io
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = make_pipeline(StandardScaler(), OffSupportRobustClassifier(max_epochs=5, random_state=0)).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     io.save(clf, pathlib.Path(folder, "iris.skrobust"))
    ...     loaded = io.load(pathlib.Path(folder, "iris.skrobust"))
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    safetensors = needed("safetensors.numpy", "save", "io")
    check_is_fitted(_classifier_of(estimator))
    encoder = Encoder()
    content = {
        "format": FORMAT,
        "skrobust": __version__,
        "scikit-learn": sklearn.__version__,
        "estimator": encoder.encode(estimator),
    }
    description = json.dumps(content, allow_nan=False, ensure_ascii=True).encode()
    write_members(path, description, safetensors.save(encoder.arrays))


def load(path, *, module=None):
    """Load what :func:`save` wrote. Nothing in the file is executed, whoever wrote it.

    The loaded classifier predicts to the bit what the saved one predicted on the same machine and device. Its
    ``device`` is resolved anew; ``partial_fit`` starts a new optimizer, and says so.

    Parameters
    ----------
    path : str or Path
        Of the file.
    module : class, factory or torch.nn.Module, default=None
        What the classifier was given as ``module``, if that was not the name of a network of this package. Your code
        is executed, and nothing else.

    Returns
    -------
    estimator : OffSupportRobustClassifier or Pipeline

    Raises
    ------
    ModelFileError
        If the file is truncated or otherwise damaged, was written by something else or by a later version, asks for
        what is not allowed, or needs a module; or if the module has the weights that were saved, but answers otherwise.
    OSError
        If the file is missing or may not be read.
    ImportError
        If safetensors is missing.

    See Also
    --------
    save : Save a fitted classifier.

    Notes
    -----
    The checksums guard against accidents. They do not tell who wrote the file: a model from a stranger does no harm
    when it is loaded, but may predict what the stranger likes.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skrobust import OffSupportRobustClassifier, io
    >>> class Linear(torch.nn.Linear):
    ...     def __init__(self, n_features, n_classes):
    ...         super().__init__(n_features, n_classes)
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = OffSupportRobustClassifier(Linear, max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     io.save(clf, pathlib.Path(folder, "iris.skrobust"))
    ...     loaded = io.load(pathlib.Path(folder, "iris.skrobust"), module=Linear)
    >>> bool((loaded.predict(X) == clf.predict(X)).all())
    True
    """
    safetensors = needed("safetensors.numpy", "load", "io")
    with open(path, "rb") as file:
        try:
            description, arrays = read_members(file)
            content = json.loads(description, parse_constant=_refuse_constant)
            _check_format(content)
            decoder = Decoder(safetensors.load(arrays), module)
            estimator = decoder.decode(content["estimator"])
            _classifier_of(estimator)
            if decoder.unused:
                raise ValueError("it has arrays that nothing uses")
        except (Warning, ModelFileError):
            raise  # where warnings are errors, they are not those of the file, nor is a module
        except Exception as error:  # a file of unknown origin can go wrong in any way
            raise ModelFileError(
                f"path={str(path)!r} cannot be loaded, since {_reason(error)}: use a file as skrobust.io.save wrote it."
            ) from error
    return estimator


def _classifier_of(estimator):
    """Return the classifier in what is to be saved, or was loaded.

    Raises
    ------
    TypeError
        If there is none.
    """
    last = estimator
    while type(last) is Pipeline:
        last = last.steps[-1][1]
    if type(last) not in SAVABLE:
        names = " or ".join(known.__name__ for known in SAVABLE)
        raise TypeError(
            f"estimator is of type {type(estimator).__name__} and ends in {type(last).__name__}, but only {names} and "
            "Pipelines that end in it can be kept without code: use pickle among people you trust."
        )
    return last


def _check_format(content):
    if content["format"] > FORMAT:
        version = content["skrobust"]
        raise ValueError(
            f"it has format {content['format']} of skrobust {version}, and skrobust {__version__} reads up to {FORMAT}"
        )


def _refuse_constant(name):
    raise ValueError(f"it has the number {name}")


def _reason(error):
    """Return the first line of an error, as a part of a sentence."""
    text = next(iter(str(error).strip().splitlines()), "")[:300].rstrip(".")
    return text if type(error) is ValueError and text else f"{type(error).__name__}: {text}"
