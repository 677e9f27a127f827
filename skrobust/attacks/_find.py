"""find_adversarial: an attack on any fitted estimator, and the verdict on what it found."""

import numpy as np
import torch
from sklearn.utils import Bunch, check_random_state

from skrobust.attacks._art import BATCH_SIZE, check_attack, device_of, run_attack
from skrobust.attacks._original import Original
from skrobust.attacks._threat_model import allows, check_rows, distance, move
from skrobust.torchify import to_torch

# Each row is seen by the estimator before and after the attack, and once by its torch module before.
N_CHECKS = 3


def find_adversarial(estimator, X, y, attack="pgd", *, threat_model, random_state=0, **attack_params):
    """Attack a fitted classifier or Pipeline, end to end in the raw units of X.

    What the attack finds counts only if it lies within the threat model and ``estimator.predict`` answers it wrongly.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted, and such that :func:`skrobust.torchify.to_torch` converts it. It stays as it is.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,)
        True labels. A label that the estimator does not know makes its row one that is misclassified.
    attack : {"pgd", "fgsm"}, default="pgd"
        ART's projected gradient descent, or its fast gradient method of one step. Both follow the cross-entropy.
    threat_model : ThreatModel
        How far the attack may go.
    random_state : int, RandomState instance or None, default=0
        Seed of random starts. The global random states stay as they are.
    **attack_params : dict
        Parameters of ART's attack, by its names: ``max_iter`` (20), ``eps_step`` (eps / 8, in the units of X),
        ``num_random_init`` (1), ``decay`` (None) and ``batch_size`` (1024) for "pgd"; ``num_random_init`` (0) and
        ``batch_size`` for "fgsm".

    Returns
    -------
    result : Bunch
        Per row, in the order of X:

        - X_adv: the adversarial row, of the kind that X is, in float64 unless X is float32; a row that was
          misclassified from the start, and one that could not be fooled, comes back unchanged.
        - success: bool ndarray; whether the answer to the row in X_adv is wrong.
        - distance: ndarray; distance of X_adv to X in the norm of the threat model, 0 for rows that were misclassified
          from the start, inf for rows that could not be fooled.
        - route: str ndarray; "white-box" for attacked rows, "none" for rows that needed or allowed no attack.
        - n_queries: int ndarray; how often the estimator, or its torch module, was evaluated for the row.

    Raises
    ------
    skrobust.torchify.NotConvertibleError
        If a step of the estimator has no torch module.
    ValueError
        If the data, the threat model or a parameter of the attack is wrong.
    TypeError
        If the attack has no such parameter, the estimator is no classifier, or the threat model is none.

    Notes
    -----
    An attack that fails proves nothing: the share of rows that it leaves standing is an upper bound of the robust
    accuracy.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust import ThreatModel
    >>> from skrobust.attacks import find_adversarial
    >>> X, y = load_digits(return_X_y=True)
    >>> pipe = make_pipeline(StandardScaler(), MLPClassifier(random_state=0)).fit(X[:1000], y[:1000])
    >>> result = find_adversarial(pipe, X[1000:], y[1000:], threat_model=ThreatModel(eps=2.0, bounds=(0, 16)))
    >>> bool(result.success.mean() > 1 - pipe.score(X[1000:], y[1000:]))
    True
    """
    original = Original(estimator, X, y)
    check_rows(threat_model, original.rows)
    attack = check_attack(attack, attack_params)
    module = to_torch(estimator)
    answers = original.predict(original.rows)
    _check_twin(module, original, answers)
    attacked = (answers == original.y) & (threat_model.eps > 0)
    found, n_passes = original.rows.copy(), 0
    if attacked.any():
        rows, codes = original.rows[attacked], original.codes(answers[attacked])
        seed = check_random_state(random_state).randint(2**31 - 1)
        change, n_passes = run_attack(attack, module, rows, codes, threat_model, seed=seed, params=attack_params)
        found[attacked] = move(threat_model, rows, change)
    found, success = _judged(original, found, threat_model)
    return Bunch(
        X_adv=original.restored(found),
        success=success,
        distance=np.where(success, distance(threat_model, original.rows, found), np.inf),
        route=np.where(attacked, "white-box", "none"),
        n_queries=np.where(attacked, N_CHECKS + n_passes, N_CHECKS),
    )


def _judged(original, found, threat_model):
    """Return the rows that count, the others as they were, and whether the estimator itself answers each wrongly."""
    is_allowed = allows(threat_model, original.rows, found)
    found = np.where(is_allowed[:, np.newaxis], found, original.rows)
    success = original.predict(found) != original.y
    return np.where(success[:, np.newaxis], found, original.rows), success


def _check_twin(module, original, answers):
    """Check that the torch module is one of this estimator; a subclass may compute something else than its base."""
    batches = torch.tensor(original.rows).split(BATCH_SIZE)
    with torch.no_grad():
        codes = torch.cat([module(batch.to(device_of(module))).argmax(dim=1).cpu() for batch in batches]).numpy()
    n_rows, n_different = len(answers), np.count_nonzero(original.classes[codes] != answers)
    # Equal logits may be told apart either way.
    if n_different > max(2, n_rows / 100):
        raise ValueError(
            f"estimator of type {type(original.estimator).__name__} and its torch module differ in their answers to "
            f"{n_different} of {n_rows} rows: register a converter that computes what it computes, with "
            "skrobust.torchify.register."
        )
