"""The examples of the pages run as tests, each page in a folder of its own."""

import os
import sys

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
# Of these, the first are no pages, the others are made by the build.
collect_ignore_glob = ["conf.py", "_ext", "_templates", "checks", "_build", "auto_examples", "generated"]


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path, monkeypatch):
    """Let a page write files where no other reads them, and leave no figure open."""
    monkeypatch.chdir(tmp_path)
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
