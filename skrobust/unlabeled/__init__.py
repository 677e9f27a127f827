"""Where unlabeled points come from: small stateless samplers; the random generator is passed in.

A sampler is any object with one method::

    sample(X, support, radius, generator) -> Tensor of shape (n, n_features)

which returns one unlabeled point for each row of `X` (Tensor of shape (n, n_features), rows of the training batch).
`support` is a :class:`Support`, what is known of the data as a whole; `radius` is ``unlabeled_radius`` (or
``neighbor_radius``) in units of the data scale D; `generator` is a :class:`torch.Generator` on the device of `X`, to
be used for every random number. A sampler that derives from :class:`sklearn.base.BaseEstimator` exposes its own
parameters to GridSearchCV, as ``unlabeled__name``.

A sampler may have a second method, which is called once at the beginning of each fit::

    prepared(tensor, n_features, seed) -> sampler

It returns the sampler that this fit is to use: `tensor` is a function that brings an array to the training device,
`seed` an int for what is drawn once.
"""

from skrobust.unlabeled._distances import layer_activations, pairwise_distance_histogram
from skrobust.unlabeled._generator import FromGenerator
from skrobust.unlabeled._mixture import Mixture
from skrobust.unlabeled._resolve import SAMPLERS as SAMPLERS
from skrobust.unlabeled._resolve import resolve_sampler
from skrobust.unlabeled._samplers import Extrapolation, Gaussian, Pool, Uniform, prepared_sampler
from skrobust.unlabeled._scale import off_support_fraction, off_support_scale
from skrobust.unlabeled._support import Support

__all__ = [
    "Extrapolation",
    "FromGenerator",
    "Gaussian",
    "Mixture",
    "Pool",
    "Support",
    "Uniform",
    "layer_activations",
    "off_support_fraction",
    "off_support_scale",
    "pairwise_distance_histogram",
    "prepared_sampler",
    "resolve_sampler",
]
