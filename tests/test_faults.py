"""What a failure in the middle of training leaves behind: the estimator as it was before, or usable; and what to do."""

import errno
import math

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from skrobust import OffSupportRobustClassifier, _checkpoint
from skrobust._callbacks import ValidationStop
from skrobust._net import NonFiniteLossError, OffSupportNet
from skrobust.data import BatchIterator

STEPS = 3  # batches in an epoch


class FailsAt(Callback):
    """Callback that raises an error at the n-th call of an event."""

    def __init__(self, event, call, error):
        self.event, self.call, self.error = event, call, error

    def initialize(self):
        self.n_calls_ = 0

    def notified(self, event, training=True):
        self.n_calls_ += event == self.event and bool(training)
        if event == self.event and training and self.n_calls_ == self.call:
            raise self.error

    def on_train_begin(self, net, **kwargs):
        self.notified("on_train_begin")

    def on_epoch_begin(self, net, **kwargs):
        self.notified("on_epoch_begin")

    def on_batch_end(self, net, training=None, **kwargs):
        self.notified("on_batch_end", training)

    def on_epoch_end(self, net, **kwargs):
        self.notified("on_epoch_end")

    def on_train_end(self, net, **kwargs):
        self.notified("on_train_end")


class Explodes(BaseEstimator):
    """Penalty that grows by a factor in every step, from one step on."""

    n_steps = 0

    def __init__(self, step, factor):
        self.step, self.factor = step, factor

    def __call__(self, anchors, logits, neighborhood):
        Explodes.n_steps += 1
        growth = torch.tensor(self.factor, dtype=torch.float64) ** max(0, Explodes.n_steps - self.step)
        return logits.square().mean() * growth


@pytest.fixture
def trained(quick, blobs):
    """Return a function that makes a classifier, fitted or not, and gives what it answers before anything fails."""

    def make(is_fitted, **params):
        clf = quick(**params)
        if not is_fitted:
            return clf, None
        clf.fit(*blobs)
        return clf, clf.predict_proba(blobs[0])

    return make


@pytest.fixture
def failing(monkeypatch):
    """Return a function that replaces a method by one whose n-th call fails; it lasts as long as a context."""

    def patched(owner, name, call, error):
        method, count = getattr(owner, name), iter(range(1, 10**6))

        def broken(*args, **kwargs):
            if next(count) == call:
                raise error
            return method(*args, **kwargs)

        context = monkeypatch.context()
        patch = context.__enter__()
        patch.setattr(owner, name, broken)
        return lambda: context.__exit__(None, None, None)

    return patched


def assert_as_before(clf, answers, blobs):
    """Check that a classifier is unfitted, or answers as it did, and that it can be fitted again."""
    X, y = blobs
    if answers is None:
        assert not [name for name in vars(clf) if name.endswith("_")]
        with pytest.raises(NotFittedError):
            clf.predict(X)
    else:
        np.testing.assert_array_equal(clf.predict_proba(X), answers)
        assert clf.n_iter_ == len(clf.history_) == len(clf.net_.history)
    again = clf.set_params(callbacks=None, penalty="smoothness").fit(X, y).predict_proba(X)
    params = {name: value for name, value in clf.get_params(deep=False).items() if name != "checkpoint_dir"}
    np.testing.assert_array_equal(again, OffSupportRobustClassifier(**params).fit(X, y).predict_proba(X))


def notes(raised):
    return " ".join(getattr(raised.value, "__notes__", []))


is_fitted = pytest.mark.parametrize("is_fitted", [False, True], ids=["unfitted", "fitted"])
AS_BEFORE = "the classifier is as it was before the call."

FAULTS = {
    "gpu out of memory": (torch.OutOfMemoryError, "CUDA out of memory.", MemoryError, "lower batch_size"),
    "out of memory": (RuntimeError, "DefaultCPUAllocator: can't allocate memory", MemoryError, "lower batch_size"),
    "bug": (RuntimeError, "mat1 and mat2 shapes cannot be multiplied", RuntimeError, "mat1 and mat2"),
}


@is_fitted
@pytest.mark.parametrize("fault", FAULTS)
def test_a_step_that_fails_leaves_the_classifier_as_it_was(trained, blobs, failing, is_fitted, fault):
    error, text, kind, message = FAULTS[fault]
    clf, answers = trained(is_fitted)
    undo = failing(OffSupportNet, "train_step_single", STEPS + 2, error(text))
    with pytest.raises(kind, match=message) as raised:
        clf.fit(*blobs)
    undo()
    assert notes(raised) == "Training failed in epoch 2: " + AS_BEFORE
    assert_as_before(clf, answers, blobs)


@is_fitted
@pytest.mark.parametrize("fault", FAULTS)
def test_a_chunk_that_fails_leaves_the_classifier_as_it_was(trained, blobs, failing, is_fitted, fault):
    error, text, kind, message = FAULTS[fault]
    clf, answers = trained(is_fitted)
    undo = failing(OffSupportNet, "train_step_single", 2, error(text))
    with pytest.raises(kind, match=message):
        clf.partial_fit(*blobs, classes=[0, 1, 2])
    undo()
    assert_as_before(clf, answers, blobs)


@is_fitted
def test_a_loader_that_fails_leaves_the_classifier_as_it_was(trained, blobs, failing, is_fitted):
    clf, answers = trained(is_fitted)
    undo = failing(BatchIterator, "__iter__", 2, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output error") as raised:
        clf.fit(*blobs)
    undo()
    assert notes(raised) == "Training failed in epoch 2: " + AS_BEFORE
    assert_as_before(clf, answers, blobs)


@is_fitted
@pytest.mark.parametrize(
    ("event", "call", "epoch"),
    [
        ("on_train_begin", 1, 1),
        ("on_epoch_begin", 2, 2),
        ("on_batch_end", STEPS + 1, 2),
        ("on_epoch_end", 2, 2),
        ("on_train_end", 1, 3),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_a_callback_that_fails_leaves_the_classifier_as_it_was(trained, blobs, is_fitted, event, call, epoch, error):
    clf, answers = trained(is_fitted)
    clf.set_params(callbacks=[FailsAt(event, call, error("broken"))])
    with pytest.raises(error, match="broken") as raised:
        clf.fit(*blobs)
    assert notes(raised) == f"Training failed in epoch {epoch}: {AS_BEFORE}"
    assert_as_before(clf, answers, blobs)


@is_fitted
def test_a_scorer_that_fails_leaves_the_classifier_as_it_was(trained, blobs, is_fitted):
    clf, answers = trained(is_fitted)
    clf.set_params(early_stopping=True, scoring=lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError) as raised:
        clf.fit(*blobs)
    assert notes(raised) == "Training failed in epoch 1: " + AS_BEFORE
    assert_as_before(clf.set_params(scoring=None), answers, blobs)


# Losses that are no numbers


@is_fitted
@pytest.mark.parametrize("factor", [math.nan, math.inf, 1e200], ids=["nan", "infinite", "exploding"])
def test_a_loss_that_breaks_in_the_first_epoch_leaves_the_classifier_as_it_was(trained, blobs, is_fitted, factor):
    clf, answers = trained(is_fitted)
    Explodes.n_steps = 0
    clf.set_params(penalty=Explodes(1, factor), dtype="float64")
    message = "(penalty|loss|weights|cross_entropy) became non-finite in epoch 1 with lr=.*: lower lr"
    with pytest.raises(NonFiniteLossError, match=message) as raised:
        clf.fit(*blobs)
    assert notes(raised) == "Training failed in epoch 1: " + AS_BEFORE
    assert_as_before(clf.set_params(dtype="auto"), answers, blobs)


@is_fitted
@pytest.mark.parametrize("factor", [math.nan, math.inf, 1e200], ids=["nan", "infinite", "exploding"])
def test_a_loss_that_breaks_later_leaves_the_weights_before_it(trained, blobs, is_fitted, factor):
    clf, _ = trained(is_fitted)
    Explodes.n_steps = 0
    clf.set_params(penalty=Explodes(2 * STEPS, factor), max_epochs=6)
    with pytest.raises(NonFiniteLossError, match=r"became non-finite in epoch 3 with lr=.*: lower lr") as raised:
        clf.fit(*blobs)
    assert notes(raised) == "Training failed in epoch 3: the classifier has the weights after epoch 2."
    assert clf.n_iter_ == 3
    assert np.isfinite(clf.predict_proba(blobs[0])).all()
    Explodes.n_steps = 0

    class StopThere(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    params = {**clf.get_params(deep=False), "callbacks": [StopThere()]}
    expected = OffSupportRobustClassifier(**params).fit(*blobs)
    np.testing.assert_array_equal(clf.predict_proba(blobs[0]), expected.predict_proba(blobs[0]))


# Disks


def disk_full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


FULL = r"checkpoint_dir='.*' cannot be written after epoch (\d) \(No space left on device\): training goes on and "


@pytest.mark.parametrize("where", ["skrobust._atomic._to_disk", "os.replace", "skrobust._checkpoint.atomic_file"])
def test_a_disk_that_is_full_from_the_beginning_does_not_end_training(quick, blobs, tmp_path, monkeypatch, where):
    with monkeypatch.context() as patch:
        patch.setattr(where, disk_full)
        with pytest.warns(UserWarning, match=FULL + "no state is kept; free some space") as warned:
            clf = quick(checkpoint_dir=tmp_path).fit(*blobs)
    assert len(warned) == 3
    assert_same(clf, quick().fit(*blobs), blobs)
    assert not list(tmp_path.iterdir())
    assert_same(quick(checkpoint_dir=tmp_path).fit(*blobs), clf, blobs)


def assert_same(first, second, blobs):
    np.testing.assert_array_equal(first.predict_proba(blobs[0]), second.predict_proba(blobs[0]))


def test_a_disk_that_fills_up_leaves_the_last_whole_state(quick, blobs, tmp_path, failing, monkeypatch):
    class Fills(Callback):
        """Callback that fills the disk at the end of the second epoch, and fails in the fourth."""

        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                patch.setattr(_checkpoint, "open", disk_full, raising=False)
            if len(net.history) == 4:
                raise RuntimeError("power failure")

    clf = quick(max_epochs=6, checkpoint_dir=tmp_path, callbacks=[Fills()])
    with (
        monkeypatch.context() as patch,
        pytest.warns(UserWarning, match=FULL + "the state after epoch 1 is kept") as w,
        pytest.raises(RuntimeError, match="power failure") as raised,
    ):
        clf.fit(*blobs)
    assert len(w) == 2
    assert notes(raised) == (
        f"Training failed in epoch 4: {AS_BEFORE} checkpoint_dir='{tmp_path}' keeps the state after epoch 1: once the "
        "cause is mended, the same call goes on from there."
    )
    assert not hasattr(clf, "net_")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert _checkpoint.CheckpointFile(tmp_path, {}).path.exists()


def test_a_folder_that_may_not_be_written_is_named(quick, blobs, tmp_path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("skrobust._checkpoint.atomic_file", denied)
    message = r"\(Permission denied\): training goes on and no state is kept; see to the folder."
    with pytest.warns(UserWarning, match=message):
        quick(checkpoint_dir=tmp_path, max_epochs=1).fit(*blobs)


# Faults of a fit that keeps its state, and Ctrl-C


def test_what_was_mended_goes_on_from_the_last_state(quick, blobs, tmp_path, failing):
    clf = quick(max_epochs=6, checkpoint_dir=tmp_path, checkpoint_every=2)
    undo = failing(OffSupportNet, "train_step_single", 3 * STEPS + 2, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(MemoryError) as raised:
        clf.fit(*blobs)
    undo()
    assert "keeps the state after epoch 2: once the cause is mended" in notes(raised)
    assert_same(clf.fit(*blobs), quick(max_epochs=6).fit(*blobs), blobs)


INTERRUPTS = {
    "batch": (OffSupportNet, "train_step_single", 3 * STEPS + 2, "Training was interrupted after 3 whole epochs", 3),
    "score": (ValidationStop, "score", 4, "interrupted while held-out rows were scored, after 4 whole epochs", 4),
    "writing": (
        _checkpoint.CheckpointFile,
        "write",
        4,
        "interrupted while a checkpoint was written, after 4 whole epochs",
        4,
    ),
}


@pytest.mark.parametrize(
    ("where", "keeps"), [("batch", False), ("score", False), ("batch", True), ("score", True), ("writing", True)]
)
def test_an_interrupt_leaves_a_usable_classifier_that_can_go_on(quick, blobs, tmp_path, failing, where, keeps):
    owner, name, call, message, n_epochs = INTERRUPTS[where]
    params = {"max_epochs": 8, "early_stopping": True, "validation_fraction": 0.2, "scoring": "neg_log_loss"}
    clf = quick(**params, checkpoint_dir=tmp_path if keeps else None)
    if where == "score":
        clf.set_params(scoring=Scorer())
        Scorer.n_calls, Scorer.interrupted_at = 0, 4
    else:
        undo = failing(owner, name, call, KeyboardInterrupt())
    with pytest.warns(UserWarning, match=message):
        clf.fit(*blobs)
    if where == "score":
        Scorer.interrupted_at = None
    else:
        undo()
    assert clf.n_iter_ == len(clf.history_) == n_epochs
    assert clf.score(*blobs) > 0.2
    params["scoring"] = clf.scoring
    if keeps:
        assert_same(clf.fit(*blobs), quick(**params).fit(*blobs), blobs)
        assert clf.n_iter_ == 8


class Scorer:
    """Scorer that is interrupted at its n-th call."""

    n_calls, interrupted_at = 0, None

    def __call__(self, estimator, X, y):
        Scorer.n_calls += 1
        if Scorer.n_calls == Scorer.interrupted_at:
            raise KeyboardInterrupt
        return estimator.score(X, y)


def test_an_interrupted_score_gives_the_best_weights_back(quick, blobs):
    params = {"max_epochs": 8, "early_stopping": True, "validation_fraction": 0.2, "lr": 0.05, "scoring": Scorer()}
    Scorer.n_calls, Scorer.interrupted_at = 0, 5
    with pytest.warns(UserWarning, match="the network is kept, with the best weights there were if rows are held out"):
        clf = quick(**params).fit(*blobs)
    Scorer.interrupted_at = None
    scores = [epoch["valid_score"] for epoch in clf.history_ if "valid_score" in epoch]
    assert len(scores) == 4

    class StopAtBest(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == len(scores) - int(np.argmax(scores[::-1])):
                raise KeyboardInterrupt

    assert_same(clf, quick(**params, callbacks=[StopAtBest()]).fit(*blobs), blobs)


def test_an_interrupt_as_the_last_state_is_written_keeps_the_net(quick, blobs, tmp_path, failing):
    clf = quick(max_epochs=30, early_stopping=True, lr_schedule="constant", n_iter_no_change=2, scoring=lambda *a: 0.5)
    undo = failing(_checkpoint.CheckpointFile, "write", 3, KeyboardInterrupt())
    with pytest.warns(UserWarning, match="interrupted while a checkpoint was written, after 3 whole epochs"):
        clf.set_params(checkpoint_dir=tmp_path).fit(*blobs)
    undo()
    assert clf.n_iter_ == 3


def test_a_fit_that_fails_before_it_begins_keeps_nothing(quick, blobs, tmp_path):
    clf = quick(checkpoint_dir=tmp_path, net_params={"callbacks__absent__step": 1})
    with pytest.raises(ValueError, match="callbacks__absent__step in net_params names no callback") as raised:
        clf.fit(*blobs)
    assert notes(raised) == "Training failed in epoch 1: " + AS_BEFORE
    assert not list(tmp_path.iterdir())
