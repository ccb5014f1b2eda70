"""What tests of runs by several processes share: one plan, and whether two folders hold the same."""

from pathlib import Path

import numpy as np
import pandas as pd
from fixtures_run import DATA

import faithbench
from faithbench.records.store import IDENTITY, Store


def plan(**changes) -> faithbench.Plan:
    options = {
        "datasets": (DATA,),
        "models": ("conv-tiny",),
        "explainers": ("occlusion", "random", "shap_sampl(n_permutations=8)", "lime(n_samples=64)"),
        "metrics": ("comprehensiveness", "f_fidelity", "entropy"),
    }
    return faithbench.Plan(**{**options, "limit": 24, "dtype": "float64", **changes})


def entries(folder: Path, kind: str) -> pd.DataFrame:
    return Store(folder).read(kind).sort_values(IDENTITY[kind], ignore_index=True)


def assert_same(one: Path, other: Path) -> None:
    """The same identities, rows and errors; values within 1e-6."""
    for kind, number in (("records", "value"), ("attributions", "scores")):
        a, b = entries(one, kind), entries(other, kind)
        names = [*IDENTITY[kind], "rows", "error"]
        pd.testing.assert_frame_equal(a[names], b[names])
        for x, y in zip(a[number], b[number], strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)
