"""What the pages of the user guide say is what the code has."""

import inspect
import pathlib
import re

import pytest

from skrobust import OffSupportRobustClassifier, ThreatModel
from skrobust.adversary._trainings import ADVERSARIES
from skrobust.attacks._attacks import ATTACKS
from skrobust.metrics._flags import FLAGS
from skrobust.penalties._registry import PENALTIES
from skrobust.unlabeled import SAMPLERS

DOCS = pathlib.Path(__file__).parents[1] / "docs"
GUIDE = DOCS / "user_guide"
# Written as "name" in code, or as a term of its own.
NAMED = {
    "mathematics": {"penalty": PENALTIES, "adversary": ADVERSARIES},
    "unlabeled": {"unlabeled": SAMPLERS},
    "threat_models": {"attack": [*ATTACKS, "worst_case"]},
}
# A number in the prose that is a default.
DEFAULT = re.compile(r"``(\w+)``, ([\d.]+) by default")


def page(name):
    return (GUIDE / f"{name}.rst").read_text(encoding="utf-8")


def entries(text):
    """Return the first cell of every row of the tables of a page, with what is code in it."""
    return {name for cell in re.findall(r"^   \* - (.*)$", text, re.M) for name in re.findall(r'``"(\w+)"``', cell)}


def described(text):
    """Return the terms that a page explains, each with its explanation."""
    return dict(re.findall(r"^``(\w+)``\n((?:   .*\n|\n)+)", text, re.M))


def test_every_flag_is_explained_with_what_to_do_and_no_other():
    flags = described(page("reports"))
    assert list(flags) == list(FLAGS)
    for text in flags.values():
        assert "*Do:*" in text


@pytest.mark.parametrize(("name", "parameter"), [(name, p) for name, of_page in NAMED.items() for p in of_page])
def test_every_name_that_a_parameter_takes_is_in_a_table(name, parameter):
    assert set(NAMED[name][parameter]) <= entries(page(name))


def test_no_attack_is_described_that_is_not_there():
    table = page("threat_models").partition("Which attack\n")[2].partition("Attacks of ART")[0]
    assert entries(table) == {*ATTACKS, "worst_case"}


def test_budgets_are_those_of_the_attacks():
    rows = re.findall(r"^   \* - (.*)\n     - .*\n     - (.*=.*)$", page("threat_models"), re.M)
    assert len(rows) > 5
    for names, budgets in rows:
        params = [ATTACKS[name].params for name in re.findall(r'"(\w+)"', names)]
        for name, value in re.findall(r"(\w+)=(\d+)", budgets):
            assert int(value) in [of_attack.get(name) for of_attack in params], (names, name)


def test_every_constraint_of_a_threat_model_is_in_a_table():
    fields = set(inspect.signature(ThreatModel).parameters) - {"eps", "norm", "units"}
    assert fields <= set(re.findall(r"^   \* - ``(\w+)``$", page("threat_models"), re.M))


@pytest.mark.parametrize("path", sorted(GUIDE.glob("*.rst")), ids=lambda path: path.stem)
def test_defaults_in_the_prose_are_those_of_the_signature(path):
    signature = inspect.signature(OffSupportRobustClassifier).parameters
    for name, value in DEFAULT.findall(path.read_text(encoding="utf-8")):
        assert float(value.rstrip(".")) == signature[name].default, name


def test_defaults_are_in_the_prose():
    pages = [*GUIDE.glob("*.rst"), DOCS / "getting_started.rst"]
    found = {name for path in pages for name, _ in DEFAULT.findall(path.read_text(encoding="utf-8"))}
    assert found >= {"smoothness", "unlabeled_radius", "neighbor_radius"}
