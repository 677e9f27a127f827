"""How easily a classifier is fooled: scorers, scores, and a report that says how far they are to be trusted.

Every function takes any fitted classifier or Pipeline of scikit-learn, and attacks it in the raw units of X.
"""

from skrobust.metrics._boundary import boundary_distance
from skrobust.metrics._foreign import foreign_confidence
from skrobust.metrics._geometry import margin_ratio_score, nearest_neighbor_margin, r_separation
from skrobust.metrics._local import clever_score, local_lipschitz
from skrobust.metrics._off_support import off_support_confidence
from skrobust.metrics._report import RobustnessReport, robustness_report
from skrobust.metrics._scorers import make_robustness_scorer, make_robustness_scorers
from skrobust.metrics._scores import (
    adversarial_distance,
    per_class_robust_accuracy,
    rho_adv_score,
    robust_accuracy_score,
)
from skrobust.metrics._segments import boundary_position

__all__ = [
    "RobustnessReport",
    "adversarial_distance",
    "boundary_distance",
    "boundary_position",
    "clever_score",
    "foreign_confidence",
    "local_lipschitz",
    "make_robustness_scorer",
    "make_robustness_scorers",
    "margin_ratio_score",
    "nearest_neighbor_margin",
    "off_support_confidence",
    "per_class_robust_accuracy",
    "r_separation",
    "rho_adv_score",
    "robust_accuracy_score",
    "robustness_report",
]
