"""Packages that only some need."""

import importlib


def needed(module, function, extra):
    """Return an imported module.

    Raises
    ------
    ImportError
        If its package is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"skrobust.io.{function} needs {package}, which is not installed: pip install 'skrobust[{extra}]'."
        ) from error
