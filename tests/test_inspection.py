"""What all displays have in common: axes, figures, styles, palette, lazy imports."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.utils import Bunch

from skrobust import inspection
from skrobust.inspection import _drawing as drawing
from skrobust.inspection._palette import N_LINE_COLORS, OKABE_ITO, class_colors, line_style


@pytest.fixture(autouse=True)
def closed_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


CURVE = {"name": "net", "attack": "", "units": "Linf", "note": ""}
CURVE |= {"eps": [0.0, 1.0], "accuracy": [0.9, 0.1], "low": [0.8, 0.0], "high": [1.0, 0.2]}
NOISE = Bunch(distance=np.array([[0.0], [1.0]]), per_sample=np.array([[0.9], [0.6]]), probability=np.full((2, 2), 0.5))
EXAMPLE = {"row": 0, "before": np.zeros(4), "after": np.ones(4), "values_before": [0] * 4, "values_after": [1] * 4}
EXAMPLE |= {"y": "a", "answer_before": "a", "answer_after": "b"}
NAMES = ["p", "q", "r", "s"]
EPOCHS = [{"epoch": 1, "train_cross_entropy": 2.0, "train_penalty": 0.1, "valid_score": 0.5, "valid_loss": 2.1}]

# One of each, with the number of its panels.
DISPLAYS = {
    "curve": (lambda: inspection.RobustnessCurveDisplay([CURVE]), 1),
    "curves of two norms": (lambda: inspection.RobustnessCurveDisplay([CURVE, {**CURVE, "units": "L2"}]), 2),
    "surface": (
        lambda: inspection.SoftmaxSurfaceDisplay(
            x0=np.arange(3.0), x1=np.arange(3.0), answers=np.tile([0, 1, 1], (3, 1)), classes=np.array(["a", "b"])
        ),
        1,
    ),
    "surface to scale": (
        lambda: inspection.SoftmaxSurfaceDisplay(
            x0=np.linspace(-40, 40, 11),
            x1=np.linspace(-40, 32, 11),
            answers=np.arange(121).reshape(11, 11) // 13,
            classes=np.arange(10),
            labels=("component 1 (17% of variance)", "component 2 (15% of variance)"),
            is_to_scale=True,
        ),
        1,
    ),
    "distances": (
        lambda: inspection.BoundaryDistanceDisplay(
            [{"name": "net", "direction": "random", "distance": np.array([1.0, np.inf]), "max_distance": 3.0}]
        ),
        1,
    ),
    "confidence": (lambda: inspection.OffSupportConfidenceDisplay({"net": NOISE}), 1),
    "confidence and bars": (
        lambda: inspection.OffSupportConfidenceDisplay({"net": NOISE}, foreign={"net": {"far": NOISE}}),
        2,
    ),
    "history": (lambda: inspection.TrainingHistoryDisplay({"net": EPOCHS}), 3),
    "rows": (lambda: inspection.AdversarialExamplesDisplay([EXAMPLE] * 2, feature_names=NAMES), 2),
    "images": (
        lambda: inspection.AdversarialExamplesDisplay([EXAMPLE], feature_names=NAMES, image_shape=(2, 2)),
        3,
    ),
    "pairs": (lambda: inspection.PairwiseDistanceDisplay({"pairs": np.array([1, 2])}, np.arange(3.0)), 1),
}


def axes_of(display):
    return list(np.ravel(display.axes_ if hasattr(display, "axes_") else display.ax_))


@pytest.fixture(params=DISPLAYS)
def case(request):
    make, n_panels = DISPLAYS[request.param]
    return make(), n_panels


def test_without_axes_one_figure_is_made(case):
    display, n_panels = case
    assert display.plot() is display
    assert [plt.figure(number) for number in plt.get_fignums()] == [display.figure_]
    assert len(axes_of(display)) == n_panels
    assert all(ax.figure is display.figure_ for ax in axes_of(display))


def test_drawing_again_makes_a_figure_like_the_first(case):
    display, _ = case
    first = [(len(ax.get_children()), ax.get_xlim(), ax.get_ylim()) for ax in axes_of(display.plot())]
    again = [(len(ax.get_children()), ax.get_xlim(), ax.get_ylim()) for ax in axes_of(display.plot())]
    assert again == first
    assert len(plt.get_fignums()) == 2


def test_given_axes_are_used_and_nothing_else_on_the_figure_is_touched(case):
    display, n_panels = case
    figure, axes = plt.subplots(1, n_panels + 1, squeeze=False)
    other = axes[0, -1]
    other.plot([1, 2], label="kept")
    before = (len(other.get_children()), other.get_xlim(), other.get_legend(), other.get_position().bounds)
    display.plot(ax=axes[0, :-1])
    assert axes_of(display) == list(axes[0, :-1])
    assert display.figure_ is figure
    assert (len(other.get_children()), other.get_xlim(), other.get_legend(), other.get_position().bounds) == before
    assert plt.get_fignums() == [figure.number]
    assert len(figure.axes) == n_panels + 1


def test_one_axes_is_divided_where_there_are_several_panels(case):
    display, n_panels = case
    figure, (left, right) = plt.subplots(1, 2)
    display.plot(ax=left)
    if n_panels == 1:
        assert axes_of(display) == [left]
        return
    assert not left.axison
    assert len(figure.axes) == 2 + n_panels
    assert all(ax.get_position().x1 < right.get_position().x0 for ax in axes_of(display))


def test_axes_that_are_none(case):
    display, _ = case
    with pytest.raises(TypeError, match=r"ax='left' must be an Axes of matplotlib"):
        display.plot(ax="left")
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", ["history", "images", "curves of two norms"])
def test_wrong_number_of_axes(name):
    make, n_panels = DISPLAYS[name]
    _, axes = plt.subplots(1, n_panels + 1)
    with pytest.raises(ValueError, match=rf"ax has {n_panels + 1} axes, but {n_panels} panels"):
        make().plot(ax=axes)


def test_axes_without_a_grid_cannot_be_divided():
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match=r"ax has 1 axes, but 3 panels"):
        DISPLAYS["history"][0]().plot(ax=ax)


@pytest.mark.parametrize("names", [[], {}])
def test_nothing_to_draw(names):
    with pytest.raises(ValueError, match="TrainingHistoryDisplay has nothing to draw"):
        inspection.TrainingHistoryDisplay.from_history(dict(names))


def test_a_name_is_for_a_single_one():
    with pytest.raises(ValueError, match=r"name='b' is for a single one"):
        inspection.TrainingHistoryDisplay.from_history({"a": EPOCHS}, name="b")


@pytest.mark.parametrize(("given", "expected"), [({"c": "red", "lw": 5}, ("red", 5)), ({"color": "red"}, ("red", 1.5))])
def test_style_keywords_go_before_defaults_also_by_their_short_names(given, expected):
    style = drawing.line_kwargs({"color": "blue", "linewidth": 1.5}, given)
    assert (style["color"], style["linewidth"]) == expected
    assert not {"c", "lw"} & set(style)


@pytest.mark.parametrize(
    ("name", "keywords", "artists"),
    [
        ("curve", "line_kw", lambda display: display.lines_),
        ("distances", "line_kw", lambda display: display.lines_),
        ("confidence", "line_kw", lambda display: display.lines_),
        ("history", "line_kw", lambda display: list(display.lines_.values())),
    ],
)
def test_line_keywords_reach_the_lines(name, keywords, artists):
    display = DISPLAYS[name][0]().plot(**{keywords: {"c": "black", "lw": 7}})
    assert {(line.get_color(), line.get_linewidth()) for line in artists(display)} == {("black", 7)}


def test_other_keywords_reach_their_artists():
    curve = DISPLAYS["curve"][0]().plot(band_kw={"alpha": 0.7})
    assert curve.bands_[0].get_alpha() == 0.7
    bars = DISPLAYS["confidence and bars"][0]().plot(bar_kw={"hatch": "x"}, band_kw={"alpha": 0.6})
    assert {patch.get_hatch() for patch in bars.bars_[0]} == {"x"}
    assert bars.bands_[0].get_alpha() == 0.6
    rows = DISPLAYS["rows"][0]().plot(bar_kw={"height": 0.2})
    assert {patch.get_height() for patch in rows.bars_[0]} == {0.2}
    images = DISPLAYS["images"][0]().plot(image_kw={"cmap": "viridis"})
    assert images.images_[0, 0].get_cmap().name == "viridis"
    surface = DISPLAYS["surface"][0]().plot(surface_kw={"alpha": 0.5}, boundary_kw={"linewidths": 4})
    assert surface.surface_.get_alpha() == 0.5
    assert surface.boundary_[0].get_linewidths().tolist() == [4]
    pairs = DISPLAYS["pairs"][0]()
    pairs.radii = {"noise": 1.0}
    pairs.plot(histogram_kw={"ec": "black"}, radius_kw={"ls": "--"})
    assert pairs.histograms_["pairs"].get_edgecolor() == (0, 0, 0, 1)
    assert pairs.radius_lines_["noise"].get_linestyle() == "--"


def test_legends_stand_beside_the_data_only_where_there_is_room():
    roomy = DISPLAYS["surface"][0]().plot()
    roomy.figure_.canvas.draw()
    box = roomy.ax_.get_legend().get_window_extent()
    assert box.x0 >= roomy.ax_.get_window_extent().x1
    assert box.x1 <= roomy.figure_.bbox.x1
    _, ax = plt.subplots()
    inside = DISPLAYS["surface"][0]().plot(ax=ax)
    inside.figure_.canvas.draw()
    assert inside.ax_.get_legend().get_window_extent().x1 <= ax.get_window_extent().x1


def test_nothing_is_cut_off(case):
    display, _ = case
    display.plot()
    display.figure_.canvas.draw()
    page, tight = display.figure_.bbox, display.figure_.get_tightbbox().transformed(display.figure_.dpi_scale_trans)
    assert tight.x0 >= page.x0 - 2
    assert tight.x1 <= page.x1 + 2
    assert tight.y0 >= page.y0 - 2
    assert tight.y1 <= page.y1 + 2


def test_lines_differ_in_more_than_color():
    styles = [line_style(index) for index in range(4 * N_LINE_COLORS)]
    assert len({(style["color"], style["linestyle"]) for style in styles}) == len(styles)
    assert styles[0]["marker"] != styles[1]["marker"]
    assert to_rgb(OKABE_ITO[-1]) not in {to_rgb(style["color"]) for style in styles}


@pytest.mark.parametrize("n_classes", [1, 2, 7, 8, 10, 11, 40])
def test_every_class_has_a_color_of_its_own(n_classes):
    colors = class_colors(n_classes)
    assert colors.shape == (n_classes, 3)
    assert len(np.unique(colors, axis=0)) == n_classes


def test_without_matplotlib_the_message_names_the_method(case, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    display, _ = case
    with pytest.raises(ImportError, match=rf"{type(display).__name__}.plot requires matplotlib"):
        display.plot()
