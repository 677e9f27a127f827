"""How long until LeNet on MNIST resists PGD at Linf 0.1, beside the paper's own recipe?

The paper takes one step per anchor at a batch size of 1: over 12 epochs of 10,000 images with one unlabeled point each
that makes 240,000 updates. A faithful loop of this recipe runs for a slice of an epoch here and is scaled up; slices
are measured before, between and after our own runs. Ours are independent runs of growing length, since the
learning-rate schedule ends with the run. Attacked are the first 500 test images, as in the pilot that found .92 for the
recipe. Seconds of the processor, one thread.

    python examples/benchmarks/bench_learning_curve.py --data mnist.npz
"""

import argparse
import statistics
import time

import numpy as np
import torch
from bench_mnist import half_width
from common import RESULTS, machine, use_one_thread, write_csv
from mnist_data import load
from pgd import cross_entropy, dlr, worst_case
from torch.nn import functional

from skrobust import OffSupportRobustClassifier
from skrobust.data import Moments
from skrobust.modules import LeNet
from skrobust.penalties import lambda_from_smoothness

EPS = 0.1
RECIPE_EPOCHS = 12
SLICE = 400
N_ATTACKED = 500
SETTINGS = {
    "defaults": ({}, (10,)),
    "n_unlabeled=0, batch_size=32": ({"n_unlabeled": 0, "batch_size": 32}, (12, 16, 20)),
}


def slope_loss(p, q, distance):
    """The paper's term: squared slope of the softmax outputs, averaged over classes."""
    return ((p - q) / distance).square().mean()


def recipe_updates(X, y, *, radius=0.8, smoothness=0.04):
    """Run the paper's recipe over some images, two updates for each, and return the seconds per update."""
    torch.manual_seed(0)
    network = LeNet(X.shape[1:], 10)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    scale = Moments.of(X.flatten(1).numpy()).data_scale
    weight = lambda_from_smoothness(smoothness, data_scale=scale, n_features=X[0].numel(), n_classes=10)
    deviation = radius * scale / X[0].numel() ** 0.5
    start = time.process_time()
    for image, label in zip(X.split(1), y.split(1), strict=True):
        unlabeled = image + deviation * torch.randn_like(image)
        for anchor, supervised in ((image, True), (unlabeled, False)):
            neighbor = anchor + deviation * torch.randn_like(anchor)
            logits = network(torch.cat([anchor, neighbor]))
            p, q = logits.softmax(dim=1)
            loss = weight * slope_loss(p, q, (neighbor - anchor).norm())
            if supervised:
                loss = loss + functional.cross_entropy(logits[:1], label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return (time.process_time() - start) / (2 * len(X))


def our_run(data, params, n_epochs, seed):
    """Train; return seconds and the shares of test images that resist PGD."""
    X_train, y_train, X_test, y_test = data
    start = time.process_time()
    model = OffSupportRobustClassifier("lenet", max_epochs=n_epochs, random_state=seed, device="cpu", **params)
    model.fit(X_train, y_train)
    seconds = time.process_time() - start
    network = model.net_.module_.eval().requires_grad_(False)
    X, y = torch.from_numpy(X_test)[:, None], torch.from_numpy(y_test).long()
    options = {"eps": EPS, "bounds": (0, 1), "generator": torch.Generator().manual_seed(0)}
    on_cross_entropy = worst_case(network, X, y, [cross_entropy], **options).double().mean().item()
    on_both = worst_case(network, X, y, [cross_entropy, dlr], **options).double().mean().item()
    return seconds, on_cross_entropy, on_both


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="npz file with X_train, y_train, X_test, y_test")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", default=RESULTS / "learning_curve.csv")
    options = parser.parse_args()
    use_one_thread()
    X_train, y_train, X_test, y_test = load(options.data)
    data = X_train, y_train, X_test[:N_ATTACKED], y_test[:N_ATTACKED]
    some_rows = torch.from_numpy(X_train[:SLICE])[:, None], torch.from_numpy(y_train[:SLICE]).long()
    per_update = [recipe_updates(*some_rows)]
    curve = {}
    for setting, (params, epochs) in SETTINGS.items():
        for n_epochs in epochs:
            runs = [our_run(data, params, n_epochs, seed) for seed in range(options.seeds)]
            curve[setting, n_epochs] = np.array(runs)
            per_update.append(recipe_updates(*some_rows))
            print(setting, n_epochs, *curve[setting, n_epochs].mean(axis=0), flush=True)
    recipe_seconds = statistics.median(per_update) * 2 * RECIPE_EPOCHS * len(X_train)
    rows = [
        {
            "setting": setting,
            "epochs": n_epochs,
            "cpu_seconds": round(runs[:, 0].mean(), 1),
            "pgd_20_cross_entropy": round(runs[:, 1].mean(), 4),
            "pgd_20_worst": round(runs[:, 2].mean(), 4),
            "pgd_20_worst_half_width": half_width(runs[:, 2]),
            "recipe_cpu_seconds": round(recipe_seconds, 1),
            "share_of_recipe": round(runs[:, 0].mean() / recipe_seconds, 4),
            "seeds": options.seeds,
            "machine": machine(),
        }
        for (setting, n_epochs), runs in curve.items()
    ]
    write_csv(rows, options.out)
    for row in rows:
        print(*row.values())


if __name__ == "__main__":
    main()
