"""Means over seeds, and differences in pairs of the same seed."""

from skrobust.metrics._pandas import import_pandas

# Columns that say what a figure is of, in tables of this package.
KEYS = ("model", "attack", "norm", "eps", "directions", "quantile", "measure")


def summarize(table, value="accuracy", *, baseline=None):
    """Return means over seeds with their standard errors, and differences to a baseline, seed by seed.

    Parameters
    ----------
    table : DataFrame
        With the columns "model", "seed" and `value`, as :func:`robustness_curves` and others return it. Figures are
        kept apart by those of the columns "model", "attack", "norm", "eps", "directions", "quantile" and "measure"
        that there are. Rows of the same seed, such as folds, are averaged first.
    value : str, default="accuracy"
        Column to summarize. Missing values are left out; an infinite one, such as the median of distances most of
        which are censored, makes the mean infinite.
    baseline : str, default=None
        Model with which the others are compared, each seed with the same seed of the baseline: what a seed does to
        all models alike does not count.

    Returns
    -------
    summary : DataFrame
        A row for each combination of these columns, in the order of the table, with:

        - mean: over seeds;
        - std_error: its standard error, NaN for one seed;
        - n_seeds: number of seeds;
        - difference, difference_std_error: with a baseline, the mean of the differences to it over the seeds that
          both have, and its standard error.

    Raises
    ------
    ValueError
        If a column is missing, or there is no such model.
    ImportError
        If pandas is not installed.

    Notes
    -----
    A standard error over seeds is that of training. The rows are the same for all seeds, and their own standard error
    comes on top.

    Examples
    --------
    >>> import pandas as pd
    >>> from skrobust.evaluation import summarize
    >>> table = pd.DataFrame({"model": list("aabb"), "seed": [0, 1, 0, 1], "accuracy": [0.5, 0.7, 0.6, 0.8]})
    >>> summarize(table, baseline="a").round(2)
      model  mean  std_error  n_seeds  difference  difference_std_error
    0     a   0.6        0.1        2         0.0                   0.0
    1     b   0.7        0.1        2         0.1                   0.0
    """
    import_pandas("summarize")
    missing = [name for name in ("model", "seed", value) if name not in table]
    if missing:
        raise ValueError(f"table has no column {missing[0]!r}: pass one that has, or set value to one of its columns.")
    if baseline is not None and baseline not in set(table["model"]):
        raise ValueError(f"baseline={baseline!r} is not among the models {sorted(set(table['model']))}: name one.")
    keys = [name for name in KEYS if name in table]
    figures = _grouped(table, [*keys, "seed"])[value].mean().reset_index()
    named = {"mean": (value, "mean"), "std_error": (value, "sem"), "n_seeds": (value, "count")}
    if baseline is not None:
        reference = figures[figures["model"] == baseline].drop(columns="model")
        pair = [name for name in reference if name != value]
        figures = figures.merge(reference, how="left", on=pair, suffixes=("", " of the baseline"))
        figures["difference"] = figures[value] - figures[f"{value} of the baseline"]
        named |= {"difference": ("difference", "mean"), "difference_std_error": ("difference", "sem")}
    return _grouped(figures, keys).agg(**named).reset_index()


def _grouped(table, keys):
    return table.groupby(keys, sort=False, dropna=False, observed=True)
