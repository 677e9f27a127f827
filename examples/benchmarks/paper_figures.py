"""What the page on the paper says of its benchmarks: tables and judgements in words, made from the committed CSV files.

What has not been run yet is said to be not measured. readme_figures.py writes it where the page includes it.
"""

import math
import pathlib

from bench_paper_cifar import WIDTH
from bench_paper_mnist import FAR_EPS, METHODS, N_JUDGING_ATTACKED, PLAIN, REFERENCE, TUNING, in_code
from common import RESULTS
from figure_text import count, listed, number, rst_table, share
from paper_aims import HEADS, aims_judged
from paper_comparison import Tuned
from paper_judgement import crossings_judged, gains_judged, recipe
from paper_runs import (
    CONFIDENCE,
    FULL_SIZES,
    LABELED_ONLY,
    MAX_DISTANCE,
    THREATS,
    cells,
    cifar_cell,
    flat_runs,
    whole,
    widest_on_cifar,
)
from scipy.stats import binomtest

PAGE = pathlib.Path(__file__).parents[2] / "docs/user_guide/paper_figures.inc"
# Digits behind the point of what is no share or distance.
DIGITS = {"epochs": 0, "fit_cpu_seconds": 0}
NOT_MEASURED = "Not measured yet: {}.\n"


def estimated(cell, method, measure, digits=3):
    """Return the mean over seeds and half the width of its interval, if they differ; nothing if it was not measured."""
    digits = DIGITS.get(measure, digits)
    mean, half_width = cell.mean(method, measure), cell.half_width(method, measure)
    if math.isinf(mean):
        return f"over {MAX_DISTANCE:g}"
    text = number(mean, digits)
    return f"{text} ± {number(half_width, digits)}" if half_width > 0 else text


def conditions(cell):
    """Say on what the figures of a cell rest."""
    n_attacked, n_test = (int(cell.runs[name].iloc[0]) for name in ("n_attacked", "n_test"))
    low, high = binomtest(n_attacked // 2, n_attacked).proportion_ci(CONFIDENCE, method="wilson")
    return (
        f"{n_attacked} test images are attacked; clean accuracy is that on all {n_test:,}. The choice of so few images "
        f"alone leaves an accuracy of one half uncertain by {share((high - low) / 2)} to either side ({CONFIDENCE:.0%} "
        "Wilson interval).\n"
    )


def cell_table(cell, what, columns, *, methods=None, digits=3):
    """Return a table with a row for each training; the columns are measures by their headings."""
    heads = ["training", "seeds", *columns.values()]
    rows = [
        [method, str(cell.n_seeds(method)), *(estimated(cell, method, measure, digits) for measure in columns)]
        for method in methods or cell.methods()
    ]
    return rst_table(f"{what}, {cell.n_train:,} training images.", heads, rows)


def seeds(found):
    """Say how many seeds stand behind the tables."""
    cell = whole(found, FULL_SIZES[0])
    n_seeds = sorted({cell.n_seeds(method) for method in cell.methods()})
    spread = f"{n_seeds[0]} to {n_seeds[-1]} seeds" if len(n_seeds) > 1 else count(n_seeds[0], "seed")
    missing = [name for name in METHODS if name not in cell.methods()]
    text = f"Each training on {cell.n_train:,} images has run with {spread}.\n"
    return text + (f"\nNot run yet: {listed(missing)}.\n" if missing else "")


def tuning(found):
    """Say which values of the knobs were tried, and which were taken."""
    tuned = Tuned(RESULTS / f"{TUNING}.csv")
    tried = {name: method for name, method in METHODS.items() if any(row["method"] == name for row in tuned.rows)}
    rows = []
    for name, method in tried.items():
        taken = method.default(tuned.value(name))
        best = next(r for r in tuned.rows if r["method"] == name and r["value"] in (str(taken), str(None)))
        values = ", ".join(f"{value:g}" for value in sorted(method.values))
        judged = [share(best[name]) for name in ("clean", "worst_case_union")]
        rows.append([name, method.knob or "", values, "" if taken is None else f"{taken:g}", *judged])
    n_train, n_epochs = int(tuned.rows[0]["n_train"]), tuned.rows[0]["epochs"]
    caption = f"Tuning: {n_train:,} training images, {n_epochs} epochs, judged by held-out ones."
    table = rst_table(caption, ["training", "knob", "tried", "taken", "clean", "union"], rows)
    attacked = f"{N_JUDGING_ATTACKED} held-out images were attacked: values that are close are not told apart.\n"
    at_end = [name for name, m in tried.items() if m.values and tuned.value(name) in (min(m.values), max(m.values))]
    note = f"For {listed(at_end)} the value taken is the first or last that was tried: one beyond may be better.\n"
    return "\n".join([table, attacked, *([note] if at_end else [])])


def trainings(found):
    """Give the code of the trainings."""
    cell = whole(found, FULL_SIZES[0])
    n_epochs = int(cell.runs["epochs"].iloc[0])
    return "".join(f"*{name}*\n   ``{in_code(name, n_epochs)}``\n\n" for name in cell.methods())


def worst_case(found):
    """Give the accuracies in the worst case, for all sizes that have been run."""
    far = {f"linf_{FAR_EPS:g}": f"Linf {FAR_EPS:g}"}
    columns = {"clean": "clean"} | THREATS | far
    missing = [f"{n:,} training images" for n in FULL_SIZES if whole(found, n) is None]
    tables = _by_size(found, lambda cell: cell_table(cell, "The worst case", columns) + notes(cell))
    return tables + (f"\n{NOT_MEASURED.format(' and '.join(missing))}" if missing else "")


def notes(cell):
    """Say what is to be known of a table of accuracies."""
    return "".join("\n" + text for text in (conditions(cell), flat_runs(cell)) if text)


def equal_seconds(found):
    """Give the trainings that had as many seconds as the reference."""
    columns = {"epochs": "epochs", "fit_cpu_seconds": "seconds", "clean": "clean"} | THREATS

    def table(cell):
        methods = cell.methods(at_equal_seconds=True)
        if not methods:
            return NOT_MEASURED.format(f"trainings at equal seconds on {cell.n_train:,} images")
        methods = [REFERENCE, *methods] if REFERENCE in cell.methods() else methods
        return cell_table(cell, f"As many seconds as {REFERENCE}", columns, methods=methods)

    return _by_size(found, table)


def seconds(found):
    """Give what the trainings cost."""
    columns = {"epochs": "epochs", "fit_cpu_seconds": "seconds of training"}
    return _by_size(found, lambda cell: cell_table(cell, "What it cost", columns))


def distances(found):
    """Give the distance of the boundary in the worst direction, beside that of the 1-nearest-neighbor rule."""
    columns = {
        "l2_distance_mean": "mean L2 distance",
        "l2_distance_median": "median",
        "rho_mean": "rho",
        "rho_median": "median rho",
    }

    def table(cell):
        return cell_table(cell, "Distance of the boundary", columns) + "\n" + _bracket(cell)

    return _by_size(found, table)


def _bracket(cell):
    if not cell.margin:
        return NOT_MEASURED.format("the margin of the 1-nearest-neighbor rule")
    means = [number(float(cell.margin[f"l2_margin_mean_{bound}"])) for bound in ("lower", "upper")]
    medians = [number(float(cell.margin[f"l2_margin_median_{bound}"])) for bound in ("lower", "upper")]
    above = [m for m in cell.methods() if cell.mean(m, "l2_distance_mean") > float(cell.margin["l2_margin_mean_upper"])]
    return (
        f"The 1-nearest-neighbor rule on the same {cell.margin['n_rows']} rows, of which it answers "
        f"{share(cell.margin['clean'])} rightly: its mean margin lies between {means[0]} and {means[1]}, its median "
        f"margin between {medians[0]} and {medians[1]}. Trainings whose mean distance is above this bracket: "
        f"{listed(above) if above else 'none'}.\n"
    )


def crossings(found):
    """Give how far the boundary is along rays that no attacker has chosen."""
    columns = {
        "crossing_random_q0.1": "random: first decile",
        "crossing_random_q0.5": "median",
        "crossing_random_censored_share": "none met",
        "crossing_off_support_q0.1": "off-support: first decile",
        "crossing_off_support_q0.5": "median",
        "crossing_off_support_censored_share": "none met",
    }
    heads = ["training", "seeds", *columns.values()]

    def cell_text(cell, method, measure):
        return estimated(cell, method, measure, 3 if measure.endswith("share") else 1)

    def table(cell):
        rows = [
            [method, str(cell.n_seeds(method)), *(cell_text(cell, method, measure) for measure in columns)]
            for method in cell.methods()
        ]
        return rst_table(f"Distances along rays, {cell.n_train:,} training images.", heads, rows)

    return _by_size(found, table)


def confidence(found):
    """Give how sure the networks are of images that are no digits."""
    columns = {
        "confidence_on_cifar10": "in [0, 1]",
        "confidence_std_on_cifar10": "spread",
        "confidence_on_cifar10_standardized": "standardized",
        "confidence_std_on_cifar10_standardized": "spread",
    }
    return _by_size(found, lambda cell: cell_table(cell, "Mean top-class confidence on CIFAR-10 images", columns))


def rows_and_pixels(found):
    """Put the sizes side by side, and judge the first question."""
    heads = ["images", "pixels", "training", "seeds", "epochs", "clean", "fooled, Linf 0.1", "fooled, L2 2"]
    heads += ["union", "distance / D"]
    columns = ("clean", "fooled_worst_case_linf_0.1", "fooled_worst_case_l2_2", "worst_case_union", "distance_in_d")
    rows = [
        [
            *(f"{cell.n_train:,}", str(cell.side**2), method, str(cell.n_seeds(method))),
            f"{cell.mean(method, 'epochs'):.0f}",
            *(estimated(cell, method, measure) for measure in columns),
        ]
        for cell in found
        for method in (PLAIN, REFERENCE, LABELED_ONLY)
        if method in cell.methods()
    ]
    table = rst_table("The same trainings on fewer images and on smaller ones.", heads, rows)
    return f"{table}\n{gains_judged(found)}"


def rays_judged(found):
    """Judge the second question."""
    return crossings_judged(whole(found, FULL_SIZES[0]))


def aims(found):
    """Say which aims are met."""
    return rst_table(
        "Aims of this package, and what has been measured.", HEADS, aims_judged(found), css="aims", widths="36 20 26 18"
    )


def cifar(found):
    """Say what has been run on CIFAR-10."""
    widest = widest_on_cifar()
    if widest is None:
        return "All images want a GPU, and are not measured yet.\n"
    width, path = widest
    narrow = "" if width == WIDTH else f" The benchmark's own width is {WIDTH}, which wants a GPU: not measured yet."
    cell = cifar_cell(path)
    images, epochs = count(cell.n_train, "training image"), count(cell.runs["epochs"].max(), "epoch")
    return (
        f".. benchmark-table:: {path.name.replace('_runs', '')}\n   :columns: model=training, n_seeds=seeds, clean, "
        "worst_case_linf_2/255=Linf 2/255, worst_case_linf_4/255=Linf 4/255, worst_case_linf_8/255=Linf 8/255, "
        "rho_median=rho, fit_cpu_seconds=seconds\n   :where: measure=clean|worst_case_linf_2/255|worst_case_linf_4/255|"
        "worst_case_linf_8/255|rho_median|fit_cpu_seconds\n   :pivot: measure, mean, std_error\n"
        "   :format: .3f, fit_cpu_seconds=.0f\n"
        f"   :caption: CIFAR-10, {images}, {epochs}, ResNet9 of width {width}.\n\n"
        f"{conditions(cell).strip()} ± is the standard error over seeds, where there are several. Seconds are "
        f"those of the processor.{narrow}\n"
    )


def picture(function, alt):
    """Return a picture that is drawn when the pages are built."""
    return f".. plot::\n   :alt: {alt}\n\n   import paper_pictures\n\n   paper_pictures.{function}()\n"


def picture_of_worst_case(found):
    return picture(
        "worst_case",
        "Dots for each training, sorted by the union: clean accuracy, accuracy in the worst case by norm, the union.",
    )


def picture_of_distances(found):
    return picture(
        "distances",
        "Dots for each training: distance of the boundary as a multiple of that of plain training, in the worst "
        "direction, along random rays and along rays to off-support points.",
    )


def _by_size(found, part):
    """Return a part for each full size that has been run."""
    sizes = [whole(found, n) for n in FULL_SIZES]
    return "\n".join(part(cell) for cell in sizes if cell is not None)


PARTS = {
    "seeds": seeds,
    "tuning": tuning,
    "trainings": trainings,
    "worst-case": worst_case,
    "picture-worst-case": picture_of_worst_case,
    "recipe": lambda found: recipe(whole(found, FULL_SIZES[0])),
    "equal-seconds": equal_seconds,
    "distances": distances,
    "crossings": crossings,
    "picture-distances": picture_of_distances,
    "rays-judged": rays_judged,
    "rows-and-pixels": rows_and_pixels,
    "confidence": confidence,
    "seconds": seconds,
    "aims": aims,
    "cifar": cifar,
}


def page():
    """Return all that the page includes."""
    found = cells()
    head = ".. Written by examples/benchmarks/readme_figures.py from the CSV files: do not edit.\n"
    return head + "".join(f"\n.. begin {name}\n\n{part(found)}\n.. end {name}\n" for name, part in PARTS.items())
