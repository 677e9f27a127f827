"""AdversarialExamplesDisplay: what moved, in images and in rows of a table, and what was answered."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import Bunch

from skrobust import ThreatModel
from skrobust.attacks import _plan, find_adversarial
from skrobust.inspection import AdversarialExamplesDisplay


@pytest.fixture(autouse=True)
def closed_figures():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture
def no_attacks(monkeypatch):
    """Return a function after whose call every attack raises."""

    def attacks_no_more(*args, **kwargs):
        raise AssertionError("an attack was run")

    return lambda: monkeypatch.setattr(_plan, "run_all", attacks_no_more)


@pytest.fixture
def people(rng):
    """Return a mixed table, labels, and a Pipeline fitted on them."""
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 60, 50),
            "income": rng.gamma(4, 800, 50),
            "city": pd.Categorical(rng.choice(["Oslo", "Rome"], 50)),
        }
    )
    y = np.where(frame["income"] > frame["income"].median(), "pays", "defaults")
    before = make_column_transformer((OneHotEncoder(), ["city"]), remainder=StandardScaler())
    return frame, y, make_pipeline(before, LogisticRegression()).fit(frame, y)


def test_examples_from_estimator_equal_from_result(people, no_attacks):
    frame, y, pipe = people
    threat = ThreatModel([2, 900, 1], immutable=["city"])
    display = AdversarialExamplesDisplay.from_estimator(pipe, frame, y, threat_model=threat, n_examples=3)
    result = find_adversarial(pipe, frame, y, threat_model=threat)
    no_attacks()
    again = AdversarialExamplesDisplay.from_result(result, pipe, frame, y, threat_model=threat, n_examples=3)
    assert len(display.axes_) == 3
    for one, other in zip(display.bars_, again.bars_, strict=True):
        assert [bar.get_width() for bar in one] == [bar.get_width() for bar in other]
    display.plot()
    shown = [example["row"] for example in display.examples]
    assert shown == np.flatnonzero(result.success & (result.distance > 0))[:3].tolist()


def test_bars_count_in_eps_and_show_what_moved(people):
    frame, y, pipe = people
    after = frame.astype({"age": float}).copy()
    after.loc[0, ["age", "income"]] += [1.0, -450.0]
    threat = ThreatModel([2, 900, 1])
    answers = pipe.predict(frame)
    display = AdversarialExamplesDisplay.from_predictions(
        frame, after, answers, answers, y=y, rows=[0], threat_model=threat
    )
    (ax,) = display.axes_
    assert sorted(bar.get_width() for bar in display.bars_[0]) == pytest.approx([-0.5, 0.5])
    names = sorted(text.get_text().split(":")[0] for text in ax.get_yticklabels())
    assert names == ["age", "income"]
    assert f"age: {frame['age'][0]} → {after['age'][0]:.4g}" in [text.get_text() for text in ax.get_yticklabels()]
    assert ax.get_xlabel() == "change (in units of eps)"
    low, high = ax.get_xlim()
    assert -low == high > 0.5
    display.plot(max_features=1)
    assert len(display.bars_[0]) == 1
    assert display.axes_[0].get_xlabel() == "change (in units of eps); 1 more features moved"


def test_bars_count_in_eps_times_the_units_of_features():
    threat = ThreatModel(0.5, units=[2.0, 4.0])
    display = AdversarialExamplesDisplay.from_predictions([[0, 0]], [[1, 1]], [0], [1], threat_model=threat)
    assert [bar.get_width() for bar in display.bars_[0]] == [0.5, 1.0]


def test_bars_of_rows_that_did_not_move():
    display = AdversarialExamplesDisplay.from_predictions([[1.0, 2.0]], [[1.0, 2.0]], ["a"], ["a"])
    assert [bar.get_width() for bar in display.bars_[0]] == [0.0]
    assert display.axes_[0].get_yticklabels()[0].get_text() == "feature 0: 1"
    assert display.axes_[0].get_xlabel() == "change (in units of X)"


@pytest.mark.parametrize("threat_model", [None, ThreatModel([2.0, 1.0, 1.0, 1.0], immutable=["size"])])
def test_columns_without_numbers_changed_or_not(threat_model):
    before = pd.DataFrame({"age": [1.0, 2.0, 3.0], "size": 1.0, "city": ["A", "B", None], "new": [True, True, False]})
    after = pd.DataFrame({"age": [1.0, 2.5, 3.0], "size": 1.0, "city": ["B", "B", None], "new": [True, False, False]})
    display = AdversarialExamplesDisplay.from_predictions(
        before, after, [0] * 3, [1] * 3, rows=[0, 1, 2], threat_model=threat_model
    )
    shown = [
        {text.get_text(): bar.get_width() for text, bar in zip(ax.get_yticklabels(), bars, strict=True)}
        for ax, bars in zip(display.axes_, display.bars_, strict=True)
    ]
    age = 0.5 if threat_model is None else 0.25
    assert shown[0] == {"city: A → B": 1}
    assert shown[1] == {"age: 2 → 2.5": age, "new: True → False": 1}
    assert list(shown[2].values()) == [0]


def test_long_names_leave_room_for_the_bars():
    names = [f"a name that is far too long for the picture, as it goes on, {k}" for k in range(12)]
    before = pd.DataFrame(np.zeros((2, 12)), columns=names)
    display = AdversarialExamplesDisplay.from_predictions(before, before + 1, [0, 0], [1, 1])
    texts = [text.get_text() for text in display.axes_[0].get_yticklabels()]
    assert len(set(texts)) == 10
    assert max(map(len, texts)) <= 32 + len(": 0 → 1")
    display.figure_.draw_without_rendering()
    for ax in display.axes_:
        label = ax.xaxis.label.get_window_extent()
        assert 0 <= label.x0 <= label.x1 <= ax.get_window_extent().x1 + 1


def test_images_before_and_after(quick, digit_images):
    images, y = digit_images
    clf = quick(max_epochs=10).fit(images, y)
    display = AdversarialExamplesDisplay.from_estimator(
        clf, images[:20], y[:20], threat_model=ThreatModel(0.3), attack="fgsm", n_examples=2
    )
    assert display.axes_.shape == display.images_.shape == (3, 2)
    row = display.examples[0]["row"]
    np.testing.assert_allclose(display.images_[0, 0].get_array(), images[row])
    change = np.asarray(display.images_[1, 0].get_array())
    np.testing.assert_allclose(change, np.asarray(display.images_[2, 0].get_array()) - images[row], atol=1e-12)
    limits = display.images_[1, 0].get_clim()
    assert limits[0] == -limits[1]
    assert display.images_[0, 0].get_clim() == display.images_[2, 1].get_clim()
    wrong = display.axes_[2, 0].xaxis.label
    assert (wrong.get_text(), wrong.get_weight()) == (f"answer: {display.examples[0]['answer_after']}", "bold")
    assert display.axes_[0, 0].title.get_weight() == "normal"


@pytest.mark.parametrize("shape", [(3, 6, 5), (6, 5, 3), (1, 6, 5), (6, 5), (6, 5, 1)])
def test_images_of_all_layouts(rng, shape):
    X = rng.random((2, *shape))
    display = AdversarialExamplesDisplay.from_predictions(X, X + 0.1, ["a", "b"], ["b", "b"], y=["a", "b"])
    n_channels = [3] * (3 in shape)
    assert display.images_[0, 0].get_array().shape == (6, 5, *n_channels)
    assert display.images_[1, 0].get_array().shape == (6, 5)
    assert "±0.1" in display.axes_[1, 0].get_ylabel()


def test_flat_images(digit_images):
    X = digit_images[0][:3].reshape(3, 64)
    display = AdversarialExamplesDisplay.from_predictions(X, 1 - X, [1, 2, 3], [3, 2, 1], image_shape=(8, 8))
    assert display.images_.shape == (3, 3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"X_adv": np.zeros((2, 2))}, r"X_adv is of shape \(2, 2\), but X of \(3, 2\)"),
        ({"y_pred": [0, 0]}, "y_pred has 2 labels, but X has 3 rows"),
        ({"y": [0]}, "y has 1 labels, but X has 3 rows"),
        ({"rows": [3]}, r"rows=\[3\] must be indices of rows of X, which has 3"),
        ({"rows": []}, r"rows=\[\] must be indices"),
        ({"image_shape": (2, 2)}, r"image_shape=\(2, 2\) must be"),
        ({"threat_model": ThreatModel()}, "threat_model has no eps"),
        ({"max_features": 0}, "max_features=0 must be a positive whole number"),
    ],
)
def test_wrong_parameters_of_examples(params, message):
    fitting = {"X": np.zeros((3, 2)), "X_adv": np.ones((3, 2)), "y_pred": [0] * 3, "y_pred_adv": [1] * 3}
    with pytest.raises(ValueError, match=message):
        AdversarialExamplesDisplay.from_predictions(**{**fitting, **params})


def test_wrong_results_of_attacks(blobs):
    X, y = blobs
    clf = LogisticRegression().fit(X, y)
    with pytest.raises(TypeError, match="result has no 'X_adv'"):
        AdversarialExamplesDisplay.from_result(Bunch(distance=[]), clf, X, y)
    result = Bunch(X_adv=X, success=np.ones(90, dtype=bool), distance=np.ones(90))
    with pytest.raises(ValueError, match="n_examples=0 must be a positive whole number"):
        AdversarialExamplesDisplay.from_result(result, clf, X, y, n_examples=0)
