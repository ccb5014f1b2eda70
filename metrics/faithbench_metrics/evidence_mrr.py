"""Agreement with known evidence: reciprocal rank of its first token (Bastings et al. 2022, arXiv 2111.07367)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.conversations import Asking
from faithbench.tasks import logits_of
from faithbench.types import LINKS, Attribution, Link, Measurement, Text
from faithbench_metrics.ranking import chance_reciprocal_rank, expected_reciprocal_rank


@dataclass(frozen=True)
class EvidenceMRR:
    """100 / rank of the highest-ranked evidence among the content tokens, above 0 to 100; higher is better.

    Equal scores count by the mean over their orders, so constant scores give the chance level exactly: at e of n tokens
    C = Σ_r C(n − r, e − 1)/C(n, e)/r, for one token (1 + 1/2 + … + 1/n)/n. `parts` are the reciprocal rank and C, as
    fractions. Not defined (NaN) for a text without evidence, and where all content tokens are evidence: every order of
    them has 100 then.

    Args:
        adjusted: 100 · (1/rank − C) / (1 − C) instead: 0 is chance, 100 the most; the weight is 1 − C, so that means
            over texts are ratios of means. It is at most 100, and may be far below 0 where C is large.
        right: only texts whose label the model gives, strictly before all others: of a next-token question those with
            d > 0. Others are not defined (NaN), so that n says how many the model gets right. Asks the model for a row.
    """

    adjusted: bool = False
    right: bool = False
    kind: ClassVar[str] = "ground truth"
    higher_is_better: ClassVar[bool | None] = True
    on_request: ClassVar[bool] = True
    keep_parts: ClassVar[bool] = True
    added: ClassVar[tuple[str, ...]] = ("adjusted", "right")
    version: ClassVar[int] = 2

    @property
    def needs(self) -> tuple[str, ...]:
        """Evidence, and labels to be right about."""
        return ("evidence", "label") if self.right else ("evidence",)

    @property
    def links(self) -> tuple[Link, ...]:
        """One of several outputs is right; of labels and values none is the only one."""
        return ("softmax",) if self.right else LINKS

    @property
    def range(self) -> tuple[float, float]:
        """Nothing says how far below chance a rank may be."""
        return (-math.inf if self.adjusted else 0.0, 100.0)

    def __call__(self, text: Text, attribution: Attribution) -> Asking[Measurement] | Measurement:
        return self._if_right(text, attribution) if self.right else self._of_ranks(text, attribution)

    def _if_right(self, text: Text, attribution: Attribution) -> Asking[Measurement]:
        return self._of_ranks(text, attribution) if (yield from is_right(text)) else Measurement(math.nan)

    def _of_ranks(self, text: Text, attribution: Attribution) -> Measurement:
        if text.evidence is None:
            return Measurement(math.nan)
        marks = text.evidence[text.content]
        rank = expected_reciprocal_rank(attribution.scores[text.content], marks)
        if marks.all() or math.isnan(rank):
            return Measurement(math.nan)
        chance = chance_reciprocal_rank(len(marks), int(marks.sum()))
        if not self.adjusted:
            return Measurement(100 * rank, (rank, chance))
        return Measurement(100 * (rank - chance) / (1 - chance), (rank, chance), weight=1 - chance)


def is_right(text: Text) -> Asking[bool]:
    """Whether the model gives a text's label a larger logit than every other output."""
    if text.label is None:
        return False
    logits = yield from logits_of(text)
    own, others = logits[text.label], np.delete(logits, text.label)
    return bool((own > others).all())
