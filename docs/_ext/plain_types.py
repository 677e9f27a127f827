"""Sphinx extension: types of parameters and attributes are plain text, where ``*`` and ``_`` mean themselves."""

import re

# "name : type" or "a, b : type", as numpydoc has it, without code or references in the type.
TYPED = re.compile(r"^(\s*\*{0,2}\w+(?:, \w+)* : )([^`]*)$")


def escaped(line):
    """Return a line of a docstring with what would be markup in a type escaped."""
    match = TYPED.match(line)
    if match is None:
        return line
    return match[1] + re.sub(r"\*|_\b", r"\\\g<0>", match[2])


def escape_types(app, what, name, obj, options, lines):
    """Escape the types of a whole docstring."""
    lines[:] = [escaped(line) for line in lines]


def setup(app):
    """Register with Sphinx, before numpydoc at 500."""
    app.connect("autodoc-process-docstring", escape_types, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
