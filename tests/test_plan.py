"""What an attack found out at one radius is not asked again at the next."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

from skrobust import ThreatModel
from skrobust.attacks._assess import assess
from skrobust.attacks._attacks import ATTACKS, has_radius

N_ROWS = 30
RADII = (0.25, 0.5, 1.0, 2.0)
ESTIMATORS = {
    "network": MLPClassifier((32,), max_iter=300, tol=1e-3, random_state=0),
    "neighbors": KNeighborsClassifier(3),
    "tree": DecisionTreeClassifier(random_state=0),
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:700], y[:700], X[-N_ROWS:], y[-N_ROWS:]


@pytest.fixture(scope="module")
def fitted(digits):
    return {name: estimator.fit(*digits[:2]) for name, estimator in ESTIMATORS.items()}


def attacked(estimator, digits, attack, radii, **params):
    threat_model = ThreatModel(max(radii), bounds=(0, 16))
    return assess(estimator, *digits[2:], attack, threat_model=threat_model, radii=radii, **params)


@pytest.mark.parametrize(
    ("name", "attack"),
    [
        ("network", "nearest_other"),
        ("network", "deepfool"),
        ("network", "minimum_norm"),
        ("neighbors", "nearest_other"),
        ("tree", "decision_tree"),
    ],
)
def test_what_knows_no_radius_asks_about_a_row_once(fitted, digits, name, attack):
    assert not has_radius(attack)
    one = attacked(fitted[name], digits, attack, RADII[:1])
    many = attacked(fitted[name], digits, attack, RADII)
    assert one.robust(RADII[0]).sum() > 0
    np.testing.assert_array_equal(many.n_queries, one.n_queries)
    np.testing.assert_array_equal(many.distance, one.distance)


@pytest.mark.parametrize("attack", ["pgd", "square"])
def test_others_ask_again_at_every_radius(fitted, digits, attack):
    one = attacked(fitted["network"], digits, attack, RADII[:1])
    many = attacked(fitted["network"], digits, attack, RADII[:2])
    stood = one.robust(RADII[0]) > 0
    assert stood.any()
    assert (many.n_queries[stood] > one.n_queries[stood]).all()


@pytest.mark.parametrize("name", ["network", "neighbors"])
def test_rows_that_cannot_move_yet_are_attacked_at_the_first_radius_at_which_they_can(fitted, digits, name):
    threat_model = ThreatModel(8.0, bounds=(0, 16), integer=tuple(range(64)))
    X, y = digits[2:]
    late = assess(fitted[name], X, y, "nearest_other", threat_model=threat_model, radii=(0.5, 8.0))
    alone = assess(fitted[name], X, y, "nearest_other", threat_model=threat_model, radii=(8.0,))
    assert alone.robust(8.0).sum() < alone.clean().sum()
    np.testing.assert_array_equal(late.distance, alone.distance)


def test_random_answers_are_asked_again(digits):
    class Coin(RandomForestClassifier):
        def predict(self, X):
            answers = super().predict(X)
            is_other = np.random.default_rng().random(len(answers)) < 0.3
            return np.where(is_other, (answers + 1) % 10, answers)

    coin = Coin(10, random_state=0).fit(*digits[:2])
    one = attacked(coin, digits, "nearest_other", RADII[:1])
    many = attacked(coin, digits, "nearest_other", RADII[:2])
    assert one.is_random
    assert many.n_queries.sum() > one.n_queries.sum()


@pytest.mark.parametrize("attack", sorted(name for name, attack in ATTACKS.items() if not attack.is_repeatable))
def test_what_is_not_repeated_has_no_radius(attack):
    assert not has_radius(attack)


@pytest.mark.parametrize("attack", [str, len, "worst_case"])
def test_attacks_of_others_are_asked_to_stay_within_the_radius(attack):
    assert has_radius(attack)
