"""The workflow of the leaderboards: its commands exist, and nothing that people type is run."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from places import ROOT
from typer.main import get_command

from faithbench.cli import app

FOLDER = ROOT / ".github" / "workflows"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the workflows are not beside the tests")
COMMAND = re.compile(r"^\s*(?:- run: |run: )?(faithbench [^`]*)$")


def workflow() -> dict:
    return yaml.safe_load((FOLDER / "leaderboards.yml").read_text(encoding="utf-8"))


def steps() -> list[dict]:
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def scripts() -> list[str]:
    return [step["run"] for step in steps() if "run" in step]


def commands() -> list[str]:
    """The lines that call faithbench."""
    return [found[1] for script in scripts() for line in script.splitlines() if (found := COMMAND.match(line))]


def assert_known(command: str) -> None:
    """Every word of a command line that must be a subcommand or an option is one."""
    bare = re.sub(r'\$\{[A-Z]+:\+(--[a-z-]+) "[^"]*"\}', r"\1 value", command.replace("||", ""))
    words, node = shlex.split(bare)[1:], get_command(app)
    while hasattr(node, "commands"):
        assert words[0] in node.commands, f"{words[0]!r} in {command!r}"
        node = node.commands[words.pop(0)]
    options = {name for parameter in node.params for name in parameter.opts if name.startswith("-")}
    assert {word for word in words if word.startswith("-")} <= options, command


@pytest.mark.slow
def test_every_command_is_one_of_the_command_line():
    assert len(commands()) >= 4
    for command in commands():
        assert_known(command)


@pytest.mark.parametrize(
    "command", ["faithbench board chekc", "faithbench board build --all", 'faithbench run --paln "$P"']
)
def test_a_command_that_there_is_not_would_be_found(command: str):
    with pytest.raises(AssertionError):
        assert_known(command)


def test_boards_are_checked_on_every_push_and_pull_request():
    found = workflow()
    assert {"push", "pull_request", "schedule", "workflow_dispatch"} == set(found[True])  # YAML 1.1 reads `on` so
    assert set(found[True]["workflow_dispatch"]["inputs"]) == {"plan", "backbone", "limit"}
    assert [step["run"] for step in found["jobs"]["check"]["steps"] if "run" in step][-1] == "faithbench board check"
    assert found["jobs"]["run"]["runs-on"] == ["self-hosted", "gpu"]


def test_rights_are_few_times_are_bounded_and_actions_pinned():
    found = workflow()
    assert found["permissions"] == {"contents": "read"}
    assert "permissions" not in found["jobs"]["check"]
    for job in found["jobs"].values():
        assert job["timeout-minutes"]
        assert job["concurrency"]["group"]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps() if "uses" in step)


def test_scripts_are_bash_and_take_nothing_from_outside_but_variables():
    for script in scripts():
        assert "${{" not in script
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("given", "board"),
    [
        ({"PLAN": "leaderboards/paper/table2.toml"}, "leaderboards/paper-table2"),
        (
            {"PLAN": "leaderboards/paper/table2.toml", "BACKBONE": "minilm", "LIMIT": "8"},
            "leaderboards/paper-table2-minilm",
        ),
        ({"PLAN": "leaderboards/mine/plan-a.toml"}, "leaderboards/mine"),
        ({"PLAN": "leaderboards/mine/plan-a.toml", "LIMIT": "8"}, None),
        ({"PLAN": "leaderboards/paper/none.toml"}, None),
        ({"PLAN": "leaderboards/../secret.toml"}, None),
        ({"PLAN": "$(touch x).toml"}, None),
        ({"PLAN": "leaderboards/mine/plan-a.toml", "BACKBONE": "a; touch x"}, None),
        ({"PLAN": "leaderboards/mine/plan-a.toml", "LIMIT": "8 --device cpu"}, None),
    ],
)
def test_inputs_are_checked_before_anything_runs(given: dict, board: str | None, tmp_path: Path):
    for name in ("leaderboards/paper/table2.toml", "leaderboards/mine/plan-a.toml", "secret.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (script,) = (step["run"] for step in steps() if step.get("name") == "Which board?")
    told = tmp_path / "told"
    env = {"PATH": os.environ["PATH"], "HOME": "/home", "GITHUB_ENV": str(told), "BACKBONE": "", "LIMIT": ""} | given
    done = subprocess.run(["bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert not (tmp_path / "x").exists()
    if board is None:
        assert done.returncode == 1
        assert "is not allowed" in done.stderr
        assert not told.exists()
    else:
        assert done.returncode == 0, done.stderr
        suffix = f"-{given['LIMIT']}" if "LIMIT" in given else ""
        assert told.read_text() == f"BOARD={board}\nRUN=/home/faithbench-runs/{Path(board).name}{suffix}\n"
