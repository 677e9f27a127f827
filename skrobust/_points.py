"""What samplers, adversaries and augmentations of the user make of rows, and whether they keep their promise."""

import torch


def made_of(rows, make, maker, *, parameter, method="sample"):
    """Return what an object makes of rows, of their type and on their device.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
    make : callable
        Maps rows to points.
    maker : object
        What does so.
    parameter : str
        By which the user gave it.
    method : str, default="sample"

    Returns
    -------
    points : Tensor of shape (n, ...)

    Raises
    ------
    ValueError
        If there is not one point for each row, or the rows have changed.
    """
    version = rows._version
    points = make(rows)
    check_shape(points, rows, maker, parameter=parameter, method=method)
    if rows._version != version:
        raise ValueError(
            f"{parameter}={maker!r} changed the rows that its method {method} was given, which are those of the "
            "batch: return new ones, such as X + noise in place of X.add_(noise)."
        )
    return points.to(rows)


def check_finite(points, maker, *, parameter, method="sample"):
    """Raise a ValueError if points are not finite."""
    if not bool(points.isfinite().all()):
        raise ValueError(f"{parameter}={maker!r} returned points that are not finite: mend its method {method}.")


def check_shape(points, rows, maker, *, parameter, method):
    """Raise a ValueError if an object of the user did not make one point for each row."""
    shape = tuple(points.shape) if isinstance(points, torch.Tensor) else type(points).__name__
    if shape != tuple(rows.shape):
        raise ValueError(
            f"{parameter}={maker!r} returned {shape} for rows of shape {tuple(rows.shape)}: its method {method} must "
            "return a tensor with one point for each row."
        )
