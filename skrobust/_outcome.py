"""What training has come to: a word of warning where the network has learnt to answer the same everywhere."""

import warnings

import torch
from sklearn.exceptions import ConvergenceWarning

# Rows that are asked, and the updates after which a network should tell some of them apart.
N_ASKED, LEAST_STEPS = 256, 100
# Where one class has more of the weight, to answer it everywhere is what was asked for.
MOST_WEIGHT = 0.95
# Probabilities that lie farther apart are not flat; answers that gain more on the best constant one have learnt.
LEAST_SPREAD, LEAST_GAIN = 0.1, 0.1


def warn_about_flatness(estimator, net, rows, n_batches):
    """Warn of a network that answers all training rows alike, which is the cheapest way to be smooth.

    Parameters
    ----------
    estimator : OffSupportRobustClassifier
        Just trained.
    net : OffSupportNet
    rows : Rows
        The rows that it was trained on.
    n_batches : int
        Updates of an epoch.
    """
    if estimator.n_iter_ * n_batches < LEAST_STEPS:
        return
    step = -(-len(rows.X) // N_ASKED)
    (probability,) = net.predicted([rows.X[::step]], lambda logits: logits.softmax(dim=1))
    y = rows.y[::step].cpu()
    weight = torch.ones(len(y)) if rows.weight is None else rows.weight[::step].cpu()
    spread = (probability.amax(dim=0) - probability.amin(dim=0)).amax().item()
    accuracy = (weight @ (probability.argmax(dim=1) == y).to(weight) / weight.sum()).item()
    constant = (y.bincount(weight).amax() / weight.sum()).item()
    has_learnt = spread >= LEAST_SPREAD or accuracy - constant >= LEAST_GAIN * (1 - constant)
    if not has_learnt and constant < MOST_WEIGHT:
        warnings.warn(
            f"{type(estimator).__name__} gives nearly the same probabilities to all of {len(y)} training rows, of "
            f"which it answers {accuracy:.2f} rightly, after {estimator.n_iter_} epochs: it has learnt nothing. Lower "
            f"{_flattening(estimator)}, raise max_epochs, scale X (StandardScaler), or use another random_state.",
            ConvergenceWarning,
            stacklevel=5,
        )


def _flattening(estimator):
    """Return what may have kept the softmax surface flat, with its values."""
    parts = [f"lr={estimator.lr!r}"]
    if estimator.adversary is not None:
        parts.insert(0, f"the eps of adversary={estimator.adversary!r}")
    if estimator.penalty is not None and estimator.smoothness:
        parts.insert(0, f"smoothness={estimator.smoothness!r}")
    return " or ".join(parts)
