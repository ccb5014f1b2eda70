"""Paths that the system knows nothing of are one sentence, whichever command is given them."""

from pathlib import Path

import pytest
from fixtures_run import call

from faithbench.errors import UserError
from faithbench.paths import as_path

LONG = "a" * 300
COMMANDS = [
    "table {path}",
    "board check {path}",
    "board build {path}",
    "board publish {path} board",
    "board publish . {path}",
    "run --plan {path}",
    "meta {path}",
    "compare a b {path}",
    "figure {path} --like figure2 --out x.svg",
    "import {path} --model conv-tiny --dataset planted --name x",
    "import . --model conv-tiny --dataset planted --name x --out {path}",
    "build seqpg --dataset planted --model conv-tiny --out {path}",
]


@pytest.mark.parametrize("path", [LONG, f"{LONG}/x", "loop", "loop/x"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_path_that_cannot_be_is_one_sentence(command: str, path: str, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    ended = call(capsys, *command.format(path=path).split())
    assert ended.status == 2
    assert len(ended.err.splitlines()) == len(ended.complaints) == 1
    assert "is no usable path: " in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


@pytest.mark.parametrize("path", ["a\0b", "a\ud800"])
def test_a_character_that_no_path_has_is_named(path: str):
    with pytest.raises(UserError, match=r"out 'a.* is no usable path: it holds a character that no path has"):
        as_path("out", path)


@pytest.mark.parametrize("path", ["", "none", "none/such", "/"])
def test_other_paths_are_what_they_were(path: str):
    assert as_path("out", path) == Path(path)


def test_what_the_system_refuses_in_any_other_way_is_one_sentence(monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/secret")

    monkeypatch.setattr("faithbench.render", refuse)
    ended = call(capsys, "table", "x")
    assert (ended.status, ended.complaints) == (2, ["faithbench: /secret cannot be had: Permission denied."])
