"""What goes wrong with files, in one sentence each."""


class ModelFileError(ValueError):
    """A file cannot be loaded: it is damaged, was written by something else, or asks for what is not allowed.

    Parameters
    ----------
    message : str

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skrobust import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.skrobust")
    ...     _ = path.write_bytes(b"something else")
    ...     try:
    ...         io.load(path)
    ...     except io.ModelFileError as error:
    ...         print("refused:", "File is not a zip file" in str(error))
    refused: True
    """

    def __init__(self, message):
        super().__init__(message)


class ExportError(ValueError):
    """A fitted estimator cannot be exported, or the exported model does not answer as it does.

    Parameters
    ----------
    message : str

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from skrobust import OffSupportRobustClassifier, io
    >>> X, y = np.array([["a"], ["b"]] * 5), [0, 1] * 5
    >>> clf = make_pipeline(OneHotEncoder(sparse_output=False), OffSupportRobustClassifier(max_epochs=1)).fit(X, y)
    >>> try:
    ...     io.export_onnx(clf, "letters.onnx", X)
    ... except io.ExportError as error:
    ...     print("refused:", "holds text" in str(error))
    refused: True
    """

    def __init__(self, message):
        super().__init__(message)
