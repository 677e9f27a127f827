"""
=====================================================
Is it enough to attack the last step of a Pipeline?
=====================================================

Attacks are written for networks, and a Pipeline ends in something like one. So it is tempting to transform the rows,
to attack the last step on what comes out, and to report that. This example does so, asks what the figure is worth, and
attacks the same Pipeline from its raw features.

The Pipeline is an ordinary one for columns of very different units: a QuantileTransformer brings each of them to a
bell curve, PCA turns them into twenty components of equal variance, and a small network decides.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from skrobust import ThreatModel, robustness_report
from skrobust.attacks import find_adversarial
from skrobust.inspection import AdversarialExamplesDisplay, BoundaryDistanceDisplay

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
y = y.map({0: "malignant", 1: "benign"})
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=120, stratify=y, random_state=0)
y_test = y_test.to_numpy()

scaler = QuantileTransformer(n_quantiles=50, output_distribution="normal")
pipe = make_pipeline(scaler, PCA(20, whiten=True), MLPClassifier((50,), alpha=0.1, max_iter=2000, random_state=0))
pipe.fit(X_train, y_train)
print(f"Accuracy on {len(y_test)} rows: {pipe.score(X_test, y_test):.3f}")

# %%
# Two attacks of 0.2 standard deviations
# --------------------------------------
# What an attacker, or an error of measurement, can do is said of the raw features: each may be off by 0.2 of its own
# standard deviations, and none can be negative.

EPS = 0.2
threat_model = ThreatModel(EPS, units="std", bounds=(0, np.inf)).resolve(X_train)
whole = find_adversarial(pipe, X_test, y_test, "worst_case", threat_model=threat_model)

# %%
# The last step sees components. Their standard deviation is 1, so that 0.2 seems to be the same size there.

before, last_step = pipe[:-1], pipe[-1]
Z_test = before.transform(X_test)
last = find_adversarial(last_step, Z_test, y_test, "worst_case", threat_model=ThreatModel(EPS))

print("Accuracy under attack, eps 0.2 standard deviations")
print(f"  of components, last step attacked        {1 - last.success.mean():.3f}")
print(f"  of raw features, whole Pipeline attacked {1 - whole.success.mean():.3f}")

# %%
# Judge the rows of the last step
# -------------------------------
# A point among the components is no row yet. Here the way back is found step by step, as kindly as can be: to the
# bell-shaped values of a row is added what the attack changed about its components, and the QuantileTransformer is
# inverted. What PCA left out stays as it was, and nothing else moves.

QUANTILES, COMPONENTS = pipe[0], pipe[1]


def mapped_back(Z_adv):
    """Return the rows that become these components: DataFrame of raw features."""
    change = COMPONENTS.inverse_transform(Z_adv) - COMPONENTS.inverse_transform(Z_test)
    raw = QUANTILES.inverse_transform(QUANTILES.transform(X_test) + change)
    return pd.DataFrame(raw, columns=X_test.columns, index=X_test.index)


def distance(X_adv):
    """Return the largest change of a feature of each row, in its standard deviations: ndarray of shape (n,)."""
    return (np.abs(X_adv - X_test) / X_train.std(ddof=0)).max(axis=1).to_numpy()


is_fooled = last.success & (last.distance > 0)
X_back = mapped_back(last.X_adv)
still = pipe.predict(X_back) != y_test
far = distance(X_back)[is_fooled]
print(f"{is_fooled.sum()} rows fooled at the last step")
print(f"  of which {still[is_fooled].sum()} still fool the whole Pipeline once they are rows again")
print(f"  and {(far <= EPS).sum()} keep to 0.2 standard deviations; the largest change of a feature is")
print(f"  {np.min(far):.2f} at least, {np.median(far):.2f} in the median and {np.max(far):.2f} at most")

# %%
# So the figure of the last step is wrong in both ways at once. It counts rows that change raw features by more than was
# allowed. And it misses more rows than it counts, at which a small change of raw features is a large one of components:
# those of little variance are stretched to the same length as all others.
#
# One row that both attacks fooled:

row = np.flatnonzero(is_fooled & whole.success)[:1]
changed = {"last step, mapped back": X_back, "whole Pipeline": whole.X_adv}
fig, axes = plt.subplots(2, 1, figsize=(7.2, 6.8), layout="constrained")
for ax, (name, X_adv) in zip(axes, changed.items(), strict=True):
    AdversarialExamplesDisplay.from_predictions(
        X_test,
        X_adv,
        pipe.predict(X_test),
        pipe.predict(X_adv),
        y=y_test,
        rows=row,
        threat_model=threat_model,
        ax=ax,
    )
    ax.set_title(f"{name}\n", loc="left", fontweight="bold")
widest = max(ax.get_xlim()[1] for ax in axes)
plt.setp(axes, xlim=(-widest, widest))
fig.suptitle("What two attacks on a Pipeline changed in one row of breast cancer data")
plt.show()

# %%
# How far is the boundary?
# ------------------------
# The same without an eps. A report also looks for the nearest adversarial row of each row. Among components that is an
# attack of its own; its rows are mapped back, and count by what they change about raw features.

report = robustness_report(pipe, X_test, y_test, threat_model, eps_factors=(0, 0.5, 1, 2), n_control=20)
print(report)

near = find_adversarial(last_step, Z_test, y_test, "minimum_norm", threat_model=ThreatModel(10))
at_components = np.where(near.success, np.where(near.distance > 0, distance(mapped_back(near.X_adv)), 0), np.inf)

# %%
display = BoundaryDistanceDisplay.from_distances(
    {"last step, mapped back": at_components, "whole Pipeline": report.per_row["distance"]},
    xlabel="distance of the nearest adversarial row found\n(Linf, in standard deviations of raw features)",
)
display.ax_.axvline(EPS, color="0.4", linestyle=":")
display.ax_.annotate("eps", (EPS, 1.01), xycoords=("data", "axes fraction"), ha="center", color="0.25")
display.ax_.set_title("How far the boundary is said to be, by two attacks on one Pipeline", pad=18)
plt.show()

# %%
# When is the last step enough?
# -----------------------------
# Behind a StandardScaler alone 0.2 is the same size on both sides, and both figures are the same. Bounds, whole numbers
# and columns of text are still things of which the last step knows nothing.

network = MLPClassifier((50,), alpha=0.1, max_iter=2000, random_state=0)
plain = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
same = {
    "of scaled features, last step attacked": (plain[-1], plain[:-1].transform(X_test), ThreatModel(EPS)),
    "of raw features, whole Pipeline attacked": (plain, X_test, ThreatModel(EPS, units="std").resolve(X_train)),
}
print("Behind a StandardScaler alone, accuracy under attack, eps 0.2 standard deviations")
for name, (clf, rows, limits) in same.items():
    found = find_adversarial(clf, rows, y_test, "worst_case", threat_model=limits)
    print(f"  {name:<41}{1 - found.success.mean():.3f}")

# %%
# What was learned
# ----------------
# - The last step of this Pipeline looks far more robust than the whole of it. An eps on components is another threat
#   model than an eps on features, whatever number stands there.
# - Most rows that were found at the last step change raw features by more than the eps, so that they should not count.
#   And many rows are missing, which small changes of raw features do fool.
# - The nearest adversarial rows are several times nearer than those of the last step make believe.
# - Only where the steps before the last do no more than scale each feature is the figure of the last step the same.
#   Attacking the Pipeline is right in every case, and is shorter to write: it takes the rows that ``predict`` takes.
