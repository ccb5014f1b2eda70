"""Attributions that were computed elsewhere, brought into a run's folder for any metric to score."""
