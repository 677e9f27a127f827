"""Features that a step hides from gradients are attacked nevertheless, beside others that it does not hide."""

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, FunctionTransformer, KBinsDiscretizer, StandardScaler

from skrobust import ThreatModel
from skrobust.attacks import find_adversarial
from skrobust.torchify import straight_through, to_torch

STEPS = {
    "bins": KBinsDiscretizer(5, strategy="uniform", quantile_method="averaged_inverted_cdf"),
    "threshold": Binarizer(),
    "rint": FunctionTransformer(np.rint),
    "sign": FunctionTransformer(np.sign),
}


@pytest.fixture(scope="module")
def two_features():
    """Return rows of which the first feature tells the class, and the second one next to nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    X[:, 0] += 2 * np.sign(X[:, 0])
    return X, (X[:, 0] > 0).astype(int)


def behind(step):
    """Return a classifier that sees the first feature behind a step, and the second one as it is."""
    columns = ColumnTransformer([("step", step, [0])], remainder=StandardScaler())
    return make_pipeline(columns, LogisticRegression())


@pytest.mark.parametrize("attack", ["pgd", "worst_case"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_discretizer_beside_a_scaler_hides_nothing(two_features, step, attack):
    X, y = two_features
    clf = behind(step).fit(X, y)
    X, y = X[:40], y[:40]
    found = find_adversarial(clf, X, y, attack, threat_model=ThreatModel(6.0), random_state=0)
    stands = clf.predict(X) == y
    # To the other side of 0 is less than 6 for all of these rows.
    assert found.success[stands].mean() > 0.9
    assert set(found.route[stands]) == {"black-box"}


def test_features_that_the_classifier_makes_no_use_of_are_not_hidden(two_features):
    X, y = two_features
    clf = make_pipeline(SimpleImputer(missing_values=-9.0), LogisticRegression()).fit(X, y)
    clf[-1].coef_[0, 1] = 0.0
    found = find_adversarial(clf, X[:10], y[:10], "pgd", threat_model=ThreatModel(6.0), random_state=0)
    assert set(found.route) == {"white-box"}


@pytest.mark.parametrize("function", [np.rint, np.floor, np.ceil, np.trunc, np.fix, np.sign])
def test_functions_that_jump_have_slopes(function):
    X = torch.tensor([[0.4], [-1.6], [2.0]], dtype=torch.float64)
    module = to_torch(FunctionTransformer(function).fit(X.numpy()))
    np.testing.assert_array_equal(module(X).numpy(), function(X.numpy()))
    for is_sloped in (False, True):
        rows = X.clone().requires_grad_()
        if is_sloped:
            with straight_through(module):
                module(rows).sum().backward()
        else:
            module(rows).sum().backward()
        assert (rows.grad == float(is_sloped)).all()


def test_isotonic_calibration_has_its_own_gradient_and_slopes_on_plateaus():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    clf = CalibratedClassifierCV(LogisticRegression(), method="isotonic", ensemble=False).fit(X, y)
    module = to_torch(clf)
    rows = torch.from_numpy(X[:100]).requires_grad_()

    def gradient():
        logits = module(rows)
        (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), rows)
        return gradient

    true = gradient()
    with straight_through(module):
        sloped = gradient()
    is_flat = (true == 0).all(dim=1)
    assert 0 < is_flat.float().mean() < 1
    coef = torch.from_numpy(clf.calibrated_classifiers_[0].estimator.coef_[0])
    for found in (true[~is_flat], sloped[is_flat]):
        torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), (coef / coef.norm()).expand_as(found))
