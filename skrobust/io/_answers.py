"""What a user's own network answers to a few rows, by which another network is told when it is given to load."""

import copy
import warnings

import numpy as np
import torch
from sklearn.utils import check_random_state

from skrobust._persistence import as_array
from skrobust._runtime import isolated_random_state

CPU = torch.device("cpu")
N_ROWS = 4
# Of the largest logit: machines differ in the last digits of a number, which for bfloat16 is the third.
TOLERANCE = 0.01


def saved_answers(network, description, moments):
    """Return the logits of a network for rows that :func:`_rows` makes up.

    Parameters
    ----------
    network : torch.nn.Module
        It stays as it is.
    description : dict
        See :func:`skrobust._persistence.net_description`.
    moments : dict
        ``low`` and ``high``, ndarrays of shape (n_features,).

    Returns
    -------
    answers : ndarray of shape (N_ROWS, n_classes)
        None if the network cannot answer these rows, or answers at random.
    """
    rows = _rows(description, moments)
    answers, others = (_logits(network, rows, seed) for seed in (0, 1))
    if not _are_logits(answers, description["n_classes"]) or _differ(answers, others).any():
        return None
    return answers


def is_another(network, description, moments, answers):
    """Return whether a network answers most rows otherwise than the one that was saved.

    Parameters
    ----------
    network, description, moments : see :func:`saved_answers`
    answers : ndarray of shape (N_ROWS, n_classes)
        What :func:`saved_answers` returned, or anything else; None says nothing.

    Returns
    -------
    is_another : bool
        False also if the network cannot answer the rows, as it will say when it predicts.

    Raises
    ------
    ValueError
        If the answers are no logits.
    """
    if answers is None:
        return False
    if not _are_logits(answers, description["n_classes"]):
        raise ValueError("the answers of its network are no logits")
    found = _logits(network, _rows(description, moments), seed=0)
    # Of networks that round, single rows may be answered otherwise by another machine.
    return found is not None and _differ(answers, found).mean() > 0.5


def _rows(description, moments):
    """Return rows in the range of those of the training, the same wherever a file is read."""
    # numpy has promised that this generator will never draw other numbers.
    share = check_random_state(0).random_sample((N_ROWS, len(moments["low"])))
    with np.errstate(all="ignore"):
        rows = moments["low"] + share * (moments["high"] - moments["low"])
    rows = torch.from_numpy(rows).to(getattr(torch, description["float_type"]))
    return rows if description["row_shape"] is None else rows.reshape(-1, *description["row_shape"])


def _logits(network, rows, seed):
    """Return what a network answers on the CPU, an array; None if it fails."""
    try:
        network = copy.deepcopy(network).to(CPU).eval()
        with isolated_random_state(CPU, seed), torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return as_array(network(rows.clone()))
    except Exception:  # of any kind: the network is the user's, and so is what it takes
        return None


def _are_logits(answers, n_classes):
    is_fit = isinstance(answers, np.ndarray) and answers.shape == (N_ROWS, n_classes) and answers.dtype.kind == "f"
    return is_fit and bool(np.isfinite(answers).all())


def _differ(answers, found):
    """Return for each row whether it is answered otherwise."""
    if found is None or found.shape != answers.shape:
        return np.ones(N_ROWS, dtype=bool)
    answers = answers.astype(np.float64)
    with np.errstate(all="ignore"):
        # A comparison that is false for what is no number.
        is_close = np.abs(answers - found).max(axis=1) <= TOLERANCE * np.abs(answers).max()
    return ~is_close
