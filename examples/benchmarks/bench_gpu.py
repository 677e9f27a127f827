"""Rows per second of training on a GPU, against a bare loop of plain torch.

Both ways make the same passes: anchors and neighbors of every batch in one forward pass, with the data on the device
and the same fused optimizer. The bare loop normalizes batches by the statistics of all points, as plain torch does; the
package by those of the labeled rows, which is more work. The ways take turns; a figure is the median over rounds of the
median epoch after the first, and the ratio is the median of the ratios within a round.

    python examples/benchmarks/bench_gpu.py --data mnist.npz
    python examples/benchmarks/bench_gpu.py --device cpu --quick     # does it run at all?
"""

import argparse
import contextlib
import dataclasses
import gc
import itertools
import pathlib
import platform
import statistics
import tempfile
import time

import numpy as np
import torch
from bench_fit import EpochEnds, off_support_step, seconds_between
from common import RESULTS, write_csv
from torch import nn

from skrobust import OffSupportRobustClassifier
from skrobust.modules import LeNet

N_CLASSES = 10
DTYPES = {"float32": contextlib.nullcontext, "bfloat16": lambda kind: torch.autocast(kind, dtype=torch.bfloat16)}


@dataclasses.dataclass(frozen=True)
class Size:
    """How much to run; `rows` of each network are passed in one epoch."""

    rows: dict
    batch_sizes: tuple
    width: int
    n_epochs: int
    rounds: int


FULL = Size({"lenet": 60_000, "resnet18": 16_384}, (128, 256, 512, 1024, 2048, 4096), width=64, n_epochs=4, rounds=5)
QUICK = Size({"lenet": 128, "resnet18": 32}, (16,), width=4, n_epochs=2, rounds=1)


class Block(nn.Module):
    """Two convolutions and the way around them."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        around = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        self.around = nn.Identity() if stride == 1 and n_in == n_out else around

    def forward(self, X):
        return torch.relu(self.body(X) + self.around(X))


class ResNet18(nn.Sequential):
    """ResNet-18 for small images: a 3 x 3 stem and four stages of two blocks (He et al., 2016)."""

    def __init__(self, image_shape, n_classes, width=64):
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        stem = [nn.Conv2d(image_shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        stages = [
            nn.Sequential(Block(n_in, n_out, stride), Block(n_out, n_out, 1))
            for (n_in, n_out), stride in zip(itertools.pairwise(widths), (1, 2, 2, 2), strict=True)
        ]
        super().__init__(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], n_classes))


@dataclasses.dataclass(frozen=True)
class Case:
    """One network on one set of images, one batch size, one type; trained by either way."""

    network: str
    module: callable
    images: np.ndarray
    y: np.ndarray
    batch_size: int
    dtype: str
    device: torch.device
    n_epochs: int

    @property
    def shape(self):
        return (1, *self.images.shape[1:]) if self.images.ndim == 3 else self.images.shape[1:]

    def rows(self):
        return (self.images.reshape(len(self.images), -1) / 255).astype(np.float32)

    def bare_loop(self):
        """Return the ends of the epochs of a bare loop."""
        X, y = torch.from_numpy(self.rows()).to(self.device), torch.from_numpy(self.y).to(self.device)
        network = self.module(self.shape, N_CLASSES).to(self.device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
        step = off_support_step(X)

        def forward(points):
            with DTYPES[self.dtype](self.device.type):
                return network(points.reshape(-1, *self.shape)).float()

        ends = []
        for _ in range(self.n_epochs):
            for index in torch.randperm(len(X), device=self.device).split(self.batch_size):
                optimizer.zero_grad()
                step(forward, X[index], y[index]).backward()
                optimizer.step()
            wait_for(self.device)
            ends.append(time.perf_counter())
        return ends

    def skrobust(self):
        """Return the ends of the epochs of the package."""
        EpochEnds.ends.clear()
        OffSupportRobustClassifier(
            module=self.module,
            image_shape=self.shape,
            max_epochs=self.n_epochs,
            batch_size=self.batch_size,
            callbacks=[EpochEnds],
            device=str(self.device),
            dtype=self.dtype,
            random_state=0,
        ).fit(self.rows(), self.y)
        return list(EpochEnds.ends)


def wait_for(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rows_per_second(train, case):
    """Return the speed of a way, or NaN if it runs out of memory."""
    try:
        speed = len(case.y) / seconds_between(train(case))
    except (MemoryError, torch.OutOfMemoryError):
        speed = float("nan")
    gc.collect()
    if case.device.type == "cuda":
        torch.cuda.empty_cache()
    return speed


def compared(case, rounds):
    """Return one row of results for each way."""
    ways = {"bare loop": Case.bare_loop, "skrobust": Case.skrobust}
    speeds = [{way: rows_per_second(train, case) for way, train in ways.items()} for _ in range(rounds)]
    return [
        {
            "network": case.network,
            "batch_size": case.batch_size,
            "dtype": case.dtype,
            "way": way,
            "rows_per_second": round(statistics.median(speed[way] for speed in speeds), 1),
            "ratio_to_bare_loop": round(statistics.median(speed[way] / speed["bare loop"] for speed in speeds), 3),
            "rows": len(case.y),
            "image_shape": "x".join(map(str, case.shape)),
            "rounds": rounds,
            "device": device_name(case.device),
            "torch": torch.__version__,
        }
        for way in ways
    ]


def device_name(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({platform.machine()})"


def cases(images, y, device, size):
    """Yield every combination, the slowest network last."""
    modules = {"lenet": LeNet, "resnet18": lambda image_shape, n_classes: ResNet18(image_shape, n_classes, size.width)}
    for (network, module), batch_size, dtype in itertools.product(modules.items(), size.batch_sizes, DTYPES):
        n_rows = size.rows[network]
        yield Case(network, module, images[:n_rows], y[:n_rows], batch_size, dtype, device, size.n_epochs)


def load(path, n_rows):
    """Return images and labels from a file, or random ones in the shape of MNIST."""
    if path is None:
        random = np.random.default_rng(0)
        return random.integers(256, size=(n_rows, 28, 28), dtype=np.uint8), random.integers(N_CLASSES, size=n_rows)
    with np.load(path) as file:
        return file["X_train"], file["y_train"].astype(np.int64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="npz file with X_train and y_train, uint8 images; random images without")
    parser.add_argument("--device", help="device of torch; without, a CUDA GPU is needed")
    parser.add_argument("--quick", action="store_true", help="a tiny version, to see that it runs")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    if options.device is None and not torch.cuda.is_available():
        print(
            "No CUDA GPU (torch.cuda.is_available() is False): nothing measured. Use --device cpu --quick for a trial."
        )
        return
    size = QUICK if options.quick else FULL
    out = options.out or (pathlib.Path(tempfile.gettempdir()) if options.quick else RESULTS) / "gpu.csv"
    rows = []
    images, y = load(options.data, max(size.rows.values()))
    for case in cases(images, y, torch.device(options.device or "cuda"), size):
        rows += compared(case, size.rounds)
        print(*list(rows[-1].values())[:6])
        write_csv(rows, out)


if __name__ == "__main__":
    main()
