"""Intervals and paired tests, written once; see docs/statistics.md."""
