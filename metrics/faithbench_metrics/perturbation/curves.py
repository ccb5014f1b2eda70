"""Curves of probability while tokens are taken away, or put back, in the order of their scores."""

import numpy as np
from jaxtyping import Float

from faithbench.conversations import Asking
from faithbench.parameters import check_whole
from faithbench.types import Attribution, Text
from faithbench_metrics.perturbation.operators import Operator
from faithbench_metrics.perturbation.ordering import even_sizes, first_of, ranked


def check_steps(steps: int) -> None:
    """Raises a ValueError for anything but a number of steps that makes sense."""
    check_whole("steps", steps, 1, 10_000)


def removal_curve(
    text: Text, attribution: Attribution, operator: Operator, steps: int
) -> Asking[tuple[list[int], Float[np.ndarray, "sizes classes"]]]:
    """Sizes from 0 to all content tokens, and probabilities without so many top tokens."""
    sizes = even_sizes(len(text.content), steps)
    top = first_of(text, ranked(text, attribution.scores), sizes)
    return sizes, (yield from operator.chances(text, ~top))


def insertion_curve(
    text: Text, attribution: Attribution, operator: Operator, steps: int
) -> Asking[tuple[list[int], Float[np.ndarray, "sizes classes"]]]:
    """Sizes from 0 to all content tokens, and probabilities with only so many top tokens and the special ones."""
    sizes = even_sizes(len(text.content), steps)
    top = first_of(text, ranked(text, attribution.scores), sizes)
    return sizes, (yield from operator.chances(text, top | text.special))


def area(sizes: list[int], chances: Float[np.ndarray, "sizes"], unit: float) -> float:
    """Trapezoid area over the share of tokens, times the unit; NaN where there are no tokens."""
    strips = np.diff(sizes) * (chances[1:] + chances[:-1]) / 2.0  # `np.trapezoid`, which numpy 1 has not
    return unit * float(strips.sum()) / sizes[-1] if sizes[-1] else float("nan")
