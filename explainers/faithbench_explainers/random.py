"""Uniform noise: the floor that every explainer has to beat."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.draws import generator
from faithbench.parameters import check_seed, check_whole
from faithbench.types import Attribution, Target, Text


@dataclass(frozen=True)
class Random:
    """Scores drawn uniformly from [0, 1), the same for a text whenever it is asked.

    What metrics say of it is the mean over several draws, so that the floor of a table is what chance gives and not
    what one draw happened to give. The scores that are shown and stored are those of the first. Metrics that only look
    at the values of scores, such as entropy, have another floor: `permuted(…)`.

    Args:
        seed: draws the scores, together with the text's id.
        draws: how many times each metric is asked; its rows are as many times those of another explainer.
    """

    seed: int = 0
    draws: int = 5
    version: ClassVar[int] = 2
    added: ClassVar[tuple[str, ...]] = ("draws",)
    class_sensitive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_whole("draws", self.draws, 1, 1000)

    def __call__(self, text: Text, target: Target) -> Attribution:
        return noise(text, target, "", self.seed)

    def repeats(self) -> "tuple[Draw, ...]":
        """The other draws."""
        return tuple(Draw(self.seed, number) for number in range(1, self.draws))


@dataclass(frozen=True)
class Draw:
    """One of the other draws of a seed."""

    seed: int
    number: int

    def __call__(self, text: Text, target: Target) -> Attribution:
        return noise(text, target, f"draw {self.number}", self.seed)


def noise(text: Text, target: Target, purpose: str, seed: int) -> Attribution:
    """A draw of scores that belongs to text, purpose and seed."""
    return Attribution(text.id, target, generator(text, purpose, seed).random(len(text)))
