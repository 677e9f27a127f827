"""What is known, while an estimator is converted, of the columns that it takes."""

import contextlib
import contextvars
import dataclasses

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
    rows : Tensor of shape (n, n_columns), default=None
        The rows at hand, as they reach this estimator; None if there are none.
    bridge : bool, default=False
        Whether a transformer without converter may be bridged.
    row_shape : tuple of int, default=None
        Shape of a row, if it is an image.
    """

    vocabularies: tuple = ()
    names: tuple = ()
    rows: torch.Tensor | None = None
    bridge: bool = False
    row_shape: tuple | None = None

    def after(self, module):
        """Return what the estimator after this one takes."""
        return self._with(tuple(getattr(module, "vocabularies", ())), (), module)

    def at(self, indices):
        """Return what an estimator takes that is given these columns alone."""
        vocabularies = _pick(self.vocabularies, indices)
        return self._with(vocabularies, _pick(self.names, indices), lambda rows: rows[:, indices])

    def _with(self, vocabularies, names, change):
        vocabularies = () if all(vocabulary is None for vocabulary in vocabularies) else vocabularies
        with torch.no_grad():
            rows = None if self.rows is None else change(self.rows)
        return dataclasses.replace(self, vocabularies=vocabularies, names=names, rows=rows, row_shape=None)


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
