"""How far raw and post-stratified means of few texts lie from the truth, and how often their intervals hold it.

A split of 1,924 texts is drawn, classes predicted 62 : 38, and the first of them are measured. `decided`: the class
makes up 93 % of the variance, as comprehensiveness by masks on HateXplain; `skewed`: beta-distributed drops, piled up
at both ends.

    python benchmarks/post_stratified.py [repetitions]
"""

import argparse
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from faithbench.statistics.intervals import intervals, weighted_mean
from faithbench.statistics.stratified import Strata, stratified_intervals

SPLIT, SHARE, RESAMPLES = 1924, 0.38, 999
SIZES = (30, 80, 150, 400)
Draw = Callable[[np.random.Generator, Int[np.ndarray, "texts"]], Float[np.ndarray, "texts"]]


def decided(generator: np.random.Generator, classes: Int[np.ndarray, "texts"]) -> Float[np.ndarray, "texts"]:
    """Values around −8 and 68 with a standard deviation of 10."""
    return np.where(classes == 1, 68.0, -8.0) + 10 * generator.standard_normal(len(classes))


def skewed(generator: np.random.Generator, classes: Int[np.ndarray, "texts"]) -> Float[np.ndarray, "texts"]:
    """Class 1: mostly large drops; class 0: mostly none."""
    n = len(classes)
    return 100 * np.where(classes == 1, generator.beta(2, 0.5, n), generator.beta(0.3, 3, n))


TRUTHS = {decided: 0.62 * -8 + 0.38 * 68, skewed: 100 * (0.62 * 0.3 / 3.3 + 0.38 * 2 / 2.5)}


def line(draw: Draw, size: int, repetitions: int) -> str:
    """A row of the table: for raw and post-stratified means the error, the width and the share that holds."""
    generator, found = np.random.default_rng(0), []
    for _ in range(repetitions):
        classes = (generator.uniform(size=SPLIT) < SHARE).astype(np.int64)
        values = draw(generator, classes)[:size, None]
        strata = Strata(classes[:size], np.bincount(classes, minlength=2) / SPLIT, SPLIT)
        ones, counted = np.ones_like(values), np.ones(values.shape, dtype=bool)
        means = weighted_mean(values, ones)[0], weighted_mean(values, strata.factors(counted))[0]
        both = (
            intervals(values, ones, resamples=RESAMPLES),
            stratified_intervals(values, ones, counted, strata, RESAMPLES),
        )
        found.append(
            [
                (m - TRUTHS[draw], i.low[0] - TRUTHS[draw], i.high[0] - TRUTHS[draw])
                for m, i in zip(means, both, strict=True)
            ]
        )
    errors = np.array(found)  # repetitions, raw and post-stratified, mean and ends
    off = np.sqrt((errors[:, :, 0] ** 2).mean(axis=0))
    width = (errors[:, :, 2] - errors[:, :, 1]).mean(axis=0) / 2
    held = 100 * ((errors[:, :, 1] <= 0) & (errors[:, :, 2] >= 0)).mean(axis=0)
    cells = [f"{o:.1f} | ± {w:.1f} | {h:.1f}" for o, w, h in zip(off, width, held, strict=True)]
    return f"| {draw.__name__} | {size} | {' | '.join(cells)} |"


def main() -> None:
    """Prints the table of docs/statistics.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repetitions", type=int, nargs="?", default=300)
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    repetitions = 3 if arguments.tiny else arguments.repetitions
    print("| values | texts | raw: error | interval | holds | post-stratified: error | interval | holds |")
    print("|:--|--:|--:|--:|--:|--:|--:|--:|")
    for draw in (decided, skewed):
        for size in SIZES:
            print(line(draw, size, repetitions), flush=True)


if __name__ == "__main__":
    main()
