"""
===========================================================
Is this classifier robust, or is the attack being deceived?
===========================================================

An attack that fails may have met a robust classifier, or a classifier that leads it astray. Four defenses are planted
here that do the second: each looks robust to one well-known attack. What do they look like to all attacks together, and
does the report notice?
"""

import copy
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer

from skrobust import OffSupportRobustClassifier, ThreatModel, robustness_curves, robustness_report
from skrobust.adversary import FGSM
from skrobust.inspection import RobustnessCurveDisplay
from skrobust.torchify import to_torch

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, test_size=30, stratify=y, random_state=0)
undefended = MLPClassifier((64,), early_stopping=True, random_state=0).fit(X_train, y_train)

# %%
# Four defenses
# -------------
# **Saturated outputs.** The scores before the softmax are multiplied by 1000, as by a very low temperature. No answer
# changes, but every probability becomes 0 or 1, and the cross-entropy flat.

saturated = copy.deepcopy(undefended)
saturated.coefs_[-1] *= 1000
saturated.intercepts_[-1] *= 1000

# %%
# **Rounding.** Pixels are rounded to 0 or 1 before the network sees them. Small changes vanish in rounding, and with
# them every gradient.

rounded = make_pipeline(Binarizer(threshold=0.5), MLPClassifier((64,), early_stopping=True, random_state=0))
rounded.fit(X_train, y_train)

# %%
# **Noise.** Every question gets noise of its own, so that no answer can be relied on, by an attack either.


rng = np.random.default_rng(0)


class Noisy(ClassifierMixin, BaseEstimator):
    """A fitted classifier that adds noise to the rows that it is asked about."""

    def __init__(self, inner, scale):
        self.inner = inner
        self.scale = scale
        self.classes_ = inner.classes_

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        return self.inner.predict(X + self.scale * rng.standard_normal(X.shape))


noisy = Noisy(undefended, scale=0.4)

# %%
# **Training against one step.** Each training row is replaced by what one step of the attack makes of it. The network
# can learn to bend its surface around the rows such that one step misses.

one_step = OffSupportRobustClassifier(
    hidden_layer_sizes=(200,),
    smoothness=0,
    adversary=FGSM(eps=0.3, random_start=False, weight=1),
    max_epochs=60,
    lr=0.01,
    weight_decay=0,
    random_state=0,
).fit(X_train, y_train)

# %%
# A deceived attack for each
# --------------------------
# PGD as tutorials have it: twenty steps along the sign of the gradient of the cross-entropy. Any function that returns
# counterparts of rows can be named as an attack; :func:`~skrobust.torchify.to_torch` makes a torch module of fitted
# classifiers of scikit-learn.


def simple_pgd(estimator, X, y, *, radius, rng):
    """Return rows after twenty steps up the cross-entropy."""
    module, labels = to_torch(estimator), torch.tensor(np.searchsorted(estimator.classes_, y))
    rows = torch.tensor(X)
    moved = rows.clone()
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(module(moved.requires_grad_()), labels)
        (gradient,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + radius / 8 * gradient.sign()
        moved = torch.clamp(moved, rows - radius, rows + radius).clamp(0, 1)
    return moved.numpy()


# %%
# The noisy classifier shows no gradient. Against it goes a walk along the decision boundary, which relies on every
# answer, and against the last one the step that it was trained with.

classifiers = {
    "no defense": (undefended, simple_pgd, "PGD"),
    "saturated outputs": (saturated, simple_pgd, "PGD"),
    "rounding": (rounded, simple_pgd, "PGD"),
    "noise": (noisy, "walk", "walk"),
    "trained against one step": (one_step, "fgsm", "one step"),
}
EPS = [0, 0.1, 0.2]
bounds = ThreatModel(bounds=(0, 1))
single = {
    name: robustness_curves({name: clf}, X_test, y_test, eps_grid=EPS, attacks={label: attack}, threat_model=bounds)
    for name, (clf, attack, label) in classifiers.items()
}

# %%
# All attacks
# -----------
# A report runs them all, and looks for signs that they were deceived.

reports = {
    name: robustness_report(clf, X_test, y_test, bounds.with_eps(0.2), eps_factors=(0, 0.5, 1), n_control=12)
    for name, (clf, _, _) in classifiers.items()
}
print(f"Accuracy on {len(y_test)} rows, clean and at eps {EPS[-1]}\n\n{'':<25}clean  single  worst  flags")
for name, report in reports.items():
    accuracy, flags = report.summary["accuracy"], ", ".join(report.flags) or "none"
    print(f"{name:<25}{accuracy[0]:>5.2f}{single[name]['accuracy'].iloc[-1]:>8.2f}{accuracy[EPS[-1]]:>7.2f}  {flags}")

# %%
# Each flag says what it means and what to do about it.

for name, report in reports.items():
    for flag, text in report.flags.items():
        print(textwrap.fill(f"{name}: {flag}. {text}", 84, subsequent_indent="    "))

# %%
# Training against one step raises none: no attack was deceived but the one that takes one step, and a report does not
# rest on that. The figures of the attacks alone show the gap. Those of the report on the undefended network lie
# together.

for name in ("no defense", "trained against one step"):
    alone = reports[name].summary.loc[EPS, ["fgsm", "pgd", "apgd", "square"]]
    print(f"{name}: accuracy that single attacks leave of some rows\n{alone.round(2).to_string()}\n")

# %%
# Look
# ----
# Solid lines are what the single attack says, dashed ones the worst case.


def worst_case(name):
    """Return the curve of a report in the form of those of single attacks."""
    accuracy = reports[name].summary["accuracy"].loc[EPS]
    curve = {"model": name, "attack": "worst case", "norm": np.inf, "eps": EPS, "accuracy": accuracy}
    return pd.DataFrame({**curve, "n_rows": len(y_test), "is_upper_bound": reports[name].is_upper_bound})


fig, axes = plt.subplots(2, 2, figsize=(8.2, 7), layout="constrained")
for ax, name in zip(axes.flat, list(classifiers)[1:], strict=True):
    curves = pd.concat([single[name], worst_case(name), worst_case("no defense")])
    RobustnessCurveDisplay.from_curves(curves, ax=ax, show_half=False)
    ax.set(title=name, xticks=EPS)
fig.suptitle("Four broken defenses, attacked in a way that they deceive and in the worst case")
plt.show()

# %%
# What was learned
# ----------------
# - Each defense looks robust to the attack that it deceives: its curve is flat, or nearly so, where that of the
#   undefended network falls to the ground. The worst case falls as well, for all four.
# - Saturated outputs change nothing. In the worst case the curve is that of the network without them.
# - Rounding is the one that leaves something, for it does take away small changes. How much, neither figure says
#   exactly. PGD stood still, and the worst case could only ask; it is an upper bound, and the better one.
# - Noise costs accuracy without any attack, and then some rows are left because a good answer may come up by luck.
#   Training against one step leaves nothing at the largest eps.
# - Three of the four raise flags, and each flag names the trick. The fourth raises none, and needs none: attacks that
#   take more steps, or that only ask, are not deceived. A figure without a flag is trusted because many attacks agree,
#   not because one of them failed.
