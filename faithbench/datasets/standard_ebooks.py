"""Paragraphs of fiction from Standard Ebooks (standardebooks.org): texts to train language models on."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.datasets.sources import local_rows
from faithbench.errors import UserError
from faithbench.types import Example

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class StandardEbooks:
    """Paragraphs of 43 books, and of two others for validation; without labels, and without a test split."""

    class_names: ClassVar[tuple[str, ...]] = ()

    def load(self, split: str) -> list[Example]:
        """The paragraphs of `train` or `validation`, in the order of the books.

        Raises:
            UserError: of another split, or the file is not there.
        """
        if split not in SPLITS:
            raise untested("standard_ebooks")
        rows = local_rows("standard_ebooks", split)
        return [Example(f"{split}-{i}", row["text"], None) for i, row in enumerate(rows)]


def untested(name: str) -> UserError:
    """For whoever asks for the test split of a data set that has none."""
    return UserError(
        f"data set {name!r} has no test split: it holds texts to train language models on (train, validation), and no "
        "questions; explain next-token models on planted-grammar, blimp or ioi, for instance."
    )
