"""The features of X that a threat model names: which they are, and whether it is made for them."""

import numpy as np

from skrobust.attacks._threat_model import ThreatModel

# Column names that an error message lists.
N_NAMES = 20
# What keeps a setting from naming a feature that cannot change.
REMEDIES = {
    "integer": "leave it out",
    "one_hot_groups": "leave it out",
    "direction": "leave it out, or say 'none'",
}


class Features:
    """The features of X, by name and index."""

    def __init__(self, n, columns):
        self.n = n
        self.names = None if columns is None else list(columns)

    def indices(self, setting, features):
        """Return the indices of features; those of all columns that share a name."""
        return np.array([index for feature in features for index in self._indices(setting, feature)], dtype=np.intp)

    def mask(self, setting, features):
        """Return features as a mask of shape (n,)."""
        mask = np.zeros(self.n, dtype=bool)
        mask[self.indices(setting, features)] = True
        return mask

    def label(self, index):
        """Return what a user calls a feature."""
        return repr(int(index) if self.names is None else self.names[index])

    def _indices(self, setting, feature):
        if isinstance(feature, int):
            found = [feature] if feature < self.n else []
        else:
            found = [index for index, name in enumerate(self.names or ()) if name == feature]
        if not found:
            raise ValueError(f"{setting} of the threat model names the feature {feature!r}: X has {self._known()}.")
        return found

    def _known(self):
        indices = f"features 0 to {self.n - 1}"
        if self.names is None:
            return f"{indices}, and no column names"
        return f"{indices}, named {self.names[:N_NAMES]}{' and so on' if self.n > N_NAMES else ''}"


def check_fits(threat_model, n_features):
    """Check that a threat model is one, resolved, and for so many features.

    Raises
    ------
    TypeError
        If it is none.
    ValueError
        If it is not resolved, or has entries for another number of features.
    """
    _check_resolved(threat_model)
    _check_lengths(threat_model, n_features)


def check_moves(threat_model, columns, fixed):
    """Check that a threat model does not name features as ones that change, which stay as they hold no numbers.

    Parameters
    ----------
    threat_model : ThreatModel
    columns : sequence of str or None
        Names of the features.
    fixed : ndarray of shape (n_features,), bool

    Raises
    ------
    ValueError
        If it does, or if it is not resolved or for other features.
    """
    check_fits(threat_model, len(fixed))
    features = Features(len(fixed), columns)
    for setting, indices in _moving(threat_model, features):
        for index in indices:
            if fixed[index]:
                raise ValueError(
                    f"{setting} of the threat model names feature {features.label(index)}, which stays as it is, as it "
                    f"holds text, categories or missing values: encode it as numbers, or {REMEDIES[setting]}."
                )


def _moving(threat_model, features):
    """Yield settings, and the indices of features that they name as ones that change."""
    yield "integer", features.indices("integer", threat_model.integer)
    for group in threat_model.one_hot_groups:
        yield "one_hot_groups", features.indices("one_hot_groups", group)
    direction = threat_model.direction
    if direction and isinstance(direction[0], tuple):
        yield "direction", features.indices("direction", [feature for feature, word in direction if word != "none"])
    elif isinstance(direction, tuple):
        # One word per feature must say something of each: "both" is no demand.
        yield "direction", np.flatnonzero(np.isin(direction, ("up", "down")))


def bounds_of(threat_model):
    """Return whether the bounds were learned, and the bounds."""
    bounds = threat_model.bounds or (-np.inf, np.inf)
    return len(bounds) == 3, bounds[-2:]


def _check_resolved(threat_model):
    if not isinstance(threat_model, ThreatModel):
        raise TypeError(f"threat_model={threat_model!r} must be a ThreatModel: use ThreatModel(eps=...).")
    for name in ("units", "bounds"):
        value = getattr(threat_model, name)
        if isinstance(value, str) and value != "raw":
            raise ValueError(
                f"{name}={value!r} of the threat model must be learned from training rows first: call "
                "threat_model.resolve(X_train)."
            )


def _check_lengths(threat_model, n_features):
    settings = {name: [getattr(threat_model, name)] for name in ("eps", "units")}
    settings["bounds"] = bounds_of(threat_model)[1]
    direction = threat_model.direction
    settings["direction"] = [direction if direction and isinstance(direction[0], str) else None]
    for name, values in settings.items():
        for value in values:
            if isinstance(value, tuple) and len(value) != n_features:
                raise ValueError(
                    f"{name} of the threat model have {len(value)} entries, but X has {n_features} features: give one "
                    "for all or one entry per feature."
                )
