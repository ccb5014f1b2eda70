"""What the plausibility metrics share: whose marks count, and which tokens an explanation chooses."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Bool

from faithbench.parameters import check_choice, check_share
from faithbench.types import Text

NEEDS = {"union": "rationale", "majority": "rationale_majority"}  # the field of a text that holds the marks


def check_annotators(annotators: str) -> None:
    """Union or majority."""
    check_choice("annotators", annotators, tuple(NEEDS))


def check_choosing(annotators: str, ratio: float) -> None:
    """Union or majority, and the share of the tokens to choose."""
    check_annotators(annotators)
    check_share("ratio", ratio)


def _needs_of_annotators(metric: Any) -> tuple[str, ...]:
    """The marks of a metric's annotators."""
    return (NEEDS[metric.annotators],)


needs_of_annotators = property(_needs_of_annotators)  # the trait `needs` of every metric with a parameter `annotators`


def marked_content(text: Text, annotators: str) -> Bool[np.ndarray, "content"] | None:
    """Which content tokens are marked; None where nobody marked anything."""
    marks: Bool[np.ndarray, "tokens"] | None = getattr(text, NEEDS[annotators])
    if marks is None or not marks[text.content].any():
        return None
    return marks[text.content]


def size(marked: Bool[np.ndarray, "content"], ratio: float) -> int:
    """How many tokens to choose: as many as are marked, or max(1, floor(ratio · content)) in exact arithmetic."""
    return max(1, math.floor(Fraction(str(ratio)) * len(marked))) if ratio else int(marked.sum())
