"""The norms of attacks, which training shares (see :mod:`skrobust._norms`)."""

from skrobust._norms import BY_NAME, L1, L2, Linf

__all__ = ["BY_NAME", "L1", "L2", "Linf"]
