"""Whatever is said reaches a terminal as text, in its characters; who stops reading is left in peace."""

import ast
import io
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from fixtures_run import add_distribution, call
from hostile_words import OBEYED, TEXTS, WORDS
from hypothesis import given
from records import COMP, column, run_of
from rich.console import Console
from rich.table import Table

import faithbench
from faithbench import console as printing
from faithbench.commands.output import out_console
from faithbench.console import BROKEN_PIPE, display, prepare_streams, say, words, write
from faithbench.running.forecast import Forecast
from faithbench.running.pieces import Summary
from faithbench.running.progress import Tracker
from faithbench.tables import terminal
from faithbench.tables.parts import Column, Grid, Number, Words
from faithbench.tables.writers import FORMATS
from faithbench.training.setup import Setup

PACKAGES = [Path(faithbench.__file__).parents[1] / name for name in ("faithbench", "explainers", "metrics")]
SILENT = {"print", "pprint", "echo", "secho"}
PLUGIN = '''
class Harmful:
    """\x1b[31mRed\x1b[0m and [red]red[/red].

    More.
    """

    def __init__(self, a="[/] \x1b]0;owned\x07"):
        pass
'''


class Terminal(io.TextIOWrapper):
    """A terminal of one encoding that keeps what it is sent."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="")

    def isatty(self) -> bool:
        return True

    def sent(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


def ended(*args: str | Path, **settings: Any) -> "subprocess.CompletedProcess[bytes]":
    """`faithbench ARGS…` in a process of its own."""
    return subprocess.run([sys.executable, "-m", "faithbench", *args], check=False, stderr=subprocess.PIPE, **settings)


def colourless(encoding: str = "utf-8", **settings: object) -> tuple[Console, Terminal]:
    screen = Terminal(encoding)
    return Console(file=screen, width=1000, color_system=None, **settings), screen


@given(TEXTS)
def test_a_line_is_text_on_every_terminal(text: str):
    for encoding in ("utf-8", "ascii", "cp1252"):
        console, screen = colourless(encoding)
        say(console, f"a{text}", whole=True)
        say(console, f"a{text}")
        write(console, f"a{text}\n")
        assert not OBEYED.search(screen.sent())
        assert screen.sent().count("\n") == 3 + text.count("\n")


@pytest.mark.parametrize("name", WORDS)
def test_no_markup_is_read(name: str):
    console, screen = colourless()
    say(console, f"see {WORDS[name]}.", whole=True)
    table = Table("head", box=None, pad_edge=False)
    table.add_row(words(console, WORDS[name], "red"))
    display(console, table)
    assert "\x1b" not in screen.sent()
    if not OBEYED.search(WORDS[name]) and name not in ("lines", "unseen"):
        assert f"see {WORDS[name]}.\nhead" in screen.sent()
        assert screen.sent().count(WORDS[name]) == 2


def test_a_long_sentence_is_shortened_and_a_path_never():
    console, screen = colourless()
    Setup(console=console).say("x" * 5000)
    assert len(screen.sent()) < 400
    say(console, "y" * 5000, whole=True)
    assert "y" * 5000 in screen.sent()
    say(None, "nobody")


@pytest.mark.parametrize(("encoding", "live"), [("utf-8", True), ("ascii", True), ("ascii", False)])
@pytest.mark.parametrize("name", WORDS)
def test_progress_shows_any_title(encoding: str, live: bool, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("faithbench.running.progress.LOG_SECONDS", -1)
    console, screen = colourless(encoding, force_terminal=live)
    with Tracker(f"m on {WORDS[name]}", 2, Forecast(()), console) as tracker:
        tracker.heard(Summary("", run=5))
        tracker.heard(Summary("", run=5))
    for word in ("\x1b[2J", "\x1b[31m", "\x1b]", "\x9b", "\u202e", "\u200b"):
        assert word not in screen.sent()
    if name == "rich":
        assert "[red]x[/red][link" in screen.sent()


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("faithbench.running.progress.LOG_SECONDS", -1)
    console, screen = colourless("ascii", force_terminal=True)
    with Tracker("m", 2, Forecast(()), console) as tracker:
        tracker.heard(Summary("", run=5))
    assert screen.sent().startswith("m: 0 of 2 texts")
    assert "\x1b" not in screen.sent()


def test_a_plugin_cannot_dress_up_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    entries = {"explainers": {"harmful": "harmful_words:Harmful", "broken": "harmful_words:Nothing[red]"}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path, "harmful", entries, {"harmful_words": PLUGIN}))
    monkeypatch.setattr(out_console, "_width", 300)
    listed = call(capsys, "list", "explainer")
    assert listed.status == 0
    assert r"a=[/] \x1b]0;owned\x07" in listed.out
    assert r"\x1b[31mRed\x1b[0m and [red]red[/red]." in listed.out
    assert not OBEYED.search(listed.out)


def test_what_libraries_say_is_shown_as_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    factory = logging.getLogRecordFactory()
    try:
        prepare_streams()
        handler = logging.StreamHandler(sys.stderr)
        logger = logging.getLogger("somebody")
        logger.addHandler(handler)
        logger.warning("file %s", WORDS["screen"])
        logger.removeHandler(handler)
        warned = warnings.formatwarning(UserWarning(WORDS["address"]), UserWarning, "a.py", 1)
    finally:
        logging.setLogRecordFactory(factory)
    said = capsys.readouterr().err + warned
    assert r"file a\x1b[2J" in said
    assert r"\x1b]8;;http://evil.example" in said
    assert not OBEYED.search(said)


def test_what_others_print_fits_the_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    factory, screen = logging.getLogRecordFactory(), Terminal("ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", None)
    try:
        prepare_streams()
    finally:
        logging.setLogRecordFactory(factory)
    print("1 ± 2 中")
    assert screen.sent() == "1 +/- 2 \\u4e2d\n"


def test_columns_stay_aligned_where_there_is_no_plus_or_minus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdout", Terminal("ascii"))
    cells = (Number(2.0, 1, 1.0, 3.0), Words("x"))
    lines = terminal.terminal([Grid((Column("a"), Column("b")), (cells, (Words("y"), Words("z"))))], 80).splitlines()
    assert lines[2].startswith("2.0 +/- 1.0")
    assert lines[2].index("x") == lines[3].index("z")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_tables_are_written_whatever_the_encoding(tmp_path: Path, encoding: str):
    run = run_of(tmp_path / "run", column([1.0, 2.0, 3.0], metric=COMP, model="中 ± \x1b[31m"))
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "100", "NO_COLOR": "1"}
    for written in FORMATS:
        found = ended("table", run, "--format", written, stdout=subprocess.PIPE, env=environment)
        out = found.stdout.decode(encoding)
        assert (found.returncode, found.stderr) == (0, b"")
        assert "\x1b[31m" not in out
        assert ("中" in out) == (encoding == "utf-8")
        if written == "terminal" and encoding == "ascii":
            assert any(line.startswith("--") for line in out.splitlines())
            assert "2.0 +/- " in out


@pytest.mark.parametrize("args", [("list", "explainer"), pytest.param(("table", "RUN"), marks=pytest.mark.slow)])
def test_a_reader_that_goes_ends_the_program_quietly(tmp_path: Path, args: tuple[str, ...]):
    run = run_of(tmp_path / "run", column([1.0, 2.0], metric=COMP))
    reading, writing = os.pipe()
    os.close(reading)
    words = [str(run) if word == "RUN" else word for word in args]
    found = ended(*words, stdout=writing)
    os.close(writing)
    assert (found.returncode, found.stderr) == (BROKEN_PIPE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_the_output_is_a_sentence(tmp_path: Path):
    with Path("/dev/full").open("w") as full:
        found = ended("list", stdout=full)
    assert found.returncode == 2
    assert found.stderr == b"faithbench: the output cannot be written: No space left on device.\n"


def prints(path: Path) -> list[str]:
    """Where a module prints by itself."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called, name = node.func, ast.unparse(node.func)
        last = called.attr if isinstance(called, ast.Attribute) else name
        if last in SILENT or name in ("warnings.warn", "sys.stdout.write", "sys.stderr.write"):
            found.append(f"{path.name}:{node.lineno} {name}")
    return found


def test_nothing_prints_but_the_console():
    modules = [path for package in PACKAGES for path in package.rglob("*.py")]
    assert len(modules) > 200
    ours = [Path(module.__file__) for module in (printing, terminal)]  # the latter into a text
    assert [line for path in modules if path not in ours for line in prints(path)] == []
    assert all(map(prints, ours))
