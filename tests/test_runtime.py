"""Device, precision, threads, and the random state of the process."""

import contextlib

import pytest
import threadpoolctl
import torch

from skrobust import OffSupportRobustClassifier
from skrobust._runtime import (
    SMALL_NETWORK,
    explained_out_of_memory,
    fits_on_device,
    isolated_random_state,
    limited_threads,
    resolve_device,
    resolve_dtype,
)

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "expected"), [(True, True, CUDA), (False, True, MPS), (False, False, CPU)]
)
def test_auto_is_the_fastest_device_there_is(monkeypatch, has_cuda, has_mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert resolve_device("auto") == expected


@pytest.mark.parametrize("device", ["cpu", CPU])
def test_a_device_may_be_named(device):
    assert resolve_device(device) == CPU


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_an_unusable_device_is_refused_with_its_name(device):
    with pytest.raises(ValueError, match=rf"device='{device}' cannot be used here: .* Use device='auto'\."):
        resolve_device(device)


@pytest.mark.parametrize(
    ("dtype", "data_dtype", "device", "expected"),
    [
        ("auto", "float64", CPU, torch.float64),
        ("auto", "float32", CPU, torch.float32),
        ("auto", "float64", CUDA, torch.float32),
        ("auto", "float64", MPS, torch.float32),
        ("float64", "float32", CPU, torch.float64),
        ("float64", "float32", CUDA, torch.float64),
        ("float32", "float64", CPU, torch.float32),
        ("bfloat16", "float64", CPU, torch.float32),
    ],
)
def test_precision_follows_the_data_where_the_device_has_it(dtype, data_dtype, device, expected):
    assert resolve_dtype(dtype, data_dtype, device) == expected


def test_mps_has_no_float64():
    with pytest.raises(ValueError, match="dtype='float64' does not exist on device 'mps': use dtype='auto'"):
        resolve_dtype("float64", "float64", MPS)


def test_the_global_random_state_is_seeded_inside_and_unchanged_outside():
    state = torch.get_rng_state()
    draws = []
    for seed in (1, 1, 2):
        with isolated_random_state(CPU, seed):
            draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_global_random_state_is_given_back_after_an_error():
    state = torch.get_rng_state()
    with contextlib.suppress(RuntimeError), isolated_random_state(CPU, 1):
        torch.rand(3)
        raise RuntimeError
    assert torch.equal(torch.get_rng_state(), state)


def openmp_threads():
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"}


@pytest.mark.parametrize(("n_parameters", "device", "expected"), [(10, CPU, 1), (10, CUDA, 2), (SMALL_NETWORK, CPU, 2)])
def test_small_networks_train_on_one_thread_of_the_cpu(n_parameters, device, expected):
    network = torch.nn.Linear(n_parameters, 1)  # one parameter more: the bias
    with threadpoolctl.threadpool_limits(2, user_api="openmp"):
        with limited_threads(network, device):
            assert openmp_threads() == {expected}
        assert openmp_threads() == {2}


def test_data_live_on_a_gpu_if_half_of_its_free_memory_holds_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 300)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    assert fits_on_device(599, CUDA)
    assert not fits_on_device(601, CUDA)
    assert fits_on_device(10**15, CPU)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, r"a pass holds up to 256 rows, batch_size \* \(1 \+ n_unlabeled\) \* \(1 \+ n_neighbors\)\)"),
        ({"n_unlabeled": 0.5}, "a pass holds up to 192 rows"),
        ({"adversary": "fgsm"}, r"a pass holds up to 384 rows, batch_size \* \(1 \+ n_unlabeled \+ 1 adversarial\) \*"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["gpu", "cpu"],
)
def test_too_little_memory_names_the_batch_size_and_the_remedy(params, message, error):
    clf = OffSupportRobustClassifier(device="cuda", batch_size=64, **params)
    message = rf"device='cuda' ran out of memory with batch_size=64: lower batch_size, .* \({message}"
    with pytest.raises(MemoryError, match=message), explained_out_of_memory(clf):
        raise error


def test_other_errors_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="shapes"), explained_out_of_memory(OffSupportRobustClassifier()):
        raise RuntimeError("shapes cannot be multiplied")
