"""Write the figures of the committed CSV files into the README, between its two markers, and into what pages include.

python examples/benchmarks/readme_figures.py

The README has what a newcomer needs. What is no plain table of a file, because it is computed from pairs of rows, goes
to docs/comparison_figures.inc, and what paper_figures.py makes of the paper's benchmarks to its page. Run this whenever
CSV files change: a test compares.
"""

import pathlib

import paper_figures
from common import RESULTS, read_csv
from figure_text import markdown_table, number, rst_table, share
from paper_judgement import recipe
from paper_runs import FULL_SIZES, THREATS, cells, flat_runs, whole

ROOT = pathlib.Path(__file__).parents[2]
README, COMPARISON = ROOT / "README.md", ROOT / "docs/comparison_figures.inc"
START, END = "<!-- figures -->\n", "<!-- /figures -->"
OURS, PUBLISHED = "skrobust", "AutoAttack, published"


def defaults():
    """Say what the defaults do on scikit-learn's tables."""
    rows = read_csv(RESULTS / "defaults.csv")
    columns = ["clean", "linf_0.1", "linf_0.2", "linf_0.4"]
    seeds = ", ".join(f"{data}: {n}" for data, n in {row["data"]: row["seeds"] for row in rows}.items())
    body = [[row["data"], f"`{row['classifier']}`", *(share(row[name]) for name in columns)] for row in rows]
    return (
        f"**Tables, nothing set but the seed.** Mean accuracy over five folds and several seeds ({seeds}), behind a "
        "`StandardScaler`; clean, and under 20-step PGD (cross-entropy and margin, the worse of both per row) that may "
        "change every feature by 0.1, 0.2 or 0.4 standard deviations.\n\n"
        + markdown_table(["data", "classifier", "clean", "0.1", "0.2", "0.4"], body)
    )


def mnist():
    """Say what an ensemble of attacks leaves of the trainings on MNIST, and which is best."""
    cell = whole(cells(), FULL_SIZES[0])
    measures = {"clean": "clean"} | THREATS
    body = [
        [method, str(cell.n_seeds(method)), *(number(cell.mean(method, name)) for name in measures)]
        for method in cell.methods()
    ]
    n_epochs, n_attacked = (int(cell.runs[name].iloc[0]) for name in ("epochs", "n_attacked"))
    return (
        f"**MNIST, {cell.n_train:,} training images, LeNet, {n_epochs} epochs: the worst case.** {n_attacked} test "
        "images attacked by `worst_case`, the ensemble of this package; clean accuracy on all 10,000. The union stands "
        "at Linf 0.1, Linf 0.2 and L2 2. Each training has one knob, which was tuned on training images; the other "
        "defaults were chosen by hand on this very data set, test rows included, which flatters them a little. Means "
        "over seeds, whose number is in the second column; *smoothness* is off-support training, *labeled only* does "
        "without its unlabeled points at the same cost.\n\n"
        + markdown_table(["training", "seeds", *measures.values()], body)
        + (f"\n{flat_runs(cell)}" if flat_runs(cell) else "")
        + f"\n{recipe(cell)}\nWhere the norm and the size of the attack are known, adversarial training is what to "
        "use; smoothness needs to know neither, and joins with it.\n"
    )


def in_short():
    """Say in sentences what the other files hold."""
    autoattack = [(ours, row) for ours, row in ensembles() if row["who"] == PUBLISHED]
    gaps = [float(ours["figure"]) - float(row["figure"]) for ours, row in autoattack]
    speedups = [float(row["speedup"]) for _, row in autoattack]
    ratios = {
        task: [
            float(row["ratio_to_bare_loop"])
            for row in read_csv(RESULTS / "fit.csv")
            if (row["task"], row["way"]) == (task, OURS)
        ]
        for task in ("plain", "off-support")
    }
    loops = " and ".join(f"{min(r):.2f} to {max(r):.2f} times ({task})" for task, r in ratios.items())
    return (
        f"**In short.** Beside AutoAttack with its published budget, in {len(autoattack)} comparisons on MNIST, "
        f"`worst_case` leaves a robust accuracy that differs by {min(gaps):+.3f} to {max(gaps):+.3f} (the lower, the "
        f"stronger the attack), {min(speedups):.1f} to {max(speedups):.1f} times as fast. An epoch takes {loops} as "
        "long as a bare torch loop that does the same passes. "
        "The whole tables, other libraries, and when to use them instead: [how it compares](docs/comparison.rst). The "
        "paper's experiments, and whether they bear out its hypothesis: "
        "[reproducing the paper](docs/user_guide/paper.rst).\n"
    )


def pairs():
    """Return the rows of others in attacks.csv, each after the package's own on the same task."""
    rows = read_csv(RESULTS / "attacks.csv")
    return [(_ours(rows, row), row) for row in rows if row["who"] != OURS]


def ensembles():
    """Return the pairs that compare ensembles of attacks."""
    return [(ours, row) for ours, row in pairs() if row["attack"] == "worst case"]


def _ours(rows, row):
    """Return the row of the package that belongs to the row of another."""
    names = ("part", "task", "norm", "eps", "attack")
    return next(r for r in rows if r["who"] == OURS and all(r[name] == row[name] for name in names))


def ensemble_table():
    """Compare the ensemble of the package with others."""
    heads = ["classifier", "threat", "beside", "skrobust", "other", "only skrobust", "only other", "speedup"]
    return rst_table("worst_case beside AutoAttack.", heads, [_ensemble_line(*pair) for pair in ensembles()])


def _ensemble_line(ours, row):
    return [
        row["task"],
        f"{row['norm']} {float(row['eps']):g}",
        f"{row['who']}, {row['n_rows']} rows",
        share(ours["figure"]),
        share(row["figure"]),
        row["n_only_skrobust"],
        row["n_only_reference"],
        f"{float(row['speedup']):.3g}",
    ]


def single_table():
    """Compare single attacks of the package with others."""
    singles = {}
    for ours, row in pairs():
        if row["attack"] != "worst case":
            singles.setdefault((row["attack"], row["who"]), []).append((ours, row))
    heads = ["attack", "beside", "comparisons", "seconds", "difference"]
    lines = [[*names, str(len(found)), *_single_line(found)] for names, found in singles.items()]
    return rst_table("Single attacks beside others.", heads, lines)


def _single_line(found):
    ratios = [float(row["ratio"]) for _, row in found]
    gaps = [float(ours["figure"]) - float(row["figure"]) for ours, row in found]
    return [f"{min(ratios):.2f} to {max(ratios):.2f}", f"{min(gaps):+.3f} to {max(gaps):+.3f}"]


def recipe_seconds():
    """Say how long the paper's own recipe takes."""
    row = read_csv(RESULTS / "learning_curve.csv")[0]
    return f"The paper's recipe takes {float(row['recipe_cpu_seconds']):.0f} s, scaled up from a slice.\n"


COMPARISONS = {"ensembles": ensemble_table, "singles": single_table, "recipe": recipe_seconds}


def pages():
    """Return the text of each file that has figures."""
    text = README.read_text(encoding="utf-8")
    head, tail = text[: text.index(START) + len(START)], text[text.index(END) :]
    figures = "\n".join(part() for part in (defaults, mnist, in_short))
    parts = "".join(f"\n.. begin {name}\n\n{part()}\n.. end {name}\n" for name, part in COMPARISONS.items())
    note = ".. Written by examples/benchmarks/readme_figures.py from the CSV files: do not edit.\n"
    readme = f"{head}\n{figures}\n{tail}"
    return {README: readme, COMPARISON: note + parts, paper_figures.PAGE: paper_figures.page()}


def main():
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
