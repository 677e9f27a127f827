"""The weight of the smoothness term here and in the paper."""


def lambda_from_smoothness(smoothness, *, data_scale, n_features, n_classes, n_unlabeled=1):
    r"""Return the weight that the paper calls lambda for a given ``smoothness``.

    The paper averages over classes, does not multiply by the number of features, and takes one step per anchor with
    a batch size of 1, so that :math:`\lambda = \text{smoothness} \, D^2 d \, C / (1 + n_u)`.

    Parameters
    ----------
    smoothness : float
        Weight of the dimensionless penalty.
    data_scale : float
        D, as in the fitted attribute ``data_scale_``.
    n_features, n_classes : int
        d and C.
    n_unlabeled : float, default=1
        Unlabeled points per labeled row.

    Returns
    -------
    lambda_ : float

    See Also
    --------
    smoothness_from_lambda : The inverse.

    References
    ----------
    Paknezhad et al., arXiv:2103.00778.

    Examples
    --------
    >>> from skrobust.penalties import lambda_from_smoothness
    >>> round(lambda_from_smoothness(0.01, data_scale=10.0, n_features=784, n_classes=10), 6)
    3920.0
    """
    return smoothness * data_scale**2 * n_features * n_classes / (1 + n_unlabeled)


def smoothness_from_lambda(lambda_, *, data_scale, n_features, n_classes, n_unlabeled=1):
    """Return the ``smoothness`` for a given weight that the paper calls lambda.

    Parameters
    ----------
    lambda_ : float
        The paper's weight of the smoothness term.
    data_scale : float
        D, as in the fitted attribute ``data_scale_``.
    n_features, n_classes : int
        d and C.
    n_unlabeled : float, default=1
        Unlabeled points per labeled row.

    Returns
    -------
    smoothness : float

    See Also
    --------
    lambda_from_smoothness : The inverse, with the derivation.

    References
    ----------
    Paknezhad et al., arXiv:2103.00778.

    Examples
    --------
    >>> from skrobust.penalties import smoothness_from_lambda
    >>> round(smoothness_from_lambda(3920.0, data_scale=10.0, n_features=784, n_classes=10), 6)
    0.01
    """
    return lambda_ * (1 + n_unlabeled) / (data_scale**2 * n_features * n_classes)
