"""Torch modules answer as the estimators they were made from, with true gradients, and share nothing with them."""

import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.impute import KNNImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skrobust import OffSupportRobustClassifier
from skrobust.torchify import NotConvertibleError, register, to_torch

SCALERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler(),
    MinMaxScaler(feature_range=(-2, 5)),
    MinMaxScaler(clip=True),
]


def fitted_mlp(X, y, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MLPClassifier(**{"hidden_layer_sizes": (7, 5), "max_iter": 5, "random_state": 0, **params}).fit(X, y)


def logits_of(estimator, X):
    return to_torch(estimator)(torch.from_numpy(np.ascontiguousarray(X))).numpy()


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@given(scale=st.floats(1e-3, 1e4), shift=st.floats(-1e4, 1e4), seed=st.integers(0, 99))
def test_scalers_give_the_same_values(scaler, scale, shift, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 3)) * [scale, 1.0, 0.0] + shift
    fitted = copy.deepcopy(scaler).fit(X)
    new = X + rng.normal(size=X.shape)
    np.testing.assert_allclose(logits_of(fitted, new), fitted.transform(new), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_mlp_classifier_gives_the_same_probabilities(blobs, activation, n_classes):
    X, y = blobs
    X, y = X[y < n_classes], y[y < n_classes]
    mlp = fitted_mlp(X, y, activation=activation)
    probabilities = torch.from_numpy(logits_of(mlp, X)).softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, mlp.predict_proba(X), rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_off_support_gives_the_same_logits(quick, blobs, dtype, n_classes):
    X, y = blobs[0].astype(dtype), blobs[1]
    clf = quick().fit(X[y < n_classes], y[y < n_classes])
    logits = logits_of(clf, X)
    expected = clf.decision_function(X)
    assert logits.dtype == np.float64
    np.testing.assert_allclose(
        logits[:, 1] - logits[:, 0] if n_classes == 2 else logits, expected, rtol=1e-5, atol=1e-6
    )


def test_network_for_images_takes_rows_and_images(quick, digit_images):
    X, y = digit_images
    clf = quick(module="lenet", max_epochs=1).fit(X, y)
    module = to_torch(clf)
    for images in (X, X.reshape(len(X), -1)):
        np.testing.assert_allclose(module(torch.from_numpy(images)).numpy(), clf.decision_function(X), rtol=1e-10)


@pytest.mark.parametrize("nothing", ["passthrough", None])
def test_pipeline_leaves_out_steps_that_do_nothing(quick, blobs, nothing):
    X, y = blobs
    inner = Pipeline([("nothing", nothing), ("scale", MinMaxScaler())])
    pipe = Pipeline([("inner", inner), ("scale", StandardScaler()), ("also", nothing), ("clf", quick())]).fit(X, y)
    np.testing.assert_allclose(logits_of(pipe, X), pipe.decision_function(X), rtol=1e-10)


def test_pipeline_of_transformers_gives_transformed_rows(blobs):
    pipe = make_pipeline(StandardScaler(), MinMaxScaler()).fit(blobs[0])
    np.testing.assert_allclose(logits_of(pipe, blobs[0]), pipe.transform(blobs[0]), atol=1e-14)


def test_float64_data_far_from_zero_keep_their_digits(blobs):
    X = 1e4 + 1e-3 * blobs[0]
    scaler = StandardScaler().fit(X)
    np.testing.assert_allclose(logits_of(scaler, X), scaler.transform(X), atol=1e-10)


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
def test_gradients_are_those_of_finite_differences(blobs, scaler):
    X, y = blobs
    pipe = make_pipeline(copy.deepcopy(scaler), MLPClassifier((6,), activation="tanh", max_iter=2000, random_state=0))
    module = to_torch(pipe.fit(X, y))
    inside = torch.from_numpy((X[:5] + X.mean(axis=0)) / 2).requires_grad_()
    assert torch.autograd.gradcheck(module, (inside,))


def test_gradient_passes_where_clipping_begins(blobs):
    X = blobs[0]
    module = to_torch(MinMaxScaler(clip=True).fit(X))
    rows = torch.from_numpy(np.stack([X.min(axis=0), X.max(axis=0)])).requires_grad_()
    module(rows).sum().backward()
    assert (rows.grad > 0).all()


def test_module_is_frozen_and_shares_nothing(quick, blobs):
    clf = quick().fit(*blobs)
    original = clf.net_.module_.train()
    before = copy.deepcopy(original.state_dict())
    module = to_torch(clf)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in module.modules())
    assert original.training
    assert all(parameter.requires_grad for parameter in original.parameters())
    assert all((before[name] == value).all() for name, value in original.state_dict().items())


def test_scikit_learn_weights_are_copied(blobs):
    mlp = fitted_mlp(*blobs)
    before = copy.deepcopy(mlp.coefs_)
    with torch.no_grad():
        for parameter in to_torch(mlp).parameters():
            parameter.zero_()
    assert all((one == other).all() for one, other in zip(before, mlp.coefs_, strict=True))


def test_random_state_of_torch_is_untouched(quick, blobs):
    mlp, clf = fitted_mlp(*blobs), quick().fit(*blobs)
    before = torch.get_rng_state()
    to_torch(mlp), to_torch(clf)
    assert torch.equal(before, torch.get_rng_state())


class Halve(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X / 2


class HalveAgain(Halve):
    pass


class HalveModule(torch.nn.Module):
    def forward(self, X):
        return X / 2


def test_registered_class_and_its_subclasses_convert(quick, blobs):
    @register(Halve)
    def convert_halve(fitted):
        return HalveModule()

    X, y = blobs
    pipe = make_pipeline(Halve(), HalveAgain(), quick()).fit(X, y)
    np.testing.assert_allclose(logits_of(pipe, X), pipe.decision_function(X), rtol=1e-10)


def test_unknown_class_is_named_with_the_remedy(blobs):
    with pytest.raises(
        NotConvertibleError,
        match=r"^the estimator is of type KNNImputer, .* skrobust\.torchify\.register\(KNNImputer\)",
    ):
        to_torch(KNNImputer().fit(blobs[0]))


def test_unknown_step_is_named_with_its_path(quick, blobs):
    pipe = Pipeline([("reduce", make_pipeline(StandardScaler(), KNNImputer())), ("clf", quick())]).fit(*blobs)
    with pytest.raises(NotConvertibleError, match="step 'reduce__knnimputer' is of type KNNImputer"):
        to_torch(pipe)


def test_what_is_no_estimator_is_refused():
    with pytest.raises(NotConvertibleError, match="the estimator is of type dict"):
        to_torch({})


@pytest.mark.parametrize("estimator", [StandardScaler(), OffSupportRobustClassifier(), make_pipeline(MinMaxScaler())])
def test_unfitted_estimators_are_refused(estimator):
    with pytest.raises(NotFittedError):
        to_torch(estimator)


def test_multilabel_network_is_refused():
    X, y = make_multilabel_classification(30, random_state=0)
    with pytest.raises(ValueError, match="multilabel y"):
        to_torch(fitted_mlp(X, y))
