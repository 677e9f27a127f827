"""The one place that imports ART: white-box attacks on a torch module."""

import contextlib
import dataclasses
import functools
import os
import sys
import tempfile
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, validate_parameter_constraints

from skrobust._runtime import limited_threads

POSITIVE = [Interval(Integral, 1, None, closed="left")]
# ART's own default of 32 rows makes an attack several times slower.
BATCH_SIZE = 1024
N_STEPS_PER_EPS = 8


@dataclasses.dataclass(frozen=True)
class ArtAttack:
    """An attack of ART and the parameters of it that users may set.

    Parameters
    ----------
    name : str
        Class in art.attacks.evasion.
    defaults : dict
    constraints : dict
        As in scikit-learn's parameter validation.
    fixed : dict
    """

    name: str
    defaults: dict
    constraints: dict
    fixed: dict


ATTACKS = {
    "fgsm": ArtAttack(
        "FastGradientMethod",
        defaults={"num_random_init": 0, "batch_size": BATCH_SIZE},
        constraints={"num_random_init": [Interval(Integral, 0, None, closed="left")], "batch_size": POSITIVE},
        fixed={"targeted": False},
    ),
    "pgd": ArtAttack(
        "ProjectedGradientDescent",
        defaults={"max_iter": 20, "eps_step": None, "num_random_init": 1, "decay": None, "batch_size": BATCH_SIZE},
        constraints={
            "max_iter": POSITIVE,
            "eps_step": [Interval(Real, 0, None, closed="neither"), None],
            "num_random_init": [Interval(Integral, 0, None, closed="left")],
            "decay": [Interval(Real, 0, None, closed="left"), None],
            "batch_size": POSITIVE,
        },
        fixed={"targeted": False, "verbose": False},
    ),
}


def check_attack(attack, params):
    """Return the attack of that name, after a check of its parameters.

    Parameters
    ----------
    attack : str
    params : dict

    Returns
    -------
    attack : ArtAttack

    Raises
    ------
    ValueError
        If the attack is unknown or a parameter is out of its range.
    TypeError
        If it has no such parameter.
    """
    if attack not in ATTACKS:
        raise ValueError(f"attack={attack!r} is unknown: use one of {sorted(ATTACKS)}.")
    known = ATTACKS[attack]
    unknown = sorted(set(params) - set(known.defaults))
    if unknown:
        raise TypeError(
            f"attack={attack!r} has no parameter {unknown[0]!r}: it has {sorted(known.defaults)}; eps, norm and bounds "
            "belong to threat_model."
        )
    validate_parameter_constraints(known.constraints, params, caller_name="find_adversarial")
    return known


def run_attack(attack, module, rows, codes, threat_model, *, seed, params):
    """Return what an attack of ART makes of rows.

    Parameters
    ----------
    attack : ArtAttack
    module : torch.nn.Module
        Maps rows to logits.
    rows : ndarray of shape (n, n_features)
    codes : ndarray of shape (n,)
        Class indices.
    threat_model : ThreatModel
        With a positive eps.
    seed : int
    params : dict
        Parameters of the attack that are not to have their default value; ``eps_step`` in the units of X.

    Returns
    -------
    change : ndarray of shape (n, n_features)
        What is to be added to the rows, in float64; the threat model holds up to rounding.
    n_passes : int
        How often the module was evaluated for each row.
    """
    evasion, classification = _import_art()
    surface = InUnitsOfEps(module, rows.min(axis=0) / 2 + rows.max(axis=0) / 2, threat_model.eps)
    start = surface.coordinates(rows)
    classifier = classification.PyTorchClassifier(
        surface,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=rows.shape[1:],
        nb_classes=surface.n_classes(start),
        clip_values=_clip_values(surface, threat_model.bounds, rows.shape[1]),
        preprocessing=None,
        device_type="gpu" if surface.center.is_cuda else "cpu",
    )
    params = _in_units_of_eps({**attack.defaults, **attack.fixed, **params}, threat_model.eps)
    runner = getattr(evasion, attack.name)(classifier, norm=threat_model.norm, eps=1.0, **params)
    surface.n_rows = 0
    with _seeded(seed), limited_threads(module, surface.center.device):
        end = runner.generate(start, np.eye(classifier.nb_classes)[codes])
    return (end.astype(np.float64) - start) * threat_model.eps, surface.n_rows // len(rows)


class InUnitsOfEps(torch.nn.Module):
    """A module in coordinates of which the center of the data is the origin and eps the unit.

    ART computes in float32. On data near 1e4 with an eps of 1e-3 that would round away the attack.
    """

    def __init__(self, module, center, eps):
        super().__init__()
        self.module = module
        self.eps = eps
        self.n_rows = 0
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64, device=device_of(module)))

    def forward(self, Z):
        """Return the logits at coordinates of shape (n, n_features)."""
        self.n_rows += len(Z)
        return self.module(self.center + self.eps * _EvenGradient.apply(Z))

    def coordinates(self, rows):
        """Return rows of X, or bounds of features, in these coordinates, as ART wants them."""
        return ((rows - self.center.cpu().numpy()) / self.eps).astype(np.float32)

    def n_classes(self, start):
        """Return the number of logits."""
        with torch.no_grad():
            return self(torch.from_numpy(start[:1]).to(self.center.device)).shape[1]


def device_of(module):
    """Return the device of a module; the CPU if it has no tensors."""
    return next((tensor.device for tensor in [*module.parameters(), *module.buffers()]), torch.device("cpu"))


class _EvenGradient(torch.autograd.Function):
    """float64 values of float32 rows, and gradients brought to the size 1 in every row.

    The gradient of the cross-entropy of a confident network is too small for float32: it would vanish, and the network
    would seem robust. Its direction is all that the attacks use.
    """

    @staticmethod
    def forward(ctx, Z):
        return Z.double()

    @staticmethod
    def backward(ctx, gradient):
        size = gradient.abs().amax(dim=1, keepdim=True)
        return (gradient / size.where(size > 0, 1.0)).float()


def _clip_values(surface, bounds, n_features):
    if bounds is None:
        return None
    low, high = (surface.coordinates(np.broadcast_to(side, n_features)) for side in bounds)
    # ART refuses a feature that has but one value.
    return low, np.maximum(high, np.nextafter(low, np.float32(np.inf)))


def _in_units_of_eps(params, eps):
    """Return parameters with a step in units of eps; without one it is an eighth."""
    if "eps_step" not in params:
        return params
    step = params["eps_step"]
    return {**params, "eps_step": 1 / N_STEPS_PER_EPS if step is None else step / eps}


@contextlib.contextmanager
def _seeded(seed):
    """Seed the generators that ART and its data loader draw from, and leave them as they were found."""
    state = np.random.get_state()  # noqa: NPY002  ART draws from this one
    np.random.seed(seed)  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@functools.cache
def _import_art():
    """Return art.attacks.evasion and art.estimators.classification."""
    folder = os.path.join(os.path.expanduser("~"), ".art")
    if "art" in sys.modules or os.path.exists(os.path.join(folder, "config.json")):
        return _import_modules()
    # ART writes a folder into the home of the user when it is imported. Let that be another one.
    with tempfile.TemporaryDirectory() as home, _environment(HOME=home, USERPROFILE=home):
        modules = _import_modules()
    sys.modules["art.config"].ART_DATA_PATH = os.path.join(folder, "data")
    return modules


def _import_modules():
    from art.attacks import evasion
    from art.estimators import classification

    return evasion, classification


@contextlib.contextmanager
def _environment(**variables):
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
