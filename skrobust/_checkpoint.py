"""Training that goes on where it was killed: the file that keeps its state, and the callback that writes and reads it.

A state is a dict of tensors and plain values, so that nothing in it can be executed when it is loaded.
"""

import contextlib
import errno
import hashlib
import io
import os
import pathlib
import random
import warnings

import numpy as np
import torch
from skorch.callbacks import Callback

from skrobust._atomic import atomic_file
from skrobust._callbacks import told_of_interrupts
from skrobust._fingerprint import INITIAL_WEIGHTS, described_training, fingerprint
from skrobust._generators import random_sources, restore, state_of
from skrobust._plain import NotPlainError, plain, unplain

HEADER = b"skrobust checkpoint 1"
ENTRIES = {"description", "finished", "n_epochs", "seeds", "net", "callbacks", "random", "process"}


class DamagedError(Exception):
    """A file is not what a checkpoint should be."""


class CheckpointFile:
    """The last two states of one training in a folder.

    Parameters
    ----------
    folder : str or path
    description : dict of str to str
        What the training is made of (see :func:`skrobust._fingerprint.described_training`).

    Raises
    ------
    ValueError
        If the folder cannot be made.
    """

    def __init__(self, folder, description):
        self.folder = folder
        self.description = description
        self.owner = fingerprint(description)
        self.path = pathlib.Path(folder, "checkpoint.pt")
        self.before = pathlib.Path(folder, "checkpoint-before.pt")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"checkpoint_dir={str(folder)!r} cannot be made ({error.strerror}): name a folder that may be written."
            ) from error
        for unfinished in self.path.parent.glob(".checkpoint*.tmp"):
            unfinished.unlink(missing_ok=True)
        self.owners = {self.owner, self._owner()}

    def read(self, device):
        """Return the last state that is whole, its tensors on a device; None if there is none to go on from.

        Raises
        ------
        ValueError
            If there are damaged ones alone, or those of another training that has not ended.
        """
        damaged = []
        for path in (self.path, self.before):
            if not path.exists():
                continue
            try:
                state = _read(path, device)
            except DamagedError:
                damaged.append(path.name)
                continue
            return self._usable(state, damaged)
        if damaged:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} has nothing whole, {' and '.join(damaged)} cannot be read: "
                "delete the folder to train from the beginning, or name another one."
            )
        return None

    def _usable(self, state, damaged):
        other = [name for name, text in self.description.items() if state["description"].get(name) != text]
        if not state["finished"] and INITIAL_WEIGHTS in other:
            # Each process draws them anew if nobody seeds them; those of the state are the ones to go on with.
            other.remove(INITIAL_WEIGHTS)
        if not other:
            if damaged:
                warnings.warn(
                    f"checkpoint_dir={str(self.folder)!r}: {damaged[0]} cannot be read, training goes on from the "
                    f"state before it, after epoch {state['n_epochs']}.",
                    stacklevel=7,
                )
            return state
        if state["finished"] and not damaged:
            return None
        raise ValueError(
            f"checkpoint_dir={str(self.folder)!r} keeps a fit that has not ended, with other values of "
            f"{', '.join(other)}: restore them to go on with it, delete the folder, or name another one."
        )

    def write(self, state):
        """Keep a state, and the one before it; whatever goes wrong, one of them is whole.

        Raises
        ------
        OSError
            If it cannot be written.
        ValueError
            If another training has taken the folder meanwhile.
        """
        if self._owner() not in self.owners:
            raise ValueError(
                f"checkpoint_dir={str(self.folder)!r} is used by two fits at once: name a folder for each, or leave "
                "checkpoint_dir=None where fits run in parallel."
            )
        buffer = io.BytesIO()
        torch.save({**state, "description": self.description}, buffer)
        with atomic_file(self.path) as unfinished:
            with open(unfinished, "wb") as file:
                file.writelines([HEADER, b"\n", self.owner.encode(), b"\n", _checksum(buffer.getbuffer()), b"\n"])
                file.write(buffer.getbuffer())
            if self.path.exists():
                os.replace(self.path, self.before)
        self.owners = {self.owner}

    def _owner(self):
        """Return the fingerprint of the training that has the folder; that of this one if none has."""
        try:
            with open(self.path, "rb") as file:
                return [file.readline(100) for _ in range(2)][1].decode(errors="replace").strip()
        except FileNotFoundError:
            return self.owner


def _read(path, device):
    try:
        with open(path, "rb") as file:
            header, _, checksum = (file.readline(100).rstrip(b"\n") for _ in range(3))
            payload = file.read()
        if header != HEADER or checksum != _checksum(payload):
            raise DamagedError
        state = torch.load(io.BytesIO(payload), map_location=_on(device), weights_only=True)
    except (OSError, DamagedError):
        raise DamagedError from None
    except Exception as error:  # what torch raises at files of others has no common type
        raise DamagedError from error
    if not (isinstance(state, dict) and set(state) == ENTRIES):
        raise DamagedError
    return state


def _on(device):
    """Return where torch is to load tensors: those that were on a GPU to a device of that kind, others stay."""
    return lambda storage, place: (
        storage if place == "cpu" else torch.serialization.default_restore_location(storage, str(device))
    )


def _checksum(data):
    return hashlib.sha256(data).hexdigest().encode()


class Checkpoints(Callback):
    """Keep the state of training between epochs, and begin with one that was kept. The last of all callbacks.

    Parameters
    ----------
    file : CheckpointFile
    seeds : tuple of int
        Those of the training.
    every : int
        Epochs from one state to the next; the last one is kept in any case.
    n_epochs : int
        Epochs of the whole training.
    saved : dict or None
        The state to begin with.

    Attributes
    ----------
    is_writing : bool
        Whether states are written; of several processes that train together, one does.
    """

    def __init__(self, file, seeds, every, n_epochs, saved):
        self.file = file
        self.seeds = seeds
        self.every = every
        self.n_epochs = n_epochs
        self.saved = saved
        self.is_writing = True

    def on_train_begin(self, net, **kwargs):
        """Put everything into the state that was saved."""
        self.n_before_ = len(net.history)
        self.n_seen_ = self.n_kept_ = 0
        self.sources_ = random_sources(net)
        net.interrupted_epoch_ = None
        if self.saved is None:
            return
        self.process_ = _process_numbers()
        self.n_seen_ = self.n_kept_ = self.saved["n_epochs"]
        self._restore(net)
        net.max_epochs = 0 if self.saved["finished"] else self.n_epochs - self.n_seen_
        self.saved = None

    def on_epoch_end(self, net, **kwargs):
        """Keep the state if it is time to."""
        self.n_seen_ += 1
        is_last = self.n_seen_ == self.n_epochs
        if is_last or self.n_seen_ % self.every == 0:
            with told_of_interrupts(net, "while a checkpoint was written,"):
                self._write(net, finished=is_last)

    def on_train_end(self, net, **kwargs):
        """Keep the final state if another callback has ended training before this one was asked."""
        n_whole = len(net.history) - self.n_before_
        if n_whole > self.n_seen_ and net.interrupted_epoch_ != len(net.history):
            self.n_seen_ = n_whole
            with contextlib.suppress(KeyboardInterrupt), told_of_interrupts(net, "while a checkpoint was written,"):
                self._write(net, finished=True)

    def close(self):
        """Let go of everything, also where training was not ended in order."""
        if hasattr(self, "process_"):
            _set_process_numbers(self.process_)
        for name in ("process_", "sources_"):
            vars(self).pop(name, None)
        self.saved = None

    def _write(self, net, *, finished):
        if not self.is_writing:
            return
        try:
            self.file.write({**self._state(net), "finished": finished})
        except OSError as error:
            remedy = "free some space" if error.errno == errno.ENOSPC else "see to the folder"
            kept = f"the state after epoch {self.n_kept_} is kept" if self.n_kept_ else "no state is kept"
            warnings.warn(
                f"checkpoint_dir={str(self.file.folder)!r} cannot be written after epoch {self.n_seen_} "
                f"({error.strerror}): training goes on and {kept}; {remedy}.",
                stacklevel=2,
            )
        else:
            self.n_kept_ = self.n_seen_

    def _state(self, net):
        return {
            "n_epochs": self.n_seen_,
            "seeds": self.seeds,
            "net": _net_state(net),
            "callbacks": {name: _callback_state(name, each) for name, each in net.callbacks_ if each is not self},
            "random": {path: state_of(source) for path, source in self.sources_.items()},
            "process": _process_numbers(),
        }

    def _restore(self, net):
        saved = self.saved
        if set(saved["random"]) != set(self.sources_):
            odd = sorted(set(saved["random"]) ^ set(self.sources_))
            raise ValueError(
                f"checkpoint_dir={str(self.file.folder)!r} cannot be gone on with: it knows other random generators "
                f"than there are now, {', '.join(odd)}: have your objects make theirs in __init__."
            )
        _restore_net(net, saved["net"])
        for name, each in net.callbacks_:
            _restore_callback(each, saved["callbacks"].get(name, {}))
        for path, source in self.sources_.items():
            restore(source, saved["random"][path])
        _set_process_numbers(saved["process"])


def make_checkpoints(estimator, run, data, device, net, seeds):
    """Return the callback that keeps and restores the state of a fit; None if nothing is to be kept.

    Its attribute `seeds` has those that the fit is to use.
    """
    if estimator.checkpoint_dir is None or run.is_partial:
        return None
    file = CheckpointFile(estimator.checkpoint_dir, described_training(estimator, data, device, net))
    saved = file.read(device)
    seeds = seeds if saved is None else saved["seeds"]
    return Checkpoints(file, tuple(seeds), estimator.checkpoint_every, run.n_epochs, saved)


def _net_state(net):
    return {
        "weights": plain(dict(net.module_.state_dict()), "weights"),
        "modes": [module.training for module in net.module_.modules()],
        "optimizer": plain(net.optimizer_.state_dict(), "optimizer"),
        "history": plain(list(net.history), "history"),
    }


def _restore_net(net, saved):
    net.module_.load_state_dict(saved["weights"])
    for module, mode in zip(net.module_.modules(), saved["modes"], strict=True):
        module.training = mode
    _restore_optimizer(net.optimizer_, unplain(saved["optimizer"]))
    net.history[:] = unplain(saved["history"])


def _restore_optimizer(optimizer, saved):
    groups = optimizer.param_groups
    optimizer.load_state_dict(saved)
    # Schedules hold on to the groups that were there when training began.
    for group, loaded in zip(groups, optimizer.param_groups, strict=True):
        group.update(loaded)
    optimizer.param_groups = groups
    # torch makes all of the type of the parameters, which rounds otherwise than before.
    params = [param for group in groups for param in group["params"]]
    for index, values in saved["state"].items():
        optimizer.state[params[index]].update({key: v for key, v in values.items() if isinstance(v, torch.Tensor)})


def _callback_state(name, callback):
    """Return the state of a callback: what it says itself, else its plain attributes and the states of others."""
    if _has_state(callback):
        return {"own": plain(callback.state_dict(), name)}
    kept, nested = {}, {}
    for attribute, value in vars(callback).items():
        if _has_state(value):
            nested[attribute] = plain(value.state_dict(), f"{name}.{attribute}")
            continue
        with contextlib.suppress(NotPlainError, RecursionError):
            kept[attribute] = plain(value, attribute)
    return {"attributes": kept, "nested": nested}


def _restore_callback(callback, saved):
    if "own" in saved:
        callback.load_state_dict(unplain(saved["own"]))
    vars(callback).update(unplain(saved.get("attributes", {})))
    for attribute, state in saved.get("nested", {}).items():
        getattr(callback, attribute).load_state_dict(unplain(state))


def _has_state(value):
    # Networks and optimizers in callbacks are those of the net, which are kept already.
    known = isinstance(value, (torch.nn.Module, torch.optim.Optimizer, type))
    return not known and hasattr(value, "state_dict") and hasattr(value, "load_state_dict")


def _process_numbers():
    """Return the states of the global generators of Python and numpy, from which code of the user may draw."""
    return {"python": random.getstate(), "numpy": plain(np.random.get_state(legacy=False), "numpy")}  # noqa: NPY002


def _set_process_numbers(state):
    random.setstate(state["python"])
    np.random.set_state(unplain(state["numpy"]))  # noqa: NPY002
