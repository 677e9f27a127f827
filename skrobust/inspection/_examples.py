"""Rows before and after an attack, checked and gathered."""

import numpy as np

from skrobust.attacks._budget import Budget


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
    """Return the change of each feature that is one eps."""
    if threat_model.eps is None:
        raise ValueError("threat_model has no eps, in which changes could be counted: give one that has, or None.")
    budget = Budget.of(threat_model, rows.matrix, getattr(X, "columns", None), ~rows.is_number)
    return budget.scale * budget.radius


def example_of(i, before, after, answers):
    """Return what is drawn of one row."""
    return {
        "row": i,
        "before": before.matrix[i],
        "after": after.matrix[i],
        "values_before": before.values(i),
        "values_after": after.values(i),
        **{key: None if labels is None else labels[i] for key, labels in answers.items()},
    }
