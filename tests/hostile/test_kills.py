"""Killed, torn or out of space at any change of any file: the same command again ends as if nothing had been.

What changes files are `train`, `run`, `import`, `build seqpg`, `board publish` and `board build`. Of each a seeded
sample of its changes is tried; `FAITHBENCH_SCALE=10` tries ten times as many; with 50 all are tried.
"""

import hashlib
import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forks import Command, Fault, Forked, Forks

from faithbench.files import HOLDER, IGNORE, STAGING, remove_leftovers
from faithbench.records.columns import KEPT
from faithbench.records.commands import NAME as COMMANDS
from faithbench.records.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs fork and /proc")]

SCALE = max(1, round(float(os.environ.get("FAITHBENCH_SCALE", "1"))))
KILLS, FULL = 2, 1  # changes of each command that are tried
MODEL = "conv-tiny(masking=none)"
DATA, SMALL = "planted(train=200, validation=40, test=24)", "planted(train=32, validation=8, test=6)"
PART = re.compile(r"\d{19}-\d+-[0-9a-f]{8}\.parquet")
TIMES = re.compile("seconds|rows_per|time|started|hardware")
LINES = re.compile(r"\r|\n|\x1b\[A")
LIMIT = 400  # characters of a sentence

Words = tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A command, how its folder begins, and what must hold whenever it is killed."""

    words: Words
    begin: Callable[[Path, Path], object]
    fault: Fault = field(default_factory=Fault)


def trains(epochs: int, data: str) -> Words:
    return (
        *f"train --model {MODEL} --lr 5e-3 --device cpu --dataset".split(),
        data,
        "--epochs",
        str(epochs),
    )


def runs(limit: int, *explainers: str) -> Words:
    named = [word for name in explainers for word in ("--explainer", name)]
    usual = f"run --model {MODEL} --metric comprehensiveness --metric entropy --no-train --epochs 2 --lr 5e-3"
    return (*usual.split(), "--device", "cpu", "--out", "run", "--dataset", DATA, "--limit", str(limit), *named)


OF_DOCUMENTS = "--segment 10 --documents 4 --confidence 0.5 --no-train --device cpu --out out/documents.jsonl"
BUILD = (*f"build seqpg --model {MODEL} --dataset".split(), DATA, *OF_DOCUMENTS.split())
IMPORT = (
    *f"import scores.jsonl --model {MODEL} --name mine --device cpu --out run --dataset".split(),
    DATA,
)
EXPLAIN = (
    *f"explain superb --model {MODEL} --dataset".split(),
    DATA,
    *"--explainer occlusion --draws 5 --device cpu --html page.html --svg page.svg".split(),
)
PUBLISH = ("board", "publish", "run", "leaderboards/tiny")


def take(*names: str) -> Callable[[Path, Path], object]:
    """Begins with these files and folders of the ground."""

    def begin(ground: Path, home: Path) -> None:
        for name in names:
            if (ground / name).is_dir():
                shutil.copytree(ground / name, home / name)
            else:
                shutil.copy(ground / name, home / name)

    return begin


def half_run(ground: Path, home: Path) -> None:
    """A run of some texts in two parts of each kind, which is to go on."""
    take("cache", "first")(ground, home)
    (home / "first").rename(home / "run")


def two_boards(ground: Path, home: Path) -> None:
    """Boards whose tables, and the overview, are not what their records give."""
    take("leaderboards")(ground, home)
    shutil.copytree(home / "leaderboards/tiny", home / "leaderboards/second")
    for table in home.glob("leaderboards/*/table.*"):
        table.write_text("old\n")


CASES = {
    "train": Case(trains(1, SMALL), take()),
    "run": Case(runs(3, "random", "occlusion"), take("cache")),
    "run that goes on": Case(runs(4, "random", "occlusion"), half_run),
    "import": Case(IMPORT, take("cache", "scores.jsonl")),
    "build": Case(BUILD, take("cache")),
    "publish": Case(PUBLISH, take("run")),
    "publish again": Case(PUBLISH, take("run", "leaderboards")),
    "publish where folders cannot be exchanged": Case(
        PUBLISH, take("run", "leaderboards"), Fault(without_exchange=True)
    ),
    "board build": Case(("board", "build"), two_boards),
    "report": Case(("report", "run", "--out", "report.html"), take("run")),
    "figure": Case(("figure", "run", "--out", "scores.svg"), take("run")),
    "study": Case(("study", "make", "run", "--items", "2"), take("run")),
    "explain": Case(EXPLAIN, take("cache")),
}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    server = Forks()
    yield server
    server.close()


def call(forks: Forks, home: Path, words: Words, fault: Fault = Fault()) -> Forked:
    """A command in a folder that holds the cache."""
    home.mkdir(exist_ok=True)
    variables = {"FAITHBENCH_CACHE": str(home / "cache"), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
    return forks.run(Command(words, str(home), variables, fault))


@pytest.fixture(scope="module")
def ground(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model, runs of it, a file of attributions, and a board of an earlier run that a person added to."""
    home = tmp_path_factory.mktemp("ground")
    for words in (trains(2, DATA), runs(2, "random"), PUBLISH, ("board", "build")):
        ended = call(forks, home, words)
        assert ended.status == 0, ended.err
    (home / "leaderboards/tiny/plan.toml").unlink()  # so that the next run may hold other cells
    shutil.copy(home / "run/plan.toml", home / "leaderboards/tiny/notes.toml")
    (home / "leaderboards/tiny/README.md").write_text("A page.\n")
    (home / "leaderboards/tiny/pages").mkdir()
    (home / "leaderboards/tiny/pages/link.md").symlink_to("../README.md")
    shutil.copytree(home / "run", home / "first")
    assert call(forks, home, runs(3, "random", "occlusion")).status == 0
    shutil.copy(home / "run/plan.toml", home / "leaderboards/tiny/plan.toml")
    rows = Store(home / "run").read("attributions").drop_duplicates("text_id")
    entries = [{"id": row.text_id, "scores": row.scores.tolist()} for row in rows.itertuples()]
    (home / "scores.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return home


@dataclass(frozen=True)
class Undisturbed:
    """A case without faults: how it begins and ends, and what it changes."""

    begun: Mapping[str, str]
    ended: Mapping[str, str]
    forked: Forked


@pytest.fixture(scope="module")
def undisturbed(forks: Forks, ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Undisturbed]:
    known: dict[str, Undisturbed] = {}

    def of(name: str) -> Undisturbed:
        if name not in known:
            home = tmp_path_factory.mktemp("undisturbed")
            CASES[name].begin(ground, home)
            begun = contents(home)
            forked = call(forks, home, CASES[name].words, CASES[name].fault)
            assert forked.status == 0, forked.err
            known[name] = Undisturbed(begun, contents(home), forked)
        return known[name]

    return of


def contents(home: Path) -> dict[str, str]:
    """What a folder holds, times and names of parts aside; parts are told together, as what is read of them."""
    found = {}
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home).as_posix()
        if path.name.endswith(HOLDER):  # says who has a lock, and is read where somebody has it alone
            continue
        if STAGING in name or path.name == COMMANDS:  # whose lines have dates, and say what was killed
            content = ""
        elif PART.fullmatch(path.name):
            kind, frame = path.parent.name, entries(path.parent)
            frame = frame.drop(columns=["seconds"], errors="ignore").map(rounded)
            name, content = f"{name.removesuffix(path.name)}{kind}", frame.sort_values(list(frame)).to_csv(index=False)
        elif path.suffix == ".json":
            content = told_in(path)
        elif path.is_file() and not path.name.endswith(".lock"):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = ""
        found[name] = content
    return found


def entries(parts: Path) -> pd.DataFrame:
    """What a run's parts of a kind hold together."""
    if parts.name in KEPT:
        return pd.concat([pd.read_parquet(part) for part in parts.glob("*.parquet")])
    return Store(parts.parent).read(parts.name)


def rounded(value: object) -> str:
    """A value of a record in words; which texts share a batch is in its last digits."""
    if isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        return str(np.round(value, 4))
    return str(value)


def told_in(path: Path) -> str:
    """What a JSON file says, times aside; one that is torn, as it is."""
    try:
        return json.dumps(timeless(json.loads(path.read_text())), sort_keys=True)
    except ValueError:
        return path.read_text()


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if not TIMES.search(key)}
    return [timeless(each) for each in value] if isinstance(value, list) else value


def sample(name: str, changes: int, kind: str, count: int) -> list[int]:
    """Which changes to try, from 1."""
    draw = random.Random(f"{name} {kind}")
    return sorted(draw.sample(range(1, changes + 1), min(changes, count * SCALE)))


def assert_boards_are_whole(home: Path, expected: Undisturbed, without_exchange: bool) -> None:
    """Every board is the old one or the new one; what is left of the writing is nothing for git."""
    for place in home.rglob(f"{STAGING}*"):
        assert (place / IGNORE).exists() or not [each for each in place.rglob("*") if each.is_file()]
    if without_exchange and (home / "leaderboards").exists():
        remove_leftovers(home / "leaderboards")  # whoever writes next puts back what was moved aside
    now = contents(home)
    for board in ("leaderboards/tiny/", "leaderboards/second/", "leaderboards/README.md"):
        states = [
            {n: c for n, c in state.items() if n.startswith(board)} for state in (now, expected.begun, expected.ended)
        ]
        assert states[0] in states[1:]


def assert_recovers(forks: Forks, home: Path, case: Case, expected: Undisturbed) -> None:
    again = call(forks, home, case.words, replace(case.fault, kind="", after=None))
    assert again.status == 0, again.err
    now = contents(home)
    assert now.keys() == expected.ended.keys()
    lines = {name: (content.splitlines(), now[name].splitlines()) for name, content in expected.ended.items()}
    assert [line for one, two in lines.values() for line in set(one) ^ set(two)] == []


@pytest.mark.parametrize("kind", ["kill", "tear"])
@pytest.mark.parametrize("name", CASES)
def test_a_kill_at_any_change_of_a_file_is_made_good(name: str, kind: str, forks, ground, undisturbed, tmp_path: Path):
    case, expected = CASES[name], undisturbed(name)
    for number in sample(name, len(expected.forked.changes), kind, KILLS):
        home = tmp_path / str(number)
        home.mkdir()
        case.begin(ground, home)
        ended = call(forks, home, case.words, replace(case.fault, kind=kind, at=number))
        assert ended.status == -9, (number, ended)
        assert_boards_are_whole(home, expected, case.fault.without_exchange)
        assert_recovers(forks, home, case, expected)


@pytest.mark.parametrize("name", ["train", "run", "publish again"])
def test_a_kill_at_any_moment_is_made_good(name: str, forks, ground, undisturbed, tmp_path: Path):
    case, expected = CASES[name], undisturbed(name)
    draw = random.Random(name)
    for number in range(SCALE):
        home = tmp_path / str(number)
        home.mkdir()
        case.begin(ground, home)
        call(forks, home, case.words, replace(case.fault, after=draw.uniform(0.02, expected.forked.seconds)))
        assert_boards_are_whole(home, expected, case.fault.without_exchange)
        assert_recovers(forks, home, case, expected)


def assert_one_sentence(ended: Forked) -> None:
    """Status 2 and one sentence with cause and cure."""
    assert ended.status == 2, ended
    assert "Traceback" not in ended.err + ended.out, ended.err
    said, *more = [line for line in LINES.split(ended.err) if line.startswith("faithbench: ")] or [ended.err]
    assert more == []
    assert "cannot be written" in said
    assert len(said) < LIMIT
    assert any(words in said for words in ("make room there", "raise the limit"))


@pytest.mark.parametrize("name", CASES)
def test_a_full_disk_is_a_sentence_and_the_command_goes_on_once_there_is_room(
    name: str, forks, ground, undisturbed, tmp_path: Path
):
    case, expected = CASES[name], undisturbed(name)
    growing = [n for n, change in enumerate(expected.forked.changes, 1) if change.startswith("open ")]
    for place in sample(name, len(growing), "full", FULL):
        home = tmp_path / str(place)
        home.mkdir()
        case.begin(ground, home)
        ended = call(forks, home, case.words, replace(case.fault, kind="full", at=growing[place - 1]))
        assert_one_sentence(ended)
        assert not list(home.rglob(f"{STAGING}*"))
        assert_boards_are_whole(home, expected, case.fault.without_exchange)
        assert_recovers(forks, home, case, expected)


@pytest.mark.parametrize("bytes", [0, 3000, 60_000, *([40, 10_000, 30_000, 100_000] if SCALE > 1 else [])])
@pytest.mark.parametrize("name", ["train", "run", "publish again", *(["import", "build"] if SCALE > 1 else [])])
def test_files_that_end_in_the_midst_are_a_sentence_too_whoever_writes_them(
    name: str, bytes: int, forks, ground, undisturbed, tmp_path: Path
):
    case, expected = CASES[name], undisturbed(name)
    case.begin(ground, tmp_path)
    ended = call(forks, tmp_path, case.words, replace(case.fault, kind="small", at=bytes))
    if ended.status != 0:
        assert_one_sentence(ended)
    assert ended.status == 2 or bytes > 40
    assert_boards_are_whole(tmp_path, expected, case.fault.without_exchange)
    assert_recovers(forks, tmp_path, case, expected)


def test_a_part_that_is_written_in_place_is_seen_by_these_tests(forks, ground, tmp_path: Path):
    case = CASES["run"]
    case.begin(ground, tmp_path)
    changes = call(forks, tmp_path, case.words, Fault(in_place=True)).changes
    shutil.rmtree(tmp_path / "run")
    opened = next(n for n, change in enumerate(changes, 1) if PART.search(change) and change.startswith("open"))
    assert call(forks, tmp_path, case.words, Fault("tear", opened + 1, in_place=True)).status == -9
    again = call(forks, tmp_path, case.words)
    assert again.status == 2
    assert "cannot be read" in again.err or "corrupt" in again.err
