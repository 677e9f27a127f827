"""The one inner maximizer: rows moved along gradients until a gain has grown."""

import dataclasses

import torch

from skrobust._norms import L2


@dataclasses.dataclass(frozen=True)
class Ball:
    """Rows, and how far they may move. Displacements are counted in units of `scale`.

    Parameters
    ----------
    X : Tensor of shape (n, n_features)
    norm : class of skrobust._norms
    scale : float or Tensor of shape (n_features,)
        Length of a displacement of 1, in the units of X.
    bounds : tuple of two tensors, default=None
        Smallest and largest values that moved rows may have.

    Examples
    --------
    >>> import torch
    >>> from skrobust._norms import Linf
    >>> from skrobust.adversary import Ball
    >>> Ball(torch.zeros(1, 2), Linf, scale=0.5).points(torch.tensor([[1.0, -1.0]]))
    tensor([[ 0.5000, -0.5000]])
    """

    X: torch.Tensor
    norm: type
    scale: float | torch.Tensor
    bounds: tuple | None = None

    def points(self, Z):
        """Return the rows moved by Z."""
        points = torch.add(self.X, Z * self.scale)
        return points if self.bounds is None else points.clamp(*self.bounds)

    def inside(self, Z):
        """Return displacements brought into the ball of radius 1, and within the bounds."""
        return self.possible(self.norm.project(Z, Z.new_ones(1)))

    def possible(self, Z):
        """Return displacements less what the bounds, or features that must not move, take of them."""
        if self.bounds is not None:
            return (self.points(Z) - self.X) * inverse(self.scale)
        return Z if isinstance(self.scale, float) else torch.where(self.scale > 0, Z, 0.0)

    def steepest(self, gradient):
        """Return the steepest ascent of length 1 for gradients with respect to the moved rows."""
        slope = gradient * self.scale
        largest = slope.abs().amax(dim=1, keepdim=True)
        # The gradient of a confident network may be so small that the square of its length would be 0.
        return self.norm.direction(slope / largest.clamp_min(torch.finfo(slope.dtype).tiny))


# What to train with where a network has no gradients with respect to its input.
GRADIENT_FREE = "penalty='smoothness' with neighbors='gaussian' and adversary=None, which need none"


def inverse(scale):
    """Return 1 / scale, and 0 for features that must not move."""
    if isinstance(scale, float):
        return 1 / scale if scale else 0.0
    return torch.where(scale > 0, 1 / scale, 0.0)


def ascend(gain, ball, Z, move, n_steps):
    """Move rows so that a gain grows: the inner maximizer of adversarial training and of worst-direction neighbors.

    Parameters
    ----------
    gain : callable
        Maps points, Tensor of shape (n, n_features), to a sum over them that is to grow.
    ball : Ball
    Z : Tensor of shape (n, n_features)
        Displacements to start from.
    move : callable
        Maps displacements and the steepest direction there to the next displacements.
    n_steps : int

    Returns
    -------
    Z : Tensor of shape (n, n_features)
        The last displacements.

    Examples
    --------
    >>> import torch
    >>> from skrobust._norms import Linf
    >>> from skrobust.adversary import Ball, ascend
    >>> ball = Ball(torch.zeros(1, 2), Linf, 0.5)
    >>> Z = ascend(lambda points: (points[:, 0] - points[:, 1]).sum(), ball, torch.zeros(1, 2), torch.add, 1)
    >>> ball.points(Z)
    tensor([[ 0.5000, -0.5000]])
    """
    for _ in range(n_steps):
        points = ball.points(Z).detach().requires_grad_()
        with torch.enable_grad():
            gradient = gradient_of(gain(points), points)
        Z = move(Z, ball.steepest(gradient))
    return Z


def gradient_of(values, points, **options):
    """Return the gradient of values with respect to points.

    Parameters
    ----------
    values : Tensor
    points : Tensor of shape (n, n_features)
    **options : dict
        Further arguments of :func:`torch.autograd.grad`.

    Raises
    ------
    ValueError
        If the values were not computed from the points, or not so that one can differentiate.
    """
    if values.requires_grad:
        (gradient,) = torch.autograd.grad(values, points, allow_unused=True, **options)
        if gradient is not None:
            return gradient
    raise ValueError(
        "module has logits without a gradient with respect to the points of a penalty or an adversary that follows "
        f"gradients: take torch.no_grad() and detach() out of its forward, or use {GRADIENT_FREE}."
    )


def worst_directions(gain, X, scale, generator, n_steps=1):
    """Return the directions in which a gain grows most at a distance from rows (power iteration).

    Parameters
    ----------
    gain : callable
        Maps points, Tensor of shape (n, n_features), to a sum over them.
    X : Tensor of shape (n, n_features)
    scale : float or Tensor of shape (n_features,)
        Distance from the rows: the same in every direction, or an ellipsoid's semi-axes.
    generator : torch.Generator
        For the first direction, which is random.
    n_steps : int, default=1
        Gradients to take.

    Returns
    -------
    Z : Tensor of shape (n, n_features)
        Displacements of length 1, in units of `scale`.

    Examples
    --------
    >>> import torch
    >>> from skrobust.adversary import worst_directions
    >>> worst_directions(lambda points: points[:, 0].square().sum(), torch.zeros(1, 2), 2.0, torch.Generator()).abs()
    tensor([[1., 0.]])
    """
    noise = torch.randn(X.shape, generator=generator, device=X.device, dtype=X.dtype)
    return ascend(gain, Ball(X, L2, scale), L2.direction(noise), _turned, n_steps)


def _turned(Z, direction):
    """Return the new directions, and the old ones where there is no gradient to tell."""
    return torch.where(direction.any(dim=1, keepdim=True), direction, Z)
