"""Threads that share a fitted classifier get the serial answers; many fits in one process leave nothing behind."""

import concurrent.futures
import gc
import os
import random

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skrobust import make_robustness_scorer, make_robustness_scorers

N_THREADS = 8


class Noisy(nn.Sequential):
    """Network with all that differs between training and evaluation."""

    def __init__(self, n_features, n_classes):
        super().__init__(
            nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, n_classes)
        )


def from_threads(calls):
    """Return what the calls return, made by several threads that begin together."""
    with concurrent.futures.ThreadPoolExecutor(N_THREADS) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_one_classifier_answers_threads_as_it_answers_one(quick, blobs, rng, method):
    clf = quick(module=Noisy).fit(*blobs)
    rows = [rng.normal(size=(n, 4)) for n in (1, 7, 200, 3000)] * 8
    serial = [getattr(clf, method)(X) for X in rows]
    for _ in range(3):
        clf.net_.module_.train()  # as fit leaves it
        answers = from_threads([lambda X=X: getattr(clf, method)(X) for X in rows])
        for answer, expected in zip(answers, serial, strict=True):
            np.testing.assert_array_equal(answer, expected)


SCORERS = {
    "pgd": make_robustness_scorer("pgd", eps=0.3, max_iter=4, num_random_init=2),
    "noise": make_robustness_scorer("noise", eps=0.5),
    "art": make_robustness_scorer("hopskipjump", eps=0.5, max_iter=2, max_eval=20, init_eval=10),
    "several": make_robustness_scorers("pgd", eps_grid=[0.1, 0.3], max_iter=3),
}


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_tell_threads_what_they_tell_one(quick, blobs, name):
    X, y = blobs[0][:30], blobs[1][:30]
    estimators = [quick(module=Noisy), make_pipeline(StandardScaler(), LogisticRegression())]
    estimators += [RandomForestClassifier(4, random_state=0)] * (name == "noise")
    estimators = [estimator.fit(*blobs) for estimator in estimators] * 4
    serial = [SCORERS[name](estimator, X, y) for estimator in estimators]
    before = global_states()
    assert from_threads([lambda e=estimator: SCORERS[name](e, X, y) for estimator in estimators]) == serial
    assert global_states() == before


def global_states():
    return random.getstate(), repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


def test_fits_and_scores_side_by_side_are_those_of_one_thread(quick, blobs):
    X, y = blobs

    def fitted_and_scored(seed):
        clf = quick(module=Noisy, random_state=seed, max_epochs=4).fit(X, y)
        return clf.predict_proba(X).tolist(), SCORERS["pgd"](clf, X[:30], y[:30])

    serial = [fitted_and_scored(seed) for seed in range(8)]
    assert from_threads([lambda seed=seed: fitted_and_scored(seed) for seed in range(8)]) == serial


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def counts():
    gc.collect()
    kinds = (torch.Tensor, nn.Module, torch.Generator)
    objects = gc.get_objects()
    return len(objects), *(sum(issubclass(type(each), kind) for each in objects) for kind in kinds)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs the memory counters of Linux")
def test_a_thousand_fits_leave_nothing_behind(quick, rng):
    X, y = rng.normal(size=(200, 50)), np.arange(200) % 3
    clf = quick(max_epochs=1, batch_size=200, n_unlabeled=0)

    def fit(n):
        for seed in range(n):
            clone(clf).set_params(random_state=seed).fit(X.copy(), y).predict(X)

    fit(100)
    before, size = counts(), resident_bytes()
    fit(1000)
    after = counts()
    assert after[1:] == before[1:]
    assert after[0] - before[0] < 500  # caches fill, but not with every fit
    assert resident_bytes() - size < 200 * X.nbytes  # had each fit kept its rows, it would be 1,000 times that
