"""Where and how training runs: device, precision, threads, and the random state of the process."""

import contextlib
import dataclasses
import functools
import os
import threading

import threadpoolctl
import torch

# Parameters up to which a network trains on one thread: on two contended ones, searches over small networks were
# twenty times slower.
SMALL_NETWORK = 2_000_000


def resolve_device(device):
    """Return the torch.device that the parameter ``device`` names; "auto" is CUDA, else MPS, else the CPU."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device={device!r} cannot be used here: {_first_line(error)} Use device='auto'.") from error
    return resolved


def resolve_dtype(dtype, data_dtype, device):
    """Return the floating point type of parameters and data as a torch.dtype."""
    if dtype == "auto":
        dtype = str(data_dtype) if device.type == "cpu" else "float32"
    if dtype == "float64" and device.type == "mps":
        raise ValueError("dtype='float64' does not exist on device 'mps': use dtype='auto' or 'float32'.")
    return torch.float64 if dtype == "float64" else torch.float32


class RandomStream:
    """The random numbers of one training, where other threads may train at the same time.

    torch has one global generator per device for all threads, and dropout draws from it. Within this context nobody
    else draws, and the generators continue this stream. They are left with it until it is another stream's turn, so
    that a process that trains in one thread has nothing to copy.
    """

    lock = threading.RLock()
    current = None

    def __init__(self):
        self.state = None
        self.is_open = True

    def __enter__(self):
        RandomStream.lock.acquire()
        try:
            self._take_over()
        except BaseException:  # Ctrl-C or a broken device must not stop all other threads for good
            RandomStream.lock.release()
            raise
        return self

    def __exit__(self, *exception):
        RandomStream.lock.release()

    def _take_over(self):
        if RandomStream.current is self:
            return
        RandomStream.current.state = _global_random_state()
        RandomStream.current = self
        if self.state is not None:
            _set_global_random_state(self.state)

    def close(self, before):
        """Put the stream that was there before into place, or that of the process if that one is closed too."""
        self.is_open = False
        with RandomStream.lock:
            if RandomStream.current is self:
                (before if before.is_open else PROCESS)._take_over()

    def get_state(self):
        """Return the state of the generators: dict of tensors."""
        with self:
            return _global_random_state()

    def set_state(self, state):
        """Continue from a state."""
        with self:
            _set_global_random_state(state)


# The numbers of all that is not training.
RandomStream.current = PROCESS = RandomStream()


def _global_random_state():
    state = {"cpu": torch.default_generator.get_state()}
    if torch.cuda.is_initialized():
        state |= {f"cuda:{i}": source.get_state() for i, source in enumerate(torch.cuda.default_generators)}
    return state


def _set_global_random_state(state):
    sources = {"cpu": torch.default_generator}
    sources |= {f"cuda:{i}": source for i, source in enumerate(torch.cuda.default_generators)}
    for name, value in state.items():
        sources[name].set_state(value.cpu())


@contextlib.contextmanager
def random_stream(device, seed):
    """Yield a new stream of random numbers; torch's global generators are left as they were found.

    Within this context they continue the stream as long as no other thread trains; to rely on that, enter the stream.
    """
    if device.type == "cuda":
        torch.cuda.init()  # or its generators could not be left as they are now
    stream = RandomStream()
    with RandomStream.lock:
        before = RandomStream.current
        with stream:
            seed_global_generators(device, seed)
    try:
        yield stream
    finally:
        stream.close(before)


def seed_global_generators(device, seed):
    """Seed the global generators that a device draws from, that of the CPU among them."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)


@dataclasses.dataclass(frozen=True)
class InTurns:
    """An objective whose random numbers are its own, also if other threads train at the same time.

    Parameters
    ----------
    objective : objective
    stream : RandomStream
    """

    objective: object
    stream: object

    def __call__(self, *batch):
        """Return the step of a batch."""
        with self.stream:
            return self.objective(*batch)

    def begin_epoch(self, *args):
        """Let the objective begin an epoch."""
        with self.stream:
            self.objective.begin_epoch(*args)


@contextlib.contextmanager
def isolated_random_state(device, seed):
    """Seed torch's global generators within this context, and leave them as they were found.

    Nothing else trains meanwhile.
    """
    with random_stream(device, seed) as stream, stream:
        yield


def limited_threads(network, device, n_threads=None):
    """Return a context in which a network computes with some threads of the CPU; None chooses.

    That is one for a small network, for which a second would only wait for the first, and as many as torch would take
    for others. The context counts for its own Python thread alone.
    """
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    if n_threads is None and device.type == "cpu" and n_parameters <= SMALL_NETWORK:
        n_threads = 1
    if _Forked.is_child:
        n_threads = 1
    if n_threads is None:
        return contextlib.nullcontext()
    torch.get_num_threads()  # a new Python thread sets its number at first sight, which would undo the limit
    return _openmp().limit(limits=n_threads)


class _Forked:
    """Whether this process was forked off another one."""

    is_child = False


def _after_fork():
    # The threads of OpenMP and the holder of the lock have stayed behind: to wait for either would never end.
    _Forked.is_child = True
    RandomStream.lock = threading.RLock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _openmp():
    return threadpoolctl.ThreadpoolController().select(user_api="openmp")


def fits_on_device(n_bytes, device):
    """Return whether data of this size may live on the device: half of the free memory is left to training."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    # What earlier fits have given back is kept by torch for later ones, and counts as taken elsewhere.
    reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return n_bytes < (free + reusable) / 2


@contextlib.contextmanager
def explained_out_of_memory(estimator):
    """Within this context, too little memory on the device is a MemoryError that names the remedy."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        explained = MemoryError(
            f"device={estimator.device!r} ran out of memory with batch_size={estimator.batch_size}: lower batch_size, "
            f"n_unlabeled or n_neighbors (a pass holds up to {_rows_of_a_pass(estimator)} rows, batch_size * (1 + "
            f"n_unlabeled{'' if estimator.adversary is None else ' + 1 adversarial'}) * (1 + n_neighbors))."
        )
        for note in getattr(error, "__notes__", []):
            explained.add_note(note)
        raise explained from error


def _rows_of_a_pass(estimator):
    anchors = 1 + estimator.n_unlabeled + (estimator.adversary is not None)
    return round(estimator.batch_size * anchors * (1 + estimator.n_neighbors))


def _first_line(error):
    return str(error).strip().split("\n")[0].rstrip(".") + "."
