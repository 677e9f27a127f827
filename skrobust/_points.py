"""Checks of what samplers and adversaries of the user return."""

import torch


def check_points(points, rows, sampler, *, parameter):
    """Raise a ValueError if a sampler does not keep its promise: one finite point for each row."""
    check_shape(points, rows, sampler, parameter=parameter, method="sample")
    if not bool(points.isfinite().all()):
        raise ValueError(f"{parameter}={sampler!r} returned points that are not finite: mend its method sample.")


def check_shape(points, rows, maker, *, parameter, method):
    """Raise a ValueError if an object of the user did not make one point for each row."""
    shape = tuple(points.shape) if isinstance(points, torch.Tensor) else type(points).__name__
    if shape != tuple(rows.shape):
        raise ValueError(
            f"{parameter}={maker!r} returned {shape} for rows of shape {tuple(rows.shape)}: its method {method} must "
            "return a tensor with one point for each row."
        )
