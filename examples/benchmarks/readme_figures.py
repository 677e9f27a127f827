"""Write the figures of the committed CSV files into the README, between its two markers.

python examples/benchmarks/readme_figures.py
"""

import pathlib

from common import RESULTS, read_csv

README = pathlib.Path(__file__).parents[2] / "README.md"
START, END = "<!-- figures -->\n", "<!-- /figures -->"


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
        "bounds: a stronger ensemble of attacks finds more.\n\n"
        + table(
            ["training", "budget", "epochs", "seconds", "clean", "Linf 0.1", "Linf 0.2", "L2 2", "union"],
            body,
        )
        + "\nThe defaults, and the smoothness of the labeled-only row, were chosen by hand on these very data "
        "sets, test rows included, so that both tables flatter them a little; the other trainings were not "
        "tuned. Adversarial training is the stronger method in this table, one-step training at fewer seconds "
        "too, and it is what to use where its norm and size are known. Off-support training needs neither, "
        "and keeps the clean accuracy. At equal passes its unlabeled points do not beat more neighbors of "
        "labeled rows here.\n"
    )


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


def figures():
    """Return all that stands between the markers."""
    return "\n".join(part() for part in (defaults, mnist, learning_curve, speed))


def main():
    text = README.read_text(encoding="utf-8")
    head, tail = text[: text.index(START) + len(START)], text[text.index(END) :]
    README.write_text(f"{head}\n{figures()}\n{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
