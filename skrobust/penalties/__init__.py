"""What is made small, and at which points.

=========================  ===========================  ==========================================================
name                       object                       what is made small
=========================  ===========================  ==========================================================
``"smoothness"``           :class:`Smoothness`          slope of the softmax surface towards random neighbors
``"jacobian"``             :class:`Jacobian`            Jacobian of the logits, by random projections
``"input_gradient"``       :class:`InputGradient`       gradient of the cross-entropy
``"curvature"``            :class:`Curvature`           change of that gradient along itself
``"virtual_adversarial"``  :class:`VirtualAdversarial`  divergence of the answers in the worst direction
``"stability"``            :class:`Stability`           divergence of the answers at random neighbors
``"uniform_confidence"``   :class:`UniformConfidence`   confidence at unlabeled points
=========================  ===========================  ==========================================================

A penalty is an object with two methods. ``points(anchors, neighborhood)`` returns every point that the network must be
evaluated at, the anchors first; ``value(points, logits, neighborhood)`` turns the outputs there, which may be
differentiated with respect to the points, into one dimensionless number, which ``smoothness`` weighs. Its attribute
``anchors`` has the kinds of anchors that it acts at: "labeled" rows, the "adversarial" rows of an adversary, and
"unlabeled" points, which are not even made if it does not name them. What else it may need is in the
:class:`Neighborhood`: neighbors, units, the labels of the anchors, and the network in evaluation mode for a search. A
function ``(anchors, logits, neighborhood) -> scalar`` is a penalty too.
"""

from skrobust.penalties._base import ALL as ALL
from skrobust.penalties._base import Penalty as Penalty
from skrobust.penalties._gradients import Curvature, InputGradient, Jacobian
from skrobust.penalties._neighborhood import Neighborhood, WorstDirection
from skrobust.penalties._neighborhood import resolve_neighbors as resolve_neighbors
from skrobust.penalties._outputs import UniformConfidence, VirtualAdversarial
from skrobust.penalties._paper import lambda_from_smoothness, smoothness_from_lambda
from skrobust.penalties._registry import resolve_penalty
from skrobust.penalties._smoothness import Smoothness, Stability

__all__ = [
    "Curvature",
    "InputGradient",
    "Jacobian",
    "Neighborhood",
    "Smoothness",
    "Stability",
    "UniformConfidence",
    "VirtualAdversarial",
    "WorstDirection",
    "lambda_from_smoothness",
    "resolve_penalty",
    "smoothness_from_lambda",
]
