"""TrainingHistoryDisplay: how training went, epoch by epoch."""

from collections.abc import Mapping

import numpy as np
from sklearn.pipeline import Pipeline

from skrobust.inspection import _drawing as drawing
from skrobust.inspection._palette import FAINT, line_style

# Panels, each with the figures of an epoch that it shows, under their names in the legend.
PANELS = {
    "cross-entropy": {"train_cross_entropy": "training", "valid_loss": "validation"},
    "penalty (not weighted)": {"train_penalty": "training"},
    "validation score": {"valid_score": "validation"},
}


class TrainingHistoryDisplay:
    """Cross-entropy, penalty and validation score of each epoch, of one or several trainings.

    Make it by :meth:`from_estimator` or :meth:`from_history`.

    Parameters
    ----------
    histories : dict of str to list of dict
        As ``history_`` of the classifier of this package, by name. Figures that an epoch lacks are left out.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        A panel for each of cross-entropy, penalty and validation score that was recorded.
    figure_ : matplotlib Figure
    lines_ : dict of (str, str) to matplotlib Line2D
        By name and figure, such as ("net", "train_penalty").
    best_ : list of matplotlib Line2D
        The epochs with the best validation score, of equal ones the last.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skrobust.inspection import TrainingHistoryDisplay
    >>> epochs = [{"epoch": 1, "train_cross_entropy": 0.7}, {"epoch": 2, "train_cross_entropy": 0.4}]
    >>> display = TrainingHistoryDisplay({"net": epochs}).plot()
    >>> len(display.axes_)
    1
    >>> plt.close(display.figure_)
    """

    def __init__(self, histories):
        self.histories = histories

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None, **plot_params):
        """Draw the history of fitted classifiers of this package.

        Parameters
        ----------
        estimator : classifier, Pipeline that ends in one, or dict of str to these
            Fitted, with ``history_``.
        name : str, default=None
            Name of a single one in the legend. None is that of its class.
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per panel, or one that is divided. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : TrainingHistoryDisplay

        Raises
        ------
        TypeError
            If an estimator has no history.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.preprocessing import scale
        >>> from skrobust import OffSupportRobustClassifier
        >>> from skrobust.inspection import TrainingHistoryDisplay
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = OffSupportRobustClassifier(max_epochs=5, random_state=0).fit(scale(X), y)
        >>> display = TrainingHistoryDisplay.from_estimator(clf)
        >>> [ax.get_ylabel() for ax in display.axes_]
        ['cross-entropy', 'penalty (not weighted)']
        >>> plt.close(display.figure_)
        """
        classifiers = drawing.named(cls.__name__, estimator, name, drawing.estimator_name)
        histories = {key: _history(classifier) for key, classifier in classifiers.items()}
        return cls.from_history(histories, ax=ax, **plot_params)

    @classmethod
    def from_history(cls, history, *, name=None, ax=None, **plot_params):
        """Draw histories that are there already.

        Parameters
        ----------
        history : list of dict, or dict of str to list of dict
            As ``history_`` of the classifier of this package.
        name : str, default=None
            Name of a single one in the legend. None is "classifier".
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per panel, or one that is divided. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : TrainingHistoryDisplay

        Raises
        ------
        ValueError
            If no epoch has a figure to draw.
        """
        histories = drawing.named(cls.__name__, history, name, lambda _: "classifier")
        if not any(figure in epoch for epochs in histories.values() for epoch in epochs for figure in _figures()):
            raise ValueError(f"history has no epoch with one of {_figures()}: pass history_ of a fitted classifier.")
        return cls(histories).plot(ax, **plot_params)

    def plot(self, ax=None, *, line_kw=None):
        """Draw the histories.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, default=None
            Where to draw: one per panel, or one that is divided. None makes a figure.
        line_kw : dict, default=None
            Keywords of the lines.

        Returns
        -------
        display : TrainingHistoryDisplay
            This one.
        """
        shown = {label: figures for label, figures in PANELS.items() if any(map(self._has, figures))}
        axes = drawing.panels(self, ax, 1, len(shown), (1 + 3.8 * len(shown), 3.8))
        self.axes_, self.figure_ = axes[0], axes[0, 0].figure
        self.lines_, self.best_ = {}, []
        for panel, (label, figures) in zip(self.axes_, shown.items(), strict=True):
            for index, name in enumerate(self.histories):
                self._draw(panel, index, name, figures, line_kw)
            panel.set(xlabel="epoch", ylabel=label)
            panel.xaxis.get_major_locator().set_params(integer=True)
            panel.grid(alpha=0.25)
            if len(panel.lines) > 1:
                drawing.legend(panel)
        return self

    def _has(self, figure):
        return any(figure in epoch for epochs in self.histories.values() for epoch in epochs)

    def _draw(self, ax, index, name, figures, line_kw):
        """Draw the figures of one training that belong to a panel."""
        for k, (figure, kind) in enumerate(figures.items()):
            pairs = [(e.get("epoch", i + 1), e[figure]) for i, e in enumerate(self.histories[name]) if figure in e]
            if not pairs:
                continue
            parts = [name] * (len(self.histories) > 1) + [kind] * (len(figures) > 1)
            style = {"color": line_style(index)["color"], "linestyle": "-" if k == 0 else "--"}
            style |= {"marker": "." if len(pairs) <= 30 else "", "label": ", ".join(parts) or name}
            epochs, values = np.transpose(pairs)
            (line,) = ax.plot(epochs, values, **drawing.line_kwargs(style, line_kw))
            self.lines_[name, figure] = line
            if figure == "valid_score":
                # The last of equal scores, whose weights are kept.
                best = len(values) - 1 - int(np.argmax(np.flip(np.nan_to_num(values, nan=-np.inf))))
                label = f"best: epoch {epochs[best]:g}"
                marker = {
                    "marker": "o",
                    "markersize": 9,
                    "markerfacecolor": "none",
                    "markeredgecolor": line.get_color(),
                }
                self.best_ += ax.plot(epochs[best], values[best], linestyle="none", label=label, **marker)
                ax.axvline(epochs[best], color=FAINT, linestyle=":", linewidth=1, zorder=0)


def _figures():
    return [figure for figures in PANELS.values() for figure in figures]


def _history(estimator):
    """Return the history of a classifier, or of the last step of a Pipeline."""
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    history = getattr(last, "history_", None)
    if not isinstance(history, list) or not all(isinstance(epoch, Mapping) for epoch in history):
        raise TypeError(
            f"estimator of type {type(last).__name__} has no history_ of epochs: pass a fitted classifier of "
            "this package."
        )
    return history
