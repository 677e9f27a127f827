"""The runs of bench_paper_mnist.py as they stand: what has been measured, on how many seeds."""

import dataclasses
import inspect
import re

import numpy as np
import pandas as pd
import scipy.stats
from bench_paper_cifar import N_ALL as N_CIFAR
from bench_paper_cifar import WIDTH
from bench_paper_mnist import EQUAL_SECONDS, METHODS, SIDE
from common import RESULTS, read_csv
from paper_comparison import figures

CONFIDENCE = 0.95
# How far the benchmark looks along a ray.
MAX_DISTANCE = inspect.signature(figures).parameters["max_distance"].default
FULL_SIZES = (10_000, 60_000)
CIFAR_SIDE = 32
# Clean accuracy on ten classes that is hardly above that of a single answer.
FLAT = 0.2
LABELED_ONLY = "labeled only, same passes"
THREATS = {
    "worst_case_linf_0.1": "Linf 0.1",
    "worst_case_linf_0.2": "Linf 0.2",
    "worst_case_l2_2": "L2 2",
    "worst_case_union": "union",
}
NAMES_OF_FILES = re.compile(r"paper_mnist_(\d+)(?:_(\d+)px)?_runs\.csv")
NAMES_OF_SLICES = re.compile(rf"paper_cifar_slice_{N_CIFAR}_width_(\d+)_runs\.csv")


@dataclasses.dataclass(frozen=True)
class Cell:
    """All runs on one number of training rows and one size of the images."""

    n_train: int
    side: int
    runs: pd.DataFrame
    margin: dict

    @property
    def name(self):
        """Return what a reader calls it."""
        return f"{self.n_train:,} rows of {self.side} x {self.side} pixels"

    def methods(self, *, at_equal_seconds=False):
        """Return the names of the trainings, in the order in which the benchmark has them."""
        order = list(METHODS)
        names = [name for name in self.runs["model"].unique() if name.endswith(EQUAL_SECONDS) == at_equal_seconds]
        position = {name: order.index(base_name(name)) for name in names if base_name(name) in METHODS}
        return sorted(names, key=lambda name: position.get(name, len(order)))

    def values(self, method, measure):
        """Return what the seeds of a training say of a measure, a Series by seed; empty if nothing."""
        runs = self.runs[self.runs["model"] == method]
        if measure not in runs:
            return pd.Series(dtype=float)
        return runs.set_index("seed")[measure].dropna()

    def mean(self, method, measure):
        """Return the mean over seeds; NaN if there is none, infinite if one of them is."""
        return float(self.values(method, measure).mean())

    def half_width(self, method, measure):
        """Return half the width of the 95 % interval of the mean over seeds; NaN of a single seed."""
        values = self.values(method, measure)
        if len(values) < 2 or np.isinf(values).any():
            return float("nan")
        return float(values.sem() * scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))

    def n_seeds(self, method):
        """Return the number of seeds of a training."""
        return int((self.runs["model"] == method).sum())

    def n_flat(self, method):
        """Return the number of runs of a training that learnt nothing: one answer to all of ten classes."""
        return int((self.values(method, "clean") < FLAT).sum())

    def is_finite(self, method, measure):
        """Return whether a measure has been taken, and is finite in all seeds."""
        return bool(np.isfinite(self.mean(method, measure)))

    def differences(self, method, other, measure):
        """Return the measure less that of another training with the same seed, a Series by seed."""
        return (self.values(method, measure) - self.values(other, measure)).dropna()


def base_name(name):
    """Return the name of the training without its budget."""
    return name.removesuffix(EQUAL_SECONDS)


def derived(runs):
    """Add measures that can be compared across numbers of rows and sizes of images.

    The distance of rows that are misclassified is 0, so that the mean over the others is that over all divided by the
    accuracy; `distance_in_d` has it in units of the data scale D. `fooled_...` is the share of rows answered rightly
    that an attack fools. The accuracy is that on all test images, not only on those attacked.
    """
    runs = runs.assign(distance_in_d=runs["l2_distance_mean"] / runs["clean"] / runs["data_scale"])
    return runs.assign(**{f"fooled_{name}": 1 - runs[name] / runs["clean"] for name in THREATS})


def cells(folder=RESULTS):
    """Return all that has been run on MNIST, by the number of rows and the size of the images."""
    found = []
    for path in folder.glob("paper_mnist_*_runs.csv"):
        match = NAMES_OF_FILES.fullmatch(path.name)
        if match:
            margin = read_csv(path.with_name(path.name.replace("_runs.csv", "_nearest_neighbor.csv")))
            side = int(match[2] or SIDE)
            found.append(Cell(int(match[1]), side, derived(pd.read_csv(path)), margin[0] if margin else {}))
    return sorted(found, key=lambda cell: (cell.n_train, cell.side))


def whole(found, n_train):
    """Return the cell of images as they are with this number of rows, or None."""
    return next((cell for cell in found if (cell.n_train, cell.side) == (n_train, SIDE)), None)


def widest_on_cifar(folder=RESULTS):
    """Return the width of the widest network trained on all images of CIFAR-10, and its file; None if there is none."""
    path = folder / "paper_cifar_runs.csv"
    widths = {WIDTH: path} if path.exists() else {}
    matches = map(NAMES_OF_SLICES.fullmatch, (path.name for path in folder.iterdir()))
    widths |= {int(match[1]): folder / match[0] for match in matches if match}
    return max(widths.items(), default=None)


def cifar_cell(path):
    """Return all runs of a file on CIFAR-10."""
    return Cell(N_CIFAR, CIFAR_SIDE, pd.read_csv(path), {})


def flat_runs(cell):
    """Return a sentence on the trainings of which runs learnt nothing; "" if there are none."""
    flat = [f"{cell.n_flat(m)} of {cell.n_seeds(m)} runs of *{m}*" for m in cell.methods() if cell.n_flat(m)]
    return f"Learnt nothing, and counts in the means: {'; '.join(flat)}.\n" if flat else ""


def needs_adversary(name):
    """Return whether a training looks for the worst direction, in labeled rows or in neighbors."""
    fixed = METHODS[base_name(name)].fixed
    kinds = {fixed.get("neighbors"), fixed.get("penalty")}
    return "adversary" in fixed or not kinds.isdisjoint({"adversarial", "virtual_adversarial"})
