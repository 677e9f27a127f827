"""Which penalty a parameter names, and the anchors that it acts at."""

import torch

from skrobust.penalties._base import ALL, Penalty
from skrobust.penalties._gradients import Curvature, InputGradient, Jacobian
from skrobust.penalties._outputs import UniformConfidence, VirtualAdversarial
from skrobust.penalties._smoothness import Smoothness, Stability

PENALTIES = {
    "smoothness": Smoothness,
    "jacobian": Jacobian,
    "input_gradient": InputGradient,
    "curvature": Curvature,
    "virtual_adversarial": VirtualAdversarial,
    "stability": Stability,
    "uniform_confidence": UniformConfidence,
}


class _Function(Penalty):
    """Penalty whose value is a function of the user."""

    def __init__(self, function, anchors=ALL):
        self.function = function
        self.anchors = anchors

    def value(self, points, logits, neighborhood):
        """Return what the function says, after a check that it is one number."""
        value = self.function(points, logits, neighborhood)
        if not isinstance(value, torch.Tensor) or value.ndim:
            kind = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"{value!r}"
            raise ValueError(
                f"penalty={self.function!r} returned {kind}: it must return a tensor of shape (), made from the logits."
            )
        return value


def resolve_penalty(penalty):
    """Return the penalty that the parameter ``penalty`` of the estimator names.

    Parameters
    ----------
    penalty : str, penalty object, function or None
        A name from the table at the head of :mod:`skrobust.penalties`; an object with the methods ``points`` and
        ``value``; or a function of the anchors, the logits there and a :class:`Neighborhood` that returns a scalar.

    Returns
    -------
    penalty : object with methods ``points`` and ``value``, or None

    Raises
    ------
    ValueError
        If the name is unknown, a method is missing, or a parameter of the penalty is wrong.

    Examples
    --------
    >>> from skrobust.penalties import resolve_penalty
    >>> resolve_penalty("smoothness")
    Smoothness()
    """
    if isinstance(penalty, str) and penalty in PENALTIES:
        return PENALTIES[penalty]()
    has_methods = all(callable(getattr(penalty, name, None)) for name in ("points", "value"))
    if penalty is None or (has_methods and not isinstance(penalty, type)):
        return _checked(penalty)
    if callable(penalty) and not isinstance(penalty, type):
        return _Function(penalty)
    raise ValueError(
        f"penalty={penalty!r} is not a penalty: use one of {sorted(PENALTIES)}, None, or an object with methods "
        "points(anchors, neighborhood) and value(points, logits, neighborhood), or a function "
        "(anchors, logits, neighborhood) that returns a scalar."
    )


def _checked(penalty):
    """Return a penalty whose parameters are in order."""
    if not isinstance(penalty, Penalty):
        return penalty
    anchors = penalty.anchors
    if not (isinstance(anchors, (tuple, list)) and anchors and all(kind in ALL for kind in anchors)):
        raise ValueError(f"anchors={anchors!r} of {type(penalty).__name__} are unknown: use some of {ALL}.")
    refused = [kind for kind in anchors if kind not in penalty.usable]
    if refused:
        raise ValueError(
            f"anchors={anchors!r} of {type(penalty).__name__} have {refused[0]!r}, but {penalty.reason}: use only "
            f"{penalty.usable}."
        )
    if hasattr(penalty, "check"):
        penalty.check()
    return penalty
