"""Curves, distances and summaries of several fitted classifiers: what the rows of the tables are."""

import functools

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skrobust import ThreatModel
from skrobust.evaluation import boundary_table, rho_adv_table, robustness_curves, summarize
from skrobust.metrics import adversarial_distance, boundary_distance, rho_adv_score, robust_accuracy_score

KEY = ["model", "seed", "attack", "norm", "eps"]
DUAL = {np.inf: 1, 2: 2, 1: np.inf}


@pytest.fixture(scope="module")
def data():
    """Return rows to train on, rows to attack, and labels of both; four features on the scale 1."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:, :4]
    return X[:200], X[200:280], y[:200], y[200:280]


@pytest.fixture(scope="module")
def models(data):
    """Return a model from two seeds, which are two bootstraps, and another one."""
    X, _, y, _ = data
    seeds = [LogisticRegression().fit(X[part], y[part]) for part in (slice(0, 100), slice(100, 200))]
    return {"two seeds": seeds, "weak": LogisticRegression(C=0.001).fit(X, y)}


def exact(clf, X, y, eps, norm):
    """Return which rows no change within eps makes a linear classifier of two classes answer wrongly."""
    signed = np.where(y == clf.classes_[1], 1, -1) * clf.decision_function(X)
    return signed > eps * np.linalg.norm(clf.coef_[0], ord=DUAL[norm])


def test_curves_of_linear_classifiers_are_exact(models, data):
    _, X, _, y = data
    grids = {np.inf: [0.0, 0.2, 0.5], 2: [0.1, 0.6]}
    curves = robustness_curves(models, X, y, eps_grid=grids, attacks=["fgsm", "pgd", "deepfool"])
    assert list(curves) == [*KEY, "accuracy", "n_rows", "route", "is_upper_bound"]
    assert len(curves) == 3 * 3 * 5
    assert not curves[KEY].duplicated().any()
    for row in curves.itertuples():
        clf = models["two seeds"][row.seed] if row.model == "two seeds" else models["weak"]
        assert row.accuracy == pytest.approx(exact(clf, X, y, row.eps, row.norm).mean(), abs=0.013)
    assert (curves["n_rows"] == 80).all()
    assert (curves["route"] == "white-box").all()
    assert not curves["is_upper_bound"].any()


def test_figures_are_those_of_the_scores(models, data):
    _, X, _, y = data
    bounded = ThreatModel(bounds=(-1, 3), immutable=[1])
    X = X.clip(-1, 3)
    curves = robustness_curves(
        {"weak": models["weak"]},
        X,
        y,
        eps_grid=[0.3],
        norms=[2],
        attacks={"short": {"attack": "pgd", "max_iter": 2}, "far": "deepfool"},
        threat_model=bounded,
        random_state=1,
    ).set_index("attack")["accuracy"]
    in_l2 = ThreatModel(norm=2, bounds=(-1, 3), immutable=[1])
    common = {"threat_model": in_l2, "random_state": 1}
    assert curves["short"] == robust_accuracy_score(models["weak"], X, y, eps=0.3, attack="pgd", max_iter=2, **common)
    distance = adversarial_distance(models["weak"], X, y, attack="deepfool", **common)
    assert curves["far"] == (distance > 0.3 * (1 + 1e-6)).mean()


def test_attacks_under_one_name_are_judged_by_the_worse(models, data):
    _, X, _, y = data
    alone = {"one": {"attack": "pgd", "max_iter": 1, "eps_step": 0.01}, "two": "noise"}
    curves = robustness_curves(
        {"weak": models["weak"]}, X, y, eps_grid=[0.0, 0.4], attacks={**alone, "both": list(alone.values())}
    )
    table = curves.pivot(index="eps", columns="attack", values="accuracy")
    assert (table["both"] <= table[["one", "two"]].min(axis=1)).all()
    assert table["both"][0.4] < table["both"][0.0] == models["weak"].score(X, y)


def test_all_rows_are_the_denominator_unless_every_model_is_right(models, data):
    _, X, _, y = data
    every = [*models["two seeds"], models["weak"]]
    is_right = np.all([clf.predict(X) == y for clf in every], axis=0)
    assert is_right.mean() < min(clf.score(X, y) for clf in every)
    params = {"eps_grid": [0.0, 0.2], "attacks": "pgd"}
    whole = robustness_curves(models, X, y, **params).set_index(KEY)
    right = robustness_curves(models, X, y, rows="correct", **params).set_index(KEY)
    assert (right["n_rows"] == is_right.sum()).all()
    at_0 = whole.index.get_level_values("eps") == 0
    assert right["accuracy"][at_0].tolist() == [1, 1, 1]
    assert whole["accuracy"][at_0].tolist() == [clf.score(X, y) for clf in every]
    # What stands of the rows that all get right stands of all rows too.
    assert (right["accuracy"] * right["n_rows"] <= whole["accuracy"] * whole["n_rows"] + 1e-9).all()


def test_black_boxes_are_marked(data):
    X, X_test, y, y_test = data
    models = {"forest": RandomForestClassifier(5, random_state=0).fit(X, y), "linear": LogisticRegression().fit(X, y)}
    curves = robustness_curves(models, X_test[:20], y_test[:20], eps_grid=[0.2], attacks="pgd").set_index("model")
    assert curves["is_upper_bound"].to_dict() == {"forest": True, "linear": False}
    assert curves["route"].to_dict() == {"forest": "black-box", "linear": "white-box"}


def test_exact_figures_are_no_upper_bounds(data):
    X, X_test, y, y_test = data
    tree = {"tree": DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, y)}
    attacks = {"worst": "worst_case", "weak": {"attack": "noise", "n_draws": 1}, "both": ["noise", "decision_tree"]}
    curves = robustness_curves(tree, X_test[:20], y_test[:20], eps_grid=[0.0, 0.3], attacks=attacks)
    found = curves.set_index(["attack", "eps"])
    assert (curves["route"] == "black-box").all()
    assert found.loc[("weak", 0.3), "accuracy"] > found.loc[("worst", 0.3), "accuracy"]
    assert curves.loc[curves["is_upper_bound"], ["attack", "eps"]].to_numpy().tolist() == [["weak", 0.3]]


def test_an_eps_per_feature_is_multiplied(models, data):
    _, X, _, y = data
    per_feature = ThreatModel((0.2, 0.0, 0.1, 0.4))
    curves = robustness_curves(models, X, y, eps_grid=[0.5, 1], attacks=["pgd"], threat_model=per_feature)
    weak = curves[curves["model"] == "weak"].set_index("eps")["accuracy"]
    assert weak[1] == robust_accuracy_score(models["weak"], X, y, threat_model=per_feature, attack="pgd")


def test_processes_give_the_same_tables(models, data):
    _, X, _, y = data
    params = {"eps_grid": [0.1, 0.3], "attacks": ["pgd", "square"]}
    one = robustness_curves(models, X, y, **params)
    pd.testing.assert_frame_equal(robustness_curves(models, X, y, n_jobs=2, **params), one)
    with joblib.parallel_config(backend="multiprocessing"):  # which cannot give results as they end
        pd.testing.assert_frame_equal(robustness_curves(models, X, y, n_jobs=2, **params), one)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)], ids=["none", "object"])
@pytest.mark.parametrize(
    "table_of",
    [
        functools.partial(robustness_curves, eps_grid=[0.2], attacks={"noise": {"attack": "noise", "n_draws": 1}}),
        functools.partial(rho_adv_table, attacks={"jump": {"attack": "hopskipjump", "max_iter": 1, "max_eval": 50}}),
        functools.partial(boundary_table, directions=["random"], quantiles=[0.5]),
    ],
    ids=["curves", "rho", "boundary"],
)
def test_random_numbers_are_the_same_for_every_model(positive, table_of, random_state):
    X, y, clf = positive
    table = table_of({"one": clf, "same": clf}, X[:20], y[:20], random_state=random_state)
    one, same = (table[table["model"] == name].drop(columns="model").reset_index(drop=True) for name in ("one", "same"))
    pd.testing.assert_frame_equal(one, same)


def test_progress_is_shown_on_request(models, data, capsys):
    _, X, _, y = data
    for verbose in (0, 1):
        robustness_curves(models, X, y, eps_grid=[0.1], attacks="fgsm", verbose=verbose)
        assert ("Attacking" in capsys.readouterr().err) == bool(verbose)


@pytest.fixture(scope="module")
def positive(data):
    """Return rows of pixels in (0, 1], labels and a model."""
    X, X_test, y, y_test = data
    scaler = MinMaxScaler((0.1, 1), clip=True).fit(X)
    return scaler.transform(X_test), y_test, LogisticRegression().fit(scaler.transform(X), y)


def test_rho_is_that_of_the_score(positive):
    X, y, clf = positive
    table = rho_adv_table({"a": [clf, clf]}, X, y, norms=(2, np.inf))
    assert len(table) == 4
    for row in table.itertuples():
        details = rho_adv_score(clf, X, y, attack="deepfool", norm=row.norm, return_details=True)
        assert row.rho_median == details.median > 0
        assert row.rho_mean == pytest.approx(details.score)
        assert row.censored_share == 0
        assert row.success_rate == 1
        assert row.n_rows == 80


def test_rho_has_no_mean_where_rows_are_censored(positive):
    """Only one feature may move, and not far enough for every row."""
    X, y, clf = positive
    held = ThreatModel(bounds=(0.1, 1), immutable=[1, 2, 3])
    table = rho_adv_table({"a": clf}, X, y, threat_model=held, attacks=["deepfool", "noise"])
    exact_reach = np.where(clf.coef_[0, 0] * np.where(y == 1, 1, -1) > 0, X[:, 0] - 0.1, 1 - X[:, 0])
    signed = np.where(y == 1, 1, -1) * clf.decision_function(X)
    stays = signed > exact_reach * abs(clf.coef_[0, 0])
    is_right = signed > 0
    by_attack = table.set_index("attack")
    assert 0 < stays.sum() < len(y)
    assert np.isnan(table["rho_mean"]).all()
    assert by_attack.loc["deepfool", "censored_share"] == pytest.approx(stays.mean())
    assert by_attack.loc["deepfool", "success_rate"] == pytest.approx(1 - (stays & is_right).sum() / is_right.sum())
    assert np.isinf(by_attack.loc["deepfool", "rho_median"]) == (stays.mean() > 0.5)


def test_rho_over_rows_that_are_right(positive):
    X, y, clf = positive
    table = rho_adv_table({"a": clf}, X, y, rows="correct")
    assert table["n_rows"].item() == (clf.predict(X) == y).sum()
    wrong = rho_adv_table({"a": clf}, X, 1 - clf.predict(X))
    assert wrong["rho_median"].item() == 0
    assert np.isnan(wrong["success_rate"].item())


@pytest.mark.parametrize(
    ("change", "params", "message"),
    [
        (lambda X: X - 0.5, {}, "X has values on both sides of 0 in 4 of 4 columns"),
        (lambda X: np.vstack([np.zeros(4), X[1:]]), {}, "X has rows of the length 0, such as row 0"),
        (lambda X: X, {"threat_model": ThreatModel(units=(1, 1, 1, 2))}, r"units=\(1.0, 1.0, 1.0, 2.0\) of the threat"),
        (lambda X: X, {"attacks": []}, r"attacks=\{\} is empty"),
    ],
)
def test_rho_is_refused_where_lengths_mean_nothing(positive, change, params, message):
    X, y, clf = positive
    with pytest.raises(ValueError, match=message):
        rho_adv_table({"a": clf}, change(X), y, **params)


def test_boundary_table_holds_quantiles_that_occur(models, data):
    _, X, _, y = data
    table = boundary_table(models, X, y, directions=["random", "adversarial"], quantiles=[0.25, 0.75], n_directions=4)
    assert len(table) == 3 * 2 * 2
    found = boundary_distance(models["weak"], X, y, directions="random", n_directions=4)
    rows = table[(table["model"] == "weak") & (table["directions"] == "random")].set_index("quantile")
    assert rows["distance"][0.25] in found.distance
    assert (found.distance <= rows["distance"][0.25]).mean() >= 0.25
    assert (found.distance < rows["distance"][0.25]).mean() < 0.25
    # Half of the rays never meet a plane.
    assert np.isinf(rows["distance"][0.75])
    assert (rows["censored_share"] == found.censored_share).all()
    assert (rows["max_distance"] == found.max_distance).all()
    assert (rows["n_rows"] == 80).all()


def test_boundary_table_takes_quantiles_of_any_sequence(models, data):
    _, X, _, _ = data
    for quantiles in (np.array([0, 0.5]), (one for one in (0, 0.5))):
        table = boundary_table(models, X, directions="random", quantiles=quantiles)
        assert table["quantile"].tolist() == [0, 0.5] * 3


@pytest.mark.parametrize("quantiles", [0.5, [], [0.5, 1.1], [-0.1], [np.nan], "0.5", None], ids=repr)
def test_boundary_table_looks_at_its_quantiles_before_it_attacks(quantiles):
    X, y = np.zeros((2, 1)), np.zeros(2)
    # It is not fitted, so that every question to it would be an error of another kind.
    with pytest.raises(ValueError, match=r"quantiles=.* must hold at least one number, each from 0 to 1: give a seq"):
        boundary_table({"a": LogisticRegression()}, X, y, quantiles=quantiles)


def test_unknown_directions_are_found_before_the_first_is_looked_along(data):
    _, X, _, y = data
    with pytest.raises(ValueError, match="directions='bogus' is unknown: use one of"):
        boundary_table({"not fitted": LogisticRegression()}, X, y, directions=["random", "bogus"])


def test_boundary_table_of_chosen_rows(models, data):
    _, X, _, y = data
    whole = boundary_table(models, X, directions="random")
    right = boundary_table(models, X, y, directions="random", rows="correct")
    assert (whole["n_rows"] == 80).all()
    assert (right["n_rows"] < 80).all()
    with pytest.raises(ValueError, match="rows='correct' needs y"):
        boundary_table(models, X, rows="correct")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rows": "some"}, "rows='some' is unknown: use one of"),
        ({"eps_grid": [0.2, 0.1]}, r"eps_grid=\[0.2, 0.1\] must hold finite numbers"),
        ({"eps_grid": {2: [0.1]}, "norms": [np.inf]}, "eps_grid has no entry for the norm inf of norms"),
        ({"threat_model": ThreatModel(0.3)}, "eps=0.1 and the eps=0.3 of the threat model contradict"),
        ({"attacks": "magic"}, "attack='magic' is unknown"),
        ({"attacks": []}, "attacks={} is empty"),
        ({"attacks": ["pgd", "pgd"]}, r"attacks=\['pgd', 'pgd'\] has a name twice"),
        ({"attacks": {"a": {"max_iter": 3}}}, "attacks holds {'max_iter': 3}, which has no 'attack'"),
        ({"attacks": {"a": {"attack": "pgd", "max_iter": 0}}}, "'max_iter' parameter"),
        ({"y": [0, 1]}, "inconsistent numbers of samples"),
    ],
)
def test_wrong_values(models, data, params, message):
    _, X, _, y = data
    with pytest.raises(ValueError, match=message):
        robustness_curves(**{"estimators": models, "X": X, "y": y, "eps_grid": [0.1], **params})


def test_wrong_estimators(models, data):
    _, X, _, y = data
    with pytest.raises(TypeError, match="estimators of type LogisticRegression must be a dict"):
        robustness_curves(models["weak"], X, y, eps_grid=[0.1])
    with pytest.raises(ValueError, match=r"estimators=\{\} is empty"):
        robustness_curves({}, X, y, eps_grid=[0.1])
    with pytest.raises(ValueError, match="estimators has no classifier under 'a'"):
        robustness_curves({"a": []}, X, y, eps_grid=[0.1])
    with pytest.raises(ValueError, match="rows='correct' leaves none"):
        robustness_curves({"weak": models["weak"]}, X, 1 - models["weak"].predict(X), eps_grid=[0.1], rows="correct")
    for table in (rho_adv_table, functools.partial(robustness_curves, eps_grid=[0.1])):
        with pytest.raises(TypeError, match="threat_model='linf' must be a ThreatModel"):
            table(models, X, y, threat_model="linf")


def test_summary_by_hand():
    table = pd.DataFrame(
        {
            "model": ["a", "a", "a", "b", "b", "c"],
            "seed": [0, 1, 2, 0, 1, 5],
            "eps": [0.1] * 6,
            "accuracy": [0.5, 0.6, 1.0, 0.7, 0.9, 0.2],
        }
    )
    found = summarize(table, baseline="a").set_index(["model", "eps"])
    assert found["mean"].tolist() == pytest.approx([0.7, 0.8, 0.2])
    assert found["n_seeds"].tolist() == [3, 2, 1]
    assert found["std_error"].tolist()[:2] == pytest.approx([np.sqrt(0.07 / 3), 0.1])
    assert np.isnan(found["std_error"].tolist()[2])
    # The seeds 0 and 1 are those that both have: 0.2 and 0.3.
    assert found["difference"].tolist()[:2] == pytest.approx([0, 0.25])
    assert found["difference_std_error"].tolist()[:2] == pytest.approx([0, 0.05])
    assert found[["difference", "difference_std_error"]].iloc[2].isna().all()
    assert list(summarize(table)) == ["model", "eps", "mean", "std_error", "n_seeds"]


def test_folds_are_averaged_within_their_seed():
    table = pd.DataFrame({"model": "a", "seed": [0, 0, 1, 1], "fold": [0, 1, 0, 1], "accuracy": [0.0, 1.0, 0.4, 0.8]})
    found = summarize(table)
    assert found["n_seeds"].item() == 2
    assert found["mean"].item() == pytest.approx(0.55)
    assert found["std_error"].item() == pytest.approx(0.05)


def test_summary_of_missing_and_infinite_values():
    table = pd.DataFrame({"model": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1], "distance": [1.0, np.nan, np.inf, 2.0]})
    found = summarize(table, "distance", baseline="a")
    assert found["mean"].tolist() == [1.0, np.inf]
    assert found["n_seeds"].tolist() == [1, 2]
    assert found["std_error"].isna().all()


def test_summary_keeps_attacks_norms_and_quantiles_apart(models, data):
    _, X, _, y = data
    curves = robustness_curves(models, X, y, eps_grid={np.inf: [0.1, 0.3], 2: [0.3]}, attacks=["fgsm", "pgd"])
    found = summarize(curves, baseline="weak")
    assert len(found) == 2 * 2 * 3
    assert (found["n_seeds"] == np.where(found["model"] == "weak", 1, 2)).all()
    pair = curves[(curves["attack"] == "pgd") & (curves["norm"] == 2)]
    row = found[(found["attack"] == "pgd") & (found["norm"] == 2) & (found["model"] == "two seeds")]
    assert row["mean"].item() == pytest.approx(pair["accuracy"][:2].mean())
    table = boundary_table(models, X, directions=["random"], quantiles=[0.1, 0.5])
    assert len(summarize(table, "distance")) == 2 * 2


def test_wrong_summaries():
    table = pd.DataFrame({"model": ["a"], "seed": [0], "accuracy": [1.0]})
    with pytest.raises(ValueError, match="table has no column 'distance'"):
        summarize(table, "distance")
    with pytest.raises(ValueError, match="table has no column 'seed'"):
        summarize(table.drop(columns="seed"))
    with pytest.raises(ValueError, match=r"baseline='b' is not among the models \['a'\]"):
        summarize(table, baseline="b")
