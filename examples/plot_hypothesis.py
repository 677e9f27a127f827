"""
================================================
Where does a network put its decision boundary?
================================================

The data sparsity hypothesis says: where there are no data, nothing tells a network where its decision boundary should
lie, so that it may lie right beside the data, and then a small change of a row changes the answer. In two dimensions
that can be seen. Three networks of the same size learn two moons and two circles: one plainly, one with unlabeled
points outside the support of the data, and one by adversarial training. A yardstick lies on top: the boundary of
1-nearest-neighbor, which is halfway between the nearest rows of both classes.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import ortho_group
from sklearn.datasets import make_circles, make_moons

from skrobust import OffSupportRobustClassifier
from skrobust.adversary import PGD
from skrobust.inspection import BoundaryDistanceDisplay, SoftmaxSurfaceDisplay
from skrobust.metrics import margin_ratio_score

N_ROWS = 60
data = {
    "moons": make_moons(N_ROWS, noise=0.08, random_state=0),
    "circles": make_circles(N_ROWS, noise=0.05, factor=0.5, random_state=0),
}

# %%
# Train
# -----
# Both radii are in units of the data scale D, the root of the expected squared distance of two rows. The classes here
# are closer to each other than is usual in many dimensions, and so the radii are smaller than the defaults. The
# adversary may move a row by 0.2.

ways = {
    "plain": {"smoothness": 0},
    "off-support": {"unlabeled_radius": 0.5, "neighbor_radius": 0.2},
    "adversarial": {"smoothness": 0, "adversary": PGD(eps=0.2, norm=2)},
}


def trained(X, y, **params):
    network = {"hidden_layer_sizes": (100, 100, 100), "max_epochs": 200, "batch_size": 32}
    return OffSupportRobustClassifier(**network, **params, random_state=0).fit(X, y)


networks = {name: {way: trained(X, y, **params) for way, params in ways.items()} for name, (X, y) in data.items()}

# %%
# Look
# ----
# A region has the color of the answer, paler where the network is less sure. The dashed line is the yardstick.


def share_legend(fig, axes):
    """Put one legend below all axes in place of one beside each, and leave out what the axes are called."""
    for ax in axes.flat:
        legend = ax.get_legend()
        legend.remove()
        ax.set(xlabel="", ylabel="")
    labels = [f"answer {text.get_text()}" if text.get_text() in "01" else text.get_text() for text in legend.texts]
    fig.legend(legend.legend_handles, labels, loc="outside lower center", ncols=4)


fig, axes = plt.subplots(2, 3, figsize=(8.4, 6.0), layout="constrained")
for row, (name, (X, y)) in zip(axes, data.items(), strict=True):
    for ax, (way, network) in zip(row, networks[name].items(), strict=True):
        SoftmaxSurfaceDisplay.from_estimator(network, X, y, name=f"{name}: {way}", ax=ax)
share_legend(fig, axes)
fig.suptitle("Answers of three networks, their boundaries, and that of 1-nearest-neighbor")
plt.show()

# %%
# Measure
# -------
# The distance of a row to the boundary is that of the nearest point found which the network answers otherwise, by an
# ensemble of attacks. Divided by half the distance to the nearest row of the other class it is the margin ratio: 1 is
# halfway, below 1 the boundary is on the row's own side. The smallest ratio tells of the row that is worst off. A
# ratio above 1 is possible: the nearest row of the other class may lie in another direction than the boundary.


def margins(network, X, y):
    return margin_ratio_score(network, X, y, return_details=True)


results = {
    name: {way: margins(network, *data[name]) for way, network in of_data.items()} for name, of_data in networks.items()
}
print(f"Margin ratios of {N_ROWS} training rows\n")
print(f"{'data':<10}{'training':<14}{'smallest':>9}{'lowest tenth':>14}{'median':>9}")
for name, of_data in results.items():
    for way, result in of_data.items():
        ratios = result.per_sample
        print(f"{name:<10}{way:<14}{ratios.min():>9.2f}{np.quantile(ratios, 0.1):>14.2f}{np.median(ratios):>9.2f}")

# %%
# The same for all rows of the moons, as curves: the share of rows that are farther from the boundary than a distance.
# The curve of 1-nearest-neighbor is a proven lower bound of its distances.

fig, ax = plt.subplots(figsize=(7.6, 4.8), layout="constrained")
BoundaryDistanceDisplay.from_estimator(
    networks["moons"],
    *data["moons"],
    directions="adversarial",
    reference=data["moons"],
    ax=ax,
    plot_params={"xscale": "linear"},
)
ax.get_legend().remove()
fig.legend(loc="outside lower center", ncols=2, fontsize="small")
ax.set_title("Moons: share of rows farther from the boundary than a distance")
plt.show()

# %%
# Beyond the plane
# ----------------
# A plane is not sparse: 60 rows leave little of it empty, and even the plain boundary keeps away from most rows. Now
# each row gets 48 more columns of weak noise, which say nothing about the class, and the whole is rotated, so that all
# columns look alike. A boundary that ignored the noise would be just as far from the data as before.

N_MORE = 48
rng = np.random.default_rng(0)
X, y = data["moons"]
X_wide = np.hstack([X, rng.normal(scale=0.08, size=(len(X), N_MORE))])
X_wide = X_wide @ ortho_group.rvs(2 + N_MORE, random_state=0)
# The gaps between rows are wider here, and the radii are the defaults.
wide = {"plain": trained(X_wide, y, smoothness=0), "off-support": trained(X_wide, y)}

fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained")
for ax, (way, network) in zip(axes, wide.items(), strict=True):
    SoftmaxSurfaceDisplay.from_estimator(network, X_wide, y, name=way, ax=ax)
share_legend(fig, axes)
fig.suptitle(f"Moons with {N_MORE} more columns: the plane of the first two principal components")
plt.show()

# %%
# The picture shows the rows without their noise, and there the plain boundary runs through them: the network tells some
# rows apart by their noise. Noise differs from row to row and is small, so that a small change undoes it.

print(f"Distance to the boundary, median of {N_ROWS} rows\n")
print(f"{'training':<14}{'2 columns':>11}{f'{2 + N_MORE} columns':>13}")
for way, network in wide.items():
    before, after = results["moons"][way].distance, margins(network, X_wide, y).distance
    print(f"{way:<14}{np.median(before):>11.3f}{np.median(after):>13.3f}")

# %%
# What was learned
# ----------------
# - In two dimensions all three networks answer rightly and keep, for most rows, about as far away as 1-nearest-neighbor
#   does. The plain one does worst where the fewest rows hold it: there its boundary leans to one side, and some rows
#   have much less room than there is. Unlabeled points and adversarial training both help the rows that are worst off.
#   The median hardly moves: in a plane there is little to gain.
# - The plain network is sure of its answers right up to the boundary. With unlabeled points the answers fade towards
#   it. After adversarial training they do not.
# - With many more columns that say nothing, the boundary of the plain network comes much closer to the data. With
#   unlabeled points it stays about as far away as it was.
#
# How this depends on the number of columns, and on that of rows, is the question of
# :ref:`sphx_glr_auto_examples_plot_dimension.py`.
