"""What distinguishes the norms in an attack that follows gradients: direction, projection, random start."""

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
    def noise(shape, generator, device):
        """Return random rows within the ball of radius 1."""
        return 2 * torch.rand(shape, generator=generator, dtype=torch.float64).to(device) - 1


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
        return gradient / L2.length(gradient).clamp_min(1e-300)

    @staticmethod
    def project(Z, radius):
        """Return rows brought into the ball."""
        return Z * (radius / L2.length(Z).clamp_min(1e-300)).clamp_max(1.0)

    @staticmethod
    def noise(shape, generator, device):
        """Return random rows within the ball of radius 1."""
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        share = torch.rand(shape[0], 1, generator=generator, dtype=torch.float64)
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
    def noise(shape, generator, device):
        """Return random rows within the ball of radius 1."""
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        share = torch.rand(shape[0], 1, generator=generator, dtype=torch.float64)
        return (share * noise / L1.length(noise)).to(device)


BY_NAME = {math.inf: Linf, 2.0: L2, 1.0: L1}
