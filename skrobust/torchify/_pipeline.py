"""Converters of what holds other estimators."""

from sklearn.pipeline import Pipeline
from torch import nn

from skrobust.torchify._registry import NotConvertibleError, convert, register


@register(Pipeline)
def convert_pipeline(fitted):
    """Return the steps as modules, one after the other; passthrough steps are left out."""
    return nn.Sequential(*[_convert_step(name, step) for name, step in fitted.steps if not _passes_through(step)])


def _passes_through(step):
    return step is None or (isinstance(step, str) and step == "passthrough")


def _convert_step(name, step):
    try:
        return convert(step)
    except NotConvertibleError as error:
        raise error.inside(name) from None
