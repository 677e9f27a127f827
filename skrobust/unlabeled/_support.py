"""What samplers know of the data as a whole."""

import dataclasses
import functools
import math

import numpy as np
import torch


@dataclasses.dataclass(frozen=True)
class Support:
    """What is known of the support of the data, on the training device.

    Parameters
    ----------
    data_scale : float
        D, the root of the expected squared distance of two training rows.
    unit : float or Tensor of shape (n_features,)
        Unit of the noise in each feature, such that noise of radius r has the standard deviation ``r * unit``:
        D / sqrt(n_features), or sqrt(2) times the standard deviation of each feature.
    low, high : Tensor of shape (n_features,)
        Smallest and largest value of each feature.
    n_constant : int, default=0
        Number of features that get no noise, since they have a unit each, which is 0.
    """

    data_scale: float
    unit: float | torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    n_constant: int = 0

    @classmethod
    def from_moments(cls, moments, *, noise_units, dtype, device):
        """Return the support that belongs to :class:`skrobust.data.Moments`.

        Parameters
        ----------
        moments : Moments
        noise_units : {"global", "std"}
            One unit for all features, or each feature's own standard deviation.
        dtype : torch.dtype
        device : torch.device
        """

        def tensor(values):
            return torch.as_tensor(values, dtype=dtype, device=device)

        is_global = noise_units == "global"
        unit = moments.data_scale / math.sqrt(len(moments.mean)) if is_global else tensor(moments.std * 2**0.5)
        n_constant = 0 if is_global else int(np.count_nonzero(moments.std == 0))
        return cls(moments.data_scale, unit, tensor(moments.low), tensor(moments.high), n_constant)

    @property
    def n_moving(self):
        """Number of features that get noise."""
        return len(self.low) - self.n_constant

    def squared_norm(self, displacement):
        """Return squared lengths in noise units: Tensor of shape (..., n_features) to Tensor of shape (...)."""
        if isinstance(self._divisor, float):
            return torch.linalg.vector_norm(displacement, dim=-1).square() / self._divisor**2
        return torch.linalg.vector_norm(displacement / self._divisor, dim=-1).square()

    @functools.cached_property
    def _divisor(self):
        # A constant feature gets no noise, so that any divisor serves it.
        if isinstance(self.unit, float):
            return self.unit or 1.0
        return torch.where(self.unit > 0, self.unit, 1.0)
