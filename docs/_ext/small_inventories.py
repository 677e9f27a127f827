"""Sphinx extension: links to other projects without a network.

``docs/inventories`` holds a text file per project: its name, its address, and the names that these pages refer to,
under headings that give their kind and where they are described (``$`` stands for the name). At each build the files
become the inventories that intersphinx reads. With ``SKROBUST_INVENTORIES=online`` it reads those of the projects
instead.
"""

import os
import re
import zlib
from pathlib import Path
from typing import NamedTuple

from sphinx.errors import ExtensionError
from sphinx.util import logging

FOLDER = Path(__file__).parents[1] / "inventories"
HEADER = (
    "# Sphinx inventory version 2\n# Project: {}\n# Version: \n# The remainder of this file is compressed using zlib.\n"
)
logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A name of another project: its kind, as ``py:class``, where it is described, and its title."""

    kind: str
    name: str
    uri: str
    title: str = "-"


class Inventory(NamedTuple):
    """The names of one project."""

    project: str
    url: str
    entries: list

    def compressed(self):
        """Return the bytes of an ``objects.inv``."""
        lines = (f"{entry.name} {entry.kind} 1 {entry.uri} {entry.title}\n" for entry in self.entries)
        return HEADER.format(self.project).encode() + zlib.compress("".join(lines).encode())


def read_entry(heading, line):
    """Return the entry of one line under a heading."""
    kind, place = heading
    if place:
        return Entry(kind, line, place.replace("$", line))
    name, uri, title = re.split(r"\s{2,}", line, maxsplit=2)
    return Entry(kind, name, uri, title)


def read_inventory(path):
    """Return what a text file lists."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    title, url, *rest = [line for line in lines if line]
    heading, entries = None, []
    for line in rest:
        match = re.fullmatch(r"\[(\w+:\w+)\]\s*(.*)", line)
        if match:
            heading = match.groups()
        elif heading is None:
            raise ExtensionError(f"{path}: {line!r} stands before the first heading, such as '[py:class] $.html#$'.")
        else:
            entries.append(read_entry(heading, line))
    return Inventory(title.removeprefix("# "), url, entries)


def read_inventories():
    """Return the inventory of each project, by the name of its file."""
    return {path.stem: read_inventory(path) for path in sorted(FOLDER.glob("*.txt"))}


def offer(app, config):
    """Write the inventories where intersphinx finds them."""
    if os.environ.get("SKROBUST_INVENTORIES") == "online":
        config.intersphinx_mapping = {name: (found.url, None) for name, found in read_inventories().items()}
        return
    folder = Path(app.doctreedir) / "inventories"
    folder.mkdir(parents=True, exist_ok=True)
    for name, inventory in read_inventories().items():
        path = folder / f"{name}.inv"
        path.write_bytes(inventory.compressed())
        config.intersphinx_mapping[name] = (inventory.url, str(path))


def explain(app, domain, node):
    """Say where to add a name of another project."""
    package = node["reftarget"].partition(".")[0]
    path = FOLDER / f"{package}.txt"
    if not path.is_file() or node.get("refdomain") != "py":
        return None
    kind, target = node["reftype"], node["reftarget"]
    text = "%s is not in docs/inventories/%s.txt as a py:%s: add it there if %s has it."
    logger.warning(text, target, package, kind, package, location=node, type="ref", subtype=kind)
    return True


def setup(app):
    """Register with Sphinx."""
    # Before intersphinx looks at its setting, at 800.
    app.connect("config-inited", offer, priority=700)
    app.connect("warn-missing-reference", explain)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
