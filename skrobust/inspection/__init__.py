"""Pictures of how easily classifiers are fooled, in the style of scikit-learn's Displays.

Each Display holds the numbers that it shows, and ``plot`` draws them: drawing again never attacks again. matplotlib is
imported when something is drawn, not with this module.
"""

from skrobust.inspection._adversarial_examples import AdversarialExamplesDisplay
from skrobust.inspection._boundary_distance import BoundaryDistanceDisplay
from skrobust.inspection._off_support_confidence import OffSupportConfidenceDisplay
from skrobust.inspection._pairwise_distance import PairwiseDistanceDisplay
from skrobust.inspection._robustness_curve import RobustnessCurveDisplay
from skrobust.inspection._softmax_surface import SoftmaxSurfaceDisplay
from skrobust.inspection._training_history import TrainingHistoryDisplay

__all__ = [
    "AdversarialExamplesDisplay",
    "BoundaryDistanceDisplay",
    "OffSupportConfidenceDisplay",
    "PairwiseDistanceDisplay",
    "RobustnessCurveDisplay",
    "SoftmaxSurfaceDisplay",
    "TrainingHistoryDisplay",
]
