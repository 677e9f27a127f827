"""Dropout when rows of a batch are compared with other rows of it."""

import contextlib
import functools

import torch
from torch import nn

from skrobust.modules._replace import replaced_forward

LAYERS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
FORWARDS = tuple(layer.forward for layer in LAYERS)


class Copies:
    """Which rows of the next pass are compared: the first `n_twins` with as many behind them, and groups of `n`.

    From `first` on, `n` rows are compared with as many for each neighbor of theirs, up to the end of the `n_rows` of
    the pass. No rows are compared by default. `n_processes` is how many processes share a pass; within one, `part` is
    the slice of its rows that this process has.
    """

    first = n = n_rows = part = None
    n_twins, n_processes, in_step = 0, 1, contextlib.nullcontext

    def set(self, n_rows, first=None, n=None, n_twins=0):
        """Say how the rows of the next pass are laid out."""
        self.n_rows, self.first, self.n, self.n_twins = n_rows, first, n, n_twins

    @contextlib.contextmanager
    def shared_out(self, part, n_rows, in_step):
        """Within this context, layers see a part of the rows of a pass, of which they draw the masks of all.

        Parameters
        ----------
        part : slice
        n_rows : int
        in_step : callable
            Returns a context in which all processes draw the same numbers.
        """
        if n_rows != self.n_rows:
            self.set(n_rows)
        self.part, self.in_step = part, in_step
        try:
            yield
        finally:
            del self.part, self.in_step  # networks are copied between passes, and with them what is set here

    @property
    def n_seen(self):
        """Number of rows of which layers are to draw masks by :meth:`masks`; None if they draw them by themselves."""
        if self.part is not None:
            return self.part.stop - self.part.start
        return self.n_rows if self.n or self.n_twins else None

    def masks(self, drop, X):
        """Return the masks of the rows X, the same for all that are compared."""
        n_drawn = self.n_rows if self.n is None else self.first + self.n
        rows = X[:n_drawn] if self.part is None else _rows_like(X, n_drawn)
        with self.in_step():
            masks = drop(torch.ones_like(rows))
        if self.n_twins:
            masks = torch.cat([masks[: self.n_twins], masks[: self.n_twins], masks[2 * self.n_twins :]])
        if self.n is not None:
            n_copies = (self.n_rows - self.first) // self.n - 1
            masks = torch.cat([masks, *[masks[self.first :]] * n_copies])
        return masks if self.part is None else masks[self.part]


def shared_dropout(network):
    """Within this context, drop the same units at rows that are compared.

    With masks of their own, a row and its neighbor would be answered by two different networks. How these differ has
    nothing to do with the distance of the two, by whose square penalties divide.

    Parameters
    ----------
    network : torch.nn.Module
        Its layers `torch.nn.Dropout`, `Dropout1d`, `Dropout2d` and `Dropout3d` share masks. Alpha dropout, dropout by
        a function, and subclasses with a forward of their own do not.

    Yields
    ------
    copies : Copies
        Set it before each pass in training mode.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import shared_dropout
    >>> layer = torch.nn.Dropout(0.5)
    >>> with shared_dropout(layer) as copies:
    ...     copies.set(7, first=1, n=2)
    ...     kept = layer(torch.ones(7, 100))
    >>> bool((kept[1:3] == kept[3:5]).all()), bool((kept[1:3] == kept[5:7]).all()), bool((kept[1] == kept[2]).all())
    (True, True, False)
    """
    return replaced_forward(network, LAYERS, _forward, Copies())


def _forward(layer, copies, X):
    forward = type(layer).forward
    if not layer.training or forward not in FORWARDS:
        return forward(layer, X)
    if copies.n_processes > 1 and copies.part is None:
        _check_not_recomputed(copies)
    # Other rows than those of the pass, as where time steps are folded into rows, are not laid out so.
    if len(X) != copies.n_seen:
        return forward(layer, X)
    return X * copies.masks(functools.partial(forward, layer), X)


def _check_not_recomputed(copies):
    """Raise a ValueError in a backward pass, which cannot tell where the numbers of all processes stood in the pass."""
    if torch._C._current_graph_task_id() != -1:
        raise ValueError(
            f"accelerator has {copies.n_processes} processes, which cannot draw the masks of dropout again where the "
            "network is recomputed for its gradient: take torch.utils.checkpoint out of the module, or use "
            "accelerator=None."
        )


def _rows_like(X, n):
    """Return n rows that lie in memory as X does, which is the order in which masks are drawn; no values are set."""
    axes = sorted(range(X.ndim), key=X.stride, reverse=True)
    return torch.empty_permuted((n, *X.shape[1:]), axes, dtype=X.dtype, device=X.device)
