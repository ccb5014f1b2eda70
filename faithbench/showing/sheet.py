"""What is shown of an explained text, as data: a title, what is to be known, and coloured lines with words below."""

from collections.abc import Sequence
from dataclasses import dataclass

from faithbench.showing.marked import Mark, Marked
from faithbench.showing.stack import Stack
from faithbench.showing.triangle import Triangle

LONG = 1500  # characters that a folded line shows at most
AROUND = 70  # characters that are kept on each side of a strong piece
NAME = 30  # characters of a word in a sentence
FEW = 200  # characters of what was not read that are shown


@dataclass(frozen=True)
class Row:
    """What one explainer says.

    Args:
        head: its name.
        lines: the text with its scores; of a pair two.
        scale: what the strongest tint of the lines stands for.
        said: sentences that go below.
        triangle: of a text that a model has gone on with, in place of lines.
        stacks: windows in which a neuron is looked at, in place of lines.
    """

    head: str
    lines: tuple[Marked, ...]
    scale: str = ""
    said: tuple[str, ...] = ()
    triangle: Triangle | None = None
    stacks: tuple[Stack, ...] = ()


@dataclass(frozen=True)
class Sheet:
    """An explained text.

    Args:
        title: what the model says of it.
        rows: a row for each explainer.
        about: sentences on the text and the model.
        legend: how lines are to be read.
    """

    title: str
    rows: tuple[Row, ...]
    about: tuple[str, ...] = ()
    legend: str = ""


def legend(what: str = "what is explained", framed: bool = False, value: bool = False) -> str:
    """How lines are to be read.

    Args:
        what: is explained, such as the name of a class.
        framed: whether pieces are framed.
        value: whether it is a value, for which nothing can speak.
    """
    signs = f"+ raises {what}, − lowers it" if value else f"+ speaks for {what}, − against it"
    frame = " A frame, or [ ], is what the data marks." if framed else ""
    return (
        f"{signs}; ++ and −− are scores above half of the line's largest. Each line is "
        f"scaled by its own largest score: compare what lines name, not how dark they are.{frame}"
    )


def scale_of(lines: Sequence[Marked]) -> str:
    """The piece with the largest score of some lines, and that score."""
    pieces = [mark for line in lines for mark in line.scored]
    largest = max(pieces, key=lambda mark: abs(mark.score), default=None)
    if largest is None or largest.score == 0:
        return "all scores are 0"
    word = largest.text if len(largest.text) <= NAME else f"{largest.text[: NAME - 1]}…"
    return f"largest: “{word}” {largest.score:+.3g}".replace("-", "\u2212")


def folded(marked: Marked, most: int = LONG) -> Marked:
    """A line of more than so many characters with stretches of little weight counted rather than shown.

    Its beginning and what is around the largest scores stay.
    """
    size = sum(len(mark.text) for mark in marked.marks if not mark.unread)
    kept = set(range(len(marked.marks))) if size <= most else _strongest(marked.marks, most)
    kept -= {n for n, mark in enumerate(marked.marks) if mark.unread and len(mark.text) > FEW}
    found, left_out = list[Mark](), list[Mark]()
    for number, mark in enumerate(marked.marks):
        if number in kept:
            found += _counted(left_out)
            left_out = []
            found.append(mark)
        else:
            left_out.append(mark)
    return Marked((*found, *_counted(left_out)))


def _strongest(marks: Sequence[Mark], most: int) -> set[int]:
    """Numbers of the pieces at the beginning and around the strongest, as many as there is room for."""
    kept, room = set[int](), most
    ranked = sorted((n for n, mark in enumerate(marks) if mark.sign), key=lambda n: -abs(marks[n].score))
    for centre in (0, *ranked):
        near = _near(marks, centre) - kept
        room -= sum(len(marks[number].text) for number in near)
        if room < 0 and kept:
            break
        kept |= near
    return kept


def _near(marks: Sequence[Mark], centre: int) -> set[int]:
    """Numbers of a piece and of those around it."""
    found = {centre}
    for step in (-1, 1):
        number, size = centre + step, 0
        while 0 <= number < len(marks) and size + len(marks[number].text) <= AROUND:
            found.add(number)
            size += len(marks[number].text)
            number += step
    return found


def _counted(marks: Sequence[Mark]) -> list[Mark]:
    """What stands for pieces that are left out."""
    found = []
    for lost in (False, True):
        text = "".join(mark.text for mark in marks if mark.unread == lost)
        if text.strip():
            count = f"{len(text.split()):,} words" if len(text.split()) > 1 else f"{len(text):,} characters"
            found.append(Mark(f" … {count} … " if lost else f" [… {count} …] ", float("nan"), unread=lost))
        elif text:
            found.append(Mark(text, float("nan")))
    return found
