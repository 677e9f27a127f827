"""Sphinx extension: tables read from the committed benchmark results when the pages are built.

.. code-block:: rst

    .. benchmark-table:: mnist.csv
       :columns: method=training, seeds, clean, linf_0.2=Linf 0.2
       :where: budget=equal epochs
       :sort: -linf_0.2
       :format: .3f, cpu_seconds=.0f
       :caption: Accuracy on MNIST.

The file is one of ``examples/benchmarks/results``. Options:

``columns``
    Which columns, in this order, each with a heading of its own after ``=``. By default all.
``where``
    Rows to keep: ``column=value``, ``column=value|other value``, ``column!=value``.
``sort``
    Columns to sort by, each with ``-`` before it for a falling order. Rows without a value come last.
``format``
    How numbers are written, by default ``.3f``, and other formats by column. Columns of whole numbers without a format
    of their own are written as such. Zeros before the point go.
``interval``
    What follows the name of a column in that of half the width of its interval, which is written behind ``±``: by
    default ``_half_width``.
``pivot``
    ``measure, mean, std_error`` makes one row of those that differ in ``measure`` and what comes with it: its values
    become columns, filled by ``mean``, with the interval ``std_error``, which may be missing.
``code``
    Columns set as code.
``caption``
    What stands above, before the name of the file.

Quotes keep an item with a comma together: ``:columns: method, "seconds=seconds, once"``. Most need none: several words
that are no column, and conditions without a sign, belong to what is before them.
"""

import csv
import math
import os
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "examples" / "benchmarks" / "results"
NUMBER_FORMAT = ".3f"
OPTIONS = ("columns", "where", "sort", "format", "interval", "pivot", "code", "caption")


class TableError(ValueError):
    """What is asked of a table is not there."""


def items(text):
    """Return what commas part, outside quotes."""
    return [item.strip() for item in next(csv.reader([" ".join(text.split())], skipinitialspace=True), [])]


def checked(name, columns):
    """Return the name of a column, if there is such a column."""
    if name not in columns:
        hint = "a comma within an item asks for quotes around it"
        raise TableError(f"there is no column {name!r}; there are {', '.join(columns)}; {hint}")
    return name


def number(text):
    """Return the number that a text writes, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def read(name, folder=RESULTS):
    """Return the columns and rows of a file of results."""
    path = folder / name
    if not path.is_file() or path.suffix != ".csv":
        there = ", ".join(sorted(file.name for file in folder.glob("*.csv")))
        raise TableError(f"there is no file {name!r} of results; there are {there}")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames), list(reader)


def is_equal(value, wanted):
    """Return whether a cell holds a value, as a number where both are numbers."""
    numbers = number(value), number(wanted)
    return value == wanted if None in numbers else numbers[0] == numbers[1]


def joined(parts, is_new):
    """Return items of which those that do not begin a new one belong to the one before, behind a comma."""
    found = []
    for part in parts:
        if is_new(part) or not found:
            found.append(part)
        else:
            found[-1] = f"{found[-1]}, {part}"
    return found


def conditions_of(text):
    """Return the conditions that commas part; what has no sign belongs to the value before it."""
    return joined(items(text), lambda item: "=" in item)


def columns_of(text, columns):
    """Return pairs of column and heading that commas part; words that are no column belong to the heading before."""
    parts = joined(items(text), lambda item: item in columns or "=" in item or " " not in item)
    return [tuple(word.strip() for word in part.partition("=")[::2]) for part in parts]


def kept(rows, columns, conditions):
    """Return the rows that meet all conditions."""
    for condition in conditions_of(conditions):
        match = re.fullmatch(r"(.+?)\s*(!?=)\s*(.*)", condition)
        if match is None:
            raise TableError(f"the condition {condition!r} has no '='")
        name, sign, values = checked(match[1], columns), match[2], match[3].split("|")
        rows = [row for row in rows if any(is_equal(row[name], value) for value in values) == (sign == "=")]
        if not rows:
            raise TableError(f"no row is left where {condition!r}")
    return rows


def ordered(rows, columns, keys):
    """Return the rows sorted; the first key counts most, and rows without a value come last."""
    for key in reversed(items(keys)):
        name = checked(key.removeprefix("-"), columns)
        known = [row for row in rows if row[name]]
        is_number = all(number(row[name]) is not None for row in known)
        value = (lambda row, name=name: number(row[name])) if is_number else (lambda row, name=name: row[name])
        rows = sorted(known, key=value, reverse=key[0] == "-") + [row for row in rows if not row[name]]
    return rows


def pivoted(columns, rows, pivot, wanted, suffix):
    """Return columns and rows after the values of one column have become columns."""
    names = [checked(name, columns) for name in items(pivot)]
    if len(names) not in (2, 3):
        raise TableError(f"pivot takes a column of names, one of values and maybe one of intervals, got {pivot!r}")
    measures = list(dict.fromkeys(row[names[0]] for row in rows))
    kept_columns = [name for name in wanted or columns if name in columns and name not in names]
    found = {}
    for row in rows:
        one = found.setdefault(tuple(row[name] for name in kept_columns), {name: row[name] for name in kept_columns})
        if row[names[0]] in one:
            raise TableError(f"pivot finds {row[names[0]]!r} twice for {one}: add a column or a condition")
        one[row[names[0]]] = row[names[1]]
        one[row[names[0]] + suffix] = row[names[2]] if len(names) == 3 else ""
    shown = kept_columns + measures
    every = shown + [measure + suffix for measure in measures]
    return shown, [{name: one.get(name, "") for name in every} for one in found.values()]


def written(text, number_format):
    """Return a number as the tables write it: shares without the zero before the point."""
    value = number(text)
    if value is None or math.isnan(value):
        return "" if value is not None else text
    return re.sub(r"^(-?)0\.", r"\1.", format(value, number_format)).replace("-", "\N{MINUS SIGN}")


class Table:
    """The cells of a table, from the options of the directive."""

    def __init__(self, name, options, folder=RESULTS):
        suffix = options.get("interval", "_half_width")
        columns, rows = read(name, folder)
        rows = kept(rows, columns, options.get("where", ""))
        wanted = columns_of(options.get("columns", ""), columns)
        if "pivot" in options:
            columns, rows = pivoted(columns, rows, options["pivot"], [column for column, _ in wanted], suffix)
        wanted = wanted or [(column, "") for column in columns]
        self.columns = [checked(column, columns) for column, _ in wanted]
        self.heads = [head or column for column, head in wanted]
        self.rows = ordered(rows, columns, options.get("sort", ""))
        self.code = [checked(column, columns) for column in items(options.get("code", ""))]
        self.suffix = suffix
        self.formats = self._formats(options.get("format", ""), columns)

    def _formats(self, text, columns):
        """Return the format of each shown column."""
        pairs = [item.rpartition("=")[::2] for item in items(text)]
        formats = {checked(name.strip(), columns) if name else "": spec.strip() for name, spec in pairs}
        for spec in formats.values():
            if not re.fullmatch(r",?(\.\d+)?[fge%]", spec):
                raise TableError(f"the format {spec!r} is none for numbers; one is '.3f'")
        default = formats.get("", NUMBER_FORMAT)
        whole = {column: ".0f" for column in self.columns if self.is_numeric(column, float.is_integer)}
        return dict.fromkeys(self.columns, default) | whole | formats

    def cell(self, row, column):
        """Return the text of a cell, with its interval if there is one."""
        half_width = row.get(column + self.suffix, "")
        text = written(row[column], self.formats[column])
        if number(half_width) is None or not text:
            return text
        return f"{text} ± {written(half_width, self.formats[column])}"

    def is_numeric(self, column, condition=lambda value: True):
        """Return whether all that a column holds is numbers that meet a condition."""
        values = [number(row[column]) for row in self.rows if row[column]]
        return all(value is not None and condition(value) for value in values)


def cell_node(text, is_code, is_number):
    """Return one cell as a node."""
    entry = nodes.entry(classes=["number"] if is_number else [])
    entry += nodes.paragraph("", "", nodes.literal(text, text) if is_code else nodes.Text(text))
    return entry


def row_node(cells):
    """Return one row as a node."""
    row = nodes.row()
    row += cells
    return row


def table_node(table):
    """Return the table as a node."""
    numeric = {column: table.is_numeric(column) for column in table.columns}
    heads = row_node([cell_node(h, False, numeric[c]) for c, h in zip(table.columns, table.heads, strict=True)])
    body = [
        row_node([cell_node(table.cell(row, c), c in table.code, numeric[c]) for c in table.columns])
        for row in table.rows
    ]
    group = nodes.tgroup(cols=len(table.columns))
    group += [nodes.colspec(colwidth=1) for _ in table.columns]
    group += [nodes.thead("", heads), nodes.tbody("", *body)]
    return nodes.table("", group, classes=["benchmark", "colwidths-auto"])


class BenchmarkTable(SphinxDirective):
    """The directive ``benchmark-table``."""

    required_arguments = 1
    option_spec = dict.fromkeys(OPTIONS, directives.unchanged_required)

    def run(self):
        """Return the table, or an error that says what there is."""
        name = self.arguments[0]
        try:
            node = table_node(Table(name, self.options))
        except TableError as error:
            raise self.error(f"benchmark-table {name}: {error}.") from error
        self.env.note_dependency(str(RESULTS / name))
        self.set_source_info(node)
        return [self._caption(name), node]

    def _caption(self, name):
        """Return what stands above the table, which ends in the name of the file."""
        words, messages = self.parse_inline(self.options.get("caption", ""))
        target = f"/{os.path.relpath(RESULTS / name, self.env.srcdir)}"
        label = nodes.literal(name, name)
        source = addnodes.download_reference("", "", label, refdoc=self.env.docname, reftarget=target)
        space = nodes.Text(" " if words else "")
        return nodes.paragraph("", "", *words, *messages, space, source, classes=["benchmark-caption"])


def setup(app):
    """Register with Sphinx."""
    app.add_directive("benchmark-table", BenchmarkTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
