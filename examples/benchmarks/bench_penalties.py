"""What each penalty and each adversary costs: its epoch beside that of plain training, and the passes that it needs.

Every way trains the same network on the same rows in float32, one thread, at the same batch size, with the parameters
that the estimator has by default. The seconds are those of the process, the ways take turns, and every ratio is the
median of the ratios within a round.

Passes are counted while an epoch runs, none is typed in: `forward` and `backward` passes in a step, the `points` that
go forward for each row of a batch, and the `arithmetic`, the multiplications of all forward and backward passes (as
counted by torch) as a multiple of those of plain training. `over_arithmetic` is the ratio of times divided by that of
the arithmetic: below 1 where larger batches are the cheaper ones.

    python examples/benchmarks/bench_penalties.py
    python examples/benchmarks/bench_penalties.py --data mnist.npz
"""

import argparse
import collections
import contextlib
import functools
import math
import statistics
import time

import mnist_data
import numpy as np
import torch
from common import RESULTS, machine, read_csv, use_one_thread, write_csv
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch.utils.flop_counter import FlopCounterMode

from skrobust import OffSupportRobustClassifier
from skrobust.adversary import FGSM, NFGSM, PGD, TRADES, MultiplePerturbations
from skrobust.modules import MLP, LeNet
from skrobust.penalties import Jacobian, UniformConfidence

N_EPOCHS, BATCH = 4, 64
BALLS = [PGD(0.1), PGD(1.0, norm=2)]
WAYS = {
    "plain": {"smoothness": 0},
    "smoothness": {},
    "smoothness, labeled only": {"n_unlabeled": 0},
    "smoothness, worst direction": {"neighbors": "adversarial"},
    "jacobian, 1 projection": {"penalty": "jacobian"},
    "jacobian, exact": {"penalty": Jacobian(-1)},
    "input gradient": {"penalty": "input_gradient"},
    "curvature": {"penalty": "curvature"},
    "virtual adversarial": {"penalty": "virtual_adversarial"},
    "virtual adversarial, labeled only": {"penalty": "virtual_adversarial", "n_unlabeled": 0},
    "stability": {"penalty": "stability"},
    "uniform confidence": {"penalty": "uniform_confidence"},
    "uniform confidence, 5 steps": {"penalty": UniformConfidence(n_steps=5)},
    "fgsm": {"smoothness": 0, "adversary": FGSM()},
    "fgsm alone": {"smoothness": 0, "adversary": FGSM(weight=1)},
    "n-fgsm alone": {"smoothness": 0, "adversary": NFGSM(weight=1)},
    "pgd-7": {"smoothness": 0, "adversary": PGD()},
    "pgd-7 alone": {"smoothness": 0, "adversary": PGD(weight=1)},
    "trades-10": {"smoothness": 0, "adversary": TRADES()},
    "pgd-7, two norms, worst": {"smoothness": 0, "adversary": MultiplePerturbations(BALLS)},
    "pgd-7, two norms, drawn": {"smoothness": 0, "adversary": MultiplePerturbations(BALLS, strategy="random")},
    "fgsm + smoothness": {"adversary": FGSM()},
    "fgsm + jacobian": {"adversary": FGSM(), "penalty": "jacobian"},
}
# The most that a way may cost, as a multiple of its arithmetic.
TO_REACH = {"smoothness": 1.1}


class EpochEnds(Callback):
    """Note the time of the process at the end of every epoch, in a list that outlives the copy that fit makes."""

    ends = []

    def on_epoch_end(self, net, **kwargs):
        self.ends.append(time.process_time())


class WholeNetwork(contextlib.nullcontext):
    """Stands in for what tells the modules of a network apart when their multiplications are counted."""

    parents = frozenset({"Global"})


@contextlib.contextmanager
def counting():
    """Yield a dict that counts forward and backward passes and the points of networks within this context."""
    counts = collections.Counter()
    grad, backward = torch.autograd.grad, torch.autograd.backward

    def hook(module, inputs, outputs):
        if isinstance(module, (MLP, LeNet)):
            counts["forward"] += 1
            counts["points"] += len(outputs)

    def counted(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            counts["backward"] += 1
            return function(*args, **kwargs)

        return wrapper

    flops = FlopCounterMode(display=False)
    flops.mod_tracker = WholeNetwork()  # torch's own hooks weights, where a gradient of points alone does not come
    handle = torch.nn.modules.module.register_module_forward_hook(hook)
    torch.autograd.grad, torch.autograd.backward = counted(grad), counted(backward)
    try:
        with flops:
            yield counts
        counts["flops"] = flops.get_total_flops()
    finally:
        handle.remove()
        torch.autograd.grad, torch.autograd.backward = grad, backward


def fitted(params, X, y, n_epochs, **more):
    return OffSupportRobustClassifier(
        **more, max_epochs=n_epochs, batch_size=BATCH, device="cpu", random_state=0, **params
    ).fit(X, y)


def counts_of_an_epoch(params, X, y, **more):
    """Return what a second epoch adds: what comes before training, and after, is left out."""
    counts = []
    for n_epochs in (1, 2):
        with counting() as count:
            fitted(params, X, y, n_epochs, **more)
        counts.append(count)
    return {name: counts[1][name] - counts[0][name] for name in counts[1]}


def seconds_of_an_epoch(params, X, y, **more):
    """Return the median epoch, without the first, which warms up."""
    EpochEnds.ends.clear()
    fitted(params, X, y, N_EPOCHS, callbacks=[EpochEnds], **more)
    return statistics.median(np.diff(EpochEnds.ends))


def measured(name, X, y, n_rounds, **more):
    """Return a row for each way of training one network."""
    counts = {way: counts_of_an_epoch(params, X, y, **more) for way, params in WAYS.items()}
    rounds = [{way: seconds_of_an_epoch(params, X, y, **more) for way, params in WAYS.items()} for _ in range(n_rounds)]
    n_steps = math.ceil(len(X) / BATCH)
    rows = []
    for way, count in counts.items():
        ratio = statistics.median(seconds[way] / seconds["plain"] for seconds in rounds)
        arithmetic = count["flops"] / counts["plain"]["flops"]
        rows.append(
            {
                "network": name,
                "way": way,
                "n_rows": len(X),
                "batch_size": BATCH,
                "forward": round(count["forward"] / n_steps, 2),
                "backward": round(count["backward"] / n_steps, 2),
                "points": round(count["points"] / len(X), 2),
                "arithmetic": round(arithmetic, 2),
                "milliseconds": round(1000 * statistics.median(seconds[way] for seconds in rounds), 2),
                "ratio_to_plain": round(ratio, 2),
                "over_arithmetic": round(ratio / arithmetic, 2),
                "to_reach": TO_REACH.get(way, ""),
                "rounds": n_rounds,
                "machine": machine(),
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="MNIST as mnist.npz, for a LeNet instead of the digits that scikit-learn has")
    parser.add_argument("--rows", type=int, default=640, help="images of it to train on")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", default=RESULTS / "penalties.csv")
    options = parser.parse_args()
    use_one_thread()
    if options.data:
        X, y, _, _ = mnist_data.load(options.data, options.rows)
        name, more = "LeNet, MNIST", {"module": "lenet"}
    else:
        X, y = load_digits(return_X_y=True)
        X, name, more = (X / 16).astype(np.float32), "MLP, digits", {"hidden_layer_sizes": (100,)}
    rows = measured(name, X, y, options.rounds, **more)
    others = [row for row in read_csv(options.out) if row["network"] != name]
    write_csv(sorted(others, key=lambda row: row["network"]) + rows, options.out)
    columns = ("way", "forward", "backward", "points", "arithmetic", "ratio_to_plain", "over_arithmetic", "to_reach")
    for row in rows:
        print(*(row[column] for column in columns), sep=" | ")


if __name__ == "__main__":
    main()
