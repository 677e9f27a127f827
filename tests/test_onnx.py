"""Exported models answer as the estimators do, on raw rows, or are not written."""

import os
import sys

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from scipy import special
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from torch import nn

from skrobust import OffSupportRobustClassifier, io
from skrobust.io import ExportError, _operators
from skrobust.io._program import check_answers
from skrobust.torchify import NotConvertibleError, register

X, Y = load_iris(return_X_y=True)


def ours(**params):
    defaults = {"hidden_layer_sizes": (8,), "max_epochs": 3, "random_state": 0}
    return OffSupportRobustClassifier(**{**defaults, **params})


COLUMNS = ColumnTransformer(
    [
        ("scaled", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]),
        ("ranged", make_pipeline(RobustScaler(), MaxAbsScaler(), MinMaxScaler()), [2]),
        ("binned", KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), [3, 1]),
    ],
    remainder="passthrough",
)
QUANTILES = ColumnTransformer(
    [
        ("normal", QuantileTransformer(n_quantiles=50, output_distribution="normal"), [0, 1, 2]),
        ("uniform", QuantileTransformer(n_quantiles=50), [3, 2]),
    ]
)
CASES = {
    "columns": make_pipeline(COLUMNS, ours()),
    "quantiles": make_pipeline(QUANTILES, ours()),
    "curves": make_pipeline(PowerTransformer(), PolynomialFeatures(), Normalizer(), ours(dtype="float32")),
    "functions": make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), SelectKBest(k=3), ours()),
    "logistic": make_pipeline(StandardScaler(), PCA(3), TruncatedSVD(2), LogisticRegression()),
    "one against rest": OneVsRestClassifier(LogisticRegression(max_iter=1000)),
    "svc": make_pipeline(StandardScaler(), SVC()),
    "linear svc": make_pipeline(StandardScaler(), LinearSVC(random_state=0)),
    "calibrated": CalibratedClassifierCV(make_pipeline(StandardScaler(), SVC()), cv=2),
    "vote": VotingClassifier([("a", GaussianNB()), ("b", QuadraticDiscriminantAnalysis())], voting="soft"),
    "mlp": make_pipeline(MinMaxScaler(), MLPClassifier((8,), max_iter=20, random_state=0)),
    "ordinal": make_pipeline(OrdinalEncoder(), LogisticRegression(max_iter=5000)),
}


def session_of(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def assert_answers_alike(fitted, path, rows, matrix=None):
    """Check the file at a path against an estimator, for several numbers of rows."""
    session = session_of(path)
    matrix = np.asarray(rows, dtype=np.float64) if matrix is None else matrix
    assert [(put.name, put.type, put.shape) for put in session.get_inputs()] == [
        ("X", "tensor(double)", ["n_rows", matrix.shape[1]])
    ]
    method = "predict_proba" if hasattr(fitted, "predict_proba") else "decision_function"
    name = "probabilities" if method == "predict_proba" else method
    assert [put.name for put in session.get_outputs()] == [name, "label"]
    for n in (1, 2, len(matrix)):
        scores, labels = session.run(None, {"X": matrix[:n]})
        expected = getattr(fitted, method)(rows[:n])
        np.testing.assert_allclose(scores, expected.reshape(n, -1), atol=1e-5)
        np.testing.assert_array_equal(labels, fitted.predict(rows[:n]))
    return session


@pytest.fixture(autouse=True)
def silence(capfd):
    """Have every test fail that prints: torch is talkative where it exports."""
    yield
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", CASES)
def test_onnx_models_answer_alike(name, tmp_path):
    fitted = CASES[name].fit(X, Y)
    io.export_onnx(fitted, tmp_path / "model.onnx", X)
    assert_answers_alike(fitted, tmp_path / "model.onnx", X)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("columns", ["a", "ß", "c"]),
        ("logistic", np.array(["x", "y", "z"], object)),
        ("mlp", [False, True, True]),
        ("svc", [-1, 7, 7]),
        ("linear svc", [0.5, 1.0, 1.0]),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_are_made_up_and_labels_are_those_of_the_classifier(name, labels, tmp_path):
    labels = np.asarray(labels)[Y]
    if labels.dtype.kind == "f":
        labels = labels * 2
    fitted = CASES[name].fit(X, labels)
    io.export_onnx(fitted, tmp_path / "model.onnx")
    assert_answers_alike(fitted, tmp_path / "model.onnx", X)
    assert os.listdir(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize(
    "params",
    [{"module": "lenet"}, {"module": "resnet9", "module__width": 2, "dtype": "float32"}],
    ids=["lenet float64", "resnet9 float32"],
)
def test_networks_for_images_are_exported(digit_images, params, tmp_path):
    images, y = digit_images
    rows = 255 * images.reshape(len(images), -1)
    fitted = make_pipeline(MinMaxScaler(), ours(image_shape=(8, 8)).set_params(**params)).fit(rows, y)
    weights = [p.dtype for p in fitted[-1].net_.module_.parameters()]
    io.export_onnx(fitted, tmp_path / "model.onnx")
    assert_answers_alike(fitted, tmp_path / "model.onnx", rows)
    assert [p.dtype for p in fitted[-1].net_.module_.parameters()] == weights
    alone = ours(image_shape=(8, 8)).set_params(**params).fit(images, y)
    io.export_onnx(alone, tmp_path / "alone.onnx", images)
    assert_answers_alike(alone, tmp_path / "alone.onnx", images, rows / 255)


@pytest.mark.parametrize("params", [{}, {"decision_function_shape": "ovo"}, {"break_ties": True}], ids=str)
def test_ties_of_votes_go_to_the_class_that_predict_takes(params, tmp_path):
    fitted = make_pipeline(StandardScaler(), SVC(**params)).fit(X, Y)
    far = np.random.default_rng(0).uniform(-5, 15, (300, X.shape[1]))
    if not params:
        assert (fitted.predict(far) != fitted.classes_[fitted.decision_function(far).argmax(axis=1)]).mean() > 0.1
    io.export_onnx(fitted, tmp_path / "model.onnx", X)
    assert_answers_alike(fitted, tmp_path / "model.onnx", far)


def test_named_columns_and_their_names_are_kept(tmp_path):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    columns = ColumnTransformer([("some", StandardScaler(), ["d", "a"]), ("other", "passthrough", ["b"])])
    fitted = make_pipeline(columns, LogisticRegression()).fit(frame, Y)
    for rows in (None, frame):
        io.export_onnx(fitted, tmp_path / "model.onnx", rows)
        session = assert_answers_alike(fitted, tmp_path / "model.onnx", frame)
        assert session.get_modelmeta().custom_metadata_map == {"feature_names": '["a", "b", "c", "d"]'}
        assert session.get_modelmeta().producer_name == "skrobust"


def test_thresholds_and_labels_follow_predict(tmp_path):
    fitted = FixedThresholdClassifier(LogisticRegression(), threshold=0.8).fit(X, Y > 0)
    assert np.any(fitted.predict(X) != fitted.predict_proba(X).argmax(axis=1))
    io.export_onnx(fitted, tmp_path / "model.onnx", X)
    assert_answers_alike(fitted, tmp_path / "model.onnx", X)


def test_scaling_keeps_its_digits(tmp_path):
    shifted = 1e4 + 1e-3 * X
    fitted = make_pipeline(StandardScaler(), ours()).fit(shifted, Y)
    io.export_onnx(fitted, tmp_path / "model.onnx", shifted)
    assert_answers_alike(fitted, tmp_path / "model.onnx", shifted)


def test_exported_files_tell_nothing_of_the_machine(tmp_path):
    fitted = CASES["functions"].fit(X, Y)
    io.export_onnx(fitted, tmp_path / "model.onnx")
    io.export_torch(fitted, tmp_path / "model.pt2")
    for name in ("model.onnx", "model.pt2"):
        data = (tmp_path / name).read_bytes()
        assert b"site-packages" not in data
        assert os.getcwd().encode() not in data


@pytest.mark.parametrize("name", ["columns", "quantiles", "svc", "ordinal"])
def test_torch_programs_answer_alike(name, tmp_path):
    fitted = CASES[name].fit(X, Y)
    io.export_torch(fitted, tmp_path / "model.pt2", None if name == "columns" else X)
    module = torch.export.load(tmp_path / "model.pt2").module()
    for n in (1, 2, 150):
        scores, indices = module(torch.from_numpy(X[:n]))
        method = "predict_proba" if hasattr(fitted, "predict_proba") else "decision_function"
        np.testing.assert_allclose(scores.detach(), getattr(fitted, method)(X[:n]), atol=1e-8)
        np.testing.assert_array_equal(fitted.classes_[indices], fitted.predict(X[:n]))


def test_the_estimator_and_random_numbers_stay_as_they_are(tmp_path):
    fitted = CASES["columns"].fit(X, Y)
    before, state = fitted.predict_proba(X), torch.get_rng_state()
    io.export_onnx(fitted, tmp_path / "model.onnx")
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    assert torch.equal(torch.get_rng_state(), state)
    fitted[-1].partial_fit(fitted[0].transform(X), Y)


def test_quantiles_of_the_normal_distribution_are_those_of_scipy():
    class Quantiles(nn.Module):
        def forward(self, p):
            return torch.special.ndtri(p)

    share = np.concatenate([10.0 ** -np.arange(1, 17), np.linspace(0.001, 0.999, 500), 1 - 10.0 ** -np.arange(1, 16)])
    with io._program.quiet():
        program = torch.onnx.export(
            torch.export.export(Quantiles(), (torch.from_numpy(share),)),
            custom_translation_table=_operators.operators(),
            external_data=False,
            verbose=False,
        )
    session = session_of(program.model_proto.SerializeToString())
    [found] = session.run(None, {session.get_inputs()[0].name: share})
    np.testing.assert_allclose(found, special.ndtri(share), rtol=1e-13)


# What is refused


class Odd(TransformerMixin, BaseEstimator):
    """A transformer of the user."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X


class Wrong(Odd):
    """One whose module computes something else."""


class Unknown(Odd):
    """One whose module ONNX does not have."""


class Untraceable(Odd):
    """One whose module cannot be traced."""


class Shifted(nn.Module):
    def forward(self, X):
        return X + 0.01


class Bessel(nn.Module):
    def forward(self, X):
        return X + 0 * torch.special.bessel_j0(X)


class Depends(nn.Module):
    def forward(self, X):
        return X if float(X.sum()) > 0 else X + 0


register(Wrong)(lambda fitted: Shifted())
register(Unknown)(lambda fitted: Bessel())
register(Untraceable)(lambda fitted: Depends())


def test_what_answers_otherwise_is_not_written(tmp_path):
    (tmp_path / "model").write_text("old")
    fitted = make_pipeline(Wrong(), LogisticRegression(max_iter=1000)).fit(X, Y)
    for export in (io.export_onnx, io.export_torch):
        with pytest.raises(
            ExportError, match=r"exported Pipeline differs from predict_proba by .*: nothing was written"
        ):
            export(fitted, tmp_path / "model", X)
    assert (tmp_path / "model").read_text() == "old"
    assert os.listdir(tmp_path) == ["model"]


def test_other_labels_are_not_written(tmp_path, monkeypatch):
    fitted = LogisticRegression(max_iter=1000).fit(X, Y)
    monkeypatch.setattr(LogisticRegression, "predict", lambda self, X: np.zeros(len(X)))
    with pytest.raises(ExportError, match=r"gives other labels to \d+ of 150 rows than predict does"):
        io.export_torch(fitted, tmp_path / "model", X)


def test_other_labels_of_few_rows_at_once_are_found():
    fitted = LogisticRegression(max_iter=1000).fit(X, Y)

    def run(matrix):
        labels = fitted.predict(matrix)
        return fitted.predict_proba(matrix), labels if len(matrix) > 1 else 1 - labels

    with pytest.raises(ExportError, match="gives other labels to 1 of 1 rows than predict does"):
        check_answers(run, fitted, X, X)


def test_what_has_no_counterpart_is_refused(tmp_path):
    logistic = LogisticRegression(max_iter=1000)
    unknown = make_pipeline(Unknown(), logistic).fit(X, Y)
    with pytest.raises(ExportError, match=r"of type Pipeline cannot be exported: .*bessel_j0"):
        io.export_onnx(unknown, tmp_path / "model", X)
    with pytest.raises(ExportError, match="of type Pipeline cannot be exported: "):
        io.export_torch(make_pipeline(Untraceable(), logistic).fit(X, Y), tmp_path / "model", X)
    with pytest.raises(NotConvertibleError, match="RandomForestClassifier, which to_torch cannot convert"):
        io.export_onnx(RandomForestClassifier(n_estimators=2).fit(X, Y), tmp_path / "model")
    with pytest.raises(ExportError, match="StandardScaler, which has neither predict_proba nor decision_function"):
        io.export_onnx(StandardScaler().fit(X), tmp_path / "model", X)
    with pytest.raises(NotFittedError):
        io.export_onnx(LogisticRegression(), tmp_path / "model")
    assert not os.listdir(tmp_path)


def test_rows_that_cannot_be_made_up_are_asked_for(tmp_path):
    rows = np.random.default_rng(0).integers(0, 3, size=(60, 2)) + 0.0
    encoder = OneHotEncoder(sparse_output=False)
    columns = ColumnTransformer([("encoded", encoder, [0, 1])])
    fitted = make_pipeline(columns, LogisticRegression()).fit(rows, rows[:, 0] > 0)
    with pytest.raises(ExportError, match=r"X=None, but Pipeline answers none of the rows .*: pass some rows as X"):
        io.export_onnx(fitted, tmp_path / "model.onnx")
    io.export_onnx(fitted, tmp_path / "model.onnx", rows)
    assert_answers_alike(fitted, tmp_path / "model.onnx", rows)
    letters = np.array([["a"], ["b"]] * 5)
    with pytest.raises(ExportError, match="X holds text or categories, but an exported model takes numbers alone"):
        io.export_onnx(make_pipeline(encoder, LogisticRegression()).fit(letters, [0, 1] * 5), tmp_path / "x", letters)


def test_labels_that_onnx_does_not_have_are_refused(tmp_path):
    fitted = ours().fit(X, Y)
    fitted.classes_ = np.array(["a", 1, None], dtype=object)
    with pytest.raises(ExportError, match=r"labels of a kind that ONNX does not have: fit on numbers or text"):
        io._onnx._classes(onnx, fitted.classes_)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"export_onnx needs {package}, which is not installed: pip install 'skrobust\[onnx\]'"
    with pytest.raises(ImportError, match=message):
        io.export_onnx(LogisticRegression(max_iter=1000).fit(X, Y), tmp_path / "model")
