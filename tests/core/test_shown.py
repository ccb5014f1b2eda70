"""Words from outside are shown as they are, and what would be obeyed or not be seen as an escape."""

import shlex
import subprocess
import unicodedata

import pytest
from hostile_words import OBEYED, TEXTS, WORDS
from hypothesis import given

from faithbench.shown import LONGEST, UNSEEN, fitting, path_word, sentence, shell_words, visible

KEPT = (
    "plain",
    "e\u0301",
    "\u4e2d\u6587",
    "👩\u200d💻",
    "❤\ufe0f",
    "1\ufe0f\u20e3",
    "نمی\u200cخواهم",
    "ŵ\u0323",
    "a\\b",
)


@pytest.mark.parametrize("text", KEPT)
def test_what_people_write_stays(text):
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("\x9b", r"\x9b"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\u202e\u2069", r"\u202e\u2069"),
        ("a\u200db\u200c", r"a\u200db\u200c"),
        ("admin\ufe0f", r"admin\ufe0f"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_unseen_is_an_escape(text, shown):
    assert visible(text) == shown


@given(TEXTS)
def test_nothing_that_is_shown_is_obeyed_and_nothing_else_changes(text):
    shown = visible(text)
    assert not OBEYED.search(shown)
    assert "\n" not in shown
    assert visible(shown) == shown
    assert UNSEEN.search(text) or shown == text
    assert visible(text, keep="\n").count("\n") == text.count("\n")


def test_no_control_and_no_direction_of_unicode_is_forgotten():
    prepended = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}  # signs around digits
    for code in set(range(0x110000)) - prepended:
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert visible(chr(code)) != chr(code), hex(code)


@given(TEXTS)
def test_a_sentence_is_one_line_with_its_beginning_and_its_end(text):
    told = sentence(f"column {text * 500} is not allowed; use label.")
    assert len(told) <= LONGEST
    assert told.splitlines() == [told]
    assert told.startswith("column ")
    assert told.endswith("use label.")


def test_what_a_sentence_says_of_an_endless_word_is_kept():
    told = sentence(f"{'m' * 5000!r} is not a known model; known: {', '.join(f'model-{i}' for i in range(20))}.")
    assert "is not a known model; known: model-0" in told


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("1 ± 2 × 3 … “q” ≥ τ", "ascii", '1 +/- 2 x 3 ... "q" >= tau'),
        ("┌─┬│└", "ascii", "+-+|+"),
        ("é 中", "ascii", r"\xe9 \u4e2d"),
        ("± é 中", "cp1252", r"± é \u4e2d"),
        ("± 中 \udc80", "utf-8", r"± 中 \udc80"),
        ("±", None, "±"),
        ("±", "no-such-encoding", "+/-"),
    ],
)
def test_a_text_fits_what_a_terminal_has(text, encoding, shown):
    assert fitting(text, encoding) == shown


@given(TEXTS)
def test_every_text_fits_every_terminal(text):
    for encoding in ("ascii", "cp1252", "latin-1", "utf-8", "cp437", "shift_jis"):
        shown = fitting(text, encoding)
        assert fitting(shown, encoding) == shown
        shown.encode(encoding)


@pytest.mark.parametrize("name", WORDS)
def test_a_command_to_copy_gives_a_shell_the_words_that_were_meant(name):
    words = [WORDS[name], "a b", "$(touch x)", "~", "it's", "a\\x41'\x1b"]
    if name == "half":
        words[0] = "a\udc9b31mb"
    command = shell_words(words)
    assert visible(command) == command
    found = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert found.stdout.decode(errors="surrogateescape").split("\0")[:-1] == words


def test_usual_words_are_quoted_as_usual_and_a_path_is_no_option():
    assert shell_words(["a", "b(c=1)"]) == shlex.join(["a", "b(c=1)"])
    assert path_word("-rf") == "./-rf"
    assert path_word("runs/x") == "runs/x"
