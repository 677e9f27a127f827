"""
====================================================
How sure is a network of images that are not digits?
====================================================

A network that was trained on digits answers with a digit whatever it is shown. It should at least not be sure. The
data sparsity hypothesis says why it often is: outside the support of the data nothing tells the network what to answer.
Here networks are shown noise, shuffled and inverted digits, stripes and pieces of photographs.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_sample_images
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from skrobust import OffSupportRobustClassifier, ThreatModel, make_robustness_scorer
from skrobust.datasets import adapt_images
from skrobust.inspection import OffSupportConfidenceDisplay
from skrobust.metrics import foreign_confidence

X, y = load_digits(return_X_y=True)
X = X / 16  # from white, 0, to black, 1
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=400, stratify=y, random_state=0)

# %%
# Foreign images
# --------------
# Foreign data must come in the shape and the units of the network's own. ``adapt_images`` brings the pieces of the two
# photographs that scikit-learn ships to 8 x 8 gray pixels in [0, 1].

rng = np.random.default_rng(0)
pieces = [
    extract_patches_2d(photograph, (64, 64), max_patches=150, random_state=0)
    for photograph in load_sample_images().images
]
photographs = adapt_images(np.concatenate(pieces).transpose(0, 3, 1, 2), (8, 8))

rows, columns = np.mgrid[:8, :8]
angle, phase = rng.uniform(0, 2 * np.pi, size=(2, 300, 1, 1))
width = rng.uniform(2, 8, size=(300, 1, 1))
along = rows * np.sin(angle) + columns * np.cos(angle)
stripes = 0.5 + 0.5 * np.sin(2 * np.pi * along / width + phase)

foreign = {
    "noise": rng.random((300, 64)),
    "shuffled digits": rng.permuted(X_test, axis=1),
    "inverted digits": 1 - X_test,
    "stripes": stripes.reshape(-1, 64),
    "photographs": photographs.reshape(-1, 64),
}

fig, axes = plt.subplots(len(foreign) + 1, 8, figsize=(8, 6.6), layout="constrained")
for row, (name, images) in zip(axes, {"digits": X_test, **foreign}.items(), strict=True):
    for ax, image in zip(row, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
fig.suptitle("Digits, and images that are none")
plt.show()

# %%
# Four trainings
# --------------
# The plain one, and three others with unlabeled points:
#
# - smooth: the answers change slowly around digits and around Gaussian unlabeled points, as by default;
# - smooth, box: the same with points drawn evenly from the box around the data;
# - unsure, box: a penalty made for the purpose, which makes the confidence small at such points.

ways = {
    "plain": {"smoothness": 0},
    "smooth": {"smoothness": 0.1},
    "smooth, box": {"smoothness": 0.1, "unlabeled": "uniform"},
    "unsure, box": {"penalty": "uniform_confidence", "smoothness": 1.0, "unlabeled": "uniform"},
}
networks = {
    way: OffSupportRobustClassifier(**params, max_epochs=20, random_state=0).fit(X_train, y_train)
    for way, params in ways.items()
}

# %%
# How sure are they?
# ------------------
# The confidence is the largest probability of an image. A network that is less sure of everything has not learned what
# it does not know, and so the unseen digits stand beside the rest.

tables = {way: foreign_confidence(network, foreign, X_reference=X_test) for way, network in networks.items()}
tops = {way: table.query("quantity == 'top'").set_index("data")["mean"] for way, table in tables.items()}
heads = f"{'':<18}" + "".join(f"{way:>13}" for way in ways)
print("Mean confidence; chance is 0.1\n")
print(heads)
for name, key in {"digits": "reference", **dict(zip(foreign, foreign, strict=True))}.items():
    print(f"{name:<18}" + "".join(f"{top[key]:>13.2f}" for top in tops.values()))

# %%
# Can confidence tell what is foreign?
# ------------------------------------
# That is what it is needed for. The area under the ROC curve is the probability that a digit gets the larger confidence
# of the two, if a digit and a foreign image are drawn: .5 is chance.


def area(network, images):
    own, other = (network.predict_proba(rows).max(axis=1) for rows in (X_test, images))
    return roc_auc_score(np.repeat([1, 0], [len(own), len(other)]), np.concatenate([own, other]))


print("Area under the ROC curve, digits against foreign images\n")
print(heads)
for name, images in foreign.items():
    print(f"{name:<18}" + "".join(f"{area(network, images):>13.3f}" for network in networks.values()))

# %%
# Are they also harder to fool?
# -----------------------------
# Some test digits are attacked, by PGD and by the ensemble of all attacks.

few = X_test[:150], y_test[:150]
threat_model = ThreatModel(eps=0.1, bounds=(0, 1))
scorers = {attack: make_robustness_scorer(attack, threat_model=threat_model) for attack in ("pgd", "worst_case")}
scorers = {"clean": lambda network, X, y: network.score(X, y), **scorers}
print(f"Share of test digits answered rightly; attacked by eps {threat_model.eps:g}\n")
print(heads)
for name, scorer in scorers.items():
    print(f"{name:<18}" + "".join(f"{scorer(network, *few):>13.3f}" for network in networks.values()))

# %%
# Look
# ----
# On top, the confidence at digits with ever more Gaussian noise: the mean, and a band that holds most of them. The
# large marks are foreign images. The other panels say which digits the networks see in these.

fig, axes = plt.subplot_mosaic("AA;BC", figsize=(8.4, 8.4), layout="constrained", height_ratios=[1.7, 1])
shown = {way: networks[way] for way in ("plain", "unsure, box")}
some = {name: foreign[name] for name in ("stripes", "photographs")}
OffSupportConfidenceDisplay.from_estimator(shown, X_test, foreign=some, X_reference=X_train, ax=list(axes.values()))
fig.suptitle("Confidence away from the data, and what is seen in foreign images")
plt.show()

# %%
# What was learned
# ----------------
# - The plain network is sure of much that is no digit, and nearly as sure of inverted digits as of digits.
# - Smoothness makes it less sure of foreign images, but of digits too. What counts is whether the confidence tells them
#   apart, which the areas say: it does so better than that of the plain network.
# - Where the unlabeled points lie matters here. With points from the box, which look like no digit at all, most of the
#   foreign images are told apart better than with points around digits. The penalty made for the purpose goes farthest:
#   at chance on everything foreign, and still sure of digits.
# - That holds for what is like the points it was trained on. On digits with much Gaussian noise, which leaves the box,
#   the same network is still quite sure. And nobody searched for images of which it is sure.
# - To be unsure far away and to be hard to fool nearby are two things. Under the worst case, smoothness helps more than
#   the penalty on confidence does. PGD alone overstates how hard to fool the latter is.
