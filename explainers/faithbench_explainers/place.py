"""Tokens by their place: what an explainer that knows nothing but the order of a text gets."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from faithbench.parameters import check_choice
from faithbench.types import Attribution, Target, Text

FROM = ("first", "last")


@dataclass(frozen=True)
class Place:
    """Scores that fall from 1 at the first or the last token, evenly, to 1/n at the other end; a control like `random`.

    Where what decides often stands at the same place, as the subject that a verb agrees with, the order of places finds
    it without looking at the model. An explainer has to beat this as well.

    Args:
        begin: the end of the text where scores are highest, `first` or `last`.
    """

    begin: str = "first"
    class_sensitive: ClassVar[bool] = False
    on_request: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice("begin", self.begin, FROM)

    def __call__(self, text: Text, target: Target) -> Attribution:
        rising = np.arange(1, len(text) + 1) / len(text)
        return Attribution(text.id, target, rising if self.begin == "last" else rising[::-1])
