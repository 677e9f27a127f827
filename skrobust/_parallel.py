"""Training that several processes share: each passes some rows of every batch through its copy of the network.

Every process draws the same batch, anchors and noise from the same seeds, and computes the same loss. Only the passes
are shared out, by rows: what goes in is cut into parts, what comes out is gathered. Both are operations whose gradients
are each other (as f and g in Megatron-LM, Shoeybi et al., 2019, arXiv:1909.08053), also when they are differentiated
twice. The sum over the processes of the gradients of the parameters is then that of one process.
"""

import collections
import contextlib
import functools
import itertools

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from skrobust._fingerprint import INITIAL_WEIGHTS, described_training, fingerprint
from skrobust._net import Passes
from skrobust._runtime import RandomStream, random_stream, resolve_device

USED = ("device", "num_processes", "process_index", "is_main_process", "distributed_type", "gather", "reduce")


class Alone:
    """The one process that trains."""

    is_main = True
    passes = Passes

    def device(self, device):
        """Return the torch.device that the parameter ``device`` names."""
        return resolve_device(device)

    def seeds(self, seeds):
        """Return the seeds that all processes are to use."""
        return seeds

    def check_same(self, estimator, data, device, net):
        """Do nothing: there is no other process whose data could differ."""

    def checkpoints(self, checkpoints):
        """Return the checkpoints of this process."""
        return checkpoints

    def agree_on(self, network):
        """Do nothing: there are no other weights."""

    def score(self, score):
        """Return the function that scores held-out rows."""
        return score


class Together(Alone):
    """Several processes that train one network.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    """

    def __init__(self, accelerator):
        self.accelerator = accelerator
        self.n, self.index = accelerator.num_processes, accelerator.process_index
        self.is_main = accelerator.is_main_process
        self.passes = functools.partial(SharedPasses, self)

    def device(self, device):
        """Return the torch.device of this process."""
        return _device(self.accelerator, device)

    def seeds(self, seeds):
        """Return the seeds of the first process."""
        return type(seeds)(*self._everyones(seeds)[0].tolist())

    def check_same(self, estimator, data, device, net):
        """Raise a ValueError if data or parameters, seeds apart, are not the same in all processes."""
        described = described_training(estimator, data, device, net)
        for name in ("random_state", INITIAL_WEIGHTS):  # those of the first process count
            described.pop(name)
        marks = self._everyones([int(fingerprint({name: text})[:15], 16) for name, text in described.items()])
        other = [name for name, mark in zip(described, marks.T, strict=True) if (mark != mark[0]).any()]
        if other:
            raise ValueError(
                f"accelerator has {self.n} processes with other values of {', '.join(other)}: give all of them the "
                "same parameters and all rows, which are shared out batch by batch."
            )

    def checkpoints(self, checkpoints):
        """Return the checkpoints of this process: all go on from them, but only the first one writes.

        Raises
        ------
        ValueError
            If not all processes find the same.
        """
        if checkpoints is None:
            return None
        checkpoints.is_writing = self.is_main
        found = self._everyones([0 if checkpoints.saved is None else checkpoints.saved["n_epochs"]]).flatten()
        if (found != found[0]).any():
            raise ValueError(
                f"checkpoint_dir={str(checkpoints.file.folder)!r} has states after epochs {found.tolist()}, as the "
                f"{self.n} processes of accelerator see it: name a folder that all of them share."
            )
        return checkpoints

    def agree_on(self, network):
        """Give a network the weights of the first process.

        Raises
        ------
        ValueError
            If it has batch normalization, which ties the rows of a batch together.
        """
        tied = [name for name, layer in network.named_modules() if isinstance(layer, _BatchNorm)]
        if tied:
            raise ValueError(
                f"accelerator has {self.n} processes, each of which would normalize by its own rows in {tied[0]!r} of "
                "the network: use a module without batch normalization (GroupNorm or LayerNorm will do), or "
                "accelerator=None."
            )
        with torch.no_grad():
            for values in network.state_dict().values():
                values.copy_(self.accelerator.reduce(values if self.is_main else torch.zeros_like(values), "sum"))

    def score(self, score):
        """Return the function that scores held-out rows: all processes get the score of the first one."""
        if score is None:
            return None
        return lambda: self._everyones([score()], torch.float64).flatten()[0].item()

    def part(self, n_rows):
        """Return which of so many rows are those of this process: a slice, of nearly the same length in each."""
        start, stop = (self._start(index, n_rows) for index in (self.index, self.index + 1))
        return slice(start, stop)

    def gathered(self, part, n_rows):
        """Return the rows of all processes from those of each, Tensor of shape (n_rows, ...)."""
        longest = -(-n_rows // self.n)
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part
        everyones = self.accelerator.gather(padded)
        if longest * self.n == n_rows:
            return everyones
        starts = [self._start(index, n_rows) for index in range(self.n + 1)]
        lengths = [stop - start for start, stop in itertools.pairwise(starts)]
        return torch.cat([rows[:n] for rows, n in zip(everyones.split(longest), lengths, strict=True)])

    def sum_gradients(self, network):
        """Replace the gradients of a network by their sums over all processes, in one message."""
        params = [param for param in network.parameters() if param.requires_grad]
        has_one = torch.tensor([param.grad is not None for param in params], device=params[0].device)
        parts = [torch.zeros_like(param) if param.grad is None else param.grad for param in params]
        summed = self.accelerator.reduce(torch.cat([part.flatten() for part in parts] + [has_one.to(parts[0])]), "sum")
        *sums, n_having = summed.split([part.numel() for part in parts] + [len(parts)])
        for param, values, n in zip(params, sums, n_having, strict=True):
            # Asking a GPU for n takes time: no process but one whose gradient is missing need know.
            if param.grad is None and n > 0:
                param.grad = torch.zeros_like(param)
            if param.grad is not None:
                # Fused optimizers take gradients to lie in memory as their parameters do, channels last, say.
                param.grad.copy_(values.view_as(param))

    def _start(self, index, n_rows):
        return index * (n_rows // self.n) + min(index, n_rows % self.n)

    def _everyones(self, values, dtype=torch.int64):
        """Return the numbers of all processes, Tensor of shape (n_processes, n_values)."""
        return self.accelerator.gather(torch.tensor([list(values)], dtype=dtype, device=self.accelerator.device)).cpu()


class OneOfAccelerate(Alone):
    """The one process of an accelerator.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    """

    def __init__(self, accelerator):
        self.accelerator = accelerator

    def device(self, device):
        """Return the torch.device of the accelerator."""
        return _device(self.accelerator, device)


def processes_of(accelerator):
    """Return the processes that the parameter ``accelerator`` stands for.

    Raises
    ------
    ValueError
        If it is no accelerator, or does what this training does by itself or not at all.
    """
    if accelerator is None:
        return Alone()
    if not all(hasattr(accelerator, name) for name in USED):
        raise ValueError(f"accelerator={accelerator!r} is not one: give an accelerate.Accelerator, or None.")
    kind = getattr(accelerator.distributed_type, "value", accelerator.distributed_type)
    if not (kind == "NO" or kind.startswith("MULTI_")):
        raise ValueError(
            f"accelerator has distributed_type={kind!r}, which shares out the network: start it with whole copies, as "
            "accelerate launch --multi_gpu does."
        )
    _check_plain(accelerator)
    return Together(accelerator) if accelerator.num_processes > 1 else OneOfAccelerate(accelerator)


def _check_plain(accelerator):
    """Raise a ValueError if an accelerator is to do more than to connect processes."""
    precision = getattr(accelerator, "mixed_precision", "no")
    if precision != "no":
        raise ValueError(
            f"accelerator has mixed_precision={precision!r}: leave it at 'no', and set dtype='bfloat16' for the "
            "classifier."
        )
    n_steps = getattr(accelerator, "gradient_accumulation_steps", 1)
    if n_steps != 1:
        raise ValueError(
            f"accelerator has gradient_accumulation_steps={n_steps!r}: leave it at 1, and raise batch_size, which "
            "counts the rows of all processes."
        )


def _device(accelerator, device):
    if str(device) != "auto" and torch.device(device) != accelerator.device:
        raise ValueError(
            f"device={str(device)!r} contradicts the accelerator, which is on {str(accelerator.device)!r}: leave "
            "device='auto'."
        )
    return accelerator.device


class Share(torch.autograd.Function):
    """Rows to the part of them that is this process's; its gradient is gathered."""

    @staticmethod
    def forward(ctx, rows, processes):
        """Return the part."""
        ctx.processes, ctx.n_rows = processes, len(rows)
        return rows[processes.part(len(rows))].clone()

    @staticmethod
    def backward(ctx, gradient):
        """Return the gradients of all parts."""
        return Gather.apply(gradient, ctx.n_rows, ctx.processes), None


class Gather(torch.autograd.Function):
    """Parts of rows to all of them; its gradient is shared out."""

    @staticmethod
    def forward(ctx, part, n_rows, processes):
        """Return all rows."""
        ctx.processes = processes
        return processes.gathered(part, n_rows)

    @staticmethod
    def backward(ctx, gradient):
        """Return the part of the gradient that is this process's."""
        return Share.apply(gradient, ctx.processes), None, None


class SharedPasses(Passes):
    """The passes of training, each of which several processes share.

    Parameters
    ----------
    processes : Together
    net : OffSupportNet
    labeled : LabeledRows
    copies : Copies
    """

    def __init__(self, processes, net, labeled, copies):
        super().__init__(net, labeled, copies)
        self.processes = processes
        self.net, self.n_passes = net, collections.Counter()
        copies.n_processes = processes.n
        self.applied_here = net.applied
        self.applied = self._applied_by_all
        self.infer = lambda points: self.applied(self.network, self.shaped(points.to(self.device)))

    def differentiate(self, loss):
        """Compute the gradients of a loss, the same in all processes."""
        super().differentiate(loss)
        self.processes.sum_gradients(self.network)

    def _applied_by_all(self, function, rows):
        own, part = Share.apply(rows, self.processes), self.processes.part(len(rows))
        with self._own_numbers() as in_step, self.copies.shared_out(part, len(rows), in_step):
            outputs = self.applied_here(function, own)
        return Gather.apply(outputs, len(rows), self.processes)

    @contextlib.contextmanager
    def _own_numbers(self):
        """Within this context, draw other numbers than the other processes; yield a context to draw the same ones in.

        A network may draw as many numbers as it has rows, which differ: afterwards all go on with the same ones.
        """
        everyones = RandomStream.current
        with random_stream(torch.device(self.device), self._own_seed()) as own:
            yield functools.partial(_turn, everyones, own)

    def _own_seed(self):
        # Nothing is drawn for it: one process has none to draw. Checkpoints, made between epochs, know the epoch.
        epoch = len(self.net.history)
        self.n_passes[epoch] += 1
        source = np.random.SeedSequence([torch.initial_seed(), epoch, self.n_passes[epoch], self.processes.index])
        return int(source.generate_state(1, np.uint64)[0] >> 1)


@contextlib.contextmanager
def _turn(stream, other):
    """Within this context, it is the turn of a stream of random numbers; afterwards, of another one."""
    with stream:
        yield
    with other:
        pass
