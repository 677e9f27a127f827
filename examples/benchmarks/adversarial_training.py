"""Rival trainings in plain torch: Gaussian augmentation, FGSM with random start, PGD-7.

They use the optimizer, schedule and batch size that OffSupportRobustClassifier has by default.
"""

import torch
from torch.nn import functional

from skrobust import OffSupportRobustClassifier
from skrobust._schedules import one_cycle
from skrobust.modules import LeNet

DEFAULTS = OffSupportRobustClassifier()


def train(loss, X, y, *, n_epochs, seed):
    """Train a LeNet; `loss` maps network, images, labels and a generator to a scalar."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = LeNet((1, 28, 28), 10)
    optimizer = torch.optim.AdamW(network.parameters(), lr=DEFAULTS.lr, weight_decay=DEFAULTS.weight_decay, fused=True)
    n_batches = -(-len(X) // DEFAULTS.batch_size)
    for step in range(n_epochs * n_batches):
        if step % n_batches == 0:
            batches = torch.randperm(len(X), generator=generator).tensor_split(n_batches)
        index = batches[step % n_batches]
        optimizer.param_groups[0]["lr"] = DEFAULTS.lr * one_cycle((step + 0.5) / (n_epochs * n_batches))
        optimizer.zero_grad()
        loss(network, X[index], y[index], generator).backward()
        optimizer.step()
    return network.eval()


def gaussian_augmentation(deviation):
    """Cross-entropy of the images and of one noisy copy of each."""

    def loss(network, X, y, generator):
        noisy = X + deviation * torch.randn(X.shape, generator=generator)
        return functional.cross_entropy(network(torch.cat([X, noisy])), y.repeat(2))

    return loss


def adversarial(eps, n_steps, step_size):
    """Cross-entropy of adversarial images alone (Madry et al., 2018; with one step: Wong et al., 2020)."""

    def loss(network, X, y, generator):
        return functional.cross_entropy(network(_perturbed(network, X, y, eps, n_steps, step_size, generator)), y)

    return loss


def _perturbed(network, X, y, eps, n_steps, step_size, generator):
    """Return images after gradient steps; the parameters are frozen meanwhile, which saves their gradients."""
    network.requires_grad_(False)
    low, high = (X - eps).clamp_min(0), (X + eps).clamp_max(1)
    points = torch.lerp(low, high, torch.rand(X.shape, generator=generator))
    for _ in range(n_steps):
        points.requires_grad_(True)
        (gradient,) = torch.autograd.grad(functional.cross_entropy(network(points), y), points)
        points = torch.clamp(points.detach() + step_size * gradient.sign(), low, high)
    network.requires_grad_(True)
    return points
