"""Attacks on fitted classifiers and Pipelines, end to end in the raw units of X.

ART is imported when an attack runs, not with this module.
"""

from skrobust.attacks._find import find_adversarial
from skrobust.attacks._threat_model import ThreatModel

__all__ = ["ThreatModel", "find_adversarial"]
