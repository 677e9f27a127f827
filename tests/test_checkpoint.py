"""A fit that was killed goes on where it was, and ends with the same bits."""

import copy
import functools
import multiprocessing
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_blobs
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KernelDensity
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from torch import nn

from skrobust import OffSupportRobustClassifier, _atomic, _checkpoint
from skrobust._callbacks import ValidationStop
from skrobust._fingerprint import described, digest
from skrobust._net import OffSupportNet
from skrobust._plain import NotPlainError, plain, unplain
from skrobust.adversary import PGD
from skrobust.augment import RandomHorizontalFlip
from skrobust.unlabeled import Gaussian

X, Y = make_blobs(90, n_features=4, centers=3, cluster_std=1.0, random_state=1)
X = (X - X.mean(axis=0)) / X.std(axis=0)
STEPS = 3  # batches in an epoch, of 90 rows, or of the 72 that are not held out


class Noisy(nn.Sequential):
    """Small network with batch normalization, dropout, and a part that keeps a generator of its own."""

    def __init__(self, n_features, n_classes):
        parts = [nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), Jitter()]
        super().__init__(*parts, nn.Linear(8, n_classes))


class Jitter(nn.Module):
    """Noise from a generator of its own."""

    def __init__(self):
        super().__init__()
        self.source = torch.Generator().manual_seed(5)

    def forward(self, rows):
        if not self.training:
            return rows
        return rows + 0.01 * torch.randn(rows.shape, generator=self.source).to(rows)

    def __deepcopy__(self, memo):
        other = Jitter()
        other.source.set_state(self.source.get_state())
        return other


class OwnSampler(Gaussian):
    """Unlabeled points with noise of a generator of numpy, and of its global one, that no seed of fit reaches."""

    def __init__(self):
        self.random = np.random.default_rng(3)
        self.old = np.random.RandomState(4)

    def sample(self, X, support, radius, generator):
        noise = [self.random.normal(size=X.shape), self.old.normal(size=X.shape), np.random.normal(size=X.shape)]  # noqa: NPY002
        return super().sample(X, support, radius, generator) + 0.01 * torch.from_numpy(sum(noise)).to(X)


class Decay(Callback):
    """Callback that lowers the learning rate in steps that it counts, and records things of numpy."""

    def initialize(self):
        self.n_epochs = 0
        self.rates = np.ones(2)

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        self.rates *= 0.9
        net.optimizer_.param_groups[0]["lr"] *= self.rates[0] / self.n_epochs**0.1
        net.history.record("rate", np.float32(self.rates[1]))
        net.history.record("rates", self.rates.copy())


class SaysItself(Callback):
    """Callback that says itself what is to be kept of it."""

    def on_train_begin(self, net, **kwargs):
        self.net, self.n_epochs = net, 0  # a net is no plain value

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1
        net.history.record("said", self.n_epochs)

    def state_dict(self):
        return {"n_epochs": self.n_epochs}

    def load_state_dict(self, state):
        self.n_epochs = state["n_epochs"]


SETTINGS = {
    "default": dict,
    "dropout, batch norm, early stopping": functools.partial(
        dict, module=Noisy, early_stopping=True, validation_fraction=0.2, n_iter_no_change=4, lr=0.05
    ),
    "every third epoch scored": functools.partial(
        dict, module=Noisy, early_stopping=True, validation_fraction=0.2, validation_every=3, n_iter_no_change=4
    ),
    "adversary, momentum": lambda: {"adversary": PGD(eps=0.1, max_iter=2), "optimizer": "sgd", "module": Noisy},
    "noise in a layer": functools.partial(dict, module=Noisy, noise_layer="2", dtype="float32"),
    "mixup, smoothed labels": functools.partial(dict, mixup=0.3, label_smoothing=0.1, lr_schedule="constant_cosine"),
    "images": lambda: {"image_shape": (2, 2), "augmentation": RandomHorizontalFlip(), "unlabeled": "extrapolation"},
    "own sampler": lambda: {"unlabeled": OwnSampler(), "neighbors": "adversarial", "optimizer": torch.optim.NAdam},
    "schedule of skorch": lambda: {
        "lr_schedule": "constant",
        "callbacks": [
            ("step", LRScheduler("StepLR", step_size=2, gamma=0.5)),
            ("plateau", LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=0)),
        ],
    },
    "stop of skorch": lambda: {
        "lr_schedule": "constant",
        "lr": 0.05,
        "callbacks": [EarlyStopping("train_loss", patience=2, load_best=True, sink=str)],
    },
    "scores and checkpoints of skorch": lambda: {
        "early_stopping": True,
        "validation_fraction": 0.2,
        "lr": 0.3,
        "callbacks": [
            EpochScoring("accuracy", lower_is_better=False, on_train=True, use_caching=False),
            Checkpoint(f_params=None, f_optimizer=None, f_criterion=None, f_history=None),
        ],
    },
    "own callbacks": lambda: {"lr_schedule": "constant", "callbacks": [Decay(), SaysItself()]},
}


def make(name="default", folder=None, **params):
    base = {"hidden_layer_sizes": (8,), "max_epochs": 8, "batch_size": 32, "random_state": 0}
    return OffSupportRobustClassifier(**{**base, **SETTINGS[name](), "checkpoint_dir": folder, **params})


def seeded():
    np.random.seed(7)  # noqa: NPY002


def outcome(clf):
    """Return all that a fit leaves behind, as plain values."""
    weights = {name: value.tolist() for name, value in clf.net_.module_.state_dict().items()}
    history = [{name: value for name, value in epoch.items() if name != "dur"} for epoch in clf.history_]
    attributes = clf.n_iter_, clf.data_scale_, clf.off_support_fraction_, clf.classes_.tolist()
    return repr((weights, history, attributes, clf.predict_proba(X).tolist()))


@functools.cache
def expected(name):
    """Return what the fit of a setting leaves behind when nobody disturbs it."""
    seeded()
    return outcome(make(name).fit(X, Y))


class Killed(BaseException):
    """What stands for a kill within the process of the tests."""


@pytest.fixture
def killed(monkeypatch):
    """Return a function that fits until a step, and there kills the fit."""

    def fit(clf, step, *args, kind=Killed, **kwargs):
        seeded()
        with monkeypatch.context() as patch:
            patch.setattr(OffSupportNet, "train_step_single", at_call(OffSupportNet.train_step_single, step, kind))
            with pytest.raises(kind):
                clf.fit(*(args or (X, Y)), **kwargs)
        assert not hasattr(clf, "net_")

    return fit


def at_call(function, call, kind):
    """Return a function that raises an exception instead of its n-th call."""
    count = iter(range(1, 10**6))

    @functools.wraps(function)
    def counted(*args, **kwargs):
        if next(count) == call:
            raise kind
        return function(*args, **kwargs)

    return counted


# Kills of real processes


def child(name, folder, arm, pipe):
    """Fit in a process that may be killed."""
    warnings.simplefilter("ignore")
    seeded()
    if arm is not None:
        ARMS[arm[0]](arm[1])
    pipe.send("ready")
    clf = make(name, folder).fit(X, Y)
    pipe.send(outcome(clf))


def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def arm_method(owner, name, call, *, after=False):
    """Have the n-th call of a function kill the process, at its beginning or end."""
    function, count = getattr(owner, name), iter(range(1, 10**6))

    def armed(*args, **kwargs):
        is_last = next(count) == call
        if is_last and not after:
            die()
        result = function(*args, **kwargs)
        if is_last:
            die()
        return result

    setattr(owner, name, armed)


class HalfFile:
    """File that is written half, when its n-th state is, and then kills the process."""

    n_files = 0

    def __init__(self, call, path, mode="r"):
        HalfFile.n_files += mode == "wb"
        self.file, self.is_last = open(path, mode), mode == "wb" and HalfFile.n_files == call  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        if self.is_last:
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            die()
        self.file.write(data)


ARMS = {
    "step": functools.partial(arm_method, OffSupportNet, "train_step_single"),
    "score": functools.partial(arm_method, ValidationStop, "on_epoch_end"),
    "half written": lambda call: setattr(_checkpoint, "open", functools.partial(HalfFile, call)),
    "not on the disk": functools.partial(arm_method, _atomic, "_to_disk"),
    "before it is renamed": functools.partial(arm_method, os, "replace"),
    "after it is renamed": functools.partial(arm_method, os, "replace", after=True),
    "whole": functools.partial(arm_method, _checkpoint.CheckpointFile, "write", after=True),
}
# The second state is written as: its folder entry, the renaming of the first one, its own renaming.
KILLS = [
    ("step", 2),
    ("step", 3 * STEPS + 2),
    ("score", 4),
    ("half written", 1),
    ("half written", 2),
    ("not on the disk", 1),
    ("not on the disk", 3),
    ("before it is renamed", 1),
    ("before it is renamed", 2),
    ("before it is renamed", 3),
    ("after it is renamed", 2),
    ("after it is renamed", 3),
    ("whole", 5),
    ("whole", 8),
]
real_processes = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX")


@functools.cache
def server():
    """Return a context of processes that are made from one which has imported everything."""
    context = multiprocessing.get_context("forkserver")
    # What this file imports; the file itself is not on the path of that process.
    context.set_forkserver_preload(["skrobust", "pytest", "sklearn.model_selection", "skrobust.augment"])
    return context


def run(name, folder, arm=None, seconds=None):
    """Fit in a process of its own, killed there by itself or after some seconds; return its outcome or None."""
    ours, theirs = server().Pipe()
    process = server().Process(target=child, args=(name, folder, arm, theirs))
    process.start()
    theirs.close()
    try:
        ours.recv()
        if seconds is not None and not ours.poll(seconds):
            process.kill()
        result = ours.recv()
    except EOFError:
        result = None
    process.join()
    assert process.exitcode == (0 if result else -signal.SIGKILL)
    return result


@real_processes
@pytest.mark.parametrize("arm", KILLS, ids=lambda arm: f"{arm[0]} {arm[1]}")
def test_a_process_that_was_killed_goes_on_to_the_same_bits(tmp_path, arm):
    name = "dropout, batch norm, early stopping" if arm[0] == "score" else "noise in a layer"
    assert run(name, tmp_path, arm) is None
    seeded()
    assert outcome(make(name, tmp_path).fit(X, Y)) == expected(name)


@real_processes
@pytest.mark.parametrize("name", ["dropout, batch norm, early stopping", "adversary, momentum", "own sampler"])
def test_processes_that_are_killed_at_random_end_with_the_same_bits(tmp_path, name, rng):
    begin = time.perf_counter()
    assert run(name, None) == expected(name)
    usual = time.perf_counter() - begin
    result, n_killed = None, 0
    while result is None:
        result = run(name, tmp_path, seconds=None if n_killed > 3 else rng.uniform(0, 0.6 * usual))
        n_killed += result is None
    assert result == expected(name)


# Within one process


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_fit_goes_on_to_the_same_bits(tmp_path, killed, name, every):
    step = (4 if every == 1 else 5) * STEPS + 2
    killed(make(name, tmp_path, checkpoint_every=every), step)
    seeded()
    assert outcome(make(name, tmp_path, checkpoint_every=every).fit(X, Y)) == expected(name)


@pytest.mark.parametrize("name", SETTINGS)
def test_keeping_the_state_changes_no_bit(tmp_path, name):
    seeded()
    assert outcome(make(name, tmp_path).fit(X, Y)) == expected(name)


def test_a_fit_may_be_killed_again_and_again(tmp_path, killed):
    name = "dropout, batch norm, early stopping"
    for _ in range(3):
        killed(make(name, tmp_path), STEPS + 2)  # the second epoch of each call
    clf = make(name, tmp_path).fit(X, Y)
    assert outcome(clf) == expected(name)


def test_only_what_is_left_is_trained(tmp_path, killed, monkeypatch):
    killed(make("default", tmp_path, checkpoint_every=2), 5 * STEPS + 1)
    steps = []
    step = OffSupportNet.train_step_single
    monkeypatch.setattr(OffSupportNet, "train_step_single", lambda *args: steps.append(1) or step(*args))
    make("default", tmp_path, checkpoint_every=2).fit(X, Y)
    assert len(steps) == (8 - 4) * STEPS


@pytest.mark.parametrize(("every", "expected_epochs"), [(1, range(1, 9)), (3, [3, 6, 8]), (100, [8])])
def test_a_state_is_kept_every_k_epochs_and_at_the_end(tmp_path, monkeypatch, every, expected_epochs):
    kept = []
    monkeypatch.setattr(_checkpoint.CheckpointFile, "write", lambda self, state: kept.append(state["n_epochs"]))
    make("default", tmp_path, checkpoint_every=every).fit(X, Y)
    assert kept == list(expected_epochs)


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(_checkpoint, "Checkpoints")
    clf = make().fit(X, Y)
    assert "checkpoints" not in dict(clf.net_.callbacks_)
    assert not list(tmp_path.iterdir())


def test_partial_fit_keeps_nothing(tmp_path):
    make("default", tmp_path).partial_fit(X, Y, classes=[0, 1, 2])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("random_state", [None, "object"])
def test_the_seeds_of_an_unseeded_fit_are_kept(tmp_path, killed, random_state):
    def unseeded(folder):
        state = np.random.RandomState(None) if random_state else None
        return make("dropout, batch norm, early stopping", folder, random_state=state)

    first, second = tmp_path / "first", tmp_path / "second"
    killed(unseeded(first), 3 * STEPS + 2)
    shutil.copytree(first, second)
    assert outcome(unseeded(first).fit(X, Y)) == outcome(unseeded(second).fit(X, Y))
    assert outcome(unseeded(None).fit(X, Y)) != outcome(unseeded(None).fit(X, Y))


def test_the_random_numbers_of_the_process_are_left_alone(tmp_path, killed):
    killed(make("default", tmp_path), 3 * STEPS + 2)
    np.random.seed(11)  # noqa: NPY002
    before = pickle.dumps((np.random.get_state(), torch.get_rng_state().tolist()))  # noqa: NPY002
    make("default", tmp_path).fit(X, Y)
    assert pickle.dumps((np.random.get_state(), torch.get_rng_state().tolist())) == before  # noqa: NPY002


# When the fit has ended, and when it is another one


@pytest.mark.parametrize("name", ["default", "dropout, batch norm, early stopping", "stop of skorch"])
def test_a_fit_that_has_ended_returns_at_once(tmp_path, monkeypatch, name):
    early = {"max_epochs": 40} if name != "default" else {}
    ended = outcome(make(name, tmp_path, checkpoint_every=3, **early).fit(X, Y))
    assert ended == outcome(make(name, **early).fit(X, Y))
    monkeypatch.delattr(OffSupportNet, "train_step_single")
    assert outcome(make(name, tmp_path, checkpoint_every=3, **early).fit(X, Y)) == ended


OTHERS = {
    "lr": ({"lr": 0.01}, {}),
    "max_epochs": ({"max_epochs": 9}, {}),
    "random_state": ({"random_state": 1}, {}),
    "adversary": ({"adversary": PGD(eps=0.2)}, {}),
    "module": ({"module": Noisy}, {}),
    "X": ({}, {"X": X + 1e-9}),
    "y": ({}, {"y": (Y + 1) % 3}),
    "sample_weight": ({}, {"sample_weight": np.arange(90) + 1.0}),
    "X_unlabeled": ({}, {"X_unlabeled": X[:5]}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_state_of_another_fit_is_refused_until_that_one_has_ended(tmp_path, killed, name):
    params, data = OTHERS[name]
    data = {"X": X, "y": Y, **data}
    killed(make("default", tmp_path), 2 * STEPS + 1)
    message = rf"checkpoint_dir='.*' keeps a fit that has not ended, with other values of {name}: restore them to go on"
    clf = make("default", tmp_path, **params)
    with pytest.raises(ValueError, match=message):
        clf.fit(**data)
    assert not hasattr(clf, "net_")
    make("default", tmp_path).fit(X, Y)
    assert outcome(clf.fit(**data)) == outcome(make("default", **params).fit(**data))


@pytest.mark.parametrize(
    "params", [{"verbose": 1}, {"n_threads": 1}, {"checkpoint_every": 2}, {"device": "cpu"}, {"warm_start": True}]
)
def test_what_changes_nothing_may_change(tmp_path, killed, params):
    killed(make("default", tmp_path), 4 * STEPS + 1)
    assert outcome(make("default", tmp_path, **params).fit(X, Y)) == expected("default")


def test_searches_that_run_one_fit_after_the_other_may_share_a_folder(tmp_path):
    grid = {"smoothness": [0.0, 0.1]}
    searches = [
        GridSearchCV(make("default", folder, max_epochs=2), grid, cv=2, error_score="raise").fit(X, Y)
        for folder in (tmp_path, None)
    ]
    assert outcome(searches[0].best_estimator_) == outcome(searches[1].best_estimator_)
    np.testing.assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))


def test_two_fits_at_once_in_one_folder_are_told_apart(tmp_path):
    class Disturb(Callback):
        """Callback within which another fit takes the same folder."""

        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                make("default", folder, lr=0.1, max_epochs=2).fit(X, Y)

    folder = tmp_path / "never made"
    clf = make("default", folder, checkpoint_every=5, callbacks=[Disturb()])
    with pytest.raises(ValueError, match=r"checkpoint_dir='.*never made' is used by two fits at once: name a folder"):
        clf.fit(X, Y)
    assert not hasattr(clf, "net_")


def test_cross_validation_in_one_folder_gives_the_scores_without_it(tmp_path):
    scores = [cross_val_score(make("default", folder), X, Y, cv=3, error_score="raise") for folder in (tmp_path, None)]
    np.testing.assert_array_equal(*scores)


def test_a_warm_start_goes_on_too(tmp_path, killed, monkeypatch):
    clf = make("dropout, batch norm, early stopping", tmp_path, warm_start=True).fit(X, Y)
    first = pickle.dumps(clf)
    second = outcome(clf.fit(X, Y))
    assert clf.n_iter_ > len(pickle.loads(first).history_)
    shutil.rmtree(tmp_path)
    again = pickle.loads(first)
    with monkeypatch.context() as patch:
        patch.setattr(OffSupportNet, "train_step_single", at_call(OffSupportNet.train_step_single, 8, Killed))
        with pytest.raises(Killed):
            again.fit(X, Y)
    assert outcome(pickle.loads(first).fit(X, Y)) == second


# Files that are not as they should be


@pytest.fixture
def two_states(tmp_path, killed):
    """Return a folder with the states after the third and fourth of eight epochs."""
    killed(make("default", tmp_path), 4 * STEPS + 1)
    return tmp_path


def spoil(path, kind, rng):
    data = bytearray(path.read_bytes())
    if kind == "cut off":
        path.write_bytes(data[: rng.integers(len(data))])
    elif kind == "flipped":
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
    else:
        path.write_bytes(rng.bytes(int(rng.integers(2000))))


@pytest.mark.parametrize("kind", ["cut off", "flipped", "rubbish"])
def test_the_state_before_stands_in_for_a_damaged_one(two_states, kind, rng):
    path = two_states / "checkpoint.pt"
    spoil(path, kind, rng)
    with pytest.warns(UserWarning, match=r"checkpoint.pt cannot be read, training goes on from the .* after epoch 3"):
        clf = make("default", two_states).fit(X, Y)
    assert outcome(clf) == expected("default")


@pytest.mark.parametrize("kind", ["cut off", "flipped", "rubbish"])
def test_damaged_files_are_never_taken_for_whole(two_states, kind, rng):
    file = make_file(two_states)
    whole = (two_states / "checkpoint.pt").read_bytes()
    (two_states / "checkpoint-before.pt").unlink()
    for _ in range(200):
        (two_states / "checkpoint.pt").write_bytes(whole)
        spoil(two_states / "checkpoint.pt", kind, rng)
        if (two_states / "checkpoint.pt").read_bytes().split(b"\n", 2)[2:] == whole.split(b"\n", 2)[2:]:
            continue  # the name of the owner, which its contents have too
        with pytest.raises(ValueError, match=r"has nothing whole, checkpoint.pt cannot be read: delete the folder to"):
            file.read("cpu")


def make_file(folder):
    return _checkpoint.CheckpointFile(folder, {"lr": "1"})


def test_two_damaged_states_are_refused(two_states, rng):
    for path in two_states.iterdir():
        spoil(path, "cut off", rng)
    clf = make("default", two_states)
    message = r"nothing whole, checkpoint.pt and checkpoint-before.pt cannot be read: delete the folder to train from"
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert not hasattr(clf, "net_")


class Hostile:
    """What does harm when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (Hostile.target,)


def test_nothing_in_a_file_is_executed(tmp_path):
    Hostile.target = str(tmp_path / "harm")
    file = make_file(tmp_path / "runs")
    file.write(dict.fromkeys(_checkpoint.ENTRIES - {"description"}, Hostile()))
    with pytest.raises(ValueError, match=r"nothing whole, .* cannot be read"):
        file.read("cpu")
    assert not os.path.exists(Hostile.target)


def test_a_file_of_something_else_is_refused(tmp_path):
    file = make_file(tmp_path)
    for state in ({"weights": 1}, dict.fromkeys(_checkpoint.ENTRIES - {"net"})):
        file.write(state)
        with pytest.raises(ValueError, match=r"nothing whole, .* cannot be read"):
            _checkpoint.CheckpointFile(tmp_path, {"lr": "2"}).read("cpu")
        file = make_file(tmp_path)
    torch.save({"weights": 1}, file.path)
    with pytest.raises(ValueError, match=r"nothing whole, .* cannot be read"):
        file.read("cpu")


def test_unfinished_files_of_killed_processes_are_cleared_away(tmp_path):
    (tmp_path / ".checkpoint.pt.0123.tmp").write_bytes(b"half")
    (tmp_path / "mine.txt").write_text("kept")
    make("default", tmp_path).fit(X, Y)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", "checkpoint-before.pt", "mine.txt"}


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    clf = make("default", tmp_path / "file" / "runs")
    with pytest.raises(ValueError, match=r"checkpoint_dir='.*runs' cannot be made \(Not a directory\): name a folder"):
        clf.fit(X, Y)
    assert not hasattr(clf, "net_")


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_folders_are_made_where_they_are_missing(tmp_path, kind):
    make("default", kind(tmp_path / "a" / "b")).fit(X, Y)
    assert (tmp_path / "a" / "b" / "checkpoint.pt").exists()


# What cannot be kept


class Records(Callback):
    """Callback that records what is no plain value."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("thing", Callback())


class KeepsNet(SaysItself):
    """Callback whose state has more than data."""

    def state_dict(self):
        return {"net": self.net}


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (Records(), r"history\['thing'\] is of type Callback, which a checkpoint cannot keep: use numbers"),
        (KeepsNet(), r"KeepsNet\['net'\] is of type OffSupportNet, which a checkpoint cannot keep"),
    ],
    ids=["history", "state"],
)
def test_what_cannot_be_kept_is_named(tmp_path, callback, message):
    clf = make("default", tmp_path, callbacks=[callback])
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert not hasattr(clf, "net_")
    assert make("default", callbacks=[copy.deepcopy(callback)]).fit(X, Y).n_iter_ == 8


class LateSampler(Gaussian):
    """Sampler that makes its generator only when it has drawn some points."""

    n_calls = 0

    def sample(self, X, support, radius, generator):
        LateSampler.n_calls += 1
        if LateSampler.n_calls > 1 and not hasattr(self, "random"):
            self.random = np.random.default_rng(0)
        return super().sample(X, support, radius, generator)


def test_generators_that_come_and_go_are_named(tmp_path, killed):
    sampler = LateSampler()
    make("default", unlabeled=sampler, max_epochs=1).fit(X, Y)
    killed(make("default", tmp_path, unlabeled=sampler), 2 * STEPS + 1)
    del sampler.random
    LateSampler.n_calls = -10
    message = r"knows other random generators than there are now, objective\..*\.random: have your objects make"
    clf = make("default", tmp_path, unlabeled=sampler)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, "a", (True, {"b": np.float32(1.5)})],
        {"x": np.arange(6, dtype=np.uint32).reshape(2, 3), 3: torch.ones(2)},
        np.zeros((0, 2), dtype=np.float16),
        np.array(2**63, dtype=np.uint64),
    ],
    ids=repr,
)
def test_plain_values_come_back_as_they_were(value):
    assert repr(unplain(plain(value, "value"))) == repr(value)


@pytest.mark.parametrize("value", [object(), nn.Parameter(torch.ones(1)), {1, 2}, [np.array(["a"])]])
def test_values_that_are_not_plain_are_refused(value):
    with pytest.raises(NotPlainError, match="value is of type"):
        plain(value, "value")


# What a training is made of


class Mirror(BaseEstimator):
    """An object that contains itself."""

    def __init__(self, content=None):
        self.content = content
        self.self = self


RICH = {
    "module": nn.Sequential(nn.Linear(4, 3)),
    "optimizer": torch.optim.NAdam,
    "class_weight": {0: 1.0, 1: np.float64(2.0), 2: 1},
    "unlabeled": Mirror({"b": 1, "a": np.ones(3), "c": {"x", "y", "z"}}),
    "callbacks": [("a", Decay), Decay(), functools.partial(LRScheduler, step_size=2)],
    "scoring": make,
    "penalty": Mirror([np.random.default_rng(0), torch.ones(2), torch.float32, object()]),
    "net_params": {"module__dropout": 0.5, "compile": False},
}


def description():
    return {name: described(value) for name, value in RICH.items()}


def test_descriptions_are_the_same_in_every_process():
    code = f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); import test_checkpoint as t"
    env = {**os.environ, "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", f"{code}; print(repr(t.description()))"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == repr(description())


def test_a_finished_fit_of_other_weights_is_not_taken_for_this_one(tmp_path):
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    fitted = {module: make(module=copy.deepcopy(module)).fit(X, Y) for module in (first, second)}
    for module in (first, second, second):
        again = make(folder=tmp_path, module=copy.deepcopy(module)).fit(X, Y)
        assert outcome(again) == outcome(fitted[module])


def test_descriptions_have_no_addresses_and_tell_values_apart():
    assert "0x" not in repr(description())
    values = [1, 1.0, "1", None, [1], {"1": 1}, nn.Linear(2, 3), nn.Linear(3, 2), np.ones(2), np.zeros(2), make, Decay]
    values += [Mirror(1), Mirror(2), functools.partial(make, 1), functools.partial(make, 2), torch.ones(2)[:1]]
    assert len({described(value) for value in values}) == len(values)
    assert described(nn.Linear(2, 3)) == described(nn.Linear(2, 3)), "not of weights that every process draws anew"
    assert described((1, 2)) == described([1, 2])


@pytest.mark.parametrize("generator", [KernelDensity(), GaussianMixture(random_state=0)], ids=repr)
def test_a_fitted_generator_is_told_by_what_it_learned(generator):
    rows = np.random.default_rng(0).normal(size=(30, 2))
    own, other = clone(generator).fit(rows), clone(generator).fit(2 * rows)
    description = described(own)
    assert description != described(other)
    own.score_samples(rows)  # a tree of neighbors counts how often it is asked
    assert description == described(own) == described(pickle.loads(pickle.dumps(own)))


class Spoken(nn.Linear):
    """Layer with a state beside its weights, and a number that its repr leaves out."""

    def __init__(self, scale):
        super().__init__(2, 2)
        self.scale = scale

    def get_extra_state(self):
        return {"scale": self.scale}

    def set_extra_state(self, state):
        self.scale = state["scale"]


@pytest.mark.parametrize(
    "make_value",
    [
        lambda: torch.full((2,), 0.1, dtype=torch.bfloat16),
        lambda: torch.eye(2).to_sparse(),
        lambda: torch.ones(()),
        lambda: nn.LazyLinear(2),
        lambda: nn.LazyLinear(2).weight,
        lambda: Spoken(1),
        lambda: Spoken(2),
        lambda: Spoken(2).requires_grad_(requires_grad=False),
    ],
    ids=["bfloat16", "sparse", "number", "lazy", "lazy weight", "state", "other state", "frozen"],
)
def test_any_tensor_and_network_has_a_description(make_value):
    own = described(make_value())
    assert own == described(make_value())
    others = [torch.full((2,), 0.1), torch.ones(1), nn.Linear(2, 2), Spoken(3), torch.eye(2)[:1]]
    assert own not in map(described, others)


def test_networks_are_told_apart_by_what_their_repr_leaves_out():
    assert described(Spoken(1)) != described(Spoken(2)) != described(Spoken(2).requires_grad_(requires_grad=False))


@pytest.mark.parametrize("array", [np.arange(12.0).reshape(4, 3), np.array(["a", None, 1], dtype=object)], ids=str)
def test_digests_tell_arrays_apart(array, monkeypatch):
    other = array.copy()
    other[-1] = 7
    assert digest(array) == digest(array.copy()) != digest(other)
    assert digest(array) != digest(array[::-1])
    assert digest(None) == "none"
    whole = digest(array)
    monkeypatch.setattr("skrobust._fingerprint.BYTES_AT_A_TIME", 30)
    assert digest(array) == whole
    assert digest(np.asfortranarray(array)) == whole


# What people see


def test_the_bar_of_a_fit_that_goes_on_counts_all_epochs(tmp_path, killed, capsys):
    killed(make("default", tmp_path), 5 * STEPS + 1)
    make("default", tmp_path, verbose=1).fit(X, Y)
    assert "8/8" in capsys.readouterr().err


def test_the_lines_of_a_fit_that_goes_on_have_a_header(tmp_path, killed, capsys):
    killed(make("default", tmp_path, verbose=2), 5 * STEPS + 1)
    capsys.readouterr()
    make("default", tmp_path, verbose=2).fit(X, Y)
    lines = capsys.readouterr().out.strip().split("\n")
    assert "train_cross_entropy" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["6", "7", "8"]
