"""The end of a distribution, from the maxima of samples: what CLEVER rests on."""

import numpy as np

# Distances of the end from the largest maximum that are tried, in units of the spread of the maxima.
DISTANCES = np.geomspace(1e-4, 10.0, 48)
N_HALVINGS = 40
FLATTEST, STEEPEST = 1.0, 1e3


def largest_value(maxima):
    """Return the right ends of the reverse Weibull distributions that fit maxima best.

    Parameters
    ----------
    maxima : ndarray of shape (m, k)
        The maxima of k samples for each of m distributions.

    Returns
    -------
    end : ndarray of shape (m,)
        At least the largest maximum; that itself where all maxima are equal.

    Notes
    -----
    Maximum likelihood, by a search over the end; given it, the distances of the maxima from it have a Weibull
    distribution. Shapes below 1 are left out, as their likelihood grows without limit towards the largest maximum.
    """
    top = maxima.max(axis=1, keepdims=True)
    spread = top - maxima.min(axis=1, keepdims=True)
    # In units of the spread, so that a tiny one does no harm; of shape (m, tried ends, k).
    depth = np.divide(top - maxima, spread, out=np.zeros_like(maxima), where=spread > 0)
    likelihood = _log_likelihood(depth[:, np.newaxis, :] + DISTANCES[:, np.newaxis])
    return (top + spread * DISTANCES[likelihood.argmax(axis=1)][:, np.newaxis])[:, 0]


def _log_likelihood(depth):
    """Return the mean log-likelihood of positive values under the Weibull distribution that fits them best."""
    log_depth = np.log(depth)
    log_depth = log_depth - log_depth.max(axis=-1, keepdims=True)
    shape = _shape(log_depth)[..., np.newaxis]
    log_scale = np.log(np.exp(shape * log_depth).mean(axis=-1)) / shape[..., 0]
    mean = log_depth.mean(axis=-1)
    # The shift of the logarithms has to be undone in the density, which has the unit 1 / depth.
    shift = np.log(depth).max(axis=-1)
    return np.log(shape[..., 0]) - log_scale + (shape[..., 0] - 1) * (mean - log_scale) - 1 - shift


def _shape(log_depth):
    """Return the maximum likelihood estimate of the shape, by bisection: its equation is monotone."""
    low = np.full(log_depth.shape[:-1], np.log(FLATTEST))
    high = np.full_like(low, np.log(STEEPEST))
    mean = log_depth.mean(axis=-1)
    for _ in range(N_HALVINGS):
        middle = (low + high) / 2
        shape = np.exp(middle)
        power = np.exp(shape[..., np.newaxis] * log_depth)
        is_low = (power * log_depth).sum(axis=-1) / power.sum(axis=-1) - 1 / shape < mean
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return np.exp((low + high) / 2)
