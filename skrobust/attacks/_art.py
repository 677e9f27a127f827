"""The one place that imports ART: its evasion attacks on the rows of a pursuit."""

import contextlib
import functools
import inspect
import os
import random
import sys
import tempfile

import numpy as np
import torch

from skrobust._runtime import isolated_random_state, limited_threads
from skrobust.attacks._axes import unwrapped
from skrobust.attacks._frame import Asked, Frame, InFrame
from skrobust.attacks._leaves import is_tree
from skrobust.attacks._segment import neighbors_of_another_answer

# ART's own default of 1 to 200 rows makes an attack several times slower.
BATCH_SIZE = 1024
N_STEPS_PER_EPS = 8
# What belongs to the threat model, or is not offered.
NOT_TO_SET = ("self", "eps", "norm", "classifier", "estimator", "targeted", "summary_writer")
# Attacks that read nothing but the class of an answer, and those of them that can be told where to start.
ON_ANSWERS = ("BoundaryAttack", "GeoDA", "HopSkipJump", "SignOPTAttack")
WITH_START = ("BoundaryAttack", "HopSkipJump")
# Attacks that press rows through a hyperbolic tangent: at the ends of the bounds they would stand still.
ON_TANH = ("CarliniL2Method", "CarliniLInfMethod")
# Attacks that compute with heights and widths.
ON_IMAGES = (
    "AdversarialPatch",
    "AdversarialPatchNumpy",
    "AdversarialPatchPyTorch",
    "LaserAttack",
    "PixelAttack",
    "ShadowAttack",
    "SimBA",
    "SpatialTransformation",
    "SquareAttack",
    "ThresholdAttack",
    "Wasserstein",
)
GRADIENTS = ("ClassGradientsMixin", "LossGradientsMixin", "NeuralNetworkMixin", "PyTorchEstimator")


def run_art(pursuit, index, radius, rng, *, attack_class, **params):
    """Run an evasion attack of ART, in coordinates that suit it, and offer what it returns.

    Parameters
    ----------
    pursuit : Pursuit
    index : ndarray of int
    radius : float
        Attacks that take an eps get it from here.
    rng : numpy.random.Generator
        Seeds the generators that ART draws from, which are left as they were.
    attack_class : type
        Class of art.attacks.evasion.
    **params : dict
        Parameters of that class, by its names; ``eps_step`` in units of the threat model.

    Raises
    ------
    TypeError
        If the class is no evasion attack or has no such parameter.
    ValueError
        If the attack cannot be run on rows, or on this estimator.
    """
    _check(attack_class, params, pursuit)
    takes_eps = "eps" in _parameters(attack_class)
    if takes_eps and not radius > 0:
        return
    if not len(index):
        return
    frame = Frame.around(pursuit, index, radius if takes_eps and np.isfinite(radius) else None)
    starts = None
    if attack_class.__name__ in WITH_START:
        index, starts = _starts(pursuit, index, frame)
        if not len(index):
            return
    with _seeded(int(rng.integers(2**31))), _few_threads(pursuit):
        found = _generated(pursuit, index, frame, attack_class, params, starts)
    change = (found.astype(np.float64) - frame.coordinates(pursuit.original.rows[index])) * frame.units
    budget = pursuit.budget.take(index).at(radius if takes_eps else np.inf)
    pursuit.offer(index, budget.project(budget.rows + change))
    if not takes_eps:
        pursuit.shrink(index)


def carlini_l2(
    pursuit, index, radius, rng, *, max_iter=60, binary_search_steps=5, learning_rate=0.1, initial_const=1.0
):
    """Carlini and Wagner's attack, with the parameters that ART gives it."""
    params = {"max_iter": max_iter, "binary_search_steps": binary_search_steps, "learning_rate": learning_rate}
    attack_class = _import_art()[0].CarliniL2Method
    run_art(pursuit, index, radius, rng, attack_class=attack_class, initial_const=initial_const, **params)


def hopskipjump(pursuit, index, radius, rng, *, max_iter=10, max_eval=500, init_eval=50):
    """HopSkipJump from the nearest row of another answer: reproducible, and stronger than from a random one."""
    params = {"max_iter": max_iter, "max_eval": max_eval, "init_eval": init_eval}
    run_art(pursuit, index, radius, rng, attack_class=_import_art()[0].HopSkipJump, **params)


def _check(attack_class, params, pursuit):
    """Check that an attack of ART can be run."""
    evasion_attack = _import_art()[2]
    name = getattr(attack_class, "__name__", repr(attack_class))
    if not (inspect.isclass(attack_class) and issubclass(attack_class, evasion_attack)):
        raise TypeError(f"attack={name} is no evasion attack of ART: use a class of art.attacks.evasion, or a name.")
    if name in ON_IMAGES:
        raise ValueError(
            f"attack={name} of ART computes with heights and widths, but rows are vectors here: use 'square', or an "
            "attack on vectors such as HopSkipJump."
        )
    known = sorted(set(_parameters(attack_class)) - set(NOT_TO_SET))
    for param in params:
        if param not in known:
            raise TypeError(
                f"attack={name} has no parameter {param!r}: it has {known}; eps, norm and bounds belong to "
                "threat_model."
            )
    if pursuit.surface is None and _requirements(attack_class) & set(GRADIENTS):
        raise ValueError(
            f"attack={name} needs gradients, but {type(pursuit.original.estimator).__name__} has no torch module: "
            "register a converter with skrobust.torchify.register, or use 'square' or HopSkipJump."
        )


def _parameters(attack_class):
    return inspect.signature(attack_class.__init__).parameters


def _requirements(attack_class):
    """Return the names of the classes that an attack wants its classifier to have."""
    wanted = getattr(attack_class, "_estimator_requirements", None) or ()
    return {part.__name__ for each in wanted for part in (each if isinstance(each, tuple) else (each,))}


def _starts(pursuit, index, frame):
    """Return the rows of which an adversarial row is known, and the coordinates of one: the nearest of another answer.

    From elsewhere ART would start at random, whatever the seed.
    """
    starts = pursuit.nearest[index]
    at = np.full(len(pursuit.distance), -1)
    at[index] = np.arange(len(index))
    some, ends = neighbors_of_another_answer(pursuit, index, 1)
    others = pursuit.original.rows[ends]
    starts[at[some]] = pursuit.budget.take(some).at(np.inf).project(others)
    Z = frame.coordinates(starts)
    keep = pursuit.original.predict(frame.rows(Z, starts.dtype)) != pursuit.original.y[index]
    pursuit.count(index)
    return index[keep], Z[keep]


def _generated(pursuit, index, frame, attack_class, params, starts):
    """Return the coordinates of what an attack makes of rows, and count its questions."""
    rows = pursuit.original.rows[index]
    classifier, n_asked = _classifier(pursuit, frame, attack_class)
    if not attack_class.is_estimator_valid(classifier, attack_class._estimator_requirements):
        raise ValueError(
            f"attack={attack_class.__name__} of ART is made for other classifiers than "
            f"{type(pursuit.original.estimator).__name__}: use an attack by its name, such as 'worst_case'."
        )
    options = {} if starts is None else {"x_adv_init": starts}
    with _explained(attack_class):
        attack = attack_class(classifier, **_filled(pursuit, attack_class, params))
        if _is_for_trees(attack_class):
            # It reads labels as classes to go to.
            return frame.coordinates(attack.generate(rows.astype(np.float64)))
        labels = np.eye(len(pursuit.original.classes))[pursuit.codes[index]]
        start = frame.coordinates(rows)
        start = frame.inside(start) if attack_class.__name__ in ON_TANH else start
        found = attack.generate(start, labels, **options)
    pursuit.count(index, n_asked() // len(index))
    return np.where(np.isfinite(found), found, frame.coordinates(rows))


def follows_gradient(attack_class):
    """Return whether a class, if it is an attack of ART, goes along gradients."""
    return any("Gradients" in name for name in _requirements(attack_class))


def _is_for_trees(attack_class):
    return _requirements(attack_class) == {"ScikitlearnDecisionTreeClassifier"}


@contextlib.contextmanager
def _explained(attack_class):
    """Within this context, what ART stumbles over is one error that names the attack and a way out."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0].rstrip(".")
        raise ValueError(
            f"attack={attack_class.__name__} of ART cannot be run here ({reason}): mend its parameters, or use an "
            "attack by its name, such as 'worst_case'."
        ) from error


def _filled(pursuit, attack_class, params):
    """Return the parameters that an attack is made with."""
    norm = pursuit.budget.norm
    # HopSkipJump has no sum of absolute changes.
    norm = 2 if norm == 1 and attack_class.__name__ == "HopSkipJump" else norm
    filled = {"norm": norm, "eps": 1.0, "targeted": False, "verbose": False, "batch_size": BATCH_SIZE}
    if "eps_step" in _parameters(attack_class) and "minimal" not in _parameters(attack_class):
        filled["eps_step"] = 1 / N_STEPS_PER_EPS
    if params.get("eps_step"):
        params = {**params, "eps_step": params["eps_step"] / pursuit.budget.radius}
    given = {name: value for name, value in params.items() if not (name == "eps_step" and value is None)}
    if attack_class.__name__ == "ZooAttack":
        # What it needs for vectors.
        filled.update(batch_size=1, nb_parallel=1, use_resize=False, use_importance=False)
    return {**{name: value for name, value in filled.items() if name in _parameters(attack_class)}, **given}


def _classifier(pursuit, frame, attack_class):
    """Return the classifier of ART that an attack is run on, and a function that tells how many rows it was asked."""
    classification = _import_art()[1]
    if _is_for_trees(attack_class) and is_tree(unwrapped(pursuit.original.estimator)):
        tree = unwrapped(pursuit.original.estimator)
        return classification.scikitlearn.ScikitlearnDecisionTreeClassifier(tree), lambda: 0
    if pursuit.surface is None or attack_class.__name__ in ON_ANSWERS:
        return _black_box(classification, pursuit, frame, attack_class)
    return _white_box(classification, pursuit, frame, attack_class)


def _black_box(classification, pursuit, frame, attack_class):
    has_scores = attack_class.__name__ not in ON_ANSWERS and pursuit.original.has_scores
    asked = Asked(pursuit.original, frame, has_scores=has_scores)
    shape, n_classes = pursuit.original.rows.shape[1:], len(pursuit.original.classes)
    ends = _ends(frame, attack_class)
    return classification.BlackBoxClassifier(asked, shape, n_classes, clip_values=ends), lambda: asked.n_rows


def _white_box(classification, pursuit, frame, attack_class):
    has_even_gradient = "ClassGradientsMixin" not in _requirements(attack_class)
    module = InFrame(pursuit.surface, frame, has_even_gradient=has_even_gradient)
    classifier = classification.PyTorchClassifier(
        module,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=pursuit.original.rows.shape[1:],
        nb_classes=len(pursuit.original.classes),
        clip_values=_ends(frame, attack_class),
        preprocessing=None,
        device_type="gpu" if module.center.is_cuda else "cpu",
    )
    return classifier, lambda: module.n_rows


def _ends(frame, attack_class):
    """Return the bounds that an attack of ART is told."""
    if attack_class.__name__ == "ZooAttack" and frame.ends is not None:
        # It moves one feature at a time, and takes bounds for those of one.
        return frame.ends[0].min(), frame.ends[1].max()
    return frame.ends


@contextlib.contextmanager
def _seeded(seed):
    """Seed the generators that ART and its data loader draw from, and leave them as they were found."""
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002  ART draws from these
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        with isolated_random_state(torch.device("cpu"), seed):
            yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)


def _few_threads(pursuit):
    surface = pursuit.surface
    return contextlib.nullcontext() if surface is None else limited_threads(surface.module, surface.device)


@functools.cache
def _import_art():
    """Return art.attacks.evasion, art.estimators.classification, and the class of evasion attacks."""
    folder = os.path.join(os.path.expanduser("~"), ".art")
    if "art" in sys.modules or os.path.exists(os.path.join(folder, "config.json")):
        return _import_modules()
    # ART writes a folder into the home of the user when it is imported. Let that be another one.
    with tempfile.TemporaryDirectory() as home, _environment(HOME=home, USERPROFILE=home):
        modules = _import_modules()
    sys.modules["art.config"].ART_DATA_PATH = os.path.join(folder, "data")
    return modules


def _import_modules():
    from art.attacks import EvasionAttack, evasion
    from art.estimators import classification

    return evasion, classification, EvasionAttack


@contextlib.contextmanager
def _environment(**variables):
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
