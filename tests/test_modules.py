"""Networks, how they are built from the parameter ``module``, and batch normalization by the labeled rows."""

import contextlib
import functools

import numpy as np
import pytest
import torch
from torch import nn

from skrobust import OffSupportRobustClassifier
from skrobust.modules import MLP, LeNet, build_module, check_logits, labeled_batch_norm

SIZES = {"n_features": 4, "n_classes": 3}
IMAGES = {"n_features": 64, "n_classes": 3, "image_shape": (1, 8, 8)}


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("widths", "expected"), [((), 15), ((7,), 35 + 24), ([5, 2], 25 + 12 + 9)])
def test_mlp_has_the_layers_asked_for(widths, expected):
    network = MLP(4, 3, hidden_layer_sizes=widths)
    assert n_parameters(network) == expected
    assert network(torch.zeros(6, 2, 2)).shape == (6, 3), "images are flattened"


def test_activations_can_be_chosen():
    assert any(isinstance(layer, nn.Tanh) for layer in MLP(4, 3, activation=nn.Tanh))
    assert sum(isinstance(layer, nn.CELU) for layer in LeNet((1, 8, 8), 3, activation=nn.CELU)) == 4


def test_lenet_on_mnist_is_the_classic_network():
    assert n_parameters(LeNet((1, 28, 28), 10)) == 61706


@pytest.mark.parametrize(
    "image_shape", [(1, 4, 4), (1, 8, 8), (3, 5, 9), (1, 19, 20), (1, 20, 20), (3, 32, 28), (2, 4, 64)]
)
def test_lenet_takes_images_of_any_size(image_shape):
    logits = LeNet(image_shape, 7)(torch.zeros(2, *image_shape))
    assert logits.shape == (2, 7)


def test_lenet_refuses_tiny_images():
    with pytest.raises(ValueError, match=r"LeNet needs images of at least 4 x 4 pixels, got \(1, 3, 8\)"):
        LeNet((1, 3, 8), 2)


class Spelled(nn.Module):
    """Network that wants its sizes by two names of its own."""

    def __init__(self, input_dim, num_classes, width=5):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_dim, width), nn.Linear(width, num_classes))

    def forward(self, X):
        return self.layers(X)


class MaybeImages(nn.Linear):
    """Network that takes rows and knows what to do with images."""

    def __init__(self, n_features, n_classes, image_shape=None):
        super().__init__(n_features, n_classes)
        self.image_shape = image_shape


def convolutional(in_channels, n_classes):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, n_classes))


@pytest.mark.parametrize(
    ("module", "sizes"),
    [
        ("mlp", SIZES),
        ("mlp", IMAGES),
        ("lenet", IMAGES),
        (MLP, SIZES),
        (nn.Linear, SIZES),
        (Spelled, SIZES),
        (MaybeImages, SIZES),
        (functools.partial(Spelled, width=2), SIZES),
        (lambda in_features, output_size: nn.Linear(in_features, output_size), SIZES),
        (convolutional, {**IMAGES, "image_shape": (2, 4, 8)}),
        (lambda: nn.Linear(4, 3), SIZES),
        (nn.Linear(4, 3), SIZES),
    ],
)
def test_sizes_are_filled_in_from_the_data(module, sizes):
    network = build_module(module, **sizes)
    rows = torch.zeros(2, *sizes.get("image_shape", (4,)))
    assert network(rows).shape == (2, 3)


def test_module_parameters_win_over_the_data_and_the_defaults():
    assert build_module(Spelled, **SIZES, width=2).layers[0].out_features == 2
    assert build_module("mlp", **SIZES, activation=nn.Tanh)[2].__class__ is nn.Tanh
    assert build_module(nn.Linear, **SIZES, bias=False).bias is None


def test_the_default_of_the_factory_stands_for_a_missing_image_shape():
    assert build_module(MaybeImages, **SIZES).image_shape is None
    assert build_module(MaybeImages, **IMAGES).image_shape == (1, 8, 8)


def test_an_instance_is_copied_with_its_weights():
    instance = nn.Linear(4, 3)
    network = build_module(instance, **SIZES)
    assert torch.equal(network.weight, instance.weight)
    assert network.weight.data_ptr() != instance.weight.data_ptr()


@pytest.mark.parametrize(
    ("module", "params", "error", "message"),
    [
        ("perceptron", {}, ValueError, r"module='perceptron' is unknown: use one of \['lenet', 'mlp', 'resnet18', "),
        (7, {}, ValueError, "module=7 is unknown: use one of"),
        (
            "lenet",
            {},
            ValueError,
            r"module='lenet' needs images, got rows of 4 features: give X as",
        ),
        (
            nn.Linear(4, 3),
            {"bias": False},
            ValueError,
            "module__bias has no effect on a module instance: pass the",
        ),
        (lambda: "no network", {}, TypeError, r"module=<function .* must make a torch\.nn\.Module, got str"),
        (
            Spelled,
            {"depth": 3},
            TypeError,
            r"module__depth is no parameter of module=<class .*Spelled'>: use one of \['module__input_dim', ",
        ),
    ],
)
def test_what_is_no_module_is_refused(module, params, error, message):
    with pytest.raises(error, match=message):
        build_module(module, **SIZES, **params)


class Returns(nn.Module):
    """Network that returns what a function makes of its rows."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, X):
        return self.function(X)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda X: X @ torch.zeros(9, 3), r"module Returns failed on rows of shape \(5, 4\): RuntimeError: .*module__"),
        (
            lambda X: X[:, :2],
            r"must return one logit for each of 3 classes, shape \(5, 3\), got \(5, 2\): set its",
        ),
        (lambda X: X[:, 0], r"got \(5,\): set its number of outputs to 3"),
        (lambda X: X[None, :, :3], r"got \(1, 5, 3\)"),
        (lambda X: (X[:, :3], None), r"got tuple: return the logits alone\."),
        (lambda X: X[:, :3].softmax(dim=1), r"returns probabilities \(.*\): remove the softmax"),
        (lambda X: X.relu_()[:, :3], "changes its input in place, which may be your X: set inplace=False"),
    ],
    ids=["fails", "too few", "vector", "three dimensions", "tuple", "softmax", "in place"],
)
def test_a_network_that_returns_no_logits_is_refused(function, message):
    with pytest.raises(ValueError, match=message):
        check_logits(Returns(function), torch.randn(5, 4), n_classes=3)


@pytest.mark.parametrize("function", [lambda X: X[:, :3], lambda X: X[:, :3].log_softmax(dim=1)])
def test_logits_and_log_probabilities_pass(function):
    check_logits(Returns(function), torch.randn(5, 4), n_classes=3)


def test_the_trial_leaves_a_network_as_it_was():
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check_logits(network, torch.randn(5, 4), n_classes=3)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


BATCH_NORMS = {
    "rows": (lambda: nn.BatchNorm1d(3), (3,)),
    "images": (lambda: nn.BatchNorm2d(3), (3, 5, 4)),
    "without affine map": (lambda: nn.BatchNorm1d(3, affine=False), (3,)),
    "cumulative": (lambda: nn.BatchNorm1d(3, momentum=None), (3,)),
    "without running statistics": (lambda: nn.BatchNorm2d(3, track_running_stats=False), (3, 5, 4)),
}


@pytest.fixture(params=BATCH_NORMS.values(), ids=BATCH_NORMS)
def layer_and_rows(request):
    make, shape = request.param
    layer = make().double()
    generator = torch.Generator().manual_seed(0)
    if layer.affine:
        nn.init.normal_(layer.weight, generator=generator)
        nn.init.normal_(layer.bias, generator=generator)
    return layer, 3 + 2 * torch.randn(12, *shape, generator=generator, dtype=torch.float64)


def plain_twin(layer):
    twin = type(layer)(3, layer.eps, layer.momentum, layer.affine, layer.track_running_stats).double()
    twin.load_state_dict(layer.state_dict())
    return twin


def labeled_forward(layer, X, n_labeled):
    with labeled_batch_norm(layer) as labeled:
        labeled.n = n_labeled
        return layer(X)


def gradients(outputs, X, layer):
    return torch.autograd.grad((outputs.cos() * outputs).sum(), [X, *layer.parameters()])


@pytest.mark.parametrize("n_labeled", [12, None])
def test_with_all_rows_labeled_it_is_plain_batch_normalization(layer_and_rows, n_labeled):
    layer, X = layer_and_rows
    X.requires_grad_()
    twin = plain_twin(layer)
    expected, outputs = twin(X), labeled_forward(layer, X, n_labeled)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=0)
    for ours, plain in zip(gradients(outputs, X, layer), gradients(expected, X, twin), strict=True):
        torch.testing.assert_close(ours, plain, rtol=0, atol=0)
    assert_equal_state(layer, twin)


def assert_equal_state(layer, twin):
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(layer.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_labeled_rows_alone_make_the_statistics_of_every_row(layer_and_rows):
    layer, X = layer_and_rows
    X[7:] += 100  # rows behind the labeled ones
    X.requires_grad_()
    twin = plain_twin(layer)
    labeled = twin(X[:7])
    axes = [axis for axis in range(X.ndim) if axis != 1]
    variance, mean = torch.var_mean(X[:7], dim=axes, correction=0, keepdim=True)
    rest = (X[7:] - mean) / (variance + layer.eps).sqrt()
    if layer.affine:
        rest = rest * layer.weight.view(mean.shape) + layer.bias.view(mean.shape)
        torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(layer.parameters()), twin.parameters())

    outputs = labeled_forward(layer, X, 7)
    torch.testing.assert_close(outputs[:7], labeled)
    torch.testing.assert_close(outputs[7:], rest)
    assert_equal_state(layer, twin)
    expected = torch.autograd.grad((rest.cos() * rest).sum(), X, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad((outputs[7:].cos() * outputs[7:]).sum(), X), expected)


def test_gradients_by_labeled_statistics_are_those_of_finite_differences_and_have_gradients(layer_and_rows):
    layer, X = layer_and_rows
    leaves = [X[:5].requires_grad_(), *layer.parameters()]

    def normalized(X, *parameters):
        named = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(layer, named, X)

    with labeled_batch_norm(layer) as labeled:
        labeled.n = 3
        assert torch.autograd.gradcheck(normalized, leaves)
        assert torch.autograd.gradgradcheck(normalized, leaves)


def test_what_is_frozen_gets_no_gradient(layer_and_rows):
    layer, X = layer_and_rows
    layer.requires_grad_(False)
    outputs = labeled_forward(layer, X.requires_grad_(), 7)
    (of_rows,) = torch.autograd.grad(outputs.square().sum(), X, create_graph=True)
    assert torch.autograd.grad(of_rows.square().sum(), X)[0].isfinite().all()


@pytest.mark.parametrize("n_labeled", [7, None])
def test_half_precision_is_normalized_by_statistics_in_full(n_labeled):
    layer, X = nn.BatchNorm2d(3), 3 + 2 * torch.randn(12, 3, 4, 5)
    expected = labeled_forward(layer, X, n_labeled)
    outputs = labeled_forward(layer, X.bfloat16(), n_labeled)
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.float(), expected, rtol=0.02, atol=0.02)


class Activated(nn.BatchNorm1d):
    """Batch normalization and an activation in one layer."""

    def forward(self, X):
        return super().forward(X).relu()


class WrittenOut(nn.BatchNorm1d):
    """The same, by a function of torch."""

    def forward(self, X):
        self.num_batches_tracked += 1
        arguments = self.running_mean, self.running_var, self.weight, self.bias, self.training
        return nn.functional.batch_norm(X, *arguments, eps=self.eps).relu()


class Resting(nn.BatchNorm1d):
    """Batch normalization that always uses the running statistics."""

    def forward(self, X):
        return nn.functional.batch_norm(X, self.running_mean, self.running_var, self.weight, self.bias)


class InGroups(nn.BatchNorm1d):
    """Batch normalization by the statistics of four rows each."""

    def forward(self, X):
        return torch.cat([super(InGroups, self).forward(part) for part in X.split(4)])


@pytest.mark.parametrize("kind", [Activated, WrittenOut])
def test_what_a_subclass_adds_to_batch_normalization_is_kept(kind):
    X = torch.randn(12, 3, requires_grad=True)
    layer, plain = kind(3), nn.BatchNorm1d(3)
    outputs, expected = labeled_forward(layer, X, 7), labeled_forward(plain, X, 7).relu()
    torch.testing.assert_close(outputs, expected)
    for ours, theirs in zip(gradients(outputs, X, layer), gradients(expected, X, plain), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(layer.state_dict(), plain.state_dict())


@pytest.mark.parametrize("kind", [Resting, InGroups])
def test_a_subclass_that_normalizes_otherwise_does_so(kind):
    X, layer, twin = torch.randn(12, 3), kind(3), kind(3)
    torch.testing.assert_close(labeled_forward(layer, X, 7), twin(X), rtol=0, atol=0)
    assert_equal_state(layer, twin)


def test_a_forward_that_an_instance_has_been_given_stays():
    layer, X = nn.BatchNorm1d(3), torch.randn(12, 3)
    layer.forward = torch.neg
    assert torch.equal(labeled_forward(layer, X, 7), -X)
    assert layer.forward is torch.neg


class OverTime(nn.Module):
    """Batch normalization over rows and time steps, the time steps first."""

    def __init__(self):
        super().__init__()
        self.norm, self.dense = nn.BatchNorm1d(8), nn.Linear(64, 10)

    def forward(self, X):
        steps = X.reshape(len(X), 8, 8).transpose(0, 1)
        return self.dense(self.norm(steps.reshape(-1, 8)).reshape(8, len(X), 8).transpose(0, 1).flatten(1))


def fitted_over_time(digit_images, **params):
    images, y = digit_images
    X = images.reshape(len(images), -1) + np.repeat(np.arange(8.0), 8)
    return OffSupportRobustClassifier(OverTime, max_epochs=15, random_state=0, device="cpu", **params).fit(X, y)


def test_time_steps_count_in_the_statistics_as_in_a_loop_of_plain_torch(digit_images):
    clf = fitted_over_time(digit_images, penalty=None)
    mean = digit_images[0].mean((0, 1)) + 3.5
    np.testing.assert_allclose(clf.net_.module_.norm.running_mean, mean, rtol=0.1)


def test_batch_normalization_that_cannot_tell_rows_apart_says_so_once(digit_images):
    with pytest.warns(UserWarning, match="sees 1600 rows where the pass has 200, as in a network that folds") as found:
        fitted_over_time(digit_images, batch_size=50)
    assert len(found) == 1


def test_in_evaluation_mode_the_running_statistics_normalize(layer_and_rows):
    layer, X = layer_and_rows
    layer(X)
    layer.eval()
    torch.testing.assert_close(labeled_forward(layer, X, 5), layer(X), rtol=0, atol=0)


def test_the_layer_is_given_back_after_an_error():
    layer = nn.BatchNorm1d(2)
    with contextlib.suppress(RuntimeError), labeled_batch_norm(layer):
        assert "forward" in vars(layer)
        raise RuntimeError
    assert "forward" not in vars(layer)


def test_layers_deep_inside_a_network_are_found():
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2, momentum=1.0)))
    network[0].weight.data.copy_(torch.eye(2))
    network[0].bias.data.zero_()
    labeled_forward(network, torch.tensor([[0.0, 0.0], [2.0, 4.0], [50.0, 50.0]]), 2)
    assert network[1][0].running_mean.tolist() == [1.0, 2.0]


def test_a_factory_that_takes_any_name_gets_it():
    def make(n_features, n_classes, **others):
        return MLP(n_features, n_classes, (others["width"],))

    assert build_module(make, **SIZES, width=2)[1].out_features == 2


class TwoHeads(nn.Module):
    """Network that returns a further head in training mode, counts its passes then, and draws random numbers."""

    def __init__(self, further):
        super().__init__()
        self.norm, self.frozen, self.further, self.n_passes = nn.BatchNorm1d(4), nn.Dropout(), further, 0

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, X):
        logits = nn.functional.dropout(self.norm(X), training=self.training)[:, :3]
        self.n_passes += self.training
        return self.further(logits) if self.training else logits


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (lambda logits: (logits, logits), r"got tuple in training mode: return the logits alone\."),
        (lambda logits: {"logits": logits}, r"got dict in training mode: return the logits alone\."),
        (lambda logits: logits[:, :2], r"got \(5, 2\) in training mode: set its number of outputs to 3\."),
    ],
)
def test_further_heads_in_training_mode_are_refused(further, message):
    with pytest.raises(ValueError, match=message):
        check_logits(TwoHeads(further), torch.randn(5, 4), n_classes=3)


@pytest.mark.parametrize("n_rows", [1, 5])
def test_the_trial_in_training_mode_leaves_no_traces(n_rows):
    network, rows = TwoHeads(lambda logits: logits), torch.randn(n_rows, 4)
    before, random_state = {name: value.clone() for name, value in network.state_dict().items()}, torch.get_rng_state()
    check_logits(network, rows, n_classes=3)  # of one row, batch normalization fails in training mode
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.n_passes == 0
    assert [module.training for module in network.modules()] == [True, True, False]
