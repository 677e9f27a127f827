"""Labels: which are marks, what they are once the marks are gone, their codes and their weights."""

import numpy as np
import pytest

from skrobust._labels import (
    check_known_classes,
    check_two_classes,
    class_weighted,
    encode_labels,
    label_array,
    marked_unlabeled,
    normalized,
    plain_labels,
)


@pytest.mark.parametrize(
    ("labels", "mark", "expected"),
    [
        ([0, -1, 1], -1, [False, True, False]),
        ([0, -1, 1], None, [False] * 3),
        ([0.0, -1.0, 1.0], -1, [False, True, False]),
        (["a", "?", "b"], "?", [False, True, False]),
        (["a", "-1", "b"], None, [False] * 3),
        (["a", "-10", "b"], -1, [False] * 3),
        (np.array(["-1", -1, "b"], dtype=object), -1, [False, True, False]),
        (np.array(["a", -1, "b"], dtype=object), -1, [False, True, False]),
        (np.array([0, "?", 1], dtype=object), "?", [False, True, False]),
        (np.array([0, 1, 2]), "?", [False] * 3),
    ],
    ids=str,
)
def test_marks(labels, mark, expected):
    assert marked_unlabeled(np.asarray(labels), mark).tolist() == expected


@pytest.mark.parametrize(
    ("labels", "mark", "kind"),
    [
        (np.array(["a", -1]), -1, "str"),
        (np.array(["a", "-1"], dtype=object), -1, "str"),
        (np.array([0, -1]), "-1", "int"),
        (np.array([0.5, -1.0]), "-1.0", "float"),
        (np.array(["a", True]), True, "str"),
    ],
    ids=str,
)
def test_a_mark_that_is_there_as_another_type_names_the_remedy(labels, mark, kind):
    found = labels.tolist()[1]
    message = f"unlabeled_label={mark!r} is not among the labels, but {found!r} is, of type {kind}: use unlabeled_label"
    with pytest.raises(ValueError, match=rf"{message}={found!r}, or None if it is a class"):
        marked_unlabeled(labels, mark)


@pytest.mark.parametrize("labels", [[0.0, np.nan], [0, 1], []], ids=str)
def test_no_label_equals_nan(labels):
    with pytest.raises(ValueError, match=r"unlabeled_label=nan equals no label, not even itself: mark .* such as -1"):
        marked_unlabeled(np.array(labels), np.nan)


@pytest.mark.parametrize("labels", [["a", "b", -1], (0, "?", 1)])
def test_words_and_numbers_in_a_list_stay_what_they_are(labels):
    assert label_array(labels).tolist() == list(labels)


@pytest.mark.parametrize("labels", [["a", "b"], [0, 1], np.array(["a", "b"]), None, [[0, 1], [1, 0]], []], ids=str)
def test_labels_of_one_kind_are_passed_on(labels):
    assert label_array(labels) is labels


@pytest.mark.parametrize(
    ("labels", "kind"), [([1, 2], "i"), ([1.0, 2], "f"), ([True, False], "b"), (["a", "b"], "O"), (["a", 1], "O")]
)
def test_numbers_that_came_as_objects_are_numbers(labels, kind):
    plain = plain_labels(np.array(labels, dtype=object))
    assert plain.dtype.kind == kind
    assert plain.tolist() == labels


def test_plain_labels_are_passed_on():
    y = np.array(["a", "b"])
    assert plain_labels(y) is y


def test_two_classes_are_needed():
    check_two_classes(np.array([0, 1]))
    with pytest.raises(ValueError, match="y has only one class, 'a': a classifier needs at least two classes"):
        check_two_classes(["a"])


@pytest.mark.parametrize(
    ("classes", "known", "mark", "expected"),
    [
        ([2, 0, 1, 1], None, None, [0, 1, 2]),
        ([-1, 0, 1], None, None, [-1, 0, 1]),
        ([-1, 0, 1], None, -1, [0, 1]),
        ([-1, 1, 0], [0, 1], -1, [0, 1]),
        (["b", "a", -1], None, -1, ["a", "b"]),
        ([1, 0, "?"], None, "?", [0, 1]),
        (None, [0, 1], None, [0, 1]),
        ([1, 0], [0, 1], None, [0, 1]),
    ],
    ids=str,
)
def test_known_classes(classes, known, mark, expected):
    known = None if known is None else np.array(known)
    assert check_known_classes(classes, known, mark).tolist() == expected


def test_classes_are_named_first_and_never_changed():
    with pytest.raises(ValueError, match="classes=None in the first call of partial_fit"):
        check_known_classes(None, None)
    message = r"classes=\[0, 2\] differ from those of the first call, \[0, 1\]: leave classes out, or fit anew"
    with pytest.raises(ValueError, match=message):
        check_known_classes([0, 2, -1], np.array([0, 1]), -1)


def test_codes():
    classes = np.array(["a", "c", "d"])
    assert encode_labels(np.array(["d", "a", "a"]), classes).tolist() == [2, 0, 0]
    with pytest.raises(ValueError, match=r"y has labels \['b'\] that are not among the classes \['a', 'c', 'd'\]"):
        encode_labels(np.array(["a", "b"]), classes)


CODES, CLASSES = np.array([0, 0, 0, 1]), np.array([5, 7])


@pytest.mark.parametrize(
    ("class_weight", "weight", "expected"),
    [
        (None, None, None),
        (None, [1, 1, 1, 1], [1, 1, 1, 1]),
        ({5: 1, 7: 1}, None, None),
        ({7: 5}, None, [0.5, 0.5, 0.5, 2.5]),
        ({5: 0, 7: 1}, None, [0, 0, 0, 4]),
        ("balanced", None, [2 / 3, 2 / 3, 2 / 3, 2]),
        ({7: 3}, [1, 2, 2, 1], [0.5, 1, 1, 1.5]),
        ("balanced", [1, 1, 1, 3], [2 / 3, 2 / 3, 2 / 3, 2]),
    ],
    ids=str,
)
def test_class_weights_multiply_row_weights(class_weight, weight, expected):
    result = class_weighted(None if weight is None else np.array(weight), class_weight, CLASSES, CODES)
    if expected is None:
        assert result is None
    else:
        np.testing.assert_allclose(result, expected)


def test_classes_without_rows_leave_the_others_balanced():
    without, alone = np.array([0, 0, 2, 0]), np.array([0, 0, 1, 0])
    balanced = class_weighted(None, "balanced", np.array([5, 6, 7]), without)
    np.testing.assert_allclose(balanced, class_weighted(None, "balanced", CLASSES, alone))
    assert class_weighted(None, "balanced", CLASSES, np.zeros(4, dtype=int)) is None


@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
def test_class_weights_are_finite_and_not_negative(value):
    with pytest.raises(ValueError, match=r"class_weight=\{7: .*\} must be finite numbers that are not negative"):
        class_weighted(None, {7: value}, CLASSES, CODES)


def test_some_row_has_weight():
    with pytest.raises(ValueError, match=r"class_weight=\{5: 0, 7: 0\} must be .*, one of them positive"):
        class_weighted(None, {5: 0, 7: 0}, CLASSES, CODES)


def test_weights_have_mean_one_and_equal_ones_are_none():
    assert normalized(None) is None
    assert normalized(np.full(3, 7.0)) is None
    np.testing.assert_allclose(normalized(np.array([1.0, 3.0])), [0.5, 1.5])
