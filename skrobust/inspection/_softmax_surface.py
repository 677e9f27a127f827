"""SoftmaxSurfaceDisplay: what a classifier answers on a plane, and how sure it is."""

from numbers import Integral

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

from skrobust.inspection import _drawing as drawing
from skrobust.inspection._palette import INK, class_colors
from skrobust.inspection._planes import plane_of
from skrobust.inspection._rows import Rows, Surroundings

# Share of the width of the data by which the picture goes beyond them.
MARGIN = 0.15
# How much of its color a region keeps at least and at most, so that dots on it can be seen.
PALEST, FULLEST = 0.06, 0.6
# More labels than these do not fit into a legend of one column.
LONG_LEGEND = 12


class SoftmaxSurfaceDisplay:
    """Answers and confidence of a classifier on a plane, with its decision boundary and the data.

    Make it by :meth:`from_estimator`. A region has the color of the answer there, fuller where the classifier is
    surer. The boundary halfway between rows, that of 1-nearest-neighbor, is how far it could be.

    Parameters
    ----------
    x0, x1 : ndarray of shape (n_grid,)
        Ascending coordinates of the grid.
    answers : ndarray of shape (n_grid, n_grid), int
        Indices into the classes; the first axis is that of `x1`.
    classes : ndarray of shape (n_classes,)
    proba : ndarray of shape (n_grid, n_grid, n_classes), default=None
        Probabilities; None if the classifier has none.
    nearest : ndarray of shape (n_grid, n_grid), int, default=None
        Answers of 1-nearest-neighbor.
    points : ndarray of shape (n, 2), default=None
        Coordinates of the data.
    codes : ndarray of shape (n,), int, default=None
        Labels of the data, as indices into the classes; -1 for one that the classifier does not know.
    unlabeled_points : ndarray of shape (m, 2), default=None
        Coordinates of unlabeled points.
    labels : tuple of str, default=("", "")
        Of the axes.
    note : str, default=""
        What the plane leaves out.
    name : str, default=None
        Name of the classifier, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    surface_ : matplotlib AxesImage
    boundary_, nearest_boundary_ : list of matplotlib QuadContourSet
        One per class that has a boundary on the plane.
    dots_ : list of matplotlib PathCollection
        The data, one per class.
    unlabeled_ : matplotlib PathCollection or None

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : Two features, and any estimator.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skrobust.inspection import SoftmaxSurfaceDisplay
    >>> x = np.linspace(0, 1, 4)
    >>> answers = np.tile([0, 0, 1, 1], (4, 1))
    >>> display = SoftmaxSurfaceDisplay(x0=x, x1=x, answers=answers, classes=np.array(["a", "b"])).plot()
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['a', 'b', 'decision boundary']
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        x0,
        x1,
        answers,
        classes,
        proba=None,
        nearest=None,
        points=None,
        codes=None,
        unlabeled_points=None,
        labels=("", ""),
        note="",
        name=None,
    ):
        self.x0 = x0
        self.x1 = x1
        self.answers = answers
        self.classes = classes
        self.proba = proba
        self.nearest = nearest
        self.points = points
        self.codes = codes
        self.unlabeled_points = unlabeled_points
        self.labels = labels
        self.note = note
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        features=None,
        rows=None,
        n_grid=150,
        nearest_neighbor=True,
        unlabeled=None,
        unlabeled_radius=1.0,
        noise_units="global",
        random_state=0,
        name=None,
        ax=None,
        **plot_params,
    ):
        """Ask a fitted classifier on a plane, and draw its answers.

        Parameters
        ----------
        estimator : classifier or Pipeline
            Fitted.
        X : array-like or DataFrame of shape (n, n_features), or images
            Rows as ``estimator.predict`` takes them.
        y : array-like of shape (n,), default=None
            True labels. None takes the answers of the estimator.
        features : pair of int or str, default=None
            The plane of these two features, by column name or index. All other features are at their medians, or at
            the most frequent value where they hold no numbers.
        rows : sequence of three int, default=None
            The plane through these rows of X, by index; only they are shown. Without `features` and `rows` it is that
            of both features if there are no more, else that of the first two principal components.
        n_grid : int, default=150
            Points along each axis at which the estimator is asked.
        nearest_neighbor : bool, default=True
            Whether to draw the boundary of 1-nearest-neighbor among X, behind the same preprocessing if the estimator
            is a Pipeline.
        unlabeled : array-like, {"gaussian", "uniform", "extrapolation"} or sampler object, default=None
            Unlabeled rows to show, or what makes one around each row of X.
        unlabeled_radius : float, default=1.0
            Radius of that sampler, in units of the data scale D.
        noise_units : {"global", "std"}, default="global"
            Whether its noise is the same in every feature, or in units of the standard deviation of each.
        random_state : int, RandomState instance or None, default=0
            Seed of that sampler.
        name : str, default=None
            Title. None is the name of the class.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : SoftmaxSurfaceDisplay

        Raises
        ------
        ValueError
            If the plane, or another parameter, is wrong.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skrobust.inspection import SoftmaxSurfaceDisplay
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
        >>> features = ("petal length (cm)", "petal width (cm)")
        >>> display = SoftmaxSurfaceDisplay.from_estimator(clf, X, y, features=features, n_grid=40)
        >>> display.ax_.get_xlabel()
        'petal length (cm)'
        >>> plt.close(display.figure_)
        """
        if not isinstance(n_grid, Integral) or n_grid < 2:
            raise ValueError(f"n_grid={n_grid!r} must be a whole number of at least 2.")
        table = Rows(X)
        plane = plane_of(table, features, rows)
        y = np.asarray(estimator.predict(X) if y is None else y).reshape(-1)
        if len(y) != len(table.matrix):
            raise ValueError(f"y has {len(y)} labels, but X has {len(table.matrix)} rows: give one label for each row.")
        shown = slice(None) if plane.on_plane is None else plane.on_plane
        points = plane.coordinates(table.matrix)[shown]
        made = _unlabeled(table, unlabeled, unlabeled_radius, noise_units, random_state)
        made = None if made is None else plane.coordinates(made)
        x0, x1 = (_span(points[:, k], n_grid) for k in range(2))
        grid = plane.points(np.stack(np.meshgrid(x0, x1), axis=-1).reshape(-1, 2))
        classes = np.asarray(getattr(estimator, "classes_", np.unique(y)))
        display = cls(
            x0=x0,
            x1=x1,
            answers=_asked(table, estimator, grid, classes, n_grid),
            classes=classes,
            proba=_proba(table, estimator, grid, n_grid),
            nearest=_nearest(estimator, X, y, table, grid, classes, n_grid) if nearest_neighbor else None,
            points=points,
            codes=_codes(y[shown], classes),
            unlabeled_points=made,
            labels=plane.labels,
            note=plane.note,
            name=drawing.estimator_name(estimator) if name is None else name,
        )
        return display.plot(ax, **plot_params)

    def plot(self, ax=None, *, surface_kw=None, boundary_kw=None, nearest_kw=None, dot_kw=None, unlabeled_kw=None):
        """Draw the surface.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.
        surface_kw : dict, default=None
            Keywords of the colored regions, for ``imshow``.
        boundary_kw : dict, default=None
            Keywords of the decision boundary, for ``contour``.
        nearest_kw : dict, default=None
            Keywords of the boundary of 1-nearest-neighbor, for ``contour``.
        dot_kw : dict, default=None
            Keywords of the data, for ``scatter``.
        unlabeled_kw : dict, default=None
            Keywords of the unlabeled points, for ``scatter``.

        Returns
        -------
        display : SoftmaxSurfaceDisplay
            This one.
        """
        self.ax_, is_new = drawing.single_axes(self, ax)
        self.figure_ = self.ax_.figure
        extent = (*self.x0[[0, -1]], *self.x1[[0, -1]])
        options = {"origin": "lower", "extent": extent, "aspect": "auto", "interpolation": "bilinear", "zorder": 0}
        colors = class_colors(len(self.classes))
        self.surface_ = self.ax_.imshow(self._regions(colors), **{**options, **(surface_kw or {})})
        style = {"colors": "black", "linewidths": 1.6}
        self.boundary_ = self._contours(self._levels(), {**style, **(boundary_kw or {})})
        self.nearest_boundary_ = []
        if self.nearest is not None:
            style = {"colors": "black", "linewidths": 1.0, "linestyles": "dashed"}
            self.nearest_boundary_ = self._contours(
                _one_hot(self.nearest, len(colors)), {**style, **(nearest_kw or {})}
            )
        self._dots(colors, dot_kw, unlabeled_kw)
        self.ax_.set(xlabel=self.labels[0], ylabel=self.labels[1], xlim=extent[:2], ylim=extent[2:])
        self.ax_.set_title("\n".join(part for part in (self.name, self.note) if part), fontsize="medium")
        self._legend(colors, is_new)
        return self

    def _regions(self, colors):
        """Return the picture of the answers, of shape (n_grid, n_grid, 3): the paler the less sure."""
        n_classes = len(self.classes)
        sure = 0.5
        if self.proba is not None:
            top = self.proba.max(axis=2)
            sure = ((top - 1 / n_classes) / (1 - 1 / n_classes)).clip(0, 1)[..., np.newaxis]
        strength = PALEST + (FULLEST - PALEST) * sure
        return 1 - strength * (1 - colors[self.answers])

    def _levels(self):
        """Return functions on the grid that are positive where each class is the answer, of shape (..., n_classes)."""
        n_classes = len(self.classes)
        if self.proba is None or n_classes < 2 or (self.proba.argmax(axis=2) != self.answers).any():
            return _one_hot(self.answers, n_classes)
        ordered = np.sort(self.proba, axis=2)
        is_top = self.proba == ordered[..., -1:]
        return self.proba - np.where(is_top, ordered[..., -2:-1], ordered[..., -1:])

    def _contours(self, levels, style):
        """Draw where levels of each class are 0; of two classes both have the same boundary."""
        n_drawn = 1 if levels.shape[2] == 2 else levels.shape[2]
        parts = (levels[..., k] for k in range(n_drawn))
        return [
            self.ax_.contour(self.x0, self.x1, part, levels=[0.0], **style)
            for part in parts
            if part.min() < 0 < part.max()
        ]

    def _dots(self, colors, dot_kw, unlabeled_kw):
        self.dots_, self.unlabeled_ = [], None
        if self.unlabeled_points is not None:
            style = drawing.dot_kwargs(
                {"s": 14, "color": INK, "marker": "x", "linewidths": 0.7, "alpha": 0.7}, unlabeled_kw
            )
            self.unlabeled_ = self.ax_.scatter(*self.unlabeled_points.T, **{"label": "unlabeled point", **style})
        if self.points is None:
            return
        codes = np.zeros(len(self.points), dtype=int) if self.codes is None else self.codes
        for code in np.unique(codes):
            color = colors[code] if code >= 0 else "white"
            style = {"s": 22, "facecolor": [color], "edgecolor": "black", "linewidths": 0.5, "zorder": 3}
            self.dots_.append(self.ax_.scatter(*self.points[codes == code].T, **drawing.dot_kwargs(style, dot_kw)))

    def _legend(self, colors, is_new):
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles = [Patch(facecolor=color, label=str(label)) for color, label in zip(colors, self.classes, strict=True)]
        if self.boundary_:
            handles.append(Line2D([], [], color="black", linewidth=1.6, label="decision boundary"))
        if self.nearest_boundary_:
            handles.append(Line2D([], [], color="black", linewidth=1, linestyle="--", label="1-nearest-neighbor"))
        handles += [self.unlabeled_] if self.unlabeled_ is not None else []
        title = "answer" if self.proba is None else "answer\n(paler: less sure)"
        n_columns = 1 + len(handles) // (1 + LONG_LEGEND)
        drawing.legend(self.ax_, is_new, outside=True, handles=handles, title=title, ncols=n_columns)


def _span(values, n_grid):
    """Return a grid that goes somewhat beyond values."""
    low, high = values.min(), values.max()
    margin = MARGIN * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, n_grid)


def _one_hot(codes, n_classes):
    return np.eye(n_classes)[codes] - 0.5


def _codes(labels, classes):
    """Return labels as indices into classes, -1 for those that are none."""
    matches = labels[..., np.newaxis] == classes
    return np.where(matches.any(axis=-1), matches.argmax(axis=-1), -1)


def _asked(rows, estimator, grid, classes, n_grid):
    answers = rows.asked(estimator.predict, grid).reshape(n_grid, n_grid)
    return _codes(answers, classes)


def _proba(rows, estimator, grid, n_grid):
    if not hasattr(estimator, "predict_proba"):
        return None
    return rows.asked(estimator.predict_proba, grid).reshape(n_grid, n_grid, -1).astype(np.float64)


def _nearest(estimator, X, y, rows, grid, classes, n_grid):
    """Return the answers of 1-nearest-neighbor behind the preprocessing of the estimator."""
    front = estimator[:-1] if isinstance(estimator, Pipeline) and len(estimator) > 1 else None

    def seen(X):
        Z = X if front is None else front.transform(X)
        Z = Z.toarray() if hasattr(Z, "toarray") else np.asarray(Z)
        return Z.reshape(len(Z), -1)

    is_known = _codes(y, classes) >= 0
    Z = seen(X)
    if Z.dtype.kind not in "biuf":
        raise ValueError(
            "nearest_neighbor=True needs distances, but X has columns that hold no numbers: encode them in a Pipeline, "
            "or set it to False."
        )
    neighbor = KNeighborsClassifier(1).fit(Z[is_known], y[is_known])
    return _codes(rows.asked(lambda X: neighbor.predict(seen(X)), grid).reshape(n_grid, n_grid), classes)


def _unlabeled(rows, unlabeled, radius, noise_units, random_state):
    """Return unlabeled points as a matrix, given or sampled, or None."""
    if unlabeled is None:
        return None
    if isinstance(unlabeled, str) or (hasattr(unlabeled, "sample") and not hasattr(unlabeled, "iloc")):
        return Surroundings(rows, noise_units).sampled(unlabeled, radius, random_state)
    given = Rows(unlabeled, "unlabeled").matrix
    if given.shape[1] != rows.matrix.shape[1]:
        raise ValueError(f"unlabeled has {given.shape[1]} features, but X has {rows.matrix.shape[1]}: give the same.")
    return given
