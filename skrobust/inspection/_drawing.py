"""What all displays share: axes, styles, legends, names of estimators and norms."""

from collections.abc import Mapping

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skrobust.inspection._rows import parts_of

NORM_NAMES = {np.inf: "Linf", 2.0: "L2", 1.0: "L1"}
# Letters of a value or a label that are shown.
LONGEST = 14

PLACES = {
    "right": {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)},
    "below": {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2},
}


def single_axes(display, ax, size=(6.4, 4.8)):
    """Return axes to draw on, those of a new figure if there are none."""
    return panels(display, ax, 1, 1, size)[0, 0]


def panels(display, ax, n_rows, n_columns, size=(6.4, 4.8), **options):
    """Return axes of shape (n_rows, n_columns), those of a new figure if there are none.

    Parameters
    ----------
    display : object
        For messages.
    ax : matplotlib Axes, array of them, or None
        One Axes is the frame within which several are placed.
    n_rows, n_columns : int
    size : tuple of float, default=(6.4, 4.8)
        Of a new figure, in inches.
    **options : dict
        Of ``subplots``, such as ``sharex``.

    Returns
    -------
    axes : ndarray of matplotlib Axes

    Raises
    ------
    ValueError
        If the number of axes is another one.
    TypeError
        If it is no Axes.
    """
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    if ax is None:
        figure = plt.figure(figsize=size, layout="constrained")
        return figure.subplots(n_rows, n_columns, squeeze=False, **options)
    axes = np.asarray(ax, dtype=object).ravel()
    _check_axes(axes)
    if len(axes) == n_rows * n_columns:
        return axes.reshape(n_rows, n_columns)
    if len(axes) == 1 and axes[0].get_subplotspec() is not None:
        axes[0].set_axis_off()
        grid = axes[0].get_subplotspec().subgridspec(n_rows, n_columns)
        return grid.subplots(squeeze=False, **options)
    raise ValueError(
        f"ax has {len(axes)} axes, but {n_rows * n_columns} panels are to be drawn: pass that many, a single one of "
        "plt.subplots, or None."
    )


def _check_axes(axes):
    from matplotlib.axes import Axes

    for entry in axes:
        if not isinstance(entry, Axes):
            raise TypeError(f"ax={entry!r} must be an Axes of matplotlib, an array of them, or None.")


def line_kwargs(defaults, given):
    """Return keywords of a line: what is given goes before the defaults, also under another name."""
    from matplotlib.lines import Line2D

    return _merged(defaults, given, Line2D)


def patch_kwargs(defaults, given):
    """Return keywords of an area in the same way."""
    from matplotlib.patches import Patch

    return _merged(defaults, given, Patch)


def dot_kwargs(defaults, given):
    """Return keywords of dots in the same way."""
    from matplotlib.collections import PathCollection

    return _merged(defaults, given, PathCollection)


def _merged(defaults, given, artist):
    from matplotlib.cbook import normalize_kwargs

    return {**normalize_kwargs(defaults, artist), **normalize_kwargs(given or {}, artist)}


def legend(ax, *, beside=None, **options):
    """Add a legend: inside, or where the data leave no room, beside the axes if a layout engine makes room for it.

    Parameters
    ----------
    ax : matplotlib Axes
    beside : {"right", "below"}, default=None
        Where it does not hide data; None for inside.
    **options : dict
        Of ``ax.legend``.
    """
    has_room = ax.figure.get_layout_engine() is not None
    place = PLACES[beside] if beside is not None and has_room else {"loc": "best"}
    return ax.legend(**{"fontsize": "small", "framealpha": 0.85, **place, **options})


def share_axis(ax, label):
    """Make the y axis one of shares, from 0 to 1."""
    ax.set(ylim=(-0.02, 1.02), ylabel=label)
    ax.grid(alpha=0.25)


def plain_log_ticks(ax):
    """Write plain numbers at a logarithmic x axis, few enough to stay apart."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def named(display, things, name, default):
    """Return one or several things as a dict by their names.

    Parameters
    ----------
    display : str
        For messages.
    things : object or dict of str to object
    name : str or None
        Of a single one.
    default : callable
        Returns the name of a single one that has none.
    """
    if isinstance(things, Mapping) and name is not None:
        raise ValueError(f"name={name!r} is for a single one: name several by the keys of their dict.")
    several = things if isinstance(things, Mapping) else {name or default(things): things}
    if not several:
        raise ValueError(f"{display} has nothing to draw: give at least one, under its name.")
    return {str(key): value for key, value in several.items()}


def shortened(text, longest=LONGEST):
    """Return a text without its middle where it is long: names that begin alike often end differently."""
    n_last = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[: longest - 1 - n_last]}…{text[-n_last:]}"


def estimator_name(estimator):
    """Return the class of the classifier at the end of Pipelines and searches."""
    return type(parts_of(estimator)[1]).__name__


def units_text(threat_model):
    """Return the norm of a threat model and the units in which its eps counts, as words."""
    norm = NORM_NAMES[threat_model.norm]
    if isinstance(threat_model.eps, tuple):
        return f"{norm}, in multiples of the eps of each feature"
    return f"{norm}, in units of {'X' if threat_model.units == 'raw' else 'the threat model'}"
