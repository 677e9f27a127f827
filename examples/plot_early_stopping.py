"""
=====================================================================
Does it help to stop training when robustness no longer rises?
=====================================================================

Robust accuracy may reach its peak long before training ends, and fall again while accuracy still rises. With
``early_stopping=True`` the classifier holds out some training rows, scores them after every epoch, and keeps the
weights of the best one. ``scoring`` says what best means, and a robustness scorer may stand there.

Three trainings are stopped by three rules: never, by accuracy, and by accuracy under PGD. An attack that is stronger
than PGD decides which rule was right, on rows that none of them has seen.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skrobust import OffSupportRobustClassifier, ThreatModel, make_robustness_scorer, make_robustness_scorers
from skrobust.adversary import FGSM
from skrobust.inspection import TrainingHistoryDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, train_size=600, test_size=200, stratify=y, random_state=0
)
EPS, SEEDS, EPOCHS = 0.1, (0, 1), 30
threat_model = ThreatModel(EPS, bounds=(0, 1))

# %%
# Three trainings
# ---------------
# The classifier with its defaults; a plain network whose learning rate never falls; and adversarial training against
# one step of an attack, at the same rate, which is known to collapse: from some epoch on the network is robust against
# that one step alone.

constant = {"smoothness": 0, "lr_schedule": "constant", "weight_decay": 0}
trainings = {
    "off-support": OffSupportRobustClassifier(max_epochs=EPOCHS),
    "plain": OffSupportRobustClassifier(max_epochs=EPOCHS, **constant),
    "one step": OffSupportRobustClassifier(
        max_epochs=EPOCHS, adversary=FGSM(eps=0.3, random_start=False, weight=1), **constant
    ),
}

# %%
# Three rules
# -----------
# A rule costs a fifth of the training rows, which are held out. To see what that alone does, each training also runs to
# its end on as few rows. PGD attacks the rows held out after every epoch. The patience, ``n_iter_no_change``, is so
# long that no training ends early: the weights of the best epoch are kept all the same, and the figure shows what came
# after.

N_KEPT = len(y_train) * 4 // 5
held_out = {"early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": EPOCHS}
rules = {
    "never": ({}, len(y_train)),
    "never, 4/5 of the rows": ({}, N_KEPT),
    "accuracy": (held_out, len(y_train)),
    "PGD": ({**held_out, "scoring": make_robustness_scorer("pgd", threat_model=threat_model)}, len(y_train)),
}
fitted = {
    (training, rule, seed): clone(clf).set_params(random_state=seed, **params).fit(X_train[:n], y_train[:n])
    for training, clf in trainings.items()
    for rule, (params, n) in rules.items()
    for seed in SEEDS
}

# %%
# What the rules saw
# ------------------
# The scores of the rows held out, epoch by epoch, for one seed. The best epoch of each is marked, the last one if there
# are several.

fig, axes = plt.subplots(1, 2, figsize=(8.2, 4), layout="constrained", sharey=True)
for ax, (rule, title) in zip(axes, {"accuracy": "by accuracy", "PGD": "by accuracy under PGD"}.items(), strict=True):
    epochs = {training: fitted[training, rule, 0].history_ for training in trainings}
    histories = {
        training: [{"epoch": epoch["epoch"], "valid_score": epoch["valid_score"]} for epoch in history]
        for training, history in epochs.items()
    }
    TrainingHistoryDisplay.from_history(histories, ax=ax)
    ax.set_title(title)
fig.suptitle("Validation scores of three trainings against the epoch")
plt.show()

# %%
# What came of it
# ---------------
# The judge is APGD towards one class after the other: a rule may have picked weights that merely withstand PGD. Means
# over the seeds; the figures of the seeds themselves stand behind.


def best_epoch(clf):
    """Return the epoch whose weights were kept."""
    scores = [epoch["valid_score"] for epoch in clf.history_ if "valid_score" in epoch]
    return len(scores) - int(np.argmax(scores[::-1])) if scores else clf.n_iter_


judge = make_robustness_scorers("apgd_targeted", threat_model=threat_model, distance=False, diagnostics=False)
scores = pd.DataFrame(
    {"training": training, "rule": rule, **judge(clf, X_test, y_test)} for (training, rule, _), clf in fitted.items()
).rename(columns={f"robust_{EPS:g}": "robust"})
groups = scores.groupby(["training", "rule"], sort=False)
table = groups.mean()
table["robust, each seed"] = groups["robust"].agg(lambda values: ", ".join(f"{value:.3f}" for value in values))
table["best epoch"] = [
    ", ".join(str(best_epoch(fitted[training, rule, seed])) for seed in SEEDS) for training, rule in table.index
]
print(f"Accuracy on {len(y_test)} rows, clean and at eps {EPS}\n\n{table.to_string(float_format='{:.3f}'.format)}")

# %%
# What was learned
# ----------------
# - Where training breaks down, stopping helps. Under one-step training accuracy and robustness fall together; stopping
#   by PGD keeps the most of what was there before, and by accuracy less of it.
# - Plain training at a constant rate loses robustness while its accuracy stays. An earlier end wins some of it back, by
#   either rule. The one that looks at PGD alone takes epochs so early that accuracy suffers: it does not look at that.
# - Off-support training, with the learning rate coming down as it does by default, has nothing to be saved from: under
#   PGD its validation score is about as good at the end as it ever was. Either rule leaves it slightly less robust, and
#   most of that is due to the rows held out.
# - So the answer depends on whether robustness falls again during training, which the curves show. If it does not, the
#   rows are better spent on training. All this rests on two seeds, and on few rows held out, by which epochs close to
#   each other cannot be told apart.
