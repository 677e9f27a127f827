"""Trainings that one process and several must do alike; as a program, one of these several processes."""

import pathlib
import pickle
import sys

import numpy as np
import torch
from sklearn.datasets import make_blobs
from skorch.callbacks import Callback
from torch import nn
from torch.utils.checkpoint import checkpoint

from skrobust import OffSupportRobustClassifier
from skrobust.adversary import PGD, MultiplePerturbations
from skrobust.penalties import Curvature, InputGradient, Jacobian


class Smooth(nn.Sequential):
    """Small network whose second derivatives are not zero."""

    def __init__(self, n_features, n_classes, width=8, dropout=0.0):
        super().__init__(nn.Linear(n_features, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, n_classes))


class BatchNorm(nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(nn.BatchNorm1d(n_features), nn.Linear(n_features, n_classes))


class Unused(nn.Module):
    """Network with a part that has no gradient."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.used, self.unused = nn.Linear(n_features, n_classes), nn.Linear(2, 2)

    def forward(self, X):
        return self.used(X)


class Images(nn.Sequential):
    """Network with dropout of channels and of values that lie in memory in another order than their axes have."""

    def __init__(self, n_features, n_classes):
        super().__init__(
            *[nn.Linear(n_features, 3 * 4 * 4), nn.Unflatten(1, (3, 4, 4)), nn.Conv2d(3, 8, 3)],
            *[nn.Dropout2d(0.5), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8 * 2 * 2, n_classes)],
        )
        self.to(memory_format=torch.channels_last)


class ByFunction(nn.Module):
    """Dropout by a function."""

    def forward(self, X):
        return nn.functional.dropout(X, 0.5, self.training)


class Mixed(nn.Module):
    """Network that drops units by a function and by a layer."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.hidden, self.out = nn.Linear(n_features, 64), nn.Linear(64, n_classes)
        self.by_function, self.by_layer = ByFunction(), nn.Dropout(0.5)

    def forward(self, X):
        hidden = self.hidden(X)
        return self.out(self.by_function(hidden) + self.by_layer(hidden))


class Recomputing(nn.Module):
    """Network whose layers, dropout among them, run again in the backward pass."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layers = Smooth(n_features, n_classes, dropout=0.5)

    def forward(self, X):
        return checkpoint(self.layers, X, use_reentrant=False)


class Masks(Callback):
    """Keep what each of some layers lets through in the passes of training."""

    def __init__(self, *names):
        self.kept = {name: [] for name in names}

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, net, **kwargs):
        for name, kept in self.kept.items():
            layer = net.module_.get_submodule(name)
            layer.register_forward_hook(lambda layer, rows, out, kept=kept: kept.append((out != 0).numpy(force=True)))


# Rows do not divide by batches, nor batches by processes: 90 rows are batches of 23 or 22. SGD feels the length of
# gradients, which Adam divides by.
DROPOUT = {"module__dropout": 0.5}
BASE = {"module": Smooth, "max_epochs": 3, "batch_size": 23, "random_state": 0, "optimizer": "sgd", "lr": 0.1}
CASES = {
    "default": {},
    "plain": {"penalty": None},
    "neighbors": {"n_neighbors": 3, "n_unlabeled": 0.3},
    "adversarial_neighbors": {"neighbors": "adversarial"},
    "jacobian": {"penalty": Jacobian(), "smoothness": 1e-2},
    "input_gradient": {"penalty": InputGradient()},
    "curvature": {"penalty": Curvature()},
    "virtual_adversarial": {"penalty": "virtual_adversarial"},
    "pgd": {"adversary": PGD(eps=0.3)},
    "trades": {"adversary": "trades"},
    "several_adversaries": {"adversary": MultiplePerturbations([PGD(eps=0.3), "trades"], strategy="random")},
    "noise_layer": {"noise_layer": "1"},
    "mixup": {"mixup": 0.4},
    "one_row_batches": {"batch_size": 1, "penalty": None, "max_epochs": 1},
    "all_in_one_batch": {"batch_size": 200},
    "early_stopping": {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 20},
    "adamw": {"optimizer": "adamw", "lr": 4e-3},
    "unused": {"module": Unused},
    "dropout": {"net_params": DROPOUT},
    "dropout_neighbors": {"net_params": DROPOUT, "n_neighbors": 3, "n_unlabeled": 0.3},
    "dropout_curvature": {"net_params": DROPOUT, "penalty": Curvature()},
    "dropout_pgd": {"net_params": DROPOUT, "adversary": PGD(eps=0.3)},
    "dropout_plain": {"net_params": DROPOUT, "penalty": None},
    "dropout_behind_noise": {"net_params": DROPOUT, "noise_layer": "1"},
    "dropout_before_noise": {"net_params": DROPOUT, "noise_layer": "2"},
    "dropout_one_row_batches": {"net_params": DROPOUT, "batch_size": 1, "penalty": None, "max_epochs": 1},
    "dropout_all_in_one_batch": {"net_params": DROPOUT, "batch_size": 200},
    "dropout_images": {"module": Images},
}


def data():
    """Return 90 rows of 4 features in 3 classes."""
    X, y = make_blobs(90, n_features=4, centers=3, cluster_std=2.0, random_state=1)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def classifier(name, **params):
    """Return the classifier of a case."""
    return OffSupportRobustClassifier(**{**BASE, **CASES[name], **params})


def outcome(clf, X):
    """Return what is compared of a fitted classifier."""
    weights = {name: value.numpy(force=True) for name, value in clf.net_.module_.state_dict().items()}
    losses = [{key: value for key, value in epoch.items() if key != "dur"} for epoch in clf.history_]
    return {"weights": weights, "history": losses, "probabilities": clf.predict_proba(X)}


def refusal(clf, X, y):
    """Return the sentence with which a fit is refused."""
    try:
        clf.fit(X, y)
    except ValueError as error:
        return str(error)
    return None


def streamed(clf, X, y):
    """Return a classifier that saw the rows in chunks."""
    for start in range(3):
        clf.partial_fit(X[start::3], y[start::3], classes=[0, 1, 2])
    return clf


def main(folder):
    """Train all cases as one of several processes, and write what came out."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    rank = accelerator.process_index
    X, y = data()
    together = {"accelerator": accelerator}
    found = {"n_processes": accelerator.num_processes}
    for name in CASES:
        found[name] = outcome(classifier(name, **together).fit(X, y), X)
    found["stream"] = outcome(streamed(classifier("default", **together), X, y), X)
    # Seeds and weights of their own, which the first process overrules.
    torch.manual_seed(10 + rank)
    np.random.seed(10 + rank)  # noqa: NPY002
    found["unseeded"] = outcome(classifier("default", random_state=None, **together).fit(X, y), X)
    found["instance"] = outcome(classifier("default", module=Smooth(4, 3), **together).fit(X, y), X)
    masks = Masks("by_function", "by_layer")
    mixed = {"module": Mixed, **together}
    classifier("default", callbacks=[masks], max_epochs=1, **mixed).fit(X, y)
    found["masks"] = masks.kept
    checkpoints = pathlib.Path(folder, "checkpoints")
    kept = classifier("default", checkpoint_dir=checkpoints, **mixed)
    found["kept"] = outcome(kept.fit(X, y), X)
    accelerator.wait_for_everyone()
    found["files"] = sorted(path.name for path in checkpoints.iterdir())
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (checkpoints / "checkpoint-before.pt").replace(checkpoints / "checkpoint.pt")  # after 2 of 3 epochs
    accelerator.wait_for_everyone()
    found["gone_on"] = outcome(kept.fit(X, y), X)
    found["refused"] = {
        "rows": refusal(classifier("default", **together), X[: 80 + rank], y[: 80 + rank]),
        "batch_size": refusal(classifier("default", batch_size=20 + rank, **together), X, y),
        "batch_norm": refusal(classifier("default", module=BatchNorm, **together), X, y),
        "folders": refusal(classifier("default", checkpoint_dir=[checkpoints, folder][rank], **mixed), X, y),
        "recomputing": refusal(classifier("default", module=Recomputing, **together), X, y),
    }
    classifier("default", verbose=1, **together).fit(X, y)
    pathlib.Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(found))
    accelerator.end_training()


if __name__ == "__main__":
    main(sys.argv[1])
