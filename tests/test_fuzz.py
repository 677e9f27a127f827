"""Whatever is passed: a clear refusal, or an answer that is one; and what was passed stays as it was.

``make test`` runs a few examples, always the same; ``make fuzz`` runs many, others each time.
"""

import copy
import functools
import io
import warnings

import numpy
import numpy as np
import pytest
import torch
from fuzz_strategies import (
    CLOTHES,
    FORMS,
    THREAT_MODELS,
    examples,
    labels,
    mostly,
    outcome,
    params,
    rngs,
    snapshot,
    tables,
    threat_models,
    weights,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skrobust import OffSupportRobustClassifier, ThreatModel, make_robustness_scorer
from skrobust.attacks import find_adversarial
from skrobust.datasets import adapt_images, fetch_cifar10, fetch_mnist, make_spheres
from skrobust.torchify import to_torch

QUICK = {"max_epochs": 2, "hidden_layer_sizes": (4,), "batch_size": 8, "random_state": 0}
N_FEATURES = 4


def training_rows(rng, n=24):
    X = rng.normal(size=(n, N_FEATURES))
    y = np.arange(n) % 3
    return X + 2 * np.eye(N_FEATURES)[y], y


def global_states():
    return repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


def assert_answers(clf, X, n):
    """Assert that what a classifier says of rows are answers."""
    probabilities, y = clf.predict_proba(X), clf.predict(X)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-2 if clf.dtype == "bfloat16" else 1e-5)
    assert y.shape == (n,)
    assert np.isin(y, clf.classes_).all()
    assert np.isfinite(clf.decision_function(X)).all()


@examples(120)
@given(st.data())
def test_fit(data):
    X, n = data.draw(tables())
    y, weight, given_params = data.draw(labels(n)), data.draw(weights(n)), data.draw(params())
    X_unlabeled = data.draw(st.none() | tables().map(lambda drawn: drawn[0]))
    inputs = (X, y, weight, X_unlabeled)
    before, states = list(map(snapshot, inputs)), global_states()
    clf = OffSupportRobustClassifier(**QUICK | given_params)
    fitted = outcome(lambda: clf.fit(X, y, sample_weight=weight, X_unlabeled=X_unlabeled))
    assert list(map(snapshot, inputs)) == before
    assert global_states() == states
    if fitted is None:
        if any(name.endswith("_") for name in vars(clf)):  # it broke after a whole epoch, whose weights it keeps
            assert len(clf.history_) > 1
            outcome(lambda: assert_answers(clf, X, n))
        return
    losses = [value for epoch in clf.history_ for name, value in epoch.items() if name.startswith("train_")]
    assert np.isfinite([clf.data_scale_, *losses]).all()
    if X_unlabeled is None:
        outcome(lambda: assert_answers(clf, X, n))


@functools.cache
def fitted_classifiers():
    X, y = training_rows(np.random.default_rng(0))
    variants = ({}, {"dtype": "float32"}, {"image_shape": (2, 2)}, {"dtype": "bfloat16", "module": "mlp"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return [OffSupportRobustClassifier(**QUICK | variant).fit(X, y) for variant in variants]


@examples(120)
@given(st.integers(0, 3), tables() | tables(N_FEATURES))
def test_predict(index, drawn):
    (X, n), clf = drawn, fitted_classifiers()[index]
    before = snapshot(X)
    outcome(lambda: assert_answers(clf, X, n))
    assert snapshot(X) == before


@examples(40)
@given(st.data())
def test_partial_fit_learns_or_leaves_all_as_it_was(data):
    X, n = data.draw(tables(data.draw(st.sampled_from([N_FEATURES, None]))))
    y, weight = data.draw(labels(n, n_classes=3)), data.draw(weights(n))
    rows, _ = training_rows(np.random.default_rng(0))
    clf = copy.deepcopy(data.draw(st.sampled_from(fitted_classifiers()[:2])))
    before, inputs = clf.predict_proba(rows), list(map(snapshot, (X, y, weight)))
    trained = outcome(lambda: clf.partial_fit(X, y, sample_weight=weight))
    assert list(map(snapshot, (X, y, weight))) == inputs
    if trained is None:
        np.testing.assert_array_equal(clf.predict_proba(rows), before)
    else:
        assert_answers(clf, rows, len(rows))


@functools.cache
def attacked():
    X, y = training_rows(np.random.default_rng(1), 60)
    estimators = [
        make_pipeline(StandardScaler(), LogisticRegression()),
        SVC(),
        DecisionTreeClassifier(max_depth=4, random_state=0),
        RandomForestClassifier(4, random_state=0),
        OffSupportRobustClassifier(**QUICK),
    ]
    return [estimator.fit(X, y) for estimator in estimators]


ATTACKS = {"fgsm": {}, "pgd": {"max_iter": 3}, "noise": {}, "deepfool": {"max_iter": 3}, "square": {"max_queries": 20}}


@examples(80)
@given(st.data())
def test_scorers(data):
    X, n = data.draw(tables(N_FEATURES))
    y, weight = data.draw(labels(n, n_classes=3)), data.draw(weights(n))
    attack, estimator = data.draw(st.sampled_from(sorted(ATTACKS))), data.draw(st.sampled_from(attacked()))
    threat_model, inputs = data.draw(threat_models(N_FEATURES)), list(map(snapshot, (X, y, weight)))
    scorer = make_robustness_scorer(attack, threat_model=threat_model, **ATTACKS[attack])
    score = outcome(lambda: scorer(estimator, X, y, sample_weight=weight))
    assert list(map(snapshot, (X, y, weight))) == inputs
    if score is not None:
        clean = np.asarray(outcome(lambda: estimator.predict(X))) == np.asarray(y).reshape(-1)
        assert 0 <= score <= np.average(clean, weights=weight) + 1e-9


@examples(60)
@given(st.data())
def test_adversarial_rows_keep_to_the_threat_model(data):
    X, _ = data.draw(tables(N_FEATURES, ("array", "float32", "Fortran order", "backwards", "read-only", "frame")))
    attack, estimator = data.draw(st.sampled_from(sorted(ATTACKS))), data.draw(st.sampled_from(attacked()))
    threat_model = data.draw(threat_models(N_FEATURES))
    y = outcome(lambda: estimator.predict(X))
    attack_params = {"threat_model": threat_model, **ATTACKS[attack]}
    result = None if y is None else outcome(lambda: find_adversarial(estimator, X, y, attack, **attack_params))
    if result is None:
        return
    rows, found = np.asarray(X, dtype=np.float64), np.asarray(result.X_adv, dtype=np.float64)
    changed = (found != rows).any(axis=1)
    assert np.isfinite(found).all()
    assert not changed[~result.success].any()
    assert (outcome(lambda: estimator.predict(result.X_adv))[result.success] != y[result.success]).all()
    assert (np.abs(found - rows) <= reach_of(threat_model) * (1 + 1e-5)).all()
    assert (found[:, list(threat_model.immutable)] == rows[:, list(threat_model.immutable)]).all()
    low, high = threat_model.bounds or (-np.inf, np.inf)
    assert ((found >= low) & (found <= high))[changed].all()


def reach_of(threat_model):
    units = 1.0 if threat_model.units == "raw" else np.asarray(threat_model.units)
    return units * np.broadcast_to(threat_model.eps, N_FEATURES)


@examples(250)
@given(st.fixed_dictionaries({}, optional=THREAT_MODELS))
def test_threat_models(settings):
    threat_model = outcome(lambda: ThreatModel(**settings))
    if threat_model is None:
        return
    again = eval(repr(threat_model), {"ThreatModel": ThreatModel, "numpy": numpy, "nan": np.nan})  # noqa: S307
    assert (again, hash(again)) == (threat_model, hash(threat_model))


@examples(120)
@given(st.sampled_from(["std", "iqr", "range"]), tables())
def test_threat_models_learn_numbers(units, drawn):
    X, before = drawn[0], snapshot(drawn[0])
    learned = outcome(lambda: ThreatModel(0.1, units=units, bounds="learn").resolve(X))
    assert snapshot(X) == before
    if learned is not None:
        kind, low, high = learned.bounds
        assert kind == "learned"
        assert np.isfinite(learned.units).all()
        assert (np.asarray(low) <= np.asarray(high)).all()


STEPS = [
    StandardScaler(),
    MinMaxScaler(clip=True),
    RobustScaler(),
    Normalizer(),
    PCA(2),
    PCA(whiten=True),
    PolynomialFeatures(2),
    PowerTransformer(),
    QuantileTransformer(n_quantiles=5),
    ColumnTransformer([("scaled", StandardScaler(), [0, -1])], remainder="passthrough"),
]
LAST = [
    LogisticRegression(),
    LinearSVC(),
    GaussianNB(),
    LinearDiscriminantAnalysis(),
    MLPClassifier((4,), max_iter=5),
    OffSupportRobustClassifier(**QUICK),
]


@examples(60)
@given(st.data())
def test_converters(data):
    steps = data.draw(st.lists(st.sampled_from(STEPS), max_size=3))
    form = FORMS[data.draw(st.sampled_from([name for name in FORMS if name not in ("NaN", "infinity")]))]
    X, y = training_rows(data.draw(rngs()))
    fitted = quietly_fitted(make_pipeline(*map(clone, steps), clone(data.draw(st.sampled_from(LAST)))), form(X), y)
    rows, _ = data.draw(tables(N_FEATURES))
    module = None if fitted is None else outcome(lambda: to_torch(fitted, form(X)))
    if module is None:
        return
    before = snapshot(rows)
    if can_answer(fitted, rows):
        outcome(lambda: to_torch(fitted, rows))
        assert snapshot(rows) == before
    unseen, _ = training_rows(data.draw(rngs()))
    if not outcome(lambda: np.isfinite(scores_of(fitted, unseen)).all()):
        return  # powers overflow where rows are far from those of the fit
    with torch.inference_mode():
        logits = module(torch.from_numpy(unseen))
    assert logits.isfinite().all()
    best = logits.topk(2, dim=1).values
    is_clear = ((best[:, 0] - best[:, 1]) > 1e-6 * best.abs().amax()).numpy()
    answers = outcome(lambda: fitted.predict(unseen))
    assert (fitted.classes_[logits.argmax(dim=1).numpy()] == answers)[is_clear].all()


def scores_of(fitted, rows):
    method = "decision_function" if hasattr(fitted, "decision_function") else "predict_proba"
    return getattr(fitted, method)(rows)


def can_answer(fitted, rows):
    """Return whether an estimator answers rows by all its methods: where it stumbles itself is not the matter here."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            for method in ("predict", "predict_proba", "decision_function"):
                getattr(fitted, method, np.shape)(rows)
        except Exception:
            return False
    return True


def quietly_fitted(estimator, X, y):
    """Return the estimator fitted, or None where it cannot be: what scikit-learn refuses is not the matter here."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return estimator.fit(X, y)
        except Exception:  # some stumble over constants in ways of their own
            return None


def npz_bytes(arrays, save=np.savez):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


@functools.cache
def good_arrays(fetch):
    rng = np.random.default_rng(0)
    y = {f"y_{part}": np.arange(n, dtype=np.uint8) for part, n in (("train", 4), ("test", 2))}
    if fetch is fetch_mnist:
        images = {f"X_{part}": rng.integers(0, 256, (n, 8, 8), np.uint8) for part, n in (("train", 4), ("test", 2))}
        return {**y, **images}
    arrays = dict(y)
    for part, n in (("train", 4), ("test", 2)):
        streams = [jpeg_bytes(rng.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(n)]
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(streams), dtype=np.uint8)
        arrays[f"offsets_{part}"] = np.cumsum([0, *map(len, streams)])
    return arrays


def jpeg_bytes(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="JPEG")
    return stream.getvalue()


OTHER_ARRAYS = {
    "empty": lambda array: array[:0],
    "shorter": lambda array: array[:-1],
    "one number": lambda array: array.ravel()[0],
    "columns": lambda array: array[..., None],
    "flat": lambda array: array.ravel(),
    "words": lambda array: array.astype(str),
    "floats": lambda array: array / 255,
    "NaN": lambda array: np.full(array.shape, np.nan),
    "negative": lambda array: -array.astype(np.int64),
    "large": lambda array: array.astype(np.int64) * 10**15,
    "complex": lambda array: array + 1j,
    "dates": lambda array: array.astype("datetime64[D]"),
    "fields": lambda array: np.zeros(array.shape, dtype=[("a", "i4")]),
    "backwards": lambda array: array[::-1],
    "zeros": np.zeros_like,
}


@st.composite
def broken_files(draw, fetch):
    """Draw the bytes of a file of images that was spoiled in some way."""
    arrays = dict(good_arrays(fetch))
    if draw(st.booleans()):
        name = draw(st.sampled_from(sorted(arrays)))
        arrays[name] = OTHER_ARRAYS[draw(st.sampled_from(sorted(OTHER_ARRAYS)))](arrays[name])
        return npz_bytes(arrays)
    whole = npz_bytes(arrays, draw(st.sampled_from([np.savez, np.savez_compressed])))
    place = draw(st.integers(0, len(whole) - 1))
    spoil = draw(st.sampled_from(["cut", "flip", "fill", "junk", "drop"]))
    return {
        "cut": whole[:place],
        "flip": whole[:place] + bytes([whole[place] ^ (1 << draw(st.integers(0, 7)))]) + whole[place + 1 :],
        "fill": whole[:place] + b"\xff" * 40 + whole[place + 40 :],
        "junk": draw(st.binary(max_size=60)),
        "drop": whole[:place] + whole[place + 1 :],
    }[spoil]


@pytest.mark.parametrize("fetch", [fetch_mnist, fetch_cifar10])
@examples(150)
@given(st.data())
def test_loaders_refuse_spoiled_files_or_return_images(fetch, data):
    file = io.BytesIO(data.draw(broken_files(fetch)))
    loaded = outcome(lambda: fetch(file))
    if loaded is None:
        return
    for part in ("train", "test"):
        X, y = loaded[f"X_{part}"], loaded[f"y_{part}"]
        assert (X.dtype, y.dtype, y.shape) == (np.float32, np.int64, (len(X),))
        assert X.ndim == (3 if fetch is fetch_mnist else 4)
        assert ((X >= 0) & (X <= 1)).all()
        assert ((y >= 0) & (y < 10)).all()


@pytest.mark.parametrize("fetch", [fetch_mnist, fetch_cifar10])
def test_whole_files_of_the_fuzzer_are_loaded(fetch):
    assert fetch(io.BytesIO(npz_bytes(good_arrays(fetch)))).X_train.shape[-2:] == (8, 8)


@examples(60)
@given(tables(8), st.sampled_from([(4, 4), (1, 3, 5), (3, 2, 2), (2, 4, 4), (4,), (0, 4)]), mostly(["range", "no"]))
def test_images_of_others(drawn, image_shape, normalize):
    X, before = drawn[0], snapshot(drawn[0])
    shaped = X.reshape(-1, 4, 2) if type(X) is np.ndarray and X.ndim == 2 else X
    adapted = outcome(lambda: adapt_images(shaped, image_shape, normalize=normalize))
    assert snapshot(X) == before
    if adapted is not None:
        assert adapted.shape[1:] == image_shape
        assert ((adapted >= 0) & (adapted <= 1)).all()


@examples(60)
@given(
    st.sampled_from([10, 0, 1, -1, 2.5, "3", None]),
    st.sampled_from([2, 1, 0, -1, 500, 1.5, None]),
    st.sampled_from([1.3, 1, 0, -2, np.nan, np.inf, "2", None, 1e300]),
)
def test_spheres(n_samples, n_features, factor):
    drawn = outcome(lambda: make_spheres(n_samples, n_features, factor=factor, random_state=0))
    if drawn is not None:
        assert np.isfinite(drawn[0]).all()


def test_every_kind_of_table_is_drawn_and_some_are_taken():
    X, y = training_rows(np.random.default_rng(0))
    taken = set()
    for name, dress in CLOTHES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dressed = dress(X)
        if outcome(lambda X=dressed: OffSupportRobustClassifier(**QUICK).fit(X, y)):
            taken.add(name)
    refused = {"complex", "sparse", "one dimension", "five dimensions", "frame with words", "frame with dates"}
    assert set(CLOTHES) - taken == refused
