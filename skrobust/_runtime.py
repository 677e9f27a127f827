"""Where and how training runs: device, precision, threads, and the random state of the process."""

import contextlib
import functools

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


@contextlib.contextmanager
def isolated_random_state(device, seed):
    """Seed torch's global generators within this context, and leave them as they were found."""
    is_cuda = device.type == "cuda"
    index = torch.cuda.current_device() if is_cuda and device.index is None else device.index
    with torch.random.fork_rng(devices=[index] if is_cuda else []):
        torch.default_generator.manual_seed(seed)
        if is_cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def limited_threads(network, device):
    """Return a context in which a small network trains on one thread: a second one would only wait for the first."""
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    if device.type != "cpu" or n_parameters > SMALL_NETWORK:
        return contextlib.nullcontext()
    return _openmp().limit(limits=1)


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
def explained_out_of_memory(device, batch_size):
    """Within this context, too little memory on the device is a MemoryError that names the remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(
            f"device={device!r} ran out of memory with batch_size={batch_size}: lower batch_size, n_unlabeled or "
            "n_neighbors (each pass holds batch_size * (1 + n_unlabeled) * (1 + n_neighbors) rows)."
        ) from error


def _first_line(error):
    return str(error).strip().split("\n")[0].rstrip(".") + "."
