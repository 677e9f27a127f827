"""What has no gradient of its own: bridges to numpy, and steps of discrete values."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.impute import KNNImputer, MissingIndicator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from skrobust.torchify import NotConvertibleError, has_bridge, straight_through, to_torch


class Curves(TransformerMixin, BaseEstimator):
    """Smooth, row-wise and unknown to to_torch."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return np.stack([np.sin(X[:, 0]), X[:, 1] ** 2 * X[:, 0], *X.T[2:]], axis=1)


def gradient_of(module, X):
    rows = torch.from_numpy(np.array(X, dtype=float)).requires_grad_()
    module(rows).sum().backward()
    return rows.grad.numpy()


def test_bridge_gives_the_same_values_and_gradients(rng):
    X = rng.normal(size=(30, 4)) * [1.0, 1.0, 1e-3, 1e4]
    module = to_torch(Curves().fit(X), X, bridge=True)
    assert has_bridge(module)
    expected = np.ones_like(X)
    expected[:, :2] = np.stack([np.cos(X[:, 0]) + X[:, 1] ** 2, 2 * X[:, 0] * X[:, 1]], axis=1)
    np.testing.assert_allclose(gradient_of(module, X), expected, rtol=1e-6, atol=1e-6)


def test_bridge_in_the_middle_of_a_pipeline(blobs):
    X, y = blobs
    columns = make_column_transformer((Curves(), [0, 1]), remainder=StandardScaler())
    pipe = make_pipeline(StandardScaler(), columns, LogisticRegression()).fit(X, y)
    module = to_torch(pipe, X, bridge=True)
    assert has_bridge(module)
    assert torch.autograd.gradcheck(module, torch.from_numpy(X[:3]).requires_grad_(), atol=1e-4)


def test_bridge_fills_missing_values(blobs, rng):
    X, y = blobs
    X = np.where(rng.uniform(size=X.shape) < 0.1, np.nan, X)
    module = to_torch(make_pipeline(KNNImputer(), LogisticRegression()).fit(X, y), X, bridge=True)
    assert has_bridge(module)
    assert np.isfinite(gradient_of(module, X)).all()


def test_bridge_leaves_its_transformer_alone(blobs):
    fitted = KMeans(3, random_state=0, n_init=1).fit(blobs[0])
    before = pickle.dumps(fitted)
    module = to_torch(fitted, blobs[0], bridge=True)
    fitted.cluster_centers_ *= 2
    np.testing.assert_allclose(module(torch.from_numpy(blobs[0])).numpy(), pickle.loads(before).transform(blobs[0]))


def test_no_bridge_unless_asked_for(blobs):
    fitted = Curves().fit(blobs[0])
    with pytest.raises(NotConvertibleError, match=r"^the estimator is of type Curves, which to_torch cannot convert: "):
        to_torch(fitted, blobs[0])
    assert not has_bridge(to_torch(StandardScaler().fit(blobs[0]), blobs[0], bridge=True))


def test_bridge_needs_rows(blobs):
    for X in (None, blobs[0][:0]):
        with pytest.raises(NotConvertibleError, match=r"no bridge can replace without rows to check it on \(pass X\)"):
            to_torch(Curves().fit(blobs[0]), X, bridge=True)


def test_bridge_takes_few_features(rng):
    X = rng.normal(size=(5, 65))
    with pytest.raises(NotConvertibleError, match="since it takes 65 features, more than 64"):
        to_torch(Curves().fit(X), X, bridge=True)


class Broken(Curves):
    def transform(self, X):
        raise RuntimeError("no such thing")


DEPENDENT = [
    FunctionTransformer(lambda X: X - X.mean(axis=0)),
    FunctionTransformer(lambda X: X + np.random.default_rng().normal(size=X.shape)),
    FunctionTransformer(lambda X: np.asarray(X).sum(axis=1)),
    FunctionTransformer(lambda X: np.asarray(X)[:1]),
]


@pytest.mark.parametrize("transformer", DEPENDENT, ids=range(len(DEPENDENT)))
def test_bridge_is_for_steps_that_see_one_row_at_a_time(blobs, transformer):
    pipe = make_pipeline(StandardScaler(), copy.deepcopy(transformer)).fit(blobs[0])
    with pytest.raises(NotConvertibleError, match="what it makes of a row depends on other rows, or on chance"):
        to_torch(pipe, blobs[0], bridge=True)


def test_bridge_says_why_it_fails(blobs):
    with pytest.raises(NotConvertibleError, match=r"its transform fails \(RuntimeError: no such thing\): write a fun"):
        to_torch(Broken().fit(blobs[0]), blobs[0], bridge=True)


def test_classifiers_are_not_bridged(blobs):
    pipe = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(*blobs)
    with pytest.raises(NotConvertibleError, match="step 'decisiontreeclassifier' is of type DecisionTreeClassifier"):
        to_torch(pipe, blobs[0], bridge=True)


def test_classifiers_that_transform_are_bridged_as_steps(blobs):
    X, y = blobs
    stack = StackingClassifier([("lr", LogisticRegression())], cv=2)
    pipe = make_pipeline(stack, LogisticRegression()).fit(X, y)
    assert has_bridge(to_torch(pipe, X, bridge=True))
    with pytest.raises(NotConvertibleError, match="of type StackingClassifier, which to_torch cannot convert as a tra"):
        to_torch(pipe, X)


def doubled(X):
    return 2 * np.asarray(X.detach() if hasattr(X, "detach") else X)


def test_functions_of_numpy_that_torch_has_not_need_a_bridge(blobs):
    X, _ = blobs
    for function in (np.sort, lambda X: np.asarray(X) ** 2, doubled):
        fitted = FunctionTransformer(function).fit(X)
        with pytest.raises(NotConvertibleError, match=r"FunctionTransformer.* with func=.*row by row"):
            to_torch(fitted, X)
        assert has_bridge(to_torch(fitted, X, bridge=True))


def test_functions_need_no_fit_and_may_be_objects_without_hash(blobs):
    class Twice:
        __hash__ = None

        def __call__(self, X):
            return 2 * X

    for fitted in (FunctionTransformer(np.tanh), FunctionTransformer(Twice())):
        module = to_torch(fitted)
        np.testing.assert_allclose(module(torch.from_numpy(blobs[0])).numpy(), fitted.transform(blobs[0]))


DISCRETE = [
    Binarizer(threshold=0.1),
    KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
    KBinsDiscretizer(3, encode="onehot", strategy="uniform"),
    make_pipeline(FunctionTransformer(lambda X: X.round()), "passthrough"),
    make_pipeline(KBinsDiscretizer(3, encode="ordinal", strategy="uniform"), OneHotEncoder(handle_unknown="ignore")),
    make_pipeline(KBinsDiscretizer(3, encode="ordinal", strategy="uniform"), OrdinalEncoder()),
]


@pytest.mark.parametrize("step", [*DISCRETE[:3], *DISCRETE[4:]], ids=str)
def test_discrete_steps_get_the_gradient_of_a_slope_on_demand(blobs, step):
    X, y = blobs
    pipe = make_pipeline(step, LogisticRegression()).fit(X, y)
    module = to_torch(pipe, X)
    values = module(torch.from_numpy(X))
    assert (gradient_of(lambda rows: module(rows)[:, :1], X) == 0).all()
    with straight_through(module) as inside:
        assert inside is module
        np.testing.assert_array_equal(module(torch.from_numpy(X)).numpy(), values.numpy())
        assert (gradient_of(lambda rows: module(rows)[:, :1], X) != 0).any(axis=1).all()
    assert (gradient_of(lambda rows: module(rows)[:, :1], X) == 0).all()


def test_slope_of_bins_is_one_over_their_width():
    X = np.linspace(0, 8, 9)[:, None]
    module = to_torch(KBinsDiscretizer(4, encode="ordinal", strategy="uniform").fit(X), X)
    with straight_through(module):
        np.testing.assert_allclose(gradient_of(module, X), 1 / 2)


def test_slopes_of_categories_lead_from_one_to_the_next():
    X = np.array([[10.0], [20.0], [40.0]])
    module = to_torch(OneHotEncoder().fit(X), X)
    with straight_through(module):
        rows = torch.from_numpy(X).requires_grad_()
        jacobian = torch.autograd.functional.jacobian(lambda rows: module(rows).sum(dim=0), rows)[:, :, 0].numpy()
    np.testing.assert_allclose(jacobian.T, [[-0.1, 0.1, 0], [0, -0.05, 0.05], [0, -0.05, 0.05]])


def test_slopes_of_constant_columns_are_zero():
    X = np.ones((5, 1))
    with pytest.warns(UserWarning, match="constant"):
        bins = KBinsDiscretizer(3, strategy="uniform").fit(X)
    missing = OneHotEncoder().fit(np.full((3, 1), np.nan))
    for module in (to_torch(bins), to_torch(missing)):
        with straight_through(module):
            assert (gradient_of(module, X) == 0).all()


def test_no_slope_leads_to_missing_values():
    X = np.array([[1.0, np.nan], [2.0, 3.0]])
    module = to_torch(MissingIndicator(features="all").fit(X), X)
    with straight_through(module):
        assert (gradient_of(module, X) == 0).all()


def test_answers_of_stacked_classifiers_have_a_slope(blobs):
    X, y = blobs
    fitted = StackingClassifier([("lr", LogisticRegression())], stack_method="predict", cv=2).fit(X, y)
    module = to_torch(fitted, X)
    assert (gradient_of(lambda rows: module(rows)[:, :1], X) == 0).all()
    with straight_through(module):
        assert (gradient_of(lambda rows: module(rows)[:, :1], X) != 0).any()


def test_straight_through_is_off_again_after_an_error(blobs):
    module = to_torch(make_pipeline(StandardScaler(), BernoulliNB()).fit(*blobs))
    with pytest.raises(KeyError), straight_through(module), straight_through(module):
        raise KeyError
    assert not any(getattr(part, "is_sloped", False) for part in module.modules())
