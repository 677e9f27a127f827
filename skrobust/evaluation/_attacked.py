"""Attacks as they are named in a comparison, and the rows that they leave standing."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from skrobust.attacks import ThreatModel
from skrobust.attacks._assess import assess
from skrobust.attacks._attacks import has_radius
from skrobust.attacks._plan import check_attack
from skrobust.metrics._flags import gradient_share
from skrobust.metrics._parameters import check_threat_model
from skrobust.metrics._report import certified_distances, is_certified


@dataclasses.dataclass(frozen=True, eq=False)
class Attacked:
    """What several attacks leave standing of the same rows.

    Parameters
    ----------
    clean : ndarray of shape (n,)
        Rows that are answered rightly, as 0 or 1; the share of right answers where answers are random.
    standing : ndarray of shape (n_radii, n)
        Rows that stand within each radius.
    route : str
        How the rows were attacked: "white-box", "bridge", "black-box", several of them joined by "+", or "none".
    white_box : float
        Share of the attacked rows that were attacked along gradients.
    radii : tuple of float
    assessment : skrobust.attacks._assess.Assessment
        Of one of the attacks.
    """

    clean: np.ndarray
    standing: np.ndarray
    route: str
    white_box: float
    radii: tuple
    assessment: object

    def is_upper_bound(self):
        """Return for each radius whether rows were attacked as a black box, and some that stand are not certified."""
        if self.white_box == 1:
            return [False] * len(self.radii)
        certified = certified_distances(self.assessment)
        if certified is None:
            return [True] * len(self.radii)
        pairs = zip(self.radii, self.standing, strict=True)
        return [bool((stands != is_certified(certified, radius)).any()) for radius, stands in pairs]


def named_attacks(attacks):
    """Return attacks by the name that they have in tables, each a list of pairs of an attack and its parameters.

    Parameters
    ----------
    attacks : sequence of attacks, or dict
        An attack is a name, a class of ART or a callable. A dict gives names to such attacks, to dicts of an "attack"
        and its parameters, and to lists of the two, whose rows have to stand against all of them.

    Returns
    -------
    named : dict of str to list of tuple (attack, dict)

    Raises
    ------
    ValueError
        If there is none, a name occurs twice, an attack is unknown, or a parameter is out of its range.
    TypeError
        If an attack is of a wrong type, or has no such parameter.
    """
    attacks = attacks if isinstance(attacks, Mapping) else _by_own_name(attacks)
    if not attacks:
        raise ValueError(f"attacks={attacks!r} is empty: name at least one, such as 'worst_case'.")
    named = {str(name): _pairs(entries) for name, entries in attacks.items()}
    for attack, params in (pair for pairs in named.values() for pair in pairs):
        check_attack(attack, params)
    return named


def _by_own_name(attacks):
    """Return a sequence of attacks, or a single one, as a dict."""
    attacks = [attacks] if isinstance(attacks, str) or callable(attacks) else list(attacks)
    names = [attack if isinstance(attack, str) else getattr(attack, "__name__", repr(attack)) for attack in attacks]
    if len(set(names)) < len(names):
        raise ValueError(f"attacks={attacks!r} has a name twice: pass a dict, with a name for each.")
    return dict(zip(names, attacks, strict=True))


def _pairs(entries):
    return [_pair(entry) for entry in (entries if isinstance(entries, list | tuple) else [entries])]


def _pair(entry):
    if not isinstance(entry, Mapping):
        return entry, {}
    if "attack" not in entry:
        raise ValueError(f"attacks holds {dict(entry)!r}, which has no 'attack': add its name under that key.")
    return entry["attack"], {name: value for name, value in entry.items() if name != "attack"}


def attacked(estimator, X, y, pairs, *, threat_model, radii, random_state):
    """Return what the attacks leave standing together within each radius.

    Parameters
    ----------
    estimator : classifier or Pipeline
    X, y : array-like
    pairs : list of tuple (attack, dict)
        As of :func:`named_attacks`.
    threat_model : ThreatModel
    radii : tuple of float
        Ascending, in units of the threat model. An attack within a ball is run at one after the other, each on the
        rows that still stand; one that looks for the nearest adversarial row runs once.
    random_state : int, RandomState instance or None

    Returns
    -------
    attacked : Attacked
    """
    results, standing = [], []
    for attack, params in pairs:
        is_within = has_radius(attack)
        at = functools.partial(
            assess, estimator, X, y, attack, threat_model=threat_model, random_state=random_state, **params
        )
        result = at(radii=radii if is_within else (np.inf,))
        if result.is_random and not is_within:
            result, is_within = at(radii=radii), True
        results.append(result)
        standing.append([_stands(result, radius, is_within) for radius in radii])
    routes = np.unique(np.concatenate([result.route for result in results]))
    return Attacked(
        clean=results[0].clean(),
        standing=np.min(standing, axis=0),
        route="+".join(routes[routes != "none"]) or "none",
        white_box=min(map(gradient_share, results)),
        radii=radii,
        assessment=results[0],
    )


def _stands(result, radius, is_within):
    """Return which rows stand within a radius; that of an attack without one is read off the distances."""
    if radius == 0:
        return result.clean()
    if is_within:
        return result.robust(radius)
    return (result.distance > result.pursuit.reach(radius)).astype(np.float64)


def listed(norms, default):
    """Return norms as a tuple; a single one is one of them."""
    if norms is None:
        return tuple(default)
    return (norms,) if np.isscalar(norms) else tuple(norms)


def template_of(threat_model):
    """Return a threat model that says what holds in every norm, after a check; None holds nothing."""
    if threat_model is None:
        return ThreatModel()
    check_threat_model(threat_model)
    return threat_model
