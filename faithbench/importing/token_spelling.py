"""What tokens spell, letter by letter, whichever tokenizer cut them, and where two tokenizations have boundaries."""

import codecs
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

UNKNOWN = frozenset(("[UNK]", "<unk>"))  # tokens that stand for anything
Ends = Float[np.ndarray, "tokens"]
Fold = Callable[[str], str]

_KEPT = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that byte-level tokenizers write as they are
_MOVED = [byte for byte in range(256) if byte not in _KEPT]
BYTES = {chr(byte): byte for byte in _KEPT} | {chr(256 + i): byte for i, byte in enumerate(_MOVED)}


@dataclass(frozen=True)
class Spelling:
    """Letters without white space, and where in them each token ends; one that is unknown has none of its own."""

    letters: str
    ends: Ends
    unknown: Bool[np.ndarray, "tokens"]

    def part(self, first: int, last: int) -> tuple[str, Ends]:
        """Letters of the tokens [first, last), and where in those they end."""
        start = self.ends[first - 1] if first else 0.0
        return self.letters[round(start) : round(self.ends[last - 1])], self.ends[first:last] - start


def spellings(tokens: Sequence[str], fold: Fold, mark: str = "") -> Iterator[Spelling]:
    """What tokens spell as they are written, without the marks of word pieces, and as byte-level tokens.

    Args:
        tokens: of one side.
        fold: what a letter counts as.
        mark: a letter for unknown tokens; "" if they are to stand for anything.
    """
    seen = []
    unknown = np.array([not mark and token in UNKNOWN for token in tokens], dtype=bool)
    for read in (_written, _unmarked, _byte_level):
        parts = [mark.encode() if token in UNKNOWN else read(token) for token in tokens]
        if None in parts or parts in seen:
            continue
        seen.append(parts)
        data = [part for part in parts if part is not None]
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            text = decoder.decode(b"".join(data))
        except UnicodeDecodeError:
            continue
        folded = [fold(letter) for letter in text]
        rest = len(decoder.getstate()[0])  # bytes of a letter that a cut went through: they count as half of one
        widths = [*(len(letter.encode()) for letter in text), *([rest] if rest else [])]
        lengths = [*map(len, folded), *([0.5] if rest else [])]
        ends = np.interp(np.cumsum([len(part) for part in data]), np.cumsum([0, *widths]), np.cumsum([0.0, *lengths]))
        yield Spelling("".join(folded), ends, unknown)


def common_ends(own: Spelling, other: Spelling, cut: bool) -> tuple[Ends, Ends] | None:
    """Where in one common spelling the tokens of both sides end; None if they spell different things.

    Where one side has unknown tokens, these stand for what the other has between the tokens that are known.

    Args:
        own: the model's.
        other: the other side's.
        cut: whether the other may go on where the model's ends.
    """
    if own.unknown.any() and not other.unknown.any():
        return _joined(wildcard_ends(own, other, cut), other.ends)
    if other.unknown.any() and not own.unknown.any() and not cut:
        return _joined(own.ends, wildcard_ends(other, own, False))
    same = other.letters == own.letters or (cut and other.letters.startswith(own.letters))
    return (own.ends, other.ends) if same and own.ends.any() and not own.unknown.any() else None


def wildcard_ends(pattern: Spelling, whole: Spelling, cut: bool) -> Ends | None:
    """Where in `whole` the tokens of `pattern` end, if its unknown tokens stand for a letter or more each.

    Args:
        pattern: with unknown tokens.
        whole: without.
        cut: whether `whole` may go on where the pattern ends.
    """
    ends = np.zeros(len(pattern.ends))
    at, first, count = 0, 0, len(ends)
    while first < count:
        known = _run_end(pattern.unknown, first)  # [first, known) unknown, [known, last) known
        last = _run_end(~pattern.unknown, known)
        letters, inside = pattern.part(known, last) if last > known else ("", np.zeros(0))
        least = at + known - first
        place = at if known == first else _place(whole, letters, least, last == count and not cut)
        if place is None or place < least or not whole.letters.startswith(letters, place):
            return None
        divided = _divided(whole.ends, at, place, known - first)
        if divided is None or (cut and known == count and known > first + 1):  # how far each goes, nobody can tell
            return None
        ends[first:known] = divided
        ends[known:last] = place + inside
        at, first = place + len(letters), last
    return ends if cut or at == len(whole.letters) else None


def plain(letter: str) -> str:
    """A letter as it is; no white space."""
    return "" if letter.isspace() else letter


@cache
def folded(letter: str) -> str:
    """A letter without case, accents and width; nothing for white space and control characters."""
    if _blank(letter) or _is_accent(letter):
        return ""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", letter).casefold())
    return "".join(part for part in parts if not _blank(part) and not _is_accent(part)) or letter


def _blank(letter: str) -> bool:
    """What tokenizers drop: white space, control characters, and the mark of what could not be read."""
    return letter.isspace() or unicodedata.category(letter).startswith("C") or letter == "\ufffd"


def _is_accent(letter: str) -> bool:
    return unicodedata.category(letter) == "Mn"


def _written(token: str) -> bytes | None:
    return token.encode(errors="replace")


def _unmarked(token: str) -> bytes | None:
    bare = token[2:] if token.startswith("##") and len(token) > 2 else token.removesuffix("</w>")
    return bare.replace("▁", " ").encode(errors="replace")


def _byte_level(token: str) -> bytes | None:
    try:
        return bytes(BYTES[letter] for letter in token)
    except KeyError:
        return None


def _joined(own: Ends | None, other: Ends | None) -> tuple[Ends, Ends] | None:
    return None if own is None or other is None else (own, other)


def _run_end(flags: Bool[np.ndarray, "tokens"], first: int) -> int:
    """Where the run of set flags that begins at `first` ends."""
    rest = np.flatnonzero(~flags[first:])
    return first + int(rest[0]) if len(rest) else len(flags)


def _place(whole: Spelling, letters: str, least: int, at_end: bool) -> int | None:
    """Where letters that follow unknown tokens begin: at the first token boundary they can, failing that anywhere."""
    if at_end:
        return len(whole.letters) - len(letters)
    if not letters:  # nothing known follows, and the other side goes on: the unknown tokens end with its token
        return next((round(end) for end in whole.ends if end >= least), None)
    boundaries = {0.0, *whole.ends}
    found: list[int] = []
    start = whole.letters.find(letters, least)
    while start >= 0 and not (found and found[-1] in boundaries):
        found.append(start)
        start = whole.letters.find(letters, start + 1)
    return next((place for place in found if place in boundaries), found[0] if found else None)


def _divided(ends: Ends, start: int, end: int, count: int) -> Ends | None:
    """Ends of so many unknown tokens in [start, end), where only one division is possible; None if several are."""
    inside = np.unique(ends[(ends > start) & (ends < end)])
    if len(inside) == count - 1:  # each of the other side's tokens has one at least
        return np.array([*inside, end])
    return np.linspace(start, end, count + 1)[1:] if count < 2 or not len(inside) else None
