"""Write the figures of the committed CSV files into the README, between its two markers.

python examples/benchmarks/readme_figures.py
"""

import pathlib

from common import RESULTS, read_csv

README = pathlib.Path(__file__).parents[2] / "README.md"
START, END = "<!-- figures -->\n", "<!-- /figures -->"
OURS = "skrobust"


def table(heads, rows):
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def share(value, half_width=""):
    """Return an accuracy, with half the width of its interval if there is one, as .914 or .914 ± .006."""
    text = f"{float(value):.3f}".removeprefix("0")
    return f"{text} ± {share(half_width)}" if half_width else text


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
        + table(["data", "classifier", "clean", "0.1", "0.2", "0.4"], body)
    )


def mnist():
    """Say how the trainings compare on MNIST."""
    rows = read_csv(RESULTS / "mnist.csv")
    columns = ["clean", "linf_0.1", "linf_0.2", "l2_2", "union"]
    body = [
        [
            row["method"],
            row["budget"],
            f"{float(row['epochs']):.0f}",
            f"{float(row['cpu_seconds']):.0f}",
            *(share(row[name], row[f"{name}_half_width"]) for name in columns),
        ]
        for row in rows
    ]
    seeds = "/".join(sorted({row["seeds"] for row in rows}))
    return (
        "**MNIST, 10,000 training images, LeNet, one thread.** 1,000 test images attacked by 20-step PGD "
        "(cross-entropy and DLR, the worse of both per image); clean accuracy on all 10,000. The union is robust at "
        f"Linf 0.2 and at L2 2. Means over {seeds} seeds with 95 % intervals of the mean over seeds. These are upper "
        "bounds: the next table has the worst case.\n\n"
        + table(
            ["training", "budget", "epochs", "seconds", "clean", "Linf 0.1", "Linf 0.2", "L2 2", "union"],
            body,
        )
        + "\nThe defaults, and the smoothness of the labeled-only row, were chosen by hand on these very data "
        "sets, test rows included, so that both tables flatter them a little; the other trainings were not "
        "tuned. Under PGD adversarial training is the stronger method, one-step training at fewer seconds "
        "too, and it is what to use where its norm and size are known. Off-support training needs neither, "
        "and keeps the clean accuracy. At equal passes its unlabeled points do not beat more neighbors of "
        "labeled rows here.\n"
    )


def mnist_worst():
    """Say how much of what PGD leaves standing on MNIST an ensemble of attacks fools."""
    rows = read_csv(RESULTS / "mnist_worst.csv")
    threats = {"linf_0.1": "Linf 0.1", "linf_0.2": "Linf 0.2", "l2_2": "L2 2", "union": "union"}
    heads = [f"{name}: {by}" for name in threats.values() for by in ("PGD-20", "worst")]
    body = [
        [
            row["method"],
            row["seeds"],
            share(row["clean"]),
            *(share(row[f"{by}_{name}"]) for name in threats for by in ("pgd", "worst")),
        ]
        for row in rows
    ]
    return (
        "**MNIST, the worst case.** Such networks trained anew, at equal epochs, each attacked on the same 1,000 "
        "images by PGD-20 (cross-entropy and DLR, the worse of both) and by `worst_case`, the ensemble of this "
        "package. Means over seeds, whose number is in the second column.\n\n"
        + table(["training", "seeds", "clean", *heads], body)
        + "\nThe ensemble changes the picture. Much of what adversarial training seems to hold at L2 2, a norm it was "
        "not trained for, is an attack that fails. At Linf it stays ahead; in the union it falls behind the trainings "
        "by smoothness. One seed does not part trainings that are close.\n"
    )


def attacks():
    """Say how the package's attacks compare with others, in verdicts and seconds."""
    rows = read_csv(RESULTS / "attacks.csv")
    pairs = [(_ours(rows, row), row) for row in rows if row["who"] != OURS]
    ensembles = [(ours, row) for ours, row in pairs if row["attack"] == "worst case"]
    singles = {}
    for ours, row in pairs:
        if row["attack"] != "worst case":
            singles.setdefault((row["attack"], row["who"]), []).append((ours, row))
    return (
        "**`worst_case` beside AutoAttack.** Robust accuracy that each leaves, the rows that only one of the two "
        "fools, and seconds of one thread. AutoAttack is that of torchattacks with its default budget, 10 steps of "
        "each attack along gradients, or with the published one, 100 steps; ART has its own.\n\n"
        + table(
            ["classifier", "threat", "rows", "beside", "skrobust", "other", "only skrobust", "only other", "speedup"],
            [_ensemble_line(ours, row) for ours, row in ensembles],
        )
        + "\n**Single attacks beside others.** The same budget on the same rows, over all networks and norms of "
        "`attacks.csv`: seconds of the package divided by those of the other, and its figure less that of the other "
        "(robust accuracy; for DeepFool the median distance).\n\n"
        + table(
            ["attack", "beside", "comparisons", "seconds", "difference"],
            [[*names, str(len(found)), *_single_line(found)] for names, found in singles.items()],
        )
    )


def _ours(rows, row):
    """Return the row of the package that belongs to the row of another."""
    names = ("part", "task", "norm", "eps", "attack")
    return next(r for r in rows if r["who"] == OURS and all(r[name] == row[name] for name in names))


def _ensemble_line(ours, row):
    return [
        row["task"],
        f"{row['norm']} {float(row['eps']):g}",
        row["n_rows"],
        row["who"],
        share(ours["figure"]),
        share(row["figure"]),
        row["n_only_skrobust"],
        row["n_only_reference"],
        f"{float(row['speedup']):.3g}",
    ]


def _single_line(found):
    ratios = [float(row["ratio"]) for _, row in found]
    gaps = [float(ours["figure"]) - float(row["figure"]) for ours, row in found]
    return [f"{min(ratios):.2f} to {max(ratios):.2f}", f"{min(gaps):+.3f} to {max(gaps):+.3f}"]


def speed():
    """Say what training and prediction cost."""
    rows = [row for row in read_csv(RESULTS / "fit.csv") if row["way"] != "bare loop"]
    body = [
        [f"{row['task']}, {row['way']}", row["n_features"], row["milliseconds"], row["ratio_to_bare_loop"]]
        for row in rows
    ]
    memory = read_csv(RESULTS / "memory.csv")[0]
    return (
        "**Speed.** Milliseconds per epoch, or per prediction, of 10,000 rows with an MLP of 100 hidden units, and the "
        "ratio to a bare torch loop that does the same passes with the same fused optimizer.\n\n"
        + table(["what", "features", "ms", "ratio"], body)
        + f"\nFitting {int(memory['rows']):,} rows of {memory['features']} features, "
        f"{float(memory['data_mb']):.0f} MB, takes {float(memory['growth_mb']):.0f} MB more memory than before.\n"
    )


def learning_curve():
    """Say how long robustness takes beside the paper's recipe."""
    rows = read_csv(RESULTS / "learning_curve.csv")
    body = [
        [
            row["setting"],
            row["epochs"],
            row["cpu_seconds"],
            f"{100 * float(row['share_of_recipe']):.1f} %",
            share(row["pgd_20_cross_entropy"]),
            share(row["pgd_20_worst"]),
        ]
        for row in rows
    ]
    return (
        "**Beside the paper's own recipe** (one step per anchor at a batch size of 1, 12 epochs: "
        f"{float(rows[0]['recipe_cpu_seconds']):.0f} s, scaled up from a slice). Share of the 500 first test images of "
        "MNIST that resist PGD at Linf 0.1, on cross-entropy alone and on DLR too.\n\n"
        + table(["setting", "epochs", "seconds", "of the recipe", "PGD-20", "worst of both"], body)
    )


PARTS = {
    "defaults.csv": defaults,
    "mnist.csv": mnist,
    "mnist_worst.csv": mnist_worst,
    "attacks.csv": attacks,
    "learning_curve.csv": learning_curve,
    "fit.csv": speed,
}


def figures():
    """Return all that stands between the markers; a benchmark that has not been run is left out."""
    return "\n".join(part() for name, part in PARTS.items() if (RESULTS / name).exists())


def main():
    text = README.read_text(encoding="utf-8")
    head, tail = text[: text.index(START) + len(START)], text[text.index(END) :]
    README.write_text(f"{head}\n{figures()}\n{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
