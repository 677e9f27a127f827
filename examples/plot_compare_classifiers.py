"""
===========================================================================
Which is harder to fool: a forest, nearest neighbors, an SVC, or a network?
===========================================================================

Six classifiers learn the same table, and the same rows are attacked. But can the figures be compared? Along gradients
an attack sees where a classifier gives way. A forest and a nearest-neighbor rule have none, so that the attack can only
ask; it finds less, and the accuracy that it leaves flatters the classifier. Each figure here therefore stands beside
the *route* by which it was found. How much the route matters is then measured, on classifiers that are sealed.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from skrobust import OffSupportRobustClassifier, ThreatModel, robustness_curves, robustness_report
from skrobust.inspection import RobustnessCurveDisplay

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X = X.filter(like="mean ")
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=60, stratify=y, random_state=0)

# %%
# Train
# -----
# All stand behind a StandardScaler, so that all see the same. Nothing is tuned.

classifiers = {
    "off-support network": OffSupportRobustClassifier(random_state=0),
    "plain network": OffSupportRobustClassifier(smoothness=0, random_state=0),
    "SVC": SVC(),
    "forest": RandomForestClassifier(10, random_state=0),
    "nearest neighbors": KNeighborsClassifier(5, algorithm="brute"),
    "single tree": DecisionTreeClassifier(random_state=0),
}
models = {name: make_pipeline(StandardScaler(), clf).fit(X_train, y_train) for name, clf in classifiers.items()}

# %%
# Attack
# ------
# Each feature may change by up to eps of the standard deviations that it has in the training rows. The attacks go
# through the scaler, so that this means the same for all. ``worst_case`` is an ensemble of attacks chosen for the
# classifier, each on the rows that the others left.

EPS = [0, 0.2, 0.4]
threat_model = ThreatModel(units="std").resolve(X_train)
curves = robustness_curves(
    models, X_test, y_test, eps_grid=EPS, attacks=["worst_case"], threat_model=threat_model, random_state=0
)


def table(curves):
    """Return the accuracy at each eps, the most robust at the largest eps first, and the route."""
    by_model = curves.pivot(index="model", columns="eps", values="accuracy").sort_values(EPS[-1], ascending=False)
    by_model["route"] = curves.groupby("model")["route"].last()
    return by_model


print(table(curves).round(2).to_string())

# %%
fig, ax = plt.subplots(figsize=(7.2, 5), layout="constrained")
RobustnessCurveDisplay.from_curves(curves, ax=ax, band_kw={"alpha": 0.05}, show_half=False)
ax.set_title("Six classifiers: accuracy against eps, in the worst case that was found")
ax.set_xlabel("eps (Linf, in standard deviations)")
plt.show()

# %%
# What a route hides
# ------------------
# Is the forest as robust as its curve, or did the attack find less because it could only ask? Of the forest nobody
# knows. Of two others one can find out: the network has gradients, and of a single tree, whose leaves are boxes, the
# nearest leaf of another class is found exactly. Both are sealed, so that nothing but their answers and probabilities
# can be seen, and attacked again.


class Sealed(ClassifierMixin, BaseEstimator):
    """A fitted classifier of which nothing but its answers and probabilities can be seen."""

    def __init__(self, inner):
        self.inner = inner
        self.classes_ = inner.classes_

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.inner.predict(X)

    def predict_proba(self, X):
        return self.inner.predict_proba(X)


sealed = {f"{name}, sealed": Sealed(models[name]) for name in ("off-support network", "single tree")}
sealed_curves = robustness_curves(
    sealed, X_test, y_test, eps_grid=EPS, attacks=["worst_case"], threat_model=threat_model, random_state=0
)
is_open = curves["model"].isin(["off-support network", "single tree"])
print(table(pd.concat([curves[is_open], sealed_curves])).sort_index().round(3).to_string())

# %%
# The route of the tree is called black-box, since it has no gradient, but here the figure is no bound: it comes with a
# proof. ``certified`` is the share of rows that stand against every attack there could be.

report = robustness_report(
    models["single tree"],
    X_test,
    y_test,
    threat_model.with_eps(EPS[-1]),
    attack="decision_tree",
    eps_factors=(0, 0.5, 1),
    n_control=5,
)
print(report.summary[["accuracy", "certified"]].round(3).to_string())

# %%
# What was learned
# ----------------
# - Nearly equal in accuracy, the six are far apart under attack. The off-support network and the SVC stay right most
#   often at the largest eps, the single tree least.
# - Off-support training shows: the same network, trained plainly, falls behind at the larger eps.
# - The forest and nearest neighbors lie between, *as far as asking can tell*. Their curves are the ones that may be too
#   high, so that the classifiers above them are above them for good, and a claim that they beat one below would rest on
#   an attack that failed.
# - What sealing hides depends on the classifier. The smooth network gave nearly everything away to an attack that only
#   asked; the tree, whose answers jump, did not, and looked more robust than it is. A forest is made of trees.
# - So many rows leave intervals of about ten points to either side: the shaded bands of the figure. Neighbors in the
#   table are not told apart by this run.
