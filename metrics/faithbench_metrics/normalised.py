"""A metric relative to what chance gives and to what is attainable on the same model and text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from jaxtyping import Int

from faithbench.conversations import Asking, ask, gather
from faithbench.draws import generator
from faithbench.parameters import check_whole
from faithbench.plugins import spec
from faithbench.plugins.spec import Component
from faithbench.types import Attribution, Link, Measurement, Target, Text
from faithbench_metrics.perturbation.operators import Operator
from faithbench_metrics.perturbation.search import Search

NOISE = 1e-6  # of the largest value: differences that are rounding


@dataclass(frozen=True)
class Normalised:
    """Another metric's value v as 100 · (v − floor) / (best − floor): 0 is chance, 100 the best order that was found.

    The floor is the metric's mean over random orders of the tokens. The best is its value for the best of these orders,
    of those that greedy or beam search for the most damaging removals and the most helpful insertions ends with, of the
    orders by what each token does alone (left out, put in, or both), and of the explainer's own scores. So 100 is the
    most, though a better order may exist, negative is worse than chance, and higher is better whatever the metric.
    Models whose probabilities differ in scale become comparable.

    `parts` are v, floor and best; |best − floor| is the weight, so that means over texts are ratios of means. Not
    defined (NaN, weight 0) where best equals floor, as for one content token, or where the metric is not defined.

    Costs at most 2 · (n + 1) + 2 · beam · width · n rows for n content tokens (256 tokens: 3,074), and those that the
    metric asks for `randoms` + 2 · beam + 5 orders; times 4 where the operator is `sample`. All but the rows of its own
    scores are the same for every explainer, and run once a text.

    Args:
        metric: a spec of one with a direction that depends on the order of scores alone, as in
            `normalised(comprehensiveness(operator=delete))`. The search takes tokens away by its operator.
        randoms: random orders; they belong to the text.
        beam: partial orders that the search keeps; 1 is greedy.
        width: tokens that a step of the search tries on each: those that mattered most when last tried.
    """

    metric: str
    randoms: int = 16
    beam: int = 1
    width: int = 5
    higher_is_better: ClassVar[bool] = True
    range: ClassVar[tuple[float, float]] = (-math.inf, 100.0)
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
        object.__setattr__(self, "metric", built.identity)
        object.__setattr__(self, "inner", built)

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
        """As the metric inside."""
        return self.inner.traits.version

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        target, content = attribution.target, text.content
        if not len(content):
            return Measurement(math.nan, weight=0.0)
        search = Search(Operator(getattr(self.inner.object, "operator", "mask")), self.beam, self.width)
        draws = generator(text, "orders")
        orders = [draws.permutation(content) for _ in range(self.randoms)]
        orders += yield from search.candidates(text, target)
        ranks = [in_order(text, target, order) for order in orders]
        found = yield from gather([ask(self.inner.object, text, each) for each in (attribution, *ranks)])
        return self._relative([measurement.value for measurement in found])

    def _relative(self, values: Sequence[float]) -> Measurement:
        """Of the explainer's own value, followed by those of random orders, followed by the others."""
        if not np.isfinite(values).all():
            return Measurement(math.nan, weight=0.0)
        own, floor = values[0], float(np.mean(values[1 : 1 + self.randoms]))
        best = max(values) if self.inner.traits.direction > 0 else min(values)
        span = abs(best - floor)
        if span <= NOISE * max(map(abs, values)):
            return Measurement(math.nan, (own, floor, best), weight=0.0)
        return Measurement(100 * (own - floor) / (best - floor), (own, floor, best), weight=span)


def in_order(text: Text, target: Target, order: Int[np.ndarray, "content"]) -> Attribution:
    """An attribution that ranks the tokens so: n for the first, 1 for the last, 0 for special tokens."""
    scores = np.zeros(len(text))
    scores[order] = np.arange(len(order), 0, -1)
    return Attribution(text.id, target, scores)
