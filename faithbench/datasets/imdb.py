"""IMDB: polarity of film reviews (Maas et al. 2011). Half of the test split serves as validation."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.datasets.sources import HubFiles, halved_rows
from faithbench.types import Example

HUB = HubFiles(
    repo="stanfordnlp/imdb",
    revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
    paths={split: f"plain_text/{split}-00000-of-00001.parquet" for split in ("train", "test")},
)


@dataclass(frozen=True)
class IMDB:
    """Negative (0) and positive (1) reviews, raw, as published; validation and test are halves of the official test."""

    class_names: ClassVar[tuple[str, ...]] = ("negative", "positive")

    def load(self, split: str) -> list[Example]:
        """The reviews of `train`, `validation` or `test`."""
        return [Example(i, row["text"], row["label"]) for i, row in halved_rows("imdb", split, HUB)]
