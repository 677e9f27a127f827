"""compare_training: the same rows and seeds for all, and nothing lost when it is cut off."""

import copy
import json
import os
import runpy
import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.ensemble._base import _set_random_states
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import KFold, RepeatedKFold, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import Bunch
from torch import nn

from skrobust import ThreatModel, make_robustness_scorers
from skrobust.evaluation import compare_training, summarize
from skrobust.metrics import robust_accuracy_score
from skrobust.model_selection import LabeledFolds
from skrobust.modules import MLP

SECONDS = ["fit_seconds", "fit_cpu_seconds", "attack_seconds"]
# One epoch each, so that seeds differ.
MODELS = {
    "svm": SGDClassifier(max_iter=1, tol=None),
    "logistic": make_pipeline(StandardScaler(), SGDClassifier("log_loss", max_iter=1, tol=None)),
}
SEEN = []


@pytest.fixture(scope="module")
def data():
    return make_classification(120, 5, n_informative=3, n_redundant=0, flip_y=0.1, random_state=0)


class Recorder(ClassifierMixin, BaseEstimator):
    """Remembers what it was fitted on, and answers the most frequent class."""

    def __init__(self, tag="", inner=None, random_state=None, fails_at=None):
        self.tag, self.inner, self.random_state, self.fails_at = tag, inner, random_state, fails_at

    def fit(self, X, y):
        inner = None if self.inner is None else self.inner.random_state
        SEEN.append((self.tag, self.random_state, inner, X.copy(), y.copy()))
        if self.fails_at == len(SEEN):
            raise RuntimeError("no luck")
        self.classes_, counts = np.unique(y, return_counts=True)
        self.answer_ = self.classes_[counts.argmax()]
        return self

    def predict(self, X):
        return np.full(len(X), self.answer_)


@pytest.fixture
def seen():
    """Return what recorders were fitted on."""
    SEEN.clear()
    return SEEN


def without_seconds(table):
    return table.drop(columns=SECONDS)


def assert_same(one, two):
    pd.testing.assert_frame_equal(without_seconds(one.runs), without_seconds(two.runs))
    figures = [found.summary[~found.summary["measure"].isin(SECONDS)].reset_index(drop=True) for found in (one, two)]
    pd.testing.assert_frame_equal(*figures)


def test_runs_are_what_one_would_do_by_hand(data):
    X, y = data
    threats = {"near": ThreatModel(0.1), "far": ThreatModel(0.3), "euclid": ThreatModel(0.3, norm=2)}
    attacks = {"pgd": "pgd", "fab": {"attack": "minimum_norm", "max_iter": 10}}
    found = compare_training(
        MODELS,
        X[:80],
        y[:80],
        X_test=X[80:],
        y_test=y[80:],
        threat_models=threats,
        attacks=attacks,
        n_seeds=2,
        random_state=3,
        scoring={"f1": "f1", "mistakes": lambda clf, X, y: -np.sum(clf.predict(X) != y)},
    )
    assert found.runs[["model", "seed"]].to_numpy().tolist() == [
        ["svm", 3],
        ["logistic", 3],
        ["svm", 4],
        ["logistic", 4],
    ]
    for _, run in found.runs.iterrows():
        clf = clone(MODELS[run["model"]])
        _set_random_states(clf, run["seed"])
        clf.fit(X[:80], y[:80])
        assert run["clean"] == clf.score(X[80:], y[80:])
        assert run["test_mistakes"] == -np.sum(clf.predict(X[80:]) != y[80:])
        assert 0 < run["test_f1"] < 1
        rows = {
            name: robust_accuracy_score(
                clf, X[80:], y[80:], threat_model=threat, attack="pgd", per_sample=True, random_state=run["seed"]
            )
            for name, threat in threats.items()
        }
        for name, stands in rows.items():
            assert run[f"pgd_{name}"] == pytest.approx(stands.mean(), abs=0.026)
        union = np.min(list(rows.values()), axis=0).mean()
        assert run["pgd_union"] == pytest.approx(union, abs=0.026)
        assert run["pgd_union"] <= min(run[f"pgd_{name}"] for name in threats) < run["clean"]
        assert run["fab_near"] >= run["fab_far"]
    assert (found.runs[["n_train", "n_test", "n_attacked"]] == [80, 40, 40]).all(axis=None)
    assert (found.runs["white_box"] == 1).all()
    assert (found.runs["error"] == "").all()
    assert (found.runs[SECONDS] >= 0).all(axis=None)
    assert len(set(found.runs["clean"])) > 1


def test_every_model_gets_the_same_rows_and_seeds(data, seen):
    models = {"a": Recorder("a", Recorder()), "b": Recorder("b", Recorder())}
    compare_training(models, *data, n_seeds=3)
    for a, b in zip(seen[::2], seen[1::2], strict=True):
        assert (a[0], b[0]) == ("a", "b")
        assert a[1:3] == b[1:3]
        assert (a[3] == b[3]).all()
        assert (a[4] == b[4]).all()
    # The outer and the inner seed differ from one seed of the comparison to the next, and so do the rows.
    assert len({entry[1:3] for entry in seen}) == 3
    assert len({entry[3].tobytes() for entry in seen}) == 3
    assert models["a"].random_state is None
    assert models["a"].inner.random_state is None


def test_seeds_of_nested_estimators_are_set(data):
    models = {"bagging": BaggingClassifier(DecisionTreeClassifier(splitter="random"), n_estimators=2)}
    one, two = (compare_training(models, *data, n_seeds=2, random_state=9) for _ in range(2))
    assert_same(one, two)


@pytest.mark.parametrize(("params", "n_test"), [({}, 30), ({"test_size": 0.5}, 60), ({"test_size": 10}, 10)])
def test_rows_are_held_out_anew_with_each_seed(data, seen, params, n_test):
    found = compare_training({"a": Recorder()}, *data, n_seeds=2, **params)
    assert (found.runs["n_test"] == n_test).all()
    assert (found.runs["n_train"] == 120 - n_test).all()
    # Stratified: the share of the classes stays.
    assert abs(seen[0][4].mean() - data[1].mean()) < 0.03
    assert (seen[0][3] != seen[1][3]).any()


def test_folds_are_runs(data, seen):
    found = compare_training({"a": Recorder(), "b": Recorder()}, *data, n_seeds=2, cv=KFold(3))
    assert found.runs[["seed", "fold", "model"]].to_numpy().tolist() == [
        [seed, fold, model] for seed in (0, 1) for fold in (0, 1, 2) for model in "ab"
    ]
    assert (found.runs["n_test"] == 40).all()
    assert (seen[0][3] == data[0][40:]).all()
    assert (found.summary["n_seeds"] == 2).all()


def test_some_rows_are_attacked(data):
    X, y = data
    params = {"X_test": X, "y_test": y, "threat_models": 0.2, "attacks": "fgsm", "n_seeds": 1}
    found = compare_training({"a": LogisticRegression()}, X, y, n_attacked=7, **params).runs
    some = np.linspace(0, 119, 7).astype(int)
    clf = LogisticRegression().fit(X, y)
    assert found["n_attacked"].item() == 7
    assert found["clean"].item() == clf.score(X, y)
    assert found["fgsm_linf_0.2"].item() == robust_accuracy_score(clf, X[some], y[some], eps=0.2, attack="fgsm")
    assert "fgsm_union" not in found


def test_threat_models_have_names(data):
    threats = [0.1, ThreatModel(0.2, norm=2), ThreatModel(2, norm=1), ThreatModel((0.1,) * 5)]
    found = compare_training({"a": DummyClassifier()}, *data, threat_models=threats, attacks=["noise"], n_seeds=1)
    names = ["noise_linf_0.1", "noise_l2_0.2", "noise_l1_2", "noise_linf_1", "noise_union"]
    assert [name for name in found.runs if name.startswith("noise")] == names


def test_any_classifier(data, quick):
    models = {"ours": quick(), "forest": RandomForestClassifier(3), "dummy": DummyClassifier()}
    frame = pd.DataFrame(data[0], columns=list("abcde"))
    found = compare_training(models, frame, data[1], threat_models=[0.1], n_seeds=1, n_attacked=4).runs
    assert (found["error"] == "").all()
    assert found["white_box"][:2].tolist() == [1, 0]
    assert found["worst_case_linf_0.1"].between(0, 1).all()


def test_scores_that_are_dicts_or_single(data):
    params = {"n_seeds": 1, "scoring": make_robustness_scorers("pgd", eps_grid=[0.1])}
    found = compare_training({"a": LogisticRegression()}, *data, **params).runs
    assert found["test_clean"].item() == found["clean"].item() >= found["test_robust_0.1"].item()
    params["scoring"] = "balanced_accuracy"
    assert "test_score" in compare_training({"a": LogisticRegression()}, *data, **params).runs


def test_summary_has_paired_differences(data):
    found = compare_training(MODELS, *data, threat_models=[0.1], attacks="pgd", n_seeds=3, baseline="svm")
    runs = found.runs.set_index(["model", "seed"])["pgd_linf_0.1"]
    row = found.summary.set_index(["model", "measure"]).loc[("logistic", "pgd_linf_0.1")]
    gaps = runs["logistic"] - runs["svm"]
    assert row["mean"] == pytest.approx(runs["logistic"].mean())
    assert row["std_error"] == pytest.approx(runs["logistic"].std() / np.sqrt(3))
    assert row["difference"] == pytest.approx(gaps.mean())
    assert row["difference_std_error"] == pytest.approx(gaps.std() / np.sqrt(3))
    assert set(SECONDS) < set(found.summary["measure"])
    by_hand = summarize(found.runs, "clean", baseline="svm")
    of_clean = found.summary[found.summary["measure"] == "clean"].drop(columns="measure").reset_index(drop=True)
    pd.testing.assert_frame_equal(by_hand, of_clean)


@pytest.mark.parametrize("baseline", [1, "1"], ids=repr)
def test_a_baseline_may_have_a_name_that_is_no_text(data, baseline):
    models = {1: LogisticRegression(), 2: LogisticRegression(C=0.01)}
    found = compare_training(models, *data, n_seeds=1, baseline=baseline)
    differences = found.summary.set_index(["model", "measure"])["difference"]
    assert differences["1", "clean"] == 0
    assert differences["2", "clean"] == found.runs["clean"][1] - found.runs["clean"][0]


def test_a_failing_fit_does_not_lose_the_others(data, seen):
    models = {"good": LogisticRegression(), "bad": Recorder(fails_at=1)}
    with pytest.warns(UserWarning, match="1 of 4 runs failed.*'bad' with seed 0: RuntimeError: no luck"):
        found = compare_training(models, *data, n_seeds=2)
    runs = found.runs
    assert runs["error"].tolist() == ["", "RuntimeError: no luck", "", ""]
    assert runs["clean"].isna().tolist() == [False, True, False, False]
    n_seeds = found.summary.set_index(["model", "measure"])["n_seeds"]
    assert n_seeds["good", "clean"] == 2
    assert n_seeds["bad", "clean"] == 1


@pytest.mark.parametrize("baseline", [None, "bad"])
def test_when_all_fail_there_is_still_a_table(data, seen, baseline):
    with pytest.warns(UserWarning, match="1 of 1 runs failed"):
        found = compare_training({"bad": Recorder(fails_at=1)}, *data, n_seeds=1, baseline=baseline)
    assert found.runs["error"].tolist() == ["RuntimeError: no luck"]
    assert len(found.summary) == 0


def test_a_score_that_the_classes_do_not_allow_fails_before_the_attacks(data):
    X, y = data
    attacked = []

    def spy(estimator, X, y, *, radius, rng):
        attacked.append(len(X))
        return X

    params = {"threat_models": [0.1], "attacks": {"spy": spy}, "n_seeds": 1, "scoring": "roc_auc"}
    with pytest.warns(UserWarning, match="1 of 1 runs failed.*multi_class must be in"):
        compare_training({"a": LogisticRegression()}, X, y + (X[:, 0] > 0), **params)
    assert not attacked
    compare_training({"a": LogisticRegression()}, X, y, **params)
    assert attacked


def test_no_row_is_attacked_without_a_threat_model(data):
    found = compare_training({"a": LogisticRegression()}, *data, n_seeds=1, n_attacked=10)
    assert found.runs["n_attacked"].item() == 0
    assert found.runs["n_test"].item() == 30


def test_failed_runs_are_tried_again(data, seen, tmp_path):
    path = tmp_path / "folder" / "runs.jsonl"
    models = {"bad": Recorder(fails_at=1)}
    with pytest.warns(UserWarning, match="1 of 2 runs failed"):
        compare_training(models, *data, n_seeds=2, path=path)
    found = compare_training(models, *data, n_seeds=2, path=path)
    assert (found.runs["error"] == "").all()
    assert len(seen) == 3


def test_more_seeds_and_models_add_to_a_file(data, seen, tmp_path):
    path = str(tmp_path / "runs.jsonl")
    compare_training({"a": Recorder("a")}, *data, n_seeds=2, path=path)
    both = {"a": Recorder("a"), "b": Recorder("b")}
    kept = compare_training(both, *data, n_seeds=3, path=path)
    assert [entry[0] for entry in seen] == ["a", "a", "b", "b", "a", "b"]
    assert_same(kept, compare_training(both, *data, n_seeds=3))
    n_fits = len(seen)
    again = compare_training({"b": Recorder("b")}, *data, n_seeds=1, random_state=2, path=path)
    assert again.runs[["model", "seed"]].to_numpy().tolist() == [["b", 2]]
    assert len(seen) == n_fits


def test_processes_give_the_same_figures(data, tmp_path):
    params = {"threat_models": [0.1, 0.2], "attacks": ["pgd"], "n_seeds": 2}
    one = compare_training(MODELS, *data, **params)
    path = tmp_path / "runs.jsonl"
    assert_same(one, compare_training(MODELS, *data, n_jobs=2, path=path, **params))
    assert len(path.read_text().splitlines()) == 5
    assert_same(one, compare_training(MODELS, *data, path=path, **params))


SCRIPT = textwrap.dedent(
    """
    import os, pathlib, signal, sys
    import pandas as pd
    from sklearn.datasets import make_classification
    from sklearn.linear_model import SGDClassifier
    from skrobust.evaluation import compare_training

    class Mortal(SGDClassifier):
        def fit(self, X, y):
            done = len(pathlib.Path(sys.argv[1]).read_text().splitlines()) - 1
            if str(done) == os.environ.get("DIES_AFTER"):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().fit(X, y)

    X, y = make_classification(120, 5, random_state=0)
    X = pd.DataFrame(X, columns=list("abcde")).assign(word=0)
    models = {"one": Mortal(max_iter=1, tol=None), "two": Mortal(alpha=1.0, max_iter=1, tol=None)}
    found = compare_training(
        models, X, y, threat_models=[0.1], attacks=["pgd"], scoring=["f1"], n_seeds=3, path=sys.argv[1], baseline="one"
    )
    pd.to_pickle({"runs": found.runs, "summary": found.summary}, sys.argv[1] + ".tables")
    """
)


def test_a_killed_comparison_goes_on_where_it_was(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    cut, whole = tmp_path / "cut.jsonl", tmp_path / "whole.jsonl"

    def run(dies_after):
        command, environment = [sys.executable, str(script), str(cut)], {**os.environ, "DIES_AFTER": dies_after}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603

    assert run("3").returncode == -signal.SIGKILL
    before = cut.read_text()
    assert len(before.splitlines()) == 1 + 3
    # What a write that was cut off would leave.
    with cut.open("a") as file:
        file.write('{"model": "two", "se')
    done = run("never")
    assert done.returncode == 0, done.stderr
    assert cut.read_text().startswith(before)
    assert len(cut.read_text().splitlines()) == 1 + 3 + 1 + 3
    monkeypatch.setattr(sys, "argv", [str(script), str(whole)])
    runpy.run_path(str(script))
    one, two = (Bunch(**pd.read_pickle(f"{path}.tables")) for path in (cut, whole))
    assert_same(one, two)
    assert len(one.runs) == 6


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"X": np.ones((120, 5))}, "X"),
        ({"y": np.arange(120) % 2}, "y"),
        ({"threat_models": [0.2]}, "threat_models"),
        ({"attacks": [{"attack": "pgd"}]}, None),
        ({"attacks": {"pgd": {"attack": "pgd", "max_iter": 3}}}, "attacks"),
        ({"n_attacked": 5}, "n_attacked"),
        ({"scoring": "f1"}, "scoring"),
        ({"test_size": 0.3}, "test_size"),
        ({"cv": 3}, "cv, test_size"),
        ({"X_test": np.ones((3, 5)), "y_test": [0, 1, 1]}, "X_test and y_test, test_size"),
        ({"n_seeds": 2, "baseline": "a", "test_size": 0.25}, None),
    ],
)
def test_another_protocol_is_not_mixed_in(data, seen, tmp_path, change, differs):
    path = tmp_path / "runs.jsonl"
    params = {"X": data[0], "y": data[1], "threat_models": [0.1], "attacks": {"pgd": "pgd"}, "n_seeds": 1, "path": path}
    if "attacks" in change and not isinstance(change["attacks"], dict):
        change = {"attacks": {"pgd": change["attacks"]}}
    compare_training({"a": Recorder()}, **params)
    before = path.read_text()
    if differs is None:
        compare_training({"a": Recorder()}, **{**params, **change})
        return
    with pytest.raises(ValueError, match=f"holds runs of another protocol, which differs in {differs}:"):
        compare_training({"a": Recorder()}, **{**params, **change})
    assert path.read_text() == before


def test_a_file_joined_from_several_protocols_is_refused(data, seen, tmp_path):
    params = {"X": data[0], "y": data[1], "attacks": {"pgd": "pgd"}, "n_seeds": 1}
    paths = [tmp_path / f"{eps}.jsonl" for eps in (0.1, 0.2)]
    for path, eps in zip(paths, (0.1, 0.2), strict=True):
        compare_training({"a": Recorder()}, **params, threat_models=[eps], path=path)
    joined = tmp_path / "joined.jsonl"
    joined.write_text("".join(path.read_text() for path in paths))
    with pytest.raises(ValueError, match="holds runs of another protocol, which differs in threat_models:"):
        compare_training({"a": Recorder()}, **params, threat_models=[0.1], path=joined)


def test_another_estimator_is_not_mixed_in(data, tmp_path):
    path = tmp_path / "runs.jsonl"
    compare_training({"a": LogisticRegression(C=1.0)}, *data, n_seeds=1, path=path)
    with pytest.raises(ValueError, match=r"runs.jsonl' holds runs of another estimator under the name 'a'"):
        compare_training({"a": LogisticRegression(C=2.0)}, *data, n_seeds=1, path=path)
    compare_training({"b": LogisticRegression(C=2.0)}, *data, n_seeds=1, path=path)


def test_another_fitted_estimator_is_not_mixed_in(data, tmp_path):
    X, y = data
    path, one, other = tmp_path / "runs.jsonl", LogisticRegression().fit(X, y), LogisticRegression().fit(X, 1 - y)
    first = compare_training({"a": FrozenEstimator(one)}, X, y, n_seeds=1, path=path)
    assert_same(first, compare_training({"a": FrozenEstimator(one)}, X, y, n_seeds=1, path=path))
    with pytest.raises(ValueError, match=r"holds runs of another estimator under the name 'a'"):
        compare_training({"a": FrozenEstimator(other)}, X, y, n_seeds=1, path=path)


def test_a_failed_run_may_be_mended_on_the_same_path(data, tmp_path):
    path = tmp_path / "runs.jsonl"
    with pytest.warns(UserWarning, match="1 of 1 runs failed"):
        compare_training({"a": LogisticRegression(C=-1)}, *data, n_seeds=1, path=path)
    mended = compare_training({"a": LogisticRegression(C=1)}, *data, n_seeds=1, path=path)
    assert mended.runs["error"].tolist() == [""]
    assert_same(mended, compare_training({"a": LogisticRegression(C=1)}, *data, n_seeds=1, path=path))
    with pytest.raises(ValueError, match=r"holds runs of another estimator under the name 'a'"):
        compare_training({"a": LogisticRegression(C=-1)}, *data, n_seeds=1, path=path)


def test_networks_given_as_objects_are_known_again(data, tmp_path, quick):
    path = tmp_path / "runs.jsonl"
    network = MLP(5, 2)
    first = compare_training({"a": quick(module=network)}, *data, n_seeds=2, path=path)
    before = path.read_text()
    assert_same(first, compare_training({"a": quick(module=copy.deepcopy(network))}, *data, n_seeds=2, path=path))
    assert path.read_text() == before
    with pytest.raises(ValueError, match=r"holds runs of another estimator under the name 'a'"):
        compare_training({"a": quick(module=MLP(5, 2))}, *data, n_seeds=2, path=path)


@pytest.mark.parametrize("text", ["model,seed\na,1\n", "[1, 2]\n", '{"model": "a"}\n'])
def test_other_files_are_left_alone(data, tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"notes.txt' is no file of compare_training"):
        compare_training({"a": LogisticRegression()}, *data, n_seeds=1, path=path)
    assert path.read_text() == text


@pytest.mark.parametrize("lost", [["error"], ["estimator"], ["model", "seed"], ["fold", "error"]], ids=" and ".join)
def test_a_record_that_lost_a_part_is_no_run(data, seen, tmp_path, lost):
    path = tmp_path / "runs.jsonl"
    models = {"a": Recorder("a"), "b": Recorder("b")}
    whole = compare_training(models, *data, n_seeds=1, path=path)
    *kept, last = path.read_text().splitlines()
    part = {name: value for name, value in json.loads(last).items() if name not in lost}
    path.write_text("\n".join([*kept, json.dumps(part), "{}"]))
    assert_same(whole, compare_training(models, *data, n_seeds=1, path=path))
    assert [entry[0] for entry in seen] == ["a", "b", "b"]
    assert len(path.read_text().splitlines()) == 5


@pytest.mark.parametrize("params", [{"n_seeds": 0}, {"scoring": "acuracy"}])
def test_nothing_is_trained_and_nothing_written_after_wrong_parameters(data, seen, tmp_path, params):
    path = tmp_path / "runs.jsonl"
    with pytest.raises(ValueError, match=r"n_seeds=0|scoring='acuracy'"):
        compare_training({"a": Recorder()}, *data, path=path, **params)
    assert not seen
    assert not path.exists()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_seeds": 1.5}, r"n_seeds=1\.5 must be a positive whole number"),
        ({"n_attacked": 0}, "n_attacked=0 must be a positive whole number"),
        ({"baseline": "b"}, r"baseline='b' is not among the estimators \['a'\]"),
        ({"random_state": None}, "random_state=None must be a whole number"),
        ({"random_state": -1}, "random_state=-1 must be a whole number"),
        ({"cv": 3, "test_size": 0.2}, "test_size and cv say twice which rows"),
        ({"X_test": np.zeros((2, 5))}, "X_test and y_test belong together"),
        ({"X_test": np.zeros((2, 5)), "y_test": [0]}, "inconsistent numbers of samples"),
        ({"y": [0, 1]}, "inconsistent numbers of samples"),
        ({"test_size": 2.0}, "test_size"),
        ({"threat_models": [ThreatModel()]}, "eps=None leaves open"),
        ({"threat_models": [ThreatModel(0.1, units="std")]}, "units='std' of the threat model must be learned"),
        ({"threat_models": [0.1, ThreatModel(0.1)]}, "has the same norm and eps twice"),
        ({"threat_models": {"union": 0.1}}, "threat_models has the name 'union'"),
        ({"attacks": "magic", "threat_models": 0.1}, "attack='magic' is unknown"),
        *[
            ({"scoring": scoring}, r"scoring=.* is no scoring of scikit-learn: use names of sklearn\.metrics\.get_sco")
            for scoring in ("acuracy", 5, [], ["f1", "x"], {"a": "acuracy"}, {"a": 3}, {"a": None}, accuracy_score)
        ],
        ({"estimators": {}}, r"estimators=\{\} is empty"),
        (
            {"estimators": {1: LogisticRegression(), "1": Recorder()}},
            r"estimators has names that read alike, \[1, '1'\]",
        ),
    ],
)
def test_wrong_values(data, params, message):
    with pytest.raises(ValueError, match=message):
        compare_training(**{"estimators": {"a": LogisticRegression()}, "X": data[0], "y": data[1], **params})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"estimators": [LogisticRegression()]}, "estimators of type list must be a dict"),
        ({"estimators": {"a": Ridge()}}, r"estimators has Ridge\(\) under 'a', which is no classifier"),
        ({"estimators": {"a": LogisticRegression}}, "under 'a', which is no classifier"),
        ({"threat_models": ["linf"]}, "threat_model='linf' must be a ThreatModel"),
    ],
)
def test_wrong_kinds(data, params, message):
    with pytest.raises(TypeError, match=message):
        compare_training(**{"estimators": {"a": LogisticRegression()}, "X": data[0], "y": data[1], **params})


DRAWN = [
    ShuffleSplit(2),
    RepeatedKFold(n_splits=2, n_repeats=1),
    StratifiedKFold(2, shuffle=True),
    LabeledFolds(KFold(2, shuffle=True)),
]


@pytest.mark.parametrize("cv", DRAWN, ids=lambda cv: type(cv).__name__)
def test_random_folds_that_cannot_be_known_again_are_an_error(data, seen, tmp_path, cv):
    path = tmp_path / "runs.jsonl"
    with pytest.raises(ValueError, match=r"(?s)cv=.* draws other folds in every call.* give the splitter a random_sta"):
        compare_training({"a": Recorder()}, *data, n_seeds=1, cv=cv, path=path)
    assert not seen
    assert not path.exists()
    # Without a file there is nothing to go on with.
    assert len(compare_training({"a": Recorder()}, *data, n_seeds=1, cv=cv).runs) == 2


@pytest.mark.parametrize(
    "cv",
    [
        2,
        KFold(2),
        [(np.arange(60), np.arange(60, 120)), (np.arange(60, 120), np.arange(60))],
        StratifiedKFold(2, shuffle=True, random_state=0),
        ShuffleSplit(2, random_state=0),
        LabeledFolds(2),
    ],
    ids=lambda cv: type(cv).__name__,
)
def test_folds_that_come_again_are_gone_on_with(data, seen, tmp_path, cv):
    params = {"n_seeds": 1, "cv": cv, "path": tmp_path / "runs.jsonl"}
    first = compare_training({"a": Recorder()}, *data, **params)
    assert_same(first, compare_training({"a": Recorder()}, *data, **params))
    assert len(seen) == 2


def test_nothing_is_trained_before_all_estimators_can_be_known_again(data, seen, tmp_path):
    path = tmp_path / "runs.jsonl"
    with pytest.raises(TypeError, match="cannot be pickled"):
        compare_training({"a": Recorder(), "b": Recorder(tag=lambda X: X)}, *data, n_seeds=1, path=path)
    assert not seen
    assert not path.exists()


def test_what_cannot_be_known_again_is_an_error(data, tmp_path):
    class Local:
        """Pickle finds no class that is defined in a function."""

    class LocalLayer(nn.Module):
        """Another layer of this name would pass for it."""

    # Lambdas have all the same name: a run with another one would pass for this one.
    for unknowable in (Local(), lambda X: X, nn.Sequential(LocalLayer())):
        with pytest.raises(TypeError, match=r"path=\.\.\. needs to know this run again, but .* cannot be pickled"):
            compare_training({"a": Recorder(tag=unknowable)}, *data, n_seeds=1, path=tmp_path / "runs.jsonl")


def test_no_warnings_when_all_is_well(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare_training({"a": LogisticRegression()}, *data, n_seeds=1)
