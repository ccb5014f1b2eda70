"""Bad inputs from a generator: the only allowed outcomes are success, or status 1 or 2 with one short sentence.

Repeat one case with `python tests/hostile/hostile.py KIND NUMBER`; try more with `--scale 20`, or here with
FAITHBENCH_SCALE=20.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cases import COUNTS, KINDS, Maker
from hostile import faults, plant, scale
from nasty import PLANTED
from sound import VARIABLES, Home
from trial import Attempt, Fault, command, tried

from faithbench.errors import UserError

PARTS = 4  # of each kind: tests that can run side by side


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    """What makes cases, with sound things to spoil, and a module that nobody may import."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        for name in (*VARIABLES, "FAITHBENCH_CACHE"):
            patch.setenv(name, "")  # put back at the end
        patch.syspath_prepend(plant(folder / "planted"))
        yield Maker(Home(folder))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_input_is_refused_in_a_sentence(kind: str, part: int, maker: Maker, tmp_path: Path) -> None:
    ends = Counter[str]()
    numbers = range(part, round(COUNTS[kind] * scale()), PARTS)
    found = [
        f"python tests/hostile/hostile.py {kind} {number}: {fault.what} at {fault.place} ({fault.detail[:200]})"
        for number, fault in faults(maker, kind, numbers, tmp_path, ends)
    ]
    assert found == []
    assert ends["refused"] > 0 or kind == "trainings"


def test_there_are_a_thousand_cases() -> None:
    assert sum(COUNTS.values()) >= 1000


def test_the_same_number_is_the_same_case(maker: Maker, tmp_path: Path) -> None:
    for kind in ("specs", "plans"):
        one, other = (maker.make(kind, 3, tmp_path) for _ in range(2))
        assert [attempt.words for attempt in one] == [attempt.words for attempt in other]


def _raises(error: BaseException) -> Attempt:
    def do() -> None:
        raise error

    return Attempt("a planted fault", do)


def _imports() -> None:
    __import__(PLANTED)


@pytest.mark.parametrize(
    ("attempt", "what"),
    [
        (_raises(ValueError("no sentence")), "ValueError"),
        (_raises(SystemExit(0)), "SystemExit"),
        (_raises(UserError("word " * 100)), "a sentence that is too long"),
        (_raises(UserError("two\nlines")), "no sentence"),
        (_raises(UserError("")), "no sentence"),
        (Attempt("imports", _imports), "code named by the user was imported"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.words,
)
@pytest.mark.usefixtures("maker")
def test_a_fault_that_is_planted_is_seen(attempt: Attempt, what: str) -> None:
    end = tried(attempt)
    assert isinstance(end, Fault)
    assert end.what == what


def test_a_hang_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("trial.SECONDS", 0.2)
    os.mkfifo(tmp_path / "fifo")

    def wait() -> None:
        try:
            (tmp_path / "fifo").read_bytes()
        except BaseException as error:
            raise UserError("swallowed") from error

    end = tried(Attempt("waits", wait))
    assert isinstance(end, Fault)
    assert end.what.startswith("HANG")


def test_what_is_sound_is_done(maker: Maker) -> None:
    home = maker.home
    for attempt in (command("board", "check", home.board), command("table", home.run), command("list")):
        assert tried(attempt) == "done"
    assert PLANTED not in sys.modules
