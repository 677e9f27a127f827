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
# What parameters take, by the page that explains it.
NAMED = {
    "mathematics": {"penalty": PENALTIES, "adversary": ADVERSARIES},
    "unlabeled": {"unlabeled": SAMPLERS},
    "threat_models": {"attack": [*ATTACKS, "worst_case"]},
}
# A number in the prose that is a default.
DEFAULT = re.compile(r"``(\w+)``, ([\d.]+) by default")


def page(name):
    return (GUIDE / f"{name}.rst").read_text(encoding="utf-8")


def described(text):
    """Return the terms that a page explains, each with its explanation."""
    return dict(re.findall(r"^(``\S.*)\n(   \S.*\n(?:   .*\n|\n)*)", text, re.M))


def entries(text):
    """Return the names, in quotes, that a page explains."""
    return {name for term in described(text) for name in re.findall(r'``"(\w+)"``', term)}


def test_every_flag_is_explained_with_what_to_do_and_no_other():
    flags = described(page("reports"))
    assert list(flags) == [f"``{name}``" for name in FLAGS]
    for text in flags.values():
        assert "*Do:*" in text


@pytest.mark.parametrize(("name", "parameter"), [(name, p) for name, of_page in NAMED.items() for p in of_page])
def test_every_name_that_a_parameter_takes_is_explained(name, parameter):
    assert set(NAMED[name][parameter]) <= entries(page(name))


def test_no_attack_is_described_that_is_not_there():
    section = page("threat_models").partition("Which attack\n")[2].partition("Attacks of ART")[0]
    assert entries(section) == {*ATTACKS, "worst_case"}


def test_budgets_are_those_of_the_attacks():
    budgets = {term: text.partition("*Budget:*")[2] for term, text in described(page("threat_models")).items()}
    assert sum(map(bool, budgets.values())) > 5
    for term, text in budgets.items():
        params = [ATTACKS[name].params for name in re.findall(r'"(\w+)"', term) if name in ATTACKS]
        for name, value in re.findall(r"(\w+)=(\d+)", text):
            assert int(value) in [of_attack.get(name) for of_attack in params], (term, name)


def test_every_constraint_of_a_threat_model_is_explained():
    fields = set(inspect.signature(ThreatModel).parameters) - {"eps", "norm", "units"}
    assert {f"``{name}``" for name in fields} <= set(described(page("threat_models")))


@pytest.mark.parametrize("path", sorted(GUIDE.glob("*.rst")), ids=lambda path: path.stem)
def test_defaults_in_the_prose_are_those_of_the_signature(path):
    signature = inspect.signature(OffSupportRobustClassifier).parameters
    for name, value in DEFAULT.findall(path.read_text(encoding="utf-8")):
        assert float(value.rstrip(".")) == signature[name].default, name


def test_defaults_are_in_the_prose():
    pages = [*GUIDE.glob("*.rst"), DOCS / "getting_started.rst"]
    found = {name for path in pages for name, _ in DEFAULT.findall(path.read_text(encoding="utf-8"))}
    assert found >= {"smoothness", "unlabeled_radius", "neighbor_radius"}
