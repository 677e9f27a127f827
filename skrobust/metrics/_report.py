"""robustness_report: how robust a classifier is, and how far the figures are to be trusted."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
from sklearn.utils import check_random_state
from tqdm import tqdm

from skrobust.attacks._assess import assess, global_states
from skrobust.attacks._plan import attack_name
from skrobust.metrics import _render
from skrobust.metrics._card import card_of
from skrobust.metrics._control import control_attacks, run_control
from skrobust.metrics._flags import Evidence, flags_of, gradient_share
from skrobust.metrics._pandas import import_pandas
from skrobust.metrics._parameters import check_count, check_has_eps, check_threat_model, radius_of

# Times that the largest radius is doubled in search of the end of the curve.
MOST_DOUBLINGS = 12
# Two-sided 95 % quantile of the normal distribution.
Z_95 = 1.959963984540054
# Relative excess of a certified distance over an attacked one that rounding may make.
ROUNDING = 1e-6


def robustness_report(
    estimator,
    X,
    y,
    threat_model,
    *,
    eps_factors=(0, 0.25, 0.5, 1, 2, 4),
    attack="worst_case",
    n_control=100,
    random_state=0,
    verbose=0,
):
    """Attack a classifier in many ways, and report what stands, and whether the attacks can be trusted.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them, unseen in training.
    y : array-like of shape (n,)
        True labels.
    threat_model : ThreatModel
        What the attacks have to keep to. Its units must be numbers: see ``ThreatModel.resolve``.
    eps_factors : sequence of float, default=(0, 0.25, 0.5, 1, 2, 4)
        Multiples of the eps of the threat model at which rows are attacked. Where rows stand at the largest, the curve
        goes on in doublings until it reaches 0, by the distances found, unless answers are random.
    attack : str, ART attack class or callable, default="worst_case"
        As in :func:`skrobust.attacks.find_adversarial`.
    n_control : int, default=100
        Rows, drawn at random, on which every attack also runs alone. Some flags rest on them.
    random_state : int, RandomState instance or None, default=0
        Seed of the attacks and of the choice of rows.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    report : RobustnessReport

    Raises
    ------
    ImportError
        If pandas is not installed.
    ValueError
        If a parameter is out of its range.
    TypeError
        If the estimator is no classifier, or the threat model is none.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust import ThreatModel
    >>> from skrobust.metrics import robustness_report
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
    >>> report = robustness_report(clf, X[1::2], y[1::2], ThreatModel(0.4))
    >>> list(report.flags)
    []
    >>> bool(report.summary["accuracy"].is_monotonic_decreasing)
    True
    """
    start = time.perf_counter()
    import_pandas("robustness_report")
    check_threat_model(threat_model)
    check_has_eps(threat_model)
    check_count("n_control", n_control)
    radii = _radii(eps_factors, threat_model)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    with global_states(seed), tqdm(desc="Attacking", unit="attack", disable=not verbose) as bar:
        result = _attacked(estimator, X, y, attack, threat_model, radii, seed, bar)
        index = _some_rows(result.n, n_control, seed)
        control = _controlled(estimator, X, y, result, index, seed, bar)
        flags = flags_of(Evidence(estimator, result, control))
    settings = {"attack": attack_name(attack), "random_state": random_state, "n_control": len(index)}
    return _report(result, control, flags, settings, time.perf_counter() - start)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RobustnessReport:
    """What :func:`robustness_report` found.

    Parameters
    ----------
    summary : DataFrame
        A row for each eps: accuracy under attack, ends of its 95 % Wilson interval (of the rows alone, not of seeds or
        attacks), number of rows, number of rows fooled by then, the share that is certified where a bound is known,
        and the accuracy that each attack alone leaves of the control rows.
    per_row : DataFrame
        A row for each row of X: y, answer, distance of the nearest adversarial row, attack that found it, route,
        number of queries, certified distance where a bound is known, and whether it stands at each eps.
    per_class : DataFrame
        A row for each label: number of rows, accuracy without attack and at the eps of the threat model with its
        Wilson interval, and median distance.
    flags : dict of str to str
        Signs that the attacks, not the classifier, are at fault: what each means and what to do. Empty if there is
        none.
    route : dict of str to float
        Share of the attacked rows by how they were attacked: "white-box", "bridge", "black-box".
    is_upper_bound : bool
        Whether rows were attacked as a black box, so that the figures are loose upper bounds, unless they are exact.
    is_exact : bool
        Whether every row that stands at some eps of the summary is certified there: no attack can fool more.
    threat_model : ThreatModel
    settings : dict
        Attack, its members and their budget in the order in which they run, the seed, and seconds.
    seconds : float
        What it took.
    n_queries : int
        Evaluations of the classifier, or of its torch module, for the worst case.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import LinearSVC
    >>> from skrobust import ThreatModel
    >>> from skrobust.metrics import RobustnessReport, robustness_report
    >>> X, y = load_iris(return_X_y=True)
    >>> report = robustness_report(LinearSVC().fit(X[::2], y[::2]), X[1::2], y[1::2], ThreatModel(0.2))
    >>> isinstance(report, RobustnessReport), report.route
    (True, {'white-box': 1.0})
    """

    summary: object
    per_row: object
    per_class: object
    flags: dict
    route: dict
    is_upper_bound: bool
    is_exact: bool
    threat_model: object
    settings: dict
    seconds: float
    n_queries: int

    def __repr__(self):
        return _render.as_text(self)

    def _repr_html_(self):
        return _render.as_html(self)

    def card(self):
        """Return what another person needs to judge the figures, as a dict that JSON can hold.

        Returns
        -------
        card : dict
            Threat model, route, budget, versions, seeds, number of rows, figures and flags.
        """
        return card_of(self)

    def to_json(self):
        """Return the card as JSON.

        Returns
        -------
        text : str
        """
        return json.dumps(self.card(), indent=2, allow_nan=False)

    def save(self, path):
        """Write the report to a file.

        Parameters
        ----------
        path : str or Path
            Ends in ``.json`` for the card, ``.html`` for the view of notebooks, ``.txt`` or ``.md`` for the printed
            summary.

        Raises
        ------
        ValueError
            If it ends in something else.
        """
        path = Path(path)
        writers = {
            ".json": self.to_json,
            ".html": self._repr_html_,
            ".txt": self.__repr__,
            ".md": lambda: f"```\n{self!r}\n```\n",
        }
        if path.suffix not in writers:
            raise ValueError(f"path={str(path)!r} must end in one of {list(writers)}.")
        path.write_text(writers[path.suffix](), encoding="utf-8")


def wilson_interval(share, n):
    """Return the ends of the 95 % Wilson interval of a share of n rows.

    Parameters
    ----------
    share : ndarray
    n : ndarray or int

    Returns
    -------
    low, high : ndarray
    """
    center = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * np.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2))
    # Rounding must not put the ends beyond the share.
    return np.minimum(np.clip(center - half, 0, 1), share), np.maximum(np.clip(center + half, 0, 1), share)


def _radii(eps_factors, threat_model):
    try:
        factors = sorted({float(factor) for factor in eps_factors})
    except (TypeError, ValueError):
        factors = []
    if not factors or not factors[-1] > 0 or not 0 <= factors[0] <= factors[-1] < np.inf:
        raise ValueError(
            f"eps_factors={eps_factors!r} must hold finite numbers, none negative and one positive: give a sequence "
            "such as (0, 0.5, 1)."
        )
    unit = radius_of(threat_model)
    if not unit > 0:
        raise ValueError(f"eps={threat_model.eps!r} of the threat model allows no change: give a positive one.")
    return tuple(factor * unit for factor in factors)


def _attacked(estimator, X, y, attack, threat_model, radii, seed, bar):
    """Return the assessment of all rows."""
    bar.set_postfix_str(f"{attack_name(attack)} on all rows")
    # The ensemble also looks for the nearest adversarial rows, however far.
    radii = (*radii, np.inf) if attack == "worst_case" else radii
    result = assess(estimator, X, y, attack, threat_model=threat_model, radii=radii, random_state=seed)
    bar.total = 1 + len(control_attacks(result))
    return result


def _controlled(estimator, X, y, result, index, seed, bar):
    """Return what the attacks do alone on some rows."""

    def progress(name):
        bar.update()
        bar.set_postfix_str(f"{name} alone")

    radii = tuple(radius for radius in result.radii if 0 < radius < np.inf)
    control = run_control(estimator, X, y, result, index, radii, random_state=seed, progress=progress)
    bar.update()
    return control


def _some_rows(n_rows, n_control, seed):
    chosen = np.random.default_rng(seed).permutation(n_rows)[:n_control]
    return np.sort(chosen)


def _report(result, control, flags, settings, seconds):
    ways, counts = np.unique(result.route[result.route != "none"], return_counts=True)
    route = {str(way): float(count / counts.sum()) for way, count in zip(ways, counts, strict=True)}
    certified = certified_distances(result)
    summary = _summary(result, control, certified)
    is_exact = certified is not None and bool((summary["certified"] == summary["accuracy"]).all())
    settings = {
        **settings,
        "members": list(result.members),
        "budget": result.budget,
        "seconds_by_attack": {name: round(seconds, 3) for name, seconds in result.seconds_by.items()},
    }
    return RobustnessReport(
        summary=summary,
        per_row=_per_row(result, certified),
        per_class=_per_class(result),
        flags=flags,
        route=route,
        is_upper_bound=gradient_share(result) < 1 and not is_exact,
        is_exact=is_exact,
        threat_model=result.threat_model,
        settings=settings,
        seconds=seconds,
        n_queries=int(result.n_queries.sum()),
    )


def certified_distances(result):
    """Return certified distances, or None; an attack that came nearer would prove one of the two wrong."""
    certified = result.certified()
    if certified is not None and (certified > result.distance * (1 + ROUNDING)).any():
        first = int((certified > result.distance * (1 + ROUNDING)).argmax())
        raise RuntimeError(
            f"certified={certified[first]} of row {first} exceeds the distance {result.distance[first]} of an "
            "adversarial row: report this as a bug of skrobust, with the estimator."
        )
    return certified


def is_certified(certified, radius):
    """Return which rows no attack within a radius can fool, by certified distances; those answered wrongly have 0."""
    return (certified >= radius) & (certified > 0)


def _stands(result, radius):
    """Return whether rows stand within a radius; beyond those that were attacked, by the distances found."""
    if radius in result.radii:
        return result.robust(radius)
    return (result.distance > result.pursuit.reach(radius)).astype(np.float64)


def _curve(result):
    """Return the radii that were attacked, and further ones up to where no row stands of which a way out is known."""
    tried = [radius for radius in result.radii if radius < np.inf]
    if result.is_random:
        # Distances tell where most answers are wrong, not how many.
        return tried
    farthest = result.distance[np.isfinite(result.distance)].max(initial=0.0)
    n_doublings = np.ceil(np.log2(max(farthest / tried[-1], 1.0)))
    return tried + [tried[-1] * 2.0**k for k in range(1, 1 + min(MOST_DOUBLINGS, int(n_doublings)))]


def _summary(result, control, certified):
    pandas = import_pandas("robustness_report")
    radii = _curve(result)
    stands = np.array([_stands(result, radius) if radius > 0 else result.clean() for radius in radii])
    accuracy = stands.mean(axis=1)
    low, high = wilson_interval(accuracy, result.n)
    columns = {"accuracy": accuracy, "low": low, "high": high, "n": result.n}
    columns["n_fooled"] = np.rint(result.clean().sum() - stands.sum(axis=1)).astype(int)
    if certified is not None:
        columns["certified"] = [is_certified(certified, radius).mean() for radius in radii]
    summary = pandas.DataFrame(columns, index=pandas.Index(radii, name="eps"))
    for name in control.fooled:
        alone = dict(zip(control.radii, control.accuracy(name), strict=True))
        summary[name] = [control.is_right.mean() if radius == 0 else alone.get(radius, np.nan) for radius in radii]
    return summary


def _per_row(result, certified):
    pandas = import_pandas("robustness_report")
    columns = {
        "y": result.y,
        "answer": result.answers,
        "distance": result.distance,
        "found_by": result.found_by,
        "route": result.route,
        "n_queries": result.n_queries,
    }
    if certified is not None:
        columns["certified"] = certified
    columns |= {f"robust_{radius:g}": result.robust(radius) for radius in result.radii if 0 < radius < np.inf}
    return pandas.DataFrame(columns)


def _per_class(result):
    pandas = import_pandas("robustness_report")
    radius = min(result.radii, key=lambda radius: abs(radius - radius_of(result.threat_model)))
    frame = pandas.DataFrame(
        {"y": result.y, "clean": result.clean(), "accuracy": _stands(result, radius), "distance": result.distance}
    )
    by_class = frame.groupby("y", sort=True, observed=True)
    table = by_class.agg(
        n=("y", "size"), clean=("clean", "mean"), accuracy=("accuracy", "mean"), median_distance=("distance", "median")
    )
    low, high = wilson_interval(table["accuracy"].to_numpy(), table["n"].to_numpy())
    table.insert(3, "low", low)
    table.insert(4, "high", high)
    return table
