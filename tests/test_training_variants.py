"""Penalties, adversaries, noise inside the network and batch transforms, as an estimator trains with them."""

import contextlib
import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.nn import functional

from skrobust import OffSupportRobustClassifier
from skrobust._preparation import Mixup, SoftLabels
from skrobust.adversary import FGSM, NFGSM, PGD, TRADES, MultiplePerturbations
from skrobust.augment import RandomCrop
from skrobust.data import Moments
from skrobust.losses import cross_entropy
from skrobust.penalties import (
    Curvature,
    InputGradient,
    Jacobian,
    Neighborhood,
    Smoothness,
    Stability,
    UniformConfidence,
    VirtualAdversarial,
    WorstDirection,
)
from skrobust.unlabeled import FromGenerator, Gaussian, Support


class Watched(nn.Linear):
    """Linear network that remembers the rows of its training passes."""

    passes = ()

    def forward(self, X):
        if self.training and torch.is_grad_enabled():
            Watched.passes.append(X.detach().clone())
        return super().forward(X)


@pytest.fixture
def passes():
    """Return the list that collects the rows of each training pass of Watched."""
    Watched.passes = []
    yield Watched.passes
    Watched.passes = ()


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600], X[600:1000] / 16, y[600:1000]


def trained(X, y, **params):
    defaults = {"hidden_layer_sizes": (50,), "max_epochs": 30, "random_state": 0, "batch_size": 64}
    return OffSupportRobustClassifier(**{**defaults, **params}).fit(X, y)


# What each penalty is meant to lower


def penalty_on(clf, X, y, penalty):
    """Return a penalty at held-out rows, and off the support if that is where it acts."""
    network = clf.net_.module_.eval()
    support = Support.from_moments(Moments.of(X), noise_units="global", dtype=torch.float64, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    neighborhood = Neighborhood(Gaussian(), 1, 0.6, support, generator)
    neighborhood = neighborhood.at(lambda: contextlib.nullcontext(network), torch.from_numpy(y))
    anchors = torch.from_numpy(X)
    if penalty.anchors == ("unlabeled",):
        anchors = Gaussian().sample(anchors, support, 1.0, generator)
    points = penalty.points(anchors, neighborhood)
    return penalty.value(points, network(points), neighborhood).item()


LOWERED = {
    "smoothness": (Smoothness(), 0.1, {}),
    "worst direction": (Smoothness(), 0.02, {"neighbors": "adversarial"}),
    "jacobian": (Jacobian(), 0.002, {}),
    "input gradient": (InputGradient(), 0.05, {}),
    "curvature": (Curvature(), 0.1, {}),
    "virtual adversarial": (VirtualAdversarial(), 0.5, {}),
    "stability": (Stability(), 10.0, {}),
    "uniform confidence": (UniformConfidence(), 1.0, {}),
    "acet": (UniformConfidence("uniform", n_steps=2), 0.5, {}),
}
# Of what plain training has: the penalty at most, and the clean accuracy at least.
FACTOR, ACCURACY = 0.5, 0.92


@pytest.fixture(scope="module")
def plain(digits):
    return trained(*digits[:2], smoothness=0)


@pytest.mark.parametrize("name", LOWERED)
def test_training_lowers_what_is_penalized_and_still_learns(digits, plain, name):
    penalty, weight, params = LOWERED[name]
    X, y, X_test, y_test = digits
    clf = trained(X, y, penalty=penalty, smoothness=weight, **params)
    exact = Jacobian(-1) if isinstance(penalty, Jacobian) else penalty
    before, after = (penalty_on(model, X_test, y_test, exact) for model in (plain, clf))
    assert after < FACTOR * before
    assert clf.score(X_test, y_test) > ACCURACY * plain.score(X_test, y_test)
    assert clf.history_[-1]["train_penalty"] > 0


ADVERSARIES = [FGSM(0.15), NFGSM(0.15), PGD(0.15), TRADES(0.15), PGD(0.15, weight=1), PGD(1.0, norm=2)]
SEVERAL = [PGD(0.15), PGD(1.0, norm=2)]


def robust(model, adversary, X, y):
    """Return the accuracy under PGD in the ball of an adversary."""
    network, judge = model.net_.module_.eval(), PGD(adversary.eps, norm=adversary.norm, max_iter=10)
    rows, labels = torch.from_numpy(X), torch.from_numpy(y)
    perturbed = judge.perturb(network, rows, labels, torch.Generator().manual_seed(0))
    return (network(perturbed).argmax(dim=1) == labels).double().mean().item()


@pytest.mark.parametrize("smoothness", [0, 0.01])
@pytest.mark.parametrize("adversary", ADVERSARIES, ids=repr)
def test_adversaries_make_a_classifier_that_they_fool_less(digits, plain, adversary, smoothness):
    X, y, X_test, y_test = digits
    clf = trained(X, y, adversary=adversary, smoothness=smoothness)
    assert robust(clf, adversary, X_test, y_test) > robust(plain, adversary, X_test, y_test) + 0.1
    assert clf.score(X_test, y_test) > ACCURACY * plain.score(X_test, y_test)
    assert ("train_cross_entropy" in clf.history_[-1]) == (adversary.weight != 1)
    assert clf.history_[-1]["train_adversarial"] > 0


@pytest.mark.parametrize("strategy", ["max", "random"])
def test_several_adversaries_make_a_classifier_that_each_fools_less(digits, plain, strategy):
    X, y, X_test, y_test = digits
    clf = trained(X, y, adversary=MultiplePerturbations(SEVERAL, strategy=strategy), smoothness=0)
    for adversary in SEVERAL:
        assert robust(clf, adversary, X_test, y_test) > robust(plain, adversary, X_test, y_test) + 0.1


# Which rows a step evaluates

ROWS = 15


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"smoothness": 0}, 1),
        ({"smoothness": 0, "adversary": "fgsm"}, 2),
        ({"smoothness": 0, "adversary": PGD(weight=1)}, 1),
        ({}, 4),
        ({"adversary": "fgsm"}, 6),
        ({"adversary": PGD(weight=1)}, 6),
        ({"adversary": PGD(weight=1), "n_unlabeled": 0, "penalty": Smoothness(("adversarial",))}, 2),
        ({"adversary": "trades", "unlabeled": None}, 4),
        # Anchors that do not begin with the supervised rows go through the network behind them.
        ({"adversary": "fgsm", "unlabeled": None, "penalty": Smoothness(("labeled",))}, 4),
        ({"penalty": "jacobian"}, 1),
        ({"penalty": "jacobian", "adversary": "pgd"}, 2),
        ({"penalty": Jacobian(anchors=("labeled",)), "adversary": "pgd"}, 3),
        ({"penalty": Jacobian(anchors=("labeled", "unlabeled"))}, 2),
        ({"penalty": "input_gradient"}, 1),
        ({"penalty": "curvature"}, 2),
        ({"penalty": "virtual_adversarial"}, 4),
        ({"penalty": "virtual_adversarial", "n_unlabeled": 0}, 2),
        ({"penalty": "stability", "n_neighbors": 3}, 4),
        ({"penalty": "uniform_confidence"}, 2),
        ({"penalty": "uniform_confidence", "n_unlabeled": 2}, 3),
        ({"neighbors": WorstDirection(3)}, 4),
        ({"mixup": 1.0, "label_smoothing": 0.2}, 4),
    ],
    ids=str,
)
def test_one_pass_in_training_mode_evaluates_what_is_needed(quick, blobs, passes, params, expected):
    X, y = blobs
    quick(module=Watched, net_params={"module__in_features": 4, "module__out_features": 3}, **params | SIZES).fit(X, y)
    assert [len(rows) for rows in passes] == [expected * ROWS] * 6 * 2


SIZES = {"batch_size": ROWS, "max_epochs": 2}


def test_adversarial_rows_are_near_theirs_and_anchors_too(quick, blobs, passes):
    X, y = blobs
    adversary = FGSM(0.05, random_start=False)
    network = {"module": Watched, "net_params": {"module__in_features": 4, "module__out_features": 3}}
    quick(**network, adversary=adversary, neighbor_radius=1e-6, **SIZES).fit(X, y)
    clean, perturbed, unlabeled, *neighbors = passes[0].split(ROWS)
    change = (perturbed - clean).abs()
    torch.testing.assert_close(change, torch.full_like(change, 0.05))
    assert (unlabeled - clean).norm(dim=1).mean() > 1
    for anchors, others in zip((clean, perturbed, unlabeled), neighbors, strict=True):
        torch.testing.assert_close(anchors, others, rtol=0, atol=1e-4)


def test_labels_go_with_their_anchors(quick, blobs):
    X, y = blobs
    seen = []

    def remember(anchors, logits, neighborhood):
        seen.append((anchors.detach(), neighborhood.labels))
        return logits.square().mean()

    quick(penalty=remember, unlabeled=None, adversary=FGSM(1e-9), batch_size=200).fit(X, y, sample_weight=1 + y)
    quick(penalty=remember, unlabeled=None, adversary=FGSM(1e-9), batch_size=20).fit(X, y)
    for anchors, labels in seen:
        nearest = torch.cdist(anchors, torch.from_numpy(X)).argmin(dim=1)
        assert torch.equal(torch.from_numpy(y)[nearest], labels)
    quick(penalty=remember).fit(X, y)
    assert seen[-1][1] is None, "there are unlabeled anchors"


@pytest.mark.parametrize(
    "params", [{"adversary": PGD(0.5)}, {"neighbors": "adversarial"}, {"penalty": "virtual_adversarial"}], ids=str
)
def test_inner_steps_do_not_move_the_statistics_of_batch_norm(quick, blobs, params):
    X, y = blobs
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    first, second = (quick(module=module, batch_size=90, **p).fit(X, y) for p in (params, {"smoothness": 0}))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        ours, plain = (getattr(clf.net_.module_[0], name) for clf in (first, second))
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("batch_size", [1, 45, 200])
@pytest.mark.parametrize(
    "params",
    [{"adversary": PGD(max_iter=2), "neighbors": "adversarial"}, {"penalty": "curvature"}, {"noise_layer": "0"}],
    ids=str,
)
def test_any_batch_size(quick, blobs, batch_size, params):
    X, y = blobs
    module = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
    clf = quick(module=module, batch_size=batch_size, max_epochs=1, **params).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()


VARIANTS = [
    {"penalty": "jacobian"},
    {"penalty": "virtual_adversarial", "adversary": "pgd"},
    {"adversary": MultiplePerturbations(SEVERAL, strategy="random"), "mixup": 0.5},
    {"neighbors": "adversarial", "mixup": 0.4},
    {"noise_layer": "1", "adversary": "n_fgsm"},
]


@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_the_same_seed_gives_the_same_bits_and_copies_train_on(quick, blobs, params):
    X, y = blobs
    first, second = (quick(**params).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    other = quick(**params).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))
    copied = pickle.loads(pickle.dumps(first))
    first.partial_fit(X, y)
    with pytest.warns(UserWarning, match="The optimizer was not saved"):
        copied.partial_fit(X, y)
    assert first.history_[-1]["train_loss"] > 0
    assert len(copied.history_) == len(first.history_) == 4


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_precision(quick, blobs, params, dtype):
    clf = quick(dtype=dtype, **params).fit(*blobs)
    assert clf.net_.module_[1].weight.dtype == (torch.float64 if dtype == "float64" else torch.float32)


def test_grid_search_reaches_penalties_and_adversaries(quick, blobs):
    X, y = blobs
    grid = {"clf__adversary__eps": [0.1, 0.5], "clf__penalty__n_projections": [1, -1], "clf__mixup": [0.0, 0.2]}
    pipe = make_pipeline(quick(adversary=PGD(), penalty=Jacobian()))
    pipe.steps[0] = ("clf", pipe.steps[0][1])
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["mean_test_score"]) == 8
    assert search.best_estimator_["clf"].adversary.eps in (0.1, 0.5)


def test_an_adversary_of_the_user(quick, blobs, passes):
    class Shift:
        """Adversary that moves every row alike."""

        def perturb(self, outputs, X, y, generator):
            assert outputs(X).shape == (len(X), 3)
            return X + 7

        def loss(self, logits, perturbed, y, weight):
            loss = cross_entropy(perturbed, y, weight)
            return loss, {"shifted": loss}

    params = {"module__in_features": 4, "module__out_features": 3}
    clf = quick(module=Watched, net_params=params, adversary=Shift(), penalty=None, **SIZES).fit(*blobs)
    torch.testing.assert_close(passes[0][ROWS:], passes[0][:ROWS] + 7)
    assert set(clf.history_[-1]) >= {"train_shifted", "train_loss"}


# Noise inside the network


def points_at(module, layer):
    """Return a list that collects what enters a layer in training mode."""
    seen = []
    dict(module.named_modules())[layer].register_forward_pre_hook(
        lambda layer, inputs: seen.append(inputs[0].detach().clone()) if layer.training else None
    )
    return seen


class Halves(nn.Module):
    """Network of two layers that notes the rows of each in training mode."""

    seen = {}

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first, self.second = Noted("first", n_features, 8), Noted("second", 8, n_classes)

    def forward(self, X):
        return self.second(torch.tanh(self.first(X)))


class Noted(nn.Linear):
    """Linear layer that notes its inputs in training mode."""

    def __init__(self, name, *sizes):
        super().__init__(*sizes)
        self.name = name

    def forward(self, X):
        if self.training and self.name in Halves.seen:
            Halves.seen[self.name].append(X.detach().clone())
        return super().forward(X)


@pytest.fixture
def seen():
    Halves.seen = {"first": [], "second": []}
    yield Halves.seen
    Halves.seen = {}


def test_points_are_made_in_the_activations_of_the_layer(quick, blobs, seen):
    X, y = blobs
    quick(module=Halves, noise_layer="first", neighbor_radius=1e-9, **SIZES).fit(X, y)
    assert {len(rows) for rows in seen["first"][-12:]} == {ROWS}, "only rows go through what is before the layer"
    for rows in seen["second"][-12:]:
        labeled, unlabeled, *neighbors = rows.split(ROWS)
        assert (unlabeled - labeled).norm(dim=1).min() > 0.1
        torch.testing.assert_close(torch.cat(neighbors), rows[: 2 * ROWS], rtol=0, atol=1e-6)


def layer_of(clf, X):
    with torch.no_grad():
        return clf.net_.module_.first(torch.from_numpy(X))


class Scaled(Gaussian):
    """Sampler that notes the number of features and the scale of the space in which it is asked."""

    def __init__(self):
        self.asked = []

    def __sklearn_clone__(self):
        return self

    def sample(self, X, support, radius, generator):
        self.asked.append((X.shape[1], support.data_scale))
        return super().sample(X, support, radius, generator)


def test_the_scale_is_that_of_the_layer_and_renewed_before_every_epoch(quick, blobs):
    X, y = blobs
    sampler = Scaled()
    clf = quick(module=Halves, noise_layer="first", unlabeled=sampler, batch_size=30, max_epochs=4, lr=0.05).fit(X, y)
    widths, scales = zip(*sampler.asked, strict=True)
    assert set(widths) == {8}
    assert len(set(scales)) == 4, "three steps of an epoch share a scale"
    activations = layer_of(clf, X)
    clf.set_params(warm_start=True, max_epochs=1).fit(X, y)
    expected = (2 * activations.var(dim=0, correction=0).sum()).sqrt().item()
    assert sampler.asked[-1] == (8, pytest.approx(expected))


def test_behind_batch_norm_the_scale_is_that_of_training_from_the_first_epoch(quick, blobs):
    X, y = blobs
    sampler = Scaled()
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    clf = quick(module=module, noise_layer="0", unlabeled=sampler, max_epochs=1).fit(1000 * X, y)
    # Batch normalization makes the variance of each of the four activations 1; its kept statistics begin at (0, 1).
    assert sampler.asked[0] == (4, pytest.approx(8**0.5, rel=1e-3))
    assert clf.net_.module_[0].num_batches_tracked == 3
    assert clf.net_.module_[0].momentum == 0.1


def test_weights_count_in_the_scale_of_a_layer(quick, blobs):
    X, y = blobs
    times = 1 + np.arange(90) % 3
    samplers = Scaled(), Scaled()
    network = Halves(4, 3)
    quick(module=network, noise_layer="first", unlabeled=samplers[0]).fit(X, y, sample_weight=times)
    quick(module=network, noise_layer="first", unlabeled=samplers[1]).fit(
        np.repeat(X, times, axis=0), np.repeat(y, times)
    )
    assert samplers[0].asked[0] == pytest.approx(samplers[1].asked[0])


def test_noise_in_a_layer_has_the_radius_in_units_of_its_scale(quick, blobs):
    X, y = blobs
    lengths = []

    def measured(anchors, logits, neighborhood):
        points = neighborhood.sample(anchors.detach())
        lengths.append(((points - anchors).square().sum(dim=1).mean().sqrt() / neighborhood.support.data_scale).item())
        assert anchors.shape[1] == 8
        return logits.square().mean()

    quick(module=Halves, noise_layer="first", penalty=measured, neighbor_radius=0.3, batch_size=200).fit(X, y)
    assert np.mean(lengths) == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("name", ["smoothness", "jacobian", "virtual_adversarial", "stability", "curvature"])
def test_a_penalty_in_a_layer_trains_what_is_before_it(quick, blobs, name):
    X, y = blobs

    def first_layer(weight):
        layer = "first" if weight else None
        clf = quick(module=Halves, noise_layer=layer, penalty=name, smoothness=weight, lr=0.01, random_state=0)
        return clf.fit(X, y).net_.module_.first.weight.detach()

    # The rows through the layer are the same: what differs in its weights comes from the penalty.
    assert (first_layer(0) - first_layer(1.0)).abs().max() > 1e-4


def test_a_layer_of_images_with_batch_norm(quick, digit_images):
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10)
    )
    X, y = digit_images
    for params in ({"n_neighbors": 2}, {"penalty": "jacobian", "adversary": "fgsm"}, {"neighbors": "adversarial"}):
        clf = quick(module=module, noise_layer="2", **params).fit(X, y)
        assert math.isfinite(clf.history_[-1]["train_penalty"])
        assert math.isnan(clf.off_support_fraction_)
    plain = quick(module=module, smoothness=0, batch_size=200).fit(X, y)
    noisy = quick(module=module, noise_layer="2", batch_size=200, smoothness=1e-12).fit(X, y)
    for ours, theirs in zip(plain.net_.module_[1].buffers(), noisy.net_.module_[1].buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("params", "fit_params", "message"),
    [
        ({"noise_layer": "third"}, {}, "noise_layer='third' is not a layer of Halves: use one of"),
        (
            {"noise_layer": "first", "unlabeled": FromGenerator(None)},
            {},
            "noise_layer='first' makes unlabeled points in",
        ),
        ({"noise_layer": "first"}, {"X_unlabeled": np.zeros((3, 4))}, "noise_layer='first' makes unlabeled points in"),
    ],
    ids=["name", "generator", "rows"],
)
def test_noise_in_a_layer_that_cannot_be(quick, blobs, params, fit_params, message):
    clf = quick(module=Halves, **params)
    with pytest.raises(ValueError, match=message):
        clf.fit(*blobs, **fit_params)
    assert not hasattr(clf, "net_")


def test_there_is_no_spread_to_warn_about_in_a_layer(quick, blobs):
    X, y = blobs
    raw = X * [1, 1, 1, 1000.0]
    with pytest.warns(UserWarning, match="standard deviations of the columns"):
        quick(module=Halves).fit(raw, y)
    quick(module=Halves, noise_layer="first").fit(raw, y)


# Batch transforms


class Recorded:
    """Augmentation that shifts pixels and remembers what it was given."""

    def __init__(self, spoil=None):
        self.spoil, self.seen = spoil, []

    def __repr__(self):
        return "Recorded()"

    def __call__(self, images, generator):
        self.seen.append((images.shape, generator.device))
        if self.spoil is not None:
            return self.spoil(images)
        return images + torch.rand((), generator=generator, dtype=images.dtype)


def test_an_augmentation_sees_labeled_images_and_its_work_is_trained_on(quick, digit_images):
    X, y = digit_images
    augmentation = Recorded()
    clf = quick(augmentation=augmentation, batch_size=50, max_epochs=2).fit(X, y, X_unlabeled=X[:7])
    assert {tuple(shape) for shape, _ in augmentation.seen[1:]} == {(50, 1, 8, 8)}
    assert len(augmentation.seen) == 1 + 8
    again, plain = (
        quick(augmentation=a, batch_size=50, max_epochs=2).fit(X, y, X_unlabeled=X[:7]) for a in (Recorded(), None)
    )
    np.testing.assert_array_equal(clf.predict_proba(X), again.predict_proba(X))
    assert not np.array_equal(clf.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images: images[:, :, 1:], r"returned \(8, 1, 7, 8\) for images of shape \(8, 1, 8, 8\): it must"),
        (lambda images: images.numpy(), "returned ndarray for images of shape"),
        (lambda images: images * math.nan, r"returned \(8, 1, 8, 8\) for images of .*, of finite values"),
    ],
    ids=["shape", "array", "nan"],
)
def test_augmentations_that_return_no_images(quick, digit_images, spoil, message):
    with pytest.raises(ValueError, match=rf"augmentation=Recorded\(\) {message}"):
        quick(augmentation=Recorded(spoil)).fit(*digit_images)


@pytest.mark.parametrize("augmentation", [lambda images: images, nn.Identity()], ids=["function", "module"])
def test_augmentations_of_images_alone(quick, digit_images, augmentation):
    with pytest.raises(ValueError, match=r"fails when it is called with images and a generator \(.*give a function of"):
        quick(augmentation=augmentation).fit(*digit_images)


def test_augmentations_may_work_in_place_and_in_another_type(quick, digit_images):
    X, y = digit_images[0].astype(np.float32), digit_images[1]
    kept = X.copy()
    expected = quick(augmentation=Recorded(lambda images: images * 2)).fit(X, y).predict_proba(X)
    for spoil in (lambda images: images.mul_(2), lambda images: images.double() * 2):
        clf = quick(augmentation=Recorded(spoil)).fit(X, y)
        np.testing.assert_array_equal(X, kept)
        np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=0, atol=1e-6)


def test_a_list_of_transforms_is_a_chain_of_them(quick, digit_images):
    X, y = digit_images
    first, second = Recorded(lambda images: images + 1), Recorded(lambda images: images * 2)
    listed = quick(augmentation=[first, second, RandomCrop(1)]).fit(X, y).predict_proba(X)
    assert len(first.seen) == len(second.seen) > 1
    other = quick(augmentation=[second, first, RandomCrop(1)]).fit(X, y).predict_proba(X)
    assert not np.array_equal(listed, other)


def test_an_augmentation_needs_images(quick, blobs):
    with pytest.raises(
        ValueError, match=r"augmentation=Recorded\(\) needs images: give X as images, or set image_shape"
    ):
        quick(augmentation=Recorded()).fit(*blobs)


def soft_batch(weighted):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    weight = torch.rand(9, generator=generator, dtype=torch.float64) + 0.1 if weighted else None
    return X, torch.arange(9) % 3, weight


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_soft_labels_are_those_of_torch(smoothing):
    X, y, _ = soft_batch(False)
    same, soft, _ = SoftLabels(3, smoothing)(X, y, None)
    assert same is X
    ours = cross_entropy(X[:, :3], soft)
    torch.testing.assert_close(ours, functional.cross_entropy(X[:, :3], y, label_smoothing=smoothing))


@pytest.mark.parametrize("weighted", [False, True])
def test_mixed_rows_have_the_mixed_losses_of_both_labels(weighted):
    X, y, weight = soft_batch(weighted)
    mixup = Mixup(0.7, torch.Generator().manual_seed(1), np.random.default_rng(2))
    _, soft, _ = SoftLabels(3, 0.0)(X, y, None)
    mixed, labels, mixed_weight = mixup(X, soft, weight)
    share = np.random.default_rng(2).beta(0.7, 0.7)
    partner = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mixed, share * X + (1 - share) * X[partner])
    weight = torch.ones(9, dtype=X.dtype) if weight is None else weight
    losses = [functional.cross_entropy(mixed[:, :3], labels, reduction="none") for labels in (y, y[partner])]
    expected = (share * weight * losses[0] + (1 - share) * weight[partner] * losses[1]).mean()
    torch.testing.assert_close(cross_entropy(mixed[:, :3], labels, mixed_weight), expected)


def test_mixup_with_a_class_that_weighs_nothing(quick, blobs):
    X, y = blobs
    clf = quick(mixup=1.0, smoothness=0, class_weight={0: 0.0}).fit(X, y)
    assert np.isfinite(clf.history_[-1]["train_loss"])
    assert (clf.predict_proba(X)[:, 0] < 1 / 3).all()


def test_label_smoothing_and_mixup_make_answers_less_sure(digits):
    X, y, X_test, y_test = digits
    models = [trained(X, y, smoothness=0, **p) for p in ({}, {"label_smoothing": 0.3}, {"mixup": 1.0})]
    sure = [clf.predict_proba(X_test).max(axis=1).mean() for clf in models]
    assert sure[1] < sure[0] - 0.1
    assert sure[2] < sure[0] - 0.05
    assert min(clf.score(X_test, y_test) for clf in models) > ACCURACY * models[0].score(X_test, y_test)


# What cannot be


class Scattered:
    """Adversary that does not keep its promise."""

    def __init__(self, rows, loss=lambda loss: (loss, {})):
        self.rows = rows
        self.spoil = loss

    def perturb(self, outputs, X, y, generator):
        return self.rows(X)

    def loss(self, logits, perturbed, y, weight):
        return self.spoil(cross_entropy(logits, y, weight))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"penalty": "uniform_confidence", "unlabeled": None},
            "has none of its anchors .'unlabeled',.: unlabeled ones",
        ),
        ({"penalty": "uniform_confidence", "n_unlabeled": 0}, "has none of its anchors .'unlabeled',.: unlabeled"),
        ({"penalty": Smoothness(("adversarial",))}, "has none of its anchors .*adversarial ones an adversary"),
        (
            {"penalty": "jacobian", "net_params": {"compile": True}},
            r"penalty=Jacobian\(\) differentiates the network twice",
        ),
        ({"penalty": Jacobian(0)}, "n_projections=0 is no number of projections"),
        ({"adversary": PGD([0.1, 0.2])}, "has 2 values for 4 features"),
        ({"adversary": "bim"}, "adversary='bim' is not an adversary"),
        ({"neighbors": WorstDirection(0)}, "n_steps=0 is no number of steps"),
        ({"mixup": -1}, "The 'mixup' parameter"),
        ({"label_smoothing": 1.0}, "The 'label_smoothing' parameter"),
        ({"augmentation": "flip"}, "augmentation='flip' is not a transform: use"),
        ({"noise_layer": 3}, "The 'noise_layer' parameter"),
        ({"adversary": Scattered(lambda X: X[:3])}, r"returned \(3, 4\) for rows of .*: its method perturb must"),
        ({"adversary": Scattered(lambda X: None)}, "adversary=.* returned NoneType for rows of shape"),
        (
            {"adversary": Scattered(lambda X: X.add_(1))},
            "adversary=.* changed the rows that its method perturb was giv",
        ),
        ({"adversary": Scattered(lambda X: X, lambda loss: loss)}, "adversary=.* returned no loss with its terms: its"),
        ({"adversary": Scattered(lambda X: X, lambda loss: (loss[None], {}))}, "must return a tensor of shape .. and"),
        ({"adversary": Scattered(lambda X: X, lambda loss: (loss, {"term": 1.0}))}, "a dict of such tensors, the ter"),
        ({"adversary": Scattered(lambda X: X, lambda loss: (loss, loss))}, "returned no loss with its terms"),
        ({"penalty": lambda anchors, logits, neighborhood: 3.0}, "penalty=.* returned 3.0: it must return a tensor"),
        ({"penalty": lambda anchors, logits, neighborhood: logits[0]}, r"returned a tensor of shape \(3,\): it must"),
    ],
)
def test_what_cannot_be_trained(quick, blobs, params, message):
    clf = quick(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(*blobs)
    assert not hasattr(clf, "net_")
