"""Searches and scores on a local cluster of dask, real processes, give the results of this process."""

import os

import distributed
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust import ThreatModel, make_robustness_scorer, make_robustness_scorers
from skrobust.attacks import find_adversarial


@pytest.fixture(scope="module")
def cluster():
    """Return a client of a cluster of two processes."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as local, distributed.Client(local) as client:
        yield client


@pytest.fixture
def rows():
    """Return rows that nobody may write to, enough of them for joblib to send them once, and their labels."""
    random = np.random.default_rng(0)
    X = random.normal(size=(240, 6))
    y = (X[:, 0] + 0.3 * random.normal(size=240) > 0).astype(int)
    X.flags.writeable = False
    return X, y


def on(cluster, search, X, y):
    """Return a search that was done on a cluster."""
    with joblib.parallel_config(backend="dask"):
        return search.fit(X, y)


def figures(search):
    """Return what a search found, times apart."""
    return {name: values for name, values in search.cv_results_.items() if "_time" not in name}


def searches(model, grid, scoring, **params):
    """Return two equal searches."""
    return tuple(GridSearchCV(model, grid, scoring=scoring, cv=2, error_score="raise", **params) for _ in range(2))


def test_a_search_on_a_cluster_has_the_serial_results(cluster, quick, rows):
    grid = {"offsupportrobustclassifier__smoothness": [0.0, 0.05], "offsupportrobustclassifier__n_neighbors": [1, 2]}
    model = make_pipeline(StandardScaler(), quick())
    serial, parallel = searches(model, grid, "neg_log_loss")
    serial.fit(*rows)
    on(cluster, parallel, *rows)
    np.testing.assert_equal(figures(parallel), figures(serial))
    np.testing.assert_array_equal(parallel.predict_proba(rows[0]), serial.predict_proba(rows[0]))


@pytest.mark.parametrize("attack", ["pgd", "deepfool"])
def test_attacks_in_workers_give_the_serial_scores(cluster, quick, rows, attack):
    scorer = make_robustness_scorer(attack, threat_model=ThreatModel(0.3), random_state=0)
    serial, parallel = searches(quick(), {"smoothness": [0.0, 0.05]}, scorer)
    np.testing.assert_equal(figures(on(cluster, parallel, *rows)), figures(serial.fit(*rows)))
    assert 0 < serial.best_score_ < 1


def test_several_scores_at_once_and_a_linear_model(cluster, rows):
    scorers = make_robustness_scorers("pgd", eps_grid=(0.1, 0.3), random_state=0)
    serial, parallel = searches(LogisticRegression(), {"C": [0.1, 1.0]}, scorers, refit="robust_0.3")
    np.testing.assert_equal(figures(on(cluster, parallel, *rows)), figures(serial.fit(*rows)))


def test_workers_run_in_processes_of_their_own(cluster, rows):
    """Else the tests above would have compared this process with itself."""
    with joblib.parallel_config(backend="dask"):
        found = joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(8))
    assert os.getpid() not in found


def test_rows_that_are_mapped_into_memory(cluster, quick, rows, tmp_path):
    X, y = rows
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    scorer = make_robustness_scorer("pgd", eps=0.2, random_state=0)
    serial, parallel = searches(quick(), {"smoothness": [0.0, 0.05]}, scorer)
    np.testing.assert_equal(figures(on(cluster, parallel, mapped, y)), figures(serial.fit(X, y)))


def attacked(model, X, y):
    """Return what an attack finds with rows as a worker gets them, and whether they may be written to."""
    found = find_adversarial(model, X, y, "pgd", threat_model=ThreatModel(0.3), random_state=0)
    return found.X_adv, X.flags.writeable


def test_workers_attack_rows_that_are_read_only(cluster, quick, rows):
    X, y = rows
    model = quick().fit(X, y)
    with joblib.parallel_config(backend="dask"):
        results = joblib.Parallel()(joblib.delayed(attacked)(model, X, y) for _ in range(2))
    for X_adv, is_writeable in results:
        assert not is_writeable
        np.testing.assert_array_equal(X_adv, attacked(model, X, y)[0])
