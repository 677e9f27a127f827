"""How robust does each training make the same LeNet, at equal epochs and at equal seconds?

The first 10,000 training images of MNIST, one thread, seconds of the processor. Clean accuracy is that on all 10,000
test images; 1,000 evenly spaced ones are attacked by PGD of 20 steps of eps / 8 with a random start, on cross-entropy
and on DLR, the worse of both per image. `union` is robust at Linf 0.2 and at L2 2.

    python examples/benchmarks/bench_mnist.py --data mnist.npz
    python examples/benchmarks/bench_mnist.py --data mnist.npz --worst-case

The second line trains runs of the first line once more and attacks each by PGD and by the package's ensemble, so that
both figures are of the same networks, whose bits need not be those of the first line on another machine or version.
The figures of mnist_runs.csv come from the PGD in pgd.py, which differs from the package's by the random starts.

Runs are kept in a CSV file as they end, so that a run that was cut off goes on where it stopped; several processes
may work on different seeds at the same time. The summaries have means over seeds with 95 % intervals (Student's t).
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
from attacked_nets import as_classifier
from common import RESULTS, machine, read_csv, use_one_thread, write_csv
from mnist_data import load, thinned

from skrobust import OffSupportRobustClassifier, ThreatModel
from skrobust.metrics import robust_accuracy_score

THREATS = {
    **{f"linf_{eps}": ThreatModel(eps, norm=np.inf, bounds=(0, 1)) for eps in (0.05, 0.1, 0.15, 0.2)},
    **{f"l2_{eps}": ThreatModel(eps, norm=2, bounds=(0, 1)) for eps in (1, 2)},
}
WORST_THREATS = {name: THREATS[name] for name in ("linf_0.1", "linf_0.2", "l2_2")}
UNION = ("linf_0.2", "l2_2")
PGD = [{"attack": "pgd", "max_iter": 20, "loss": loss} for loss in ("cross_entropy", "dlr")]
ENSEMBLE = [{"attack": "worst_case"}]
FIGURES = ("clean", *THREATS, "union")
WORST_FIGURES = ("clean", *(f"{by}_{name}" for by in ("pgd", "worst") for name in (*WORST_THREATS, "union")))
REFERENCE = "off-support"
BUDGETS = ["equal epochs", "equal seconds"]


def ours(**params):
    """Return a training function for the package's defaults with some parameters changed."""

    def fit(X, y, n_epochs, seed):
        model = OffSupportRobustClassifier("lenet", max_epochs=n_epochs, random_state=seed, device="cpu", **params)
        return model.fit(X, y)

    return fit


def rival(loss):
    """Return a training function for a loss in plain torch."""

    def fit(X, y, n_epochs, seed):
        images = torch.from_numpy(X)[:, None]
        return as_classifier(train(loss, images, torch.from_numpy(y).long(), n_epochs=n_epochs, seed=seed), X, y)

    return fit


METHODS = {
    REFERENCE: ours(),
    "plain": ours(smoothness=0),
    "gaussian augmentation": rival(gaussian_augmentation(0.3)),
    "fgsm, random start, eps 0.3": rival(adversarial(0.3, 1, 0.375)),
    "pgd-7, eps 0.2": rival(adversarial(0.2, 7, 0.05)),
    "labeled only, same passes": ours(n_unlabeled=0, n_neighbors=3, smoothness=0.03),
}


def resists(model, X, y, threats, attacks):
    """Return the share of rows that resist all of the attacks, by threat, and the share that resists the union."""
    robust = {name: _resists(model, X, y, threat_model, attacks) for name, threat_model in threats.items()}
    robust["union"] = np.minimum(*(robust[name] for name in UNION))
    return {name: round(float(rows.mean()), 4) for name, rows in robust.items()}


def _resists(model, X, y, threat_model, attacks):
    """Return for each row 1 if it resists all of the attacks, else 0."""
    score = functools.partial(robust_accuracy_score, model, X, y, threat_model=threat_model, per_sample=True)
    return np.min([score(**attack) for attack in attacks], axis=0)


def clean(model, X, y):
    return {"clean": round(float(model.score(X, y)), 4)}


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
    model = METHODS[method](X_train, y_train, n_epochs, seed)
    run = key | {"epochs": n_epochs, "cpu_seconds": round(time.process_time() - start, 1)}
    run |= clean(model, X_test, y_test) | resists(model, *thinned(X_test, y_test), THREATS, PGD)
    print(*run.values(), flush=True)
    runs.add(run | {"machine": machine()})


def measure_worst(worst_runs, runs, data, method, budget, seed):
    """Train a run of the file once more and attack it by PGD and by the ensemble, unless that was done."""
    key = {"method": method, "budget": budget, "seed": seed}
    known = runs.find(**key)
    if not known or worst_runs.find(**key):
        return
    X_train, y_train, X_test, y_test = data
    model = METHODS[method](X_train, y_train, int(known["epochs"]), seed)
    X, y = thinned(X_test, y_test)
    by_pgd = resists(model, X, y, WORST_THREATS, PGD)
    start = time.process_time()
    by_ensemble = resists(model, X, y, WORST_THREATS, ENSEMBLE)
    seconds = time.process_time() - start
    run = key | {"epochs": known["epochs"]} | clean(model, X_test, y_test)
    run |= {f"pgd_{name}": value for name, value in by_pgd.items()}
    run |= {f"worst_{name}": value for name, value in by_ensemble.items()}
    run |= {"attack_cpu_seconds": round(seconds, 1)}
    print(*run.values(), flush=True)
    worst_runs.add(run | {"machine": machine()})


def epochs_for_equal_seconds(runs, method, seed):
    """Return the number of epochs that takes a method as long as the reference took."""
    of = functools.partial(runs.find, budget="equal epochs", seed=seed)
    own, reference = of(method=method), of(method=REFERENCE)
    per_epoch = float(own["cpu_seconds"]) / int(own["epochs"])
    return max(1, round(float(reference["cpu_seconds"]) / per_epoch))


def summary(runs, figures, costs):
    """Return one row for each method and budget: means over seeds and half widths of 95 % intervals."""
    rows, seeds = [], sorted({int(run["seed"]) for run in read_csv(runs.path)})
    for budget in BUDGETS:
        for method in METHODS:
            found = [runs.find(method=method, budget=budget, seed=seed) for seed in seeds]
            found = [run for run in found if run]
            if not found:
                continue
            row = {"budget": budget, "method": method, "seeds": len(found)}
            for name in (*costs, *figures):
                row[name] = round(float(np.mean([float(run[name]) for run in found])), 4)
            row |= {f"{name}_half_width": half_width([float(run[name]) for run in found]) for name in figures}
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
    parser.add_argument("--worst-case", action="store_true", help="train runs of the file again for the ensemble")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS, help="folder of the CSV files")
    options = parser.parse_args()
    use_one_thread()
    data, runs = load(options.data), Runs(options.results / "mnist_runs.csv")
    worst_runs = Runs(options.results / "mnist_worst_runs.csv")
    for budget, seed, method in itertools.product(options.budgets, options.seeds, options.methods):
        if options.worst_case:
            measure_worst(worst_runs, runs, data, method, budget, seed)
        elif budget == "equal epochs":
            measure(runs, data, method, budget, seed, options.epochs)
        elif method != REFERENCE:
            measure(runs, data, method, budget, seed, epochs_for_equal_seconds(runs, method, seed))
    if options.worst_case:
        rows = summary(worst_runs, WORST_FIGURES, ["epochs", "attack_cpu_seconds"])
        write_csv(rows, options.results / "mnist_worst.csv")
    else:
        write_csv(summary(runs, FIGURES, ["epochs", "cpu_seconds"]), options.results / "mnist.csv")


if __name__ == "__main__":
    main()
