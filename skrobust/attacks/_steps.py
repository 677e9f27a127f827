"""How far attacks go along a gradient: steps of one length (PGD), or steps that adapt (APGD)."""

import torch

from skrobust.attacks import _norms


class FixedStep:
    """Steps of one length (PGD, Madry et al., 2018).

    Parameters
    ----------
    length : float
        In units of the radius.
    decay : float, default=None
        Share of the last direction that is kept (momentum, Dong et al., 2018).
    """

    def __init__(self, length, decay=None):
        self.length, self.decay = length, decay
        self.velocity = None

    def take(self, keep):
        """Forget rows."""
        self.velocity = None if self.velocity is None else self.velocity[keep]

    def next(self, ball, Z, value, gradient):
        """Return the next coordinates."""
        if self.decay is not None:
            gradient = gradient / _norms.L1.length(gradient).clamp_min(1e-300)
            self.velocity = gradient if self.velocity is None else self.decay * self.velocity + gradient
            gradient = self.velocity
        return ball.project(Z + self.length * ball.radius * ball.steepest(Z, gradient))


class AdaptiveStep:
    """Steps that are halved, row by row, where the loss no longer rises (APGD, Croce and Hein, 2020, Algorithm 1).

    Parameters
    ----------
    n_steps : int
        Steps in all.
    """

    INERTIA = 0.75
    ENOUGH_RISES = 0.75

    def __init__(self, n_steps):
        self.period = max(1, int(0.22 * n_steps))
        self.shortest, self.shortening = max(1, int(0.06 * n_steps)), max(1, int(0.03 * n_steps))
        self.since_check = 0
        self.rows = None

    def take(self, keep):
        """Forget rows."""
        if self.rows is None:
            return
        self.rows = {name: tensor[keep] for name, tensor in self.rows.items()}

    def next(self, ball, Z, value, gradient):
        """Return the next coordinates."""
        if self.rows is None:
            self._start(ball, Z, value, gradient)
            step = self.rows["step"] * ball.steepest(Z, gradient)
            return ball.project(Z + step)
        Z, gradient = self._remember(Z, value, gradient)
        rows = self.rows
        moved = ball.project(Z + rows["step"] * ball.steepest(Z, gradient))
        moved = ball.project(Z + self.INERTIA * (moved - Z) + (1 - self.INERTIA) * (Z - rows["previous"]))
        rows["previous"] = Z
        return moved

    def _start(self, ball, Z, value, gradient):
        self.rows = {
            "step": 2 * ball.radius,
            "previous": Z,
            "value": value,
            "best": value,
            "best_Z": Z,
            "best_gradient": gradient,
            "best_at_check": value,
            "n_rises": torch.zeros_like(value),
            "was_halved": torch.zeros_like(value, dtype=torch.bool),
        }

    def _remember(self, Z, value, gradient):
        """Note a step, and return where to go on: here, or for rows that are stuck at their best point."""
        rows = self.rows
        is_best = value > rows["best"]
        rows["n_rises"] = rows["n_rises"] + (value > rows["value"])
        rows["value"] = value
        rows["best"] = torch.where(is_best, value, rows["best"])
        rows["best_Z"] = torch.where(is_best[:, None], Z, rows["best_Z"])
        rows["best_gradient"] = torch.where(is_best[:, None], gradient, rows["best_gradient"])
        self.since_check += 1
        if self.since_check < self.period:
            return Z, gradient
        return self._check(Z, gradient)

    def _check(self, Z, gradient):
        rows = self.rows
        swings = rows["n_rises"] <= self.ENOUGH_RISES * self.since_check
        rests = ~rows["was_halved"] & (rows["best_at_check"] >= rows["best"])
        is_stuck = swings | rests
        rows["was_halved"], rows["best_at_check"] = is_stuck, rows["best"]
        rows["step"] = torch.where(is_stuck[:, None], rows["step"] / 2, rows["step"])
        rows["n_rises"] = torch.zeros_like(rows["n_rises"])
        self.since_check, self.period = 0, max(self.shortest, self.period - self.shortening)
        stuck = is_stuck[:, None]
        return torch.where(stuck, rows["best_Z"], Z), torch.where(stuck, rows["best_gradient"], gradient)
