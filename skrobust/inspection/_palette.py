"""Colors and lines that stay apart for readers who see fewer colors, and in print."""

import numpy as np

# M. Okabe, K. Ito: Color universal design, 2008; yellow last, as lines of it are hard to see on white.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
# M. A. Petroff: Accessible color sequences for data visualization, 2021, arXiv:2107.02270.
PETROFF = (
    "#3F90DA",
    "#FFA90E",
    "#BD1F01",
    "#94A4A2",
    "#832DB6",
    "#A96B59",
    "#E76300",
    "#B9AC70",
    "#717581",
    "#92DADD",
)
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, FAINT, WRONG = "0.25", "0.6", OKABE_ITO[1]
# From losses to gains, white at 0.
DIVERGING = "PuOr"
# Colors for lines: all but yellow.
N_LINE_COLORS = len(OKABE_ITO) - 1


def line_style(index):
    """Return color, line style and marker of the line with this index: no two of the first 24 are alike."""
    return {
        "color": OKABE_ITO[index % N_LINE_COLORS],
        "linestyle": LINE_STYLES[index // N_LINE_COLORS % len(LINE_STYLES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def class_colors(n_classes):
    """Return a color for each class, ndarray of shape (n_classes, 3)."""
    import matplotlib

    if n_classes <= len(PETROFF):
        colors = OKABE_ITO if n_classes <= len(OKABE_ITO) else PETROFF
        return matplotlib.colors.to_rgba_array(colors[:n_classes])[:, :3]
    return matplotlib.colormaps["viridis"](np.linspace(0, 1, n_classes))[:, :3]
