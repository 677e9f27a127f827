"""Converters of skorch's nets; imported when the first one is met, since skorch is."""

import copy
import math

import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skrobust.torchify._input import current_input
from skrobust.torchify._networks import RowNetwork
from skrobust.torchify._parts import Affine, Elementwise, OneLogit, safe_log
from skrobust.torchify._registry import builtin

N_PROBES = 16


class FirstOutput(nn.Module):
    """The first of several outputs of a network, one row each."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, X):
        """Return outputs of shape (n, n_outputs)."""
        outputs = self.network(X)
        outputs = outputs[0] if isinstance(outputs, tuple) else outputs
        return outputs.reshape(len(X), -1)


@builtin(NeuralNetClassifier)
def convert_net(net):
    """Return the network, made to return logits: skorch's own losses take probabilities, too."""
    network = copy.deepcopy(net.module_).eval()
    if _drop_last(network, (nn.Softmax, nn.LogSoftmax)):
        return _rows(network)
    if _gives_probabilities(net, _rows(network)):
        # In float64: where float32 would say 0 or 1, there is a gradient yet.
        return nn.Sequential(_rows(network.double()), Elementwise(safe_log))
    return _rows(network)


@builtin(NeuralNetBinaryClassifier)
def convert_binary_net(net):
    """Return two logits, made of one, or of one probability, and equal at the net's threshold."""
    network = copy.deepcopy(net.module_).eval()
    threshold = Affine(center=[math.log(net.threshold / (1 - net.threshold))])
    if isinstance(net.criterion_, nn.BCELoss) and not _drop_last(network, nn.Sigmoid):
        return nn.Sequential(_rows(network.double()), Elementwise(_log_odds), threshold, OneLogit())
    return nn.Sequential(_rows(network), threshold, OneLogit())


def _rows(network):
    dtype = next((part.dtype for part in network.parameters() if part.is_floating_point()), torch.float32)
    return RowNetwork(FirstOutput(network), current_input().row_shape, dtype)


def _drop_last(network, kinds):
    """Leave out the last layer of a network if it is of that kind, and return whether it was."""
    if type(network) is not nn.Sequential or not len(network):
        return False
    if isinstance(network[-1], kinds):
        network[-1] = nn.Identity()
        return True
    return _drop_last(network[-1], kinds)


def _gives_probabilities(net, rows):
    probes = current_input().rows
    if probes is None or not len(probes):
        return isinstance(net.criterion_, nn.NLLLoss)
    device = next((part.device for part in net.module_.parameters()), "cpu")
    with torch.no_grad():
        outputs = rows(probes[:N_PROBES].to(device))
    return bool((outputs >= 0).all() and ((outputs.sum(dim=1) - 1).abs() < 1e-4).all())


def _log_odds(shares):
    return safe_log(shares) - safe_log(1 - shares)
