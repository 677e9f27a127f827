"""What the benchmarks share: one thread, a folder of results, CSV files."""

import csv
import pathlib
import platform

import torch

RESULTS = pathlib.Path(__file__).parent / "results"


def use_one_thread():
    """Small networks on two contended threads are slower than on one, and their timings mean nothing."""
    torch.set_num_threads(1)


def write_csv(rows, path):
    """Write dicts with equal keys as a CSV file, whole or not at all."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
    print(f"{len(rows)} rows in {path.name}")


def read_csv(path):
    """Return the rows of a CSV file as dicts; none if there is no such file."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def machine():
    """Return what a reader needs to know of the machine."""
    return f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} thread"
