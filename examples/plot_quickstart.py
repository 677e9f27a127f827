"""
============================================
How easily is a digit classifier fooled?
============================================

Two networks of the same size learn the 8 x 8 digits of scikit-learn: one plainly, the other with unlabeled points
outside the support of the data. Both are then attacked: every pixel may change by up to eps, of the 16 shades of gray
there are, so as to make the network err. The worst case of several attacks is what counts; PGD alone stands beside it.

The picture goes to the folder named by the environment variable ``SKROBUST_OUTPUT``, by default the current one.
"""

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from tqdm import tqdm

from skrobust import OffSupportRobustClassifier, ThreatModel
from skrobust.attacks import find_adversarial
from skrobust.metrics import make_robustness_scorers

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=500, stratify=y, random_state=0)

# %%
# Train
# -----
# Both are ordinary scikit-learn Pipelines. ``smoothness=0`` is plain training; the default is not.

networks = {
    "plain": make_pipeline(MinMaxScaler(), OffSupportRobustClassifier(smoothness=0, random_state=0, verbose=1)),
    "robust": make_pipeline(MinMaxScaler(), OffSupportRobustClassifier(random_state=0, verbose=1)),
}
seconds = {}
for name, network in networks.items():
    print(f"Training the {name} network ...", flush=True)
    start = time.perf_counter()
    network.fit(X_train, y_train)
    seconds[name] = time.perf_counter() - start

# %%
# Attack
# ------
# The attacks go through the whole Pipeline, so that eps is in shades of gray, and bounds keep each pixel a pixel. Only
# points that the Pipeline itself answers wrongly count. One scorer attacks at all eps, and also says whether there is a
# sign that the attack, not the network, is at fault.

EPS = [0.5, 1.0, 1.5, 2.0, 3.0]
threat_model = ThreatModel(bounds=(0, 16))
scorers = {
    attack: make_robustness_scorers(attack, eps_grid=EPS, threat_model=threat_model) for attack in ("pgd", "worst_case")
}
scores = {}
with tqdm(total=len(networks) * len(scorers), desc="Attacking", unit="attack") as progress:
    for name, network in networks.items():
        for attack, scorer in scorers.items():
            scores[name, attack] = scorer(network, X_test, y_test)
            progress.update()

keys = ["clean", *(f"robust_{eps:g}" for eps in EPS)]
accuracy = {names: [found[key] for key in keys] for names, found in scores.items()}
print(f"\nShare of {len(y_test)} test digits answered correctly; eps in shades of gray, of 16\n")
heads = "".join(f"{f'eps {eps:g}':>9}" for eps in EPS)
print(f"{'network':<9}{'attack':<12}{'clean':>6}{heads}{'training':>11}")
for (name, attack), values in accuracy.items():
    line = f"{name:<9}{attack:<12}{values[0]:>6.3f}" + "".join(f"{value:>9.3f}" for value in values[1:])
    print(f"{line}{seconds[name]:>9.1f} s")
is_flagged = any(found["unflagged"] < 1 for found in scores.values())
print("\nEven the worst case is an upper bound: an attack that fails proves nothing. ", end="")
print("There are signs that an attack is at fault." if is_flagged else "No sign that an attack is at fault.")

# %%
# Look
# ----
# The first test digit of each class, clean, and as the attack left it. A digit that a network gets wrong anyway, and
# one that no attack could change so as to fool it, is left unchanged. Wrong answers are set in bold and orange.

PICTURE_EPS = 1.5
INK, WRONG = "0.25", "#B24700"
shown = np.array([np.flatnonzero(y_test == digit)[0] for digit in range(10)])
found = {
    name: find_adversarial(
        network, X_test[shown], y_test[shown], "worst_case", threat_model=threat_model.with_eps(PICTURE_EPS)
    )
    for name, network in networks.items()
}
rows = {
    "clean": X_test[shown],
    "made to fool\nthe plain network": found["plain"].X_adv,
    "made to fool\nthe robust network": found["robust"].X_adv,
}

fig, axes = plt.subplots(len(rows), len(shown), figsize=(8.4, 5), layout="constrained")
for i, (title, digits) in enumerate(rows.items()):
    answers = {name: network.predict(digits) for name, network in networks.items()}
    for j, ax in enumerate(axes[i]):
        ax.imshow(digits[j].reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
        if i > 0 and (digits[j] == X_test[shown[j]]).all():
            ax.set_title("unchanged", fontsize=8, color=INK)
        for line, name in enumerate(networks):
            is_wrong = answers[name][j] != y_test[shown[j]]
            style = {"color": WRONG, "weight": "bold"} if is_wrong else {"color": INK}
            style |= {"ha": "center", "va": "top", "fontsize": 9, "transform": ax.transAxes}
            ax.text(0.5, -0.06 - 0.24 * line, f"{name}: {answers[name][j]}", **style)
    axes[i, 0].set_ylabel(title, fontsize=9)
fig.suptitle(f"Digits, each pixel changed by at most {PICTURE_EPS:g} of 16 shades, and what both networks answer")

path = Path(os.environ.get("SKROBUST_OUTPUT", ".")) / "quickstart.png"
path.parent.mkdir(parents=True, exist_ok=True)
fig.savefig(path, dpi=130)
print(f"Picture: {path}")

# %%
# What was learned
# ----------------
# - On clean digits nobody would tell the two networks apart. Under changes of one shade of sixteen the plain one loses
#   nearly half of the digits, and of two shades nearly all. The picture shows such changes to be hardly visible. At two
#   shades the robust one keeps many times as many.
# - Robust is a matter of degree: at three shades next to nothing stands of either.
# - The worst case is below PGD alone wherever there is something left to find. One attack is not enough to rely on.
