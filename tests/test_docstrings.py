"""Every public name has a docstring that numpydoc finds in order."""

import importlib
import inspect

import pytest
from numpydoc.validate import validate

MODULES = [
    "skrobust",
    "skrobust.attacks",
    "skrobust.losses",
    "skrobust.modules",
    "skrobust.penalties",
    "skrobust.torchify",
    "skrobust.unlabeled",
]
# GL: sections; PR: parameters are those of the signature, in its order; SS: the summary exists and fits one line.
CHECKS = {"GL03", "GL06", "GL07", "GL08", "PR01", "PR02", "PR03", "PR04", "SS01", "SS02", "SS03", "SS06"}


def public_names():
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute in module.__all__:
            if inspect.isclass(getattr(module, attribute)) or inspect.isfunction(getattr(module, attribute)):
                yield f"{name}.{attribute}"


@pytest.mark.parametrize("name", sorted(public_names()))
def test_docstring_is_in_order(name):
    errors = [f"{code} {message}" for code, message in validate(name)["errors"] if code in CHECKS]
    assert not errors
