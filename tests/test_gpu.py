"""The device: what runs on a CUDA GPU, and what can be shown of it without one.

Tests with the marker ``gpu`` need a CUDA device. Most others train on torch's device "meta", whose tensors have shapes
and no values: whatever would wait for a GPU to read a value from it fails there, and so does mixing devices.
"""

import csv
import math
import os
import pathlib
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from skrobust import OffSupportRobustClassifier, _assembly, _net, _predictor, _runtime, _training
from skrobust._objective import OffSupport
from skrobust.adversary import FGSM, PGD, MultiplePerturbations
from skrobust.modules import labeled_batch_norm
from skrobust.unlabeled import Gaussian

REASON = "needs a CUDA device: torch.cuda.is_available() is False"
OBJECTIVES = {
    "default": {},
    "plain": {"smoothness": 0},
    "uniform": {"unlabeled": "uniform"},
    "extrapolation": {"unlabeled": "extrapolation", "neighbors": "extrapolation"},
    "several_neighbors": {"n_neighbors": 3, "n_unlabeled": 1.5},
    "labeled_only": {"unlabeled": None},
    "noise_per_feature": {"noise_units": "std"},
    "one_batch": {"batch_size": 2000},
    "sgd": {"optimizer": "sgd"},
    "class_weight": {"class_weight": {0: 2.0}},
    "worst_direction": {"neighbors": "adversarial"},
    "jacobian": {"penalty": "jacobian"},
    "input_gradient": {"penalty": "input_gradient"},
    "curvature": {"penalty": "curvature"},
    "virtual_adversarial": {"penalty": "virtual_adversarial"},
    "stability": {"penalty": "stability"},
    "uniform_confidence": {"penalty": "uniform_confidence"},
    # Random starts are drawn where the generator lives, which here is main memory.
    "fgsm": {"adversary": FGSM(random_start=False)},
    "pgd": {"adversary": PGD(random_start=False)},
    "trades": {"adversary": "trades"},
    "several_adversaries": {"adversary": MultiplePerturbations([FGSM(random_start=False), "trades"])},
    "mixup": {"mixup": 0.2},
    "label_smoothing": {"label_smoothing": 0.1},
}


def gpu(test):
    """Mark a test that needs a GPU."""
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason=REASON)(test))


class BatchNormNet(nn.Module):
    """A network with batch normalization and dropout."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        hidden = [nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1)]
        self.layers = nn.Sequential(*hidden, nn.Linear(16, n_classes))

    def forward(self, X):
        return self.layers(X)


class OutOfMemory(nn.Module):
    """A network that finds no memory in training."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, X):
        if self.training:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.layer(X)


class Witness(Callback):
    """Remember where training rows are; a class attribute, since callbacks are copied."""

    seen = None

    def on_train_begin(self, net, X=None, **kwargs):
        rows, _ = X
        type(self).seen = {rows.X.device.type, rows.y.device.type}


class WitnessSampler(BaseEstimator):
    """Gaussian noise that remembers where it is drawn."""

    seen = None

    def sample(self, X, support, radius, generator):
        type(self).seen = {X.device.type, generator.device.type, support.low.device.type}
        return Gaussian().sample(X, support, radius, generator)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


@pytest.fixture(scope="module")
def few(digits):
    X, y = digits
    return X[:200], y[:200]


def small(**params):
    return OffSupportRobustClassifier(**{"max_epochs": 2, "random_state": 0, **params})


# Without a GPU: training on the device "meta".


class StaysOnMeta(TorchDispatchMode):
    """Raise if an operator gets a tensor from main memory: on a GPU it would be copied there in every batch."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for tensor in torch.utils._pytree.tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor) and tensor.ndim and tensor.device.type != "meta":
                raise AssertionError(f"{func} got a tensor of shape {tuple(tensor.shape)} on {tensor.device}")
        return func(*args, **(kwargs or {}))


class AnyGenerator(torch.Generator):
    """A generator in main memory whatever the device: "meta" has none, and takes this one."""

    def __new__(cls, device=None):
        return super().__new__(cls)


@pytest.fixture
def meta(monkeypatch):
    """Make device="meta" trainable: what is read once in an epoch or a fit is replaced, the batches are not."""
    monkeypatch.setattr(torch, "Generator", AnyGenerator)
    monkeypatch.setattr(_net, "_weighted_means", lambda names, record, sizes: dict.fromkeys(names, 0.0))
    monkeypatch.setattr(_net.OffSupportNet, "_check_finite", lambda net, means: None)
    monkeypatch.setattr(_net, "check_logits", lambda network, rows, n_classes: None)
    monkeypatch.setattr(_training, "try_out", lambda *args: None)
    monkeypatch.setattr(OffSupport, "off_support_fraction", lambda *args: math.nan)
    monkeypatch.setattr(_assembly, "check_finite", lambda *args, **kwargs: None)
    return {"device": "meta", "dtype": "float32", "net_params": {"optimizer__fused": False}}


@pytest.fixture
def strict_meta(meta, monkeypatch):
    """Refuse, beyond that, tensors in main memory while batches are trained on."""
    run_single_epoch = _net.OffSupportNet.run_single_epoch

    def guarded(net, *args, **kwargs):
        with StaysOnMeta():
            run_single_epoch(net, *args, **kwargs)

    monkeypatch.setattr(_net.OffSupportNet, "run_single_epoch", guarded)
    return meta


@pytest.mark.parametrize("module", ["mlp", BatchNormNet], ids=["mlp", "batch_norm"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_batches_stay_on_the_device_and_never_read_from_it(few, strict_meta, name, module):
    clf = small(module=module, **strict_meta, **OBJECTIVES[name]).fit(*few)
    assert {p.device.type for p in clf.net_.module_.parameters()} == {"meta"}


@pytest.mark.parametrize(
    "params", [{}, {"unlabeled": None}, {"batch_size": 2000}], ids=["mixed", "pool_alone", "one_batch"]
)
def test_weighted_rows_and_the_users_unlabeled_rows_stay_there_too(few, strict_meta, params):
    X, y = few
    partly = np.where(np.arange(len(y)) % 3, y, -1)
    weight = np.linspace(1, 2, len(y))
    small(unlabeled_label=-1, **strict_meta, **params).fit(X, partly, weight, X_unlabeled=X[:50])


@pytest.mark.parametrize("read", [torch.Tensor.item, bool, torch.Tensor.cpu, lambda loss: loss + torch.ones(1)])
def test_the_meta_device_notices_what_would_wait(few, strict_meta, monkeypatch, read):
    original = _net.OffSupportNet.train_step_single

    def reads(net, batch):
        step = original(net, batch)
        read(step["loss"].detach())
        return step

    monkeypatch.setattr(_net.OffSupportNet, "train_step_single", reads)
    with pytest.raises((RuntimeError, NotImplementedError, AssertionError), match=r"meta|item|on cpu"):
        small(**strict_meta).fit(*few)


def test_rows_that_do_not_fit_stay_in_main_memory(few, meta, monkeypatch):
    monkeypatch.setattr(_training, "fits_on_device", lambda n_bytes, device: False)
    X, y = few
    clf = small(callbacks=[Witness], unlabeled=WitnessSampler(), early_stopping=True, scoring="loss", **meta)
    clf.fit(X, y, np.linspace(1, 2, len(y)))
    assert Witness.seen == {"cpu"}
    assert "meta" in WitnessSampler.seen  # the batches move, and noise is drawn where they are


@pytest.mark.parametrize(
    ("n_bytes", "free", "reserved", "allocated", "fits"),
    [(400, 1000, 0, 0, True), (600, 1000, 0, 0, False), (600, 1000, 500, 200, True), (600, 1000, 500, 400, False)],
)
def test_half_of_the_free_memory_is_for_data(monkeypatch, n_bytes, free, reserved, allocated, fits):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)
    assert _runtime.fits_on_device(n_bytes, torch.device("cuda")) is fits


def test_what_fits_is_measured_in_the_type_of_the_network(monkeypatch):
    asked = []
    monkeypatch.setattr(_training, "fits_on_device", lambda n_bytes, device: not asked.append(n_bytes))
    _training.Place(torch.device("cpu"), torch.float32).kept(np.zeros((10, 3)))
    assert asked == [10 * 3 * 4]


def test_out_of_memory_names_batch_size_and_remedy(digits):
    clf = small(module=OutOfMemory, batch_size=77)
    with pytest.raises(MemoryError, match=r"device='auto' ran out of memory with batch_size=77: lower batch_size"):
        clf.fit(*digits)
    assert not hasattr(clf, "net_")


def test_out_of_memory_before_the_first_batch_is_named_too(digits, monkeypatch):
    def kept(place, array):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(_training.Place, "kept", kept)
    with pytest.raises(MemoryError, match="ran out of memory with batch_size=64"):
        small().fit(*digits)


def test_out_of_memory_in_partial_fit_leaves_the_classifier_as_it_was(digits, monkeypatch):
    X, y = digits
    clf = small().fit(X, y)
    before = clf.predict_proba(X)

    def step(net, batch):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(_net.OffSupportNet, "train_step_single", step)
    with pytest.raises(MemoryError, match="ran out of memory"):
        clf.partial_fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)


def test_no_generator_is_pickled(digits):
    # One on a GPU cannot be unpickled where there is none.
    clf = small().fit(*digits)
    assert any(isinstance(value, torch.Generator) for value in vars(clf.net_).values())
    restored = pickle.loads(pickle.dumps(clf))
    assert not any(isinstance(value, torch.Generator) for value in vars(restored.net_).values())
    restored.set_params(warm_start=True).fit(*digits)


def test_a_device_that_is_gone_is_told_and_the_cpu_serves(digits, monkeypatch):
    clf = small().fit(*digits)
    state = pickle.dumps(clf.set_params(device="cuda"))

    def resolve_device(device):
        raise ValueError(f"device={device!r} cannot be used here")

    monkeypatch.setattr(_predictor, "resolve_device", resolve_device)
    with pytest.warns(UserWarning, match="device='cuda' is not available here: predicting on the CPU"):
        restored = pickle.loads(state)
    np.testing.assert_array_equal(restored.predict(digits[0]), clf.predict(digits[0]))


@pytest.mark.parametrize("smoothness", [0, 0.03])
def test_bfloat16_trains_on_the_cpu(digits, smoothness):
    X, y = digits
    clf = small(module=BatchNormNet, dtype="bfloat16", max_epochs=10, smoothness=smoothness).fit(X, y)
    assert {p.dtype for p in clf.net_.module_.parameters()} == {torch.float32}
    assert clf.predict_proba(X).dtype == np.float32
    assert clf.score(X, y) > 0.85


def test_batch_norm_in_half_precision_normalizes_all_rows_alike():
    # A mean far from zero: rounded to bfloat16 it would shift the rows behind the labeled ones.
    rows = (torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) + 100).bfloat16()
    layer = nn.BatchNorm1d(8)
    with labeled_batch_norm(layer) as labeled:
        labeled.n = 64
        outputs = layer(torch.cat([rows, rows]))
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close(outputs[64:], outputs[:64], atol=0.02, rtol=0.01)


@pytest.mark.parametrize("module", ["mlp", BatchNormNet], ids=["mlp", "batch_norm"])
def test_a_compiled_network_is_compiled_for_shapes_not_for_batches(digits, module):
    torch.compiler.reset()
    X, y = digits
    graphs = []

    def backend(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    params = {"compile": True, "compile__backend": backend}
    clf = small(module=module, max_epochs=3, net_params=params).fit(X, y)
    assert len(graphs) <= 3  # one size of batch, any size of batch, prediction at the check of the network
    assert clf.score(X, y) > 0.5


def benchmark(*arguments):
    path = pathlib.Path(__file__).parents[1] / "examples" / "benchmarks" / "bench_gpu.py"
    command = [sys.executable, str(path), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout  # noqa: S603


def test_the_benchmark_runs_on_the_cpu(tmp_path):
    benchmark("--device", "cpu", "--quick", "--out", tmp_path / "gpu.csv")
    with (tmp_path / "gpu.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["way"] for row in rows} == {"bare loop", "skrobust"}
    assert all(float(row["rows_per_second"]) > 0 for row in rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_benchmark_without_a_gpu_says_so_and_writes_nothing(tmp_path):
    assert "No CUDA GPU" in benchmark("--out", tmp_path / "gpu.csv")
    assert not list(tmp_path.iterdir())


# On a GPU.


@pytest.fixture
def syncs_forbidden():
    yield
    torch.cuda.set_sync_debug_mode("default")


class ForbidWaiting(Callback):
    """From the first batch of an epoch to the last, any wait for the GPU is an error."""

    def __init__(self, n_batches):
        self.n_batches = n_batches

    def on_epoch_begin(self, net, **kwargs):
        self.left_ = self.n_batches

    def on_batch_begin(self, net, **kwargs):
        torch.cuda.set_sync_debug_mode("error")

    def on_batch_end(self, net, **kwargs):
        self.left_ -= 1
        if not self.left_:
            torch.cuda.set_sync_debug_mode("default")


@gpu
def test_auto_is_cuda_and_everything_lives_there(digits):
    clf = small(callbacks=[Witness], unlabeled=WitnessSampler()).fit(*digits)
    assert torch.device(clf.net_.device).type == "cuda"
    assert {p.device.type for p in clf.net_.module_.parameters()} == {"cuda"}
    assert Witness.seen == WitnessSampler.seen == {"cuda"}
    assert isinstance(clf.predict_proba(digits[0]), np.ndarray)


@gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.usefixtures("syncs_forbidden")
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("module", ["mlp", BatchNormNet], ids=["mlp", "batch_norm"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_batch_waits_for_the_gpu(digits, name, module, weighted):
    X, y = digits
    n_batches = math.ceil(len(y) / OBJECTIVES[name].get("batch_size", 64))
    weight = np.linspace(1, 2, len(y)) if weighted else None
    clf = small(module=module, callbacks=[ForbidWaiting(n_batches)], **OBJECTIVES[name])
    assert clf.fit(X, y, weight).n_iter_ == 2


@gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.usefixtures("syncs_forbidden")
def test_a_wait_is_noticed(digits):
    class Reads(Callback):
        def on_grad_computed(self, net, named_parameters=None, **kwargs):
            next(iter(named_parameters))[1].sum().item()

    with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
        small(callbacks=[ForbidWaiting(29), Reads()]).fit(*digits)


@gpu
@pytest.mark.parametrize("params", [{}, {"module": "lenet", "image_shape": (8, 8)}], ids=["mlp", "lenet"])
def test_predictions_are_close_to_those_on_the_cpu(digits, params):
    X, y = digits
    clf = small(max_epochs=10, **params).fit(X, y)
    on_gpu = clf.predict_proba(X)
    clf.net_.move_to("cpu")
    np.testing.assert_allclose(clf.predict_proba(X), on_gpu, atol=1e-2)  # convolutions may use TF32
    on_cpu = clf.set_params(device="cpu").fit(X, y)
    assert abs(on_cpu.score(X, y) - (on_gpu.argmax(axis=1) == y).mean()) < 0.03


@gpu
def test_float64_rows_train_in_float32(digits):
    X, y = digits
    clf = small().fit(X.astype(np.float64), y)
    assert {p.dtype for p in clf.net_.module_.parameters()} == {torch.float32}
    np.testing.assert_allclose(clf.predict_proba(X.astype(np.float64)), clf.predict_proba(X), atol=1e-5)


@gpu
@pytest.mark.parametrize("module", ["mlp", BatchNormNet], ids=["mlp", "batch_norm"])
def test_bfloat16_trains(digits, module):
    X, y = digits
    clf = small(module=module, dtype="bfloat16", max_epochs=10).fit(X, y)
    assert {p.dtype for p in clf.net_.module_.parameters()} == {torch.float32}
    assert clf.score(X, y) > 0.85


@gpu
def test_a_fitted_model_predicts_where_there_is_no_gpu(digits, tmp_path):
    X, y = digits
    clf = small(module=BatchNormNet, early_stopping=True, max_epochs=5).fit(X, y)
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps((clf, X, clf.predict_proba(X))))
    code = (
        "import pickle, sys, numpy as np, torch; sys.path.insert(0, sys.argv[2]); assert not torch.cuda.is_available();"
        "clf, X, expected = pickle.load(open(sys.argv[1], 'rb'));"
        "np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-4)"
    )
    command = [sys.executable, "-c", code, str(path), os.path.dirname(__file__)]
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    assert not result.returncode, result.stderr


@gpu
def test_running_out_of_gpu_memory_is_explained(digits):
    X, y = digits
    clf = small(n_neighbors=10**9)
    with pytest.raises(MemoryError, match=r"ran out of memory with batch_size=64: lower batch_size, n_unlabeled"):
        clf.fit(X, y)
    assert clf.set_params(n_neighbors=1).fit(X, y).n_iter_ == 2


@gpu
@pytest.mark.parametrize("module", ["mlp", BatchNormNet], ids=["mlp", "batch_norm"])
def test_same_seed_same_result(digits, module):
    X, y = digits
    first, second = (small(module=module).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_allclose(first, second, atol=1e-4)
    other = small(module=module, random_state=1).fit(X, y).predict_proba(X)
    assert np.abs(other - first).max() > 1e-2


@gpu
def test_global_random_states_are_left_alone(digits):
    def states():
        return torch.cuda.get_rng_state(), torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002

    before = states()
    small(module=BatchNormNet).fit(*digits)
    after = states()
    assert all(np.array_equal(a, b) for a, b in zip(before[:3], after[:3], strict=True))
    assert before[3] == after[3]


@gpu
def test_rows_in_main_memory_train_as_well(digits, monkeypatch):
    monkeypatch.setattr(_training, "fits_on_device", lambda n_bytes, device: False)
    X, y = digits
    clf = small(callbacks=[Witness], unlabeled=WitnessSampler(), max_epochs=10)
    clf.fit(X, y, np.linspace(1, 2, len(y)), X_unlabeled=X[:50])
    assert Witness.seen == {"cpu"}
    assert WitnessSampler.seen == {"cuda"}
    assert clf.score(X, y) > 0.85


@gpu
def test_training_goes_on_after_a_round_trip(digits):
    X, y = digits
    clf = pickle.loads(pickle.dumps(small().fit(X, y)))
    assert torch.device(clf.net_.device).type == "cuda"
    with pytest.warns(UserWarning, match="The optimizer was not saved"):
        clf.partial_fit(X, y)
    clf.set_params(warm_start=True).fit(X, y)
    assert {p.device.type for p in clf.net_.module_.parameters()} == {"cuda"}


@gpu
def test_a_module_instance_on_the_gpu_is_taken(digits):
    assert small(module=nn.Linear(64, 10).cuda()).fit(*digits).n_iter_ == 2
