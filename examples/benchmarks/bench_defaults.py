"""Do the defaults serve? OffSupportRobustClassifier() against MLPClassifier() behind a StandardScaler.

Five stratified folds on digits, breast cancer and wine, several seeds of folds and classifiers, nothing set but
``random_state``. The attack is 20-step PGD on cross-entropy and on the margin, the worse of both per row, in units of
the standard deviation of each feature (the space behind the scaler).

    python examples/benchmarks/bench_defaults.py
"""

import argparse
import time
import warnings

import numpy as np
import torch
from common import RESULTS, machine, use_one_thread, write_csv
from pgd import cross_entropy, margin, worst_case
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust import OffSupportRobustClassifier
from skrobust.torchify import to_torch

DATA = {"digits": load_digits, "breast cancer": load_breast_cancer, "wine": load_wine}
# One of the 178 rows of wine is half a point: it takes more seeds to see anything.
SEEDS = {"digits": 3, "breast cancer": 3, "wine": 10}
CLASSIFIERS = {
    "MLPClassifier()": MLPClassifier,
    "OffSupportRobustClassifier(smoothness=0)": lambda **params: OffSupportRobustClassifier(smoothness=0, **params),
    "OffSupportRobustClassifier()": OffSupportRobustClassifier,
}
EPS = (0.1, 0.2, 0.4)


def fold_figures(make_classifier, X, y, train, test, seed):
    """Return clean accuracy, accuracy under attack for each eps, and seconds of training."""
    start = time.process_time()
    model = make_pipeline(StandardScaler(), make_classifier(random_state=seed)).fit(X[train], y[train])
    seconds = time.process_time() - start
    network = to_torch(model[-1])
    network.requires_grad_(False)
    rows = torch.from_numpy(model[:-1].transform(X[test]))
    codes = torch.from_numpy(np.searchsorted(model.classes_, y[test]))
    robust = [
        worst_case(
            network, rows, codes, [cross_entropy, margin], eps=eps, generator=torch.Generator().manual_seed(seed)
        )
        for eps in EPS
    ]
    return [model.score(X[test], y[test]), *(float(standing.double().mean()) for standing in robust), seconds]


def figures(make_classifier, X, y, n_seeds):
    """Return the mean figures over seeds and folds, and the standard error of each over seeds."""
    per_seed = []
    for seed in range(n_seeds):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y)
        per_seed.append(np.mean([fold_figures(make_classifier, X, y, *fold, seed) for fold in folds], axis=0))
    return np.mean(per_seed, axis=0), np.std(per_seed, axis=0, ddof=1) / np.sqrt(n_seeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--out", default=RESULTS / "defaults.csv")
    options = parser.parse_args()
    use_one_thread()
    warnings.simplefilter("ignore", ConvergenceWarning)  # MLPClassifier stops after 200 epochs by default
    rows = []
    names = ["clean", *(f"linf_{eps}" for eps in EPS), "cpu_seconds"]
    for data in options.data:
        X, y = DATA[data](return_X_y=True)
        for classifier, make_classifier in CLASSIFIERS.items():
            means, errors = figures(make_classifier, X, y, SEEDS[data])
            row = {"data": data, "classifier": classifier}
            row |= {name: round(mean, 4) for name, mean in zip(names, means, strict=True)}
            row |= {f"{name}_error": round(error, 4) for name, error in zip(names[:-1], errors[:-1], strict=True)}
            rows.append(row | {"seeds": SEEDS[data], "machine": machine()})
            print(data, classifier, *(row[name] for name in names), flush=True)
    write_csv(rows, options.out)


if __name__ == "__main__":
    main()
