"""What the plausibility metrics share: whose marks count, and which tokens an explanation chooses."""

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Bool

from faithbench.parameters import check_choice
from faithbench.types import Text

NEEDS = {"union": "rationale", "majority": "rationale_majority"}  # the field of a text that holds the marks


def check_annotators(annotators: str) -> None:
    """Union or majority."""
    check_choice("annotators", annotators, tuple(NEEDS))


def marked_content(text: Text, annotators: str) -> Bool[np.ndarray, "content"] | None:
    """Which content tokens are marked; None where nobody marked anything."""
    marks: Bool[np.ndarray, "tokens"] | None = getattr(text, NEEDS[annotators])
    if marks is None or not marks[text.content].any():
        return None
    return marks[text.content]


def size(marked: Bool[np.ndarray, "content"], ratio: float) -> int:
    """How many tokens to choose: as many as are marked, or max(1, floor(ratio · content)) in exact arithmetic."""
    return max(1, math.floor(Fraction(str(ratio)) * len(marked))) if ratio else int(marked.sum())
