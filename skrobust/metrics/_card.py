"""What another person needs to judge the figures of a robustness report."""

import importlib.metadata
import platform
from numbers import Real

import numpy as np

PACKAGES = ("skrobust", "scikit-learn", "torch", "numpy", "adversarial-robustness-toolbox")


def card_of(report):
    """Return the card of a report, a dict that JSON can hold.

    Parameters
    ----------
    report : RobustnessReport

    Returns
    -------
    card : dict
    """
    return {
        "threat_model": repr(report.threat_model),
        "n": len(report.per_row),
        "route": report.route,
        "is_upper_bound": report.is_upper_bound,
        "is_exact": report.is_exact,
        "flags": report.flags,
        "summary": _plain(report.summary.reset_index().to_dict("records")),
        "per_class": _plain(report.per_class.reset_index().to_dict("records")),
        "settings": _plain(report.settings),
        "seconds": round(report.seconds, 3),
        "n_queries": report.n_queries,
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _plain(value):
    """Return what JSON can hold: numbers of Python, None for NaN, words for infinities and for what else there is."""
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else str(value)
    return value if value is None or isinstance(value, str | Real) else str(value)


def _versions():
    installed = {package: _version(package) for package in PACKAGES}
    return {package: version for package, version in installed.items() if version}


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
