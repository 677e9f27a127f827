"""Displays of attacks: their numbers are those of reports and results, and drawing them never attacks."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import Bunch

from skrobust import ThreatModel, robustness_curves, robustness_report
from skrobust.attacks import _plan, find_adversarial
from skrobust.inspection import BoundaryDistanceDisplay, RobustnessCurveDisplay
from skrobust.inspection._robustness_curve import half_eps
from skrobust.metrics import adversarial_distance, boundary_distance, nearest_neighbor_margin
from skrobust.metrics._report import wilson_interval

THREAT = ThreatModel(0.4)


@pytest.fixture(autouse=True)
def closed_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture
def no_attacks(monkeypatch):
    """Return a function after whose call every attack raises."""

    def attacks_no_more(*args, **kwargs):
        raise AssertionError("an attack was run")

    return lambda: monkeypatch.setattr(_plan, "run_all", attacks_no_more)


@pytest.fixture(scope="module")
def known():
    """Return 90 rows in 3 classes, and their labels as text."""
    X, y = make_blobs(90, n_features=4, centers=3, cluster_std=1.0, random_state=1)
    return (X - X.mean(axis=0)) / X.std(axis=0), np.array(["a", "b", "c"])[y]


@pytest.fixture(scope="module")
def data(known):
    return known[0][:40], known[1][:40]


@pytest.fixture(scope="module")
def clf(data):
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(*data)


@pytest.fixture(scope="module")
def report(clf, data):
    return robustness_report(clf, *data, THREAT, n_control=1)


@pytest.fixture
def people(rng):
    """Return a mixed table, labels, and a Pipeline fitted on them."""
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 60, 50),
            "income": rng.gamma(4, 800, 50),
            "city": pd.Categorical(rng.choice(["Oslo", "Rome"], 50)),
        }
    )
    y = np.where(frame["income"] > frame["income"].median(), "pays", "defaults")
    before = make_column_transformer((OneHotEncoder(), ["city"]), remainder=StandardScaler())
    return frame, y, make_pipeline(before, LogisticRegression()).fit(frame, y)


def same_curves(first, second):
    assert len(first.lines_) == len(second.lines_)
    for one, other in zip(first.lines_, second.lines_, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
        assert one.get_label() == other.get_label()


def test_curve_from_estimator_equals_from_report(clf, data, report, no_attacks):
    display = RobustnessCurveDisplay.from_estimator(clf, *data, threat_model=THREAT, n_control=1, name="net")
    no_attacks()
    again = RobustnessCurveDisplay.from_report(report, name="net")
    same_curves(display, again)
    np.testing.assert_array_equal(again.lines_[0].get_xdata(), report.summary.index)
    np.testing.assert_array_equal(again.lines_[0].get_ydata(), report.summary["accuracy"])
    same_curves(display.plot(), again)
    with pytest.raises(AssertionError, match="an attack was run"):
        RobustnessCurveDisplay.from_estimator(clf, *data, threat_model=THREAT)


def test_curve_shows_intervals_half_and_names(report):
    display = RobustnessCurveDisplay.from_report({"net": report, "twin": report})
    corners = display.bands_[0].get_paths()[0].vertices
    for eps, row in report.summary.iterrows():
        heights = corners[np.isclose(corners[:, 0], eps), 1]
        assert (heights.min(), heights.max()) == pytest.approx((row["low"], row["high"]))
    half = display.half_eps_[0]
    assert np.interp(half, report.summary.index, report.summary["accuracy"]) == pytest.approx(
        report.summary["accuracy"].iloc[0] / 2
    )
    assert display.half_markers_[0].get_xdata()[0] == half
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == [f"{name}\nhalved at eps {half:.3g}" for name in ("net", "twin")]
    assert display.lines_[0].get_color() != display.lines_[1].get_color()
    assert display.ax_.get_xlabel() == "eps (Linf, in units of X)"
    assert display.ax_.get_ylim() == (-0.02, 1.02)
    assert not display.plot(show_half=False).half_markers_
    assert np.isfinite(display.half_eps_[0])


def test_curve_says_what_is_a_loose_bound_and_what_is_flagged(clf, data, report):
    X, y = data
    for asked, is_loose in ((RandomForestClassifier(5, random_state=0), True), (DecisionTreeClassifier(), False)):
        answers = robustness_report(asked.fit(X, y), X, y, THREAT, attack="square", n_control=5, eps_factors=[0, 1])
        label = RobustnessCurveDisplay.from_report(answers).lines_[0].get_label()
        assert ("a loose upper bound" in label) == is_loose
    flagged = type(report)(**{**vars(report), "flags": {"hidden_gradient": "what to do"}})
    assert "flags: hidden_gradient" in RobustnessCurveDisplay.from_report(flagged).lines_[0].get_label()


def test_several_norms_stand_side_by_side(clf, data):
    threats = [ThreatModel(0.4), ThreatModel(0.8, norm=2)]
    display = RobustnessCurveDisplay.from_estimator(
        {"net": clf}, *data, threat_model=threats, attack="pgd", eps_factors=[0, 1], n_control=5
    )
    assert [ax.get_xlabel() for ax in display.axes_] == ["eps (Linf, in units of X)", "eps (L2, in units of X)"]
    assert [len(ax.get_lines()) > 0 for ax in display.axes_] == [True, True]
    assert display.ax_ is None
    assert display.lines_[0].get_color() == display.lines_[1].get_color()


def test_curve_of_units_of_the_threat_model(people):
    frame, y, pipe = people
    threat = ThreatModel([1, 100, 1], immutable=["city"])
    display = RobustnessCurveDisplay.from_estimator(
        pipe, frame, y, threat_model=threat, attack="pgd", eps_factors=[0, 1], n_control=5
    )
    assert display.ax_.get_xlabel() == "eps (Linf, in multiples of the eps of each feature)"
    assert display.lines_[0].get_label().startswith("LogisticRegression")


def test_curves_of_a_table(clf, data, no_attacks):
    X, y = data
    other = LogisticRegression(C=0.01).fit(X, y)
    grid = [0.0, 0.4, 0.8]
    table = robustness_curves({"net": clf, "flat": other}, X, y, eps_grid=grid, attacks=["fgsm", "pgd"])
    no_attacks()
    display = RobustnessCurveDisplay.from_curves(table)
    assert len(display.lines_) == 4
    # One color per model, one line style per attack.
    styles = [(line.get_color(), line.get_linestyle()) for line in display.lines_]
    assert len({color for color, _ in styles}) == len({style for _, style in styles}) == 2
    for line, (_, part) in zip(display.lines_, table.groupby(["model", "attack"], sort=False), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), part["accuracy"])
    low, high = wilson_interval(table["accuracy"][:3].to_numpy(), 40)
    heights = display.bands_[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((low.min(), high.max()))


def test_many_curves_stay_apart():
    table = pd.DataFrame({"model": list("abcdefgh"), "seed": 0, "attack": "pgd", "norm": np.inf, "eps": 0.1})
    table = table.assign(accuracy=0.5, n_rows=50, is_upper_bound=False)
    display = RobustnessCurveDisplay.from_curves(table)
    assert len({(line.get_color(), line.get_linestyle()) for line in display.lines_}) == 8


def test_seeds_of_a_table_become_their_mean_and_range():
    table = pd.DataFrame({"model": "net", "seed": [0, 0, 1, 1], "attack": "pgd", "norm": np.inf, "eps": [0, 1, 0, 1]})
    table = table.assign(accuracy=[1.0, 0.2, 0.8, 0.6], n_rows=50, is_upper_bound=[False, False, False, True])
    display = RobustnessCurveDisplay.from_curves(table)
    assert display.lines_[0].get_ydata() == pytest.approx([0.9, 0.4])
    heights = display.bands_[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.2, 1.0))
    assert "a loose upper bound" in display.lines_[0].get_label()


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [([0.8, 0.6, 0.2], 1.5), ([0.8, 0.4, 0.0], 1.0), ([0.8, 0.7, 0.6], np.nan), ([0.0, 0.0, 0.0], np.nan)],
)
def test_where_accuracy_halves(accuracy, expected):
    assert half_eps([0, 1, 2], accuracy) == pytest.approx(expected, nan_ok=True)


def test_curves_end_where_nothing_stands():
    curve = {"name": "net", "attack": "", "units": "Linf", "note": "", "eps": np.array([0.0, 1.0, 2.0, 64.0])}
    curve |= {"accuracy": np.array([1.0, 0.3, 0.0, 0.0]), "low": np.zeros(4), "high": np.ones(4)}
    assert RobustnessCurveDisplay([curve]).plot().ax_.get_xlim() == pytest.approx((-0.04, 2.04))
    single = {key: value[:1] if isinstance(value, np.ndarray) else value for key, value in curve.items()}
    assert RobustnessCurveDisplay([single]).plot().ax_.get_xlim() == (-0.5, 0.5)


def test_what_is_no_report_or_table():
    with pytest.raises(TypeError, match="report of type int must be one that robustness_report returned"):
        RobustnessCurveDisplay.from_report(3)
    with pytest.raises(TypeError, match="report of type int must be one that robustness_report returned"):
        BoundaryDistanceDisplay.from_report(3)
    with pytest.raises(ValueError, match=r"table has 1 rows and the columns \['model'\]"):
        RobustnessCurveDisplay.from_curves(pd.DataFrame({"model": ["a"]}))


def test_distances_from_estimator_equal_from_result_and_from_report(clf, data, report, no_attacks):
    X, y = data
    display = BoundaryDistanceDisplay.from_estimator(
        clf, X, y, directions="adversarial", threat_model=ThreatModel(), name="net"
    )
    result = boundary_distance(clf, X, y, threat_model=ThreatModel())
    no_attacks()
    same_curves(display, BoundaryDistanceDisplay.from_result(result, name="net"))
    same_curves(display, display.plot())
    of_report = BoundaryDistanceDisplay.from_report(report, name="net")
    assert of_report.medians_ == pytest.approx(display.medians_, rel=1e-2)
    assert of_report.ax_.get_xlabel() == "distance (Linf, in units of X)"


def test_the_curve_of_distances_is_the_share_that_is_farther(clf, data):
    X, y = data
    distance = adversarial_distance(clf, X, y, norm=2)
    display = BoundaryDistanceDisplay.from_distances({"net": distance}, xlabel="L2 distance")
    x, share = display.lines_[0].get_data()
    assert share == pytest.approx([(distance > value).mean() for value in x])
    assert display.medians_ == [np.median(distance)]
    assert display.median_markers_[0].get_xydata().tolist() == [[np.median(distance), 0.5]]
    assert display.ax_.get_xlabel() == "L2 distance"
    assert display.ax_.get_xscale() == "log"
    assert display.plot(xscale="linear").ax_.get_xlim()[0] == 0


def test_curves_end_where_nothing_was_looked_for():
    results = {
        "net": Bunch(distance=np.array([[1.0, np.inf], [2.0, np.inf]]), max_distance=4.0),
        "far": Bunch(distance=np.array([1.0, np.inf, np.inf]), max_distance=4.0),
    }
    display = BoundaryDistanceDisplay.from_result(results, direction="random")
    assert display.lines_[0].get_xdata()[-1] == 4
    assert display.lines_[0].get_ydata()[-1] == 0.5
    assert display.medians_ == [np.inf, np.inf]
    assert not display.median_markers_
    assert display.lines_[1].get_label() == "far, random directions: median beyond 4"


@pytest.mark.parametrize("source", ["report", "result"])
def test_curves_of_attacks_within_a_ball_end_there_whatever_others_do(clf, data, report, source):
    displayed, least = {}, float(report.per_row["distance"].quantile(0.3))
    for name, eps in (("small", least), ("large", 4.0)):
        if source == "report":
            displayed[name] = robustness_report(
                clf, *data, ThreatModel(eps), attack="pgd", eps_factors=[0, 0.5, 1], n_control=1
            )
        else:
            displayed[name] = find_adversarial(clf, *data, threat_model=ThreatModel(eps))
    make = getattr(BoundaryDistanceDisplay, f"from_{source}")
    small, large = make(displayed).lines_
    end = small.get_xdata()[-1]
    assert end == pytest.approx(least, rel=1e-6 if source == "report" else 0.5)
    assert end <= least * (1 + 1e-6)
    assert small.get_ydata()[-1] > 0.5
    assert small.get_label() == f"small, worst direction: median beyond {end:.3g}"
    assert np.ptp(large.get_ydata()) > 0.9


def test_reports_end_where_the_attack_did_not_where_the_table_does(report):
    distance = np.where(np.arange(40) < 20, 0.1, np.inf)
    settings = {**report.settings, "attack": "pgd"}
    changed = {"per_row": report.per_row.assign(distance=distance), "settings": settings}
    changed["summary"] = report.summary.reindex([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])
    line = BoundaryDistanceDisplay.from_report(dataclasses.replace(report, **changed)).lines_[0]
    assert line.get_xdata()[-1] == pytest.approx(1.6)


def test_the_end_of_a_curve_is_in_the_picture_and_in_its_label():
    results = {"near": Bunch(distance=np.array([0.02, np.inf, np.inf])), "far": Bunch(distance=np.array([3.0, 5.0]))}
    near, far = BoundaryDistanceDisplay.from_result(results).lines_
    assert near.get_xdata().tolist()[1:] == [0.02, 0.02]
    assert near.get_ydata() == pytest.approx([1, 2 / 3, 2 / 3])
    assert near.get_label() == "near, worst direction: median beyond 0.02"
    assert far.get_ydata().tolist() == [1, 0.5, 0]
    nothing = {**results, "near": Bunch(distance=np.array([0.0, np.inf, np.inf]))}
    display = BoundaryDistanceDisplay.from_result(nothing)
    assert not len(display.lines_[0].get_xdata())
    assert display.lines_[0].get_label() == "near, worst direction: no finite median"
    assert display.ax_.get_xlim()[0] > 2


def test_curves_without_a_limit_go_on_but_name_no_distance_of_others():
    display = BoundaryDistanceDisplay.from_distances({"a": [1.0, np.inf, np.inf], "b": [1.0, 2.0, 8.0]})
    assert display.lines_[0].get_label() == "a: median beyond 1"
    assert display.lines_[0].get_xdata()[-1] >= 8


def test_reports_of_the_worst_case_have_looked_however_far(clf, data, report):
    distance = report.per_row["distance"].where(report.per_row.index != 0, np.inf)
    endless = dataclasses.replace(report, per_row=report.per_row.assign(distance=distance))
    display = BoundaryDistanceDisplay.from_report(endless)
    assert display.lines_[0].get_xdata()[-1] == display.ax_.get_xlim()[1]


def test_directions_and_the_reference(clf, data, known):
    X, y = data
    known = known[0][40:], known[1][40:]
    directions = ("adversarial", "random", "other_class")
    display = BoundaryDistanceDisplay.from_estimator(
        {"net": clf}, X, y, directions=directions, attack="deepfool", reference=known, n_directions=2
    )
    assert [curve["name"] for curve in display.curves] == ["net"] * 3 + ["1-nearest-neighbor"] * 3
    margin = nearest_neighbor_margin(X, y, X_reference=known[0], y_reference=known[1])
    np.testing.assert_array_equal(display.curves[3]["distance"], margin.lower)
    nearest = KNeighborsClassifier(1).fit(*known)
    rays = boundary_distance(nearest, X, y, directions="random", X_reference=known[0], n_directions=2)
    np.testing.assert_allclose(display.curves[4]["distance"], rays.distance)
    assert len({line.get_linestyle() for line in display.lines_[:3]}) == 3
    assert "worst direction, proven" in display.lines_[3].get_label()


def test_the_reference_takes_units_images_and_answers(quick, digit_images):
    images, y = digit_images
    clf = quick(max_epochs=2).fit(images, y)
    threat = ThreatModel(units=[2.0] * 64)
    display = BoundaryDistanceDisplay.from_estimator(
        clf, images[:5], directions=["adversarial", "random"], threat_model=threat, reference=(images[5:], y[5:]),
        attack="nearest_other", n_directions=1,
    )  # fmt: skip
    assert display.ax_.get_xlabel() == "distance (Linf, in units of the threat model)"
    assert all(len(curve["distance"]) == 5 for curve in display.curves)
    assert (display.curves[2]["distance"] > 0).all()


def test_the_reference_counts_in_the_units_of_the_threat_model(clf, data, known):
    X, y = data
    units = np.array([10.0, 1.0, 0.1, 1.0])
    display = BoundaryDistanceDisplay.from_estimator(
        clf, X, y, directions="random", threat_model=ThreatModel(units=units.tolist(), norm=2), reference=known
    )
    nearest = KNeighborsClassifier(1).fit(known[0] / units, known[1])
    rays = boundary_distance(nearest, X / units, y, directions="random", X_reference=known[0] / units)
    np.testing.assert_allclose(display.curves[1]["distance"], rays.distance)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"reference": 3}, "reference of type int must be a pair"),
        ({"reference": (np.zeros((3, 4)), [0, 1])}, "reference has 3 rows and 2 labels"),
        ({"reference": (pd.DataFrame({"city": ["a", "b"]}), [0, 1])}, "reference has columns that hold no numbers"),
        ({"reference": (np.zeros((0, 4)), [])}, "reference has no rows"),
        ({"reference": (np.full((2, 4), np.nan), [0, 1])}, "reference has missing or infinite values"),
        ({"directions": "sideways"}, "directions='sideways' is unknown"),
    ],
)
def test_wrong_parameters_of_distances(clf, data, params, message):
    with pytest.raises(ValueError, match=message):
        BoundaryDistanceDisplay.from_estimator(clf, *data, **params)


def test_wrong_distances(report, clf, data):
    with pytest.raises(TypeError, match="result holds int, which has no distance"):
        BoundaryDistanceDisplay.from_result({"net": 3})
    with pytest.raises(ValueError, match="xscale='square' is unknown"):
        BoundaryDistanceDisplay.from_distances([1.0]).plot(xscale="square")
    for make, figures in (("distances", [1.0, np.nan]), ("result", Bunch(distance=np.array([1.0, np.nan])))):
        with pytest.raises(
            ValueError, match="distances of 'classifier' hold NaN in 1 of 2 places, as 0 / 0 does: leave"
        ):
            getattr(BoundaryDistanceDisplay, f"from_{make}")(figures)
    with pytest.raises(ValueError, match="no distance is positive and finite"):
        BoundaryDistanceDisplay.from_distances([0.0, np.inf])
    other = robustness_report(clf, *data, ThreatModel(0.4, norm=2), attack="pgd", eps_factors=[0, 1], n_control=2)
    with pytest.raises(ValueError, match="report counts distances in"):
        BoundaryDistanceDisplay.from_report({"a": report, "b": other})
