"""What bench_paper_mnist.py and bench_paper_cifar.py share: trainings with a knob each, what is measured, tables.

A run is trained and attacked by skrobust.evaluation.compare_training, which adds it to a file of JSON lines when it has
ended. The CSV files are made from that file, so that several processes can work on it at the same time.
"""

import dataclasses
import json
import math
import statistics

import numpy as np
import pandas as pd
from common import read_csv, write_csv
from sklearn.base import clone

from skrobust import ThreatModel
from skrobust.evaluation import compare_training, summarize
from skrobust.metrics import boundary_distance, foreign_confidence, rho_adv_score, robust_accuracy_score

PGD_20 = [{"attack": "pgd", "max_iter": 20, "loss": loss} for loss in ("cross_entropy", "dlr")]
WORST = "worst_case"
SEPARATOR = " | "
QUANTILES = (0.1, 0.5, 0.9)
KEY = ("model", "seed")
CLEAN_TO_GIVE = 0.02


@dataclasses.dataclass(frozen=True)
class Method:
    """A training: what is fixed, and one parameter that is tuned, its default value first."""

    fixed: dict
    knob: str | None = None
    values: tuple = ()

    def estimator(self, base, value=None, **further):
        """Return a classifier that is not fitted."""
        model = clone(clone(base).set_params(**self.fixed, **further))
        return model if self.knob is None else model.set_params(**{self.knob: self.default(value)})

    def default(self, value=None):
        return self.values[0] if value is None else value


def within(eps, norm=np.inf):
    """Return the threat model of images in [0, 1]."""
    return ThreatModel(eps, norm=norm, bounds=(0, 1))


def spread(n_rows, n):
    """Return n evenly spaced indices, the same that compare_training attacks."""
    return np.linspace(0, n_rows - 1, min(n, n_rows)).astype(int)


def figures(estimator, X, y, *, n_attacked, reference=None, foreign=(), far_eps=None, max_distance=120.0):
    """Return what is measured beside robust accuracy: rho, distances of the boundary, confidence on foreign images.

    Distances are those that the ensemble finds, 0 for rows that are misclassified. A row without any is censored; the
    mean is none then.
    """
    rows = spread(len(y), n_attacked)
    found = {"epochs": estimator.n_iter_, "data_scale": estimator.data_scale_}
    found |= _nearest(estimator, X[rows], y[rows])
    if far_eps is not None and (estimator.adversary is not None or estimator.neighbors == "adversarial"):
        found[f"linf_{far_eps:g}"] = robust_accuracy_score(estimator, X[rows], y[rows], threat_model=within(far_eps))
    if reference is not None:
        for directions in ("random", "off_support"):
            found |= _crossings(estimator, X[rows], y[rows], directions, reference, max_distance)
    for name, images in foreign:
        confidence = foreign_confidence(estimator, images)
        top = confidence[confidence["quantity"] == "top"].iloc[0]
        found |= {f"confidence_on_{name}": top["mean"], f"confidence_std_on_{name}": top["std"]}
    return found


def _nearest(estimator, X, y):
    details = rho_adv_score(estimator, X, y, threat_model=ThreatModel(norm=2, bounds=(0, 1)), return_details=True)
    distance = details.per_sample * np.linalg.norm(X.reshape(len(X), -1), axis=1)
    is_censored = details.censored_share > 0
    return {
        "rho_mean": math.nan if is_censored else details.score,
        "rho_median": details.median,
        "l2_distance_mean": math.nan if is_censored else distance.mean(),
        "l2_distance_median": np.median(distance),
        "l2_censored_share": details.censored_share,
    }


def _crossings(estimator, X, y, directions, reference, max_distance):
    found = boundary_distance(
        estimator,
        X,
        y,
        directions=directions,
        n_directions=4,
        n_grid=24,
        max_distance=max_distance,
        X_reference=reference,
    )
    values = np.quantile(found.distance, QUANTILES, method="inverted_cdf")
    quantiles = {f"crossing_{directions}_q{q:g}": value for q, value in zip(QUANTILES, values, strict=True)}
    return quantiles | {f"crossing_{directions}_censored_share": found.censored_share}


def run(estimators, data, path, *, seed, attacks=(WORST,), **protocol):
    """Train and judge each classifier, unless that is in the file, and say what came out."""
    X_train, y_train, X_test, y_test = data
    protocol |= {"X_test": X_test, "y_test": y_test, "attacks": attacks, "path": path}
    for name, estimator in estimators.items():
        found = compare_training({name: estimator}, X_train, y_train, n_seeds=1, random_state=seed, **protocol)
        measured = found.runs.iloc[0].to_dict()
        print(*(f"{key}={_short(value)}" for key, value in measured.items() if value != ""), flush=True)


def _short(value):
    return round(value, 4) if isinstance(value, float) else value


def records(path):
    """Return the runs that have ended without an error, one dict each, with the names that measures have in tables."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    runs = {(line["model"], line["seed"]): line for line in lines if not line.get("error", "no run")}
    return [{name.removeprefix("test_"): value for name, value in line.items()} for line in runs.values()]


def write_tables(path, baseline):
    """Write the runs, and means over seeds with differences to the baseline in pairs, beside the file of runs."""
    runs = pd.DataFrame(records(path)).drop(columns=["fold", "estimator", "error"])
    if runs.empty:
        return
    runs.to_csv(path.with_suffix(".csv"), index=False, lineterminator="\n", float_format="%.6g")
    measures = [name for name in runs if name not in KEY and not name.startswith("n_")]
    tidy = runs.melt(list(KEY), measures, "measure", "value").dropna(subset="value")
    has_baseline = baseline in set(tidy["model"])
    summary = summarize(tidy, "value", baseline=baseline if has_baseline else None)
    name = path.name.replace("_runs", "").replace(".jsonl", ".csv")
    summary.to_csv(path.with_name(name), index=False, lineterminator="\n", float_format="%.6g")


def tune(methods, base, data, path, *, n_epochs, **protocol):
    """Train each method with each value of its knob, and write what the held-out training rows say."""
    for name, method in methods.items():
        candidates = method.values or (None,)
        estimators = {
            f"{name}{SEPARATOR}{value}": method.estimator(base, value, max_epochs=n_epochs) for value in candidates
        }
        run(estimators, data, path, seed=0, attacks={"pgd": PGD_20, WORST: WORST}, **protocol)
        write_csv([_tuned(record, n_epochs) for record in records(path)], path.with_suffix(".csv"))


def _tuned(record, n_epochs):
    method, value = record["model"].split(SEPARATOR)
    measures = {name: value for name, value in record.items() if name == "clean" or name.startswith(("pgd", WORST))}
    seconds = record["fit_cpu_seconds"] / n_epochs
    return {
        "method": method,
        "value": value,
        **measures,
        "n_train": record["n_train"],
        "epochs": n_epochs,
        "cpu_seconds_per_epoch": round(seconds, 3),
    }


class Tuned:
    """What tuning has found: the best value of each knob, and the seconds of an epoch."""

    def __init__(self, path):
        self.rows = read_csv(path)

    def value(self, name):
        """Return the value with the largest union in the worst case; None without tuning.

        A network that always gives the same answer resists every attack on a tenth of the rows: values that cost more
        than two points of clean accuracy do not count.
        """
        rows = [row for row in self.rows if row["method"] == name and row["value"] != str(None)]
        least = max((float(row["clean"]) for row in rows), default=0) - CLEAN_TO_GIVE
        accurate = [row for row in rows if float(row["clean"]) >= least]
        best = max(accurate, key=lambda row: float(row[f"{WORST}_union"]), default=None)
        return None if best is None else float(best["value"])

    def seconds(self, name):
        """Return the seconds of an epoch on the rows of tuning."""
        seconds = [float(row["cpu_seconds_per_epoch"]) for row in self.rows if row["method"] == name]
        if not seconds:
            raise SystemExit(f"{name!r} has no row in the table of tuning: run --tune --methods {name!r} first.")
        return statistics.median(seconds)

    def epochs_in_equal_seconds(self, name, reference, n_epochs):
        """Return the number of epochs that take as long as those of the reference."""
        return max(1, round(n_epochs * self.seconds(reference) / self.seconds(name)))
