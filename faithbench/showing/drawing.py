"""Coloured lines as pictures (SVG, PNG, PDF), drawn with matplotlib; the same tints and signs as elsewhere.

In an SVG all text stays text. Nothing of it is read as mathematics or markup. A line in a script that is written from
right to left begins at the right; words are laid out by the viewer of an SVG.
"""

import math
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from faithbench.showing.html import AGAINST, FOR
from faithbench.showing.marked import LEVELS, Mark, Marked
from faithbench.showing.sheet import Row, Sheet, folded
from faithbench.showing.stack import Stack
from faithbench.showing.triangle import NAME, Triangle, blocks, cut
from faithbench.shown import visible

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "faithbench",
    "text.parse_math": False,  # texts are no mathematics
    "text.usetex": False,
    "text.hinting": "no_hinting",  # widths are those at any size
}
NO_DATE: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
FALLBACKS = (
    "Noto Sans",
    "Noto Sans CJK SC",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "WenQuanYi Zen Hei",
    "Unifont",
)
WIDTH, MARGIN = 720.0, 16.0  # points; a point is a unit of the drawing
SIZE, SMALL, LARGE = 11.0, 9.0, 14.0
CELL = 22.0  # width of a column of a triangle
LEADING = 1.75  # line height, in sizes
RIGHT_TO_LEFT = ("R", "AL")
POINTS, FINE = 72, 10  # an inch; measured in dots of a tenth of a point, since the edges of letters are put on dots
SHARP = 200  # dots per inch of a PNG


def draw_lines(lines: Sequence[tuple[str, Marked]], title: str, path: Path) -> None:
    """Draws coloured lines, each with its name above, into a file of the kind that its name says.

    Called by `faithbench.tables.figure.write_figure("faithbench.showing.drawing:draw_lines", path, lines, title)`.

    Args:
        lines: names and lines.
        title: of the picture.
        path: of the file.
    """
    draw_sheets([Sheet(title, tuple(Row(name, (line,)) for name, line in lines))], path)


def draw_sheets(sheets: Sequence[Sheet], path: Path) -> None:
    """Draws explained texts below each other; long lines are folded."""
    with mpl.rc_context({**STYLE, "font.family": _families()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s)Glyph .* missing")  # drawn as boxes, as viewers do
        drawing = _Drawing()
        for sheet in sheets:
            drawing.sheet(sheet)
        drawing.figure().savefig(path, dpi=SHARP, metadata=NO_DATE.get(path.suffix.lower()))


def _families() -> list[str]:
    """The font of matplotlib, and behind it those that are installed of some with more scripts."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in installed)]


@dataclass(frozen=True)
class _Piece:
    """What is drawn without a break.

    Args:
        text: a word, or blanks.
        width: in points.
        mark: what it is of; None for plain words.
        ends: whether the piece ends its mark, and the sign stands behind it.
        sign: width of the sign, in points.
    """

    text: str
    width: float
    mark: Mark | None = None
    ends: bool = False
    sign: float = 0.0


class _Drawing:
    """Places text from the top down, and remembers how to draw it once the height is known."""

    def __init__(self) -> None:
        self._measuring = FigureCanvasAgg(Figure(dpi=POINTS * FINE)).get_renderer()
        self._fonts: dict[tuple[float, str], Any] = {}
        self._drawn = list[Callable[[Figure, float], None]]()
        self.bottom = MARGIN

    def sheet(self, sheet: Sheet) -> None:
        """Adds an explained text."""
        if self._drawn:
            self.bottom += 2 * LARGE
        self._words(sheet.title, LARGE, "bold")
        for sentence in sheet.about:
            self._words(sentence, SMALL)
        for row in sheet.rows:
            self.bottom += SIZE / 2
            self._words(f"{row.head}  ({row.scale})" if row.scale else row.head, SIZE, "bold")
            for line in row.lines:
                self._line(folded(line))
            if row.triangle is not None:
                self._triangle(row.triangle.folded())
            for stack in row.stacks:
                self._stack(stack)
            for sentence in row.said:
                self._words(sentence, SMALL)
        if sheet.legend:
            self.bottom += SIZE / 2
            self._words(sheet.legend, SMALL)

    def figure(self) -> Figure:
        """All that was added."""
        height = self.bottom + MARGIN
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, facecolor="white")
        for draw in self._drawn:
            draw(figure, height)
        return figure

    def _words(self, text: str, size: float, weight: str = "normal") -> None:
        pieces = [_Piece(part, self._width(part, size, weight)) for part in _parts(visible(text))]
        for row in _rows(pieces):
            self._row(row, size, weight, _is_reversed(text))

    def _line(self, marked: Marked) -> None:
        pieces = [piece for mark in marked.marks for piece in self._pieces(mark)]
        for row in _rows(pieces):
            self._row(row, SIZE, "normal", _is_reversed(marked.text))

    def _triangle(self, triangle: Triangle) -> None:
        """Its columns' names from the bottom up; in blocks where they are too many."""
        heads = {id(row): visible(row.head) for row in triangle.rows}
        left = MARGIN + max((self._width(head, SMALL) for head in heads.values()), default=0.0) + SMALL
        names = [visible(cut(name)) for name in triangle.columns]
        for columns, rows in triangle.blocks([CELL] * len(names), WIDTH - MARGIN - left):
            tall = max(self._width(names[column], SMALL) for column in columns)
            self.bottom += tall + SMALL
            for place, column in enumerate(columns):
                middle = left + (place + 0.5) * CELL
                self._drawn.append(_upright(names[column], middle, self.bottom, column >= triangle.given))
            for row in rows:
                self.bottom += SIZE * LEADING
                base = self.bottom - SIZE * 0.45
                piece = _Piece(heads[id(row)], 0.0)
                self._drawn.append(_drawer(piece, MARGIN, base, SMALL, "normal", False))
                for place, cell in enumerate(row.cells[columns.start : columns.stop]):
                    sign = self._width(cell.text, SMALL)
                    self._drawn.append(_cell_drawer(cell, left + place * CELL, base, sign))
            self.bottom += SIZE / 2

    def _stack(self, stack: Stack) -> None:
        """A window in blocks of tokens that fit, with a line of signs below for the neuron and each describer."""
        self._words(stack.head, SMALL)
        lines = [(visible(cut(name, 2 * NAME)), marks) for name, marks in stack.below]
        left = MARGIN + max(self._width(name, SMALL) for name, _ in lines) + SMALL
        texts = [visible(mark.text) for mark in stack.tokens]
        sizes = [min(max(self._width(text, SIZE) + 3, CELL), WIDTH - MARGIN - left) for text in texts]
        for columns in blocks(sizes, WIDTH - MARGIN - left):
            starts = [left + sum(sizes[columns.start : c]) for c in columns]
            self.bottom += SIZE * LEADING
            for c, start in zip(columns, starts, strict=True):
                piece = _Piece(texts[c], sizes[c] - 1, stack.tokens[c])
                self._drawn.append(_drawer(piece, start, self.bottom - SIZE * 0.45, SIZE, "normal", False))
            for name, marks in ((name, marks) for name, marks in lines if any(marks[c].sign for c in columns)):
                self.bottom += SIZE * LEADING
                base = self.bottom - SIZE * 0.45
                self._drawn.append(_drawer(_Piece(name, 0.0), MARGIN, base, SMALL, "normal", False))
                for c, start in zip(columns, starts, strict=True):
                    cell = replace(marks[c], text=marks[c].suffix)
                    sign = self._width(cell.text, SMALL)
                    self._drawn.append(_cell_drawer(cell, start, base, sign, sizes[c]))
            self.bottom += SIZE / 2

    def _pieces(self, mark: Mark) -> Iterator[_Piece]:
        scored = not math.isnan(mark.score)
        text = f" [not read: {mark.text.strip()}]" if mark.unread else mark.text
        parts = list(_parts(visible(text, keep="\n")))
        for number, part in enumerate(parts, 1):
            ends = scored and number == len(parts)
            sign = self._width(mark.suffix, SMALL) if ends else 0.0
            yield _Piece(part, self._width(part, SIZE) + sign, mark if scored or mark.unread else None, ends, sign)

    def _row(self, pieces: Sequence[_Piece], size: float, weight: str, reverse: bool) -> None:
        """A row of pieces, from the left, or from the right."""
        self.bottom += size * LEADING
        at, base = (WIDTH - MARGIN if reverse else MARGIN), self.bottom - size * 0.45
        for piece in pieces:
            left = at - piece.width if reverse else at
            self._drawn.append(_drawer(piece, left, base, size, weight, reverse))
            at = left if reverse else at + piece.width

    def _width(self, text: str, size: float, weight: str = "normal") -> float:
        if not text.strip("\n"):
            return 0.0
        font = font_manager.FontProperties(family=mpl.rcParams["font.family"], size=size, weight=weight)
        key = (size, weight)
        dots = self._measuring.get_text_width_height_descent(text, self._fonts.setdefault(key, font), False)[0]
        return float(dots) / FINE


def _drawer(
    piece: _Piece, left: float, base: float, size: float, weight: str, reverse: bool
) -> Callable[[Figure, float], None]:
    """Draws a piece at a place, counted from the top; the sign stands where the word ends."""

    def draw(figure: Figure, height: float) -> None:
        text = piece.text.replace("\n", " ")
        sign = piece.mark.suffix if piece.mark is not None and piece.ends else ""
        if piece.mark is not None and not piece.mark.unread and text.strip():
            _decorate(figure, piece, piece.mark, left, base, height)
        if text.strip():
            style = "italic" if piece.mark is not None and piece.mark.unread else "normal"
            _write(figure, text, left + piece.sign * reverse, base, height, fontsize=size, weight=weight, style=style)
        if sign:
            own = 0 if reverse else piece.width - piece.sign
            _write(figure, sign, left + own, base - size * 0.3, height, fontsize=SMALL)

    return draw


def _upright(name: str, middle: float, bottom: float, italic: bool) -> Callable[[Figure, float], None]:
    """Draws the name of a column from the bottom up."""

    def draw(figure: Figure, height: float) -> None:
        style = "italic" if italic else "normal"
        where: dict[str, Any] = {
            "rotation": 90,
            "va": "bottom",
            "ha": "center",
            "fontsize": SMALL,
            "style": style,
            "color": "black",
        }
        figure.text(middle / WIDTH, 1 - bottom / height, name, **where)

    return draw


def _cell_drawer(
    cell: Mark, left: float, base: float, sign: float, width: float = CELL
) -> Callable[[Figure, float], None]:
    """Draws a cell of a triangle, or of a window: its tint, and its sign in the middle."""

    def draw(figure: Figure, height: float) -> None:
        if math.isnan(cell.score):
            return
        _decorate(figure, _Piece("", width - 1), cell, left, base, height)
        _write(figure, cell.text, left + (width - 1 - sign) / 2, base, height, fontsize=SMALL)

    return draw


def _write(figure: Figure, text: str, left: float, base: float, height: float, **style: Any) -> None:
    figure.text(left / WIDTH, 1 - base / height, text, color="black", va="baseline", ha="left", **style)


def _decorate(figure: Figure, piece: _Piece, mark: Mark, left: float, base: float, height: float) -> None:
    """The tint, the line below, the frame."""
    top, low = base - SIZE * 1.05, base + SIZE * 0.35
    box: dict[str, Any] = {"transform": figure.transFigure, "fill": False, "linewidth": 0}
    corner, size = (left / WIDTH, 1 - low / height), (piece.width / WIDTH, (low - top) / height)
    if mark.sign:
        tint = (FOR if mark.sign > 0 else AGAINST)[mark.strength - 1]
        figure.add_artist(Rectangle(corner, *size, **{**box, "fill": True, "facecolor": tint}))
    if mark.strength > LEVELS / 2:
        line: dict[str, Any] = {"linestyle": "-" if mark.sign > 0 else ":", "linewidth": 1.2, "color": "black"}
        ends = [left / WIDTH, (left + piece.width) / WIDTH]
        figure.add_artist(Line2D(ends, [1 - low / height] * 2, transform=figure.transFigure, **line))
    if mark.framed:
        figure.add_artist(Rectangle(corner, *size, **{**box, "linewidth": 1.2, "edgecolor": "black"}))


def _parts(text: str) -> Iterator[str]:
    """Where a text may be broken: words and blanks; single letters where a word is long or wide."""
    word = ""
    for letter in text:
        wide = unicodedata.east_asian_width(letter) in "WF"
        if letter.isspace() or wide or len(word) >= 40:
            if word:
                yield word
            word = ""
        if letter.isspace() or wide:
            yield letter
        else:
            word += letter
    if word:
        yield word


def _rows(pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """The pieces in rows as wide as the picture; a blank at a row's beginning is left out."""
    row, width = list[_Piece](), 0.0
    for piece in pieces:
        if piece.text == "\n" or (row and width + piece.width > WIDTH - 2 * MARGIN):
            yield row
            row, width = [], 0.0
        if row or piece.text.strip():
            row.append(piece)
            width += piece.width
    if row:
        yield row


def _is_reversed(text: str) -> bool:
    """Whether the first letter that has a direction is written from right to left."""
    for letter in text:
        direction = unicodedata.bidirectional(letter)
        if direction in RIGHT_TO_LEFT:
            return True
        if direction == "L":
            return False
    return False
