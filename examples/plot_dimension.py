"""
=========================================================
Are networks easier to fool where dimensions are many?
=========================================================

The data sparsity hypothesis makes two predictions. If vulnerability comes from the empty space around the rows, then
the boundary of a plain network comes closer to the data as columns are added or rows are taken away. And then there is
the more to gain by smoothness around labeled and unlabeled points. Here both are put to a test in which nothing but the
sparsity changes: two moons, to which columns of weak noise are added that say nothing about the class.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import ortho_group
from sklearn.datasets import make_moons

from skrobust import OffSupportRobustClassifier
from skrobust.inspection import BoundaryDistanceDisplay
from skrobust.metrics import adversarial_distance, nearest_neighbor_margin

NOISE = 0.1


def make_wide_moons(n_rows, n_columns, seed):
    """Return moons with columns of noise, rotated so that all columns look alike."""
    X, y = make_moons(n_rows, noise=NOISE, random_state=seed)
    noise = np.random.default_rng(seed).normal(scale=NOISE, size=(n_rows, n_columns - 2))
    X = np.hstack([X, noise])
    return X @ ortho_group.rvs(n_columns, random_state=0), y


# %%
# What is compared
# ----------------
# A plain network; one with the package's defaults, one unlabeled point per row and one neighbor for each of both; and
# one without unlabeled points, which has three neighbors of each labeled row instead, at the radius of the unlabeled
# points. The last two evaluate the same number of points in every step, so that a difference is not one of effort. All
# get about the same number of steps.

ways = {
    "plain": {"smoothness": 0},
    "off-support": {},
    "labeled rows only": {"n_unlabeled": 0, "n_neighbors": 3, "neighbor_radius": 1.0},
}
N_TEST, N_ATTACKED, SEEDS = 200, 50, (0, 1)


def measured(n_rows, n_columns, seed):
    """Train in each way; return the scores, and the distances of unseen rows to the boundary."""
    X, y = make_wide_moons(n_rows, n_columns, seed)
    X_test, y_test = make_wide_moons(N_TEST, n_columns, 1000 + seed)
    few = X_test[:N_ATTACKED], y_test[:N_ATTACKED]
    bounds = nearest_neighbor_margin(*few, X_reference=X, y_reference=y)
    result = {"1-NN, at least": {"distance": bounds.lower}, "1-NN, at most": {"distance": bounds.upper}}
    for way, params in ways.items():
        n_epochs = min(100, 10_000 // n_rows)
        network = OffSupportRobustClassifier(**params, max_epochs=n_epochs, batch_size=32, random_state=seed).fit(X, y)
        distance = adversarial_distance(network, *few, norm=2)
        scale = network.data_scale_
        result[way] = {"distance": distance, "accuracy": network.score(X_test, y_test), "scale": scale}
    return result


def medians(sweep, way):
    """Return the median distance at each setting, the mean over the seeds; rows that are wrong have the distance 0."""
    return np.array([np.mean([np.median(run[way]["distance"]) for run in runs]) for runs in sweep])


def means(sweep, way, key):
    return np.array([np.mean([run[way][key] for run in runs]) for runs in sweep])


# %%
# More columns
# ------------
# 100 rows, and ever more columns. A boundary that ignored the noise would be as far from the rows as it is in the
# plane, whatever their number. The end of the table counts in D, the root of the expected squared distance of
# two rows. It grows with the noise that is added, so that in D the same distance is less.

N_ROWS, COLUMNS = 100, [2, 5, 20, 50, 100]
by_columns = [[measured(N_ROWS, n_columns, seed) for seed in SEEDS] for n_columns in COLUMNS]


def print_table(sweep, head, values):
    figures = {
        "accuracy": lambda way: means(sweep, way, "accuracy"),
        "median distance": lambda way: medians(sweep, way),
        "median distance / D": lambda way: medians(sweep, way) / means(sweep, way, "scale"),
    }
    print(f"{head:<22}" + "".join(f"{value:>8}" for value in values))
    for figure, of_way in figures.items():
        print(figure)
        for way in ways:
            print(f"    {way:<18}" + "".join(f"{number:>8.3f}" for number in of_way(way)))


print_table(by_columns, "columns", COLUMNS)

# %%
# More rows
# ---------
# 50 columns, and ever more rows: the opposite way, from sparse to dense.

N_COLUMNS, ROWS = 50, [50, 100, 400, 1600]
known = {N_ROWS: by_columns[COLUMNS.index(N_COLUMNS)]}
by_rows = [known.get(n_rows) or [measured(n_rows, N_COLUMNS, seed) for seed in SEEDS] for n_rows in ROWS]
print_table(by_rows, "rows", ROWS)

# %%
# Look
# ----
# The gap between the lines is what smoothness gains. 1-nearest-neighbor on the same rows stands beside them: its
# distance is only known to lie within the gray band.

STYLES = {
    "plain": {"color": "#0072B2", "marker": "o"},
    "off-support": {"color": "#D55E00", "marker": "s"},
    "labeled rows only": {"color": "#009E73", "marker": "^", "linestyle": "--"},
}
fig, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), layout="constrained", sharey=True)
titles = [f"{N_ROWS} rows, more columns: sparser", f"{N_COLUMNS} columns, more rows: denser"]
for ax, sweep, values, title in zip(axes, (by_columns, by_rows), (COLUMNS, ROWS), titles, strict=True):
    for way, style in STYLES.items():
        ax.plot(values, medians(sweep, way), label=way, **style)
    bounds = medians(sweep, "1-NN, at least"), medians(sweep, "1-NN, at most")
    ax.fill_between(values, *bounds, color="0.6", alpha=0.4, linewidth=0, label="1-nearest-neighbor", zorder=0)
    ax.set(xscale="log", xticks=values, xticklabels=values, title=title)
    ax.minorticks_off()
    ax.grid(alpha=0.25)
axes[0].set(xlabel="columns", ylabel="median distance to the boundary (L2)", ylim=(0, None))
axes[1].set(xlabel="rows")
axes[0].legend(loc="lower left", fontsize="small")
fig.suptitle("How far unseen rows are from the decision boundary")
plt.show()

# %%
# At one of these settings, all rows that were attacked, not only their median:

curves = [
    {"name": way, "direction": "adversarial", "distance": known[N_ROWS][0][way]["distance"], "max_distance": np.inf}
    for way in ways
]
display = BoundaryDistanceDisplay(curves, xlabel="distance (L2, in units of X)").plot(xscale="linear")
display.ax_.set_title(f"{N_ROWS} rows, {N_COLUMNS} columns: all unseen rows that were attacked")
plt.show()

# %%
# What was learned
# ----------------
# - Both predictions hold here. At a fixed number of rows the boundary of the plain network comes much closer to the
#   data as columns are added, in raw units and even more so in units of D. More rows push it away again, with all
#   columns still there.
# - Accuracy goes the same way: what makes the plain network easy to fool also makes it err.
# - With smoothness the boundary keeps most of its distance. There is next to no gain in the plane, and a large one
#   where rows are few for their columns.
# - It takes no unlabeled points: smoothness around labeled rows alone does about as well, if the network evaluates as
#   many points and the neighbors are as far away. What counts here is that points outside the support are looked at,
#   whether they are called unlabeled points or neighbors.
# - Columns of noise are a kind sort of dimension, as there is a boundary that ignores them. Data that need all their
#   dimensions may behave otherwise.
