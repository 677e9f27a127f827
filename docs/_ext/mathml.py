"""Sphinx extension: formulas become MathML when the pages are built, so that readers need no script and no network."""

import functools

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)


@functools.cache
def converter():
    """Return what turns LaTeX into MathML; the source stays in it as an annotation."""
    return LatexToMathML(annotation=True, fancy_error=False)


def lines_aligned(part):
    """Return one formula of a block; where it has several lines of its own, they are aligned at ``&``."""
    has_lines = r"\\" in part and r"\begin{" not in part
    return rf"\begin{{aligned}}{part}\end{{aligned}}" if has_lines else part


def block_of(text):
    """Return the LaTeX of a displayed block, in which empty lines part formulas."""
    parts = [lines_aligned(part.strip()) for part in text.split("\n\n") if part.strip()]
    return parts[0] if len(parts) == 1 else r"\begin{gathered}" + r" \\ ".join(parts) + r"\end{gathered}"


def to_mathml(translator, node, latex, is_display):
    """Return MathML, or what is wrong as a warning and the source as text."""
    try:
        return converter().convert_with_local_state(latex, displaystyle=is_display)
    except LatexError as error:
        logger.warning("the formula %r is not understood: %s", latex, error, location=node, type="mathml")
        return f"<code>{translator.encode(latex)}</code>"


def visit_inline(translator, node):
    """Write a formula within a line."""
    formula = to_mathml(translator, node, node.astext(), False)
    translator.body.append(f'<span class="math notranslate nohighlight">{formula}</span>')
    raise nodes.SkipNode


def visit_block(translator, node):
    """Write a displayed formula, and its number if it has one."""
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(to_mathml(translator, node, block_of(node.astext()), True) + "</div>\n")
    raise nodes.SkipNode


def setup(app):
    """Register with Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
