"""
=================================================================
Is a credit decision still easily flipped, if rows must be real?
=================================================================

An attack on an image may change every pixel a little. In a table most such changes make no sense: nobody has 1.4
loans, is a home owner by a third, or grows younger. A row that cannot exist does no harm, and should not count against
a classifier. So how many applicants get a credit that they should not get, by a row that they could hand in?

A :class:`~skrobust.ThreatModel` says what an applicant can change about an application. The same ensemble of attacks
runs twice: once with the sizes of the changes alone, and once with all that makes a row a possible one.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skrobust import ThreatModel, robustness_report
from skrobust.attacks import find_adversarial
from skrobust.inspection import AdversarialExamplesDisplay, RobustnessCurveDisplay

# %%
# Applicants
# ----------
# The table is generated. It has amounts of money, whole numbers, three columns of which one is 1 and the others are 0,
# and a column of text. Who pays back depends on all of them but the age, and on luck.

N = 2000
HOMES = ["owns", "rents", "family"]

rng = np.random.default_rng(0)
home, age = rng.choice(3, N, p=[0.35, 0.45, 0.2]), rng.integers(20, 70, N)
applicants = pd.DataFrame(
    {
        "age": age,
        "income": rng.gamma(5, 600, N).round(),
        "amount": (500 + rng.gamma(3, 800, N)).round().clip(500, 9900),
        "loans": rng.poisson(1.2, N).clip(0, 8),
        "years_in_job": rng.integers(0, np.minimum(age - 18, 30)),
        **{name: (home == k).astype(int) for k, name in enumerate(HOMES)},
        "purpose": rng.choice(["car", "education", "business", "repair"], N),
    }
)
merit = (
    applicants["income"] / 900
    - applicants["amount"] / 1300
    - 0.7 * applicants["loans"]
    + 0.12 * applicants["years_in_job"]
    + 0.9 * applicants["owns"]
    - 0.9 * (applicants["purpose"] == "business")
)
pays = np.where(merit + rng.logistic(scale=0.4, size=N) > merit.median(), "pays", "defaults")
X_train, X_test, y_train, y_test = train_test_split(applicants, pays, test_size=400, stratify=pays, random_state=0)
print(X_test.head(4).to_string())

# %%
# The classifier is an ordinary Pipeline on the DataFrame. Attacks go through it, text column and all.

columns = make_column_transformer(
    (StandardScaler(), ["age", "income", "amount", "loans", "years_in_job"]),
    (OneHotEncoder(), ["purpose"]),
    remainder="passthrough",
)
clf = make_pipeline(columns, MLPClassifier((40,), early_stopping=True, random_state=0))
clf.fit(X_train, y_train)
print(f"Accuracy on {len(y_test)} applicants: {clf.score(X_test, y_test):.3f}")

# %%
# Only those who will default have a reason to change their row. From here on accuracy is the share of them that is
# refused.

X, y = X_test[y_test == "defaults"], y_test[y_test == "defaults"]
print(f"Of {len(y)} applicants who will default {clf.score(X, y):.3f} are refused")

# %%
# What an applicant can change
# ----------------------------
# One eps per column is the largest change of each: an income may be overstated by 400, one loan hidden, two years in
# the job made up, 300 less be asked for. Where a column has none, it stays. The columns of the home have 1: the
# applicant names another one.
#
# These sizes are all that ``sizes_only`` knows. ``possible`` adds what applicants can do and what a row can be. The age
# is in the passport. Incomes are overstated and not understated, and so on. Loans and years are whole numbers, and of
# the three homes exactly one is 1.

LARGEST = {"age": 2, "income": 400, "amount": 300, "loans": 1, "years_in_job": 2, "owns": 1, "rents": 1, "family": 1}
SMALLEST_VALUE = {"age": 18, "income": 0, "amount": 500, "loans": 0, "years_in_job": 0}
eps = [LARGEST.get(name, 0) for name in applicants]
low = [SMALLEST_VALUE.get(name, -np.inf) for name in applicants]
sizes_only = ThreatModel(eps)
possible = ThreatModel(
    eps,
    bounds=(low, np.inf),
    immutable=["age"],
    direction={"income": "up", "amount": "down", "loans": "down", "years_in_job": "up"},
    integer=["loans", "years_in_job"],
    one_hot_groups=[HOMES],
)

# %%
# Attack
# ------
# A row is fooled if it was answered rightly and its counterpart is not. Whether a counterpart could exist is checked
# here by rules of our own, so that nobody has to believe the attack.


def rules(before, after):
    """Return which rows keep to which rule: DataFrame of bool."""
    whole, homes = ["loans", "years_in_job"], after[HOMES]
    kept = {
        "the age is that in the passport": after["age"] == before["age"],
        "income and years in the job are not understated": (
            (after["income"] >= before["income"]) & (after["years_in_job"] >= before["years_in_job"])
        ),
        "loans are not invented, and no more is asked for": (
            (after["loans"] <= before["loans"]) & (after["amount"] <= before["amount"])
        ),
        "loans and years are whole numbers": (after[whole] == after[whole].round()).all(axis=1),
        "nothing is below its smallest value": (after[list(SMALLEST_VALUE)] >= pd.Series(SMALLEST_VALUE)).all(axis=1),
        "there is exactly one home": homes.isin([0, 1]).all(axis=1) & (homes.sum(axis=1) == 1),
    }
    return pd.DataFrame(kept)


threat_models = {"sizes only": sizes_only, "possible rows": possible}
results, fooled, kept = {}, {}, {}
for name, threat_model in threat_models.items():
    results[name] = find_adversarial(clf, X, y, "worst_case", threat_model=threat_model)
    fooled[name] = results[name].success & (results[name].distance > 0)
    kept[name] = rules(X, results[name].X_adv)[fooled[name]]
    n_possible = kept[name].all(axis=1).sum()
    print(f"{name}: {fooled[name].sum()} rows fooled, of which {n_possible} could exist")

print("\nHow many rows that were fooled by sizes alone break which rule")
print((~kept["sizes only"]).sum().to_string())

# %%
# Could one not simply mend the impossible rows afterwards? Here they are rounded to the nearest possible ones, and the
# classifier is asked again. Mended rows are possible, but the attack did not look for them: most fool nobody any more,
# and the classifier looks better than it is.

mended = results["sizes only"].X_adv.copy()
mended["age"] = X["age"]
mended["income"] = mended["income"].clip(lower=X["income"])
mended["amount"] = mended["amount"].clip(lower=SMALLEST_VALUE["amount"], upper=X["amount"])
mended["loans"] = mended["loans"].round().clip(lower=0, upper=X["loans"])
mended["years_in_job"] = mended["years_in_job"].round().clip(lower=X["years_in_job"])
mended[HOMES] = np.eye(len(HOMES))[mended[HOMES].to_numpy().argmax(axis=1)]

assert rules(X, mended).all(axis=None)
refused = {
    "no attack": clf.score(X, y),
    "sizes only": 1 - results["sizes only"].success.mean(),
    "sizes only, mended": clf.score(mended, y),
    "possible rows": 1 - results["possible rows"].success.mean(),
}
print("Share of defaulting applicants that is refused")
print(pd.Series(refused).round(3).to_string())

# %%
# Look at rows
# ------------
# The same applicant, as both attacks left the row. What moved is drawn in units of the eps of each column.

is_other_home = (results["possible rows"].X_adv[HOMES] != X[HOMES]).any(axis=1)
shown = np.flatnonzero(fooled["sizes only"] & is_other_home)[:1]
fig, axes = plt.subplots(2, 1, figsize=(7.2, 5.4), layout="constrained")
for ax, (name, threat_model) in zip(axes, threat_models.items(), strict=True):
    AdversarialExamplesDisplay.from_predictions(
        X,
        results[name].X_adv,
        clf.predict(X),
        clf.predict(results[name].X_adv),
        y=y,
        rows=shown,
        threat_model=threat_model,
        ax=ax,
    )
    ax.set_title(name, loc="left", fontweight="bold")
plt.setp(axes, xlim=(-1.1, 1.1))
fig.suptitle("What an attack changed in a credit application")
plt.show()

# %%
# Report
# ------
# A report attacks at several multiples of eps, and says how far to trust the figures. It belongs to the threat model
# that it names: this is the one to file.

reports = {
    name: robustness_report(clf, X, y, threat_model, eps_factors=(0, 0.5, 1, 2), n_control=20)
    for name, threat_model in threat_models.items()
}
print(reports["possible rows"])

# %%
display = RobustnessCurveDisplay.from_report(reports)
display.ax_.set_title("Share of defaulting applicants that is refused, against eps:\nsizes only, and possible rows")
plt.show()

# %%
# What was learned
# ----------------
# - Sizes alone are no threat model of a table. Nearly every row that they led to breaks a rule: it has another age, a
#   fraction of a loan or of a year, or no home that one could have. The accuracy that they leave is too low: it counts
#   applicants who cannot walk in.
# - Rounding such rows afterwards errs the other way, and farther. Most of them fool the classifier no longer, while
#   possible rows that do were there to be found. Rules belong into the attack.
# - The classifier is easily flipped all the same. Within the rules the attack gets most of the refused applicants their
#   credit, by a few changes of which each looks small on paper.
# - The curves bend at different places. Another home costs a whole eps here, so that below it only numbers move.
