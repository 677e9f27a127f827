"""skorch's own parameters on a scikit-learn estimator, by their own names."""

import inspect

NET_PREFIXES = ("module", "optimizer", "iterator_train", "iterator_valid", "callbacks", "compile")


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
        if not (nested and hasattr(self, owner)):
            return
        value = params.get(owner, getattr(self, owner))
        if not hasattr(value, "set_params"):
            raise ValueError(
                f"{name} cannot be set on {owner}={value!r}: give {owner} an object that has this parameter."
            )


def belongs_to_skorch(name):
    """Return whether a parameter is one of skorch's own, to be kept in ``net_params``."""
    return name == "compile" or ("__" in name and name.split("__")[0] in NET_PREFIXES)


def checked_net_params(estimator):
    """Return the estimator's ``net_params``, a dict.

    Raises
    ------
    ValueError
        If a name is not for skorch, or contradicts a parameter of the estimator.
    """
    net_params = estimator.net_params or {}
    for name in net_params:
        if not belongs_to_skorch(name):
            raise ValueError(
                f"net_params has {name!r}, which is not for skorch: use names that begin with one of "
                f"{', '.join(prefix + '__' for prefix in NET_PREFIXES)}, or 'compile'."
            )
    signature = inspect.signature(type(estimator)).parameters
    for own in ("lr", "weight_decay"):
        value = getattr(estimator, own)
        if f"optimizer__{own}" in net_params and value != signature[own].default:
            raise ValueError(
                f"{own}={value!r} and optimizer__{own}={net_params[f'optimizer__{own}']!r} in net_params contradict "
                f"each other: set {own} alone."
            )
    return net_params
