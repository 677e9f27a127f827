"""Rows before and after an attack, checked and gathered."""

import numpy as np

from skrobust.attacks._budget import Budget
from skrobust.torchify._frames import is_missing


def check_fits(before, after, labels):
    """Check that rows and labels belong together."""
    if before.matrix.shape != after.matrix.shape:
        raise ValueError(
            f"X_adv is of shape {after.matrix.shape}, but X of {before.matrix.shape}: give the counterpart of each row."
        )
    for name, values in labels.items():
        if values is not None and len(values) != len(before.matrix):
            raise ValueError(
                f"{name} has {len(values)} labels, but X has {len(before.matrix)} rows: give one for each."
            )


def check_index(rows, n_rows):
    index = np.asarray(rows)
    if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu" or not ((index >= 0) & (index < n_rows)).all():
        raise ValueError(f"rows={rows!r} must be indices of rows of X, which has {n_rows}.")
    return index.tolist()


def eps_of(threat_model, rows, X):
    """Return the change of each feature that is one eps, or 1 where there are no numbers."""
    if threat_model.eps is None:
        raise ValueError("threat_model has no eps, in which changes could be counted: give one that has, or None.")
    budget = Budget.of(threat_model, rows.matrix, getattr(X, "columns", None), ~rows.is_number)
    return np.where(rows.is_number, budget.scale * budget.radius, 1.0)


def example_of(i, before, after, answers):
    """Return what is drawn of one row; what is no number goes from 0 to 1 where it changed."""
    first, last = before.matrix[i].copy(), after.matrix[i].copy()
    values_before, values_after = before.values(i), after.values(i)
    for j in np.flatnonzero(~(before.is_number & after.is_number)):
        first[j], last[j] = 0.0, float(not _is_same(values_before[j], values_after[j]))
    return {
        "row": i,
        "before": first,
        "after": last,
        "values_before": values_before,
        "values_after": values_after,
        **{key: None if labels is None else labels[i] for key, labels in answers.items()},
    }


def _is_same(value, other):
    if is_missing(value) or is_missing(other):
        return is_missing(value) and is_missing(other)
    return value == other
