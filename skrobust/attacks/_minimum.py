"""Attacks that look for the nearest adversarial row: DeepFool and FAB, batched, between the bounds of every feature.

Both take the classifier for linear where they stand, and go to the nearest point of a class's hyperplane there.
"""

import numpy as np
import torch

from skrobust._runtime import limited_threads
from skrobust.attacks import _norms
from skrobust.attacks._ball import Ball
from skrobust.attacks._objectives import next_best

# Newton steps towards a hyperplane between bounds; the first is exact where no bound is met.
N_NEWTON = 8
# The points found are near the boundary already: halving the way so often leaves less than half a percent.
N_HALVINGS = 8
# As in the papers: how far beyond the hyperplane, the largest pull towards the row, the step back after a success.
BEYOND = 1.05
STRONGEST_PULL = 0.1
STEP_BACK = 0.9
# First steps of DeepFool that bounds clip, as they do in the paper.
N_CLIPPED = 2
# A step of this share of the way is none.
STANDSTILL = 1e-6


def deepfool(pursuit, index, radius, rng, *, max_iter=50, nb_grads=10, overshoot=0.02):
    """DeepFool (Moosavi-Dezfooli et al., 2016) in any norm; then bisection towards the row."""
    if not len(index):
        return
    with limited_threads(pursuit.surface.module, pursuit.surface.device):
        ball = every = Ball.around(pursuit, index, torch.inf)
        rivals = _likeliest(ball, nb_grads)
        Z = torch.zeros_like(ball.center)
        ends, where = Z.clone(), torch.arange(len(Z), device=Z.device)
        for step in range(max_iter):
            leads, slopes = _linearized(ball, Z, rivals)
            pursuit.count(ball.index)
            moved = _stepped(ball, Z, leads, slopes, is_clipped=step < N_CLIPPED)
            # Rows stand still on the boundary, as precisely as the classifier knows it, or between the bounds.
            is_moving = ball.norm.length(moved - Z) > STANDSTILL * ball.norm.length(moved)
            is_fooled = leads.amax(dim=1) > 0
            ends[where] = torch.where(is_fooled[:, None], Z, moved)
            keep = ~is_fooled & is_moving[:, 0]
            ball, rivals, Z, where = ball.take(keep), rivals[keep], moved[keep], where[keep]
            if not len(Z):
                break
        _offer(pursuit, every, ends * (1 + overshoot))
    pursuit.shrink(index, N_HALVINGS)


def minimum_norm(pursuit, index, radius, rng, *, max_iter=40, n_targets=9):
    """FAB (Croce and Hein, 2020) towards one class after the other, the likeliest first; then bisection.

    With a finite radius, rows that were fooled within it are left in peace.
    """
    fooled = index
    # Without a radius no distance is near enough.
    reach = pursuit.reach(radius) if radius < torch.inf else 0.0
    for rank in range(1, min(n_targets, len(pursuit.original.classes) - 1) + 1):
        if not len(index):
            break
        with limited_threads(pursuit.surface.module, pursuit.surface.device):
            ball = Ball.around(pursuit, index, torch.inf)
            ranks = np.full(len(index), rank)
            ball.targets = next_best(ball.logits(torch.zeros_like(ball.center)), ball.codes, ranks)
            _follow_boundary(pursuit, ball, max_iter, reach)
        index = index[pursuit.distance[index] > reach]
    pursuit.shrink(fooled, N_HALVINGS)


def _follow_boundary(pursuit, ball, max_iter, reach):
    """Walk along the boundary towards the rows, and offer the nearest points beyond it."""
    Z, best_Z = torch.zeros_like(ball.center), torch.zeros_like(ball.center)
    best = torch.full_like(ball.radius, torch.inf)
    for _ in range(max_iter):
        leads, slopes = _linearized(ball, Z, ball.targets[:, None])
        pursuit.count(ball.index)
        lead, slope = leads[:, 0], slopes[:, 0]
        length = ball.norm.length(Z)
        is_best = (lead[:, None] > 0) & (length < best)
        best, best_Z = torch.where(is_best, length, best), torch.where(is_best, Z, best_Z)
        back = torch.where(lead[:, None] > 0, STEP_BACK * Z, Z)
        # The lead there, were the classifier linear: another pass to see saves no steps.
        Z = _pulled(ball, back, lead + (slope * (back - Z)).sum(dim=1), slope)
        keep = best[:, 0] > reach
        if not keep.all():
            _offer(pursuit, ball.take(~keep), best_Z[~keep])
            ball, Z, best, best_Z = ball.take(keep), Z[keep], best[keep], best_Z[keep]
            if not len(Z):
                return
    found = best[:, 0] < torch.inf
    _offer(pursuit, ball.take(found), best_Z[found])


def _pulled(ball, Z, lead, slope):
    """Return the points of FAB: between the plane's nearest points to where it stands and to the row."""
    origin = torch.zeros_like(Z)
    own = to_plane(ball, Z, slope, -lead) - Z
    lead_at_origin = lead - (slope * Z).sum(dim=1)
    far = to_plane(ball, origin, slope, -lead_at_origin)
    own_length, far_length = ball.norm.length(own), ball.norm.length(far)
    pull = (own_length / (own_length + far_length).clamp_min(1e-300)).clamp_max(STRONGEST_PULL)
    moved = (1 - pull) * (Z + BEYOND * own) + pull * BEYOND * far
    return torch.minimum(torch.maximum(moved, ball.low), ball.high)


def _stepped(ball, Z, leads, slopes, *, is_clipped):
    """Return the points just beyond the nearest of the planes of all rivals; or steps towards them that are clipped.

    As long as the classifier is far from linear, going on from where the bounds clip a step leads to nearer points
    than the longer way between the bounds; later the way between them gets there at once.
    """
    steepness = torch.linalg.vector_norm(slopes, ord=ball.norm.dual, dim=2).clamp_min(1e-300)
    nearest = (leads.abs() / steepness).argmin(dim=1)
    each = torch.arange(len(Z), device=Z.device)
    slope, need = slopes[each, nearest], leads[each, nearest].abs() * (1 + 1e-4) + 1e-12
    if not is_clipped:
        return to_plane(ball, Z, slope, need)
    length = need / steepness[each, nearest]
    clipped = torch.clamp(Z + length[:, None] * ball.norm.direction(slope), ball.low, ball.high)
    # The one feature that a step in L1 takes may be at its end already: nothing is left of the step then.
    is_stuck = (clipped == Z).all(dim=1, keepdim=True)
    return torch.where(is_stuck, to_plane(ball, Z, slope, need), clipped) if is_stuck.any() else clipped


def to_plane(ball, Z, slope, need):
    """Return the nearest points between the bounds at which a linear function has risen by `need`, or as far as it can.

    Parameters
    ----------
    ball : Ball
    Z : Tensor of shape (m, n_features)
    slope : Tensor of shape (m, n_features)
    need : Tensor of shape (m,)
        May be negative.

    Returns
    -------
    Z : Tensor of shape (m, n_features)
    """
    slope, need = slope * need.sign()[:, None], need.abs()[:, None]
    if ball.norm is _norms.L1:
        return _greedy(ball, Z, slope, need)
    direction = slope.sign() if ball.norm is _norms.Linf else slope
    room = torch.where(slope > 0, ball.high - Z, Z - ball.low)
    steepness = slope.abs()
    speed = direction.abs()
    # The rise is concave in the length of the step, so that Newton's steps from below never go too far.
    step = torch.zeros_like(need)
    for _ in range(N_NEWTON):
        moved = torch.minimum(step * speed, room)
        lacking = need - (moved * steepness).sum(dim=1, keepdim=True)
        rate = (speed * steepness * (moved < room)).sum(dim=1, keepdim=True)
        step = step + torch.where(rate > 0, lacking.clamp_min(0.0) / rate.clamp_min(1e-300), 0.0)
        if (lacking <= 1e-12 * need).all():
            break
    return Z + slope.sign() * torch.minimum(step * speed, room)


def _greedy(ball, Z, slope, need):
    """Return points with the steepest features moved first, each as far as it may go: the nearest by sum of changes."""
    steepness, order = slope.abs().sort(dim=1, descending=True)
    room = torch.where(slope > 0, ball.high - Z, Z - ball.low).gather(1, order)
    most = torch.where(steepness > 0, need / steepness.clamp_min(1e-300), 0.0)
    gain = torch.minimum(room, most) * steepness
    lacking = (need - (gain.cumsum(dim=1) - gain)).clamp_min(0.0)
    moved = torch.where(steepness > 0, torch.minimum(gain, lacking) / steepness.clamp_min(1e-300), 0.0)
    return Z + slope.sign() * torch.zeros_like(Z).scatter(1, order, moved)


def _likeliest(ball, n_rivals):
    """Return the codes of the other classes with the largest logits, a tensor of shape (m, n_rivals)."""
    logits = ball.logits(torch.zeros_like(ball.center))
    others = logits.scatter(1, ball.codes[:, None], -torch.inf)
    return others.topk(min(n_rivals, logits.shape[1] - 1), dim=1).indices


def _linearized(ball, Z, rivals):
    """Return by how much each rival leads, of shape (m, n_rivals), and the gradients of that, (m, n_rivals, d)."""
    leads, slopes = [], []
    for part in ball.surface.batches(*Z.shape):
        point = Z[part].clone().requires_grad_()
        logits = ball.surface.logits(ball.center[part] + ball.scale * point)
        lead = logits.gather(1, rivals[part]) - logits.gather(1, ball.codes[part][:, None])
        leads.append(lead.detach())
        slopes.append(torch.stack([_gradient_of(lead[:, k], point) for k in range(lead.shape[1])], dim=1))
    return torch.cat(leads), torch.cat(slopes)


def _gradient_of(lead, point):
    if not lead.requires_grad:
        return torch.zeros_like(point)
    (gradient,) = torch.autograd.grad(lead.sum(), point, retain_graph=True, allow_unused=True)
    return torch.zeros_like(point) if gradient is None else torch.nan_to_num(gradient, 0.0, 0.0, 0.0)


def _offer(pursuit, ball, Z):
    if len(Z):
        budget = pursuit.budget.take(ball.index).at(torch.inf)
        pursuit.offer(ball.index, budget.project(ball.rows(Z)))
