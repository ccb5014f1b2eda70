"""The command line's manners: help with examples within 80 columns, a version, completion, a quiet end."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import pytest
import typer
from fixtures_run import add_distribution, call

from faithbench.cli import app
from faithbench.commands.examples import EXAMPLES


def commands(group=None, prefix=""):
    """Every command, by its words."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        yield f"{prefix}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")


COMMANDS = dict(commands())


@pytest.mark.parametrize("words", ["", *COMMANDS])
def test_help_fits_80_columns_and_ends_with_examples(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = call(capsys, *words.split(), "--help")
    assert ended.status == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "Examples:\n" in ended.out
    assert "..." not in ended.out.partition("Commands:\n")[2]


@pytest.mark.parametrize("words", COMMANDS)
def test_examples_are_commands(words):
    examples = EXAMPLES[words]
    assert 1 <= len(examples) <= 3
    for example in examples:
        program, *given = shlex.split(example.partition(">")[0])
        assert program == "faithbench"
        assert given[: len(words.split())] == words.split()
        parsed(typer.main.get_command(app), given)


def parsed(command, given):
    """Reads words as the program does, to the last command."""
    context = command.make_context(command.name, list(given))
    if hasattr(command, "commands"):
        name, *rest = [*context._protected_args, *context.args]
        parsed(command.commands[name], rest)


@pytest.mark.parametrize("words", [[], ["board"], ["study"]])
def test_a_bare_command_shows_its_help(words, capsys):
    ended = call(capsys, *words)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == call(capsys, *words, "--help").out


def test_the_version_is_said(capsys):
    assert call(capsys, "--version").out == f"faithbench {version('faithbench')}\n"


def test_an_unknown_command_is_answered_with_a_near_miss(capsys):
    ended = call(capsys, "tabel")
    assert ended.status == 2
    assert "'table'" in ended.err


BOTH = (
    "bert distilbert gpt2 gpt2-tiny llama llama-tiny minilm modern roberta tiny".split()
)  # of models, B-cos and conventional


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("run --model bcos-", [f"bcos-{name}" for name in BOTH]),
        ("run --explainer occ", ["occlusion"]),
        ("run --metric truth_", ["truth_ap", "truth_ndcg", "truth_tau"]),
        ("train --dataset pl", ["planted", "planted-grammar"]),
        ("explain --model bcos-t", ["bcos-tiny"]),
        ("explain --explainer occ", ["occlusion"]),
        ("explain --dataset pl", ["planted", "planted-grammar"]),
        ("figure --dataset pl", ["planted", "planted-grammar"]),
        ("figure --model bcos-t", ["bcos-tiny"]),
        ("figure --metric truth_t", ["truth_tau"]),
        ("figure --explainer occ", ["occlusion"]),
        ("study make --dataset pl", ["planted", "planted-grammar"]),
        ("study make --model bcos-t", ["bcos-tiny"]),
        ("study make --explainer occ", ["occlusion"]),
        ("list arch", ["architecture"]),
        ("check occ", ["occlusion"]),
        ("compare occ", ["occlusion"]),
    ],
)
def test_names_are_completed(words, found, capsys, monkeypatch):
    monkeypatch.setenv("_FAITHBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"faithbench {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    assert call(capsys).out.split() == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_that_a_shell_would_run_are_not_completed(shell, tmp_path, capsys, monkeypatch):
    odd = ("$(touch x)", "`touch x`", "a;touch x", "a b", "a\x1b[31m", "--out", "sound")
    add_distribution(tmp_path, "odd_names", {"explainers": dict.fromkeys(odd, "odd_names:f")}, {"odd_names": "f = 1\n"})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("_FAITHBENCH_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "faithbench list ")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "faithbench list ")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    told = call(capsys).out
    assert "sound" in told
    assert "touch" not in told
    assert "31m" not in told
    assert "a b" not in told


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """What a shell runs in the background ignores Ctrl-C, and so does whatever that starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_while_it_is_loaded_is_a_sentence():
    words = [sys.executable, "-X", "importtime", "-m", "faithbench", "list"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        for line in process.stderr:
            if "faithbench.errors" in line:
                os.kill(process.pid, signal.SIGINT)
                break
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "faithbench: stopped by Ctrl-C" in said
