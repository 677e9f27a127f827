"""DataFrames: columns by name, columns of text, and the way to a matrix of numbers and back."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC

from skrobust.torchify import NotConvertibleError, decode_frame, encode_frame, has_bridge, to_torch

TEXT = ["color", "grade", "sold"]


@pytest.fixture
def frame():
    """Return 60 rows of numbers, text, categories and booleans, with names and an index of their own."""
    rng = np.random.default_rng(0)
    columns = {
        "price": rng.normal(size=60) * 1000 + 5000,
        "color": rng.choice(["red", "blue", "green"], size=60),
        "size": rng.integers(0, 9, size=60),
        "grade": pd.Categorical(rng.choice(["low", "high"], size=60), categories=["low", "high", "unseen"]),
        "sold": rng.uniform(size=60) < 0.5,
    }
    return pd.DataFrame(columns, index=np.arange(60) + 100)


@pytest.fixture
def y(frame):
    return np.where((frame["price"] > 5000) ^ (frame["color"] == "red"), "yes", "no")


@pytest.fixture
def holed(frame):
    """Return the same with missing values of every kind."""
    holed = frame.copy()
    holed.iloc[::5, 0] = np.nan
    holed.iloc[1::7, 1] = np.nan  # pandas 2 keeps a None, which SimpleImputer would not fill
    holed.iloc[2::9, 3] = np.nan
    return holed


def check(fitted, frame, **params):
    """Convert with a check on the frame, and check rows in another order, too; return the module."""
    module = to_torch(fitted, frame, **params)
    matrix, _ = encode_frame(frame)
    outputs = module(torch.from_numpy(matrix[::-1].copy()))
    if hasattr(fitted, "predict"):
        answers = fitted.classes_[outputs.argmax(dim=1).numpy()]
        np.testing.assert_array_equal(answers, fitted.predict(frame)[::-1])
    else:
        expected = fitted.transform(frame)
        expected = expected.toarray() if sparse.issparse(expected) else np.asarray(expected)
        np.testing.assert_allclose(outputs.numpy(), expected[::-1].astype(float), rtol=1e-10, atol=1e-12)
    return module


def encoder(**params):
    return OneHotEncoder(handle_unknown="ignore", **params)


NUMBERS = make_column_selector(dtype_include=np.number)
BY_COLUMN = [
    make_column_transformer((StandardScaler(), ["price", "size"]), (encoder(), TEXT)),
    make_column_transformer((StandardScaler(), NUMBERS), (encoder(), make_column_selector(dtype_exclude=np.number))),
    make_column_transformer((encoder(drop="first"), ["color"]), ("drop", ["grade"]), remainder="passthrough"),
    make_column_transformer((OrdinalEncoder(), slice("color", "grade")), remainder=StandardScaler()),
    make_column_transformer(("passthrough", [0, 2]), (encoder(sparse_output=False), [1, -1])),
    make_column_transformer((PCA(1), [True, False, True, False, False]), (OrdinalEncoder(), ["sold", "color"])),
    make_column_transformer((encoder(max_categories=2), ["color"]), (StandardScaler(), ["sold"])),
    make_column_transformer((make_pipeline("passthrough", encoder()), ["grade", "color"])),
    make_column_transformer((FunctionTransformer(np.abs), ["sold", "price"])),
]


@pytest.mark.parametrize("columns", BY_COLUMN, ids=range(len(BY_COLUMN)))
def test_columns_of_frames_are_transformed(frame, y, columns):
    check(columns.fit(frame), frame)
    check(make_pipeline(columns, LogisticRegression(max_iter=500)).fit(frame, y), frame)


IMPUTED = [
    SimpleImputer(strategy="most_frequent"),
    SimpleImputer(strategy="constant", fill_value="none"),
    SimpleImputer(strategy="most_frequent", add_indicator=True),
    SimpleImputer(missing_values="red", strategy="constant", fill_value="blue"),
]


@pytest.mark.parametrize("imputer", IMPUTED[:3], ids=str)
def test_text_is_imputed_and_then_encoded(holed, y, imputer):
    text = holed[["color", "grade"]].astype(object)
    check(make_pipeline(imputer, encoder()).fit(text), text)
    columns = make_column_transformer(
        (make_pipeline(imputer, OrdinalEncoder()), ["grade", "color"]), (SimpleImputer(), ["price"])
    )
    check(make_pipeline(columns, StandardScaler(), SVC()).fit(holed, y), holed)


def test_a_word_may_stand_for_missing_values(frame):
    text = frame[["color"]].astype(object)
    check(make_pipeline(IMPUTED[3], encoder()).fit(text), text)
    check(MissingIndicator(missing_values="red", features="all").fit(text), text)


@pytest.mark.parametrize("imputer", IMPUTED, ids=str)
def test_imputed_text_is_compared_as_codes(frame, holed, imputer):
    text = (frame if imputer.missing_values == "red" else holed)[["color", "grade"]].astype(object)
    module = to_torch(imputer.fit(text), text)
    assert module.vocabularies[0] is not None


def test_missing_values_are_categories_and_indicators(holed):
    text = holed[["color", "grade"]]
    check(OneHotEncoder().fit(text), text)
    check(OrdinalEncoder(encoded_missing_value=-5).fit(text), text)
    check(MissingIndicator(features="all").fit(holed[["price", "color"]]), holed[["price", "color"]])
    union = FeatureUnion([("same", "passthrough"), ("where", MissingIndicator())])
    check(make_pipeline(union, OneHotEncoder()).fit(text), text)


def test_empty_columns_are_dropped_or_kept(frame):
    hollow = frame[["price", "size"]].assign(nothing=np.nan)
    with pytest.warns(UserWarning, match="without any observed values"):
        check(SimpleImputer().fit(hollow), hollow)
    check(SimpleImputer(keep_empty_features=True).fit(hollow), hollow)


def test_other_words_than_those_of_the_fit_are_unknown(frame, y):
    pipe = make_pipeline(make_column_transformer((encoder(), ["color"]), ("passthrough", ["size"])), SVC())
    check(pipe.fit(frame, y), frame.assign(color="violet"))
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(frame[["color"]])
    check(ordinal, pd.DataFrame({"color": ["red", "violet"]}))


def test_selectors_keep_the_words_of_their_columns(frame):
    coded = make_column_transformer((OrdinalEncoder(), ["color"]), ("passthrough", ["sold", "size"]))
    check(make_pipeline(coded, VarianceThreshold(), OneHotEncoder()).fit(frame), frame)
    passed = make_column_transformer(("passthrough", ["sold", "size"])).set_output(transform="pandas")
    check(make_pipeline(passed, VarianceThreshold(0.1), OneHotEncoder()).fit(frame), frame)


def test_columns_are_found_by_name_in_another_order_and_among_others(frame, y):
    columns = make_column_transformer((StandardScaler(), ["price"]), (encoder(), ["color"]))
    pipe = make_pipeline(columns, LogisticRegression()).fit(frame, y)
    check(pipe, frame.assign(extra="more")[["extra", "color", "price", "sold", "grade", "size"]])


def test_categories_that_are_numbers_count_as_these(frame):
    steps = pd.DataFrame({"a": pd.Categorical([10.0, 30.0, 20.0, 10.0]), "b": pd.Categorical([0, 1, 2, 1])})
    check(StandardScaler().fit(steps), steps)
    check(StandardScaler().fit(steps[["b"]]), steps[["b"]])
    with pytest.raises(NotConvertibleError, match=r"StandardScaler.* holds no numbers but such as 'blue'"):
        to_torch(StandardScaler().fit(frame[["price"]].to_numpy()), frame[["color"]])


def test_words_without_rows_are_refused_with_the_remedy(frame):
    with pytest.raises(NotConvertibleError, match="categories such as 'blue' without X"):
        to_torch(OneHotEncoder().fit(frame[["color"]]))


def test_arrays_of_objects_have_words_too(frame, y):
    objects = frame[["color", "price"]].to_numpy(dtype=object)
    columns = make_column_transformer((encoder(), [0]), (StandardScaler(), [1]))
    check(make_pipeline(columns, LogisticRegression()).fit(objects, y), objects)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nested_compositions(frame, y):
    columns = BY_COLUMN[0]
    search = GridSearchCV(make_pipeline(columns, PCA(3), SVC()), {"svc__C": [1, 10]}, cv=2)
    text = make_pipeline(BY_COLUMN[2], PolynomialFeatures(2), VarianceThreshold(), LogisticRegression(max_iter=500))
    stacked = StackingClassifier([("search", search), ("text", text)], cv=2)
    for classifier in (
        search,
        stacked,
        VotingClassifier([("text", text), ("calibrated", CalibratedClassifierCV(search, cv=2))], voting="soft"),
        make_pipeline(columns, BaggingClassifier(make_pipeline(StandardScaler(), LogisticRegression()), 3)),
    ):
        check(classifier.fit(frame, y), frame)


def test_steps_inside_are_named(frame, y):
    columns = ColumnTransformer([("mine", make_pipeline(KNNImputer()), ["price"])])
    voting = VotingClassifier([("first", make_pipeline(columns, LogisticRegression()))], voting="soft").fit(frame, y)
    with pytest.raises(NotConvertibleError, match="step 'first__columntransformer__mine__knnimputer' is of type KNN"):
        to_torch(voting, frame)
    union = FeatureUnion([("mine", KNNImputer())]).fit(frame[["price"]])
    with pytest.raises(NotConvertibleError, match="step 'mine' is of type KNNImputer"):
        to_torch(union)


class Initials(TransformerMixin, BaseEstimator):
    """Counts the letters of words, a step that wants a DataFrame."""

    def fit(self, X, y=None):
        self.feature_names_in_ = np.asarray(X.columns)
        return self

    def transform(self, X):
        return np.stack([X["color"].str.len(), X["price"] ** 2], axis=1)

    def __sklearn_is_fitted__(self):
        return True


def test_numbers_beside_text_are_imputed(holed):
    objects = holed[["price", "color"]].astype(object)
    columns = make_column_transformer((StandardScaler(), [0]), (encoder(), [1]))
    check(make_pipeline(SimpleImputer(strategy="most_frequent"), columns).fit(objects), objects)


class Lengths(FunctionTransformer):
    def transform(self, X):
        return np.array([[len(value) for value in row] for row in X], dtype=float)


def test_a_bridge_hands_over_arrays_with_words(frame):
    words = frame[["color", "grade"]].to_numpy(dtype=object)
    assert has_bridge(check(Lengths(Lengths.transform).fit(words), words, bridge=True))


def test_a_bridge_hands_over_frames_with_words(frame, y):
    module = check(Initials().fit(frame), frame, bridge=True)
    assert has_bridge(module)
    rows = torch.from_numpy(encode_frame(frame)[0]).requires_grad_()
    module(rows)[:, 1].sum().backward()
    np.testing.assert_allclose(rows.grad[:, 0], 2 * frame["price"], rtol=1e-6)
    assert (rows.grad[:, 1:] == 0).all()


def test_frames_come_back_as_they_were(frame):
    matrix, vocabularies = encode_frame(frame)
    assert matrix.dtype == np.float64
    assert [None if words is None else list(words) for words in vocabularies] == [
        None,
        ["blue", "green", "red"],
        None,
        ["low", "high", "unseen"],
        [False, True],
    ]
    decoded = decode_frame(matrix, frame)
    pd.testing.assert_frame_equal(decoded, frame.astype({"size": float}))


def test_frames_of_other_lengths_and_codes_between_words(frame):
    matrix = encode_frame(frame)[0][:3]
    decoded = decode_frame(matrix + np.array([0, 0.4, 0, -9, 9]), frame)
    assert list(decoded.index) == [0, 1, 2]
    assert list(decoded["color"]) == list(frame["color"][:3])
    assert list(decoded["grade"]) == ["low"] * 3
    assert decoded["sold"].all()


def test_kinds_of_columns_that_come_back():
    frame = pd.DataFrame(
        {
            "text": pd.array(["a", None, "b"], dtype="string"),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "either": pd.array([True, None, False], dtype="boolean"),
            "numbers": np.array([1, 2.5, None], dtype=object),
            "mixed": np.array([1, "a", np.nan], dtype=object),
            "day": pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-02"]),
        }
    )
    matrix, vocabularies = encode_frame(frame)
    assert [words is None for words in vocabularies] == [False, True, False, True, False, False]
    np.testing.assert_array_equal(matrix[:, 1], [1, np.nan, 3])
    decoded = decode_frame(matrix, frame)
    pd.testing.assert_frame_equal(
        decoded, frame.astype({"nullable": float}).assign(numbers=np.array([1, 2.5, np.nan], dtype=object))
    )


def test_arrays_and_images_come_back():
    images = np.arange(24.0).reshape(2, 3, 4)
    matrix, vocabularies = encode_frame(images)
    assert matrix.shape == (2, 12)
    assert vocabularies == (None,) * 12
    np.testing.assert_array_equal(decode_frame(matrix, images), images)
    assert decode_frame(matrix[:1], images).shape == (1, 3, 4)
    words = np.array([["a", "x"], ["b", "y"]])
    np.testing.assert_array_equal(decode_frame(encode_frame(words)[0], words), words)
    assert encode_frame([[True, False]])[0].tolist() == [[1.0, 0.0]]


def test_wrong_shapes_are_refused(frame):
    with pytest.raises(ValueError, match="X has 1 dimension"):
        encode_frame([1.0, 2.0])
    with pytest.raises(ValueError, match=r"matrix has shape \(2, 3\), but the rows .* have 5 columns"):
        decode_frame(np.zeros((2, 3)), frame)
    with pytest.raises(ValueError, match=r"matrix has shape \(3,\)"):
        decode_frame(np.zeros(3), frame)


def test_other_columns_than_those_of_the_fit_are_refused(frame, y):
    pipe = make_pipeline(make_column_transformer((StandardScaler(), ["price", "size"])), SVC()).fit(frame, y)
    with pytest.raises(ValueError, match=r"X has no columns \['price', 'size'\], which the estimator was fitted on"):
        to_torch(pipe, frame[TEXT])
    with pytest.raises(ValueError, match=r"X has 3 features, but Pipeline was fitted on 5\."):
        to_torch(pipe, np.zeros((4, 3)))


def test_sparse_rows_are_refused(frame):
    with pytest.raises(TypeError, match=r"pass X\.toarray\(\)"):
        to_torch(StandardScaler(with_mean=False).fit(sparse.eye_array(3)), sparse.eye_array(3))


@pytest.mark.parametrize("values", [[True, False], [True, True]], ids=["both values", "one value"])
@pytest.mark.parametrize("dtype", [bool, "boolean", object], ids=["bool", "nullable", "object"])
def test_booleans_are_0_and_1_and_come_back_as_what_they_were(values, dtype):
    frame = pd.DataFrame({"sold": pd.Series(values, dtype=dtype)})
    matrix, vocabularies = encode_frame(frame)
    assert matrix[:, 0].tolist() == values
    assert vocabularies[0].tolist() == [False, True]
    pd.testing.assert_frame_equal(decode_frame(matrix, frame), frame)
    between = decode_frame(np.array([[-0.2], [0.4], [0.6], [1.3]]), frame)
    assert between["sold"].dtype == frame["sold"].dtype
    assert between["sold"].tolist() == [False, False, True, True]
