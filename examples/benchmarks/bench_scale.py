"""Memory and time where rows are many.

Memory: fresh processes fit rows that are mapped from a file, feed a stream to partial_fit, and score many rows. Each
first does the same with 10,000 rows, which takes what batches and fixed costs take, and reads every few milliseconds
how much memory of its own it has (RssAnon, as Linux counts it: pages of a mapped file, which the kernel may take back
at any time, are not among it). To reach: at its peak at most 50 MB more than at that of the 10,000 rows, in the median
of several processes.

Time: process seconds of fits with more and more rows, unlabeled points and neighbors, in turns, the median of several
rounds. The exponent is the slope of a line through their logarithms. To reach: at most 1.05. Batches are small enough
that no tensor of a step is larger than 32 MB: from there on glibc gives memory back to the system with every tensor
and faults it in again with the next, which costs more than the step (MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_
in the environment, both above the largest tensor, put an end to that).

    python examples/benchmarks/bench_scale.py
    python examples/benchmarks/bench_scale.py --rows 200000 --features 50 --only fit
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from common import RESULTS, machine, use_one_thread, write_csv

ALLOWED_MB, ALLOWED_EXPONENT = 50, 1.05
MB = 1e6
STATUS = pathlib.Path("/proc/self/status")
CHUNK = 10_000
SCORED = 100_000
# Large enough that what a fit takes in any case does not flatten the lines.
SIZES = {
    "rows": [32_000, 64_000, 128_000, 256_000],
    "n_unlabeled": [16, 32, 64, 128],
    "n_neighbors": [16, 32, 64, 128],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=[*TASKS, "exponents"])
    parser.add_argument("--out", default=RESULTS / "scale.csv")
    parser.add_argument("--exponents-out", default=RESULTS / "scale_exponents.csv")
    parser.add_argument("--measure", choices=TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    use_one_thread()
    if options.measure:
        print(json.dumps(measured(options.measure, options.rows, options.features)))
        return
    sys.exit(not all([memory_is_flat(options), time_is_linear(options)]))


def memory_is_flat(options):
    """Measure memory, write the CSV file, and return whether the aim is reached."""
    tasks = [task for task in TASKS if options.only in (None, task)]
    if not tasks or not STATUS.exists():
        return True
    rows = []
    for task in tasks:
        command = [sys.executable, __file__, "--measure", task]
        command += [f"--rows={options.rows}", f"--features={options.features}"]
        rows.append(median_run(command, options.rounds))
        print(rows[-1])
    write_csv(rows, options.out)
    return all(row["growth_mb"] <= row["limit_mb"] for row in rows)


def median_run(command, n_runs):
    """Return the figures of the run with the median growth, which differs by tens of MB with where pieces are kept."""
    outputs = [
        subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        for _ in range(n_runs)
    ]
    return sorted(map(json.loads, outputs), key=lambda row: row["growth_mb"])[n_runs // 2]


class Peak:
    """Within this context, the most memory that this process has: attribute mb."""

    def __enter__(self):
        self.mb, self.is_over = own_mb(), threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self):
        while not self.is_over.wait(0.002):
            self.mb = max(self.mb, own_mb())

    def __exit__(self, *exception):
        self.is_over.set()
        self.thread.join()


def own_mb():
    """Return the memory of this process in MB, without mapped files."""
    return (
        next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("RssAnon")) * 1.024e-3
    )


def measured(task, n_rows, n_features):
    """Return the figures of one task in this process."""
    n_rows = min(n_rows, SCORED) if task.startswith("score") else n_rows
    with tempfile.TemporaryDirectory() as folder:
        X, y = mapped_rows(pathlib.Path(folder, "X.npy"), n_rows, n_features)
        TASKS[task](X[:100], y[:100])  # imports
        before = own_mb()
        with Peak() as few:
            TASKS[task](X[:CHUNK], y[:CHUNK])
        start = time.process_time()
        with Peak() as all_rows:
            TASKS[task](X, y)
        seconds = time.process_time() - start
    memory = {"few_mb": few.mb - before, "growth_mb": all_rows.mb - few.mb}
    figures = {"data_mb": X.nbytes / MB, **memory, "limit_mb": ALLOWED_MB, "seconds": seconds}
    rounded = {name: round(value, 1) for name, value in figures.items()}
    return {"task": task, "rows": n_rows, "features": n_features, **rounded, "machine": machine()}


def mapped_rows(path, n_rows, n_features):
    """Return rows that are mapped from a new file, read-only, and their labels."""
    random = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, n_features))
    labels = np.empty(n_rows, dtype=np.int64)
    for start in range(0, n_rows, CHUNK):
        chunk = random.standard_normal((min(CHUNK, n_rows - start), n_features), dtype=np.float32)
        rows[start : start + CHUNK] = chunk
        labels[start : start + CHUNK] = chunk[:, 0] + random.standard_normal(len(chunk)) > 0
    rows.flush()
    return np.load(path, mmap_mode="r"), labels


def classifier(**params):
    """Return a classifier that trains for one epoch."""
    from skrobust import OffSupportRobustClassifier

    return OffSupportRobustClassifier(**{"max_epochs": 1, "device": "cpu", "random_state": 0, **params})


def fit(X, y):
    """Fit the rows, and predict them."""
    classifier(batch_size=512).fit(X, y).predict(X)


def stream(X, y):
    """Give the rows to partial_fit, chunk by chunk."""
    model = classifier(batch_size=512)
    for start in range(0, len(X), CHUNK):
        model.partial_fit(X[start : start + CHUNK], y[start : start + CHUNK], classes=[0, 1])


def score_linear(X, y):
    """Attack a linear model at all rows."""
    from sklearn.linear_model import LogisticRegression

    _score(LogisticRegression().fit(X[:CHUNK], y[:CHUNK]), X, y)


def score_network(X, y):
    """Attack a network at all rows."""
    _score(classifier(batch_size=512).fit(X[:CHUNK], y[:CHUNK]), X, y)


def _score(model, X, y):
    from skrobust import make_robustness_scorer

    make_robustness_scorer("fgsm", eps=0.1, random_state=0)(model, X, y)


TASKS = {"fit": fit, "partial_fit": stream, "score_linear": score_linear, "score_network": score_network}


def time_is_linear(options):
    """Measure exponents, write the CSV file, and return whether the aim is reached."""
    if options.only not in (None, "exponents"):
        return True
    random = np.random.default_rng(0)
    X = random.standard_normal((max(SIZES["rows"]), 100), dtype=np.float32)
    y = (X[:, 0] > 0).astype(int)
    fit_seconds(X[:CHUNK], y[:CHUNK])  # imports
    cases = [(name, size) for name, sizes in SIZES.items() for size in sizes]
    seconds = {case: [] for case in cases}
    for _ in range(options.rounds):
        for name, size in cases:
            n, params = (size, {"batch_size": 512}) if name == "rows" else (8000, {"batch_size": 128, name: size})
            seconds[name, size].append(fit_seconds(X[:n], y[:n], **params))
    rows = [row for name, sizes in SIZES.items() for row in exponent_rows(name, sizes, seconds)]
    write_csv(rows, options.exponents_out)
    for row in rows:
        print(row)
    return all(row["exponent"] <= ALLOWED_EXPONENT for row in rows)


def fit_seconds(X, y, **params):
    """Return the process seconds of one fit of three epochs."""
    model = classifier(max_epochs=3, **params)
    start = time.process_time()
    model.fit(X, y)
    return time.process_time() - start


def exponent_rows(name, sizes, seconds):
    """Return the median seconds for each size of one thing, with the exponent of their growth."""
    medians = [statistics.median(seconds[name, size]) for size in sizes]
    exponent = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
    return [
        {
            "what": name,
            "size": size,
            "seconds": round(median, 3),
            "exponent": round(float(exponent), 3),
            "limit": ALLOWED_EXPONENT,
        }
        for size, median in zip(sizes, medians, strict=True)
    ]


if __name__ == "__main__":
    main()
