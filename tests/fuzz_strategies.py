"""What users may pass, of every kind, and what may come of it: the ground of test_fuzz."""

import linecache
import os
import traceback
import warnings

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from hypothesis import Phase, settings
from hypothesis import strategies as st

from skrobust import ThreatModel
from skrobust.adversary import MultiplePerturbations

# The long run draws anew each time; the quick one, within the other tests, always the same.
LONG = int(os.environ.get("FUZZ_EXAMPLES", "0"))
DOCUMENTED = (ValueError, TypeError)
# Where scikit-learn checks what users pass; its words are documented there.
CHECKED_BY_SKLEARN = ("sklearn/utils/validation", "sklearn/utils/_param_validation", "sklearn/utils/multiclass")


def examples(n):
    """Return the settings of a test of n examples, or of as many as the long run asks for."""
    # To shrink an example that took long takes longer still, and to explain it longest.
    phases = (Phase.generate, Phase.shrink) if LONG else (Phase.generate,)
    return settings(max_examples=LONG or n, derandomize=not LONG, phases=phases)


def outcome(call):
    """Return what a call returns, or None if it refuses with a documented error."""
    try:
        with warnings.catch_warnings():
            # What the package and scikit-learn warn of is for the user; overflow and the like must not happen.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", FutureWarning)
            # Trees cast to float32, powers overflow, infinities are looked for by a sum: that is the others' own.
            warnings.filterwarnings("ignore", category=RuntimeWarning, module="sklearn|pandas|scipy")
            warnings.filterwarnings("ignore", "(invalid value|overflow) encountered in reduce")
            return call()
    except DOCUMENTED as error:
        if not is_deliberate(error):
            raise AssertionError("a refusal that nobody meant") from error
        return None


def is_deliberate(error):
    """Return whether an error was raised on purpose: by a statement of the package, in one sentence, or by a check."""
    frames = traceback.extract_tb(error.__traceback__)
    names = [frame.filename.replace("\\", "/") for frame in frames]
    own = max((i for i, name in enumerate(names) if "/skrobust/" in name), default=0)
    if own == len(frames) - 1:
        line = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
        return line.startswith("raise ") and "\n" not in str(error)
    return any(check in name for name in names[own:] for check in CHECKED_BY_SKLEARN)


def snapshot(value):
    """Return what a value holds, to be compared with what it holds later."""
    if value is None:
        return None
    value = value.toarray() if hasattr(value, "toarray") else getattr(value, "array", value)
    return repr(np.asarray(value, dtype=object).tolist()), str(getattr(value, "dtype", getattr(value, "dtypes", "")))


class ArrayLike:
    """What has rows and becomes an array when asked, as the frames of other libraries do."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape

    def __len__(self):
        return len(self.array)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def named(array):
    return [f"column {j}" for j in range(array.shape[1])]


SCALES = [1.0] * 8 + [1e-300, 1e-160, 1e-30, 1e-3, 1e3, 1e8, 1e30, 1e38, 1e150, 1e154, 1e300, 1.7e308]
FORMS = {
    "any": lambda X: X,
    "repeated rows": lambda X: X[np.arange(len(X)) // 3],
    "equal rows": lambda X: np.repeat(X[:1], len(X), axis=0),
    "constant columns": lambda X: np.where(np.arange(X.shape[1]) % 2, X, 3.0),
    "zeros": np.zeros_like,
    "far from zero": lambda X: X + 1e8,
    "one column for all": lambda X: np.repeat(X[:, :1], X.shape[1], axis=1),
    "one row far away": lambda X: np.where(np.arange(len(X))[:, None] == 0, 1e6 * X, X),
    "NaN": lambda X: np.where(X == X.flat[0], np.nan, X),
    "infinity": lambda X: np.where(X == X.flat[-1], -np.inf, X),
}
# How a table may come; the first is the plain one.
CLOTHES = {
    "array": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "float16": lambda X: X.astype(np.float16),
    "long double": lambda X: X.astype(np.longdouble),
    "bytes": lambda X: X.astype(np.uint8),
    "integers": lambda X: X.astype(np.int64),
    "booleans": lambda X: X > 0,
    "complex": lambda X: X + 1j,
    "big endian": lambda X: X.astype(">f8"),
    "objects": lambda X: X.astype(object),
    "words": lambda X: X.astype(str),
    "Fortran order": np.asfortranarray,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1, ::-1],
    "transposed": lambda X: X.T.copy().T,
    "read-only": read_only,
    "list": lambda X: X.tolist(),
    "tuple": lambda X: tuple(map(tuple, X.tolist())),
    "frame": lambda X: pd.DataFrame(X, columns=named(X), index=np.arange(len(X))[::-1]),
    "nullable frame": lambda X: pd.DataFrame(X).astype("Float64"),
    "categories": lambda X: pd.DataFrame(X).astype("category"),
    "frame with words": lambda X: pd.DataFrame(X, columns=named(X)).assign(word="a"),
    "frame with dates": lambda X: pd.DataFrame(X, columns=named(X)).assign(day=pd.Timestamp("2020-01-01")),
    "array-like": ArrayLike,
    "tensor": lambda X: torch.from_numpy(X.copy()),
    "masked": lambda X: np.ma.masked_array(X, mask=X > 1),
    "sparse": scipy.sparse.csr_array,
    "one dimension": lambda X: X[:, 0],
    "images": lambda X: X[:, :, None],
    "five dimensions": lambda X: X[:, :, None, None, None],
}
LABELS = {
    "integers": lambda codes: codes,
    "words": lambda codes: np.array(["ant", "bee", "cat", "dog"])[codes],
    "negative": lambda codes: -codes,
    "booleans": lambda codes: codes > 0,
    "floats": lambda codes: codes / 1.0,
    "halves": lambda codes: codes / 2,
    "large": lambda codes: codes + 2**62,
    "unsigned": lambda codes: codes.astype(np.uint64),
    "bytes": lambda codes: np.array([b"a", b"b", b"c", b"d"])[codes],
    "objects": lambda codes: codes.astype(object),
    "list": lambda codes: codes.tolist(),
    "list of words": lambda codes: [f"class {code}" for code in codes],
    "series": lambda codes: pd.Series(codes, index=np.arange(len(codes))[::-1]),
    "categories": lambda codes: pd.Series(codes).astype("category"),
    "nullable": lambda codes: pd.Series(codes).astype("Int64"),
    "nullable with gaps": lambda codes: pd.Series(codes).astype("Int64").where(codes > 0),
    "words and numbers": lambda codes: np.array([1, "a", 2.5, "b"], dtype=object)[codes],
    "words and None": lambda codes: np.array([None, "a", "b", "c"], dtype=object)[codes],
    "NaN": lambda codes: np.where(codes, codes, np.nan),
    "infinity": lambda codes: np.where(codes, codes, np.inf),
    "continuous": lambda codes: codes + np.linspace(0, 1, len(codes)),
    "complex": lambda codes: codes + 1j,
    "dates": lambda codes: codes.astype("datetime64[D]"),
    "column": lambda codes: codes[:, None],
    "indicators": lambda codes: np.eye(4)[codes],
    "too few": lambda codes: codes[:-1],
    "none": lambda codes: None,
}
WEIGHTS = {
    "none": lambda share: None,
    "any": lambda share: share,
    "some zero": lambda share: np.where(share < 0.5, 0.0, share),
    "zero": np.zeros_like,
    "huge": lambda share: 1e300 * share,
    "tiny": lambda share: 1e-300 * share,
    "of all sizes": lambda share: 10.0 ** (400 * share - 200),
    "integers": lambda share: (5 * share).astype(int),
    "booleans": lambda share: share < 0.5,
    "list": lambda share: share.tolist(),
    "negative": lambda share: share - 0.5,
    "NaN": lambda share: np.where(share < 0.3, np.nan, share),
    "infinite": lambda share: np.where(share < 0.3, np.inf, share),
    "too few": lambda share: share[:-1],
    "columns": lambda share: share[:, None] * [1, 2],
    "words": lambda share: np.array(["heavy"] * len(share)),
}
PARAMS = {
    "hidden_layer_sizes": [(4,), (), (3, 2)],
    "batch_size": [1, 2, 3, 64, 10**9],
    "n_unlabeled": [0, 0.1, 0.5, 2.5],
    "n_neighbors": [1, 2],
    "unlabeled": ["gaussian", "uniform", "extrapolation", None],
    "neighbors": ["gaussian", "uniform", "extrapolation", "adversarial"],
    "unlabeled_radius": [1e-300, 1e-10, 0.5, 1e10, 1e300],
    "neighbor_radius": [1e-300, 1e-10, 0.5, 1e10, 1e300],
    "smoothness": [0, 1e-300, 0.02, 1e5, 1e300],
    "penalty": ["smoothness", "jacobian", "input_gradient", "curvature", "virtual_adversarial", "stability", None],
    "adversary": [None, "fgsm", "pgd", "trades", MultiplePerturbations(["fgsm", "trades"])],
    "label_smoothing": [0, 0.5, 0.999],
    "mixup": [0, 1e-9, 0.2, 1e6],
    "unlabeled_label": [None, 0, 1, "ant", -1],
    "lr": [1e-300, 1e-3, 1e3, 1e300],
    "optimizer": ["adam", "sgd", "adamw"],
    "weight_decay": [0, 1e3, 1e300],
    "early_stopping": [True],
    "validation_fraction": [0.01, 0.5, 0.99],
    "class_weight": [None, "balanced", {0: 1, 1: 0}, {0: 1e300}],
    "dtype": ["auto", "float32", "float64", "bfloat16"],
    "noise_units": ["std"],
    "image_shape": [(1, 1), (1, 2), (2, 2, 2)],
    "noise_layer": ["0", "1"],
}


def mostly(choices):
    """Return a strategy that draws the first of several names as often as all others together."""
    names = list(choices)
    return st.sampled_from([names[0]] * (len(names) - 1) + names)


def rngs():
    """Return a strategy for generators of numpy."""
    return st.integers(0, 10**6).map(np.random.default_rng)


@st.composite
def tables(draw, n_features=None, clothes=tuple(CLOTHES)):
    """Draw a table in some form, of some size, in some clothes; return it with its number of rows."""
    n = draw(st.sampled_from([12, 1, 2, 3, 7, 30]))
    d = n_features or draw(st.integers(1, 6))
    plain = FORMS[draw(mostly(FORMS))](draw(rngs()).normal(size=(n, d)))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CLOTHES[draw(mostly(clothes))](plain * draw(st.sampled_from(SCALES))), n


@st.composite
def labels(draw, n, n_classes=None):
    """Draw labels for n rows."""
    codes = np.arange(n) % (n_classes or draw(st.sampled_from([2, 3, 4, 1])))
    return LABELS[draw(mostly(LABELS))](codes)


@st.composite
def weights(draw, n):
    """Draw row weights."""
    return WEIGHTS[draw(mostly(WEIGHTS))](draw(rngs()).random(n))


@st.composite
def params(draw):
    """Draw parameters of the classifier, a few that are not the defaults."""
    names = draw(st.lists(st.sampled_from(sorted(PARAMS)), max_size=5, unique=True))
    return {name: draw(st.sampled_from(PARAMS[name])) for name in names}


NUMBERS = [0.1, 0, 1, 1e-300, 1e300, -1.0, np.nan, np.inf, -np.inf, True, "1", None, np.float32(0.5), np.int64(2), 1j]
PER_FEATURE = st.lists(st.sampled_from([0.0, 0.3, 1, 1e300, np.nan, -1.0]), max_size=5)
FEATURES = st.lists(st.sampled_from([0, 1, 2, 3, 7, -1, "a", "column 1", True, 1.0, None]), max_size=3)
DIRECTIONS = st.sampled_from(["up", "down", "both", "none", "left", None])
THREAT_MODELS = {
    "eps": st.sampled_from(NUMBERS) | PER_FEATURE,
    "norm": st.sampled_from([np.inf, 2, 1, 2.0, 3, "inf", None, np.float64(2), [2]]),
    "units": st.sampled_from(["raw", "std", "iqr", "range", "meter", None, 3]) | PER_FEATURE,
    "bounds": st.sampled_from([None, "learn", (0, 1), (1, 0), (0,), (-np.inf, np.inf), (np.nan, 1), 3, "ab"])
    | st.tuples(PER_FEATURE, PER_FEATURE),
    "immutable": FEATURES,
    "direction": DIRECTIONS | st.lists(DIRECTIONS, max_size=4) | st.dictionaries(st.sampled_from([0, "a"]), DIRECTIONS),
    "integer": FEATURES,
    "one_hot_groups": st.lists(FEATURES, max_size=2),
}


@st.composite
def threat_models(draw, n_features):
    """Draw a threat model that is one, for rows of so many features."""
    each = st.lists(st.sampled_from([0.0, 0.1, 1.0, 30.0]), min_size=n_features, max_size=n_features)
    some = st.lists(st.integers(0, n_features - 1), max_size=2)
    return ThreatModel(
        draw(st.sampled_from([0.3, 0.0, 1e-9, 5.0, 1e6]) | each),
        draw(st.sampled_from([np.inf, 2, 1])),
        units=draw(st.just("raw") | each),
        bounds=draw(st.sampled_from([None, (-1e9, 1e9), (-np.inf, 0.5), (0, 0)])),
        immutable=draw(some),
        direction=draw(st.sampled_from([None, "up", "down", "none", {0: "up"}])),
        integer=draw(st.just(()) | some),
    )
