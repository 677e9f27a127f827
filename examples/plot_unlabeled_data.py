"""
======================================
What are rows without labels good for?
======================================

Labels are dear, rows are often cheap. Here 50 of the 8 x 8 digits of scikit-learn have labels, and more than a thousand
have none. The rows without labels can serve as anchors: points around which the answers are made to change slowly. But
such points can also be made up, or left out altogether. Which of these helps, if all may cost the same?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, cross_validate, train_test_split
from sklearn.neighbors import KernelDensity

from skrobust import OffSupportRobustClassifier, ThreatModel, make_robustness_scorer
from skrobust.inspection import PairwiseDistanceDisplay
from skrobust.model_selection import LabeledFolds
from skrobust.unlabeled import FromGenerator, off_support_scale

X, y = load_digits(return_X_y=True)
X = X / 16  # from white, 0, to black, 1

N_LABELED, N_TEST = 50, 400


def drawn(seed):
    """Return rows to train on, of which only the first have labels, and rows to judge by; split anew by each seed."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=N_TEST, stratify=y, random_state=seed)
    labeled, unlabeled = train_test_split(
        np.arange(len(y_train)), train_size=N_LABELED, stratify=y_train, random_state=seed
    )
    order = np.concatenate([labeled, unlabeled])
    return X_train[order], y_train[order], X_test, y_test


# %%
# How far away is outside?
# ------------------------
# Generated points have a radius: their distance from the rows around which they are made, in units of the data scale D.
# The histogram of the distances between rows shows what is near and what is far. ``off_support_scale`` returns the
# radius at which half of the generated points lie farther from all rows than nearly every row lies from the others. It
# needs no labels.

X_train, y_train, _, _ = drawn(0)
radius = off_support_scale(X_train)
print(f"At a radius of {radius:.2f}, half of the generated points are outside the support of {len(X_train)} rows.")

radii = {"half outside": radius, "default of neighbor_radius": 0.6, "default of unlabeled_radius": 1.0}
display = PairwiseDistanceDisplay.from_data(X_train, radii=radii)
display.ax_.set_title("Distances between digits, and radii of generated points")
plt.show()

# %%
# Two ways to hand over rows without labels
# -----------------------------------------
# They can stand beside the others: ``fit(X, y, X_unlabeled=...)``. Or among them, with a label that marks them. In that
# case cross-validation needs :class:`~skrobust.model_selection.LabeledFolds`: any other splitter takes the mark for a
# class, and each such row in a test fold counts as an error.

y_marked = np.where(np.arange(len(y_train)) < N_LABELED, y_train, -1)
clf = OffSupportRobustClassifier(unlabeled=None, unlabeled_label=-1, max_epochs=50, random_state=0)
threat_model = ThreatModel(eps=0.1, bounds=(0, 1))
scoring = {"clean": "accuracy", "pgd": make_robustness_scorer("pgd", threat_model=threat_model)}
print(f"Mean over three folds; eps {threat_model.eps:g}\n")
for cv in (LabeledFolds(3), StratifiedKFold(3)):
    scores = cross_validate(clf, X_train, y_marked, cv=cv, scoring=scoring)
    clean, pgd = scores["test_clean"].mean(), scores["test_pgd"].mean()
    print(f"{type(cv).__name__:<16} clean {clean:.3f}, under PGD {pgd:.3f}")

# %%
# Five choices at the same price
# ------------------------------
# Each of these evaluates the network at four points per labeled row and step: the row itself and three others.
#
# - no unlabeled points: three neighbors of each labeled row;
# - generated: an unlabeled point outside the support, and a neighbor of each of the two, which is the default;
# - own rows: the same with a row of yours in place of the generated point (``unlabeled=None`` generates none);
# - both: half of the points are your own rows, half are generated;
# - from a density: points drawn from a KernelDensity, fitted to the rows without labels. Any fitted generator with a
#   method ``sample`` will do.


def choices(X_unlabeled):
    """Return parameters of the classifier and of fit for each choice."""
    density = FromGenerator(KernelDensity(bandwidth=0.15).fit(X_unlabeled))
    return {
        "no unlabeled points": ({"n_unlabeled": 0, "n_neighbors": 3}, {}),
        "generated": ({}, {}),
        "own rows": ({"unlabeled": None}, {"X_unlabeled": X_unlabeled}),
        "both": ({}, {"X_unlabeled": X_unlabeled}),
        "from a density": ({"unlabeled": density}, {}),
    }


def trained(X, y, seed, smoothness, params, fit_params):
    settings = {"smoothness": smoothness, "max_epochs": 60, "batch_size": N_LABELED, "random_state": seed}
    return OffSupportRobustClassifier(**settings, **params).fit(X, y, **fit_params)


# %%
# Each choice first gets the ``smoothness`` that serves it best on one split: the one that leaves most rows right under
# a quick attack.

SMOOTHNESS = [0.03, 0.1, 0.3, 1.0]
quick = make_robustness_scorer("deepfool", threat_model=threat_model)
X_train, y_train, X_test, y_test = drawn(0)
labeled = X_train[:N_LABELED], y_train[:N_LABELED]
smoothness = {}
for name, (params, fit_params) in choices(X_train[N_LABELED:]).items():
    found = [quick(trained(*labeled, 0, value, params, fit_params), X_test, y_test) for value in SMOOTHNESS]
    smoothness[name] = SMOOTHNESS[int(np.argmax(found))]
    print(f"{name:<22}{smoothness[name]:g}")

# %%
# Then they are judged on other splits, by a thorough attack. Two more rows of the table say how large a difference is:
# plain training, which evaluates only the labeled rows themselves, and twice as many labels.

SEEDS, N_ATTACKED = (1, 2, 3, 4), 120
thorough = make_robustness_scorer("apgd_targeted", threat_model=threat_model)
scores, networks = {}, {}
for seed in SEEDS:
    X_train, y_train, X_test, y_test = drawn(seed)
    few = X_test[:N_ATTACKED], y_test[:N_ATTACKED]
    labeled, more = ((X_train[:n], y_train[:n]) for n in (N_LABELED, 2 * N_LABELED))
    among = choices(X_train[N_LABELED:])
    networks["plain"] = trained(*labeled, seed, 0, {}, {})
    networks |= {name: trained(*labeled, seed, smoothness[name], *chosen) for name, chosen in among.items()}
    base = "no unlabeled points"
    networks["twice the labels"] = trained(*more, seed, smoothness[base], *among[base])
    for name, network in networks.items():
        scores.setdefault(name, []).append([network.score(X_test, y_test), thorough(network, *few)])

scores = {name: np.array(found) for name, found in scores.items()}
gains = {name: found - scores[base] for name, found in scores.items()}
print(f"Accuracy with {N_LABELED} labels, mean over {len(SEEDS)} splits; difference to {base!r} in brackets\n")
print(f"{'':<22}{'clean':>15}{f'eps {threat_model.eps:g}':>17}")
for name, found in scores.items():
    pairs = zip(found.mean(axis=0), gains[name].mean(axis=0), strict=True)
    print(f"{name:<22}" + "  ".join(f"{mean:>6.3f} ({gain:+.3f})" for mean, gain in pairs))

# %%
# The ensemble of all attacks says how far that attack can be trusted, on the networks of the last split.

worst_case = make_robustness_scorer("worst_case", threat_model=threat_model)
for name in (base, "own rows"):
    print(f"{name:<22}thorough {thorough(networks[name], *few):.3f}, worst case {worst_case(networks[name], *few):.3f}")

# %%
# Look
# ----
# The difference to three neighbors of labeled rows, split by split. A choice that helps is above zero in all of them.

fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained", sharex=True, sharey=True)
names = [name for name in scores if name != base]
for ax, column, title in zip(axes, range(2), ("clean", f"attacked, eps {threat_model.eps:g}"), strict=True):
    for at, name in enumerate(names):
        gain = gains[name][:, column]
        ax.plot(gain, np.full(len(gain), at), "o", color="#0072B2", alpha=0.7)
        ax.plot([gain.mean()] * 2, [at - 0.3, at + 0.3], color="#D55E00", linewidth=2.5)
    ax.axvline(0, color="0.25", linewidth=0.8)
    ax.set(yticks=range(len(names)), yticklabels=names, title=title)
    ax.grid(axis="x", alpha=0.25)
axes[0].invert_yaxis()
fig.supxlabel(f"accuracy, less that with {base}", fontsize="medium")
fig.suptitle("What unlabeled points add: a dot for each split, a bar for the mean")
plt.show()

# %%
# What was learned
# ----------------
# - Smoothness helps with few labels too: all five choices are clearly harder to fool than the plain network, and about
#   as accurate.
# - Where the points lie makes next to no difference here. Rows of one's own, points of a density and points made up
#   outside the support do about what more neighbors of the labeled rows do at the same price. The differences between
#   them are no larger than those between splits.
# - Rows without labels do not replace labels: twice as many labels add more, on average, than all the rows without any.
# - If there are such rows, it costs nothing more to use them, and on other data they may do more. Compare them as here:
#   at the same number of points, each choice with its own ``smoothness``, over several splits.
