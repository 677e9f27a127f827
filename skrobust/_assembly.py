"""From an estimator's parameters and checked data to the objective of training."""

import torch

from skrobust._net_params import checked_net_params
from skrobust._objective import CLEAN, INPUT_SPACE, Attacked, CrossEntropy, OffSupport, check_points
from skrobust._preparation import Augmented, make_preparation
from skrobust._space import LayerSpace
from skrobust.adversary import resolve_adversary
from skrobust.penalties import ALL, Neighborhood, resolve_neighbors, resolve_penalty
from skrobust.unlabeled import FromGenerator, Mixture, Pool, Support, prepared_sampler, resolve_sampler


def make_objective(estimator, place, moments, data, n_classes, seed):
    """Return the objective that an estimator's parameters describe (see :mod:`skrobust._objective`)."""
    penalty, adversary = resolve_penalty(estimator.penalty), resolve_adversary(estimator.adversary)
    unlabeled = resolve_sampler(estimator.unlabeled, parameter="unlabeled")
    neighbors, neighborhood_type = resolve_neighbors(estimator.neighbors)
    generator = place.generator(seed)
    preparation = make_preparation(estimator, data.row_shape, n_classes, generator, seed)
    supervision = _supervision(adversary, data, generator)
    for step in preparation:
        if isinstance(step, Augmented):
            step.check(place.tensor(data.X[:8]))
    if penalty is None or estimator.smoothness == 0:
        return CrossEntropy(supervision=supervision, preparation=preparation)
    space, support = _space(estimator, place, moments, data, unlabeled)
    n_rows, n_features = data.X.shape
    unlabeled, neighbors = (prepared_sampler(s, place.tensor, n_features, seed) for s in (unlabeled, neighbors))
    sampler, radius = _with_pool(unlabeled, place, data), estimator.neighbor_radius
    kinds = _kinds(penalty, estimator, sampler, adversary)
    if neighborhood_type is Neighborhood:
        rows = place.tensor(data.X[:8])
        drawn = neighbors.sample(rows, _input_support(estimator, place, moments), radius, place.generator(seed))
        check_points(drawn, rows, neighbors, parameter="neighbors")
    batch_size = checked_net_params(estimator).get("iterator_train__batch_size", estimator.batch_size)
    return OffSupport(
        supervision=supervision,
        preparation=preparation,
        weight=estimator.smoothness,
        penalty=penalty,
        neighborhood=neighborhood_type(neighbors, estimator.n_neighbors, radius, support, generator),
        sampler=sampler,
        generated=unlabeled if space is INPUT_SPACE else None,
        n_unlabeled=estimator.n_unlabeled if "unlabeled" in kinds else 0,
        radius=estimator.unlabeled_radius,
        support=support,
        generator=generator,
        projection=torch.randn(n_features, generator=generator, device=place.device, dtype=place.float_type),
        full_batch=batch_size if n_rows <= batch_size else None,
        kinds=kinds,
        space=space,
        uses_noise=space is INPUT_SPACE,
    )


def _space(estimator, place, moments, data, unlabeled):
    """Return the space in which the penalty acts, and what is known of the data there.

    Raises
    ------
    ValueError
        If it is a layer, but unlabeled points are given as rows.
    """
    if estimator.noise_layer is None:
        return INPUT_SPACE, _input_support(estimator, place, moments)
    if data.X_unlabeled is not None or isinstance(unlabeled, FromGenerator):
        raise ValueError(
            f"noise_layer={estimator.noise_layer!r} makes unlabeled points in the activations of a layer, where given "
            "or generated rows have no place: leave out unlabeled rows and generators, or set noise_layer=None."
        )
    space = LayerSpace(estimator.noise_layer, estimator.noise_units)
    return space, space.support


def _input_support(estimator, place, moments):
    """Return what is known of the rows."""
    return Support.from_moments(moments, noise_units=estimator.noise_units, dtype=place.float_type, device=place.device)


def _supervision(adversary, data, generator):
    """Return the supervision by labeled rows, and by what an adversary makes of them if there is one."""
    if adversary is None:
        return CLEAN
    if hasattr(adversary, "check"):
        adversary.check(data.X.shape[1])
    return Attacked(adversary, generator)


def _with_pool(sampler, place, data):
    """Return a sampler that also draws from the user's own unlabeled rows, if there are any."""
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
