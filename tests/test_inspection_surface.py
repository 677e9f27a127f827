"""Displays of what a classifier answers, on a plane and far from the data."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from skrobust.inspection import (
    OffSupportConfidenceDisplay,
    SoftmaxSurfaceDisplay,
)
from skrobust.inspection._palette import class_colors
from skrobust.metrics import foreign_confidence, off_support_confidence


@pytest.fixture(autouse=True)
def closed_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def iris():
    """Return iris as a frame, with labels as text."""
    data = load_iris(as_frame=True)
    return data.data, data.target_names[data.target]


@pytest.fixture(scope="module")
def clf(iris):
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*iris)


@pytest.fixture
def people(rng):
    """Return a mixed table, labels, and a Pipeline fitted on them."""
    frame = pd.DataFrame({"age": rng.normal(40, 9, 60), "income": rng.normal(5, 1, 60)})
    frame["city"] = pd.Categorical(["Oslo"] * 40 + ["Rome"] * 20)
    y = np.where(frame["age"] > 40, "old", "young")
    before = make_column_transformer((OneHotEncoder(), ["city"]), remainder=StandardScaler())
    return frame, y, make_pipeline(before, LogisticRegression()).fit(frame, y)


def boundary_points(contours):
    return np.concatenate([path.vertices for contour in contours for path in contour.get_paths() if len(path.vertices)])


def surface(*args, n_grid=41, **params):
    return SoftmaxSurfaceDisplay.from_estimator(*args, n_grid=n_grid, **params)


def test_the_boundary_of_two_gaussians_is_the_line_between_them():
    X = np.array([[-1.0, 0.0], [1.0, 0.0], [-1.0, 2.0], [1.0, 2.0]])
    y = ["left", "right"] * 2
    display = surface(LogisticRegression().fit(X, y), X, y)
    assert len(display.boundary_) == len(display.nearest_boundary_) == 1
    assert boundary_points(display.boundary_)[:, 0] == pytest.approx(0, abs=1e-6)
    step = display.x0[1] - display.x0[0]
    assert boundary_points(display.nearest_boundary_)[:, 0] == pytest.approx(0, abs=step)
    assert display.answers[0, 0] == 0
    assert display.answers[0, -1] == 1
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["left", "right", "decision boundary", "1-nearest-neighbor"]


def test_a_slice_asks_about_medians(clf, iris):
    X, y = iris
    names = ("petal length (cm)", "petal width (cm)")
    display = surface(clf, X, y, features=names)
    rows = pd.DataFrame([X.median()] * 2)
    rows[list(names)] = [[display.x0[3], display.x1[30]], [display.x0[20], display.x1[20]]]
    expected = clf.predict_proba(rows)
    np.testing.assert_allclose([display.proba[30, 3], display.proba[20, 20]], expected)
    assert (display.classes[display.answers[[30, 20], [3, 20]]] == clf.predict(rows)).all()
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == names
    assert "other features at their medians" in display.ax_.get_title()
    dots = np.concatenate([dot.get_offsets() for dot in display.dots_])
    assert sorted(dots[:, 0]) == sorted(X[names[0]])
    by_index = surface(clf, X, y, features=(2, 3))
    np.testing.assert_array_equal(by_index.proba, display.proba)


def test_regions_are_paler_where_the_classifier_is_less_sure(clf, iris):
    display = surface(clf, *iris, features=(2, 3))
    picture = np.asarray(display.surface_.get_array())
    assert picture.shape == (41, 41, 3)
    top = display.proba.max(axis=2)
    darkness = 1 - picture.min(axis=2)
    is_first = display.answers == 0
    assert np.corrcoef(top[is_first], darkness[is_first])[0, 1] > 0.99
    flat = np.asarray(surface(SVC().fit(*iris), *iris, features=(2, 3)).surface_.get_array())
    assert len(np.unique(flat.reshape(-1, 3).round(6), axis=0)) == 3


def test_every_answer_is_named_within_its_region(clf, iris):
    display = surface(clf, *iris, features=(2, 3))
    assert {text.get_text() for text in display.texts_} == set(clf.classes_)
    for text in display.texts_:
        x, y = text.get_position()
        place = display.answers[np.searchsorted(display.x1, y), np.searchsorted(display.x0, x)]
        assert display.classes[place] == text.get_text()


def test_a_plane_through_three_rows_holds_them(clf, iris):
    X, y = iris
    rows = [0, 60, 120]
    display = surface(clf, X, y, rows=rows)
    assert display.points.shape == (3, 2)
    values = X.to_numpy()[rows]
    for i in range(3):
        distances = np.linalg.norm(display.points - display.points[i], axis=1)
        assert distances == pytest.approx(np.linalg.norm(values - values[i], axis=1))
    near = [np.abs(display.x0 - x).argmin() for x in display.points[:, 0]]
    high = [np.abs(display.x1 - x).argmin() for x in display.points[:, 1]]
    assert display.classes[display.answers[high, near]].tolist() == clf.predict(X.iloc[rows]).tolist()
    assert display.ax_.get_xlabel() == "way from row 0 to row 60"
    assert display.ax_.get_aspect() == 1


def test_many_features_are_shown_by_principal_components(quick, digit_images):
    images, y = digit_images
    display = surface(quick(max_epochs=2).fit(images, y), images[:60], y[:60], n_grid=12)
    assert display.ax_.get_xlabel().startswith("component 1 (")
    assert display.points.shape == (60, 2)
    assert len(display.ax_.get_legend().get_texts()) >= 11
    width, height = np.ptp(display.x0), np.ptp(display.x1)
    assert max(width, height) <= 1.6 * min(width, height) * (1 + 1e-9)


def test_a_mixed_table(people):
    frame, y, pipe = people
    display = surface(pipe, frame, y, features=("age", "income"), unlabeled="gaussian", noise_units="std")
    rows = pd.DataFrame({"age": [display.x0[5]], "income": [display.x1[7]], "city": ["Oslo"]})
    np.testing.assert_allclose(display.proba[7, 5], pipe.predict_proba(rows)[0])
    assert display.unlabeled_.get_offsets().shape == (60, 2)
    assert display.nearest is not None
    np.testing.assert_array_equal(surface(pipe, frame, y).classes, display.classes)


def test_the_nearest_neighbor_stands_behind_the_preprocessing(clf, iris):
    X, y = iris
    scaler = clf[0]
    display = surface(clf, X, y, features=(2, 3))
    nearest = KNeighborsClassifier(1).fit(scaler.transform(X), y)
    row = X.median().to_frame().T
    row.iloc[0, [2, 3]] = display.x0[25], display.x1[9]
    assert display.classes[display.nearest[9, 25]] == nearest.predict(scaler.transform(row))[0]
    assert not surface(clf, X, y, features=(2, 3), nearest_neighbor=False).nearest_boundary_


def test_searches_are_what_they_found(clf, iris):
    X, y = iris
    search = GridSearchCV(clf, {"logisticregression__C": [1.0]}, cv=2).fit(X, y)
    nested = make_pipeline(StandardScaler(), GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2)).fit(X, y)
    alone = surface(clf, X, y, features=(2, 3))
    for found in (search, nested):
        display = surface(found, X, y, features=(2, 3))
        np.testing.assert_array_equal(display.nearest, alone.nearest)
        assert display.ax_.get_title() == alone.ax_.get_title()


def test_unlabeled_points_given_and_sampled(clf, iris):
    X, y = iris
    given = surface(clf, X, y, features=(2, 3), unlabeled=X[:7] + 1)
    np.testing.assert_allclose(given.unlabeled_.get_offsets(), X.iloc[:7, [2, 3]] + 1)
    first, again, other = (
        surface(clf, X, y, features=(2, 3), unlabeled="gaussian", random_state=seed).unlabeled_points
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert "unlabeled point" in [text.get_text() for text in given.ax_.get_legend().get_texts()]
    assert "unlabeled points" not in given.note


def test_unlabeled_points_outside_the_picture_are_counted(clf, iris):
    X, y = iris
    away = pd.concat([X[:3].add([0, 0, 50, 0]), X[:4].sub([0, 0, 0, 50]), X[:5]])
    display = surface(clf, X, y, features=(2, 3), unlabeled=away)
    assert display.ax_.get_title().endswith("rows moved there\n7 of 12 unlabeled points lie outside the picture")


def test_the_boundary_is_that_of_predict_where_probabilities_say_otherwise():
    class Shifted:
        classes_ = np.array([0, 1])

        def predict(self, X):
            return (X[:, 0] > 0.3).astype(int)

        def predict_proba(self, X):
            share = 1 / (1 + np.exp(-X[:, 0]))
            return np.stack([1 - share, share], axis=1)

    X = np.array([[-1.0, 0.0], [1.0, 1.0]])
    display = surface(Shifted(), X, n_grid=101)
    assert boundary_points(display.boundary_)[:, 0] == pytest.approx(0.3, abs=display.x0[1] - display.x0[0])


def test_labels_that_the_classifier_does_not_know_are_white(iris):
    X, y = iris
    X, two = X.iloc[:, :2], y != "virginica"
    display = surface(LogisticRegression().fit(X[two], y[two]), X, y)
    assert (display.codes[~two] == -1).all()
    assert display.dots_[0].get_facecolor()[0].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(("n_classes", "n_named"), [(24, 24), (25, 0)])
def test_legends_of_many_classes_leave_the_picture_its_place(n_classes, n_named):
    x = np.linspace(0, 1, 30)
    answers = np.minimum(np.arange(900).reshape(30, 30) // 30, n_classes - 1)
    classes = np.array([f"a class with quite a long name, {k}" for k in range(60)])
    display = SoftmaxSurfaceDisplay(x0=x, x1=x, answers=answers, classes=classes, is_to_scale=True).plot()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert len(texts) == n_named + 1
    assert texts[-1] == "decision boundary"
    assert max(len(text.get_text()) for text in display.texts_) <= 14
    display.figure_.canvas.draw()
    assert display.ax_.get_window_extent().width > 0.3 * display.figure_.bbox.width


def test_the_legend_names_the_classes_on_the_plane():
    x = np.linspace(0, 1, 4)
    params = {"x0": x, "x1": x, "answers": np.tile([4, 4, 8, 8], (4, 1)), "classes": np.arange(100)}
    for dots, expected in (
        ({}, ["4", "8"]),
        ({"points": np.zeros((2, 2)), "codes": np.array([6, -1])}, ["4", "6", "8"]),
    ):
        display = SoftmaxSurfaceDisplay(**params, **dots).plot()
        texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert texts == [*expected, "decision boundary"]
        shown = display.ax_.get_legend().get_patches()[0].get_facecolor()[:3]
        assert shown == pytest.approx(class_colors(100)[4])


def test_a_single_class_is_sure(iris):
    X = iris[0].to_numpy()
    display = surface(DummyClassifier().fit(X, np.zeros(150)), X)
    picture = np.asarray(display.surface_.get_array())
    assert np.isfinite(picture).all()
    assert (picture < 1).any()
    assert not display.boundary_


def test_without_labels_dots_have_the_color_of_the_answer(clf, iris):
    display = surface(clf, iris[0], features=(2, 3))
    assert (display.classes[display.codes] == clf.predict(iris[0])).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_grid": 1}, "n_grid=1 must be a whole number"),
        ({"features": (0, 1), "rows": (0, 1, 2)}, "name two planes"),
        ({"features": (0, 0)}, r"features=\(0, 0\) must be two different features"),
        ({"features": 0}, "features=0 must be two different features"),
        ({"features": (0, 9)}, "features holds 9, but X has 4 features"),
        ({"features": ("age", 0)}, "features holds 'age', but X has 4 features"),
        ({"rows": (0, 1)}, r"rows=\(0, 1\) must be three indices"),
        ({"rows": (0, 1, 500)}, "must be three indices of rows of X, which has 150"),
        ({"rows": (0, 0, 1)}, r"rows=\(0, 0, 1\) lie on one line"),
        ({"rows": (0, 1, 1)}, r"rows=\(0, 1, 1\) lie on one line"),
        ({"unlabeled": "sobol"}, "unlabeled='sobol' is not a sampler"),
        ({"unlabeled": np.zeros((2, 3))}, "unlabeled has 3 features, but X has 4"),
        ({"unlabeled": "gaussian", "noise_units": "iqr"}, "noise_units='iqr' is unknown"),
    ],
)
def test_wrong_parameters_of_surfaces(clf, iris, params, message):
    with pytest.raises(ValueError, match=message):
        SoftmaxSurfaceDisplay.from_estimator(clf, *iris, **params)


def test_data_without_a_plane(clf, iris, people):
    X, y = iris
    with pytest.raises(ValueError, match="y has 3 labels, but X has 150 rows"):
        surface(clf, X, y[:3])
    with pytest.raises(ValueError, match="y holds labels such as 0, but none that is among classes_ of"):
        surface(clf, X, np.arange(150))
    assert (surface(clf, X, np.arange(150), nearest_neighbor=False).codes == -1).all()
    one = KNeighborsClassifier(1).fit(X.iloc[:, :1], y)
    with pytest.raises(ValueError, match="X has 1 feature, but a plane needs two"):
        surface(one, X.iloc[:, :1], y)
    with pytest.raises(ValueError, match="X has too few different rows for principal components"):
        surface(clf, X[:2], y[:2])
    frame, labels, pipe = people
    with pytest.raises(ValueError, match=r"features=\('age', 'city'\) must hold numbers"):
        surface(pipe, frame, labels, features=("age", "city"))


def test_sparse_rows(clf):
    with pytest.raises(TypeError, match="X is sparse"):
        surface(clf, csr_array(np.eye(4)))


def test_what_is_no_classifier_and_what_has_no_distances(iris, people):
    X = iris[0]
    with pytest.raises(TypeError, match="estimator of type LinearRegression answers"):
        surface(LinearRegression().fit(X, X["sepal width (cm)"]), X, features=(0, 1), nearest_neighbor=False)

    class ByAge:
        classes_ = np.array(["old", "young"])

        def predict(self, X):
            return np.where(X["age"] > 40, "old", "young")

    frame, y, _ = people
    with pytest.raises(ValueError, match="nearest_neighbor=True needs distances"):
        surface(ByAge(), frame, y, features=("age", "income"))
    display = surface(ByAge(), frame, y, features=("age", "income"), nearest_neighbor=False)
    assert display.proba is None
    assert boundary_points(display.boundary_)[:, 0] == pytest.approx(40, abs=2)


def test_confidence_from_estimator_equals_from_result(clf, iris, monkeypatch):
    X = iris[0]
    foreign = {"shifted": X + 4, "small": X / 10}
    display = OffSupportConfidenceDisplay.from_estimator(clf, X, foreign=foreign, radii=[0, 1, 3], name="net")
    result = off_support_confidence(clf, X, radii=[0, 1, 3])
    found = {key: off_support_confidence(clf, part, radii=[0], X_reference=X) for key, part in foreign.items()}
    monkeypatch.setattr(LogisticRegression, "predict_proba", None)
    again = OffSupportConfidenceDisplay.from_result(result, foreign=found, classes=clf.classes_, name="net")
    for one in (display, display.plot()):
        np.testing.assert_array_equal(one.lines_[0].get_xydata(), again.lines_[0].get_xydata())
        assert [[bar.get_height() for bar in bars] for bars in one.bars_] == [
            [bar.get_height() for bar in bars] for bars in again.bars_
        ]
    assert again.lines_[0].get_ydata() == pytest.approx(result.confidence)
    assert again.lines_[0].get_xdata() == pytest.approx(np.median(result.distance, axis=1))


def test_confidence_shows_quantiles_chance_and_foreign_data(clf, iris):
    X = iris[0]
    foreign = {"shifted": X + 4}
    display = OffSupportConfidenceDisplay.from_estimator(clf, X, foreign=foreign, radii=[0, 1])
    table = foreign_confidence(clf, foreign)
    assert [bar.get_height() for bar in display.bars_[0]] == pytest.approx(table["mean"][:3].tolist())
    assert display.foreign_dots_[0].get_ydata()[0] == pytest.approx(table["mean"][3])
    assert display.chance_.get_ydata()[0] == pytest.approx(1 / 3)
    top = clf.predict_proba(X).max(axis=1)
    heights = display.bands_[0].get_paths()[0].vertices
    start = heights[np.isclose(heights[:, 0], 0), 1]
    assert (start.min(), start.max()) == pytest.approx(tuple(np.quantile(top, [0.1, 0.9])))
    assert [label.get_text() for label in display.axes_[1].get_xticklabels()] == clf.classes_.tolist()
    texts = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert texts == [
        "LogisticRegression, noise", "band: 10 % to 90 % of rows", "LogisticRegression, shifted", "chance, 0.333"
    ]  # fmt: skip


def test_several_classifiers_have_a_panel_of_bars_each(clf, iris):
    X, y = iris
    other = LogisticRegression(C=0.01).fit(X, y)
    display = OffSupportConfidenceDisplay.from_estimator(
        {"net": clf, "flat": other}, X, foreign=X + 1, radii=[0, 1], noise_units="std", X_reference=X[::2]
    )
    assert [ax.get_title() for ax in display.axes_] == ["", "net", "flat"]
    assert display.bars_[0][0].get_facecolor() != display.bars_[1][0].get_facecolor()
    assert len(display.lines_) == len(display.bands_) == 2


def test_wrong_parameters_of_confidence(clf, iris):
    X, y = iris
    with pytest.raises(TypeError, match="SVC has no predict_proba"):
        OffSupportConfidenceDisplay.from_estimator(SVC().fit(X, y), X)
    two = LogisticRegression().fit(X[:100], y[:100])
    with pytest.raises(ValueError, match=r"estimator \['a', 'b'\] have different classes"):
        OffSupportConfidenceDisplay.from_estimator({"a": clf, "b": two}, X)
    with pytest.raises(ValueError, match="foreign has nothing to draw"):
        OffSupportConfidenceDisplay.from_estimator(clf, X, foreign={}, radii=[0])
    with pytest.raises(TypeError, match="result holds int, which has no confidence"):
        OffSupportConfidenceDisplay.from_result({"a": 3})
    with pytest.raises(ValueError, match="radii="):
        OffSupportConfidenceDisplay.from_estimator(clf, X, radii=[-1])
