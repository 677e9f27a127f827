"""Memory does not grow with the rows: real processes, and arrays far larger than what they may take."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from skrobust import OffSupportRobustClassifier, make_robustness_scorer, make_robustness_scorers
from skrobust.metrics import _scorers

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "examples/benchmarks/bench_scale.py"


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="memory is read as Linux tells it")
@pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not there")
@pytest.mark.parametrize(("task", "allowed"), [("fit", 60), ("partial_fit", 60), ("score_network", 30)])
def test_memory_is_flat(task, allowed):
    """400,000 float32 rows of 100 features are 160 MB, of which a copy would show; scores are of a quarter of them.

    Where the allocator keeps pieces changes from run to run, a copy would be in all of them.
    """
    command = [sys.executable, str(SCRIPT), "--measure", task, "--rows", "400000", "--features", "100"]
    growth = []
    while not growth or (growth[-1] > allowed and len(growth) < 3):
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)  # noqa: S603
        assert done.returncode == 0, done.stderr
        figures = json.loads(done.stdout)
        assert figures["data_mb"] == (40 if task.startswith("score") else 160)
        growth.append(figures["growth_mb"])
    assert min(growth) <= allowed


@pytest.fixture
def read_only(blobs):
    """Return rows that nobody may write to, and their labels."""
    X, y = blobs
    X.flags.writeable = False
    return X, y


@pytest.mark.parametrize("batch_size", [16, 200])
def test_read_only_rows_train_as_others_do(quick, read_only, batch_size):
    X, y = read_only
    clf = quick(batch_size=batch_size, random_state=0)
    expected = clf.fit(X.copy(), y).predict_proba(X.copy())
    np.testing.assert_array_equal(clf.fit(X, y).predict_proba(X), expected)
    np.testing.assert_array_equal(clf.fit(X, y, X_unlabeled=X[:50]).n_iter_, 3)


@pytest.mark.parametrize("batch_size", [16, 200])
def test_what_changes_batches_in_place_leaves_the_rows_alone(quick, digit_images, batch_size):
    """Rows that are mapped into memory could not be written to at all: the process would end."""
    images, y = digit_images
    before = images.copy()
    images.flags.writeable = False
    quick(augmentation=lambda images, generator: images.mul_(0.5), batch_size=batch_size).fit(images, y)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, np.ndarray.tolist])
def test_scores_of_many_rows_are_those_of_all_at_once(quick, blobs, monkeypatch, kind):
    X, y = blobs
    clf, weight = quick(max_epochs=10).fit(X, y), np.linspace(0, 1, len(X))
    scorers = [
        make_robustness_scorer("fgsm", eps=0.5, random_state=0),
        make_robustness_scorers("fgsm", eps_grid=(0.2, 0.5), random_state=0),
    ]
    clf = clf.fit(kind(X), y)
    whole = [scorer(clf, kind(X), y, sample_weight=weight) for scorer in scorers]
    monkeypatch.setattr(_scorers, "ROWS_AT_A_TIME", 17)
    assert [len(part) for part, _ in _scorers._parts(kind(X), y, "fgsm")] == [17] * 5 + [5]
    parts = [scorer(clf, kind(X), y, sample_weight=weight) for scorer in scorers]
    assert parts[0] == pytest.approx(whole[0])
    assert parts[1] == pytest.approx(whole[1])
    assert 0 < whole[0] < 1


@pytest.mark.parametrize("attack", ["worst_case", "nearest_other", "transfer"])
def test_attacks_that_look_at_other_rows_get_them_all(blobs, monkeypatch, attack):
    monkeypatch.setattr(_scorers, "ROWS_AT_A_TIME", 17)
    ((X, _),) = _scorers._parts(*blobs, attack)
    assert len(X) == len(blobs[0])


def test_rows_and_labels_that_do_not_match_are_refused_as_ever(quick, blobs, monkeypatch):
    X, y = blobs
    monkeypatch.setattr(_scorers, "ROWS_AT_A_TIME", 17)
    clf = OffSupportRobustClassifier(max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="90"):
        make_robustness_scorer("fgsm", eps=0.5)(clf, X, y[:50])
