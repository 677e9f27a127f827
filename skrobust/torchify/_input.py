"""What is known, while an estimator is converted, of the columns that it takes."""

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable

import torch


@dataclasses.dataclass(frozen=True)
class Input:
    """The columns that the estimator under conversion takes.

    Parameters
    ----------
    vocabularies : tuple, default=()
        Per column: None for numbers, else the values that its codes mean. Empty if all columns are numbers.
    names : tuple, default=()
        Names of the columns, if they are known.
    get_rows : callable, default=None
        Returns the rows at hand, as they reach this estimator; None if there are none. Few converters look at them.
    bridge : bool, default=False
        Whether a transformer without converter may be bridged.
    row_shape : tuple of int, default=None
        Shape of a row, if it is an image.
    """

    vocabularies: tuple = ()
    names: tuple = ()
    get_rows: Callable | None = None
    bridge: bool = False
    row_shape: tuple | None = None

    def __post_init__(self):
        if all(vocabulary is None for vocabulary in self.vocabularies):
            object.__setattr__(self, "vocabularies", ())  # how a frozen dataclass sets its own fields

    @functools.cached_property
    def rows(self):
        """Rows at hand, a tensor of shape (n, n_columns), or None."""
        with torch.no_grad():
            return None if self.get_rows is None else self.get_rows()

    def after(self, module):
        """Return what the estimator after this one takes."""
        return self._changed(tuple(getattr(module, "vocabularies", ())), (), module)

    def at(self, indices):
        """Return what an estimator takes that is given these columns alone."""
        vocabularies, names = _pick(self.vocabularies, indices), _pick(self.names, indices)
        return self._changed(vocabularies, names, lambda rows: rows[:, indices])

    def _changed(self, vocabularies, names, change):
        get_rows = None if self.get_rows is None else lambda: change(self.rows)
        return Input(vocabularies, names, get_rows, self.bridge)


def _pick(values, indices):
    return tuple(values[index] for index in indices) if values else ()


_INPUT = contextvars.ContextVar("INPUT")


def current_input():
    """Return the :class:`Input` of the estimator under conversion."""
    return _INPUT.get(Input())


@contextlib.contextmanager
def input_is(columns):
    """Make this the :class:`Input` of what is converted inside."""
    token = _INPUT.set(columns)
    try:
        yield
    finally:
        _INPUT.reset(token)
