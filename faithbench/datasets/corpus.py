"""The texts of several data sets, one after another, to train language models on."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from faithbench.datasets.standard_ebooks import untested
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset, build_texts
from faithbench.plugins.spec import Component
from faithbench.types import Example

BREAK = re.compile(r"(?:\s*<br\s*/?>\s*)+")  # of IMDB's reviews
BETWEEN = re.compile(r"\s*\+\s*(?![^()]*\))")  # a plus outside brackets


@dataclass(frozen=True)
class Corpus:
    """The training and the validation texts of several data sets, without their labels and line breaks in HTML.

    Args:
        of: specs of data sets with a plus between, such as `standard_ebooks + imdb`.
    """

    of: str = "standard_ebooks + imdb"
    class_names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        texts = BETWEEN.split(self.of.strip())
        if not all(texts):
            raise UserError(f"corpus: of={self.of!r} is not allowed; name data sets with a plus between.")
        object.__setattr__(self, "of", " + ".join(build_texts(text, "corpus").spec for text in texts))

    @cached_property
    def parts(self) -> tuple[Component, ...]:
        """The data sets."""
        return tuple(build_dataset(text) for text in BETWEEN.split(self.of))

    @property
    def content(self) -> str:
        """What the specs of the data sets do not pin."""
        return " ".join(part.content for part in self.parts).strip()

    def load(self, split: str) -> list[Example]:
        """The texts of `train` or `validation`.

        Raises:
            UserError: of another split, or a data set cannot be had.
        """
        if split == "test":
            raise untested("corpus")
        return [_plain(part, example) for part in self.parts for example in part.object.load(split)]


def _plain(part: Component, example: Example) -> Example:
    """An example without its label, named after its data set."""
    name = f"{part.label}-{example.id}"
    text, pair = (None if each is None else BREAK.sub(" ", each) for each in (example.text, example.pair))
    return replace(Example(name, text or "", None), pair=pair)
