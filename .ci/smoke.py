"""What an installed skrobust must do: train, predict, be attacked, and come from where packages are installed."""

import pathlib
import sysconfig

import numpy as np
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skrobust
from skrobust import OffSupportRobustClassifier, make_robustness_scorer

installed = pathlib.Path(sysconfig.get_path("purelib"))
assert installed in pathlib.Path(skrobust.__file__).parents, f"{skrobust.__file__} is not the installed package"
X, y = load_iris(return_X_y=True)
clf = make_pipeline(StandardScaler(), OffSupportRobustClassifier(max_epochs=40, random_state=0)).fit(X, y)
clean, robust = clf.score(X, y), make_robustness_scorer("worst_case", eps=0.2)(clf, X, y)
assert clean > 0.9, clean
assert 0 < robust < clean, robust
assert np.isfinite(clf.predict_proba(X)).all()
print(f"skrobust {skrobust.__version__} is installed and works: {clean:.3f} clean, {robust:.3f} under attack.")
