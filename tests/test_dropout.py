"""Dropout in training: what is compared loses the same units."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

from skrobust.adversary import TRADES
from skrobust.modules import shared_dropout


class Dropping(nn.Sequential):
    """A network that drops half of its hidden units."""

    def __init__(self, in_features, output_size, dropout=0.5):
        super().__init__(
            nn.Linear(in_features, 50), nn.Dropout(dropout), nn.ReLU(), nn.Dropout(dropout), nn.Linear(50, output_size)
        )


def penalty_of(quick, blobs, **params):
    """Return the mean penalty of an epoch in which nothing is learned."""
    clf = quick(module=Dropping, lr=1e-12, max_epochs=1, **params).fit(*blobs)
    return clf.history_[0]["train_penalty"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_neighbors": 3},
        {"penalty": "stability"},
        {"penalty": "virtual_adversarial"},
        {"penalty": "curvature"},
        {"neighbors": "adversarial"},
        {"adversary": "fgsm"},
        {"noise_layer": "0"},
        {"noise_layer": "2"},
        {"batch_size": 1000},  # anchors are drawn, and do not share their pass
    ],
    ids=str,
)
def test_penalties_compare_rows_and_neighbors_in_one_network(quick, blobs, params):
    params = {"neighbor_radius": 0.05, **params}
    without = penalty_of(quick, blobs, **params, net_params={"module__dropout": 0.0})
    # Dropping doubles what is left, so that slopes grow; masks of their own would make it many times more.
    assert 0 < penalty_of(quick, blobs, **params) < 6 * without


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.5), nn.Dropout(0.5, inplace=True), nn.Dropout1d(0.5), nn.Dropout2d(0.5)]
)
def test_other_passes_drop_as_ever(layer):
    X = torch.ones(6, 30, *[2] * {nn.Dropout1d: 1, nn.Dropout2d: 2}.get(type(layer), 0))
    with shared_dropout(layer) as copies:
        for layout in ((6,), (8, 0, 3)):  # no rows are compared, or they are of a pass of other rows
            copies.set(*layout)
            kept = layer(X.clone())
            assert not torch.equal(kept[:3], kept[3:])
        copies.set(6, first=0, n=3)
        kept = layer(X.clone())
        assert torch.equal(kept[:3], kept[3:])
        assert 0 < kept.mean() < 2
        assert torch.equal(layer.eval()(X.clone()), X)
    assert "forward" not in vars(layer)


def test_rows_in_front_of_the_anchors_have_masks_of_their_own():
    layer = nn.Dropout(0.5)
    with shared_dropout(layer) as copies:
        copies.set(6, first=2, n=2)
        kept = layer(torch.ones(6, 200))
    alike = [[torch.equal(one, other) for other in kept] for one in kept]
    assert [sum(row) for row in alike] == [1, 1, 2, 2, 2, 2]
    assert alike[2][4]
    assert alike[3][5]


@pytest.mark.parametrize(
    ("layout", "alike"),
    [
        ({"n_twins": 2}, [0, 1, 0, 1, 4, 5, 6, 7]),
        ({"n_twins": 1, "first": 2, "n": 2}, [0, 0, 2, 3, 2, 3, 2, 3]),
        ({"n_twins": 2, "first": 0, "n": 4}, [0, 1, 0, 1, 0, 1, 0, 1]),
    ],
    ids=str,
)
def test_rows_and_what_an_adversary_makes_of_them_share_masks(layout, alike):
    layer = nn.Dropout(0.5)
    with shared_dropout(layer) as copies:
        copies.set(8, **layout)
        kept = layer(torch.ones(8, 200))
    assert [next(i for i, other in enumerate(kept) if torch.equal(one, other)) for one in kept] == alike


@pytest.mark.parametrize("params", [{"smoothness": 0}, {}, {"noise_layer": "2"}, {"n_unlabeled": 0}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_trades_compares_rows_in_one_network(quick, blobs, params, weighted):
    X, y = blobs
    trades = TRADES(eps=1e-9, max_iter=1)
    clf = quick(module=Dropping, adversary=trades, **params)
    clf.fit(X, y, sample_weight=np.linspace(0.5, 1.5, len(y)) if weighted else None)
    assert all(abs(epoch["train_adversarial"]) < 1e-9 for epoch in clf.history_)
    assert all(epoch["train_cross_entropy"] > 1e-3 for epoch in clf.history_)


def rows_in_memory_order(axes):
    """Return 7 images or sequences whose axes lie in memory in an order."""
    return torch.empty_permuted((7, *[4] * (len(axes) - 1)), axes).fill_(1)


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (nn.Dropout(0.5), (0, 1)),
        (nn.Dropout(0.5), (0, 2, 3, 1)),  # channels last
        (nn.Dropout(0.5), (1, 0, 2)),  # time first
        (nn.Dropout(0.5, inplace=True), (0, 1)),
        (nn.Dropout1d(0.5), (0, 1, 2)),
        (nn.Dropout2d(0.5), (0, 2, 3, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("layout", [(7,), (7, 1, 2), (7, 3, 2, 1)], ids=str)
def test_parts_of_a_pass_have_the_masks_of_the_whole(layer, layout, axes):
    X, parts = rows_in_memory_order(axes), [slice(0, 4), slice(4, 7), slice(7, 7)]
    with shared_dropout(layer) as copies:
        copies.set(*layout)
        torch.manual_seed(0)
        whole, state = layer(X.clone()), torch.get_rng_state()
        for part in parts:
            torch.manual_seed(0)
            with copies.shared_out(part, 7, contextlib.nullcontext):
                assert torch.equal(layer(X[part].clone()), whole[part])
            assert torch.equal(torch.get_rng_state(), state), "all draw on alike"
        assert copies.part is None


def test_other_rows_than_those_of_a_part_are_dropped_by_themselves():
    layer, in_step = nn.Dropout(0.5), lambda: pytest.fail("nothing is drawn in step")
    with shared_dropout(layer) as copies, copies.shared_out(slice(0, 4), 7, in_step):
        assert 0 < layer(torch.ones(5, 100)).mean() < 2
        assert layer.eval()(torch.ones(4, 100)).mean() == 1


class Noise(nn.Dropout):
    """Noise that is added, in a subclass as users have them."""

    def forward(self, X):
        return X + self.p * torch.randn_like(X)


def test_a_subclass_with_a_forward_of_its_own_keeps_it():
    layer, X = Noise(0.1), torch.full((6, 30), 100.0)
    with shared_dropout(layer) as copies:
        copies.set(6, first=0, n=3)
        torch.manual_seed(0)
        outputs = layer(X)
    torch.manual_seed(0)
    torch.testing.assert_close(outputs, Noise(0.1)(X), rtol=0, atol=0)
