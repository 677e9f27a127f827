"""The training loss of one batch.

An objective maps a forward function and a batch to a step: the loss, its terms and the outputs. It knows nothing of
epochs, optimizers or estimators.
"""

import dataclasses
import math

import torch

from skrobust.data import systematic_sample
from skrobust.losses import cross_entropy
from skrobust.penalties import Neighborhood
from skrobust.unlabeled import Support, off_support_fraction

REFERENCE_ROWS = 10_000
N_QUERIES = 1_000


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """Plain training: the cross-entropy of the labeled rows."""

    uses_noise = False

    def __call__(self, forward, X, y, row_weight=None):
        """Return the step: "loss", "terms" (name to scalar tensor) and "y_pred", the logits of the labeled rows."""
        logits = forward(X, len(X))
        loss = cross_entropy(logits, y, row_weight)
        return {"loss": loss, "terms": {"cross_entropy": loss, "loss": loss}, "y_pred": logits}

    def off_support_fraction(self, tensor, X, generator):
        """Return NaN: nothing is generated."""
        return math.nan


@dataclasses.dataclass(frozen=True)
class OffSupport:
    """Semi-supervised out-of-support training: cross-entropy plus a penalty at labeled and unlabeled anchors.

    Parameters
    ----------
    weight : float
        Weight of the penalty.
    penalty : penalty object
        See :mod:`skrobust.penalties`.
    neighborhood : Neighborhood
    sampler : sampler object
        Makes the unlabeled points.
    generated : sampler object or None
        That part of `sampler` which makes points, rather than drawing the user's own.
    n_unlabeled : float
        Unlabeled points per labeled row.
    radius : float
        Distance of generated points from their rows, in units of the data scale.
    support : Support
    generator : torch.Generator
        Source of unlabeled points.
    full_batch : int, default=None
        If all rows fit into one batch: the number of anchors to draw from them, which must not depend on the number
        of rows if weights are to equal repetitions.
    projection : Tensor of shape (n_features,)
        Fixed direction that orders rows for weighted draws.
    """

    weight: float
    penalty: object
    neighborhood: Neighborhood
    sampler: object
    generated: object
    n_unlabeled: float
    radius: float
    support: Support
    generator: torch.Generator
    projection: torch.Tensor
    full_batch: int | None = None

    uses_noise = True

    def __call__(self, forward, X, y, row_weight=None):
        """Return the step: "loss", "terms" (name to scalar tensor) and "y_pred", the logits of the labeled rows."""
        labeled, unlabeled = self.anchors(X, row_weight)
        anchors = torch.cat([labeled, unlabeled]) if len(unlabeled) else labeled
        points = self.penalty.points(anchors, self.neighborhood)
        # Anchors lead the points, so that where the labeled anchors are the batch itself, one pass serves both terms.
        shares_pass = labeled is X
        logits = forward(points if shares_pass else torch.cat([X, points]), len(X))
        labeled_logits = logits[: len(X)]
        supervised = cross_entropy(labeled_logits, y, row_weight)
        penalty = self.penalty.value(points, logits if shares_pass else logits[len(X) :], self.neighborhood)
        loss = supervised + self.weight * penalty
        terms = {"cross_entropy": supervised, "penalty": penalty, "loss": loss}
        return {"loss": loss, "terms": terms, "y_pred": labeled_logits}

    def off_support_fraction(self, tensor, X, generator):
        """Return the share of generated points outside the support of the rows X; NaN if none are generated.

        Parameters
        ----------
        tensor : callable
            Turns an array into a tensor on the training device.
        X : ndarray of shape (n, n_features)
        generator : torch.Generator
        """
        if self.generated is None or not self.n_unlabeled:
            return math.nan
        shown = torch.randperm(len(X), generator=generator, device=generator.device)[:REFERENCE_ROWS].cpu().numpy()
        rows = tensor(X[shown])
        points = self.generated.sample(rows[:N_QUERIES], self.support, self.radius, generator)
        check_points(points, rows[:N_QUERIES], self.generated, parameter="unlabeled")
        return off_support_fraction(rows, points, n_queries=N_QUERIES)

    def anchors(self, X, row_weight=None):
        """Return the labeled and the unlabeled anchors of a batch.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
        row_weight : Tensor of shape (n,), default=None

        Returns
        -------
        labeled : Tensor of shape (n_labeled, n_features)
            `X` itself unless rows are weighted or all rows are in one batch.
        unlabeled : Tensor of shape (round(n_unlabeled * n_labeled), n_features)
        """
        draws = self._draws(X, row_weight)
        labeled = X if row_weight is None and self.full_batch is None else draws(self.full_batch or len(X))
        if not self.n_unlabeled:
            return labeled, labeled[:0]
        n_unlabeled = max(1, round(self.n_unlabeled * len(labeled)))
        return labeled, self.sampler.sample(draws(n_unlabeled), self.support, self.radius, self.generator)

    def _draws(self, X, row_weight):
        """Return a function that draws n rows from the batch."""
        if row_weight is None and self.full_batch is None:
            # The batch is in random order already: whole copies of it and then its first rows are a fair draw.
            return lambda n: X.repeat(math.ceil(n / len(X)), 1)[:n] if n > len(X) else X[:n]
        weight = X.new_ones(len(X)) if row_weight is None else row_weight
        position = X @ self.projection
        return lambda n: X[systematic_sample(position, weight, n, self.generator)]


def check_points(points, rows, sampler, *, parameter):
    """Raise a ValueError if a sampler does not keep its promise: one finite point for each row."""
    shape = tuple(points.shape) if isinstance(points, torch.Tensor) else type(points).__name__
    if shape != tuple(rows.shape):
        raise ValueError(
            f"{parameter}={sampler!r} returned {shape} for rows of shape {tuple(rows.shape)}: its method sample must "
            "return a tensor with one point for each row."
        )
    if not bool(points.isfinite().all()):
        raise ValueError(f"{parameter}={sampler!r} returned points that are not finite: mend its method sample.")
