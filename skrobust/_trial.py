"""What a new network is tried for before it trains: gradients for those who follow them, and answers to single rows."""

import warnings

import torch

from skrobust._objective import INPUT_SPACE, Attacked, OffSupport
from skrobust._persistence import network_of
from skrobust.adversary import resolve_adversary
from skrobust.adversary._maximizer import GRADIENT_FREE
from skrobust.adversary._trainings import Averaged
from skrobust.penalties import Smoothness, Stability
from skrobust.penalties._neighborhood import WorstNeighborhood
from skrobust.unlabeled import Gaussian

# Rows that the network is asked about one at a time.
N_ALONE = 3
# Of the spread of the logits: far above rounding, also where a GPU multiplies with 10 bits.
TOLERANCE = 0.01


def try_out(estimator, objective, net, rows):
    """Try a new network on a few rows, in evaluation mode, as it is trained and asked later.

    Parameters
    ----------
    estimator : OffSupportRobustClassifier
    objective : CrossEntropy
    net : OffSupportNet
    rows : Tensor of shape (n, n_features)

    Raises
    ------
    ValueError
        If the network fails at noisy rows, or has no gradient with respect to its input, but a parameter of the
        estimator needs such.

    Warns
    -----
    UserWarning
        If that gradient is zero, or an answer depends on the other rows of its batch.
    """
    # Not the compiled network, which would be compiled once more for these few rows.
    network = network_of(net)
    followers = _followers(estimator, objective)
    network.eval()
    try:
        if objective.uses_noise:
            _check_beyond(network, net.shaped(_noisy(objective, estimator, rows)), estimator)
        rows = net.shaped(rows)
        if followers:
            _check_gradient(network, rows, " and ".join(followers))
        _warn_about_batch(network, rows)
    finally:
        network.train()


def _noisy(objective, estimator, rows):
    generator = torch.Generator(device=rows.device).manual_seed(0)
    return Gaussian().sample(rows, objective.support, estimator.neighbor_radius, generator)


def _check_beyond(network, points, estimator):
    """Check that a network that answers rows also answers points around them."""
    try:
        with torch.no_grad():
            network(points)
    except Exception as error:
        raise ValueError(
            f"module {type(network).__name__} fails at points around the rows of X, which penalty="
            f"{estimator.penalty!r} asks about ({type(error).__name__}: {error}): if X holds codes, as for an "
            "embedding, set noise_layer to the layer behind it, or smoothness=0."
        ) from error


def _followers(estimator, objective):
    """Return the parameters of an estimator that follow gradients with respect to the rows, with their values."""
    names, supervision = [], objective.supervision
    if isinstance(supervision, Attacked) and _follows_gradient(supervision.adversary):
        names.append("adversary")
    if isinstance(objective, OffSupport) and objective.space is INPUT_SPACE:
        penalty = objective.penalty
        if getattr(penalty, "follows_gradient", False):
            names.append("penalty")
        if isinstance(objective.neighborhood, WorstNeighborhood) and isinstance(penalty, (Smoothness, Stability)):
            names.append("neighbors")
    return [f"{name}={getattr(estimator, name)!r}" for name in names]


def _follows_gradient(adversary):
    """Return whether an adversary follows gradients; those of the user may do without."""
    if hasattr(adversary, "adversaries"):
        return any(_follows_gradient(resolve_adversary(member)) for member in adversary.adversaries)
    return isinstance(adversary, Averaged)


def _check_gradient(network, rows, followers):
    """Check that the logits have a gradient with respect to the rows, and warn if it is zero."""
    rows, name = rows.clone().requires_grad_(), type(network).__name__
    logits = network(rows)
    # Not their plain sum, which a last layer may hold constant.
    value = (logits * torch.arange(1, 1 + logits.shape[1], device=logits.device)).sum()
    (gradient,) = torch.autograd.grad(value, rows, allow_unused=True) if value.requires_grad else (None,)
    if gradient is None:
        raise ValueError(
            f"module {name} returns logits without a gradient with respect to its input, needed by {followers}: freeze "
            "layers by requires_grad_(False) of their parameters rather than by torch.no_grad() or detach(), or use "
            f"{GRADIENT_FREE}."
        )
    # Logits that are the same everywhere are those of a last layer that begins at 0 and will have gradients.
    if not gradient.any() and (logits != logits[0]).any():
        warnings.warn(
            f"module {name} has a gradient of exactly 0 with respect to its input at each of {len(rows)} rows of X, "
            f"which leaves nothing to follow for {followers}: leave out what rounds or compares the input, or use "
            f"{GRADIENT_FREE}.",
            stacklevel=7,
        )


def _warn_about_batch(network, rows):
    """Warn of a network that answers rows alone otherwise than within their batch."""
    with torch.no_grad():
        together, alone = network(rows), _answers_alone(network, rows[-N_ALONE:])
        atol = TOLERANCE * (together.max() - together.min()).item()
        if alone is not None:
            is_same = torch.allclose(alone, together[-N_ALONE:], atol=atol, rtol=1e-4)
            # Answers that are not the same twice are random, which is another matter.
            if is_same or not torch.allclose(network(rows), together, atol=atol, rtol=1e-4):
                return
    warnings.warn(
        f"module {type(network).__name__} answers a row alone otherwise than within a batch, so that predictions "
        "depend on the rows that are asked together: keep running statistics (track_running_stats=True), or normalize "
        "by GroupNorm or LayerNorm.",
        stacklevel=7,
    )


def _answers_alone(network, rows):
    """Return the logits of rows that are asked one at a time; None if the network fails on that."""
    try:
        return torch.cat([network(row) for row in rows.split(1)])
    except Exception:  # whatever it raises: it has answered the same rows in a batch
        return None
