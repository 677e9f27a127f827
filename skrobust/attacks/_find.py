"""find_adversarial: an attack on any fitted classifier, and what became of each row."""

import numpy as np
from sklearn.utils import Bunch

from skrobust.attacks._assess import assess


def find_adversarial(estimator, X, y, attack="pgd", *, threat_model, random_state=0, **attack_params):
    """Attack a fitted classifier or Pipeline, end to end in the raw units of X.

    What the attack finds counts only if it keeps to the threat model and ``estimator.predict`` answers it wrongly.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted. It stays as it is.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them. Columns of a DataFrame that hold no numbers are left as they are.
    y : array-like of shape (n,)
        True labels. A label that the estimator does not know makes its row one that is misclassified.
    attack : str, class of ART or callable, default="pgd"
        - "fgsm", "pgd", "apgd", "apgd_targeted": follow a gradient, in one step, in steps of one length, in adaptive
          steps, and in those towards one class after the other;
        - "deepfool", "minimum_norm", "carlini_l2": look for the nearest adversarial row along gradients, by DeepFool,
          FAB, and ART's Carlini and Wagner attack;
        - "noise", "square", "walk", "hopskipjump": only ask the estimator; random noise, a random search on scores, a
          walk along the boundary that needs answers alone, and ART's HopSkipJump, which does the same;
        - "expectation": asks about random points and goes along the slope of the share of wrong answers, for estimators
          whose answers are random;
        - "nearest_other": the way to the nearest row in X that is answered otherwise, and of nearest neighbors
          classifiers towards the rows that they store;
        - "split_search", "decision_tree", "lattice", "transfer": what suits forests and bins, a single tree, integers
          and one-hot groups, and a surrogate network;
        - "worst_case": an ensemble of these chosen for the estimator, each on rows that the others left standing; the
          costliest first try 100 of many rows, and go on if they fool more than 1 % of these;
        - a class in ``art.attacks.evasion``;
        - a callable ``f(estimator, X, y, *, radius, rng, **attack_params)`` that returns counterparts of the rows X.

        Where no gradient leads through the estimator, or vanishes at a row, attacks that follow one give way to those
        that only ask.
    threat_model : ThreatModel
        How far the attack may go, with an eps.
    random_state : int, RandomState instance or None, default=0
        Seed of all that is random. The global random states stay as they are.
    **attack_params : dict
        Parameters of the attack, by ART's names where ART has them: ``max_iter`` (20), ``eps_step`` (eps / 8),
        ``num_random_init`` (1), ``decay`` (None) and ``loss`` ("cross_entropy", "margin" or "dlr") for "pgd", for
        instance.

    Returns
    -------
    result : Bunch
        Per row, in the order of X:

        - X_adv: the adversarial row, of the kind that X is, in float64 unless X is float32; a row that was
          misclassified from the start, and one that could not be fooled, comes back unchanged.
        - success: bool ndarray; whether the answer to the row in X_adv is wrong. Of an estimator whose answers are
          random it is the answer to most of 20 fresh questions.
        - distance: ndarray; distance of X_adv to X in units and norm of the threat model, 0 for rows that were
          misclassified from the start, inf for rows that could not be fooled.
        - route: str ndarray; "white-box" for rows attacked along gradients, "bridge" where some of them are finite
          differences, "black-box" for rows attacked by asking, "none" for rows that needed or allowed no attack.
        - found_by: str ndarray; the attack that found the row.
        - n_queries: int ndarray; how often the estimator, or its torch module, was evaluated for the row.

        And ``max_distance``: how far was looked, a float.

    Raises
    ------
    ValueError
        If the data, the threat model, the attack or a parameter of it is wrong.
    TypeError
        If the attack has no such parameter, the estimator is no classifier, or the threat model is none.

    Notes
    -----
    An attack that fails proves nothing: the share of rows that it leaves standing is an upper bound of the robust
    accuracy, and a loose one where the route is "black-box".

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
    assessment = assess(estimator, X, y, attack, threat_model=threat_model, random_state=random_state, **attack_params)
    pursuit = assessment.pursuit
    found, distance = pursuit.nearest, assessment.distance
    if assessment.is_random:
        # Judged by draws that did not choose these rows.
        found = pursuit.weakest(assessment.radii[0])
        is_wrong = assessment.robust(assessment.radii[0]) < 0.5
        distance = np.where(is_wrong, pursuit.budget.distance(found), np.inf)
    success = distance <= pursuit.reach()
    found = np.where(success[:, np.newaxis], found, pursuit.original.rows)
    return Bunch(
        X_adv=pursuit.original.restored(found),
        success=success,
        distance=np.where(success, distance, np.inf),
        route=assessment.route,
        found_by=np.where(success, assessment.found_by, ""),
        n_queries=assessment.n_queries,
        max_distance=assessment.radii[-1],
    )
