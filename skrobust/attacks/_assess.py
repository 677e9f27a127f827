"""assess: all that an attack finds out about an estimator, the ground of every score and report."""

import contextlib
import dataclasses
import random

import numpy as np
import torch
from sklearn.utils import check_random_state

from skrobust._runtime import isolated_random_state
from skrobust.attacks import _plan
from skrobust.attacks._attacks import ATTACKS
from skrobust.attacks._certified import certified_distance
from skrobust.attacks._modes import modes_kept
from skrobust.attacks._original import Original
from skrobust.attacks._pursuit import Pursuit
from skrobust.attacks._surface import Surface
from skrobust.attacks._threat_model import ThreatModel
from skrobust.torchify import NotConvertibleError, has_bridge, to_torch

# How nearer adversarial rows are looked for than those that fooled.
NEARER = (("deepfool", {}), ("minimum_norm", {"n_targets": 2}))


def assess(estimator, X, y, attack="worst_case", *, threat_model, radii=None, random_state=0, **attack_params):
    """Attack a fitted classifier or Pipeline at one or several radii.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted; it stays as it is.
    X : array-like or DataFrame of shape (n, n_features), or images
    y : array-like of shape (n,)
    attack : str, class of ART or callable, default="worst_case"
        As in :func:`find_adversarial`.
    threat_model : ThreatModel
        Resolved.
    radii : sequence of float, default=None
        Radii in units of the threat model, attacked in ascending order with survivors carried; None for that of its
        eps. An infinite one asks for the nearest adversarial row, however far.
    random_state : int, RandomState instance or None, default=0
    **attack_params : dict
        Parameters of the attack.

    Returns
    -------
    assessment : Assessment

    Raises
    ------
    ValueError
        If the data, the threat model or a parameter of the attack is wrong.
    TypeError
        If the attack has no such parameter, the estimator is no classifier, or the threat model is none.
    """
    chosen = _plan.check_attack(attack, attack_params)
    if not isinstance(threat_model, ThreatModel):
        raise TypeError(f"threat_model={threat_model!r} must be a ThreatModel: use ThreatModel(eps=...).")
    seed = check_random_state(random_state).randint(2**31 - 1)
    with global_states(seed), modes_kept(estimator):
        original = Original(estimator, X, y)
        surface, reason = _surface(estimator, X.copy() if hasattr(X, "copy") else X)
        while True:
            budget = original.budget(threat_model)
            radii = _check_radii(radii, budget.radius)
            pursuit = Pursuit(original, budget, surface, radii)
            plans = _plan.plans_for(pursuit, chosen, attack_params, radii)
            if original.is_random and (chosen is None or chosen.needs_gradient):
                plans = [(_in_expectation(steps), part) for steps, part in plans]
            seconds = _plan.run_all(pursuit, plans, np.random.default_rng(seed))
            pursuit.judge()
            if original.is_random or not pursuit.finds_random_answers():
                return Assessment(pursuit, threat_model, radii, plans, seconds, reason)
            # Noise that shows near the boundary alone: what was found by chance does not count.
            original.is_random = True


def approach(assessment, index):
    """Look for nearer adversarial rows of rows that were fooled: along gradients where there are some, by bisection.

    Parameters
    ----------
    assessment : Assessment
        Its distances become those of the rows found.
    index : ndarray of shape (m,), int
    """
    pursuit = assessment.pursuit
    index = index[(pursuit.distance[index] > 0) & np.isfinite(pursuit.distance[index])]
    with global_states(0), modes_kept(pursuit.original.estimator):
        pursuit.shrink(index)
        if pursuit.surface is None or pursuit.original.is_random:
            return
        along = index[~pursuit.without_gradient()[index]]
        for name, params in NEARER:
            with pursuit.by(name):
                ATTACKS[name].run(pursuit, along, np.inf, None, **params)


@dataclasses.dataclass(frozen=True, eq=False)
class Assessment:
    """What attacks found out about an estimator on some rows.

    Parameters
    ----------
    pursuit : Pursuit
    threat_model : ThreatModel
    radii : tuple of float
        In units of the threat model, ascending.
    plans : list of tuple
        Pairs of steps and the radii at which they ran.
    seconds_by : dict of str to float
        What each attack took.
    reason : str
        Why no gradient leads through the estimator; empty if one does.
    """

    pursuit: Pursuit
    threat_model: ThreatModel
    radii: tuple
    plans: list
    seconds_by: dict
    reason: str

    @property
    def n(self):
        """Number of rows."""
        return len(self.distance)

    @property
    def members(self):
        """Names of the attacks that apply to the estimator, in their order."""
        return tuple(self.seconds_by)

    @property
    def budget(self):
        """What the attacks may spend, in their order, within finite radii and in search of the nearest row; for JSON.

        Dict of str to list of dict.
        """
        parts = {"nearest" if np.inf in radii else "within eps": steps for steps, radii in self.plans}
        return {name: [step.budget for step in steps] for name, steps in parts.items()}

    @property
    def y(self):
        """True labels."""
        return self.pursuit.original.y

    @property
    def answers(self):
        """Answers to the rows as they were."""
        return self.pursuit.original.answers

    @property
    def classes(self):
        """Class labels in the order of the estimator's outputs."""
        return self.pursuit.original.classes

    @property
    def distance(self):
        """Distances of the nearest adversarial rows: 0 for misclassified rows, inf where none was found."""
        return self.pursuit.distance

    @property
    def found_by(self):
        """Name of the attack that found the nearest adversarial row of each row; empty where none did."""
        return self.pursuit.found_by.astype(str)

    @property
    def n_queries(self):
        """How often the estimator or its torch module was evaluated for each row."""
        return self.pursuit.n_queries

    @property
    def seconds(self):
        """What all attacks took."""
        return float(sum(self.seconds_by.values()))

    @property
    def notes(self):
        """What attacks remarked of rows, by remark."""
        return self.pursuit.notes

    @property
    def is_random(self):
        """Whether answers to the same row differ."""
        return self.pursuit.original.is_random

    @property
    def depends_on_batch(self):
        """Whether answers depend on the other rows of a batch."""
        return self.pursuit.original.depends_on_batch

    @property
    def X_adv(self):  # noqa: N802  as find_adversarial calls it
        """The nearest adversarial rows, of the kind of X; a row that was never fooled is itself."""
        return self.pursuit.original.restored(self.pursuit.nearest)

    @property
    def route(self):
        """How each row was attacked: "white-box", "bridge", "black-box", or "none" for rows that needed no attack."""
        route = np.full(self.n, self._way(), dtype=object)
        route[self.pursuit.without_gradient()] = "black-box"
        can_move = self.pursuit.budget.at(max(self.radii)).can_move
        route[(self.answers != self.y) | ~can_move] = "none"
        return route.astype(str)

    def _way(self):
        """Return how rows were attacked at which the gradient does not vanish."""
        attacks = [step.attack for steps, _ in self.plans for step in steps]
        surface = self.pursuit.surface
        if surface is None or not any(attack.gradient for attack in attacks):
            return "black-box"
        return "bridge" if has_bridge(surface.module) else "white-box"

    def robust(self, radius):
        """Return which rows stand within a radius, as 0 or 1; the share of right answers where answers are random."""
        if self.is_random:
            return self.pursuit.shares_right(radius)
        return (self.distance > self.pursuit.reach(radius)).astype(np.float64)

    def clean(self):
        """Return which rows are answered rightly, as 0 or 1; the share of right answers where answers are random."""
        return self.pursuit.shares_right(0.0) if self.is_random else (self.answers == self.y).astype(np.float64)

    def certified(self):
        """Return distances within which no attack can succeed, or None where no bound is known."""
        pursuit, original = self.pursuit, self.pursuit.original
        bound = certified_distance(original.estimator, original.rows, pursuit.budget, pursuit.codes, original.columns)
        return None if bound is None else np.where(self.answers == self.y, bound, 0.0)


def _in_expectation(steps):
    """Return steps for random answers, in which searches give way that take one lucky answer for a way out."""
    return [step for step in steps if step.name not in ("square", "walk")] + [_plan.Step(ATTACKS["expectation"])]


def _surface(estimator, X):
    """Return what gradients are taken of, and why there is none if there is none."""
    try:
        return Surface(to_torch(estimator, X, bridge=True)), ""
    except (NotConvertibleError, ValueError) as error:
        # A module that differs from the estimator, say of a subclass that answers otherwise, would mislead.
        return None, str(error)


def _check_radii(radii, own):
    if radii is None and np.isinf(own):
        raise ValueError("eps=None of the threat model leaves the size of the attack open: use ThreatModel(eps=...).")
    radii = (own,) if radii is None else tuple(sorted(float(radius) for radius in radii))
    if not radii or not all(radius >= 0 for radius in radii):
        raise ValueError(f"radii={radii!r} must be one or more numbers that are not negative.")
    return radii


@contextlib.contextmanager
def global_states(seed):
    """Seed the global random states, from which estimators under attack may draw, and leave them as they were found.

    A process has one of each, so that attacks in several threads take turns, and training waits for them.
    """
    with isolated_random_state(torch.device("cpu"), seed):
        before = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
