"""Coordinates in which ART sees rows, and a classifier seen in them."""

import dataclasses

import numpy as np
import torch

from skrobust.attacks._surface import device_of

# Share of the width between bounds by which rows are moved inside.
ROOM = 0.003
# Width of a feature that has but one value: ART refuses a width of 0, and divides by a tenth of it.
THINNEST = np.float32(1e-3)


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """Coordinates of rows for ART, which computes in float32 and gives all features one scale.

    On data near 1e4 with an eps of 1e-3 the former would round away the attack.

    Parameters
    ----------
    center : ndarray of shape (n_features,)
        The origin.
    units : ndarray of shape (n_features,)
        Of each coordinate, in units of the feature.
    ends : tuple of ndarray or None
        Bounds of the coordinates.
    """

    center: np.ndarray
    units: np.ndarray
    ends: tuple | None

    @classmethod
    def around(cls, pursuit, index, eps):
        """Return the frame in which eps is 1 or, without an eps, bounds or data are about 1 wide."""
        budget = pursuit.budget.take(index)
        scale = np.where(budget.scale > 0, budget.scale, 1.0)
        rows = budget.rows.astype(np.float64)
        least, most = rows.min(axis=0), rows.max(axis=0)
        low, high = budget.low.min(axis=0), budget.high.max(axis=0)
        is_bounded = bool(np.isfinite(low).any() or np.isfinite(high).any())
        if eps is None:
            span = most - least
            low = np.where(np.isfinite(low), low, least - span)
            high = np.where(np.isfinite(high), high, most + span)
        width = ((high - low if is_bounded else most - least) / scale).max() if eps is None else eps
        frame = cls(least / 2 + most / 2, scale * (width if width > 0 else 1.0), None)
        if not is_bounded:
            return frame
        low, high = frame.coordinates(low), frame.coordinates(high)
        thinnest = np.maximum(low + THINNEST, np.nextafter(low, np.float32(np.inf)))
        return dataclasses.replace(frame, ends=(low, np.where(high > low, high, thinnest)))

    def inside(self, Z):
        """Return coordinates moved away from the bounds, if there are any."""
        if self.ends is None:
            return Z
        low, high = self.ends
        room = np.float32(ROOM) * (high - low)
        return Z.clip(low + room, high - room)

    def coordinates(self, rows):
        """Return rows of X, or bounds of features, in these coordinates, as ART wants them."""
        return ((rows - self.center) / self.units).astype(np.float32)

    def rows(self, Z, dtype):
        """Return the rows at coordinates."""
        return (self.center + self.units * np.asarray(Z, dtype=np.float64)).astype(dtype)


class InFrame(torch.nn.Module):
    """A module in the coordinates of a frame.

    Parameters
    ----------
    surface : Surface
    frame : Frame
    has_even_gradient : bool
        Whether gradients are brought to the size 1 in every row. The gradient of the cross-entropy of a confident
        network is too small for float32: it would vanish, and the network would seem robust. Attacks that need nothing
        but its direction are given that.
    """

    def __init__(self, surface, frame, has_even_gradient):
        super().__init__()
        self.surface, self.has_even_gradient = surface, has_even_gradient
        self.module = surface.module
        self.n_rows = 0
        for name in ("center", "units"):
            self.register_buffer(name, torch.tensor(getattr(frame, name), device=device_of(surface.module)))

    def forward(self, Z):
        """Return the logits at coordinates of shape (n, n_features)."""
        self.n_rows += len(Z)
        Z = _EvenGradient.apply(Z) if self.has_even_gradient else Z.double()
        return self.surface.logits(self.center + self.units * Z)


class _EvenGradient(torch.autograd.Function):
    """float64 values of float32 rows, and gradients brought to the size 1 in every row."""

    @staticmethod
    def forward(ctx, Z):
        return Z.double()

    @staticmethod
    def backward(ctx, gradient):
        size = gradient.abs().amax(dim=1, keepdim=True)
        return (gradient / size.where(size > 0, 1.0)).float()


class Asked:
    """The estimator as a function from coordinates to scores, or to one-hot answers.

    Parameters
    ----------
    original : Original
    frame : Frame
    has_scores : bool
    """

    def __init__(self, original, frame, has_scores):
        self.original, self.frame, self.has_scores = original, frame, has_scores
        self.n_rows = 0

    def __call__(self, Z):
        self.n_rows += len(Z)
        rows = self.frame.rows(Z, self.original.rows.dtype)
        if self.has_scores:
            return self.original._scores(self.original.restored(rows)).astype(np.float32)
        codes = self.original.codes(self.original.predict(rows))
        return np.eye(len(self.original.classes), dtype=np.float32)[codes]
