"""Sphinx extension: the drawn maps of the package, whose boxes lead to the API reference.

``.. architecture-map:: modules`` draws what uses what, ``.. architecture-map:: data`` the way that data take. The tests
compare both with the imports of the package. The colors are those of the theme, light or dark.
"""

from html import escape
from itertools import pairwise
from typing import NamedTuple

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

WIDTH = 760
LINE = 17
ARROW_HEAD = (
    '<defs><marker id="map-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
)


class Box(NamedTuple):
    """A box: its place, its name, what it says of itself, and the modules of the package that it stands for."""

    x: int
    y: int
    width: int
    height: int
    name: str
    text: str = ""
    modules: tuple = ()
    kind: str = "module"


def module(x, y, width, name, text, height=56):
    """Return the box of one public module."""
    return Box(x, y, width, height, name, text, (name,))


FACE = ("_classifier", "_parameters", "_predictor")
PIECES = ("data", "unlabeled", "modules", "losses", "adversary", "penalties", "augment")
MODULES = {
    "inspection": module(20, 44, 165, "inspection", "pictures"),
    "evaluation": module(205, 44, 165, "evaluation", "several classifiers"),
    "metrics": module(20, 138, 350, "metrics", "scorers, reports, geometry"),
    "attacks": module(84, 232, 286, "attacks", "threat model, attacks, the only user of ART"),
    "torchify": module(84, 326, 286, "torchify", "fitted estimators as torch modules"),
    "classifier": Box(516, 44, 224, 56, "OffSupportRobustClassifier", "the scikit-learn face", FACE),
    "io": module(404, 44, 96, "io", "files, ONNX"),
    "training": Box(476, 170, 264, 76, "training", "objective, network in skorch,\ncheckpoints: all private"),
    "datasets": module(476, 326, 100, "datasets", "to try it on"),
    "model_selection": module(602, 326, 138, "model_selection", "folds, choice"),
    "pieces": Box(20, 424, 720, 112, "pieces in torch, each on its own", "", PIECES, "group"),
    **{name: module(32 + 101 * i, 466, 92, name, "", 50) for i, name in enumerate(PIECES)},
}
# What uses what: points from the user to the used.
ARROWS = {
    ("inspection", "metrics"): [(102, 100), (102, 138)],
    ("evaluation", "metrics"): [(287, 100), (287, 138)],
    ("metrics", "attacks"): [(227, 194), (227, 232)],
    ("metrics", "pieces"): [(50, 194), (50, 424)],
    ("attacks", "torchify"): [(227, 288), (227, 326)],
    ("io", "torchify"): [(424, 100), (424, 354), (370, 354)],
    ("io", "training"): [(488, 100), (488, 170)],
    ("classifier", "torchify"): [(540, 100), (540, 132), (424, 132), (424, 354), (370, 354)],
    ("classifier", "training"): [(640, 100), (640, 170)],
    ("training", "pieces"): [(589, 246), (589, 424)],
    ("datasets", "pieces"): [(526, 382), (526, 424)],
}
MODULE_HEADS = [(20, 24, "How easily is it fooled?"), (404, 24, "One that is harder to fool")]


def steps(y, boxes):
    """Return boxes in a row, and arrows from each to the next."""
    width, height, gap = 128, 104, 20
    placed = [
        Box(20 + i * (width + gap), y, width, height, name, text, parts, "step")
        for i, (name, text, *parts) in enumerate(boxes)
    ]
    arrows = [[(a.x + a.width, y + height // 2), (b.x, y + height // 2)] for a, b in pairwise(placed)]
    return placed, arrows


TRAIN, TRAIN_ARROWS = steps(
    44,
    [
        ("rows", "batches of tensors,\nlabeled", "data"),
        ("augmented", "images moved,\nmirrored, erased", "augment"),
        ("anchors", "rows, moved rows,\nunlabeled points", "adversary", "unlabeled"),
        ("neighbors", "what the penalty\nneeds beside them", "penalties"),
        ("network", "all points at once;\nthe loss of them", "modules", "losses"),
    ],
)
ASK, ASK_ARROWS = steps(
    228,
    [
        ("classifier", "fitted, alone or\nin a Pipeline"),
        ("copy in torch", "with gradients,\nif there are any", "torchify"),
        ("changed rows", "by many attacks, as\nfar as is allowed", "attacks"),
        ("judgement", "by your predict,\nin the units of X", "attacks"),
        ("score", "what share stands;\nreport, pictures", "metrics", "inspection"),
    ],
)
MAPS = {
    "modules": (list(MODULES.values()), list(ARROWS.values()), MODULE_HEADS, 550),
    "data": (
        TRAIN + ASK,
        TRAIN_ARROWS + ASK_ARROWS,
        [(20, 24, "Training: what one batch goes through"), (20, 208, "Asking: what a score goes through")],
        350,
    ),
}


def text_line(x, y, text, kind):
    """Return one line of text."""
    return f'<text x="{x:g}" y="{y:g}" class="map-{kind}">{escape(text)}</text>'


def linked(name, text, api):
    """Return a text that leads to the description of a module."""
    return f'<a href="{api}#module-skrobust.{name}">{text}</a>'


def draw_box(box, api):
    """Return a box with its texts; its name, or below it those of its public modules, lead to the API reference."""
    parts = [f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6" class="map-{box.kind}"/>']
    middle = box.x + box.width / 2
    lines = [line for line in box.text.split("\n") if line]
    names = box.modules if box.kind == "step" else ()
    used = LINE * (1 + len(lines) + len(names))
    top = box.y + (22 if box.kind == "group" else (box.height - used) / 2 + 13)
    title = text_line(middle, top, box.name, "name")
    is_module = box.modules == (box.name,)
    parts.append(linked(box.name, title, api) if is_module else title)
    parts += [text_line(middle, top + LINE * (i + 1), line, "text") for i, line in enumerate(lines)]
    bottom = top + LINE * len(lines)
    parts += [
        linked(name, text_line(middle, bottom + LINE * (i + 1), name, "link"), api) for i, name in enumerate(names)
    ]
    return "".join(parts)


def draw_arrow(points):
    """Return an arrow through points."""
    return f'<polyline points="{" ".join(f"{x},{y}" for x, y in points)}" class="map-arrow"/>'


def draw(name, text, api):
    """Return a map as SVG."""
    boxes, arrows, heads, height = MAPS[name]
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(text)}">',
        ARROW_HEAD,
        *(draw_arrow(arrow) for arrow in arrows),
        *(draw_box(box, api) for box in boxes),
        *(text_line(*head, "head") for head in heads),
        "</svg>",
    ]
    return f'<div class="architecture-map">{"".join(parts)}</div>'


class architecture_map(nodes.General, nodes.Element):  # noqa: N801
    """A map in a page, drawn when the page is written."""


def visit_map(translator, node):
    """Write a map."""
    api = translator.builder.get_relative_uri(translator.builder.current_docname, "api")
    translator.body.append(draw(node["name"], node["alt"], api))
    raise nodes.SkipNode


class ArchitectureMap(SphinxDirective):
    """The directive ``architecture-map``."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}

    def run(self):
        """Return the map as a node."""
        name = self.arguments[0]
        if name not in MAPS:
            raise self.error(f"architecture-map {name}: there are {', '.join(MAPS)}.")
        if "alt" not in self.options:
            raise self.error(f"architecture-map {name}: say in :alt: what it shows.")
        return [architecture_map("", name=name, alt=" ".join(self.options["alt"].split()))]


def setup(app):
    """Register with Sphinx."""
    app.add_node(architecture_map, html=(visit_map, None))
    app.add_directive("architecture-map", ArchitectureMap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
