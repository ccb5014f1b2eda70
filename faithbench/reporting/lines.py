"""Coloured lines of many texts in little room: the same pieces and classes as `showing.html`, signs by the style.

A text is written out once for some explainers; of the others the strengths alone are kept, a sign for each piece, with
which the script colours a copy of the first line.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from faithbench.showing.html import classes_of
from faithbench.showing.marked import Mark, Marked, line, marked
from faithbench.shown import visible
from faithbench.types import Attribution, Span, Text

NAMED = 5  # words that an explainer is said to name
UNREAD = Markup('<span class="unread" title="not read by the model">{}</span>')
PLAIN = Markup("<mark>{}</mark>")
CODES = {1: "1234", -1: "abcd"}
LINE_STYLE = "\n".join(
    f".fb-line .{side}{level}::after {{ content: '{sign * (1 + (level > 2))}'; font-size: .75em; vertical-align: 30% }}"
    for side, sign in (("p", "+"), ("n", "\u2212"))
    for level in range(1, 5)
)


def marked_line(text: Text, attribution: Attribution) -> Marked | None:
    """A text with what an explainer says of its words; of its tokens where nobody knows which characters they are.

    None where the scores are not of this text.
    """
    scores = np.nan_to_num(np.asarray(attribution.scores, dtype=np.float64), posinf=0.0, neginf=0.0)
    if len(scores) != len(text):
        return None
    if text.offsets is not None:
        return marked(text, replace(attribution, scores=scores))
    return _of_tokens(text, scores)


def _of_tokens(text: Text, scores: Float[np.ndarray, "tokens"]) -> Marked:
    spans, parts, at = list[Span](), list[str](), 0
    for position in text.content:
        token = text.tokens[int(position)] if text.tokens else f"[{int(position)}]"
        spans.append((at, at + len(token)))
        parts.append(token)
        at += len(token) + 1
    truth = text.evidence if text.evidence is not None else text.rationale
    framed = None if truth is None else truth[text.content]
    return line(" ".join(parts), spans, scores[text.content], framed)


def written(found: Marked) -> Markup:
    """A line as HTML."""
    return Markup('<p class="fb-line" dir="auto">{}</p>').format(Markup("").join(map(_piece, found.marks)))


def codes(found: Marked) -> str:
    """The strengths of its pieces: 0 for none, 1 to 4 for and a to d against what is explained."""
    return "".join(CODES[mark.sign][mark.strength - 1] if mark.sign else "0" for mark in found.scored)


def named(found: Marked, most: int = NAMED) -> list[str]:
    """The words with the largest scores, each with its sign; fewer where fewer have any."""
    strong = sorted((mark for mark in found.scored if mark.sign), key=lambda mark: -abs(mark.score))
    return [f"{mark.text.strip()} {mark.suffix}" for mark in strong[:most]]


def _piece(mark: Mark) -> str:
    """As `showing.html` marks it; a text without a score is escaped by whoever joins it."""
    text = visible(mark.text, keep="\n")
    if np.isnan(mark.score):
        return UNREAD.format(text) if mark.unread else text
    classes = classes_of(mark)
    return Markup('<mark class="{}">{}</mark>').format(classes, text) if classes else PLAIN.format(text)
