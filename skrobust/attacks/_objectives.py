"""What attacks raise: functions of logits, one value per row, positive or growing as the row is fooled."""

import torch
from torch.nn import functional

from skrobust.attacks._surface import margins

# Logits are shrunk to this spread before a softmax. One that saturates has no gradient, even in float64, and hides a
# network that is easily fooled (DESIGN: logits times 100).
WIDEST_SPREAD = 20.0


def cross_entropy(logits, codes, targets):
    """Return the cross-entropy of the true class, of logits shrunk so that the softmax does not saturate."""
    seen = logits.detach()
    spread = seen.amax(dim=1, keepdim=True) - seen.amin(dim=1, keepdim=True)
    if spread.max() > WIDEST_SPREAD:
        logits = logits * (WIDEST_SPREAD / spread).clamp_max(1.0)
    return functional.cross_entropy(logits, codes, reduction="none")


def margin(logits, codes, targets):
    """Return the best other logit less that of the class."""
    return margins(logits, codes)


def dlr(logits, codes, targets):
    """Return the difference of logits ratio (Croce and Hein, 2020); of fewer than three classes the margin."""
    if logits.shape[1] < 3:
        return margins(logits, codes)
    ordered = logits.sort(dim=1).values
    return margins(logits, codes) / (ordered[:, -1] - ordered[:, -3] + 1e-12)


def targeted(logits, codes, targets):
    """Return the targeted difference of logits ratio; of fewer than four classes the margin of the target."""
    lead = (logits.gather(1, targets[:, None]) - logits.gather(1, codes[:, None]))[:, 0]
    if logits.shape[1] < 4:
        return lead
    ordered = logits.sort(dim=1).values
    return lead / (ordered[:, -1] - (ordered[:, -3] + ordered[:, -4]) / 2 + 1e-12)


LOSSES = {"cross_entropy": cross_entropy, "margin": margin, "dlr": dlr, "targeted": targeted}


def next_best(logits, codes, rank):
    """Return the class with the rank-th largest logit among the others, 1 the runner-up; rank is an array (n,)."""
    ordered = logits.scatter(1, codes[:, None], -torch.inf).argsort(dim=1, descending=True)
    return ordered.gather(1, torch.from_numpy(rank - 1).to(ordered.device)[:, None])[:, 0]
