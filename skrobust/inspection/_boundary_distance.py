"""BoundaryDistanceDisplay: how far the decision boundary is, in the worst direction and in others."""

import numpy as np

from skrobust.inspection import _drawing as drawing
from skrobust.inspection._nearest import flat, nearest_neighbor
from skrobust.inspection._palette import INK, line_style
from skrobust.metrics import RobustnessReport, boundary_distance, nearest_neighbor_margin
from skrobust.metrics._parameters import counting

DIRECTIONS = {
    "adversarial": "worst direction",
    "random": "random directions",
    "off_support": "to unlabeled points",
    "other_class": "to rows of other classes",
}
STYLES = {"random": "--", "off_support": "-.", "other_class": ":"}
# Curves whose names find room among them.
FEW = 3
REFERENCE = "1-nearest-neighbor"


class BoundaryDistanceDisplay:
    """Share of rows whose boundary is farther than a distance, in several directions.

    Make it by :meth:`from_estimator`, :meth:`from_report`, :meth:`from_result` or :meth:`from_distances`. In the worst
    direction the curve is robust accuracy. Along others it says whether the boundary as a whole moved away. A curve
    ends where nothing was looked for beyond.

    Parameters
    ----------
    curves : list of dict
        Each with:

        - name: str, for the legend;
        - direction: str, one of "adversarial", "random", "off_support", "other_class", or another word;
        - distance: ndarray; inf where the boundary is farther than was looked;
        - max_distance: float, how far was looked; inf without a limit.
    xlabel : str, default="distance"
        What distances are.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One per curve.
    medians_ : list of float
        Medians of the distances, one per curve; inf where more than half are farther than was looked.
    median_markers_ : list of matplotlib Line2D
        At the medians that are positive and finite.

    See Also
    --------
    skrobust.metrics.boundary_distance : Where the numbers come from.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skrobust.inspection import BoundaryDistanceDisplay
    >>> curve = {"name": "net", "direction": "random", "distance": np.array([1.0, 2.0, np.inf]), "max_distance": 4.0}
    >>> display = BoundaryDistanceDisplay([curve]).plot()
    >>> display.medians_
    [2.0]
    >>> plt.close(display.figure_)
    """

    def __init__(self, curves, *, xlabel="distance"):
        self.curves = curves
        self.xlabel = xlabel

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        directions=("adversarial", "random", "other_class"),
        norm=2,
        threat_model=None,
        reference=None,
        random_state=0,
        name=None,
        ax=None,
        plot_params=None,
        **distance_params,
    ):
        """Measure distances of fitted classifiers, and draw them.

        Parameters
        ----------
        estimator : classifier, Pipeline, or dict of str to these
            Fitted.
        X : array-like or DataFrame of shape (n, n_features), or images
            Rows as ``estimator.predict`` takes them.
        y : array-like of shape (n,), default=None
            True labels; rows that are misclassified have the distance 0. None takes the answers of the estimator.
        directions : str or sequence of str, default=("adversarial", "random", "other_class")
            As in :func:`skrobust.metrics.boundary_distance`.
        norm : {numpy.inf, 2, 1}, default=2
            Norm of distances, unless there is a threat model.
        threat_model : ThreatModel, default=None
            Units of distances, and what stays; see :func:`skrobust.metrics.boundary_distance`.
        reference : tuple (X_reference, y_reference), default=None
            Training rows and labels. With them the curves of 1-nearest-neighbor on these rows, in the units of the
            threat model, are drawn too: in the worst direction a proven lower bound. Directions "off_support" and
            "other_class", and how far is looked, rest on these rows.
        random_state : int, RandomState instance or None, default=0
            Seed of directions and attacks.
        name : str, default=None
            Name of a single classifier in the legend. None is that of its class.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        plot_params : dict, default=None
            Keywords of :meth:`plot`.
        **distance_params : dict
            Keywords of :func:`skrobust.metrics.boundary_distance`, such as `n_directions`.

        Returns
        -------
        display : BoundaryDistanceDisplay

        Raises
        ------
        ValueError
            If the reference is no pair of numeric rows and labels, or a parameter is out of its range.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skrobust.inspection import BoundaryDistanceDisplay
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
        >>> display = BoundaryDistanceDisplay.from_estimator(
        ...     clf, X[1::2], y[1::2], directions="random", reference=(X[::2], y[::2])
        ... )
        >>> [line.get_label().split(",")[0] for line in display.lines_]
        ['LogisticRegression', '1-nearest-neighbor']
        >>> plt.close(display.figure_)
        """
        classifiers = drawing.named(cls.__name__, estimator, name, drawing.estimator_name)
        directions = (directions,) if isinstance(directions, str) else tuple(directions)
        settings = {"norm": norm, "threat_model": threat_model, "random_state": random_state, **distance_params}
        own = counting(norm, threat_model)
        nearest = None if reference is None else nearest_neighbor(reference, own)
        if nearest is not None:
            settings["X_reference"] = reference[0]
        pairs = [(key, clf, direction) for key, clf in classifiers.items() for direction in directions]
        curves = [_measured(key, clf, X, y, direction, settings) for key, clf, direction in pairs]
        if nearest is not None:
            curves += [_of_nearest(nearest, X, y, direction, reference, settings) for direction in directions]
        return cls(curves, xlabel=f"distance ({drawing.units_text(own)})").plot(ax, **(plot_params or {}))

    @classmethod
    def from_report(cls, report, *, name=None, ax=None, **plot_params):
        """Draw the distances of reports that are there already; nothing is attacked.

        Parameters
        ----------
        report : RobustnessReport, or dict of str to RobustnessReport
            By the names of the classifiers.
        name : str, default=None
            Name of a single one in the legend. None is "classifier".
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : BoundaryDistanceDisplay

        Raises
        ------
        TypeError
            If it is no report.
        ValueError
            If reports count distances in different units.
        """
        reports = drawing.named(cls.__name__, report, name, lambda _: "classifier")
        for each in reports.values():
            if not isinstance(each, RobustnessReport):
                raise TypeError(f"report of type {type(each).__name__} must be one that robustness_report returned.")
        units = {drawing.units_text(each.threat_model) for each in reports.values()}
        if len(units) > 1:
            raise ValueError(f"report counts distances in {sorted(units)}: draw those of the same units together.")
        curves = [_of_report(key, each) for key, each in reports.items()]
        return cls(curves, xlabel=f"distance ({units.pop()})").plot(ax, **plot_params)

    @classmethod
    def from_result(cls, result, *, direction="adversarial", name=None, xlabel="distance", ax=None, **plot_params):
        """Draw what ``boundary_distance`` or ``find_adversarial`` returned; nothing is attacked.

        Parameters
        ----------
        result : Bunch, or dict of str to Bunch
            With ``distance``, and with ``max_distance`` if it says how far was looked; else its curve ends at the
            largest distance found. Several by their names.
        direction : str, default="adversarial"
            Direction in which they were measured.
        name : str, default=None
            Name of a single one in the legend. None is "classifier".
        xlabel : str, default="distance"
            What distances are.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : BoundaryDistanceDisplay

        Raises
        ------
        TypeError
            If it has no distances.
        ValueError
            If a distance is NaN.
        """
        if "distance" in result:
            result, name = {name or "classifier": result}, None
        results = drawing.named(cls.__name__, result, name, str)
        for each in results.values():
            if not hasattr(each, "distance"):
                raise TypeError(
                    f"result holds {type(each).__name__}, which has no distance: pass what boundary_distance returned."
                )
        curves = [_curve(key, direction, each.distance, _looked(each)) for key, each in results.items()]
        return cls(curves, xlabel=xlabel).plot(ax, **plot_params)

    @classmethod
    def from_distances(cls, distances, *, xlabel="distance", ax=None, **plot_params):
        """Draw any figures of rows, such as distances divided by those of 1-nearest-neighbor.

        Parameters
        ----------
        distances : array-like of shape (n,), or dict of str to array-like
            Several by name; inf where a row has none.
        xlabel : str, default="distance"
            What the figures are.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : BoundaryDistanceDisplay

        Raises
        ------
        ValueError
            If a figure is NaN.
        """
        distances = drawing.named(cls.__name__, distances, None, lambda _: "classifier")
        curves = [_curve(key, "", values) for key, values in distances.items()]
        return cls(curves, xlabel=xlabel).plot(ax, **plot_params)

    def plot(self, ax=None, *, xscale="log", line_kw=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        xscale : {"log", "linear"}, default="log"
            Scale of the distances. Rows at a distance of 0 are missing from the left end of a curve.
        line_kw : dict, default=None
            Keywords of the lines.

        Returns
        -------
        display : BoundaryDistanceDisplay
            This one.

        Raises
        ------
        ValueError
            If the scale is unknown, or no distance is positive and finite.
        """
        if xscale not in ("log", "linear"):
            raise ValueError(f"xscale={xscale!r} is unknown: use 'log' or 'linear'.")
        low, high = self._limits(xscale)
        self.ax_ = drawing.single_axes(self, ax, (9.6, 4.4) if len(self.curves) > FEW else (6.4, 4.4))
        self.figure_, self.lines_, self.medians_, self.median_markers_ = self.ax_.figure, [], [], []
        names = [name for name in dict.fromkeys(curve["name"] for curve in self.curves) if name != REFERENCE]
        for curve in self.curves:
            color = INK if curve["name"] == REFERENCE else line_style(names.index(curve["name"]))["color"]
            self._draw(curve, color, low, high, line_kw)
        drawing.share_axis(self.ax_, "share with a boundary farther away")
        self.ax_.axhline(0.5, color=INK, linewidth=0.6, alpha=0.5, zorder=0)
        self.ax_.set(xscale=xscale, xlim=(low, high), xlabel=self.xlabel)
        if xscale == "log":
            drawing.plain_log_ticks(self.ax_)
        drawing.legend(self.ax_, beside="right" if len(self.curves) > FEW else None)
        return self

    def _limits(self, xscale):
        """Return the ends of the distances that are shown."""
        all_of = np.concatenate([np.ravel(curve["distance"]) for curve in self.curves])
        known = all_of[np.isfinite(all_of) & (all_of > 0)]
        if not len(known):
            raise ValueError(
                "no distance is positive and finite, so that there is no curve: look farther, or at more rows."
            )
        ends = [curve["max_distance"] for curve in self.curves if np.isinf(curve["distance"]).any()]
        ends = [end for end in ends if 0 < end < np.inf]
        high = max([known.max(), *ends])
        # A single row right beside the boundary must not take half of the picture.
        low = min([np.quantile(known, 0.02), *ends])
        return (low / 1.2, 1.15 * high) if xscale == "log" else (0.0, 1.03 * high)

    def _draw(self, curve, color, low, high, line_kw):
        """Draw the share that is farther, and its median."""
        distance = np.sort(np.ravel(curve["distance"]))
        x = _corners(distance, curve["max_distance"], low, high)
        share = 1 - np.searchsorted(distance, x, side="right") / len(distance)
        median = float(np.median(distance)) if len(distance) else np.nan
        text = _median_text(median, distance, curve["max_distance"])
        kind = DIRECTIONS.get(curve["direction"], curve["direction"])
        label = ", ".join(part for part in (curve["name"], kind) if part) + f": {text}"
        style = {"color": color, "linestyle": STYLES.get(curve["direction"], "-"), "label": label}
        # Others lie on top of the reference.
        style["zorder"] = 1.9 if curve["name"] == REFERENCE else 2
        self.lines_ += self.ax_.step(x, share, where="post", **drawing.line_kwargs(style, line_kw))
        self.medians_.append(median)
        if 0 < median < np.inf:
            self.median_markers_ += self.ax_.plot(median, 0.5, marker="o", color=color, linestyle="none")


def _corners(distance, max_distance, low, high):
    """Return where the curve of ascending distances is drawn; rows without one carry it as far as was looked."""
    steps = distance[np.isfinite(distance)]
    if len(steps) == len(distance):
        x = np.concatenate([[low], steps])
        return x[x >= low]
    end = high if max_distance == np.inf else _farthest(distance, max_distance)
    x = np.concatenate([[low], steps, [end]])
    return x[(x >= low) & (x <= end)]


def _farthest(distance, looked=0.0):
    """Return how far was looked, or farther if something was found there."""
    return float(distance[np.isfinite(distance)].max(initial=looked))


def _median_text(median, distance, max_distance):
    """Return the median in words; one beyond what was looked at is known to be beyond the distances found."""
    if np.isfinite(median):
        return f"median {median:.3g}"
    end = _farthest(distance, 0.0 if max_distance == np.inf else max_distance)
    return f"median beyond {end:.3g}" if end > 0 else "no finite median"


def _curve(name, direction, distance, max_distance=np.inf):
    distance = np.asarray(distance, dtype=np.float64)
    if np.isnan(distance).any():
        raise ValueError(
            f"distances of {name!r} hold NaN in {np.isnan(distance).sum()} of {distance.size} places, as 0 / 0 does: "
            "leave these rows out, or give inf where a row has none."
        )
    return {"name": name, "direction": direction, "distance": distance, "max_distance": float(max_distance)}


def _of_report(name, report):
    """Return the curve of a report; only the worst case looks however far."""
    is_endless = report.settings["attack"] == "worst_case"
    # The summary may go on beyond the radii that were attacked.
    n_attacked = sum(column.startswith("robust_") for column in report.per_row)
    attacked = report.summary.index[report.summary.index > 0][:n_attacked]
    distance = report.per_row["distance"].to_numpy()
    return _curve(name, "adversarial", distance, np.inf if is_endless else attacked[-1])


def _looked(result):
    """Return how far a result says was looked; without a word on it, no farther than it found something."""
    return result.get("max_distance", _farthest(np.asarray(result.distance, dtype=np.float64)))


def _measured(name, estimator, X, y, direction, settings):
    result = boundary_distance(estimator, X, y, directions=direction, **settings)
    return _curve(name, direction, result.distance, result.max_distance)


def _of_nearest(nearest, X, y, direction, reference, settings):
    """Return the curve of 1-nearest-neighbor."""
    if direction != "adversarial":
        settings = {**settings, "X_reference": flat(reference[0])}
        return _measured(REFERENCE, nearest, flat(X), y, direction, settings)
    y = nearest.predict(flat(X)) if y is None else y
    measured = {key: settings[key] for key in ("norm", "threat_model")}
    margin = nearest_neighbor_margin(X, y, X_reference=reference[0], y_reference=reference[1], **measured)
    return _curve(REFERENCE, "worst direction, proven", margin.lower)
