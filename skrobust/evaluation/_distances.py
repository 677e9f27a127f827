"""Adversarial distances relative to rows, and distances of the boundary, of several fitted classifiers."""

import dataclasses
import itertools
from numbers import Real

import numpy as np

from skrobust.evaluation._attacked import listed, named_attacks, template_of
from skrobust.evaluation._models import chosen_rows, done_for_each, named_models, shared_seed
from skrobust.metrics._boundary import boundary_distance, check_directions
from skrobust.metrics._pandas import import_pandas
from skrobust.metrics._scores import rho_adv_score
from skrobust.torchify import encode_frame


def rho_adv_table(
    estimators,
    X,
    y,
    *,
    attacks=("deepfool",),
    norms=(2,),
    threat_model=None,
    rows="all",
    random_state=0,
    n_jobs=None,
    verbose=0,
):
    """Return the distances of adversarial rows relative to the length of the rows, for several fitted classifiers [1]_.

    Lengths are counted from the origin, which has to mean something, as black does for images. Where columns of X have
    values on both sides of 0, the origin is a convention, and this is refused: see :func:`boundary_table`.

    Parameters
    ----------
    estimators : dict of str to classifier, or to list of classifiers
        Fitted. A list holds the same training from several seeds.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them, in raw units.
    y : array-like of shape (n,)
        True labels.
    attacks : sequence of attacks, or dict of str to attack, default=("deepfool",)
        As in :func:`robustness_curves`. Attacks within a ball are not meant for this; "worst_case" comes nearest.
    norms : sequence of {numpy.inf, 2, 1}, default=(2,)
        Of distances and lengths.
    threat_model : ThreatModel, default=None
        What attacks have to keep to, in every norm. Its units are raw.
    rows : {"all", "correct"}, default="all"
        Whether to take all rows, or only those that every model answers rightly.
    random_state : int, RandomState instance or None, default=0
        Seed of the attacks, the same for every model.
    n_jobs : int, default=None
        Processes, by joblib.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    table : DataFrame
        A row for each model, seed, attack and norm, with:

        - rho_median: over all rows; 0 for misclassified ones, and inf for those without an adversarial row;
        - rho_mean: the mean that the paper reports, NaN if a row has no adversarial row;
        - censored_share: share of all rows without an adversarial row;
        - success_rate: of the rows that are answered rightly, the share with one; NaN without such rows;
        - n_rows: number of rows.

    Raises
    ------
    ValueError
        If the origin means nothing, a row has the length 0, units are not raw, or a parameter is out of its range.
    TypeError
        If the estimators are no dict, or an attack has no such parameter.
    ImportError
        If pandas is not installed.

    References
    ----------
    .. [1] S.-M. Moosavi-Dezfooli, A. Fawzi, P. Frossard: DeepFool: a simple and accurate method to fool deep neural
       networks. CVPR, 2016, arXiv:1511.04599, Eq. 12.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.evaluation import rho_adv_table
    >>> X, y = load_iris(return_X_y=True)
    >>> table = rho_adv_table({"linear": LogisticRegression(max_iter=1000).fit(X, y)}, X, y)
    >>> table[["model", "attack", "norm", "censored_share", "success_rate"]]
        model    attack  norm  censored_share  success_rate
    0  linear  deepfool   2.0             0.0           1.0
    """
    pandas = import_pandas("rho_adv_table")
    models, named = named_models(estimators), named_attacks(attacks)
    template = template_of(threat_model)
    _check_origin(X, template)
    balls = [dataclasses.replace(template, norm=norm) for norm in listed(norms, ())]
    X, y = chosen_rows(models, X, y, rows)
    seed = shared_seed(random_state)
    tasks = [
        (model, X, y, *attack, ball, seed) for model, attack, ball in itertools.product(models, named.items(), balls)
    ]
    return pandas.DataFrame(done_for_each(_rho, tasks, n_jobs=n_jobs, verbose=verbose, desc="Attacking"))


def _check_origin(X, threat_model):
    """Check that lengths of rows, counted from the origin, mean something."""
    if threat_model.units != "raw":
        raise ValueError(
            f"units={threat_model.units!r} of the threat model must be 'raw': rho counts from the origin of X itself."
        )
    matrix, vocabularies = encode_frame(X)
    numbers = matrix[:, [vocabulary is None for vocabulary in vocabularies]]
    has_both = (numbers < 0).any(axis=0) & (numbers > 0).any(axis=0)
    if has_both.any():
        raise ValueError(
            f"X has values on both sides of 0 in {has_both.sum()} of {len(has_both)} columns, so that the origin is a "
            "convention and lengths mean nothing: use boundary_table, or X in units whose 0 is the least."
        )
    empty = np.flatnonzero(~numbers.any(axis=1))
    if len(empty):
        raise ValueError(f"X has rows of the length 0, such as row {empty[0]}, which have no rho: leave them out.")


def _rho(model, X, y, name, pairs, threat_model, random_state):
    """Return the row of the table for one model, attack and norm."""
    ratio = np.min([_ratio(model, X, y, *pair, threat_model, random_state) for pair in pairs], axis=0)
    is_right, is_censored = ratio > 0, np.isinf(ratio)
    return {
        **model.key,
        "attack": name,
        "norm": threat_model.norm,
        "rho_median": float(np.median(ratio)),
        "rho_mean": float("nan") if is_censored.any() else float(ratio.mean()),
        "censored_share": float(is_censored.mean()),
        "success_rate": 1 - float(is_censored[is_right].mean()) if is_right.any() else float("nan"),
        "n_rows": len(ratio),
    }


def _ratio(model, X, y, attack, params, threat_model, random_state):
    details = rho_adv_score(
        model.estimator,
        X,
        y,
        norm=threat_model.norm,
        threat_model=threat_model,
        attack=attack,
        return_details=True,
        random_state=random_state,
        **params,
    )
    return details.per_sample


def boundary_table(
    estimators,
    X,
    y=None,
    *,
    directions=("adversarial", "random", "off_support"),
    quantiles=(0.1, 0.5, 0.9),
    rows="all",
    random_state=0,
    n_jobs=None,
    verbose=0,
    **params,
):
    """Return quantiles of the distance of the decision boundary, for several fitted classifiers and directions.

    Parameters
    ----------
    estimators : dict of str to classifier, or to list of classifiers
        Fitted. A list holds the same training from several seeds.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,), default=None
        True labels, with which misclassified rows have the distance 0. None takes each model's own answers.
    directions : sequence of str, default=("adversarial", "random", "off_support")
        As in :func:`skrobust.metrics.boundary_distance`. All but "adversarial" look along as many rays, at
        the same points of each.
    quantiles : sequence of float, default=(0.1, 0.5, 0.9)
        Of the distances of all rows and rays. They are distances that occur: none is interpolated.
    rows : {"all", "correct"}, default="all"
        Whether to take all rows, or only those that every model answers rightly, which needs `y`, and keeps accuracy
        out of the distances.
    random_state : int, RandomState instance or None, default=0
        Seed of rays and attacks, the same for every model.
    n_jobs : int, default=None
        Processes, by joblib.
    verbose : int, default=0
        1 shows a progress bar.
    **params : dict
        Further parameters of :func:`skrobust.metrics.boundary_distance`.

    Returns
    -------
    table : DataFrame
        A row for each model, seed, directions and quantile, with:

        - distance: inf where the boundary was not met;
        - censored_share: share of rays without a boundary up to max_distance;
        - max_distance: how far was looked;
        - n_rows: number of rows.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    TypeError
        If the estimators are no dict.
    ImportError
        If pandas is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.evaluation import boundary_table
    >>> X, y = load_iris(return_X_y=True)
    >>> models = {"linear": LogisticRegression(max_iter=1000).fit(X, y)}
    >>> boundary_table(models, X, directions=["random"], quantiles=[0.5])[["directions", "quantile", "n_rows"]]
      directions  quantile  n_rows
    0     random       0.5     150
    """
    pandas = import_pandas("boundary_table")
    models, quantiles = named_models(estimators), _checked_quantiles(quantiles)
    if y is None and rows != "all":
        raise ValueError(f"rows={rows!r} needs y, to tell which answers are right: pass it.")
    if y is not None:
        X, y = chosen_rows(models, X, y, rows)
    params = {**params, "random_state": shared_seed(random_state)}
    directions = [directions] if isinstance(directions, str) else list(directions)
    for way in directions:
        check_directions(way)
    tasks = [(model, X, y, way, quantiles, params) for model in models for way in directions]
    tables = done_for_each(_quantiles, tasks, n_jobs=n_jobs, verbose=verbose, desc="Looking for the boundary")
    return pandas.DataFrame([row for table in tables for row in table])


def _checked_quantiles(quantiles):
    """Return quantiles as a list, after a check of them."""
    try:
        values = list(quantiles)
    except TypeError:  # a single number
        values = []
    if not values or not all(isinstance(value, Real) and 0 <= value <= 1 for value in values):
        raise ValueError(
            f"quantiles={quantiles!r} must hold at least one number, each from 0 to 1: give a sequence, such as [0.5]."
        )
    return values


def _quantiles(model, X, y, directions, quantiles, params):
    """Return the rows of the table for one model and kind of directions."""
    found = boundary_distance(model.estimator, X, y, directions=directions, **params)
    return [
        {
            **model.key,
            "directions": directions,
            "quantile": quantile,
            # Between a number and infinity there is nothing to interpolate.
            "distance": float(np.quantile(found.distance, quantile, method="inverted_cdf")),
            "censored_share": found.censored_share,
            "max_distance": found.max_distance,
            "n_rows": len(found.distance),
        }
        for quantile in quantiles
    ]
