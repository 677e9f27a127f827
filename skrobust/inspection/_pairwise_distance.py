"""PairwiseDistanceDisplay: the distances between rows, from which radii of noise are chosen."""

import numpy as np

from skrobust._labels import label_array, marked_unlabeled
from skrobust.inspection import _drawing as drawing
from skrobust.inspection._palette import INK, OKABE_ITO
from skrobust.inspection._rows import parts_of
from skrobust.unlabeled import Extrapolation, Gaussian, pairwise_distance_histogram, resolve_sampler

KINDS = {
    "pairs": "all pairs",
    "within": "pairs of one class",
    "between": "pairs of two classes",
    "nearest": "nearest row",
    "nearest_within": "nearest row of the same class",
    "nearest_between": "nearest row of another class",
}
# One color for each set of pairs and the nearest ones among them, which are filled.
COLORS = {"pairs": OKABE_ITO[2], "nearest": OKABE_ITO[2], "within": OKABE_ITO[0], "between": OKABE_ITO[1]}
# With labels the parts say more than the whole.
OF_LABELED = ("within", "between", "nearest_within", "nearest_between")
# Radii of the classifier and what makes points at them.
RADII = {"unlabeled_radius": "unlabeled", "neighbor_radius": "neighbors"}
UNITS = {"data_scale": "distance (in units of the data scale D)", "raw": "distance (in units of X)"}


class PairwiseDistanceDisplay:
    """Histograms of the distances between rows, by kind of pair, and the lengths of noise beside them.

    Make it by :meth:`from_data` or :meth:`from_estimator`. Noise shorter than the distances to nearest neighbors stays
    inside the support; noise as long as those between classes reaches other classes.

    Parameters
    ----------
    counts : dict of str to ndarray of shape (n_bins,)
        As :func:`skrobust.unlabeled.pairwise_distance_histogram` returns them.
    edges : ndarray of shape (n_bins + 1,)
    units : {"data_scale", "raw"}, default="data_scale"
        Units of the edges.
    radii : dict of str to float, default=None
        Lengths of noise, in the same units, by name.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    histograms_ : dict of str to matplotlib StepPatch
        By kind of pair.
    radius_lines_ : dict of str to matplotlib Line2D
        By name of the radius.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skrobust.inspection import PairwiseDistanceDisplay
    >>> display = PairwiseDistanceDisplay({"pairs": np.array([1, 3])}, np.array([0.0, 1.0, 2.0])).plot()
    >>> display.histograms_["pairs"].get_data().values.tolist()
    [0.25, 0.75]
    >>> plt.close(display.figure_)
    """

    def __init__(self, counts, edges, *, units="data_scale", radii=None):
        self.counts = counts
        self.edges = edges
        self.units = units
        self.radii = radii

    @classmethod
    def from_data(cls, X, y=None, *, units="data_scale", radii=None, ax=None, plot_params=None, **histogram_params):
        """Count distances between rows, and draw them.

        Parameters
        ----------
        X : array-like of shape (n, n_features), or images
            Rows as the classifier gets them: behind the scaler, if there is one.
        y : array-like of shape (n,), default=None
            Class labels.
        units : {"data_scale", "raw"}, default="data_scale"
            Whether distances are in units of the data scale D, or in those of `X`.
        radii : dict of str to float, default=None
            Lengths of noise to show, in the same units, by name.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        plot_params : dict, default=None
            Keywords of :meth:`plot`.
        **histogram_params : dict
            Keywords of :func:`skrobust.unlabeled.pairwise_distance_histogram`, such as `bins`.

        Returns
        -------
        display : PairwiseDistanceDisplay

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from skrobust.inspection import PairwiseDistanceDisplay
        >>> X, y = load_iris(return_X_y=True)
        >>> display = PairwiseDistanceDisplay.from_data(X, y, radii={"noise": 0.1})
        >>> sorted(display.histograms_)
        ['between', 'nearest_between', 'nearest_within', 'within']
        >>> plt.close(display.figure_)
        """
        counts, edges = pairwise_distance_histogram(X, y, units=units, **histogram_params)
        return cls(counts, edges, units=units, radii=radii).plot(ax, **(plot_params or {}))

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, layer=None, units="data_scale", ax=None, plot_params=None, **histogram_params
    ):
        """Count distances between rows as a classifier of this package sees them, and draw them beside its radii.

        A radius is drawn where it is the length of the noise: of the samplers "gaussian" and "extrapolation", at the
        layer to which noise is added, in units of the data scale.

        Parameters
        ----------
        estimator : classifier of this package, or Pipeline that ends in one
            Fitted. The steps before it are applied to X.
        X : array-like or DataFrame of shape (n, n_features), or images
            Training rows.
        y : array-like of shape (n,), default=None
            Class labels. With them, rows that the ``unlabeled_label`` of the classifier marks are left out, as they
            are of its D.
        layer : str, default=None
            Name of a layer of the network at which distances are taken, in place of its input.
        units : {"data_scale", "raw"}, default="data_scale"
            Whether distances are in units of the data scale D, or in those of what the classifier sees.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        plot_params : dict, default=None
            Keywords of :meth:`plot`.
        **histogram_params : dict
            Keywords of :func:`skrobust.unlabeled.pairwise_distance_histogram`, such as `bins`.

        Returns
        -------
        display : PairwiseDistanceDisplay

        Raises
        ------
        TypeError
            If the estimator has no radii.
        ValueError
            If fewer than two rows have a label.
        """
        preprocessed, last = parts_of(estimator)
        if not all(hasattr(last, radius) for radius in RADII):
            raise TypeError(
                f"estimator of type {type(last).__name__} has no {' and '.join(RADII)}: pass a classifier of this "
                "package, or use from_data."
            )
        at_layer = {} if layer is None else {"estimator": last, "layer": layer}
        is_at_noise = layer == getattr(last, "noise_layer", None) and units == "data_scale"
        radii = _lengths(last) if is_at_noise else None
        X, y = _labeled(last, np.asarray(preprocessed(X)), y)
        options = {"units": units, "radii": radii, "ax": ax, "plot_params": plot_params}
        return cls.from_data(X, y, **options, **at_layer, **histogram_params)

    def plot(self, ax=None, *, kinds=None, histogram_kw=None, radius_kw=None):
        """Draw the histograms, each as shares of its own pairs.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        kinds : sequence of str, default=None
            Kinds of pairs to draw. None are "pairs" and "nearest", or with labels the parts of both.
        histogram_kw : dict, default=None
            Keywords of the histograms, for ``stairs``.
        radius_kw : dict, default=None
            Keywords of the lines at the radii, for ``axvline``.

        Returns
        -------
        display : PairwiseDistanceDisplay
            This one.

        Raises
        ------
        ValueError
            If a kind, or the unit, is unknown.
        """
        usual = OF_LABELED if "within" in self.counts else self.counts
        kinds = list(usual if kinds is None else kinds)
        if not {*kinds} <= {*self.counts} <= {*KINDS} or self.units not in UNITS:
            raise ValueError(
                f"kinds={kinds!r} and units={self.units!r} must be among {list(self.counts)} and {list(UNITS)}."
            )
        self.ax_ = drawing.single_axes(self, ax)
        self.figure_, self.histograms_, self.radius_lines_ = self.ax_.figure, {}, {}
        for kind in kinds:
            self.histograms_[kind] = self._draw(kind, histogram_kw)
        self._draw_radii(radius_kw)
        self.ax_.set(xlabel=UNITS[self.units], ylabel="share of pairs of the kind", ylim=(0, None))
        self.ax_.margins(x=0.02)
        drawing.legend(self.ax_, beside="below")
        return self

    def _draw_radii(self, radius_kw):
        for index, (name, radius) in enumerate((self.radii or {}).items()):
            style = {"color": INK, "linestyle": (":", "--", "-.")[index % 3], "label": f"{name}, {radius:.3g}"}
            self.radius_lines_[name] = self.ax_.axvline(radius, **drawing.line_kwargs(style, radius_kw))

    def _draw(self, kind, histogram_kw):
        """Draw the histogram of one kind of pairs; near ones are filled."""
        counts = np.asarray(self.counts[kind], dtype=np.float64)
        is_near = kind.startswith("nearest")
        color = COLORS[kind.removeprefix("nearest_")]
        style = {"edgecolor": color, "linewidth": 1.4, "fill": is_near, "label": KINDS[kind]}
        style |= {"facecolor": (*_rgb(color), 0.25)} if is_near else {"linestyle": "-"}
        share = counts / max(counts.sum(), 1.0)
        return self.ax_.stairs(share, self.edges, **drawing.patch_kwargs(style, histogram_kw))


def _labeled(classifier, X, y):
    """Return rows and labels without the rows that a classifier took as unlabeled; without labels, all rows."""
    y = None if y is None else np.asarray(label_array(y))
    label = getattr(classifier, "unlabeled_label", None)
    if y is None or label is None or len(y) != len(X):
        return X, y
    is_labeled = ~marked_unlabeled(y, label)
    if is_labeled.sum() < 2:
        raise ValueError(
            f"y has {is_labeled.sum()} labels other than unlabeled_label={label!r}, which make no pairs: give two or "
            "more, or leave y out."
        )
    return X[is_labeled], y[is_labeled]


def _lengths(classifier):
    """Return the radii that are lengths of noise, by name."""
    made_by = {radius: getattr(classifier, sampler) for radius, sampler in RADII.items()}
    samplers = {radius: resolve_sampler(made, parameter=RADII[radius]) for radius, made in made_by.items()}
    return {
        radius: float(getattr(classifier, radius))
        for radius, sampler in samplers.items()
        if isinstance(sampler, Gaussian | Extrapolation)
    }


def _rgb(color):
    from matplotlib.colors import to_rgb

    return to_rgb(color)
