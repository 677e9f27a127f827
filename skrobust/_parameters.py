"""What the parameters of the estimator may be, as scikit-learn declares it."""

import os
from numbers import Integral, Real

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from skrobust._schedules import SCHEDULES

# What has no validation here is resolved by the module that owns it, with an error of its own.
CONSTRAINTS = {
    "module": [str, callable],
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "image_shape": ["array-like", None],
    "smoothness": [Interval(Real, 0, None, closed="left")],
    "n_unlabeled": [Interval(Real, 0, None, closed="left")],
    "unlabeled_radius": [Interval(Real, 0, None, closed="neither")],
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "neighbor_radius": [Interval(Real, 0, None, closed="neither")],
    "unlabeled": "no_validation",
    "neighbors": "no_validation",
    "penalty": "no_validation",
    "adversary": "no_validation",
    "noise_layer": [str, None],
    "augmentation": "no_validation",
    "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    "mixup": [Interval(Real, 0, None, closed="left")],
    "unlabeled_label": [Real, str, None],
    "max_epochs": [Interval(Integral, 1, None, closed="left")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "lr_schedule": [StrOptions(set(SCHEDULES))],
    "optimizer": [str, callable],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "scoring": [str, callable, None],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "validation_every": [Interval(Integral, 1, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "callbacks": [list, tuple, None],
    "checkpoint_dir": [str, os.PathLike, None],
    "checkpoint_every": [Interval(Integral, 1, None, closed="left")],
    "device": [str, torch.device],
    "dtype": [StrOptions({"auto", "float32", "float64", "bfloat16"})],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    "accelerator": "no_validation",
    "random_state": ["random_state"],
    "noise_units": [StrOptions({"global", "std"})],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "net_params": [dict, None],
}
