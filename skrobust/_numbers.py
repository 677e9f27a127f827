"""What counts as a whole number, among parameters."""

from numbers import Integral


def is_whole(value, least=1):
    """Return whether a value is a whole number, not below a least one, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least
