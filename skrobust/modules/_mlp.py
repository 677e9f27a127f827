"""Multilayer perceptron."""

import itertools

from torch import nn

from skrobust.modules._activations import new_activation


class MLP(nn.Sequential):
    """Multilayer perceptron; rows or images in, logits out.

    Parameters
    ----------
    n_features : int
        Number of input features; images are flattened.
    n_classes : int
    hidden_layer_sizes : sequence of int, default=(100,)
        Width of each hidden layer; () makes a linear classifier.
    activation : str, callable or torch.nn.Module, default="relu"
        "relu", "sigmoid", "celu", "mish", "tanh" or "softplus", or what returns a new activation module.

    Raises
    ------
    ValueError
        If the activation is unknown.

    Examples
    --------
    >>> import torch
    >>> from skrobust.modules import MLP
    >>> MLP(20, 3, hidden_layer_sizes=(8, 8))(torch.zeros(5, 20)).shape
    torch.Size([5, 3])
    """

    def __init__(self, n_features, n_classes, hidden_layer_sizes=(100,), activation="relu"):
        widths = [n_features, *hidden_layer_sizes]
        layers = [nn.Flatten()]
        for n_in, n_out in itertools.pairwise(widths):
            layers += [nn.Linear(n_in, n_out), new_activation(activation)]
        super().__init__(*layers, nn.Linear(widths[-1], n_classes))
