"""What `faithbench.explain` gives with `generate`: a text that a language model goes on with, each token explained."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, ConsoleOptions, Group, RenderResult

from faithbench.errors import brief
from faithbench.models.continuing import as_bytes
from faithbench.running.explained import ExplainedText
from faithbench.running.explanation import Explanation
from faithbench.running.next_tokens import Choice
from faithbench.running.prediction import number
from faithbench.running.showable import Showable, written
from faithbench.running.trust import ENOUGH, Trust
from faithbench.showing.marked import spans_of, spelled, units
from faithbench.showing.sheet import Row, Sheet
from faithbench.showing.triangle import Said, Triangle, triangle_legend
from faithbench.shown import counted, visible
from faithbench.types import Text

FORMAT = "faithbench generation 1"


@dataclass(frozen=True, eq=False)
class Generation(Showable):
    """A text that a language model goes on with, the likeliest token each time: shown as triangles, as a frame, a file.

    Args:
        beginning: as it was given.
        steps: an explanation of each token, rather than of the runner-up, in their order.
        continuation: what the model has said, as text.
        ended: whether the model ended the text.
    """

    beginning: str
    steps: tuple[Explanation, ...]
    continuation: str = ""
    ended: bool = False

    @property
    def model(self) -> str:
        """Its name."""
        return self.steps[0].model

    @property
    def made(self) -> str:
        """What made it, in a sentence."""
        return self.steps[0].made

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens that the model said."""
        return tuple(_choice(step).names[0] for step in self.steps)

    def triangles(self) -> dict[str, Triangle]:
        """What each explainer says, by its name."""
        names = dict.fromkeys(part.attribution.explainer for step in self.steps for part in step.explained)
        return {name: self._triangle(name) for name in names}

    @property
    def sheets(self) -> list[Sheet]:
        """The one."""
        return [self.sheet]

    @property
    def heading(self) -> str:
        """Of its page."""
        return f"{self.model}: {counted(len(self.steps), 'token')} explained"

    @property
    def sheet(self) -> Sheet:
        """What is shown of it."""
        begin, said = (brief(" ".join(text.split())) for text in (self.beginning, self.continuation))
        notes = dict.fromkeys(note for step in self.steps for note in step.notes)
        return Sheet(
            title=f"“{begin}” goes on: “{said}”, says {brief(self.model)}",
            rows=tuple(self._row(name, triangle) for name, triangle in self.triangles().items()),
            about=(*self._about(), *notes),
            legend=triangle_legend(),
        )

    def frame(self) -> pd.DataFrame:
        """A row for each token that was said, each token (or word) before it, and explainer."""
        columns = ("step", "token", "runner_up", "probability", "explainer", "column", "text", "score")
        rows = [
            (place, row.token, row.rival, _choice(step).chances[0], name, column, triangle.columns[column], score)
            for name, triangle in self.triangles().items()
            for place, (row, step) in enumerate(zip(triangle.rows, self.steps, strict=True))
            for column, score in enumerate(row.scores.tolist())
        ]
        return pd.DataFrame(rows, columns=columns)

    def data(self) -> dict[str, Any]:
        """All of it as plain values, for a file of JSON."""
        triangles = self.triangles()
        return {
            "model": self.model,
            "beginning": self.beginning,
            "continuation": self.continuation,
            "columns": list(next(iter(triangles.values())).columns),
            "given": next(iter(triangles.values())).given,
            "ended": self.ended,
            "steps": [self._step(place, step, triangles) for place, step in enumerate(self.steps)],
            "made": self.made,
        }

    def json(self) -> str:
        """Likewise, as text."""
        return _written([self])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(*self.lines(console.encoding, options.max_width))

    def _about(self) -> Iterator[str]:
        first = self.steps[0].text
        yield (
            f"{counted(len(self.steps), 'token')} behind {counted(len(first.content), 'token')}, the likeliest each "
            f"time{'; then the model ends the text' if self.ended else ''}."
        )

    def _row(self, name: str, triangle: Triangle) -> Row:
        parts = [part for step in self.steps for part in step.explained if part.attribution.explainer == name]
        said = (*_trusted([part.trust for part in parts if part.trust is not None]), *_doubted(parts, len(self.steps)))
        return Row(name, (), f"largest: {triangle.largest:.3g}", said, triangle)

    def _triangle(self, name: str) -> Triangle:
        last = self.steps[-1]
        places, columns = _columns(spelled(last.text), last.by)
        given = int(places[: len(self.steps[0].text.content)].max(initial=-1)) + 1
        return Triangle(tuple(columns), given, tuple(_said(step, name, places) for step in self.steps))

    def _step(self, place: int, step: Explanation, triangles: dict[str, Triangle]) -> dict[str, Any]:
        choice = _choice(step)
        return {
            "token": choice.names[0],
            "runner_up": choice.names[1],
            "ids": list(step.text.candidates or ()),
            "probabilities": list(choice.chances),
            "share": float(choice.probabilities[0]),
            "scores": {name: triangle.rows[place].scores.tolist() for name, triangle in triangles.items()},
        }


class Generations(Showable, list[Generation]):
    """Generations in the order of their texts."""

    def frame(self) -> pd.DataFrame:
        """A row for each text, token that was said, token before it, and explainer."""
        return pd.concat([each.frame().assign(beginning=each.beginning) for each in self], ignore_index=True)

    def json(self) -> str:
        """All of them as JSON."""
        return _written(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(*self.lines(console.encoding, options.max_width))

    @property
    def heading(self) -> str:
        """Of their page."""
        return self[0].heading if len(self) == 1 else f"{self[0].model}: {counted(len(self), 'text')} gone on with"

    @property
    def made(self) -> str:
        """What made them, in a sentence."""
        return self[0].made

    @property
    def sheets(self) -> list[Sheet]:
        """Numbered, with one legend at the end."""
        sheets = [each.sheet for each in self]
        if len(sheets) == 1:
            return sheets
        named = [replace(each, title=f"{n}. {each.title}", legend="") for n, each in enumerate(sheets, 1)]
        return [*named[:-1], replace(named[-1], legend=triangle_legend())]


def _written(generations: Sequence[Generation]) -> str:
    return written({"format": FORMAT, "generations": [each.data() for each in generations]})


def _choice(step: Explanation) -> Choice:
    assert isinstance(step.prediction, Choice)
    return step.prediction


def _said(step: Explanation, name: str, places: np.ndarray) -> Said:
    """A row: the scores of the step's tokens, summed where columns are words."""
    own, choice = places[: len(step.text.content)], _choice(step)
    found = [part.attribution for part in step.explained if part.attribution.explainer == name]
    scores = np.full(int(own.max(initial=-1)) + 1, 0.0 if found else np.nan)
    if found:
        np.add.at(scores, own, _content(found[0], step.text))
    return Said(choice.names[0], number(choice.chances[0], True), choice.names[1], scores)


def _content(found: ExplainedText, text: Text) -> np.ndarray:
    return np.asarray(found.scores, dtype=np.float64)[text.content]


def _columns(read: Text, by: str) -> tuple[np.ndarray, list[str]]:
    """The column of each token that is not special, and the names of the columns: tokens, each alone, or words."""
    if by == "word":
        places = units(read)
        return places, [read.source[start:end].strip() for start, end in spans_of(read, places)]
    assert read.offsets is not None
    pieces = ((read.source[slice(*read.offsets[place])], read.tokens[place]) for place in read.content)
    return np.arange(len(read.content)), [piece.strip() or visible(piece) or as_bytes(token) for piece, token in pieces]


def _trusted(trusts: Sequence[Trust]) -> Iterator[str]:
    """At how many tokens the words that are named do more than others."""
    tried = [trust for trust in trusts if len(trust.others) >= ENOUGH]
    if not trusts:
        return
    if not tried:
        yield "No token has enough words before it to show that deleting some does more than deleting random ones."
        return
    good = sum(trust.convinces for trust in tried)
    some = "" if len(tried) == len(trusts) else " that have enough words before them"
    yield (
        f"At {good} of {counted(len(tried), 'token')}{some}, deleting the words with the largest scores is shown to "
        "take away more than deleting random ones; each token is tested by itself."
    )


def _doubted(parts: Sequence[Any], steps: int) -> Iterator[str]:
    """What is to be doubted at all tokens, and what at some."""
    counts = Counter(doubt for part in parts for doubt in part.doubts)
    yield from (doubt for doubt, count in counts.items() if count == steps)
    some = Counter(doubt.partition(":")[0] for part in parts for doubt in set(part.doubts) if counts[doubt] < steps)
    for doubt, count in some.items():
        yield f"{doubt.removesuffix('.')}, at {count} of {counted(steps, 'token')}."
