"""scikit-learn's own checks on the real estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from skrobust import OffSupportRobustClassifier


@parametrize_with_checks([OffSupportRobustClassifier()])
def test_sklearn_checks(estimator, check):
    check(estimator)
