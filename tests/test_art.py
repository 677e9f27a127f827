"""ART's attacks run on any estimator, count only what holds, and leave everything as they found it."""

import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from test_black_box import attacked, pursuit_of, robust

from skrobust import ThreatModel
from skrobust.attacks._art import _import_art, carlini_l2, hopskipjump, run_art
from skrobust.attacks._minimum import minimum_norm
from skrobust.attacks._search import noise
from skrobust.attacks._segment import nearest_other
from skrobust.attacks._trees import decision_tree

EPS = {np.inf: 2.0, 2: 9.0, 1: 40.0}
WHITE_BOX = {
    "ProjectedGradientDescent": {"max_iter": 10, "eps_step": 0.5},
    "FastGradientMethod": {},
    "BasicIterativeMethod": {"max_iter": 10},
    "MomentumIterativeMethod": {"max_iter": 10, "eps_step": None},
    "AutoProjectedGradientDescent": {"max_iter": 5, "nb_random_init": 1, "loss_type": "cross_entropy"},
    "DeepFool": {"max_iter": 10},
    "CarliniL2Method": {"max_iter": 20, "binary_search_steps": 3, "learning_rate": 0.1, "initial_const": 1.0},
    "NewtonFool": {"max_iter": 10, "eta": 0.1},
}
BLACK_BOX = {
    "HopSkipJump": {"max_iter": 2, "max_eval": 40, "init_eval": 10},
    "BoundaryAttack": {"max_iter": 5, "num_trial": 5, "sample_size": 5},
    "ZooAttack": {"max_iter": 3, "binary_search_steps": 1},
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:700], y[:700], X[1000:1060], y[1000:1060]


@pytest.fixture(scope="module")
def network(digits):
    clf = MLPClassifier((32,), max_iter=300, tol=1e-2, random_state=0)
    return make_pipeline(MinMaxScaler(), clf).fit(*digits[:2])


@pytest.fixture(scope="module")
def forest(digits):
    return RandomForestClassifier(5, random_state=0).fit(*digits[:2])


def of_art(name):
    return getattr(_import_art()[0], name)


def pursued(estimator, digits, norm=np.inf, n=30, *, is_white=False, **settings):
    threat_model = ThreatModel(EPS[norm], norm, **{"bounds": (0, 16), **settings})
    return pursuit_of(estimator, digits[2][:n], digits[3][:n], threat_model, has_gradient=is_white)


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("name", WHITE_BOX)
@pytest.mark.parametrize("bounds", [(0, 16), None])
def test_white_box(network, digits, name, norm, bounds):
    pursuit = pursued(network, digits, norm, is_white=True, bounds=bounds)
    attacked(run_art, pursuit, attack_class=of_art(name), **WHITE_BOX[name])
    found = (pursuit.distance > 0) & np.isfinite(pursuit.distance)
    assert found.any()
    assert (network.predict(pursuit.nearest[found]) != digits[3][:30][found]).all()
    assert pursuit.budget.respects(pursuit.nearest).all()
    assert (pursuit.n_queries[pursuit.distance > 0] > 1).all()


@pytest.mark.parametrize("name", BLACK_BOX)
def test_black_box(forest, network, digits, name):
    for pursuit in (pursued(forest, digits, n=10), pursued(network, digits, n=10, is_white=True)):
        attacked(run_art, pursuit, np.inf, attack_class=of_art(name), **BLACK_BOX[name])
        found = (pursuit.distance > 0) & np.isfinite(pursuit.distance)
        assert found.any() or name == "ZooAttack"
        answers = pursuit.original.estimator.predict(pursuit.nearest)
        assert (answers != digits[3][:10])[found].all()


def test_pgd_is_stronger_than_one_step_and_than_noise(network, digits):
    threat_model = ThreatModel(1.0, bounds=(0, 16))
    by_pgd, by_step, by_noise = (
        robust(attacked(attack, pursuit_of(network, *digits[2:], threat_model, has_gradient=True), **params))
        for attack, params in (
            (run_art, {"attack_class": of_art("ProjectedGradientDescent"), "max_iter": 20}),
            (run_art, {"attack_class": of_art("FastGradientMethod")}),
            (noise, {}),
        )
    )
    assert by_pgd <= by_step < by_noise


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_minimum_norm_attacks_come_near_the_boundary_in_any_units(digits, scale):
    scaled = make_pipeline(MinMaxScaler(), MLPClassifier((32,), max_iter=300, tol=1e-2, random_state=0))
    scaled.fit(digits[0] * scale, digits[1])
    X = digits[2][:30] * scale
    threat_model = ThreatModel(norm=2, bounds=(0, 16 * scale), units=[scale] * 64)
    median = {}
    for name, attack, params in (
        ("exact", minimum_norm, {}),
        ("carlini", carlini_l2, {"max_iter": 30}),
        ("deepfool", run_art, {"attack_class": of_art("DeepFool")}),
    ):
        pursuit = pursuit_of(scaled, X, digits[3][:30], threat_model, has_gradient=True)
        median[name] = np.median(attacked(attack, pursuit, np.inf, **params).distance)
    assert median["exact"] * 0.99 <= median["deepfool"] < 1.5 * median["exact"]
    assert median["exact"] * 0.99 <= median["carlini"] < 1.6 * median["exact"]


def test_hopskipjump_starts_from_the_nearest_row_and_is_reproducible(forest, digits):
    def found(seed):
        return attacked(hopskipjump, pursued(forest, digits, 2, n=12), seed=seed, max_iter=2, max_eval=50).distance

    start = attacked(nearest_other, pursued(forest, digits, 2, n=12), n_neighbors=1).distance
    one, again = found(0), found(0)
    np.testing.assert_array_equal(one, again)
    assert (one <= start).all()
    assert (one < 0.95 * start).any()


def test_hopskipjump_has_no_sum_of_changes_but_is_judged_by_it(forest, digits):
    pursuit = attacked(hopskipjump, pursued(forest, digits, 1, n=5), max_iter=1, max_eval=20, init_eval=10)
    assert np.isfinite(pursuit.distance).all()


def test_hopskipjump_without_any_row_of_another_answer(forest, digits):
    X = np.repeat(digits[0][:1], 3, axis=0)
    pursuit = pursuit_of(forest, X, forest.predict(X), ThreatModel(1.0))
    assert np.isinf(attacked(hopskipjump, pursuit).distance).all()


def test_decision_tree_attack_is_never_nearer_than_the_exact_one(digits):
    clf = DecisionTreeClassifier(random_state=0).fit(*digits[:2])
    by_art = attacked(run_art, pursued(clf, digits, n=60), attack_class=of_art("DecisionTreeAttack"))
    exact = attacked(decision_tree, pursued(clf, digits, n=60))
    assert np.isfinite(by_art.distance).all()
    assert (exact.distance <= by_art.distance).all()
    assert np.median(exact.distance) < 0.5 * np.median(by_art.distance)


def test_constraints_that_art_does_not_know_are_kept(network, digits):
    settings = {"immutable": range(20), "integer": range(20, 64), "direction": {30: "up"}}
    pursuit = pursued(network, digits, is_white=True, **settings)
    attacked(run_art, pursuit, attack_class=of_art("ProjectedGradientDescent"), max_iter=20)
    assert pursuit.budget.allows(pursuit.nearest).all()
    assert ((pursuit.distance > 0) & np.isfinite(pursuit.distance)).any()


def test_far_rows_of_a_small_scale_are_not_rounded_away(digits):
    X, y = digits[0] * 1e-3 + 1e4, digits[1]
    clf = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=300, tol=1e-2, random_state=0)).fit(X, y)
    pursuit = pursuit_of(clf, X[:60], y[:60], ThreatModel(2e-3), has_gradient=True)
    attacked(run_art, pursuit, attack_class=of_art("ProjectedGradientDescent"))
    assert robust(pursuit) < 0.5


def test_global_states_are_left_as_they_were(network, forest, digits):
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    attacked(run_art, pursued(network, digits, is_white=True), attack_class=of_art("ProjectedGradientDescent"))
    attacked(hopskipjump, pursued(forest, digits, n=3), max_iter=1, max_eval=20, init_eval=10)
    assert random.getstate() == states[0]
    np.testing.assert_equal(np.random.get_state(), states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_nothing_to_attack(network, digits):
    pursuit = pursued(network, digits, is_white=True)
    run_art(pursuit, np.zeros(0, int), 1.0, np.random.default_rng(0), attack_class=of_art("DeepFool"))
    attacked(run_art, pursuit, 0.0, attack_class=of_art("FastGradientMethod"))
    assert set(pursuit.distance) <= {0.0, np.inf}


# ---- wrong input ----


@pytest.mark.parametrize("attack_class", [StandardScaler, dict, "DeepFool"])
def test_what_is_no_evasion_attack(network, digits, attack_class):
    with pytest.raises(TypeError, match=r"is no evasion attack of ART: use a class of art.attacks.evasion"):
        attacked(run_art, pursued(network, digits), attack_class=attack_class)


@pytest.mark.parametrize("name", ["SquareAttack", "SpatialTransformation", "PixelAttack"])
def test_attacks_on_images(network, digits, name):
    with pytest.raises(ValueError, match=rf"attack={name} of ART computes with heights and widths, .* use 'square'"):
        attacked(run_art, pursued(network, digits, is_white=True), attack_class=of_art(name))


@pytest.mark.parametrize("name", ["ProjectedGradientDescent", "DeepFool", "CarliniL2Method"])
def test_gradients_of_a_black_box(forest, digits, name):
    with pytest.raises(ValueError, match=rf"attack={name} needs gradients, but RandomForestClassifier has no torch"):
        attacked(run_art, pursued(forest, digits), attack_class=of_art(name))


@pytest.mark.parametrize("param", ["eps", "norm", "targeted", "steps"])
def test_unknown_parameter(network, digits, param):
    with pytest.raises(TypeError, match=rf"attack=ProjectedGradientDescent has no parameter '{param}': it has \["):
        attacked(run_art, pursued(network, digits), attack_class=of_art("ProjectedGradientDescent"), **{param: 1})


def test_attacks_made_for_other_classifiers(forest, digits):
    with pytest.raises(ValueError, match="attack=DecisionTreeAttack of ART is made for other classifiers than Random"):
        attacked(run_art, pursued(forest, digits), attack_class=of_art("DecisionTreeAttack"))


def test_what_art_stumbles_over_is_explained(network, digits):
    with pytest.raises(ValueError, match=r"attack=DeepFool of ART cannot be run here \(.*\): mend its parameters"):
        attacked(run_art, pursued(network, digits, is_white=True), attack_class=of_art("DeepFool"), max_iter=-1)


def test_an_estimator_that_only_votes(network, digits):
    votes = VotingClassifier([("only", network)], voting="hard").fit(*digits[:2])
    pursuit = attacked(hopskipjump, pursued(votes, digits, n=4), max_iter=1, max_eval=20, init_eval=10)
    assert np.isfinite(pursuit.distance).all()
