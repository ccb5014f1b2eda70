"""Values that break things, and how they get into what was sound: a document, a text, the bytes of a file."""

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

PLANTED = "planted_by_hostile_tests"  # a module that nobody may import
WORDS = (
    *("", " ", "\t", "\n", "x", "0", "-1", "nan", "inf", "1e999", "None", "true", "é", "\u202e", "ﬁ", "😀", "\ud800"),
    *("\x00", "\x1b[31mred", "\x1b]0;title\x07", "\r\nnew line", "\x9b5n", "\x7f", "[red]x[/red]", "[/]", "[link=x]"),
    *("=1+1", "@cmd", "+1", "-1|2", "| a | b |", "`x`", "<script>", "../../etc/passwd", "/etc/passwd", "~", ".", ".."),
    *("a" * 300, "a" * 20_000, "[" * 300, "(" * 300, "{backbone}", "%s", "{0}", "${HOME}", "C:\\x", "a/b@c", "con"),
    *(f"callable({PLANTED}:f)", PLANTED, f"{PLANTED}:f", "words(" * 30 + "lime" + ")" * 30, "lime(seed=9**9**9)"),
    *("planted", "conv-tiny", "2024-01-01", "1.5", "softmax", "[1, 2]", '{"a": 1}', "'", '"', "\\", "#", ";", ","),
)
NUMBERS = (0, 1, -1, 2, 0.5, -0.0, 1e308, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 10**400, 10**5000)
ODD = (float("nan"), float("inf"), float("-inf"))
EMPTY: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], [{}], {"": ""}, [[[]]])


def value(rng: random.Random) -> Any:
    """A value of any kind that JSON knows."""
    if rng.random() < 0.1:
        return nested(rng)
    return copy.copy(rng.choice(rng.choice((WORDS, NUMBERS, ODD, EMPTY))))


def nested(rng: random.Random) -> Any:
    """Lists or objects inside each other, a few or very many."""
    made: Any = rng.choice((1, "x", None))
    for _ in range(rng.choice((2, 5, 90, 400))):
        made = [made] if rng.random() < 0.5 else {"a": made}
    return made


def mutated(rng: random.Random, document: Any, times: int | None = None) -> Any:
    """A document that was sound, with something nasty in one to three places; the old one stays as it was."""
    made = copy.deepcopy(document)
    for _ in range(times or rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(made))
        if not places:
            return value(rng)
        holder, key = rng.choice(places)
        rng.choice(CHANGES)(rng, holder, key)
    return value(rng) if rng.random() < 0.03 else made


def _places(document: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Everything in a document, as what holds it and where."""
    if depth > 8 or not isinstance(document, (dict, list)):
        return
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        yield document, key
        yield from _places(document[key], depth + 1)


def _replace(rng: random.Random, holder: Any, key: Any) -> None:
    holder[key] = value(rng)


def _remove(rng: random.Random, holder: Any, key: Any) -> None:
    del holder[key]


def _rename(rng: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[rng.choice((*WORDS, str(key).upper()))] = holder.pop(key)


def _add(rng: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[rng.choice(WORDS)] = value(rng)
    else:
        holder.insert(0, value(rng))


def _wrap(rng: random.Random, holder: Any, key: Any) -> None:
    holder[key] = rng.choice(([holder[key]], {"a": holder[key]}, str(holder[key]), [holder[key]] * 3))


def _spoil(rng: random.Random, holder: Any, key: Any) -> None:
    if isinstance(holder[key], str):
        at = rng.randrange(len(holder[key]) + 1)
        holder[key] = holder[key][:at] + rng.choice(WORDS) + holder[key][at:]
    else:
        holder[key] = value(rng)


CHANGES: tuple[Callable[[random.Random, Any, Any], None], ...] = (
    _replace,
    _replace,
    _remove,
    _rename,
    _add,
    _wrap,
    _spoil,
)


def spoiled(rng: random.Random, text: str) -> str:
    """A text with something put in, left out or said twice."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 3, 10)))
        put = rng.choice((rng.choice(WORDS), "", text[start:end] * 2, rng.choice("()[]{},=:'\"\\#\n\t\x00")))
        text = text[:start] + put + text[end:]
    return text


def torn(rng: random.Random, data: bytes) -> bytes:
    """The bytes of a file that was cut off, overwritten or written in another encoding."""
    at = rng.randrange(len(data) + 1)
    bits = bytes([data[at % len(data)] ^ (1 << rng.randrange(8))]) if data else b"\xff"
    return rng.choice(
        (
            lambda: data[:at],
            lambda: data[:at],
            lambda: data[at:],
            lambda: data[:at] + bits + data[at + 1 :],
            lambda: data[:at] + rng.randbytes(rng.choice((1, 4, 200))) + data[at:],
            lambda: data[:at] + b"\x00" * rng.choice((1, 50)) + data[at:],
            lambda: b"\xff\xfe" + data,
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data.decode("utf-8", "replace").encode("utf-16"),
            lambda: data + data,
            lambda: b"",
            lambda: b"PAR1",
            lambda: rng.randbytes(300),
        )
    )()
