"""Rows that are held out from training, and how the network is scored on them."""

import math
import warnings

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from skrobust._validation import takes_sample_weight


def split_validation(run, estimator, codes, seed):
    """Return the indices of rows for training and for validation; for the latter None without early stopping.

    Raises
    ------
    ValueError
        If there are too few rows for both parts to have each class.
    """
    if run.is_partial or not estimator.early_stopping:
        return slice(None), None
    counts = np.unique_counts(codes).counts
    n_rows, n_classes, n_single = len(codes), len(counts), np.count_nonzero(counts == 1)
    if n_single:
        raise ValueError(
            f"early_stopping=True holds out rows of each class, but {n_single} of the {n_classes} classes in y have a "
            "single row: give each of them two or more, leave them out, or set early_stopping=False."
        )
    n_valid = math.ceil(estimator.validation_fraction * n_rows)
    if min(n_valid, n_rows - n_valid) < n_classes:
        raise ValueError(
            f"validation_fraction={estimator.validation_fraction!r} holds out {n_valid} of {n_rows} rows, but both "
            f"parts need a row of each of the {n_classes} classes: change it, or set early_stopping=False."
        )
    parts = train_test_split(np.arange(n_rows), test_size=n_valid, stratify=codes, random_state=seed)
    return tuple(np.sort(part) for part in parts)


def validation_score(estimator, data, weight, held_out):
    """Return a function without arguments that scores the net as it stands on held-out rows."""
    if held_out is None:
        return None
    if estimator.scoring == "loss":
        return lambda: -estimator.net_.history[-1]["valid_loss"]
    judged = type(estimator)()  # not copy.copy, which copies the net too (see __getstate__)
    vars(judged).update(vars(estimator))
    vars(judged).pop("feature_names_in_", None)  # the held-out rows are an array
    scorer = check_scoring(judged, scoring=estimator.scoring)
    X, y, weights = data.X[held_out], data.y[held_out], {}
    if weight is not None and takes_sample_weight(scorer):
        weights["sample_weight"] = weight[held_out]
    return lambda: _checked_score(scorer(judged, X, y, **weights), estimator.scoring)


def _checked_score(score, scoring):
    try:
        score = float(score)  # also of an array or a tensor that holds one number
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"scoring={scoring!r} gave {score!r} for the held-out rows, by which epochs cannot be compared: use one "
            "that returns a number."
        ) from error
    if math.isnan(score):
        warnings.warn(
            f"scoring={scoring!r} gave NaN for the held-out rows, so that their epochs count as none of the best: use "
            "a score that is defined for few rows of each class, or raise validation_fraction.",
            stacklevel=2,
        )
    return score
