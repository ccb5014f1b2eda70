"""Positive rate: how often a model predicts a class, of texts with a word perhaps (arXiv 2502.12992, Figure 6)."""

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from faithbench.parameters import check_choice, check_whole
from faithbench.types import Attribution, Link, Measurement, Text


@dataclass(frozen=True)
class PositiveRate:
    """100 if the explained class, which in runs is the predicted one, is `positive`, else 0: the mean is a rate.

    In percent. It describes the model: the scores play no part, and all explainers of a model have the same value.
    With `word` the mean is the rate among texts that hold it; it is not defined (NaN, weight 0) for the others, such as
    one without a source, whose pieces of words say too little. The whole source counts, also what a model's limit cuts
    off.

    Args:
        positive: the class that counts; one that the model does not have is never predicted.
        word: looked for as a whole, with no letter, digit or underscore beside it, in upper or lower case; several
            words are looked for as they are written. Empty for all texts.
        of: what is counted, the `prediction` or the `label`: the rate in the data themselves, not defined for texts
            without a label.
    """

    positive: int = 1
    word: str = ""
    of: str = "prediction"
    added: ClassVar[tuple[str, ...]] = ("of",)
    kind: ClassVar[str] = "model"
    higher_is_better: ClassVar[bool | None] = None
    range: ClassVar[tuple[float, float]] = (0.0, 100.0)
    on_request: ClassVar[bool] = True
    links: ClassVar[tuple[Link, ...]] = ("softmax",)

    def __post_init__(self) -> None:
        check_whole("positive", self.positive, 0, 1_000_000)
        check_choice("of", self.of, ("prediction", "label"))
        if self.word != self.word.strip():
            raise ValueError(f"word={self.word!r} is not allowed; it must not begin or end with white space.")

    def __call__(self, text: Text, attribution: Attribution) -> Measurement:
        if self.word and not holds(text.source, self.word):
            return Measurement(math.nan, weight=0.0)
        found = attribution.target.output if self.of == "prediction" else text.label
        if found is None:
            return Measurement(math.nan, weight=0.0)
        return Measurement(100.0 if found == self.positive else 0.0)


def holds(source: str, word: str) -> bool:
    """Whether a word occurs as a whole, whatever its case."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", source, re.IGNORECASE) is not None
