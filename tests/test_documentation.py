"""The documentation names what there is: public names, names of other projects, results, modules."""

import ast
import builtins
import inspect
import io
import pkgutil
import re
from pathlib import Path

import architecture_maps as maps
import plain_types
import public_names
import pytest
import small_inventories
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils
from sphinx.util.inventory import InventoryFile

import skrobust

# These two need packages of the docs extra, which environments with the oldest versions lack.
gallery_order, mathml = map(pytest.importorskip, ("gallery_order", "mathml"))

DOCS = Path(__file__).parents[1] / "docs"
ROOT = Path(skrobust.__file__).parent


def names_in_the_reference():
    """Return the full names that the API reference lists, in its order."""
    names, module, is_list = [], "", False
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        directive = re.match(r"\.\. (\S+?):: *(\S*)", line)
        if directive:
            is_list = directive[1] == "autosummary"
            module = directive[2] if directive[1] == "currentmodule" else module
            names += [f"{module}.{directive[2]}"] if directive[1] == "py:data" else []
        elif is_list and re.fullmatch(r"   \w+", line):
            names.append(f"{module}.{line.strip()}")
    return names


def test_every_public_name_is_in_the_reference_once_and_no_other():
    assert sorted(names_in_the_reference()) == sorted(public_names.public_paths())


def test_public_names_have_their_shortest_path():
    paths = public_names.public_paths()
    assert paths["skrobust.ThreatModel"] == ["skrobust.attacks.ThreatModel"]
    assert "skrobust.metrics.robustness_report" not in paths
    assert "skrobust.losses.cross_entropy" in paths


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("skrobust.attacks.ThreatModel", "skrobust.ThreatModel"),
        ("skrobust.attacks.ThreatModel.resolve", "skrobust.ThreatModel.resolve"),
        ("summarize", "skrobust.evaluation.summarize"),
        ("skrobust.attacks.ThreatModels", None),
        ("nothing", None),
    ],
)
def test_other_paths_lead_to_the_same_page(written, meant):
    assert public_names.full_path(written, public_names.public_paths()) == meant


# ---- Names of other projects


INVENTORIES = small_inventories.read_inventories()
PYTHON_NAMES = [
    (entry.kind.removeprefix("py:"), entry.name)
    for inventory in INVENTORIES.values()
    for entry in inventory.entries
    if entry.kind.startswith("py:")
]


@pytest.mark.filterwarnings("ignore")  # what others say while they are imported is theirs
@pytest.mark.parametrize(("kind", "name"), PYTHON_NAMES)
def test_names_of_other_projects_exist_and_are_of_their_kind(kind, name):
    found = pkgutil.resolve_name(f"builtins.{name}" if hasattr(builtins, name) else name)
    is_kind = {
        "module": inspect.ismodule,
        "class": inspect.isclass,
        "exception": lambda value: inspect.isclass(value) and issubclass(value, BaseException),
        "data": lambda value: not callable(value),
    }
    assert is_kind.get(kind, lambda value: callable(value) and not inspect.isclass(value))(found)


@pytest.mark.parametrize("name", INVENTORIES)
def test_inventories_are_read_by_sphinx_as_they_are_written(name):
    inventory = INVENTORIES[name]
    read = InventoryFile.loads(inventory.compressed(), uri=inventory.url)
    entries = [(entry.kind, entry.name, f"{inventory.url}{entry.uri}") for entry in inventory.entries]
    assert len(entries) == len(set(entries))
    assert sorted(entries) == sorted((k, n, item.uri) for k, names in read.data.items() for n, item in names.items())


class FakeApp:
    """What an extension needs of Sphinx to offer inventories."""

    def __init__(self, folder):
        self.doctreedir = folder
        self.intersphinx_mapping = {}


def test_inventories_are_files_unless_those_of_the_projects_are_asked_for(tmp_path, monkeypatch):
    app = FakeApp(tmp_path)
    monkeypatch.delenv("SKROBUST_INVENTORIES", raising=False)
    small_inventories.offer(app, app)
    url, path = app.intersphinx_mapping["sklearn"]
    assert url == "https://scikit-learn.org/stable/"
    assert Path(path).read_bytes().startswith(b"# Sphinx inventory version 2\n# Project: scikit-learn\n")
    monkeypatch.setenv("SKROBUST_INVENTORIES", "online")
    small_inventories.offer(app, app)
    assert app.intersphinx_mapping["sklearn"] == (url, None)


def test_a_name_before_the_first_heading_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("# A\nhttps://example.org/\na.b\n")
    with pytest.raises(ExtensionError, match=r"'a\.b' stands before the first heading"):
        small_inventories.read_inventory(tmp_path / "a.txt")


def test_a_public_module_without_all_is_refused(monkeypatch):
    monkeypatch.setattr(public_names, "public_modules", lambda: {"skrobust.losses": object()})
    with pytest.raises(ExtensionError, match=r"skrobust\.losses has no __all__"):
        public_names.public_paths.__wrapped__()


# ---- Formulas and docstrings


@pytest.mark.parametrize(
    ("source", "latex"),
    [
        ("a + b", "a + b"),
        (r"a \\ b", r"\begin{aligned}a \\ b\end{aligned}"),
        (r"\begin{cases} a \\ b \end{cases}", r"\begin{cases} a \\ b \end{cases}"),
        ("a\n\nb", r"\begin{gathered}a \\ b\end{gathered}"),
    ],
)
def test_lines_of_a_displayed_block(source, latex):
    assert mathml.block_of(source) == latex
    assert "<math" in mathml.converter().convert_with_local_state(latex, displaystyle=True)


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("names_ : ndarray of shape (n_features_in_,)", r"names_ : ndarray of shape (n_features_in\_,)"),
        (
            "    a, b : array of shape (n, *shape), default=None",
            r"    a, b : array of shape (n, \*shape), default=None",
        ),
        ("a_b : {'x_', 'y'}", r"a_b : {'x\_', 'y'}"),
        ("it is so: names_ and *more", "it is so: names_ and *more"),
        ("x : ``code_``", "x : ``code_``"),
    ],
)
def test_types_are_plain_text(line, plain):
    assert plain_types.escaped(line) == plain


# ---- The gallery


def test_the_gallery_begins_with_the_quick_start_and_ends_with_what_it_does_not_know():
    key = gallery_order.ReadingOrder("")
    names = ["plot_b.py", "plot_hypothesis.py", "plot_a.py", "plot_quickstart.py"]
    assert sorted(names, key=key) == ["plot_quickstart.py", "plot_hypothesis.py", "plot_a.py", "plot_b.py"]


def test_every_example_is_in_the_order_of_the_gallery():
    names = {path.stem.removeprefix("plot_") for path in DOCS.parent.glob("examples/plot_*.py")}
    assert names <= set(gallery_order.ORDER)


# ---- The map


SHARED = {
    "_atomic",
    "_fingerprint",
    "_generators",
    "_labels",
    "_norms",
    "_numbers",
    "_plain",
    "_points",
    "_runtime",
    "_schedules",
    "_validation",
    "_version",
}
BOX_OF = {module: key for key, box in maps.MODULES.items() for module in box.modules if box.modules != (key,)}


def box_of(module):
    """Return the box that a module of the package is in: those of torch are one, and private ones are for training."""
    return BOX_OF.get(module, "training" if module.startswith("_") else module)


def own_imports():
    """Return the pairs of modules directly below the package of which one imports the other."""
    pairs = set()
    for path in ROOT.rglob("*.py"):
        user = path.relative_to(ROOT).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("skrobust."):
                pairs.add((user, node.module.split(".")[1]))
    return {(user, used) for user, used in pairs if user not in ("__init__", used)}


def reachable(arrows):
    """Return all pairs that a way along arrows joins."""
    pairs = set(arrows)
    while True:
        longer = pairs | {(a, d) for a, b in pairs for c, d in pairs if b == c}
        if longer == pairs:
            return pairs
        pairs = longer


def test_all_public_modules_are_on_the_map_and_all_that_is_on_it_exists():
    there = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    shown = {module for box in maps.MODULES.values() for module in box.modules}
    assert shown | SHARED <= there
    assert {module for module in there if not module.startswith("_")} <= shown
    assert not shown & SHARED


def test_modules_shared_by_all_know_no_box_of_the_map():
    assert not {(user, used) for user, used in own_imports() if user in SHARED and used not in SHARED}


def test_arrows_of_the_map_are_imports_and_imports_are_ways_along_arrows():
    imports = {(box_of(a), box_of(b)) for a, b in own_imports() if not {a, b} & SHARED}
    imports = {(a, b) for a, b in imports if a != b}
    assert set(maps.ARROWS) <= imports
    assert imports <= reachable(maps.ARROWS)


@pytest.mark.parametrize("key", maps.ARROWS)
def test_arrows_begin_and_end_at_their_boxes(key):
    (start, *_, end), (user, used) = maps.ARROWS[key], (maps.MODULES[name] for name in key)
    for (x, y), box in ((start, user), (end, used)):
        assert box.x <= x <= box.x + box.width
        assert box.y <= y <= box.y + box.height


@pytest.mark.parametrize("name", maps.MAPS)
def test_texts_of_the_map_fit_into_their_boxes(name):
    """A bold letter of 13 px is about 8.5 px wide, another of 12 px about 6.5 px."""
    for box in maps.MAPS[name][0]:
        assert box.x + box.width <= maps.WIDTH
        assert len(box.name) * 8.5 <= box.width
        assert all(len(line) * 6.5 <= box.width for line in box.text.split("\n"))


# ---- Together, in a small project


PAGE = """
Title
=====

.. py:module:: skrobust

.. math:: x_i = \\frac{a}{b}
   :label: one

See :eq:`one` and :class:`sklearn.svm.SVC`, and :math:`\\sqrt d`.

.. benchmark-table:: mnist.csv
   :columns: method=training, clean
   :caption: Accuracy.

.. architecture-map:: data
   :alt: The way of the data.
"""
WRONG = """
Title
=====

:class:`sklearn.svm.SVX` and :math:`\\nonsense`

.. benchmark-table:: nothing.csv

.. benchmark-table:: mnist.csv
   :colour: red

.. architecture-map:: nothing

.. architecture-map:: data
"""
EXTENSIONS = ["architecture_maps", "benchmark_table", "mathml", "small_inventories", "sphinx.ext.intersphinx"]


def built(folder, text):
    """Build one page, and return its HTML and the warnings."""
    source = folder / "docs" / "source"
    source.mkdir(parents=True)
    (source / "index.rst").write_text(text)
    (source / "api.rst").write_text(":orphan:\n\nReference\n=========\n")
    settings = {"extensions": EXTENSIONS, "html_math_renderer": "mathml", "nitpicky": True, "html_theme": "basic"}
    warnings = io.StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(source, None, folder / "out", folder / "trees", "html", settings, status=None, warning=warnings)
        app.build()
    return (folder / "out" / "index.html").read_text(), re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue())


def test_a_page_with_everything(tmp_path):
    html, warnings = built(tmp_path, PAGE)
    assert not warnings
    assert html.count("<math") == 2
    assert "<mfrac>" in html
    assert '<span class="eqno">(1)' in html
    assert 'href="https://scikit-learn.org/stable/modules/generated/sklearn.svm.SVC.html#sklearn.svm.SVC"' in html
    assert re.search(r"<td class=\"number\"><p>\.98\d ± \.00\d</p></td>", html)
    assert re.search(r'<p class="benchmark-caption">Accuracy\. <a .*href="_downloads/\w+/mnist.csv"', html)
    assert 'aria-label="The way of the data."' in html
    assert 'href="api.html#module-skrobust.torchify"' in html


def test_a_page_where_all_is_wrong(tmp_path):
    _, warnings = built(tmp_path, WRONG)
    assert "sklearn.svm.SVX is not in docs/inventories/sklearn.txt as a py:class: add it there" in warnings
    assert r"the formula '\\nonsense' is not understood" in warnings
    assert "benchmark-table nothing.csv: there is no file 'nothing.csv' of results; there are attacks.csv" in warnings
    assert 'unknown option: "colour"' in warnings
    assert "architecture-map nothing: there are modules, data" in warnings
    assert "architecture-map data: say in :alt: what it shows" in warnings
