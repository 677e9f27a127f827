"""Every public name has a docstring in order, whose defaults are those of its signature, and an example."""

import ast
import importlib
import inspect
import pkgutil
import re

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc
from numpydoc.validate import validate

import skrobust

MODULES = ["skrobust", *(f"skrobust.{m.name}" for m in pkgutil.iter_modules(skrobust.__path__) if m.name[0] != "_")]
# GL: sections; PR: parameters are those of the signature, in its order; SS: the summary exists and fits one line.
CHECKS = {"GL03", "GL06", "GL07", "GL08", "PR01", "PR02", "PR03", "PR04", "SS01", "SS02", "SS03", "SS06"}
# Containers that the package makes for itself: their users read them and never call them.
WITHOUT_EXAMPLE = {"skrobust.penalties.Neighborhood", "skrobust.unlabeled.Support"}


def public_names():
    for name in MODULES:
        module = importlib.import_module(name)
        names = getattr(module, "__all__", [])
        yield from (f"{name}.{a}" for a in names if inspect.isclass(getattr(module, a)) or callable(getattr(module, a)))


NAMES = sorted(public_names())


def load(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def public_methods(cls):
    """Return the methods that a class itself defines, by name, less those that set parameters for any names."""
    methods = {name: getattr(cls, name) for name in vars(cls) if not name.startswith(("_", "set_"))}
    return {name: method for name, method in methods.items() if inspect.isroutine(method)}


def documented():
    """Yield the name, parsed docstring and signature of every public class, function and method."""
    for name in NAMES:
        public = load(name)
        if not inspect.isclass(public):
            yield name, FunctionDoc(public), inspect.signature(public)
            continue
        yield name, ClassDoc(public, config={"show_class_members": False}), inspect.signature(public)
        for method_name, method in public_methods(public).items():
            doc = FunctionDoc(method)
            if doc["Parameters"]:
                yield f"{name}.{method_name}", doc, inspect.signature(method)


DOCUMENTED = list(documented())


def parameters_of(doc):
    """Return the described parameters: name to type, also where two share a line."""
    return {name.strip().lstrip("*"): entry.type for entry in doc["Parameters"] for name in entry.name.split(",")}


def value_of(text):
    """Return the value that a docstring writes: a literal, or the full name of something."""
    try:
        return ast.literal_eval(text)
    except ValueError:
        return pkgutil.resolve_name(text)


def test_the_public_names_are_found():
    assert {"skrobust.OffSupportRobustClassifier", "skrobust.losses.cross_entropy"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_docstring_is_in_order(name):
    errors = [f"{code} {message}" for code, message in validate(name)["errors"] if code in CHECKS]
    assert not errors


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_EXAMPLE))
def test_docstring_has_an_example_that_names_what_it_shows(name):
    example = "\n".join(FunctionDoc(None, doc=inspect.getdoc(load(name)))["Examples"])
    assert ">>> " in example
    assert name.rpartition(".")[2] in example


@pytest.mark.parametrize(
    ("doc", "signature"), [entry[1:] for entry in DOCUMENTED], ids=[entry[0] for entry in DOCUMENTED]
)
def test_every_parameter_is_documented_with_its_default(doc, signature):
    parameters = {name: parameter for name, parameter in signature.parameters.items() if name not in ("self", "cls")}
    described = parameters_of(doc)
    assert list(described) == list(parameters)
    for name, parameter in parameters.items():
        written = re.search(r"default=(.*)$", described[name])
        if parameter.default is inspect.Parameter.empty:
            assert written is None, f"{name} has no default"
            continue
        assert written, f"the default of {name} is missing"
        assert value_of(written[1]) == parameter.default, name
