"""Attacks without the package, for bench_attacks.py: ART called directly, and DeepFool in plain torch.

Each takes a network that returns logits, which stays as it is, and tensors of rows in [0, 1] and of class indices. It
returns for each row whether it resists, or how far its adversarial row is (0 if misclassified, inf if none was found).

ART's AutoAttack needs the package `multiprocess`, which ART does not declare.
"""

import copy

import numpy as np
import torch
from art.attacks.evasion import AutoAttack, AutoProjectedGradientDescent, DeepFool, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier

N_STEPS = 20
STEPS_PER_EPS = 8
BATCH_SIZE = 1024
DEEPFOOL_BATCH = 250
DEEPFOOL_STEPS = 50
OVERSHOOT = 0.02


def art_classifier(network, X, n_classes):
    """Return ART's view of a copy of the network, with frozen parameters."""
    return PyTorchClassifier(
        copy.deepcopy(network).requires_grad_(False),
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=tuple(X.shape[1:]),
        nb_classes=n_classes,
        clip_values=(0.0, 1.0),
        preprocessing=None,
        device_type="cpu",
    )


def art_pgd(network, X, y, *, eps, norm, batch_size=BATCH_SIZE):
    """Twenty steps of eps / 8 from the rows themselves."""
    return _art_resists(
        network,
        X,
        y,
        lambda classifier: ProjectedGradientDescent(
            classifier,
            norm=norm,
            eps=eps,
            eps_step=eps / STEPS_PER_EPS,
            max_iter=N_STEPS,
            num_random_init=0,
            batch_size=batch_size,
            verbose=False,
        ),
    )


def art_apgd(network, X, y, *, eps, norm, max_iter=100):
    """Auto-PGD on cross-entropy from one random start."""
    return _art_resists(
        network,
        X,
        y,
        lambda classifier: AutoProjectedGradientDescent(
            classifier,
            norm=norm,
            eps=eps,
            eps_step=2 * eps,
            max_iter=max_iter,
            nb_random_init=1,
            batch_size=BATCH_SIZE,
            loss_type="cross_entropy",
            verbose=False,
        ),
    )


def art_autoattack(network, X, y, *, eps, norm):
    """ART's AutoAttack as it comes, but for the batch size."""

    def make_attack(classifier):
        attack = AutoAttack(classifier, norm=norm, eps=eps, eps_step=eps / STEPS_PER_EPS, batch_size=BATCH_SIZE)
        for part in attack.attacks:
            part.set_params(verbose=False)
        return attack

    return _art_resists(network, X, y, make_attack)


def _art_resists(network, X, y, make_attack):
    classifier = art_classifier(network, X, n_classes=int(y.max()) + 1)
    is_right = _answers(network, X) == y
    found = make_attack(classifier).generate(X.numpy(), y.numpy())
    return is_right & (_answers(network, torch.from_numpy(found)) == y)


def art_deepfool(network, X, y):
    """ART's DeepFool, which knows only L2, in large batches."""
    classifier = art_classifier(network, X, n_classes=int(y.max()) + 1)
    attack = DeepFool(classifier, max_iter=DEEPFOOL_STEPS, epsilon=OVERSHOOT, batch_size=DEEPFOOL_BATCH, verbose=False)
    found = torch.from_numpy(attack.generate(X.numpy(), y.numpy()))
    distance = (found - X).flatten(1).norm(dim=1)
    distance[_answers(network, found) == y] = torch.inf
    distance[_answers(network, X) != y] = 0
    return distance


def deepfool(network, X, y, *, norm):
    """DeepFool (Moosavi-Dezfooli et al., 2016), batched, between the bounds 0 and 1."""
    parts = [_deepfool(network, X[rows], y[rows], norm) for rows in torch.arange(len(X)).split(DEEPFOOL_BATCH)]
    return torch.cat(parts)


def _deepfool(network, X, y, norm):
    distance = torch.full((len(X),), torch.inf)
    active, points = torch.arange(len(X)), X
    for step in range(DEEPFOOL_STEPS + 1):
        logits, slopes = _logits_and_slopes(network, points)
        fooled = logits.argmax(dim=1) != y[active]
        reached = active[fooled]
        distance[reached] = (points[fooled] - X[reached]).flatten(1).norm(p=norm, dim=1)
        if step == DEEPFOOL_STEPS or fooled.all():
            return distance
        active, points, logits, slopes = active[~fooled], points[~fooled], logits[~fooled], slopes[~fooled]
        change = _to_nearest_plane(logits, slopes, y[active], norm).reshape(points.shape)
        points = (points + (1 + OVERSHOOT) * change).clamp(0, 1)


def _logits_and_slopes(network, points):
    """Return logits, shape (n, C), and the gradient of each, shape (n, C, d)."""
    points = points.detach().requires_grad_(True)
    logits = network(points)
    n_classes = logits.shape[1]
    slopes = [
        torch.autograd.grad(logits[:, k].sum(), points, retain_graph=k < n_classes - 1)[0] for k in range(n_classes)
    ]
    return logits.detach(), torch.stack(slopes, dim=1).flatten(2)


def _to_nearest_plane(logits, slopes, y, norm):
    """Return the shortest change to where another class's linearized logit equals that of the class."""
    each = torch.arange(len(y))
    gaps = logits - logits[each, y][:, None]
    normals = slopes - slopes[each, y][:, None]
    lengths = normals.norm(p=1 if norm == np.inf else 2, dim=2).clamp_min(1e-12)
    distances = gaps.abs() / lengths
    distances[each, y] = torch.inf
    nearest = distances.argmin(dim=1)
    distance, normal, length = distances[each, nearest], normals[each, nearest], lengths[each, nearest]
    direction = normal.sign() if norm == np.inf else normal / length[:, None]
    return (distance + 1e-6)[:, None] * direction


def _answers(network, X):
    with torch.no_grad():
        return torch.cat([network(part).argmax(dim=1) for part in X.split(DEEPFOOL_BATCH)])
