"""The five tutorials: each page tells the commands that its walk runs, and a walk ends with what its page promises."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT, commands, told_commands, told_file

WALKS = sorted(Path(__file__).parent.glob("*.sh"))
TUTORIALS = [walk.stem for walk in WALKS if walk.stem != "walk"]
HERE = re.compile(r"^# here: (.+) -> (.+)$", re.MULTILINE)
SUMMARY = re.compile(r"^([\w-]+): (\d+) commands, (\d+) seconds; processor time (.+)$", re.MULTILINE)
LEFT = {
    "classifier": ("report.html", "scores.svg", "runs/reviews/manifest.json"),
    "explainer": ("report.html", "runs/mine/manifest.json"),
    "decision": ("decision.html", "decision.svg", "runs/defence/manifest.json"),
    "next-token": ("report.html", "runs/grammar/manifest.json"),
    "table2": ("runs/table2/manifest.json",),
}


def script(tutorial: str) -> str:
    return (Path(__file__).parent / f"{tutorial}.sh").read_text()


def test_every_tutorial_has_a_walk() -> None:
    pages = {page.stem for page in (ROOT / "docs/tutorials").glob("*.md")} - {"index"}
    assert pages == set(TUTORIALS) == set(LEFT)


@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_a_page_tells_what_its_walk_runs(tutorial: str) -> None:
    walked = [words[1:] for words in commands(script(tutorial)) if words[0] == "step"]
    told = told_commands(tutorial)
    for said, here in HERE.findall(script(tutorial)):
        replaced = [_replaced(command, said.split(), here.split()) for command in told]
        assert replaced != told, f"{said} is told nowhere"
        told = replaced
    assert told == walked
    assert len(told) > 3


def test_the_overview_tells_how_many_commands_each_takes() -> None:
    page = (ROOT / "docs/tutorials/index.md").read_text()
    told = dict(re.findall(r"^- \[.*\]\(([\w-]+)\.md\) \((\d+) commands\)", page, re.MULTILINE))
    assert told == {tutorial: str(len(told_commands(tutorial))) for tutorial in TUTORIALS}


def _replaced(command: list[str], said: list[str], here: list[str]) -> list[str]:
    """A command with neighbouring words replaced."""
    places = [i for i in range(len(command)) if command[i : i + len(said)] == said]
    return [*command[: places[0]], *here, *command[places[0] + len(said) :]] if places else command


def test_a_file_that_a_page_tells_to_write_is_the_example_of_a_plugin_but_for_its_docstring() -> None:
    path = "src/faithbench_example/kept_alone.py"
    told, example = told_file("explainer", f"mine/{path}"), (ROOT / "examples/plugin" / path).read_text()
    assert told.split('"""')[::4] == example.split('"""')[::4]
    assert "def __call__" in told


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_a_walk_ends_with_its_result(tutorial: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    place = tmp_path / "walk"
    walk = [shutil.which("bash") or "bash", str(Path(__file__).parent / f"{tutorial}.sh"), str(place)]
    done = subprocess.run(walk, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    name, count, seconds, spent = SUMMARY.findall(done.stdout)[-1]
    print(f"{name}: {count} commands, {seconds} seconds; processor time {spent}")
    assert int(count) == len(told_commands(tutorial))
    assert [left for left in LEFT[tutorial] if not (place / left).exists()] == []
