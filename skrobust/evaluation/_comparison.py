"""compare_training: several ways to train, judged under one protocol."""

import dataclasses
import itertools
import time
import warnings

from sklearn.base import clone, is_classifier
from sklearn.ensemble._base import _set_random_states
from sklearn.utils import Bunch

from skrobust._numbers import is_whole
from skrobust._version import __version__
from skrobust.evaluation._attacked import named_attacks
from skrobust.evaluation._models import check_is_dict, done_for_each
from skrobust.evaluation._protocol import Judge, Splits, check_folds_come_again, check_scores, named_threats
from skrobust.evaluation._runs import Runs, fingerprint
from skrobust.evaluation._summary import summarize
from skrobust.metrics._pandas import import_pandas
from skrobust.metrics._parameters import check_count

# Columns of the runs that are no measures.
KEY = ("model", "seed", "fold")
COUNTS = ("n_train", "n_test", "n_attacked")
# What every record of a run in a file has beside its measures.
OF_A_RUN = {*KEY, "estimator", "error"}


def compare_training(
    estimators,
    X,
    y,
    *,
    X_test=None,
    y_test=None,
    test_size=None,
    cv=None,
    threat_models=(),
    attacks=("worst_case",),
    n_attacked=None,
    scoring=None,
    n_seeds=5,
    baseline=None,
    random_state=0,
    n_jobs=None,
    path=None,
    verbose=0,
):
    """Train and attack several classifiers under one protocol, and compare them seed by seed.

    Every classifier is cloned, gets seeds drawn from the same number in its ``random_state`` parameters, also nested
    ones, and is trained and attacked on the same rows. With a `path`, runs that have ended are kept: a comparison that
    was cut off goes on where it was, and one with more seeds or classifiers adds to it.

    Parameters
    ----------
    estimators : dict of str to classifier
        Not fitted; they stay as they are.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows to train on or, without `X_test`, to split.
    y : array-like of shape (n,)
        Labels.
    X_test, y_test : array-like, default=None
        Rows to judge by, the same for all seeds.
    test_size : float or int, default=None
        Share or number of rows that are held out to judge by, drawn anew with each seed, stratified. It is a quarter
        if neither this nor `X_test` nor `cv` is given.
    cv : int, splitter or iterable, default=None
        Folds, as in scikit-learn, the same for all seeds; each is a run of its own. With a `path`, a splitter that
        draws them needs a ``random_state``.
    threat_models : ThreatModel, float, sequence or dict of these, default=()
        What attacks have to keep to, each with an eps; a number is an eps in numpy.inf. Those that differ in eps alone
        are attacked in one go, with survivors carried. A dict gives names, which otherwise are "linf_0.1", for
        instance. With several, a row counts in the "union" if it stands under all of them.
    attacks : sequence of attacks, or dict of str to attack, default=("worst_case",)
        As in :func:`robustness_curves`.
    n_attacked : int, default=None
        Rows that are attacked, spread evenly over those to judge by; None for all.
    scoring : str, callable, list or dict, default=None
        Further scores of scikit-learn, as in :func:`~sklearn.model_selection.cross_validate`, on all rows to judge by.
    n_seeds : int, default=5
        Number of seeds.
    baseline : str, default=None
        Classifier with which the others are compared.
    random_state : int, default=0
        First seed; the others follow it.
    n_jobs : int, default=None
        Processes, by joblib. The figures are those of one process, but for the seconds.
    path : str or Path, default=None
        File of JSON lines to which each run is added as it ends. Several processes may work on the same file with
        different seeds. Runs that failed are tried again, also with another estimator under their name.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    comparison : Bunch
        - runs: DataFrame with a row for each classifier, seed and fold: "clean", the accuracy on all rows to judge by;
          for each attack and threat model, such as "worst_case_linf_0.1", and for "worst_case_union", the share of all
          attacked rows that stand; "white_box", the least share of rows that were attacked along gradients, without
          which figures are loose upper bounds; ``test_`` and the name of each score; "fit_seconds" by the clock,
          "fit_cpu_seconds" of all threads of the process, "attack_seconds" by the clock, of which the first run of a
          process has imports in its own; the numbers of rows; and "error", empty unless the run failed, when all
          figures are NaN.
        - summary: DataFrame with a row for each classifier and measure, as :func:`summarize` returns it.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or `path` holds runs of another protocol or of other estimators.
    TypeError
        If the estimators are no dict of classifiers.
    ImportError
        If pandas is not installed.

    Warns
    -----
    UserWarning
        If runs failed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust import ThreatModel
    >>> from skrobust.evaluation import compare_training
    >>> X, y = load_iris(return_X_y=True)
    >>> models = {f"C={C}": LogisticRegression(C=C, max_iter=1000) for C in (0.01, 1.0)}
    >>> threats = [ThreatModel(0.5), ThreatModel(0.5, norm=2)]
    >>> found = compare_training(models, X, y, threat_models=threats, n_seeds=2, baseline="C=1.0")
    >>> found.runs[["model", "seed", "fold", "error"]]
        model  seed  fold error
    0  C=0.01     0     0
    1   C=1.0     0     0
    2  C=0.01     1     0
    3   C=1.0     1     0
    >>> list(found.summary["measure"].unique()[:4])
    ['clean', 'worst_case_linf_0.5', 'worst_case_l2_0.5', 'worst_case_union']
    """
    pandas = import_pandas("compare_training")
    _check(estimators, n_seeds, n_attacked, baseline, random_state)
    check_scores(scoring, next(iter(estimators.values())))
    if path is not None:
        check_folds_come_again(cv)
    seeds = range(random_state, random_state + n_seeds)
    splits = Splits.of(X, y, X_test, y_test, test_size, cv, seeds)
    judge = Judge(named_threats(threat_models), named_attacks(attacks), n_attacked, scoring)
    tasks = _tasks(estimators, seeds, splits, is_kept=path is not None)
    runs, known = None, {}
    if path is not None:
        runs = Runs(path, _protocol(splits, judge))
        known = _known(runs, tasks)
    todo = [(task, splits, judge, runs) for task in tasks if task.key not in known]
    done = done_for_each(_run, todo, n_jobs=n_jobs, verbose=verbose, desc="Training")
    known |= {_key(record): record for record in done}
    table = _table(pandas, [known[task.key] for task in tasks])
    _warn_of_errors(table)
    return Bunch(runs=table, summary=_summary(table, baseline))


def _check(estimators, n_seeds, n_attacked, baseline, random_state):
    check_is_dict(estimators)
    for name, estimator in estimators.items():
        if isinstance(estimator, type) or not is_classifier(estimator):
            raise TypeError(
                f"estimators has {estimator!r} under {name!r}, which is no classifier of scikit-learn: give an object "
                "that is not fitted."
            )
    check_count("n_seeds", n_seeds)
    if n_attacked is not None:
        check_count("n_attacked", n_attacked)
    if baseline is not None and str(baseline) not in map(str, estimators):
        raise ValueError(f"baseline={baseline!r} is not among the estimators {list(estimators)}: name one of them.")
    if not is_whole(random_state, least=0):
        raise ValueError(f"random_state={random_state!r} must be a whole number that is not negative: runs have seeds.")


@dataclasses.dataclass(frozen=True, eq=False)
class _Task:
    """One run: a classifier that is not fitted and has its seeds; its fingerprint is None if the run is not kept."""

    name: str
    seed: int
    fold: int
    estimator: object
    fingerprint: str | None

    @property
    def key(self):
        return self.name, self.seed, self.fold


def _tasks(estimators, seeds, splits, *, is_kept):
    """Return all runs, those of one seed together."""
    return [
        _task(str(name), seed, fold, estimator, is_kept)
        for seed, fold, (name, estimator) in itertools.product(seeds, range(splits.n_folds), estimators.items())
    ]


def _task(name, seed, fold, estimator, is_kept):
    estimator = clone(estimator)
    _set_random_states(estimator, seed)
    # Before the first training: one that cannot be known again must not end a comparison that has run for hours.
    return _Task(name, seed, fold, estimator, fingerprint(estimator) if is_kept else None)


def _run(task, splits, judge, runs):
    """Train and judge once, and keep the record."""
    record = {"model": task.name, "seed": task.seed, "fold": task.fold}
    if runs is not None:
        record["estimator"] = task.fingerprint
    try:
        record |= _measured(task, splits, judge)
    except Exception as error:
        record["error"] = f"{type(error).__name__}: {error}"
    if runs is not None:
        runs.add(record)
    return record


def _measured(task, splits, judge):
    X, y, X_test, y_test = splits.rows(task.seed, task.fold)
    # A copy of its own: tasks of one process share nothing.
    estimator = clone(task.estimator)
    start, cpu_start = time.perf_counter(), time.process_time()
    estimator.fit(X, y)
    seconds = {"fit_seconds": time.perf_counter() - start, "fit_cpu_seconds": time.process_time() - cpu_start}
    measures = judge(estimator, X_test, y_test, task.seed)
    return {**measures, **seconds, "n_train": len(y), "n_test": len(y_test), "error": ""}


def _protocol(splits, judge):
    """Return what has to be the same for runs to be compared, by name."""
    return {**splits.fingerprints(), **judge.fingerprints(), "version of skrobust": __version__}


def _key(record):
    return tuple(record[name] for name in KEY)


def _known(runs, tasks):
    """Return the records of runs that have ended without an error, by their key."""
    # A run that failed is tried again, also by an estimator that was mended, and so is one whose line lost a part.
    records = [record for record in runs.records() if record.keys() >= OF_A_RUN and not record["error"]]
    own = {task.key: task for task in tasks}
    for record in records:
        task = own.get(_key(record))
        if task is not None and record["estimator"] != task.fingerprint:
            raise ValueError(
                f"path={str(runs.path)!r} holds runs of another estimator under the name {task.name!r}: give another "
                "path, or this one another name."
            )
    return {_key(record): record for record in records}


def _table(pandas, records):
    """Return the runs as a DataFrame, what is known of most of them first."""
    names = dict.fromkeys(name for record in sorted(records, key=len, reverse=True) for name in record)
    measures = [name for name in names if name not in (*KEY, "estimator", "error")]
    return pandas.DataFrame(records, columns=[*KEY, *measures, "error"])


def _warn_of_errors(table):
    failed = table[table["error"] != ""]
    if len(failed):
        first = failed.iloc[0]
        warnings.warn(
            f"{len(failed)} of {len(table)} runs failed, and their figures are NaN. The first is {first['model']!r} "
            f"with seed {first['seed']}: {first['error']}",
            UserWarning,
            stacklevel=3,
        )


def _summary(table, baseline):
    """Return means over seeds, and paired differences, of all measures."""
    measures = [name for name in table if name not in (*KEY, *COUNTS, "error")]
    tidy = table.melt(list(KEY), measures, "measure", "value")
    tidy["value"] = tidy["value"].astype(float)
    # Where all runs failed there are no measures, of the baseline neither.
    return summarize(tidy, "value", baseline=None if baseline is None or tidy.empty else str(baseline))
