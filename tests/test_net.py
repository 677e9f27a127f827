"""The private net: epochs, prediction in chunks, copies, and what a failure leaves behind."""

import copy
import math

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from skrobust._net import NonFiniteLossError, OffSupportNet
from skrobust._objective import CrossEntropy, Layout
from skrobust.data import Rows


@pytest.fixture
def rows(blobs):
    X, y = blobs
    return Rows(torch.from_numpy(X), torch.from_numpy(y))


def make_net(module="mlp", *, objective=None, **params):
    sizes = {"n_features": 4, "n_classes": 3, "image_shape": None, "hidden_layer_sizes": (8,)}
    defaults = {"optimizer": torch.optim.SGD, "lr": 0.1, "batch_size": 32, "max_epochs": 2, "classes": np.arange(3)}
    net = OffSupportNet(module, sizes=sizes, float_type=torch.float64, **{**defaults, **params})
    net.objective = objective or CrossEntropy()
    return net.initialize()


def test_history_has_the_mean_of_each_term_weighted_by_rows(rows):
    class Constant(CrossEntropy):
        """Objective whose terms are the number of rows of the batch."""

        def __call__(self, forward, X, y, weight=None):
            loss = forward(X, Layout(len(X))).sum() * 0 + len(X)
            return {"loss": loss, "terms": {"size": loss.detach(), "loss": loss}, "y_pred": None}

    net = make_net(objective=Constant(), batch_size=2)
    net.partial_fit((Rows(rows.X[:5], rows.y[:5]), None))
    assert len(net.history) == 2
    assert net.history[-1, "train_size"] == pytest.approx((2 * 2 + 2 * 2 + 1 * 1) / 5)
    assert net.history[-1, "train_batch_count"] == 3


def test_validation_rows_are_recorded_and_never_trained_on(rows):
    net, without = make_net(), make_net()
    without.module_.load_state_dict(net.module_.state_dict())
    net.partial_fit((rows, Rows(rows.X[:7], rows.y[:7])))
    without.partial_fit((rows, None))
    assert net.history[-1, "valid_batch_count"] == 1
    with torch.no_grad():
        expected = nn.functional.cross_entropy(net.module_(rows.X[:7]), rows.y[:7])
    assert net.history[-1, "valid_loss"] == pytest.approx(expected.item())
    assert "valid_loss" not in without.history[-1]
    for ours, theirs in zip(net.module_.parameters(), without.module_.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_prediction_in_chunks_is_that_of_the_whole(rows, chunk_size):
    net = make_net()
    chunks = list(net.predicted(rows.X.split(chunk_size), lambda logits: logits.softmax(dim=1)))
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_size] * (len(chunks) - 1)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(chunks), net.module_(rows.X).softmax(dim=1))


def test_prediction_switches_to_evaluation_mode(rows):
    net = make_net(nn.Sequential(nn.Dropout(0.9), nn.Linear(4, 3)))
    assert net.module_.training
    first, second = (torch.cat(list(net.predicted([rows.X], lambda logits: logits))) for _ in range(2))
    assert torch.equal(first, second)
    assert not net.module_.training


def test_rows_are_given_to_the_network_in_its_shape():
    net = make_net(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), row_shape=(1, 2, 2))
    assert net.shaped(torch.zeros(5, 4)).shape == (5, 1, 2, 2)
    assert make_net().shaped(torch.zeros(5, 4)).shape == (5, 4)


def test_batch_norm_keeps_the_statistics_of_the_labeled_rows_alone(rows):
    class BesideTheData(CrossEntropy):
        """Objective that also evaluates rows far away from the data."""

        def __call__(self, forward, X, y, weight=None):
            logits = forward(torch.cat([X, X + 1000]), Layout(len(X)))
            loss = nn.functional.cross_entropy(logits[: len(X)], y)
            return {"loss": loss, "terms": {"loss": loss}, "y_pred": logits}

    network = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    net = make_net(network, objective=BesideTheData(), batch_size=100, max_epochs=3)
    net.partial_fit((rows, None))
    # A batch holds all rows, so that three steps of momentum 0.1 start at (0, 1) and see the same statistics.
    variance, mean = torch.var_mean(rows.X, dim=0)
    kept = 0.9**3
    torch.testing.assert_close(net.module_[0].running_mean, (1 - kept) * mean)
    torch.testing.assert_close(net.module_[0].running_var, kept + (1 - kept) * variance)


def test_a_copy_for_predicting_shares_nothing_with_the_net(rows):
    net = make_net()
    net.partial_fit((rows, None))
    other = net.without_training_state()
    before = torch.cat(list(other.predicted([rows.X], lambda logits: logits)))
    n_epochs = len(other.history)
    net.partial_fit((rows, None))
    assert len(net.history) == n_epochs + 2
    assert len(other.history) == n_epochs
    assert torch.equal(torch.cat(list(other.predicted([rows.X], lambda logits: logits))), before)
    assert not hasattr(other, "optimizer_")
    assert other.objective is None
    assert hasattr(net, "optimizer_"), "the original can train on"


class BreaksAt(CrossEntropy):
    """Plain training that breaks at one step: it raises an error, or returns a value instead of the loss."""

    def __init__(self, step, outcome):
        vars(self).update(step=step, outcome=outcome, n_steps=0)

    def __call__(self, forward, X, y, weight=None):
        vars(self)["n_steps"] += 1
        step = CrossEntropy()(forward, X, y, weight)
        terms = {"cross_entropy": step["loss"], "penalty": torch.zeros(()), "loss": step["loss"]}
        if self.n_steps == self.step:
            if isinstance(self.outcome, Exception):
                raise self.outcome
            terms |= {name: torch.tensor(value) for name, value in self.outcome.items()}
        return {**step, "terms": terms}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (("cross_entropy", "loss"), r"cross_entropy became non-finite in epoch 2 with lr=0.1: lower lr, or scale X"),
        (("penalty", "loss"), r"penalty became non-finite in epoch 2 with lr=0.1: lower lr or smoothness, or scale X"),
        (("loss",), r"loss became non-finite in epoch 2 with lr=0.1: lower lr or smoothness, or scale X"),
    ],
)
def test_a_broken_term_is_named_and_the_weights_of_the_last_good_epoch_are_kept(rows, value, terms, message):
    net = make_net(objective=BreaksAt(5, dict.fromkeys(terms, value)), max_epochs=3)  # three steps in an epoch
    twin = copy.deepcopy(net)
    twin.set_params(max_epochs=1)
    twin.objective = CrossEntropy()
    twin.partial_fit((rows, None))
    with pytest.raises(NonFiniteLossError, match=message):
        net.partial_fit((rows, None))
    for ours, expected in zip(net.module_.parameters(), twin.module_.parameters(), strict=True):
        assert torch.equal(ours, expected)


def test_broken_weights_are_noticed_though_the_loss_was_finite(rows):
    net = make_net(lr=math.inf, batch_size=100)
    with pytest.raises(NonFiniteLossError, match="weights became non-finite in epoch 1 with lr=inf: lower lr,"):
        net.partial_fit((rows, None))
    assert all(parameter.isfinite().all() for parameter in net.module_.parameters())


@pytest.mark.parametrize("outcome", [RuntimeError("broken"), {"loss": math.nan}], ids=["error", "nan"])
def test_unchanged_on_failure_gives_weights_and_history_back(rows, outcome):
    net = make_net(optimizer=torch.optim.Adam)
    net.partial_fit((rows, None))
    weights = net.copied_weights()
    net.objective = BreaksAt(5, outcome)
    with pytest.raises((RuntimeError, NonFiniteLossError)), net.unchanged_on_failure():
        net.partial_fit((rows, None))
    assert len(net.history) == 2
    assert all(torch.equal(value, weights[name]) for name, value in net.module_.state_dict().items())
    assert not hasattr(net, "optimizer_"), "the moments of the failed steps are gone"


def test_nothing_is_given_back_after_success(rows):
    net = make_net()
    weights = net.copied_weights()
    with net.unchanged_on_failure():
        net.partial_fit((rows, None))
    assert len(net.history) == 2
    assert not torch.equal(net.module_[1].weight, weights["1.weight"])


class InterruptsAt(Callback):
    """Callback that ends training at one call of one event, as the user or a callback of skorch does."""

    def __init__(self, event, call):
        self.event, self.call = event, call

    def initialize(self):
        self.n_calls_ = 0

    def _count(self, event, training=True):
        self.n_calls_ += event == self.event and training
        if self.n_calls_ == self.call:
            raise KeyboardInterrupt

    def on_epoch_begin(self, net, **kwargs):
        self._count("on_epoch_begin")

    def on_batch_begin(self, net, training=None, **kwargs):
        self._count("on_batch_begin", training)

    def on_batch_end(self, net, training=None, **kwargs):
        self._count("on_batch_end", training)
        self._count("on_valid_batch_end", not training)

    def on_epoch_end(self, net, **kwargs):
        self._count("on_epoch_end")


@pytest.mark.parametrize(
    ("event", "call"), [("on_epoch_begin", 3), ("on_batch_begin", 7), ("on_batch_end", 9), ("on_valid_batch_end", 3)]
)
def test_an_interrupt_within_an_epoch_takes_its_record_back_and_warns(rows, event, call):
    net = make_net(callbacks=[("interrupt", InterruptsAt(event, call))], max_epochs=5)  # three steps in an epoch
    with pytest.warns(UserWarning, match="Training was interrupted after 2 whole epochs: the network is kept"):
        net.partial_fit((rows, Rows(rows.X[:7], rows.y[:7])))
    assert len(net.history) == 2
    assert all(np.isfinite([epoch["train_loss"], epoch["valid_loss"]]).all() for epoch in net.history)


def test_an_interrupt_between_epochs_keeps_the_epoch_and_warns_of_nothing(rows):
    net = make_net(callbacks=[("interrupt", InterruptsAt("on_epoch_end", 1))], max_epochs=5)
    net.partial_fit((rows, None))
    assert len(net.history) == 1


def test_a_user_callback_sees_the_outputs_of_each_batch(rows):
    class Outputs(Callback):
        def on_train_begin(self, net, **kwargs):
            self.shapes_ = []

        def on_batch_end(self, net, batch=None, training=None, y_pred=None, loss=None, **kwargs):
            self.shapes_.append((len(batch[0]), tuple(y_pred.shape), loss.ndim, training))

    net = make_net(callbacks=[("outputs", Outputs())], max_epochs=1)
    net.partial_fit((rows, None))
    assert net.callbacks_[-1][1].shapes_ == [(30, (30, 3), 0, True)] * 3


@pytest.mark.parametrize("weight", [None, torch.ones(90, dtype=torch.float64)], ids=["without", "with"])
def test_a_batch_is_rows_and_labels_for_callbacks_with_and_without_weights(rows, weight):
    class Labels(Callback):
        seen = ()

        def on_batch_begin(self, net, batch=None, training=None, **kwargs):
            Labels.seen += ((batch[1].shape, training),)

        on_batch_end = on_grad_computed = on_batch_begin

    rows = Rows(rows.X, rows.y, weight)
    make_net(callbacks=[Labels()], max_epochs=1, batch_size=90).partial_fit((rows, rows))
    assert Labels.seen == (((90,), True),) * 3 + (((90,), False),) * 2


def test_the_history_says_which_losses_are_the_lowest_there_were(rows):
    class Given(CrossEntropy):
        """Plain training that reports losses of its own."""

        losses = iter([3.0, 4.0, 2.0, 2.0, 2.5, 1.0])

        def __call__(self, *batch):
            step = super().__call__(*batch)
            return {**step, "terms": {"loss": torch.tensor(next(self.losses))}}

    net = make_net(objective=Given(), max_epochs=3, batch_size=90)
    net.partial_fit((rows, rows)).partial_fit((rows, None))
    assert net.history[:, "train_loss_best"] == [True, False, True, False, False, True]
    valid = net.history[:3, "valid_loss"]
    assert net.history[:3, "valid_loss_best"] == [loss < min([math.inf, *valid[:i]]) for i, loss in enumerate(valid)]
    assert "valid_loss_best" not in net.history[-1]


def test_the_net_predicts_rows_as_callbacks_give_them(rows):
    net = make_net(batch_size=7)
    expected = torch.cat(list(net.predicted([rows.X], lambda logits: logits.argmax(dim=1)))).numpy()
    for given in (rows.X, rows.X.numpy(), rows, *net.get_split_datasets((rows, rows))):
        np.testing.assert_array_equal(net.predict(given), expected)
