"""How steep a classifier is around its rows: CLEVER, and the local Lipschitz constant."""

import numpy as np
import torch
from sklearn.utils import check_random_state

from skrobust._runtime import limited_threads
from skrobust.attacks import _norms
from skrobust.attacks._ball import Ball
from skrobust.attacks._original import Original
from skrobust.attacks._pursuit import Pursuit
from skrobust.attacks._steps import AdaptiveStep
from skrobust.attacks._surface import Surface
from skrobust.metrics._parameters import check_count, check_has_eps, radius_of, threat_model_of
from skrobust.metrics._weibull import largest_value
from skrobust.torchify import to_torch

# Numbers in the Jacobian matrices that are held at a time.
JACOBIAN_NUMBERS = 2**22
# The steepest way may be a short one: these parts of the radius are searched one by one.
SCALES = (1.0, 0.1, 0.01)


def clever_score(
    estimator,
    X,
    y,
    *,
    eps=None,
    norm=2,
    threat_model=None,
    n_batches=50,
    batch_size=64,
    per_sample=False,
    random_state=0,
):
    """Return CLEVER, an estimate of the distance within which a classifier's answers cannot change [1]_.

    The margin of a row's class over another is divided by the largest slope that it has around the row, which is
    estimated from samples by extreme value theory; the least such quotient is the score of the row.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted, and such that :func:`skrobust.torchify.to_torch` converts it.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    y : array-like of shape (n,)
        True labels.
    eps : float, default=None
        Radius of the ball around a row that is sampled, which is also the largest score. It may be part of the threat
        model instead.
    norm : {numpy.inf, 2, 1}, default=2
        Norm of the distance, unless there is a threat model.
    threat_model : ThreatModel, default=None
        Its units, bounds and features that stay are kept to; integers and categories are taken for real numbers.
    n_batches : int, default=50
        Number of maxima to which the distribution is fitted.
    batch_size : int, default=64
        Samples of which each is the maximum.
    per_sample : bool, default=False
        Whether to return the rows in place of their mean.
    random_state : int, RandomState instance or None, default=0
        Seed of the samples.

    Returns
    -------
    score : float or ndarray of shape (n,)
        Mean over the rows, or one number each; 0 for misclassified rows.

    Raises
    ------
    skrobust.torchify.NotConvertibleError
        If a step of the estimator has no torch module.
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    An estimate, not a bound: between samples the slope may be larger, and where gradients vanish the score says eps. It
    is known to be too large for networks that hide their gradients; compare it with :func:`adversarial_distance`.

    References
    ----------
    .. [1] T.-W. Weng, H. Zhang, P.-Y. Chen, J. Yi, D. Su, Y. Gao, C.-J. Hsieh, L. Daniel: Evaluating the robustness of
       neural networks: an extreme value theory approach. ICLR, 2018, arXiv:1801.10578, Algorithm 1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import clever_score
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
    >>> 0.5 < clever_score(clf, X, y, eps=5.0) < 2
    True
    """
    check_count("n_batches", n_batches)
    check_count("batch_size", batch_size)
    pursuit, radius = _pursuit(estimator, X, y, threat_model_of(eps, norm, threat_model))
    generator = _generator(random_state)
    index = pursuit.standing(0.0)
    scores = np.zeros(len(pursuit.distance))
    with limited_threads(pursuit.surface.module, pursuit.surface.device):
        for i in index:
            ball = Ball.around(pursuit, np.array([i]), radius)
            scores[i] = min(radius, _least_distance(ball, n_batches, batch_size, generator))
    return scores if per_sample else float(scores.mean())


def local_lipschitz(
    estimator,
    X,
    *,
    eps=None,
    norm=np.inf,
    threat_model=None,
    max_iter=30,
    per_sample=False,
    random_state=0,
):
    """Return how much class probabilities change around rows, relative to the way that leads there [1]_.

    Per row the largest ||p(x') - p(x)||_1 / ||x' - x|| that ascent along gradients finds among x' within eps.

    Parameters
    ----------
    estimator : classifier or Pipeline
        Fitted, and such that :func:`skrobust.torchify.to_torch` converts it.
    X : array-like or DataFrame of shape (n, n_features), or images
        Rows as ``estimator.predict`` takes them.
    eps : float, default=None
        Radius of the ball around a row. It may be part of the threat model instead.
    norm : {numpy.inf, 2, 1}, default=numpy.inf
        Norm of the distance, unless there is a threat model.
    threat_model : ThreatModel, default=None
        Its units, bounds and features that stay are kept to; integers and categories are taken for real numbers.
    max_iter : int, default=30
        Steps of each ascent. There are three, within eps, a tenth and a hundredth of it.
    per_sample : bool, default=False
        Whether to return the rows in place of their mean.
    random_state : int, RandomState instance or None, default=0
        Seed of random starts.

    Returns
    -------
    constant : float or ndarray of shape (n,)
        Mean over the rows, or one number each: a lower bound of the local Lipschitz constant of the softmax, in
        probability per unit of the threat model. Lower is smoother.

    Raises
    ------
    skrobust.torchify.NotConvertibleError
        If a step of the estimator has no torch module.
    ValueError
        If a parameter is out of its range.

    References
    ----------
    .. [1] Y.-Y. Yang, C. Rashtchian, H. Zhang, R. Salakhutdinov, K. Chaudhuri: A closer look at accuracy vs.
       robustness. NeurIPS, 2020, arXiv:2003.02460, Eq. 3.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.metrics import local_lipschitz
    >>> X, y = load_iris(return_X_y=True)
    >>> weak, strong = (LogisticRegression(C=C, max_iter=1000).fit(X, y) for C in (0.01, 1.0))
    >>> local_lipschitz(weak, X, eps=0.5) < local_lipschitz(strong, X, eps=0.5)
    True
    """
    check_count("max_iter", max_iter)
    pursuit, radius = _pursuit(estimator, X, None, threat_model_of(eps, norm, threat_model))
    generator = _generator(random_state)
    slopes = np.zeros(len(pursuit.distance))
    surface = pursuit.surface
    with limited_threads(surface.module, surface.device):
        for part in surface.batches(*pursuit.original.rows.shape):
            for scale in SCALES:
                ball = Ball.around(pursuit, np.arange(part.start, part.stop), scale * radius)
                found = _steepest(ball, max_iter, generator).cpu().numpy()
                slopes[part] = np.maximum(slopes[part], found)
    return slopes if per_sample else float(slopes.mean())


def _pursuit(estimator, X, y, threat_model):
    """Return a pursuit with a surface, and the radius; without labels every row is taken for right."""
    check_has_eps(threat_model)
    radius = radius_of(threat_model)
    if not radius > 0:
        raise ValueError(f"eps={threat_model.eps!r} leaves no ball around the rows: use a positive number.")
    original = Original(estimator, X, estimator.predict(X) if y is None else y)
    surface = Surface(to_torch(estimator, X, bridge=True))
    return Pursuit(original, original.budget(threat_model), surface, (radius,)), radius


def _generator(random_state):
    return torch.Generator().manual_seed(int(check_random_state(random_state).randint(2**31 - 1)))


def _least_distance(ball, n_batches, batch_size, generator):
    """Return the least quotient of margin and slope over the other classes, for a ball around one row."""
    noise = ball.radius * _uniform(ball.norm, (n_batches * batch_size, ball.center.shape[1]), generator)
    points = torch.minimum(torch.maximum(noise.to(ball.center.device), ball.low), ball.high)
    n_classes = ball.logits(points[:1]).shape[1]
    slopes = torch.cat([_slopes(ball, points[part]) for part in _parts(points, n_classes)])
    maxima = slopes.reshape(n_batches, batch_size, -1).amax(dim=1)
    steepest = largest_value(maxima.T.cpu().numpy())
    logits = ball.logits(torch.zeros_like(ball.center))[0].cpu().numpy()
    own = int(ball.codes[0])
    leads = logits[own] - logits
    quotient = np.divide(leads, steepest, out=np.full_like(leads, np.inf), where=steepest > 0)
    return max(0.0, np.delete(quotient, own).min())


def _slopes(ball, points):
    """Return the dual norms of the gradients of the margins over every class, of shape (m, n_classes)."""
    points = points.clone().requires_grad_()
    logits = ball.surface.logits(ball.center + ball.scale * points)
    gradients = torch.stack([_gradient(logits[:, k], points) for k in range(logits.shape[1])], dim=1)
    # What cannot change counts for nothing.
    gradients = gradients * (ball.high > ball.low)
    own = gradients[:, ball.codes[0]][:, None]
    return torch.linalg.vector_norm(own - gradients, ord=ball.norm.dual, dim=2)


def _gradient(values, points):
    if not values.requires_grad:
        return torch.zeros_like(points)
    (gradient,) = torch.autograd.grad(values.sum(), points, retain_graph=True, allow_unused=True)
    return torch.zeros_like(points) if gradient is None else torch.nan_to_num(gradient, 0.0, 0.0, 0.0)


def _parts(points, n_classes):
    size = max(1, JACOBIAN_NUMBERS // (points.shape[1] * n_classes))
    return [slice(start, start + size) for start in range(0, len(points), size)]


def _uniform(norm, shape, generator):
    """Return points that are uniform in the ball of radius 1."""
    if norm is _norms.Linf:
        return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    points = torch.randn(shape, generator=generator, dtype=torch.float64)
    if norm is _norms.L1:
        # Exponential sizes: their shares of the sum are uniform on the simplex.
        points = points.sign() * -torch.rand(shape, generator=generator, dtype=torch.float64).clamp_min(1e-300).log()
    share = torch.rand(shape[0], 1, generator=generator, dtype=torch.float64) ** (1 / shape[1])
    return share * points / norm.length(points)


def _steepest(ball, n_steps, generator):
    """Return the largest quotient that each row meets while ascending, a tensor of shape (m,)."""
    rule = AdaptiveStep(n_steps)
    with torch.no_grad():
        origin = ball.surface.logits(ball.center).softmax(dim=1)
    Z, best = ball.random(generator), torch.zeros(len(ball.center), dtype=torch.float64, device=ball.center.device)
    for step in range(n_steps + 1):
        value, gradient = _quotient(ball, Z, origin)
        best = torch.maximum(best, value)
        if step < n_steps:
            Z = rule.next(ball, Z, value, gradient)
    return best


def _quotient(ball, Z, origin):
    """Return the change of the probabilities per length of Z, and its gradient."""
    Z = Z.clone().requires_grad_()
    length = ball.norm.length(Z)[:, 0]
    change = (ball.surface.logits(ball.center + ball.scale * Z).softmax(dim=1) - origin).abs().sum(dim=1)
    value = torch.where(length > 0, change / length.clamp_min(1e-300), 0.0)
    gradient = _gradient(value, Z)
    return value.detach(), gradient
