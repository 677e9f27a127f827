"""OffSupportConfidenceDisplay: how sure a classifier is where there are no data."""

import numpy as np

from skrobust.inspection import _drawing as drawing
from skrobust.inspection._palette import FAINT, INK, MARKERS, N_LINE_COLORS, class_colors, line_style
from skrobust.metrics import off_support_confidence

HATCHES = ("", "///", "...", "xxx", "---")
QUANTILES = (0.1, 0.9)
# Letters of class labels that fit side by side.
LONG = 40
BAND = "band: 10 % to 90 % of rows"
XLABEL = "distance to the nearest row (median, in units of the data scale D)"


class OffSupportConfidenceDisplay:
    """Confidence against distance from the data, and the mean probability of each class on foreign data.

    Make it by :meth:`from_estimator`. The largest probability of a row is its confidence. Where there are no data a
    classifier should know that it does not know: its confidence should fall to that of chance.

    Parameters
    ----------
    results : dict of str to Bunch
        By name of the classifier, what :func:`skrobust.metrics.off_support_confidence` returned.
    foreign : dict of str to dict of str to Bunch, default=None
        By name of the classifier and of the data set, what the same function returned of foreign rows at radius 0.
    classes : ndarray of shape (n_classes,), default=None
        Names of the bars. None counts them.

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
    skrobust.metrics.off_support_confidence : Where the numbers come from.
    skrobust.metrics.foreign_confidence : The figures of foreign data as a table.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skrobust.inspection import OffSupportConfidenceDisplay
    >>> from sklearn.utils import Bunch
    >>> top = np.array([[0.9, 0.8], [0.6, 0.5]])
    >>> result = Bunch(distance=np.array([[0.0, 0.0], [1.0, 1.0]]), per_sample=top, probability=np.full((2, 2), 0.5))
    >>> display = OffSupportConfidenceDisplay({"net": result}).plot()
    >>> display.chance_.get_ydata()[0]
    0.5
    >>> plt.close(display.figure_)
    """

    def __init__(self, results, *, foreign=None, classes=None):
        self.results = results
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
        X_reference=None,
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
            Rows of other data sets, in the shape and the units of X; several by their names.
        radii : sequence of float, default=(0, 0.1, 0.25, 0.5, 1, 2, 4)
            Radii of the noise around X, in units of the data scale D.
        X_reference : array-like or DataFrame, default=None
            Rows of the data from which distances are counted, such as training rows. None takes X.
        sampler : {"gaussian", "uniform", "extrapolation"} or sampler object, default="gaussian"
            What makes the noise, see :mod:`skrobust.unlabeled`.
        noise_units : {"global", "std"}, default="global"
            Whether noise and distances are the same in every feature, or in units of the standard deviation of each.
            "std" suits tables that a Pipeline scales.
        random_state : int, RandomState instance or None, default=0
            Seed of the noise.
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
            If a parameter is out of its range, or classifiers have different classes.

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
        classes = _common_classes(classifiers)
        reference = X if X_reference is None else X_reference
        around = {"X_reference": reference, "noise_units": noise_units}
        noise = {"radii": radii, "sampler": sampler, "random_state": random_state}
        results = {key: off_support_confidence(clf, X, **noise, **around) for key, clf in classifiers.items()}
        sets = {} if foreign is None else drawing.named("foreign", foreign, None, lambda _: "foreign")
        found = {
            key: {data: off_support_confidence(clf, part, radii=[0], **around) for data, part in sets.items()}
            for key, clf in classifiers.items()
        }
        return cls(results, foreign=found if sets else None, classes=classes).plot(ax, **plot_params)

    @classmethod
    def from_result(cls, result, *, foreign=None, classes=None, name=None, ax=None, **plot_params):
        """Draw what ``off_support_confidence`` returned; nothing is asked again.

        Parameters
        ----------
        result : Bunch, or dict of str to Bunch
            Several by the names of the classifiers.
        foreign : dict of str to Bunch, or dict of str to dict of str to Bunch, default=None
            What it returned of foreign rows at radius 0, by data set; of several classifiers by their names first.
        classes : array-like of shape (n_classes,), default=None
            Names of the bars. None counts them.
        name : str, default=None
            Name of a single classifier. None is "classifier".
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
            If it is no such result.
        """
        if "per_sample" in result:
            own = name or "classifier"
            result, name, foreign = {own: result}, None, None if foreign is None else {own: foreign}
        results = drawing.named(cls.__name__, result, name, str)
        for each in results.values():
            if not hasattr(each, "per_sample"):
                raise TypeError(
                    f"result holds {type(each).__name__}, which has no confidence: pass what off_support_confidence "
                    "returned."
                )
        return cls(results, foreign=foreign, classes=classes).plot(ax, **plot_params)

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
        foreign = self.foreign or {}
        n_panels = 1 + len(foreign)
        axes = drawing.panels(self, ax, 1, n_panels, (1.6 + 4.8 * n_panels, 4.4))
        self.axes_, self.figure_ = axes[0], axes[0, 0].figure
        self.lines_, self.bands_, self.foreign_dots_, self.bars_ = [], [], [], []
        first = self.axes_[0]
        for index, name in enumerate(self.results):
            self._draw_curve(first, index, name, line_kw, band_kw)
        chance = 1 / next(iter(self.results.values())).probability.shape[1]
        self.chance_ = first.axhline(chance, color=INK, linestyle=":", linewidth=1, label=f"chance, {chance:.3g}")
        drawing.share_axis(first, "confidence of the top class")
        first.set(xlabel=XLABEL)
        first.xaxis.label.set_size("small")
        drawing.legend(first, beside="below", bbox_to_anchor=(0.5, -0.18))
        for index, (panel, name) in enumerate(zip(self.axes_[1:], foreign, strict=True)):
            self._draw_bars(panel, index, name, bar_kw)
            drawing.legend(panel)
        return self

    def _draw_curve(self, ax, index, name, line_kw, band_kw):
        """Draw the confidence of one classifier on noise, and on foreign data as dots."""
        result, style = self.results[name], {**line_style(index), "markersize": 4}
        style["label"] = f"{name}, noise" if self.foreign else name
        distance = np.median(result.distance, axis=1)
        (line,) = ax.plot(distance, result.per_sample.mean(axis=1), **drawing.line_kwargs(style, line_kw))
        style = {"color": line.get_color(), "alpha": 0.1, "linewidth": 0, "label": "" if self.bands_ else BAND}
        ends = np.quantile(result.per_sample, QUANTILES, axis=1)
        self.lines_.append(line)
        self.bands_.append(ax.fill_between(distance, *ends, **drawing.patch_kwargs(style, band_kw)))
        for k, (data, part) in enumerate((self.foreign or {}).get(name, {}).items()):
            marker = {"marker": MARKERS[1:][k % len(MARKERS[1:])], "markersize": 9, "markeredgecolor": "black"}
            label = f"{name}, {data}"
            dot = {"color": line.get_color(), "linestyle": "none", "label": label, "zorder": 4, **marker}
            self.foreign_dots_ += ax.plot(np.median(part.distance), part.per_sample.mean(), **dot)

    def _draw_bars(self, ax, index, name, bar_kw):
        """Draw the mean probability of each class, a bar per data set."""
        sets = self.foreign[name]
        n_classes = next(iter(sets.values())).probability.shape[1]
        labels = [str(label) for label in (range(n_classes) if self.classes is None else self.classes)]
        place, width = np.arange(len(labels)), 0.8 / len(sets)
        own = class_colors(N_LINE_COLORS)[index % N_LINE_COLORS]
        for k, (data, part) in enumerate(sets.items()):
            # The color is that of the classifier in the first panel; data sets differ in strength and hatching.
            shade = tuple(1 - (1 - own) * (1 - k / len(sets)))
            style = {"facecolor": shade, "hatch": HATCHES[k % len(HATCHES)], "edgecolor": "black", "label": data}
            style["linewidth"] = 0.4
            offset = (k - (len(sets) - 1) / 2) * width
            options = drawing.patch_kwargs(style, bar_kw)
            self.bars_.append(ax.bar(place + offset, part.probability[0], width, **options))
        ax.axhline(1 / len(labels), color=FAINT, linestyle=":", linewidth=1)
        is_long = max(map(len, labels)) * len(labels) > LONG
        ax.set_xticks(place, labels, rotation=30 if is_long else 0, ha="right" if is_long else "center")
        ax.set(xlabel="class", ylabel="mean probability", ylim=(0, 1.02), title=name)


def _common_classes(classifiers):
    """Return the classes of several classifiers, which are to be compared."""
    first, *others = [np.asarray(getattr(classifier, "classes_", ())).tolist() for classifier in classifiers.values()]
    if any(classes != first for classes in others):
        raise ValueError(f"estimator {list(classifiers)} have different classes: draw them apart.")
    return np.array(first)
