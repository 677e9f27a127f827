"""SoftmaxSurfaceDisplay: what a classifier answers on a plane, and how sure it is."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from skrobust.inspection import _drawing as drawing
from skrobust.inspection._palette import INK, class_colors
from skrobust.inspection._surface_numbers import surface_numbers

# How much of its color a region keeps at least and at most, so that dots on it can be seen.
PALEST, FULLEST = 0.06, 0.6
# Probabilities this close are equal but for rounding.
TIE = 1e-9
# More labels than these do not fit into a legend of one column, or into one at all.
LONG_LEGEND, LONGEST_LEGEND = 12, 24


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
    is_to_scale : bool, default=False
        Whether lengths along both axes can be compared, so that they are drawn alike.
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
    texts_ : list of matplotlib Text
        The name of each answer where its region is widest.

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
        is_to_scale=False,
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
        self.is_to_scale = is_to_scale
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
        noise = {"radius": unlabeled_radius, "noise_units": noise_units, "random_state": random_state}
        numbers = surface_numbers(estimator, X, y, (features, rows), n_grid, nearest_neighbor, unlabeled, noise)
        display = cls(**numbers, name=drawing.estimator_name(estimator) if name is None else name)
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
        self.ax_ = drawing.single_axes(self, ax)
        self.figure_ = self.ax_.figure
        colors = class_colors(len(self.classes))
        extent = self._draw_regions(colors, surface_kw)
        style = {"colors": "black", "linewidths": 1.6}
        self.boundary_ = self._contours(self._levels(), {**style, **(boundary_kw or {})})
        self.nearest_boundary_ = []
        if self.nearest is not None:
            style = {"colors": "black", "linewidths": 1.0, "linestyles": "dashed"}
            self.nearest_boundary_ = self._contours(
                _one_hot(self.nearest, len(colors)), {**style, **(nearest_kw or {})}
            )
        self._dots(colors, dot_kw, unlabeled_kw)
        self.texts_ = self._name_regions()
        self.ax_.set(xlabel=self.labels[0], ylabel=self.labels[1], xlim=extent[:2], ylim=extent[2:])
        self.ax_.set_title("\n".join(part for part in (self.name, self.note) if part), fontsize="medium")
        self._legend(colors)
        if ax is None:
            # The layout of axes that keep their shape needs a second look.
            self.figure_.draw_without_rendering()
        return self

    def _draw_regions(self, colors, surface_kw):
        """Draw the picture of the answers, and return the coordinates of its sides."""
        extent = (*self.x0[[0, -1]], *self.x1[[0, -1]])
        style = {"origin": "lower", "extent": extent, "interpolation": "bilinear", "zorder": 0}
        style["aspect"] = "equal" if self.is_to_scale else "auto"
        self.surface_ = self.ax_.imshow(self._regions(colors), **{**style, **(surface_kw or {})})
        return extent

    def _regions(self, colors):
        """Return the picture of the answers, of shape (n_grid, n_grid, 3): the paler the less sure."""
        n_classes = len(self.classes)
        sure = 0.5
        if self.proba is not None:
            # A single class is always sure.
            chance = 1 / n_classes if n_classes > 1 else 0.0
            sure = ((self.proba.max(axis=2) - chance) / (1 - chance)).clip(0, 1)[..., np.newaxis]
        strength = PALEST + (FULLEST - PALEST) * sure
        return 1 - strength * (1 - colors[self.answers])

    def _levels(self):
        """Return functions on the grid that are positive where each class is the answer, of shape (..., n_classes)."""
        n_classes = len(self.classes)
        if self.proba is None or n_classes < 2:
            return _one_hot(self.answers, n_classes)
        ordered = np.sort(self.proba, axis=2)
        is_tie = ordered[..., -1] - ordered[..., -2] < TIE
        # Where answers are not those of the largest probability, as of an SVC, they are what counts.
        if ((self.proba.argmax(axis=2) != self.answers) & ~is_tie).any():
            return _one_hot(self.answers, n_classes)
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

    def _name_regions(self):
        """Write each answer where it is farthest from others, for readers who do not tell the colors apart."""
        from matplotlib.patheffects import withStroke

        halo = [withStroke(linewidth=2.5, foreground="white")]
        style = {"ha": "center", "va": "center", "weight": "bold", "zorder": 5, "path_effects": halo, "clip_on": True}
        texts = []
        for code in np.unique(self.answers):
            depth = distance_transform_edt(np.pad(self.answers == code, 1))[1:-1, 1:-1]
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            texts.append(self.ax_.text(self.x0[column], self.x1[row], self._class_name(code), **style))
        return texts

    def _class_name(self, code):
        return drawing.shortened(str(self.classes[code]))

    def _shown_codes(self):
        """Return which classes the legend names: those on the plane, none where it would have no room for them."""
        codes = np.union1d(self.answers, [] if self.codes is None else self.codes)
        codes = codes[codes >= 0].astype(int)
        return codes if len(codes) <= LONGEST_LEGEND else []

    def _legend(self, colors):
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        codes = self._shown_codes()
        handles = [Patch(facecolor=colors[code], label=self._class_name(code)) for code in codes]
        if self.boundary_:
            handles.append(Line2D([], [], color="black", linewidth=1.6, label="decision boundary"))
        if self.nearest_boundary_:
            handles.append(Line2D([], [], color="black", linewidth=1, linestyle="--", label="1-nearest-neighbor"))
        handles += [self.unlabeled_] if self.unlabeled_ is not None else []
        title = "\n".join(["answer"] * bool(len(codes)) + ["(paler: less sure)"] * (self.proba is not None))
        n_columns = 2 if len(handles) > LONG_LEGEND else 1
        drawing.legend(self.ax_, beside="right", handles=handles, title=title, ncols=n_columns)


def _one_hot(codes, n_classes):
    return np.eye(n_classes)[codes] - 0.5
