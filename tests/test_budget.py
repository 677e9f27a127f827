"""A Budget lets nothing through that its threat model forbids, and projects onto what it allows to the last bit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skrobust import ThreatModel
from skrobust.attacks._budget import Budget
from skrobust.attacks._features import check_moves
from skrobust.attacks._threat_model import TOLERANCE

NORMS = (np.inf, 2, 1)
# 0, 1: free; 2: up; 3: immutable; 4: integer; 5: integer, down; 6 to 8 and 9 to 12: groups; 13: constant.
INTEGER, GROUPS, N_FEATURES = [4, 5], [[6, 7, 8], [9, 10, 11, 12]], 14
SETTINGS = {"immutable": [3], "direction": {2: "up", 5: "down"}, "integer": INTEGER, "one_hot_groups": GROUPS}


def mixed_rows(rng, n_rows, scale=1.0, offset=0.0, dtype=np.float64):
    """Return rows that SETTINGS are made for."""
    X = rng.normal(offset, scale, size=(n_rows, N_FEATURES))
    X[:, INTEGER] = rng.integers(-20, 20, size=(n_rows, len(INTEGER)))
    for group in GROUPS:
        X[:, group] = np.eye(len(group))[rng.integers(0, len(group), size=n_rows)]
    X[:, 13] = 0.1
    return X.astype(dtype)


def reach_of(threat_model):
    units = 1.0 if threat_model.units == "raw" else np.array(threat_model.units)
    return np.broadcast_to(units * np.array(threat_model.eps), N_FEATURES)


def size_of(share, norm):
    """Return the length of one row's changes, each given as a share of the reach."""
    grouped = [max(share[j] for j in group) for group in GROUPS]
    return np.linalg.norm([*share[:6], share[13], *grouped], norm)


def violations(threat_model, row, other, tolerance=2e-9):
    """Return what a resolved threat model of SETTINGS has against one row."""
    row, other, reach = row.astype(float), other.astype(float), reach_of(threat_model)
    low, high = (threat_model.bounds or (-np.inf, np.inf))[-2:]
    change = np.abs(other - row)
    share = [c / r if r else 0.0 for c, r in zip(change, reach, strict=True)]
    checks = {
        "finite": np.isfinite(other).all(),
        "bounds": ((low <= other) & (other <= high)).all(),
        "immutable": change[3] == 0 and (change[reach == 0] == 0).all(),
        "direction": other[2] >= row[2] and other[5] <= row[5],
        "integer": (other[INTEGER] % 1 == 0).all(),
        "one-hot": all(sorted(other[group]) == [0] * (len(group) - 1) + [1] for group in GROUPS),
        "distance": size_of(share, threat_model.norm) <= 1 + tolerance,
    }
    return [name for name, is_kept in checks.items() if not is_kept]


@st.composite
def cases(draw):
    """Draw a resolved threat model and rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    scale = 10 ** draw(st.floats(-3, 4))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    X = mixed_rows(rng, 20, scale, draw(st.sampled_from([0, 1e4])), dtype)
    eps = 10 ** draw(st.floats(-3, 1))
    threat_model = ThreatModel(
        eps if draw(st.booleans()) else eps * np.arange(N_FEATURES),
        draw(st.sampled_from(NORMS)),
        units=draw(st.sampled_from(["raw", "std", "iqr", "range"])),
        bounds=draw(st.sampled_from([None, "learn"])),
        **SETTINGS,
    )
    return threat_model.resolve(X), X, rng


@given(cases(), st.floats(-6, 6))
def test_projection_is_always_allowed(case, size):
    threat_model, X, rng = case
    budget = Budget.of(threat_model, X)
    others = X + budget.scale * rng.standard_cauchy(X.shape) * 10**size
    projected = budget.project(others)
    assert projected.dtype == X.dtype
    assert budget.allows(projected).all()
    assert [violations(threat_model, *pair) for pair in zip(X, projected, strict=True)] == [[]] * len(X)


@given(cases(), st.floats(0.1, 10))
def test_projection_keeps_what_is_allowed(case, size):
    threat_model, X, rng = case
    budget = Budget.of(threat_model, X)
    projected = budget.project(X + budget.scale * rng.normal(size=X.shape) * budget.radius * size)
    again = budget.project(projected)
    np.testing.assert_array_equal(again[:, budget.is_discrete], projected[:, budget.is_discrete])
    largest = max(np.abs(X).max(), np.abs(projected).max())
    np.testing.assert_allclose(again, projected, rtol=0, atol=8 * np.finfo(X.dtype).eps * largest)
    np.testing.assert_array_equal(budget.project(X), X)


@given(cases())
def test_allows_is_what_an_independent_check_allows(case):
    threat_model, X, rng = case
    budget = Budget.of(threat_model, X)
    others = budget.at(2 * budget.radius).project(X + budget.scale * rng.normal(size=X.shape) * budget.radius)
    one_each = np.arange(len(X)) % (N_FEATURES + 1)
    for row, j in enumerate(one_each):
        others[row, j:] = X[row, j:]
        if j < N_FEATURES and row % 2:
            others[row, j] += rng.choice([-1, 0.5, np.nan])
    expected = [not violations(threat_model, *pair, TOLERANCE) for pair in zip(X, others, strict=True)]
    assert budget.allows(others).tolist() == expected


@given(cases())
def test_distance_is_a_distance(case):
    threat_model, X, rng = case
    budget = Budget.of(threat_model, X).at(np.inf)
    Y, Z = (budget.project(X + budget.scale * rng.normal(size=X.shape)) for _ in range(2))
    from_y = Budget(Y, budget.norm, np.inf, budget.scale, budget.low, budget.high, budget.is_integer, budget.groups)
    assert (budget.distance(X) == 0).all()
    np.testing.assert_array_equal(from_y.distance(X), budget.distance(Y))
    assert (budget.distance(Z) <= (budget.distance(Y) + from_y.distance(Z)) * (1 + 1e-12)).all()
    assert ((budget.distance(Y) == 0) == (X == Y).all(axis=1)).all()


@given(cases())
def test_taken_rows_have_their_own_budget(case):
    threat_model, X, rng = case
    budget = Budget.of(threat_model, X)
    others = X + budget.scale * rng.normal(size=X.shape) * budget.radius
    index = rng.integers(0, len(X), size=50)
    taken = budget.take(index)
    assert len(taken) == 50
    for name, args in [("project", [others]), ("snap", [others]), ("distance", [others]), ("allows", [others])]:
        whole, part = getattr(budget, name)(*args), getattr(taken, name)(*(arg[index] for arg in args))
        np.testing.assert_array_equal(part, whole[index])
    np.testing.assert_array_equal(np.stack(taken.box()), np.stack(budget.box())[:, index])
    np.testing.assert_array_equal(taken.can_move, budget.can_move[index])
    assert len(budget.take(X[:, 0] > np.inf)) == 0


@given(cases())
def test_a_row_can_move_where_a_change_is_allowed(case):
    threat_model, X, rng = case
    budget = Budget.of(ThreatModel(threat_model.eps, units=threat_model.units, direction="none", integer=[4]), X)
    assert not budget.can_move.any()
    budget = Budget.of(threat_model, X)
    tries = [budget.project(X + budget.scale * rng.standard_cauchy(X.shape) * 100) for _ in range(30)]
    assert not (~budget.can_move & (tries != X).any(axis=(0, 2))).any()


def test_radius_zero_moves_nothing(rng):
    X = mixed_rows(rng, 20)
    for threat_model in (ThreatModel(0, **SETTINGS), ThreatModel([0] * N_FEATURES, **SETTINGS)):
        budget = Budget.of(threat_model, X)
        assert not budget.can_move.any()
        np.testing.assert_array_equal(budget.project(X + 1), X)
    assert Budget.of(ThreatModel(1), X).can_move.all()
    assert not Budget.of(ThreatModel(1, immutable=range(N_FEATURES)), X).can_move.any()
    assert not Budget.of(ThreatModel(1), X).at(0).can_move.any()


@pytest.mark.parametrize(("eps", "can_move"), [(1, True), (0.99, False)])
def test_discrete_features_need_a_whole_step(eps, can_move):
    X = np.array([[3, 0, 1.0]])
    for settings in ({"integer": [0], "immutable": [1, 2]}, {"one_hot_groups": [[1, 2]], "immutable": [0]}):
        assert Budget.of(ThreatModel(eps, **settings), X).can_move.tolist() == [can_move]


def test_no_radius_is_an_open_one(rng):
    X = mixed_rows(rng, 20)
    budget = Budget.of(ThreatModel(norm=2, bounds="learn", units="std", **SETTINGS).resolve(X), X)
    assert budget.radius == np.inf
    projected = budget.project(np.full_like(X, 1e300))
    free = [0, 1, 2, 4]
    np.testing.assert_allclose(projected[:, free], np.broadcast_to(X.max(axis=0), X.shape)[:, free])
    assert budget.allows(projected).all()
    open_budget = Budget.of(ThreatModel(norm=1), X.astype(np.float32))
    assert np.isfinite(open_budget.project(np.full_like(X, 1e300))).all()


@pytest.mark.parametrize("norm", NORMS)
def test_a_change_of_category_counts_once(norm):
    X = np.array([[1.0, 0, 0, 0, 1, 5]])
    budget = Budget.of(ThreatModel(1, norm, one_hot_groups=[[0, 1, 2], [3, 4]]), X)
    one, two = np.array([[0, 0, 1, 0, 1, 5.0]]), np.array([[0, 1, 0, 1, 0, 5.0]])
    assert budget.distance(one) == [1]
    assert budget.distance(two) == [{np.inf: 1, 2: np.sqrt(2), 1: 2}[norm]]
    scaled = Budget.of(ThreatModel(1, norm, units=[0.5, 1, 2, 1, 1, 1], one_hot_groups=[[0, 1, 2], [3, 4]]), X)
    assert scaled.distance(one) == [2]


def test_projection_undoes_the_dearest_change_of_category_first():
    X = np.array([[1.0, 0, 1, 0, 7, 0.5]])
    groups = [[0, 1], [2, 3]]
    budget = Budget.of(ThreatModel(4, norm=1, units=[0.5, 0.5, 1, 1, 1, 1], integer=[4], one_hot_groups=groups), X)
    np.testing.assert_allclose(budget.project(np.array([[0.1, 0.7, 0.2, 0.4, 7, 9]])), [[0, 1, 0, 1, 7, 1.5]])
    np.testing.assert_allclose(budget.project(np.array([[0.1, 0.7, 0.8, 0.4, 4, 9]])), [[0, 1, 1, 0, 5, 0.5]])
    np.testing.assert_allclose(budget.at(1.5).project(np.array([[0, 1, 0, 1, 7, 9]])), [[1, 0, 0, 1, 7, 1]])
    np.testing.assert_allclose(budget.at(3).project(np.array([[1, 0, 1, 0, 1, -9]])), [[1, 0, 1, 0, 4, 0.5]])


def test_snap_takes_the_nearest_values_in_reach():
    X = np.array([[3.0, 1, 0, 0, 0.5]])
    budget = Budget.of(ThreatModel(2, integer=[0], one_hot_groups=[[1, 2, 3]], immutable=[3]), X)
    assert budget.snap(np.array([[3.6, 0.1, 0.3, 0.2, 9.5]])).tolist() == [[4, 0, 1, 0, 9.5]]
    assert budget.snap(np.array([[8.6, 0.1, 0.3, 0.9, 9.5]])).tolist() == [[5, 1, 0, 0, 9.5]]


def test_reach_that_rounding_took_from_a_whole_number():
    X = np.array([[3.0, 0.0]])
    budget = Budget.of(ThreatModel(0.1 * 3 / 0.3 - 1e-15, integer=[0]), X)
    assert budget.radius < 1
    assert budget.project(np.array([[9, 0.0]])).tolist() == [[4, 0]]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_reach_far_from_zero_is_kept_to_the_last_bit(rng, norm, dtype):
    X = (1e4 + rng.normal(size=(1000, 3))).astype(dtype)
    budget = Budget.of(ThreatModel(1e-6, norm), X)
    projected = budget.project(X.astype(np.float64) + rng.choice([-1, 1], size=X.shape))
    assert (budget.distance(projected) <= 1e-6 * (1 + 1e-12)).all()
    assert (projected != X).any() == (dtype == np.float64)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_candidates_that_are_not_finite_stay_originals(rng, value):
    X = mixed_rows(rng, 2)
    budget = Budget.of(ThreatModel(1, **SETTINGS), X)
    others = X + 0.1
    others[0, 0] = value
    projected = budget.project(others)
    np.testing.assert_array_equal(projected[0], X[0])
    assert (projected[1] != X[1]).any()
    assert budget.allows(others).tolist() == [False, False]
    assert budget.distance(others)[0] == np.inf


def test_columns_by_name_and_fixed_ones():
    X = pd.DataFrame({"age": [20.0, 30], "kind": [7.0, -1], "a": [1, 0], "b": [0, 1]})
    named = ThreatModel(1, bounds=(0, 50), integer=["age"], one_hot_groups=[["a", "b"]], direction={"age": "up"})
    by_index = ThreatModel(1, bounds=(0, 50), integer=[0], one_hot_groups=[[2, 3]], direction=["up"] + ["both"] * 3)
    fixed = np.array([False, True, False, False])
    budgets = [Budget.of(named, X.to_numpy(), X.columns, fixed), Budget.of(by_index, X.to_numpy(), fixed=fixed)]
    for budget in budgets:
        assert budget.project(X.to_numpy() - [[1, 1, 1, -1]]).tolist() == [[20, 7, 0, 1], [30, -1, 0, 1]]
        assert budget.project(X.to_numpy() + 1).tolist() == [[21, 7, 1, 0], [31, -1, 0, 1]]


def test_columns_that_share_a_name_are_all_meant():
    budget = Budget.of(ThreatModel(1, immutable=["a"]), np.zeros((1, 3)), ["a", "b", "a"])
    assert budget.project(np.ones((1, 3))).tolist() == [[0, 1, 0]]


def test_bounds_are_read_in_the_type_of_the_rows():
    X = np.array([[0.7]], dtype=np.float32)
    assert Budget.of(ThreatModel(1, bounds=(0, 0.7)), X).project(X + 1) == X
    assert Budget.of(ThreatModel(1, bounds=(0.7, 1e300)), X).project(X - 1) == X


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ten_thousand_rows_under_mixed_constraints(rng, norm, dtype):
    X = mixed_rows(rng, 10_000, scale=10 ** rng.uniform(-3, 4, size=N_FEATURES), dtype=dtype)
    threat_model = ThreatModel(2.5, norm, units="std", bounds="learn", **SETTINGS).resolve(X)
    budget = Budget.of(threat_model, X)
    projected = budget.project(X + budget.scale * rng.normal(size=X.shape) * 3)
    assert not any(violations(threat_model, *pair) for pair in zip(X, projected, strict=True))
    assert budget.allows(projected).all()
    # Every kind of feature moved, or was held.
    moved = (projected != X).mean(axis=0)
    assert (moved[[3, 13]] == 0).all()
    assert (np.delete(moved, [3, 13]) > 0.02).all()


# ---- wrong input ----


def test_threat_model_of_another_type():
    with pytest.raises(TypeError, match=r"threat_model=0.1 must be a ThreatModel: use ThreatModel\(eps="):
        Budget.of(0.1, np.zeros((1, 2)))


@pytest.mark.parametrize("settings", [{"units": "std"}, {"bounds": "learn"}], ids=str)
def test_threat_model_that_is_not_resolved(settings):
    with pytest.raises(ValueError, match=r"=.* must be learned .*: call threat_model.resolve\(X_train\)"):
        Budget.of(ThreatModel(1, **settings), np.zeros((1, 2)))


@pytest.mark.parametrize(
    "settings", [{"eps": [1] * 3}, {"units": [1] * 3}, {"bounds": (0, [1] * 3)}, {"direction": ["up"] * 3}], ids=str
)
def test_number_of_entries(settings):
    name = next(iter(settings))
    with pytest.raises(ValueError, match=f"{name} of the threat model have 3 entries, but X has 2 features: give one"):
        Budget.of(ThreatModel(**settings), np.zeros((1, 2)))


@pytest.mark.parametrize("columns", [None, ["age", "size"]])
@pytest.mark.parametrize(
    "settings", [{"immutable": ["sex"]}, {"integer": [2]}, {"one_hot_groups": [[5, "b"]]}, {"direction": {"c": "up"}}]
)
def test_unknown_feature(settings, columns):
    known = "named ['age', 'size']" if columns else "and no column names"
    with pytest.raises(ValueError, match=f"{next(iter(settings))} of the threat model names the feature") as caught:
        Budget.of(ThreatModel(1, **settings), np.zeros((1, 2)), columns)
    assert str(caught.value).endswith(f"X has features 0 to 1, {known}.")


def test_many_names_are_cut_short():
    with pytest.raises(ValueError, match=r"'c19'\] and so on\."):
        Budget.of(ThreatModel(1, immutable=["d"]), np.zeros((1, 30)), [f"c{j}" for j in range(30)])


@pytest.mark.parametrize(
    ("bounds", "columns", "shown"),
    [((0, 1), None, r"\(0.0, 1.0\) .* in 1 features, first in feature 1"), (([0, 3], 4), ["a", "b"], r"\(3.* 'b'")],
)
def test_rows_outside_the_bounds(bounds, columns, shown):
    with pytest.raises(ValueError, match=rf"bounds={shown}: widen the bounds, or mend these rows"):
        Budget.of(ThreatModel(1, bounds=bounds), np.array([[0, 1], [1, 2.0]]), columns)


def test_integers_with_a_fraction():
    with pytest.raises(ValueError, match=r"names feature 'b', which has the value 2.5 in X: take it out of integer"):
        Budget.of(ThreatModel(1, integer=["a", "b"]), np.array([[1.0, 2], [1, 2.5]]), ["a", "b"])


@pytest.mark.parametrize("row", [[0, 0], [1, 1], [0.5, 0.5], [2, -1]])
def test_groups_that_are_not_one_hot(row):
    with pytest.raises(ValueError, match=r"hold \['a', 'b'\], which are .* in row 1 of X: give groups of which one"):
        Budget.of(ThreatModel(1, one_hot_groups=[["a", "b"]]), np.array([[0.0, 1], row]), ["a", "b"])


@pytest.mark.parametrize("settings", [{"one_hot_groups": [[0, 1], ["b", 2]]}, {"integer": ["b"]}])
def test_feature_listed_by_name_and_index(settings):
    threat_model = ThreatModel(1, **{"one_hot_groups": [[0, 1]], **settings})
    with pytest.raises(ValueError, match=r"feature 'b' is in two of one_hot_groups, or also under integer, once by"):
        Budget.of(threat_model, np.array([[0, 1.0, 0]]), ["a", "b", "c"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_beyond_learned_bounds_go_no_farther(dtype):
    threat_model = ThreatModel(1.0, bounds="learn").resolve([[0.0, 0.0], [1.0, 1.0]])
    rows = np.array([[1.5, 0.5], [0.5, -0.25]], dtype=dtype)
    budget = Budget.of(threat_model, rows)
    assert budget.respects(rows).all()
    low, high = budget.box()
    np.testing.assert_array_equal(low, [[0.5, 0.0], [0.0, -0.25]])
    np.testing.assert_array_equal(high, [[1.5, 1.0], [1.0, 0.75]])
    assert not budget.respects((rows + np.array([[0.1, 0], [0, -0.1]])).astype(dtype)).any()


@pytest.mark.parametrize(("eps", "moved"), [(0.9, [[0, 1, 1, 0]]), (1, [[1, 0, 0, 1]]), (7, [[1, 0, 0, 1]])])
@pytest.mark.parametrize("bounds", [None, (0, 5), ("learned", 0.0, 3.0)], ids=str)
def test_booleans_flip_or_stay(eps, moved, bounds):
    rows = np.array([[0.0, 1, 1, 0]])
    threat_model = ThreatModel(eps, bounds=bounds, one_hot_groups=[[2, 3]])
    budget = Budget.of(threat_model, rows, boolean=np.ones(4, dtype=bool))
    assert budget.is_integer.tolist() == [True, True, False, False]
    assert budget.project(rows + np.array([[9, -9, -9, 9]])).tolist() == moved
    assert budget.respects(np.array([[0.5, 1, 1, 0]])).tolist() == [False]
    assert budget.respects(np.array([[2.0, 1, 1, 0]])).tolist() == [False]


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"integer": ["word"]}, "integer of .* feature 'word', .* leave it out"),
        ({"one_hot_groups": [["size", 1]]}, "one_hot_groups of .* feature 'word', .* leave it out"),
        ({"direction": {"word": "both"}}, "direction of .* feature 'word', .* say 'none'"),
        ({"direction": ["both", "up"]}, "direction of .* feature 'word', .* say 'none'"),
    ],
    ids=str,
)
def test_features_without_numbers_are_not_asked_to_move(settings, remedy):
    with pytest.raises(ValueError, match=remedy):
        check_moves(ThreatModel(**settings), ["size", "word"], np.array([False, True]))


@pytest.mark.parametrize(
    "settings",
    [
        {"eps": 3},
        {"eps": [1, 0], "integer": ["size"]},
        {"direction": ["up", "both"]},
        {"direction": "up"},
        {"direction": {"word": "none", "size": "up"}},
        {"immutable": ["word"], "bounds": (0, 1)},
    ],
    ids=str,
)
def test_features_without_numbers_may_stay(settings):
    check_moves(ThreatModel(**settings), ["size", "word"], np.array([False, True]))


def test_moves_of_a_threat_model_that_does_not_fit():
    with pytest.raises(ValueError, match=r"bounds='learn' .* must be learned"):
        check_moves(ThreatModel(1, bounds="learn"), None, np.zeros(2, dtype=bool))
    with pytest.raises(ValueError, match="eps of the threat model have 3 entries"):
        check_moves(ThreatModel([1, 1, 1]), None, np.zeros(2, dtype=bool))
