"""Comparisons of several classifiers under one protocol: curves, distances, and trainings over seeds."""

from skrobust.evaluation._comparison import compare_training
from skrobust.evaluation._curves import robustness_curves
from skrobust.evaluation._distances import boundary_table, rho_adv_table
from skrobust.evaluation._summary import summarize

__all__ = ["boundary_table", "compare_training", "rho_adv_table", "robustness_curves", "summarize"]
