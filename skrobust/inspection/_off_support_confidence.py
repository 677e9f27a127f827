"""OffSupportConfidenceDisplay: how sure a classifier is where there are no data."""

from collections.abc import Mapping

import numpy as np
from sklearn.utils import check_random_state

from skrobust.inspection import _drawing as drawing
from skrobust.inspection._palette import FAINT, INK, MARKERS, class_colors, line_style
from skrobust.inspection._rows import Rows, Surroundings

QUANTILES = (0.1, 0.9)
# Letters of class labels that fit side by side.
LONG = 40
XLABEL = "distance to the nearest row (median, in units of the data scale D)"


class OffSupportConfidenceDisplay:
    """Confidence against distance from the data, and the mean probability of each class on foreign data.

    Make it by :meth:`from_estimator`. The largest probability of a row is its confidence. Where there are no data a
    classifier should know that it does not know: its confidence should fall to that of chance.

    Parameters
    ----------
    curves : dict of str to dict
        By name of the classifier, confidence on noise of growing radius: ``distance`` (medians of the distances to the
        nearest row, in units of the data scale D), ``mean``, ``low`` and ``high`` (mean, 10 % and 90 % quantile of the
        confidence), each ndarray of shape (n_radii,).
    foreign : dict of str to dict of str to dict
        By name of the classifier and of the data set: ``distance``, ``mean`` and ``proba``, the mean probability of
        each class, ndarray of shape (n_classes,). Empty if there is none.
    classes : dict of str to ndarray of shape (n_classes,)
        By name of the classifier.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        First confidence against distance, then with foreign data the probabilities, a panel per classifier.
    figure_ : matplotlib Figure
    lines_, bands_ : list
        One per classifier.
    chance_ : matplotlib Line2D
        At one divided by the number of classes.
    foreign_dots_ : list of matplotlib Line2D
        One per classifier and data set.
    bars_ : list of matplotlib BarContainer
        One per classifier and data set.

    See Also
    --------
    skrobust.metrics.foreign_confidence : The figures of foreign data as a table.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skrobust.inspection import OffSupportConfidenceDisplay
    >>> curve = {"distance": [0.0, 1.0], "mean": [0.9, 0.6], "low": [0.8, 0.5], "high": [1.0, 0.7]}
    >>> display = OffSupportConfidenceDisplay({"net": curve}, {}, {"net": np.array(["a", "b"])}).plot()
    >>> display.chance_.get_ydata()[0]
    0.5
    >>> plt.close(display.figure_)
    """

    def __init__(self, curves, foreign, classes):
        self.curves = curves
        self.foreign = foreign
        self.classes = classes

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        foreign=None,
        radii=(0, 0.1, 0.25, 0.5, 1, 2, 4),
        sampler="gaussian",
        noise_units="global",
        random_state=0,
        name=None,
        ax=None,
        **plot_params,
    ):
        """Ask fitted classifiers about noise and foreign data, and draw how sure they are.

        Parameters
        ----------
        estimator : classifier, Pipeline, or dict of str to these
            Fitted, with ``predict_proba``.
        X : array-like or DataFrame of shape (n, n_features), or images
            Rows as the estimator takes them, unseen in training. Columns that hold no numbers get no noise.
        foreign : array-like, or dict of str to array-like, default=None
            Rows of other data sets, in the shape and the units of X.
        radii : sequence of float, default=(0, 0.1, 0.25, 0.5, 1, 2, 4)
            Radii of the noise around X, in units of the data scale D, ascending.
        sampler : {"gaussian", "uniform", "extrapolation"} or sampler object, default="gaussian"
            What makes the noise, see :mod:`skrobust.unlabeled`.
        noise_units : {"global", "std"}, default="global"
            Whether noise and distances are the same in every feature, or in units of the standard deviation of each.
            "std" suits tables that a Pipeline scales.
        random_state : int, RandomState instance or None, default=0
            Seed of the noise. The directions of the noise are the same for every radius.
        name : str, default=None
            Name of a single classifier in the legend. None is that of its class.
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per panel, or one that is divided. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : OffSupportConfidenceDisplay

        Raises
        ------
        TypeError
            If an estimator has no ``predict_proba``.
        ValueError
            If the radii are not ascending numbers, or there is nothing that noise can be added to.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skrobust.inspection import OffSupportConfidenceDisplay
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
        >>> display = OffSupportConfidenceDisplay.from_estimator(clf, X, foreign={"far away": X + 5})
        >>> len(display.axes_), len(display.bars_)
        (2, 1)
        >>> plt.close(display.figure_)
        """
        classifiers = drawing.named(cls.__name__, estimator, name, drawing.estimator_name)
        for key, classifier in classifiers.items():
            _check_has_proba(key, classifier)
        radii = _check_radii(radii)
        rows = Rows(X)
        around = Surroundings(rows, noise_units)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        made = [around.sampled(sampler, radius, seed) for radius in radii]
        sets = {str(key): Rows(part, "foreign").matrix for key, part in _sets(foreign).items()}
        distances = [float(np.median(around.distances(points))) for points in made]
        curves = {key: _curve(rows, clf, made, distances) for key, clf in classifiers.items()}
        found = {key: _on_sets(rows, clf, sets, around) for key, clf in classifiers.items()} if sets else {}
        classes = {key: np.asarray(clf.classes_) for key, clf in classifiers.items()}
        return cls(curves, found, classes).plot(ax, **plot_params)

    def plot(self, ax=None, *, line_kw=None, band_kw=None, bar_kw=None):
        """Draw the figures.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per panel, or one that is divided. None makes a figure.
        line_kw : dict, default=None
            Keywords of the lines.
        band_kw : dict, default=None
            Keywords of the bands between the quantiles.
        bar_kw : dict, default=None
            Keywords of the bars.

        Returns
        -------
        display : OffSupportConfidenceDisplay
            This one.
        """
        n_panels = 1 + len(self.foreign)
        axes, is_new = drawing.panels(self, ax, 1, n_panels, (1.6 + 4.8 * n_panels, 4.4))
        self.axes_, self.figure_ = axes[0], axes[0, 0].figure
        self.lines_, self.bands_, self.foreign_dots_, self.bars_ = [], [], [], []
        first = self.axes_[0]
        for index, name in enumerate(self.curves):
            self._draw_curve(first, index, name, line_kw, band_kw)
        chance = 1 / max(map(len, self.classes.values()))
        self.chance_ = first.axhline(chance, color=INK, linestyle=":", linewidth=1, label=f"chance, {chance:.3g}")
        drawing.share_axis(first, "confidence (largest probability)")
        first.set(xlabel=XLABEL)
        first.xaxis.label.set_size("small")
        drawing.legend(first, is_new)
        for panel, name in zip(self.axes_[1:], self.foreign, strict=True):
            self._draw_bars(panel, name, bar_kw)
            drawing.legend(panel, is_new)
        return self

    def _draw_curve(self, ax, index, name, line_kw, band_kw):
        """Draw the confidence of one classifier on noise, and on foreign data as dots."""
        curve, style = self.curves[name], {**line_style(index), "markersize": 4}
        style["label"] = f"{name}, noise" if self.foreign else name
        (line,) = ax.plot(curve["distance"], curve["mean"], **drawing.line_kwargs(style, line_kw))
        band = drawing.patch_kwargs({"color": line.get_color(), "alpha": 0.12, "linewidth": 0}, band_kw)
        self.lines_.append(line)
        self.bands_.append(ax.fill_between(curve["distance"], curve["low"], curve["high"], **band))
        for k, (data, part) in enumerate(self.foreign.get(name, {}).items()):
            marker = {"marker": MARKERS[1:][k % len(MARKERS[1:])], "markersize": 9, "markeredgecolor": "black"}
            label = f"{name}, {data}"
            dot = {"color": line.get_color(), "linestyle": "none", "label": label, "zorder": 4, **marker}
            self.foreign_dots_ += ax.plot(part["distance"], part["mean"], **dot)

    def _draw_bars(self, ax, name, bar_kw):
        """Draw the mean probability of each class, a bar per data set."""
        sets, labels = self.foreign[name], [str(label) for label in self.classes[name]]
        place, width = np.arange(len(labels)), 0.8 / len(sets)
        colors = class_colors(len(sets))
        for k, (data, part) in enumerate(sets.items()):
            style = {"color": colors[k], "edgecolor": "black", "linewidth": 0.4, "label": data}
            offset = (k - (len(sets) - 1) / 2) * width
            options = drawing.patch_kwargs(style, bar_kw)
            self.bars_.append(ax.bar(place + offset, part["proba"], width, **options))
        ax.axhline(1 / len(labels), color=FAINT, linestyle=":", linewidth=1)
        is_long = max(map(len, labels)) * len(labels) > LONG
        ax.set_xticks(place, labels, rotation=30 if is_long else 0, ha="right" if is_long else "center")
        ax.set(xlabel="class", ylabel="mean probability", ylim=(0, 1.02), title=name)


def _check_has_proba(name, estimator):
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"estimator {name!r} of type {type(estimator).__name__} has no predict_proba, from which confidence is "
            "read: give one that has, or wrap it in CalibratedClassifierCV."
        )


def _check_radii(radii):
    values = np.asarray(radii, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or (np.diff(values, prepend=0) < 0).any():
        raise ValueError(f"radii={radii!r} must be finite numbers in ascending order, none negative.")
    return values.tolist()


def _sets(foreign):
    """Return data sets by name."""
    if foreign is None:
        return {}
    return foreign if isinstance(foreign, Mapping) else {"foreign": foreign}


def _curve(rows, estimator, made, distances):
    """Return the confidence of a classifier on the points of each radius."""
    tops = [rows.asked(estimator.predict_proba, points).max(axis=1) for points in made]
    low, high = np.quantile(tops, QUANTILES, axis=1)
    return {"distance": np.array(distances), "mean": np.mean(tops, axis=1), "low": low, "high": high}


def _on_sets(rows, estimator, sets, around):
    """Return what a classifier says to each data set."""
    found = {}
    for name, matrix in sets.items():
        if matrix.shape[1] != rows.matrix.shape[1]:
            raise ValueError(
                f"foreign has {matrix.shape[1]} features in the data set {name!r}, but X has {rows.matrix.shape[1]}: "
                "bring it to the same shape."
            )
        proba = rows.asked(estimator.predict_proba, matrix)
        distance = float(np.median(around.distances(matrix)))
        found[name] = {"distance": distance, "mean": float(proba.max(axis=1).mean()), "proba": proba.mean(axis=0)}
    return found
