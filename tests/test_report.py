"""robustness_report: what it holds, how it reads, and what it leaves behind."""

import json
import sys

import numpy as np
import pytest
from art.attacks.evasion import ProjectedGradientDescent
from sklearn.datasets import load_wine
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skrobust import ThreatModel
from skrobust.attacks._assess import Assessment
from skrobust.metrics import RobustnessReport, robustness_report
from skrobust.metrics._report import wilson_interval

FACTORS = (0, 0.5, 1)


@pytest.fixture(scope="module")
def wine():
    """Return rows to train on, rows to attack, and labels of both."""
    X, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = StandardScaler().fit_transform(X[order]), y[order]
    return X[:120], X[120:150], y[:120], y[120:150]


@pytest.fixture(scope="module")
def linear(wine):
    return LogisticRegression().fit(wine[0], wine[2])


@pytest.fixture(scope="module")
def report(linear, wine):
    return robustness_report(linear, wine[1], wine[3], ThreatModel(0.4), eps_factors=FACTORS, n_control=10)


def test_summary_is_the_curve(report, linear, wine):
    summary = report.summary
    assert list(summary.index[:3]) == [0.0, 0.2, 0.4]
    assert summary.loc[0.0, "accuracy"] == linear.score(wine[1], wine[3])
    assert summary["accuracy"].is_monotonic_decreasing
    assert ((summary["low"] <= summary["accuracy"]) & (summary["accuracy"] <= summary["high"])).all()
    assert (summary["n"] == 30).all()
    assert summary["n_fooled"].tolist() == pytest.approx(30 * (summary["accuracy"][0.0] - summary["accuracy"]))


def test_curve_goes_on_until_no_row_stands(report):
    assert report.summary.index[-1] > 0.4
    assert report.summary["accuracy"].iloc[-1] == 0
    assert report.summary["accuracy"].iloc[-2] > 0


def test_attacks_alone_are_no_better_than_all(report, linear, wine):
    attacks = {"fgsm", "pgd", "apgd", "apgd_targeted", "minimum_norm", "square", "nearest_other", "noise"}
    assert attacks <= set(report.summary)
    alone = report.summary.loc[[0.0, 0.2, 0.4], sorted(attacks)]
    assert alone.notna().all(axis=None)
    assert (alone.loc[0.4] <= alone.loc[0.0]).all()
    assert report.summary.loc[[0.8], sorted(attacks)].isna().all(axis=None)


def test_every_row_is_reported(report, linear, wine):
    rows = report.per_row
    assert (rows["y"] == wine[3]).all()
    assert (rows["answer"] == linear.predict(wine[1])).all()
    is_wrong = rows["answer"] != rows["y"]
    assert (rows["distance"][is_wrong] == 0).all()
    assert (rows["route"] == np.where(is_wrong, "none", "white-box")).all()
    assert ((rows["found_by"] == "") == is_wrong).all()
    assert rows["n_queries"].sum() == report.n_queries
    for eps in (0.2, 0.4):
        assert (rows[f"robust_{eps:g}"] == (rows["distance"] > eps * (1 + 1e-6))).all()
        assert rows[f"robust_{eps:g}"].mean() == report.summary.loc[eps, "accuracy"]


def test_certified_distances_are_never_above_attacked_ones(report):
    rows = report.per_row
    assert (rows["certified"] <= rows["distance"] * (1 + 1e-6)).all()
    # The bound of a linear classifier is exact, and so is the ensemble nearly.
    assert (rows["certified"] >= 0.98 * rows["distance"]).mean() > 0.9
    assert (report.summary["certified"] <= report.summary["accuracy"]).all()


def test_a_certificate_that_an_attack_refutes_is_an_error(monkeypatch, linear, wine):
    monkeypatch.setattr(Assessment, "certified", lambda self: np.full(self.n, 9.0))
    with pytest.raises(RuntimeError, match=r"certified=9\.0 of row 0 exceeds"):
        robustness_report(linear, wine[1], wine[3], ThreatModel(0.4), attack="fgsm", eps_factors=(1,), n_control=3)


def test_classes_add_up(report, wine):
    table = report.per_class
    assert list(table.index) == [0, 1, 2]
    assert (table["n"] == np.bincount(wine[3])).all()
    assert (table["n"] * table["accuracy"]).sum() / 30 == pytest.approx(report.summary.loc[0.4, "accuracy"])
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()


def test_wilson_interval():
    """The values of Wilson's formula for 8 of 10, and at the ends."""
    low, high = wilson_interval(np.array([0.8, 0.0, 1.0]), 10)
    assert low == pytest.approx([0.4902, 0.0, 0.7225], abs=1e-4)
    assert high == pytest.approx([0.9433, 0.2775, 1.0], abs=1e-4)


def test_printed_report_fits_on_a_screen(report):
    text = str(report)
    assert text == repr(report)
    assert max(map(len, text.split("\n"))) <= 100
    for part in ("ThreatModel(eps=0.4, norm=numpy.inf)", "apgd_targeted", "100% white-box", "No flags.", "accuracy"):
        assert part in text


def test_printed_flags_fit_on_a_screen(wine):
    X, y = wine[1], wine[3]
    clf = DummyClassifier(strategy="constant", constant=1).fit(X, y)
    bounds = tuple(np.percentile(wine[0], q, axis=0) for q in (0, 100))
    low, high = np.minimum(bounds[0], X.min(axis=0)), np.maximum(bounds[1], X.max(axis=0))
    many = np.linspace(0, 3, 25)
    report = robustness_report(clf, X, y, ThreatModel(0.4, bounds=(low, high)), attack="noise", eps_factors=many)
    text = str(report)
    assert max(map(len, text.split("\n"))) <= 100
    assert len(str(report.threat_model)) > 400
    assert text.split("\n")[1].startswith("  ThreatModel(eps=0.4")
    assert text.split("\n")[4:6] == ["    ...", ""]
    assert "constant_answers: The classifier gives all rows the same answer." in text
    assert "constant_answers" in report._repr_html_()


def test_black_boxes_say_that_figures_are_upper_bounds(wine):
    clf = RandomForestClassifier(3, random_state=0).fit(wine[0], wine[2])
    report = robustness_report(clf, wine[1], wine[3], ThreatModel(0.4), attack="noise", eps_factors=(1,), n_control=5)
    assert report.is_upper_bound
    assert report.route == {"black-box": 1.0}
    assert "upper bounds" in str(report)
    assert list(report.summary.columns[-1:]) == ["noise"]


def test_html_is_safe_and_complete(report):
    html = report._repr_html_()
    assert html.startswith("<div>")
    assert html.endswith("</div>")
    assert "No flags." in html
    assert html.count("<table") == html.count("</table>") == 2


def test_card_holds_what_others_need(report):
    card = json.loads(report.to_json())
    assert card == json.loads(json.dumps(report.card()))
    assert card["threat_model"] == "ThreatModel(eps=0.4, norm=numpy.inf)"
    assert card["n"] == 30
    assert card["route"] == {"white-box": 1.0}
    assert card["flags"] == {}
    assert card["settings"]["random_state"] == 0
    assert card["settings"]["n_control"] == 10
    assert "apgd" in card["settings"]["members"]
    within, nearest = card["settings"]["budget"]["within eps"], card["settings"]["budget"]["nearest"]
    assert {"attack": "square", "max_queries": 2000, "n_rows_first": 100} in within
    assert next(step for step in within if step["attack"] == "apgd")["max_iter"] == 100
    assert {"attack": "walk", "max_queries": 1000, "rows": "without gradient"} in within
    assert set(card["settings"]["members"]) == {step["attack"] for step in within + nearest}
    assert {"skrobust", "scikit-learn", "torch", "numpy", "python"} <= set(card["versions"])
    assert [row["eps"] for row in card["summary"]][:3] == [0.0, 0.2, 0.4]
    assert card["n_queries"] > 0
    assert card["seconds"] > 0
    assert card["summary"][-1]["fgsm"] is None


class OfArt(ProjectedGradientDescent):
    """Stands for any class of ART."""


def towards_mean(estimator, X, y, *, radius, rng):
    return X + rng.uniform(0, 1) * (X.mean(axis=0) - X)


@pytest.mark.parametrize(("attack", "name"), [(OfArt, "OfArt"), (towards_mean, "towards_mean")])
def test_card_of_an_attack_by_class_or_function_can_be_written(linear, wine, attack, name):
    X, y, seed = wine[1], wine[3], np.random.RandomState(0)
    report = robustness_report(
        linear, X, y, ThreatModel(0.4), attack=attack, eps_factors=(1,), n_control=3, random_state=seed
    )
    settings = json.loads(report.to_json())["settings"]
    assert settings["attack"] == name
    assert settings["budget"] == {"within eps": [{"attack": name}]}
    assert settings["random_state"] == "RandomState(MT19937)"


def test_report_is_saved_by_the_end_of_its_name(report, tmp_path):
    for end in (".json", ".html", ".txt", ".md"):
        report.save(tmp_path / f"report{end}")
    assert json.loads((tmp_path / "report.json").read_text()) == report.card()
    assert (tmp_path / "report.html").read_text() == report._repr_html_()
    assert (tmp_path / "report.txt").read_text() == str(report)
    assert str(report) in (tmp_path / "report.md").read_text()
    with pytest.raises(ValueError, match=r"report\.pdf' must end in one of"):
        report.save(tmp_path / "report.pdf")


def test_report_is_reproducible_and_leaves_global_states(linear, wine):
    def run():
        arguments = (linear, wine[1], wine[3], ThreatModel(0.3))
        return robustness_report(*arguments, eps_factors=(1,), n_control=5, random_state=3)

    state = np.random.get_state()  # noqa: NPY002
    first, second = run(), run()
    assert all(np.array_equal(a, b) for a, b in zip(state, np.random.get_state(), strict=True))  # noqa: NPY002
    assert first.summary.equals(second.summary)
    assert first.per_row.equals(second.per_row)


def test_eps_per_feature_counts_in_factors(linear, wine):
    report = robustness_report(
        linear, wine[1], wine[3], ThreatModel([0.2] * 13), attack="apgd", eps_factors=(1, 2), n_control=3
    )
    plain = robustness_report(
        linear, wine[1], wine[3], ThreatModel(0.2), attack="apgd", eps_factors=(1, 2), n_control=3
    )
    assert list(report.summary.index[:2]) == [1.0, 2.0]
    assert report.summary["accuracy"][[1.0, 2.0]].tolist() == pytest.approx(
        plain.summary["accuracy"][[0.2, 0.4]].tolist(), abs=0.04
    )


def test_progress_is_shown_on_demand(linear, wine, capsys):
    for verbose in (0, 1):
        robustness_report(
            linear, wine[1], wine[3], ThreatModel(0.3), attack="noise", eps_factors=(1,), n_control=3, verbose=verbose
        )
        shown = capsys.readouterr().err
        assert ("noise alone" in shown) == bool(verbose)


def test_report_can_be_made_of_parts(report):
    fields = {name: getattr(report, name) for name in RobustnessReport.__dataclass_fields__}
    assert str(RobustnessReport(**fields)) == str(report)


def test_pandas_is_named_where_it_is_missing(linear, wine, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pandas is not installed"):
        robustness_report(linear, wine[1], wine[3], ThreatModel(0.3))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"threat_model": ThreatModel()}, ValueError, "eps=None"),
        ({"threat_model": ThreatModel(0.0)}, ValueError, r"eps=0\.0 .* no change"),
        ({"threat_model": ThreatModel(0.1, units="std")}, ValueError, r"resolve\(X_train\)"),
        ({"threat_model": 0.1}, TypeError, r"threat_model=0\.1"),
        ({"eps_factors": ()}, ValueError, r"eps_factors=\(\)"),
        ({"eps_factors": (0,)}, ValueError, "one positive"),
        ({"eps_factors": (-1, 1)}, ValueError, "negative"),
        ({"eps_factors": (1, np.inf)}, ValueError, "finite"),
        ({"eps_factors": 1}, ValueError, r"eps_factors=1 must hold finite .*: give a sequence such as \(0, 0\.5, 1\)"),
        ({"eps_factors": ["a"]}, ValueError, r"eps_factors=\['a'\] must hold finite numbers"),
        ({"n_control": 0}, ValueError, "n_control=0"),
        ({"attack": "zap"}, ValueError, "attack='zap'"),
    ],
)
def test_wrong_parameters(linear, wine, params, error, message):
    with pytest.raises(error, match=message):
        robustness_report(linear, wine[1], wine[3], **{"threat_model": ThreatModel(0.1), **params})
