"""`Setup`, `load_model` and `prepare` under their former names."""

from faithbench.training.prepare import Setup, load_model, prepare

__all__ = ["Setup", "load_model", "prepare"]
