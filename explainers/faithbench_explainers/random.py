"""Uniform noise: the floor that every explainer has to beat."""

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.types import Attribution, Text


@dataclass(frozen=True)
class Random:
    """Scores drawn uniformly from [0, 1), the same for a text whenever it is asked.

    Args:
        seed: draws the scores, together with the text's id.
    """

    seed: int = 0
    class_sensitive: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed={self.seed!r} is not allowed; it must be at least 0.")

    def __call__(self, text: Text, target: int) -> Attribution:
        generator = np.random.default_rng([self.seed, zlib.crc32(text.id.encode())])
        return Attribution(text.id, target, generator.random(len(text)))
