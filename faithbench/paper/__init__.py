"""The tables and figures of arXiv 2502.12992, filled with records of runs; see docs/paper.md."""
