"""Attacks that follow the gradient within a ball: FGSM, PGD and APGD, batched, on rows still standing."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import torch

from skrobust import torchify
from skrobust._runtime import limited_threads
from skrobust.attacks._ball import Ball
from skrobust.attacks._objectives import LOSSES, next_best
from skrobust.attacks._steps import AdaptiveStep, FixedStep
from skrobust.torchify._straight_through import has_steps

N_STEPS_PER_EPS = 8
# Rows that are fooled leave together once they are this share: making the batch smaller costs, as do steps in vain.
WORTH_LEAVING = 1 / 16
# An ascent is not finished if its last steps gained more than this share of what it had gained before.
# Fixed steps of an eighth of the radius may need 16 of 20 to cross the ball.
LAST_STEPS = 3
STILL_RISING = 0.1
# Without a radius: shares of the distance of the nearest adversarial row known within which to look for a nearer one.
APPROACHES = (0.5, 0.8, 0.95)
# Steps towards each class before the most promising classes get all steps.
N_TRIAL_STEPS = 10


def note_zero_gradients(pursuit, index, radius, rng):
    """Note the rows from which no gradient leads, neither there nor at a random point nearby."""
    if not len(index):
        return
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    with limited_threads(pursuit.surface.module, pursuit.surface.device):
        ball = Ball.around(pursuit, index, radius if radius < torch.inf else 1.0)
        points = [torch.zeros_like(ball.center), ball.random(generator)]
        is_flat = torch.stack([ball.climb(Z, LOSSES["margin"])[2] == 0 for Z in points]).all(dim=0)
        leads_nowhere = _leads_nowhere(pursuit, ball, points, is_flat)
    pursuit.count(index, len(points))
    pursuit.note("zero gradient", index[leads_nowhere])


def _leads_nowhere(pursuit, ball, points, is_flat):
    """Return the rows whose gradient is zero, or is that of the other features alone beside a discretizer.

    Parameters
    ----------
    pursuit : Pursuit
    ball : Ball
    points : list of Tensor of shape (n, n_features)
        Coordinates at which the gradient was taken.
    is_flat : Tensor of shape (n, n_features), bool
        Where it was zero.
    """
    leads_nowhere, module = is_flat.all(dim=1), pursuit.surface.module
    if has_steps(module):
        with torchify.straight_through(module):
            slopes = torch.stack([ball.climb(Z, LOSSES["margin"])[2] != 0 for Z in points]).any(dim=0)
        # Whole numbers and one-hot groups are searched through in any case.
        is_searched = torch.from_numpy(pursuit.budget.is_discrete).to(is_flat.device)
        is_hidden = is_flat & slopes & (ball.low < ball.high) & ~is_searched
        leads_nowhere = leads_nowhere | is_hidden.any(dim=1)
    return leads_nowhere.cpu().numpy()


@dataclasses.dataclass
class Best:
    """The points with the largest margins that rows met.

    Parameters
    ----------
    margin : Tensor of shape (m,)
    Z : Tensor of shape (m, n_features)
    marks : list of Tensor of shape (m,)
        Margins at the start and shortly before the end.
    """

    margin: torch.Tensor
    Z: torch.Tensor
    marks: list = dataclasses.field(default_factory=list)

    def mark(self):
        """Remember the margins met so far."""
        self.marks.append(self.margin)

    def is_rising(self):
        """Return the rows that still made progress after the last mark, a bool array."""
        first, late = self.marks
        gain = self.margin - late
        return ((gain > STILL_RISING * (late - first)) & (gain > STILL_RISING**2 * late.abs())).cpu().numpy()

    def update(self, margin, Z):
        """Keep what is better."""
        rises = margin > self.margin
        self.margin = torch.where(rises, margin, self.margin)
        self.Z = torch.where(rises[:, None], Z, self.Z)

    def take(self, keep):
        """Return those of some rows."""
        return Best(self.margin[keep], self.Z[keep], [mark[keep] for mark in self.marks])

    def put(self, where, other):
        """Write those of some rows."""
        self.margin[where], self.Z[where] = other.margin, other.Z


@dataclasses.dataclass(frozen=True)
class Climb:
    """How to follow the gradient.

    Parameters
    ----------
    loss : callable
        Of _objectives.
    make_rule : callable
        Returns a new FixedStep or AdaptiveStep.
    n_steps : int
    stops_early : bool, default=True
    """

    loss: Callable
    make_rule: Callable
    n_steps: int
    stops_early: bool = True


def ascend(pursuit, ball, Z, climb, *, stops_early):
    """Follow the gradient of a loss, and offer the point with the largest margin that each row meets.

    Parameters
    ----------
    pursuit : Pursuit
    ball : Ball
    Z : Tensor of shape (m, n_features)
        Where to start.
    climb : Climb
    stops_early : bool
        Whether rows that the module takes for fooled are left in peace from then on.

    Returns
    -------
    best : Best
        Of all rows.
    is_fooled : Tensor of shape (m,), bool
        Whether the estimator itself is fooled there.
    """
    rule, n_steps = climb.make_rule(), climb.n_steps
    best = Best(torch.full_like(ball.radius[:, 0], -torch.inf), Z)
    of_all, where, part = Best(best.margin.clone(), Z.clone()), torch.arange(len(Z), device=Z.device), ball
    for step in range(n_steps + 1):
        value, lead, gradient = part.climb(Z, climb.loss)
        pursuit.count(part.index)
        best.update(lead, Z)
        if step in (0, n_steps - LAST_STEPS):
            best.mark()
        if step == 0:
            _note_where_zero(pursuit, ball, Z, gradient)
        keep = best.margin <= 0
        if stops_early and keep.sum() <= (1 - WORTH_LEAVING) * len(keep):
            of_all.put(where, best)
            where, part, best, Z = where[keep], part.take(keep), best.take(keep), Z[keep]
            value, lead, gradient = value[keep], lead[keep], gradient[keep]
            rule.take(keep)
        if step == n_steps or not len(Z):
            break
        Z = rule.next(part, Z, value, gradient)
    of_all.put(where, best)
    _note_end(pursuit, part, best, lead, n_steps)
    # Of random answers the expectation counts, also where most are right.
    return of_all, _offered(pursuit, ball, of_all, (of_all.margin > 0) | pursuit.original.is_random)


def _note_where_zero(pursuit, ball, Z, gradient):
    """Note the rows without a gradient, unless that was looked into before the attacks began."""
    if "zero gradient" not in pursuit.notes:
        pursuit.note("zero gradient", ball.index[_leads_nowhere(pursuit, ball, [Z], gradient == 0)])


def _note_end(pursuit, ball, best, lead, n_steps):
    """Note how the rows fared that were left to the end."""
    if n_steps > LAST_STEPS and len(ball.index):
        pursuit.note("unfinished", ball.index, best.is_rising())
    pursuit.note("met and lost", ball.index[((best.margin > 0) & (lead <= 0)).cpu().numpy()])


def _offered(pursuit, ball, best, chosen):
    """Offer the best points of chosen rows, and return which rows they fool, as a tensor."""
    fooled = chosen.clone()
    if chosen.any():
        part = ball.take(chosen)
        rows = pursuit.budget.take(part.index).at(float(part.radius.max())).project(part.rows(best.Z[chosen]))
        fooled[chosen] = torch.from_numpy(pursuit.offer(part.index, rows)).to(fooled.device)
    return fooled


def pgd(
    pursuit,
    index,
    radius,
    rng,
    *,
    max_iter=20,
    eps_step=None,
    num_random_init=1,
    decay=None,
    loss="cross_entropy",
    stops_early=True,
):
    """Projected gradient descent on rows of a pursuit; steps in the units of the threat model."""
    length = 1 / N_STEPS_PER_EPS if eps_step is None else eps_step / radius
    climb = Climb(LOSSES[loss], functools.partial(FixedStep, length, decay), max_iter, stops_early)
    _from_starts(pursuit, index, radius, rng, climb, num_random_init)


def fgsm(pursuit, index, radius, rng, *, num_random_init=0, loss="cross_entropy", stops_early=True):
    """One step of the length of the radius (Goodfellow et al., 2015)."""
    climb = Climb(LOSSES[loss], functools.partial(FixedStep, 1.0), 1, stops_early)
    _from_starts(pursuit, index, radius, rng, climb, num_random_init)


def apgd(pursuit, index, radius, rng, *, max_iter=100, num_random_init=1, loss="cross_entropy", stops_early=True):
    """Auto-PGD, without a step to choose."""
    climb = Climb(LOSSES[loss], functools.partial(AdaptiveStep, max_iter), max_iter, stops_early)
    _from_starts(pursuit, index, radius, rng, climb, num_random_init)


def apgd_targeted(pursuit, index, radius, rng, *, max_iter=100, n_targets=9, n_tried=9, stops_early=True):
    """Auto-PGD towards one class after the other, the likeliest first.

    Of `n_tried` classes, tried with a few steps each, the `n_targets` that came nearest get all steps.
    """
    n_tried = min(n_tried, len(pursuit.original.classes) - 1)
    ranks = np.broadcast_to(np.arange(1, n_tried + 1), (len(index), n_tried))
    if n_targets < n_tried:
        ranks = _most_promising(pursuit, index, radius, rng, ranks)
    climb = Climb(LOSSES["targeted"], functools.partial(AdaptiveStep, max_iter), max_iter, stops_early)
    for rank in ranks.T[:n_targets]:
        standing = pursuit.stands(index, radius)
        _run(pursuit, index[standing], radius, rng, climb, rank=rank[standing])


def _most_promising(pursuit, index, radius, rng, ranks):
    """Return the ranks of classes in the order of what a few steps towards each achieve."""
    margins = np.full(ranks.shape, np.inf)
    climb = Climb(LOSSES["targeted"], functools.partial(AdaptiveStep, N_TRIAL_STEPS), N_TRIAL_STEPS)
    for column, rank in enumerate(ranks.T):
        standing = pursuit.stands(index, radius)
        margins[standing, column] = _run(pursuit, index[standing], radius, rng, climb, rank=rank[standing])
    return np.take_along_axis(ranks, np.argsort(-margins, axis=1, kind="stable"), axis=1)


def straight_through(pursuit, index, radius, rng, *, max_iter=50):
    """Auto-PGD with slopes in place of the steps of discretizers, which have no gradient."""
    with torchify.straight_through(pursuit.surface.module):
        apgd(pursuit, index, radius, rng, max_iter=max_iter, loss="margin")


def refine(pursuit, index, radius, rows, *, max_iter=20):
    """Return counterparts of rows, improved along gradients in all features but the discrete ones, which stay."""
    with limited_threads(pursuit.surface.module, pursuit.surface.device):
        ball = Ball.around(pursuit, index, radius)
        Z = (torch.tensor(rows, dtype=torch.float64, device=ball.center.device) - ball.center) / ball.scale
        is_held = torch.from_numpy(pursuit.budget.is_discrete).to(Z.device)
        ball.low, ball.high = torch.where(is_held, Z, ball.low), torch.where(is_held, Z, ball.high)
        climb = Climb(LOSSES["margin"], functools.partial(FixedStep, 1 / N_STEPS_PER_EPS), max_iter)
        best, _ = ascend(pursuit, ball, Z, climb, stops_early=False)
        return pursuit.budget.take(index).at(radius).project(ball.rows(best.Z))


def _from_starts(pursuit, index, radius, rng, climb, num_random_init):
    """Start from the rows themselves, or from random points, as often as asked."""
    for _ in range(max(1, num_random_init)):
        _run(pursuit, index[pursuit.stands(index, radius)], radius, rng, climb, is_random=num_random_init > 0)


def _run(pursuit, index, radius, rng, climb, *, is_random=True, rank=None):
    """Ascend within a radius; without one, within ever larger shares of the distance known. Return margins met."""
    if np.isfinite(radius):
        return _run_within(pursuit, index, radius, rng, climb, is_random, rank)
    for share in APPROACHES:
        is_known = np.isfinite(pursuit.distance[index]) & (pursuit.distance[index] > 0)
        known = index[is_known]
        within = share * pursuit.distance[known]
        _run_within(pursuit, known, within, rng, climb, is_random, None if rank is None else rank[is_known])
    return -pursuit.distance[index]


def _run_within(pursuit, index, radius, rng, climb, is_random, rank):
    if not len(index) or not np.max(radius) > 0:
        return np.full(len(index), -np.inf)
    with limited_threads(pursuit.surface.module, pursuit.surface.device):
        ball = Ball.around(pursuit, index, radius)
        start = torch.zeros_like(ball.center)
        if rank is not None:
            ball.targets = next_best(ball.logits(start), ball.codes, rank)
        if is_random:
            start = ball.random(torch.Generator().manual_seed(int(rng.integers(2**62))))
        return _ascended(pursuit, ball, start, climb).cpu().numpy()


def _ascended(pursuit, ball, start, climb):
    """Return the largest margins that rows meet."""
    # Of random answers the expectation counts: fooling them once is not the end.
    stops_early = climb.stops_early and not pursuit.original.is_random
    best, is_fooled = ascend(pursuit, ball, start, climb, stops_early=stops_early)
    # Where the estimator does not agree with its module, or features were rounded, rows go on from there.
    again = (best.margin > 0) & ~is_fooled
    if stops_early and again.any():
        best.put(again, ascend(pursuit, ball.take(again), best.Z[again], climb, stops_early=False)[0])
    return best.margin
