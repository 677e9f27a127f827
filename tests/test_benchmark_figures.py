"""The figures in the README and the pages are those of the committed results, and so are the judgements."""

import dataclasses
import importlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import skrobust

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmarks(monkeypatch):
    """Let the programs beside the benchmarks be imported."""
    monkeypatch.syspath_prepend(str(ROOT / "examples/benchmarks"))
    return importlib.import_module


@pytest.mark.parametrize("name", ["README.md", "docs/comparison_figures.inc", "docs/user_guide/paper_figures.inc"])
def test_figures_in_pages_are_those_of_the_committed_results(benchmarks, name):
    pages = benchmarks("readme_figures").pages()
    assert (ROOT / name).read_text(encoding="utf-8") == pages[ROOT / name], "run examples/benchmarks/readme_figures.py"


def write_runs(folder, name, methods, **measures):
    """Write a file of runs: each measure is a function of the method and the seed."""
    rows = [
        {
            "model": method,
            "seed": seed,
            "clean": 0.98,
            "data_scale": 10.0,
            **dict.fromkeys(("worst_case_linf_0.1", "worst_case_linf_0.2", "worst_case_l2_2", "worst_case_union"), 0.5),
            "l2_distance_mean": 2.0,
            **{measure: value(method, seed) for measure, value in measures.items()},
        }
        for method in methods
        for seed in range(3)
    ]
    pd.DataFrame(rows).to_csv(folder / name, index=False)


TRIO = ("plain", "smoothness", "labeled only, same passes")


def test_predictions_are_judged_by_seeds(benchmarks):
    verdict = benchmarks("paper_judgement").verdict
    assert verdict(pd.Series(dtype=float)) == "not measured yet"
    assert verdict(pd.Series([1.0, 1.0])) == "in 2 of 2 seeds, too few to judge"
    assert verdict(pd.Series([0.1, 0.2, np.inf])) == "in 3 of 3 seeds: agrees"
    assert verdict(pd.Series([0.1, -0.2, 0.0])) == "in 1 of 3 seeds: mixed"
    assert verdict(pd.Series([-0.1, -0.2, 0.0])) == "in 0 of 3 seeds: disagrees"


def test_sparser_data_are_judged_where_they_were_measured(benchmarks, tmp_path):
    judged, cells = benchmarks("paper_judgement").gains_judged, benchmarks("paper_runs").cells
    write_runs(tmp_path, "paper_mnist_10000_runs.csv", TRIO)
    write_runs(tmp_path, "paper_mnist_tuning_runs.csv", TRIO)
    alone = cells(tmp_path)
    assert [(cell.n_train, cell.side) for cell in alone] == [(10_000, 28)]
    assert judged(alone).count("Not measured yet") == 2
    # With fewer rows plain training is worse in all seeds, and the gain from unlabeled points larger in one of them.
    distance = {"plain": 1.0, "smoothness": 2.0, "labeled only, same passes": 2.0}
    write_runs(
        tmp_path,
        "paper_mnist_1000_runs.csv",
        TRIO,
        l2_distance_mean=lambda method, seed: distance[method] + (method == "smoothness" and seed == 0),
    )
    write_runs(tmp_path, "paper_mnist_10000_14px_runs.csv", TRIO)
    found = cells(tmp_path)
    assert [(cell.n_train, cell.side) for cell in found] == [(1_000, 28), (10_000, 14), (10_000, 28)]
    text = judged(found)
    assert "Not measured yet" not in text
    assert "by the distance of the boundary in units of D (.102 against .204): in 3 of 3 seeds: agrees" in text
    assert "by the distance of the boundary in units of D (+.034 against +.000): in 1 of 3 seeds: mixed" in text
    assert "10,000 rows of 28 x 28 pixels beside 10,000 rows of 14 x 14 pixels" in text


@pytest.mark.parametrize(
    ("unions", "words"),
    [
        ([0.6, 0.6, 0.6], ["The recommendation is the training with the largest union: *pgd-7*", "in 3 of 3 seeds."]),
        (
            [0.6, 0.6, 0.5],
            [
                "*pgd-7*, with the largest union, is ahead of the next, *smoothness*, in 2 of 3 seeds.",
                "*smoothness*, .980",
            ],
        ),
    ],
)
def test_the_recommendation_is_what_stands_best_or_what_cannot_be_told_from_it(benchmarks, tmp_path, unions, words):
    union = {"plain": [0.1] * 3, "smoothness": [0.55] * 3, "pgd-7": unions}
    write_runs(
        tmp_path,
        "paper_mnist_10000_runs.csv",
        union,
        clean=lambda method, seed: 0.97 if method == "pgd-7" else 0.98,
        worst_case_union=lambda method, seed: union[method][seed],
        epochs=lambda method, seed: 40,
    )
    (cell,) = benchmarks("paper_runs").cells(tmp_path)
    text = benchmarks("paper_judgement").recipe(cell)
    assert all(word in text for word in words)
    assert f"- union: *pgd-7*, .{np.mean(unions) * 1000:.0f} (3 seeds)" in text
    assert "``OffSupportRobustClassifier(" in text


def test_trainings_are_given_as_code_that_makes_them(benchmarks):
    bench = benchmarks("bench_paper_mnist")
    names = {name: getattr(skrobust.adversary, name) for name in skrobust.adversary.__all__}
    names |= {"OffSupportRobustClassifier": skrobust.OffSupportRobustClassifier}
    code = bench.in_code("fgsm + smoothness", 7)
    made = eval(code, names)  # noqa: S307
    assert (made.module, made.max_epochs, made.smoothness, made.adversary.weight) == ("lenet", 7, 0.04, 0.8)
    assert all(repr(eval(bench.in_code(name, 7), names)) for name in bench.METHODS)  # noqa: S307


def test_an_aim_missed_by_little_does_not_read_as_met(benchmarks):
    beside, minus = benchmarks("paper_aims")._beside, "\N{MINUS SIGN}"
    assert beside(0.98952, 0.99, -0.00048) == f".9895 of .9900 ({minus}.0005)"
    assert beside(0.936, 0.95, -0.014) == f".936 of .950 ({minus}.014)"


def test_aims_take_the_training_whose_worse_figure_is_best(benchmarks, tmp_path):
    runs = benchmarks("paper_runs")
    far = {"plain": 0.9, "smoothness": 0.6, "pgd-7": 0.95}
    write_runs(
        tmp_path,
        "paper_mnist_10000_runs.csv",
        far,
        clean=lambda method, seed: {"plain": 0.5, "smoothness": 0.7, "pgd-7": 0.99}[method],
        worst_case_l2_2=lambda method, seed: far[method],
    )
    (cell,) = runs.cells(tmp_path)
    aim = benchmarks("paper_aims").Aim("both", 10_000, {"clean": 0.65, "worst_case_l2_2": 0.65})
    minus = "\N{MINUS SIGN}"
    assert aim.line(cell)[1:] == ["smoothness (3 seeds)", f".700 of .650 (+.050); .600 of .650 ({minus}.050)", "missed"]
    with_adversary = dataclasses.replace(aim, may_use_adversary=True)
    assert with_adversary.line(cell)[1] == "pgd-7 (3 seeds)"
    assert with_adversary.line(cell)[-1] == "met"
    assert aim.line(None)[-1] == "not measured"
    margins = {"l2_margin_mean_upper": "1.5"}
    bracket = benchmarks("paper_aims").distance_over_bracket
    assert np.isnan(bracket(cell, "plain"))
    assert bracket(dataclasses.replace(cell, margin=margins), "plain") == pytest.approx(0.5)


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []
