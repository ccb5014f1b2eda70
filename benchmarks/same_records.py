"""Do two runs hold the same records? Specs, identities, values to float rounding: for changes that may change nothing.

    python benchmarks/same_records.py RUN RUN [--tolerance 1e-4]

Compares attributions and records of two folders: what only one of them holds, and the largest difference of values, of
parts and of scores, in the metrics' units and relative to the largest score of a text. Rows of older runs, which name a
text `text_id`, count as those of today. Exit status 1 where the runs differ. Seconds are not compared; rows are.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import faithbench
from faithbench.records.store import IDENTITY, Store

NUMBERS = {"records": ("value", "weight", "parts"), "attributions": ("scores", "standard_errors")}
SHOWN = 5  # of the entries that differ


def main() -> int:
    """Prints what differs, and says whether anything does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of a value, or of a text's largest score")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    runs = tiny_runs() if arguments.tiny else arguments.runs
    if len(runs) != 2:
        parser.error("two runs are compared; name the folders of both.")
    same = [compare(kind, *runs, arguments.tolerance) for kind in IDENTITY]
    return 0 if all(same) else 1


def tiny_runs() -> list[Path]:
    """Two runs of one small plan, in the current folder."""
    data = "planted(train=400, validation=100, test=40)"
    plan = faithbench.Plan((data,), ("conv-tiny",), ("occlusion", "random"), ("comprehensiveness",), limit=3)
    runs = [Path("runs/same_records") / name for name in ("one", "other")]
    for run in runs:
        faithbench.run(plan, run, device="cpu")
    return runs


def compare(kind: str, one: Path, other: Path, tolerance: float) -> bool:
    """Compares the entries of a kind; prints a line for what differs, and one that sums up."""
    first, second = (_indexed(kind, folder) for folder in (one, other))
    apart = {one: first.index.difference(second.index), other: second.index.difference(first.index)}
    for folder, names in apart.items():
        for name in names[:SHOWN]:
            print(f"{kind}: only {folder} has {name}")
    both = first.index.intersection(second.index)
    differences = {name: _differences(kind, name, first.loc[both], second.loc[both]) for name in NUMBERS[kind]}
    for name, values in differences.items():
        for place in np.flatnonzero(values > tolerance)[:SHOWN]:
            print(f"{kind}: {name} of {both[place]} differs by {values[place]:.3g}")
    failures = int((first.loc[both, "error"].isna() != second.loc[both, "error"].isna()).sum())
    rows = int((first.loc[both, "rows"] != second.loc[both, "rows"]).sum())
    largest = ", ".join(f"{name} {values.max(initial=0.0):.3g}" for name, values in differences.items())
    print(
        f"{kind}: {len(both):,} in both, {sum(map(len, apart.values())):,} in one only; largest difference: {largest}; "
        f"{failures:,} failed in one only, {rows:,} asked for other numbers of rows"
    )
    return not (any(map(len, apart.values())) or failures or any((v > tolerance).any() for v in differences.values()))


def _indexed(kind: str, folder: Path) -> pd.DataFrame:
    frame = Store(folder).read(kind)
    return frame.assign(against=frame["against"].fillna(-1)).set_index(IDENTITY[kind]).sort_index()


def _differences(kind: str, name: str, one: pd.DataFrame, other: pd.DataFrame) -> np.ndarray:
    """The largest difference of each entry: infinite where one has a number and the other none."""
    scales = one["scores"].map(_scale) if kind == "attributions" else pd.Series(1.0, index=one.index)
    pairs = zip(one[name], other[name], scales, strict=True)
    return np.array([_apart(a, b) / scale for a, b, scale in pairs], dtype=np.float64)


def _scale(scores: Sequence[float] | None) -> float:
    return float(np.abs(scores).max()) or 1.0 if scores is not None else 1.0


def _apart(one: object, other: object) -> float:
    a, b = (np.atleast_1d(np.array(np.nan if each is None else each, dtype=np.float64)) for each in (one, other))
    if a.shape != b.shape or (np.isnan(a) != np.isnan(b)).any():
        return np.inf
    return float(np.nanmax(np.abs(a - b), initial=0.0))


if __name__ == "__main__":
    sys.exit(main())
