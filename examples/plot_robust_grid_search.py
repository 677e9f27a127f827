"""
=====================================================
How much accuracy does robustness cost? A grid search
=====================================================

``GridSearchCV`` searches for a classifier that is both accurate and hard to fool: along the ``smoothness`` of an
:class:`~skrobust.OffSupportRobustClassifier`, and along the parameter ``C`` of an SVC. Both stand behind a
StandardScaler, and both are attacked through it, in the units of the raw features: each may change by a share of the
standard deviation that it has in the training rows.

The picture goes to the folder named by the environment variable ``SKROBUST_OUTPUT``, by default the current one.
"""

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

from skrobust import OffSupportRobustClassifier, ThreatModel
from skrobust.metrics import make_robustness_scorer, make_robustness_scorers, robustness_report
from skrobust.model_selection import most_robust_within

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=120, stratify=y, random_state=0)

# %%
# What an attacker may do
# -----------------------
# A scorer sees no training rows, so that the units are taken from them beforehand.

EPS = 0.3
threat_model = ThreatModel(units="std").resolve(X_train)

# %%
# Cross-validate
# --------------
# A robust score stands beside the others.

pgd = make_robustness_scorer("pgd", eps=EPS, threat_model=threat_model)
pipelines = {
    "off-support network": make_pipeline(StandardScaler(), OffSupportRobustClassifier(max_epochs=30, random_state=0)),
    "SVC": make_pipeline(StandardScaler(), SVC()),
}
print(f"Three-fold cross-validation; eps {EPS} standard deviations\n\n{'':<22}{'clean':>8}{'under PGD':>12}")
for name, pipeline in pipelines.items():
    scores = cross_validate(pipeline, X_train, y_train, cv=3, scoring={"clean": "accuracy", "pgd": pgd}, n_jobs=2)
    print(f"{name:<22}{scores['test_clean'].mean():>8.3f}{scores['test_pgd'].mean():>12.3f}", flush=True)

# %%
# Search
# ------
# One run of the attack scores several eps. The winner is the most robust candidate whose accuracy is within .01 of the
# best one's.

EPS_GRID = [0.1, 0.2, 0.3]
scoring = make_robustness_scorers("apgd", eps_grid=EPS_GRID, threat_model=threat_model)
grids = {
    "off-support network": {"offsupportrobustclassifier__smoothness": [0, 0.01, 0.03, 0.1, 0.3]},
    "SVC": {"svc__C": [0.03, 0.1, 0.3, 1, 10]},
}
searches, seconds = {}, {}
for name, grid in tqdm(grids.items(), desc="Searching", unit="search"):
    start = time.perf_counter()
    refit = most_robust_within(0.01, robust=f"robust_{EPS}")
    search = GridSearchCV(pipelines[name], grid, scoring=scoring, refit=refit, cv=3, n_jobs=2)
    searches[name] = search.fit(X_train, y_train)
    seconds[name] = time.perf_counter() - start

print("\nThe winners")
for name, search in searches.items():
    chosen = {parameter.rpartition("__")[2]: value for parameter, value in search.best_params_.items()}
    print(f"{name:<22}{chosen}, {seconds[name]:.1f} s")

# %%
# Audit the winners
# -----------------
# A search picks whatever looks robust to one attack. The ensemble of all attacks has the last word, on rows that
# neither the training nor the search has seen.

reports = {
    name: robustness_report(
        search.best_estimator_,
        X_test,
        y_test,
        threat_model.with_eps(EPS),
        eps_factors=[0, 1 / 3, 2 / 3, 1],
        n_control=15,
    )
    for name, search in searches.items()
}
for name, report in reports.items():
    print(f"\n{name}\n{'-' * len(name)}\n{report}")

# %%
# Look
# ----
# Clean accuracy hardly moves while robust accuracy rises with ``smoothness``, until too much of it costs both.

INK, CLEAN = "0.25", "#4477AA"
SHADES = ["#F0B57A", "#E07B39", "#B24700"]
fig, axes = plt.subplots(1, 2, figsize=(8.2, 4.4), layout="constrained", sharey=True)
for ax, (name, search) in zip(axes, searches.items(), strict=True):
    results, ((parameter, values),) = search.cv_results_, grids[name].items()
    at = np.arange(len(values))
    keys = {"clean": CLEAN, **{f"robust_{eps:g}": shade for eps, shade in zip(EPS_GRID, SHADES, strict=True)}}
    for key, color in keys.items():
        mean, spread = results[f"mean_test_{key}"], results[f"std_test_{key}"]
        ax.plot(at, mean, "o-", color=color, label=key.replace("robust_", "attacked, eps "))
        ax.fill_between(at, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    ax.axvline(search.best_index_, color=INK, linestyle=":", zorder=0)
    ax.annotate("chosen", (search.best_index_, 1.02), xycoords=("data", "axes fraction"), ha="center", color=INK)
    ax.set(xlabel=parameter.rpartition("__")[2], xticks=at, xticklabels=[f"{value:g}" for value in values])
    ax.set_title(name, pad=22)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.9")
axes[0].set(ylabel="accuracy in three-fold cross-validation", ylim=(0.4, 1.01))
axes[0].legend(frameon=False, loc="lower left")
fig.suptitle("Accuracy in cross-validation, clean and attacked, against the parameter of each search")

path = Path(os.environ.get("SKROBUST_OUTPUT", ".")) / "robust_grid_search.png"
path.parent.mkdir(parents=True, exist_ok=True)
fig.savefig(path, dpi=130)
print(f"\nPicture: {path}")

# %%
# What was learned
# ----------------
# - Some robustness is free. Along each grid there are candidates that are as accurate as their neighbors and stand up
#   better to the attack. A search that looks at accuracy alone has no reason to take them.
# - More of it costs accuracy. Both grids end where clean accuracy falls too: at too much ``smoothness``, and at too
#   small a ``C``.
# - On rows that the search has not seen, the two winners cannot be told apart up to the eps of the search: their
#   intervals overlap, clean and attacked. Neither report raises a flag.
