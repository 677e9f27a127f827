"""From a fitted estimator to a torch program, which both kinds of export begin with."""

import contextlib
import io
import logging
import warnings

import numpy as np
import torch
from sklearn.svm import SVC, NuSVC
from torch import nn

from skrobust._atomic import atomic_file
from skrobust.io._errors import ExportError
from skrobust.io._rows import method_of, rows_at_hand, scores_of
from skrobust.torchify import RowNetwork
from skrobust.torchify._input import Input
from skrobust.torchify._outputs import decision, log_probabilities
from skrobust.torchify._parts import Elementwise
from skrobust.torchify._to_torch import METHODS, _module

TOLERANCE = 1e-5


class Answers(nn.Module):
    """What an estimator answers: its scores, and the index of the class.

    Parameters
    ----------
    scores : torch.nn.Module
    logits : torch.nn.Module or None
        Whose largest one is the answer; None if that is the one of the largest score.
    """

    def __init__(self, scores, logits):
        super().__init__()
        self.scores = scores
        self.logits = logits

    def forward(self, X):
        """Return scores of shape (n, n_scores), and indices of shape (n,)."""
        scores = self.scores(X)
        if self.logits is not None:
            return scores, self.logits(X).argmax(dim=1)
        return scores, (scores[:, 0] > 0).long() if scores.shape[1] == 1 else scores.argmax(dim=1)


def answers_module(fitted, X, matrix):
    """Return the module of what an estimator answers, on the CPU; its rows tell how columns are converted."""
    method, rows = method_of(fitted), torch.from_numpy(matrix)
    row_shape = np.shape(X)[1:] if np.ndim(X) > 2 else None
    columns = Input(names=tuple(getattr(X, "columns", ())), get_rows=lambda: rows, row_shape=row_shape)
    scores = _module(fitted, columns, METHODS[method]).cpu()
    last = _last_step(fitted)
    # Are they made from the logits? Then both have their largest value at the same class.
    makers = log_probabilities if method == "predict_proba" else decision
    if makers.dispatch(type(last)) is makers.dispatch(object):
        return Answers(scores, None)
    logits = _module(fitted, columns).cpu()
    return Answers(scores, nn.Sequential(logits, Elementwise(torch.round)) if _counts_votes(last) else logits)


def _last_step(fitted):
    last = fitted
    while hasattr(last, "steps") or hasattr(last, "best_estimator_"):
        last = last.steps[-1][1] if hasattr(last, "steps") else last.best_estimator_
    return last


def _counts_votes(last):
    """Return whether the whole numbers in the logits decide, the first class where they are equal."""
    return isinstance(last, (SVC, NuSVC)) and len(last.classes_) > 2 and not last.break_ties


def single_convolutions(module):
    """Have networks with convolutions compute in float32: ONNX runtimes have none in float64."""
    for part in module.modules():
        if isinstance(part, RowNetwork) and any(isinstance(layer, CONVOLUTIONS) for layer in part.modules()):
            part.network.float()
            part.dtype = torch.float32
    return module


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def exported_program(module, matrix, fitted):
    """Return the torch program of a module for any number of rows.

    Raises
    ------
    ExportError
        If torch cannot export the module.
    """
    example = torch.from_numpy(matrix[:7].copy())
    shapes = ({0: torch.export.Dim("n_rows")},)
    for strict in (False, True):  # the second way is slower and understands more
        with quiet():
            try:
                program = torch.export.export(module, (example,), dynamic_shapes=shapes, strict=strict)
            except Exception as caught:  # torch raises errors of many kinds
                error = caught
            else:
                return _without_traces(program)
    raise not_exportable(fitted, error) from error


def not_exportable(fitted, error):
    """Return the error that says why an estimator cannot be exported."""
    lines = str(error).strip().splitlines()
    reason = lines[0][:200] if lines else type(error).__name__
    return ExportError(f"estimator of type {type(fitted).__name__} cannot be exported: {reason.rstrip('.')}.")


def _without_traces(program):
    """Return a program that tells nothing of the files of this machine."""
    for part in program.graph_module.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


@contextlib.contextmanager
def quiet():
    """Within this context, torch keeps its notes on deprecations, graphs and missing packages to itself."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def check_answers(run, fitted, X, matrix):
    """Check what an exported model answers on rows, all at once and few at a time.

    Parameters
    ----------
    run : callable
        Maps a matrix to scores and labels.
    fitted : estimator
    X : DataFrame or array-like
        The rows as the estimator takes them.
    matrix : ndarray of shape (n, n_features)

    Raises
    ------
    ExportError
        If the answers differ.
    """
    expected, labels = scores_of(fitted, X), np.asarray(fitted.predict(X))

    def labels_of(part):
        scores, found = run(np.ascontiguousarray(matrix[part], dtype=np.float64))
        error = np.abs(np.asarray(scores) - expected[part]).max() / max(1.0, np.abs(expected).max())
        if not error <= TOLERANCE:
            raise ExportError(
                f"the exported {type(fitted).__name__} differs from {method_of(fitted)} by {error:.1e}, which is more "
                f"than {TOLERANCE:g}: nothing was written; look for a step that computes in lower precision."
            )
        return np.asarray(found)

    whole = labels_of(slice(None))
    # Equal scores may be told apart either way: a few rows of all may be answered otherwise, and these in short parts.
    _check_labels(fitted, whole != labels, n_allowed=len(matrix) // 100)
    for part in (slice(0, 1), slice(0, 2)):
        found = labels_of(part)
        _check_labels(fitted, (found != labels[part]) & (found != whole[part]), n_allowed=0)


def _check_labels(fitted, is_other, n_allowed):
    n_different = np.count_nonzero(is_other)
    if n_different > n_allowed:
        raise ExportError(
            f"the exported {type(fitted).__name__} gives other labels to {n_different} of {len(is_other)} rows than "
            "predict does: nothing was written; export the step that decides without what changes its answers."
        )


def export_torch(fitted, path, X=None):
    """Write a fitted classifier or Pipeline as a torch program, preprocessing included.

    The program needs torch alone: ``torch.export.load(path).module()`` maps raw rows, a float64 tensor of shape
    (n, n_features) for any n, to a pair: the probabilities, shape (n, n_classes), and indices into ``classes_``,
    shape (n,). It is compared with the estimator before it is written, and the file appears whole or not at all.

    Parameters
    ----------
    fitted : estimator or Pipeline
        A classifier that :func:`skrobust.torchify.to_torch` converts. One without ``predict_proba`` gives the values of
        its ``decision_function``, as a matrix.
    path : str or Path
        Of the file, by custom with the ending .pt2.
    X : DataFrame or array-like of shape (n, n_features), default=None
        Rows to compare on, numbers alone. None makes some up, of several scales.

    Raises
    ------
    ExportError
        If torch cannot export a step, or the program does not answer as the estimator does, to 1e-5.
    skrobust.torchify.NotConvertibleError
        If a step has no converter.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    OSError
        If the file cannot be written.

    See Also
    --------
    export_onnx : Write it for runtimes other than torch.

    Notes
    -----
    Like pickle, ``torch.export.load`` is not for files of strangers.

    The program refuses no row: where the estimator raises an error for missing or infinite values, it answers anyhow.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust import OffSupportRobustClassifier, io
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = make_pipeline(StandardScaler(), OffSupportRobustClassifier(max_epochs=5, random_state=0)).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "iris.pt2")
    ...     io.export_torch(clf, path, X)
    ...     probabilities, indices = torch.export.load(path).module()(torch.from_numpy(X))
    >>> bool((clf.classes_[indices] == clf.predict(X)).all())
    True
    """
    rows, matrix = rows_at_hand(fitted, X)
    program = exported_program(answers_module(fitted, rows, matrix), matrix, fitted)
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer)
        buffer.seek(0)
        loaded = torch.export.load(buffer).module()

    def run(matrix):
        with torch.no_grad():
            scores, indices = loaded(torch.from_numpy(matrix))
        return scores.numpy(), fitted.classes_[indices.numpy()]

    check_answers(run, fitted, rows, matrix)
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(buffer.getbuffer())
