"""What is the same for all runs of a comparison: rows, attacks and scores."""

import dataclasses
import time
from collections.abc import Mapping

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv, train_test_split
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length

from skrobust.attacks import ThreatModel
from skrobust.evaluation._attacked import attacked
from skrobust.evaluation._runs import fingerprint
from skrobust.metrics._parameters import check_has_eps, check_threat_model, radius_of


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """Rows to train on and to judge by.

    Parameters
    ----------
    X, y : array-like
    test : tuple (X_test, y_test) or None
    folds : dict of int to list of tuple (train, test) of ndarray of int
        By seed; empty if the rows to judge by were given.
    drawn : dict
        The parameters from which the folds come, for the fingerprint.
    """

    X: object
    y: object
    test: tuple | None
    folds: dict
    drawn: dict

    @classmethod
    def of(cls, X, y, X_test, y_test, test_size, cv, seeds):
        """Return the splits that the parameters of compare_training mean, after a check of them."""
        check_consistent_length(X, y)
        given = {"X_test": X_test, "test_size": test_size, "cv": cv}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} say twice which rows are to judge by: give one of them.")
        if (X_test is None) != (y_test is None):
            raise ValueError("X_test and y_test belong together, but only one of them is given: pass both.")
        if X_test is not None:
            check_consistent_length(X_test, y_test)
            return cls(X, y, (X_test, y_test), {}, {})
        if cv is not None:
            folds = list(check_cv(cv, y, classifier=True).split(X, y))
            return cls(X, y, None, dict.fromkeys(seeds, folds), {"cv": folds})
        size, every = 0.25 if test_size is None else test_size, np.arange(len(y))
        held_out = {seed: train_test_split(every, test_size=size, stratify=y, random_state=seed) for seed in seeds}
        return cls(X, y, None, {seed: [tuple(pair)] for seed, pair in held_out.items()}, {"test_size": size})

    @property
    def n_folds(self):
        """Number of runs with one seed."""
        return len(next(iter(self.folds.values()))) if self.folds else 1

    def rows(self, seed, fold):
        """Return X_train, y_train, X_test, y_test."""
        if self.test is not None:
            return self.X, self.y, *self.test
        return tuple(_safe_indexing(values, index) for index in self.folds[seed][fold] for values in (self.X, self.y))

    def fingerprints(self):
        """Return what tells these rows from others."""
        parts = {"X": self.X, "y": self.y, "X_test and y_test": self.test, **self.drawn}
        return {name: fingerprint(part) for name, part in parts.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class Judge:
    """What is measured of a fitted classifier.

    Parameters
    ----------
    threats : dict of str to ThreatModel
    attacks : dict of str to list of tuple (attack, dict)
    n_attacked : int or None
    scoring : str, callable, list, dict or None
    """

    threats: dict
    attacks: dict
    n_attacked: int | None
    scoring: object

    def __call__(self, estimator, X, y, seed):
        """Return measures of a fitted classifier on these rows, by name."""
        index = np.arange(len(y))
        if self.n_attacked is not None and self.n_attacked < len(y):
            index = np.linspace(0, len(y) - 1, self.n_attacked).astype(int)
        measures = {"clean": float(np.mean(np.asarray(estimator.predict(X)) == np.asarray(y)))}
        # Scores first: one that these rows do not allow, such as "roc_auc" for three classes, fails before the attacks.
        scores = self._scores(estimator, X, y)
        start = time.perf_counter()
        measures |= self._robust(estimator, _safe_indexing(X, index), _safe_indexing(y, index), seed)
        measures["attack_seconds"] = time.perf_counter() - start
        return measures | scores | {"n_attacked": len(index) if self.threats else 0}

    def _robust(self, estimator, X, y, seed):
        measures, shares = {}, []
        for name, pairs in self.attacks.items():
            rows = {}
            for names, threat_model, radii in self._balls():
                found = attacked(estimator, X, y, pairs, threat_model=threat_model, radii=radii, random_state=seed)
                rows |= dict(zip(names, found.standing, strict=True))
                shares.append(found.white_box)
            measures |= {f"{name}_{threat}": float(rows[threat].mean()) for threat in self.threats}
            if len(rows) > 1:
                measures[f"{name}_union"] = float(np.min(list(rows.values()), axis=0).mean())
        return measures | ({"white_box": min(shares)} if shares else {})

    def _balls(self):
        """Yield names, threat model and radii of the threat models that differ in eps alone."""
        groups = {}
        for name, threat in sorted(self.threats.items(), key=lambda pair: radius_of(pair[1])):
            is_per_feature = isinstance(threat.eps, tuple)
            groups.setdefault(threat if is_per_feature else dataclasses.replace(threat, eps=None), []).append(name)
        for names in groups.values():
            threats = [self.threats[name] for name in names]
            yield names, threats[-1], tuple(map(radius_of, threats))

    def _scores(self, estimator, X, y):
        if self.scoring is None:
            return {}
        scores = check_scoring(estimator, self.scoring)(estimator, X, y)
        scores = scores if isinstance(scores, dict) else {"score": scores}
        return {f"test_{name}": float(score) for name, score in scores.items()}

    def fingerprints(self):
        """Return what tells this way to judge from others."""
        parts = {"threat_models": self.threats, "attacks": self.attacks, "n_attacked": self.n_attacked}
        return {name: fingerprint(part) for name, part in {**parts, "scoring": self.scoring}.items()}


def check_scores(scoring, estimator):
    """Check that scikit-learn can score an estimator, which need not be fitted, by this; None is no scores."""
    if scoring is None:
        return
    try:
        check_scoring(estimator, scoring)
        # Of a dict, scikit-learn looks at the names alone.
        is_known = all(isinstance(one, str) or callable(one) for one in _listed(scoring))
    except (TypeError, ValueError):
        is_known = False
    if not is_known:
        raise ValueError(
            f"scoring={scoring!r} is no scoring of scikit-learn: use names of sklearn.metrics.get_scorer_names() or "
            "functions of a fitted estimator, X and y."
        )


def check_folds_come_again(cv):
    """Check that folds are the same in every call, without which runs on file could not be gone on with."""
    if _draws_anew(cv):
        raise ValueError(
            f"cv={cv!r} draws other folds in every call, so that path=... could not go on with these: give the "
            "splitter a random_state, such as 0."
        )


def _draws_anew(cv):
    """Return whether a splitter, or one that it wraps, draws its folds and has no seed."""
    # Those that always draw, such as ShuffleSplit, have no parameter shuffle.
    is_drawn = getattr(cv, "random_state", 0) is None and getattr(cv, "shuffle", True)
    return is_drawn or (hasattr(cv, "cv") and _draws_anew(cv.cv))


def _listed(scoring):
    if isinstance(scoring, Mapping):
        return list(scoring.values())
    return scoring if isinstance(scoring, list | tuple | set) else [scoring]


def named_threats(threat_models):
    """Return threat models by the name that they have in tables.

    Parameters
    ----------
    threat_models : ThreatModel, float, sequence or dict of these

    Returns
    -------
    named : dict of str to ThreatModel

    Raises
    ------
    ValueError
        If one has no eps, its units or bounds are open, or two have the same name.
    TypeError
        If one is neither a threat model nor a number.
    """
    if isinstance(threat_models, dict):
        named = {str(name): _threat(threat) for name, threat in threat_models.items()}
    else:
        is_one = isinstance(threat_models, ThreatModel) or np.isscalar(threat_models)
        listed = [_threat(threat) for threat in ([threat_models] if is_one else threat_models)]
        named = {f"l{threat.norm:g}_{radius_of(threat):g}": threat for threat in listed}
        if len(named) < len(listed):
            raise ValueError(
                f"threat_models={threat_models!r} has the same norm and eps twice: pass a dict, with a name for each."
            )
    if "union" in named:
        raise ValueError("threat_models has the name 'union', which is that of all together: choose another.")
    return named


def _threat(threat):
    threat = ThreatModel(float(threat)) if np.isscalar(threat) and not isinstance(threat, str) else threat
    check_threat_model(threat)
    check_has_eps(threat)
    return threat
