"""Aims of the package on the paper's benchmarks, and by how much each is met or missed."""

import dataclasses
import math

from bench_paper_cifar import N_ALL as N_CIFAR
from bench_paper_cifar import WIDTH
from bench_paper_mnist import PLAIN
from common import RESULTS, read_csv
from figure_text import count, number, signed
from paper_judgement import LEAST_SEEDS
from paper_runs import FULL_SIZES, cifar_cell, needs_adversary, whole, widest_on_cifar

HEADS = ["aim", "best training", "found, of what is wanted", "verdict"]
NOT_MEASURED = "not measured"
MEASURED_FIRST, ALL = FULL_SIZES


def distance_over_plain(cell, method):
    """Return the mean over seeds of the distance of the boundary divided by that of plain training."""
    ratios = cell.values(method, "l2_distance_mean") / cell.values(PLAIN, "l2_distance_mean")
    return float(ratios.dropna().mean())


def distance_over_bracket(cell, method):
    """Return the mean distance of the boundary less the upper bound of the mean 1-nearest-neighbor margin."""
    if not cell.margin:
        return math.nan
    return cell.mean(method, "l2_distance_mean") - float(cell.margin["l2_margin_mean_upper"])


@dataclasses.dataclass(frozen=True)
class Aim:
    """Figures that one training shall reach together, on some number of images."""

    text: str
    n_train: int
    least: dict
    may_use_adversary: bool = False

    def values(self, cell, method):
        """Return the figures of a training, in the order of the aim."""
        return [get(cell, method) if callable(get) else cell.mean(method, get) for get in self.least]

    def slack(self, cell, method):
        """Return by how much each figure is above what is wanted."""
        return [value - least for value, least in zip(self.values(cell, method), self.least.values(), strict=True)]

    def best(self, cell):
        """Return the training whose worst figure is best, or None if none has been measured."""
        allowed = [m for m in cell.methods() if self.may_use_adversary or not needs_adversary(m)]
        known = [method for method in allowed if not any(map(math.isnan, self.slack(cell, method)))]
        return max(known, key=lambda method: min(self.slack(cell, method)), default=None)

    def line(self, cell, comment=""):
        """Return a row of the table."""
        n_train = self.n_train if cell is None else cell.n_train
        text = f"{self.text}, {n_train:,} images"
        method = None if cell is None else self.best(cell)
        if method is None:
            wanted = "; ".join(f"of {number(least)}" for least in self.least.values())
            return [text, "", wanted, NOT_MEASURED]
        slack, n_seeds = self.slack(cell, method), cell.n_seeds(method)
        found = zip(self.values(cell, method), self.least.values(), slack, strict=True)
        verdict = comment or ("met" if min(slack) >= 0 else "missed")
        if n_seeds < LEAST_SEEDS and not comment:
            verdict += ", too few seeds to be sure"
        return [text, f"{method} ({count(n_seeds, 'seed')})", "; ".join(_beside(*one) for one in found), verdict]


def _beside(value, wanted, gap, digits=3):
    if gap < 0 and round(gap, digits) == 0:
        # What is missed by less is still missed.
        digits += 1
    return f"{number(value, digits)} of {number(wanted, digits)} ({signed(gap, digits)})"


LINF_03 = "linf_0.3"
AIMS = (
    Aim(
        "without adversarial examples: clean; Linf 0.1",
        ALL,
        {"clean": 0.99, "worst_case_linf_0.1": 0.95},
    ),
    Aim(
        "without adversarial examples: mean L2 distance, over that of plain training", ALL, {distance_over_plain: 1.35}
    ),
    Aim(
        "without adversarial examples: mean L2 distance, less the upper bound of the 1-nearest-neighbor rule",
        ALL,
        {distance_over_bracket: 0.0},
    ),
    Aim(
        "with an adversary: Linf 0.2; L2 2, in one network",
        MEASURED_FIRST,
        {"worst_case_linf_0.2": 0.82, "worst_case_l2_2": 0.54},
        may_use_adversary=True,
    ),
    Aim("with an adversary: Linf 0.3", ALL, {LINF_03: 0.8}, may_use_adversary=True),
    Aim("with an adversary: Linf 0.3, stretched", ALL, {LINF_03: 0.88}, may_use_adversary=True),
)


def aims_judged(found):
    """Return a row for each aim; what is not measured on all images is shown on the first ones, if it is there."""
    rows, shown = [], []
    for aim in AIMS:
        cell, first = whole(found, aim.n_train), whole(found, MEASURED_FIRST)
        rows.append(aim.line(cell))
        is_new = rows[-1][-1] == NOT_MEASURED and aim.least.keys() not in shown
        if is_new and first is not None and aim.best(first):
            shown.append(aim.least.keys())
            rows.append(aim.line(first, comment="not the aim: fewer images"))
    return [*rows, _cifar(), *_costs()]


def _cifar():
    """Return the row of the aim on CIFAR-10, as the widest network meets it that has been trained."""
    wanted = {"clean": 0.6, "worst_case_linf_8/255": 0.3}
    aim = Aim("CIFAR-10, without adversarial examples: clean; Linf 8/255", N_CIFAR, wanted)
    widest = widest_on_cifar()
    if widest is None:
        return aim.line(None)
    width, path = widest
    comment = "" if width == WIDTH else f"not the aim: a network of width {width}, not {WIDTH}"
    return aim.line(cifar_cell(path), comment=comment)


def _costs():
    """Yield the rows of the aim on the cost of smoothness: its time over that of its arithmetic."""
    for row in read_csv(RESULTS / "penalties.csv"):
        if row["to_reach"]:
            found, most = float(row["over_arithmetic"]), float(row["to_reach"])
            text = f"seconds of an epoch over those of its arithmetic, at most; {row['network']}"
            yield [text, row["way"], _beside(found, most, most - found, 2), "met" if found <= most else "missed"]
