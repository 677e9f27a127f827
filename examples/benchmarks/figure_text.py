"""How the programs that write figures into pages put them: shares, counts, tables for Markdown and for Sphinx."""

import csv
import io
import math

MINUS = "\N{MINUS SIGN}"


def share(value, half_width=""):
    """Return an accuracy, with half the width of its interval if there is one, as .914 or .914 ± .006."""
    text = f"{float(value):.3f}".removeprefix("0")
    return f"{text} ± {share(half_width)}" if half_width else text


def number(value, digits=3):
    """Return a number without the zero before its point; nothing if it is not known."""
    if value is None or math.isnan(value):
        return ""
    text = f"{abs(value):.{digits}f}".removeprefix("0" if digits else "")
    return (MINUS if value < 0 else "") + text


def signed(value, digits=3):
    """Return a difference with its sign."""
    return ("+" if value >= 0 else "") + number(value, digits)


def count(n, noun):
    """Return a number of things: 1 seed, 1,000 rows."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def listed(names):
    """Return names, in italics since some have commas, with a last 'and'."""
    *rest, last = [f"*{name}*" for name in names]
    return f"{', '.join(rest)} and {last}" if rest else last


def markdown_table(heads, rows):
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rst_table(caption, heads, rows, *, css="figures", widths="auto"):
    """Return a table of reStructuredText; its class is that of tables of numbers, which do not break."""
    lines = io.StringIO()
    unbroken = [[str(cell).replace(" ± ", "\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}") for cell in row] for row in rows]
    csv.writer(lines, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([heads, *unbroken])
    body = "".join(f"   {line}\n" for line in lines.getvalue().splitlines())
    return f".. csv-table:: {caption}\n   :class: {css}\n   :widths: {widths}\n   :header-rows: 1\n\n{body}"
