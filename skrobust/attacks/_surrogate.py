"""Transfer: what fools a small smooth network that imitates the estimator often fools the estimator."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.attacks import _gradient
from skrobust.attacks._search import space_around
from skrobust.attacks._surface import Surface
from skrobust.torchify import to_torch

# Rows from which the surrogate learns, at most, and how often each is moved at random within the radius.
MOST_ROWS = 6000
N_COPIES = 4
HIDDEN_LAYER_SIZES = (128,)
MOST_EPOCHS = 10
# Weight decay where answers are random, whose noise is not to be learned.
SMOOTH = 1.0
# The network learns anew, so many times in all, with the points that fooled it alone (Papernot et al., 2017).
N_LESSONS = 3
# Without a radius: radii that are these quantiles of the distances known, the nearest for the nearest rows.
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
NEARER = 0.8
# Lowest logit less this is the logit of classes that the surrogate never saw.
NEVER_SEEN = 10.0


def transfer(pursuit, index, radius, rng, *, max_iter=30):
    """Let a small network imitate the estimator around the rows, follow its gradient, and see whom else that fools.

    Without a radius, it looks nearer to each row than the last adversarial row.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of int
    radius : float
    rng : numpy.random.Generator
    max_iter : int, default=30
        Steps of APGD on the network, from each of two starts.
    """
    for part, part_radius in _parts(pursuit, index, radius):
        rows, codes = _lessons(pursuit, part, part_radius, rng)
        for _ in range(N_LESSONS):
            surface = _trained(pursuit, rows, codes, rng)
            part = part[pursuit.stands(part, part_radius)]
            if surface is None or not len(part):
                break
            imitated = Imitated(pursuit, surface)
            _gradient.apgd(imitated, part, part_radius, rng, max_iter=max_iter, loss="margin")
            rows, codes = _learned(pursuit, rows, codes, imitated.failed, rng)
    if np.isinf(radius):
        pursuit.shrink(index)


class Imitated:
    """A pursuit of which the gradients are those of a surrogate, and the verdicts its own.

    Parameters
    ----------
    pursuit : Pursuit
    surface : Surface
        Of the surrogate.

    Attributes
    ----------
    failed : list of ndarray
        Rows that fooled the surrogate alone.
    """

    def __init__(self, pursuit, surface):
        self._pursuit, self.surface = pursuit, surface
        self.failed = []

    def __getattr__(self, name):
        return getattr(self._pursuit, name)

    def offer(self, index, candidates):
        """Judge rows, and remember those that do not count."""
        is_adversarial = self._pursuit.offer(index, candidates)
        self.failed.append(candidates[~is_adversarial])
        return is_adversarial

    def count(self, index, times=1):
        """Count nothing: the surrogate is asked, not the estimator."""

    def note(self, remark, index, value=True):
        """Remark nothing: gradients of the surrogate say nothing about the estimator."""


class _Spread(torch.nn.Module):
    """Logits of some classes as logits of all."""

    def __init__(self, module, codes, n_classes):
        super().__init__()
        self.module, self.n_classes = module, n_classes
        self.register_buffer("codes", torch.tensor(codes))

    def forward(self, X):
        logits = self.module(X)
        lowest = logits.amin(dim=1, keepdim=True).detach() - NEVER_SEEN
        return lowest.repeat(1, self.n_classes).index_copy(1, self.codes, logits)


def _parts(pursuit, index, radius):
    """Yield parts of an index, and a radius for each."""
    if np.isfinite(radius):
        if len(index) and radius > 0:
            yield index, radius
        return
    index = index[np.isfinite(pursuit.distance[index]) & (pursuit.distance[index] > 0)]
    if not len(index):
        return
    distance = pursuit.distance[index]
    radii = NEARER * np.quantile(distance, QUANTILES)
    nearest = np.abs(np.log(distance[:, np.newaxis] * NEARER / radii)).argmin(axis=1)
    for rank in np.unique(nearest):
        yield index[nearest == rank], float(radii[rank])


def _trained(pursuit, rows, codes, rng):
    """Return the surface of a network that imitates the estimator, or None if that has but one answer."""
    known = np.unique(codes)
    if len(known) < 2:
        return None
    network = MLPClassifier(
        HIDDEN_LAYER_SIZES,
        activation="tanh",
        max_iter=MOST_EPOCHS,
        batch_size=min(128, len(rows)),
        learning_rate_init=5e-3,
        alpha=SMOOTH if pursuit.original.is_random else 1e-4,
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = make_pipeline(StandardScaler(), network).fit(rows, codes)
    return Surface(_Spread(to_torch(network), known, len(pursuit.original.classes)))


def _lessons(pursuit, index, radius, rng):
    """Return rows and copies of them moved at random, and what the estimator answers to each, as codes."""
    original = pursuit.original
    asked, space = space_around(pursuit, index, radius)
    # Of random answers the network learns the shares, from many single ones.
    most = MOST_ROWS if original.is_random else N_COPIES
    n_copies = int(np.clip(MOST_ROWS // max(1, len(asked)), 1, most))
    each = np.repeat(np.arange(len(asked)), n_copies)[:MOST_ROWS]
    space = space.take(each)
    # From near the row to well beyond the radius: the boundary that is looked for is not behind the rows only.
    noise = space.random(rng, is_outmost=True) * rng.random((len(each), 1)) * 1.5
    copies = space.budget.at(1.5 * radius).project(space.budget.rows + noise * space.units)
    pursuit.count(asked[each])
    found = pursuit.nearest[index][np.isfinite(pursuit.distance[index])]
    more = np.concatenate([copies, found])
    rows, answers = original.rows, original.answers
    if len(more):
        rows, answers = np.concatenate([rows, more]), np.concatenate([answers, original.ask(more)])
    chosen = rng.permutation(len(rows))[:MOST_ROWS]
    return rows[chosen].astype(np.float64), original.codes(answers[chosen])


def _learned(pursuit, rows, codes, failed, rng):
    """Return the lessons with more of them: rows of which the surrogate was wrong."""
    more = np.concatenate([rows[:0], *failed])
    more = more[rng.permutation(len(more))[: MOST_ROWS // 2]].astype(pursuit.original.rows.dtype)
    if not len(more):
        return rows, codes
    answers = pursuit.original.predict(more)
    return np.concatenate([rows, more]), np.concatenate([codes, pursuit.original.codes(answers)])
