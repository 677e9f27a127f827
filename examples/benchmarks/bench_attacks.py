"""Seconds and verdicts of the package's attacks beside raw ART calls, plain torch and standard AutoAttack.

    pip install --no-deps torchattacks==3.5.1 multiprocess
    python examples/benchmarks/standard_autoattack.py --data mnist.npz
    python examples/benchmarks/bench_attacks.py --data mnist.npz

Only the benchmarks need these two packages: torchattacks is the reference, multiprocess is what ART's AutoAttack lacks.
The first script runs standard AutoAttack on five LeNets, which takes hours of the processor; this one reads its
verdicts. One thread, seconds of the processor, the median of several interleaved repetitions where that is cheap.

- "pgd": 20 steps of eps / 8 on cross-entropy. The package and ART start from the rows themselves, the hand-written
  one from random points. ART is called with large batches and with the batches of 32 that are its default.
- "apgd": 100 steps on cross-entropy from one random start.
- "deepfool": the nearest adversarial row; figures are median distances.
- "worst case": the package's ensemble beside standard AutoAttack in two budgets (see standard_autoattack.py), on
  1,000 images each, and beside ART's AutoAttack on 100 rows of digits. `n_only_reference` counts rows that only the
  reference fooled, `n_only_skrobust` those that only the package fooled.

`ratio` is the seconds of the package divided by those of the line, `speedup` is its inverse. On a Pipeline ART sees a
network written by hand that computes the same, because through the Pipeline itself it has no gradient.
"""

import argparse
import dataclasses
import itertools
import time

import numpy as np
import pgd
import raw_attacks
import standard_autoattack
import torch
from attacked_nets import LENETS, as_classifier, digits, digits_mlp, digits_pipeline, lenet
from common import RESULTS, machine, read_csv, use_one_thread, write_csv
from mnist_data import load, thinned
from torch import nn

from skrobust import ThreatModel
from skrobust.attacks import find_adversarial
from skrobust.metrics import adversarial_distance, make_robustness_scorer

OURS = "skrobust"
NORMS = {"Linf": np.inf, "L2": 2}
REPEATS = 3
N_ART_AUTOATTACK = 100


@dataclasses.dataclass
class Task:
    """A classifier, the same as a torch network, test rows, and how far an attack may go by norm."""

    name: str
    estimator: object
    network: nn.Module
    X: np.ndarray
    y: np.ndarray
    eps: dict

    @property
    def tensors(self):
        """Rows in the shape that the network wants, and class indices."""
        X = torch.from_numpy(self.X)
        return (X[:, None] if X.ndim == 3 else X), torch.from_numpy(self.y).long()

    def threat_model(self, norm, *, eps=None):
        return ThreatModel(eps, norm=NORMS[norm], bounds=(0, 1))


def digits_tasks():
    """Return the two tasks on digits."""
    _, X, _, y = digits()
    mlp, pipeline = digits_mlp(), digits_pipeline()
    network = mlp.net_.module_.eval().requires_grad_(False)
    return [
        Task("digits MLP", mlp, network, X, y, {"Linf": 0.1, "L2": 0.5}),
        Task("scaler Pipeline", pipeline, by_hand(pipeline), X, y, {"Linf": 0.015, "L2": 0.03}),
    ]


def by_hand(pipeline):
    """Return a network that computes what a StandardScaler and an MLPClassifier compute."""
    scaler, mlp = (step for _, step in pipeline.steps)
    layers = [_linear(np.diag(1 / scaler.scale_), -scaler.mean_ / scaler.scale_)]
    for weight, bias in zip(mlp.coefs_, mlp.intercepts_, strict=True):
        layers += [_linear(weight, bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).requires_grad_(False)


def _linear(weight, bias):
    layer = nn.Linear(*weight.shape)
    layer.weight.data, layer.bias.data = (torch.tensor(part, dtype=torch.float32) for part in (weight.T, bias))
    return layer


def mnist_task(net, data):
    X_train, y_train, X_test, y_test = data
    network = lenet(net, X_train, y_train)
    X, y = thinned(X_test, y_test, standard_autoattack.N_ROWS)
    return Task(
        f"MNIST CNN, {net}",
        as_classifier(network, X_train, y_train),
        network,
        X,
        y,
        standard_autoattack.RADII[net],
    )


def scored(task, norm, attack, **params):
    """Return a function that runs one of the package's scorers."""

    def run():
        scorer = make_robustness_scorer(
            attack, threat_model=task.threat_model(norm, eps=task.eps[norm]), random_state=0, **params
        )
        return scorer(task.estimator, task.X, task.y)

    return run


def raw(task, function, **params):
    """Return a function that runs an attack without the package, and the share or median of its answers."""

    def run():
        result = function(task.network, *task.tensors, **params)
        return float(result.double().mean() if result.dtype == torch.bool else result.median())

    return run


def compare(task, norm, attack, runs, *, eps="", repeats=REPEATS):
    """Run each of several functions by turns; return a row for each, with its last figure and its median seconds."""
    seconds, figures = {who: [] for who in runs}, {}
    for _ in range(repeats):
        for who, run in runs.items():
            start = time.process_time()
            figures[who] = run()
            seconds[who].append(time.process_time() - start)
    medians = {who: float(np.median(times)) for who, times in seconds.items()}
    return [row(task, norm, eps, attack, who, figures[who], medians[who], medians[OURS]) for who in runs]


def row(task, norm, eps, attack, who, figure, seconds, our_seconds, **more):
    """Return a row of the table."""
    kind = "median distance" if attack == "deepfool" else "robust accuracy"
    result = {
        "task": task.name,
        "norm": norm,
        "eps": eps,
        "attack": attack,
        "who": who,
        "n_rows": len(task.y),
        "measure": kind,
        "figure": round(figure, 4),
        "cpu_seconds": round(seconds, 3),
        "ratio": round(our_seconds / seconds, 3),
        "speedup": round(seconds / our_seconds, 2),
        "n_only_reference": "",
        "n_only_skrobust": "",
        "machine": machine(),
    } | more
    print(*list(result.values())[:-1], flush=True)
    return result


def pgd_rows(tasks):
    rows = []
    for task, norm in itertools.product(tasks, NORMS):
        eps, params = task.eps[norm], {"eps": task.eps[norm], "norm": NORMS[norm]}
        runs = {
            OURS: scored(
                task,
                norm,
                "pgd",
                max_iter=raw_attacks.N_STEPS,
                eps_step=eps / raw_attacks.STEPS_PER_EPS,
                num_random_init=0,
            ),
            "ART, batches of 1024": raw(task, raw_attacks.art_pgd, **params),
            "ART, batches of 32": raw(task, raw_attacks.art_pgd, batch_size=32, **params),
            "hand-written torch": raw(task, pgd.resists, bounds=(0, 1), **params),
        }
        rows += compare(task, norm, "pgd", runs, eps=eps)
    return rows


def apgd_rows(tasks):
    rows = []
    for task, norm in itertools.product(tasks, NORMS):
        params = {"eps": task.eps[norm], "norm": NORMS[norm], "max_iter": 100}
        runs = {
            OURS: scored(task, norm, "apgd", max_iter=100, num_random_init=1),
            "ART, batches of 1024": raw(task, raw_attacks.art_apgd, **params),
        }
        rows += compare(task, norm, "apgd", runs, eps=task.eps[norm], repeats=1)
    return rows


def deepfool_rows(tasks):
    rows = []
    for task, norm in itertools.product(tasks, NORMS):
        runs = {
            OURS: lambda task=task, norm=norm: float(
                np.median(
                    adversarial_distance(
                        task.estimator, task.X, task.y, threat_model=task.threat_model(norm), attack="deepfool"
                    )
                )
            ),
            "hand-written torch": raw(task, raw_attacks.deepfool, norm=NORMS[norm]),
        }
        rows += compare(task, norm, "deepfool", runs)
        if norm == "L2":
            ours = float(rows[-2]["cpu_seconds"])
            rows.append(_once(task, norm, "deepfool", "ART", raw(task, raw_attacks.art_deepfool), ours))
    return rows


def _once(task, norm, attack, who, run, our_seconds, eps=""):
    start = time.process_time()
    figure = run()
    return row(task, norm, eps, attack, who, figure, time.process_time() - start, our_seconds)


def art_autoattack_rows(tasks):
    """ART's AutoAttack on some rows of digits, as images of 8 x 8, which its Square wants."""
    rows = []
    for task, norm in itertools.product(tasks, NORMS):
        small = dataclasses.replace(task, X=task.X[:N_ART_AUTOATTACK], y=task.y[:N_ART_AUTOATTACK])
        images = dataclasses.replace(
            small, X=small.X.reshape(-1, 8, 8), network=nn.Sequential(nn.Flatten(), task.network)
        )
        params = {"eps": task.eps[norm], "norm": NORMS[norm]}
        runs = {
            OURS: scored(small, norm, "worst_case"),
            "ART's AutoAttack": raw(images, raw_attacks.art_autoattack, **params),
        }
        rows += compare(small, norm, "worst case", runs, eps=task.eps[norm], repeats=1)
    return rows


def autoattack_rows(tasks):
    """The ensemble beside what standard_autoattack.py has kept."""
    rows = []
    for (net, task), norm in itertools.product(tasks.items(), NORMS):
        eps = task.eps[norm]
        start = time.process_time()
        found = find_adversarial(
            task.estimator,
            task.X,
            task.y,
            attack="worst_case",
            threat_model=task.threat_model(norm, eps=eps),
            random_state=0,
        )
        seconds = time.process_time() - start
        ours = ~found.success
        rows.append(row(task, norm, eps, "worst case", OURS, ours.mean(), seconds, seconds))
        for budget in standard_autoattack.STEPS:
            kept = standard_autoattack.reference(net, norm, budget)
            if kept is None:
                continue
            theirs, their_seconds = kept
            who, counts = f"AutoAttack, {budget}", _disagreements(ours, theirs)
            rows.append(row(task, norm, eps, "worst case", who, theirs.mean(), their_seconds, seconds, **counts))
    return rows


def _disagreements(ours, theirs):
    return {"n_only_reference": int((ours & ~theirs).sum()), "n_only_skrobust": int((~ours & theirs).sum())}


def parts(data):
    """Return what can be measured, by name, as functions that return rows."""

    def small():
        return [*digits_tasks(), mnist_task("plain", data)]

    return {
        "pgd": lambda: pgd_rows(small()),
        "apgd": lambda: apgd_rows(small()),
        "deepfool": lambda: deepfool_rows(small()),
        "art-autoattack": lambda: art_autoattack_rows(digits_tasks()),
        "autoattack": lambda: autoattack_rows({net: mnist_task(net, data) for net in LENETS}),
    }


def main():
    names = ["pgd", "apgd", "deepfool", "art-autoattack", "autoattack"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="npz file with X_train, y_train, X_test, y_test")
    parser.add_argument("--parts", nargs="+", choices=names, default=names, help="the others keep their rows")
    parser.add_argument("--out", default=RESULTS / "attacks.csv")
    options = parser.parse_args()
    use_one_thread()
    available, kept = parts(load(options.data)), read_csv(options.out)
    rows = []
    for name in names:
        if name in options.parts:
            rows += [{"part": name} | line for line in available[name]()]
        else:
            rows += [line for line in kept if line["part"] == name]
    write_csv(rows, options.out)


if __name__ == "__main__":
    main()
