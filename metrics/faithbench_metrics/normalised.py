"""A metric relative to what chance gives and to what is attainable on the same model and text (arXiv 2408.08137)."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from faithbench.conversations import Asking, ask, gather
from faithbench.draws import generator
from faithbench.parameters import check_choice, check_whole
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.types import Attribution, Link, Measurement, Target, Text
from faithbench_metrics.perturbation.operators import operator_of
from faithbench_metrics.perturbation.search import Order, Search

NOISE = 1e-6  # of the largest value: differences that are rounding
EXACT = 5  # content tokens up to which all orders are tried: 120 of them
LOWER = ("chance", "worst")


@dataclass(frozen=True)
class Normalised:
    """Another metric's value v as 100 · (v − lower) / (best − lower): 0 is chance, 100 the best order that was found.

    Both ends belong to text, model and metric, so that they are the same for all explainers (NAOPC, Edin et al. 2024,
    arXiv 2408.08137). Up to 5 content tokens they are exact: all orders are tried, and nothing exceeds 100. For longer
    texts they are those of the orders tried: random ones, those that greedy or beam search for the most damaging
    removals and the most helpful insertions ends with, and those by what each token does alone (left out, put in, or
    both). An explainer may know a better order than that search: it then has more than 100, which is left as it is. So
    100 is the best order that search found, and no limit. Negative is worse than the lower end, and higher is better
    whatever the metric. Models whose probabilities differ in scale become comparable.

    `parts` are v, lower and best; |best − lower| is the weight, so that means over texts are ratios of means. Not
    defined (NaN, weight 0) where the two ends are equal, as for one content token, or where the metric is not defined.

    Costs at most 2 · (n + 1) + 2 · beam · width · n rows for n content tokens (256 tokens: 3,074), and those that the
    metric asks for `randoms` + 2 · beam + 4 orders; times 4 where the operator is `sample`; about twice that for
    `lower=worst`. All but the rows of its own scores are the same for every explainer, and run once a text.

    Args:
        metric: a spec of one with a direction that depends on the order of scores alone, as in
            `normalised(comprehensiveness(operator=delete))`. The search takes tokens away by its operator.
        randoms: random orders; they belong to the text.
        beam: partial orders that the search keeps; 1 is greedy.
        width: tokens that a step of the search tries on each: those that mattered most when last tried.
        lower: `chance`, the metric's mean over the random orders (up to 5 tokens, over all orders); `worst`, its value
            for the worst order, which is searched for as the best is, and then 0 is that and the value is the paper's,
            in percent.
    """

    metric: str
    randoms: int = 16
    beam: int = 1
    width: int = 5
    lower: str = "chance"
    added: ClassVar[tuple[str, ...]] = ("lower",)
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        built = spec.build("metric", self.metric)
        if not built.traits.by_order or not built.traits.direction:
            raise ValueError(
                f"metric={self.metric!r} is not allowed; it must have a direction and depend on the order of scores "
                "alone, such as comprehensiveness."
            )
        check_whole("randoms", self.randoms, 1, 10_000)
        check_whole("beam", self.beam, 1, 1000)
        check_whole("width", self.width, 1, 10_000)
        check_choice("lower", self.lower, LOWER)
        object.__setattr__(self, "metric", built.identity)

    @cached_property
    def inner(self) -> Component:
        """The metric that is normalised."""
        return spec.build("metric", self.metric)

    @property
    def needs(self) -> tuple[str, ...]:
        """As the metric inside."""
        return self.inner.traits.needs

    @property
    def links(self) -> tuple[Link, ...]:
        """As the metric inside."""
        return self.inner.traits.links

    @property
    def kind(self) -> str:
        """As the metric inside."""
        return self.inner.traits.kind

    @property
    def unproven(self) -> str:
        """As the metric inside."""
        return self.inner.traits.unproven

    @property
    def version(self) -> int:
        """Raised with that of the metric inside."""
        return 1 + self.inner.traits.version

    def resolve(self) -> None:
        """Lets the metric inside find what it needs."""
        getattr(self.inner.object, "resolve", lambda: None)()

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        target = attribution.target
        if not len(text.content):
            return Measurement(math.nan, weight=0.0)
        chance, others = yield from self._orders(text, target)
        ranks = [in_order(text, target, order) for order in (*chance, *others)]
        found = yield from gather([ask(self.inner.object, text, each) for each in (attribution, *ranks)])
        own, *values = [measurement.value for measurement in found]
        return self._relative(own, values[: len(chance)], values)

    def _orders(self, text: Text, target: Target) -> Asking[tuple[Sequence[Order], Sequence[Order]]]:
        """Those whose mean is chance, and others to find the ends among; they do not depend on any explainer."""
        content = text.content
        if len(content) <= EXACT:
            return list(map(np.array, itertools.permutations(content))), ()
        draws = generator(text, "orders")
        chance = [draws.permutation(content) for _ in range(self.randoms)]
        operator = operator_of(self.inner.object)
        searches = [
            Search(operator, self.beam, self.width, worst).candidates(text, target)
            for worst in ((False, True) if self.lower == "worst" else (False,))
        ]
        return chance, list(itertools.chain(*(yield from gather(searches))))

    def _relative(self, own: float, chance: Sequence[float], values: Sequence[float]) -> Measurement:
        """The explainer's own value between the ends, which are found among the others."""
        if not np.isfinite([own, *values]).all():
            return Measurement(math.nan, weight=0.0)
        ends = sorted((min(values), max(values)), reverse=self.inner.traits.direction < 0)
        lower, best = ends[0] if self.lower == "worst" else float(np.mean(chance)), ends[1]
        span = abs(best - lower)
        if span <= NOISE * max(map(abs, (own, *values))):
            return Measurement(math.nan, (own, lower, best), weight=0.0)
        return Measurement(100 * (own - lower) / (best - lower), (own, lower, best), weight=span)


def in_order(text: Text, target: Target, order: Int[np.ndarray, "content"]) -> Attribution:
    """An attribution that ranks the tokens so: n for the first, 1 for the last, 0 for special tokens."""
    scores = np.zeros(len(text))
    scores[order] = np.arange(len(order), 0, -1)
    return Attribution(text.id, target, scores)
