"""How robust does each training make the same LeNet, at equal epochs and at equal seconds?

The first 10,000 training images of MNIST, one thread, seconds of the processor. Clean accuracy is that on all 10,000
test images; 1,000 evenly spaced ones are attacked by PGD of 20 steps of eps / 8 with a random start, on cross-entropy
and on DLR. An image counts as robust if no point that either run visits fools the network. `union` is robust at Linf
0.2 and at L2 2.

    python examples/benchmarks/bench_mnist.py --data mnist.npz

Runs are kept in a CSV file as they end, so that a run that was cut off goes on where it stopped; several processes
may work on different seeds at the same time. The summary has means over seeds with 95 % intervals (Student's t).
"""

import argparse
import csv
import functools
import itertools
import math
import pathlib
import time

import numpy as np
import scipy.stats
import torch
from adversarial_training import adversarial, gaussian_augmentation, train
from common import RESULTS, machine, read_csv, use_one_thread, write_csv
from mnist_data import load, thinned
from pgd import cross_entropy, dlr, worst_case

from skrobust import OffSupportRobustClassifier

THREATS = {
    **{f"linf_{eps}": (torch.inf, eps) for eps in (0.05, 0.1, 0.15, 0.2)},
    **{f"l2_{eps}": (2, float(eps)) for eps in (1, 2)},
}
FIGURES = ("clean", *THREATS, "union")
REFERENCE = "off-support"
BUDGETS = ["equal epochs", "equal seconds"]


def ours(**params):
    """Return a training function for the package's defaults with some parameters changed."""

    def fit(X, y, n_epochs, seed):
        model = OffSupportRobustClassifier("lenet", max_epochs=n_epochs, random_state=seed, device="cpu", **params)
        return model.fit(X, y).net_.module_.eval()

    return fit


def rival(loss):
    """Return a training function for a loss in plain torch."""

    def fit(X, y, n_epochs, seed):
        return train(loss, torch.from_numpy(X)[:, None], torch.from_numpy(y).long(), n_epochs=n_epochs, seed=seed)

    return fit


METHODS = {
    REFERENCE: ours(),
    "plain": ours(smoothness=0),
    "gaussian augmentation": rival(gaussian_augmentation(0.3)),
    "fgsm, random start, eps 0.3": rival(adversarial(0.3, 1, 0.375)),
    "pgd-7, eps 0.2": rival(adversarial(0.2, 7, 0.05)),
    "labeled only, same passes": ours(n_unlabeled=0, n_neighbors=3, smoothness=0.03),
}


def attacked(network, X, y):
    """Return the figures of a network on test images."""
    network.requires_grad_(False)
    X_all, y_all = torch.from_numpy(X)[:, None], torch.from_numpy(y).long()
    X, y = (torch.from_numpy(part) for part in thinned(X, y))
    X, y = X[:, None], y.long()
    robust = {
        name: worst_case(
            network,
            X,
            y,
            [cross_entropy, dlr],
            eps=eps,
            norm=norm,
            bounds=(0, 1),
            generator=torch.Generator().manual_seed(0),
        )
        for name, (norm, eps) in THREATS.items()
    }
    robust["clean"] = torch.cat([network(part) for part in X_all.split(1000)]).argmax(dim=1) == y_all
    robust["union"] = robust["linf_0.2"] & robust["l2_2"]
    return {name: round(float(robust[name].double().mean()), 4) for name in FIGURES}


class Runs:
    """The runs that have ended, in a file that several processes append to."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def find(self, **key):
        """Return the run with these values, or None."""
        matches = (run for run in read_csv(self.path) if all(run[name] == str(value) for name, value in key.items()))
        return next(matches, None)

    def add(self, run):
        """Append a run."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(run), lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerow(run)


def measure(runs, data, method, budget, seed, n_epochs):
    """Train and attack once, unless that run is in the file."""
    key = {"method": method, "budget": budget, "seed": seed}
    if runs.find(**key):
        return
    X_train, y_train, X_test, y_test = data
    start = time.process_time()
    network = METHODS[method](X_train, y_train, n_epochs, seed)
    seconds = time.process_time() - start
    run = key | {"epochs": n_epochs, "cpu_seconds": round(seconds, 1)} | attacked(network, X_test, y_test)
    print(*run.values(), flush=True)
    runs.add(run | {"machine": machine()})


def epochs_for_equal_seconds(runs, method, seed):
    """Return the number of epochs that takes a method as long as the reference took."""
    of = functools.partial(runs.find, budget="equal epochs", seed=seed)
    own, reference = of(method=method), of(method=REFERENCE)
    per_epoch = float(own["cpu_seconds"]) / int(own["epochs"])
    return max(1, round(float(reference["cpu_seconds"]) / per_epoch))


def summary(runs, seeds):
    """Return one row for each method and budget: means over seeds and half widths of 95 % intervals."""
    rows = []
    for budget in BUDGETS:
        for method in METHODS:
            found = [runs.find(method=method, budget=budget, seed=seed) for seed in seeds]
            found = [run for run in found if run]
            if not found:
                continue
            row = {"budget": budget, "method": method, "seeds": len(found)}
            for name in ("epochs", "cpu_seconds", *FIGURES):
                row[name] = round(float(np.mean([float(run[name]) for run in found])), 4)
            row |= {f"{name}_half_width": half_width([float(run[name]) for run in found]) for name in FIGURES}
            rows.append(row)
    return rows


def half_width(values):
    """Return half the width of the 95 % interval of a mean over seeds."""
    if len(values) < 2:
        return ""
    quantile = scipy.stats.t.ppf(0.975, len(values) - 1)
    return round(float(quantile * np.std(values, ddof=1) / math.sqrt(len(values))), 4)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="npz file with X_train, y_train, X_test, y_test")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--budgets", nargs="+", choices=BUDGETS, default=BUDGETS)
    parser.add_argument("--runs", default=RESULTS / "mnist_runs.csv")
    parser.add_argument("--out", default=RESULTS / "mnist.csv")
    options = parser.parse_args()
    use_one_thread()
    data, runs = load(options.data), Runs(options.runs)
    for budget, seed, method in itertools.product(options.budgets, options.seeds, options.methods):
        if budget == "equal epochs":
            measure(runs, data, method, budget, seed, options.epochs)
        elif method != REFERENCE:
            measure(runs, data, method, budget, seed, epochs_for_equal_seconds(runs, method, seed))
    all_seeds = sorted({int(run["seed"]) for run in read_csv(options.runs)})
    write_csv(summary(runs, all_seeds), options.out)


if __name__ == "__main__":
    main()
