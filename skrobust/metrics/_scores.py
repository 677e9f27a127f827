"""Figures of robustness: how many rows an attack fools, and how far it has to go."""

import numpy as np

from skrobust.attacks._assess import assess
from skrobust.metrics._parameters import check_has_eps, check_norm, check_weight, counting, radius_of, threat_model_of
from skrobust.metrics._ratios import averaged, ratio_of, warn_of_censored


def robust_accuracy_score(
    estimator,
    X,
    y,
    *,
    eps=None,
    norm=np.inf,
    threat_model=None,
    attack="worst_case",
    sample_weight=None,
    per_sample=False,
    random_state=0,
    **attack_params,
):
    """Return the share of rows that a classifier answers rightly and that no attack made it answer wrongly.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,)
        True labels.
    eps : float, default=None
        How far the attack may go. It may be part of the threat model instead.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of the change, unless there is a threat model.
    threat_model : ThreatModel, default=None
        What else the attack has to keep to.
    attack : str, ART attack class or callable, default="worst_case"
        As in :func:`skrobust.attacks.find_adversarial`.
    sample_weight : array-like of shape (n,), default=None
        Weights of the rows in the mean.
    per_sample : bool, default=False
        Whether to return the rows in place of their mean.
    random_state : int, RandomState instance or None, default=0
        Seed of the attack.
    **attack_params : dict
        Parameters of the attack.

    Returns
    -------
    score : float or ndarray of shape (n,)
        An upper bound: another attack may fool more. Per row 1 or 0, or where the answers of the estimator are random
        the share of fresh answers that are right.

    Raises
    ------
    ValueError
        If eps is missing or given twice, or another parameter is out of its range.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import robust_accuracy_score
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
    >>> robust_accuracy_score(clf, X, y, eps=0.5) < robust_accuracy_score(clf, X, y, eps=0.0) == clf.score(X, y)
    True
    """
    threat_model = threat_model_of(eps, norm, threat_model)
    check_has_eps(threat_model)
    result = assess(estimator, X, y, attack, threat_model=threat_model, random_state=random_state, **attack_params)
    weight = check_weight(sample_weight, result.n)
    stands = result.robust(radius_of(threat_model))
    return stands if per_sample else float(np.average(stands, weights=weight))


def per_class_robust_accuracy(
    estimator,
    X,
    y,
    *,
    eps=None,
    norm=np.inf,
    threat_model=None,
    attack="worst_case",
    sample_weight=None,
    per_sample=False,
    random_state=0,
    **attack_params,
):
    """Return the robust accuracy on the rows of each class.

    The mean over all rows may hide a class that is always fooled.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,)
        True labels.
    eps : float, default=None
        How far the attack may go. It may be part of the threat model instead.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of the change, unless there is a threat model.
    threat_model : ThreatModel, default=None
        What else the attack has to keep to.
    attack : str, ART attack class or callable, default="worst_case"
        As in :func:`skrobust.attacks.find_adversarial`.
    sample_weight : array-like of shape (n,), default=None
        Weights of the rows in the means. A class whose rows all weigh 0 has a NaN.
    per_sample : bool, default=False
        Whether to return the rows of each class in place of their mean.
    random_state : int, RandomState instance or None, default=0
        Seed of the attack.
    **attack_params : dict
        Parameters of the attack.

    Returns
    -------
    scores : dict of label to float or ndarray
        One entry for each label in `y`, in ascending order.

    Raises
    ------
    ValueError
        If eps is missing or given twice, or another parameter is out of its range.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import per_class_robust_accuracy
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
    >>> list(per_class_robust_accuracy(clf, X, y, eps=0.1))
    [0, 1, 2]
    """
    stands = robust_accuracy_score(
        estimator,
        X,
        y,
        eps=eps,
        norm=norm,
        threat_model=threat_model,
        attack=attack,
        per_sample=True,
        random_state=random_state,
        **attack_params,
    )
    weight = check_weight(sample_weight, len(stands))
    weight = np.ones(len(stands)) if weight is None else weight
    labels, place = np.unique(np.asarray(y), return_inverse=True)
    rows = [place == k for k in range(len(labels))]
    if per_sample:
        return {label: stands[own] for label, own in zip(labels.tolist(), rows, strict=True)}
    return {label: _mean(stands[own], weight[own]) for label, own in zip(labels.tolist(), rows, strict=True)}


def adversarial_distance(
    estimator, X, y, *, norm=np.inf, threat_model=None, attack="worst_case", random_state=0, **attack_params
):
    """Return how far the nearest adversarial row found is from each row.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,)
        True labels.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of the distance, unless there is a threat model.
    threat_model : ThreatModel, default=None
        What the attack has to keep to. Its eps, if it has one, is how far is looked.
    attack : str, ART attack class or callable, default="worst_case"
        As in :func:`skrobust.attacks.find_adversarial`. An attack that needs an eps needs it in the threat model.
    random_state : int, RandomState instance or None, default=0
        Seed of the attack.
    **attack_params : dict
        Parameters of the attack.

    Returns
    -------
    distance : ndarray of shape (n,)
        In units of the threat model: 0 for rows that are misclassified as they are, inf for rows of which no
        adversarial row was found. An upper bound: there may be nearer ones.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    See Also
    --------
    rho_adv_score : The mean of distances relative to the size of the rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import adversarial_distance
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
    >>> distance = adversarial_distance(clf, X, y, norm=2)
    >>> bool(((distance == 0) == (clf.predict(X) != y)).all())
    True
    """
    threat_model = threat_model_of(None, norm, threat_model)
    return nearest_adversarial(estimator, X, y, attack, threat_model, random_state, attack_params).distance


def rho_adv_score(
    estimator,
    X,
    y,
    *,
    norm=None,
    threat_model=None,
    attack="worst_case",
    sample_weight=None,
    return_details=False,
    random_state=0,
    **attack_params,
):
    """Return the mean distance of adversarial rows, relative to the length of the rows [1]_.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,)
        True labels.
    norm : {numpy.inf, 2, 1}, default=None
        Norm of distances and lengths. None is that of the threat model, and 2 without one.
    threat_model : ThreatModel, default=None
        What the attack has to keep to. Lengths are counted in its units; columns that hold no numbers have none.
    attack : str, ART attack class or callable, default="worst_case"
        As in :func:`skrobust.attacks.find_adversarial`.
    sample_weight : array-like of shape (n,), default=None
        Weights of the rows in the mean.
    return_details : bool, default=False
        Whether to return more than the mean.
    random_state : int, RandomState instance or None, default=0
        Seed of the attack.
    **attack_params : dict
        Parameters of the attack.

    Returns
    -------
    score : float or Bunch
        The mean of distance / length over rows with an adversarial row, NaN if none has one; a warning says how many
        have none. Misclassified rows count 0. With ``return_details``, a Bunch:

        - score: that mean.
        - median: median over all rows, whatever their weights; inf if most have no adversarial row.
        - censored_share: (weighted) share of rows without one.
        - per_sample: ndarray of shape (n,) of distance / length, inf for rows without one.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    .. [1] S.-M. Moosavi-Dezfooli, A. Fawzi, P. Frossard: DeepFool: a simple and accurate method to fool deep neural
       networks. CVPR, 2016, arXiv:1511.04599, Eq. 12.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import rho_adv_score
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
    >>> 0.05 < rho_adv_score(clf, X, y) < 0.3
    True
    """
    if norm is not None and threat_model is not None:
        check_norm(norm, threat_model)
    threat_model = counting(2 if norm is None else norm, threat_model)
    found = nearest_adversarial(estimator, X, y, attack, threat_model, random_state, attack_params)
    result = averaged(ratio_of(found.distance, _lengths(found)), check_weight(sample_weight, found.n))
    if return_details:
        return result
    warn_of_censored("rho_adv_score", result)
    return result.score


def nearest_adversarial(estimator, X, y, attack, threat_model, random_state, attack_params):
    """Run an attack without an end to how far it looks; beyond the eps of the threat model nothing counts."""
    found = assess(
        estimator, X, y, attack, threat_model=threat_model, radii=(np.inf,), random_state=random_state, **attack_params
    )
    distance = found.distance
    distance[distance > found.pursuit.reach()] = np.inf
    return found


def _lengths(result):
    """Return the norms of rows in the units in which distances are counted; features without a unit do not count."""
    original, budget = result.pursuit.original, result.pursuit.budget
    counted = ~original.is_fixed & (budget.scale > 0)
    return np.linalg.norm(original.rows[:, counted] / budget.scale[counted], ord=budget.norm, axis=1)


def _mean(values, weight):
    return float(np.average(values, weights=weight)) if weight.any() else float("nan")
