"""Learning-rate schedules: the factor of the learning rate as a function of the progress of training, from 0 to 1."""

import math

from skorch.callbacks import Callback

WARM_UP = 0.25
START = 0.04
CONSTANT = 0.5


def one_cycle(progress):
    """Rise from 0.04 to 1 in the first quarter, then fall to 0, both along a cosine (Smith and Topin, 2019)."""
    if progress < WARM_UP:
        return START + (1 - START) * _rise(progress / WARM_UP)
    return 1 - _rise((progress - WARM_UP) / (1 - WARM_UP))


def constant_cosine(progress):
    """Stay at 1 for the first half, then fall to 0 along a cosine, as the paper does."""
    return 1 - _rise((progress - CONSTANT) / (1 - CONSTANT)) if progress > CONSTANT else 1.0


def constant(progress):
    """Stay at 1."""
    return 1.0


def _rise(share):
    return (1 - math.cos(math.pi * share)) / 2


WARM_UPS = {"one_cycle": WARM_UP}
SCHEDULES = {"one_cycle": one_cycle, "constant_cosine": constant_cosine, "constant": constant}


class LearningRate(Callback):
    """Set the learning rate before every batch.

    torch's own schedulers cost more per step than a small network's whole optimizer; this is one assignment.

    Parameters
    ----------
    schedule : callable
        Maps progress to a factor.
    n_steps : int
        Number of batches over which progress goes from 0 to 1.
    """

    def __init__(self, schedule, n_steps):
        self.schedule = schedule
        self.n_steps = n_steps

    def on_train_begin(self, net, **kwargs):
        """Remember the peak of each parameter group."""
        self.step_ = 0
        self.factor_ = 1.0
        self.groups_ = [(group, group["lr"]) for group in net.optimizer_.param_groups]

    def on_batch_begin(self, net, training=False, **kwargs):
        """Set the learning rate of this batch; half a step ahead, so that neither end is exactly zero."""
        if not training:
            return
        factor = self.schedule((self.step_ + 0.5) / self.n_steps)
        if factor != self.factor_:  # a constant rate is left to callbacks of the user, such as LRScheduler
            for group, peak in self.groups_:
                group["lr"] = peak * factor
        self.factor_ = factor
        self.step_ += 1

    def on_epoch_end(self, net, **kwargs):
        """Record the learning rate of the last batch."""
        net.history.record("lr", self.groups_[0][0]["lr"])

    def on_train_end(self, net, **kwargs):
        """Give the parameter groups back as they were."""
        for group, peak in self.groups_:
            group["lr"] = peak
