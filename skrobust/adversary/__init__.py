"""The one inner maximizer, and the adversarial trainings that use it.

An adversary is an object with two methods. ``perturb(outputs, X, y, generator)`` returns rows near `X` (Tensor of shape
(n, n_features)) that a network answers badly; ``outputs`` maps rows to logits, in evaluation mode. ``loss(logits,
perturbed, y, weight)`` turns the logits at `X` and at those rows into the loss and its terms. An attribute
``uses_clean`` that is False says that `X` itself need not be evaluated: ``logits`` has no rows then.

While an adversary searches, the network is in evaluation mode, as it will be when it is attacked: without the noise of
dropout, with the kept statistics of batch normalization, which do not move, and so at any number of rows. Gradients are
taken with respect to the rows alone: none is left in the parameters.
"""

from skrobust.adversary._maximizer import Ball, ascend, worst_directions
from skrobust.adversary._multiple import MultiplePerturbations
from skrobust.adversary._trainings import FGSM, NFGSM, PGD, TRADES, resolve_adversary

__all__ = [
    "FGSM",
    "NFGSM",
    "PGD",
    "TRADES",
    "Ball",
    "MultiplePerturbations",
    "ascend",
    "resolve_adversary",
    "worst_directions",
]
