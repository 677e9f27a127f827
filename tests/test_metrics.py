"""Scores of robustness against what is known exactly, for linear classifiers, and against ART."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skrobust import ThreatModel
from skrobust.metrics import (
    adversarial_distance,
    clever_score,
    local_lipschitz,
    per_class_robust_accuracy,
    rho_adv_score,
    robust_accuracy_score,
)
from skrobust.metrics._weibull import largest_value
from skrobust.torchify import NotConvertibleError

NORMS = [np.inf, 2, 1]
DUAL = {np.inf: 1, 2: 2, 1: np.inf}


@pytest.fixture(scope="module")
def two_classes():
    """Return 80 rows of two classes, on the scale 1."""
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X)[:80, :6], y[:80]


@pytest.fixture(scope="module")
def linear(two_classes):
    return LogisticRegression().fit(*two_classes)


@pytest.fixture(scope="module")
def mlp(two_classes):
    return MLPClassifier((20,), max_iter=2000, random_state=0).fit(*two_classes)


def exact_distance(clf, X, y, norm):
    """Return the distances of rows from the boundary of a linear classifier, 0 for misclassified rows."""
    signed = np.where(y == clf.classes_[1], 1, -1) * clf.decision_function(X)
    return np.maximum(signed, 0) / np.linalg.norm(clf.coef_[0], ord=DUAL[norm])


@pytest.mark.parametrize("norm", NORMS)
def test_robust_accuracy_of_a_linear_classifier(linear, two_classes, norm):
    eps = np.median(exact_distance(linear, *two_classes, norm)) * 1.01
    stands = robust_accuracy_score(linear, *two_classes, eps=eps, norm=norm, per_sample=True)
    exact = exact_distance(linear, *two_classes, norm) > eps
    assert np.mean(stands != exact) <= 0.02
    assert robust_accuracy_score(linear, *two_classes, eps=eps, norm=norm) == stands.mean()


def test_robust_accuracy_is_weighted(linear, two_classes, rng):
    weight = rng.random(len(two_classes[1]))
    stands = robust_accuracy_score(linear, *two_classes, eps=0.3, attack="fgsm", per_sample=True)
    score = robust_accuracy_score(linear, *two_classes, eps=0.3, attack="fgsm", sample_weight=weight)
    assert score == pytest.approx(np.average(stands, weights=weight))


def test_robust_accuracy_of_classes_adds_up(linear, two_classes, rng):
    X, y = two_classes
    names = np.array(["malignant", "benign"])[y]
    clf = LogisticRegression().fit(X, names)
    weight = rng.random(len(y))
    by_class = per_class_robust_accuracy(clf, X, names, eps=0.3, attack="fgsm", sample_weight=weight)
    assert list(by_class) == ["benign", "malignant"]
    shares = [weight[names == name].sum() / weight.sum() for name in by_class]
    whole = robust_accuracy_score(clf, X, names, eps=0.3, attack="fgsm", sample_weight=weight)
    assert np.dot(shares, list(by_class.values())) == pytest.approx(whole)
    rows = per_class_robust_accuracy(clf, X, names, eps=0.3, attack="fgsm", per_sample=True)
    assert {name: len(values) for name, values in rows.items()} == {
        "benign": (y == 1).sum(),
        "malignant": (y == 0).sum(),
    }
    none = per_class_robust_accuracy(clf, X, names, eps=0.3, attack="fgsm", sample_weight=names == "benign")
    assert np.isnan(none["malignant"])


@pytest.mark.parametrize("norm", NORMS)
def test_distances_of_a_linear_classifier(linear, two_classes, norm):
    distance = adversarial_distance(linear, *two_classes, norm=norm)
    exact = exact_distance(linear, *two_classes, norm)
    assert (distance >= exact * (1 - 1e-6)).all()
    assert np.median(distance[exact > 0] / exact[exact > 0]) < 1.001
    assert (distance[exact == 0] == 0).all()


def test_distances_end_where_the_threat_model_does(two_classes):
    X, y = two_classes
    constant = DummyClassifier(strategy="constant", constant=1).fit(X, y)
    distance = adversarial_distance(constant, X, y)
    assert (distance[y == 1] == np.inf).all()
    assert (distance[y == 0] == 0).all()


def test_rho_is_the_mean_relative_distance(linear, two_classes, rng):
    X, y = two_classes
    details = rho_adv_score(linear, X, y, return_details=True)
    expected = exact_distance(linear, X, y, 2) / np.linalg.norm(X, axis=1)
    assert details.per_sample == pytest.approx(expected, rel=0.02)
    assert details.score == pytest.approx(expected.mean(), rel=1e-3)
    assert details.median == pytest.approx(np.median(expected), rel=1e-3)
    assert details.censored_share == 0
    assert rho_adv_score(linear, X, y) == details.score
    weight = rng.random(len(y))
    weighted = rho_adv_score(linear, X, y, sample_weight=weight)
    assert weighted == pytest.approx(np.average(expected, weights=weight), rel=1e-3)


def test_rho_counts_in_the_units_of_distances(linear, two_classes):
    X, y = two_classes
    scaled = ThreatModel(norm=2, units=[0.5] * 6)
    assert rho_adv_score(linear, X, y, threat_model=scaled) == pytest.approx(rho_adv_score(linear, X, y), rel=1e-3)


def test_rho_takes_the_norm_of_the_threat_model(linear, two_classes):
    X, y = two_classes
    threat_model = ThreatModel(norm=np.inf)
    with_model = rho_adv_score(linear, X, y, threat_model=threat_model, return_details=True)
    alone = rho_adv_score(linear, X, y, norm=np.inf, return_details=True)
    assert (with_model.per_sample == alone.per_sample).all()
    assert with_model.score != rho_adv_score(linear, X, y)


def test_rho_is_no_mean_over_infinities(two_classes):
    X, y = two_classes
    constant = DummyClassifier(strategy="constant", constant=1).fit(X, y)
    with pytest.warns(UserWarning, match=f"{(y == 0).sum()} of 80 rows"):
        assert rho_adv_score(constant, X, y) == 0
    details = rho_adv_score(constant, X, y, return_details=True)
    assert details.censored_share == pytest.approx((y == 1).mean())
    assert (details.per_sample[y == 1] == np.inf).all()
    assert np.isnan(rho_adv_score(constant, X[y == 1], y[y == 1], return_details=True).score)


def test_rows_without_length_have_no_ratio():
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    clf = LogisticRegression(C=100).fit(X, y)
    ratio = rho_adv_score(clf, X, y, return_details=True).per_sample
    assert ratio[0] == np.inf
    assert np.isfinite(ratio[1:]).all()


def test_frames_have_lengths_by_their_numbers():
    X = pd.DataFrame({"size": [1.0, 2.0, 8.0, 9.0] * 5, "kind": ["a", "b"] * 10})
    y = np.array([0, 0, 1, 1] * 5)
    encoder = make_pipeline(OneHotEncoder(handle_unknown="ignore", max_categories=9), LogisticRegression())
    clf = encoder.fit(X[["kind"]], y)
    # Nothing of what this classifier sees can change.
    details = rho_adv_score(clf, X[["kind"]], y, return_details=True)
    assert set(details.per_sample) <= {0.0, np.inf}


@pytest.mark.parametrize("norm", NORMS)
def test_clever_is_exact_for_a_linear_classifier(linear, two_classes, norm):
    exact = exact_distance(linear, *two_classes, norm)
    scores = clever_score(linear, *two_classes, eps=100.0, norm=norm, n_batches=3, batch_size=4, per_sample=True)
    assert scores == pytest.approx(exact)
    assert clever_score(linear, *two_classes, eps=100.0, norm=norm, n_batches=2, batch_size=2) == scores.mean()
    few = clever_score(linear, *two_classes, eps=0.1, norm=norm, n_batches=2, batch_size=2, per_sample=True)
    assert few == pytest.approx(np.minimum(exact, 0.1))


def test_clever_knows_what_cannot_change(linear, two_classes):
    fixed = ThreatModel(50.0, norm=2, immutable=range(1, 6))
    scores = clever_score(linear, *two_classes, threat_model=fixed, n_batches=2, batch_size=4, per_sample=True)
    signed = np.where(two_classes[1] == 1, 1, -1) * linear.decision_function(two_classes[0])
    exact = np.minimum(np.maximum(signed, 0) / abs(linear.coef_[0, 0]), 50.0)
    assert scores == pytest.approx(exact)


def test_clever_is_near_that_of_art(mlp, two_classes):
    from art.estimators.classification import PyTorchClassifier
    from art.metrics import clever_u
    from torch import nn

    from skrobust.torchify import to_torch

    X, y = (part[mlp.predict(two_classes[0]) == two_classes[1]][:4] for part in two_classes)
    module = to_torch(mlp)
    wrapped = nn.Sequential(module)
    classifier = PyTorchClassifier(
        wrapped, loss=nn.CrossEntropyLoss(), input_shape=(6,), nb_classes=2, device_type="cpu"
    )
    own = clever_score(mlp, X, y, eps=5.0, n_batches=30, batch_size=60, per_sample=True)
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    theirs = [clever_u(classifier, row.astype(np.float32), 30, 60, 5.0, 2, verbose=False) for row in X]
    np.random.set_state(state)  # noqa: NPY002
    assert own == pytest.approx(np.array(theirs), rel=0.25)


def test_clever_is_reproducible(mlp, two_classes):
    first, second, other = (
        clever_score(mlp, *two_classes, eps=2.0, n_batches=3, batch_size=3, random_state=seed) for seed in (0, 0, 1)
    )
    assert first == second != other


@pytest.mark.parametrize("shape", [1.5, 3.0])
def test_largest_values_are_those_of_maximum_likelihood(shape):
    maxima = stats.weibull_max.rvs(shape, loc=5, scale=2, size=(300, 60), random_state=0)
    ends = largest_value(maxima)
    assert np.median(ends) == pytest.approx(5, abs=0.15)
    assert (ends >= maxima.max(axis=1)).all()
    assert largest_value(1e-9 * maxima) == pytest.approx(1e-9 * ends)
    assert largest_value(np.full((1, 4), 3.0)) == 3.0


def test_lipschitz_constant_of_a_sigmoid(linear, two_classes):
    """The steepest slope of 2 sigmoid(w x) is |w| / 2, and it is met where the boundary is near."""
    steepest = np.abs(linear.coef_).sum() / 2
    slopes = local_lipschitz(linear, two_classes[0], eps=5.0, per_sample=True)
    assert (slopes <= steepest * (1 + 1e-9)).all()
    assert slopes.max() > 0.8 * steepest
    assert local_lipschitz(linear, two_classes[0], eps=5.0) == slopes.mean()


def test_lipschitz_constant_is_at_least_that_of_random_pairs(mlp, two_classes, rng):
    X = two_classes[0]
    change = 0.5 * (2 * rng.random(X.shape) - 1)
    moved = np.abs(mlp.predict_proba(X + change) - mlp.predict_proba(X)).sum(axis=1) / np.abs(change).max(axis=1)
    slopes = local_lipschitz(mlp, X, eps=0.5, per_sample=True)
    assert np.mean(slopes >= moved) > 0.95


def test_many_rows_fit_into_memory(linear, two_classes):
    X = np.tile(two_classes[0], (1250, 1))
    slopes = local_lipschitz(linear, X, eps=0.5, max_iter=1, per_sample=True)
    assert slopes.shape == (100_000,)


@pytest.mark.parametrize("score", [clever_score, lambda clf, X, y, **params: local_lipschitz(clf, X, **params)])
def test_slopes_need_a_ball_and_a_gradient(score, linear, two_classes):
    X, y = two_classes
    with pytest.raises(ValueError, match="eps=None"):
        score(linear, X, y)
    with pytest.raises(ValueError, match=r"eps=0\.0 leaves no ball"):
        score(linear, X, y, eps=0.0)
    with pytest.raises(NotConvertibleError):
        score(KNeighborsClassifier().fit(X, y), X, y, eps=1.0)


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_counts_are_positive_whole_numbers(linear, two_classes, value):
    for name in ("n_batches", "batch_size"):
        with pytest.raises(ValueError, match=f"{name}={value}"):
            clever_score(linear, *two_classes, eps=1.0, **{name: value})
    with pytest.raises(ValueError, match=f"max_iter={value}"):
        local_lipschitz(linear, two_classes[0], eps=1.0, max_iter=value)


def test_what_contradicts_itself_is_refused(linear, two_classes):
    for score in (robust_accuracy_score, per_class_robust_accuracy):
        with pytest.raises(ValueError, match="eps=None"):
            score(linear, *two_classes)
        with pytest.raises(ValueError, match="contradict"):
            score(linear, *two_classes, eps=0.1, threat_model=ThreatModel(0.2))
        with pytest.raises(ValueError, match="sample_weight"):
            score(linear, *two_classes, eps=0.1, attack="fgsm", sample_weight=[1.0])
    for norm in (1, np.inf):
        with pytest.raises(ValueError, match=f"norm={norm} and the norm=2.0 of the threat model contradict"):
            rho_adv_score(linear, *two_classes, norm=norm, threat_model=ThreatModel(norm=2))
    for score in (adversarial_distance, rho_adv_score):
        with pytest.raises(ValueError, match=r"resolve\(X_train\)"):
            score(linear, *two_classes, threat_model=ThreatModel(units="iqr"))
        with pytest.raises(TypeError, match="threat_model='raw'"):
            score(linear, *two_classes, threat_model="raw")
