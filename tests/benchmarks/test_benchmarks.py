"""Every benchmark runs in its reduced form, `--tiny`, and stands in the table of benchmarks/README.md."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
from fixtures_run import VARIABLES, trained_cache

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"
FILES = sorted(FOLDER.glob("*.py"))
MODULES = {"peers"}  # imported by another, no scripts
SCRIPTS = [path for path in FILES if path.stem not in MODULES]
MORE = {"gpu": ["--device", "cpu", "--only", "occlusion|decompx|31"]}  # what a script is told beside `--tiny`
SERVER = Path(__file__).parent.parent / "support" / "benchmark_server.py"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(\.\d+)?")
NO_NUMBER = re.compile(r"(?<![\w.])[-+]?(nan|inf)\b", re.IGNORECASE)

Ran = tuple[int, str]  # exit status, and what it printed


@pytest.fixture(scope="module")
def ran() -> Iterator[Callable[..., Ran]]:
    """Runs a script with arguments in a folder."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment = kept | ONE_THREAD | {"FAITHBENCH_CACHE": str(trained_cache()), "COLUMNS": "200"}
    command = [sys.executable, str(SERVER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as server:

        def run(script: Path, arguments: list[str], folder: Path) -> Ran:
            out = folder / "printed.txt"
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(json.dumps([str(script), arguments, str(folder), str(out)]) + "\n")
            server.stdin.flush()
            status = int(server.stdout.readline())
            return status, out.read_text(encoding="utf-8", errors="replace")

        yield run
        server.stdin.close()


def readme() -> list[list[str]]:
    """The commands in the table of benchmarks/README.md, word by word."""
    table = re.findall(r"^\| `python (benchmarks/[^`]+)` \|", (FOLDER / "README.md").read_text(), re.MULTILINE)
    return [shlex.split(command) for command in table]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_benchmark_runs_in_its_reduced_form(script, ran, tmp_path):
    status, printed = ran(script, ["--tiny", *MORE.get(script.stem, [])], tmp_path)
    assert status == 0, printed[-4000:]
    lines = [line for line in printed.splitlines() if NUMBER.search(line)]
    assert lines, printed
    assert not [line for line in printed.splitlines() if NO_NUMBER.search(line)]
    assert not re.search(r"Traceback|Error\b", printed)  # of a row that failed while others did not


@pytest.mark.slow
@pytest.mark.parametrize("command", readme(), ids=" ".join)
def test_every_command_of_the_readme_is_understood(command, ran, tmp_path):
    status, printed = ran(FOLDER.parent / command[0], [*command[1:], "--help"], tmp_path)
    assert status == 0, printed
    assert printed.startswith("usage:")
    assert "--tiny" in printed


def test_the_readme_lists_every_benchmark_once():
    listed = Counter(Path(command[0]).stem for command in readme())
    assert listed == Counter(path.stem for path in SCRIPTS)


def test_files_that_are_no_scripts_are_few_and_are_imported():
    assert {path.stem for path in FILES if "__main__" not in path.read_text()} == MODULES
    text = "\n".join(path.read_text() for path in SCRIPTS)
    assert all(re.search(rf"^(from|import) {name}\b", text, re.MULTILINE) for name in MODULES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_benchmark_hides_a_package(path):
    elsewhere = [place for place in sys.path if not Path(place or ".").resolve().is_relative_to(FOLDER.parent)]
    assert path.stem not in sys.stdlib_module_names
    there = PathFinder.find_spec(path.stem, elsewhere)
    assert there is None or there.loader is None  # a mere folder
