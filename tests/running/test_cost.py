"""What a plan would run and cost, before it is run: honest, and nothing is written."""

import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from builders import LinearModel
from fixtures_run import DATA, call, checkpoint, trained_cache, use_cache

import faithbench
from faithbench.interfaces import Traits
from faithbench.plugins.spec import build
from faithbench.running.calibration import Calibration, Cost, calibrate
from faithbench.running.cost import BlockCost, PlanCost
from faithbench.running.grid import select_components
from faithbench.running.measuring import score_piece
from faithbench.running.pieces import Job, Piece, Work
from faithbench.running.scoring import UNTRIED
from faithbench.running.usual import usual_explainers
from faithbench.types import Text

EXPLAINERS = ("occlusion", "random", "lime(n_samples=300)", "saliency", "integrated_gradients")


@pytest.fixture(autouse=True)
def _trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_cache(monkeypatch, trained_cache())
    monkeypatch.chdir(tmp_path)


def text(number: int, tokens: int = 30) -> Text:
    ids = np.arange(tokens) % 9 + 2
    special = np.zeros(tokens, dtype=bool)
    return Text(f"text-{number}", ids, special, np.arange(tokens), tuple(map(str, ids)), 1, vocabulary=np.arange(9))


class Counting:
    """A linear model that counts the rows that it is given, and takes a while for each."""

    def __init__(self) -> None:
        self.model, self.rows, self.seconds = LinearModel.random(), 0, 0.0
        self.batch_tokens, self.gradient_cost = 2000, 4
        self.classes, self.task, self.reads_embeddings = self.model.classes, self.model.task, True

    def logits(self, rows):
        self.rows += len(rows)
        return self.model.logits(rows)

    def gradients(self, points, rules):
        self.rows += len(points)
        return self.model.gradients(points, rules)

    def embed(self, rows):
        self.rows += len(rows)
        return self.model.embed(rows)


def job() -> tuple[Job, list[Work]]:
    explainers = {c.identity: c for c in (build("explainer", name) for name in EXPLAINERS)}
    metrics = {c.identity: c for c in (build("metric", "entropy"), build("metric", "comprehensiveness"))}
    identity = {"dataset": "d", "dataset_fingerprint": "f", "model": "m", "model_fingerprint": "x"}
    works = [Work(text(i), tuple((e, m) for e in explainers for m in metrics)) for i in range(9)]
    return Job(identity, explainers, metrics, vocabulary=np.arange(9)), works


def test_rows_are_those_that_a_run_asks_for_and_few_of_them_are_run():
    mine, works = job()
    model = Counting()
    found = calibrate(mine, model, works)
    asked = {}
    for scored in score_piece(mine, LinearModel.random(), Piece(0, (works[4],))):
        for row in scored.attributions:
            asked[mine.explainers[row["explainer"]].label] = row["rows"]
    assert {name: cost.rows for name, cost in found.explainers.items()} == pytest.approx(asked)
    assert asked["lime(n_samples=300)"] > 290
    assert model.rows < 0.9 * found.texts * sum(asked.values())


class Slow(Counting):
    """Takes its time, by a clock of its own, for the first batch of all, for each batch, and for each row."""

    FIRST, BATCH, ROW = 0.3, 0.04, 0.001

    def gradients(self, points, rules):
        self.seconds += (0.0 if self.rows else self.FIRST) + self.BATCH + self.ROW * len(points)
        return super().gradients(points, rules)

    def clock(self) -> float:
        return self.seconds


def test_a_row_of_one_text_shares_its_batch_with_those_of_other_texts_and_what_is_done_but_once_is_not_counted(
    monkeypatch,
):
    explainer, metric = build("explainer", "input_x_gradient"), build("metric", "entropy")
    mine = replace(job()[0], explainers={explainer.identity: explainer}, metrics={metric.identity: metric})
    model = Slow()
    in_a_batch = model.batch_tokens // model.gradient_cost // 30
    for count in (50, 2):
        works = [Work(text(i), ((explainer.identity, metric.identity),)) for i in range(count)]
        batch = min(count, in_a_batch)
        alone = model.ROW + model.BATCH / batch
        slow = Slow()
        clock = SimpleNamespace(perf_counter=slow.clock, monotonic=slow.clock)
        monkeypatch.setattr("faithbench.running.calibration.time", clock)
        found = calibrate(mine, slow, works).explainers["input_x_gradient"].seconds
        assert alone <= found < alone + 0.01  # what the explainer itself computes is timed by the machine's clock


BAD = """
import time

def hangs(texts):
    time.sleep(30)

def raises(texts):
    raise SystemExit("no")
"""


@pytest.mark.parametrize("how", ["hangs", "raises"])
def test_an_explainer_that_hangs_is_cut_off_and_one_that_raises_disturbs_no_other(how, tmp_path: Path, monkeypatch):
    (tmp_path / "bad_module.py").write_text(BAD)
    monkeypatch.syspath_prepend(tmp_path)
    if how == "hangs":
        monkeypatch.setattr("faithbench.running.calibration.MOST_SECONDS", 0.5)
    mine, _ = job()
    bad = build("explainer", f"callable(bad_module:{how})")
    explainers = {**mine.explainers, bad.identity: bad}
    works = [Work(text(i), tuple((e, m) for e in explainers for m in mine.metrics)) for i in range(3)]
    start = time.monotonic()
    found = calibrate(replace(mine, explainers=explainers), LinearModel.random(), works)
    assert time.monotonic() - start < 10
    assert found.explainers[bad.label].whole == (how == "raises")
    if how == "raises":
        assert found.explainers[mine.explainers[next(iter(mine.explainers))].label].rows > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_share_of_the_time_is_each_explainers_and_all_texts_take_what_they_are_long():
    costs = {"a": Cost(100, 3.0, 10, 1.0), "b": Cost(1, 0.5, 10, 0.5)}
    found = Calibration(2, 1000.0, 4.0, costs)
    assert found.shares(100.0) == {"a": 80.0, "b": 20.0}
    _, works = job()
    assert found.expected(works) == pytest.approx(4.0 * sum(work.units for work in works) / 1000.0)
    first, *lines = found.told(6000.0)
    assert "100 min" not in first
    assert "about 1 h 40 min, tried on 2 of the texts" in first
    assert lines[0].startswith("  a: 80 min, 100 rows and 3 s a text")


def test_a_time_of_which_a_part_is_not_known_is_more_than_what_is_known():
    tried = Calibration(2, 1000.0, 4.0, {"a": Cost(100, 3.0, 10, 1.0)})
    known = BlockCost("d", "m", 10, ("a",), ("entropy",), 10, 0, tried, 40.0)
    slow = replace(known, calibration=replace(tried, explainers={"a": Cost(100, 3.0, 10, 1.0, whole=False)}))
    untrained = replace(known, calibration=None, seconds=None, why="m would be trained first")
    documents = replace(untrained, texts=0, todo=0, why="its documents are looked for when it is run")
    done = replace(untrained, todo=0, before=10, why="")
    for blocks, end in (
        ((known, done), "10 results to do, 10 are there already; about 40 s in one process."),
        ((known, slow), "more than 80 s in one process."),
        ((known, untrained), "more than 40 s in one process."),
        (
            (known, documents),
            "10 results to do and more that cannot be counted yet, 0 are there already; more than",
        ),
        ((done,), "; nothing is left."),
        ((untrained,), "; nothing is known of the time."),
    ):
        assert end in PlanCost(blocks, Path("run"), "cpu").render(), end
    told = PlanCost((documents,), Path("run"), "cpu").render()
    assert "What it takes is not known: its documents are looked for" in told
    assert "All is done" not in told
    assert next(slow.calibration.told(6000.0)).startswith("more than 1 h 40 min")


def everything(folder: Path) -> dict[str, tuple[float, bytes]]:
    return {str(p): (p.stat().st_mtime, p.read_bytes()) for p in folder.rglob("*") if p.is_file()} | {
        str(p): (0.0, b"") for p in folder.rglob("*") if p.is_dir()
    }


def test_a_dry_run_says_what_would_be_run_and_writes_nothing(capsys, tmp_path: Path):
    cache = checkpoint().parents[2]
    before, cached = everything(tmp_path), everything(cache)
    models = ("--model", str(checkpoint()), "--model", "conv-tiny(seed=77)")
    words = ("--dataset", DATA, "--metric", "entropy", "--explainer", "occlusion", "--explainer", "random")
    ended = call(capsys, "run", *models, *words, "--limit", 3, "--out", "run", "--dry-run", "--device", "cpu")
    assert ended.status == 0, ended.err
    assert (everything(tmp_path), everything(cache)) == (before, cached)
    assert "3 texts × 2 explainers × 1 metric (entropy): 6 results to do, 0 are there." in ended.out
    assert "conv-tiny(seed=77) would be trained first" in ended.out
    assert "12 results to do, 0 are there already" in ended.out
    assert "| occlusion" in ended.out


@pytest.mark.parametrize(("size", "timeout", "said"), [(1, 60, 1), (1, None, 0), (10**9, 60, 0)])
def test_a_large_run_that_tries_nothing_first_names_the_dry_run(size, timeout, said, capsys, monkeypatch):
    monkeypatch.setattr("faithbench.running.scoring.SIZE", size)
    words = ["--dataset", DATA, "--model", "conv-tiny", "--explainer", "random", "--metric", "entropy", "--limit", "2"]
    ended = call(capsys, "run", *words, *([] if timeout is None else ["--timeout", timeout]))
    assert ended.status == 0
    assert ended.err.count(UNTRIED) == said


def test_what_is_there_is_counted(tmp_path: Path):
    plan = faithbench.Plan((DATA,), (str(checkpoint()),), ("occlusion", "random"), ("entropy",), limit=4)
    faithbench.run(faithbench.Plan((DATA,), (str(checkpoint()),), ("random",), ("entropy",), limit=3), "run", "cpu")
    found = faithbench.cost(plan, "run", "cpu")
    (block,) = found.blocks
    assert (block.todo, block.before) == (5, 3)
    assert block.seconds > 0
    frame = found.frame()
    assert set(frame["explainer"]) == {"occlusion", "random"}
    assert frame["seconds"].sum() + block.besides == pytest.approx(block.seconds)
    assert not block.besides  # a run that has ended has counted them all
    new = faithbench.cost(plan, "new", "cpu")
    assert new.blocks[0].besides > 0
    assert "the classes that it predicts are counted on 36 texts more, one row each: about" in new.render()
    faithbench.run(plan, "run", "cpu")
    done = faithbench.cost(plan, "run", "cpu")
    assert (done.blocks[0].todo, done.blocks[0].before) == (0, 8)
    assert "All is done." in done.render()


def test_models_that_are_not_tiny_are_given_what_costs_little(capsys):
    plan = faithbench.Plan((DATA,), (str(checkpoint()),))
    usual = usual_explainers(plan)
    assert set(usual.left_out) == {"lime", "kernel_shap", "shap_sampl"}
    assert {"occlusion", "random", "saliency"} <= set(usual.explainers)
    assert "--explainer all runs" in usual.line
    assert not usual_explainers(faithbench.Plan((DATA,), ("conv-tiny", "bcos-tiny(b=2.0)"))).explainers
    assert not usual_explainers(faithbench.Plan((DATA,), (str(checkpoint()),), ("lime",))).explainers
    words = ("--model", str(checkpoint()), "--dataset", DATA, "--metric", "entropy", "--limit", 2, "--device", "cpu")
    ended = call(capsys, "run", *words, "--dry-run")
    assert usual.line in " ".join(ended.err.split())
    assert "kernel_shap" not in ended.out
    every = call(capsys, "run", *words, "--dry-run", "--explainer", "all")
    assert usual.line not in " ".join(every.err.split())
    assert "kernel_shap" in every.out


def test_a_plan_in_a_file_that_names_no_explainers_keeps_all(capsys, tmp_path: Path):
    path = tmp_path / "plan.toml"
    path.write_text(f'datasets = ["{DATA}"]\nmodels = ["{checkpoint()}"]\nmetrics = ["entropy"]\nlimit = 2\n')
    ended = call(capsys, "run", "--plan", path, "--dry-run", "--device", "cpu")
    assert "kernel_shap" in ended.out
    assert "cost little" not in ended.err


def test_explainers_are_called_dear_that_ask_for_hundreds_of_rows():
    """On a text as long as those of reviews; what a linear model cannot be asked does not ask for rows."""
    explainers = {c.identity: c for c in select_components(faithbench.Plan((DATA,), ("conv-tiny",))).explainers}
    metrics = {(c := build("metric", "entropy")).identity: c}
    mine = Job({"model": "m", "dataset": "d", "dataset_fingerprint": "", "model_fingerprint": ""}, explainers, metrics)
    work = Work(text(0, 150), tuple((e, m) for e in explainers for m in metrics))
    rows = {
        row["explainer"]: row["rows"]
        for scored in score_piece(mine, LinearModel.random(), Piece(0, (work,)))
        for row in scored.attributions
    }
    assert {name for name, count in rows.items() if count > 500} == {
        name for name, each in explainers.items() if each.traits.dear
    }
    assert not Traits().dear
