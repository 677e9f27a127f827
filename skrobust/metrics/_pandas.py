"""pandas, which is needed only for tables."""


def import_pandas(caller):
    """Return the module pandas.

    Parameters
    ----------
    caller : str
        Name of the function that needs it, for the message.

    Returns
    -------
    pandas : module

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"{caller} returns DataFrames, but pandas is not installed: install it.") from error
    return pandas
