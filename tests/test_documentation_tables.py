"""Tables of the documentation show what the files of results hold."""

import re

import benchmark_table
import numpy as np
import pytest


@pytest.fixture
def results(tmp_path):
    """Return a folder with a file of results."""
    (tmp_path / "a.csv").write_text(
        "name,n,clean,clean_half_width,union,seconds\n"
        '"fgsm, random start",3,0.9876,0.0123,0.5,12.4\n'
        "plain,3,0.99,,,140.6\n"
        "off,3,0.98,0.01,0.75,9.5\n"
    )
    (tmp_path / "long.csv").write_text("model,measure,mean,error\na,clean,0.9,0.1\na,union,0.5,\nb,clean,0.8,0.2\n")
    return tmp_path


def cells(name, folder, **options):
    table = benchmark_table.Table(name, options, folder)
    return [table.heads, *([table.cell(row, column) for column in table.columns] for row in table.rows)]


def test_a_table_shows_all_columns(results):
    head, first, second, _ = cells("a.csv", results)
    assert head == ["name", "n", "clean", "clean_half_width", "union", "seconds"]
    assert first == ["fgsm, random start", "3", ".988 ± .012", ".012", ".500", "12.400"]
    assert second == ["plain", "3", ".990", "", "", "140.600"]


def test_a_table_has_headings_formats_conditions_and_an_order(results):
    options = {"columns": 'clean=Clean, seconds, "name=training, or way"', "format": ".2f, seconds=.0f"}
    assert cells("a.csv", results, where="name!=plain", sort="-seconds", **options) == [
        ["Clean", "seconds", "training, or way"],
        [".99 ± .01", "12", "fgsm, random start"],
        [".98 ± .01", "10", "off"],
    ]


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("name=plain", ["plain"]),
        ("name=fgsm, random start|off, n=3.0", ["fgsm, random start", "off"]),
        ("n=3, name!=off|plain", ["fgsm, random start"]),
    ],
)
def test_rows_that_meet_conditions_are_kept(results, where, names):
    assert [row[0] for row in cells("a.csv", results, where=where)[1:]] == names


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("union", ["fgsm, random start", "off", "plain"]),
        ("-union", ["off", "fgsm, random start", "plain"]),
        ("n, -name", ["plain", "off", "fgsm, random start"]),
        ("seconds", ["off", "fgsm, random start", "plain"]),
    ],
)
def test_rows_are_sorted_and_those_without_a_value_come_last(results, sort, names):
    assert [row[0] for row in cells("a.csv", results, sort=sort)[1:]] == names


def test_headings_may_have_commas(results):
    options = {"columns": "name=training, or way, n, seconds=seconds, of one thread"}
    assert cells("a.csv", results, **options)[0] == ["training, or way", "n", "seconds, of one thread"]


def test_values_become_columns(results):
    options = {"pivot": "measure, mean, error", "columns": "model, union, clean"}
    assert cells("long.csv", results, **options) == [
        ["model", "union", "clean"],
        ["a", ".500", ".900 ± .100"],
        ["b", "", ".800 ± .200"],
    ]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("b.csv", {}, "no file 'b.csv' of results; there are a.csv, long.csv"),
        ("a.csv", {"columns": "nme"}, "no column 'nme'; there are name, n, clean"),
        ("a.csv", {"where": "plain"}, "'plain' has no '='"),
        ("a.csv", {"where": "name=other"}, "no row is left where 'name=other'"),
        ("a.csv", {"where": "other=1"}, "no column 'other'"),
        ("a.csv", {"sort": "-other"}, "no column 'other'"),
        ("a.csv", {"code": "other"}, "no column 'other'"),
        ("a.csv", {"format": "other=.1f"}, "no column 'other'"),
        ("a.csv", {"format": ".3q"}, "format '.3q'"),
        ("long.csv", {"pivot": "measure"}, "pivot takes"),
        ("long.csv", {"pivot": "measure, other"}, "no column 'other'"),
        ("a.csv", {"pivot": "n, clean", "columns": "n"}, "twice"),
    ],
)
def test_what_is_not_there_is_said(results, name, options, message):
    with pytest.raises(benchmark_table.TableError, match=re.escape(message)):
        cells(name, results, **options)


def test_the_first_page_claims_what_the_results_say():
    """Adversarial training is ahead in its norm; smoothness in the other and in the union; both together most."""
    _, rows = benchmark_table.read("paper_mnist_10000.csv")
    found = {(row["model"], row["measure"].removeprefix("worst_case_")): float(row["mean"]) for row in rows}

    def ahead(one, other, *names):
        return all(found[one, name] > found[other, name] for name in names)

    assert ahead("pgd-7", "smoothness", "linf_0.1", "linf_0.2")
    assert ahead("smoothness", "pgd-7", "l2_2", "union")
    assert abs(found["smoothness", "clean"] - found["pgd-7", "clean"]) < 0.005
    assert ahead("fgsm + smoothness", "smoothness", "linf_0.2", "l2_2", "union")
    assert ahead("fgsm + smoothness", "pgd-7", "l2_2", "union")
    assert 0.01 < found["plain", "clean"] - found["fgsm + smoothness", "clean"] < 0.02


def test_the_page_on_the_hypothesis_claims_what_the_results_say():
    _, rows = benchmark_table.read("paper_mnist_10000_runs.csv")
    found = {(row["model"], row["seed"]): row for row in rows}
    seeds = [seed for model, seed in found if model == "labeled only, same passes"]

    def ahead(one, other, name):
        return [float(found[one, seed][name]) - float(found[other, seed][name]) for seed in seeds]

    assert len(seeds) > 2
    for name in ("worst_case_l2_2", "worst_case_union"):
        assert min(ahead("smoothness", "labeled only, same passes", name)) > 0
    for name in ("worst_case_linf_0.1", "worst_case_linf_0.2"):
        assert sum(ahead("smoothness", "labeled only, same passes", name)) <= 0


def test_the_page_on_the_hypothesis_says_where_adversarial_training_leaves_the_boundary():
    _, rows = benchmark_table.read("paper_mnist_10000_runs.csv")
    found = {(row["model"], row["seed"]): row for row in rows}

    def over_plain(model, name):
        # A network that has learnt nothing has no distance.
        runs = [(row, found["plain", seed]) for (each, seed), row in found.items() if each == model and row[name]]
        return np.mean([float(row[name]) / float(plain[name]) for row, plain in runs])

    for model in (
        "fgsm",
        "fgsm, random start",
        "n-fgsm",
        "pgd-7",
        "pgd-7, two norms",
        "trades",
        "worst-direction neighbors",
    ):
        assert over_plain(model, "l2_distance_mean") > 1
        assert over_plain(model, "crossing_random_q0.5") < 1
    assert over_plain("smoothness", "crossing_random_q0.5") > 1
    at_equal_epochs = [run for run in found if not run[0].endswith("equal seconds")]
    best = sorted(at_equal_epochs, key=lambda run: -float(found[run]["worst_case_linf_0.2"]))
    assert {model for model, _ in best[:2]} == {"trades", "pgd-7, two norms"}


def test_the_page_on_the_hypothesis_says_joined_training_stands_best():
    _, rows = benchmark_table.read("paper_mnist_10000.csv")
    union = {row["model"]: float(row["mean"]) for row in rows if row["measure"] == "worst_case_union"}
    best = sorted((name for name in union if not name.endswith("equal seconds")), key=union.get)[-5:]
    labeled = {"fgsm + labeled smoothness", "pgd + labeled smoothness", "pgd + less smoothness"}
    assert set(best) == {"fgsm + jacobian", "fgsm + smoothness", *labeled}


def test_the_page_on_the_hypothesis_says_what_fewer_rows_and_more_pixels_do():
    def distance(data):
        _, rows = benchmark_table.read(f"paper_mnist_{data}_runs.csv")
        plain = [row for row in rows if row["model"] == "plain"]
        names = ("l2_distance_mean", "clean", "data_scale")
        mean, right, scale = ([float(row[name]) for row in plain] for name in names)
        return np.mean(np.divide(mean, np.multiply(right, scale)))

    assert distance(1_000) == pytest.approx(distance(10_000), rel=0.03)
    assert distance(60_000) < 0.95 * distance(10_000)
    assert max(distance("10000_14px"), distance("10000_20px")) < 0.95 * distance(10_000)
