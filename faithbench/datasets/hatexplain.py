"""HateXplain: posts from Twitter and Gab with human rationales (Mathew et al. 2021, arXiv 2012.10289)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from faithbench.datasets.sources import HubFiles, parquet_rows
from faithbench.errors import UserError
from faithbench.types import Example, Span

# The hub converts the original script to parquet on this branch; the run's data fingerprint pins the content.
HUB = HubFiles(
    repo="Hate-speech-CNERG/hatexplain",
    revision="refs/convert/parquet",
    paths={split: f"plain_text/{split}/0000.parquet" for split in ("train", "validation", "test")},
)
ORIGINAL = ("hatespeech", "normal", "offensive")

Fields = Mapping[str, Any]  # a row of a file


@dataclass(frozen=True)
class HateXplain:
    """The official splits; posts without a majority label are dropped.

    `rationale` is what any, `rationale_majority` what at least half of the annotators who marked a post marked in it.

    Args:
        classes: 2 joins hatespeech and offensive to `toxic` (1) against `non-toxic` (0); 3 keeps the original labels.
    """

    classes: int = 2

    def __post_init__(self) -> None:
        if self.classes not in (2, 3):
            raise UserError(f"hatexplain: classes={self.classes!r} is not allowed; use 2 or 3.")

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("non-toxic", "toxic") if self.classes == 2 else ORIGINAL

    def load(self, split: str) -> list[Example]:
        """The posts of `train`, `validation` or `test`."""
        rows = (_unified(row) for row in parquet_rows("hatexplain", split, HUB))
        return [self._example(row) for row in rows if row["label"] >= 0]

    def _example(self, row: Fields) -> Example:
        label = row["label"] if self.classes == 3 else int(row["label"] != ORIGINAL.index("normal"))
        union, majority = (_spans(row["tokens"], row.get(f"rationale_{which}")) for which in ("union", "majority"))
        return Example(row["id"], " ".join(row["tokens"]), label, rationale=union, rationale_majority=majority)


def _unified(row: dict[str, Any]) -> dict[str, Any]:
    """The hub's columns (`post_tokens`, `annotators`, `rationales`) brought to ours; ours pass through."""
    if "annotators" not in row:
        return row
    label, votes = Counter(row["annotators"]["label"]).most_common(1)[0]
    marks = list(zip_longest(*row["rationales"], fillvalue=0))
    return {
        "id": row["id"],
        "tokens": row["post_tokens"],
        "label": label if votes > 1 else -1,
        "rationale_union": [int(any(mark)) for mark in marks] or [0] * len(row["post_tokens"]),
        "rationale_majority": [int(2 * sum(mark) >= len(mark)) for mark in marks] or [0] * len(row["post_tokens"]),
    }


def _spans(tokens: list[str], marks: list[int] | None) -> tuple[Span, ...] | None:
    if marks is None:
        return None
    spans, start = [], 0
    for token, mark in zip(tokens, marks, strict=False):
        if mark:
            spans.append((start, start + len(token)))
        start += len(token) + 1
    return tuple(spans)
