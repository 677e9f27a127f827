"""Pictures of the paper's benchmarks, drawn when the pages are built."""

import matplotlib.pyplot as plt
from bench_paper_mnist import PLAIN
from matplotlib.ticker import LogLocator, NullLocator
from paper_judgement import UNION, compared
from paper_runs import FULL_SIZES, MAX_DISTANCE, THREATS, cells, whole

from skrobust.inspection._palette import INK, MARKERS, OKABE_ITO

LINE_HEIGHT = 0.32
DIRECTIONS = {
    "worst": "in the worst direction",
    "random": "along random rays",
    "off-support": "along rays to off-support points",
}


def worst_case():
    """Draw the accuracies of all trainings, the largest union above."""
    cell = whole(cells(), FULL_SIZES[0])
    methods = sorted(cell.methods(), key=lambda method: cell.mean(method, UNION))
    axes = _dots(cell, methods, {"clean": "clean"} | THREATS)
    axes.set(xlabel=f"accuracy in the worst case, {cell.n_train:,} MNIST images", xlim=(-0.02, 1.02))


def distances():
    """Draw how far the boundary is beside that of plain training, by direction."""
    cell = whole(cells(), FULL_SIZES[0])
    methods = sorted(cell.methods(), key=lambda method: cell.mean(method, "l2_distance_mean"))
    columns = {measure: DIRECTIONS[direction] for direction, measure in compared(cell).items()}
    axes = _dots(cell, methods, columns, {measure: cell.mean(PLAIN, measure) for measure in columns})
    axes.axvline(1, color=INK, linewidth=0.8)
    label = "distance of the boundary / that of plain training\n(how far was looked, where none was met)"
    axes.set(xlabel=label, xscale="log")
    axes.xaxis.set_major_locator(LogLocator(base=2))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")


def _dots(cell, methods, columns, scale=None):
    """Draw a line of dots for each training, a color and a marker for each measure; the union is a ring."""
    figure, axes = plt.subplots(figsize=(7, 1.3 + LINE_HEIGHT * len(methods)), layout="constrained")
    for index, (measure, label) in enumerate(columns.items()):
        # A boundary that was met nowhere is at least as far as was looked.
        means = [min(cell.mean(method, measure), MAX_DISTANCE) for method in methods]
        values = [mean / (scale[measure] if scale else 1) for mean in means]
        style = {"color": OKABE_ITO[index], "marker": MARKERS[index]}
        if measure == UNION:
            style = {"facecolor": "none", "edgecolor": INK, "s": 110}
        axes.scatter(values, range(len(methods)), label=label, zorder=3, **style)
    axes.set_yticks(range(len(methods)), [f"{method} ({cell.n_seeds(method)})" for method in methods])
    axes.set_ylabel("training (seeds)")
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(columns), frameon=False, columnspacing=1, handletextpad=0.2)
    return axes
