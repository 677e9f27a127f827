"""Behaviour of the estimator: what scikit-learn's users may count on, and what training really evaluates."""

import copy
import functools
import gc
import pickle
import random
import weakref
from contextlib import nullcontext

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import threadpoolctl
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_blobs
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, log_loss, recall_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn

from skrobust import _objective, make_robustness_scorer
from skrobust.modules import MLP
from skrobust.unlabeled import Extrapolation, Gaussian, Uniform


class Dropout(nn.Sequential):
    """Small network with dropout and a parameter for GridSearchCV."""

    def __init__(self, n_features, n_classes, width=8, dropout=0.5):
        super().__init__(nn.Linear(n_features, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, n_classes))


class Watched(nn.Linear):
    """Linear network that remembers the rows of its training passes."""

    passes = ()

    def forward(self, X):
        if self.training and torch.is_grad_enabled():
            Watched.passes.append(X.detach().clone())
        return super().forward(X)


@pytest.fixture
def passes():
    """Return the list that collects the rows of each training pass of Watched."""
    Watched.passes = []
    yield Watched.passes
    Watched.passes = ()


def assert_same_predictions(first, second, X):
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(first, method)(X), getattr(second, method)(X))


# scikit-learn's tools around it


def test_grid_search_reaches_every_kind_of_parameter_in_a_pipeline(quick, blobs):
    X, y = blobs
    clf = quick(module=Dropout, unlabeled=Uniform(), max_epochs=2)
    grid = {
        "clf__smoothness": [0.0, 0.01],
        "clf__neighbor_radius": [0.5],
        "clf__module__dropout": [0.0, 0.2],
        "clf__optimizer__amsgrad": [True],
        "clf__unlabeled__enlarge": [0.5, 2.0],
    }
    pipe = Pipeline([("scale", StandardScaler()), ("clf", clf)])
    search = GridSearchCV(pipe, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    best = search.best_estimator_["clf"]
    assert best.net_params == {
        "module__dropout": search.best_params_["clf__module__dropout"],
        "optimizer__amsgrad": True,
    }
    assert best.net_.module_[2].p == search.best_params_["clf__module__dropout"]
    assert best.unlabeled.enlarge == search.best_params_["clf__unlabeled__enlarge"]
    assert clf.net_params is None
    assert clf.unlabeled.enlarge == 1.0

    serial = cross_validate(best, X, y, cv=3)
    parallel = cross_validate(best, X, y, cv=3, n_jobs=2)
    np.testing.assert_array_equal(serial["test_score"], parallel["test_score"])


def test_get_and_set_params_know_the_names_of_skorch(quick):
    given = {"module__dropout": 0.1}
    clf = quick(net_params=given, unlabeled=Uniform())
    assert clf.get_params()["module__dropout"] == 0.1
    assert clf.get_params()["unlabeled__enlarge"] == 1.0
    assert "module__dropout" not in clf.get_params(deep=False)
    clf.set_params(module__dropout=0.2, compile=True, smoothness=0.5, unlabeled__enlarge=3.0)
    assert given == {"module__dropout": 0.1}, "the user's own dict is not touched"
    assert clf.net_params == {"module__dropout": 0.2, "compile": True}
    assert (clf.smoothness, clf.unlabeled.enlarge) == (0.5, 3.0)
    clf.set_params(unlabeled=Uniform(), unlabeled__enlarge=4.0)
    assert clf.unlabeled.enlarge == 4.0


def test_clone_copies_parameters_and_nothing_else(quick, blobs):
    callbacks = [("clip", GradientNormClipping(1.0))]
    clf = quick(net_params={"module__activation": nn.Tanh}, unlabeled=Uniform(2.0), callbacks=callbacks).fit(*blobs)
    copied = clone(clf)
    assert not hasattr(copied, "net_")
    assert copied.net_params == clf.net_params
    assert copied.unlabeled.enlarge == 2.0
    assert copied.unlabeled is not clf.unlabeled
    assert_same_predictions(copied.fit(*blobs), clf, blobs[0])


@pytest.mark.parametrize("dump", ["pickle", "joblib", "deepcopy"])
@pytest.mark.parametrize("module", ["mlp", Dropout, nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))], ids=str)
def test_copies_of_a_fitted_classifier_predict_the_same_and_train_on(quick, blobs, tmp_path, module, dump):
    X, y = blobs
    clf = quick(module=module, warm_start=True).fit(X, y)
    if dump == "pickle":
        loaded = pickle.loads(pickle.dumps(clf))
    elif dump == "joblib":
        joblib.dump(clf, tmp_path / "clf.joblib")
        loaded = joblib.load(tmp_path / "clf.joblib")
    else:
        loaded = copy.deepcopy(clf)
    assert_same_predictions(loaded, clf, X)
    assert loaded.history_ == clf.history_
    before = clf.predict_proba(X)
    told = pytest.warns(UserWarning, match="The optimizer was not saved") if dump != "deepcopy" else nullcontext()
    with told:
        assert loaded.partial_fit(X, y).n_iter_ == 4
    assert loaded.fit(X, y).n_iter_ == 7
    assert not np.array_equal(loaded.predict_proba(X), before)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert clf.n_iter_ == len(clf.net_.history) == 3


def test_an_unfitted_classifier_can_be_pickled(quick, blobs):
    loaded = pickle.loads(pickle.dumps(quick(smoothness=0.07)))
    assert loaded.smoothness == 0.07
    assert not hasattr(loaded, "net_")
    assert_same_predictions(loaded.fit(*blobs), quick(smoothness=0.07).fit(*blobs), blobs[0])


def test_pandas_frames_behind_a_transformer_keep_their_names(quick, blobs):
    X, y = blobs
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    labels = pd.Series(y, index=range(100, 190)).map({0: "red", 1: "green", 2: "blue"})
    pipe = make_pipeline(StandardScaler(), quick(early_stopping=True)).set_output(transform="pandas").fit(frame, labels)
    assert pipe[-1].feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert pipe.classes_.tolist() == ["blue", "green", "red"]
    with pytest.raises(ValueError, match="feature names should match those that were passed during fit"):
        pipe[-1].predict(frame.rename(columns={"a": "z"}))
    arrays = make_pipeline(StandardScaler(), quick(early_stopping=True)).fit(X, labels.to_numpy())
    np.testing.assert_allclose(pipe.predict_proba(frame), arrays.predict_proba(X))


def test_meta_estimators_take_it(quick, blobs):
    X, y = blobs
    clf = quick(max_epochs=30, lr=0.01)
    vote = VotingClassifier([("robust", clf), ("linear", LogisticRegression())], voting="soft").fit(X, y)
    calibrated = CalibratedClassifierCV(clf, cv=2).fit(X, y)
    for ensemble in (vote, calibrated):
        assert ensemble.score(X, y) > 0.9
        np.testing.assert_allclose(ensemble.predict_proba(X).sum(axis=1), 1)


def test_unlabeled_rows_are_routed_through_a_pipeline_and_transformed(quick, blobs, rng):
    X, y = blobs
    X, unlabeled = 3 + 5 * X, 3 + 5 * rng.normal(size=(40, 4))
    with sklearn.config_context(enable_metadata_routing=True):
        clf = quick().set_fit_request(X_unlabeled=True, sample_weight=False)
        pipe = Pipeline([("scale", StandardScaler()), ("clf", clf)], transform_input=["X_unlabeled"])
        pipe.fit(X, y, X_unlabeled=unlabeled)
    scaler = StandardScaler().fit(X)
    scaled = scaler.transform(X)
    expected = quick().fit(scaled, y, X_unlabeled=scaler.transform(unlabeled))
    np.testing.assert_array_equal(pipe.predict_proba(X), expected.predict_proba(scaled))
    assert not np.array_equal(expected.predict_proba(scaled), quick().fit(scaled, y).predict_proba(scaled))


class Epochs(Callback):
    """Callback that counts epochs, in steps."""

    def __init__(self, step=1):
        self.step = step

    def initialize(self):
        self.count_ = 0

    def on_epoch_end(self, net, **kwargs):
        self.count_ += self.step
        net.history.record("counted", self.count_)


@pytest.mark.parametrize("callbacks", [[("epochs", Epochs())], [("epochs", Epochs)]], ids=["instance", "class"])
def test_callbacks_of_skorch_run_on_copies_with_their_parameters(quick, blobs, callbacks):
    clf = quick(callbacks=callbacks).set_params(callbacks__epochs__step=5).fit(*blobs)
    assert [epoch["counted"] for epoch in clf.history_] == [5, 10, 15]
    assert not hasattr(callbacks[0][1], "count_")
    assert getattr(callbacks[0][1], "step", 1) == 1
    clf.set_params(net_params={"callbacks__epochs": None}).fit(*blobs)
    assert "counted" not in clf.history_[-1]


def test_the_user_may_stop_training_and_keep_the_net(quick, blobs):
    class Impatient(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    clf = quick(max_epochs=50, callbacks=[Impatient()]).fit(*blobs)
    assert clf.n_iter_ == 2
    assert clf.predict(blobs[0]).shape == (90,)


def test_compiled_networks_learn_the_same(quick, blobs, tmp_path):
    clf = quick(net_params={"compile": True, "compile__backend": "eager"}).fit(*blobs)
    assert hasattr(clf.net_.module_, "_orig_mod")
    np.testing.assert_allclose(clf.predict_proba(blobs[0]), quick().fit(*blobs).predict_proba(blobs[0]))
    assert_same_predictions(pickle.loads(pickle.dumps(clf)), clf, blobs[0])


def test_compilation_that_a_layer_of_noise_leaves_unused_warns(quick, blobs):
    compiled = {"compile": True, "compile__backend": "eager"}
    with pytest.warns(UserWarning, match=r"compile=True in net_params is not used in training with noise_layer='0'"):
        quick(module=Dropout, noise_layer="0", net_params=compiled).fit(*blobs)


# Randomness


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"module": Dropout},
        {"batch_size": 200},
        {"unlabeled": "uniform", "neighbors": "extrapolation", "n_unlabeled": 1.5, "n_neighbors": 2},
        {"early_stopping": True},
        {"smoothness": 0},
        {"dtype": "float32"},
    ],
    ids=str,
)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(quick, blobs, params):
    first, again, other = (quick(**{"random_state": seed, **params}).fit(*blobs) for seed in (3, 3, 4))
    assert_same_predictions(first, again, blobs[0])
    for ours, theirs in zip(first.history_, again.history_, strict=True):
        assert {key: ours[key] for key in ours if key != "dur"} == {key: theirs[key] for key in theirs if key != "dur"}
    assert not np.array_equal(first.predict_proba(blobs[0]), other.predict_proba(blobs[0]))


def test_partial_fits_repeat_with_the_seed_and_draw_anew_in_each_call(quick, blobs):
    def fitted(n_calls):
        clf = quick(lr=1e-12, batch_size=200)  # the weights stay, so that the penalty tells the noise apart
        for _ in range(n_calls):
            clf.partial_fit(*blobs, classes=[0, 1, 2])
        return [epoch["train_penalty"] for epoch in clf.history_]

    assert fitted(3) == fitted(3)
    assert len(set(fitted(3))) == 3


def test_a_random_state_object_advances_and_none_differs_every_time(quick, blobs):
    state = np.random.RandomState(0)
    first, second = (quick(random_state=state).fit(*blobs).predict_proba(blobs[0]) for _ in range(2))
    assert not np.array_equal(first, second)
    first, second = (quick(random_state=None).fit(*blobs).predict_proba(blobs[0]) for _ in range(2))
    assert not np.array_equal(first, second)


def test_the_global_random_states_are_left_alone(quick, blobs):
    X, y = blobs
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()  # noqa: NPY002
    clf = quick(module=Dropout, early_stopping=True, unlabeled="extrapolation").fit(X, y)
    clf.partial_fit(X, y).predict_proba(X)
    after = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()  # noqa: NPY002
    assert before == after


# Labels, weights, input


LABELS = {
    "strings": ["setosa", "versicolor", "virginica"],
    "numbers": [-1, 1, 7],
    "floats": [0.0, 1.0, 5.0],
    "objects": np.array(["a", "bb", "ccc"], dtype=object),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_may_be_of_any_kind(quick, blobs, labels):
    X, codes = blobs
    y = np.asarray(labels)[codes]
    clf, reference = quick().fit(X, y), quick().fit(X, codes)
    assert clf.classes_.tolist() == list(labels)
    np.testing.assert_array_equal(clf.predict(X), clf.classes_[reference.predict(X)])
    np.testing.assert_array_equal(clf.predict_proba(X), reference.predict_proba(X))


@pytest.mark.parametrize("labels", [[-1, 1], [False, True], ["no", "yes"]], ids=str)
def test_two_classes_have_one_score_that_agrees_with_the_predictions(quick, blobs, labels):
    X, codes = blobs
    y = np.asarray(labels)[(codes > 0).astype(int)]
    clf = quick().fit(X, y)
    score, probability = clf.decision_function(X), clf.predict_proba(X)
    assert score.shape == (90,)
    np.testing.assert_array_equal(clf.predict(X), clf.classes_[(score > 0).astype(int)])
    np.testing.assert_allclose(probability[:, 1], 1 / (1 + np.exp(-score)))


def test_scores_probabilities_and_predictions_agree(quick, blobs):
    X, y = blobs
    clf = quick().fit(X, y)
    score, probability = clf.decision_function(X), clf.predict_proba(X)
    assert score.shape == probability.shape == (90, 3)
    np.testing.assert_array_equal(clf.predict(X), score.argmax(axis=1))
    np.testing.assert_allclose(probability, np.exp(score) / np.exp(score).sum(axis=1, keepdims=True))


def test_balanced_class_weights_raise_the_recall_of_the_minority(quick):
    X, y = make_blobs([300, 20], n_features=3, centers=[[0, 0, 0], [1, 1, 1]], random_state=0)
    plain, balanced, manual = (
        quick(class_weight=weight, max_epochs=15, lr=0.01).fit(X, y) for weight in (None, "balanced", {0: 1, 1: 15})
    )
    recalls = [recall_score(y, clf.predict(X)) for clf in (plain, balanced, manual)]
    assert recalls[0] + 0.2 < min(recalls[1:])
    np.testing.assert_allclose(balanced.predict_proba(X), manual.predict_proba(X))


def test_row_weights_draw_the_answer_to_heavy_rows(quick):
    X, y = make_blobs([60, 60], n_features=3, centers=[[0, 0, 0], [0.5, 0.5, 0.5]], random_state=0)
    low, high = (
        quick(max_epochs=15, lr=0.01).fit(X, y, sample_weight=np.where(y == 1, weight, 1)) for weight in (0.1, 10)
    )
    assert (low.predict(X) == 1).mean() + 0.3 < (high.predict(X) == 1).mean()


@pytest.mark.parametrize("batch_size", [16, 200])
def test_rows_without_weight_are_as_good_as_absent(quick, blobs, batch_size):
    X, y = blobs
    weight = np.ones(90)
    weight[::3] = 0
    weighted = quick(batch_size=batch_size).fit(X, y, sample_weight=weight)
    without = quick(batch_size=batch_size).fit(X[weight > 0], y[weight > 0])
    assert_same_predictions(weighted, without, X)
    assert weighted.data_scale_ == without.data_scale_


def test_equal_weights_are_no_weights(quick, blobs):
    assert_same_predictions(quick().fit(*blobs, sample_weight=np.full(90, 7.0)), quick().fit(*blobs), blobs[0])


def test_integer_weights_equal_repetitions_in_a_full_batch(quick, blobs):
    X, y = blobs[0][:20], blobs[1][:20]
    times = np.arange(20) % 3 + 1
    weighted = quick(batch_size=64).fit(X, y, sample_weight=times)
    repeated = quick(batch_size=64).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-9)
    assert weighted.data_scale_ == pytest.approx(repeated.data_scale_)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_input_is_read_and_never_written(quick, blobs, rng, dtype, order):
    X, y, weight = blobs[0].astype(dtype, order=order), blobs[1].copy(), rng.uniform(1, 2, 90)
    pool = rng.normal(size=(20, 4)).astype(dtype)
    arrays = X, y, weight, pool
    before = [array.copy() for array in arrays]
    quick().fit(X, y, sample_weight=weight, X_unlabeled=pool).partial_fit(X, y, sample_weight=weight).predict(X)
    for array, expected in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, expected)
        array.flags.writeable = False
    clf = quick().fit(X, y, sample_weight=weight, X_unlabeled=pool).partial_fit(X, y, sample_weight=weight)
    assert clf.predict_proba(X).dtype == dtype


def test_lists_and_integers_are_data_too(quick):
    X, y = [[0, 1], [5, 6], [0, 2], [6, 6]], ["a", "b", "a", "b"]
    np.testing.assert_array_equal(
        quick().fit(X, y).predict_proba(X), quick().fit(np.array(X, float), y).predict_proba(X)
    )


@pytest.mark.parametrize(
    ("dtype", "data", "expected", "output"),
    [
        ("auto", "float64", torch.float64, "float64"),
        ("auto", "float32", torch.float32, "float32"),
        ("float32", "float64", torch.float32, "float32"),
        ("float64", "float32", torch.float64, "float64"),
        ("bfloat16", "float64", torch.float32, "float32"),
    ],
)
def test_precision(quick, blobs, dtype, data, expected, output):
    X, y = blobs[0].astype(data), blobs[1]
    clf = quick(dtype=dtype, max_epochs=20, lr=0.01).fit(X, y)
    assert {parameter.dtype for parameter in clf.net_.module_.parameters()} == {expected}
    assert clf.predict_proba(X).dtype == output
    assert clf.score(X, y) > 0.9


def test_chunks_of_another_precision_train_the_net_as_it_is(quick, blobs):
    X, y = blobs
    clf = quick(warm_start=True).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X.astype("float32"), y)
    clf.fit(X.astype("float32"), y)
    assert clf.predict_proba(X.astype("float32")).dtype == np.float64


# Images and networks


@pytest.mark.parametrize("module", ["mlp", "lenet"])
def test_images_in_any_form_are_the_same_images(quick, digit_images, module):
    images, y = digit_images
    forms = [(images, {}), (images[:, None], {}), (images.reshape(-1, 64), {"image_shape": (8, 8)})]
    forms += [(images.reshape(-1, 64), {"image_shape": (1, 8, 8)}), (images, {"image_shape": (8, 8)})]
    fitted = [quick(module=module, max_epochs=1, **params).fit(X, y) for X, params in forms]
    expected = fitted[0].predict_proba(images)
    for clf, (X, _) in zip(fitted, forms, strict=True):
        np.testing.assert_array_equal(clf.predict_proba(X), expected)
        np.testing.assert_array_equal(clf.predict_proba(images[:, None]), expected)
        assert clf.n_features_in_ == 64


def test_color_images_have_channels_first(quick, rng):
    images, y = rng.normal(size=(20, 3, 4, 6)), np.arange(20) % 2
    clf = quick(module="lenet", max_epochs=1).fit(images, y)
    assert clf.net_.module_[0].in_channels == 3
    assert clf.net_.row_shape == (3, 4, 6)
    flat = quick(module="lenet", max_epochs=1, image_shape=(3, 4, 6)).fit(images.reshape(20, -1), y)
    np.testing.assert_array_equal(flat.predict_proba(images.reshape(20, -1)), clf.predict_proba(images))


def test_lenet_learns_digits(quick, digit_images):
    images, y = digit_images
    clf = quick(module="lenet", max_epochs=25, dtype="float32", smoothness=0.01).fit(images, y)
    assert clf.score(images, y) > 0.9


def test_images_are_unlabeled_rows_too(quick, digit_images):
    images, y = digit_images
    clf = quick(max_epochs=1, unlabeled=None).fit(images[:100], y[:100], X_unlabeled=images[100:150])
    flat = quick(max_epochs=1, unlabeled=None, image_shape=(8, 8)).fit(
        images[:100].reshape(100, -1), y[:100], X_unlabeled=images[100:150].reshape(50, -1)
    )
    np.testing.assert_array_equal(clf.predict_proba(images), flat.predict_proba(images.reshape(200, -1)))


@pytest.mark.parametrize(
    ("params", "widths"), [({}, (8,)), ({"hidden_layer_sizes": 5}, (5,)), ({"hidden_layer_sizes": [4, 3]}, (4, 3))]
)
def test_hidden_layers_of_the_mlp(quick, blobs, params, widths):
    network = quick(max_epochs=1, **params).fit(*blobs).net_.module_
    assert isinstance(network, MLP)
    assert tuple(layer.out_features for layer in network if isinstance(layer, nn.Linear)) == (*widths, 3)


@pytest.mark.parametrize(
    "module",
    [
        MLP,
        nn.Linear,
        Dropout,
        functools.partial(Dropout, width=3),
        lambda n_features, n_classes: MLP(n_features, n_classes),
    ],
)
def test_classes_and_factories_get_the_sizes_of_the_data(quick, blobs, module):
    assert quick(module=module, max_epochs=1).fit(*blobs).predict_proba(blobs[0]).shape == (90, 3)


def test_an_instance_is_copied_and_never_trained_in_place(quick, blobs):
    instance = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    before = copy.deepcopy(instance.state_dict())
    clf = quick(module=instance, lr=0.01)
    first = clf.fit(*blobs).predict_proba(blobs[0])
    assert all(torch.equal(value, before[name]) for name, value in instance.state_dict().items())
    assert instance[1].weight.dtype == torch.float32
    assert instance.training
    np.testing.assert_array_equal(clf.fit(*blobs).predict_proba(blobs[0]), first)


def test_batch_norm_keeps_the_statistics_of_labeled_rows(quick, blobs):
    X, y = blobs
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))
    clf = quick(module=module, batch_size=100, max_epochs=3, unlabeled_radius=50.0).fit(
        X + 5, y, X_unlabeled=X[:50] + 15
    )
    layer, kept = clf.net_.module_[0], 0.9**3
    np.testing.assert_allclose(layer.running_mean, (1 - kept) * (X + 5).mean(axis=0))
    np.testing.assert_allclose(layer.running_var, kept + (1 - kept) * X.var(axis=0, ddof=1))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", torch.optim.RMSprop, torch.optim.NAdam])
def test_optimizers(quick, blobs, optimizer):
    clf = quick(optimizer=optimizer, max_epochs=15, lr=0.02, weight_decay=0.01).fit(*blobs)
    assert clf.score(*blobs) > 0.9
    assert clf.net_.optimizer_.param_groups[0]["weight_decay"] == 0.01


def test_an_optimizer_without_weight_decay_is_given_none(quick, blobs):
    clf = quick(optimizer=torch.optim.Rprop, max_epochs=15, lr=0.02).fit(*blobs)
    assert clf.score(*blobs) > 0.9


def test_names_of_skorch_stand_in_for_parameters_left_at_their_defaults(quick, blobs):
    named = quick(net_params={"optimizer__lr": 0.05, "optimizer__weight_decay": 0.3}).fit(*blobs)
    own = quick(lr=0.05, weight_decay=0.3).fit(*blobs)
    assert_same_predictions(named, own, blobs[0])


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_another_implementation_of_the_optimizer_takes_the_place_of_the_fused_one(quick, blobs, optimizer):
    clf = quick(optimizer=optimizer, net_params={"optimizer__foreach": True}).fit(*blobs)
    assert not clf.net_.optimizer_.defaults["fused"]
    fused = quick(optimizer=optimizer, net_params={"optimizer__foreach": False}).fit(*blobs)
    assert fused.net_.optimizer_.defaults["fused"]
    np.testing.assert_allclose(clf.predict_proba(blobs[0]), fused.predict_proba(blobs[0]), rtol=1e-9)


# What training evaluates


@pytest.mark.parametrize("params", [{"smoothness": 0}, {"penalty": None}], ids=str)
def test_plain_training_evaluates_labeled_rows_alone_and_draws_no_noise(quick, blobs, passes, params):
    clf = quick(module=Watched, max_epochs=2, batch_size=30, **params).fit(*blobs)
    assert [len(rows) for rows in passes] == [30] * 6
    rows = torch.cat(passes[:3])
    assert torch.equal(rows.sort(dim=0).values, torch.from_numpy(blobs[0]).sort(dim=0).values)
    figures = ["epoch", "train_cross_entropy", "train_loss", "train_loss_best", "train_batch_count", "dur", "lr"]
    assert list(clf.history_[0]) == figures
    assert np.isnan(clf.off_support_fraction_)
    radii = quick(max_epochs=2, batch_size=30, unlabeled_radius=3.0, neighbor_radius=3.0, **params).fit(*blobs)
    assert_same_predictions(radii, quick(max_epochs=2, batch_size=30, **params).fit(*blobs), blobs[0])


@pytest.mark.parametrize(
    ("n_unlabeled", "n_neighbors", "unlabeled", "n_rows"),
    [
        (1, 1, "gaussian", 30 * 2 * 2),
        (0.5, 2, "uniform", 45 * 3),
        (2, 1, "extrapolation", 90 * 2),
        (0, 1, "gaussian", 60),
        (1, 3, None, 30 * 4),
    ],
)
def test_one_pass_a_step_evaluates_all_points(quick, blobs, passes, n_unlabeled, n_neighbors, unlabeled, n_rows):
    counts = {"n_unlabeled": n_unlabeled, "n_neighbors": n_neighbors}
    quick(module=Watched, max_epochs=2, batch_size=30, unlabeled=unlabeled, **counts).fit(*blobs)
    assert [len(rows) for rows in passes] == [n_rows] * 6


@pytest.mark.parametrize("radius", [0.2, 2.0])
def test_points_lie_at_their_radii_in_units_of_the_data_scale(quick, blobs, passes, radius):
    clf = quick(module=Watched, batch_size=30, max_epochs=20, unlabeled_radius=radius, neighbor_radius=radius / 2)
    clf.fit(*blobs)
    labeled, unlabeled, near_labeled, near_unlabeled = torch.stack(passes).unflatten(1, (4, 30)).unbind(1)
    for points, anchors, expected in (
        (unlabeled, labeled, radius),
        (near_labeled, labeled, radius / 2),
        (near_unlabeled, unlabeled, radius / 2),
    ):
        distance = (points - anchors).square().sum(dim=-1).mean().sqrt().item()
        assert distance == pytest.approx(expected * clf.data_scale_, rel=0.05)


def test_noise_in_units_of_each_feature(quick, blobs, passes):
    X, y = blobs
    X = X * [1, 10, 100, 1000]
    quick(module=Watched, batch_size=30, max_epochs=20, noise_units="std", unlabeled_radius=1.0).fit(X, y)
    labeled, unlabeled, *_ = torch.stack(passes).unflatten(1, (4, 30)).unbind(1)
    spread = (unlabeled - labeled).std(dim=(0, 1)).numpy()
    np.testing.assert_allclose(spread / X.std(axis=0), np.sqrt(2), rtol=0.1)


class Far:
    """Sampler of the user: a fixed place, and a record of what it was given."""

    def sample(self, X, support, radius, generator):
        self.seen = X.shape, support.low.shape, radius, generator.device.type
        return torch.full_like(X, 77.0)


def test_a_sampler_of_the_user_is_asked_for_points(quick, blobs, passes):
    sampler = Far()
    quick(module=Watched, batch_size=30, unlabeled=sampler, unlabeled_radius=0.7, lr=1e-3).fit(*blobs)
    assert sampler.seen[1:] == ((4,), 0.7, "cpu")
    assert all((rows[30:60] == 77).all() for rows in passes)


@pytest.mark.parametrize(
    ("unlabeled", "n_pool"), [(None, 30), ("gaussian", 15), (Extrapolation(), 15)], ids=["alone", "mixed", "object"]
)
def test_unlabeled_rows_of_the_user_are_anchors_beside_generated_ones(quick, blobs, passes, unlabeled, n_pool):
    pool = np.random.default_rng(0).normal(size=(50, 4)) + 12
    clf = quick(module=Watched, batch_size=30, unlabeled=unlabeled, lr=1e-6).fit(*blobs, X_unlabeled=pool)
    seen = set()
    for rows in passes:
        from_pool = rows[30:60][(rows[30:60] > 8).all(dim=1)]
        assert len(from_pool) == n_pool
        seen.update(map(tuple, from_pool.tolist()))
    assert seen <= set(map(tuple, pool.tolist()))
    assert len(seen) > 15
    assert np.isnan(clf.off_support_fraction_) == (unlabeled is None)


@pytest.mark.parametrize(
    ("labels", "mark"),
    [([0, 1, 2], -1), (["a", "b", "c"], "?"), ([0.0, 1.0, 2.0], -1)],
    ids=["integers", "strings", "floats"],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_marked_rows_are_unlabeled_rows(quick, blobs, labels, mark, weighted, rng):
    X, codes = blobs
    y = np.asarray(labels)[codes]
    extra = rng.normal(size=(40, 4)) * 5
    order = rng.permutation(130)
    marked_y = np.concatenate([y, np.full(40, mark, dtype=y.dtype)])[order]
    X_all = np.concatenate([X, extra])[order]
    is_marked = marked_y == mark
    weights = {"sample_weight": np.where(is_marked, 1.0, 1.0 + order % 2)} if weighted else {}
    clf = quick(unlabeled_label=mark).fit(X_all, marked_y, **weights)
    assert clf.classes_.tolist() == labels
    kept = {name: weight[~is_marked] for name, weight in weights.items()}
    passed = quick().fit(X_all[~is_marked], marked_y[~is_marked], X_unlabeled=X_all[is_marked], **kept)
    if not weighted:
        assert_same_predictions(clf, passed, X)
    assert clf.data_scale_ == passed.data_scale_
    assert not np.array_equal(clf.predict_proba(X), quick().fit(X, y).predict_proba(X))


@pytest.mark.parametrize("as_list", [False, True], ids=["array", "list"])
@pytest.mark.parametrize(("labels", "mark"), [(["a", "b", "c"], -1), ([3, 5, 9], "?"), ([0.0, 1.0, 9.0], "?")], ids=str)
def test_marks_of_another_kind_than_the_labels(quick, blobs, labels, mark, as_list):
    X, codes = blobs
    y = [mark if row < 20 else labels[code] for row, code in enumerate(codes)]
    y = y if as_list else np.array(y, dtype=object)
    clf = quick(unlabeled_label=mark).fit(X, y)
    expected = quick().fit(X[20:], np.array(labels)[codes[20:]], X_unlabeled=X[:20])
    assert clf.classes_.tolist() == expected.classes_.tolist() == labels
    assert clf.predict(X).tolist() == expected.predict(X).tolist()
    assert_same_predictions(clf, expected, X)
    by_chunks = quick(unlabeled_label=mark).partial_fit(X, y, classes=[*labels, mark])
    assert by_chunks.partial_fit(X, y).classes_.tolist() == labels


def test_the_mark_among_the_classes_of_partial_fit_is_none(quick, blobs):
    X, y = blobs
    y = np.where(np.arange(90) < 20, -1, y)
    named = quick(unlabeled_label=-1).partial_fit(X, y, classes=np.unique(y)).partial_fit(X, y, classes=np.unique(y))
    without = quick(unlabeled_label=-1).partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    assert named.classes_.tolist() == [0, 1, 2]
    assert_same_predictions(named, without, X)
    assert quick().partial_fit(X, y, classes=np.unique(y)).classes_.tolist() == [-1, 0, 1, 2]


def test_marked_and_passed_rows_are_one_pool(quick, blobs, passes):
    X, y = blobs
    y = np.where(np.arange(90) < 20, -1, y)
    quick(module=Watched, unlabeled=None, unlabeled_label=-1, max_epochs=20).fit(
        X, y, X_unlabeled=np.full((20, 4), 12.0)
    )
    anchors = torch.cat([rows.chunk(4)[1] for rows in passes])
    passed = (anchors == 12).all(dim=1)
    marked = (anchors[:, None] == torch.from_numpy(X[:20])).all(dim=2).any(dim=1)
    assert (passed ^ marked).all()
    assert passed.double().mean().item() == pytest.approx(0.5, abs=0.1)


def test_minus_one_is_a_class_unless_marked(quick, blobs):
    y = np.array([-1, 0, 1])[blobs[1]]
    assert quick().fit(blobs[0], y).classes_.tolist() == [-1, 0, 1]
    assert quick(unlabeled_label=-1).fit(blobs[0], y).classes_.tolist() == [0, 1]


def test_smoothness_makes_the_surface_smoother(quick, digit_images, rng):
    X, y = digit_images[0].reshape(200, -1), digit_images[1]
    neighbors = X + 0.3 * rng.normal(size=X.shape)

    def change(smoothness):
        clf = quick(smoothness=smoothness, max_epochs=40, hidden_layer_sizes=(50,)).fit(X, y)
        assert clf.score(X, y) > 0.95
        return np.square(clf.predict_proba(X) - clf.predict_proba(neighbors)).mean()

    assert change(0.1) < 0.7 * change(0)


# Fitted attributes


def test_attributes(quick, blobs):
    X, y = blobs
    clf = quick().fit(X, y)
    assert clf.n_features_in_ == 4
    assert clf.n_iter_ == len(clf.history_) == 3
    assert clf.data_scale_ == pytest.approx(np.sqrt(2 * X.var(axis=0).sum()))
    assert 0 <= clf.off_support_fraction_ <= 1
    terms = {"train_cross_entropy", "train_penalty", "train_loss", "train_loss_best", "train_batch_count"}
    assert all(set(epoch) == {"epoch", *terms, "dur", "lr"} for epoch in clf.history_)
    assert [epoch["epoch"] for epoch in clf.history_] == [1, 2, 3]
    last = clf.history_[-1]
    assert last["train_loss"] == pytest.approx(last["train_cross_entropy"] + clf.smoothness * last["train_penalty"])


def test_the_data_scale_counts_weights_and_no_unlabeled_rows(quick, blobs, rng):
    X, y = blobs
    weight = rng.uniform(0.1, 3, 90)
    clf = quick().fit(X, y, sample_weight=weight, X_unlabeled=X[:30] + 10)
    deviations = X - np.average(X, axis=0, weights=weight)
    assert clf.data_scale_ == pytest.approx(np.sqrt(2 * np.average(deviations**2, axis=0, weights=weight).sum()))


def test_the_fraction_off_the_support_is_that_of_the_first_chunk(quick, blobs, monkeypatch):
    calls = []

    def counted(*args, **kwargs):
        calls.append(args)
        return len(calls) / 10

    monkeypatch.setattr(_objective, "off_support_fraction", counted)
    clf = quick()
    for _ in range(3):
        assert clf.partial_fit(*blobs, classes=[0, 1, 2]).off_support_fraction_ == 0.1
    assert len(calls) == 1
    assert clf.fit(*blobs).off_support_fraction_ == 0.2


def test_a_chunk_of_one_row_does_not_tell_the_fraction_off_the_support(quick, blobs):
    X, y = blobs
    clf = quick().partial_fit(X[:1], y[:1], classes=[0, 1, 2])
    assert np.isnan(clf.off_support_fraction_)
    known = clf.partial_fit(X, y).off_support_fraction_
    assert 0 <= known <= 1
    assert clf.partial_fit(X[:1], y[:1]).off_support_fraction_ == known


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("methods", [["fit"], ["fit", "fit"], ["partial_fit"], ["fit", "partial_fit"]], ids=str)
@pytest.mark.parametrize(("dtype", "n_rows"), [("float64", 5), ("float64", 90), ("float32", 90)])
def test_a_fitted_classifier_holds_on_to_no_data(quick, blobs, dtype, n_rows, methods, early_stopping):
    X, y = blobs[0][:n_rows].astype(dtype), np.arange(n_rows) % 2
    pool = X[:3] + 1
    held = [weakref.ref(array) for array in (X, y, pool)]
    clf = quick(early_stopping=early_stopping, validation_fraction=0.4, warm_start=True)
    for method in methods:
        named = {} if method == "fit" or hasattr(clf, "classes_") else {"classes": [0, 1]}
        getattr(clf, method)(X, y, X_unlabeled=pool, **named)
    del X, y, pool
    gc.collect()
    assert [array() for array in held] == [None] * 3
    assert clf.predict(blobs[0]).shape == (90,)
    assert not any(getattr(callback, "score", None) for _, callback in clf.net_.callbacks_), "it has held-out rows"


def test_the_fraction_off_the_support_grows_with_the_radius(quick, blobs):
    fractions = [quick(unlabeled_radius=radius).fit(*blobs).off_support_fraction_ for radius in (0.01, 1.0, 10.0)]
    assert fractions[0] < 0.2 < fractions[1] < fractions[2] <= 1.0


def test_partial_fit_keeps_the_data_scale_of_all_chunks(quick, blobs, rng):
    X, y = blobs
    weight = rng.uniform(0.5, 2, 90)
    clf = quick()
    for chunk in (slice(0, 20), slice(20, 75), slice(75, 90)):
        clf.partial_fit(X[chunk], y[chunk], classes=[0, 1, 2], sample_weight=weight[chunk])
    assert clf.data_scale_ == pytest.approx(quick().fit(X, y, sample_weight=weight).data_scale_)
    assert clf.n_iter_ == 3


def test_partial_fit_learns_classes_it_has_not_seen_yet(quick, blobs):
    X, y = blobs
    clf = quick(lr=0.01)
    for _ in range(30):
        for label in (0, 1, 2):
            clf.partial_fit(X[y == label], y[y == label], classes=[0, 1, 2])
    assert clf.classes_.tolist() == [0, 1, 2]
    assert clf.score(X, y) > 0.8
    assert clf.partial_fit(X, y, classes=[2, 1, 0]).n_iter_ == 91


def test_a_stream_of_chunks_after_fit_begins_anew(quick, blobs):
    clf = quick().fit(*blobs).partial_fit(*blobs)
    first = clf.predict_proba(blobs[0])
    np.testing.assert_array_equal(clf.fit(*blobs).partial_fit(*blobs).predict_proba(blobs[0]), first)


def test_groups_of_parameters_keep_their_own_rates_in_later_chunks(quick, blobs):
    frozen = [("0.*", {"lr": 0.0, "weight_decay": 0.0})]
    clf = quick(module=Dropout, net_params={"optimizer__param_groups": frozen}).partial_fit(*blobs, classes=[0, 1, 2])
    before = copy.deepcopy(clf.net_.module_.state_dict())
    clf.set_params(lr=0.01, weight_decay=0.3).partial_fit(*blobs)
    after = clf.net_.module_.state_dict()
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["3.weight"], after["3.weight"])
    assert [(group["lr"], group["weight_decay"]) for group in clf.net_.optimizer_.param_groups] == [(0, 0), (0.01, 0.3)]


def test_another_optimizer_begins_anew_in_the_next_chunk(quick, blobs):
    clf = quick(optimizer="adam").partial_fit(*blobs, classes=[0, 1, 2])
    clf.set_params(optimizer="sgd").partial_fit(*blobs)
    assert type(clf.net_.optimizer_) is torch.optim.SGD


def test_partial_fit_after_fit_goes_on_with_the_optimizer(quick, blobs):
    clf = quick(lr_schedule="constant").fit(*blobs)
    optimizer = clf.net_.optimizer_
    steps = [state["step"].item() for state in optimizer.state.values()]
    clf.set_params(lr=0.5).partial_fit(*blobs)
    assert clf.net_.optimizer_ is optimizer
    assert [state["step"].item() for state in optimizer.state.values()] == [step + 3 for step in steps]
    assert clf.history_[-1]["lr"] == 0.5


def test_warm_start_goes_on_and_a_cold_start_begins_anew(quick, blobs):
    X, y = blobs
    warm = quick(warm_start=True, max_epochs=5, lr=0.01).fit(X, y)
    first = warm.history_[-1]["train_loss"]
    network = warm.net_.module_
    warm.fit(X, y)
    assert warm.n_iter_ == 10
    assert warm.history_[5]["train_loss"] < 1.2 * first
    assert warm.history_[-1]["train_loss"] < first
    assert warm.net_.module_ is not network
    cold = quick(max_epochs=5, lr=0.01).fit(X, y)
    before = cold.predict_proba(X)
    assert cold.fit(X, y).n_iter_ == 5
    np.testing.assert_array_equal(cold.predict_proba(X), before)


class Settings(Callback):
    """Callback that records how each call trains, in a list that copies share."""

    seen = []

    def on_train_begin(self, net, **kwargs):
        group = net.optimizer_.param_groups[0]
        Settings.seen.append((type(net.optimizer_).__name__, group["lr"], group["weight_decay"], net.batch_size))


def test_a_warm_start_trains_as_set_now(quick, blobs):
    Settings.seen = []
    names = ("optimizer", "lr", "weight_decay", "batch_size")
    calls = [("sgd", 0.1, 0.0, 45), ("adamw", 0.2, 0.3, 10), (torch.optim.RMSprop, 0.3, 0.4, 90), ("adam", 0.4, 0, 32)]
    clf = quick(warm_start=True, max_epochs=1, lr_schedule="constant", callbacks=[Settings])
    for call in calls:
        clf.set_params(**dict(zip(names, call, strict=True))).fit(*blobs)
    expected = ["SGD", "AdamW", "RMSprop", "Adam"]
    assert Settings.seen == [(name, *call[1:]) for name, call in zip(expected, calls, strict=True)]
    assert [epoch["train_batch_count"] for epoch in clf.history_] == [2, 9, 1, 3]
    assert [epoch["lr"] for epoch in clf.history_] == [0.1, 0.2, 0.3, 0.4]


def test_a_warm_start_forgets_names_of_skorch_that_are_no_longer_set(quick, blobs):
    chosen = {"optimizer__amsgrad": True, "iterator_train__batch_size": 10, "callbacks__epochs__step": 5}
    clf = quick(warm_start=True, batch_size=64, max_epochs=1, net_params=chosen, callbacks=[("epochs", Epochs())])
    clf.fit(*blobs)
    clf.set_params(net_params={"module__activation": nn.Tanh}, callbacks=None).fit(*blobs)
    assert not clf.net_.optimizer_.defaults["amsgrad"]
    assert [epoch["train_batch_count"] for epoch in clf.history_] == [9, 2]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_optimizers_are_fused_and_may_be_otherwise(quick, blobs, optimizer):
    clf = quick(optimizer=optimizer, max_epochs=1)
    assert clf.fit(*blobs).net_.optimizer_.defaults["fused"]
    assert not clf.set_params(optimizer__fused=False).fit(*blobs).net_.optimizer_.defaults["fused"]


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_come_in_a_new_order_in_every_epoch(quick, blobs, passes, shuffle):
    settings = {} if shuffle else {"iterator_train__shuffle": False}
    quick(module=Watched, smoothness=0, max_epochs=2, batch_size=30, net_params=settings).fit(*blobs)
    first, second = torch.cat(passes[:3]), torch.cat(passes[3:])
    rows = torch.from_numpy(blobs[0])
    assert torch.equal(first, second) != shuffle
    assert torch.equal(first, rows) != shuffle
    for epoch in (first, second):
        assert torch.equal(epoch.sort(dim=0).values, rows.sort(dim=0).values)


@pytest.mark.parametrize(("size", "n_points"), [(15, 15 * 4), (200, 90 + 200 * 4)])
def test_a_batch_size_named_as_skorch_does_is_the_batch_size(quick, blobs, passes, size, n_points):
    quick(module=Watched, batch_size=64, max_epochs=1, net_params={"iterator_train__batch_size": size}).fit(*blobs)
    assert {len(rows) for rows in passes} == {n_points}


class Threads(Callback):
    """Callback that records how many threads of OpenMP there are, in a list that copies share."""

    seen = []

    def on_batch_end(self, net, **kwargs):
        Threads.seen += [pool["num_threads"] for pool in openmp_pools()]


def openmp_pools():
    return [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "openmp"]


def test_small_networks_train_on_one_thread(quick, blobs):
    Threads.seen = []
    with threadpoolctl.threadpool_limits(2, user_api="openmp"):
        if {pool["num_threads"] for pool in openmp_pools()} != {2}:
            pytest.skip("needs OpenMP with a second thread")
        quick(callbacks=[Threads]).fit(*blobs)
        assert {pool["num_threads"] for pool in openmp_pools()} == {2}
    assert set(Threads.seen) == {1}


# Early stopping


class Watching(Gaussian):
    """Sampler that remembers the rows around which it draws."""

    rows = ()

    def sample(self, X, support, radius, generator):
        Watching.rows += (X.clone(),)
        return super().sample(X, support, radius, generator)


def test_few_unlabeled_points_are_drawn_around_all_rows_that_are_trained_on(quick, blobs):
    order = np.argsort(blobs[1], kind="stable")
    X, y = blobs[0][order], blobs[1][order]
    Watching.rows = ()
    quick(early_stopping=True, unlabeled=Watching(), n_unlabeled=0.5, batch_size=85, max_epochs=40).fit(X, y)
    around = np.unique(torch.cat(Watching.rows).numpy(), axis=0)
    assert {y[np.abs(X - row).sum(axis=1).argmin()] for row in around} == {0, 1, 2}


def minus_cross_entropy(estimator, X, y):
    return -log_loss(y, estimator.predict_proba(X))


@pytest.mark.parametrize("scoring", [None, "loss", "neg_log_loss", "balanced_accuracy", minus_cross_entropy])
def test_early_stopping_keeps_the_best_weights(quick, blobs, scoring):
    params = {"scoring": scoring, "max_epochs": 60, "lr": 0.05, "n_iter_no_change": 3, "validation_fraction": 0.3}
    clf = quick(early_stopping=True, lr_schedule="constant", **params).fit(*blobs)
    scores = [epoch["valid_score"] for epoch in clf.history_]
    assert len(set(scores)) > 1, "the score follows the network"
    assert clf.n_iter_ == len(scores) < 60
    best = len(scores) - 1 - int(np.argmax(scores[::-1]))
    assert len(scores) - 1 - best <= 3
    again = quick(early_stopping=True, lr_schedule="constant", **params)

    class StopAtBest(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == best + 1:
                raise KeyboardInterrupt

    again.set_params(callbacks=[StopAtBest()]).fit(*blobs)
    assert_same_predictions(clf, again, blobs[0])


def test_early_stopping_waits_for_the_learning_rate_to_rise(quick, blobs):
    clf = quick(early_stopping=True, max_epochs=40, n_iter_no_change=2, scoring=lambda *args: 0.5).fit(*blobs)
    assert clf.n_iter_ == 12, "the first quarter of the epochs passes whatever the score"


@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
def test_held_out_rows_are_scored_every_k_epochs_and_after_the_last(quick, blobs, every):
    calls = []
    params = {"scoring": lambda *args: calls.append(1) or len(calls), "max_epochs": 8}
    clf = quick(early_stopping=True, validation_every=every, **params).fit(*blobs)
    scored = [epoch["epoch"] for epoch in clf.history_ if "valid_score" in epoch]
    assert scored == sorted({*range(every, 9, every), 8})
    assert len(calls) == len(scored), "nothing is scored in between"


@pytest.mark.parametrize(("every", "n_epochs"), [(1, 6), (2, 8), (3, 9), (5, 10), (20, 20)])
def test_patience_counts_epochs_however_often_they_are_scored(quick, blobs, every, n_epochs):
    """The score rises for the first time where it is first known; the first score 5 epochs later ends training."""
    params = {"scoring": lambda *args: 0.5, "max_epochs": 20, "n_iter_no_change": 5, "lr_schedule": "constant"}
    clf = quick(early_stopping=True, validation_every=every, **params).fit(*blobs)
    assert clf.n_iter_ == n_epochs


@pytest.mark.parametrize(("every", "n_epochs"), [(1, 14), (3, 15), (5, 15), (8, 16)])
def test_epochs_of_a_rising_learning_rate_are_free_however_often_they_are_scored(quick, blobs, every, n_epochs):
    params = {"scoring": lambda *args: 0.5, "max_epochs": 40, "n_iter_no_change": 4}
    clf = quick(early_stopping=True, validation_every=every, **params).fit(*blobs)
    assert clf.n_iter_ == n_epochs


def test_the_best_of_the_scored_epochs_is_kept(quick, blobs):
    scores = iter([0.1, 0.9, 0.5, 0.2])
    params = {"early_stopping": True, "max_epochs": 8, "lr_schedule": "constant", "validation_every": 2}
    clf = quick(scoring=lambda *args: next(scores), **params).fit(*blobs)

    class StopAtBest(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 4:
                raise KeyboardInterrupt

    again = quick(scoring=lambda *args: 0.0, callbacks=[StopAtBest()], **{**params, "validation_every": 4})
    assert_same_predictions(clf, again.fit(*blobs), blobs[0])


def test_of_equal_scores_the_last_one_keeps_its_weights(quick, blobs):
    scores = iter([0.1, 0.9, 0.9, 0.5])
    params = {"early_stopping": True, "lr_schedule": "constant"}
    clf = quick(scoring=lambda *args: next(scores), max_epochs=4, **params).fit(*blobs)
    until_then = quick(scoring=lambda *args: 0.9, max_epochs=3, **params).fit(*blobs)
    assert_same_predictions(clf, until_then, blobs[0])


@pytest.mark.parametrize("score", [None, {"accuracy": 0.5}], ids=str)
def test_a_score_that_is_no_number_is_refused(quick, blobs, score):
    clf = quick(early_stopping=True, scoring=lambda *args: score)
    with pytest.raises(ValueError, match=r"scoring=<function .* gave .* by which epochs cannot be compared: use one"):
        clf.fit(*blobs)
    assert not hasattr(clf, "net_")


def test_a_robust_score_may_end_training(quick, blobs):
    scorer = make_robustness_scorer("pgd", eps=0.2)
    params = {"scoring": scorer, "validation_every": 5, "max_epochs": 12, "validation_fraction": 0.3}
    clf = quick(early_stopping=True, **params).fit(*blobs)
    scores = {epoch["epoch"]: epoch["valid_score"] for epoch in clf.history_ if "valid_score" in epoch}
    assert set(scores) == {5, 10, 12}
    assert all(0 <= score <= 1 for score in scores.values())


def test_the_loss_as_a_score_is_the_log_loss(quick, blobs):
    def scores(scoring):
        clf = quick(early_stopping=True, scoring=scoring, max_epochs=5).fit(*blobs)
        return [epoch["valid_score"] for epoch in clf.history_]

    np.testing.assert_allclose(scores("loss"), scores("neg_log_loss"))


def test_a_scorer_is_given_held_out_rows_with_labels_and_weights(quick, blobs):
    X, codes = blobs
    y = np.array(["a", "b", "c"])[codes]
    calls = []

    def scorer(estimator, X_valid, y_valid, sample_weight=None):
        calls.append((X_valid, y_valid, sample_weight, estimator.predict(X_valid)))
        return 0.0

    quick(early_stopping=True, scoring=scorer, validation_fraction=0.2).fit(X, y, sample_weight=1.0 + (codes == 1))
    assert len(calls) == 3
    X_valid, y_valid, weight, predicted = calls[0]
    assert X_valid.shape == (18, 4)
    assert set(map(tuple, X_valid)) <= set(map(tuple, X))
    assert set(y_valid) == set(predicted) | set(y_valid) == {"a", "b", "c"}
    np.testing.assert_allclose(weight / weight.min(), 1 + (y_valid == "b"))


def rand_index(estimator, X, y):
    return adjusted_rand_score(y, estimator.predict(X))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3}], ids=str)
@pytest.mark.parametrize("scoring", ["adjusted_rand_score", rand_index])
def test_a_scorer_that_takes_no_weights_is_given_none(quick, blobs, scoring, class_weight, weighted):
    X, y = blobs[0][:70], blobs[1][:70]
    weights = {"sample_weight": 1.0 + np.arange(70) % 3} if weighted else {}
    clf = quick(early_stopping=True, scoring=scoring, class_weight=class_weight, validation_fraction=0.3)
    scores = [epoch["valid_score"] for epoch in clf.fit(X, y, **weights).history_]
    assert len(scores) == 3
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("row_weights", [False, True])
def test_a_scorer_counts_rows_by_their_weights_and_those_of_their_classes(quick, blobs, row_weights):
    X, y = blobs
    calls = []

    def scorer(estimator, X_valid, y_valid, sample_weight=None):
        calls.append((X_valid, sample_weight))
        return 0.0

    weight = 1.0 + np.arange(90) % 4
    given = {"sample_weight": weight} if row_weights else {}
    quick(early_stopping=True, scoring=scorer, class_weight={0: 7}, validation_fraction=0.2).fit(X, y, **given)
    X_valid, seen = calls[0]
    row = {tuple(values): index for index, values in enumerate(X)}
    combined = np.where(y == 0, 7.0, 1.0) * (weight if row_weights else 1.0)
    expected = combined[[row[tuple(values)] for values in X_valid]]
    np.testing.assert_allclose(seen / seen.min(), expected / expected.min())


def test_a_score_that_is_never_a_number_stops_training_and_keeps_the_net(quick, blobs):
    params = {"scoring": lambda *args: np.nan, "max_epochs": 10, "n_iter_no_change": 2}
    clf = quick(early_stopping=True, lr_schedule="constant", **params)
    with pytest.warns(UserWarning, match=r"scoring=<.*> gave NaN for the held-out rows, so that their epochs count as"):
        clf.fit(*blobs)
    assert clf.n_iter_ == 2
    assert np.isfinite(clf.predict_proba(blobs[0])).all()


def test_held_out_rows_are_not_trained_on(quick, blobs, passes):
    quick(module=Watched, early_stopping=True, smoothness=0, max_epochs=4, validation_fraction=0.2).fit(*blobs)
    assert len(torch.cat(passes).unique(dim=0)) == 72


# Verbosity and speed


@pytest.mark.parametrize("early_stopping", [False, True])
def test_verbose_one_shows_a_bar_with_the_terms(quick, blobs, capsys, early_stopping):
    quick(verbose=1, early_stopping=early_stopping).fit(*blobs)
    out, err = capsys.readouterr()
    assert not out
    assert "fit: 100%" in err
    assert "3/3" in err
    assert "cross_entropy=" in err
    assert "penalty=" in err
    assert ("valid=" in err) == early_stopping


def test_verbose_two_prints_a_line_for_each_epoch(quick, blobs, capsys):
    clf = quick(verbose=2).fit(*blobs)
    out, _ = capsys.readouterr()
    lines = out.strip().split("\n")
    assert "train_cross_entropy" in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["1", "2", "3"]
    assert f"{clf.history_[0]['train_penalty']:.4f}" in lines[2]


def test_printed_lines_have_a_column_for_scores_that_not_every_epoch_has(quick, blobs, capsys):
    clf = quick(verbose=2, early_stopping=True, validation_every=2).fit(*blobs)
    lines = capsys.readouterr().out.splitlines()
    end = lines[0].index("valid_score") + len("valid_score")
    column = [line[end - len("valid_score") : end].strip() for line in lines[2:]]
    assert column == ["", *(f"{epoch['valid_score']:.4f}" for epoch in clf.history_[1:])]


def test_silent_by_default(quick, blobs, capsys):
    quick().fit(*blobs).predict(blobs[0])
    assert capsys.readouterr() == ("", "")


# Degenerate data


@pytest.mark.parametrize("params", [{}, {"n_neighbors": 2}, {"noise_units": "std"}, {"unlabeled": "uniform"}], ids=str)
@pytest.mark.parametrize("batch_size", [4, 100])
@pytest.mark.parametrize(
    "X",
    [
        np.ones((10, 3)),
        np.zeros((10, 3)),
        np.repeat([[1.0, 2.0, 3.0], [1.0, 0.0, 3.0]], 5, axis=0),
        1e-150 * np.eye(10),
    ],
    ids=["constant", "zero", "two places", "tiny"],
)
def test_rows_that_coincide_give_no_nan(quick, X, batch_size, params):
    clf = quick(batch_size=batch_size, **params).fit(X, np.arange(10) % 2)
    assert np.isfinite([list(epoch.values()) for epoch in clf.history_]).all()
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize("unlabeled", ["gaussian", "uniform", "extrapolation", None])
def test_extrapolated_neighbors_that_fall_on_their_anchors_give_no_nan(quick, unlabeled):
    X = np.repeat(np.eye(3), 4, axis=0)
    module = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    clf = quick(module=module, neighbors="extrapolation", unlabeled=unlabeled, max_epochs=5).fit(X, np.arange(12) % 2)
    assert clf.history_[-1]["train_penalty"] < 1e3


@pytest.mark.parametrize("n_rows", [2, 3])
def test_two_rows_are_enough(quick, n_rows):
    X, y = np.array([[0.0, 1.0], [5.0, 2.0], [5.0, 3.0]])[:n_rows], np.array([0, 1, 1])[:n_rows]
    clf = quick(max_epochs=100, lr=0.05, smoothness=0.001).fit(X, y)
    np.testing.assert_array_equal(clf.predict(X), y)
    assert 0 <= clf.off_support_fraction_ <= 1


def test_an_empty_pool_is_none(quick, blobs):
    assert_same_predictions(quick().fit(*blobs, X_unlabeled=np.empty((0, 4))), quick().fit(*blobs), blobs[0])


def test_the_share_of_points_in_a_layer_is_not_measured(quick, blobs):
    assert np.isnan(quick(noise_layer="2").fit(*blobs).off_support_fraction_)


UNUSED = [{"smoothness": 0}, {"penalty": None}, {"n_unlabeled": 0}, {"penalty": "jacobian"}]


@pytest.mark.parametrize("params", UNUSED, ids=str)
def test_unlabeled_rows_without_a_use_are_warned_of(quick, blobs, params):
    X, y = blobs
    clf = quick(unlabeled_label=-1, **params)
    message = "X_unlabeled or rows marked by unlabeled_label, 7 of them, are not used with penalty=.*leave the rows out"
    with pytest.warns(UserWarning, match=message):
        clf.fit(X, y, X_unlabeled=X[:7] + 1)
    with pytest.warns(UserWarning, match=message) as found:
        clf.fit(X, np.where(np.arange(90) < 7, -1, y))
    assert found[0].filename == __file__
    assert_same_predictions(clf, quick(**params).fit(X[7:], y[7:]), X)


PAIRLESS = {
    "mixup": ({"mixup": 0.5}, {"mixup": 0}),
    "unlabeled": ({"unlabeled": "extrapolation"}, {}),
    "neighbors": ({"neighbors": Extrapolation(), "n_unlabeled": 0}, {}),
}


@pytest.mark.parametrize("name", PAIRLESS)
def test_what_needs_pairs_of_rows_is_warned_of_where_rows_are_alone(quick, blobs, name):
    (params, others), few = PAIRLESS[name], {"max_epochs": 1}
    with pytest.warns(UserWarning, match=f"{name} has no effect with a batch size of 1, .*: raise batch_size") as found:
        clf = quick(batch_size=1, **params, **few).fit(*blobs)
    assert found[0].filename == __file__
    quick(batch_size=2, **params, **few).fit(*blobs)
    if others:
        assert_same_predictions(clf, quick(batch_size=1, **others, **few).fit(*blobs), blobs[0])


@pytest.mark.parametrize("params", UNUSED[:2], ids=str)
def test_a_layer_without_a_use_is_warned_of_if_there_is_one(quick, blobs, params):
    with pytest.warns(UserWarning, match=r"noise_layer='1' is not used with penalty=.*set noise_layer=None") as found:
        clf = quick(noise_layer="1", **params).fit(*blobs)
    assert found[0].filename == __file__
    assert_same_predictions(clf, quick(**params).fit(*blobs), blobs[0])
    with pytest.raises(ValueError, match=r"noise_layer='none' is not a layer of MLP: use one of \['0', '1', "):
        quick(noise_layer="none", **params).fit(*blobs)


@pytest.mark.parametrize("params", [{}, {"batch_size": 200}, {"dtype": "float32"}], ids=str)
@pytest.mark.parametrize("class_weight", [None, {0: 1, 1: 30, 2: 1}, {0: 0, 1: 1, 2: 1}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_layer_that_changes_nothing_is_the_input_space(quick, blobs, params, class_weight, weighted, rng):
    weight = rng.uniform(0.5, 1.5, 90) if weighted else None
    here, there = (
        quick(noise_layer=layer, class_weight=class_weight, **params).fit(*blobs, sample_weight=weight)
        for layer in (None, "0")
    )
    np.testing.assert_array_equal(there.predict_proba(blobs[0]), here.predict_proba(blobs[0]))
