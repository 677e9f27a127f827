"""Threads and processes: one setting, and the same bits whoever trains beside."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import threading

import joblib
import numpy as np
import pytest
import threadpoolctl
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from skrobust import OffSupportRobustClassifier
from skrobust._runtime import PROCESS, RandomStream, isolated_random_state, limited_threads, random_stream

CPU = torch.device("cpu")


class Dropout(nn.Sequential):
    """Small network with dropout."""

    def __init__(self, n_features, n_classes, width=16):
        super().__init__(nn.Linear(n_features, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, n_classes))


def fitted(clf, X, y):
    """Return the probabilities of a clone that is fitted, and the losses of its epochs."""
    clf = clone(clf).fit(X, y)
    return clf.predict_proba(X).tolist(), [epoch["train_loss"] for epoch in clf.history_]


@pytest.fixture
def several(quick):
    """Return classifiers with dropout, each with a seed of its own."""
    return [quick(module=Dropout, random_state=seed, max_epochs=6, early_stopping=seed % 2 == 0) for seed in range(6)]


# The same bits under every backend


def in_threads(classifiers, X, y):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda clf: fitted(clf, X, y), classifiers))


def test_dropout_repeats_when_threads_train_side_by_side(several, blobs):
    serial = [fitted(clf, *blobs) for clf in several]
    before = torch.get_rng_state()
    for _ in range(3):
        assert in_threads(several, *blobs) == serial
    assert torch.equal(torch.get_rng_state(), before), "the numbers of the process are left as they were"
    assert RandomStream.current is PROCESS


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_every_backend_of_joblib_gives_the_serial_result(several, blobs, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        parallel = joblib.Parallel()(joblib.delayed(fitted)(clf, *blobs) for clf in several[:3])
    assert parallel == [fitted(clf, *blobs) for clf in several[:3]]


def test_states_that_are_kept_by_threads_are_their_own(quick, blobs, tmp_path):
    def make(seed, folder=None):
        params = {"random_state": seed, "max_epochs": 6, "checkpoint_every": 3}
        return quick(module=Dropout, checkpoint_dir=folder, **params)

    in_threads([make(seed, tmp_path / str(seed)) for seed in range(4)], *blobs)
    for seed in range(4):
        folder = tmp_path / str(seed)
        os.replace(folder / "checkpoint-before.pt", folder / "checkpoint.pt")  # after epoch 3, of 6
        assert fitted(make(seed, folder), *blobs) == fitted(make(seed), *blobs)


FORK = """
import multiprocessing, numpy as np, torch
from skrobust import OffSupportRobustClassifier

X, y = np.random.default_rng(0).normal(size=(3000, 50)), np.arange(3000) % 2
clf = OffSupportRobustClassifier(hidden_layer_sizes=(300,), max_epochs=1, batch_size=500, random_state=0)

def child(queue, n_threads):
    clf.set_params(n_threads=n_threads).fit(X, y)
    queue.put((clf.predict_proba(X).tolist(), torch.get_num_threads()))

torch.set_num_threads(2)
torch.randn(2000, 2000).mm(torch.randn(2000, 2000)).relu()  # threads of OpenMP, which a fork leaves behind
context = multiprocessing.get_context("fork")
for n_threads in (None, 2):
    queue = context.Queue()
    process = context.Process(target=child, args=(queue, n_threads))
    process.start()
    answers, n = queue.get(timeout=300)
    process.join()
    assert n == 1, n
    np.testing.assert_allclose(answers, clf.fit(X, y).predict_proba(X))
assert torch.get_num_threads() == 2
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_process_that_is_forked_off_one_with_threads_does_not_hang():
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", FORK], env=env, capture_output=True, text=True, timeout=600)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_a_fit_within_a_fit_leaves_the_outer_one_alone(quick, blobs):
    class Inner(Callback):
        """Callback that fits another classifier at the end of every epoch."""

        def on_epoch_end(self, net, **kwargs):
            quick(module=Dropout, random_state=9).fit(*blobs)

    clf = quick(module=Dropout)
    assert fitted(clf.set_params(callbacks=[Inner]), *blobs) == fitted(clf.set_params(callbacks=None), *blobs)


# One setting


class Threads(Callback):
    """Callback that records how many threads torch has, in a list that copies share."""

    seen = []

    def on_batch_end(self, net, **kwargs):
        Threads.seen.append(torch.get_num_threads())


@pytest.fixture
def two_threads():
    """Let torch have two threads within a test."""
    with threadpoolctl.threadpool_limits(2, user_api="openmp"):
        if torch.get_num_threads() != 2:
            pytest.skip("needs OpenMP with a second thread")
        yield


@pytest.mark.parametrize(("n_threads", "expected"), [(None, 1), (1, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_n_threads_is_the_number_of_threads_that_train(quick, blobs, two_threads, method, n_threads, expected):
    Threads.seen = []
    clf = quick(callbacks=[Threads], n_threads=n_threads)
    getattr(clf, method)(*blobs, **({} if method == "fit" else {"classes": [0, 1, 2]}))
    assert set(Threads.seen) == {expected}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, "all"])
def test_n_threads_is_a_positive_number(quick, blobs, n_threads):
    with pytest.raises(ValueError, match=r"The 'n_threads' parameter of .* must be an int in the range \[1, inf\)"):
        quick(n_threads=n_threads).fit(*blobs)


def test_dropout_repeats_whatever_the_number_of_threads(quick, rng, two_threads):
    X, y = rng.normal(size=(1000, 20)), np.arange(1000) % 3
    params = {"module": Dropout, "module__width": 200, "batch_size": 500, "max_epochs": 2}
    params["net_params"] = {"module__width": params.pop("module__width")}
    one, two, again = (fitted(quick(n_threads=n, **params), X, y) for n in (1, 2, 2))
    assert two == again
    np.testing.assert_allclose(one[0], two[0], rtol=1e-6)


@pytest.mark.parametrize("explicit", [False, True])
def test_a_new_python_thread_keeps_to_the_limit(explicit):
    """A thread of Python asks for the number of threads at its first computation, which must not undo the limit."""
    code = f"""
import threading, torch
from skrobust._runtime import limited_threads
if {explicit}: torch.set_num_threads(2)
usual, seen = torch.get_num_threads(), []
def work():
    with limited_threads(torch.nn.Linear(2, 2), torch.device("cpu")):
        torch.randn(300, 300).mm(torch.randn(300, 300))
        seen.append(torch.get_num_threads())
    seen.append(torch.get_num_threads())
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert seen == [1, usual], (seen, usual)
assert torch.get_num_threads() == usual
"""
    env = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_a_forked_process_has_one_thread_whatever_is_asked_for(monkeypatch, two_threads):
    monkeypatch.setattr("skrobust._runtime._Forked.is_child", True)
    with limited_threads(nn.Linear(2, 2), CPU, 2):
        assert torch.get_num_threads() == 1


# Streams of random numbers


def draws(seed, n):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand((), generator=generator).item() for _ in range(n)]


def test_streams_take_turns():
    before = torch.get_rng_state()
    with random_stream(CPU, 1) as first, random_stream(CPU, 2) as second:
        drawn = {first: [], second: []}
        for stream in (first, second, second, first, first, second):
            with stream:
                drawn[stream].append(torch.rand(()).item())
    assert list(drawn.values()) == [draws(1, 3), draws(2, 3)]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_streams_may_end_in_any_order(first_to_end):
    before = torch.get_rng_state()
    contexts = [random_stream(CPU, seed) for seed in (1, 2)]
    streams = [context.__enter__() for context in contexts]
    drawn = [[], []]
    for index in (0, 1, 0, 1):
        with streams[index]:
            drawn[index].append(torch.rand(()).item())
    contexts[first_to_end].__exit__(None, None, None)
    left = 1 - first_to_end
    with streams[left]:
        drawn[left].append(torch.rand(()).item())
    contexts[left].__exit__(None, None, None)
    assert drawn[left] == draws(left + 1, 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert RandomStream.current is PROCESS


def test_a_stream_goes_on_from_a_state():
    with random_stream(CPU, 1) as stream:
        torch.rand(())
        state = stream.get_state()
    with random_stream(CPU, 2) as stream:
        stream.set_state(state)
        assert torch.rand(()).item() == draws(1, 2)[1]


def test_nobody_draws_from_an_isolated_state():
    done = threading.Event()

    def other():
        with random_stream(CPU, 2) as stream, stream:
            torch.rand(())
        done.set()

    with isolated_random_state(CPU, 1):
        first = torch.rand(()).item()
        thread = threading.Thread(target=other)
        thread.start()
        assert not done.wait(0.05)
        assert [first, torch.rand(()).item()] == draws(1, 2)
    thread.join()
    assert done.is_set()


def test_the_default_is_documented():
    assert "one for networks of up to two million parameters" in " ".join(OffSupportRobustClassifier.__doc__.split())


def test_a_stream_that_cannot_be_entered_leaves_the_lock_to_others(monkeypatch):
    def interrupted(stream):
        raise KeyboardInterrupt

    def train_elsewhere():
        if RandomStream.lock.acquire(timeout=30):
            RandomStream.lock.release()
            got.append(True)

    got = []
    with monkeypatch.context() as patched:
        patched.setattr(RandomStream, "_take_over", interrupted)
        with pytest.raises(KeyboardInterrupt):
            RandomStream().__enter__()
    other = threading.Thread(target=train_elsewhere)
    other.start()
    other.join()
    assert got == [True]
