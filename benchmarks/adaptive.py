"""Rows that a rule for stopping saves at equal error: `tolerance` and `settled` of shap_sampl, lime and kernel_shap.

    python benchmarks/adaptive.py --model conv-tiny --dataset hatexplain --texts 12 --seeds 3
    python benchmarks/adaptive.py --model game --texts 40 --seeds 5
    python benchmarks/adaptive.py --tiny

For each rule: how many rows it uses, and how many the same explainer with a fixed number of samples for all texts needs
for the same error, by the mean over texts and by their 90th percentile. `kept` is the ratio of the two: 0.5 is half.

The error of a text is the largest |score − truth|, in percent of the gap between the truth's largest and smallest
score; of `settled=5` it is the share of the five highest tokens that are not found. Truth is the mean over seeds of its
own of long runs (of kernel_shap with twice the samples for both estimators of Shapley values; of lime at its cap), or
all coalitions of short texts. Between the fixed numbers of samples errors are interpolated (log against log). Intervals
are 95 % ones of the bootstrap over texts and seeds; * says that more than 5 % of its draws had an error that no fixed
number has, and – that the texts themselves have. Fixed numbers of lime have the penalty that weighs as much as at the
cap, so that lime's own shrinkage at few samples does not pass for a gain.

`inflation` is Σ (score − truth) · truth / Σ truth², in percent: the bias along the truth, of which stopping by the data
makes some. `covered` is how often a token's truth is within 1.96 standard errors, its own included, at the stop.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from faithbench_explainers.kernel_shap import KernelShap
from faithbench_explainers.lime import LIME
from faithbench_explainers.shap_sampl import ShapSampl
from faithbench_explainers.stopping import Rule
from scipy.optimize import isotonic_regression

from faithbench.answering.engine import Engine
from faithbench.conversations import Outcome, ask, together
from faithbench.interfaces import Classifier
from faithbench.plugins.naming import build_dataset
from faithbench.questions import Row
from faithbench.training.prepare import prepare
from faithbench.training.setup import Setup
from faithbench.types import Attribution, Text

TOP = 5
TOLERANCES = (0.2, 0.1, 0.05, 0.025)
RULES = [{"tolerance": t} for t in TOLERANCES] + [{"settled": TOP, "tolerance": t} for t in (0.0, 0.05, 0.1, 0.2)]
Sampler = ShapSampl | LIME | KernelShap


@dataclass(frozen=True)
class Family:
    """An explainer at its cap, and the fixed numbers of samples that it is compared with."""

    explainer: Sampler
    parameter: str
    sizes: tuple[int, ...]


def families(scale: float) -> dict[str, Family]:
    """What is compared; scale 1 is what the documentation shows."""
    permutations, samples = max(32, int(128 * scale)), max(128, int(2048 * scale))
    plain, kernel = ShapSampl(permutations), KernelShap(samples)
    return {
        "shap_sampl": Family(plain, "n_permutations", grid(4, permutations)),
        "shap_sampl, antithetic": Family(replace(plain, antithetic=True), "n_permutations", grid(4, permutations)),
        "lime": Family(LIME(samples), "n_samples", grid(32, samples)),
        "kernel_shap": Family(kernel, "n_samples", grid(64, samples)),
    }


def grid(first: int, last: int) -> tuple[int, ...]:
    """Even numbers, each about 1.4 times the one before."""
    count = int(2 * np.log2(last / first)) + 1
    return tuple(sorted({2 * round(size / 2) for size in np.geomspace(first, last, count)}))


@dataclass(frozen=True)
class Fixed(LIME):
    """LIME of so many of its masks, with the penalty that weighs as much as at the cap."""

    masks_used: int = 1

    def __call__(self, text, target):  # type: ignore[no-untyped-def]
        return self._until(_Until(1.0, 0, self.masks_used), text, target)


@dataclass(frozen=True)
class _Until(Rule):
    """So many samples, whatever they say."""

    size: int = 1

    def looks(self, first: int, most: int) -> list[int]:
        return [min(self.size, most)]


def fixed(family: Family, size: int) -> Sampler:
    """The explainer with a fixed number of samples."""
    if isinstance(family.explainer, LIME):
        return Fixed(family.explainer.n_samples, masks_used=size)
    return replace(family.explainer, **{family.parameter: size})


@dataclass(frozen=True)
class Game:
    """A closed game in place of a model: a squashed sum of tokens and products of neighbours."""

    own: np.ndarray
    near: np.ndarray
    classes: int = 2
    batch_tokens: int = 100_000
    gradient_cost: int = 1

    @classmethod
    def random(cls, size: int) -> "Game":
        draws = np.random.default_rng(0)
        return cls(draws.standard_t(3, size) / 3, draws.standard_t(3, size) / 3)

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        return np.concatenate(
            [
                self._logits(np.stack([row.ids for row in rows if len(row.ids) == n]))
                for n in dict.fromkeys(len(row.ids) for row in rows)
            ]
        )

    def _logits(self, ids: np.ndarray) -> np.ndarray:
        present = ids != 0
        near = self.near[ids][:, 1:] * present[:, 1:] * present[:, :-1]
        inside = (self.own[ids] * present).sum(axis=1) + near.sum(axis=1)
        logit = 3 * np.tanh(inside / 3)
        return np.column_stack([logit, -logit])


def game(count: int, longest: int) -> tuple[Game, list[Text]]:
    """The closed game with texts of 6 tokens and more."""
    lengths = np.linspace(6, longest, count).astype(int)
    draws = np.random.default_rng(1)
    return Game.random(100), [made(f"text {i}", draws.integers(2, 100, n)) for i, n in enumerate(lengths)]


def made(name: str, ids: np.ndarray) -> Text:
    """A text of these tokens between two special ones."""
    special = np.arange(len(ids) + 2) % (len(ids) + 1) == 0
    whole = np.concatenate([[1], ids, [1]])
    words = np.where(special, -1, np.arange(-1, len(ids) + 1))
    return Text(name, whole, special, words, tuple(map(str, whole)), mask_id=0)


def trained(model: str, dataset: str, count: int) -> tuple[Classifier, list[Text]]:
    """A trained model with test texts of 10 to 60 content tokens, lengths spread evenly."""
    data = build_dataset(dataset)
    classifier = prepare(model, data, Setup(train=False)).classifier
    texts = [classifier.encode(example) for example in data.object.load("test")]
    texts = sorted((text for text in texts if 10 <= len(text.content) <= 60), key=lambda text: len(text.content))
    wanted = np.linspace(10, 60, count)
    lengths = np.array([len(text.content) for text in texts])
    places = dict.fromkeys(int(np.searchsorted(lengths, length).clip(max=len(texts) - 1)) for length in wanted)
    return classifier, [texts[place] for place in places]


def runs(classifier: Classifier, text: Text, explainers: Sequence[Sampler]) -> list[Outcome[Attribution]]:
    """What the explainers say of the class predicted, asked together so that rows are shared."""
    keep = Row(text.ids, None)
    target = int(np.argmax(classifier.logits([keep])[0]))
    (outcomes,) = Engine(classifier).run([together({i: ask(one, text, target) for i, one in enumerate(explainers)})])
    for outcome in outcomes.values():
        if outcome.error is not None:
            raise RuntimeError(outcome.error)
    return list(outcomes.values())


@dataclass(frozen=True)
class Truth:
    """Scores by long runs, with their own standard errors."""

    scores: np.ndarray
    errors: np.ndarray


def truths(classifier: Classifier, text: Text, of: dict[str, Family], seeds: int) -> dict[str, Truth]:
    """What is taken for the truth, by family."""
    kernel, lime = of["kernel_shap"].explainer, of["lime"].explainer
    assert isinstance(kernel, KernelShap)
    exact = 2 ** len(text.content) - 2 <= 2 * kernel.n_samples
    never = {"tolerance": 1e-12}  # for the standard errors
    long = [
        replace(kernel, n_samples=2 * kernel.n_samples, seed=1000 + i, **never) for i in range(1 if exact else seeds)
    ]
    longer = [replace(lime, seed=1000 + i, **never) for i in range(2 * seeds)]
    shapley, regression = (pooled(runs(classifier, text, some)) for some in (long, longer))
    return {name: regression if name == "lime" else shapley for name in of}


def pooled(outcomes: Sequence[Outcome[Attribution]]) -> Truth:
    """The mean of independent attributions."""
    found = [outcome.value for outcome in outcomes if outcome.value is not None]
    errors = np.stack([one.standard_errors for one in found if one.standard_errors is not None])
    return Truth(np.mean([one.scores for one in found], axis=0), np.sqrt((errors**2).mean(axis=0) / len(errors)))


def measured(classifier: Classifier, text: Text, of: dict[str, Family], seeds: int) -> Iterator[dict[str, object]]:
    """A row for each explainer, rule or fixed number of samples, and seed."""
    truth = truths(classifier, text, of, seeds)
    for name, family in of.items():
        trials = {str(rule): replace(family.explainer, **rule) for rule in RULES}
        trials |= {str(size): fixed(family, size) for size in family.sizes}
        asked = [(key, seed, replace(one, seed=seed)) for key, one in trials.items() for seed in range(seeds)]
        outcomes = runs(classifier, text, [one for *_, one in asked])
        for (key, seed, one), outcome in zip(asked, outcomes, strict=True):
            assert outcome.value is not None
            stated = {"family": name, "trial": key, "text": text.id, "seed": seed, "rows": outcome.rows}
            yield stated | errors(outcome.value, truth[name], text) | {"stops": one.tolerance + one.settled > 0}


def errors(found: Attribution, truth: Truth, text: Text) -> dict[str, float]:
    """How far one attribution is from the truth."""
    gap, content = float(np.ptp(truth.scores)), text.content
    own = truth.scores[content]
    off, wrong = found.scores[content] - own, 1 - len(top(found.scores[content]) & top(own)) / min(TOP, len(own))
    within = np.nan
    if found.standard_errors is not None:
        spread = np.hypot(found.standard_errors[content], truth.errors[content])
        within = float((np.abs(off) <= 1.96 * spread + 1e-6 * gap).mean())
    return {
        "largest": 100 * float(np.abs(off).max() / gap),
        "top": 100 * wrong,
        "inflation": 100 * float(off @ own / (own @ own)),
        "covered": 100 * within,
        "reached": 100 * found.notes.get("tolerance_reached", np.nan),
    }


def top(scores: np.ndarray) -> set[int]:
    return set(np.argsort(-scores, kind="stable")[:TOP].tolist())


STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda values: float(values.mean()),
    "90th": lambda values: float(np.quantile(values, 0.9)),
}


@dataclass(frozen=True)
class Measured:
    """Rows and errors of an explainer by trial, each [texts, seeds]; `fixed` are the trials of fixed numbers."""

    rows: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    fixed: list[str]

    @classmethod
    def of(cls, frame: pd.DataFrame, family: str, error: str) -> "Measured":
        own = frame[frame["family"] == family]
        tables = [
            {str(trial): part.pivot(index="text", columns="seed", values=column).to_numpy() for trial, part in groups}
            for column, groups in ((column, own.groupby("trial")) for column in ("rows", error))
        ]
        return cls(*tables, list(map(str, own[~own["stops"]]["trial"].unique())))

    def kept(self, trial: str, statistic: str, texts: np.ndarray, seeds: np.ndarray) -> float:
        """The rule's rows as a share of those of the fixed number of samples with its error; NaN outside of these.

        Errors of fixed numbers are made to fall with the rows (isotonic regression), since they do but for noise.
        """
        of, chosen = STATISTICS[statistic], np.ix_(texts, seeds)
        curve = sorted((self.rows[one][chosen].mean(), of(self.errors[one][chosen])) for one in self.fixed)
        rows, errors = np.array(curve).T
        level = of(self.errors[trial][chosen])
        if level <= 0 or errors.min() <= 0:
            return float("nan")
        levels = isotonic_regression(np.log(errors), increasing=False).x
        if not levels[-1] - 1e-9 <= np.log(level) <= levels[0] + 1e-9:
            return float("nan")
        needed = np.exp(np.interp(-np.log(level), -levels, np.log(rows)))
        return float(self.rows[trial][chosen].mean() / needed)

    def with_interval(self, trial: str, statistic: str, draws: int) -> str:
        """The same with its bootstrap interval over texts and seeds."""
        texts, seeds = map(np.arange, self.rows[trial].shape)
        generator = np.random.default_rng(0)
        ratios = [
            self.kept(trial, statistic, generator.choice(texts, len(texts)), generator.choice(seeds, len(seeds)))
            for _ in range(draws)
        ]
        value = self.kept(trial, statistic, texts, seeds)
        if np.isnan(value):
            return "–"
        if np.isnan(ratios).all():
            return f"{value:.2f} *"
        low, high = np.nanquantile(ratios, (0.025, 0.975))
        return f"{value:.2f} ({low:.2f}, {high:.2f})" + (" *" if np.isnan(ratios).mean() > 0.05 else "")


def shown(frame: pd.DataFrame, family: str, draws: int) -> pd.DataFrame:
    """A line for each rule."""
    lines = []
    for rule in RULES:
        mine = frame[(frame["family"] == family) & (frame["trial"] == str(rule))]
        error = "top" if "settled" in rule else "largest"
        measured = Measured.of(frame, family, error)
        lines.append(
            {
                "rule": ", ".join(f"{key}={value:g}" for key, value in rule.items() if value),
                "error, mean": f"{mine[error].mean():.1f} %",
                "90th percentile": f"{mine[error].quantile(0.9):.1f} %",
                "rows a text": f"{mine['rows'].mean():,.0f}",
                "reached": f"{mine['reached'].mean():.0f} %",
                "kept, equal mean": measured.with_interval(str(rule), "mean", draws),
                "kept, equal 90th": measured.with_interval(str(rule), "90th", draws),
                "inflation": bias(mine),
                "covered": f"{mine['covered'].mean():.0f} %",
            }
        )
    return pd.DataFrame(lines)


def bias(mine: pd.DataFrame) -> str:
    """Inflation: the mean over texts, with the half width of its 95 % interval."""
    by_text = mine.groupby("text")["inflation"].mean()
    return f"{by_text.mean():+.1f} ± {1.96 * by_text.std(ddof=1) / len(by_text) ** 0.5:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="conv-tiny", help="game: a closed game in place of a model")
    parser.add_argument("--dataset", default="hatexplain")
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the caps: 128 permutations, 2,048 samples")
    parser.add_argument("--draws", type=int, default=200, help="of the bootstrap")
    parser.add_argument("--tiny", action="store_true", help="the game in seconds")
    parser.add_argument("--out", help="a CSV file for what was measured")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.texts, arguments.seeds, arguments.scale, arguments.draws = 4, 2, 1 / 8, 5
    classifier, texts = (
        game(arguments.texts, 16 if arguments.tiny else 40)
        if arguments.tiny or arguments.model == "game"
        else trained(arguments.model, arguments.dataset, arguments.texts)
    )
    of, start, rows = families(arguments.scale), time.process_time(), []
    for number, text in enumerate(texts, 1):
        rows += measured(classifier, text, of, arguments.seeds)
        seconds = time.process_time() - start
        print(f"text {number} of {len(texts)}: {len(text.content)} tokens, {seconds:.0f} s of CPU", flush=True)
        frame = pd.DataFrame(rows)
        if arguments.out:
            frame.to_csv(arguments.out, index=False)
    for family in of:
        print(f"\n**{family}**, at most {getattr(of[family].explainer, of[family].parameter):,}\n")
        print(shown(frame, family, arguments.draws).to_markdown(index=False, disable_numparse=True))


if __name__ == "__main__":
    main()
