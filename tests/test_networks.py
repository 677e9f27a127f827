"""Networks for images: published sizes, any image, any activation; normalization within the network."""

import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from skrobust import OffSupportRobustClassifier
from skrobust.modules import (
    MLP,
    LeNet,
    Normalize,
    ResNet,
    ResNet9,
    WideResNet,
    XResNet,
    build_module,
    cut_at,
    labeled_batch_norm,
)
from skrobust.modules._activations import ACTIVATIONS
from skrobust.modules._build import MODULES
from skrobust.modules._residual import ResidualBlock
from skrobust.modules._resnet import SelfAttention, SqueezeExcitation

SMALL = {
    "lenet": LeNet,
    "resnet9": lambda *sizes, **params: ResNet9(*sizes, width=4, **params),
    "resnet18": lambda *sizes, **params: ResNet(*sizes, width=4, **params),
    "resnet34 imagenet": lambda *sizes, **params: ResNet(*sizes, depth=34, width=2, stem="imagenet", **params),
    "resnet50": lambda *sizes, **params: ResNet(*sizes, depth=50, width=2, **params),
    "xresnet18": lambda *sizes, **params: XResNet(*sizes, width=4, **params),
    "xresnet50 all": lambda *sizes, **params: XResNet(
        *sizes, depth=50, width=2, squeeze_excitation=True, self_attention=True, stem="imagenet", **params
    ),
    "wide_resnet": lambda *sizes, **params: WideResNet(*sizes, depth=10, width=1, dropout=0.3, **params),
}


@pytest.fixture(params=SMALL.values(), ids=SMALL)
def small(request):
    return request.param


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: ResNet((3, 224, 224), 1000), 11_689_512),
        (lambda: ResNet((3, 224, 224), 1000, depth=34), 21_797_672),
        (lambda: ResNet((3, 224, 224), 1000, depth=50), 25_557_032),
        # Three convolutions in place of one of 7 x 7; published as ResNet-18-D, 34-D and 50-D.
        (lambda: XResNet((3, 224, 224), 1000), 11_708_744),
        (lambda: XResNet((3, 224, 224), 1000, depth=34), 21_816_904),
        (lambda: XResNet((3, 224, 224), 1000, depth=50), 25_576_264),
        (lambda: ResNet((3, 32, 32), 10), 11_173_962),
        (lambda: ResNet9((3, 32, 32), 10), 6_573_120),
        (lambda: WideResNet((3, 32, 32), 10), 36_479_194),
        (lambda: WideResNet((3, 32, 32), 10, depth=40, width=4), 8_949_210),
    ],
)
def test_networks_have_as_many_parameters_as_published(make, expected):
    with torch.device("meta"):  # without memory, and without drawing weights
        assert n_parameters(make()) == expected


def test_squeeze_excitation_and_self_attention_add_their_parameters():
    def count(**params):
        return n_parameters(XResNet((3, 64, 64), 10, depth=50, width=64, **params))

    plain = count()
    # For each block with c channels, two dense layers between c and c / 16 rounded up to a multiple of 8.
    hidden = {256: 16, 512: 32, 1024: 64, 2048: 128}
    blocks = dict(zip(hidden, (3, 4, 6, 3), strict=True))
    added = sum(blocks[c] * (2 * c * n + c + n) for c, n in hidden.items())
    assert count(squeeze_excitation=True) - plain == added
    assert count(self_attention=True) - plain == 256**2 + 1


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"mlp"}))
def test_every_name_makes_its_network(name):
    params = {"depth": 10, "width": 1} if name == "wide_resnet" else {} if name == "lenet" else {"width": 2}
    network = build_module(name, n_features=128, n_classes=3, image_shape=(2, 8, 8), **params)
    assert network(torch.zeros(2, 2, 8, 8)).shape == (2, 3)
    n_blocks = sum(isinstance(module, ResidualBlock) for module in network.modules())
    assert (
        n_blocks
        == {"lenet": 0, "9": 2, "18": 8, "34": 16, "50": 16, "wide_resnet": 3}[
            name.removeprefix("x").removeprefix("resnet")
        ]
    )
    assert isinstance(network, XResNet) == name.startswith("x")


def has_channels_last(network):
    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"mlp"}))
def test_weights_have_their_channels_last(name):
    assert has_channels_last(build_module(name, n_features=64, n_classes=10, image_shape=(1, 8, 8)))


def own_network():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(32, 10))
    return network.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("module", ["lenet", "resnet9", own_network])
def test_weights_that_were_pickled_have_their_channels_last_too(module, digits):
    X, y = digits
    clf = OffSupportRobustClassifier(module, image_shape=(1, 8, 8), max_epochs=1, device="cpu").fit(X[:64], y[:64])
    assert has_channels_last(clf.net_.module_)
    assert has_channels_last(pickle.loads(pickle.dumps(clf)).net_.module_)


@settings(max_examples=6, deadline=None)
@given(st.sampled_from([1, 3, 5]), st.integers(4, 17), st.integers(4, 17), st.integers(2, 6))
def test_images_of_any_size_and_number_of_channels_make_logits(channels, height, width, n_classes):
    for make in SMALL.values():
        logits = make((channels, height, width), n_classes).eval()(torch.randn(2, channels, height, width))
        assert logits.shape == (2, n_classes)
        assert logits.isfinite().all()


@pytest.mark.parametrize("image_shape", [(1, 1, 1), (3, 1, 5), (1, 2, 70)])
def test_residual_networks_take_even_single_pixels(image_shape):
    for name in sorted(set(SMALL) - {"lenet"}):
        assert SMALL[name](image_shape, 2)(torch.randn(3, *image_shape)).shape == (3, 2), name


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_has_a_name_and_gradients_reach_every_parameter(small, activation):
    torch.manual_seed(0)
    network = small((2, 9, 7), 3, activation=activation).double()
    for parameter in network.parameters():
        if not parameter.any():  # zero at first: the last normalization of a block, and the weight of attention
            nn.init.normal_(parameter)
    network(torch.randn(4, 2, 9, 7, dtype=torch.float64)).cos().sum().backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing
    kinds = {type(module) for module in network.modules()} & set(ACTIVATIONS.values())
    assert ACTIVATIONS[activation] in kinds
    assert kinds <= {ACTIVATIONS[activation], *([nn.Sigmoid] if isinstance(network, XResNet) else [])}


@pytest.mark.parametrize("activation", ["swish", torch.relu, 3, None, str])
@pytest.mark.parametrize(
    "make", [lambda a: MLP(4, 3, activation=a), lambda a: LeNet((1, 8, 8), 3, activation=a)], ids=["mlp", "lenet"]
)
def test_what_is_no_activation_is_refused(make, activation):
    with pytest.raises(ValueError, match=r"activation=.* is unknown: use one of \['celu', 'mish', 'relu', 'sigmoid'"):
        make(activation)


def test_an_activation_may_be_an_instance_or_a_factory_and_is_not_shared():
    for activation in (nn.PReLU(), nn.PReLU, lambda: nn.PReLU()):
        network = MLP(4, 3, hidden_layer_sizes=(5, 5), activation=activation)
        assert len({id(module) for module in network if isinstance(module, nn.PReLU)}) == 2


def test_networks_can_be_pickled_and_are_made_alike_under_a_seed(small):
    X = torch.randn(3, 1, 8, 8)
    made = []
    for _ in range(2):
        torch.manual_seed(4)
        made.append(small((1, 8, 8), 3).eval())
    made.append(pickle.loads(pickle.dumps(made[0])))
    assert torch.equal(made[0](X), made[1](X))
    assert torch.equal(made[0](X), made[2](X))


@pytest.mark.parametrize("make", [ResNet, XResNet])
def test_small_images_have_a_stem_without_strides(make):
    def side(stem, *sides):
        network = make((1, *sides), 2, width=2, stem=stem)
        return min(network.stem(torch.zeros(1, 1, *sides)).shape[2:])

    assert side("auto", 63, 80) == side("small", 63, 80) == 63
    assert side("auto", 64, 80) == side("imagenet", 64, 80) == 16
    assert side("imagenet", 8, 8) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet((1, 8, 8), 2, depth=20), r"depth=20 is not one of a ResNet: use one of \[18, 34, 50\]"),
        (lambda: XResNet((1, 8, 8), 2, depth=101), r"depth=101 is not one of a ResNet: use one of \[18, 34, 50\]"),
        (lambda: ResNet((1, 8, 8), 2, stem="tiny"), "stem='tiny' is unknown: use 'auto', 'small' or 'imagenet'"),
        (lambda: WideResNet((1, 8, 8), 2, depth=27), r"depth=27 of a WideResNet must be 6 n \+ 4: use 10, 16, 22"),
        (lambda: WideResNet((1, 8, 8), 2, depth=4), r"depth=4 of a WideResNet must be 6 n \+ 4"),
    ],
)
def test_sizes_that_no_network_has_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_blocks_of_an_xresnet_begin_as_the_identity():
    network = XResNet((1, 8, 8), 2, width=4, activation="tanh")
    block = network.stage1[0].eval()
    X = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(X), X.tanh())


def test_the_shortcut_of_an_xresnet_averages():
    block = XResNet((1, 8, 8), 2, width=4).stage2[0]
    assert [type(layer) for layer in block.shortcut] == [nn.AvgPool2d, nn.Sequential]
    assert block.shortcut[0](torch.ones(1, 4, 3, 5)).equal(torch.ones(1, 4, 2, 3)), "no padding in the averages"


def test_the_shortcut_of_a_wide_resnet_branches_off_behind_the_activation_where_sizes_change():
    network = WideResNet((1, 8, 8), 2, depth=16, width=2)
    changing, keeping = network.stage2[0], network.stage2[1]
    assert [type(layer) for layer in changing.before] == [nn.BatchNorm2d, nn.ReLU]
    assert isinstance(changing.shortcut, nn.Conv2d)
    assert isinstance(keeping.before, nn.Identity)
    assert isinstance(keeping.shortcut, nn.Identity)
    assert [type(layer) for layer in keeping.path][:2] == [nn.BatchNorm2d, nn.ReLU]


def test_self_attention_is_the_formula_of_its_source():
    torch.manual_seed(0)
    layer, X = SelfAttention(3).double(), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert torch.equal(layer(X), X), "off at first"
    layer.gamma.data.fill_(0.7)
    for _ in range(200):
        layer(X)
    weight = layer.weight / torch.linalg.matrix_norm(layer.weight, 2)
    flat = X.flatten(2)
    expected = 0.7 * torch.einsum("bin,bjn,jk,bkm->bim", flat, flat, weight, flat) + flat
    torch.testing.assert_close(layer.eval()(X).flatten(2), expected)


def test_power_iteration_rests_in_evaluation_mode():
    layer = SelfAttention(3).eval()
    before = layer.direction.clone()
    layer(torch.randn(2, 3, 4, 4))
    assert torch.equal(layer.direction, before)
    layer.train()(torch.randn(2, 3, 4, 4))
    assert not torch.equal(layer.direction, before)


def test_squeeze_excitation_weighs_channels_between_zero_and_one():
    X = torch.rand(2, 20, 3, 3) + 0.1
    shares = SqueezeExcitation(20, "relu")(X) / X
    torch.testing.assert_close(shares, shares[..., :1, :1].expand_as(shares))
    assert shares.gt(0).all()
    assert shares.lt(1).all()


@pytest.mark.parametrize(
    ("normalization", "image_shape"),
    [
        ("mnist", (1, 8, 8)),
        ("cifar10", (3, 8, 8)),
        ("imagenet", (3, 8, 8)),
        (([1, 2], [3.0, 4]), (2, 8, 8)),
        ((np.array([0.5]), np.array([2.0])), (1, 8, 8)),
        ((8, 4.0), (1, 8, 8)),
    ],
)
def test_every_network_normalizes_each_channel(normalization, image_shape):
    plain, normalizing = seeded_pair("lenet", normalization, image_shape)
    X = torch.randn(4, *image_shape)
    mean, std = normalizing.normalize.mean, normalizing.normalize.std
    torch.testing.assert_close(normalizing(X), plain((X - mean) / std))
    assert not torch.allclose(normalizing(X), plain(X))
    assert not list(normalizing.normalize.parameters())
    assert {"normalize.mean", "normalize.std"} <= set(normalizing.state_dict())


def seeded_pair(module, normalization, image_shape):
    for chosen in (None, normalization):
        torch.manual_seed(2)
        yield build_module(module, n_features=64, n_classes=3, image_shape=image_shape, normalization=chosen)


def test_an_instance_is_normalized_too_and_a_factory_may_normalize_by_itself():
    def own(in_channels, normalization="batch"):
        return nn.Conv2d(in_channels, 2 if normalization == "batch" else 5, 1)

    sizes = {"n_features": 64, "n_classes": 2, "image_shape": (1, 8, 8)}
    instance = nn.Conv2d(1, 2, 1)
    network = build_module(instance, normalization="mnist", **sizes)
    assert torch.equal(network.network.weight, instance.weight)
    assert build_module(own, normalization="group", **sizes).out_channels == 5
    assert build_module(own, **sizes).out_channels == 2


@pytest.mark.parametrize(
    ("normalization", "image_shape", "message"),
    [
        (
            "svhn",
            (3, 8, 8),
            r"normalization='svhn' is unknown: use None, one of \['cifar10', 'imagenet', 'mnist'\], or",
        ),
        (0.5, (3, 8, 8), "normalization=0.5 is unknown"),
        ([1, 2, 3], (3, 8, 8), r"normalization=\[1, 2, 3\] is unknown"),
        ("cifar10", (1, 8, 8), "normalization='cifar10' has 3 channels, but the images have 1: give a pair"),
        (([0, 0], [1, 1]), (3, 8, 8), r"has 2 channels, but the images have 3"),
        (([0, 0, 0], [1, 1]), (3, 8, 8), "mean has 3 numbers and std has 2: give one of each for a channel"),
        (([0.0], [0.0]), (1, 8, 8), r"std=\[0.0\] must be positive and mean=\[0.0\] finite"),
        (([0.0], [-1]), (1, 8, 8), r"std=\[-1\] must be positive"),
        (([0.0], [float("inf")]), (1, 8, 8), r"std=\[inf\] must be positive"),
        (([float("nan")], [1]), (1, 8, 8), r"mean=\[nan\] finite"),
        ("mnist", None, "normalization='mnist' needs images: give X as"),
    ],
)
def test_a_normalization_that_does_not_fit_is_refused(normalization, image_shape, message):
    with pytest.raises(ValueError, match=message):
        build_module("mlp", n_features=64, n_classes=3, image_shape=image_shape, normalization=normalization)


def test_a_normalization_has_the_type_of_the_network():
    assert Normalize([0.5], [0.2]).double()(torch.ones(1, 1, 2, 2, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize(
    ("module", "params"),
    [
        ("resnet9", {"module__width": 8}),
        ("resnet18", {"module__width": 4}),
        ("xresnet18", {"module__width": 8, "module__squeeze_excitation": True, "module__self_attention": True}),
        ("wide_resnet", {"module__depth": 10, "module__width": 1}),
    ],
)
def test_the_classifier_trains_each_kind_of_network_on_digits(digits, module, params):
    X, y = digits
    clf = OffSupportRobustClassifier(
        module=module, image_shape=(1, 8, 8), max_epochs=5, smoothness=0.002, random_state=0, device="cpu"
    )
    clf.set_params(module__activation="celu", module__normalization=([8.0], [6.0]), **params)
    clf.fit(X[:500], y[:500])
    assert clf.score(X[500:900], y[500:900]) > 0.5
    assert torch.equal(clf.net_.module_.normalize.std.flatten(), torch.tensor([6.0]))
    assert any(isinstance(layer, nn.CELU) for layer in clf.net_.module_.modules())
    again = pickle.loads(pickle.dumps(clf))
    assert np.array_equal(again.predict_proba(X[:20]), clf.predict_proba(X[:20]))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


def test_the_last_batch_of_an_epoch_has_more_than_one_row(digits):
    X, y = digits
    clf = OffSupportRobustClassifier(
        "resnet9", image_shape=(1, 8, 8), max_epochs=1, batch_size=32, net_params={"module__width": 2}, device="cpu"
    )
    clf.fit(X[:65], y[:65])  # 2 batches of 32 and one row, dealt evenly
    assert clf.n_iter_ == 1


def test_a_batch_of_one_row_says_why_batch_normalization_cannot_train_on_it(digits):
    X, y = digits
    clf = OffSupportRobustClassifier(
        "resnet9", image_shape=(1, 8, 8), max_epochs=1, batch_size=1, net_params={"module__width": 2}, device="cpu"
    )
    with pytest.raises(ValueError, match="a batch has 1 labeled row and 1 value: raise batch_size and give 2 rows"):
        clf.fit(X[:20], y[:20])


@pytest.mark.parametrize("n", [1, None])
def test_batch_normalization_of_one_value_is_explained_and_of_one_image_is_not_refused(n):
    layer, images = nn.BatchNorm2d(2), torch.randn(1 if n is None else 4, 2, 3, 3)
    with labeled_batch_norm(layer) as labeled:
        labeled.n = n
        assert layer(images).isfinite().all()
        with pytest.raises(ValueError, match="batch normalization needs at least 2 values per channel for their"):
            layer(images[:, :, :1, :1])
        layer.eval()
        assert layer(images[:, :, :1, :1]).isfinite().all()


def test_a_trained_network_can_be_cut(digits):
    X, y = digits
    params = {"module__width": 4, "module__normalization": ([8.0], [6.0])}
    clf = OffSupportRobustClassifier("resnet9", image_shape=(1, 8, 8), max_epochs=1, net_params=params, device="cpu")
    network = clf.fit(X[:100], y[:100]).net_.module_.eval()
    rows = torch.as_tensor(X[:5]).reshape(-1, 1, 8, 8)
    cut = cut_at(network, "network.stage2", rows)
    assert torch.equal(cut.head(cut.encode(rows)), network(rows))


@pytest.mark.parametrize("network", [LeNet, ResNet, ResNet9, WideResNet, XResNet])
@pytest.mark.parametrize("image_shape", [(8, 8), (1, 1, 8, 8), (0, 8, 8), (1, 8.0, 8), (True, 8, 8), "188", None, 8])
def test_networks_for_images_want_channels_and_sides(network, image_shape):
    message = rf"{network.__name__} has image_shape={re.escape(repr(image_shape))}: use \(channels, height, width\)"
    with pytest.raises(ValueError, match=message):
        network(image_shape, 2)


@pytest.mark.parametrize(
    ("network", "params", "message"),
    [
        (LeNet, {"n_classes": 0}, "LeNet has n_classes=0: use a whole number of at least 1"),
        (ResNet, {"n_classes": 2.0}, r"ResNet has n_classes=2\.0: use a whole number"),
        (ResNet, {"width": 0}, "ResNet has width=0: use a whole number of at least 1"),
        (ResNet, {"depth": [18]}, r"depth=\[18\] is not one of a ResNet: use one of \[18, 34, 50\]"),
        (ResNet9, {"width": -1}, "ResNet9 has width=-1: use a whole number"),
        (ResNet9, {"n_classes": True}, "ResNet9 has n_classes=True: use a whole number"),
        (XResNet, {"width": 1}, "XResNet has width=1: use a whole number of at least 2"),
        (XResNet, {"width": "8"}, "XResNet has width='8': use a whole number of at least 2"),
        (WideResNet, {"width": 0.5}, r"WideResNet has width=0\.5: use a whole number"),
        (WideResNet, {"n_classes": None}, "WideResNet has n_classes=None: use a whole number"),
        (WideResNet, {"depth": 16.0}, r"depth=16\.0 of a WideResNet must be 6 n \+ 4: use 10, 16, 22, 28, 34 or 40"),
        (WideResNet, {"depth": "16"}, r"depth='16' of a WideResNet must be 6 n \+ 4"),
    ],
)
def test_sizes_of_networks_are_whole_numbers(network, params, message):
    with pytest.raises(ValueError, match=message):
        network((1, 8, 8), **{"n_classes": 2, **params})


def test_sizes_may_be_those_of_numpy():
    network = ResNet9(np.array([1, 8, 8]), np.int64(2), width=np.int64(2))
    assert network(torch.zeros(3, 1, 8, 8)).shape == (3, 2)


def test_the_docstrings_name_every_network():
    for documented in (OffSupportRobustClassifier, build_module):
        assert [name for name in MODULES if f'"{name}"' not in documented.__doc__] == []
