"""Do the intervals hold the truth, and do the tests raise false alarms as often as they say? On simulated data.

    python benchmarks/interval_coverage.py

The data look like ours: probability drops in percent, bounded and skewed, and ratios with their denominators as
weights. For each shape and number of texts, 2,000 repetitions: the share of 95 % intervals that hold the true mean; how
often the paired test (5 %) finds a difference between two explainers of the same true mean; and, with ten explainers
of which none is better, how often any is shown as worse: than the best with all pairs corrected together, as tables do,
than the best with only the tests against it corrected, and than one that was chosen beforehand. 93 to 97 % and 4 to 6 %
are aimed at; chance moves 95 % by about 1 in 2,000 repetitions.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from faithbench.statistics.intervals import intervals, weighted_mean
from faithbench.statistics.paired_tests import flip_test, holm
from faithbench.statistics.verdicts import ALPHA

TEXTS = (10, 30, 100, 300, 1924)
METHODS = ("bca", "percentile", "normal", "auto")
AT_ONCE = 100  # repetitions that share their resamples
EXPLAINERS = 10
Drawn = tuple[np.ndarray, np.ndarray]  # values and weights, texts × columns


def two_humps(generator: np.random.Generator, shape: tuple[int, ...]) -> Drawn:
    """Comprehensiveness of a sure model: most texts flip, some do not move. Mean: .6·80 + .4·10 = 52."""
    high, low = generator.beta(4, 1, shape), generator.beta(1, 9, shape)
    return 100 * np.where(generator.random(shape) < 0.6, high, low), np.ones(shape)


def long_tail(generator: np.random.Generator, shape: tuple[int, ...]) -> Drawn:
    """Drops that are mostly near 0, few large; a tenth negative. Mean: 100·(.9·.25/2.75 − .1·1/20)."""
    up, down = generator.beta(0.25, 2.5, shape), -generator.beta(1, 19, shape)
    return 100 * np.where(generator.random(shape) < 0.9, up, down), np.ones(shape)


def hits(generator: np.random.Generator, shape: tuple[int, ...]) -> Drawn:
    """Found or not, as precision at 1: 0 or 100, mean 85."""
    return 100.0 * (generator.random(shape) < 0.85), np.ones(shape)


def ratios(generator: np.random.Generator, shape: tuple[int, ...]) -> Drawn:
    """Found of so many, 1 + geometric; the more there are, the smaller the share. Mean: 100·E[found] / E[number]."""
    number = generator.geometric(0.25, shape)
    return 100 * generator.binomial(number, 0.3 + 0.5 / number) / number, number.astype(float)


TRUTH = {
    two_humps: 52.0,
    long_tail: 100 * (0.9 * 0.25 / 2.75 - 0.1 / 20),
    hits: 85.0,
    ratios: 100 * (0.3 + 0.5 / 4),  # E[0.3·number + 0.5] / E[number], E[number] = 4
}
PLAIN = {ratios: 100 * (0.3 + 0.5 * np.log(4) / 3)}  # the mean without weights: E[1 / number] = q/(1 − q)·ln(1/q)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", dest="repetitions", action="store_const", const=3, help="a matter of seconds")
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--texts", type=int, nargs="+", default=TEXTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    conditions = [(shape, n) for shape in TRUTH for n in arguments.texts]
    rows = [coverage(shape, n, arguments.repetitions, arguments.seed) for shape, n in conditions]
    print("Share of 95 % intervals that hold the truth, in percent\n")
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".1f"), flush=True)
    rows = [alarms(shape, n, arguments.repetitions, arguments.seed) for shape, n in conditions]
    print("\nFalse alarms at 5 %, in percent\n")
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".1f"), flush=True)
    rows = [families(n, arguments.repetitions, arguments.seed) for n in arguments.texts if n < 1000]
    print(f"\nAny of {EXPLAINERS} equal explainers shown as worse than the best, in percent\n")
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".1f"))


def chunks(repetitions: int, n: int, seed: int) -> Iterator[tuple[int, int, np.random.Generator]]:
    for begin in range(0, repetitions, AT_ONCE):
        yield begin, min(AT_ONCE, repetitions - begin), np.random.default_rng([seed, n, begin])


def coverage(shape: Callable[..., Drawn], n: int, repetitions: int, seed: int) -> dict[str, object]:
    held = dict.fromkeys(METHODS, 0)
    for begin, count, generator in chunks(repetitions, n, seed):
        values, weights = shape(generator, (n, count))
        for method in METHODS:
            found = intervals(values, weights, method, seed=begin)
            held[method] += int(((found.low <= TRUTH[shape]) & (TRUTH[shape] <= found.high)).sum())
    return named(shape, n) | {method: 100 * times / repetitions for method, times in held.items()}


def alarms(shape: Callable[..., Drawn], n: int, repetitions: int, seed: int) -> dict[str, object]:
    """Two explainers that are alike and share the text's difficulty; and two whose differences are skewed around 0."""
    counts = {"alike": 0, "skewed differences": 0}
    for begin, count, generator in chunks(repetitions, n, seed + 1):
        base, weights = shape(generator, (n, count))
        noise, other = (generator.normal(0, 10, (n, count)) for _ in range(2))
        shift, _ = shape(generator, (n, count))
        for name, difference in (
            ("alike", noise - other),
            ("skewed differences", shift - PLAIN.get(shape, TRUTH[shape])),
        ):
            both = np.concatenate([base + difference, base], axis=1)
            pairs = np.stack([np.arange(count), count + np.arange(count)], axis=1)
            p = flip_test(both, np.concatenate([weights, weights], axis=1), pairs, flips=1999, seed=begin)
            counts[name] += int((p < 0.05).sum())
    return named(shape, n) | {name: 100 * times / repetitions for name, times in counts.items()}


def families(n: int, repetitions: int, seed: int) -> dict[str, object]:
    counts = {"all pairs corrected": 0, "against the best alone": 0, "against one chosen beforehand": 0}
    pairs = np.array(list(combinations(range(EXPLAINERS), 2)))
    for begin, count, generator in chunks(repetitions, n, seed + 2):
        for _ in range(count):
            base, weights = two_humps(generator, (n, 1))
            values = base + generator.normal(0, 10, (n, EXPLAINERS))
            weights = np.repeat(weights, EXPLAINERS, axis=1)
            p = flip_test(values, weights, pairs, flips=1999, seed=begin)
            scores = weighted_mean(values, weights)
            counts["all pairs corrected"] += bool((holm(p) < ALPHA).any())
            for name, one in (("against the best alone", scores.argmax()), ("against one chosen beforehand", 0)):
                counts[name] += bool((holm(p[(pairs == one).any(axis=1)]) < 0.05).any())
    return {"texts": n} | {name: 100 * times / repetitions for name, times in counts.items()}


def named(shape: Callable[..., Drawn], n: int) -> dict[str, object]:
    return {"values": shape.__name__.replace("_", " "), "texts": n}


if __name__ == "__main__":
    main()
