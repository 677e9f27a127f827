"""scikit-learn's own checks: all of them on the default estimator, and on variants those that can apply."""

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from skrobust import OffSupportRobustClassifier
from skrobust.adversary import FGSM, PGD, MultiplePerturbations
from skrobust.penalties import Jacobian
from skrobust.unlabeled import Uniform

WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
STARTS = "every row has its own random start, a repeated one others"
NO_BALANCE = "partial_fit cannot balance classes of which it sees one chunk, and says so"
SEVERAL = [FGSM(random_start=False), FGSM(0.2, norm=2, random_start=False)]


class MeanSquare(BaseEstimator):
    """A penalty of the user: a function, with a name that is the same in every process."""

    def __call__(self, anchors, logits, neighborhood):
        return logits.square().mean()


# Parameters of each variant, and the checks that cannot hold there, with the reason.
VARIANTS = {
    "plain": ({"smoothness": 0}, {}),
    "without penalty": ({"penalty": None, "lr_schedule": "constant_cosine", "optimizer": "sgd"}, {}),
    "uniform": ({"unlabeled": "uniform", "n_unlabeled": 0.5, "n_neighbors": 2}, {}),
    "extrapolation": ({"unlabeled": "extrapolation", "noise_units": "std"}, {}),
    "labeled only": ({"unlabeled": None, "lr_schedule": "constant", "optimizer": "adam"}, {}),
    "sampler": ({"unlabeled": Uniform(0.5), "net_params": {"module__activation": nn.CELU}}, {}),
    "worst direction": ({"neighbors": "adversarial", "n_unlabeled": 0}, {}),
    "jacobian": ({"penalty": "jacobian"}, {}),
    "exact jacobian": ({"penalty": Jacobian(-1, anchors=("labeled", "unlabeled")), "smoothness": 1e-3}, {}),
    "input gradient": ({"penalty": "input_gradient"}, {}),
    "curvature": ({"penalty": "curvature"}, {}),
    "virtual adversarial": ({"penalty": "virtual_adversarial"}, {}),
    "stability": ({"penalty": "stability"}, {}),
    "uniform confidence": ({"penalty": "uniform_confidence"}, {}),
    "function": ({"penalty": MeanSquare()}, {}),
    "adversary": ({"adversary": FGSM(random_start=False)}, {}),
    "adversary alone": ({"adversary": PGD(random_start=False, max_iter=2, norm=2, weight=1), "penalty": None}, {}),
    "trades": ({"adversary": "trades", "smoothness": 0}, {WEIGHTS: STARTS}),
    "several adversaries": ({"adversary": MultiplePerturbations(SEVERAL)}, {}),
    "noise layer": ({"noise_layer": "1"}, {}),
    "label smoothing": ({"label_smoothing": 0.1}, {}),
    "mixup": ({"mixup": 0.2}, {WEIGHTS: "every row has its own partner, a repeated one others"}),
    "warm start": (
        {"warm_start": True},
        {"check_supervised_y_2d": "it fits twice and expects the same, but the second fit goes on from the first"},
    ),
    "early stopping": (
        {"early_stopping": True, "validation_fraction": 0.4},
        {WEIGHTS: "rows are held out at random, and which ones depends on how often rows are repeated"},
    ),
    "balanced": (
        {"class_weight": "balanced"},
        dict.fromkeys(
            ["check_fit_score_takes_y", "check_n_features_in_after_fitting", "check_estimators_partial_fit_n_features"],
            NO_BALANCE,
        ),
    ),
    "single precision": ({"dtype": "float32"}, {WEIGHTS: "float32 rounds at 1e-7, which the check does not allow for"}),
    "small batches": (
        {"batch_size": 20},
        {WEIGHTS: "repeated rows fall into other batches than one row with their weight"},
    ),
}
FAST = {"max_epochs": 10, "lr": 0.02, "hidden_layer_sizes": (20,)}


@parametrize_with_checks([OffSupportRobustClassifier()])
def test_sklearn_checks(estimator, check):
    check(estimator)


def _variant_of(estimator):
    """Return the name of the variant whose parameters an estimator has."""
    given = estimator.get_params(deep=False)
    return next(
        name
        for name, (params, _) in VARIANTS.items()
        if repr(OffSupportRobustClassifier(**FAST | params)) == repr(OffSupportRobustClassifier(**given))
    )


def _inapplicable(estimator):
    return VARIANTS[_variant_of(estimator)][1]


@parametrize_with_checks(
    [OffSupportRobustClassifier(**FAST | params) for params, _ in VARIANTS.values()],
    expected_failed_checks=_inapplicable,
    xfail_strict=True,
)
def test_sklearn_checks_of_variants(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_told_apart(name):
    assert _variant_of(OffSupportRobustClassifier(**FAST | VARIANTS[name][0])) == name
