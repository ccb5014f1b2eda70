"""AG News: topics of news items (Zhang et al. 2015, arXiv 1509.01626). Half of the test split serves as validation."""

from dataclasses import dataclass
from typing import ClassVar

from faithbench.datasets.sources import HubFiles, halved_rows
from faithbench.types import Example

HUB = HubFiles(
    repo="fancyzhx/ag_news",
    revision="eb185aade064a813bc0b7f42de02595523103ca4",
    paths={split: f"data/{split}-00000-of-00001.parquet" for split in ("train", "test")},
)


@dataclass(frozen=True)
class AGNews:
    """World, Sports, Business, Sci/Tech; validation and test are halves of the official test split (seed 42)."""

    lr: ClassVar[float] = 3e-5
    class_names: ClassVar[tuple[str, ...]] = ("World", "Sports", "Business", "Sci/Tech")

    def load(self, split: str) -> list[Example]:
        """The items of `train`, `validation` or `test`."""
        return [Example(i, row["text"], row["label"]) for i, row in halved_rows("ag_news", split, HUB)]
