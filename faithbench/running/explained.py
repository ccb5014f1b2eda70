"""Attributions that can show themselves: what `faithbench.attribute` gives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from rich.console import Group
from rich.text import Text as RichText

from faithbench.showing.marked import boundary, marked, spans_of, spelled, sums_of, units
from faithbench.showing.page import notebook_html
from faithbench.showing.sheet import Row, Sheet, legend, scale_of
from faithbench.showing.terminal import sheet_lines, sheet_text
from faithbench.types import Attribution, Text

COLUMNS = ("text_id", "explainer", "target", "unit", "text", "start", "end", "score", "rank")


@dataclass(frozen=True)
class ExplainedText(Attribution):
    """An attribution with its text, as notebooks, terminals and frames show it.

    Args:
        text: as the model reads it.
        explainer: whose the scores are.
        name: of what is explained, such as that of a class.
    """

    text: Text | None = None
    explainer: str = ""
    name: str = ""

    def row(self, by: str = "word", said: Sequence[str] = ()) -> Row:
        """The coloured line, of a pair two, by `word` or `token`."""
        if self.text is None:
            return Row(self.explainer, (), said=tuple(said))
        whole, at = marked(self.text, self, by), boundary(self.text)
        lines = (whole,) if at is None else (whole.split(at - 1)[0], whole.split(at)[1])
        return Row(self.explainer, lines, scale_of(lines), tuple(said))

    def sheet(self, by: str = "word") -> Sheet:
        """The coloured line with what it explains."""
        value = self.text is not None and self.text.link == "identity"
        return Sheet(self.name, (self.row(by),), legend=legend(self.name, is_framed(self.text), value))

    def frame(self, by: str = "word") -> pd.DataFrame:
        """A row for each word, or token: its characters, its score, and its rank, 1 for the largest score."""
        return unit_frame([self], by)

    def _repr_html_(self) -> str:
        return notebook_html([self.sheet()])

    def __rich__(self) -> Group:
        return sheet_text(self.sheet())


class Attributions(list[Attribution]):
    """Attributions in the order of their texts."""

    def frame(self, by: str = "word") -> pd.DataFrame:
        """A row for each word, or token, of each text."""
        return unit_frame([each for each in self if isinstance(each, ExplainedText)], by)

    def _repr_html_(self) -> str:
        return notebook_html(self._sheets())

    def __rich__(self) -> Group:
        return Group(*(part for sheet in self._sheets() for part in (*sheet_lines(sheet), RichText())))

    def _sheets(self) -> list[Sheet]:
        """With one legend, at the end."""
        own = [each for each in self if isinstance(each, ExplainedText)]
        last = legend(framed=any(is_framed(each.text) for each in own))
        return [replace(each.sheet(), legend=last if each is own[-1] else "") for each in own]


def is_framed(text: Text | None) -> bool:
    """Whether the data marks something in a text."""
    marks = () if text is None else (text.evidence, text.rationale)
    return any(mark is not None and bool(mark.any()) for mark in marks)


def unit_frame(explained: Iterable[ExplainedText], by: str = "word") -> pd.DataFrame:
    """A row for each unit and explanation."""
    parts = [_units(each, by) for each in explained if each.text is not None]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def _units(explained: ExplainedText, by: str) -> pd.DataFrame:
    assert explained.text is not None
    read = spelled(explained.text)
    spans, scores = spans_of(read, units(read, by)), sums_of(read, explained.scores, by)
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    columns = {
        "text_id": explained.text_id,
        "explainer": explained.explainer,
        "target": explained.name,
        "unit": np.arange(len(scores)),
        "text": [read.source[start:end] for start, end in spans],
        "start": [start for start, _ in spans],
        "end": [end for _, end in spans],
        "score": scores,
        "rank": ranks,
    }
    return pd.DataFrame(columns)
