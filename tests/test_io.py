"""Files without code: what is kept, what is refused, and what damage and malice can do."""

import collections
import errno
import io as streams
import json
import os
import random
import stat
import subprocess
import sys
import textwrap
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import sklearn
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from skorch.callbacks import GradientNormClipping
from torch import nn

from skrobust import OffSupportRobustClassifier, io
from skrobust.adversary import PGD
from skrobust.augment import Compose, RandomCrop, RandomHorizontalFlip
from skrobust.io import ModelFileError
from skrobust.penalties import Jacobian
from skrobust.unlabeled import FromGenerator, Uniform


class Linear(nn.Linear):
    """A user's own network."""

    def __init__(self, n_features, n_classes, activation=nn.Identity):
        super().__init__(n_features, n_classes)
        self.activation = activation()

    def forward(self, X):
        return super().forward(self.activation(X))


class Inherited(OffSupportRobustClassifier):
    """A class that load cannot know."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skrobust"


@pytest.fixture(scope="module")
def iris():
    X, y = sklearn.datasets.load_iris(return_X_y=True, as_frame=True)
    return X, y


@pytest.fixture(scope="module")
def saved(tmp_path_factory, iris):
    """Return the bytes of a saved Pipeline, rows, and its answers."""
    clf = OffSupportRobustClassifier(hidden_layer_sizes=(4,), max_epochs=2, random_state=0)
    pipe = make_pipeline(StandardScaler(), clf).fit(*iris)
    path = tmp_path_factory.mktemp("saved") / "model.skrobust"
    io.save(pipe, path)
    return path.read_bytes(), iris[0], pipe.predict_proba(iris[0])


def again(estimator, path, **params):
    io.save(estimator, path)
    return io.load(path, **params)


def assert_same(first, second, X):
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(first, method)(X), getattr(second, method)(X))


def parts_of(data):
    """Return the parts of a file: the content of its JSON, and its arrays."""
    with zipfile.ZipFile(streams.BytesIO(data)) as archive:
        return json.loads(archive.read("model.json")), safetensors.numpy.load(archive.read("arrays.safetensors"))


def write(path, content, arrays):
    """Write a file as save does, whatever is in it."""
    description = content if isinstance(content, bytes) else json.dumps(content).encode()
    io._container.write_members(path, description, safetensors.numpy.save(arrays))


# What is kept


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"unlabeled": Uniform(2.0), "penalty": Jacobian(2), "random_state": np.int64(3)},
        {"adversary": PGD(eps=0.1, norm=np.inf, max_iter=2), "class_weight": {0: 1, 1: 2.5, 2: np.float64(1)}},
        {"early_stopping": True, "scoring": "loss", "validation_fraction": 0.3, "n_iter_no_change": 1},
        {"module__activation": nn.Tanh, "optimizer": torch.optim.RMSprop, "optimizer__momentum": 0.5},
        {"dtype": "float32", "device": torch.device("cpu"), "smoothness": np.float32(0.25)},
        {"dtype": "bfloat16", "noise_units": "std", "hidden_layer_sizes": np.array([3, 2])},
        {"hidden_layer_sizes": 5, "unlabeled": None, "warm_start": True},
    ],
    ids=str,
)
def test_a_classifier_comes_back_as_it_was(quick, blobs, path, params):
    clf = quick().set_params(**params).fit(*blobs)
    loaded = again(clf, path)
    assert_same(loaded, clf, blobs[0])
    assert set(vars(loaded)) == set(vars(clf))
    assert loaded.history_ == clf.history_
    given, kept = clf.get_params(), loaded.get_params()
    assert set(given) == set(kept)
    for name, value in given.items():
        assert type(kept[name]) is type(value), name
        if not hasattr(value, "get_params"):
            assert np.all(kept[name] == value), name
    with pytest.warns(UserWarning, match="The optimizer was not saved"):
        loaded.partial_fit(*blobs)
    assert_same(again(loaded, path), loaded, blobs[0])


@pytest.mark.parametrize(
    "labels",
    [[-1, 5, 7], ["a", "ß", "\udcff"], np.array(["a", "b", None], object)[:2], [False, True], np.float32([0, 1, 2])],
    ids=str,
)
def test_labels_come_back(quick, blobs, path, labels):
    labels, y = np.asarray(labels), blobs[1]
    X, y = blobs[0][y < len(labels)], labels[y[y < len(labels)]]
    clf = quick().fit(X, y)
    loaded = again(clf, path)
    np.testing.assert_array_equal(loaded.classes_, clf.classes_)
    assert loaded.classes_.dtype == clf.classes_.dtype
    assert_same(loaded, clf, X)


@pytest.mark.parametrize(
    "params",
    [
        {"module": "lenet", "augmentation": Compose([RandomCrop(1), RandomHorizontalFlip()])},
        {"module": "resnet9", "module__width": 2, "module__normalization": ([0.1], [0.5])},
        {"module": "xresnet18", "module__width": 8, "module__self_attention": True},
        {"module": "wide_resnet", "module__depth": 10, "module__width": 1},
    ],
    ids=str,
)
def test_networks_for_images_come_back(quick, digit_images, path, params):
    images, y = digit_images
    clf = quick(max_epochs=1, smoothness=0).set_params(**params).fit(images[:40], y[:40])
    loaded = again(clf, path)
    assert_same(loaded, clf, images[:10])
    assert_same(loaded, clf, images[:10].reshape(10, -1))


def numeric():
    union = FeatureUnion([("pca", PCA(2)), ("best", SelectKBest(k=1)), ("pass", "passthrough")])
    quantiles = QuantileTransformer(n_quantiles=20, output_distribution="normal", random_state=0)
    return [
        make_pipeline(SimpleImputer(add_indicator=True), StandardScaler(), PCA(whiten=True)),
        make_pipeline(MinMaxScaler(), TruncatedSVD(3, random_state=0), Normalizer()),
        make_pipeline(RobustScaler(), PowerTransformer()),
        make_pipeline(MaxAbsScaler(), quantiles, VarianceThreshold()),
        make_pipeline(StandardScaler(), union),
        make_pipeline(KBinsDiscretizer(3, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), PCA(3)),
        make_pipeline(FunctionTransformer(np.log1p), FunctionTransformer(), PolynomialFeatures(), StandardScaler()),
        make_pipeline("passthrough", StandardScaler().set_output(transform="pandas")),
    ]


@pytest.mark.parametrize("transformer", numeric(), ids=lambda steps: ",".join(steps.named_steps))
def test_pipelines_come_back(quick, iris, path, transformer):
    pipe = make_pipeline(transformer, quick(noise_units="std")).fit(*iris)
    loaded = again(pipe, path)
    assert_same(loaded, pipe, iris[0])
    np.testing.assert_array_equal(loaded[0].transform(iris[0]), pipe[0].transform(iris[0]))
    loaded.fit(*iris)
    assert_same(loaded, pipe, iris[0])


def test_mixed_tables_come_back(quick, path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.normal(size=80),
            "income": np.where(rng.random(80) < 0.1, np.nan, rng.normal(size=80)),
            "town": rng.choice(["Ulm", "Köln", "Bonn"], 80),
            "size": rng.choice(["s", "m", "l"], 80),
        }
    )
    encoders = [
        ("number", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
        ("town", OneHotEncoder(handle_unknown="ignore", min_frequency=2), ["town"]),
        ("size", OrdinalEncoder(categories=[["s", "m", "l"]]), ["size"]),
    ]
    pipe = Pipeline([("columns", ColumnTransformer(encoders)), ("clf", quick())]).fit(X, X["age"] > 0)
    loaded = again(pipe, path)
    assert_same(loaded, pipe, X)
    assert_same(loaded, pipe, X.assign(town="elsewhere")[["size", "town", "income", "age"]])
    assert list(loaded[0].get_feature_names_out()) == list(pipe[0].get_feature_names_out())


def test_metadata_requests_come_back(quick, blobs, path):
    with sklearn.config_context(enable_metadata_routing=True):
        clf = quick().set_fit_request(X_unlabeled=True, sample_weight="w").fit(*blobs)
        pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), clf).fit(*blobs)
        loaded = again(pipe, path)
        assert str(loaded[-1].get_metadata_routing()) == str(clf.get_metadata_routing())
        assert loaded[0].get_metadata_routing().fit.requests == {"sample_weight": False}


def test_folders_are_not_kept(quick, blobs, path, tmp_path):
    pipe = Pipeline([("scale", StandardScaler()), ("clf", quick())], memory=str(tmp_path / "cache")).fit(*blobs)
    loaded = again(pipe, path)
    assert loaded.memory is None
    assert pipe.memory is not None
    assert_same(loaded, pipe, blobs[0])


def test_equal_models_make_equal_files_that_anyone_can_look_into(saved, path, tmp_path):
    first = path.parent / "first"
    first.write_bytes(saved[0])
    io.save(io.load(first), path)
    assert path.read_bytes() == saved[0]
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "parts")
    assert not subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "parts", check=False).returncode  # noqa: S607
    names = safetensors.numpy.load_file(tmp_path / "parts" / "arrays.safetensors")
    assert "steps.1.1.net_.weights.1.weight" in names


def test_a_module_of_ones_own_is_given_to_load(quick, blobs, path):
    clf = quick(module=Linear).set_params(module__activation=nn.Tanh).fit(*blobs)
    loaded = again(clf, path, module=Linear)
    assert_same(loaded, clf, blobs[0])
    assert loaded.module is Linear
    assert isinstance(loaded.net_.module_.activation, nn.Tanh)
    with pytest.raises(ModelFileError, match=r"made by .*Linear, whose code is not in the file, so that load needs"):
        io.load(path)
    with pytest.raises(ModelFileError, match=r"cannot be loaded, since RuntimeError: Error\(s\) in loading state_dict"):
        io.load(path, module=nn.Sequential(nn.Linear(4, 7), nn.Linear(7, 3)))
    instance = quick(module=nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))).fit(*blobs)
    assert_same(again(instance, path, module=nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))), instance, blobs[0])
    io.save(quick().fit(*blobs), path)
    with pytest.raises(ModelFileError, match=r"its network is 'mlp', so that module=.* has no place"):
        io.load(path, module=Linear)


# Networks that are more than their weights


class Projected(nn.Module):
    """A network with numbers outside its state_dict."""

    def __init__(self, kind, n_classes=3):
        super().__init__()
        numbers = torch.randn(4, 16)
        if kind == "buffer":
            self.register_buffer("numbers", numbers, persistent=False)
        else:
            self.numbers = numbers if kind == "tensor" else numbers.tolist()
        self.out = nn.Linear(16, n_classes)

    def forward(self, X):
        return self.out((X @ torch.as_tensor(self.numbers).to(X)).relu())


@pytest.mark.parametrize("kind", ["buffer", "tensor", "list"])
def test_numbers_that_are_not_in_the_file_are_missed(quick, blobs, path, kind):
    clf = quick(module=Projected).set_params(module__kind=kind).fit(*blobs)
    io.save(clf, path)
    with pytest.raises(ModelFileError, match=r"^module=.*Projected answers otherwise than the network that was saved"):
        io.load(path, module=Projected)
    loaded = io.load(path, module=clf.net_.module_)
    assert_same(loaded, clf, blobs[0])
    assert_same(again(loaded, path, module=clf.net_.module_), clf, blobs[0])


class Own(nn.Linear):
    """A network that does to rows, and to its logits, what it is told."""

    def __init__(self, n_features, n_classes, of_rows=None, of_logits=None):
        super().__init__(n_features, n_classes)
        self.of_rows, self.of_logits = of_rows or (lambda X: X), of_logits or (lambda Z: Z)

    def forward(self, X):
        return self.of_logits(super().forward(self.of_rows(X)))


def fails(X):
    raise RuntimeError("not here")


def own(**functions):
    return lambda n_features, n_classes: Own(n_features, n_classes, **functions)


def saved_own(clf, path, **functions):
    """Save a classifier that was fitted with Own; return the answers in the file."""
    vars(clf.net_.module_).update({name: function for name, function in functions.items() if function})
    io.save(clf, path)
    content, arrays = parts_of(path.read_bytes())
    coded = at(content["estimator"], "net_", "answers")
    return None if coded is None else arrays[coded["array"]]


@pytest.mark.parametrize(
    ("functions", "is_kept"),
    [
        ({}, True),
        ({"of_logits": lambda Z: Z - Z.mean(dim=0)}, True),
        ({"of_rows": lambda X: X.round()}, True),
        ({"of_rows": lambda X: warnings.warn("hot", stacklevel=1) or X}, True),
        ({"of_rows": lambda X: nn.functional.dropout(X, 0.5)}, False),
        ({"of_rows": lambda X: X + random.random()}, False),  # noqa: S311
        ({"of_rows": fails}, False),
        ({"of_logits": lambda Z: Z * float("nan")}, False),
        ({"of_logits": lambda Z: Z.bfloat16()}, False),
        ({"of_logits": lambda Z: Z[:, :1]}, False),
        ({"of_logits": lambda Z: (Z,)}, False),
    ],
    ids=["plain", "by batch", "rounded", "warns", "dropout", "random", "fails", "nan", "bfloat16", "narrow", "pair"],
)
def test_any_network_is_saved_and_compared_if_it_answers_the_same_twice(quick, blobs, path, functions, is_kept):
    clf = quick(module=Own).fit(*blobs)
    answers = saved_own(clf, path, **functions)
    assert (answers is not None) == is_kept
    loaded = io.load(path, module=own(**functions))
    torch.testing.assert_close(loaded.net_.module_.state_dict(), clf.net_.module_.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("of_logits", "is_another"),
    [
        (lambda Z: Z * 1.001, False),
        (lambda Z: Z + Z.abs().max() * torch.tensor([[1.0], [0], [0], [0]]), False),
        (fails, False),
        (lambda Z: Z * 1.1, True),
        (lambda Z: Z + Z.abs().max() * torch.tensor([[1.0], [1], [1], [0]]), True),
        (lambda Z: Z * float("nan"), True),
        (lambda Z: Z[:, :1], True),
    ],
    ids=["rounding", "one row", "fails", "scaled", "most rows", "nan", "narrow"],
)
def test_only_what_no_other_machine_would_answer_is_another_network(quick, blobs, path, of_logits, is_another):
    saved_own(quick(module=Own).fit(*blobs), path)
    if not is_another:
        io.load(path, module=own(of_logits=of_logits))
        return
    with pytest.raises(ModelFileError, match="answers otherwise than the network that was saved"):
        io.load(path, module=own(of_logits=of_logits))


def test_a_network_is_compared_on_rows_as_it_takes_them_and_left_as_it_is(quick, digit_images, path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(17, 2), nn.Linear(128, 10)
            self.register_buffer("n", torch.zeros(()))

        def forward(self, X):
            assert X.shape[1:] == (1, 8, 8)
            self.n += len(X)
            return self.out(self.table(X.long()).flatten(1))

    images, y = digit_images
    clf = quick(module=Counting, dtype="float64", smoothness=0).fit(images * 16, y)
    n, training = clf.net_.module_.n.item(), clf.net_.module_.training
    io.save(clf, path)
    assert at(parts_of(path.read_bytes())[0]["estimator"], "net_", "answers") is not None
    assert (clf.net_.module_.n.item(), clf.net_.module_.training) == (n, training)
    loaded = io.load(path, module=Counting)
    assert loaded.net_.module_.n.item() == n
    assert_same(loaded, clf, images * 16)


@pytest.mark.parametrize("has_entry", [False, True])
def test_a_file_without_answers_is_loaded_as_before(quick, blobs, path, has_entry):
    clf = quick(module=Linear).fit(*blobs)
    io.save(clf, path)
    content, arrays = parts_of(path.read_bytes())
    put(content["estimator"], None, "net_", "answers")
    if not has_entry:
        state = content["estimator"]["state"]["net_"]["dict"]
        state[:] = [pair for pair in state if pair[0] != "answers"]
    write(path, content, {name: array for name, array in arrays.items() if "answers" not in name})
    assert_same(io.load(path, module=Linear), clf, blobs[0])


@pytest.mark.parametrize(
    "answers",
    [
        np.zeros((4, 2)),
        np.zeros((5, 3)),
        np.zeros(3),
        np.zeros((0, 3)),
        np.zeros((4, 3), dtype=np.int64),
        np.full((4, 3), np.nan),
        np.full((4, 3), np.inf),
        {"items": ["x"] * 12, "kind": "U", "shape": [4, 3]},
        {"items": [[]] * 12, "kind": "O", "shape": [4, 3]},
        "text",
        [1.0],
        True,
    ],
    ids=lambda answers: str(answers)[:30],
)
def test_hostile_answers_are_refused(quick, blobs, path, answers):
    io.save(quick(module=Linear).fit(*blobs), path)
    content, arrays = parts_of(path.read_bytes())
    if isinstance(answers, np.ndarray):
        arrays[at(content["estimator"], "net_", "answers")["array"]] = answers
    else:
        put(content["estimator"], answers, "net_", "answers")
        arrays = {name: array for name, array in arrays.items() if "answers" not in name}
    write(path, content, arrays)
    with pytest.raises(ModelFileError, match="cannot be loaded, since the answers of its network are no logits: use"):
        io.load(path, module=Linear)


@pytest.mark.parametrize("bound", [np.nan, np.inf, 1e308])
def test_hostile_ranges_of_rows_do_no_harm(quick, blobs, path, bound):
    io.save(quick(module=Linear).fit(*blobs), path)
    content, arrays = parts_of(path.read_bytes())
    for name, sign in (("low", -1), ("high", 1)):
        arrays[at(content["estimator"], "_moments", name)["array"]][:] = sign * bound
    write(path, content, arrays)
    with pytest.raises(ModelFileError, match="answers otherwise than the network that was saved"):
        io.load(path, module=Linear)


# What is refused when it is saved


def changed(clf, **attributes):
    for name, value in attributes.items():
        setattr(clf, name, value)
    return clf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"callbacks": [GradientNormClipping(1.0)]}, r"GradientNormClipping.* in callbacks\.0, which a file without"),
        ({"scoring": lambda *args: 0.5}, "of type function in scoring, which a file without code cannot keep"),
        ({"unlabeled": FromGenerator(GaussianMixture())}, "type GaussianMixture in unlabeled.generator"),
        ({"net_params": {"module__activation": nn.PReLU()}}, "type PReLU in net_params.module__activation"),
        ({"random_state": np.random.RandomState(0)}, r"type RandomState in random_state.*set_params"),
        ({"random_state": np.longdouble(1)}, "of type longdouble in random_state"),
        ({"class_weight": {0: np.datetime64("2020")}}, "type datetime64 in class_weight.0"),
        ({"hidden_layer_sizes": np.array(["2020"], "M8[Y]")}, "type ndarray in hidden_layer_sizes"),
        ({"net_params": collections.OrderedDict()}, "type OrderedDict in net_params"),
    ],
)
def test_what_needs_code_is_refused(quick, blobs, path, change, message):
    clf = changed(quick().fit(*blobs), **change)
    with pytest.raises(TypeError, match=message):
        io.save(clf, path)
    assert not os.listdir(path.parent)


def test_other_estimators_are_refused(quick, blobs, path):
    X, y = blobs
    clf = quick()
    search = GridSearchCV(clf, {"smoothness": [0.0]}, cv=2).fit(X, y)
    chosen = ColumnTransformer([("all", "passthrough", make_column_selector())])
    for estimator, message in [
        (LogisticRegression().fit(X, y), "ends in LogisticRegression, but only OffSupportRobustClassifier and Pipel"),
        (make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), "ends in LogisticRegression"),
        (search, "of type GridSearchCV"),
        (Inherited(max_epochs=1).fit(X, y), "of type Inherited"),
        (
            make_pipeline(SplineTransformer(), clf).fit(X, y),
            r"SplineTransformer\(\) of type SplineTransformer in steps",
        ),
        (make_pipeline(FunctionTransformer(lambda X: X), clf).fit(X, y), "of type function in steps.0.1.func"),
        (make_pipeline(chosen, clf).fit(pd.DataFrame(X), y), "of type make_column_selector in"),
        (3, "of type int"),
    ]:
        with pytest.raises(TypeError, match=message):
            io.save(estimator, path)
    with pytest.raises(NotFittedError):
        io.save(quick(), path)
    assert not os.listdir(path.parent)


def test_a_network_changed_by_hand_is_refused(quick, blobs, path):
    clf = quick().fit(*blobs)
    clf.net_.module_[2] = nn.Tanh()
    with pytest.raises(TypeError, match="has module='mlp', but its network was changed after fit"):
        io.save(clf, path)


def test_a_missing_package_is_named(saved, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    message = r"skrobust.io.load needs safetensors, which is not installed: pip install 'skrobust\[io\]'"
    with pytest.raises(ImportError, match=message):
        io.load(path)


# Files that are damaged


def assert_refused_or_same(data, saved, path):
    """Check that damaged bytes are refused, or answer as the whole file does; return whether they are refused."""
    path.write_bytes(data)
    message = None
    try:
        loaded = io.load(path)
    except ModelFileError as error:
        message = str(error)
    if message is None:
        np.testing.assert_array_equal(loaded.predict_proba(saved[1]), saved[2])
        return False
    assert message.startswith(f"path={str(path)!r} cannot be loaded, since ")
    assert "\n" not in message
    return True


def test_every_truncation_is_refused(saved, path):
    data = saved[0]
    lengths = [*range(0, len(data), max(1, len(data) // 400)), *range(len(data) - 60, len(data))]
    assert len(lengths) > 400
    assert all(assert_refused_or_same(data[:length], saved, path) for length in lengths)


def test_every_flipped_bit_is_refused_or_harmless(saved, path):
    data, rng = saved[0], np.random.default_rng(0)
    directory = data.index(b"PK\x01\x02")  # where the archive says what is where
    positions = {*rng.integers(8 * len(data), size=400), *range(8 * directory, 8 * len(data), 7), *range(8 * 40)}
    n_refused = 0
    for position in positions:
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        n_refused += assert_refused_or_same(bytes(flipped), saved, path)
    assert n_refused > 400


@given(st.data())
@settings(max_examples=150)
def test_cuts_and_splices_are_refused_or_harmless(tmp_path_factory, saved, data):
    whole = saved[0]
    start, end = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    damaged = whole[:start] + data.draw(st.binary(max_size=200)) + whole[end:]
    assert_refused_or_same(damaged, saved, tmp_path_factory.getbasetemp() / "spliced")


@given(st.binary(max_size=300))
@example(b"")
@example(b"PK\x05\x06" + bytes(18))
def test_other_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"use a file as skrobust\.io\.save wrote it"):
        io.load(path)


def test_a_missing_file_is_no_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        io.save(OffSupportRobustClassifier(max_epochs=1).fit([[0.0], [1.0]], [0, 1]), tmp_path / "none" / "model")


# Files that mean harm


def at(content, *keys):
    """Return a part of the content of a file: keys of a state, through whatever encodes them."""
    for key in keys:
        content = content.get("state", content)
        content = next(v for k, v in content["dict"] if k == key) if "dict" in content else content[key]
    return content


def put(content, value, *keys):
    """Set a part of the content of a file."""
    *keys, last = keys
    owner = at(content, *keys)
    owner = owner.get("state", owner)
    if "dict" not in owner:
        owner[last] = value
        return
    for pair in owner["dict"]:
        if pair[0] == last:
            pair[1] = value


def classifier_in(content):
    return content["estimator"]["state"]["steps"][1]["tuple"][1]


HUGE = 10**12
HARMFUL = {
    "unknown class": (lambda c: c.update(object="os.system"), "KeyError"),
    "unlisted class": (lambda c: c.update(object="sklearn.pipeline.make_pipeline"), "KeyError"),
    "function as class": (lambda c: c.update(object="numpy.exp"), "KeyError"),
    "class as function": (lambda c: put(c, {"name": "builtins.eval"}, "scoring"), "KeyError"),
    "unknown tag": (lambda c: put(c, {"__reduce__": ["os.system", "true"]}, "scoring"), "KeyError"),
    "no tag": (lambda c: put(c, {}, "scoring"), "StopIteration"),
    "hidden method": (lambda c: c["state"].update(predict=1), "it has an attribute 'predict'"),
    "class change": (lambda c: c["state"].update(__class__=1), "it has an attribute '__class__'"),
    "no name": (lambda c: c["state"].update({"a b": 1}), "it has an attribute 'a b'"),
    "foreign setter": (lambda c: c.update(requests={"params": {}}), "AttributeError"),
    "wide network": (lambda c: put(c, {"tuple": [HUGE]}, "net_", "sizes", "hidden_layer_sizes"), "do not fit"),
    "wider network": (lambda c: put(c, {"tuple": [10**400]}, "net_", "sizes", "hidden_layer_sizes"), "."),
    "deep network": (lambda c: put(c, {"tuple": [4] * 9999}, "net_", "sizes", "hidden_layer_sizes"), "more param"),
    "many classes": (lambda c: put(c, HUGE, "net_", "n_classes"), "sizes of its network contradict"),
    "many outputs": (lambda c: put(c, HUGE, "net_", "sizes", "n_classes"), "sizes of its network contradict"),
    "many features": (lambda c: put(c, HUGE, "n_features_in_"), "sizes of its network contradict"),
    "other type": (lambda c: put(c, "load", "net_", "float_type"), "sizes of its network contradict"),
    "huge images": (lambda c: put(c, {"tuple": [1, HUGE, HUGE]}, "net_", "row_shape"), "sizes of its network"),
    "other network": (lambda c: put(c, "resnet50", "net_", "module"), "needs images"),
    "no network": (lambda c: put(c, "os.system", "net_", "module"), "module='os.system' is unknown"),
    "endless network": (
        lambda c: (
            put(c, "wide_resnet", "net_", "module"),
            put(c, {"dict": [["depth", 6 * 10**7 + 4]]}, "net_", "module_params"),
            put(c, {"tuple": [1, 2, 2]}, "net_", "row_shape"),
            put(c, {"tuple": [1, 2, 2]}, "net_", "sizes", "image_shape"),
        ),
        "more parameters than the file has weights",
    ),
    "missing array": (lambda c: put(c, {"array": "none", "order": "C"}, "net_", "weights", "1.bias"), "KeyError"),
    "unused array": (lambda c: put(c, None, "data_scale_") or put(c, 1.0, "_moments", "mean"), "."),
    "text bomb": (
        lambda c: put(c, {"items": ["x" * 10**6] + [""] * 10**4, "kind": "U", "shape": [10**4 + 1]}, "classes_"),
        "more text than fits into memory",
    ),
    "later state": (lambda c: put(c, 99, "_skrobust_format"), "has format 99"),
    "folder": (lambda c: put(c, "/tmp", "checkpoint_dir"), "it names a folder to write to"),  # noqa: S108
}


@pytest.mark.parametrize("name", HARMFUL)
def test_hostile_files_are_refused(saved, path, name):
    content, arrays = parts_of(saved[0])
    change, message = HARMFUL[name]
    change(classifier_in(content))
    write(path, content, arrays)
    with pytest.raises(ModelFileError, match=message):
        io.load(path)


def test_other_content_is_refused(saved, path):
    content, arrays = parts_of(saved[0])
    for changed_content, message in [
        ({**content, "format": 2, "skrobust": "9.1"}, r"has format 2 of skrobust 9.1, and skrobust .* reads up to 1"),
        ({**content, "estimator": 3}, "ends in int"),
        ({**content, "estimator": content["estimator"]["state"]["steps"][0]["tuple"][1]}, "ends in StandardScaler"),
        ({}, "KeyError: 'format'"),
        ([], "TypeError"),
        (b"{", "JSONDecodeError"),
        (b"NaN", "it has the number NaN"),
        (b"[" * 10**6, "RecursionError"),
        (b"1" * 10**4, "Exceeds the limit"),
        (json.dumps({**content, "estimator": {"tuple": []}}).encode(), "ends in tuple"),
    ]:
        write(path, changed_content, arrays)
        with pytest.raises(ModelFileError, match=message):
            io.load(path)
    write(path, content, {**arrays, "more": np.zeros(3)})
    with pytest.raises(ModelFileError, match="it has arrays that nothing uses"):
        io.load(path)
    content["estimator"]["state"]["memory"] = "/tmp/cache"  # noqa: S108
    write(path, content, arrays)
    with pytest.raises(ModelFileError, match="it names a folder to write to"):
        io.load(path)


def test_other_archives_are_refused(saved, path):
    with zipfile.ZipFile(streams.BytesIO(saved[0])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    bomb = {**members, "arrays.safetensors": bytes(10**7)}
    for parts, compression, message in [
        ({**members, "../../evil.py": b"import os"}, zipfile.ZIP_STORED, "it does not hold model.json"),
        ({"/etc/passwd": b""}, zipfile.ZIP_STORED, "it does not hold model.json"),
        ({}, zipfile.ZIP_STORED, "it does not hold model.json"),
        (members, zipfile.ZIP_DEFLATED, "its parts are compressed"),
        (bomb, zipfile.ZIP_BZIP2, "its parts are compressed"),
        (bomb, zipfile.ZIP_STORED, "its checksums do not match"),
    ]:
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        with pytest.raises(ModelFileError, match=message):
            io.load(path)


@pytest.mark.parametrize("header", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0{}", b"\xff\xff\xff\x7f\0\0\0\0{}"])
def test_hostile_arrays_are_refused(saved, path, header):
    io._container.write_members(path, json.dumps(parts_of(saved[0])[0]).encode(), header)
    with pytest.raises(ModelFileError, match=r"SafetensorError|KeyError"):
        io.load(path)


AUDIT = """
    import sys
    import numpy as np, torch
    from skrobust import io
    io.load(sys.argv[1])  # imports what it needs
    seen = set()
    sys.addaudithook(lambda event, args: seen.add(event))
    io.load(sys.argv[1])
    harmful = {"exec", "compile", "import", "pickle.find_class", "marshal.loads", "os.system", "subprocess.Popen",
               "os.exec", "os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "socket.connect", "ctypes.dlopen"}
    print(sorted(harmful & seen), "open" in seen)
"""


def test_loading_executes_and_imports_nothing(saved, path):
    path.write_bytes(saved[0])
    command = [sys.executable, "-c", textwrap.dedent(AUDIT), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.stdout.split("\n")[0] == "[] True", done.stderr


# Whole or not at all


def test_a_full_disk_leaves_the_old_file_whole(quick, blobs, path, monkeypatch):
    old, new = quick().fit(*blobs), quick(random_state=1).fit(*blobs)
    io.save(old, path)
    n_calls, before = 0, zipfile.ZipFile.writestr

    def full_after_one(*args, **kwargs):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return before(*args, **kwargs)

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full_after_one)
    with pytest.raises(OSError, match="No space left"):
        io.save(new, path)
    monkeypatch.setattr(zipfile.ZipFile, "writestr", before)
    monkeypatch.setattr(os, "fsync", full_after_one)
    n_calls = 1
    with pytest.raises(OSError, match="No space left"):
        io.save(new, path)
    assert os.listdir(path.parent) == [path.name]
    assert_same(io.load(path), old, blobs[0])


KILLED = """
    import os, random, signal, sys, time, warnings
    import numpy as np
    from skrobust import OffSupportRobustClassifier, io
    path = sys.argv[1]
    X = np.random.default_rng(0).normal(size=(40, 50))
    wide = {"hidden_layer_sizes": (500, 500), "max_epochs": 1}
    models = [OffSupportRobustClassifier(**wide, random_state=i).fit(X, X[:, 0] > 0) for i in range(2)]
    answers = [model.predict_proba(X) for model in models]
    io.save(models[0], path)
    n_unfinished = 0
    for attempt in range(25):
        child = os.fork()
        if not child:
            try:
                for i in range(10**6):
                    io.save(models[i % 2], path)
            finally:
                os._exit(1)
        time.sleep(random.uniform(0.005, 0.05))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        found = io.load(path).predict_proba(X)
        assert any(np.array_equal(found, answer) for answer in answers), attempt
        left = [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".tmp")]
        n_unfinished += len(left)
        for name in left:
            os.unlink(os.path.join(os.path.dirname(path), name))
    print("killed while writing", n_unfinished)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_killed_process_leaves_a_whole_file(path):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert not done.returncode, done.stderr
    assert int(done.stdout.split()[-1]) > 0, "some were killed while they wrote"


def test_permissions_and_links_stay(quick, blobs, path, tmp_path):
    clf = quick().fit(*blobs)
    io.save(clf, path)
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    io.save(clf, str(link))
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert_same(io.load(link), clf, blobs[0])


# Elsewhere and later


def test_another_version_of_scikit_learn_is_warned_about_as_it_does_itself(quick, blobs, path, monkeypatch):
    pipe = make_pipeline(StandardScaler(), quick()).fit(*blobs)
    monkeypatch.setattr(sklearn.base, "__version__", "1.0")
    io.save(pipe, path)
    monkeypatch.undo()
    with pytest.warns(InconsistentVersionWarning) as raised:
        loaded = io.load(path)
    assert [warning.message.estimator_name for warning in raised] == ["StandardScaler", "Pipeline"]
    assert_same(loaded, pipe, blobs[0])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_told(quick, blobs, path):
    clf = quick().fit(*blobs)
    io.save(changed(clf, device="cuda"), path)
    with pytest.warns(UserWarning, match="device='cuda' is not available here: predicting on the CPU"):
        loaded = io.load(path)
    assert_same(loaded, clf, blobs[0])


def test_random_numbers_go_on_as_if_nothing_was_saved(quick, blobs, path):
    clf = quick(module=Linear).fit(*blobs)
    before = torch.get_rng_state()
    again(clf, path, module=Linear)
    assert torch.equal(torch.get_rng_state(), before)
