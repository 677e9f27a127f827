"""Imports point one way, and importing the package stays light."""

import ast
import pathlib
import subprocess
import sys

import pytest

import skrobust

ROOT = pathlib.Path(skrobust.__file__).parent
FILES = {
    ".".join(("skrobust", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
# Those that know torch and one another only; sklearn.base lends them get_params and set_params.
TORCH_FACE = (
    "_norms",
    "_numbers",
    "_points",
    "losses",
    "penalties",
    "unlabeled",
    "adversary",
    "augment",
    "data",
    "modules",
)
TORCH_ONLY = {"torch", "numpy", "sklearn.base", *(f"skrobust.{name}" for name in TORCH_FACE)}


def imported(path, *, lazily=True):
    """Return the full names that a file imports, `from a import b` as a.b; at its top level alone if not lazily."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree) if lazily else tree.body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def is_within(name, packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def foreign(path, allowed):
    """Return what a file imports beside the standard library and what is allowed."""
    return {name for name in imported(path) if not is_within(name, allowed | sys.stdlib_module_names)}


def part_of(module, *parts):
    return is_within(module, [f"skrobust.{part}" for part in parts])


def test_the_files_are_found():
    assert {"skrobust", "skrobust._classifier", "skrobust.modules._mlp"} <= set(FILES)
    assert "skrobust.modules.build_module" in imported(FILES["skrobust._net"])


@pytest.mark.parametrize("module", [module for module in FILES if part_of(module, *TORCH_FACE)])
def test_the_torch_face_knows_torch_only(module):
    assert not foreign(FILES[module], TORCH_ONLY)


@pytest.mark.parametrize("module", ["skrobust._objective", "skrobust._net"])
def test_the_training_step_knows_the_torch_face_and_skorch(module):
    assert not foreign(FILES[module], TORCH_ONLY | {"skorch"})


@pytest.mark.parametrize("module", [module for module in FILES if module != "skrobust"])
def test_nothing_knows_the_classifier(module):
    assert not [name for name in imported(FILES[module]) if is_within(name, ["skrobust._classifier"])]
    assert not {"skrobust", "skrobust.OffSupportRobustClassifier"} & imported(FILES[module])


@pytest.mark.parametrize("module", [module for module in FILES if not part_of(module, "attacks")])
def test_only_attacks_know_art(module):
    assert not [name for name in imported(FILES[module]) if is_within(name, ["art"])]


@pytest.mark.parametrize("module", [module for module in FILES if part_of(module, "evaluation")])
def test_evaluation_knows_metrics_and_attacks(module):
    own = {name for name in imported(FILES[module]) if is_within(name, ["skrobust"])}
    known = ("evaluation", "metrics", "attacks", "torchify", "_fingerprint", "_numbers", "_version")
    assert not [name for name in own if not part_of(name, *known)]


@pytest.mark.parametrize("module", FILES)
def test_displays_come_last(module):
    own = {name for name in imported(FILES[module]) if is_within(name, ["skrobust"])}
    if part_of(module, "inspection"):
        known = ("inspection", "metrics", "attacks", "torchify", "unlabeled", "data", "_labels", "_numbers")
        assert not [name for name in own if not part_of(name, *known)]
    else:
        assert not [name for name in own if part_of(name, "inspection")]


@pytest.mark.parametrize("module", FILES)
def test_heavy_packages_are_imported_where_they_are_used(module):
    assert not [name for name in imported(FILES[module], lazily=False) if is_within(name, ["art", "matplotlib"])]


def test_importing_the_package_imports_neither_art_nor_matplotlib():
    command = "import sys, skrobust; print(sorted({'art', 'matplotlib'} & set(sys.modules)), skrobust.__version__)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == f"[] {skrobust.__version__}"
    assert not done.stderr


def test_public_names_exist():
    assert all(hasattr(skrobust, name) for name in skrobust.__all__)
    assert skrobust.__all__ == sorted(skrobust.__all__, key=lambda name: (name.islower(), name))
