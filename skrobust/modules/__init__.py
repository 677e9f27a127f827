"""Networks that return logits."""

from skrobust.modules._batch_norm import labeled_batch_norm
from skrobust.modules._build import build_module, check_logits
from skrobust.modules._cut import cut_at
from skrobust.modules._dropout import shared_dropout
from skrobust.modules._lenet import LeNet
from skrobust.modules._mlp import MLP
from skrobust.modules._normalize import Normalize
from skrobust.modules._resnet import ResNet, XResNet
from skrobust.modules._resnet9 import ResNet9
from skrobust.modules._wide_resnet import WideResNet

__all__ = [
    "MLP",
    "LeNet",
    "Normalize",
    "ResNet",
    "ResNet9",
    "WideResNet",
    "XResNet",
    "build_module",
    "check_logits",
    "cut_at",
    "labeled_batch_norm",
    "shared_dropout",
]
