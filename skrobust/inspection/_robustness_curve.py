"""RobustnessCurveDisplay: accuracy against eps."""

import numpy as np

from skrobust.inspection import _drawing as drawing
from skrobust.inspection._palette import FAINT, LINE_STYLES, line_style
from skrobust.metrics import RobustnessReport, robustness_report
from skrobust.metrics._report import wilson_interval

# Beyond the eps at which no curve is above this, there is nothing to see.
NOTHING_STANDS = 0.02
COLUMNS = ("model", "attack", "norm", "eps", "accuracy", "n_rows")


class RobustnessCurveDisplay:
    """Accuracy under attack against eps, of one or several classifiers, one panel per norm.

    Make it by :meth:`from_estimator`, :meth:`from_report` or :meth:`from_curves`. It holds the numbers, so that
    drawing never attacks.

    Parameters
    ----------
    curves : list of dict
        Each with:

        - name: str, for the legend; curves of one name share a color;
        - attack: str, which tells curves of one name apart, or "";
        - units: str, norm and units of eps; curves of the same units share a panel;
        - eps, accuracy, low, high: ndarray of shape (n_eps,); the ends of a 95 % interval;
        - note: str, what the reader has to know, or "".

    Attributes
    ----------
    ax_ : matplotlib Axes or None
        The axes, if there is one panel.
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One per curve.
    bands_ : list of matplotlib collection
        The intervals, one per curve.
    half_markers_ : list of matplotlib Line2D
        The points at which the accuracy is half of that at the smallest eps, where a curve has one.
    half_eps_ : list of float
        The eps of these points, one per curve; NaN if the curve does not fall that far.

    See Also
    --------
    skrobust.metrics.robustness_report : Where the numbers come from.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skrobust.inspection import RobustnessCurveDisplay
    >>> curve = {"name": "net", "units": "Linf, in units of X", "note": "", "attack": "", "eps": [0, 0.1, 0.2],
    ...          "accuracy": [0.9, 0.6, 0.3], "low": [0.8, 0.5, 0.2], "high": [0.95, 0.7, 0.4]}
    >>> display = RobustnessCurveDisplay([curve]).plot()
    >>> round(display.half_eps_[0], 2)
    0.15
    >>> plt.close(display.figure_)
    """

    def __init__(self, curves):
        self.curves = curves

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        threat_model,
        eps_factors=(0, 0.25, 0.5, 1, 2, 4),
        attack="worst_case",
        n_control=100,
        random_state=0,
        name=None,
        ax=None,
        **plot_params,
    ):
        """Attack fitted classifiers, and draw the reports.

        Parameters
        ----------
        estimator : classifier, Pipeline, or dict of str to these
            Fitted.
        X : array-like or DataFrame of shape (n, n_features), or images
            Rows as ``estimator.predict`` takes them, unseen in training.
        y : array-like of shape (n,)
            True labels.
        threat_model : ThreatModel or list of ThreatModel
            As in :func:`skrobust.metrics.robustness_report`; of several, such as one per norm, each gets a panel.
        eps_factors : sequence of float, default=(0, 0.25, 0.5, 1, 2, 4)
            Multiples of the eps of the threat model.
        attack : str, ART attack class or callable, default="worst_case"
            As in :func:`skrobust.attacks.find_adversarial`.
        n_control : int, default=100
            Rows on which every attack also runs alone, on which flags rest.
        random_state : int, RandomState instance or None, default=0
            Seed of the attacks.
        name : str, default=None
            Name of a single classifier in the legend. None is that of its class.
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per threat model. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : RobustnessCurveDisplay

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skrobust import ThreatModel
        >>> from skrobust.inspection import RobustnessCurveDisplay
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
        >>> display = RobustnessCurveDisplay.from_estimator(clf, X[1::2], y[1::2], threat_model=ThreatModel(0.4))
        >>> display.ax_.get_xlabel()
        'eps (Linf, in units of X)'
        >>> plt.close(display.figure_)
        """
        threat_models = threat_model if isinstance(threat_model, list | tuple) else [threat_model]
        classifiers = drawing.named(cls.__name__, estimator, name, drawing.estimator_name)
        settings = {
            "eps_factors": eps_factors,
            "attack": attack,
            "n_control": n_control,
            "random_state": random_state,
        }
        reports = {
            key: [robustness_report(clf, X, y, each, **settings) for each in threat_models]
            for key, clf in classifiers.items()
        }
        return cls.from_report(reports, ax=ax, **plot_params)

    @classmethod
    def from_report(cls, report, *, name=None, ax=None, **plot_params):
        """Draw reports that are there already; nothing is attacked.

        Parameters
        ----------
        report : RobustnessReport, or dict of str to RobustnessReport or to list of RobustnessReport
            By the names of the classifiers; a list holds reports on several threat models.
        name : str, default=None
            Name of a single one in the legend. None is "classifier".
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per norm. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : RobustnessCurveDisplay

        Raises
        ------
        TypeError
            If it is no report.
        """
        reports = drawing.named(cls.__name__, report, name, lambda _: "classifier")
        pairs = [(key, each) for key, entry in reports.items() for each in _listed(entry)]
        return cls([_reported(*pair) for pair in pairs]).plot(ax, **plot_params)

    @classmethod
    def from_curves(cls, table, *, ax=None, **plot_params):
        """Draw the table of :func:`skrobust.evaluation.robustness_curves`; nothing is attacked.

        Parameters
        ----------
        table : DataFrame
            With the columns "model", "attack", "norm", "eps", "accuracy" and "n_rows". Several seeds of a model become
            their mean, with an interval from the smallest to the largest of them.
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per norm. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : RobustnessCurveDisplay

        Raises
        ------
        ValueError
            If a column is missing, or there is no row.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skrobust.evaluation import robustness_curves
        >>> from skrobust.inspection import RobustnessCurveDisplay
        >>> X, y = load_iris(return_X_y=True)
        >>> models = {f"C={C}": LogisticRegression(C=C, max_iter=1000).fit(X, y) for C in (0.01, 1.0)}
        >>> table = robustness_curves(models, X, y, eps_grid=[0.0, 0.5], attacks=["pgd"], norms=[2, float("inf")])
        >>> display = RobustnessCurveDisplay.from_curves(table)
        >>> [ax.get_xlabel() for ax in display.axes_]
        ['eps (L2)', 'eps (Linf)']
        >>> plt.close(display.figure_)
        """
        missing = [column for column in COLUMNS if column not in table]
        if missing or not len(table):
            raise ValueError(
                f"table has {len(table)} rows and the columns {list(table)}: pass what robustness_curves returns, with "
                f"{', '.join(COLUMNS)}."
            )
        groups = table.groupby(["model", "attack", "norm"], sort=False)
        shows_attack = table["attack"].nunique() > 1
        return cls([_tabled(key, part, shows_attack) for key, part in groups]).plot(ax, **plot_params)

    def plot(self, ax=None, *, line_kw=None, band_kw=None, show_half=True):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per panel, or one that is divided. None makes a figure.
        line_kw : dict, default=None
            Keywords of the lines.
        band_kw : dict, default=None
            Keywords of the intervals.
        show_half : bool, default=True
            Whether to mark where the accuracy has halved.

        Returns
        -------
        display : RobustnessCurveDisplay
            This one.
        """
        kinds = _distinct(self.curves, "units")
        axes = drawing.panels(self, ax, 1, len(kinds), (1.4 + 5 * len(kinds), 4.4))
        names, attacks = (_distinct(self.curves, key) for key in ("name", "attack"))
        self.axes_, self.figure_ = axes[0], axes[0, 0].figure
        self.ax_ = axes[0, 0] if len(kinds) == 1 else None
        self.lines_, self.bands_, self.half_markers_ = [], [], []
        self.half_eps_ = [half_eps(curve["eps"], curve["accuracy"]) for curve in self.curves]
        for curve, half in zip(self.curves, self.half_eps_, strict=True):
            style = line_style(names.index(curve["name"]))
            if len(attacks) > 1:
                style["linestyle"] = LINE_STYLES[attacks.index(curve["attack"]) % len(LINE_STYLES)]
            half = half if show_half else np.nan
            self._draw(axes[0, kinds.index(curve["units"])], curve, half, style, line_kw, band_kw)
        for panel, kind in zip(self.axes_, kinds, strict=True):
            self._finish(panel, kind)
        return self

    def _finish(self, ax, kind):
        """Draw what belongs to a panel as a whole."""
        drawing.share_axis(ax, "accuracy under attack" if ax is self.axes_[0] else "")
        ax.set(xlabel=f"eps ({kind})", xlim=_limits([curve for curve in self.curves if curve["units"] == kind]))
        drawing.legend(ax)

    def _draw(self, ax, curve, half, style, line_kw, band_kw):
        """Draw one curve, its interval, and where it has halved."""
        label = ", ".join(part for part in (curve["name"], curve["attack"], curve["note"]) if part)
        label += f"\nhalved at eps {half:.3g}" if np.isfinite(half) else ""
        style = drawing.line_kwargs({**style, "markersize": 4, "label": label}, line_kw)
        self.lines_ += ax.plot(curve["eps"], curve["accuracy"], **style)
        band = drawing.patch_kwargs({"color": self.lines_[-1].get_color(), "alpha": 0.15, "linewidth": 0}, band_kw)
        self.bands_.append(ax.fill_between(curve["eps"], curve["low"], curve["high"], **band))
        if np.isfinite(half):
            height = curve["accuracy"][0] / 2
            marker = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": style["color"]}
            self.half_markers_ += ax.plot(half, height, linestyle="none", **marker)
            ax.vlines(half, -0.02, height, color=FAINT, linestyle=":", linewidth=1)


def half_eps(eps, accuracy):
    """Return the eps at which accuracy is half of the first, by the line between its neighbors; NaN if nowhere."""
    eps, accuracy = np.asarray(eps, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    below = np.flatnonzero(accuracy <= accuracy[0] / 2)
    if not accuracy[0] > 0 or not len(below):
        return np.nan
    last, first = below[0] - 1, below[0]
    share = (accuracy[last] - accuracy[0] / 2) / (accuracy[last] - accuracy[first])
    return float(eps[last] + share * (eps[first] - eps[last]))


def _limits(curves):
    """Return the limits of eps: up to where the last curve has nothing left."""
    ends = []
    for curve in curves:
        eps, fallen = np.asarray(curve["eps"]), np.flatnonzero(np.asarray(curve["accuracy"]) <= NOTHING_STANDS)
        ends.append(eps[fallen[0]] if len(fallen) else eps[-1])
    start, end = min(curve["eps"][0] for curve in curves), max(ends)
    return (start - 0.02 * (end - start), end + 0.02 * (end - start)) if end > start else (start - 0.5, start + 0.5)


def _distinct(curves, key):
    return list(dict.fromkeys(curve[key] for curve in curves))


def _listed(entry):
    return entry if isinstance(entry, list | tuple) else [entry]


def _reported(name, report):
    """Return the curve of a report."""
    if not isinstance(report, RobustnessReport):
        raise TypeError(f"report of type {type(report).__name__} must be one that robustness_report returned.")
    summary = report.summary
    notes = ["a loose upper bound"] * report.is_upper_bound + [f"flags: {', '.join(report.flags)}"] * bool(report.flags)
    return {
        "name": name,
        "attack": "",
        "units": drawing.units_text(report.threat_model),
        "note": "; ".join(notes),
        "eps": summary.index.to_numpy(dtype=np.float64),
        **{column: summary[column].to_numpy(dtype=np.float64) for column in ("accuracy", "low", "high")},
    }


def _tabled(key, part, shows_attack):
    """Return the curve of one model, attack and norm of a table."""
    model, attack, norm = key
    by_eps = part.groupby("eps", sort=True)
    accuracy = by_eps["accuracy"].mean()
    if by_eps.size().max() > 1:
        low, high = by_eps["accuracy"].min().to_numpy(), by_eps["accuracy"].max().to_numpy()
    else:
        low, high = wilson_interval(accuracy.to_numpy(), by_eps["n_rows"].first().to_numpy())
    is_loose = bool(part.get("is_upper_bound", np.zeros(1, dtype=bool)).any())
    return {
        "name": str(model),
        "attack": str(attack) if shows_attack else "",
        "units": drawing.NORM_NAMES.get(norm, f"L{norm:g}"),
        "note": "a loose upper bound" if is_loose else "",
        "eps": accuracy.index.to_numpy(dtype=np.float64),
        "accuracy": accuracy.to_numpy(),
        "low": low,
        "high": high,
    }
