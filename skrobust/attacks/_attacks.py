"""The attacks by name: what runs each, and the parameters of it that users may set."""

import dataclasses
import inspect
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints

from skrobust.attacks import _art, _gradient, _lattice, _minimum, _search, _segment, _surrogate, _trees, _walk
from skrobust.attacks._expectation import expectation
from skrobust.attacks._objectives import LOSSES

NEEDED, OPTIONAL = "needed", "optional"
POSITIVE = [Interval(Integral, 1, None, closed="left")]
NOT_NEGATIVE = [Interval(Integral, 0, None, closed="left")]
CONSTRAINTS = {
    "max_iter": POSITIVE,
    "max_combinations": POSITIVE,
    "n_tried": POSITIVE,
    "max_queries": POSITIVE,
    "n_targets": POSITIVE,
    "n_neighbors": POSITIVE,
    "n_draws": POSITIVE,
    "nb_grads": POSITIVE,
    "num_random_init": NOT_NEGATIVE,
    "eps_step": [Interval(Real, 0, None, closed="neither"), None],
    "decay": [Interval(Real, 0, None, closed="left"), None],
    "overshoot": [Interval(Real, 0, None, closed="left")],
    "loss": [StrOptions(set(LOSSES) - {"targeted"})],
    "stops_early": ["boolean"],
}


@dataclasses.dataclass(frozen=True)
class Attack:
    """An attack on the rows of a pursuit.

    Parameters
    ----------
    name : str
    run : callable
        ``run(pursuit, index, radius, rng, **params)``, which offers to the pursuit what it finds.
    gradient : {"needed", "optional"}, default=None
        Whether it needs a torch module, goes along gradients where there is one, or never asks for them.
    notes_gradient : bool, default=False
        Whether it notes rows without gradient where it starts.
    has_radius : bool, default=True
        Whether it stays within the radius; others look for the nearest adversarial row, however far.
    is_repeatable : bool, default=True
        Whether it may find more when it is run on the same rows again, at a larger radius.
    """

    name: str
    run: Callable
    gradient: str | None = None
    notes_gradient: bool = False
    has_radius: bool = True
    is_repeatable: bool = True

    @property
    def needs_gradient(self):
        """Whether it needs a torch module."""
        return self.gradient == NEEDED

    @property
    def params(self):
        """Parameters and their defaults."""
        keywords = inspect.signature(self.run).parameters.values()
        return {p.name: p.default for p in keywords if p.kind is p.KEYWORD_ONLY}

    def check(self, params, caller):
        """Check parameters.

        Raises
        ------
        TypeError
            If there is no such parameter.
        ValueError
            If a value is out of its range.
        """
        takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(self.run).parameters.values())
        unknown = sorted(set(params) - set(self.params))
        if unknown and not takes_any:
            raise TypeError(
                f"attack={self.name!r} has no parameter {unknown[0]!r}: it has {sorted(self.params)}; eps, norm and "
                "bounds belong to threat_model."
            )
        known = {name: constraint for name, constraint in CONSTRAINTS.items() if name in params}
        validate_parameter_constraints(known, {name: params[name] for name in known}, caller_name=caller)


def lattice(pursuit, index, radius, rng, *, max_combinations=4096):
    """Search over integers and one-hot groups; other features follow gradients where there are some."""

    def refine(index, rows):
        return _gradient.refine(pursuit, index, radius, rows)

    has_others = (~pursuit.budget.is_discrete & (pursuit.budget.scale > 0)).any()
    is_refined = pursuit.surface is not None and has_others and np.isfinite(radius)
    _lattice.search_lattice(
        pursuit,
        index,
        radius,
        rng,
        max_combinations=max_combinations,
        base=pursuit.nearest[index],
        refine=refine if is_refined else None,
    )


# What looks for the nearest adversarial row and draws nothing at random.
ONCE = {"has_radius": False, "is_repeatable": False}
GRADIENT = [
    Attack("fgsm", _gradient.fgsm, gradient=NEEDED, notes_gradient=True),
    Attack("pgd", _gradient.pgd, gradient=NEEDED, notes_gradient=True),
    Attack("apgd", _gradient.apgd, gradient=NEEDED, notes_gradient=True),
    Attack("apgd_targeted", _gradient.apgd_targeted, gradient=NEEDED, notes_gradient=True),
    Attack("deepfool", _minimum.deepfool, gradient=NEEDED, **ONCE),
    Attack("minimum_norm", _minimum.minimum_norm, gradient=NEEDED, **ONCE),
    Attack("straight_through", _gradient.straight_through, gradient=NEEDED),
    Attack("carlini_l2", _art.carlini_l2, gradient=NEEDED, has_radius=False),
]
BLACK_BOX = [
    Attack("noise", _search.noise),
    Attack("nearest_other", _segment.nearest_other, **ONCE),
    Attack("square", _search.square),
    Attack("walk", _walk.walk, has_radius=False),
    Attack("expectation", expectation),
    Attack("hopskipjump", _art.hopskipjump, has_radius=False),
    Attack("transfer", _surrogate.transfer),
    Attack("split_search", _trees.split_search),
    Attack("decision_tree", _trees.decision_tree, **ONCE),
    Attack("lattice", lattice, gradient=OPTIONAL),
]
ATTACKS = {attack.name: attack for attack in GRADIENT + BLACK_BOX}


def has_radius(attack):
    """Return whether an attack stays within the radius, as those of ART and of users are asked to.

    Parameters
    ----------
    attack : str, class of ART or callable
    """
    return not isinstance(attack, str) or attack not in ATTACKS or ATTACKS[attack].has_radius
