"""Growth of resident memory while the classifier is fitted.

A fresh process makes random float32 rows, fits one epoch, and reads from the Linux kernel how far its resident memory
rose above what it was just before fit, data and imports included. To reach: at most the size of the data plus 500 MB.

    python examples/benchmarks/bench_memory.py
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np
from common import RESULTS, use_one_thread, write_csv

ALLOWED_MB = 500
MB = 1e6
STATUS = pathlib.Path("/proc/self/status")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--features", type=int, default=784)
    parser.add_argument("--out", default=RESULTS / "memory.csv")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not STATUS.exists():
        print("This benchmark reads /proc, which only Linux has: nothing measured.")
    elif options.measure:
        print(json.dumps(measured(options.rows, options.features)))
    else:
        row = measured_in_a_fresh_process(options.rows, options.features)
        write_csv([row], options.out)
        print(row)
        sys.exit(row["growth_mb"] > row["limit_mb"])


def measured_in_a_fresh_process(n_rows, n_features):
    """Return the figures from a process that has done nothing else."""
    command = [sys.executable, __file__, "--measure", f"--rows={n_rows}", f"--features={n_features}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def measured(n_rows, n_features):
    """Return the figures of one fit in this process."""
    from skrobust import OffSupportRobustClassifier

    use_one_thread()
    random = np.random.default_rng(0)
    X = random.standard_normal((n_rows, n_features), dtype=np.float32)
    y = random.integers(10, size=n_rows)
    classifier = OffSupportRobustClassifier(module="mlp", max_epochs=1, device="cpu", random_state=0)
    forget_peak()
    before = resident_mb("VmRSS")
    classifier.fit(X, y)
    peak, data = resident_mb("VmHWM"), X.nbytes / MB
    figures = {
        "data_mb": data,
        "before_mb": before,
        "peak_mb": peak,
        "growth_mb": peak - before,
        "limit_mb": data + ALLOWED_MB,
    }
    return {"rows": n_rows, "features": n_features, **{name: round(value, 1) for name, value in figures.items()}}


def forget_peak():
    """Make the present resident memory the highest so far."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def resident_mb(entry):
    """Return resident memory in MB: "VmRSS" for that of now, "VmHWM" for the highest since forget_peak."""
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[entry].split()[0]) * 1024 / MB


if __name__ == "__main__":
    main()
