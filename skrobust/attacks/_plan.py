"""Which attacks are run on an estimator, and in what order: cheap ones first, each on rows still standing."""

import dataclasses
import functools
import inspect
import time

import numpy as np

from skrobust.attacks import _art, _gradient, _trees
from skrobust.attacks._attacks import ATTACKS, OPTIONAL, Attack

# Numbers in the rows that one attack holds at a time: memory stays flat in the number of rows.
CHUNK_NUMBERS = 2**22
# Rows on which a costly attack shows whether it finds what the attacks before it left. One that would fool 5 % of the
# rows fools more than 1 % of so many with a probability of 96 %.
N_TRIED = 100
ENOUGH = 0.01


@dataclasses.dataclass(frozen=True)
class Step:
    """An attack with its parameters.

    Parameters
    ----------
    attack : Attack
    params : dict
    only_without_gradient : bool, default=False
        Whether it is for rows at which the gradient vanished.
    n_tried : int, default=None
        Rows, drawn at random, that are attacked first; the others only if more than 1 % of these are fooled. None for
        all.
    """

    attack: Attack
    params: dict = dataclasses.field(default_factory=dict)
    only_without_gradient: bool = False
    n_tried: int | None = None

    @property
    def name(self):
        """Name of the attack."""
        return self.attack.name

    @property
    def budget(self):
        """What it may spend: the parameters of the attack, and which rows get it, if not all; for JSON."""
        params = {name: value for name, value in self.attack.params.items() if not inspect.isclass(value)}
        budget = {"attack": self.name, **params, **self.params}
        if self.n_tried is not None:
            budget["n_rows_first"] = self.n_tried
        if self.only_without_gradient:
            budget["rows"] = "without gradient"
        return budget


def check_attack(attack, params):
    """Return the attack that a user means, after a check of its parameters.

    Parameters
    ----------
    attack : str, class of ART or callable
    params : dict

    Returns
    -------
    attack : Attack or None
        None for the worst case, which is no single attack.

    Raises
    ------
    ValueError
        If the attack is unknown or a parameter is out of its range.
    TypeError
        If it has no such parameter, or is none of these kinds.
    """
    if isinstance(attack, str):
        return _named(attack, params)
    if inspect.isclass(attack):
        run = functools.partial(_art.run_art, attack_class=attack)
        return Attack(attack_name(attack), run, gradient=OPTIONAL if _art.follows_gradient(attack) else None)
    if callable(attack):
        return Attack(attack_name(attack), _runner(attack))
    raise TypeError(f"attack={attack!r} must be one of {_names()}, a class of ART or a callable.")


def attack_name(attack):
    """Return what to call an attack given as a str, a class of ART or a callable."""
    return attack if isinstance(attack, str) else getattr(attack, "__name__", type(attack).__name__)


def _names():
    return sorted([*ATTACKS, "worst_case"])


def _named(attack, params):
    if attack == "worst_case":
        if params:
            raise TypeError(
                f"attack='worst_case' has no parameter {min(params)!r}: its attacks have their own; name one of them "
                "to set it."
            )
        return None
    if attack not in ATTACKS:
        raise ValueError(f"attack={attack!r} is unknown: use one of {_names()}, a class of ART or a callable.")
    ATTACKS[attack].check(params, caller="find_adversarial")
    return ATTACKS[attack]


def _runner(function):
    """Return an attack that asks a function of the user for rows."""

    def run(pursuit, index, radius, rng, **params):
        original = pursuit.original
        budget = pursuit.budget.take(index).at(radius)
        X = original.restored(original.rows[index])
        found = function(original.estimator, X, original.y[index], radius=radius, rng=rng, **params)
        pursuit.offer(index, budget.project(original.matrix(found, original.rows[index])))

    return run


def plans_for(pursuit, attack, params, radii):
    """Return pairs of steps and the radii at which they run: finite ones, then the one without an end."""
    parts = [radius for radius in radii if radius < np.inf], [radius for radius in radii if radius == np.inf]
    return [(plan_for(pursuit, attack, params, is_endless=np.inf in part), part) for part in parts if part]


def run_all(pursuit, plans, rng):
    """Run plans, and return the seconds that each attack took."""
    seconds = {}
    for steps, radii in plans:
        run(pursuit, steps, radii, rng, seconds)
    pursuit.push()
    return seconds


def plan_for(pursuit, attack, params, *, is_endless=False):
    """Return the steps for an estimator under pursuit.

    Parameters
    ----------
    pursuit : Pursuit
    attack : Attack or None
        None for the worst case.
    params : dict
    is_endless : bool, default=False
        Whether the nearest adversarial rows are looked for, however far.

    Returns
    -------
    steps : list of Step
    """
    if attack is None:
        return _nearest(pursuit) if is_endless else _worst_case(pursuit)
    if not attack.needs_gradient:
        return [Step(attack, params)]
    if pursuit.surface is None:
        return _black_box(pursuit)
    # Attacks within a ball need one to begin with.
    start = [Step(ATTACKS["nearest_other"])] if is_endless and attack.notes_gradient else []
    return [*start, Step(attack, params), *_blind(_on_splits(pursuit)), *_on_lattice(pursuit)]


def _worst_case(pursuit):
    if pursuit.surface is None:
        return _black_box(pursuit)
    return [
        Step(ATTACKS["nearest_other"], {"n_neighbors": 1}),
        Step(ATTACKS["pgd"], {"max_iter": 5, "num_random_init": 0, "loss": "margin"}),
        Step(ATTACKS["apgd"]),
        Step(ATTACKS["apgd_targeted"], {"n_targets": 3}),
        # The random search starts on the way to the nearest adversarial rows, which this one finds.
        Step(ATTACKS["minimum_norm"], {"n_targets": 2}),
        Step(ATTACKS["square"], {"max_queries": 2000}, n_tried=N_TRIED),
        # Other starts find rows that the first ones missed: always some, and many where gradients mislead.
        Step(ATTACKS["apgd_targeted"], {"n_targets": 3, "n_tried": 3}),
        Step(ATTACKS["apgd"], {"num_random_init": 2}, n_tried=N_TRIED),
        *_on_splits(pursuit),
        *_blind(),
        *_on_lattice(pursuit),
    ]


def _nearest(pursuit):
    """Return the steps that look for the nearest adversarial row."""
    if pursuit.surface is None:
        return _black_box(pursuit)
    return [
        Step(ATTACKS["nearest_other"]),
        Step(ATTACKS["deepfool"]),
        Step(ATTACKS["minimum_norm"]),
        Step(ATTACKS["apgd"], {"max_iter": 20, "loss": "margin"}),
        *_on_splits(pursuit),
        *_blind(),
        *_on_lattice(pursuit),
    ]


def _black_box(pursuit):
    """Return the steps that only ask."""
    return [
        Step(ATTACKS["nearest_other"]),
        Step(ATTACKS["noise"]),
        *_on_splits(pursuit),
        Step(ATTACKS["transfer"]),
        Step(ATTACKS["square"]),
        Step(ATTACKS["walk"]),
        *_on_lattice(pursuit),
    ]


def _blind(first=()):
    """Return the steps for rows from which no gradient leads: some first ones, then those that are always there."""
    steps = [*first, *(Step(ATTACKS[name]) for name in ("straight_through", "transfer", "square", "walk"))]
    return [dataclasses.replace(step, only_without_gradient=True) for step in steps]


def _on_splits(pursuit):
    estimator = pursuit.original.estimator
    if _trees.is_single_tree(estimator):
        return [Step(ATTACKS["decision_tree"])]
    return [Step(ATTACKS["split_search"])] if _trees.has_splits(estimator) else []


def _on_lattice(pursuit):
    return [Step(ATTACKS["lattice"])] if pursuit.budget.is_discrete.any() else []


def run(pursuit, steps, radii, rng, seconds):
    """Run the steps at every radius, the smallest first, on rows that still stand.

    Parameters
    ----------
    pursuit : Pursuit
    steps : list of Step
    radii : sequence of float
        Ascending.
    rng : Generator
    seconds : dict of str to float
        What each attack takes is added here.
    """
    if pursuit.surface is not None and not steps[0].attack.notes_gradient:
        _gradient.note_zero_gradients(pursuit, pursuit.standing(0.0), max(radii), rng)
    had_it = np.zeros((len(steps), len(pursuit.distance)), dtype=bool)
    for radius in radii:
        movable = pursuit.budget.at(radius).can_move
        for step, had in zip(steps, had_it, strict=True):
            index = _rows_for(pursuit, step, radius, movable & ~had)
            start = time.perf_counter()
            with pursuit.by(step.name):
                for part in _trial_first(pursuit, step, index, radius, rng):
                    step.attack.run(pursuit, part, radius, rng, **step.params)
                    # Answers that are random may be others the next time.
                    had[part] = not step.attack.is_repeatable and not pursuit.original.is_random
            seconds[step.name] = seconds.get(step.name, 0.0) + time.perf_counter() - start


def _rows_for(pursuit, step, radius, allowed):
    """Return the indices of the rows, among those allowed, that a step attacks at a radius."""
    index = pursuit.standing(radius)
    index = index[allowed[index]]
    return index[pursuit.without_gradient()[index]] if step.only_without_gradient else index


def _trial_first(pursuit, step, index, radius, rng):
    """Yield parts of rows to attack; after a trial the others follow only if it fooled some."""
    if step.n_tried is not None and len(index) > 2 * step.n_tried:
        index = rng.permutation(index)
        tried, index = index[: step.n_tried], index[step.n_tried :]
        yield tried
        if 1 - pursuit.stands(tried, radius).mean() <= ENOUGH:
            return
    n_parts = -(-len(index) * pursuit.budget.rows.shape[1] // CHUNK_NUMBERS)
    yield from np.array_split(index, n_parts) if n_parts else []
