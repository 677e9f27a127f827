"""What distinguishes the norms in a search along gradients: direction, projection, random start."""

import math

import torch


class Linf:
    """Largest change of a feature."""

    dual = 1.0

    @staticmethod
    def length(Z):
        """Return the norms of rows, a tensor of shape (n, 1)."""
        return Z.abs().amax(dim=1, keepdim=True)

    @staticmethod
    def direction(gradient):
        """Return the steepest ascent of length 1."""
        return gradient.sign()

    @staticmethod
    def project(Z, radius):
        """Return rows brought into the ball."""
        return torch.minimum(torch.maximum(Z, -radius), radius)

    @staticmethod
    def noise(shape, generator, device, dtype=torch.float64):
        """Return random rows within the ball of radius 1."""
        return 2 * torch.rand(shape, generator=generator, device=generator.device, dtype=dtype).to(device) - 1


class L2:
    """Euclidean length."""

    dual = 2.0

    @staticmethod
    def length(Z):
        """Return the norms of rows, a tensor of shape (n, 1)."""
        return Z.norm(dim=1, keepdim=True)

    @staticmethod
    def direction(gradient):
        """Return the steepest ascent of length 1."""
        return gradient / _positive(L2.length(gradient))

    @staticmethod
    def project(Z, radius):
        """Return rows brought into the ball."""
        return Z * (radius / _positive(L2.length(Z))).clamp_max(1.0)

    @staticmethod
    def noise(shape, generator, device, dtype=torch.float64):
        """Return random rows within the ball of radius 1."""
        noise = torch.randn(shape, generator=generator, device=generator.device, dtype=dtype)
        share = torch.rand(shape[0], 1, generator=generator, device=generator.device, dtype=dtype)
        return (share * L2.direction(noise)).to(device)


class L1:
    """Sum of absolute changes."""

    dual = math.inf

    @staticmethod
    def length(Z):
        """Return the norms of rows, a tensor of shape (n, 1)."""
        return Z.abs().sum(dim=1, keepdim=True)

    @staticmethod
    def direction(gradient):
        """Return the steepest ascent of length 1, along one feature."""
        steepest = gradient.abs().argmax(dim=1, keepdim=True)
        return torch.zeros_like(gradient).scatter(1, steepest, gradient.gather(1, steepest).sign())

    @staticmethod
    def project(Z, radius):
        """Return the nearest rows of the ball (Duchi et al., 2008)."""
        size = Z.abs()
        ordered = size.sort(dim=1, descending=True).values
        excess = (ordered.cumsum(dim=1) - radius) / torch.arange(1, Z.shape[1] + 1, device=Z.device)
        n_kept = (ordered > excess).sum(dim=1, keepdim=True).clamp_min(1)
        shrunk = (size - excess.gather(1, n_kept - 1)).clamp_min(0.0)
        return torch.where(size.sum(dim=1, keepdim=True) > radius, Z.sign() * shrunk, Z)

    @staticmethod
    def noise(shape, generator, device, dtype=torch.float64):
        """Return random rows within the ball of radius 1."""
        noise = torch.randn(shape, generator=generator, device=generator.device, dtype=dtype)
        share = torch.rand(shape[0], 1, generator=generator, device=generator.device, dtype=dtype)
        return (share * noise / L1.length(noise)).to(device)


def _positive(length):
    """Return lengths by which one can divide: rows of length 0 stay what they are."""
    return length.clamp_min(torch.finfo(length.dtype).tiny)


BY_NAME = {math.inf: Linf, 2.0: L2, 1.0: L1}
