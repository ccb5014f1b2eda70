"""A text that a model has gone on with, as a triangle: a row for each token it said, and a column for each before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from faithbench.showing.marked import Mark, strengths

MOST = 60  # columns that are shown where there is no room for more
NAME = 16  # characters of a token
FAINT = "·"  # for a score of next to nothing


@dataclass(frozen=True, eq=False)
class Said:
    """A row: a token, and what the tokens before did for it.

    Args:
        token: that the model said.
        chance: how likely it was among all, for people.
        rival: the token that it is compared with.
        scores: of each column that is before it; NaN where there is none.
    """

    token: str
    chance: str
    rival: str
    scores: Float[np.ndarray, "columns"]

    @property
    def cells(self) -> tuple[Mark, ...]:
        """Its scores, with their strengths beside the row's largest."""
        return self._cells

    @cached_property
    def _cells(self) -> tuple[Mark, ...]:
        strong = strengths(self.scores)
        return tuple(
            Mark(self._shown(float(score), int(level)), float(score), int(level))
            for score, level in zip(self.scores, strong, strict=True)
        )

    def _shown(self, score: float, level: int) -> str:
        if np.isnan(score):
            return ""
        return Mark("", score, level).suffix or FAINT

    @property
    def head(self) -> str:
        """The token, its probability and its rival: `run 0.15 (sings)`."""
        return f"{cut(self.token)} {self.chance} ({cut(self.rival)})"


@dataclass(frozen=True, eq=False)
class Triangle:
    """What one explainer says of a text that a model has gone on with.

    Args:
        columns: the tokens, in order, but for the last that was said.
        given: how many of them the model was given; it said the others.
        rows: the tokens that the model said, in order.
    """

    columns: tuple[str, ...]
    given: int
    rows: tuple[Said, ...]

    @property
    def largest(self) -> float:
        """The largest score, whatever its sign."""
        return max((float(np.nanmax(np.abs(row.scores), initial=0.0)) for row in self.rows), default=0.0)

    def folded(self, most: int = MOST) -> "Triangle":
        """Without the columns of the least weight in any row, where there are more than so many; these are counted."""
        if len(self.columns) <= most:
            return self
        weight = np.zeros(len(self.columns))
        for row in self.rows:
            size = np.abs(np.nan_to_num(row.scores))
            weight[: len(size)] = np.maximum(weight[: len(size)], size / (size.max(initial=0.0) or 1.0))
        kept = set(np.argsort(-weight, kind="stable")[:most].tolist())
        parts = list(_parts(len(self.columns), kept))
        columns = tuple(self.columns[part[0]] if part[0] in kept else f"… {len(part)}" for part in parts)
        rows = tuple(replace(row, scores=_taken(row.scores, parts, kept)) for row in self.rows)
        return Triangle(columns, sum(part[0] < self.given for part in parts), rows)

    def blocks(self, sizes: Sequence[float], room: float) -> Iterator[tuple[range, list[Said]]]:
        """The columns in blocks that fit, each with the rows that reach it.

        Args:
            sizes: of the columns.
            room: for those of a block.
        """
        for columns in blocks(sizes, room):
            yield columns, [row for row in self.rows if len(row.scores) > columns.start]


def blocks(sizes: Sequence[float], room: float) -> Iterator[range]:
    """Columns of such sizes in blocks that fit, each of at least one."""
    start = 0
    while start < len(sizes):
        end, taken = start + 1, sizes[start]
        while end < len(sizes) and taken + sizes[end] <= room:
            taken, end = taken + sizes[end], end + 1
        yield range(start, end)
        start = end


def cut(name: str, most: int = NAME) -> str:
    """A token's name, or another text, shortened at its end."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def triangle_legend() -> str:
    """How a triangle is to be read."""
    return (
        "Rows are the tokens that the model said, each with its probability among all tokens and, in parentheses, the "
        "runner-up; columns are the tokens before, its own in italics. + speaks for a row's token rather than for the "
        "runner-up, − against it; ++ and −− are scores above half of the row's largest, · is next to nothing. Each row "
        "is scaled by its own largest score."
    )


def _parts(count: int, kept: set[int]) -> Iterator[list[int]]:
    """Columns that are kept, each alone, and those between together."""
    waiting: list[int] = []
    for place in range(count):
        if place not in kept:
            waiting.append(place)
            continue
        if waiting:
            yield waiting
        waiting = []
        yield [place]
    if waiting:
        yield waiting


def _taken(
    scores: Float[np.ndarray, "columns"], parts: Sequence[Sequence[int]], kept: set[int]
) -> Float[np.ndarray, "parts"]:
    there = [part for part in parts if part[0] < len(scores)]
    return np.array([scores[part[0]] if part[0] in kept else np.nan for part in there])
