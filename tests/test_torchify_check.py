"""Modules that would not answer as their estimator are refused, and conversion leaves everything as it was."""

import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_multilabel_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, SplineTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from test_torchify_cases import CASES, fit, make_data

from skrobust.torchify import NotConvertibleError, register, to_torch


class Contrarian(LogisticRegression):
    def predict(self, X):
        return self.classes_[::-1][super().predict(X)]


class Timid(LogisticRegression):
    """Right answers, other probabilities and scores."""

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_)) + 0 * super().predict_proba(X)

    def decision_function(self, X):
        return -super().decision_function(X)

    def predict(self, X):
        return self.classes_[np.asarray(LogisticRegression.decision_function(self, X)).argmax(axis=1)]


class Tempered(LogisticRegression):
    """The same order of classes, at another temperature."""

    def predict_proba(self, X):
        return torch.from_numpy(self.decision_function(X) / 3).softmax(dim=-1).numpy()

    def decision_function(self, X):
        return super().decision_function(X) * 2


class Shifted(StandardScaler):
    def transform(self, X):
        return super().transform(X) + 1e-3


class Wider(StandardScaler):
    def transform(self, X):
        return np.hstack([super().transform(X), X])


def test_answers_are_compared(blobs):
    fitted = Contrarian().fit(*blobs)
    to_torch(fitted)
    with pytest.raises(
        ValueError,
        match=r"type Contrarian and its torch module differ .* register a converter",
    ):
        to_torch(fitted, blobs[0])


def test_scores_are_compared(blobs):
    with pytest.raises(ValueError, match=r"type Timid and its torch module differ in \w+, by .* register a converter"):
        to_torch(Timid().fit(*blobs), blobs[0])


def test_scores_may_be_stretched(blobs):
    X, y = blobs
    to_torch(Tempered().fit(X, y), X)
    to_torch(make_pipeline(StandardScaler(), Tempered()).fit(X, y), X)


@pytest.mark.parametrize("scaler", [Shifted(), Wider()], ids=str)
def test_transformed_rows_are_compared(blobs, scaler):
    with pytest.raises(ValueError, match=r"differ in transform, by (.*e-0|inf).* skrobust\.torchify\.register\.$"):
        to_torch(scaler.fit(blobs[0]), blobs[0])


def test_one_score_per_pair_of_classes_is_compared(rng):
    X = rng.normal(size=(80, 3))
    y = np.arange(80) % 4
    fitted = make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")).fit(X + y[:, None], y)
    to_torch(fitted, X + y[:, None])


def test_single_precision_is_allowed_for(blobs):
    X, y = blobs[0].astype(np.float32), blobs[1]
    to_torch(make_pipeline(StandardScaler(), SVC()).fit(X, y), X)
    to_torch(StandardScaler().fit(X), X)


def test_rows_may_be_few_or_constant(blobs):
    X, y = blobs
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    to_torch(fitted, X[:1])
    to_torch(fitted, X[:0])
    to_torch(fitted, np.zeros_like(X))


def test_estimators_that_were_fitted_on_sparse_rows(blobs):
    X, y = np.where(np.abs(blobs[0]) < 0.5, 0, blobs[0]), blobs[1]
    for classifier in (SVC(), SVC(kernel="poly"), LogisticRegression()):
        fitted = classifier.fit(sparse.csr_array(X), y)
        to_torch(fitted.sparsify() if hasattr(fitted, "sparsify") else fitted)
        logits = to_torch(fitted)(torch.from_numpy(X)).numpy()
        assert (fitted.classes_[logits.argmax(axis=1)] == fitted.predict(sparse.csr_array(X))).all()


def test_no_columns_are_left(blobs):
    fitted = ColumnTransformer([("nothing", "drop", [0, 1, 2, 3])]).fit(blobs[0])
    assert to_torch(fitted, blobs[0])(torch.from_numpy(blobs[0])).shape == (90, 0)


def test_bagged_estimators_that_have_not_seen_all_classes(blobs):
    X, y = blobs
    fitted = BaggingClassifier(LinearDiscriminantAnalysis(), 8, max_samples=5, random_state=1).fit(X, y)
    assert any(len(one.classes_) < 3 for one in fitted.estimators_)
    probabilities = to_torch(fitted)(torch.from_numpy(X)).softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, fitted.predict_proba(X), rtol=1e-10, atol=1e-15)


def product(A, B):
    return A @ B.T


def voting(estimator, **params):
    return VotingClassifier([("inner", estimator)], **params)


REFUSED = [
    (voting(LogisticRegression()), "type VotingClassifier, which to_torch cannot convert with voting='hard'"),
    (BaggingClassifier(LinearSVC()), "type BaggingClassifier, .* of estimators without predict_proba"),
    (SVC(kernel=product), "type SVC, .* with kernel=<function"),
    (make_pipeline(SVC(kernel=product)), "step 'svc' is of type SVC, .* with kernel="),
    (make_pipeline(Nystroem(product, n_components=5), SVC()), "step 'nystroem' is of type Nystroem, .* with kernel=<"),
    (GridSearchCV(SVC(), {"C": [1]}, refit=False), "type GridSearchCV, .* since refit=False"),
    (SplineTransformer(degree=1, extrapolation="linear"), "type SplineTransformer, .* with linear extrapolation"),
    (OneVsRestClassifier(LinearRegression()), "LinearRegression, .* without decision_function and predict_proba"),
    (RandomForestClassifier(2), r"type RandomForestClassifier, .*\.register\(RandomForestClassifier\)\.$"),
    (StackingClassifier([("rf", RandomForestClassifier(2))], SVC(), cv=2), "step 'rf' is of type RandomForest"),
    (StackingClassifier([("lr", GaussianNB())], RandomForestClassifier(2), cv=2), "step 'final_estimator' is of type"),
    (FunctionTransformer(np.sort), "type FunctionTransformer, .* with func=sort"),
]


@pytest.mark.parametrize(("estimator", "message"), REFUSED, ids=range(len(REFUSED)))
def test_settings_that_no_converter_knows_are_refused(blobs, estimator, message):
    with pytest.raises(NotConvertibleError, match=message) as caught:
        to_torch(estimator.fit(*blobs))
    assert "skrobust.torchify.register(" in str(caught.value)


def test_probabilities_of_support_vector_machines_are_refused(blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        fitted = voting(SVC(probability=True), voting="soft").fit(*blobs)
    with pytest.raises(NotConvertibleError, match=r"step 'inner' is of type SVC, .* CalibratedClassifierCV"):
        to_torch(fitted)


def test_errors_survive_pickling(blobs):
    with pytest.raises(NotConvertibleError) as caught:
        to_torch(make_pipeline(RandomForestClassifier(2)).fit(*blobs))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.path == ("randomforestclassifier",)


SEVERAL = [OneVsRestClassifier(LogisticRegression()), RidgeClassifier(), MultiOutputClassifier(LogisticRegression())]


@pytest.mark.parametrize("estimator", SEVERAL, ids=str)
def test_several_answers_per_row_are_refused(estimator):
    X, Y = make_multilabel_classification(30, random_state=0)
    with pytest.raises(ValueError, match="no single answer per row: fit one classifier per"):
        to_torch(estimator.fit(X, Y), X)


class Negated(ClassifierMixin, BaseEstimator):
    """Holds another classifier, as users' own meta-estimators do."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self.estimator_ = self.estimator.fit(X, y)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X):
        return self.classes_[self.estimator_.decision_function(X).argmin(axis=1)]


def test_converters_of_users_may_convert_what_they_hold(blobs):
    @register(Negated)
    def convert_negated(fitted):
        return torch.nn.Sequential(to_torch(fitted.estimator_, bridge=True), Minus())

    class Minus(torch.nn.Module):
        def forward(self, X):
            return -X

    X, y = blobs
    inner = make_pipeline(FunctionTransformer(np.sort), SVC())
    module = to_torch(Negated(inner).fit(X, y), X, bridge=True)
    assert module(torch.from_numpy(X)).shape == (90, 3)
    to_torch(make_pipeline(StandardScaler(), Negated(make_pipeline(StandardScaler(), SVC()))).fit(X, y), X)


def test_certain_answers_have_finite_logits_and_gradients(blobs):
    X, y = blobs
    fitted = CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=3).fit(X, y)
    assert (fitted.predict_proba(X) == 0).any()
    rows = torch.from_numpy(X * 100).requires_grad_()
    logits = to_torch(fitted)(rows)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert torch.isfinite(rows.grad).all()


# Functions without a name cannot be pickled, and torch pickles a tensor another way each time.
PICKLED = [case for case in CASES if not re.search("lambda|OffSupport", repr(case.estimator))]


@pytest.mark.parametrize("case", PICKLED, ids=str)
def test_conversion_leaves_everything_as_it_was(case):
    X, y = make_data(case, seed=0)
    fitted = fit(case.estimator, X, y)
    before, state, torch_state = pickle.dumps(fitted), np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    module = to_torch(fitted)
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in module.modules())
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.zero_()
    assert pickle.dumps(fitted) == before
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)
