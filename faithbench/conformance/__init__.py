"""What explainers and metrics, describers and scores of neurons must keep: checks that authors of plugins can run.

The idea is scikit-learn's `check_estimator`. Each clause is a function that raises an AssertionError saying in one
sentence what is wrong; `check_explainer`, `check_metric`, `check_describer` and `check_score` go through all of them.
"""

from faithbench.conformance.crowded import Crowded
from faithbench.conformance.describers import check_describer
from faithbench.conformance.explainers import check_explainer
from faithbench.conformance.metrics import check_metric
from faithbench.conformance.scores import check_score

__all__ = ["Crowded", "check_describer", "check_explainer", "check_metric", "check_score"]
