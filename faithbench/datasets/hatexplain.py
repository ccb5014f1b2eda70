"""HateXplain: posts from Twitter and Gab with human rationales (Mathew et al. 2021, arXiv 2012.10289)."""

from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from faithbench.datasets.sources import HubFiles, parquet_rows
from faithbench.errors import UserError
from faithbench.types import Example, Row, Span

# The hub converts the original script to parquet on this branch; the run's data fingerprint pins the content.
HUB = HubFiles(
    repo="Hate-speech-CNERG/hatexplain",
    revision="refs/convert/parquet",
    paths={split: f"plain_text/{split}/0000.parquet" for split in ("train", "validation", "test")},
)
ORIGINAL = ("hatespeech", "normal", "offensive")


@dataclass(frozen=True)
class HateXplain:
    """The official splits; posts without a majority label are dropped.

    Args:
        classes: 2 joins hatespeech and offensive to `toxic` (1) against `non-toxic` (0); 3 keeps the original labels.
        rationale: whose marks count: `union` of the annotators or `majority`.
    """

    classes: int = 2
    rationale: str = "union"

    def __post_init__(self) -> None:
        if self.classes not in (2, 3):
            raise UserError(f"hatexplain: classes={self.classes!r} is not allowed; use 2 or 3.")
        if self.rationale not in ("union", "majority"):
            raise UserError(f"hatexplain: rationale={self.rationale!r} is not allowed; use union or majority.")

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("non-toxic", "toxic") if self.classes == 2 else ORIGINAL

    def load(self, split: str) -> list[Example]:
        """The posts of `train`, `validation` or `test`."""
        rows = (_unified(row) for row in parquet_rows("hatexplain", split, HUB))
        return [self._example(row) for row in rows if row["label"] >= 0]

    def _example(self, row: Row) -> Example:
        label = row["label"] if self.classes == 3 else int(row["label"] != ORIGINAL.index("normal"))
        marks = row[f"rationale_{self.rationale}"]
        spans = None if marks is None else _spans(row["tokens"], marks)
        return Example(id=row["id"], text=" ".join(row["tokens"]), label=label, rationale=spans)


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


def _spans(tokens: list[str], marks: list[int]) -> tuple[Span, ...]:
    spans, start = [], 0
    for token, mark in zip(tokens, marks, strict=False):
        if mark:
            spans.append((start, start + len(token)))
        start += len(token) + 1
    return tuple(spans)
