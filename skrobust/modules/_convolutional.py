"""What all convolutional networks of the package share."""

import torch
from torch import nn


class ConvolutionalNetwork(nn.Sequential):
    """Layers whose weights lie in memory with the channels last, in which a CPU convolves a third faster.

    Activations follow the weights, so that no layer may ask for the view of a tensor that Tensor.view returns.

    Parameters
    ----------
    *layers : torch.nn.Module, or one OrderedDict of them by name
    """

    def __init__(self, *layers):
        super().__init__(*layers)
        self.to(memory_format=torch.channels_last)
