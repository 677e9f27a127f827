"""A ThreatModel is a value that checks itself, prints what rebuilds it, and learns units from training rows."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import ParameterGrid
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from skrobust import ThreatModel

THREAT_MODELS = [
    ThreatModel(),
    ThreatModel(0.1),
    ThreatModel(np.float32(2), 2),
    ThreatModel(3, norm=1, bounds=(0, 255)),
    ThreatModel(0, bounds=([0, -np.inf], np.array([1, 2]))),
    ThreatModel(1, bounds=(-np.inf, 4)),
    ThreatModel([0.5], units="std", bounds="learn"),
    ThreatModel(np.array([0, 1.5]), 2, units=[1, 0]),
    ThreatModel(1, immutable=["info", 3], integer=range(2), direction={"info": "up", 0: "none"}),
    ThreatModel(1, direction="down"),
    ThreatModel(1, direction=["up", "both"]),
    ThreatModel(1, units="iqr", one_hot_groups=[["b", "a"], (7, 5, 6)]),
]


@pytest.mark.parametrize("threat_model", THREAT_MODELS, ids=repr)
def test_repr_rebuilds_the_threat_model(threat_model):
    assert eval(repr(threat_model), {"ThreatModel": ThreatModel, "numpy": np}) == threat_model  # noqa: S307


@pytest.mark.parametrize("threat_model", THREAT_MODELS, ids=repr)
def test_threat_model_is_a_value(threat_model):
    again = pickle.loads(pickle.dumps(threat_model))
    assert again == threat_model
    assert hash(again) == hash(threat_model)
    assert sum(threat_model == other for other in THREAT_MODELS) == 1
    with pytest.raises(AttributeError):
        threat_model.eps = 1


def test_repr_shows_what_is_not_default():
    assert repr(ThreatModel(0.1)) == "ThreatModel(eps=0.1, norm=numpy.inf)"
    assert repr(ThreatModel(norm=2, bounds=[0, np.inf])) == "ThreatModel(norm=2, bounds=(0.0, numpy.inf))"
    threat_model = ThreatModel(1, immutable=["b", 10, "a", 2, 2], direction={"b": "up", 1: "down"})
    assert repr(threat_model) == (
        "ThreatModel(eps=1.0, norm=numpy.inf, immutable=(2, 10, 'a', 'b'), direction={1: 'down', 'b': 'up'})"
    )


def test_order_does_not_matter():
    one = ThreatModel(1, integer=[1, "a"], direction={1: "up", 2: "down"}, one_hot_groups=[[3, 4], [6, 5]])
    other = ThreatModel(1, integer=("a", 1), direction={2: "down", 1: "up"}, one_hot_groups=[[5, 6], [4, 3]])
    assert one == other
    assert hash(one) == hash(other)


def test_numbers_may_come_as_a_series():
    X = pd.DataFrame({"a": [0.0, 2.0], "b": [0.0, 4.0]})
    assert ThreatModel(X.std(ddof=0) / 2, units=X.max()) == ThreatModel([0.5, 1], units=[2, 4])
    with pytest.raises(ValueError, match="one per feature"):
        ThreatModel(X.max() - 3)


class Holder(BaseEstimator):
    def __init__(self, threat_model=None):
        self.threat_model = threat_model


@pytest.mark.parametrize("threat_model", THREAT_MODELS, ids=repr)
def test_threat_model_in_clones_and_grids(threat_model):
    assert clone(Holder(threat_model)).threat_model == threat_model
    assert [params["threat_model"] for params in ParameterGrid({"threat_model": THREAT_MODELS})] == THREAT_MODELS


# ---- resolve and with_eps ----


@pytest.fixture
def reference(rng):
    X = rng.normal(3, [0.1, 1, 100, 0], size=(50, 4))
    X[:, 3] = 0.1  # numpy's standard deviation of this is not 0
    return X


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ("std", lambda X: StandardScaler().fit(X).scale_),
        ("iqr", lambda X: RobustScaler().fit(X).scale_),
        ("range", lambda X: MinMaxScaler().fit(X).data_range_),
    ],
)
def test_learned_units_are_those_of_the_scalers(reference, units, expected):
    learned = ThreatModel(1, units=units).resolve(reference).units
    assert learned == pytest.approx([*expected(reference)[:3], 0])
    assert learned[3] == 0


def test_learned_bounds(reference):
    learned, low, high = ThreatModel(1, bounds="learn").resolve(reference).bounds
    assert learned == "learned"
    assert low == tuple(reference.min(axis=0))
    assert high == tuple(reference.max(axis=0))


def test_what_is_resolved_stays(reference):
    threat_model = ThreatModel(1, 2, units="std", bounds="learn", immutable=[0]).resolve(reference)
    assert threat_model.resolve(reference + 1) == threat_model
    assert (threat_model.eps, threat_model.norm, threat_model.immutable) == (1, 2, (0,))
    assert ThreatModel(1).resolve(reference) == ThreatModel(1)


def test_frames_with_columns_that_hold_no_numbers():
    X = pd.DataFrame(
        {
            "age": [20, 30, 60],
            "kind": ["a", "b", "a"],
            "size": pd.array([1, None, 3], dtype="Int64"),
            "empty": [np.nan] * 3,
            "group": pd.Categorical([1, 2, 2]),
            "is_new": [True, False, True],
        }
    )
    threat_model = ThreatModel(1, units="range", bounds="learn").resolve(X)
    assert threat_model.units == (40, 0, 2, 0, 0, 1)
    assert threat_model.bounds[1:] == ((20, -np.inf, 1, -np.inf, -np.inf, 0), (60, np.inf, 3, np.inf, np.inf, 1))


def test_missing_values_are_left_out(reference):
    with_gaps = np.vstack([reference, np.full((3, 4), np.nan)])
    for units in ("std", "iqr", "range"):
        threat_model = ThreatModel(1, units=units, bounds="learn")
        assert threat_model.resolve(with_gaps) == threat_model.resolve(reference)


def test_images_have_a_unit_per_pixel(digit_images):
    threat_model = ThreatModel(1, units="range", bounds="learn").resolve(digit_images[0])
    assert len(threat_model.units) == 64
    assert threat_model.bounds[2] == tuple(digit_images[0].reshape(200, 64).max(axis=0))


@pytest.mark.parametrize(
    ("X", "message"), [(np.empty((0, 2)), "0 sample"), ([["a"]], "could not convert"), ([[np.inf]], "infinity")]
)
def test_reference_rows_that_teach_nothing(X, message):
    with pytest.raises(ValueError, match=message):
        ThreatModel(1, units="std").resolve(X)


def test_with_eps():
    threat_model = ThreatModel(norm=2, bounds=(0, 1))
    assert threat_model.with_eps(0.5) == ThreatModel(0.5, norm=2, bounds=(0, 1))
    assert threat_model.with_eps(None) is threat_model
    assert ThreatModel(1).with_eps(None) == ThreatModel(1)


@pytest.mark.parametrize("own", [0.1, (0.1, 0.2)])
def test_two_eps_contradict_each_other(own):
    with pytest.raises(ValueError, match=r"eps=0.3 and the eps=\(?0.1.* of the threat model contradict each other"):
        ThreatModel(own).with_eps(0.3)


# ---- wrong input ----


@pytest.mark.parametrize("eps", ["0.1", True, {0: 1}, ["a"], [True], np.zeros((2, 2)), 1j])
def test_eps_of_another_type(eps):
    with pytest.raises(TypeError, match=r"(?s)eps=.* must be a number, or a sequence of one per feature"):
        ThreatModel(eps)


@pytest.mark.parametrize("eps", [-0.1, np.nan, np.inf])
def test_eps_out_of_range(eps):
    with pytest.raises(ValueError, match=r"eps=.* must be a finite number that is not negative"):
        ThreatModel(eps)


@pytest.mark.parametrize("name", ["eps", "units"])
@pytest.mark.parametrize("values", [[0.1, -0.1], [np.nan], [np.inf], []])
def test_number_per_feature_out_of_range(name, values):
    with pytest.raises(ValueError, match=f"{name}=.* must hold finite numbers that are not negative, one per feature"):
        ThreatModel(**{name: values})


@pytest.mark.parametrize("norm", [0, 3, "l2", None, -np.inf])
def test_norm_that_is_not_supported(norm):
    with pytest.raises(ValueError, match=r"norm=.* is not supported: use numpy.inf, 2 or 1"):
        ThreatModel(0.1, norm)


def test_unknown_units():
    with pytest.raises(ValueError, match=r"units='mad' is unknown: use one of \('raw', 'std', 'iqr', 'range'\)"):
        ThreatModel(units="mad")


@pytest.mark.parametrize("units", [1.0, None, ["std", "raw"]])
def test_units_of_another_type(units):
    with pytest.raises(TypeError, match=r"units=.* must be one of \('raw', .*, or a sequence of one number per"):
        ThreatModel(units=units)


@pytest.mark.parametrize("bounds", [1, (0,), (0, 1, 2), ("a", "b"), "12", ([0, 0], [1, 1, 1]), ([[0]], 1)])
def test_bounds_that_are_no_pair(bounds):
    with pytest.raises(ValueError, match=r"bounds=.* must be a pair \(low, high\)"):
        ThreatModel(0.1, bounds=bounds)


@pytest.mark.parametrize("bounds", [(1, 0), (np.nan, 1), ([0, 2], [1, 1])])
def test_bounds_that_exclude_everything(bounds):
    with pytest.raises(ValueError, match=r"bounds=.* must have low <= high"):
        ThreatModel(0.1, bounds=bounds)


@pytest.mark.parametrize("name", ["immutable", "integer"])
@pytest.mark.parametrize("features", ["age", 3, {"age": 1}, None])
def test_features_that_are_no_sequence(name, features):
    with pytest.raises(TypeError, match=f"{name}=.* must be a sequence of column names or indices: put a single"):
        ThreatModel(0.1, **{name: features})


@pytest.mark.parametrize("feature", [1.0, True, np.True_, None])
def test_feature_that_is_no_name_or_index(feature):
    with pytest.raises(TypeError, match=r"immutable holds .*: give features by column name or index, not by a mask"):
        ThreatModel(0.1, immutable=[feature])


def test_index_from_the_end():
    with pytest.raises(ValueError, match=r"integer holds the index -1: count features from 0"):
        ThreatModel(0.1, integer=[-1])


@pytest.mark.parametrize("direction", ["sideways", ["up", 1], {0: None}])
def test_unknown_direction(direction):
    with pytest.raises(ValueError, match=r"direction holds .*, which is unknown: use one of \('up', 'down', 'both'"):
        ThreatModel(0.1, direction=direction)


def test_direction_of_another_type():
    with pytest.raises(TypeError, match=r"direction=1 must be one of \('up', .*, one of them per feature, or a dict"):
        ThreatModel(0.1, direction=1)


def test_groups_that_are_no_sequence():
    with pytest.raises(TypeError, match=r"one_hot_groups='ab' must be a sequence of groups"):
        ThreatModel(0.1, one_hot_groups="ab")


@pytest.mark.parametrize("group", [[], [3], [3, 3]])
def test_group_without_another_category(group):
    with pytest.raises(ValueError, match=r"one_hot_groups holds .*, which has no other category"):
        ThreatModel(0.1, one_hot_groups=[group])


@pytest.mark.parametrize(
    "settings", [{"one_hot_groups": [[0, 1], [1, 2]]}, {"integer": [1], "one_hot_groups": [[0, 1]]}]
)
def test_feature_that_is_listed_twice(settings):
    with pytest.raises(ValueError, match=r"feature 1 is in two of one_hot_groups, or also under integer: list it once"):
        ThreatModel(0.1, **settings)
