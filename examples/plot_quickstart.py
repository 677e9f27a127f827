"""
============================================
How easily is a digit classifier fooled?
============================================

Two networks of the same size learn the 8 x 8 digits of scikit-learn: one plainly, the other with unlabeled points
outside the support of the data. Both are then attacked: every pixel may change by up to eps, of the 16 shades of gray
there are, so as to make the network err.

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
# The attack follows the gradient through the whole Pipeline, so that eps is in shades of gray, and bounds keep each
# pixel a pixel. Only points that the Pipeline itself answers wrongly count.

EPS = [0.5, 1.0, 1.5, 2.0, 3.0]
accuracy = {name: [network.score(X_test, y_test)] for name, network in networks.items()}
with tqdm(total=len(networks) * len(EPS), desc="Attacking", unit="attack") as progress:
    for name, network in networks.items():
        for eps in EPS:
            result = find_adversarial(network, X_test, y_test, "pgd", threat_model=ThreatModel(eps, bounds=(0, 16)))
            accuracy[name].append(1 - result.success.mean())
            progress.update()

print(f"\nShare of {len(y_test)} test digits answered correctly; eps in shades of gray, of 16\n")
print(f"{'network':<10}{'clean':>8}" + "".join(f"{f'eps {eps:g}':>9}" for eps in EPS) + f"{'training':>12}")
for name in networks:
    print(f"{name:<10}{accuracy[name][0]:>8.3f}" + "".join(f"{value:>9.3f}" for value in accuracy[name][1:]), end="")
    print(f"{seconds[name]:>10.1f} s")
print("\nAn attack that fails proves nothing: accuracies under attack are upper bounds.")

# %%
# Look
# ----
# The first test digit of each class, clean, and as the attack left it. A digit that a network gets wrong anyway, and
# one that could not be changed so as to fool it, is left unchanged. Wrong answers are set in bold and orange.

PICTURE_EPS = 1.5
INK, WRONG = "0.25", "#B24700"
shown = np.array([np.flatnonzero(y_test == digit)[0] for digit in range(10)])
found = {
    name: find_adversarial(network, X_test[shown], y_test[shown], threat_model=ThreatModel(PICTURE_EPS, bounds=(0, 16)))
    for name, network in networks.items()
}
rows = {
    "clean": X_test[shown],
    "made to fool\nthe plain network": found["plain"].X_adv,
    "made to fool\nthe robust network": found["robust"].X_adv,
}

fig, axes = plt.subplots(len(rows), len(shown), figsize=(13, 6.2), layout="constrained")
for i, (title, digits) in enumerate(rows.items()):
    answers = {name: network.predict(digits) for name, network in networks.items()}
    for j, ax in enumerate(axes[i]):
        ax.imshow(digits[j].reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
        if i > 0 and (digits[j] == X_test[shown[j]]).all():
            ax.set_title("unchanged", fontsize=9, color=INK)
        for line, name in enumerate(networks):
            is_wrong = answers[name][j] != y_test[shown[j]]
            style = {"color": WRONG, "weight": "bold"} if is_wrong else {"color": INK}
            height = -0.06 - 0.16 * line
            ax.text(0.5, height, f"{name}: {answers[name][j]}", ha="center", va="top", transform=ax.transAxes, **style)
    axes[i, 0].set_ylabel(title, fontsize=11)
fig.suptitle(f"Digits, each pixel changed by at most {PICTURE_EPS:g} of 16 shades, and what both networks answer")

path = Path(os.environ.get("SKROBUST_OUTPUT", ".")) / "quickstart.png"
path.parent.mkdir(parents=True, exist_ok=True)
fig.savefig(path, dpi=130)
print(f"Picture: {path}")
