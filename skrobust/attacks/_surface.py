"""The torch module of an estimator, asked in numpy."""

import numpy as np
import torch

from skrobust._runtime import limited_threads

# Numbers in the rows of one batch: large batches are fast until they leave the caches.
BATCH_NUMBERS = 2**18
MOST_ROWS = 4096


class Surface:
    """Logits of a classifier as a function of raw rows, with gradients.

    Parameters
    ----------
    module : torch.nn.Module
        Maps float64 rows to logits.

    Attributes
    ----------
    device : torch.device
    """

    def __init__(self, module):
        self.module = module
        self.device = device_of(module)

    def logits(self, rows):
        """Return the logits of a tensor of rows, in float64."""
        return self.module(rows).double()

    def batches(self, n_rows, n_features):
        """Return slices of so many rows as are asked about at a time."""
        size = max(1, min(MOST_ROWS, BATCH_NUMBERS // n_features))
        return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]

    def margins(self, rows, codes):
        """Return the best other logit less that of the class, for arrays of rows and codes; positive means fooled."""
        codes = torch.from_numpy(codes).to(self.device)
        found = np.empty(len(rows))
        with torch.no_grad(), limited_threads(self.module, self.device):
            for part in self.batches(*rows.shape):
                logits = self.logits(torch.tensor(rows[part], device=self.device))
                found[part] = margins(logits, codes[part]).cpu().numpy()
        return found


def margins(logits, codes):
    """Return the best other logit less that of the class, a tensor of shape (n,)."""
    own = logits.gather(1, codes[:, None])
    return (logits.scatter(1, codes[:, None], -torch.inf).amax(dim=1, keepdim=True) - own)[:, 0]


def device_of(module):
    """Return the device of a module; the CPU if it has no tensors."""
    return next((tensor.device for tensor in [*module.parameters(), *module.buffers()]), torch.device("cpu"))
