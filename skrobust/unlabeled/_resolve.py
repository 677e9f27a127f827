"""From a parameter of the estimator to a sampler."""

import numpy as np

from skrobust.unlabeled._generator import FromGenerator, signature_of
from skrobust.unlabeled._samplers import Extrapolation, Gaussian, Uniform

SAMPLERS = {"gaussian": Gaussian, "uniform": Uniform, "extrapolation": Extrapolation}


def resolve_sampler(sampler, *, parameter, also=(None,)):
    """Return the sampler that a parameter of the estimator names.

    Parameters
    ----------
    sampler : {"gaussian", "uniform", "extrapolation"}, sampler object, fitted generator or None
        A generator is told by its method ``sample``, which can be called with one number alone and not with the four
        arguments of a sampler; it becomes a :class:`FromGenerator`.
    parameter : str
        Name of the parameter, for the error message.
    also : tuple, default=(None,)
        What else the parameter takes; None, if it is among them, is returned as it is.

    Returns
    -------
    sampler : object with a method ``sample``, or None

    Raises
    ------
    ValueError
        If the name is unknown, the object has no method ``sample``, or these are rows.

    Examples
    --------
    >>> from skrobust.unlabeled import resolve_sampler
    >>> resolve_sampler("uniform", parameter="unlabeled")
    Uniform()
    """
    if sampler is None and None in also:
        return sampler
    if hasattr(sampler, "__array__") and np.ndim(sampler):  # a frame too, whose method sample draws rows
        raise ValueError(
            f"{parameter} is an array or frame of shape {tuple(np.shape(sampler))}, not a sampler: pass rows without "
            "labels as fit(X, y, X_unlabeled=...)."
        )
    if callable(getattr(sampler, "sample", None)) and not isinstance(sampler, type):
        return FromGenerator(sampler) if _takes_a_number_alone(sampler.sample) else sampler
    if isinstance(sampler, str) and sampler in SAMPLERS:
        return SAMPLERS[sampler]()
    raise ValueError(
        f"{parameter}={sampler!r} is not a sampler: use one of {[*sorted(SAMPLERS), *also]}, a fitted generator with a "
        "method sample(n), or an object with a method sample(X, support, radius, generator)."
    )


def _takes_a_number_alone(sample):
    """Return whether a method is that of a generator, sample(n), and cannot be that of a sampler."""
    signature = signature_of(sample)
    return signature is not None and _binds(signature, 1) and not _binds(signature, 4)


def _binds(signature, n_arguments):
    try:
        signature.bind(*range(n_arguments))
    except TypeError:
        return False
    return True
