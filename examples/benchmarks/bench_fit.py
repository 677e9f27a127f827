"""Seconds per training epoch and per prediction, against a bare torch loop, plain skorch and scikit-learn.

Every way trains the same network, MLP(100), on 10,000 random rows of 10 classes in float32, batch size 128, one
thread. The bare loop does the same passes with the same fused optimizer. The ways take turns, and every figure is the
median over rounds; the ratio is the median of the ratios within a round, so that a slow spell of the machine hits
both sides.

    python examples/benchmarks/bench_fit.py
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from common import RESULTS, machine, use_one_thread, write_csv
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch.nn import functional

from skrobust import OffSupportRobustClassifier
from skrobust.modules import MLP

N_ROWS, N_CLASSES, BATCH, N_EPOCHS = 10_000, 10, 128, 6
DEFAULTS = OffSupportRobustClassifier()
LIMITS = {
    ("off-support", 20): 1.15,
    ("off-support", 784): 1.05,
    ("plain", 20): 1.3,
    ("plain", 784): 1.1,
    ("predict", 20): 2.0,
    ("predict", 784): 1.1,
}


class EpochEnds(Callback):
    """Note the time at the end of every epoch, in a list that outlives the copy that fit makes."""

    ends = []

    def on_epoch_end(self, net, **kwargs):
        self.ends.append(time.perf_counter())


def seconds_between(ends):
    """Return the median epoch, without the first, which warms up."""
    return statistics.median(np.diff(ends))


def bare_epochs(X, y, smoothness):
    """Train by a bare loop; return the ends of its epochs."""
    torch.manual_seed(0)
    network = MLP(X.shape[1], N_CLASSES)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    step = off_support_step(X) if smoothness else plain_step
    ends = []
    for _ in range(N_EPOCHS):
        for index in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad()
            step(network, X[index], y[index]).backward()
            optimizer.step()
        ends.append(time.perf_counter())
    return ends


def plain_step(network, X, y):
    return functional.cross_entropy(network(X), y)


def off_support_step(X_train):
    n_features = X_train.shape[1]
    scale = (2 * X_train.var(dim=0, correction=0).sum()).sqrt().item()
    unit = scale / n_features**0.5
    weight = DEFAULTS.smoothness * scale**2 * n_features

    def step(network, X, y):
        anchors = torch.cat([X, X + DEFAULTS.unlabeled_radius * unit * torch.randn_like(X)])
        neighbors = anchors + DEFAULTS.neighbor_radius * unit * torch.randn_like(anchors)
        logits = network(torch.cat([anchors, neighbors]))
        p, q = logits.softmax(dim=1).chunk(2)
        slope = (p - q).square().sum(dim=1) / (neighbors - anchors).square().sum(dim=1)
        return functional.cross_entropy(logits[: len(X)], y) + weight * slope.mean()

    return step


def our_epochs(X, y, smoothness):
    EpochEnds.ends.clear()
    OffSupportRobustClassifier(
        smoothness=smoothness,
        max_epochs=N_EPOCHS,
        batch_size=BATCH,
        callbacks=[EpochEnds],
        device="cpu",
        random_state=0,
    ).fit(X, y)
    return list(EpochEnds.ends)


def skorch_epochs(X, y):
    EpochEnds.ends.clear()
    NeuralNetClassifier(
        MLP,
        module__n_features=X.shape[1],
        module__n_classes=N_CLASSES,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        max_epochs=N_EPOCHS,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[EpochEnds],
        verbose=0,
    ).fit(X, y)
    return list(EpochEnds.ends)


def sklearn_epochs(X, y):
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is stopped early on purpose
        MLPClassifier(batch_size=BATCH, max_iter=N_EPOCHS, random_state=0).fit(X, y)
    return np.linspace(start, time.perf_counter(), N_EPOCHS + 1)[1:].tolist()


def seconds_to_predict(predict, X, n_repeats=5):
    times = []
    for _ in range(n_repeats):
        start = time.perf_counter()
        predict(X)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def one_round(X, y):
    """Return the seconds of each way once, by (task, way)."""
    tensors = torch.from_numpy(X), torch.from_numpy(y)
    epochs = {
        ("off-support", "bare loop"): lambda: bare_epochs(*tensors, DEFAULTS.smoothness),
        ("off-support", "skrobust"): lambda: our_epochs(X, y, DEFAULTS.smoothness),
        ("plain", "bare loop"): lambda: bare_epochs(*tensors, 0),
        ("plain", "skrobust"): lambda: our_epochs(X, y, 0.0),
        ("plain", "skorch"): lambda: skorch_epochs(X, y),
        ("plain", "scikit-learn"): lambda: sklearn_epochs(X, y),
    }
    seconds = {key: seconds_between(run()) for key, run in epochs.items()}
    model = OffSupportRobustClassifier(max_epochs=1, device="cpu").fit(X[:500], y[:500])
    network = model.net_.module_.eval()

    @torch.inference_mode()
    def bare_predict(X):
        return network(torch.from_numpy(X)).argmax(dim=1).numpy()

    seconds["predict", "bare loop"] = seconds_to_predict(bare_predict, X)
    seconds["predict", "skrobust"] = seconds_to_predict(model.predict, X)
    return seconds


def summary(n_features, rounds):
    rows = []
    for task, way in rounds[0]:
        ratios = [seconds[task, way] / seconds[task, "bare loop"] for seconds in rounds]
        limit = LIMITS[task, n_features] if way == "skrobust" else ""
        rows.append(
            {
                "task": task,
                "way": way,
                "n_rows": N_ROWS,
                "n_features": n_features,
                "batch_size": BATCH,
                "milliseconds": round(1000 * statistics.median(seconds[task, way] for seconds in rounds), 2),
                "ratio_to_bare_loop": round(statistics.median(ratios), 3),
                "to_reach": limit,
                "rounds": len(rounds),
                "machine": machine(),
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", default=RESULTS / "fit.csv")
    options = parser.parse_args()
    use_one_thread()
    rows = []
    for n_features in (20, 784):
        random = np.random.default_rng(0)
        X = random.standard_normal((N_ROWS, n_features)).astype(np.float32)
        y = random.integers(N_CLASSES, size=N_ROWS)
        rows += summary(n_features, [one_round(X, y) for _ in range(options.rounds)])
    write_csv(rows, options.out)
    for row in rows:
        print(*(row[key] for key in ("task", "way", "n_features", "milliseconds", "ratio_to_bare_loop", "to_reach")))


if __name__ == "__main__":
    main()
