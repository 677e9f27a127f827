"""Training and evaluation mode of the torch networks inside an estimator."""

import contextlib

from torch import nn


@contextlib.contextmanager
def modes_kept(estimator):
    """Leave the mode of every part of the networks inside an estimator as it was found."""
    before = [(part, part.training) for network in _networks(estimator) for part in network.modules()]
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def _networks(estimator):
    """Yield the networks of skorch nets, also within Pipelines and searches."""
    network = getattr(estimator, "module_", None)
    if isinstance(network, nn.Module):
        yield network
    inner = [getattr(estimator, name, None) for name in ("net_", "best_estimator_")]
    for part in [*inner, *(step for _, step in getattr(estimator, "steps", ()))]:
        if part is not None and not isinstance(part, str):
            yield from _networks(part)
