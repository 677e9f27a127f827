"""Records of runs on disk, and what tells one protocol from another."""

import copy
import functools
import json
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from skrobust import OffSupportRobustClassifier, ThreatModel
from skrobust.adversary import FGSM, PGD
from skrobust.evaluation._runs import Runs, fingerprint
from skrobust.modules import MLP
from skrobust.unlabeled import FromGenerator

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@hypothesis.given(one=PLAIN, two=PLAIN)
def test_fingerprints_tell_values_apart(one, two):
    assert fingerprint(one) == fingerprint(json.loads(json.dumps(one)))
    assert (fingerprint(one) == fingerprint(two)) == (
        json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    )


def test_fingerprints_of_estimators_data_and_functions():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    different = [
        LogisticRegression(),
        LogisticRegression(C=2),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), LogisticRegression(C=2)),
        np.zeros(3),
        np.zeros((3, 1)),
        np.zeros(3, dtype=np.float32),
        frame,
        frame.rename(columns={"a": "c"}),
        frame["a"],
        ThreatModel(0.1),
        ThreatModel(0.1, norm=2),
        np.mean,
        fingerprint,
        LogisticRegression,
    ]
    prints = [fingerprint(value) for value in different]
    assert len(set(prints)) == len(different)
    assert prints[2] == fingerprint(clone(different[2]))
    assert prints[7] == fingerprint(frame.copy())


class _Scaled(nn.Linear):
    """A layer whose repr leaves out what it scales by."""

    def __init__(self, scale):
        super().__init__(2, 2)
        self.scale = scale

    def forward(self, X):
        return self.scale * super().forward(X)


class _Holder:
    """An object of the user, which has a pickle and no parameters."""

    def __init__(self, held):
        self.held = held


def _of_weight(layer, weight=0.5, *, is_frozen=False):
    for parameter in layer.parameters():
        nn.init.constant_(parameter, weight).requires_grad_(not is_frozen)
    return layer


# Each makes an equal value in every call.
_TORCH = {
    "network": lambda: _of_weight(MLP(4, 2)),
    "other weights": lambda: _of_weight(MLP(4, 2), 0.6),
    "other layers": lambda: _of_weight(MLP(4, 2, hidden_layer_sizes=(3,))),
    "frozen": lambda: _of_weight(MLP(4, 2), is_frozen=True),
    "half precision": lambda: _of_weight(MLP(4, 2)).bfloat16(),
    "attribute": lambda: _of_weight(_Scaled(1)),
    "other attribute": lambda: _of_weight(_Scaled(2)),
    "class": lambda: _of_weight(nn.Linear(2, 2)),
    "weight norm": lambda: _of_weight(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
    "tensor": lambda: torch.ones(3),
    "other shape": lambda: torch.ones(1, 3),
    "other type": lambda: torch.ones(3, dtype=torch.bfloat16),
    "in a list": lambda: [torch.ones(3)],
    "in an object": lambda: _Holder({"rows": [torch.ones(3)]}),
    "network in an object": lambda: _Holder(_of_weight(MLP(4, 2))),
    "in a partial": lambda: functools.partial(_Holder, held=torch.ones(3)),
    "classifier": lambda: OffSupportRobustClassifier(_of_weight(MLP(4, 2))),
    "other classifier": lambda: OffSupportRobustClassifier(_of_weight(MLP(4, 2), 0.6)),
    "adversary": lambda: OffSupportRobustClassifier(adversary=PGD(eps=torch.ones(3))),
    "sampler": lambda: OffSupportRobustClassifier(unlabeled=_Holder(torch.ones(3))),
}


@pytest.mark.parametrize("name", _TORCH)
def test_networks_and_tensors_are_known_again_by_their_values(name):
    value = _TORCH[name]()
    assert fingerprint(value) == fingerprint(_TORCH[name]()) == fingerprint(copy.deepcopy(value))


def test_networks_and_tensors_are_told_apart_by_their_values():
    assert len({fingerprint(make()) for make in _TORCH.values()}) == len(_TORCH)


def test_estimators_without_networks_keep_the_fingerprints_that_files_hold():
    assert fingerprint(LogisticRegression()) == "55d89cb1064853a5"
    assert fingerprint(OffSupportRobustClassifier("lenet", device="cpu")) == "da50b20cefa1c928"
    adversary = FGSM(0.3, weight=0.8, clip_values=(0, 1))
    assert fingerprint(OffSupportRobustClassifier(adversary=adversary)) == "0c80e53e81dc2d59"
    assert fingerprint(_Holder({1, 2}).held) == "ff2044f39ae08f61"


FITTED = {
    "linear": LogisticRegression(),
    "nearest neighbors": KNeighborsClassifier(algorithm="kd_tree"),
    "kernel": SVC(),
    "forest": RandomForestClassifier(2, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=2, random_state=0),
    "process": GaussianProcessClassifier(),
    "search": GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}, cv=2),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "calibrated": CalibratedClassifierCV(KNeighborsClassifier(), cv=2),
    "network": OffSupportRobustClassifier(hidden_layer_sizes=(3,), max_epochs=1, random_state=0, device="cpu"),
    "calibrated network": CalibratedClassifierCV(
        OffSupportRobustClassifier(hidden_layer_sizes=(3,), max_epochs=1, random_state=0, device="cpu"), cv=2
    ),
}


@pytest.mark.parametrize("name", FITTED)
def test_fitted_estimators_are_known_again_by_what_they_learned(name, rng):
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    one = clone(FITTED[name]).fit(X, y)
    known = fingerprint(FrozenEstimator(one))
    np.random.random()  # noqa: NPY002  some keep the global random state
    one.predict(X)
    assert known == fingerprint(FrozenEstimator(one)) == fingerprint(clone(FrozenEstimator(one)))
    assert known == fingerprint(FrozenEstimator(clone(one).fit(X, y)))
    assert known == fingerprint(FrozenEstimator(pickle.loads(pickle.dumps(one))))
    assert known != fingerprint(FrozenEstimator(clone(one).fit(X, y[rng.permutation(40)])))
    assert fingerprint(clone(one)) == fingerprint(FITTED[name]) != fingerprint(one)


@pytest.mark.parametrize("generator", [GaussianMixture(random_state=0), KernelDensity()], ids=["mixture", "density"])
def test_fitted_generators_are_told_apart(generator, rng):
    X = rng.normal(size=(20, 2))
    one, same, other = (
        OffSupportRobustClassifier(unlabeled=FromGenerator(clone(generator).fit(factor * X))) for factor in (1, 1, 2)
    )
    known = fingerprint(one)
    one.unlabeled.generator.score_samples(X)
    assert known == fingerprint(one) == fingerprint(clone(one)) == fingerprint(same) != fingerprint(other)


def test_what_a_fitted_estimator_holds_must_have_a_pickle():
    clf = LogisticRegression()
    clf.answer_ = lambda X: X
    with pytest.raises(TypeError, match=r"LogisticRegression\(\) cannot be pickled: use functions and classes"):
        fingerprint(clf)


class _Earlier(BaseEstimator):
    """An estimator as it was."""

    def __init__(self, C=1.0):
        self.C = C


class _Later(BaseEstimator):
    """The same estimator with one parameter more."""

    def __init__(self, C=1.0, tol=1e-4):
        self.C, self.tol = C, tol


# One class, in two versions.
_Later.__qualname__ = _Earlier.__qualname__


def test_a_parameter_that_a_later_version_adds_makes_no_other_estimator():
    assert fingerprint(_Earlier()) == fingerprint(_Earlier(C=1.0)) == fingerprint(_Later())
    assert fingerprint(_Earlier(C=2.0)) == fingerprint(_Later(C=2.0)) != fingerprint(_Later())
    assert fingerprint(_Later(tol=1e-3)) != fingerprint(_Later())


def test_a_line_that_was_cut_off_is_no_run(tmp_path):
    path = tmp_path / "runs.jsonl"
    runs = Runs(path, {"X": "1"})
    runs.add({"model": "a"})
    with path.open("a") as file:
        file.write('{"model": ')
    runs = Runs(path, {"X": "1"})
    assert runs.records() == [{"model": "a"}]
    runs.add({"model": "b"})
    assert runs.records() == [{"model": "a"}, {"model": "b"}]
