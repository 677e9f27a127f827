"""Robust accuracy as scorers of scikit-learn."""

import copy
import dataclasses
import inspect
import traceback
import warnings
from numbers import Real

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._metadata_requests import MetadataRequest, _MetadataRequester, _routing_enabled
from sklearn.utils.validation import _num_samples

from skrobust.attacks._assess import approach, assess
from skrobust.attacks._plan import check_attack
from skrobust.metrics._flags import cheap_flags, gradient_share
from skrobust.metrics._parameters import check_has_eps, check_weight, radius_of, threat_model_of

# Attacks to which the other rows are nothing; those that look at all rows get all of them at once.
ROW_BY_ROW = ("fgsm", "pgd", "apgd", "apgd_targeted", "deepfool", "minimum_norm", "noise", "square")
ROWS_AT_A_TIME = 4096


def make_robustness_scorer(attack="pgd", *, eps=None, norm=np.inf, threat_model=None, random_state=0, **attack_params):
    """Make a scorer of the share of rows that stay right under attack.

    It serves wherever scikit-learn takes ``scoring``, for any classifier or Pipeline, which it attacks end to end in
    the units of X.

    Parameters
    ----------
    attack : str, ART attack class or callable, default="pgd"
        As in :func:`skrobust.attacks.find_adversarial`. Selecting by "pgd" alone may pick a model that only hides its
        gradients; audit what was selected by "worst_case", on other rows.
    eps : float, default=None
        How far the attack may go. It may be part of the threat model instead.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of the change, unless there is a threat model.
    threat_model : ThreatModel, default=None
        What else the attack has to keep to. Its units must be numbers: a scorer sees no training rows.
    random_state : int, RandomState instance or None, default=0
        Seed of the attack.
    **attack_params : dict
        Parameters of the attack.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)`` returns a float in [0, 1]: of all rows, the (weighted) share
        that is answered rightly and stays so. Rows of an estimator whose answers are random count by the share of
        fresh answers that are right; rows with a label that was not in training count as wrong.
        ``set_score_request(sample_weight=True)`` asks for weights where metadata routing
        is enabled.

    Raises
    ------
    ValueError
        If eps is missing or given twice, or another parameter is out of its range.
    TypeError
        If the attack has no such parameter.

    See Also
    --------
    make_robustness_scorers : Several eps at the cost of little more than one.

    Notes
    -----
    An attack that fails proves nothing: the score is an upper bound of the robust accuracy.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust import ThreatModel
    >>> from skrobust.metrics import make_robustness_scorer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> threat_model = ThreatModel(units="std").resolve(X)
    >>> scorer = make_robustness_scorer("pgd", eps=0.2, threat_model=threat_model)
    >>> pipe = make_pipeline(StandardScaler(), LogisticRegression())
    >>> scores = cross_validate(pipe, X, y, cv=3, scoring={"clean": "accuracy", "pgd": scorer})
    >>> bool((scores["test_pgd"] < scores["test_clean"]).all())
    True
    """
    scorer = RobustnessScorer(attack, random_state, attack_params, threat_model, norm, eps)
    scorer.check()
    return scorer


def make_robustness_scorers(
    attack="worst_case",
    *,
    eps_grid=None,
    norm=np.inf,
    threat_model=None,
    random_state=0,
    distance=True,
    diagnostics=True,
    error_score=None,
    **attack_params,
):
    """Make a scorer of clean accuracy, robust accuracy at several eps, and distances, from one run of an attack.

    It serves as ``scoring`` of cross_validate and of GridSearchCV, whose ``refit`` may name any of its keys.

    Parameters
    ----------
    attack : str, ART attack class or callable, default="worst_case"
        As in :func:`skrobust.attacks.find_adversarial`.
    eps_grid : sequence of float, default=None
        How far the attack may go, in ascending order. None takes the eps of the threat model. Where that has an eps
        per feature, multiples of them.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of the change, unless there is a threat model.
    threat_model : ThreatModel, default=None
        What else the attack has to keep to. Its units must be numbers: a scorer sees no training rows.
    random_state : int, RandomState instance or None, default=0
        Seed of the attack.
    distance : bool, default=True
        Whether to score the distance of adversarial rows.
    diagnostics : bool, default=True
        Whether to score how the attack fared, for :func:`skrobust.model_selection.most_robust_within`.
    error_score : "raise", float or None, default=None
        Every score of an estimator on which the attack fails, with a warning; None is NaN. scikit-learn's own
        ``error_score`` does not know the keys, and would lose the scores of the other folds.
    **attack_params : dict
        Parameters of the attack.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)`` returns a dict of floats, each better the higher:

        - "clean": accuracy.
        - "robust_0.05" for eps=0.05, and so on: share of rows that stay right.
        - "distance": mean distance of the nearest adversarial row found, where rows that stay right up to the largest
          eps count as that far. It is finite, and the area below the curve of robust accuracy over eps. Of the rows
          that the attack fooled, nearer adversarial rows are looked for along gradients, by DeepFool and FAB, and by
          bisection alone where there is no gradient to follow.
        - "white_box": share of the attacked rows that were attacked along gradients. Elsewhere robust accuracy is a
          looser upper bound.
        - "unflagged": 1 if there is no sign that the attack, not the estimator, is at fault, else 0. The signs are
          the cheap ones among the flags of :func:`robustness_report`.

    Raises
    ------
    ValueError
        If eps is missing or given twice, or another parameter is out of its range.
    TypeError
        If the attack has no such parameter.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import make_robustness_scorers
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = make_robustness_scorers("pgd", eps_grid=[0.1, 0.3])
    >>> list(scorer(LogisticRegression(max_iter=1000).fit(X, y), X, y))
    ['clean', 'robust_0.1', 'robust_0.3', 'distance', 'white_box', 'unflagged']
    """
    grid = None if eps_grid is None else _check_grid(eps_grid)
    scorer = RobustnessScorers(
        attack, random_state, attack_params, threat_model, norm, grid, distance, diagnostics, error_score
    )
    scorer.check()
    return scorer


class _WeightedScorer(_MetadataRequester):
    """A value object that scikit-learn knows for a scorer that takes sample_weight."""

    def set_score_request(self, *, sample_weight):
        """Say whether this scorer is to be given weights where metadata routing is enabled.

        Parameters
        ----------
        sample_weight : bool, str or None
            As in scikit-learn: True asks for it, False refuses it, None makes it an error, a name is where to find it.

        Returns
        -------
        self : scorer

        Raises
        ------
        RuntimeError
            If metadata routing is not enabled.
        """
        if not _routing_enabled():
            raise RuntimeError(
                f"sample_weight={sample_weight!r} can be requested only where metadata routing is enabled: call "
                "sklearn.set_config(enable_metadata_routing=True) first."
            )
        self._metadata_request = self._request(sample_weight)
        return self

    def _get_metadata_request(self):
        if hasattr(self, "_metadata_request"):
            return copy.deepcopy(self._metadata_request)
        return self._request(None)

    def _request(self, alias):
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=alias)
        return request

    def _routing_repr(self):
        return repr(self)

    def _accept_sample_weight(self):
        return True

    def __sklearn_clone__(self):
        return copy.deepcopy(self)


@dataclasses.dataclass(repr=False)
class RobustnessScorer(_WeightedScorer):
    """Share of rows that stay right; see :func:`make_robustness_scorer`."""

    attack: object
    random_state: object
    attack_params: dict
    threat_model: object
    norm: float
    eps: object

    def check(self):
        """Check all that can be checked without an estimator."""
        check_has_eps(self._threat_model())
        check_attack(self.attack, self.attack_params)

    def __call__(self, estimator, X, y, sample_weight=None):
        """Return the robust accuracy of a fitted estimator on rows of X."""
        threat_model = self._threat_model()
        how = {"threat_model": threat_model, "random_state": self.random_state, **self.attack_params}
        stand = np.concatenate(
            [
                assess(estimator, *part, self.attack, **how).robust(radius_of(threat_model))
                for part in _parts(X, y, self.attack)
            ]
        )
        return _mean(stand, check_weight(sample_weight, len(stand)))

    def __repr__(self):
        return _call_text(make_robustness_scorer, self)

    def _threat_model(self):
        return threat_model_of(self.eps, self.norm, self.threat_model)


@dataclasses.dataclass(repr=False)
class RobustnessScorers(_WeightedScorer):
    """Scores from one run of an attack; see :func:`make_robustness_scorers`."""

    attack: object
    random_state: object
    attack_params: dict
    threat_model: object
    norm: float
    eps_grid: tuple | None
    distance: bool
    diagnostics: bool
    error_score: object

    def check(self):
        """Check all that can be checked without an estimator."""
        self._run()
        check_attack(self.attack, self.attack_params)
        if self.error_score != "raise" and not isinstance(self.error_score, Real | None):
            raise ValueError(f"error_score={self.error_score!r} is neither 'raise' nor a number: use one of the two.")

    def __call__(self, estimator, X, y, sample_weight=None):
        """Return the scores of a fitted estimator on rows of X, by name."""
        try:
            return self._scores(estimator, X, y, sample_weight)
        except Exception:
            if self.error_score == "raise":
                raise
            score = float("nan") if self.error_score is None else float(self.error_score)
            warnings.warn(
                f"The attack failed, and all scores of this estimator are set to {score}. Details:\n"
                f"{traceback.format_exc()}",
                UserWarning,
                stacklevel=2,
            )
            return dict.fromkeys(self._keys(), score)

    def __repr__(self):
        return _call_text(make_robustness_scorers, self)

    def _scores(self, estimator, X, y, sample_weight):
        # Flags judge all rows together.
        parts = [(X, y)] if self.diagnostics else _parts(X, y, self.attack)
        columns, flags = zip(*(self._columns(estimator, *part) for part in parts), strict=True)
        columns = np.concatenate(columns, axis=1)
        weight = check_weight(sample_weight, columns.shape[1])
        return dict(zip(self._keys(), [*(_mean(column, weight) for column in columns), *flags[0]], strict=True))

    def _columns(self, estimator, X, y):
        """Return the figures of each row, of shape (n_scores, n), and diagnostics of all, if they are asked for."""
        threat_model, radii = self._run()
        how = {"threat_model": threat_model, "random_state": self.random_state, **self.attack_params}
        result = assess(estimator, X, y, self.attack, radii=radii, **how)
        columns = [result.clean(), *(result.robust(radius) for radius in radii)]
        if self.distance:
            # Rows fooled within a ball lie anywhere in it.
            approach(result, np.flatnonzero(result.distance <= radii[-1]))
            columns.append(np.minimum(result.distance, radii[-1]))
        flags = [gradient_share(result), float(not cheap_flags(estimator, result))] if self.diagnostics else []
        return np.stack(columns), flags

    def _keys(self):
        _, radii = self._run()
        names = ["clean", *(f"robust_{radius:g}" for radius in radii)]
        return names + ["distance"] * self.distance + ["white_box", "unflagged"] * self.diagnostics

    def _run(self):
        """Return the threat model, and the radii at which it is tried."""
        # A grid counts in eps per feature where there is one; else its largest eps is that of the threat model.
        is_of_factors = isinstance(getattr(self.threat_model, "eps", None), tuple)
        largest = None if self.eps_grid is None or is_of_factors else self.eps_grid[-1]
        threat_model = threat_model_of(largest, self.norm, self.threat_model)
        check_has_eps(threat_model)
        return threat_model, self.eps_grid or (radius_of(threat_model),)


def _check_grid(eps_grid):
    """Return a grid of eps as a tuple of floats."""
    grid = tuple(map(float, eps_grid))
    names = [f"{eps:g}" for eps in grid]
    if not grid or not all(0 <= eps < np.inf for eps in grid) or list(grid) != sorted(grid):
        raise ValueError(f"eps_grid={eps_grid!r} must hold finite numbers, none negative, in ascending order.")
    if len(set(names)) < len(names):
        raise ValueError(f"eps_grid={eps_grid!r} holds numbers that agree to six digits: drop one of them.")
    return grid


def _parts(X, y, attack):
    """Return rows and labels in parts, so that memory does not grow with the rows, if attacks go row by row."""
    n = _num_samples(X)
    if attack not in ROW_BY_ROW or n <= ROWS_AT_A_TIME or _num_samples(y) != n:
        return [(X, y)]
    slices = [slice(start, start + ROWS_AT_A_TIME) for start in range(0, n, ROWS_AT_A_TIME)]
    return ((_safe_indexing(X, part), _safe_indexing(y, part)) for part in slices)


def _mean(values, weight):
    return float(np.average(values, weights=weight))


def _call_text(factory, scorer):
    """Return the call of a factory that makes a scorer; parameters that have their default are left out."""
    defaults = {name: p.default for name, p in inspect.signature(factory).parameters.items()}
    settings = {name: getattr(scorer, name) for name in list(defaults)[1:-1]}
    changed = {name: value for name, value in settings.items() if repr(value) != repr(defaults[name])}
    named = {**changed, **scorer.attack_params}.items()
    return (
        f"{factory.__name__}({', '.join([_text(scorer.attack), *(f'{name}={_text(value)}' for name, value in named)])})"
    )


def _text(value):
    if isinstance(value, float) and value == np.inf:
        return "numpy.inf"
    return getattr(value, "__name__", None) or repr(value)
