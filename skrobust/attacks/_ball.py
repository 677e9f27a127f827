"""What may be reached from rows under attack, as tensors that gradients are taken of.

Rows live in coordinates Z in which the row is the origin and the units of the threat model are 1, so that features of
any scale are moved alike, and none is rounded away.
"""

import dataclasses

import numpy as np
import torch

from skrobust.attacks import _norms
from skrobust.attacks._surface import Surface, margins


@dataclasses.dataclass
class Ball:
    """What may be reached from some rows, as tensors.

    Parameters
    ----------
    surface : Surface
    index : ndarray of shape (m,), int
        Rows of the pursuit.
    center : Tensor of shape (m, n_features)
        The rows.
    scale : Tensor of shape (n_features,)
        Units of the features.
    low, high : Tensor of shape (m, n_features)
        Ends of the coordinates.
    radius : Tensor of shape (m, 1)
    codes : Tensor of shape (m,)
    norm : class
        Of _norms.
    targets : Tensor of shape (m,) or None
    """

    surface: Surface
    index: np.ndarray
    center: torch.Tensor
    scale: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    radius: torch.Tensor
    codes: torch.Tensor
    norm: type
    targets: torch.Tensor | None = None

    @classmethod
    def around(cls, pursuit, index, radius):
        """Return the balls of that radius, or of these radii, around rows of a pursuit."""
        surface = pursuit.surface
        radii = np.full((len(index), 1), radius) if np.ndim(radius) == 0 else radius[:, np.newaxis]
        budget = pursuit.budget.take(index).at(np.max(radius, initial=0.0))
        scale = np.where(budget.scale > 0, budget.scale, 1.0)
        rows = budget.rows.astype(np.float64)
        low, high = ((end - rows) / scale for end in budget.box())
        low, high = np.maximum(low, -radii), np.minimum(high, radii)
        tensors = [torch.tensor(part, dtype=torch.float64, device=surface.device) for part in (rows, scale, low, high)]
        codes = torch.tensor(pursuit.codes[index], device=surface.device)
        radii = torch.tensor(radii, dtype=torch.float64, device=surface.device)
        return cls(surface, index, *tensors, radii, codes, _norms.BY_NAME[budget.norm])

    def take(self, keep):
        """Return the ball around some of the rows."""
        keep_array = keep.cpu().numpy()
        parts = {name: getattr(self, name)[keep] for name in ("center", "low", "high", "radius", "codes")}
        targets = None if self.targets is None else self.targets[keep]
        return dataclasses.replace(self, index=self.index[keep_array], targets=targets, **parts)

    def rows(self, Z):
        """Return the rows at coordinates, as an array."""
        return (self.center + self.scale * Z).cpu().numpy()

    def project(self, Z):
        """Return coordinates brought into the ball and between the ends."""
        # The origin lies between the ends, so that drawing towards it does not leave them.
        inside = torch.clamp(Z, self.low, self.high)
        return inside if self.norm is _norms.Linf else self.norm.project(inside, self.radius)

    def steepest(self, Z, gradient):
        """Return the steepest ascent of length 1 that does not leave by the ends."""
        if self.norm is not _norms.Linf:
            is_stuck = ((gradient > 0) & (self.high <= Z)) | ((gradient < 0) & (self.low >= Z))
            gradient = gradient.masked_fill(is_stuck, 0.0)
        return self.norm.direction(gradient)

    def random(self, generator):
        """Return random coordinates of the ball."""
        noise = self.norm.noise(self.center.shape, generator, self.center.device)
        return self.project(self.radius * noise)

    def logits(self, Z):
        """Return the logits at coordinates, without gradients."""
        with torch.no_grad():
            parts = self.surface.batches(*Z.shape)
            return torch.cat([self.surface.logits(self.center[p] + self.scale * Z[p]) for p in parts])

    def climb(self, Z, loss):
        """Return values of the loss, margins, and gradients of the loss."""
        parts = [self._climb(Z, part, loss) for part in self.surface.batches(*Z.shape)]
        return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))

    def _climb(self, Z, part, loss):
        point = Z[part].detach().requires_grad_()
        logits = self.surface.logits(torch.addcmul(self.center[part], self.scale, point))
        value = loss(logits, self.codes[part], None if self.targets is None else self.targets[part])
        gradient = _gradient(value, point)
        return value.detach(), margins(logits.detach(), self.codes[part]), gradient


def _gradient(value, point):
    """Return the gradient; 0 where there is none, as through a step that is detached, or where it is not finite."""
    if not value.requires_grad:
        return torch.zeros_like(point)
    (gradient,) = torch.autograd.grad(value.sum(), point, allow_unused=True)
    return torch.zeros_like(point) if gradient is None else torch.nan_to_num(gradient, 0.0, 0.0, 0.0)
