"""The training loss of one batch.

An objective maps the passes of a network (see :class:`skrobust._net.Passes`) and a batch to a step: the loss, its terms
and the outputs. It knows nothing of epochs, optimizers or estimators.
"""

import dataclasses
import math
import typing

import torch

from skrobust._points import check_finite, made_of
from skrobust.data import systematic_sample
from skrobust.losses import cross_entropy
from skrobust.penalties import Neighborhood
from skrobust.unlabeled import Support, off_support_fraction

REFERENCE_ROWS = 10_000
N_QUERIES = 1_000


class Drawn(typing.NamedTuple):
    """Which rows of a batch are anchors.

    Parameters
    ----------
    is_batch : bool
        Whether the labeled anchors are the batch itself.
    labeled : callable
        Maps what belongs to the rows of the batch to what belongs to the labeled anchors.
    more : callable
        Maps what belongs to the rows of the batch, and n, to what belongs to n further rows drawn from it.
    """

    is_batch: bool
    labeled: typing.Callable
    more: typing.Callable


class Supervised(typing.NamedTuple):
    """Rows that the supervised loss is computed from.

    Parameters
    ----------
    kinds : tuple of {"labeled", "adversarial"}
        Which rows they are, one set of them behind the other.
    rows : Tensor of shape (len(kinds) * n, n_features)
    """

    kinds: tuple
    rows: torch.Tensor

    def split(self, values):
        """Return values for each kind of rows, by name."""
        return dict(zip(self.kinds, values.chunk(len(self.kinds)), strict=True))

    def layout(self, n_labeled):
        """Return how these rows are laid out."""
        return Layout(n_labeled, n_twins=len(self.rows) - n_labeled)


class Layout(typing.NamedTuple):
    """What the rows of a pass are.

    Parameters
    ----------
    n_labeled : int
        The first rows, which alone count for batch normalization.
    n_twins : int, default=0
        Rows behind these that an adversary has made of the first ones: dropout drops the same of either.
    n_points, n_anchors : int, default=0
        The last rows are the points of a penalty. If these are anchors and then their neighbors, one full set behind
        the other, dropout drops the same of all.
    """

    n_labeled: int
    n_twins: int = 0
    n_points: int = 0
    n_anchors: int = 0


class Clean:
    """Supervision by the labeled rows as they are."""

    def rows(self, forward, X, y, anchors):
        """Return the rows that the loss needs."""
        return Supervised(("labeled",), X)

    def loss(self, logits, y, row_weight):
        """Return the loss and its terms, from the logits of the rows by kind."""
        loss = cross_entropy(logits["labeled"], y, row_weight)
        return loss, {"cross_entropy": loss}


@dataclasses.dataclass(frozen=True)
class Attacked:
    """Supervision by labeled rows and what an adversary makes of them.

    Parameters
    ----------
    adversary : adversary object
        See :mod:`skrobust.adversary`.
    generator : torch.Generator
    """

    adversary: object
    generator: torch.Generator

    def rows(self, forward, X, y, anchors):
        """Return the rows that the loss, or a penalty at these kinds of anchors, needs."""
        with forward.evaluating() as outputs:
            perturbed = made_of(
                X,
                lambda rows: self.adversary.perturb(outputs, rows, y, self.generator),
                self.adversary,
                parameter="adversary",
                method="perturb",
            )
        if {"labeled", "unlabeled"} & set(anchors) or getattr(self.adversary, "uses_clean", True):
            return Supervised(("labeled", "adversarial"), torch.cat([X, perturbed]))
        return Supervised(("adversarial",), perturbed)

    def loss(self, logits, y, row_weight):
        """Return the loss and its terms, from the logits of the rows by kind."""
        perturbed = logits["adversarial"]
        found = self.adversary.loss(logits.get("labeled", perturbed[:0]), perturbed, y, row_weight)
        if not _is_loss_with_terms(found):
            raise ValueError(
                f"adversary={self.adversary!r} returned no loss with its terms: its method loss must return a tensor "
                "of shape () and a dict of such tensors, the terms by name."
            )
        return found


def _is_loss_with_terms(found):
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
        return False
    return all(isinstance(value, torch.Tensor) and value.ndim == 0 for value in (found[0], *found[1].values()))


class InputSpace:
    """Where anchors and their neighbors lie: in the space of the rows."""

    def encode(self, forward, rows, layout):
        """Return the rows."""
        return rows

    def passes(self, forward):
        """Return the passes from this space to the logits."""
        return forward

    def begin_epoch(self, forward, rows):
        """Do nothing: the scale of the rows stays the same."""


CLEAN, INPUT_SPACE = Clean(), InputSpace()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Training without a penalty: the supervised loss alone.

    Parameters
    ----------
    supervision : object, default=CLEAN
        The rows that the supervised loss is computed from, and the loss: :class:`Clean` or :class:`Attacked`.
    preparation : tuple of callables, default=()
        What is done to rows, labels and row weights of a batch before all else.
    """

    supervision: object = CLEAN
    preparation: tuple = ()

    uses_noise = False

    def __call__(self, forward, X, y, row_weight=None):
        """Return the step: "loss", "terms" (name to scalar tensor) and "y_pred", the logits of the labeled rows."""
        for prepare in self.preparation:
            X, y, row_weight = prepare(X, y, row_weight)
        return self._step(forward, X, y, row_weight)

    def _step(self, forward, X, y, row_weight):
        supervised = self.supervision.rows(forward, X, y, ())
        logits = forward(supervised.rows, supervised.layout(len(X)))
        loss, terms = self.supervision.loss(supervised.split(logits), y, row_weight)
        return {"loss": loss, "terms": {**terms, "loss": loss}, "y_pred": logits[: len(X)]}

    def begin_epoch(self, forward, rows):
        """Do nothing at the beginning of an epoch."""

    def off_support_fraction(self, tensor, X, generator):
        """Return NaN: nothing is generated."""
        return math.nan


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffSupport(CrossEntropy):
    """Semi-supervised out-of-support training: the supervised loss plus a penalty at anchors.

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
    projection : Tensor of shape (n_features,)
        Fixed direction that orders rows for weighted draws.
    full_batch : int, default=None
        If all rows fit into one batch: the number of anchors to draw from them, which must not depend on the number
        of rows if weights are to equal repetitions.
    kinds : tuple of {"labeled", "adversarial", "unlabeled"}
        The anchors that the penalty acts at.
    space : object, default=INPUT_SPACE
        Where anchors and neighbors lie: :class:`InputSpace`, or the activations of a layer.
    uses_noise : bool, default=True
        Whether noise is added to the rows themselves.
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
    kinds: tuple = ("labeled", "adversarial", "unlabeled")
    space: object = INPUT_SPACE
    uses_noise: bool = True

    def _step(self, forward, X, y, row_weight):
        supervised = self.supervision.rows(forward, X, y, self.kinds)
        layout = supervised.layout(len(X))
        rows = self.space.encode(forward, supervised.rows, layout)
        passes, drawn = self.space.passes(forward), self.drawn(X, row_weight)
        anchors = self.anchors(supervised.split(rows), drawn)
        neighborhood = self.neighborhood.at(getattr(passes, "evaluating", None), self._labels(anchors, y, drawn))
        joined = _joined(anchors.values())
        points = self.penalty.points(joined, neighborhood)
        # Anchors lead the points, so that where they begin with the supervised rows, one pass serves both terms.
        shares_pass = drawn.is_batch and tuple(anchors)[: len(supervised.kinds)] == supervised.kinds
        layout = layout._replace(n_points=len(points), n_anchors=len(joined))
        logits = passes(points if shares_pass else torch.cat([rows, points]), layout)
        loss, terms = self.supervision.loss(supervised.split(logits[: len(rows)]), y, row_weight)
        penalty = self.penalty.value(points, logits if shares_pass else logits[len(rows) :], neighborhood)
        total = loss + self.weight * penalty
        return {"loss": total, "terms": {**terms, "penalty": penalty, "loss": total}, "y_pred": logits[: len(X)]}

    def begin_epoch(self, forward, rows):
        """Measure the space anew at the beginning of an epoch."""
        self.space.begin_epoch(forward, rows)

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
        order = torch.randperm(len(X), generator=generator, device=generator.device)
        shown = order[:REFERENCE_ROWS].cpu().numpy().copy()
        del order  # it may be large, and its first part would hold on to it
        rows = tensor(X[shown])
        points = self._around(rows[:N_QUERIES], self.generated, generator)
        check_finite(points, self.generated, parameter="unlabeled")
        return off_support_fraction(rows, points, n_queries=N_QUERIES)

    def anchors(self, rows, drawn):
        """Return the anchors of a batch by kind, those that the penalty acts at.

        Parameters
        ----------
        rows : dict of Tensor of shape (n, n_features)
            The rows of the batch by kind; unlabeled points are made from the labeled ones.
        drawn : Drawn

        Returns
        -------
        anchors : dict of Tensor
            "labeled" and "adversarial" ones come before `round(n_unlabeled * n_labeled)` "unlabeled" ones.
        """
        anchors = {kind: drawn.labeled(values) for kind, values in rows.items() if kind in self.kinds}
        if self.n_unlabeled and "unlabeled" in self.kinds:
            labeled = rows["labeled"]
            n_unlabeled = max(1, round(self.n_unlabeled * (self.full_batch or len(labeled))))
            sources = drawn.more(labeled, n_unlabeled)
            anchors["unlabeled"] = self._around(sources, self.sampler, self.generator)
        return anchors

    def _around(self, rows, sampler, generator):
        """Return the unlabeled point that a sampler makes of each row."""
        return made_of(
            rows,
            lambda rows: sampler.sample(rows, self.support, self.radius, generator),
            sampler,
            parameter="unlabeled",
        )

    def drawn(self, X, row_weight=None):
        """Return which rows of a batch are anchors: all, unless rows are weighted or all are in one batch."""
        if row_weight is None and self.full_batch is None:
            return Drawn(True, lambda values: values, _repeated)
        weight = X.new_ones(len(X)) if row_weight is None else row_weight
        position = X @ self.projection
        index = systematic_sample(position, weight, self.full_batch or len(X), self.generator)
        return Drawn(
            False,
            lambda values: values[index],
            lambda values, n: values[systematic_sample(position, weight, n, self.generator)],
        )

    def _labels(self, anchors, y, drawn):
        """Return the labels of the anchors; None if some have none."""
        return None if "unlabeled" in anchors else _joined([drawn.labeled(y)] * len(anchors))


def _repeated(values, n):
    """Return n rows: the batch is in random order already, so that whole copies and first rows are a fair draw."""
    return values[:n] if n <= len(values) else values.repeat(math.ceil(n / len(values)), 1)[:n]


def _joined(parts):
    parts = list(parts)
    return parts[0] if len(parts) == 1 else torch.cat(parts)
