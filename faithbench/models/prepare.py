"""`Setup`, `load_model` and `prepare` under their former names."""

from faithbench.training.prepare import load_model, prepare
from faithbench.training.setup import Setup

__all__ = ["Setup", "load_model", "prepare"]
