"""Converters of steps whose values are discrete."""

from sklearn.preprocessing import Binarizer

from skrobust.torchify._registry import builtin
from skrobust.torchify._straight_through import StraightThrough


class Threshold(StraightThrough):
    """1 above the threshold, else 0."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def values(self, X):
        """Return zeros and ones."""
        return (X > self.threshold).to(X.dtype)

    def slope(self, X):
        """Return the rows themselves."""
        return X


@builtin(Binarizer)
def convert_binarizer(fitted):
    """Return the comparison with the threshold."""
    return Threshold(fitted.threshold)
