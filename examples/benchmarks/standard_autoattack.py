"""Verdicts and seconds of standard AutoAttack on the LeNets of attacked_nets.py, kept in the folder `cache`.

AutoAttack is that of torchattacks, which only the benchmarks need:

    pip install --no-deps torchattacks==3.5.1
    python examples/benchmarks/standard_autoattack.py --data mnist.npz

Its four attacks (APGD-CE, APGD-T, FAB-T, Square) run one after the other, each on the images that still stand, as its
own ensemble has them. There are two budgets: "defaults" is `torchattacks.AutoAttack(version="standard")` as it comes,
with 10 steps for the first three; "published" is Croce and Hein (2020), with 100 steps. Square has 5,000 queries in
both. Batches have 250 images, as in its authors' own code; larger ones are slower here. The net itself judges each
image that comes back, which must lie in the ball and in [0, 1].

Every stage is kept as it ends, so that a run that was cut off goes on where it stopped.
"""

import argparse
import itertools
import time

import numpy as np
import torch
import torchattacks
from attacked_nets import CACHE, LENETS, lenet
from common import use_one_thread
from mnist_data import load, thinned

NORMS = {"Linf": torch.inf, "L2": 2}
# One radius for each net and norm, such that a fair part of the images stands and a fair part falls.
RADII = {
    "plain": {"Linf": 0.1, "L2": 1.0},
    "off-support": {"Linf": 0.2, "L2": 2.0},
    "worst-direction": {"Linf": 0.2, "L2": 2.0},
    "sigmoid": {"Linf": 0.1, "L2": 1.0},
    "fgsm": {"Linf": 0.2, "L2": 2.0},
}
STEPS = {"defaults": 10, "published": 100}
N_ROWS = 1_000
BATCH_SIZE = 250
TOLERANCE = 1e-5


def stages(network, norm, eps, steps):
    """Return the attacks of AutoAttack by name, as its version "standard" makes them."""
    common = {"norm": norm, "eps": eps, "seed": 0, "n_restarts": 1}
    return {
        "apgd-ce": torchattacks.APGD(network, loss="ce", steps=steps, **common),
        "apgd-t": torchattacks.APGDT(network, n_classes=10, steps=steps, **common),
        "fab-t": torchattacks.FAB(network, multi_targeted=True, n_classes=10, steps=steps, **common),
        "square": torchattacks.Square(network, n_queries=5000, **common),
    }


def cache_path(net, norm, budget):
    return CACHE / f"autoattack-{net}-{norm}-{RADII[net][norm]}-{budget}.npz"


def read(net, norm, budget):
    """Return what is in the cache: for each stage that has ended, which rows stand after it and its seconds."""
    path = cache_path(net, norm, budget)
    if not path.exists():
        return {}
    with np.load(path) as file:
        return dict(file)


def reference(net, norm, budget):
    """Return which rows stand after all stages and the seconds of all, or None if a stage is missing."""
    kept = read(net, norm, budget)
    if "square" not in kept:
        return None
    return kept["square"], sum(float(value) for name, value in kept.items() if name.endswith("_seconds"))


def run(net, norm, budget, network, X, y):
    """Run the stages that are not in the cache yet."""
    kept = read(net, norm, budget)
    standing = network(X).argmax(dim=1) == y
    for name, attack in stages(network, norm, RADII[net][norm], STEPS[budget]).items():
        if name not in kept:
            seconds, standing = _stage(attack, network, X, y, standing)
            kept |= {name: standing.numpy(), f"{name}_seconds": seconds}
            np.savez(cache_path(net, norm, budget), **kept)
            print(net, norm, RADII[net][norm], budget, name, float(standing.double().mean()), seconds, flush=True)
        standing = torch.from_numpy(kept[name])


def _stage(attack, network, X, y, standing):
    """Return the seconds of an attack on the rows that stand, and which rows stand after it."""
    rows = standing.nonzero()[:, 0]
    start = time.process_time()
    found = torch.cat([attack(X[part], y[part]) for part in rows.split(BATCH_SIZE)])
    seconds = time.process_time() - start
    change = (found - X[rows]).flatten(1)
    assert bool((change.norm(p=NORMS[attack.norm], dim=1) <= attack.eps + TOLERANCE).all()), "outside the ball"
    assert bool(((found >= 0) & (found <= 1)).all()), "outside [0, 1]"
    standing = standing.clone()
    standing[rows] = network(found).argmax(dim=1) == y[rows]
    return seconds, standing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="npz file with X_train, y_train, X_test, y_test")
    parser.add_argument("--nets", nargs="+", choices=LENETS, default=list(LENETS))
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=list(NORMS))
    parser.add_argument("--budgets", nargs="+", choices=STEPS, default=list(STEPS))
    options = parser.parse_args()
    use_one_thread()
    X_train, y_train, X_test, y_test = load(options.data)
    X, y = thinned(X_test, y_test, N_ROWS)
    X, y = torch.from_numpy(X)[:, None], torch.from_numpy(y).long()
    for budget, net, norm in itertools.product(options.budgets, options.nets, options.norms):
        run(net, norm, budget, lenet(net, X_train, y_train), X, y)


if __name__ == "__main__":
    main()
