"""Learning-rate schedules and the callback that applies them."""

import itertools

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, LRScheduler

from skrobust._schedules import SCHEDULES, LearningRate, constant, constant_cosine, one_cycle

PROGRESS = np.linspace(0, 1, 101)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_factors_lie_between_zero_and_one_and_reach_one(schedule):
    factors = np.array([schedule(progress) for progress in PROGRESS])
    assert factors.min() >= 0
    assert factors.max() == pytest.approx(1)


def test_one_cycle_rises_for_a_quarter_and_then_falls_to_zero():
    factors = [one_cycle(progress) for progress in PROGRESS]
    assert factors[0] == pytest.approx(0.04)
    assert factors[25] == pytest.approx(1)
    assert factors[-1] == pytest.approx(0)
    assert all(a < b for a, b in itertools.pairwise(factors[:26]))
    assert all(a > b for a, b in itertools.pairwise(factors[25:]))


def test_constant_cosine_stays_for_one_half_and_then_falls_to_zero():
    factors = [constant_cosine(progress) for progress in PROGRESS]
    assert factors[:51] == [1.0] * 51
    assert factors[75] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0)
    assert all(a > b for a, b in itertools.pairwise(factors[50:]))


def test_constant_is_constant():
    assert {constant(progress) for progress in PROGRESS} == {1.0}


class _Net:
    """The part of a skorch net that the callback touches."""

    def __init__(self, lr):
        self.optimizer_ = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
        self.history = self
        self.records = []

    def record(self, name, value):
        self.records.append((name, value))

    @property
    def lr(self):
        return self.optimizer_.param_groups[0]["lr"]


def test_callback_scales_the_peak_and_gives_it_back():
    net, callback = _Net(lr=2.0), LearningRate(lambda progress: progress, n_steps=4)
    callback.on_train_begin(net)
    seen = []
    for _ in range(4):
        callback.on_batch_begin(net, training=True)
        seen.append(net.lr)
    assert seen == [0.25, 0.75, 1.25, 1.75]
    callback.on_batch_begin(net, training=False)
    assert net.lr == 1.75, "a validation batch is not a step"
    callback.on_epoch_end(net)
    assert net.records == [("lr", 1.75)]
    callback.on_train_end(net)
    assert net.lr == 2.0


@pytest.mark.parametrize(
    ("name", "falls"), [("one_cycle", True), ("constant_cosine", True), ("constant", False)], ids=list(SCHEDULES)
)
def test_history_records_the_learning_rate(quick, blobs, name, falls):
    history = quick(lr_schedule=name, lr=0.01, max_epochs=5).fit(*blobs).history_
    rates = [epoch["lr"] for epoch in history]
    assert max(rates) <= 0.01
    assert (rates[-1] < 0.1 * 0.01) == falls


def test_partial_fit_keeps_the_learning_rate_constant(quick, blobs):
    clf = quick(lr_schedule="one_cycle", lr=0.01)
    clf.partial_fit(*blobs, classes=[0, 1, 2]).partial_fit(*blobs)
    assert [epoch["lr"] for epoch in clf.history_] == [0.01, 0.01]


class BatchRates(Callback):
    """Callback that records the learning rate of every batch in a list that copies share."""

    rates = []

    def on_batch_end(self, net, training=None, **kwargs):
        if training:
            BatchRates.rates.append(net.optimizer_.param_groups[0]["lr"])


@pytest.fixture
def rates():
    BatchRates.rates = []
    return BatchRates.rates


@pytest.mark.parametrize(
    ("settings", "n_batches"),
    [
        ({}, 2),
        ({"iterator_train__batch_size": 10}, 9),
        ({"iterator_train__batch_size": 40, "iterator_train__drop_last": True}, 2),
        ({"iterator_train__batch_size": 1000}, 1),
    ],
    ids=str,
)
def test_a_cycle_is_one_however_rows_are_dealt_into_batches(quick, blobs, rates, settings, n_batches):
    quick(batch_size=64, lr=0.01, max_epochs=16, net_params=settings, callbacks=[BatchRates]).fit(*blobs)
    assert len(rates) == 16 * n_batches
    signs = np.sign(np.diff(rates))
    assert signs[0] > 0 > signs[-1]
    assert np.count_nonzero(np.diff(signs[signs != 0])) == 1, "up once and down once"
    assert max(rates) == pytest.approx(0.01, rel=0.02)
    assert rates[-1] < 0.01 * 0.01


STEP = LRScheduler("StepLR", step_size=1, gamma=0.1)


def test_a_constant_rate_is_left_to_a_scheduler_of_the_user(quick, blobs, rates):
    clf = quick(lr=0.01, lr_schedule="constant", callbacks=[STEP, BatchRates]).fit(*blobs)
    np.testing.assert_allclose(rates, np.repeat([1e-2, 1e-3, 1e-4], 3))
    np.testing.assert_allclose([epoch["lr"] for epoch in clf.history_], [1e-2, 1e-3, 1e-4])


@pytest.mark.parametrize("callback", [STEP, ("step", STEP)], ids=["instance", "pair"])
def test_a_scheduler_begins_anew_in_a_warm_start(quick, blobs, callback):
    clf = quick(lr=0.01, lr_schedule="constant", callbacks=[callback], warm_start=True).fit(*blobs).fit(*blobs)
    np.testing.assert_allclose([epoch["lr"] for epoch in clf.history_], [1e-2, 1e-3, 1e-4] * 2)


def test_schedulers_of_other_kinds(quick, blobs):
    plateau = LRScheduler("ReduceLROnPlateau", monitor="lr", patience=0, factor=0.1)  # the rate itself never falls
    clf = quick(lr=0.01, lr_schedule="constant", callbacks=[plateau], max_epochs=2, warm_start=True)
    np.testing.assert_allclose([epoch["lr"] for epoch in clf.fit(*blobs).history_], [1e-2, 1e-2])
    chosen = {"callbacks__LRScheduler__policy": "ExponentialLR", "callbacks__LRScheduler__gamma": 0.5}
    clf.set_params(callbacks=[LRScheduler], net_params=chosen).fit(*blobs)
    np.testing.assert_allclose([epoch["lr"] for epoch in clf.history_], [1e-2, 1e-2, 1e-2, 5e-3])


@pytest.mark.parametrize("scheduler", [STEP, ("step", STEP), LRScheduler, ("step", LRScheduler)])
@pytest.mark.parametrize("name", ["one_cycle", "constant_cosine"])
def test_two_schedules_contradict_each_other(quick, blobs, name, scheduler):
    message = rf"callbacks has an LRScheduler, but lr_schedule='{name}' sets .*: set lr_schedule='constant'\."
    with pytest.raises(ValueError, match=message):
        quick(lr_schedule=name, callbacks=[scheduler]).fit(*blobs)


def test_partial_fit_takes_a_scheduler_whatever_the_schedule_of_fit(quick, blobs, rates):
    by_batch = LRScheduler("StepLR", step_size=1, gamma=0.1, step_every="batch")
    clf = quick(lr=0.01, callbacks=[BatchRates, by_batch])
    for _ in range(2):
        clf.partial_fit(*blobs, classes=[0, 1, 2])
    np.testing.assert_allclose(rates, [1e-2, 1e-3, 1e-4] * 2)


def test_a_rate_named_as_skorch_does_holds_in_every_partial_fit(quick, blobs, rates):
    clf = quick(net_params={"optimizer__lr": 0.05}, callbacks=[BatchRates])
    for _ in range(3):
        clf.partial_fit(*blobs, classes=[0, 1, 2])
    assert rates == [0.05] * 9
    clf.set_params(net_params=None, lr=0.02).partial_fit(*blobs)
    assert rates[9:] == [0.02] * 3
