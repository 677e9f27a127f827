"""Training data as tensors: rows, whole-batch iteration, and the moments of the training rows.

skorch's default loader collates a batch row by row, which for small networks costs more than the training step.
Here a batch is one ``index_select``.
"""

import dataclasses
import math

import numpy as np
import torch

__all__ = ["BatchIterator", "Moments", "Rows", "systematic_sample"]


class Rows(torch.utils.data.Dataset):
    """Labeled rows held as tensors.

    Parameters
    ----------
    X : Tensor of shape (n, n_features)
    y : Tensor of shape (n,), int64
    weight : Tensor of shape (n,), default=None
        Row weights with mean 1; None means that all rows weigh the same.

    Examples
    --------
    >>> import torch
    >>> from skrobust.data import Rows
    >>> rows = Rows(torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64))
    >>> len(rows), rows[torch.tensor([0, 3])][0].shape
    (5, torch.Size([2, 2]))
    """

    def __init__(self, X, y, weight=None):
        self.X = X
        self.y = y
        self.weight = weight

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        """Return (X, y) or, with weights, (X, (y, weight)) for one index, a slice or a tensor of indices."""
        if self.weight is None:
            return _taken(self.X, index), _taken(self.y, index)
        return _taken(self.X, index), (_taken(self.y, index), _taken(self.weight, index))


class _Shared:
    """The memory of an array, as numpy asks for it."""

    def __init__(self, array):
        self.array = array  # keeps the memory
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def shared_view(array):
    """Return a view of a read-only array that claims to be writable, for torch, which knows no others.

    So rows that are mapped into memory stay on disk. To write to them would end the process.
    """
    return np.asarray(_Shared(array))


def _taken(values, index):
    if isinstance(index, slice):
        return values[index].clone()  # what is done to a batch in place must not reach the rows
    # index_select copies whole rows, which is several times faster than general indexing.
    return values.index_select(0, index) if isinstance(index, torch.Tensor) else values[index]


class BatchIterator:
    """Iterate over :class:`Rows` in whole batches of nearly equal size.

    Parameters
    ----------
    dataset : Rows
    batch_size : int
        Largest number of rows in a batch. The rows are dealt into ``ceil(n / batch_size)`` batches whose sizes differ
        by at most one, so that no epoch ends with a batch of one row (which batch normalization cannot train on).
    shuffle : bool, default=False
        Draw a new order every epoch. A single batch that holds all rows is never shuffled: order would only add
        rounding noise, and weights would no longer equal repetitions to the last digit.
    drop_last : bool, default=False
        Use full batches only; left out if there would be none.
    generator : torch.Generator, default=None
        Source of the order, on the device of the rows.

    Examples
    --------
    >>> import torch
    >>> from skrobust.data import BatchIterator, Rows
    >>> rows = Rows(torch.zeros(10, 2), torch.zeros(10, dtype=torch.int64))
    >>> [len(X) for X, y in BatchIterator(rows, batch_size=4)]
    [4, 3, 3]
    """

    def __init__(self, dataset, batch_size, *, shuffle=False, drop_last=False, generator=None):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    def __len__(self):
        n_rows = len(self.dataset)
        if self.drop_last and n_rows >= self.batch_size:
            return n_rows // self.batch_size
        return math.ceil(n_rows / self.batch_size)

    def __iter__(self):
        n_rows, n_batches = len(self.dataset), len(self)
        if n_batches == 1 and n_rows <= self.batch_size:
            yield self.dataset[:]
            return
        device = self.dataset.X.device
        if self.shuffle:
            order = torch.randperm(n_rows, generator=self.generator, device=device)
        else:
            order = torch.arange(n_rows, device=device)
        if self.drop_last:
            order = order[: n_batches * self.batch_size]
        for index in order.tensor_split(n_batches):
            yield self.dataset[index]


def systematic_sample(position, weight, n, generator):
    """Draw row indices with expected counts proportional to weights, as evenly as possible (Madow, 1949).

    The rows are laid out along a line in the order of `position`, each as long as its weight, and read off at `n`
    equally spaced points behind a random start. The result depends on neither the order of the rows nor on whether
    a row of weight 2 is given once or twice.

    Parameters
    ----------
    position : Tensor of shape (n_rows,)
        The order of the rows: any number that is a function of the row alone.
    weight : Tensor of shape (n_rows,)
        Nonnegative weights.
    n : int
        Number of indices to draw.
    generator : torch.Generator

    Returns
    -------
    index : Tensor of shape (n,), int64

    Examples
    --------
    >>> import torch
    >>> from skrobust.data import systematic_sample
    >>> generator = torch.Generator().manual_seed(0)
    >>> index = systematic_sample(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 1.0]), 4, generator)
    >>> index.sort().values
    tensor([0, 1, 1, 2])
    """
    order = position.argsort()
    edges = weight[order].to(widest_float(weight.device)).cumsum(0)
    start = torch.rand((), generator=generator, device=weight.device, dtype=edges.dtype)
    ticks = (torch.arange(n, device=weight.device) + start) * (edges[-1] / n)
    return order[torch.searchsorted(edges, ticks, right=True).clamp_max(len(order) - 1)]


def widest_float(device):
    """Return the floating point type of highest precision that a device has: MPS has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclasses.dataclass(frozen=True)
class Moments:
    """Weighted moments and ranges of the training rows, which can be merged batch by batch.

    Parameters
    ----------
    weight : float
        Sum of the row weights.
    mean, variance : ndarray of shape (n_features,), float64
        Weighted mean, and weighted mean of squared deviations from it.
    low, high : ndarray of shape (n_features,), float64
        Smallest and largest value of each feature.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.data import Moments
    >>> moments = Moments.of(np.array([[0.0, 1.0], [2.0, 1.0]]))
    >>> moments.std, moments.data_scale
    (array([1., 0.]), 1.4142135623730951)
    """

    weight: float
    mean: np.ndarray
    variance: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, X, weight=None, *, chunk_size=4096):
        """Return the moments of an array of shape (n, n_features), read in chunks to keep memory flat."""
        parts = (
            cls._of_chunk(X[start : start + chunk_size], None if weight is None else weight[start : start + chunk_size])
            for start in range(0, len(X), chunk_size)
        )
        moments = next(parts)
        for part in parts:
            moments = moments.merged(part)
        return moments

    @classmethod
    def _of_chunk(cls, X, weight):
        X = np.asarray(X, dtype=np.float64)
        weight = np.ones(len(X)) if weight is None else np.asarray(weight, dtype=np.float64)
        total = weight.sum()
        with np.errstate(over="ignore", invalid="ignore"):  # activations of a network that diverges, which says so
            mean = weight @ X / total
            variance = weight @ np.square(X - mean) / total
        return cls(float(total), mean, variance, X.min(axis=0), X.max(axis=0))

    def scaled(self, factor):
        """Return the moments of the same rows with all weights multiplied by a factor."""
        return dataclasses.replace(self, weight=self.weight * factor)

    def merged(self, other):
        """Return the moments of both sets of rows together (Chan, Golub and LeVeque, 1983)."""
        total = self.weight + other.weight
        own, others = self.weight / total, other.weight / total
        shift = other.mean - self.mean
        return Moments(
            weight=total,
            mean=self.mean + shift * others,
            variance=own * self.variance + others * other.variance + own * others * np.square(shift),
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
        )

    @property
    def std(self):
        """Standard deviation of each feature, ndarray of shape (n_features,)."""
        return np.sqrt(self.variance)

    @property
    def data_scale(self):
        """D, the root of the expected squared distance of two rows: D^2 = 2 * sum_j Var(x_j)."""
        return float(np.sqrt(2.0 * self.variance.sum()))
