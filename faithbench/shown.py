"""Words from outside (paths, names, columns, records, errors), made fit to be shown: to people and to a shell.

What a terminal would obey, and what cannot be seen, is escaped as Python would write it. The tables of characters are
written out here, so that no version of Unicode changes what is shown.
"""

import codecs
import re
import shlex
from collections.abc import Iterable, Sequence

LONGEST = 390  # characters of a sentence, with the name of the program in front
WORD = 100  # of a word or quotation in a sentence that is longer
MOST = 20_000  # of a message that are looked at
GAP = " ... "
BREAK = re.compile("[\r\n]")
ENDLESS = re.compile(rf"'[^']{{{WORD},}}'|\"[^\"]{{{WORD},}}\"|\S{{{WORD},}}")
IN_PLAIN = "fitting"  # the error handler that spells characters which an encoding lacks

UNSEEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # controls: line breaks, the escape, and the C1 codes that stand for escapes
    "\u2028\u2029"  # line breaks
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions of writing
    "\u00ad\u034f\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # without a width
    "\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # letters that are blank
    "\ufdd0-\ufdef\ufffe\uffff"  # no characters
    "\ud800-\udfff"  # halves of a character: in paths, bytes that are not in the encoding of the file system
    "\U00013430-\U00013455\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # formats, tags
    "]"
    # joiners belong to scripts and emoji; anywhere else they are unseen
    "|[\u200c\u200d](?![^\x00-\x7f])|(?<![^\x00-\x7f])[\u200c\u200d]"
    "|(?<![^\x00-\x7f])[\ufe00-\ufe0f](?!\u20e3)"  # and so do variations, but for keycaps
)
PLAIN = {
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\u2500\u2501\u2504\u2505\u2508\u2509\u254c\u254d\u2574\u2576", "-"),
    **dict.fromkeys("\u2502\u2503\u2506\u2507\u250a\u250b\u254e\u254f\u2551", "|"),
    **dict.fromkeys("\u2018\u2019\u201a\u2032", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u2033", '"'),
    **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
    "\u2014": "--",
    "\u2550": "=",
    "\u2026": "...",
    "\u2022": "*",
    "\u00b7": ".",
    "\u00b1": "+/-",
    "\u00d7": "x",
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2192": "->",
    "\u00b2": "^2",
    "\u221e": "inf",
    "\u03c4": "tau",
}
CORNERS = range(0x250C, 0x2580)  # of boxes: what is no line of them


def visible(text: str, keep: str = "") -> str:
    r"""A text with what cannot be seen as an escape: `\x1b`, `\n`, `\u202e`. Combining marks and emoji stay.

    Args:
        text: from anywhere.
        keep: characters that are left as they are, such as line breaks.
    """
    return UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def fitting(text: str, encoding: str | None) -> str:
    """A text in characters that an encoding has: `+/-` where it lacks ±, an escape where there is no such spelling."""
    try:
        return text.encode(encoding or "utf-8", IN_PLAIN).decode(encoding or "utf-8")
    except LookupError:  # an encoding that Python does not know
        return text.encode("ascii", IN_PLAIN).decode("ascii")


def is_unicode(text: str) -> bool:
    """Whether a text can be kept in a file: not one that holds bytes of a path that are in no encoding."""
    return not re.search("[\ud800-\udfff]", text)


def sentence(text: object, longest: int = LONGEST) -> str:
    """A message on one line, shortened if need be: first what it quotes and words without an end, then its middle.

    What is wrong stands first, and the cure last.
    """
    words = str(text)
    if len(words) > MOST:
        words = f"{words[: MOST // 2]} … {words[-MOST // 2 :]}"
    line = visible(re.sub(r"\s+", lambda gap: " " if BREAK.search(gap[0]) else gap[0], words.strip()))
    return (
        line
        if len(line) <= longest
        else _shortened(ENDLESS.sub(lambda found: _shortened(found[0], WORD), line), longest)
    )


def shell_words(words: Iterable[str]) -> str:
    """A command to be copied into a shell, each word quoted as far as it needs to be."""
    return " ".join(map(_quoted, words))


def path_word(path: object) -> str:
    """A path that no command takes for an option."""
    text = str(path)
    return f"./{text}" if text.startswith("-") else text


def counted(number: int, one: str, several: str = "") -> str:
    """A number with what is counted: `1 text`, `1,200 texts`; `several` where an s is not enough."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def listed(names: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    end = longest // 3
    return f"{text[: longest - end - len(GAP)]}{GAP}{text[-end:]}"


def _quoted(word: str) -> str:
    if not UNSEEN.search(word):
        return shlex.quote(word)
    inside = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{UNSEEN.sub(lambda found: _in_shell(found[0]), inside)}'"


def _in_shell(sign: str) -> str:
    """A character between `$'` and `'`; a byte of a path that is in no encoding, as that byte."""
    code, byte = ord(sign), ord(sign) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return f"\\u{code:04x}" if 0x80 <= code <= 0xFF else _escaped(sign)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape", "surrogatepass").decode("ascii")


def _spelled(sign: str) -> str:
    if sign in PLAIN:
        return PLAIN[sign]
    return "+" if ord(sign) in CORNERS else sign.encode("ascii", "backslashreplace").decode("ascii")


def _in_plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelled, error.object[error.start : error.end])), error.end


codecs.register_error(IN_PLAIN, _in_plain)
