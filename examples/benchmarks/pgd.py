"""Projected gradient descent in plain torch, independent of the package, for the benchmarks."""

import torch
from torch.nn import functional


def cross_entropy(logits, y):
    return functional.cross_entropy(logits, y, reduction="none")


def margin(logits, y):
    """Best other logit less that of the class; rises without bound, so that saturated softmax outputs hide nothing."""
    own = logits.gather(1, y[:, None])[:, 0]
    return logits.scatter(1, y[:, None], -torch.inf).amax(dim=1) - own


def dlr(logits, y):
    """Difference of logits ratio (Croce and Hein, 2020); undefined for two classes."""
    ordered = logits.sort(dim=1).values
    return margin(logits, y) / (ordered[:, -1] - ordered[:, -3] + 1e-12)


def project(step, eps, norm):
    if norm == torch.inf:
        return step.clamp(-eps, eps)
    length = step.flatten(1).norm(dim=1).clamp_min(1e-12)
    return step * (eps / length).clamp_max(1.0).view(-1, *[1] * (step.ndim - 1))


def direction(gradient, norm):
    if norm == torch.inf:
        return gradient.sign()
    length = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
    return gradient / length.view(-1, *[1] * (gradient.ndim - 1))


def random_start(X, eps, norm, generator):
    if norm == torch.inf:
        return (2 * torch.rand(X.shape, generator=generator, dtype=X.dtype) - 1) * eps
    noise = torch.randn(X.shape, generator=generator, dtype=X.dtype)
    share = torch.rand(len(X), generator=generator, dtype=X.dtype).view(-1, *[1] * (X.ndim - 1))
    return direction(noise, norm) * eps * share


def resists(network, X, y, *, eps, norm=torch.inf, loss=cross_entropy, bounds=None, n_steps=20, generator=None):
    """Return for each row whether every point that PGD visits, in steps of eps / 8, still gets its class."""
    low, high = (-torch.inf, torch.inf) if bounds is None else bounds
    points = (X + random_start(X, eps, norm, generator)).clamp(low, high)
    standing = torch.ones(len(X), dtype=torch.bool)
    for _ in range(n_steps):
        points.requires_grad_(True)
        logits = network(points)
        (gradient,) = torch.autograd.grad(loss(logits, y).sum(), points)
        with torch.no_grad():
            standing &= logits.argmax(dim=1) == y
            moved = points + eps / 8 * direction(gradient, norm)
            points = (X + project(moved - X, eps, norm)).clamp(low, high)
    with torch.no_grad():
        return standing & (network(points).argmax(dim=1) == y)


def worst_case(network, X, y, losses, **options):
    """Return for each row whether it resists PGD on every one of the losses; each attacks only rows still standing."""
    with torch.no_grad():
        standing = network(X).argmax(dim=1) == y
    for loss in losses:
        rows = standing.nonzero()[:, 0]
        if len(rows):
            standing[rows] &= resists(network, X[rows], y[rows], loss=loss, **options)
    return standing
