"""Pickles and copies: how large they are, what they keep, and what reads them."""

import copy
import math
import pickle

import joblib
import numpy as np
import pytest
import skops.io
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from skrobust import OffSupportRobustClassifier, _persistence, _predictor
from skrobust._persistence import FORMAT, FORMAT_KEY, VERSION_KEY, packed_history, unpacked_history
from skrobust.penalties import Jacobian

RESTARTED = r"The optimizer was not saved with the classifier: partial_fit starts a new one"
OURS = ["skrobust._classifier.OffSupportRobustClassifier"]


class Counted(nn.Module):
    """A network whose constructor can be seen to run."""

    n_made = 0

    def __init__(self, n_features, n_classes):
        type(self).n_made += 1
        super().__init__()
        self.norm = nn.BatchNorm1d(n_features)
        self.linear = nn.Linear(n_features, n_classes)

    def forward(self, X):
        return self.linear(self.norm(X))


class Peculiar(nn.Module):
    """A network with all that is hard to keep: tied and frozen weights, tensors outside of the state, plain values."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first = nn.Linear(n_features, n_features)
        self.second = nn.Linear(n_features, n_features)
        self.second.weight = self.first.weight
        self.head = nn.Linear(n_features, n_classes)
        self.head.bias.requires_grad_(False)
        self.register_buffer("factor", torch.tensor(2.0), persistent=False)
        self.register_buffer("halves", torch.ones(3))
        self.n_rows_seen = 0

    def forward(self, X):
        self.n_rows_seen += len(X)
        return self.head(self.factor * self.second(self.first(X).relu()).relu())


class Inherited(OffSupportRobustClassifier):
    """A user's own class with one more parameter."""

    def __init__(self, extra, *, max_epochs=2, random_state=0, module="mlp"):
        super().__init__(module, max_epochs=max_epochs, random_state=random_state)
        self.extra = extra


def again(clf):
    return pickle.loads(pickle.dumps(clf))


def assert_same(first, second, X):
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(first, method)(X), getattr(second, method)(X))


def weights_of(clf):
    return [*clf.net_.module_.parameters(), *clf.net_.module_.buffers()]


def n_bytes(clf):
    return sum(tensor.nbytes for tensor in weights_of(clf))


def parts_of(value):
    """Yield a value and all that it holds."""
    yield value
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        for part in value:
            yield from parts_of(part)


# Size and content


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"hidden_layer_sizes": ()},
        {"early_stopping": True, "n_iter_no_change": 100},
        {"module": "lenet", "image_shape": (8, 8), "max_epochs": 2},
        {"module": "resnet9", "image_shape": (8, 8), "max_epochs": 1, "module__width": 4},
        {"module": Counted},
    ],
    ids=str,
)
def test_pickles_are_little_more_than_the_weights(params, tmp_path):
    X, y = load_digits(return_X_y=True)
    clf = OffSupportRobustClassifier(random_state=0, smoothness=0).set_params(**params).fit(X[:200] / 16, y[:200])
    limit = 1.5 * n_bytes(clf) + 10_000
    joblib.dump(clf, tmp_path / "clf.joblib")
    assert len(pickle.dumps(clf)) <= limit
    assert (tmp_path / "clf.joblib").stat().st_size <= limit
    assert_same(again(clf), clf, X[:20])
    assert_same(joblib.load(tmp_path / "clf.joblib"), clf, X[:20])
    twice = clf.set_params(max_epochs=2 * len(clf.history_)).fit(X[:200] / 16, y[:200])
    per_epoch = (len(pickle.dumps(twice)) - len(pickle.dumps(again(clf)))) / len(clf.history_)
    assert per_epoch < 100


def test_the_state_is_arrays_and_plain_values(quick, blobs):
    clf = quick().fit(*blobs).partial_fit(*blobs)
    kinds = {type(part) for part in parts_of(clf.__getstate__())}
    assert kinds <= {dict, list, tuple, str, int, float, bool, type(None), np.ndarray}
    assert clf.__getstate__()[FORMAT_KEY] == FORMAT


def test_everything_fitted_comes_back(quick, blobs):
    clf = quick(early_stopping=True, penalty=Jacobian(2)).fit(*blobs)
    with_optimizer = clf.partial_fit(*blobs)
    loaded = again(with_optimizer)
    assert set(vars(loaded)) == set(vars(clf))
    assert loaded.history_ == clf.history_
    assert loaded.history_ == loaded.net_.epochs()
    assert loaded.n_iter_ == 4
    assert loaded.data_scale_ == clf.data_scale_
    assert loaded.penalty.n_projections == 2
    assert loaded._partial_fit_state == clf._partial_fit_state
    np.testing.assert_array_equal(loaded._moments.variance, clf._moments.variance)
    assert loaded.net_.history[:, "train_loss"] == clf.net_.history[:, "train_loss"]


NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.booleans(), st.none(), st.text())


@given(st.lists(st.dictionaries(st.sampled_from(["epoch", "loss", "lr", "note"]), NUMBERS)))
def test_histories_come_back_as_they_were(history):
    unpacked = unpacked_history(pickle.loads(pickle.dumps(packed_history(history))))
    assert unpacked == history
    assert [[type(value) for value in epoch.values()] for epoch in unpacked] == [
        [type(value) for value in epoch.values()] for epoch in history
    ]
    assert [list(epoch) for epoch in unpacked] == [list(epoch) for epoch in history]


def test_nan_in_a_history_comes_back():
    [epoch] = unpacked_history(packed_history([{"loss": math.nan, "epoch": 1}]))
    assert math.isnan(epoch["loss"])


def test_a_network_of_ones_own_is_not_constructed_again(quick, blobs):
    clf = quick(module=Counted).fit(*blobs)
    state, n_made = pickle.dumps(clf), Counted.n_made
    assert_same(pickle.loads(state), clf, blobs[0])
    assert Counted.n_made == n_made


def test_a_peculiar_network_comes_back_whole(quick, blobs):
    clf = quick(module=Peculiar).fit(*blobs)
    clf.net_.module_.halves = clf.net_.module_.halves.bfloat16()  # of which numpy knows nothing
    n_rows_seen = clf.net_.module_.n_rows_seen
    loaded, copied = again(clf), copy.copy(clf)
    stated = OffSupportRobustClassifier()
    stated.__setstate__(clf.__getstate__())
    for other in (loaded, copied, stated):
        network = other.net_.module_
        assert network.n_rows_seen == n_rows_seen
        assert network.first.weight is network.second.weight
        assert not network.head.bias.requires_grad
        assert network.factor == 2
        assert network.halves.dtype == torch.bfloat16
        assert not {id(tensor) for tensor in weights_of(other)} & {id(tensor) for tensor in weights_of(clf)}
    assert_same(loaded, clf, blobs[0])
    before = clf.predict_proba(blobs[0])
    with torch.no_grad():
        copied.net_.module_.head.weight.add_(1)
        stated.net_.module_.head.weight.add_(1)
    np.testing.assert_array_equal(clf.predict_proba(blobs[0]), before)


@pytest.mark.parametrize("change", ["layer", "hook"])
def test_a_named_network_that_was_changed_by_hand_comes_back_changed(quick, blobs, change):
    clf = quick().fit(*blobs)
    if change == "layer":
        clf.net_.module_[2] = nn.Tanh()
    else:
        clf.net_.module_[1].register_forward_hook(doubled)
    plain = quick().fit(*blobs)
    assert not np.array_equal(plain.predict_proba(blobs[0]), clf.predict_proba(blobs[0]))
    assert_same(again(clf), clf, blobs[0])


def doubled(module, inputs, output):
    return 2 * output


@pytest.mark.parametrize(
    "params", [{"module__normalization": ([0.1], [0.5])}, {"module__activation": nn.PReLU()}, {"dtype": "bfloat16"}]
)
def test_named_networks_come_back_with_their_parameters(quick, digit_images, params):
    clf = quick(module="lenet", max_epochs=1).set_params(**params).fit(*digit_images)
    assert "weights" in clf.__getstate__()["net_"]
    assert_same(again(clf), clf, digit_images[0])


def test_a_class_of_ones_own_comes_back(blobs):
    clf = Inherited(extra=5).fit(*blobs)
    loaded = again(clf)
    assert type(loaded) is Inherited
    assert loaded.extra == 5
    assert_same(loaded, clf, blobs[0])
    state = clf.__getstate__()
    del state["extra"]  # what has no default is not made up
    clf = Inherited.__new__(Inherited)
    clf.__setstate__(state)
    assert not hasattr(clf, "extra")


def test_random_numbers_go_on_as_if_nothing_was_pickled(quick, blobs):
    clf = quick().fit(*blobs)
    before = torch.get_rng_state()
    again(clf)
    copy.deepcopy(clf)
    assert torch.equal(torch.get_rng_state(), before)


# The optimizer


def test_training_on_after_loading_begins_with_a_new_optimizer_and_says_so(quick, blobs):
    clf = quick().fit(*blobs)
    loaded = again(clf)
    assert not hasattr(loaded.net_, "optimizer_")
    with pytest.warns(UserWarning, match=RESTARTED) as raised:
        loaded.partial_fit(*blobs)
    assert [warning.filename for warning in raised] == [__file__]
    clf.net_.initialize_optimizer()
    assert_same(loaded, clf.partial_fit(*blobs), blobs[0])
    assert_same(loaded.partial_fit(*blobs), clf.partial_fit(*blobs), blobs[0])


def test_a_warm_start_after_loading_goes_on_as_one_without(quick, blobs):
    clf = quick(warm_start=True).fit(*blobs)
    loaded = again(clf)
    assert_same(loaded.fit(*blobs), clf.fit(*blobs), blobs[0])
    assert loaded.n_iter_ == 6
    assert_same(loaded.partial_fit(*blobs), clf.partial_fit(*blobs), blobs[0])


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_keep_the_optimizer_and_share_nothing(quick, blobs, copied):
    clf = quick(unlabeled_label=-1).fit(*blobs).partial_fit(*blobs)
    other, before = copied(clf), clf.predict_proba(blobs[0])
    assert other.net_.optimizer_.param_groups[0]["params"][0] is next(other.net_.module_.parameters())
    other.partial_fit(*blobs)
    np.testing.assert_array_equal(clf.predict_proba(blobs[0]), before)
    assert (clf.n_iter_, other.n_iter_) == (4, 5)
    assert_same(other, clf.partial_fit(*blobs), blobs[0])


def test_copies_of_what_is_not_fitted_and_clones_have_no_net(quick, blobs):
    assert not hasattr(copy.deepcopy(quick()), "net_")
    assert not hasattr(again(quick()), "net_")
    assert not hasattr(clone(again(quick().fit(*blobs))), "net_")
    penalized = quick(penalty=Jacobian())
    assert copy.copy(penalized).penalty is penalized.penalty
    assert copy.deepcopy(penalized).penalty is not penalized.penalty


# Elsewhere and later


def test_arrays_mapped_into_memory_are_copied(quick, blobs, tmp_path):
    clf = quick().fit(*blobs)
    joblib.dump(clf, tmp_path / "clf.joblib")
    before = (tmp_path / "clf.joblib").read_bytes()
    loaded = joblib.load(tmp_path / "clf.joblib", mmap_mode="r")
    assert_same(loaded, clf, blobs[0])
    with pytest.warns(UserWarning, match=RESTARTED):
        loaded.partial_fit(*blobs)
    assert (tmp_path / "clf.joblib").read_bytes() == before


@pytest.mark.parametrize("module", ["mlp", Counted])
def test_the_device_is_chosen_anew_where_it_is_loaded(quick, blobs, monkeypatch, module):
    state = pickle.dumps(quick(module=module).fit(*blobs))
    asked = []

    def resolve_device(device):
        asked.append(device)
        return torch.device("meta")

    monkeypatch.setattr(_predictor, "resolve_device", resolve_device)
    loaded = pickle.loads(state)
    assert asked == ["auto"]
    assert {tensor.device.type for tensor in weights_of(loaded)} == {"meta"}
    assert loaded.net_.device == "meta"


def test_weights_of_another_byte_order_are_read(quick, blobs):
    clf = quick().fit(*blobs)
    state = clf.__getstate__()
    weights = state["net_"]["weights"]
    state["net_"]["weights"] = {k: value.astype(value.dtype.newbyteorder(">")) for k, value in weights.items()}
    loaded = OffSupportRobustClassifier()
    loaded.__setstate__(state)
    assert_same(loaded, clf, blobs[0])


def test_a_pickle_of_a_newer_format_is_refused_in_one_sentence(quick, blobs):
    state = {**quick().fit(*blobs).__getstate__(), FORMAT_KEY: FORMAT + 1, VERSION_KEY: "9.1"}
    message = rf"has format {FORMAT + 1}, written by skrobust 9.1, but skrobust .* up to {FORMAT}: install skrobust 9.1"
    with pytest.raises(ValueError, match=message):
        OffSupportRobustClassifier().__setstate__(state)


def test_a_pickle_of_before_there_were_formats_is_read(quick, blobs):
    clf = quick().fit(*blobs)
    state = {**vars(clf), "net_": clf.net_.without_training_state()}
    loaded = OffSupportRobustClassifier()
    loaded.__setstate__(pickle.loads(pickle.dumps(state)))
    assert_same(loaded, clf, blobs[0])
    assert loaded.history_ == clf.history_
    with pytest.warns(UserWarning, match=RESTARTED):
        loaded.partial_fit(*blobs)
    assert_same(again(loaded), loaded, blobs[0])


def test_a_pickle_of_an_earlier_version_is_read(quick, blobs, monkeypatch):
    monkeypatch.setattr(_persistence, "__version__", "0.0.1")
    clf = quick().fit(*blobs)
    state = clf.__getstate__()
    assert state[VERSION_KEY] == "0.0.1"
    del state["mixup"]  # a parameter that came later
    loaded = OffSupportRobustClassifier(mixup=0.5)
    loaded.__setstate__(state)
    assert loaded.mixup == 0.0
    assert not {FORMAT_KEY, VERSION_KEY} & set(vars(loaded))
    assert_same(loaded, clf, blobs[0])


# skops


@pytest.mark.parametrize("labels", [np.array([0, 1, 2]), np.array(["a", "b", "c"]), np.array(["a", "b", "c"], object)])
@pytest.mark.parametrize("params", [{}, {"module__activation": "tanh", "dtype": "float32", "class_weight": None}])
def test_skops_needs_to_trust_the_classifier_alone(quick, blobs, labels, params):
    X, y = blobs
    clf = quick().set_params(**params).fit(X, labels[y])
    data = skops.io.dumps(clf)
    assert skops.io.get_untrusted_types(data=data) == OURS
    loaded = skops.io.loads(data, trusted=OURS)
    assert_same(loaded, clf, X)
    assert loaded.history_ == clf.history_
    assert loaded.get_params() == clf.get_params()
    with pytest.warns(UserWarning, match=RESTARTED):
        loaded.partial_fit(X, labels[y])


def test_skops_reads_objects_and_networks_whose_types_are_trusted(quick, blobs):
    clf = quick(penalty=Jacobian(3), module=Counted).fit(*blobs)
    data = skops.io.dumps(clf)
    trusted = skops.io.get_untrusted_types(data=data)
    assert "skrobust.penalties._gradients.Jacobian" in trusted
    loaded = skops.io.loads(data, trusted=trusted)
    assert loaded.penalty.n_projections == 3
    assert_same(loaded, clf, blobs[0])
