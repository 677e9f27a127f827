"""The examples and the README run and tell the truth."""

import re
import runpy
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from skrobust import OffSupportRobustClassifier

ROOT = Path(__file__).parents[1]


@pytest.fixture
def few_epochs(monkeypatch):
    """Train for fewer epochs than the default."""
    monkeypatch.setitem(OffSupportRobustClassifier.__init__.__kwdefaults__, "max_epochs", 25)


@pytest.fixture
def no_window():
    """Draw on no screen, and leave no figure open."""
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


@pytest.mark.usefixtures("few_epochs", "no_window")
def test_quickstart(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SKROBUST_OUTPUT", str(tmp_path / "new folder"))
    names = runpy.run_path(str(ROOT / "examples/plot_quickstart.py"))
    accuracy = {key: np.array(values) for key, values in names["accuracy"].items()}
    plain, robust = (accuracy[name, "worst_case"] for name in ("plain", "robust"))
    assert plain[0] > 0.95
    assert robust[0] > 0.95
    assert (np.diff(plain) <= 0).all()
    assert (np.diff(robust) <= 0).all()
    assert robust[3] > plain[3] + 0.1
    printed = capsys.readouterr().out
    for (name, attack), values in accuracy.items():
        row = re.search(rf"^{name} +{attack} .*$", printed, re.MULTILINE).group().split()
        assert row[2:-2] == [f"{value:.3f}" for value in values]
        assert (accuracy[name, "worst_case"] <= values).all()
    assert printed.count("No sign that an attack is at fault.") == 1
    picture = plt.imread(tmp_path / "new folder" / "quickstart.png")
    assert picture.shape[1] > 1000
    assert picture.std() > 0.1


@pytest.mark.usefixtures("few_epochs")
def test_examples_in_the_readme(tmp_path, monkeypatch, capsys):
    """They run one after the other, as a reader would run them."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names, printed = {}, []
    for block in blocks:
        exec(block, names)  # noqa: S102
        printed.append(capsys.readouterr().out)
    pairs = [re.findall(r"\d\.\d+", text) for text in printed if text.startswith("clean ")]
    assert len(pairs) == 4
    for clean, attacked in pairs:
        assert 0.8 < float(clean) <= 1
        assert 0.1 < float(attacked) < float(clean)
    assert "No flags." in printed[1]
    assert names["report"].route == {"white-box": 1.0}
    assert "<table" in (tmp_path / "report.html").read_text(encoding="utf-8")
