"""skorch's own parameters on a scikit-learn estimator, by their own names."""

import inspect

from skrobust._numbers import is_whole

NET_PREFIXES = ("module", "optimizer", "iterator_train", "iterator_valid", "callbacks", "compile")
# The rows and the source of their order are not for the user: random_state seeds it.
ITERATOR_NAMES = ("batch_size", "shuffle", "drop_last")
# What the estimator has parameters of its own for.
OWN_NAMES = {"optimizer__lr", "optimizer__weight_decay", "iterator_train__batch_size"}


class NetParamsMixin:
    """Let ``get_params`` and ``set_params`` reach the entries of the parameter ``net_params``."""

    def get_params(self, deep=True):
        """Get parameters, those in ``net_params`` under their own names too.

        Parameters
        ----------
        deep : bool, default=True
            Include the parameters of samplers and penalties, and the entries of ``net_params``.

        Returns
        -------
        params : dict
        """
        params = super().get_params(deep=deep)
        return {**params, **self.net_params} if deep and isinstance(self.net_params, dict) else params

    def set_params(self, **params):
        """Set parameters; those of skorch, such as ``module__dropout``, go into a copy of ``net_params``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : OffSupportRobustClassifier

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        own = {name: value for name, value in params.items() if not belongs_to_skorch(name)}
        for name in own:
            self._check_owner(name, own)
        super().set_params(**own)
        if len(own) < len(params):
            routed = {name: value for name, value in params.items() if name not in own}
            self.net_params = {**(self.net_params or {}), **routed}
        return self

    def _check_owner(self, name, params):
        """Check that a nested parameter, such as ``unlabeled__enlarge``, has an object to be set on."""
        owner, _, nested = name.partition("__")
        is_known, value = hasattr(self, owner), params.get(owner, getattr(self, owner, None))
        while nested and is_known:  # of unknown ones scikit-learn says which there are
            if not hasattr(value, "set_params"):
                raise ValueError(
                    f"{name} cannot be set on {owner}={value!r}: give {owner} an object that has this parameter, or "
                    f"set {owner} as a whole."
                )
            part, _, nested = nested.partition("__")
            owner, is_known, value = f"{owner}__{part}", hasattr(value, part), getattr(value, part, None)


def belongs_to_skorch(name):
    """Return whether a parameter is one of skorch's own, to be kept in ``net_params``."""
    return name == "compile" or ("__" in name and name.split("__")[0] in NET_PREFIXES)


def checked_net_params(estimator):
    """Return the estimator's ``net_params``, a dict.

    Raises
    ------
    ValueError
        If a name is not for skorch, contradicts a parameter of the estimator, or is a batch size that is none.
    TypeError
        If a name is no parameter of the iterators.
    """
    net_params = estimator.net_params or {}
    for name in net_params:
        if not belongs_to_skorch(name):
            raise ValueError(
                f"net_params has {name!r}, which is not for skorch: use names that begin with one of "
                f"{', '.join(prefix + '__' for prefix in NET_PREFIXES)}, or 'compile'."
            )
    for prefix in ("iterator_train", "iterator_valid"):
        _check_iterator(prefix, net_params)
    signature = inspect.signature(type(estimator)).parameters
    for name in OWN_NAMES & set(net_params):
        own = name.partition("__")[2]
        value = getattr(estimator, own)
        if value != signature[own].default:
            raise ValueError(
                f"{own}={value!r} and {name}={net_params[name]!r} in net_params contradict each other: set {own} alone."
            )
    return net_params


def _check_iterator(prefix, net_params):
    """Check the entries of ``net_params`` for the batches of training or of held-out rows."""
    known = [f"{prefix}__{name}" for name in ITERATOR_NAMES]
    for name in net_params:
        if name.startswith(f"{prefix}__") and name not in known:
            raise TypeError(
                f"{name} in net_params is no parameter of the iterator over batches, which takes them whole from "
                f"memory and needs no loader: use one of {known}."
            )
    batch_size = net_params.get(f"{prefix}__batch_size", 1)
    if not is_whole(batch_size):
        raise ValueError(f"{prefix}__batch_size={batch_size!r} in net_params must be a positive integer.")
