"""AdversarialExamplesDisplay: rows before and after an attack, and what moved."""

import numpy as np

from skrobust.attacks import find_adversarial
from skrobust.inspection import _drawing as drawing
from skrobust.inspection import _examples as gathered
from skrobust.inspection import _pictures as pictures
from skrobust.inspection._palette import FAINT, INK, OKABE_ITO, WRONG
from skrobust.inspection._rows import Rows
from skrobust.metrics._parameters import check_count

# Letters of the name of a feature that are shown.
LONGEST_NAME = 32


class AdversarialExamplesDisplay:
    """Rows before and after an attack with both answers: images, or bars of what moved.

    Make it by :meth:`from_estimator`, :meth:`from_result` or :meth:`from_predictions`.

    Parameters
    ----------
    examples : list of dict
        Each with:

        - row: int, its index;
        - before, after: ndarray of shape (n_features,), numbers; a feature that holds none is 0 before, and 1 after if
          it changed;
        - values_before, values_after: list of the values as they were given, to be written beside the bars;
        - y, answer_before, answer_after: labels; y may be None.
    feature_names : list of str
    scale : ndarray of shape (n_features,), default=None
        Change of each feature that is one eps, 0 for one that stays; None counts changes in the units of X.
    image_shape : tuple of int, default=None
        Shape of a row that is an image; None for rows of a table.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        For images of shape (3, n_examples): before, change, after. For rows of a table of shape (n_examples,).
    figure_ : matplotlib Figure
    images_ : ndarray of matplotlib AxesImage of shape (3, n_examples)
        For images.
    bars_ : list of matplotlib BarContainer
        For rows of a table, one per example.

    See Also
    --------
    skrobust.attacks.find_adversarial : Where the rows come from.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skrobust.inspection import AdversarialExamplesDisplay
    >>> display = AdversarialExamplesDisplay.from_predictions([[1.0, 2.0]], [[1.5, 2.0]], ["a"], ["b"], y=["a"])
    >>> [text.get_text() for text in display.axes_[0].get_yticklabels()]
    ['feature 0: 1 → 1.5']
    >>> plt.close(display.figure_)
    """

    def __init__(self, examples, *, feature_names, scale=None, image_shape=None):
        self.examples = examples
        self.feature_names = feature_names
        self.scale = scale
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        threat_model,
        attack="pgd",
        n_examples=4,
        image_shape=None,
        random_state=0,
        ax=None,
        plot_params=None,
        **attack_params,
    ):
        """Attack a fitted classifier, and draw the first rows that it fooled.

        Parameters
        ----------
        estimator : classifier or Pipeline
            Fitted.
        X : array-like or DataFrame of shape (n, n_features), or images
            Rows as ``estimator.predict`` takes them.
        y : array-like of shape (n,)
            True labels.
        threat_model : ThreatModel
            With an eps.
        attack : str, class of ART or callable, default="pgd"
            As in :func:`skrobust.attacks.find_adversarial`.
        n_examples : int, default=4
            Rows that are drawn at most.
        image_shape : tuple of int, default=None
            Shape of an image, if the rows of X are flat images.
        random_state : int, RandomState instance or None, default=0
            Seed of the attack.
        ax : matplotlib Axes or array of them, default=None
            Where to draw. None makes a figure.
        plot_params : dict, default=None
            Keywords of :meth:`plot`.
        **attack_params : dict
            Parameters of the attack.

        Returns
        -------
        display : AdversarialExamplesDisplay

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.linear_model import LogisticRegression
        >>> from skrobust import ThreatModel
        >>> from skrobust.inspection import AdversarialExamplesDisplay
        >>> X, y = load_iris(return_X_y=True, as_frame=True)
        >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
        >>> display = AdversarialExamplesDisplay.from_estimator(clf, X, y, threat_model=ThreatModel(0.5), n_examples=2)
        >>> len(display.axes_), display.axes_[0].get_xlabel()
        (2, 'change (in units of eps)')
        >>> plt.close(display.figure_)
        """
        settings = {"threat_model": threat_model, "random_state": random_state, **attack_params}
        result = find_adversarial(estimator, X, y, attack, **settings)
        options = {"threat_model": threat_model, "n_examples": n_examples, "image_shape": image_shape}
        return cls.from_result(result, estimator, X, y, ax=ax, **options, **(plot_params or {}))

    @classmethod
    def from_result(
        cls,
        result,
        estimator,
        X,
        y,
        *,
        threat_model=None,
        n_examples=4,
        image_shape=None,
        ax=None,
        **plot_params,
    ):
        """Draw what ``find_adversarial`` returned; the estimator only answers, nothing is attacked.

        Parameters
        ----------
        result : Bunch
            With ``X_adv``, ``success`` and ``distance``.
        estimator : classifier or Pipeline
            The one that was attacked.
        X : array-like or DataFrame of shape (n, n_features), or images
            The rows that were attacked.
        y : array-like of shape (n,)
            True labels.
        threat_model : ThreatModel, default=None
            In whose eps changes are counted. None counts them in the units of X.
        n_examples : int, default=4
            Rows that are drawn at most: first those that were fooled.
        image_shape : tuple of int, default=None
            Shape of an image, if the rows of X are flat images.
        ax : matplotlib Axes or array of them, default=None
            Where to draw. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : AdversarialExamplesDisplay

        Raises
        ------
        TypeError
            If the result has no adversarial rows.
        """
        missing = [key for key in ("X_adv", "success", "distance") if key not in result]
        if missing:
            raise TypeError(f"result has no {missing[0]!r}: pass what find_adversarial returned.")
        check_count("n_examples", n_examples)
        # Rows that were wrong from the start have a success at distance 0, and nothing to show.
        is_changed = np.asarray(result.success) & (np.asarray(result.distance) > 0)
        order = np.argsort(~is_changed, kind="stable")
        return cls.from_predictions(
            X,
            result.X_adv,
            estimator.predict(X),
            estimator.predict(result.X_adv),
            y=y,
            rows=order[:n_examples],
            threat_model=threat_model,
            image_shape=image_shape,
            ax=ax,
            **plot_params,
        )

    @classmethod
    def from_predictions(
        cls,
        X,
        X_adv,
        y_pred,
        y_pred_adv,
        *,
        y=None,
        rows=None,
        threat_model=None,
        image_shape=None,
        ax=None,
        **plot_params,
    ):
        """Draw rows and their counterparts of any origin, with the answers to both.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n, n_features), or images
            Rows before.
        X_adv : array-like or DataFrame of the same shape
            Rows after.
        y_pred : array-like of shape (n,)
            Answers to X.
        y_pred_adv : array-like of shape (n,)
            Answers to X_adv.
        y : array-like of shape (n,), default=None
            True labels. With them wrong answers stand out.
        rows : sequence of int, default=None
            Rows to draw. None takes the first four.
        threat_model : ThreatModel, default=None
            In whose eps changes are counted. None counts them in the units of X.
        image_shape : tuple of int, default=None
            Shape of an image, if the rows of X are flat images.
        ax : matplotlib Axes or array of them, default=None
            Where to draw. None makes a figure.
        **plot_params : dict
            Keywords of :meth:`plot`.

        Returns
        -------
        display : AdversarialExamplesDisplay

        Raises
        ------
        ValueError
            If lengths or shapes do not fit.
        """
        before, after = Rows(X), Rows(X_adv, "X_adv")
        gathered.check_fits(before, after, {"y_pred": y_pred, "y_pred_adv": y_pred_adv, "y": y})
        shape = pictures.shape_of(X, image_shape)
        index = gathered.check_index(range(min(4, len(before.matrix))) if rows is None else rows, len(before.matrix))
        answers = {"y": y, "answer_before": y_pred, "answer_after": y_pred_adv}
        answers = {key: None if labels is None else np.asarray(labels) for key, labels in answers.items()}
        examples = [gathered.example_of(i, before, after, answers) for i in index]
        display = cls(
            examples,
            feature_names=before.names,
            scale=None if threat_model is None else gathered.eps_of(threat_model, before, X),
            image_shape=shape,
        )
        return display.plot(ax, **plot_params)

    def plot(self, ax=None, *, max_features=10, bar_kw=None, image_kw=None):
        """Draw the examples.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, default=None
            Where to draw: three per image, one per row of a table, or one that is divided. None makes a figure.
        max_features : int, default=10
            Features that are shown of a row of a table: those that moved most.
        bar_kw : dict, default=None
            Keywords of the bars.
        image_kw : dict, default=None
            Keywords of the images before and after, for ``imshow``.

        Returns
        -------
        display : AdversarialExamplesDisplay
            This one.
        """
        self.images_, self.bars_ = None, []
        if self.image_shape is None:
            check_count("max_features", max_features)
            self._plot_bars(ax, max_features, bar_kw)
        else:
            self._plot_images(ax, image_kw)
        self.figure_ = self.axes_.ravel()[0].figure
        return self

    def _plot_images(self, ax, image_kw):
        n = len(self.examples)
        self.axes_ = drawing.panels(self, ax, 3, n, (1.2 + 1.7 * n, 5.6))
        self.images_ = pictures.draw(self.axes_, self.examples, self.image_shape, image_kw or {})
        for column, example in zip(self.axes_.T, self.examples, strict=True):
            column[0].set_title(
                f"answer: {_text(example['answer_before'])}", **_style(example["answer_before"], example["y"])
            )
            column[2].set_xlabel(
                f"answer: {_text(example['answer_after'])}", **_style(example["answer_after"], example["y"])
            )

    def _plot_bars(self, ax, max_features, bar_kw):
        n, changes = len(self.examples), [self._change(example) for example in self.examples]
        n_bars = [min(max_features, max(1, np.count_nonzero(change))) for change in changes]
        # As many axes as examples are one each; else two stand side by side.
        shape = (n, 1) if np.size(ax) == n and ax is not None else (-(-n // 2), min(2, n))
        axes = drawing.panels(self, ax, *shape, (6.4 * shape[1], shape[0] * (1.1 + 0.3 * max(n_bars))))
        self.axes_ = axes.ravel()[:n]
        for unused in axes.ravel()[n:]:
            unused.set_axis_off()
        most = 1.08 * max(np.abs(change).max() for change in changes) or 1.0
        for panel, example, change, count in zip(self.axes_, self.examples, changes, n_bars, strict=True):
            self._draw_bars(panel, example, change, count, bar_kw)
            panel.set_xlim(-most, most)

    def _change(self, example):
        """Return the change of each feature in units of eps, or of X."""
        change = example["after"] - example["before"]
        if self.scale is None:
            return change
        return np.divide(change, self.scale, out=np.zeros_like(change), where=self.scale > 0)

    def _draw_bars(self, ax, example, change, n_bars, bar_kw):
        """Draw the largest changes of one row, the largest on top."""
        index = np.argsort(-np.abs(change), kind="stable")[:n_bars][::-1]
        color = [OKABE_ITO[0] if change[j] >= 0 else OKABE_ITO[4] for j in index]
        style = drawing.patch_kwargs({"color": color, "height": 0.7}, bar_kw)
        self.bars_.append(ax.barh(np.arange(len(index)), change[index], **style))
        ax.set_yticks(np.arange(len(index)), [self._label(example, j) for j in index], fontsize="small")
        ax.axvline(0, color=INK, linewidth=0.8)
        units = "units of X" if self.scale is None else "units of eps"
        ax.grid(axis="x", color=FAINT, alpha=0.3)
        n_left = np.count_nonzero(change) - np.count_nonzero(change[index])
        answers = f"{_text(example['answer_before'])} → {_text(example['answer_after'])}"
        more = f"; {n_left} more features moved" if n_left else ""
        # From the right, as the panel is narrow beside long names.
        ax.set_xlabel(f"change (in {units}){more}", fontsize="small", loc="right")
        title = f"row {example['row']}: {answers}"
        ax.set_title(title, loc="right", **_style(example["answer_after"], example["y"]))

    def _label(self, example, j):
        before, after = _text(example["values_before"][j]), _text(example["values_after"][j])
        name = drawing.shortened(self.feature_names[j], LONGEST_NAME)
        return f"{name}: {before} → {after}" if before != after else f"{name}: {before}"


def _text(value):
    return drawing.shortened(f"{value:.4g}" if isinstance(value, float | np.floating) else str(value))


def _style(answer, y):
    """Return the style of an answer: wrong ones stand out, also without color."""
    is_wrong = y is not None and answer != y
    return {"color": WRONG if is_wrong else INK, "weight": "bold" if is_wrong else "normal", "fontsize": "small"}
