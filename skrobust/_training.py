"""From an estimator's parameters and checked data to a trained net."""

import contextlib
import copy
import dataclasses
import inspect
import math
import typing

import numpy as np
import torch
from skorch.callbacks import Callback, EpochTimer, LRScheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from skrobust._assembly import Setting, make_objective, warn_about_unused
from skrobust._callbacks import EpochLog, TrainingProgress, ValidationStop
from skrobust._checkpoint import Checkpoints, make_checkpoints
from skrobust._held_out import split_validation, validation_score
from skrobust._labels import check_two_classes, class_weighted, encode_labels
from skrobust._net import NonFiniteLossError, OffSupportNet, Passes
from skrobust._net_params import checked_net_params
from skrobust._outcome import warn_about_flatness
from skrobust._parallel import processes_of
from skrobust._runtime import (
    InTurns,
    fits_on_device,
    isolated_random_state,
    limited_threads,
    random_stream,
    resolve_dtype,
)
from skrobust._schedules import SCHEDULES, WARM_UPS, LearningRate
from skrobust._trial import try_out
from skrobust._validation import warn_about_spread
from skrobust.data import Rows, shared_view

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


class Seeds(typing.NamedTuple):
    """Independent seeds for each use of randomness in one call."""

    network: int
    order: int
    noise: int
    split: int
    support: int


@dataclasses.dataclass(frozen=True)
class Run:
    """How one call trains.

    Parameters
    ----------
    n_epochs : int
    schedule : str
        Name of the learning-rate schedule.
    is_partial : bool, default=False
        Whether this is one of several calls that see the data in chunks: the optimizer goes on, nothing is held out.
    """

    n_epochs: int
    schedule: str
    is_partial: bool = False


PARTIAL_FIT = Run(n_epochs=1, schedule="constant", is_partial=True)


def train(estimator, run, data, classes, moments, net, random_state):
    """Train the net of an estimator, new or given, and set the fitted attributes.

    Parameters
    ----------
    estimator : OffSupportRobustClassifier
    run : Run
    data : skrobust._validation.TrainingData
    classes : ndarray of shape (n_classes,)
    moments : skrobust.data.Moments
        Of the labeled rows, also those of earlier chunks.
    net : OffSupportNet or None
        The net to go on from.
    random_state : RandomState
    """
    check_two_classes(classes)
    codes = encode_labels(data.y, classes)
    weight = class_weighted(data.weight, estimator.class_weight, classes, codes)
    processes = processes_of(estimator.accelerator)
    seeds = processes.seeds(Seeds(*random_state.randint(2**31 - 1, size=len(Seeds._fields)).tolist()))
    place = Place.of(estimator, processes, data.X.dtype, net)
    place.check_range(moments)
    processes.check_same(estimator, data, place.device, net)
    checkpoints = processes.checkpoints(make_checkpoints(estimator, run, data, place.device, net, seeds))
    seeds = seeds if checkpoints is None else Seeds(*checkpoints.seeds)
    fitting, held_out = split_validation(run, estimator, codes, seeds.split)
    setting = Setting(estimator, place, moments, data, len(classes), seeds.noise, fitting)
    objective, net = _objective_and_net(setting, net, run, seeds.network)
    processes.agree_on(net.module_)
    vars(estimator).update(classes_=classes, net_=net, _moments=moments)
    _measure_support(estimator, run, objective, place, data, seeds.support)
    rows, valid_rows = (place.rows(data.X, codes, weight, part) for part in (fitting, held_out))
    score = processes.score(validation_score(estimator, data, weight, held_out))
    verbose = estimator.verbose if processes.is_main else 0
    n_batches = len(net.get_iterator(rows, training=True))
    callbacks = make_callbacks(estimator, run, n_batches, score, checkpoints, verbose)
    with _recorded(estimator, net, checkpoints):
        settings = {"n_epochs": run.n_epochs, "seed": seeds.order, "n_threads": estimator.n_threads}
        run_epochs(net, objective, rows, valid_rows, callbacks, make_passes=processes.passes, **settings)
    if processes.is_main and not run.is_partial:
        warn_about_flatness(estimator, net, rows, n_batches)


def _objective_and_net(setting, net, run, seed):
    """Return what is minimized and the net that it is minimized for; warn of what cannot help either."""
    estimator, data, place = setting.estimator, setting.data, setting.place
    objective = make_objective(setting)
    if estimator.noise_units == "global" and objective.uses_noise and data.row_shape is None:
        warn_about_spread(setting.moments.std)
    is_new = net is None
    with isolated_random_state(place.device, seed):
        net = prepared_net(net, run, estimator, place, data, setting.n_classes)
        if is_new:
            try_out(estimator, objective, net, setting.example)
    warn_about_unused(estimator, data, objective, net.module_)
    return objective, net


def _measure_support(estimator, run, objective, place, data, seed):
    """Set what the data say of their support; of a stream of chunks, the first tells what is generated."""
    estimator.data_scale_ = estimator._moments.data_scale
    known = getattr(estimator, "off_support_fraction_", math.nan)
    if not run.is_partial or math.isnan(known):  # a chunk of one row does not tell
        generator = place.generator(seed)
        estimator.off_support_fraction_ = objective.off_support_fraction(place.tensor, data.X, generator)


@contextlib.contextmanager
def _recorded(estimator, net, checkpoints):
    """Set what is known of the epochs; if they fail, say what is left and what can be done."""
    n_epochs_before = len(net.history)
    try:
        yield
    except Exception as error:
        failed = max(len(net.history), n_epochs_before + 1)
        is_fitted = isinstance(error, NonFiniteLossError) and failed > n_epochs_before + 1
        if is_fitted:
            error.is_fitted = True
        left = f"has the weights after epoch {failed - 1}" if is_fitted else "is as it was before the call"
        error.add_note(f"Training failed in epoch {failed}: the classifier {left}.")
        n_kept = getattr(checkpoints, "n_kept_", 0)
        if n_kept:
            error.add_note(
                f"checkpoint_dir={str(estimator.checkpoint_dir)!r} keeps the state after epoch {n_kept}: once the "
                "cause is mended, the same call goes on from there."
            )
        raise
    finally:
        # Of a long stream of chunks, not all epochs anew in each call.
        known = vars(estimator).get("history_", [])[: len(net.history)]
        known = known if checkpoints is None and len(known) == n_epochs_before else []
        estimator.history_ = [*known, *net.epochs(len(known))]
        estimator.n_iter_ = len(estimator.history_)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where tensors live and of which type they are.

    Parameters
    ----------
    device : torch.device
    float_type : torch.dtype
    """

    device: torch.device
    float_type: torch.dtype

    @classmethod
    def of(cls, estimator, processes, data_dtype, net):
        """Return where an estimator is to train; a net that there is already keeps its type."""
        device = processes.device(estimator.device)
        return cls(device, resolve_dtype(estimator.dtype, data_dtype, device) if net is None else net.float_type)

    def check_range(self, moments):
        """Raise a ValueError if rows with these moments have values that the type does not hold."""
        largest = max(np.abs(moments.low).max(), np.abs(moments.high).max())
        if largest > torch.finfo(self.float_type).max:
            raise ValueError(
                f"X has values up to {largest:.3g}, more than {self.float_type} holds: scale it (StandardScaler), or "
                "use dtype='float64'."
            )

    def tensor(self, array):
        """Return an array as a tensor on the device."""
        return as_tensor(array, self.float_type).to(self.device)

    def kept(self, array):
        """Return an array as a tensor, on the device if it fits there and in main memory, or on disk, if not.

        It may be the memory of the array: nobody may write to it.
        """
        rows = as_tensor(array if array.flags.writeable else shared_view(array), self.float_type)
        return rows.to(self.device) if fits_on_device(rows.nbytes, self.device) else rows

    def rows(self, X, codes, weight, part):
        """Return the labeled rows that an index chooses, all of them where X is kept; None for None."""
        if part is None:
            return None
        X = self.kept(X[part])
        weight = None if weight is None else as_tensor(weight[part], self.float_type).to(X.device)
        return Rows(X, torch.from_numpy(codes[part]).to(X.device), weight)

    def generator(self, seed):
        """Return a random generator on the device."""
        return torch.Generator(device=self.device).manual_seed(seed)


def as_tensor(array, float_type):
    """Return an array as a tensor, without a copy where that is safe.

    Read-only rows, as joblib hands them to its workers, are copied: torch cannot express that nobody may write to them.
    """
    array = array if array.flags.writeable else array.copy()
    return torch.from_numpy(np.ascontiguousarray(array)).to(float_type)


def prepared_net(net, run, estimator, place, data, n_classes):
    """Return a net that is ready to train: a new one, or the given one on its device with its optimizer."""
    if net is None:
        return _make_net(estimator, place, data, n_classes).initialize()
    settings = _training_settings(estimator)
    for name in [name for name in vars(net) if "__" in name.strip("_") and not _shapes_network(name)]:
        del vars(net)[name]  # of an earlier optimizer, say
    vars(net).update(settings)
    net.move_to(place.device)
    if not (run.is_partial and type(getattr(net, "optimizer_", None)) is net.optimizer):
        return net.initialize_optimizer()
    _set_anew(net)
    return net


def _set_anew(net):
    """Have an optimizer go on with the settings of now, in which groups of parameters may have their own."""
    (groups,), settings = net.get_params_for_optimizer("optimizer", net.get_all_learnable_params())
    for group, own in zip(net.optimizer_.param_groups, groups, strict=True):
        group.update(settings | {name: value for name, value in own.items() if name != "params"})


def _make_net(estimator, place, data, n_classes):
    sizes = {
        "n_features": data.X.shape[1],
        "n_classes": n_classes,
        "image_shape": data.row_shape,
        "hidden_layer_sizes": _widths(estimator.hidden_layer_sizes),
    }
    return OffSupportNet(
        estimator.module,
        sizes=sizes,
        # Copies of one row would do for the shapes, but batch normalization and constant rows make poor tests.
        example=as_tensor(data.X[:8].copy(), place.float_type),
        row_shape=data.row_shape,
        float_type=place.float_type,
        autocast=estimator.dtype == "bfloat16",
        classes=np.arange(n_classes),
        device=str(place.device),
        **_training_settings(estimator),
        **{name: value for name, value in checked_net_params(estimator).items() if _shapes_network(name)},
    )


def _training_settings(estimator):
    """Return skorch's parameters of how a network trains; the others shape it and hold until it is made anew."""
    own = {name: value for name, value in checked_net_params(estimator).items() if not _shapes_network(name)}
    lr_and_size = {"lr": estimator.lr, "batch_size": estimator.batch_size, "iterator_train__shuffle": True}
    return {**lr_and_size, **_optimizer_params(estimator), **own}


def _shapes_network(name):
    return name.split("__")[0] in ("module", "compile")


def _widths(hidden_layer_sizes):
    widths = np.atleast_1d(hidden_layer_sizes).tolist()
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise ValueError(
            f"hidden_layer_sizes={hidden_layer_sizes!r} must be positive integers, one for each hidden layer; () has "
            "no hidden layer."
        )
    return tuple(widths)


def _optimizer_params(estimator):
    """Return skorch's parameters for the optimizer; the fused variant where torch has one."""
    optimizer = OPTIMIZERS.get(estimator.optimizer, estimator.optimizer)
    if not (isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer)):
        raise ValueError(
            f"optimizer={estimator.optimizer!r} is unknown: use one of {sorted(OPTIMIZERS)} or a class of torch.optim."
        )
    params = {"optimizer": optimizer}
    accepted = inspect.signature(optimizer).parameters
    if "weight_decay" in accepted:
        params["optimizer__weight_decay"] = estimator.weight_decay
    if optimizer in OPTIMIZERS.values() and "fused" in accepted:
        # False, not left out: in later chunks it also reaches the groups of an optimizer that is there already.
        params["optimizer__fused"] = not checked_net_params(estimator).get("optimizer__foreach")
    if optimizer is torch.optim.SGD:
        params["optimizer__momentum"] = 0.9
    return params


def make_callbacks(estimator, run, n_batches, validation_score, checkpoints, verbose):
    """Return the callbacks of one call of fit or partial_fit, the user's own among them, checkpoints last."""
    callbacks = [
        ("timer", EpochTimer()),
        ("learning_rate", LearningRate(SCHEDULES[run.schedule], run.n_epochs * n_batches)),
    ]
    if validation_score is not None:
        n_warm_up = round(WARM_UPS.get(run.schedule, 0.0) * run.n_epochs)
        stop = ValidationStop(
            validation_score,
            estimator.tol,
            estimator.n_iter_no_change,
            run.n_epochs,
            estimator.validation_every,
            n_warm_up,
        )
        callbacks.append(("validation_stop", stop))
    callbacks += [_copied_callback(callback, run.schedule) for callback in estimator.callbacks or []]
    if verbose == 1:
        callbacks.append(("progress", TrainingProgress(run.n_epochs)))
    if verbose > 1:
        callbacks.append(("log", EpochLog(["valid_score"] if validation_score is not None else [])))
    return callbacks if checkpoints is None else [*callbacks, ("checkpoints", checkpoints)]


def _copied_callback(callback, schedule):
    named = callback[-1] if isinstance(callback, tuple) and len(callback) == 2 else callback
    kind = named if isinstance(named, type) else type(named)
    if not issubclass(kind, Callback):
        raise ValueError(
            f"callbacks has {callback!r}, which is not a callback: use instances or classes derived from "
            "skorch.callbacks.Callback, or pairs (name, callback)."
        )
    if issubclass(kind, LRScheduler) and schedule != "constant":
        raise ValueError(
            f"callbacks has an LRScheduler, but lr_schedule={schedule!r} sets the learning rate: set "
            "lr_schedule='constant'."
        )
    return copy.deepcopy(callback)


def run_epochs(net, objective, rows, valid_rows, callbacks, *, n_epochs, seed, n_threads=None, make_passes=Passes):
    """Train a net for some epochs; a KeyboardInterrupt ends training early and leaves the net usable.

    Raises
    ------
    NonFiniteLossError
        If the loss becomes NaN or infinite; the net then has the weights of the last good epoch.
    """
    device = torch.device(net.device)
    generator = torch.Generator(device=rows.X.device).manual_seed(seed)
    threads = limited_threads(net.module_, device, n_threads)
    with random_stream(device, seed) as stream, threads, net.pursuing(InTurns(objective, stream), make_passes):
        vars(net).update(iterator_train__generator=generator, max_epochs=n_epochs, callbacks=callbacks)
        net.initialize_callbacks()
        _check_callback_names(net)
        _begin_schedules_anew(net)
        try:
            net.partial_fit((rows, valid_rows))
        finally:
            for _, callback in net.callbacks_:
                if isinstance(callback, (TrainingProgress, Checkpoints)):
                    callback.close()
        if not len(net.history):
            raise KeyboardInterrupt


def _check_callback_names(net):
    names = {name for name, _ in net.callbacks_}
    for key, value in vars(net).items():
        prefix, _, rest = key.partition("__")
        if prefix == "callbacks" and rest and value is not None and rest.split("__")[0] not in names:
            raise ValueError(f"{key} in net_params names no callback: use one of {sorted(names)}, or add to callbacks.")


def _begin_schedules_anew(net):
    """Have schedulers of the user count the epochs of this call alone: by itself, skorch goes on from earlier ones."""
    for _, callback in net.callbacks_:
        if isinstance(callback, LRScheduler) and callback.policy_ is not ReduceLROnPlateau:
            vars(callback).setdefault("last_epoch", -1)
