"""Checkpoints that are torn, half-written or changed are never believed: they are set aside and made anew."""

import io
import json
import os
import queue
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures_run import DATA, TRAINING, checkpoint, trained_cache, use_cache
from rich.console import Console

import faithbench
from faithbench.errors import UserError
from faithbench.training import named_models, prepare
from faithbench.training.keeping import ClassifierReport, fault, in_turn, last_state, report_of, work_place
from faithbench.training.setup import Setup


def cut(name: str, keep: float = 0.5) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * keep)])

    return damage


def gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def told(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "training.json").write_text(text)


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES = {
    "torn report": (cut("training.json"), "training.json cannot be read"),
    "empty report": (told(""), "training.json cannot be read"),
    "no report": (gone("training.json"), "it has no training.json"),
    "report of nothing": (told("{}"), "training is missing"),
    "report that is a list": (told("[]"), "no table"),
    "settings that are no table": (told('{"training": 3}'), "training is 3"),
    "torn weights": (cut("model.safetensors", 0.9), "weights are missing or torn"),
    "empty weights": (cut("model.safetensors", 0), "weights are missing or torn"),
    "no weights": (gone("model.safetensors"), "weights are missing or torn"),
    "torn tokenizer": (cut("tokenizer.json"), "tokenizer.json is missing or torn"),
    "no tokenizer": (gone("tokenizer.json"), "no vocabulary"),
    "no settings of the tokenizer": (gone("tokenizer_config.json"), "tokenizer_config.json is missing"),
    "torn configuration": (cut("config.json"), "config.json is missing or torn"),
    "empty folder": (emptied, "it has no training.json"),
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a cache with a finished checkpoint."""
    shutil.copytree(trained_cache(), tmp_path / "cache")
    use_cache(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.mark.parametrize("name", DAMAGES)
def test_a_checkpoint_that_is_not_whole_is_set_aside_and_made_anew(name: str, cache: Path, monkeypatch):
    damage, words = DAMAGES[name]
    folder = checkpoint()
    damage(folder)
    assert words in (fault(folder, ClassifierReport) or "")
    shutil.copytree(folder, cache / "damaged")
    said = Console(file=io.StringIO(), width=1000)
    made: list[Path] = []

    def train_now(network: object, tokenizer: object, splits: object, folder: Path, *args: object) -> Path:
        assert not folder.exists()
        made.append(shutil.copytree(trained_cache() / folder.relative_to(cache), folder))
        return folder

    with monkeypatch.context() as patch:
        patch.setattr(named_models, "fine_tune", train_now)
        assert faithbench.train("conv-tiny", DATA, TRAINING, device="cpu", console=said)[0] == folder
    assert made == [folder]
    aside = folder.with_name(f"{folder.name}.broken-1")
    assert sorted(path.name for path in aside.iterdir()) == sorted(path.name for path in (cache / "damaged").iterdir())
    lines = [line for line in said.file.getvalue().splitlines() if "broken" in line]
    assert len(lines) == 1
    assert words in lines[0]
    assert aside.name in lines[0]
    assert fault(folder, ClassifierReport) is None


def test_a_whole_checkpoint_is_believed_and_what_it_was_made_of_is_removed(cache: Path, monkeypatch):
    folder = checkpoint()
    (work_place(folder) / "trainer-1").mkdir(parents=True)
    monkeypatch.setattr(named_models, "fine_tune", lambda *args, **kwargs: pytest.fail("trained again"))
    assert faithbench.train("conv-tiny", DATA, TRAINING, device="cpu")[0] == folder
    assert not work_place(folder).exists()


def test_a_broken_checkpoint_is_named_where_training_is_switched_off_and_stays(cache: Path, tmp_path: Path):
    told("{")(checkpoint())
    with pytest.raises(UserError, match=r"has not been trained .*broken: .*training\.json cannot be read"):
        faithbench.run(faithbench.Plan((DATA,), ("conv-tiny",)), tmp_path / "run", device="cpu", train=False)
    assert (checkpoint() / "training.json").read_text() == "{"


def test_a_folder_of_somebody_whose_report_is_torn_is_an_error_and_stays(cache: Path):
    told('{"dataset": 3}')(checkpoint())
    before = sorted(checkpoint().iterdir())
    with pytest.raises(UserError, match=r"training\.json: dataset is 3, which is no text"):
        prepare.load_model(str(checkpoint()), Setup())
    assert sorted(checkpoint().iterdir()) == before
    assert report_of(checkpoint().parent) is None


def state(work: Path, number: int, best: int) -> Path:
    """A state as a trainer writes it, of weights of a real model."""
    folder = work / f"checkpoint-{number}"
    folder.mkdir(parents=True)
    shutil.copy(checkpoint() / "model.safetensors", folder)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        shutil.make_archive(str(folder / name), "zip", work.parent / "packed")
        (folder / f"{name}.zip").rename(folder / name)
    told = {"best_model_checkpoint": f"/elsewhere/checkpoint-{best}", "log_history": []}
    (folder / "trainer_state.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def work(cache: Path) -> Path:
    """A folder of two states, of which the first is the best."""
    (cache / "packed").mkdir()
    (cache / "packed" / "data").write_text("x" * 1000)
    for number in (5, 10):
        state(cache / "work", number, 5)
    return cache / "work"


def test_the_last_state_is_that_which_was_written_last_and_knows_where_the_best_is_now(work: Path):
    assert last_state(work) == str(work / "checkpoint-10")
    told = json.loads((work / "checkpoint-10" / "trainer_state.json").read_text())
    assert told == {"best_model_checkpoint": str(work / "checkpoint-5"), "log_history": []}


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
@pytest.mark.parametrize("damage", [cut, gone])
def test_a_state_that_is_not_whole_is_removed(name: str, damage: Callable, work: Path):
    damage(name)(work / "checkpoint-10")
    assert last_state(work) == str(work / "checkpoint-5")
    assert not (work / "checkpoint-10").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"best_model_checkpoint": 3}'])
def test_a_state_that_tells_nothing_is_removed(text: str, work: Path):
    (work / "checkpoint-10" / "trainer_state.json").write_text(text)
    assert last_state(work) == str(work / "checkpoint-5")


def test_a_state_whose_best_is_torn_is_none(work: Path):
    cut("model.safetensors")(work / "checkpoint-5")
    assert last_state(work) is None


def test_one_process_makes_a_checkpoint_and_others_wait(tmp_path: Path):
    order: list[str] = []
    waiting: queue.Queue[str] = queue.Queue()

    def second() -> None:
        with in_turn(tmp_path / "made", waiting.put):
            order.append("second")

    with in_turn(tmp_path / "made", lambda holder: pytest.fail("waited for nobody")):
        thread = threading.Thread(target=second)
        thread.start()
        told = waiting.get(timeout=10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert told.startswith(f"process {os.getpid()} on {socket.gethostname()}, there since {time.strftime('%Y-')}")
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".holder")] == []
