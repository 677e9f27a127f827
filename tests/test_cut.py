"""A network cut at a layer: both halves together are the network, and where there is no true cut it is refused."""

import copy
import re
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from skrobust.modules import (
    MLP,
    LeNet,
    ResNet,
    ResNet9,
    WideResNet,
    XResNet,
    _cut,
    build_module,
    cut_at,
    labeled_batch_norm,
)
from skrobust.modules._cut import _is_possible
from skrobust.modules._residual import ResidualBlock

IMAGE = (2, 8, 6)
NETWORKS = {
    "mlp": lambda: MLP(96, 3, hidden_layer_sizes=(7, 5)),
    "lenet": lambda: LeNet(IMAGE, 3),
    "resnet9": lambda: ResNet9(IMAGE, 3, width=4),
    "resnet18": lambda: ResNet(IMAGE, 3, width=4),
    "resnet50": lambda: ResNet(IMAGE, 3, depth=50, width=2, stem="imagenet"),
    "xresnet18": lambda: XResNet(IMAGE, 3, width=4, squeeze_excitation=True, self_attention=True),
    "wide_resnet": lambda: WideResNet(IMAGE, 3, depth=10, width=1, dropout=0.5),
    "normalized": lambda: build_module(
        "lenet", n_features=96, n_classes=3, image_shape=IMAGE, normalization=([0.0, 1], [1, 2])
    ),
    "in place": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.5, inplace=True),
        nn.Flatten(),
        nn.Linear(18, 3),
    ),
}


def rows_of(n=6, seed=0):
    return torch.randn(n, *IMAGE, generator=torch.Generator().manual_seed(seed))


def made(name):
    torch.manual_seed(1)
    return NETWORKS[name]()


def names_of(network):
    return [name for name, _ in network.named_modules() if name]


def seeded(function, *args):
    torch.manual_seed(3)
    return function(*args)


def outputs_and_gradients(network, function, rows):
    rows = rows.clone().requires_grad_()
    outputs = seeded(function, rows)
    leaves = [rows, *network.parameters()]
    return outputs, torch.autograd.grad(outputs.cos().sum(), leaves, allow_unused=True)


@pytest.mark.parametrize("training", [False, True], ids=["evaluating", "training"])
@pytest.mark.parametrize("name", NETWORKS)
def test_both_halves_together_are_the_network(name, training):
    network, rows = made(name), rows_of()
    names = names_of(network)
    possible = [layer for layer in names[:: 1 + len(names) // 12] if _is_possible(network, layer)]
    assert len(possible) >= 3
    for layer in possible[:4]:
        network.train(training)
        cut = cut_at(network, layer, rows)
        twin = copy.deepcopy(network)
        expected, expected_gradients = outputs_and_gradients(twin, twin, rows)
        outputs, gradients = outputs_and_gradients(network, lambda X, cut=cut: cut.head(cut.encode(X)), rows)
        torch.testing.assert_close(outputs, expected)
        for ours, plain in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(ours, plain)
        torch.testing.assert_close(network.state_dict(), twin.state_dict())


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("mlp", "1", (7,)),
        ("lenet", "2", (6, 4, 3)),
        ("resnet9", "stage1", (8, 4, 3)),
        ("resnet18", "stage2.0.after", (8, 4, 3)),
        ("resnet18", "flatten", (32,)),
        ("wide_resnet", "stem", (16, 8, 6)),
        ("normalized", "normalize", (2, 8, 6)),
        ("normalized", "network.3", (16, 4, 3)),
    ],
)
def test_activations_are_flat_rows_of_the_output_of_the_layer(name, layer, shape):
    network, rows = made(name).eval(), rows_of()
    seen = []
    with network.get_submodule(layer).register_forward_hook(lambda module, args, output: seen.append(output.clone())):
        network(rows)
    cut = cut_at(network, layer, rows)
    assert cut.shape == shape
    assert cut.n_features == torch.Size(shape).numel()
    assert torch.equal(cut.encode(rows), seen[0].flatten(1))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_runs_once_and_nothing_before_the_cut_runs_in_the_head(name):
    network, rows = made(name), rows_of()
    runs = []
    for layer, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, args, output, layer=layer: runs.append(layer))
    network(rows)
    expected, runs[:] = list(runs), []
    layer = next(name for name in expected[len(expected) // 3 :] if _is_possible(network, name))
    cut = cut_at(network, layer, rows)
    runs.clear()
    activations = cut.encode(rows)
    assert runs == expected[: expected.index(layer) + 1]
    runs.clear()
    cut.head(activations)
    assert runs == expected[expected.index(layer) + 1 :]


class Stack(nn.Module):
    """Layers between functions: sizes are read at the top, and parameters and buffers lie bare."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3, momentum=0.5))
        self.back = nn.Linear(144, 3)
        self.gain = nn.Parameter(torch.ones(3))
        self.register_buffer("shift", torch.zeros(3))

    def forward(self, X, temperature=None):
        n, _, height, width = X.shape
        gain = self.gain.exp()
        X = self.front(X)
        X = functional.dropout(functional.relu(X, inplace=True), 0.5, self.training)
        if temperature is not None:
            X = X / temperature
        assert_never_reached = nn.Flatten()  # a module made within forward
        X = assert_never_reached(X.view(n, 3, height * width))
        return (self.back(X.view(X.size(dim=0), -1)) * gain[None] + self.shift) / self.gain.shape[0]


@pytest.mark.parametrize("layer", ["front.0", "front.1", "front", "back"])
@pytest.mark.parametrize("training", [False, True])
def test_a_forward_of_functions_and_sizes_is_cut_for_any_number_of_rows(layer, training):
    network = Stack().train(training)
    cut = cut_at(network, layer, rows_of(4))
    for n in (9, 2):
        torch.testing.assert_close(
            seeded(lambda X: cut.head(cut.encode(X)), rows_of(n)), seeded(copy.deepcopy(network), rows_of(n))
        )
    activations = cut.encode(rows_of(3))
    assert cut.head(torch.cat([activations, activations])).shape == (6, 3), "more points than rows"


def test_weights_and_buffers_are_those_of_the_network_as_they_stand():
    network = Stack()
    cut = cut_at(network, "front", rows_of())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        cut.head(cut.encode(rows_of())).square().sum().backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.shift += 1
    network.double().eval()
    rows = rows_of().double()
    torch.testing.assert_close(cut.head(cut.encode(rows)), network(rows), rtol=0, atol=0)
    network.shift = torch.full((3,), 7.0, dtype=torch.float64)
    torch.testing.assert_close(cut.head(cut.encode(rows)), network(rows), rtol=0, atol=0)


def test_the_head_moves_no_statistics_before_the_cut():
    network, rows = ResNet9(IMAGE, 3, width=4), rows_of()
    cut = cut_at(network, "stage2", rows)
    before = {key: value.clone() for key, value in network.state_dict().items() if "running" in key}
    activations = cut.encode(rows)
    encoded = {key: network.state_dict()[key].clone() for key in before}
    cut.head(activations)
    for key in before:
        behind = key.startswith("stage3")
        assert torch.equal(encoded[key], before[key]) == behind, key
        assert torch.equal(network.state_dict()[key], encoded[key]) == (not behind), key


@pytest.mark.parametrize("layer", ["stem", "stage1.0", "pool"])
@pytest.mark.parametrize("within", [False, True], ids=["cut before", "cut within"])
def test_batch_norm_by_labeled_rows_holds_on_both_sides(layer, within):
    network, rows = ResNet(IMAGE, 3, width=4), rows_of()
    twin = copy.deepcopy(network)
    with labeled_batch_norm(twin) as labeled:
        labeled.n = 4
        expected = twin(rows)
    cut = None if within else cut_at(network, layer, rows)
    with labeled_batch_norm(network) as labeled:
        labeled.n = 4
        cut = cut or cut_at(network, layer, rows)
        torch.testing.assert_close(cut.head(cut.encode(rows)), expected, rtol=0, atol=0)
    for key, value in twin.state_dict().items():
        torch.testing.assert_close(network.state_dict()[key], value, rtol=0, atol=0, msg=key)
    network.eval()
    torch.testing.assert_close(cut.head(cut.encode(rows)), twin.eval()(rows), rtol=0, atol=0)


@pytest.mark.parametrize("layer", ["0", "1", "2", "3"])
def test_layers_that_work_in_place_leave_the_activations_alone(layer):
    network, rows = made("in place"), rows_of()
    cut = cut_at(network, layer, rows)
    activations = cut.encode(rows).detach().requires_grad_()
    given_activations = activations.detach().clone()
    cut.head(activations).sum().backward()
    assert torch.equal(activations, given_activations)
    assert activations.grad.abs().sum() > 0


def test_cutting_leaves_the_network_as_it_was():
    network, rows = made("wide_resnet"), rows_of()
    network.stage1.eval()
    network.zero_grad()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    random_state, given_rows, names = torch.get_rng_state(), rows.clone(), [set(vars(m)) for m in network.modules()]
    cut_at(network, "stage2", rows)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.equal(rows, given_rows)
    assert [set(vars(module)) for module in network.modules()] == names
    assert all(parameter.grad is None for parameter in network.parameters())


def test_one_row_is_enough_to_check_a_cut():
    network = ResNet((1, 1, 1), 3, width=2)
    cut = cut_at(network, "stage1", torch.randn(1, 1, 1, 1))
    assert cut.shape == (2, 1, 1)


def test_frozen_layers_keep_their_mode_and_modes_that_differ_around_the_layer_are_refused():
    network, rows = ResNet9(IMAGE, 3, width=4), rows_of()
    cut = cut_at(network, "stage1.0", rows)
    network.stem.eval()
    twin = copy.deepcopy(network)
    torch.testing.assert_close(cut.head(cut.encode(rows)), twin(rows), rtol=0, atol=0)
    network.stage1.eval()
    with pytest.raises(
        ValueError, match=r"modules around layer='stage1.0' are in training and in evaluation mode: call"
    ):
        cut.encode(rows)


def test_a_compiled_network_is_cut_as_it_was():
    network = MLP(96, 3)
    cut = cut_at(torch.compile(network, backend="eager"), "1", rows_of())
    assert torch.equal(cut.head(cut.encode(rows_of())), network(rows_of()))


def test_a_shared_module_may_be_named_by_each_of_its_names():
    network, rows = Forward(unused), torch.randn(5, 4)
    network.alias = network.first
    assert torch.equal(cut_at(network, "alias", rows).encode(rows), cut_at(network, "first", rows).encode(rows))


def test_other_threads_may_run_networks_meanwhile():
    network, other, rows = MLP(96, 3), ResNet9(IMAGE, 3, width=2).eval(), rows_of()
    expected, wrong, done = other(rows), [], threading.Event()

    def run():
        while not done.is_set():
            try:
                wrong.append(not torch.equal(other(rows), expected))
            except Exception:
                wrong.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for _ in range(10):
            cut_at(network, "1", rows)
    finally:
        done.set()
        thread.join()
    assert wrong
    assert not any(wrong)


class Forward(nn.Module):
    """Network whose forward is a function of itself and rows."""

    def __init__(self, forward):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.recurrent = nn.LSTM(4, 3, batch_first=True)
        self.of_forward = forward

    def forward(self, X):
        return self.of_forward(self, X)


def around(self, X):
    X = self.first(X)
    return self.third(self.second(X) + X)


def around_at_once(self, X):
    return self.third(self.first(X).relu() + self.second(X))


def twice(self, X):
    return self.third(self.second(self.second(self.first(X))))


def unused(self, X):
    return self.third(self.first(X))


def by_value(self, X):
    X = self.second(self.first(X))
    return self.third(X) if X.sum() > 0 else self.third(-X)


def own_tensor(self, X):
    return self.third(self.second(self.first(X)) * torch.arange(4.0))


def other_rows(self, X):
    n = self.first(X).t().shape[0]
    return self.third(self.second(self.first(X)).view(-1, n))


def transposed(self, X):
    return self.third(self.second(self.first(X)[None])[0])


def pair(self, X):
    return self.recurrent(self.first(X)[:, None])[0][:, 0]


def precise(self, X):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return self.third(self.second(self.first(X))).float()


def frozen(self, X):
    with torch.no_grad():
        X = self.second(self.first(X))
    return self.third(X)


POSSIBLE = r".*: use one of \[.*'first'"
ONLY = r": use one of \['third'\]\.$"


@pytest.mark.parametrize(
    ("forward", "layer", "message"),
    [
        (unused, "fourth", f"layer='fourth' is not a layer of Forward{POSSIBLE}, 'third'" + r"\]\.$"),
        (unused, "", "layer='' is not a layer of Forward" + POSSIBLE),
        (unused, "second", "layer='second' of Forward runs 0 times in a pass, not once" + POSSIBLE),
        (twice, "second", "layer='second' of Forward runs 2 times in a pass, not once" + POSSIBLE),
        (
            around,
            "second",
            "layer='second' of Forward has a connection around it, so that its activations alone" + POSSIBLE,
        ),
        (around_at_once, "second", "layer='second' of Forward has a connection around it, .*" + ONLY),
        (around_at_once, "first", "layer='first' of Forward has a connection around it, .*" + ONLY),
        (
            by_value,
            "second",
            r"lies in a module whose forward torch\.fx cannot trace \(TraceError: .*has no layer where",
        ),
        (own_tensor, "second", "lies in a module whose forward makes tensors of its own: it has no layer where"),
        (other_rows, "second", "has sizes behind it that are neither constant nor the number of rows: use one of"),
        (transposed, "second", "does not return one tensor with a row for each row: use one of"),
        (pair, "recurrent", r"does not return one tensor with a row for each row: use one of \['first'\]\.$"),
        (precise, "second", "parts the network in halves that together return other logits than the network: it has"),
        (frozen, "second", "lies in a module whose forward turns gradients off or on, which a cut cannot: it has no "),
    ],
)
def test_what_is_no_true_cut_is_refused(forward, layer, message):
    with pytest.raises(ValueError, match=message):
        cut_at(Forward(forward), layer, torch.randn(5, 4))


def only_sequence(self, X):
    return self.recurrent(X[:, None])[0][:, 0]


def test_a_message_never_names_the_layer_that_it_refuses():
    with pytest.raises(
        ValueError, match=r"'recurrent' of Forward does not return one tensor .*: it has no layer where"
    ):
        cut_at(Forward(only_sequence), "recurrent", torch.randn(5, 4))


@pytest.mark.parametrize("layer", ["other", "0.0"])
def test_every_layer_that_a_message_names_can_be_cut_and_they_are_from_all_over_the_network(layer, monkeypatch):
    monkeypatch.setattr(_cut, "MOST_TRIED", 5)
    network = nn.Sequential(nn.Sequential(nn.LSTM(4, 4, batch_first=True), First()), *(nn.Tanh() for _ in range(8)))
    rows, random_state = torch.randn(5, 4), torch.get_rng_state()
    with pytest.raises(ValueError, match=f"layer='{layer}' .*: use one of") as raised:
        cut_at(network, layer, rows)
    assert torch.equal(torch.get_rng_state(), random_state)
    listed = re.findall(r"'([^']*)'", str(raised.value).split("use one of")[1])
    assert 3 <= len(listed) <= 5
    assert "0.0" not in listed
    assert listed[-1] >= "6"
    assert all(cut_at(network, name, rows).n_features == 4 for name in listed)


class First(nn.Module):
    """First of what a layer returns."""

    def forward(self, outputs):
        return outputs[0]


def test_a_network_of_one_layer_has_no_cut():
    with pytest.raises(ValueError, match="layer='0' is not a layer of Linear: it has no layer where a cut is possible"):
        cut_at(nn.Linear(4, 3), "0", torch.randn(5, 4))


def test_the_message_lists_the_layers_of_a_residual_network_where_a_cut_is_possible():
    with pytest.raises(ValueError, match=r"layer='stage2\.0\.path\.0' of ResNet has a connection around it") as raised:
        cut_at(ResNet(IMAGE, 3, width=2), "stage2.0.path.0", rows_of())
    listed = re.findall(r"'([^']*)'", str(raised.value).split("use one of")[1])
    assert {"stem", "stem.0", "stage1", "stage1.0", "stage1.1", "stage2.0.after", "pool", "classifier"} <= set(listed)
    assert not [layer for layer in listed if "path" in layer or "shortcut" in layer]


def test_noise_in_evaluation_mode_does_not_hide_the_cut():
    def noisy(self, X):
        return self.third(functional.dropout(self.first(X), 0.5, True))

    cut = cut_at(Forward(noisy), "first", torch.randn(5, 4))
    assert cut.n_features == 4


def layers(draw, depth=0):
    kinds = ["linear", "tanh", "relu", "norm", "dropout", *(["nested", "residual", "before"] if depth < 2 else [])]
    return [layer(draw, draw(st.sampled_from(kinds)), depth) for _ in range(draw(st.integers(1, 3)))]


def layer(draw, kind, depth):
    simple = {
        "linear": lambda: nn.Linear(4, 4),
        "tanh": nn.Tanh,
        "relu": lambda: nn.LeakyReLU(0.3),
        "norm": lambda: nn.BatchNorm1d(4),
        "dropout": nn.Dropout,
    }
    if kind in simple:
        return simple[kind]()
    inner = nn.Sequential(*layers(draw, depth + 1))
    if kind == "nested":
        return inner
    before = nn.Sequential(*layers(draw, depth + 1)) if kind == "before" else None
    return ResidualBlock(inner, before=before, after=nn.Tanh())


@st.composite
def networks(draw):
    torch.manual_seed(draw(st.integers(0, 99)))
    network = nn.Sequential(*layers(draw), nn.Linear(4, 3))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean)
    return nn.Sequential(nn.Linear(4, 4), network)


def determines_the_logits(network, name, rows, others):
    """Return whether the logits for rows become those for others once a layer returns what it does for others."""
    module, outputs = network.get_submodule(name), []
    with module.register_forward_hook(lambda module, args, output: outputs.append(output.clone())):
        expected = network(others)
    with module.register_forward_hook(lambda module, args, output: outputs[0].clone()):
        return torch.allclose(network(rows), expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(networks())
def test_cuts_are_possible_where_the_activations_determine_the_logits_and_nowhere_else(network):
    network.double().eval()
    generator = torch.Generator().manual_seed(5)
    rows, others = (torch.randn(5, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    for name in names_of(network):
        is_true = determines_the_logits(network, name, rows, others)
        assert _is_possible(network, name) == is_true, name
        if is_true:
            cut = cut_at(network, name, rows)
            torch.testing.assert_close(cut.head(cut.encode(others)), network(others), rtol=0, atol=0)
