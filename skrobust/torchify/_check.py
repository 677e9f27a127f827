"""Whether a torch module computes what the estimator computes that it was made from."""

import numpy as np
import torch
from sklearn.base import is_classifier

from skrobust.torchify._frames import encode

BATCH_SIZE = 1024
REMEDY = "register a converter that computes what it computes, with skrobust.torchify.register."


def check_equal(module, fitted, X, rows, twin):
    """Check that a module and an estimator agree on rows.

    Parameters
    ----------
    module : torch.nn.Module
    fitted : estimator
    X : DataFrame or array-like
        As the estimator takes it.
    rows : Tensor of shape (n, n_features)
        As the module takes it.
    twin : callable
        Returns the module of the estimator's method of that name, for scores that the logits do not tell.

    Raises
    ------
    ValueError
        If they do not agree; a subclass may compute something else than its base.
    """
    outputs = _outputs(module, rows)
    tolerance = 1e-3 if _is_single(X) or any(_is_single(part) for part in module.parameters()) else 1e-6
    if hasattr(fitted, "predict") and (is_classifier(fitted) or hasattr(fitted, "classes_")):
        _check_answers(outputs, fitted, X)
        _check_scores(outputs, fitted, X, tolerance, lambda name, ndim: _flat(_outputs(twin(name), rows), ndim))
    elif hasattr(fitted, "transform"):
        error = _error(_numbers(fitted.transform(X), module.vocabularies), outputs)
        if error > tolerance:
            _raise(fitted, "transform", error)


def _outputs(module, rows):
    tensors = [*module.parameters(), *module.buffers()]
    device = tensors[0].device if tensors else torch.device("cpu")
    with torch.no_grad():
        return torch.cat([module(batch.to(device)).cpu() for batch in rows.split(BATCH_SIZE)]).numpy()


def _check_answers(logits, fitted, X):
    answers = np.asarray(fitted.predict(X))
    n_rows, n_different = len(answers), np.count_nonzero(fitted.classes_[logits.argmax(axis=1)] != answers)
    # Equal logits may be told apart either way.
    if n_different > max(2, n_rows / 100):
        raise ValueError(
            f"estimator of type {type(fitted).__name__} and its torch module differ in their answers to "
            f"{n_different} of {n_rows} rows: {REMEDY}"
        )


def _check_scores(logits, fitted, X, tolerance, twin):
    """Check the scores that an estimator offers; to agree with one kind of them is enough, probabilities first.

    Both need not be functions of the same logits: where one-vs-rest probabilities are normalized, scores are not.
    """
    known = _scores_of(logits)
    offered = {name: np.asarray(getattr(fitted, name)(X)) for name in known if hasattr(fitted, name)}
    if not offered or any(_error(scores, known[name]) <= tolerance for name, scores in offered.items()):
        return
    if any(_same_order(scores, known[name]) for name, scores in offered.items()):
        return
    errors = {name: _error(scores, twin(name, scores.ndim)) for name, scores in offered.items()}
    name = min(errors, key=errors.get)
    if errors[name] > tolerance:
        _raise(fitted, name, errors[name])


def _scores_of(logits):
    with np.errstate(over="ignore", invalid="ignore"):  # of rows so large that logits overflow; NaN equals no score
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        decision = logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits
        return {"predict_proba": odds / odds.sum(axis=1, keepdims=True), "decision_function": decision}


def _same_order(scores, known):
    """Return whether scores rise where the known ones do: shifted thresholds and temperatures change no order."""
    if scores.shape != known.shape:
        return False
    if scores.ndim == 2 and scores.shape[1] > 2:
        n_changed = np.count_nonzero((scores.argsort(axis=1) != known.argsort(axis=1)).any(axis=1))
        return n_changed <= len(scores) // 100
    last = scores if scores.ndim == 1 else scores[:, 1]
    reference = known if known.ndim == 1 else known[:, 1]
    steps = np.diff(last[np.argsort(reference, kind="stable")])
    return bool((steps >= -1e-9 * np.abs(last).max(initial=0)).all())


def _raise(fitted, method, error):
    raise ValueError(
        f"estimator of type {type(fitted).__name__} and its torch module differ in {method}, by {error:.1e} "
        f"relative to its largest value: {REMEDY}"
    )


def _error(expected, outputs):
    """Return the largest error, relative to the largest value of its column, in all but a hundredth of the rows.

    Columns of values a thousand times smaller than those of others count as these: what PCA makes of a constant column
    is rounding.
    """
    if expected.shape != outputs.shape:
        return np.inf
    expected = expected.astype(np.float64).reshape(len(expected), -1)
    outputs = outputs.reshape(len(outputs), -1)
    if not expected.size:
        return 0.0
    scale = np.abs(np.where(np.isfinite(expected), expected, 0)).max(axis=0)
    scale = np.maximum(scale, 1e-3 * scale.max())
    same = (expected == outputs) | (np.isnan(expected) & np.isnan(outputs))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(expected - outputs) / np.where(scale > 0, scale, 1.0))
    rows = np.sort(np.where(np.isnan(difference), np.inf, difference).max(axis=1))
    return rows[-1 - len(rows) // 100]


def _is_single(values):
    """Return whether a tensor, an array or a column of a DataFrame has fewer digits than float64."""
    types = getattr(values, "dtypes", [getattr(values, "dtype", None)])
    return any(str(dtype).removeprefix("torch.") in ("float32", "float16", "bfloat16") for dtype in types)


def _flat(outputs, ndim):
    return outputs[:, 0] if ndim == 1 else outputs


def _numbers(rows, vocabularies):
    """Return transformed rows as numbers, with codes for the values of columns that have a vocabulary."""
    rows = rows.toarray() if hasattr(rows, "toarray") else np.asarray(rows)
    if not vocabularies:
        return rows.astype(np.float64)
    return np.stack([encode(column, words) for column, words in zip(rows.T, vocabularies, strict=True)], axis=1)
