"""Robust accuracy over eps of several fitted classifiers over seeds, as a tidy table."""

import dataclasses
import itertools
from collections.abc import Mapping

from skrobust.evaluation._attacked import attacked, listed, named_attacks, template_of
from skrobust.evaluation._models import chosen_rows, done_for_each, named_models, shared_seed
from skrobust.metrics._pandas import import_pandas
from skrobust.metrics._parameters import threat_model_of
from skrobust.metrics._scorers import make_robustness_scorers


def robustness_curves(
    estimators,
    X,
    y,
    *,
    eps_grid,
    attacks=("fgsm", "pgd", "deepfool"),
    norms=None,
    threat_model=None,
    rows="all",
    random_state=0,
    n_jobs=None,
    verbose=0,
):
    """Return robust accuracy over eps for several fitted classifiers, attacks and norms.

    Parameters
    ----------
    estimators : dict of str to classifier, or to list of classifiers
        Fitted. A list holds the same training from several seeds; seeds of the same place make pairs.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,)
        True labels.
    eps_grid : sequence of float, or dict of norm to sequence of float
        How far attacks may go, in ascending order; in multiples of eps where the threat model has one per feature.
    attacks : sequence of attacks, or dict of str to attack, default=("fgsm", "pgd", "deepfool")
        Each as in :func:`skrobust.attacks.find_adversarial`. A dict gives names to them, to dicts of an "attack" and
        its parameters, such as ``{"pgd-20": {"attack": "pgd", "max_iter": 20}}``, and to lists of these, whose worse
        outcome counts row by row.
    norms : sequence of {numpy.inf, 2, 1}, default=None
        None takes those of a dict `eps_grid`, else that of the threat model, else numpy.inf.
    threat_model : ThreatModel, default=None
        What else attacks have to keep to, in every norm: bounds and units, for instance. It has no single eps.
    rows : {"all", "correct"}, default="all"
        "all" divides by the number of all rows, so that the curve begins at the accuracy. "correct" takes only rows
        that every model answers rightly, and says nothing of the others.
    random_state : int, RandomState instance or None, default=0
        Seed of the attacks, the same for every model.
    n_jobs : int, default=None
        Processes, by joblib: -1 for as many as there are processors.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    curves : DataFrame
        A row for each model, seed, attack, norm and eps, with:

        - accuracy: of these rows, the share that is answered rightly and stays so;
        - n_rows: their number;
        - route: how the rows were attacked, "white-box", "bridge", "black-box", or several joined by "+"; "none" if
          none needed it;
        - is_upper_bound: whether some were attacked as a black box, so that the figure is a loose upper bound,
          unless every row that stands is certified.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or no row is answered rightly by every model.
    TypeError
        If the estimators are no dict, or an attack has no such parameter.
    ImportError
        If pandas is not installed.

    See Also
    --------
    summarize : Means and standard errors over seeds.

    Notes
    -----
    Every curve is that of one attack, and the worst case is lower: name "worst_case" among the attacks. Attacks within
    a ball go on with the rows that they left standing at the eps before, so that no curve rises; that of an attack
    that looks for the nearest adversarial row, such as "deepfool", is read off its distances.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.evaluation import robustness_curves
    >>> X, y = load_iris(return_X_y=True)
    >>> models = {f"C={C}": LogisticRegression(C=C, max_iter=1000).fit(X, y) for C in (0.01, 1.0)}
    >>> curves = robustness_curves(models, X, y, eps_grid=[0.0, 0.5], attacks=["pgd"])
    >>> curves[["model", "norm", "eps", "accuracy"]].round(2)
        model  norm  eps  accuracy
    0  C=0.01   inf  0.0      0.87
    1  C=0.01   inf  0.5      0.65
    2   C=1.0   inf  0.0      0.97
    3   C=1.0   inf  0.5      0.54
    """
    pandas = import_pandas("robustness_curves")
    models, named = named_models(estimators), named_attacks(attacks)
    template = template_of(threat_model)
    balls = [_ball(grid, norm, template, named) for norm, grid in _grids(eps_grid, norms, template).items()]
    X, y = chosen_rows(models, X, y, rows)
    seed = shared_seed(random_state)
    tasks = [
        (model, X, y, *attack, *ball, seed) for model, attack, ball in itertools.product(models, named.items(), balls)
    ]
    curves = done_for_each(_curve, tasks, n_jobs=n_jobs, verbose=verbose, desc="Attacking")
    return pandas.DataFrame([row for curve in curves for row in curve])


def _grids(eps_grid, norms, template):
    """Return a grid of eps for each norm."""
    if not isinstance(eps_grid, Mapping):
        return dict.fromkeys(listed(norms, (template.norm,)), eps_grid)
    missing = [norm for norm in listed(norms, ()) if norm not in eps_grid]
    if missing:
        raise ValueError(f"eps_grid has no entry for the norm {missing[0]!r} of norms: add one.")
    return {norm: eps_grid[norm] for norm in listed(norms, eps_grid)}


def _ball(grid, norm, template, named):
    """Return the threat model of a norm and the radii at which it is tried."""
    own = dataclasses.replace(template, norm=norm)
    # A scorer of the same attack makes all checks that can be made without an estimator.
    for attack, params in (pair for pairs in named.values() for pair in pairs):
        radii = make_robustness_scorers(attack, eps_grid=grid, norm=norm, threat_model=own, **params).eps_grid
    return threat_model_of(None if isinstance(own.eps, tuple) else radii[-1], norm, own), radii


def _curve(model, X, y, name, pairs, threat_model, radii, random_state):
    """Return the rows of the table for one model, attack and norm."""
    found = attacked(model.estimator, X, y, pairs, threat_model=threat_model, radii=radii, random_state=random_state)
    return [
        {
            **model.key,
            "attack": name,
            "norm": threat_model.norm,
            "eps": radius,
            "accuracy": float(stands.mean()),
            "n_rows": len(stands),
            "route": found.route,
            "is_upper_bound": is_upper_bound,
        }
        for radius, stands, is_upper_bound in zip(radii, found.standing, found.is_upper_bound(), strict=True)
    ]
