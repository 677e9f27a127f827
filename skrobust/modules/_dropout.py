"""Dropout when rows of a batch are compared with other rows of it."""

import torch
from torch import nn

from skrobust.modules._replace import replaced_forward

LAYERS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
FORWARDS = tuple(layer.forward for layer in LAYERS)


class Copies:
    """Which rows of the next pass are compared: from `first` on, `n` rows, then as many for each neighbor of theirs.

    `n_rows` is the number of all rows of the pass. None means that no rows are compared.
    """

    first = n = n_rows = None

    def set(self, first, n, n_rows):
        """Say how the rows of the next pass are laid out."""
        self.first, self.n, self.n_rows = first, n, n_rows

    def forget(self):
        """Have no rows compared in the next pass."""
        self.set(None, None, None)


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
    ...     copies.set(first=1, n=2, n_rows=7)
    ...     kept = layer(torch.ones(7, 100))
    >>> bool((kept[1:3] == kept[3:5]).all()), bool((kept[1:3] == kept[5:7]).all()), bool((kept[1] == kept[2]).all())
    (True, True, False)
    """
    return replaced_forward(network, LAYERS, _forward, Copies())


def _forward(layer, copies, X):
    forward = type(layer).forward
    # Other rows than those of the pass, as in a part of it that one of several processes has, are not laid out so.
    if not layer.training or copies.n is None or len(X) != copies.n_rows or forward not in FORWARDS:
        return forward(layer, X)
    mask = forward(layer, torch.ones_like(X[: copies.first + copies.n]))
    n_copies = (copies.n_rows - copies.first) // copies.n - 1
    return X * torch.cat([mask, *[mask[copies.first :]] * n_copies])
