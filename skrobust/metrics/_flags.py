"""Signs that an attack, not the model, is at fault when a model looks robust."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from sklearn.pipeline import Pipeline

from skrobust.attacks._assess import Assessment, global_states
from skrobust.attacks._attacks import has_radius
from skrobust.metrics._control import ONE_STEP, Control, needs_gradient
from skrobust.metrics._parameters import radius_of
from skrobust.torchify import to_torch

# Fewer rows than these are put down to chance.
FEWEST_ROWS, FEWEST_SHARE = 2, 0.01
# Of rows that withstand gradients without limit there are more around an honest SVC, whose kernel is flat far away.
FEWEST_FAR = 0.1
# Relative distance between a certified and an attacked distance that is as good as none.
PROVEN_WITHIN = 0.01


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What flags are raised on.

    Parameters
    ----------
    estimator : classifier or Pipeline
    assessment : Assessment
    control : Control or None
        None for a quick look.
    """

    estimator: object
    assessment: Assessment
    control: Control | None = None

    @property
    def is_attacked(self):
        """Rows that were attacked, of shape (n,)."""
        return self.assessment.route != "none"

    @property
    def has_gradient(self):
        """Whether the attacks follow gradients."""
        return self.assessment.pursuit.surface is not None


@dataclasses.dataclass(frozen=True)
class Flag:
    """A sign, and what to make of it.

    Parameters
    ----------
    rule : callable
        From Evidence to whether it shows.
    meaning, remedy : str
    needs_control : bool, default=False
    """

    rule: Callable
    meaning: str
    remedy: str
    needs_control: bool = False


def flags_of(evidence):
    """Return the flags that are raised.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    flags : dict of str to str
        Name of the flag to what it means and what to do.
    """
    known = {name: flag for name, flag in FLAGS.items() if evidence.control is not None or not flag.needs_control}
    return {name: f"{flag.meaning} {flag.remedy}" for name, flag in known.items() if flag.rule(evidence)}


def cheap_flags(estimator, assessment):
    """Return the names of the flags that show without further attacks."""
    with global_states(0):
        return list(flags_of(Evidence(estimator, assessment)))


def gradient_share(assessment):
    """Return the share of the attacked rows that were attacked along gradients; 1 if none was attacked."""
    ways = assessment.route[assessment.route != "none"]
    return float(np.isin(ways, ("white-box", "bridge")).mean()) if len(ways) else 1.0


def _is_many(n_marked, n_rows, fewest_share=FEWEST_SHARE):
    return bool(n_marked > max(FEWEST_ROWS, fewest_share * n_rows))


def _is_noted(remark, evidence):
    rows = evidence.is_attacked
    marked = evidence.assessment.notes.get(remark, np.zeros(len(rows), dtype=bool))
    return _is_many((marked & rows).sum(), rows.sum())


def _random_output(evidence):
    return evidence.assessment.is_random


def _batch_dependent_output(evidence):
    return evidence.assessment.depends_on_batch


def _constant_answers(evidence):
    found = evidence.assessment
    return len(np.unique(found.answers)) == 1 < len(np.unique(found.y))


def _zero_gradient(evidence):
    return evidence.has_gradient and _is_noted("zero gradient", evidence)


def _missing_gradient(evidence):
    """Return whether a classifier that has gradients was asked as a black box: something around it hides them."""
    if evidence.has_gradient:
        return False
    try:
        to_torch(_classifier_in(evidence.estimator))
    except (TypeError, ValueError):
        return False
    return True


def _classifier_in(estimator):
    while True:
        inner = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
        inner = getattr(inner, "best_estimator_", inner)
        if inner is estimator:
            return inner
        estimator = inner


def _saturated_outputs(evidence):
    """Return whether most scores of right answers are 0 or 1 exactly; of a black box, also beside its boundary."""
    found = evidence.assessment
    original = found.pursuit.original
    is_right = found.answers == found.y
    if not is_right.any() or not (evidence.has_gradient or hasattr(evidence.estimator, "predict_proba")):
        return False
    is_saturated = _is_one_hot(evidence, original.rows[is_right]).mean() > 0.5
    if not is_saturated or evidence.has_gradient:
        return bool(is_saturated)
    # Forests and neighbors are sure of most rows, and not of those between the classes.
    is_fooled = is_right & np.isfinite(found.distance)
    is_blind = is_fooled.any() and _is_one_hot(evidence, found.pursuit.nearest[is_fooled]).mean() > 0.5
    return bool(is_blind and not _is_proven(found, is_fooled))


def _is_proven(found, rows):
    """Return whether no attack could have come much nearer to most of these rows, as for a single tree."""
    certified = found.certified()
    return certified is not None and (certified[rows] > (1 - PROVEN_WITHIN) * found.distance[rows]).mean() > 0.5


def _is_one_hot(evidence, rows):
    """Return for which rows the softmax, or the probabilities of a black box, are 0 and 1 exactly in float32."""
    pursuit = evidence.assessment.pursuit
    if evidence.has_gradient:
        surface = pursuit.surface
        with torch.no_grad():
            parts = [rows[part] for part in surface.batches(*rows.shape)]
            logits = [surface.logits(torch.tensor(part, dtype=torch.float64, device=surface.device)) for part in parts]
        scores = torch.cat(logits).softmax(dim=1).float().cpu().numpy()
    else:
        scores = np.asarray(evidence.estimator.predict_proba(pursuit.original.restored(rows)), dtype=np.float32)
    return (np.count_nonzero(scores, axis=1) == 1) & (scores.max(axis=1) == 1)


def _is_multi_step(name):
    return needs_gradient(name) and name != ONE_STEP


def _black_box_beats_white_box(evidence):
    control = evidence.control
    white, black = control.by(needs_gradient), control.by(lambda name: not needs_gradient(name))
    return evidence.has_gradient and _exceeds(evidence, black, white)


def _one_step_beats_many(evidence):
    control = evidence.control
    one, many = control.by(lambda name: name == ONE_STEP), control.by(_is_multi_step)
    return evidence.has_gradient and _exceeds(evidence, one, many)


def _exceeds(evidence, rows, others):
    """Return whether many more rows than others are marked, at any radius up to that of the threat model.

    Far from the data honest classifiers are flat too, such as an SVC with its kernel.
    """
    own = radius_of(evidence.assessment.threat_model)
    excess = (rows.sum(axis=1) - others.sum(axis=1))[np.array(evidence.control.radii) <= own]
    return _is_many(excess.max(initial=0), rows.shape[1])


def _accuracy_rises_with_eps(evidence):
    fooled = evidence.control.by(lambda name: _is_multi_step(name) and has_radius(name)).sum(axis=1)
    falls = np.maximum.accumulate(fooled) - fooled
    return _is_many(falls.max(initial=0), len(evidence.control.index))


def _unbounded_attack_fails(evidence):
    """Return whether many rows stand against gradients that have twice the room that another attack needed."""
    control, found = evidence.control, evidence.assessment
    distance = found.distance[control.index]
    is_lost = np.isinf(distance) & _is_free(found)
    if evidence.has_gradient:
        is_lost |= np.isfinite(distance) & (distance > 0) & ~control.far
    return _is_many(is_lost.sum(), len(distance), FEWEST_FAR)


def _is_free(found):
    """Return whether every feature may take the value that it has in any other row."""
    budget = found.pursuit.budget
    return found.threat_model.direction is None and (budget.scale > 0).all() and (budget.low < budget.high).all()


def _optimization_unfinished(evidence):
    found = evidence.assessment
    farthest = max((radius for radius in found.radii if radius < np.inf), default=0.0)
    is_open = found.notes.get("unfinished", np.zeros(found.n, dtype=bool)) & (found.distance > farthest)
    return _is_many(is_open.sum(), evidence.is_attacked.sum())


def _met_and_lost(evidence):
    marked = evidence.control.notes.get("met and lost", np.zeros(1, dtype=bool))
    return _is_many(marked.sum(), len(evidence.control.index))


FLAGS = {
    "random_output": Flag(
        _random_output,
        "Two answers to the same row differ. Figures are means over fresh answers to the last point of the attack.",
        "Attack the expectation: average the answers over many draws, and compare with the classifier without noise.",
    ),
    "batch_dependent_output": Flag(
        _batch_dependent_output,
        "Answers depend on the order or the number of rows that are asked together, so that no row has a verdict of "
        "its own.",
        "Put the network into evaluation mode, and take out what normalizes over the batch.",
    ),
    "constant_answers": Flag(
        _constant_answers,
        "The classifier gives all rows the same answer. What never changes cannot be fooled, and is of no use.",
        "Look at the accuracy of each class, and weaken the regularization.",
    ),
    "zero_gradient": Flag(
        _zero_gradient,
        "At many rows the gradient is exactly 0, so that attacks that follow it stand still. Robust accuracy is that "
        "of weaker attacks.",
        "Look for rounding, bins, an argmax, a detached tensor or a saturated unit; attack without it, or register a "
        "smooth stand-in with skrobust.torchify.register.",
    ),
    "missing_gradient": Flag(
        _missing_gradient,
        "The classifier has gradients, but no way was found to follow them through what stands before or around it. "
        "It was attacked as a black box.",
        "Register a converter for the step with skrobust.torchify.register.",
    ),
    "saturated_outputs": Flag(
        _saturated_outputs,
        "For most rows one class has the probability 1 and the others 0, exactly. Cross-entropy has no gradient there, "
        "and scores do not tell a search where to go.",
        "Rely on attacks on margins and on answers, and on the same model with its logits scaled down.",
    ),
    "black_box_beats_white_box": Flag(
        _black_box_beats_white_box,
        "Attacks that only ask fool more rows than attacks that know the gradient: the gradient misleads.",
        "Look for what bends or cuts it; trust the black-box figures, as an upper bound.",
        needs_control=True,
    ),
    "one_step_beats_many": Flag(
        _one_step_beats_many,
        "One step along the gradient fools more rows than many steps: the surface is rough around the rows, as after "
        "training against one step.",
        "Give the attacks more steps and restarts.",
        needs_control=True,
    ),
    "accuracy_rises_with_eps": Flag(
        _accuracy_rises_with_eps,
        "Attacks fool fewer rows with a larger eps, although they could go where a smaller one led them.",
        "Give the attacks more steps and restarts; the summary carries survivors, and cannot rise.",
        needs_control=True,
    ),
    "unbounded_attack_fails": Flag(
        _unbounded_attack_fails,
        "With room enough to turn a row into one of another class, attacks still fail on many rows.",
        "Do not trust the figures at smaller eps either; look for what hides the gradient.",
        needs_control=True,
    ),
    "optimization_unfinished": Flag(
        _optimization_unfinished,
        "Attacks on many rows that stand still made progress in their last steps.",
        "Give them more steps: find_adversarial(..., attack='apgd', max_iter=500).",
    ),
    "met_and_lost": Flag(
        _met_and_lost,
        "Attacks passed adversarial rows and ended at ones that are not. They count here, but not for tools that look "
        "at the end only.",
        "Compare with such tools with care, and give the attacks smaller steps.",
        needs_control=True,
    ),
}
