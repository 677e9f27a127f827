"""Estimators whose answers are random: attacked in expectation, and judged by answers that chose nothing."""

import numpy as np
import pytest
from scipy.stats import norm as normal
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression

from skrobust import ThreatModel
from skrobust.attacks import find_adversarial
from skrobust.attacks._assess import assess
from skrobust.evaluation import robustness_curves
from skrobust.metrics import make_robustness_scorer, make_robustness_scorers, robustness_report

SIGMA = 2.0


class Noisy(ClassifierMixin, BaseEstimator):
    """A linear classifier that adds noise to the rows it is asked about."""

    def fit(self, X, y):
        self.inner_ = LogisticRegression().fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict(self, X):
        return self.inner_.predict(X + SIGMA * np.random.standard_normal(X.shape))  # noqa: NPY002  on purpose

    def expected(self, X, y, eps, norm):
        """Return the share of right answers that the best attack leaves of each row."""
        weight = self.inner_.coef_[0]
        lead = np.where(y == self.classes_[1], 1, -1) * self.inner_.decision_function(X)
        slope = np.linalg.norm(weight, ord={np.inf: 1, 2: 2, 1: np.inf}[norm])
        return normal.cdf((lead - eps * slope) / (SIGMA * np.linalg.norm(weight)))


class NoisyScores(Noisy):
    """It has scores, which are as random."""

    def decision_function(self, X):
        return self.inner_.decision_function(X + SIGMA * np.random.standard_normal(X.shape))  # noqa: NPY002


def data(n_features):
    X, y = make_blobs(360, n_features, centers=2, cluster_std=2.0, center_box=(-4, 4), random_state=0)
    return X - X.mean(axis=0), y


@pytest.mark.parametrize(
    ("kind", "n_features", "norm", "grid"),
    [
        (Noisy, 2, np.inf, (1.0, 4.0, 6.0)),
        (Noisy, 10, np.inf, (2.0,)),
        (Noisy, 10, 2, (2.0, 5.0)),
        (Noisy, 5, 1, (3.0,)),
        (NoisyScores, 10, 2, (5.0,)),
    ],
)
def test_scores_are_those_of_the_best_attack(kind, n_features, norm, grid):
    X, y = data(n_features)
    clf = kind().fit(X[:300], y[:300])
    X, y = X[300:], y[300:]
    scores = make_robustness_scorers(eps_grid=grid, norm=norm, error_score="raise")(clf, X, y)
    assert scores["clean"] == pytest.approx(clf.expected(X, y, 0, norm).mean(), abs=0.03)
    for eps in grid:
        assert scores[f"robust_{eps:g}"] == pytest.approx(clf.expected(X, y, eps, norm).mean(), abs=0.04)
    assert scores["unflagged"] == 0


def test_single_eps_and_gradient_attacks_by_name():
    X, y = data(4)
    clf = Noisy().fit(X[:300], y[:300])
    expected = clf.expected(X[300:], y[300:], 2.0, np.inf).mean()
    for attack in ("pgd", "expectation"):
        score = make_robustness_scorer(attack, eps=2.0)(clf, X[300:], y[300:])
        assert score == pytest.approx(expected, abs=0.04), attack
    # It says of no row that it is fooled of which most answers are right.
    result = find_adversarial(clf, X[300:], y[300:], threat_model=ThreatModel(2.0))
    share = np.mean([clf.predict(result.X_adv) == y[300:] for _ in range(200)], axis=0)
    assert (share[result.success] < 0.7).all()
    assert (share[~result.success] > 0.3).all()


def test_figures_are_reproducible_and_agree_with_one_another():
    X, y = data(2)
    clf = Noisy().fit(X, y)
    before = np.random.get_state()  # noqa: NPY002
    settings = {"attack": "expectation", "eps_factors": (0, 1), "n_control": 10}
    one, two = (robustness_report(clf, X[:30], y[:30], ThreatModel(2.0), **settings) for _ in range(2))
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002
    assert one.summary.equals(two.summary)
    assert one.per_row.equals(two.per_row)
    assert one.summary.loc[2.0, "accuracy"] == pytest.approx(one.per_row["robust_2"].mean())
    assert one.per_class["clean"].mul(one.per_class["n"]).sum() / 30 == pytest.approx(one.summary.loc[0.0, "accuracy"])
    assert "random_output" in one.flags


def test_curves_of_attacks_without_a_radius_begin_at_the_accuracy():
    X, y = data(2)
    clf = Noisy().fit(X[:300], y[:300])
    X, y = X[300:], y[300:]
    curves = robustness_curves({"noisy": clf}, X, y, eps_grid=[0.0, 0.01, 4.0], attacks=["nearest_other"])
    accuracy = curves.set_index("eps")["accuracy"]
    clean = clf.expected(X, y, 0, np.inf).mean()
    assert accuracy[0.0] == pytest.approx(clean, abs=0.03)
    assert accuracy[0.01] == pytest.approx(clean, abs=0.03)
    assert clf.expected(X, y, 4.0, np.inf).mean() - 0.04 < accuracy[4.0] < clean - 0.05


def test_luck_chooses_no_row():
    X, y = data(2)
    clf = Noisy().fit(X[:300], y[:300])
    X, y = X[300:], y[300:]
    # A ball so small that all its rows are alike: the least of many shares would be far below the share of each.
    result = assess(clf, X, y, "noise", threat_model=ThreatModel(1e-6), n_draws=20)
    assert result.robust(1e-6).mean() == pytest.approx(clf.expected(X, y, 0, np.inf).mean(), abs=0.02)


def test_expectation_also_serves_answers_that_are_not_random():
    X, y = data(4)
    clf = LogisticRegression().fit(X[:300], y[:300])
    X, y = X[300:], y[300:]
    exact = make_robustness_scorer("apgd", eps=1.0)(clf, X, y)
    assert make_robustness_scorer("expectation", eps=1.0)(clf, X, y) == pytest.approx(exact, abs=0.02)
    assert make_robustness_scorer("expectation", eps=0.0)(clf, X, y) == clf.score(X, y)
    endless = assess(clf, X, y, "expectation", threat_model=ThreatModel(), radii=(np.inf,))
    assert np.isinf(endless.distance[endless.answers == y]).all()
