"""Wrong input: one clear sentence each, and a classifier that a failed call leaves as it was."""

import math
import pickle
import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skrobust import _callbacks
from skrobust.adversary import PGD, MultiplePerturbations
from skrobust.penalties import Smoothness, UniformConfidence
from skrobust.unlabeled import Gaussian, Uniform

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4))
Y = np.arange(12) % 3
IMAGES = RNG.normal(size=(12, 4, 4))


def spoiled(value, dtype=None):
    wrong = X.astype(dtype or X.dtype)
    wrong[3, 1] = value
    return wrong


DATA = {
    "NaN": (spoiled(np.nan), Y, {}, "Input X contains NaN"),
    "infinity": (spoiled(np.inf), Y, {}, "Input X contains infinity"),
    "NaN in images": (np.full((12, 2, 2), np.nan), Y, {}, "Input X contains NaN"),
    "complex": (X + 1j, Y, {}, "Complex data not supported"),
    "complex images": (IMAGES + 1j, Y, {}, "Complex data not supported"),
    "objects": (spoiled(None, object), Y, {}, "Input X contains NaN"),
    "words": (spoiled("red", object), Y, {}, "could not convert string to float: 'red'"),
    "sparse": (scipy.sparse.csr_array(X), Y, {}, "Sparse data was passed"),
    "no rows": (X[:0], Y[:0], {}, r"Found array with 0 sample\(s\)"),
    "no columns": (X[:, :0], Y, {}, r"0 feature\(s\)"),
    "one dimension": (X[:, 0], Y, {}, "Expected 2D array, got 1D array instead"),
    "five dimensions": (X.reshape(12, 1, 1, 2, 2), Y, {}, "Found array with dim 5"),
    "lengths": (X, Y[:-1], {}, "inconsistent numbers of samples"),
    "one class": (X, np.zeros(12), {}, "y has only one class, .*0.*: a classifier needs at least two classes"),
    "continuous y": (X, X[:, 0], {}, "Unknown label type: continuous"),
    "y in columns": (X, np.eye(3)[Y][:, :2], {}, r"y should be a 1d array, got an array of shape \(12, 2\)"),
    "NaN in y": (X, np.where(Y == 0, np.nan, Y), {}, "Input y contains NaN"),
    "no y": (X, None, {}, "requires y to be passed, but the target y is None"),
    "negative weights": (X, Y, {"sample_weight": -np.ones(12)}, "Negative values in data passed to `sample_weight`"),
    "no weight": (
        X,
        Y,
        {"sample_weight": np.zeros(12)},
        "at least one non-zero number|no labeled row of positive weight",
    ),
    "NaN weights": (X, Y, {"sample_weight": np.full(12, np.nan)}, "Input sample_weight contains NaN"),
    "weights": (X, Y, {"sample_weight": np.ones(5)}, r"sample_weight.shape == \(5,\), expected \(12,\)"),
    "one class with weight": (X, Y, {"sample_weight": Y == 2}, "y has only one class, .*2.*: a classifier needs"),
    "X_unlabeled of another width": (
        X,
        Y,
        {"X_unlabeled": np.zeros((5, 3))},
        r"X_unlabeled has 3 features, but X has 4: give both the same columns .* transform_input=\['X_unlabeled'\]",
    ),
    "NaN in X_unlabeled": (X, Y, {"X_unlabeled": spoiled(np.nan)[:5]}, "Input X_unlabeled contains NaN"),
    "sparse X_unlabeled": (X, Y, {"X_unlabeled": scipy.sparse.csr_array(X)}, "Sparse data was passed"),
    "complex X_unlabeled": (X, Y, {"X_unlabeled": X[:5] + 1j}, "Complex data not supported"),
    "one-dimensional X_unlabeled": (X, Y, {"X_unlabeled": X[0]}, "Expected 2D array, got 1D array instead"),
    "images and X_unlabeled of another shape": (
        IMAGES,
        Y,
        {"X_unlabeled": np.zeros((5, 2, 8))},
        r"X_unlabeled has images of shape \(1, 2, 8\), but X has images of shape \(1, 4, 4\): give the same shape",
    ),
}


@pytest.mark.parametrize(("X", "y", "others", "message"), DATA.values(), ids=DATA)
def test_wrong_data(quick, X, y, others, message):
    with pytest.raises((ValueError, TypeError), match=message):
        quick().fit(X, y, **others)


def test_no_labeled_rows(quick):
    message = r"y has no labeled row of positive weight: label some rows with anything but unlabeled_label=-1"
    with pytest.raises(ValueError, match=message):
        quick(unlabeled_label=-1).fit(X, np.full(12, -1))


@pytest.mark.parametrize(
    ("X", "image_shape", "message"),
    [
        (X, (3, 3), r"image_shape=\(3, 3\) has 9 pixels, but X has 4 features: set image_shape to \(height, width\)"),
        (X.tolist(), (3, 3), r"image_shape=\(3, 3\) has 9 pixels, but X has 4 features: set image_shape to"),
        (X, (1, 2, 3), r"image_shape=\(1, 2, 3\) has 6 pixels, but X has 4 features"),
        (X, (4,), r"image_shape=\(4,\) is not a shape of images: use \(height, width\) or \(channels, height, width\)"),
        (X, (), r"image_shape=\(\) is not a shape of images"),
        (X, (1, 1, 2, 2), r"image_shape=\(1, 1, 2, 2\) is not a shape of images"),
        (X, (-2, -2), r"image_shape=\(-2, -2\) is not a shape of images"),
        (X, (0, 4), r"image_shape=\(0, 4\) is not a shape of images"),
        (X, (2.0, 2.0), r"image_shape=\(2.0, 2.0\) is not a shape of images"),
        (X, ("2", "2"), r"image_shape=\('2', '2'\) is not a shape of images"),
        (X, 4, "The 'image_shape' parameter .* must be an array-like or None. Got 4"),
        (IMAGES, (2, 8), r"image_shape=\(2, 8\) does not match X of shape \(12, 4, 4\): leave image_shape=None"),
        (IMAGES, (3, 4, 4), r"image_shape=\(3, 4, 4\) does not match X of shape \(12, 4, 4\)"),
        (IMAGES[:, :0], None, r"image_shape=\(0, 4\) is not a shape of images"),
    ],
)
def test_wrong_image_shapes(quick, X, image_shape, message):
    with pytest.raises(ValueError, match=message):
        quick(image_shape=image_shape).fit(X, Y)


def test_the_same_pixels_in_another_shape_are_other_images(quick):
    clf = quick(warm_start=True).fit(IMAGES, Y)
    other = IMAGES.reshape(12, 2, 8)
    message = r"X has images of shape \(1, 2, 8\), but the classifier was fitted on images of shape \(1, 4, 4\)"
    for call in (clf.predict, clf.predict_proba, clf.decision_function):
        with pytest.raises(ValueError, match=message):
            call(other)
    for call in (clf.fit, clf.partial_fit):
        with pytest.raises(ValueError, match=message):
            call(other, Y)


def test_lenet_wants_images_of_some_size(quick):
    message = r"module='lenet' needs images, got rows of 4 features: give X as .*image_shape"
    with pytest.raises(ValueError, match=message):
        quick(module="lenet").fit(X, Y)
    with pytest.raises(ValueError, match=r"LeNet needs images of at least 4 x 4 pixels, got \(1, 2, 2\)"):
        quick(module="lenet", image_shape=(2, 2)).fit(X, Y)


NONNEGATIVE = ["smoothness", "n_unlabeled", "weight_decay", "tol"]
POSITIVE = ["unlabeled_radius", "neighbor_radius", "lr"]
COUNTS = ["n_neighbors", "max_epochs", "batch_size", "n_iter_no_change"]
WRONG_NUMBERS = [
    *((name, value) for name in NONNEGATIVE for value in (-1, -1e-9, math.inf, math.nan, "1", None)),
    *((name, value) for name in POSITIVE for value in (0, -1.0, math.inf, math.nan, "1", None)),
    *((name, value) for name in COUNTS for value in (0, -1, 1.5, math.inf, math.nan, "1", None)),
    *(("validation_fraction", value) for value in (0, 1, -0.1, 1.5, 2, math.inf, math.nan, "0.1", None)),
    *(("verbose", value) for value in (-1, 1.5, math.nan)),
    *(("random_state", value) for value in (-1, 1.5, math.nan, "seed")),
]


@pytest.mark.parametrize(("name", "value"), WRONG_NUMBERS)
def test_wrong_numbers(quick, name, value):
    message = rf"The '{name}' parameter of OffSupportRobustClassifier must be .*Got {re.escape(repr(value))} instead"
    for call in (quick(**{name: value}).fit, quick(**{name: value}).partial_fit):
        with pytest.raises(ValueError, match=message):
            call(X, Y)


@pytest.mark.parametrize("value", [0, -3, (0,), (8, -1), (1.5,), ("8",), (8, None)])
def test_wrong_layer_sizes(quick, value):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes.* must be"):
        quick(hidden_layer_sizes=value).fit(X, Y)


CHOICES = {
    "module name": (
        {"module": "perceptron"},
        ValueError,
        r"module='perceptron' is unknown: use one of \['lenet', 'mlp'",
    ),
    "module": ({"module": 3}, ValueError, "The 'module' parameter .* must be .* Got 3"),
    "unlabeled name": ({"unlabeled": "gauss"}, ValueError, "unlabeled='gauss' is not a sampler: use one of"),
    "unlabeled": ({"unlabeled": Uniform}, ValueError, "unlabeled=<class .*Uniform'> is not a sampler"),
    "neighbors name": ({"neighbors": "nearest"}, ValueError, "neighbors='nearest' is not a sampler: use one of"),
    "no neighbors": ({"neighbors": None}, ValueError, "neighbors=None leaves nothing to compare .* use penalty=None"),
    "penalty name": ({"penalty": "smooth"}, ValueError, "penalty='smooth' is not a penalty: use one of"),
    "penalty": ({"penalty": Gaussian()}, ValueError, r"penalty=Gaussian\(\) is not a penalty"),
    "optimizer name": (
        {"optimizer": "lbfgs"},
        ValueError,
        r"optimizer='lbfgs' is unknown: use one of \['adam', 'adamw'",
    ),
    "optimizer": ({"optimizer": len}, ValueError, "optimizer=<built-in function len> is unknown: use one of"),
    "schedule": ({"lr_schedule": "cyclic"}, ValueError, "The 'lr_schedule' parameter .* must be a str among"),
    "noise units": ({"noise_units": "iqr"}, ValueError, "The 'noise_units' parameter .* must be a str among"),
    "dtype": ({"dtype": "float16"}, ValueError, "The 'dtype' parameter .* must be a str among"),
    "adversary": ({"adversary": "bim"}, ValueError, "adversary='bim' is not an adversary: use one of"),
    "class weight": ({"class_weight": "even"}, ValueError, "The 'class_weight' parameter .* must be"),
    **{
        f"class weight {weights}": (
            {"class_weight": weights},
            ValueError,
            r"class_weight=\{0: .*\} must be finite numbers that are not negative, one of them positive",
        )
        for weights in ({0: -1}, {0: math.nan}, {0: math.inf}, {0: 0, 1: 0, 2: 0})
    },
    "device": ({"device": "gpu"}, ValueError, "device='gpu' cannot be used here: .* Use device='auto'"),
    "scoring": (
        {"scoring": "score", "early_stopping": True, "validation_fraction": 0.5},
        ValueError,
        "'score' is not a valid scoring value",
    ),
    "hold-out": (
        {"early_stopping": True, "validation_fraction": 0.1},
        ValueError,
        r"validation_fraction=0.1 holds out 2 of 12 rows, but both parts need a row of each of the 3 classes: change",
    ),
    "too large a hold-out": (
        {"early_stopping": True, "validation_fraction": 0.9},
        ValueError,
        r"validation_fraction=0.9 holds out 11 of 12 rows, but both parts need a row of each of the 3 classes",
    ),
    "net_params": ({"net_params": ["lr"]}, ValueError, "The 'net_params' parameter .* must be"),
    "own name in net_params": (
        {"net_params": {"lr": 0.1}},
        ValueError,
        "net_params has 'lr', which is not for skorch: use",
    ),
    "unknown name": (
        {"net_params": {"module_width": 3}},
        ValueError,
        "net_params has 'module_width', which is not for",
    ),
    "unknown prefix": ({"net_params": {"criterion__weight": 3}}, ValueError, "names that begin with one of module__,"),
    "module parameter": (
        {"net_params": {"module__depth": 3}},
        TypeError,
        r"module__depth is no parameter of module='mlp': use one of \['module__n_features', .*'module__activation', "
        r"'module__normalization'\], or another module",
    ),
    "optimizer parameter": ({"net_params": {"optimizer__beta": 3}}, TypeError, "unexpected keyword argument 'beta'"),
    "iterator parameter": (
        {"net_params": {"iterator_train__num_workers": 3}},
        TypeError,
        r"iterator_train__num_workers in net_params is no parameter of the iterator .*: use one of "
        r"\['iterator_train__batch_size', 'iterator_train__shuffle', 'iterator_train__drop_last'\]",
    ),
    "source of the order": (
        {"net_params": {"iterator_train__generator": torch.Generator()}},
        TypeError,
        "iterator_train__generator in net_params is no parameter of the iterator",
    ),
    "iterator parameter of held-out rows": (
        {"net_params": {"iterator_valid__pin_memory": True}},
        TypeError,
        r"iterator_valid__pin_memory in net_params is no parameter .* use one of \['iterator_valid__batch_size', ",
    ),
    "batch size of held-out rows": (
        {"net_params": {"iterator_valid__batch_size": 0}},
        ValueError,
        "iterator_valid__batch_size=0 in net_params must be a positive integer",
    ),
    "callback": (
        {"net_params": {"callbacks__clip__value": 3}},
        ValueError,
        r"callbacks__clip__value in net_params names no callback: use one of \['learning_rate', 'timer'\]",
    ),
    "no callback": ({"callbacks": [3]}, ValueError, "callbacks has 3, which is not a callback: use instances or"),
    "no named callback": (
        {"callbacks": [("a", "b")]},
        ValueError,
        r"callbacks has \('a', 'b'\), which is not a callback",
    ),
    "two learning rates": (
        {"lr": 0.01, "net_params": {"optimizer__lr": 0.1}},
        ValueError,
        r"lr=0.01 and optimizer__lr=0.1 in net_params contradict each other: set lr alone",
    ),
    "two weight decays": (
        {"weight_decay": 0.01, "net_params": {"optimizer__weight_decay": 0.1}},
        ValueError,
        r"weight_decay=0.01 and optimizer__weight_decay=0.1 in net_params contradict each other: set weight_decay",
    ),
    "two batch sizes": (
        {"batch_size": 8, "net_params": {"iterator_train__batch_size": 16}},
        ValueError,
        r"batch_size=8 and iterator_train__batch_size=16 in net_params contradict each other: set batch_size alone",
    ),
    "parameter of an instance": (
        {"module": nn.Linear(4, 3), "net_params": {"module__bias": False}},
        ValueError,
        "module__bias has no effect on a module instance: pass the class Linear instead",
    ),
}


@pytest.mark.parametrize(("params", "error", "message"), CHOICES.values(), ids=CHOICES)
def test_wrong_choices(quick, params, error, message):
    clf = quick(**params)
    with pytest.raises(error, match=message):
        clf.fit(X, Y)
    assert_not_fitted(clf)


class Samples:
    """Sampler that spoils what it returns."""

    def __init__(self, spoil):
        self.spoil = spoil

    def __repr__(self):
        return "Samples()"

    def sample(self, X, support, radius, generator):
        return self.spoil(X + 1)


@pytest.mark.parametrize("parameter", ["unlabeled", "neighbors"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda points: points[:, :3], r"returned \(\d+, 3\) for rows of shape \(\d+, 4\): its method sample must"),
        (lambda points: points[:5], r"returned \(5, 4\) for rows of shape \(\d+, 4\): its method sample must"),
        (lambda points: points[0], r"returned \(4,\) for rows of shape \(\d+, 4\): its method sample must return"),
        (lambda points: points.numpy(), r"returned ndarray for rows of shape .* return a tensor with one point for"),
        (lambda points: None, "returned NoneType for rows of shape"),
        (lambda points: points * math.nan, "returned points that are not finite: mend its method sample"),
        (lambda points: points * math.inf, "returned points that are not finite: mend its method sample"),
    ],
    ids=["width", "rows", "one", "array", "none", "nan", "infinity"],
)
def test_samplers_that_return_no_points(quick, parameter, spoil, message):
    clf = quick(**{parameter: Samples(spoil)})
    with pytest.raises(ValueError, match=rf"{parameter}=Samples\(\) {message}"):
        clf.fit(X, Y)
    assert_not_fitted(clf)


class Drawn:
    """Sampler of the user, in another type than that of the rows or in place."""

    def __init__(self, draw):
        self.draw = draw

    def sample(self, X, support, radius, generator):
        return self.draw(X, radius * support.unit * torch.randn(X.shape, generator=generator, dtype=X.dtype))


@pytest.mark.parametrize("noise_layer", [None, "1"])
@pytest.mark.parametrize("parameter", ["unlabeled", "neighbors"])
def test_samplers_may_draw_in_another_type(quick, parameter, noise_layer):
    rows, expected, double = (
        X.astype(np.float32),
        *(Drawn(draw) for draw in (lambda X, noise: X + noise, lambda X, noise: X.double() + noise)),
    )
    made = [
        quick(noise_layer=noise_layer, **{parameter: it}).fit(rows, Y).predict_proba(rows) for it in (expected, double)
    ]
    np.testing.assert_allclose(*made, atol=1e-5)


@pytest.mark.parametrize("noise_layer", [None, "1"])
def test_samplers_that_change_the_rows_of_the_batch(quick, noise_layer):
    clf, kept = quick(unlabeled=Drawn(lambda X, noise: X.add_(noise)), noise_layer=noise_layer), X.copy()
    with pytest.raises(
        ValueError, match=r"unlabeled=.* changed the rows that its method sample was given, .*X \+ noise"
    ):
        clf.fit(X, Y)
    np.testing.assert_array_equal(X, kept)


@pytest.mark.parametrize("noise_layer", [None, "1"])
def test_samplers_that_are_wrong_from_some_call_on(quick, noise_layer):
    clf = quick(noise_layer=noise_layer).partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(
        ValueError, match=r"unlabeled=.* returned \(5, \d+\) for rows of shape .*: its method sample must"
    ):
        clf.set_params(unlabeled=Drawn(lambda X, noise: X[:5])).partial_fit(X, Y)


class Log(nn.Module):
    """Logarithms, also of what has none."""

    def forward(self, X):
        return X.log()


class Codes(nn.Module):
    """Embedding of codes that come as numbers."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)

    def forward(self, X):
        return self.embedding(X.long()).flatten(1)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: nn.Sequential(Log(), nn.Linear(4, 3)), r"module Sequential returns NaN for rows of X: look where it"),
        (lambda: nn.Linear(4, 3).requires_grad_(False), r"module Linear has no parameter to train: leave some with"),
        (nn.Identity, r"module Identity has no parameter to train"),
    ],
    ids=["nan", "frozen", "none"],
)
def test_networks_that_cannot_learn(quick, network, message):
    clf = quick(module=network)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert_not_fitted(clf)


def test_codes_have_no_points_around_them(quick):
    codes = np.random.default_rng(0).integers(5, size=(90, 4)).astype(np.float32)
    y = (codes[:, 0] > 2).astype(int)

    def network():
        return nn.Sequential(Codes(), nn.Linear(12, 2))

    message = "fails at points around the rows of X, which penalty='smoothness' asks about .IndexError: index out of"
    with pytest.raises(ValueError, match=message):
        quick(module=network).fit(codes, y)
    for params in ({"smoothness": 0}, {"noise_layer": "0"}):
        assert quick(module=network, max_epochs=60, lr=0.02, **params).fit(codes, y).score(codes, y) > 0.9


def test_values_beyond_the_type(quick):
    clf = quick(dtype="float32")
    with pytest.raises(ValueError, match=r"X has values up to \d.*e\+39, more than torch.float32 holds: scale it"):
        clf.fit(X * 1e39, Y)
    assert_not_fitted(clf)


def test_unlabeled_columns_in_another_order(quick):
    frame = pd.DataFrame(X, columns=list("abcd"))
    message = r"X_unlabeled has the columns \['d', .*'a'\], but X has \['a', .*'d'\]: give both the same columns in"
    with pytest.raises(ValueError, match=message):
        quick().fit(frame, Y, X_unlabeled=frame[["d", "c", "b", "a"]][:5])
    expected = quick().fit(X, Y, X_unlabeled=X[:5]).predict_proba(X)
    for first, second in ((frame, frame[:5]), (frame, X[:5]), (X, frame[:5])):
        clf = quick().fit(first, Y, X_unlabeled=second)
        np.testing.assert_array_equal(clf.predict_proba(first), expected)


class Interrupt(Callback):
    """Callback that does what Ctrl-C does, at the end of one batch."""

    def __init__(self, batch):
        self.batch = batch

    def initialize(self):
        self.n_batches_ = 0

    def on_batch_end(self, net, training=None, **kwargs):
        self.n_batches_ += bool(training)
        if self.n_batches_ == self.batch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_interrupt_in_the_first_epoch_leaves_nothing(quick, method, early_stopping):
    clf = quick(batch_size=2, callbacks=[Interrupt(2)], early_stopping=early_stopping, validation_fraction=0.5)
    with pytest.raises(KeyboardInterrupt):
        getattr(clf, method)(X, Y, **({} if method == "fit" else {"classes": [0, 1, 2]}))
    assert_not_fitted(clf)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_an_interrupt_in_a_later_epoch_keeps_the_whole_ones(quick, early_stopping):
    clf = quick(
        batch_size=2,
        max_epochs=10,
        callbacks=[Interrupt(11 if early_stopping else 14)],
        early_stopping=early_stopping,
        validation_fraction=0.25,
    )
    with pytest.warns(UserWarning, match="Training was interrupted after 2 whole epochs: the network is kept"):
        clf.fit(X, Y)
    assert clf.n_iter_ == len(clf.history_) == len(clf.net_.history) == 2
    assert all({"train_loss", "lr", "dur"} <= set(epoch) for epoch in clf.history_)
    assert all(("valid_score" in epoch) == early_stopping for epoch in clf.history_)
    assert np.isfinite(clf.predict_proba(X)).all()
    clf.set_params(callbacks=None, warm_start=True)
    assert clf.fit(X, Y).n_iter_ == 12


def test_an_interrupted_chunk_leaves_the_epochs_before_it(quick):
    clf = quick(batch_size=4).partial_fit(X, Y, classes=[0, 1, 2])
    clf.set_params(callbacks=[Interrupt(2)])
    with pytest.warns(UserWarning, match="Training was interrupted after 1 whole epochs"):
        clf.partial_fit(X, Y)
    assert clf.n_iter_ == len(clf.history_) == 1
    assert clf.set_params(callbacks=None).partial_fit(X, Y).n_iter_ == 2


def test_callbacks_of_skorch_that_end_training_warn_of_nothing(quick):
    stop = EarlyStopping(monitor="lr", patience=2, sink=str)  # the rate does not fall
    clf = quick(max_epochs=10, lr_schedule="constant", callbacks=[stop]).fit(X, Y)  # warnings are errors
    assert clf.n_iter_ == 3
    assert set(clf.history_[-1]) >= {"train_loss", "lr", "dur"}


def test_the_progress_bar_is_closed_when_training_fails(quick, monkeypatch):
    bars = []

    class Bar(_callbacks.tqdm.tqdm):
        def __init__(self, *args, **kwargs):
            bars.append(self)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(_callbacks.tqdm, "tqdm", Bar)
    with pytest.raises(RuntimeError, match="broken"):
        breaking(quick, 5, RuntimeError("broken"), verbose=1).fit(X, Y)
    assert [bar.disable for bar in bars] == [True], "tqdm disables a bar when it closes it"
    assert bars[0].n == 1


def assert_not_fitted(clf):
    assert not [name for name in vars(clf) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        clf.predict(X)


@pytest.mark.parametrize("name", ["unlabeled__enlarge", "penalty__weight", "neighbors__scale", "adversary__eps"])
def test_nested_parameters_need_an_object(quick, name):
    owner = name.split("__")[0]
    with pytest.raises(ValueError, match=rf"{name} cannot be set on {owner}=.*: give {owner} an object that has"):
        quick().set_params(**{name: 1.0})


def test_members_of_a_list_are_set_as_a_whole(quick):
    several = quick(adversary=MultiplePerturbations([PGD()]))
    message = r"adversary__adversaries__0__eps cannot be set on adversary__adversaries=\[PGD\(\)\]: .* as a whole"
    with pytest.raises(ValueError, match=message):
        several.set_params(adversary__adversaries__0__eps=0.2)
    with pytest.raises(ValueError, match="Invalid parameter 'others' for estimator MultiplePerturbations"):
        several.set_params(adversary__others__0=0.2)
    assert several.set_params(adversary__adversaries=[PGD(0.2)]).adversary.adversaries[0].eps == 0.2


@pytest.mark.parametrize("size", [0, -1, 2.5, "all"])
def test_a_batch_size_named_as_skorch_does_is_checked(quick, size):
    with pytest.raises(ValueError, match=f"iterator_train__batch_size={size!r} in net_params must be a positive"):
        quick(net_params={"iterator_train__batch_size": size}).fit(X, Y)


@pytest.mark.parametrize("params", [{"epochs": 3}, {"unlabeled": Uniform(), "unlabeled__width": 3}, {"net__x": 1}])
def test_unknown_parameters(quick, params):
    with pytest.raises(ValueError, match=r"Invalid parameter '(epochs|width|net)' for estimator"):
        quick().set_params(**params)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_before_fit(quick, method):
    with pytest.raises(NotFittedError, match="This OffSupportRobustClassifier instance is not fitted yet"):
        getattr(quick(), method)(X)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (spoiled(np.nan), "Input X contains NaN"),
        (X[:, :3], "X has 3 features, but OffSupportRobustClassifier is expecting 4 features"),
        (X + 1j, "Complex data not supported"),
        (scipy.sparse.csr_array(X), "Sparse data was passed"),
    ],
)
def test_wrong_data_for_predictions(quick, wrong, message):
    clf = quick().fit(X, Y)
    for method in ("predict", "predict_proba", "decision_function"):
        with pytest.raises((ValueError, TypeError), match=message):
            getattr(clf, method)(wrong)


def test_partial_fit_needs_the_classes_first(quick):
    with pytest.raises(ValueError, match="classes=None in the first call of partial_fit: pass every class there will"):
        quick().partial_fit(X, Y)


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (
            Y + 1,
            None,
            r"y has labels \[3\] that are not among the classes \[0, 1, 2\]: name every class in the first call",
        ),
        (Y, [0, 1, 3], r"classes=\[0, 1, 3\] differ from those of the first call, \[0, 1, 2\]: leave classes out"),
        (Y.astype(str), None, r"y has labels \['0', '1', '2'\] that are not among the classes"),
    ],
)
def test_partial_fit_refuses_new_classes(quick, y, classes, message):
    clf = quick().partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, y, classes=classes)


def test_partial_fit_wants_two_classes_and_their_weights_in_advance(quick):
    with pytest.raises(ValueError, match=r"y has only one class, .*0.*: a classifier needs at least two"):
        quick().partial_fit(X, 0 * Y, classes=[0])
    message = r"class_weight='balanced' is unknown to partial_fit, .* set class_weight to a dict"
    with pytest.raises(ValueError, match=message):
        quick(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


def test_warm_start_refuses_other_classes_and_widths(quick):
    clf = quick(warm_start=True).fit(X, Y)
    with pytest.raises(
        ValueError, match=r"y has labels \[3\] that are not among the classes \[0, 1, 2\]: .* or fit anew"
    ):
        clf.fit(X, Y + 1)
    with pytest.raises(ValueError, match="X has 3 features, but OffSupportRobustClassifier is expecting 4"):
        clf.fit(X[:, :3], Y)


class Returns(nn.Module):
    """Network that returns something other than logits."""

    def __init__(self, in_features, n_classes, what):
        super().__init__()
        self.layer, self.what = nn.Linear(in_features, n_classes), what

    def forward(self, X):
        logits = self.layer(X)
        match self.what:
            case "an error":
                return logits @ logits
            case "a tuple":
                return logits, None
            case "a tuple in training":
                return (logits, logits) if self.training else logits
            case "probabilities":
                return logits.softmax(dim=1)
            case "one output":
                return logits[:, 0]
        return logits[:, :2]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "an error",
            r"module Returns failed on rows of shape \(8, 4\): RuntimeError: .* Fit its input size with module__",
        ),
        ("a tuple", r"module Returns must return one logit for each of 3 classes, shape \(8, 3\), got tuple: return"),
        ("a tuple in training", r"got tuple in training mode: return the logits alone"),
        ("probabilities", "module Returns returns probabilities .*: remove the softmax at its end"),
        ("one output", r"module Returns must return one logit .* got \(8,\): set its number of outputs to 3"),
        ("two outputs", r"module Returns must return one logit .* got \(8, 2\): set its number of outputs to 3"),
    ],
)
def test_networks_that_return_no_logits(quick, what, message):
    clf = quick(module=Returns, net_params={"module__what": what})
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert_not_fitted(clf)


class Stepped(nn.Module):
    """Network whose gradient with respect to its input is missing, or 0."""

    def __init__(self, in_features, n_classes, step):
        super().__init__()
        self.hidden, self.last, self.step = nn.Linear(in_features, 8), nn.Linear(8, n_classes), step

    def forward(self, X):
        if self.step == "round":
            return self.last(self.hidden(torch.round(4 * X) / 4).tanh())
        with torch.no_grad():
            hidden = self.hidden(X).tanh()
        return self.last(hidden)


FOLLOWERS = [
    *[{"penalty": name} for name in ("jacobian", "input_gradient", "curvature", "virtual_adversarial")],
    {"penalty": UniformConfidence(n_steps=1), "unlabeled": "uniform"},
    {"adversary": "pgd"},
    {"adversary": MultiplePerturbations(["fgsm"])},
    {"neighbors": "adversarial"},
]


@pytest.mark.parametrize("params", FOLLOWERS, ids=str)
def test_networks_without_a_gradient_are_refused_where_it_is_followed(quick, params):
    clf = quick(module=Stepped, net_params={"module__step": "no_grad"}, **params)
    message = rf"module Stepped returns logits without a gradient .* needed by {next(iter(params))}=.*: freeze .*or use"
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert_not_fitted(clf)


@pytest.mark.parametrize("params", FOLLOWERS, ids=str)
def test_gradients_of_zero_are_warned_about_once_where_they_are_followed(quick, params):
    clf = quick(module=Stepped, net_params={"module__step": "round"}, **params)
    message = (
        rf"module Stepped has a gradient of exactly 0 .* follow for {next(iter(params))}=.*: leave out what rounds"
    )
    with pytest.warns(UserWarning, match=message) as raised:
        clf.fit(X, Y)
    assert [warning.filename for warning in raised] == [__file__]


@pytest.mark.parametrize("step", ["no_grad", "round"])
@pytest.mark.parametrize("params", [{}, {"penalty": "stability"}, {"penalty": None}], ids=str)
def test_what_follows_no_gradient_needs_none(quick, step, params):
    quick(module=Stepped, net_params={"module__step": step}, **params).fit(X, Y)  # warnings are errors


def test_a_last_layer_that_begins_at_zero_has_its_gradients_later(quick):
    network = nn.Linear(4, 3)
    nn.init.zeros_(network.weight)
    quick(module=network, penalty="jacobian").fit(X, Y)  # warnings are errors


class BatchNormalized(nn.Sequential):
    def __init__(self, in_features, n_classes, layer):
        super().__init__(nn.Linear(in_features, 8), layer, nn.Linear(8, n_classes))


class OverTheBatch(nn.Module):
    def forward(self, X):
        return X - X.mean(dim=0)


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(8, track_running_stats=False), OverTheBatch()], ids=["fails", "moves"]
)
def test_answers_that_depend_on_the_batch_are_warned_about(quick, layer):
    clf = quick(module=BatchNormalized, net_params={"module__layer": layer})
    with pytest.warns(
        UserWarning, match=r"module BatchNormalized answers a row alone otherwise .*track_running"
    ) as raised:
        clf.fit(X, Y)
    assert [warning.filename for warning in raised] == [__file__]


class AlwaysDrops(nn.Module):
    def forward(self, X):
        return nn.functional.dropout(X, 0.5)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(8), nn.LayerNorm(8), AlwaysDrops()], ids=lambda x: type(x).__name__)
def test_rows_of_their_own_and_random_answers_are_not_taken_for_dependent_ones(quick, layer):
    quick(module=BatchNormalized, net_params={"module__layer": layer}).fit(X, Y)  # warnings are errors


@pytest.mark.parametrize("module", [lambda: "no network", lambda: nn.Linear])
def test_factories_that_make_no_module(quick, module):
    with pytest.raises(TypeError, match=r"module=.* must make a torch\.nn\.Module, got"):
        quick(module=module).fit(X, Y)


class Breaks(nn.Module):
    """Linear network whose training passes end in `outcome` from number `at` on."""

    def __init__(self, in_features, n_classes, at, outcome):
        super().__init__()
        self.layer, self.at, self.outcome, self.n_passes = nn.Linear(in_features, n_classes), at, outcome, 0

    def forward(self, X):
        logits = self.layer(X)
        if not self.training:
            return logits
        self.n_passes += 1
        if self.n_passes < self.at:
            return logits
        if isinstance(self.outcome, float):
            return logits * self.outcome
        raise self.outcome


def breaking(quick, at, outcome, **params):
    """Return a classifier whose training breaks in pass number `at`; an epoch of 12 rows has 3 passes."""
    return quick(
        module=Breaks,
        net_params={"module__at": at, "module__outcome": outcome},
        **{"batch_size": 4, "max_epochs": 4, **params},
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("params", "remedy"),
    [({}, "lower lr or smoothness, or scale X"), ({"smoothness": 0}, "lower lr, or scale X")],
    ids=["off-support", "plain"],
)
def test_a_loss_that_breaks_keeps_the_weights_of_the_last_good_epoch(quick, value, params, remedy):
    clf = breaking(quick, 8, value, lr=0.05, lr_schedule="constant", **params)
    message = rf"cross_entropy became non-finite in epoch 3 with lr=0.05: {remedy} \(StandardScaler\)"
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    good = breaking(quick, 100, value, lr=0.05, lr_schedule="constant", **{**params, "max_epochs": 2}).fit(X, Y)
    np.testing.assert_array_equal(clf.predict_proba(X), good.predict_proba(X))
    assert clf.classes_.tolist() == [0, 1, 2]
    assert np.isfinite(clf.history_[1]["train_loss"])
    assert not np.isfinite(clf.history_[2]["train_loss"])
    pickle.loads(pickle.dumps(clf)).predict(X)


def test_a_loss_that_breaks_at_once_leaves_nothing(quick):
    clf = breaking(quick, 2, math.nan, lr=0.01)
    with pytest.raises(ValueError, match=r"cross_entropy became non-finite in epoch 1 with lr=0\.01: lower lr"):
        clf.fit(X, Y)
    assert_not_fitted(clf)


def test_too_large_a_smoothness_is_named(quick):
    with pytest.raises(ValueError, match=r"loss became non-finite in epoch 1 with lr=0\.01: lower lr or smoothness"):
        quick(smoothness=1e300, lr=0.01, dtype="float32").fit(X, Y)


def test_too_large_a_learning_rate_is_named_even_if_only_the_weights_broke(quick):
    with pytest.raises(ValueError, match=r"weights became non-finite in epoch 1 with lr=1e\+300: lower lr, or scale X"):
        quick(lr=1e300, optimizer="sgd", dtype="float32").fit(100 * X, Y)


def test_out_of_memory_names_batch_size_and_remedy(quick):
    clf = breaking(quick, 2, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."))
    message = r"ran out of memory with batch_size=4: lower batch_size, n_unlabeled or n_neighbors"
    with pytest.raises(MemoryError, match=message):
        clf.fit(X, Y)
    assert_not_fitted(clf)


FAILURES = {
    "NaN in X": (spoiled(np.nan), Y, ValueError),
    "new class": (X, Y + 1, ValueError),
    "another width": (X[:, :3], Y, ValueError),
    "no rows": (X[:0], Y[:0], ValueError),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("X_wrong", "y", "error"), FAILURES.values(), ids=FAILURES)
def test_a_failure_leaves_a_fitted_classifier_as_it_was(quick, X_wrong, y, error, method):
    clf = quick(warm_start=True, unlabeled_radius=0.5).fit(X, Y)
    before = clf.predict_proba(X), dict(vars(clf))
    with pytest.raises(error):
        getattr(clf, method)(X_wrong, y)
    np.testing.assert_array_equal(clf.predict_proba(X), before[0])
    assert vars(clf) == before[1]
    assert len(clf.net_.history) == clf.n_iter_ == 3
    clf.partial_fit(X, Y)
    assert clf.n_iter_ == 4
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("outcome", [math.nan, RuntimeError("x"), torch.OutOfMemoryError(), KeyError("k")], ids=repr)
def test_a_failure_in_the_middle_takes_the_steps_before_it_back(quick, outcome, method):
    clf = breaking(quick, 5, outcome, lr=0.05, max_epochs=1, warm_start=True)  # breaks in step 2 of the second call
    clf.partial_fit(X, Y, classes=[0, 1, 2])
    before = clf.predict_proba(X), clf.data_scale_
    with pytest.raises((ValueError, RuntimeError, MemoryError, KeyError)):
        getattr(clf, method)(2 * X, Y)
    np.testing.assert_array_equal(clf.predict_proba(X), before[0])
    assert clf.data_scale_ == before[1]
    assert clf.n_iter_ == len(clf.history_) == len(clf.net_.history) == 1
    clf.net_.module_.at = 1000
    assert getattr(clf, method)(X, Y).n_iter_ == 2
    assert np.isfinite(clf.predict_proba(X)).all()


def test_a_failed_new_fit_leaves_the_old_one(quick):
    clf = quick().fit(X, Y)
    before = clf.predict_proba(X)
    clf.set_params(module=Breaks, net_params={"module__at": 1, "module__outcome": RuntimeError("broken")})
    with pytest.raises(RuntimeError, match="broken"):
        clf.fit(X, Y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


SPREAD = (
    r"The standard deviations of the columns of X go up to .* times their median.* put a StandardScaler .*noise_units"
)


def test_raw_tables_of_spread_scales_are_warned_about(quick):
    X, y = load_wine(return_X_y=True)
    with pytest.warns(UserWarning, match=SPREAD) as raised:
        quick(max_epochs=1).fit(X, y)
    with pytest.warns(UserWarning, match=SPREAD) as raised_partial:
        quick().partial_fit(X, y, classes=[0, 1, 2])
    assert [warning.filename for warning in (*raised, *raised_partial)] == [__file__] * 2


@pytest.mark.parametrize("params", [{"noise_units": "std"}, {"smoothness": 0}, {"penalty": None}], ids=str)
def test_spread_scales_are_fine_where_the_noise_suits_them(quick, params):
    quick(max_epochs=1, **params).fit(*load_wine(return_X_y=True))  # warnings are errors


def test_nothing_is_warned_about_behind_a_scaler_or_for_pixels(quick):
    make_pipeline(StandardScaler(), quick(max_epochs=1)).fit(*load_wine(return_X_y=True))
    digits, y = load_digits(return_X_y=True)
    for X in (digits, 255 * digits, digits.reshape(-1, 8, 8)):
        quick(max_epochs=1).fit(X[:200], y[:200])
    # Corners of real images hardly ever change; images are never warned about.
    images = np.zeros((20, 4, 4))
    images[:, 1:3, 1:3] = RNG.normal(size=(20, 2, 2))
    images[:, 0] = 1e-3 * RNG.normal(size=(20, 4))
    quick(max_epochs=1).fit(images, np.arange(20) % 2)


def test_as_many_unlabeled_rows_as_labeled_ones_are_warned_about(quick):
    message = r"X_unlabeled has as many rows as X \(12\): cross-validation takes such an array .* leave a row out"
    with pytest.warns(UserWarning, match=message) as raised:
        quick().fit(X, Y, X_unlabeled=X + 1)
    assert [warning.filename for warning in raised] == [__file__]
    quick().fit(X, Y, X_unlabeled=X[:-1] + 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_classifier_of_a_missing_device_predicts_on_the_cpu(quick):
    clf = quick().fit(X, Y)
    expected = clf.predict_proba(X)
    state = pickle.dumps(clf.set_params(device="cuda"))
    with pytest.warns(UserWarning, match=r"device='cuda' is not available here: predicting on the CPU"):
        loaded = pickle.loads(state)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    with pytest.raises(ValueError, match=r"device='cuda' cannot be used here: .* Use device='auto'"):
        loaded.fit(X, Y)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)


def test_penalty_objects_pass(quick):
    named, given, plain = (quick(penalty=penalty).fit(X, Y) for penalty in ("smoothness", Smoothness(), None))
    np.testing.assert_array_equal(given.predict_proba(X), named.predict_proba(X))
    assert not np.array_equal(given.predict_proba(X), plain.predict_proba(X))


def test_the_parameters_that_a_network_takes_are_named(quick):
    clf = quick().set_params(module__dropout=0.5)
    with pytest.raises(
        TypeError, match=r"module__dropout is no parameter of module='mlp': use one of .*'module__activ"
    ):
        clf.fit(X, Y)
    clf.set_params(module="wide_resnet", module__depth=10, module__width=1, max_epochs=1).fit(IMAGES, Y)
