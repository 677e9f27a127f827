"""Labels, their codes and their weights."""

import numpy as np
from sklearn.utils.class_weight import compute_class_weight


def label_array(labels):
    """Return a list of labels as an array that leaves words and numbers beside each other as they are."""
    mixed = isinstance(labels, (list, tuple)) and len({isinstance(label, str) for label in labels}) > 1
    return np.asarray(labels, dtype=object) if mixed else labels


def marked_unlabeled(y, unlabeled_label):
    """Return which labels of an array mark an unlabeled row: ndarray of bool; with None, no label does.

    Raises
    ------
    ValueError
        If the mark is NaN, or is among the labels as another type only.
    """
    if unlabeled_label is None:
        return np.zeros(len(y), dtype=bool)
    check_mark(unlabeled_label)
    labels = y.tolist()
    marked = np.asarray([label == unlabeled_label for label in labels], dtype=bool)
    # numpy makes text of a number among words, which would then be a class of its own.
    alike = [] if marked.any() else [label for label in dict.fromkeys(labels) if str(label) == str(unlabeled_label)]
    if alike:
        raise ValueError(
            f"unlabeled_label={unlabeled_label!r} is not among the labels, but {alike[0]!r} is, of type "
            f"{type(alike[0]).__name__}: use unlabeled_label={alike[0]!r}, or None if it is a class."
        )
    return marked


def check_mark(unlabeled_label):
    """Check that a label can equal the mark of unlabeled rows.

    Raises
    ------
    ValueError
        If the mark is NaN.
    """
    if unlabeled_label != unlabeled_label:  # only NaN differs from itself
        raise ValueError(
            f"unlabeled_label={unlabeled_label!r} equals no label, not even itself: mark unlabeled rows by another "
            "one, such as -1."
        )


def plain_labels(y):
    """Return numbers as such where they came as Python objects, as they do beside a mark that is a string."""
    if y.dtype != object:
        return y
    plain = np.asarray(y.tolist())
    return plain if plain.dtype.kind in "biuf" else y


def check_sortable(y):
    """Check that labels, where they are Python objects, are there and of kinds that have an order.

    Raises
    ------
    ValueError
        If labels are missing, or words and numbers stand beside each other.
    """
    labels = y.tolist() if y.dtype == object else []
    if any(label is None or label != label for label in labels):  # only NaN differs from itself
        raise ValueError("y has missing labels (None or NaN): leave these rows out, or pass them as X_unlabeled.")
    try:
        sorted(labels)
    except TypeError as error:
        raise ValueError(
            f"y has labels that cannot be sorted ({error}): give labels of one kind, such as words alone."
        ) from error


def check_two_classes(classes):
    """Check that there is something to tell apart.

    Raises
    ------
    ValueError
        If there are fewer than two classes.
    """
    if len(classes) < 2:
        raise ValueError(f"y has only one class, {classes[0]!r}: a classifier needs at least two classes.")


def check_known_classes(classes, known, unlabeled_label=None):
    """Return the sorted classes of a sequence of partial fits.

    Parameters
    ----------
    classes : array-like or None
        As passed in this call.
    known : ndarray or None
        As learned before; None in the first call.
    unlabeled_label : label or None
        The mark of unlabeled rows, which is no class even if it is named among them.

    Raises
    ------
    ValueError
        If the first call names no classes, or a later one names others.
    """
    if classes is None and known is None:
        raise ValueError("classes=None in the first call of partial_fit: pass every class there will ever be.")
    if classes is None:
        return known
    classes = np.asarray(label_array(classes))
    classes = np.unique(plain_labels(classes[~marked_unlabeled(classes, unlabeled_label)]))
    if known is not None and not np.array_equal(classes, known):
        raise ValueError(
            f"classes={classes.tolist()} differ from those of the first call, {known.tolist()}: leave "
            "classes out, or fit anew."
        )
    return classes


def encode_labels(y, classes):
    """Return y as indices into the sorted array of classes.

    Raises
    ------
    ValueError
        If a label is not among the classes.
    """
    new = np.setdiff1d(y, classes)
    if len(new):
        raise ValueError(
            f"y has labels {new.tolist()} that are not among the classes {classes.tolist()}: name every class in the "
            "first call, with partial_fit(X, y, classes=...), or fit anew."
        )
    return np.searchsorted(classes, y)


def class_weighted(weight, class_weight, classes, codes):
    """Return row weights multiplied by class weights, with mean 1, or None if all are equal.

    Raises
    ------
    ValueError
        If class weights are negative, not finite, or 0 for all rows.
    """
    if class_weight is None:
        return weight
    # A later fit with warm_start may lack rows of some class; those that are there can still be balanced.
    present = np.unique(codes) if isinstance(class_weight, str) else np.arange(len(classes))
    per_class = np.ones(len(classes))
    with np.errstate(all="ignore"):  # a class of no weight to speak of is told apart below
        per_class[present] = compute_class_weight(
            class_weight, classes=classes[present], y=classes[codes], sample_weight=weight
        )
    used = per_class[codes]
    if not (np.isfinite(per_class).all() and (per_class >= 0).all() and used.any()):
        raise ValueError(
            f"class_weight={class_weight!r} must be finite numbers that are not negative, one of them positive."
        )
    return normalized(used * (1.0 if weight is None else weight))


def normalized(weight):
    """Return weights with mean 1, or None if all are equal or there are none."""
    if weight is None or np.ptp(weight) == 0:
        return None
    return weight / weight.mean()
