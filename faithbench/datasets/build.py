"""`build_dataset` under its former name."""

from faithbench.plugins.naming import build_dataset

__all__ = ["build_dataset"]
