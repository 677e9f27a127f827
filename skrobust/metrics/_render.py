"""A robustness report as text and as HTML."""

import html
import textwrap

WIDTH = 100
# Lines of a threat model that are shown.
MOST_LINES = 3
# Columns of the summary that are not attacks.
FIGURES = ("accuracy", "low", "high", "n", "n_fooled", "certified")


def as_text(report):
    """Return a report as lines of at most 100 characters.

    Parameters
    ----------
    report : RobustnessReport

    Returns
    -------
    text : str
    """
    lines = [f"Robustness of {len(report.per_row)} rows", *_shortened(_wrapped(repr(report.threat_model), "  "))]
    lines += ["", *_table(report.summary, [name for name in FIGURES if name in report.summary])]
    attacks = [name for name in report.summary if name not in FIGURES]
    if attacks:
        lines += ["", f"Accuracy that each attack alone leaves of {report.settings['n_control']} of these rows"]
        lines += _attack_table(report.summary, attacks)
    lines += ["", *_wrapped(_route_text(report)), *_flag_lines(report)]
    return "\n".join(lines)


def as_html(report):
    """Return a report as HTML.

    Parameters
    ----------
    report : RobustnessReport

    Returns
    -------
    text : str
    """
    flags = "".join(f"<li><b>{html.escape(n)}</b>: {html.escape(text)}</li>" for n, text in report.flags.items())
    return (
        f"<div><h4>Robustness of {len(report.per_row)} rows</h4><p><code>{html.escape(repr(report.threat_model))}"
        f"</code></p>{report.summary.to_html(float_format='%.3g', na_rep='')}"
        f"<p>{html.escape(_route_text(report))}</p>"
        + (f"<p><b>Flags</b></p><ul>{flags}</ul>" if flags else "<p>No flags.</p>")
        + f"<details><summary>Classes</summary>{report.per_class.to_html(float_format='%.3g')}</details></div>"
    )


def _table(summary, columns):
    part = summary[columns].copy()
    part.index = [f"{eps:g}" for eps in part.index]
    return _titled(part, "eps")


def _attack_table(summary, attacks):
    """Return a line for each attack: there may be more of them than fit into a line."""
    part = summary[attacks].dropna(how="all").T
    part.columns = [f"{eps:g}" for eps in part.columns]
    return _titled(part, "attack")


def _titled(frame, title):
    """Return the lines of a table whose first column has a title."""
    frame = frame.rename_axis(columns=title)
    return frame.to_string(float_format=lambda value: f"{value:.3f}", na_rep="", line_width=WIDTH).split("\n")


def _route_text(report):
    ways = ", ".join(f"{share:.0%} {way}" for way, share in report.route.items()) or "no row had to be attacked"
    meaning = ""
    if report.is_upper_bound:
        meaning = " Black-box figures are upper bounds: a better informed attack may fool more."
    if report.is_exact:
        meaning = " The figures are exact: every row that stands is certified."
    return f"Route: {ways}. {report.n_queries} queries, {report.seconds:.1f} s.{meaning}"


def _flag_lines(report):
    if not report.flags:
        return ["No flags."]
    lines = [f"{len(report.flags)} flag{'s' if len(report.flags) > 1 else ''}:"]
    for name, text in report.flags.items():
        lines += _wrapped(f"{name}: {text}", "  ")
    return lines


def _shortened(lines):
    """Return few lines: units and bounds of many features are for the card."""
    return lines if len(lines) <= MOST_LINES else [*lines[:MOST_LINES], "    ..."]


def _wrapped(text, indent=""):
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  " * bool(indent))
