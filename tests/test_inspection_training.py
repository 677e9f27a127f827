"""Displays of training histories, and of the distances between rows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.inspection import PairwiseDistanceDisplay, TrainingHistoryDisplay
from skrobust.unlabeled import layer_activations, pairwise_distance_histogram


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


def test_history_from_estimator_equals_from_history(quick, blobs):
    clf = quick(early_stopping=True, max_epochs=5).fit(*blobs)
    display = TrainingHistoryDisplay.from_estimator(make_pipeline(clf), name="net")
    again = TrainingHistoryDisplay.from_history(clf.history_, name="net")
    assert set(display.lines_) == set(again.lines_)
    for figure in ("train_cross_entropy", "valid_loss", "train_penalty", "valid_score"):
        line = display.lines_["net", figure]
        assert line.get_ydata().tolist() == [epoch[figure] for epoch in clf.history_]
        assert line.get_xdata().tolist() == [epoch["epoch"] for epoch in clf.history_]
    labels = [ax.get_ylabel() for ax in display.axes_]
    assert labels == ["cross-entropy", "penalty (not weighted)", "validation score"]
    scores = [epoch["valid_score"] for epoch in clf.history_]
    assert display.best_[0].get_xdata()[0] == len(scores) - int(np.argmax(scores[::-1]))
    assert [text.get_text() for text in display.axes_[0].get_legend().get_texts()] == ["training", "validation"]
    assert display.axes_[1].get_legend() is None


def test_the_last_of_equal_validation_scores_is_marked():
    scores = [0.1, 0.9, 0.9, np.nan, 0.5]
    history = [{"epoch": epoch, "train_cross_entropy": 1.0, "valid_score": s} for epoch, s in enumerate(scores, 1)]
    display = TrainingHistoryDisplay.from_history(history)
    assert display.best_[0].get_xdata()[0] == 3


def test_histories_of_several_trainings_show_what_each_has(quick, blobs):
    nets = {"plain": quick(smoothness=0).fit(*blobs), "off-support": quick().fit(*blobs)}
    display = TrainingHistoryDisplay.from_estimator(nets)
    assert len(display.axes_) == 2
    assert ("plain", "train_penalty") not in display.lines_
    first, second = (display.lines_[name, "train_cross_entropy"] for name in nets)
    assert first.get_color() != second.get_color() == display.lines_["off-support", "train_penalty"].get_color()
    texts = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert texts == ["plain, training", "off-support, training"]


def test_what_has_no_history(clf):
    with pytest.raises(TypeError, match="estimator of type LogisticRegression has no history_"):
        TrainingHistoryDisplay.from_estimator(clf)
    with pytest.raises(ValueError, match="history has no epoch with one of"):
        TrainingHistoryDisplay.from_history([{"epoch": 1, "dur": 0.1}])


def test_pairs_are_those_of_the_histogram(iris):
    X, y = iris
    counts, edges = pairwise_distance_histogram(X.to_numpy(), y, bins=20)
    display = PairwiseDistanceDisplay.from_data(X, y, bins=20, radii={"noise": 0.3})
    assert list(display.histograms_) == ["within", "between", "nearest_within", "nearest_between"]
    for kind, patch in display.histograms_.items():
        values, own_edges, _ = patch.get_data()
        np.testing.assert_allclose(values, counts[kind] / counts[kind].sum())
        np.testing.assert_array_equal(own_edges, edges)
    assert display.radius_lines_["noise"].get_xdata()[0] == 0.3
    assert display.ax_.get_xlabel() == "distance (in units of the data scale D)"
    assert display.ax_.get_ylim()[0] == 0
    assert list(display.plot(kinds=["pairs"]).histograms_) == ["pairs"]
    raw = PairwiseDistanceDisplay.from_data(X, units="raw")
    assert list(raw.histograms_) == ["pairs", "nearest"]
    assert raw.ax_.get_xlabel() == "distance (in units of X)"


def test_pairs_as_a_classifier_sees_them(quick, iris):
    X, y = iris
    clf = make_pipeline(StandardScaler(), quick(unlabeled_radius=0.7, neighbor_radius=0.2)).fit(X, y)
    display = PairwiseDistanceDisplay.from_estimator(clf, X, y, bins=10)
    counts, edges = pairwise_distance_histogram(clf[0].transform(X), y, bins=10)
    np.testing.assert_array_equal(display.edges, edges)
    np.testing.assert_array_equal(display.counts["within"], counts["within"])
    lines = {name: line.get_xdata()[0] for name, line in display.radius_lines_.items()}
    assert lines == {"unlabeled_radius": 0.7, "neighbor_radius": 0.2}
    uniform = make_pipeline(clf[0], quick(unlabeled="uniform").fit(clf[0].transform(X), y))
    assert list(PairwiseDistanceDisplay.from_estimator(uniform, X, y).radius_lines_) == ["neighbor_radius"]
    at_layer = PairwiseDistanceDisplay.from_estimator(clf[-1], clf[0].transform(X), layer="1", units="raw")
    activations = layer_activations(clf[-1], "1", clf[0].transform(X))
    assert not at_layer.radius_lines_
    gaps = np.linalg.norm(activations[:, None] - activations, axis=2)
    assert at_layer.edges[-1] == pytest.approx(gaps.max(), rel=1e-5)


@pytest.mark.parametrize("mark", [-1, "none"])
def test_pairs_leave_out_rows_without_a_label(quick, iris, mark):
    X, y = iris[0].to_numpy(), np.asarray(iris[1]).astype(object)
    y[::3] = mark
    clf = quick(unlabeled_label=mark, max_epochs=1).fit(X, y.tolist())
    is_labeled = np.arange(len(y)) % 3 > 0
    display = PairwiseDistanceDisplay.from_estimator(clf, X, y.tolist(), bins=10)
    counts, edges = pairwise_distance_histogram(X[is_labeled], y[is_labeled], bins=10)
    np.testing.assert_array_equal(display.edges, edges)
    np.testing.assert_array_equal(display.counts["within"], counts["within"])
    assert PairwiseDistanceDisplay.from_estimator(clf, X).counts["nearest"].sum() == len(X)
    with pytest.raises(ValueError, match=f"y has 1 labels other than unlabeled_label={mark!r}, which make no pairs"):
        PairwiseDistanceDisplay.from_estimator(clf, X, [*[mark] * 149, "setosa"])
    with pytest.raises(ValueError, match="y has 3 labels, but X has 150 rows"):
        PairwiseDistanceDisplay.from_estimator(clf, X, y[:3])


def test_wrong_pairs(iris, clf):
    with pytest.raises(TypeError, match="LogisticRegression has no unlabeled_radius and neighbor_radius"):
        PairwiseDistanceDisplay.from_estimator(clf, iris[0])
    display = PairwiseDistanceDisplay({"pairs": np.ones(2)}, np.arange(3.0))
    with pytest.raises(ValueError, match=r"kinds=\['odd'\] and units='data_scale' must be among"):
        display.plot(kinds=["odd"])
    display.units = "miles"
    with pytest.raises(ValueError, match="units='miles' must be among"):
        display.plot()
    assert not plt.get_fignums()
