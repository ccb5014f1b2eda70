"""What wrote into a run's folder: each command with its date, version, commit and machine, in `commands.jsonl`.

A line each, the oldest first. It is written when a command begins to write into the folder, and again with what it came
to when it ends; one without `ended` was killed. That of a command that found nothing to do goes again. Nothing of the
environment is kept.
"""

import json
import subprocess
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from faithbench.command_line import command_line
from faithbench.plan import PLANS
from faithbench.records.store import Store
from faithbench.schemas import is_json, read_text

NAME = "commands.jsonl"
GIT_SECONDS = 5.0


class Command(TypedDict, total=False):
    """One command: its line as it was given (None of a call from Python), when, by which version, where, and its end.

    Dates are in UTC. `came_to` counts what was done now, was there before, and failed.
    """

    id: str
    command: str | None
    plan: str
    began: str
    ended: str
    version: str
    commit: str | None
    machine: dict[str, str]
    came_to: dict[str, int]


class Noted:
    """A command that may write into folders: noted once it does, and again when it ends.

    Args:
        machine: what it runs on, in words: device, versions of packages.
        plan: that it runs, as TOML; "" for none.
    """

    def __init__(self, machine: Mapping[str, str], plan: str = "") -> None:
        self._machine, self._plan, self._began = dict(machine), plan, _now()
        self._name = uuid.uuid4().hex[:12]
        self._store: Store | None = None
        self._before: set[tuple[str, int]] = set()

    def begin(self, store: Store) -> None:
        """It writes into this folder from now on.

        Raises:
            UserError: the folder cannot be written.
        """
        if self._store is None:
            self._store, self._before = store, _state(store.folder)
            store.change_text(NAME, lambda text: _whole(text) + json.dumps(self._entry()) + "\n")

    def end(self, **came_to: int) -> None:
        """It has ended, with so much done, there before, failed; nothing where it has not begun, or wrote nothing."""
        if self._store is not None:
            last: Command = {**self._entry(), "ended": _now(), "came_to": came_to}
            wrote = came_to.get("done") or came_to.get("failed") or _state(self._store.folder) != self._before
            self._store.change_text(NAME, lambda text: _replaced(text, self._name, json.dumps(last) if wrote else ""))

    def _entry(self) -> Command:
        found: Command = {
            "id": self._name,
            "command": command_line(),
            "plan": self._plan,
            "began": self._began,
            "version": self._machine.get("faithbench", ""),
            "commit": commit(),
            "machine": {name: value for name, value in self._machine.items() if name != "faithbench"},
        }
        return found


def read_commands(folder: Path) -> list[Command]:
    """The commands that wrote into a run's folder, the oldest first; lines that are none are left out.

    Raises:
        UserError: there is such a file, and it cannot be read.
    """
    path = folder / NAME
    lines = read_text(path).split("\n") if path.exists() else []
    return [json.loads(line) for line in lines if is_json(line, Command)]


@cache
def commit() -> str | None:
    """The commit of faithbench, `-dirty` behind it if files differ from it; None where it is no checkout."""
    home = Path(__file__).resolve().parents[2]
    if not (home / ".git").exists():
        return None
    words = ["git", "-C", str(home), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(words, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)  # noqa: S603  # git, of ours
        return told.stdout.strip() or None
    return None


def _replaced(text: str, name: str, line: str) -> str:
    """The file with a line in the place of that of a command's beginning; without it if there is none."""
    lines = (line if _id(each) == name else each for each in text.split("\n"))
    return "".join(f"{each}\n" for each in lines if each)


def _state(folder: Path) -> set[tuple[str, int]]:
    """The parts and plans in a folder, and how large they are."""
    found = [*folder.glob("*/*.parquet"), *folder.glob(PLANS)]
    return {(path.relative_to(folder).as_posix(), path.stat().st_size) for path in found}


def _id(line: str) -> Any:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry.get("id") if isinstance(entry, dict) else None


def _whole(text: str) -> str:
    """The file, ended by a line break."""
    return text if not text or text.endswith("\n") else f"{text}\n"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
