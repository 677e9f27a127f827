"""The one error about files."""


class ModelFileError(ValueError):
    """A file cannot be loaded: it is damaged, was written by something else, or asks for what is not allowed.

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
