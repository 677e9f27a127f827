"""Networks that return logits."""

from skrobust.modules._batch_norm import labeled_batch_norm
from skrobust.modules._build import build_module, check_logits
from skrobust.modules._cut import cut_at
from skrobust.modules._lenet import LeNet
from skrobust.modules._mlp import MLP

__all__ = ["MLP", "LeNet", "build_module", "check_logits", "cut_at", "labeled_batch_norm"]
