"""Naming, listing, checking and reading open no file and import no module that a spec names."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from sound import DATA, VARIABLES, Home
from trial import command

from faithbench.errors import UserError
from faithbench.plugins import naming, spec
from faithbench.records import results

EVENTS = ("open", "import", "os.listdir", "os.scandir")
SPECS = (
    ("explainer", "callable(canary_module:f)"),
    ("explainer", "words(callable(canary_module:f))"),
    ("explainer", "captum(canary_module)"),
    ("explainer", "shap(canary_module)"),
    ("metric", "normalised(canary_module)"),
    ("model", "classifier(path='{place}/canary_model')"),
    ("model", "{place}/canary_model"),
    ("dataset", "file(path='{place}/canary.csv')"),
    ("dataset", "file(path='{place}/canary_data')"),
    ("dataset", "hub({place}/canary_data)"),
    ("dataset", "shortcut(dataset='file(path={place}/canary.csv)')"),
    ("dataset", "seqpg(dataset='file(path={place}/canary.csv)', judge='{place}/canary_model', segment=9)"),
)
_watching: list[list[str]] = []


def _watch(event: str, args: tuple[object, ...]) -> None:
    if _watching and event in EVENTS and any("canary" in str(each) for each in args):
        _watching[-1].append(f"{event} {args[0]}")


sys.addaudithook(_watch)  # for good: hooks cannot be taken away


def opened(act: Callable[[], object]) -> list[str]:
    """What an act opens or imports of what the specs name, whether or not it is refused."""
    _watching.append([])
    try:
        act()
    except UserError:
        pass
    finally:
        found = _watching.pop()
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files, a folder of a model and a module that nobody may look into."""
    folder = tmp_path_factory.mktemp("looking")
    for name in ("canary.csv", "canary_model/config.json", "canary_data/test.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("text,label\na,0\nb,1\n")
    (folder / "canary_module.py").write_text("f = print\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in (*VARIABLES, "FAITHBENCH_CACHE"):
            patch.setenv(name, "")  # put back at the end
        patch.syspath_prepend(folder)
        yield folder


@pytest.mark.parametrize(("kind", "text"), SPECS)
def test_a_component_is_named_and_made_without_opening_what_it_names(kind: str, text: str, place: Path) -> None:
    named = text.format(place=place)
    for act in (spec.build, results.label, results.installed):
        assert opened(lambda act=act: act(kind, named)) == []
    assert opened(lambda: naming.refer(named)) == []
    assert opened(lambda: naming.build_dataset(named)) == []


@pytest.fixture(scope="module")
def home(place: Path) -> Home:
    return Home(place)


@pytest.mark.parametrize(("kind", "text"), [each for each in SPECS if each[0] != "metric"])
def test_a_strangers_board_is_checked_without_opening_what_it_names(
    kind: str, text: str, home: Home, place: Path, tmp_path: Path
) -> None:
    named = text.format(place=place)
    board = tmp_path / "boards" / "board"
    shutil.copytree(home.board.parent, board.parent)
    (part,) = (board / "records").glob("*.parquet")
    frame = pd.read_parquet(part)
    frame[kind] = named
    frame.to_parquet(part)
    plan = {"dataset": DATA, "model": "conv-tiny", "explainer": "random", kind: named}
    lines = [f"{key}s = [{json.dumps(value)}]" for key, value in plan.items()]
    (board / "plan.toml").write_text("\n".join([*lines, "limit = 6"]))
    for args in (("board", "check", board), ("board", "build", board), ("table", board), ("meta", board)):
        assert opened(command(*args).do) == []


def test_what_is_opened_is_seen(place: Path) -> None:
    assert opened((place / "canary.csv").read_text) == [f"open {place / 'canary.csv'}"]
    assert opened(lambda: __import__("canary_module")) != []
    sys.modules.pop("canary_module")
