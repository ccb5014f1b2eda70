"""Small files from outside: what is read of them, and the sentence for what is not."""

import os
import socket
from pathlib import Path

import pytest
from typing_extensions import Required, TypedDict

from faithbench.errors import UserError
from faithbench.schemas import MAX_BYTES_VARIABLE, MissingFileError, check, check_file, read_bytes, read_json, read_toml


class Entry(TypedDict, total=False):
    fingerprint: Required[str]
    texts: int
    accuracy: float | None
    names: list[str]


class Kind(TypedDict, total=False):
    models: dict[str, Entry]


def refused(path: Path, content: bytes) -> str:
    """The sentence for a file of this content, which begins with its name."""
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_toml(path) if path.suffix == ".toml" else read_json(path, Kind)
    message = str(error.value)
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 300
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_what_the_schema_says_is_read_and_what_it_does_not_know_stays(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"models": {"m": {"fingerprint": "f", "texts": 3, "accuracy": 1}}, "more": [1]}')
    found = read_json(path, Kind)
    assert found == {"models": {"m": {"fingerprint": "f", "texts": 3, "accuracy": 1}}, "more": [1]}
    assert isinstance(found["models"]["m"]["accuracy"], int)  # nothing is converted


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ('{"fingerprint": 5}', "fingerprint is 5, which is no text."),
        ("{}", "fingerprint is missing."),
        ("[]", " is [], which is no table."),
        ('{"fingerprint": "f", "texts": 2.5}', "texts is 2.5, which is no whole number."),
        ('{"fingerprint": "f", "texts": true}', "texts is True, which is no whole number."),
        ('{"fingerprint": "f", "accuracy": "high"}', "accuracy is 'high', which is no number."),
        ('{"fingerprint": "f", "names": ["a", 3]}', "names[1] is 3, which is no text."),
        ('{"fingerprint": "f", "names": "abc"}', "names is 'abc', which is no list."),
    ],
)
def test_the_sentence_names_file_and_field(tmp_path: Path, entry: str, sentence: str):
    said = refused(tmp_path / "a.json", f'{{"models": {{"bcos-tiny": {entry}}}}}'.encode())
    assert said.startswith(": models.bcos-tiny")
    assert said.endswith(sentence)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "digits"),
        (b'{"a": 1, "a": 2}', "'a' is named twice"),
        (b'{"a": NaN}', "nan, which is no number"),
        (b'{"a": 1e999}', "inf, which is no number"),
        (b'{"a": 9999999999999999999}', "too large"),
        (b'{"a": "\\ud800"}', "half a character"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": ' * 70 + b"1" + b"}" * 70, "inside of each other"),
    ],
)
def test_json_that_others_could_not_hold_is_refused(tmp_path: Path, content: bytes, words: str):
    assert words in refused(tmp_path / "a.json", content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"a = 0x" + b"f" * 100_000, "too large"),
        (b"a = " + b"9" * 5000, "digits"),
        (b"a." * 300_000 + b"a = 1", "inside of each other"),  # whose parser would take all memory
        (b'x = 1 # "\n' + b'"a" . ' * 300_000 + b"a = 1", "inside of each other"),
        (b"a = 1\na = 2", "not valid TOML"),
    ],
)
def test_toml_that_would_take_the_memory_is_refused(tmp_path: Path, content: bytes, words: str):
    assert words in refused(tmp_path / "a.toml", content)


def test_dots_in_texts_and_comments_are_no_nesting(tmp_path: Path):
    (tmp_path / "a.toml").write_text(f'a = "{"b." * 100}" # {"c." * 100}\nb = """\n{"d." * 100}"""\n')
    assert read_toml(tmp_path / "a.toml")["a"] == "b." * 100


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a socket", "a device"])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, kind: str, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("a.json")
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        path = Path("/dev/zero")
    with pytest.raises(UserError, match=f"{path} cannot be read: it is no regular file but {kind}"):
        read_json(path, Kind)


def test_a_file_that_is_not_there_is_told_from_one_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(MissingFileError, match=r"none cannot be read: it does not exist\."):
        check_file(tmp_path / "none")
    with pytest.raises(UserError, match="symbolic links"):
        check_file(tmp_path / "loop")
    with pytest.raises(UserError, match="null"):
        check_file(tmp_path / "a\0b")


def test_the_limit_can_be_raised_and_lowered(tmp_path: Path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 11)
    with pytest.raises(UserError, match=rf"11 bytes, more than 10; {MAX_BYTES_VARIABLE} raises the limit\."):
        read_bytes(path, 10)
    monkeypatch.setenv(MAX_BYTES_VARIABLE, "11")
    assert read_bytes(path, 10) == b"x" * 11
    for wrong in ("0", "-1", "many", "9" * 30):
        monkeypatch.setenv(MAX_BYTES_VARIABLE, wrong)
        with pytest.raises(UserError, match=f"{MAX_BYTES_VARIABLE}='{wrong}' is not allowed"):
            read_bytes(path, 10)


def test_a_file_that_does_not_tell_its_size_is_read_to_the_limit_only(monkeypatch):
    monkeypatch.setenv(MAX_BYTES_VARIABLE, "100")
    with pytest.raises(UserError, match="more than 100 bytes"):
        read_bytes(Path("/proc/self/maps"))


def test_a_value_that_is_too_large_to_show_is_not_shown():
    with pytest.raises(UserError, match=r"^it: models is a int that cannot be shown, which is no table\.$"):
        check({"models": 16**10_000}, Kind, "it")
    with pytest.raises(UserError, match=r"^it: models is 'x{65}…x{31}', which is no table\.$"):
        check({"models": "x" * 1000}, Kind, "it")
