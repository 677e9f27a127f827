"""From an estimator's parameters and checked data to the objective of training."""

import dataclasses
import warnings

import torch

from skrobust._net_params import checked_net_params
from skrobust._objective import CLEAN, INPUT_SPACE, Attacked, CrossEntropy, OffSupport
from skrobust._points import check_finite
from skrobust._preparation import make_preparation
from skrobust._space import LayerSpace, check_layer
from skrobust.adversary import resolve_adversary
from skrobust.penalties import ALL, Neighborhood, resolve_neighbors, resolve_penalty
from skrobust.unlabeled import Extrapolation, FromGenerator, Mixture, Pool, Support, prepared_sampler, resolve_sampler

# Anchors that are drawn if all rows fit into one batch, unless there are more rows than that: a batch_size that only
# says "all rows", such as 10**9, must not ask for as many points.
MOST_ANCHORS = 4096


@dataclasses.dataclass(frozen=True)
class Setting:
    """What an objective is made from.

    Parameters
    ----------
    estimator : OffSupportRobustClassifier
    place : skrobust._training.Place
    moments : skrobust.data.Moments
        Of the labeled rows.
    data : skrobust._validation.TrainingData
    n_classes : int
    seed : int
    fitting : slice or ndarray of int
        Which labeled rows are trained on; the others are held out.
    """

    estimator: object
    place: object
    moments: object
    data: object
    n_classes: int
    seed: int
    fitting: object

    @property
    def n_rows(self):
        """Number of labeled rows that are trained on."""
        n_rows = len(self.data.X)
        return len(range(n_rows)[self.fitting] if isinstance(self.fitting, slice) else self.fitting)

    @property
    def example(self):
        """Copies of some rows on the training device, which whoever is tried on them may change."""
        return self.place.tensor(self.data.X[:8].copy())

    def support(self):
        """Return what is known of the rows."""
        return Support.from_moments(
            self.moments,
            noise_units=self.estimator.noise_units,
            dtype=self.place.float_type,
            device=self.place.device,
        )

    def prepared(self, sampler):
        """Return the sampler that this fit is to use."""
        return prepared_sampler(sampler, self.place.tensor, self.data.X.shape[1], self.seed)


def make_objective(setting):
    """Return the objective that the parameters of an estimator describe, see :mod:`skrobust._objective`."""
    estimator = setting.estimator
    penalty, adversary = resolve_penalty(estimator.penalty), resolve_adversary(estimator.adversary)
    unlabeled = resolve_sampler(estimator.unlabeled, parameter="unlabeled")
    neighbors = resolve_neighbors(estimator.neighbors)
    generator = setting.place.generator(setting.seed)
    labeled = {
        "supervision": _supervision(adversary, setting, generator),
        "preparation": make_preparation(estimator, setting, generator),
    }
    if penalty is None or estimator.smoothness == 0:
        return CrossEntropy(**labeled)
    terms = _penalized(setting, penalty, adversary, unlabeled, neighbors, generator)
    return OffSupport(**labeled, **terms, generator=generator)


def _penalized(setting, penalty, adversary, unlabeled, neighbors, generator):
    """Return the penalty, where it acts and around which points, as arguments of the objective."""
    space, support = _space(setting, unlabeled)
    unlabeled = setting.prepared(unlabeled)
    return {
        **_anchors(setting, penalty, adversary, unlabeled, generator),
        "weight": setting.estimator.smoothness,
        "penalty": penalty,
        "neighborhood": _neighborhood(*neighbors, setting, support, generator),
        "generated": unlabeled if space is INPUT_SPACE else None,
        "support": support,
        "space": space,
        "uses_noise": space is INPUT_SPACE,
    }


def warn_about_unused(estimator, data, objective, network):
    """Warn of unlabeled rows, a layer, compilation or pairs of rows that are asked for, but that training cannot use.

    Raises
    ------
    ValueError
        If the layer is none of the network.
    """
    kinds = objective.kinds if isinstance(objective, OffSupport) else ()
    penalty, layer = f"penalty={estimator.penalty!r}, smoothness={estimator.smoothness!r}", estimator.noise_layer
    if data.X_unlabeled is not None and "unlabeled" not in kinds:
        warnings.warn(
            f"X_unlabeled or rows marked by unlabeled_label, {len(data.X_unlabeled)} of them, are not used with "
            f"{penalty}, n_unlabeled={estimator.n_unlabeled!r}: choose a penalty that acts at unlabeled points, "
            "such as 'smoothness', with smoothness and n_unlabeled above 0, or leave the rows out.",
            stacklevel=6,
        )
    if layer is not None and not kinds:
        check_layer(network, layer)
        warnings.warn(
            f"noise_layer={layer!r} is not used with {penalty}: choose a penalty and a smoothness above 0, or set "
            "noise_layer=None.",
            stacklevel=6,
        )
    if layer is not None and kinds and checked_net_params(estimator).get("compile"):
        warnings.warn(
            f"compile=True in net_params is not used in training with noise_layer={layer!r}, which cuts the network: "
            "leave it out, unless predictions alone are worth it.",
            stacklevel=6,
        )
    for unused in _in_want_of_pairs(estimator, kinds) if _batch_size(estimator) == 1 else ():
        warnings.warn(
            f"{unused} has no effect with a batch size of 1, as it needs another row of the batch: raise batch_size.",
            stacklevel=6,
        )


def _in_want_of_pairs(estimator, kinds):
    """Return the parameters of which nothing comes where rows are alone in their batches."""
    samplers = {"unlabeled": estimator.unlabeled} if "unlabeled" in kinds else {}
    if len(kinds) == 1:  # neighbors are made of all anchors of a batch
        samplers["neighbors"] = estimator.neighbors
    pairing = [name for name, sampler in samplers.items() if _goes_beyond_pairs(sampler)]
    return [*(["mixup"] if estimator.mixup else []), *pairing]


def _goes_beyond_pairs(sampler):
    return sampler == "extrapolation" or isinstance(sampler, Extrapolation)


def _batch_size(estimator):
    """Return the number of rows of a batch in training."""
    return checked_net_params(estimator).get("iterator_train__batch_size", estimator.batch_size)


def _anchors(setting, penalty, adversary, unlabeled, generator):
    """Return which anchors there are and where they come from, as arguments of the objective."""
    estimator, place = setting.estimator, setting.place
    sampler = _with_pool(unlabeled, setting)
    kinds = _kinds(penalty, estimator, sampler, adversary)
    n_rows, n_features = setting.n_rows, setting.data.X.shape[1]
    batch_size = _batch_size(estimator)
    return {
        "kinds": kinds,
        "sampler": sampler,
        "n_unlabeled": estimator.n_unlabeled if "unlabeled" in kinds else 0,
        "radius": estimator.unlabeled_radius,
        "full_batch": min(batch_size, max(n_rows, MOST_ANCHORS)) if n_rows <= batch_size else None,
        "projection": torch.randn(n_features, generator=generator, device=place.device, dtype=place.float_type),
    }


def _supervision(adversary, setting, generator):
    """Return the supervision by labeled rows, and by what an adversary makes of them if there is one."""
    if adversary is None:
        return CLEAN
    if hasattr(adversary, "check"):
        adversary.check(setting.data.X.shape[1])
    return Attacked(adversary, generator)


def _neighborhood(neighbors, kind, setting, support, generator):
    """Return the neighborhood of anchors, made by a sampler that keeps its promise."""
    estimator, neighbors = setting.estimator, setting.prepared(neighbors)
    n_neighbors, radius = estimator.n_neighbors, estimator.neighbor_radius
    if kind is Neighborhood:
        trial = kind(neighbors, n_neighbors, radius, setting.support(), setting.place.generator(setting.seed))
        check_finite(trial.sample(setting.example), neighbors, parameter="neighbors")
    return kind(neighbors, n_neighbors, radius, support, generator)


def _space(setting, unlabeled):
    """Return the space in which the penalty acts, and what is known of the data there.

    Raises
    ------
    ValueError
        If it is a layer, but unlabeled points are given as rows.
    """
    layer = setting.estimator.noise_layer
    if layer is None:
        return INPUT_SPACE, setting.support()
    if setting.data.X_unlabeled is not None or isinstance(unlabeled, FromGenerator):
        raise ValueError(
            f"noise_layer={layer!r} makes unlabeled points in the activations of a layer, where given or generated "
            "rows have no place: leave out unlabeled rows and generators, or set noise_layer=None."
        )
    weight = setting.data.weight
    space = LayerSpace(layer, setting.estimator.noise_units, None if weight is None else weight[setting.fitting])
    return space, space.support


def _with_pool(sampler, setting):
    """Return a sampler that also draws from the user's own unlabeled rows, if there are any."""
    data, place = setting.data, setting.place
    if data.X_unlabeled is None:
        return sampler
    weight = None if data.unlabeled_weight is None else place.tensor(data.unlabeled_weight)
    pool = Pool(place.kept(data.X_unlabeled), weight)
    return pool if sampler is None else Mixture([pool, sampler])


def _kinds(penalty, estimator, sampler, adversary):
    """Return the kinds of anchors that there are of those that the penalty acts at, labeled ones first.

    Raises
    ------
    ValueError
        If there are none, or the penalty differentiates twice, which a compiled network cannot.
    """
    wanted = getattr(penalty, "anchors", ALL)
    exists = {
        "labeled": True,
        "adversarial": adversary is not None,
        "unlabeled": sampler is not None and estimator.n_unlabeled > 0,
    }
    kinds = tuple(kind for kind in ALL if kind in wanted and exists[kind])
    if not kinds:
        raise ValueError(
            f"penalty={penalty!r} has none of its anchors {tuple(wanted)}: unlabeled ones need unlabeled and "
            "n_unlabeled above 0, adversarial ones an adversary."
        )
    if getattr(penalty, "differentiates", False) and checked_net_params(estimator).get("compile"):
        raise ValueError(
            f"penalty={penalty!r} differentiates the network twice, which compile=True in net_params cannot: leave "
            "compile out."
        )
    return kinds
