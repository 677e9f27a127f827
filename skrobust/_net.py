"""The private skorch net: one training step, and epochs that never wait for the device."""

import contextlib
import copy
import math
import warnings

import skorch
import torch
from skorch.dataset import Dataset, unpack_data
from torch import nn

from skrobust.data import BatchIterator, Rows
from skrobust.losses import cross_entropy
from skrobust.modules import build_module, check_logits, cut_at, labeled_batch_norm, shared_dropout
from skrobust.modules._build import check_trainable


class NonFiniteLossError(ValueError):
    """A term of the loss, or a weight of the network, is no longer a finite number."""


class LabeledDataset(Rows, Dataset):
    """Rows as a dataset of skorch, whose callbacks take X and y from no other."""


class Passes:
    """The passes of training through the network of a net.

    Parameters
    ----------
    net : OffSupportNet
    labeled : LabeledRows
        See :func:`skrobust.modules.labeled_batch_norm`.
    copies : Copies
        See :func:`skrobust.modules.shared_dropout`.
    """

    def __init__(self, net, labeled, copies):
        self.network, self.infer, self.shaped, self.applied = net.module_, net.infer, net.shaped, net.applied
        self.device = net.device
        self.labeled, self.copies = labeled, copies

    def __call__(self, points, layout):
        """Return the logits of points in one pass (see :class:`skrobust._objective.Layout`)."""
        self.lay_out(len(points), layout)
        return self.infer(points)

    def lay_out(self, n_rows, layout):
        """Say what the rows of the next pass are."""
        n_labeled, n_twins, n_points, n_anchors = layout
        self.labeled.n, self.labeled.n_rows = n_labeled, n_rows
        if n_anchors and n_points > n_anchors and n_points % n_anchors == 0:
            self.copies.set(n_rows, first=n_rows - n_points, n=n_anchors, n_twins=n_twins)
        else:
            self.copies.set(n_rows, n_twins=n_twins)

    def cut(self, layer, rows):
        """Return the network cut behind a layer, tried on flat rows (see :func:`skrobust.modules.cut_at`)."""
        return cut_at(self.network, layer, self.shaped(rows))

    def differentiate(self, loss):
        """Compute the gradients of a loss."""
        loss.backward()

    @contextlib.contextmanager
    def evaluating(self):
        """Within this context, the network is in evaluation mode; yield the function from flat rows to logits.

        A search for points asks the network as it will be when it predicts: without dropout, with the kept statistics
        of batch normalization, which do not move. Every part of the network gets its own mode back.
        """
        modes = [(module, module.training) for module in self.network.modules()]
        self.network.eval()
        try:
            yield self.infer
        finally:
            for module, mode in modes:
                module.training = mode


class OffSupportNet(skorch.NeuralNetClassifier):
    """skorch net whose loss is an objective (see :mod:`skrobust._objective`).

    Parameters
    ----------
    module : see :func:`skrobust.modules.build_module`
    objective : callable, default=None
        Maps a forward function and a batch to a loss and its terms; set before training.
    sizes : dict
        n_features, n_classes, image_shape and hidden_layer_sizes.
    example : Tensor of shape (n, n_features), default=None
        Rows on which a new network is tried.
    row_shape : tuple of int, default=None
        Shape that the network wants a row in, (channels, height, width) for images; None leaves rows as they are.
    float_type : torch.dtype
        Type of the parameters.
    autocast : bool, default=False
        Run the network in bfloat16 where it is safe.
    **kwargs : dict
        Parameters of :class:`skorch.NeuralNetClassifier`.
    """

    def __init__(
        self, module, *, objective=None, sizes, example=None, row_shape=None, float_type, autocast=False, **kwargs
    ):
        self.objective = objective
        self.sizes = sizes
        self.example = example
        self.row_shape = row_shape
        self.float_type = float_type
        self.autocast = autocast
        kwargs = {"iterator_train": BatchIterator, "iterator_valid": BatchIterator, **kwargs}
        super().__init__(module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0, **kwargs)

    make_passes = Passes

    def get_default_callbacks(self):
        """Return no callbacks: the losses of an epoch are recorded without one."""
        return []

    def check_data(self, X, y):
        """Accept everything: the estimator has checked the data."""

    def initialize_with(self, network):
        """Initialize around a network that is there already, and is moved to the device."""
        vars(self)["given_network"] = network  # skorch lets no network be set outside of initialize
        try:
            self.initialize()
        finally:
            del self.given_network
        self._forget_optimizer()

    def initialize_module(self):
        """Make the network, in the right type, and try it."""
        if hasattr(self, "given_network"):
            self.module_ = self.given_network
            return self
        network = build_module(self.module, **{**self.sizes, **self.get_params_for("module")})
        network = network.to(self.device, self.float_type)
        check_trainable(network)
        if self.example is not None:
            check_logits(network, self.shaped(self.example.to(self.device)), self.sizes["n_classes"])
        self.module_ = network
        return self

    def get_split_datasets(self, X, y=None, **fit_params):
        """Return the pair (training rows, validation rows or None) that was passed as X, as datasets of skorch."""
        return tuple(None if rows is None else LabeledDataset(rows.X, rows.y, rows.weight) for rows in X)

    def get_dataset(self, X, y=None):
        """Return flat rows as a dataset, for callbacks that predict; what is one already, as it is."""
        if isinstance(X, torch.utils.data.Dataset):
            return X
        X = torch.as_tensor(X, dtype=self.float_type)
        return LabeledDataset(X, torch.zeros(len(X), dtype=torch.int64, device=X.device) if y is None else y)

    def notify(self, method_name, **kwargs):
        """Tell the callbacks of an event; a batch is (X, y) for them, as in skorch, without the row weights."""
        if "batch" in kwargs:
            X, y = unpack_data(kwargs["batch"])
            kwargs["batch"] = X, y[0] if isinstance(y, (tuple, list)) else y
        super().notify(method_name, **kwargs)

    def shaped(self, rows):
        """Return flat rows in the shape that the network wants."""
        return rows if self.row_shape is None else rows.reshape(-1, *self.row_shape)

    def infer(self, x, **fit_params):
        """Return the logits of flat rows."""
        return self.applied(self.module_, self.shaped(x.to(self.device, non_blocking=True)))

    def applied(self, function, rows):
        """Return what the network, or a part of it, makes of rows, in the precision that was asked for."""
        if not self.autocast:
            return function(rows)
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16):
            return function(rows).to(self.float_type)

    def train_step_single(self, batch, **fit_params):
        """Compute the loss of a batch and its gradient."""
        if not self.module_.training:
            self._set_training(True)
        X, y, weight = self.unpack(batch)
        step = self.objective(self.passes_, X, y, weight)
        self.passes_.differentiate(step["loss"])
        return step

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        """Return the cross-entropy, the one loss of a validation batch."""
        y, weight = y_true if isinstance(y_true, (tuple, list)) else (y_true, None)
        y, weight = y.to(self.device), None if weight is None else weight.to(self.device)
        return cross_entropy(y_pred, y, weight)

    def unpack(self, batch):
        """Return X, y and the row weights (None without) of a batch, on the training device."""
        X, y = unpack_data(batch)
        y, weight = y if isinstance(y, (tuple, list)) else (y, None)
        X, y, weight = (None if part is None else part.to(self.device, non_blocking=True) for part in (X, y, weight))
        return X, y, weight

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Train, remembering the weights of the last good epoch."""
        self.good_weights_ = self.copied_weights()
        self.n_whole_epochs_ = len(self.history)
        with labeled_batch_norm(self.module_) as labeled, shared_dropout(self.module_) as copies:
            self.passes_ = self.make_passes(self, labeled, copies)
            try:
                return super().fit_loop(X, y, epochs, **fit_params)
            except KeyboardInterrupt:
                # Between epochs it is how callbacks end training; within one it is the user's.
                if len(self.history) > self.n_whole_epochs_:
                    self._forget_unfinished_epoch()
                raise

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        """Let the objective measure what the network makes of the training rows."""
        super().on_epoch_begin(net, dataset_train=dataset_train, **kwargs)
        self.objective.begin_epoch(self.passes_, dataset_train)

    def on_epoch_end(self, net, **kwargs):
        """Count the epoch as a whole one before any callback may end training."""
        self.n_whole_epochs_ = len(self.history)

    def _forget_unfinished_epoch(self):
        del self.history[-1]
        if len(self.history):  # without a whole epoch nothing is kept
            warnings.warn(
                f"Training was interrupted after {len(self.history)} whole epochs: the network is kept as it stands.",
                stacklevel=2,
            )

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run one epoch and record the mean of each term.

        skorch's own version asks the device for the loss of every batch, which on a GPU waits for all that is queued.
        """
        if iterator is None:
            return
        record, sizes = None, []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            terms = step.pop("terms", {"loss": step["loss"]})
            values = torch.stack([value.detach() for value in terms.values()])
            # One tensor for the epoch: small ones that outlive their batch would keep the memory between them taken.
            record = values.new_empty(len(iterator), len(values)) if record is None else record
            record[len(sizes)] = values
            sizes.append(len(batch[0]))
            self.history.record_batch(f"{prefix}_batch_size", sizes[-1])
            self.notify("on_batch_end", batch=batch, training=training, **step)
        means = _weighted_means(list(terms), record, sizes)
        for name, mean in means.items():
            self.history.record(f"{prefix}_{name}", mean)
        self.history.record(f"{prefix}_loss_best", self._is_lowest(f"{prefix}_loss"))
        self.history.record(f"{prefix}_batch_count", len(sizes))
        if training:
            self._check_finite(means)

    def _is_lowest(self, name):
        """Return whether the last epoch has the lowest mean there was, earlier calls included, as skorch counts."""
        # From the history alone: it is what checkpoints, pickles and calls that fail restore.
        lowest = next((epoch[name] for epoch in reversed(self.history) if epoch.get(f"{name}_best")), math.inf)
        return self.history[-1, name] < lowest

    @contextlib.contextmanager
    def pursuing(self, objective, make_passes=Passes):
        """Have an objective and its passes within this context; a net that is not training holds on to no data."""
        vars(self).update(objective=objective, make_passes=make_passes)
        try:
            yield
        finally:
            self.objective = None
            del self.make_passes

    def epochs(self, start=0):
        """Return what was recorded of each epoch from a number on, a list of dicts."""
        return [{key: value for key, value in epoch.items() if key != "batches"} for epoch in self.history[start:]]

    def copied_weights(self):
        """Return a copy of the state of the network."""
        return {name: value.detach().clone() for name, value in self.module_.state_dict().items()}

    def _check_finite(self, means):
        broken = [name for name, mean in means.items() if not math.isfinite(mean)]
        if not broken and not torch.stack([p.isfinite().all() for p in self.module_.parameters()]).all():
            broken = ["weights"]
        if not broken:
            self.good_weights_ = self.copied_weights()
            return
        self.module_.load_state_dict(self.good_weights_)
        self._forget_optimizer()
        raise NonFiniteLossError(
            f"{broken[0]} became non-finite in epoch {len(self.history)} with lr={self.lr}: lower lr"
            f"{' or smoothness' if 'penalty' in broken or broken == ['loss'] else ''}, or scale X (StandardScaler)."
        )

    @contextlib.contextmanager
    def unchanged_on_failure(self):
        """Give the net its weights and history back if training fails within this context."""
        weights, n_epochs = self.copied_weights(), len(self.history)
        try:
            yield
        except BaseException:
            self.module_.load_state_dict(weights)
            del self.history[n_epochs:]
            self._forget_optimizer()
            raise

    def _forget_optimizer(self):
        # Its running moments may be as broken as the step that failed; training on makes a new one.
        vars(self).pop("optimizer_", None)

    def predicted(self, chunks, reduce):
        """Yield reduced logits of flat rows, chunk by chunk, on the CPU.

        Parameters
        ----------
        chunks : iterable of Tensor of shape (n, n_features)
            As many rows in each as one pass is to hold.
        reduce : callable
            Maps logits to what is wanted of them.
        """
        if self.module_.training:
            self.module_.eval()
        with torch.inference_mode():
            for chunk in chunks:
                yield reduce(self.infer(chunk)).cpu()

    def move_to(self, device):
        """Move the network to a device."""
        self.device = str(device)
        self.module_.to(device)

    def initialize_optimizer(self, *args):
        """Make a new optimizer."""
        self.has_lost_optimizer = False
        return super().initialize_optimizer(*args)

    def twin(self, *, with_optimizer=True):
        """Return a copy that shares nothing with this net, on the same device, and holds on to no data."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        vars(other).update(objective=None, callbacks=[], callbacks_=[], example=None, history_=copy.copy(self.history))
        # The generator among them: one of a GPU cannot be unpickled without it.
        for name in ("optimizer_", "passes_", "good_weights_", "iterator_train__generator"):
            vars(other).pop(name, None)
        parts = {"module_": getattr(self.module_, "_orig_mod", self.module_)}
        if with_optimizer and hasattr(self, "optimizer_"):
            parts["optimizer_"] = self.optimizer_
        vars(other).update(copy.deepcopy(parts))  # at once: the optimizer is to hold the parameters of the copy
        return other

    def without_training_state(self):
        """Return a copy for predicting, without an optimizer, on the CPU."""
        other = self.twin(with_optimizer=False)
        other.move_to("cpu")
        return other


def _weighted_means(names, record, sizes):
    """Return the mean of each term over batches, in one transfer from the device."""
    sizes = torch.tensor(sizes, dtype=torch.float64)
    means = sizes @ record[: len(sizes)].cpu().double() / sizes.sum()  # in this order: not every device has float64
    return dict(zip(names, means.tolist(), strict=True))
