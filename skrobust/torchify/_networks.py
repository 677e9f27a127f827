"""Modules for networks that were written in torch."""

import torch


class RowNetwork(torch.nn.Module):
    """A network that wants its own shape and type, made to take float64 rows.

    Parameters
    ----------
    network : torch.nn.Module
        Returns logits.
    row_shape : tuple of int, default=None
        Shape that the network wants a row in, (channels, height, width) for images; None leaves rows as they are.
    dtype : torch.dtype, default=torch.float64
        Type that the network computes in.

    Examples
    --------
    >>> import torch
    >>> from skrobust.torchify import RowNetwork
    >>> network = RowNetwork(torch.nn.Conv2d(1, 1, kernel_size=2), row_shape=(1, 2, 2), dtype=torch.float32)
    >>> network(torch.zeros(5, 4, dtype=torch.float64)).shape
    torch.Size([5, 1, 1, 1])
    """

    def __init__(self, network, row_shape=None, dtype=torch.float64):
        super().__init__()
        self.network = network
        self.row_shape = row_shape
        self.dtype = dtype

    def forward(self, X):
        """Return the logits of rows, in float64."""
        rows = X.to(self.dtype)
        return self.network(rows if self.row_shape is None else rows.reshape(-1, *self.row_shape)).double()
