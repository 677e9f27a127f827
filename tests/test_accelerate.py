"""Training that several processes share, with real processes, against one process."""

import copy
import itertools
import os
import pathlib
import pickle
import subprocess
import sys
import types

import accelerate_cases as cases
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from sklearn.base import clone

from skrobust import OffSupportRobustClassifier
from skrobust._parallel import Together

SCRIPT = pathlib.Path(cases.__file__)
# With cpu=True in the script, as many processes on the CPU as --multi_gpu would start on GPUs.
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1", "--mixed_precision", "no"]


@pytest.fixture(scope="module")
def launched(tmp_path_factory):
    """Return what each of two processes found, the number of them, and what they printed."""
    n = 2
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, *LAUNCH, "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["--num_processes", str(n), str(SCRIPT), str(folder)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)  # noqa: S603
    assert done.returncode == 0, done.stderr
    found = [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(n)]
    return types.SimpleNamespace(found=found, n=n, printed=done.stdout + done.stderr)


def assert_close(outcome, expected):
    """Assert that the same was trained, within rounding."""
    for name, value in expected["weights"].items():
        np.testing.assert_allclose(outcome["weights"][name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    assert len(outcome["history"]) == len(expected["history"])
    for epoch, other in zip(outcome["history"], expected["history"], strict=True):
        assert epoch == pytest.approx(other, rel=1e-9, abs=1e-12)


def test_one_process_and_several_end_with_the_same_weights(launched):
    X, y = cases.data()
    assert [found["n_processes"] for found in launched.found] == [launched.n] * launched.n
    for name in cases.CASES:
        assert_close(launched.found[0][name], cases.outcome(cases.classifier(name).fit(X, y), X))
    stream = cases.streamed(cases.classifier("default"), X, y)
    assert_close(launched.found[0]["stream"], cases.outcome(stream, X))


def test_every_process_has_the_same_bits(launched):
    """Also where each came with seeds and weights of its own."""
    first, *others = launched.found
    for name in [*cases.CASES, "stream", "unseeded", "instance", "kept", "gone_on"]:
        for other in others:
            assert first[name]["history"] == other[name]["history"], name
            np.testing.assert_equal(first[name]["weights"], other[name]["weights"], err_msg=name)


def test_the_cases_tell_trainings_apart(launched):
    found = launched.found[0]
    weights = [found[name]["weights"]["0.weight"] for name in ("default", "plain", "jacobian", "pgd", "unseeded")]
    for i, some in enumerate(weights):
        assert all(np.abs(some - other).max() > 1e-6 for other in weights[:i])


def test_processes_pass_rows_of_their_own(launched):
    for passes in zip(*[found["masks"]["by_layer"] for found in launched.found], strict=True):
        lengths = [len(mask) for mask in passes]
        assert sum(lengths) in (4 * 23, 4 * 22), "anchors and neighbors of 23 or 22 rows"
        assert max(lengths) - min(lengths) <= 1


def test_layers_drop_the_same_units_of_rows_and_neighbors_that_different_processes_pass(launched):
    for passes in zip(*[found["masks"]["by_layer"] for found in launched.found], strict=True):
        anchors, neighbors = np.split(np.concatenate(passes), 2)
        np.testing.assert_array_equal(anchors, neighbors)
        assert 0.4 < (anchors[:-1] == anchors[1:]).mean() < 0.6


def test_functions_drop_other_units_in_each_process_and_pass(launched):
    first, other = (found["masks"]["by_function"] for found in launched.found)
    masks = [mask[:40] for mask in (*first, *other)]
    assert all(0.4 < (one == another).mean() < 0.6 for one, another in itertools.combinations(masks, 2))


def test_a_training_that_goes_on_from_a_checkpoint_ends_with_the_same_bits(launched):
    for found in launched.found:
        np.testing.assert_equal(found["gone_on"]["weights"], found["kept"]["weights"])
        assert found["files"] == ["checkpoint-before.pt", "checkpoint.pt"]


def test_only_the_first_process_shows_its_progress(launched):
    finished = [line for line in launched.printed.replace("\r", "\n").splitlines() if "3/3" in line]
    assert {line.split("%")[0] for line in finished} == {"fit: 100"}
    assert launched.printed.count("0/3 [00:00<?, ?epoch/s]") == 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("rows", "processes with other values of X, y: give all of them the same parameters and all rows"),
        ("batch_size", "processes with other values of batch_size: give all of them the same parameters"),
        ("batch_norm", "would normalize by its own rows in '0' of the network: use a module without batch norm"),
        ("recomputing", "has {} processes, which cannot draw the masks of dropout again where the network is rec"),
        ("folders", "as the {} processes of accelerator see it: name a folder that all of them share"),
    ],
)
def test_what_processes_cannot_share_is_refused_in_all_of_them(launched, name, sentence):
    for found in launched.found:
        assert sentence.format(launched.n) in found["refused"][name]


# One process


@pytest.fixture(scope="module")
def accelerator():
    """Return the accelerator of this one process."""
    return Accelerator(cpu=True)


def test_one_process_with_an_accelerator_has_the_bits_of_one_without(accelerator):
    X, y = cases.data()
    with_one, without = (
        cases.outcome(cases.classifier("pgd", accelerator=value).fit(X, y), X) for value in (accelerator, None)
    )
    np.testing.assert_equal(with_one, without)


def test_copies_share_the_accelerator_and_pickles_leave_it_out(accelerator, quick, blobs):
    clf = quick(accelerator=accelerator).fit(*blobs)
    assert clone(clf).accelerator is copy.deepcopy(clf).accelerator is copy.copy(clf).accelerator is accelerator
    loaded = pickle.loads(pickle.dumps(clf))
    assert loaded.accelerator is None
    assert clf.accelerator is accelerator, "pickling leaves the classifier itself alone"
    np.testing.assert_array_equal(loaded.predict_proba(blobs[0]), clf.predict_proba(blobs[0]))


def stand_in(**attributes):
    """Return what looks like an accelerator."""
    known = {"device": torch.device("cpu"), "num_processes": 1, "process_index": 0, "is_main_process": True}
    known |= {"distributed_type": "NO", "gather": None, "reduce": None}
    return types.SimpleNamespace(**{**known, **attributes})


@pytest.mark.parametrize(
    ("accelerator", "sentence"),
    [
        ("cpu", "accelerator='cpu' is not one: give an accelerate.Accelerator, or None"),
        (stand_in(distributed_type="FSDP"), "distributed_type='FSDP', which shares out the network: start it with"),
        (stand_in(mixed_precision="fp16"), "mixed_precision='fp16': leave it at 'no', and set dtype='bfloat16'"),
        (stand_in(gradient_accumulation_steps=4), "gradient_accumulation_steps=4: leave it at 1, and raise batch_size"),
    ],
)
def test_accelerators_that_do_more_than_connect_are_refused(quick, blobs, accelerator, sentence):
    with pytest.raises(ValueError, match=sentence):
        quick(accelerator=accelerator).fit(*blobs)


def test_a_device_that_is_not_the_accelerators_is_refused(accelerator, quick, blobs):
    with pytest.raises(ValueError, match="device='cuda:3' contradicts the accelerator, which is on 'cpu': leave"):
        quick(accelerator=accelerator, device="cuda:3").fit(*blobs)
    quick(accelerator=accelerator, device="cpu").fit(*blobs)


@pytest.mark.parametrize("n_processes", [2, 3, 7])
@pytest.mark.parametrize("n_rows", [0, 1, 5, 6, 21])
def test_parts_cover_all_rows_once(n_processes, n_rows):
    parts = [Together(stand_in(num_processes=n_processes, process_index=i)).part(n_rows) for i in range(n_processes)]
    assert [row for part in parts for row in range(n_rows)[part]] == list(range(n_rows))
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_the_parameter_is_none_by_default():
    assert OffSupportRobustClassifier().accelerator is None
