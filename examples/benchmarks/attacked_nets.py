"""The networks that bench_attacks.py attacks: five LeNets on MNIST, and two small networks on digits.

The LeNets see the first 10,000 training images: plain, with the package's defaults ("off-support"), with the same
penalty but neighbors in the worst direction, with sigmoid activations, and FGSM-trained. Their weights are kept in the
folder `cache`, which git ignores.
"""

import copy
import functools
import pathlib

import torch
from adversarial_training import adversarial, train
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from skrobust import OffSupportRobustClassifier
from skrobust.modules import LeNet

CACHE = pathlib.Path(__file__).parent / "cache"
N_TRAIN = 10_000
SIGMOID_GAIN = 4.0


def sigmoid_lenet(image_shape, n_classes):
    """Return a LeNet with sigmoid activations; from torch's own initial weights it learns next to nothing."""
    network = LeNet(image_shape, n_classes, activation=nn.Sigmoid)
    for layer in network:
        if hasattr(layer, "weight"):
            nn.init.xavier_normal_(layer.weight, gain=SIGMOID_GAIN)
            nn.init.zeros_(layer.bias)
    return network


def ours(n_epochs, module="lenet", **params):
    """Return a training function for OffSupportRobustClassifier."""

    def fit(X, y):
        model = OffSupportRobustClassifier(module, max_epochs=n_epochs, random_state=0, device="cpu", **params)
        return model.fit(X, y).net_.module_.eval()

    return fit


def rival(make_loss, n_epochs):
    """Return a training function for a loss in plain torch; the loss is made from the images."""

    def fit(X, y):
        images = torch.from_numpy(X)[:, None]
        return train(make_loss(images), images, torch.from_numpy(y).long(), n_epochs=n_epochs, seed=0)

    return fit


def worst_direction(images, *, smoothness=0.02, unlabeled_radius=1.0, neighbor_radius=0.6):
    """Return the package's loss, but with neighbors where the softmax changes most.

    Each is where one gradient step, seen from a random neighbor, says that this is, at the radius of that neighbor.
    """
    n_features = images[0].numel()
    data_scale = float((2 * images.flatten(1).var(dim=0).sum()).sqrt())
    spread, weight = data_scale / n_features**0.5, smoothness * data_scale**2 * n_features

    def loss(network, X, y, generator):
        unlabeled = X + unlabeled_radius * spread * torch.randn(X.shape, generator=generator)
        anchors = torch.cat([X, unlabeled])
        noise = torch.randn(anchors.shape, generator=generator)
        change = neighbor_radius * data_scale * _worst(network, anchors, neighbor_radius * spread * noise)
        logits = network(torch.cat([anchors, anchors + change]))
        here, there = logits.softmax(dim=1).chunk(2)
        slope = (here - there).square().sum(dim=1) / change.flatten(1).square().sum(dim=1).clamp_min(1e-12)
        return functional.cross_entropy(logits[: len(X)], y) + weight * slope.mean()

    return loss


def _worst(network, anchors, offset):
    """Return unit vectors along the gradient of ||p(anchor + offset) - p(anchor)||^2."""
    network.requires_grad_(False)
    offset.requires_grad_(True)
    here, there = network(torch.cat([anchors, anchors + offset])).softmax(dim=1).chunk(2)
    (gradient,) = torch.autograd.grad((there - here).square().sum(), offset)
    network.requires_grad_(True)
    return functional.normalize(gradient.flatten(1), dim=1).reshape(anchors.shape)


LENETS = {
    "plain": ours(8, smoothness=0),
    "off-support": ours(20),
    "worst-direction": rival(worst_direction, 12),
    "sigmoid": ours(20, sigmoid_lenet, smoothness=0),
    "fgsm": rival(lambda images: adversarial(0.3, 1, 0.375), 15),
}


def lenet(name, X_train, y_train):
    """Return one of the five networks, trained at the first call and read from the cache at later ones."""
    path = CACHE / f"lenet-{name}.pt"
    network = sigmoid_lenet((1, 28, 28), 10) if name == "sigmoid" else LeNet((1, 28, 28), 10)
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        torch.save(LENETS[name](X_train[:N_TRAIN], y_train[:N_TRAIN]).state_dict(), path)
    network.load_state_dict(torch.load(path))
    return network.eval().requires_grad_(False)


def as_classifier(network, X_train, y_train):
    """Return a fitted OffSupportRobustClassifier with this network inside: 100 rows make it, the weights are loaded."""
    trainable = copy.deepcopy(network).requires_grad_(True)
    model = OffSupportRobustClassifier(trainable, smoothness=0, max_epochs=1, random_state=0, device="cpu")
    model.fit(X_train[:100], y_train[:100])
    model.net_.module_.load_state_dict(network.state_dict())
    model.net_.module_.eval()
    return model


@functools.cache
def digits():
    """Return training and test rows of digits, in [0, 1] and float32, and their labels."""
    X, y = load_digits(return_X_y=True)
    return train_test_split((X / 16).astype("float32"), y, test_size=0.5, random_state=0, stratify=y)


def digits_mlp():
    """Return the package's classifier, plainly trained on digits."""
    X_train, _, y_train, _ = digits()
    return OffSupportRobustClassifier(smoothness=0, max_epochs=30, random_state=0, device="cpu").fit(X_train, y_train)


def digits_pipeline():
    """Return a scaler and an MLPClassifier, fitted on digits."""
    X_train, _, y_train, _ = digits()
    return make_pipeline(StandardScaler(), MLPClassifier(max_iter=300, random_state=0)).fit(X_train, y_train)
