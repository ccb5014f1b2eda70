"""What `faithbench.explain` gives: explanations of a text, with what the model says of it and how far to trust them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group

from faithbench.errors import brief
from faithbench.plugins.spec import Component
from faithbench.running.explained import ExplainedText, is_framed, unit_frame
from faithbench.running.prediction import Prediction, number
from faithbench.running.showable import Showable, written
from faithbench.running.trust import Trust
from faithbench.showing.marked import unread
from faithbench.showing.sheet import Sheet, legend
from faithbench.showing.terminal import sheet_text
from faithbench.shown import counted
from faithbench.types import Target, Text

FORMAT = "faithbench explanation 1"
UNPROVEN = "Whether this model is better than chance is not known."
INCOMPLETE = 0.05  # of the logit, from which on a gap is said


@dataclass(frozen=True, eq=False)
class Explained:
    """What one explainer says of a text.

    Args:
        attribution: its scores.
        trust: what masking says of it; None where it was not asked.
        doubts: sentences on what its scores are not.
    """

    attribution: ExplainedText
    trust: Trust | None = None
    doubts: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The trust line and doubts."""
        return (*(self.trust.sentences() if self.trust is not None else ()), *self.doubts)

    def data(self, by: str = "word") -> dict[str, Any]:
        """Its scores, by `word` or `token`, and what is said of them."""
        frame = self.attribution.frame(by)[["text", "start", "end", "score"]]
        return {
            "explainer": self.attribution.explainer,
            "scores": frame.to_dict("records"),
            "said": list(self.sentences),
        }


@dataclass(frozen=True, eq=False)
class Explanation(Showable):
    """A text that is explained: shown by notebooks, by rich, as a frame and as a file.

    Args:
        text: as the model reads it.
        model: its name.
        prediction: what it says.
        target: what is explained.
        explained: what each explainer says.
        by: `word` or `token`: what is scored in lines and frames.
        notes: sentences on the model.
        made: what made it, in a sentence: versions, the model's weights, explainers in full.
        unproven: whether it is not known that the model is better than chance.
    """

    text: Text
    model: str
    prediction: Prediction
    target: Target
    explained: tuple[Explained, ...]
    by: str = "word"
    notes: tuple[str, ...] = ()
    made: str = ""
    unproven: bool = False

    @property
    def sheets(self) -> list[Sheet]:
        """The one."""
        return [self.sheet]

    @property
    def heading(self) -> str:
        """Of its page."""
        return f"{self.model}: {self.prediction.title}"

    @property
    def sheet(self) -> Sheet:
        """What is shown of it."""
        return Sheet(
            title=f"{self.prediction.title}, says {brief(self.model)}",
            rows=tuple(each.attribution.row(self.by, each.sentences) for each in self.explained),
            about=(*self.prediction.about(self.target), *_cut(self.text), *self.notes),
            legend=_legend([self]),
        )

    def frame(self, by: str | None = None) -> pd.DataFrame:
        """A row for each word (or token) and explainer: its characters, its score, and its rank, 1 for the largest."""
        return unit_frame((each.attribution for each in self.explained), by or self.by)

    def data(self) -> dict[str, Any]:
        """All of it as plain values, for a file of JSON."""
        return {
            "model": self.model,
            "text": self.text.source,
            "says": self.prediction.title,
            "probabilities": dict(zip(self.prediction.names, self.prediction.probabilities.tolist(), strict=True)),
            "explained": self.prediction.name(self.target),
            "explainers": [each.data(self.by) for each in self.explained],
            "made": self.made,
        }

    def json(self) -> str:
        """Likewise, as text."""
        return _json([self])

    def __rich__(self) -> Group:
        return sheet_text(self.sheet)


class Explanations(Showable, list[Explanation]):
    """Explanations in the order of their texts."""

    def frame(self, by: str | None = None) -> pd.DataFrame:
        """A row for each word (or token), text and explainer."""
        return unit_frame((part.attribution for each in self for part in each.explained), by or _by(self))

    def json(self) -> str:
        """All of them as JSON."""
        return _json(self)

    def __rich__(self) -> Group:
        return Group(*self.lines())

    @property
    def sheets(self) -> list[Sheet]:
        """Numbered, with one legend at the end."""
        return _sheets(self)

    @property
    def heading(self) -> str:
        """Of their page."""
        if len(self) == 1:
            return self[0].heading
        return f"{', '.join(dict.fromkeys(each.model for each in self))}: {counted(len(self), 'text')} explained"

    @property
    def made(self) -> str:
        """What made them, in sentences."""
        return " ".join(dict.fromkeys(each.made for each in self))


def _json(explanations: Sequence[Explanation]) -> str:
    return written({"format": FORMAT, "explanations": [each.data() for each in explanations]})


def _legend(explanations: Sequence[Explanation]) -> str:
    """How lines and trust lines are to be read, of one text or of several."""
    values = {each.prediction.link == "identity" for each in explanations}
    names = {each.prediction.name(each.target) for each in explanations}
    framed = any(is_framed(each.text) for each in explanations)
    lines = legend(names.pop() if len(names) == 1 else "what is explained", framed, values == {True})
    unproven = f" {UNPROVEN}" if any(each.unproven for each in explanations) else ""
    trusts = [part.trust for each in explanations for part in each.explained if part.trust is not None]
    draws = max((len(each.others) for each in trusts), default=0)
    if not draws:
        return lines + unproven
    most = f"up to {draws}" if len(explanations) > 1 else str(draws)
    return (
        f"{lines} First words have the largest scores; random words: the mean over {most} other sets of as many words; "
        f"percentile: in how many percent of these sets {trusts[0].done} takes away less."
        f"{unproven}"
    )


def _sheets(explanations: Sequence[Explanation]) -> list[Sheet]:
    """What is shown of several texts, numbered and with one legend at the end."""
    sheets = [replace(each.sheet, legend="") for each in explanations]
    if len(sheets) > 1:
        sheets = [replace(each, title=f"{number}. {each.title}") for number, each in enumerate(sheets, 1)]
    return [*sheets[:-1], *(replace(each, legend=_legend(explanations)) for each in sheets[-1:])]


def _by(explanations: Iterable[Explanation]) -> str:
    return next((each.by for each in explanations), "word")


def _cut(text: Text) -> Iterator[str]:
    """Where a text was cut, what the model has not read."""
    if not text.truncated:
        return
    lost = [text.source[start:end] for start, end in unread(text)]
    words = sum(len(part.split()) for part in lost)
    what = f"; the last {words:,} words ({sum(map(len, lost)):,} characters) are not read" if lost else ""
    yield f"The text was cut at {len(text):,} tokens, the model's limit{what}."


def doubts(component: Component, found: ExplainedText, logits: np.ndarray) -> Iterator[str]:
    """What the scores of an explanation are not, as sentences.

    Args:
        component: the explainer.
        found: its scores.
        logits: of the text.
    """
    traits, target = component.traits, found.target
    scored = np.asarray(found.scores)[found.text.content] if found.text is not None else np.asarray(found.scores)
    if len(scored) > 1 and np.ptp(scored) == 0:
        yield "All words have the same score: nothing is named."
    if not traits.class_sensitive:
        what = "token" if found.text is not None and found.text.candidates is not None else "class"
        yield f"Its scores do not depend on the {what} that is explained."
    if not traits.sums_to:
        yield "Not complete: its scores are not made to add up to the logit."
        return
    gap = found.notes.get("completeness_gap", math.nan)
    plain = traits.sums_to == "logit" and not getattr(component.object, "contrastive", False)
    due, given = float(target.value(logits[None])[0]), float(np.sum(found.scores))
    if math.isnan(gap) and plain:
        gap = due - given
    if abs(gap) > INCOMPLETE * max(abs(due if plain else given), 1e-12):
        yield (
            f"Not complete: its scores add up to {number(given)}, and {number(gap)} of what they should explain is "
            "missing."
        )
