"""Do the intervals hold the truth, and do the tests raise false alarms as often as they say? On simulated data.

    python benchmarks/interval_coverage.py

The data look like ours: probability drops in percent, bounded and skewed, and ratios with their denominators as
weights. For each shape and number of texts, 2,000 repetitions: the share of 95 % intervals that hold the true mean; how
often the paired test (5 %) finds a difference between two explainers of the same true mean; and, with ten explainers
of which none is better, how often any is shown as worse: than the best with all pairs corrected together, as tables do,
than the best with only the tests against it corrected, and than one that was chosen beforehand. 93 to 97 % and 4 to 6 %
are aimed at; chance moves 95 % by about 1 in 2,000 repetitions.

    python benchmarks/interval_coverage.py --until [--repetitions 1000]

The intervals of the leading differences of a run with `--until`, at the look at which it stops, with and without each
correction: see `stopping`.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from faithbench.statistics.intervals import intervals, weighted_mean
from faithbench.statistics.paired_tests import flip_test, holm
from faithbench.statistics.sequential import Lead, Watch, lead, looks
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
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--texts", type=int, nargs="+", default=TEXTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", action="store_true", help="only the intervals of runs that stop by their width")
    parser.add_argument("--tiny", action="store_true", help="a reduced form that only shows that it works")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.repetitions, arguments.texts = 2, (10,)
    if arguments.until:
        print("Share of runs with --until whose intervals of the leading differences all hold the truth, in percent\n")
        rows = [stopping(each, arguments.repetitions, arguments.seed) for each in RIVALS[:: 6 if arguments.tiny else 1]]
        print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".1f"))
        return
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


def stopping(rivals: "Rivals", repetitions: int, seed: int) -> dict[str, object]:
    """Runs on a split that stop where the intervals of the leading differences are narrow enough.

    A run is right where the intervals of the leader less each other explainer all hold the truth.
    """
    planned = looks(rivals.split)
    tests = rivals.explainers * (rivals.explainers - 1) / 2
    ways = {"both": (planned, 1.0), "pairs": ((), 1.0), "looks": (planned, tests), "neither": ((), tests)}
    held, texts = dict.fromkeys(ways, 0), dict.fromkeys(ways, 0)
    truth = rivals.truth
    for repetition in range(repetitions):
        values = rivals.draw(np.random.default_rng([seed, repetition]))
        for way, (corrected, times) in ways.items():
            n, found = _stopped(values, planned, corrected, times * ALPHA, rivals.width)
            gaps = truth[found.leader] - truth[found.others]
            held[way] += bool(((found.span.low <= gaps + 1e-9) & (gaps - 1e-9 <= found.span.high)).all())
            texts[way] += n
    shares = {f"corrected for {way}": 100 * count / repetitions for way, count in held.items()}
    about = {"differences": rivals.name, "explainers": rivals.explainers, "split": rivals.split, "until": rivals.width}
    return about | shares | {"texts": texts["both"] / repetitions, "texts, neither": texts["neither"] / repetitions}


def _stopped(
    values: np.ndarray, planned: tuple[int, ...], corrected: tuple[int, ...], alpha: float, width: float
) -> tuple[int, Lead]:
    """After how many texts the leading differences are narrow enough, and what they are."""
    for n in planned:
        mine, ones = values[:n], np.ones_like(values[:n])
        watch = Watch(corrected, n, (), alpha) if corrected else Watch((n,), n, (), 2 * alpha)  # half is for others
        found = lead(mine, ones, ones > 0, None, 1, 100.0, watch)
        if found.width <= width:
            break
    return n, found


@dataclass(frozen=True)
class Rivals:
    """Explainers on a split, and the width until which texts are added.

    The others' differences to the first have a shape, around the true mean or, if they are `apart`, 1, 2, … above it;
    without a shape they are 0 but on one text of a hundred, where they are worse by 100.
    """

    name: str
    shape: Callable[..., Drawn] | None
    explainers: int
    split: int
    width: float
    apart: bool = False

    @property
    def truth(self) -> np.ndarray:
        if self.shape is None:
            return np.r_[0.0, np.full(self.explainers - 1, -1.0)]
        return np.arange(self.explainers) * float(self.apart)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        size = self.split, self.explainers - 1
        if self.shape is None:
            moved = np.where(generator.random(size) < 0.01, -100.0, 0.0)
        else:
            moved = self.shape(generator, size)[0] - TRUTH[self.shape] + self.truth[1:]
        return two_humps(generator, (self.split, 1))[0] + np.concatenate([np.zeros((self.split, 1)), moved], axis=1)


RIVALS = tuple(
    Rivals(*each)
    for each in (
        ("two humps", two_humps, 2, 1924, 8.0),
        ("long tail", long_tail, 2, 1924, 3.0),
        ("hits", hits, 2, 1924, 9.0),
        ("rare", None, 2, 1924, 3.0),
        ("two humps", two_humps, 4, 1924, 12.0),
        ("long tail", long_tail, 4, 1924, 5.0),
        ("hits", hits, 4, 1924, 12.0),
        ("rare", None, 4, 1924, 4.0),
        ("long tail, apart", long_tail, 4, 1924, 5.0, True),
        ("long tail", long_tail, 4, 40, 5.0),
        ("hits", hits, 4, 40, 12.0),
        ("two humps", two_humps, 10, 1924, 15.0),
    )
)


def named(shape: Callable[..., Drawn], n: int) -> dict[str, object]:
    return {"values": shape.__name__.replace("_", " "), "texts": n}


if __name__ == "__main__":
    main()
