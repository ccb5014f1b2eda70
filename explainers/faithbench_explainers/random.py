"""Uniform noise: the floor that every explainer has to beat."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.draws import generator
from faithbench.parameters import check_seed
from faithbench.types import Attribution, Target, Text


@dataclass(frozen=True)
class Random:
    """Scores drawn uniformly from [0, 1), the same for a text whenever it is asked.

    Args:
        seed: draws the scores, together with the text's id.
    """

    seed: int = 0
    class_sensitive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def __call__(self, text: Text, target: Target) -> Attribution:
        return Attribution(text.id, target, generator(text, seed=self.seed).random(len(text)))
