"""The paper's trainings on CIFAR-10: ResNet9 with augmentation, plain against smoothness, Jacobian, FGSM and PGD.

Attacked are evenly spaced test images, by the worst case of the package's ensemble, at Linf 2/255, 4/255 and 8/255.
Clean accuracy is that on all test images. Beside it stand rho, by the same ensemble at L2, and seconds. Images are in
[0, 1]; the network normalizes them itself, so that eps is one of pixels. They are cropped and flipped in training.

    python examples/benchmarks/bench_paper_cifar.py --data cifar10.npz --tune
    python examples/benchmarks/bench_paper_cifar.py --data cifar10.npz
    python examples/benchmarks/bench_paper_cifar.py --data cifar10.npz --width 16 --epochs 24 --seeds 0
    python examples/benchmarks/bench_paper_cifar.py --data cifar10.npz --n-train 500 --width 8 --epochs 2 --seeds 0

The first two lines want a GPU, which is used if there is one. The third is for a CPU, one thread of which takes up to
an hour for each method. The fourth shows in minutes that all of this runs, and says nothing of the trainings. The
tables of the last two have "slice" in their names. As for MNIST, each method has one knob, which is tuned on held-out
training images; without tuning the first value is taken. Runs that have ended are not run again.
"""

import argparse
import functools
import itertools
import pathlib

from common import RESULTS, use_one_thread
from paper_comparison import Method, Tuned, figures, run, tune, within, write_tables

from skrobust import OffSupportRobustClassifier
from skrobust.adversary import FGSM, PGD
from skrobust.augment import Compose, RandomCrop, RandomHorizontalFlip
from skrobust.datasets import fetch_cifar10

N_ALL, WIDTH = 20_000, 64
LEVELS = 255
PLAIN = "plain"
UNIT = {"clip_values": (0, 1), "weight": 1.0}
NEAR = {"unlabeled_radius": 0.4, "neighbor_radius": 0.1}
EPS = ("adversary__eps", (8 / LEVELS, 4 / LEVELS))
METHODS = {
    PLAIN: Method({"smoothness": 0}),
    "smoothness": Method(NEAR, "smoothness", (0.01, 0.003, 0.03)),
    "jacobian": Method({"penalty": "jacobian"}, "smoothness", (2e-4, 5e-5, 1e-3)),
    "fgsm": Method({"smoothness": 0, "adversary": FGSM(8 / LEVELS, **UNIT)}, *EPS),
    "pgd-7": Method({"smoothness": 0, "adversary": PGD(8 / LEVELS, **UNIT)}, *EPS),
}
THREATS = {f"linf_{level}/255": within(level / LEVELS) for level in (2, 4, 8)}
HELD_OUT_SHARE = 0.2


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="npz file of CIFAR-10, see fetch_cifar10")
    parser.add_argument("--tune", action="store_true", help="choose the knobs on held-out training images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--n-train", type=int, default=N_ALL)
    parser.add_argument("--width", type=int, default=WIDTH, help="channels of the first layer of ResNet9")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--tune-epochs", type=int, default=15)
    parser.add_argument("--n-attacked", type=int, default=500)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS, help="folder of the tables")
    return parser.parse_args()


def classifier(options):
    """Return the classifier that all methods share, not fitted."""
    return OffSupportRobustClassifier(
        "resnet9",
        max_epochs=options.epochs,
        batch_size=options.batch_size,
        augmentation=Compose([RandomCrop(padding=4), RandomHorizontalFlip()]),
        device=options.device,
        net_params={"module__normalization": "cifar10", "module__width": options.width},
    )


def main():
    options = parsed()
    use_one_thread()
    base, cifar = classifier(options), fetch_cifar10(options.data)
    X, y = cifar.X_train[: options.n_train], cifar.y_train[: options.n_train]
    is_whole = options.n_train >= N_ALL and options.width == WIDTH
    stem = "paper_cifar" if is_whole else f"paper_cifar_slice_{len(X)}_width_{options.width}"
    tuning, path = (options.results / f"{stem}{kind}_runs.jsonl" for kind in ("_tuning", ""))
    protocol = {"threat_models": THREATS, "n_attacked": options.n_attacked}
    if options.tune:
        n = round((1 - HELD_OUT_SHARE) * len(X))
        methods = {name: METHODS[name] for name in options.methods}
        tune(methods, base, (X[:n], y[:n], X[n:], y[n:]), tuning, n_epochs=options.tune_epochs, **protocol)
        return
    tuned, data = Tuned(tuning.with_suffix(".csv")), (X, y, cifar.X_test, cifar.y_test)
    protocol["scoring"] = functools.partial(figures, n_attacked=options.n_attacked)
    for seed, name in itertools.product(options.seeds, options.methods):
        run({name: METHODS[name].estimator(base, tuned.value(name))}, data, path, seed=seed, **protocol)
        write_tables(path, PLAIN)


if __name__ == "__main__":
    main()
