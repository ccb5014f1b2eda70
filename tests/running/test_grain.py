"""What has ended is kept: in the midst of a text whose other explainers are slow, however the run ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import LinearModel
from fixtures_run import DATA, add_distribution, checkpoint, trained_cache, use_cache

import faithbench
from faithbench.plugins.spec import Component, build
from faithbench.questions import Logits
from faithbench.records import store as store_module
from faithbench.records.store import IDENTITY, Store
from faithbench.running.executors import Here
from faithbench.running.measuring import score_piece
from faithbench.running.pieces import Deal, Job, Piece, Work, summaries
from faithbench.training.prepare import Prepared
from faithbench.training.setup import Setup
from faithbench.types import Attribution, Target, Text

SLOW = """
import pathlib
import time
from dataclasses import dataclass

import numpy as np

from faithbench.questions import Logits
from faithbench.types import Attribution


@dataclass(frozen=True)
class Slow:
    def __call__(self, text, target):
        for number in range(3 if pathlib.Path("go").exists() else 10_000):
            keep = np.arange(len(text))[None] != number % len(text)
            yield Logits(text, keep, 5 + number % 7)
            time.sleep(0 if pathlib.Path("go").exists() else 0.1)
            if number == 3:
                pathlib.Path("begun").touch()
        return Attribution(text.id, target, np.arange(len(text), dtype=float))
"""
KEYS = ["explainer", "metric", "unit"]


class Long:
    """An explainer that asks row after row."""

    def __call__(self, text: Text, target: Target) -> Iterator[object]:
        for number in range(20):
            yield Logits(text, np.arange(len(text))[None] != number % len(text))
        return Attribution(text.id, target, np.zeros(len(text)))


def text(number: int, tokens: int = 9) -> Text:
    ids = np.arange(tokens) + 2
    special = np.zeros(tokens, dtype=bool)
    return Text(f"text-{number}", ids, special, np.arange(tokens), tuple(map(str, ids)), 1, vocabulary=np.arange(9))


def job() -> tuple[LinearModel, Job, list[Work]]:
    model = LinearModel.random()
    identity = {"dataset": "d", "dataset_fingerprint": "f", "model": "m", "model_fingerprint": model.fingerprint()}
    long = Component("long()", "long", Long())
    explainers = {c.identity: c for c in (long, build("explainer", "occlusion"), build("explainer", "random"))}
    metrics = {c.identity: c for c in (build("metric", "entropy"), build("metric", "comprehensiveness"))}
    works = [Work(text(i), tuple((e, m) for e in explainers for m in metrics)) for i in range(2)]
    return model, Job(identity, explainers, metrics, vocabulary=np.arange(9)), works


def test_explanations_come_before_those_of_slow_explainers_of_the_same_text():
    model, mine, works = job()
    model = replace(model, batch_tokens=18)
    came = [
        row["explainer"] for scored in score_piece(mine, model, Piece(0, (works[0],))) for row in scored.attributions
    ]
    assert came[-1] == "long()"
    assert sorted(came) == sorted(mine.explainers)


def test_a_run_that_is_cut_off_in_the_midst_of_a_text_goes_on_from_what_had_ended(tmp_path: Path):
    model, mine, works = job()
    model = replace(model, batch_tokens=18)
    store, scored = Store(tmp_path).open(), []
    for each in score_piece(mine, model, Piece(0, tuple(works))):
        store.add(each.attributions, each.records)
        scored.append(each)
        if len([row for one in scored for row in one.attributions]) == 3:
            break
    store.flush()
    kept = Store(tmp_path).read("attributions")
    assert len(kept) == 3
    assert "long()" not in set(kept["explainer"])


def test_every_cell_is_told_once_and_its_explanation_with_it():
    model, mine, works = job()
    told = list(Here().score(mine, Prepared(model, "m", "m", {}), Setup(), Deal(works), NoStore()))
    cells = [(summary.text_id, *cell) for summary in told for cell in summary.cells]
    assert sorted(cells) == sorted((w.text.id, *cell) for w in works for cell in w.cells)
    explained = [(s.text_id, took.explainer) for s in told for took in s.took if took.metric is None]
    assert sorted(explained) == sorted((w.text.id, e) for w in works for e in w.explainers)
    assert sum(summary.opened for summary in told) == 0


class NoStore:
    def add(self, attributions: object, records: object) -> None:
        pass


def test_targets_of_a_cell_are_kept_together():
    """A record of one of them alone would be taken for the whole cell."""
    model, mine, works = job()
    model = replace(model, task=Both())
    for scored in score_piece(mine, model, Piece(0, tuple(works))):
        cells = pd.Series([(r.explainer, r.metric) for r in scored.records], dtype=object).value_counts()
        assert set(cells) <= {2}


class Both:
    link = "softmax"

    def targets(self, asked: Text) -> Iterator[object]:
        yield Logits(asked, np.ones((1, len(asked)), dtype=bool))
        return (Target(0), Target(1))


def test_what_waits_is_written_although_nothing_more_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "FLUSH_SECONDS", 0.05)
    model, mine, works = job()
    (first, *_) = [each for each in score_piece(mine, model, Piece(0, tuple(works))) if each.attributions]
    store = Store(tmp_path).open()
    store._written = time.monotonic() + 1e6  # so that `add` does not write
    with store.written_soon():
        store.add(first.attributions, first.records)
        deadline = time.monotonic() + 20
        while not store.count("attributions") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert store.count("attributions") == 1


def test_a_summary_adds_up_what_came_of_a_text():
    model, mine, works = job()
    scored = list(score_piece(mine, model, Piece(0, (works[0],))))
    (summary,) = [each for each in summaries(scored) if each.text_id]
    assert len(summary.cells) == 6
    assert summary.failed == 0
    seconds = sum(r.seconds for s in scored for r in s.records) + sum(
        a["seconds"] for s in scored for a in s.attributions
    )
    assert sum(took.seconds for took in summary.took) == pytest.approx(seconds)
    assert sum(each.run for each in summaries(scored)) == sum(each.run for each in scored)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_cache(monkeypatch, trained_cache())
    entries = {"explainers": {"slow": "slowly:Slow"}}
    there = add_distribution(tmp_path / "plugin", "slowly", entries, {"slowly": SLOW})
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(there), *sys.path]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(out: str, *more: str) -> list[str]:
    begin = [sys.executable, "-m", "faithbench", "run", "--model", str(checkpoint()), "--dataset", DATA]
    explainers = ("occlusion", "integrated_gradients", "slow")
    named = [part for name in explainers for part in ("--explainer", name)]
    return [*begin, "--metric", "entropy", "--metric", "comprehensiveness", "--limit", "2", "--out", out, *named, *more]


def records(folder: Path, kind: str = "records") -> pd.DataFrame:
    return Store(folder).read(kind).sort_values(IDENTITY[kind], ignore_index=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_in_the_midst_of_a_text_what_had_ended_is_there_and_the_rest_follows(number: int, place: Path):
    begun = subprocess.Popen(command("run"), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (place / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(4.5 if number == signal.SIGKILL else 0.2)
    begun.send_signal(number)
    _, complaints = begun.communicate(timeout=60)
    kept = records(place / "run", "attributions")
    assert {name.split("(")[0] for name in kept["explainer"]} == {"occlusion", "integrated_gradients"}
    if number != signal.SIGKILL:
        assert begun.returncode == 128 + number
        assert (
            f"; {len(kept)} explanations are kept in run; the same command goes on"
            in complaints.strip().splitlines()[-1]
        )
    (place / "go").touch()
    subprocess.run(command("run"), check=True, capture_output=True)
    subprocess.run(command("undisturbed"), check=True, capture_output=True)
    expected, found = records(place / "undisturbed"), records(place / "run")
    assert found[KEYS].equals(expected[KEYS])
    np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-5, atol=1e-6)
    again = records(place / "run", "attributions")
    assert len(again) == 6
    same = again[~again["explainer"].str.startswith("slow")].reset_index(drop=True)
    pd.testing.assert_frame_equal(same[same["text_id"].isin(kept["text_id"])].reset_index(drop=True), kept)
    assert faithbench.table([place / "run"])["n"].tolist() == faithbench.table([place / "undisturbed"])["n"].tolist()
