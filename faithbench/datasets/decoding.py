"""Bytes as text: UTF-8, or what a byte order mark or the user says. Nothing is guessed silently."""

import codecs

from faithbench.errors import UserError

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins as UTF-16 does, and so is asked first
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
ZIP = b"PK\x03\x04"  # how Excel's files begin
MANY_ZEROS = 0.1  # share of bytes 0 from which a text is taken for UTF-16


def decoded(source: str, content: bytes, encoding: str = "") -> tuple[str, tuple[str, ...]]:
    """The text, and what had to be assumed.

    Args:
        source: the file's path, for messages.
        content: all bytes.
        encoding: as Python names it; empty: UTF-8, unless a byte order mark says another.

    Raises:
        UserError: the bytes are not of that encoding, or there is no such one.
    """
    if content.startswith(ZIP):
        raise UserError(f"{source} is an Excel or zip file whatever its name; save the table as CSV in UTF-8.")
    marked = next((name for mark, name in MARKS.items() if content.startswith(mark)), "")
    chosen = encoding or marked or "utf-8"
    try:
        text = content.decode(chosen).removeprefix("\ufeff")
    except LookupError as error:
        raise UserError(f"encoding={encoding!r} is not known; use utf-8, utf-16, latin-1 or cp1252, say.") from error
    except UnicodeError as error:
        raise _refusal(source, content, chosen, error) from error
    except ValueError as error:
        raise UserError(f"encoding={encoding!r} is not known; {error}.") from error
    if not encoding and not marked and text.count("\0") > MANY_ZEROS * len(text):
        zero_first = content[:1] == b"\0"
        raise _refusal(source, content, chosen, UnicodeError(), "utf-16-be" if zero_first else "utf-16-le")
    said = f"{source} is read as {chosen.upper()}, as its byte order mark says"
    return text, (said,) if marked and not encoding and chosen != "utf-8-sig" else ()


def _refusal(source: str, content: bytes, tried: str, error: UnicodeError, likely: str = "") -> UserError:
    start = getattr(error, "start", 0)
    line = content.count(b"\n", 0, start) + 1
    if tried != "utf-8" and not likely:
        return UserError(f"{source} cannot be read as {tried.upper()}: line {line} is not in that encoding.")
    named = likely or _likely(content)
    return UserError(
        f"{source} cannot be read as UTF-8: line {line} is not in that encoding (it may be {named}); say which it is "
        f"with encoding, as in file(path={source!r}, encoding={named}), or convert the file: save it as UTF-8."
    )


def _likely(content: bytes) -> str:
    """Windows' Western encoding where the bytes that it alone uses occur."""
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252" if any(0x80 <= byte < 0xA0 for byte in content) else "latin-1"
