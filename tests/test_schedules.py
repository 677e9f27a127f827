"""Learning-rate schedules and the callback that applies them."""

import itertools

import numpy as np
import pytest
import torch

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
