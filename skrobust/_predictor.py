"""What a fitted network answers, and how it is copied, pickled and kept from harm."""

import contextlib
import copy
import inspect
import warnings

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from skrobust import _training
from skrobust._persistence import portable_state, readable_state
from skrobust._runtime import resolve_device
from skrobust._validation import FLOATS, as_rows, check_same_shape

PREDICTION_ROWS = 2048


class NetworkPredictorMixin:
    """Predictions from the attributes ``net_`` and ``classes_``; a state without what only training needs."""

    def predict(self, X):
        """Predict class labels.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, height, width) or (n, channels, height, width)

        Returns
        -------
        y : ndarray of shape (n,)
        """
        codes = self._outputs(X, lambda logits: logits.argmax(dim=1))
        return self.classes_[codes]

    def predict_proba(self, X):
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, height, width) or (n, channels, height, width)

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
        """
        return self._outputs(X, lambda logits: logits.softmax(dim=1))

    def decision_function(self, X):
        """Return the logits, the outputs of the network before the softmax.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, height, width) or (n, channels, height, width)

        Returns
        -------
        scores : ndarray of shape (n, n_classes), or (n,) for two classes
            For two classes the logit of the second less that of the first.
        """
        logits = self._outputs(X, lambda logits: logits)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def _outputs(self, X, reduce):
        check_is_fitted(self)
        X, row_shape = as_rows(X, self.image_shape)
        check_same_shape(row_shape, self.net_.row_shape, name="X", others="the classifier was fitted on images")
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        parts = (X[start : start + PREDICTION_ROWS] for start in range(0, len(X), PREDICTION_ROWS))
        rows = (_training.as_tensor(part, self.net_.float_type) for part in parts)
        outputs, n_done = None, 0
        for part in self.net_.predicted(rows, lambda logits: reduce(_finite(logits))):
            # One array for all: parts that outlive their pass would keep the memory between them taken.
            outputs = np.empty((len(X), *part.shape[1:]), part.numpy().dtype) if outputs is None else outputs
            outputs[n_done : n_done + len(part)] = part.numpy()
            n_done += len(part)
        return outputs

    @contextlib.contextmanager
    def _unchanged_on_failure(self):
        """Leave the attributes as they were if training fails, unless the error says that the net is usable."""
        before = dict(vars(self))
        try:
            yield
        except BaseException as error:
            if not getattr(error, "is_fitted", False):
                vars(self).clear()
                vars(self).update(before)
            raise

    def _net_to_train_on(self):
        """Return the net for partial_fit to go on with; warn if its optimizer was left behind when it was pickled."""
        if self.net_.has_lost_optimizer:
            warnings.warn(
                "The optimizer was not saved with the classifier: partial_fit starts a new one, whose running averages "
                "of gradients begin at zero.",
                stacklevel=4,
            )
        return self.net_

    def __getstate__(self):
        return portable_state(super().__getstate__())

    def __setstate__(self, state):
        # A parameter that came with a later version has its default.
        params = inspect.signature(type(self)).parameters.values()
        defaults = {param.name: param.default for param in params if param.default is not param.empty}
        super().__setstate__({**defaults, **readable_state(state)})
        if not hasattr(self, "net_"):
            return
        try:
            self.net_.move_to(resolve_device(self.device))
        except ValueError:
            warnings.warn(f"device={self.device!r} is not available here: predicting on the CPU.", stacklevel=2)

    def __copy__(self):
        return self._copied(dict(vars(self)))

    def __deepcopy__(self, memo):
        return self._copied(copy.deepcopy({**vars(self), "net_": None}, memo))

    def _copied(self, attributes):
        """Return a copy with these attributes and a net of its own; unlike a pickled one, it keeps its optimizer."""
        other = type(self).__new__(type(self))
        attributes.pop("net_", None)
        vars(other).update(attributes)
        if hasattr(self, "net_"):
            other.net_ = self.net_.twin()
        return other


def _finite(logits):
    """Return logits that are all numbers."""
    if not logits.isfinite().all():
        raise ValueError(
            "X has values for which the network gives no numbers: scale X as in training, or mend the module."
        )
    return logits
