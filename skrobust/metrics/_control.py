"""Every attack alone, at every radius, on a random subset of the rows.

An ensemble attacks what is left of the rows by the attacks before, and carries survivors from radius to radius. That
makes every curve fall, and hides that one attack fails where another does not.
"""

import dataclasses

import numpy as np
from sklearn.utils import _safe_indexing, check_random_state

from skrobust.attacks._assess import global_states
from skrobust.attacks._attacks import ATTACKS, has_radius
from skrobust.attacks._original import Original
from skrobust.attacks._pursuit import Pursuit
from skrobust.metrics._parameters import radius_of

# It goes on from adversarial rows that are known, so that it has those of nearest_other.
GOES_ON = "walk"
# They run where no gradient leads, in place of those that follow it.
BLIND = ("straight_through", "transfer", "square", "walk")
ONE_STEP = "fgsm"
STRONGEST = "apgd"
# An attack without a limit goes this many times as far as the farthest adversarial row that is known.
BEYOND = 2.0


@dataclasses.dataclass(frozen=True)
class Control:
    """What each attack did alone.

    Parameters
    ----------
    index : ndarray of shape (m,), int
        The rows.
    is_right : ndarray of shape (m,), bool
        Rows that were answered rightly as they are, the only ones that are attacked.
    radii : tuple of float
    fooled : dict of str to ndarray of shape (n_radii, m), bool
        Rows that each attack fools within each radius.
    far : ndarray of shape (m,), bool
        Rows that attacks along gradients fool at any of these radii, or at one that leaves them room.
    notes : dict of str to ndarray of shape (m,), bool
        What the attacks remarked within the eps of the threat model.
    """

    index: np.ndarray
    is_right: np.ndarray
    radii: tuple
    fooled: dict
    far: np.ndarray
    notes: dict

    def accuracy(self, name):
        """Return the accuracy that an attack leaves at each radius."""
        return (self.is_right & ~self.fooled[name]).mean(axis=1)

    def by(self, chosen):
        """Return the rows that the attacks fool together at each radius, of shape (n_radii, m); none without attacks.

        Parameters
        ----------
        chosen : callable
            From the name of an attack to whether it counts.
        """
        none = np.zeros((len(self.radii), len(self.index)), dtype=bool)
        return np.logical_or.reduce([none, *(rows for name, rows in self.fooled.items() if chosen(name))])


def needs_gradient(name):
    """Return whether an attack needs a gradient; ART classes and functions are known by no name."""
    return name in ATTACKS and ATTACKS[name].needs_gradient and name not in BLIND


def control_attacks(result):
    """Return the names of the attacks that run alone."""
    if not set(result.members) <= set(ATTACKS):
        return []
    has_gradient = result.pursuit.surface is not None
    needed = not has_gradient or result.pursuit.without_gradient().any()
    names = [ONE_STEP, "pgd", STRONGEST] if has_gradient else []
    names += [name for name in result.members if needed or name not in BLIND or name == "square"]
    if result.is_random:
        # Each of its many questions would be asked many times over.
        names = [name for name in names if name != GOES_ON]
    return list(dict.fromkeys([*names, "noise"]))


def run_control(estimator, X, y, result, index, radii, *, random_state, progress):
    """Run every attack alone on some of the rows.

    Parameters
    ----------
    estimator : classifier or Pipeline
    X, y : array-like
        All rows and their labels.
    result : Assessment
        Of all rows.
    index : ndarray of shape (m,), int
        Which rows.
    radii : tuple of float
        Positive.
    random_state : int, RandomState instance or None
    progress : callable
        Called with the name of an attack when it begins.

    Returns
    -------
    control : Control
    """
    alone = _Alone(estimator, _safe_indexing(X, index), result.y[index], result, random_state)
    fooled, notes = {}, {}
    far, far_radius, own = np.zeros(len(index), dtype=bool), _far(result, radii), radius_of(result.threat_model)
    for name in control_attacks(result):
        progress(name)
        runs = _runs(alone, name, radii)
        fooled[name] = np.array([_fooled(run, radius) for run, radius in zip(runs, radii, strict=True)])
        if needs_gradient(name) and name != ONE_STEP:
            tried = [*runs, alone(name, far_radius)] if has_radius(name) else runs
            far |= np.any([_fooled(run, np.inf) for run in tried], axis=0)
        for run, radius in zip(runs, radii, strict=True):
            _collect(notes, run.notes if radius <= own else {})
    is_right = result.answers[index] == result.y[index]
    shape = (len(radii), len(index))
    fooled = {name: found.reshape(shape) for name, found in fooled.items()}
    return Control(index, is_right, tuple(radii), fooled, far, notes)


class _Alone:
    """Runs single attacks on the same rows, each from the start."""

    def __init__(self, estimator, rows, y, result, random_state):
        self.original = Original(estimator, rows, y)
        self.budget = self.original.budget(result.threat_model)
        self.surface = result.pursuit.surface
        self.seed = check_random_state(random_state).randint(2**31 - 1)

    def __call__(self, name, radius):
        """Return the pursuit of an attack of that name."""
        attack, pursuit = ATTACKS[name], Pursuit(self.original, self.budget, self.surface, (radius,))
        index = np.flatnonzero((pursuit.distance > 0) & self.budget.at(radius).can_move)
        params = {"stops_early": False} if "stops_early" in attack.params else {}
        rng = np.random.default_rng(self.seed)
        with global_states(self.seed):
            if name == GOES_ON:
                ATTACKS["nearest_other"].run(pursuit, index, radius, rng)
            attack.run(pursuit, index, radius, rng, **params)
        return pursuit


def _runs(alone, name, radii):
    """Return one run for each radius; an attack that has no radius runs once."""
    if has_radius(name):
        return [alone(name, radius) for radius in radii]
    return [alone(name, np.inf)] * len(radii)


def _fooled(run, radius):
    return (run.distance > 0) & (run.distance < np.inf) & (run.distance <= run.reach(radius))


def _collect(notes, more):
    for remark, marked in more.items():
        notes[remark] = notes.get(remark, False) | marked


def _far(result, radii):
    known = result.distance[np.isfinite(result.distance)]
    return BEYOND * max([*radii, *known])
