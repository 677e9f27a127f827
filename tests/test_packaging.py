"""What is built holds what it should, and the versions that it asks for are versions that the tests run with."""

import inspect
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import skrobust

ROOT = pathlib.Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What the documentation and development take is no part of what users install.
EXTRAS = [extra for extra in PROJECT["optional-dependencies"] if extra not in ("docs", "dev")]


def pins(name):
    lines = (ROOT / ".ci" / name).read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonical(package): Version(version) for package, version in pairs}


def canonical(package):
    return re.sub(r"[-_.]+", "-", package).lower()


def requirements():
    listed = [*PROJECT["dependencies"], *(line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra])]
    return [Requirement(line) for line in listed if not line.startswith("skrobust[")]


def oldest(requirement):
    return next(Version(each.version) for each in requirement.specifier if each.operator == ">=")


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_oldest_declared_versions_are_those_that_are_tested(requirement):
    assert pins("constraints-oldest.txt")[canonical(requirement.name)] == oldest(requirement)


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_the_newest_tested_versions_are_in_range(requirement):
    assert pins("constraints.txt")[canonical(requirement.name)] in requirement.specifier


def test_versions_of_python_agree():
    classifiers = [text.split(" :: ")[-1] for text in PROJECT["classifiers"] if "Python :: 3." in text]
    listed = sorted(map(Version, classifiers))
    assert PROJECT["requires-python"] == f">={listed[0]}"
    assert all(version in SpecifierSet(PROJECT["requires-python"]) for version in listed)
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["target-version"]
    assert target == f"py{str(listed[0]).replace('.', '')}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the folder of the files that are built from a copy of the tree."""
    pytest.importorskip("build", reason="builds come with the extra dev")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE", "MANIFEST.in", "CHANGES.md", "Makefile"):
        shutil.copy(ROOT / name, source)
    shutil.copy(ROOT / "CONTRIBUTING.md", source)
    for name in ("skrobust", "tests", "examples", ".ci"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    # The wheel is made from the sdist, which therefore holds all that it takes.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return source / "dist"


def wheel_of(built):
    return zipfile.ZipFile(next(built.glob("*.whl")))


def test_the_wheel_holds_the_package_and_its_license_alone(built):
    names = wheel_of(built).namelist()
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "skrobust").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == package
    assert [name for name in names if name.endswith("/licenses/LICENSE")]


def test_the_metadata_of_the_wheel(built):
    wheel = wheel_of(built)
    metadata = message_from_bytes(wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA"))))
    assert metadata["Version"] == skrobust.__version__
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    required = {str(Requirement(line)) for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert required == {str(Requirement(line)) for line in PROJECT["dependencies"]}


def test_the_sdist_holds_what_its_tests_take_and_no_results(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("*.py")}
    others = {"Makefile", "LICENSE", "CHANGES.md", "setup.cfg", ".ci/constraints.txt", ".ci/constraints-oldest.txt"}
    assert names >= tests | others
    assert not [name for name in names if name.startswith(("docs", "examples/benchmarks")) or name.endswith(".csv")]


def test_the_package_is_said_to_be_typed_if_it_is():
    functions = [getattr(skrobust, name) for name in skrobust.__all__ if inspect.isfunction(getattr(skrobust, name))]
    is_typed = all("return" in function.__annotations__ for function in functions)
    assert (ROOT / "skrobust" / "py.typed").exists() == is_typed
