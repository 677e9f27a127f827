"""Records of runs on disk, and what tells one protocol from another."""

import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust import ThreatModel
from skrobust.evaluation._runs import Runs, fingerprint

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
