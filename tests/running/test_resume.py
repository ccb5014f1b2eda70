"""Runs that are killed, repeated, widened or pointed to other weights: nothing is lost, done twice or mixed up."""

import importlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures_run import DATA, add_distribution, call, checkpoint, trained_cache, use_cache
from rich.console import Console

import faithbench
from faithbench.plugins.naming import build_dataset
from faithbench.records.store import IDENTITY, Store, read_part
from faithbench.running.grid import load_examples, select_components
from faithbench.running.scoring import Scoring
from faithbench.training.checkpoint import load
from faithbench.training.prepare import prepare
from faithbench.training.setup import Setup

# Runs one plan in forked children of one process that has imported everything: once undisturbed, then in three folders,
# killed at four, three and three moments, each when a random number of parts more is there, and finished by one start
# more. Prints what each kill left behind.
KILLS = """
import dataclasses
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import faithbench
import faithbench.records.store

torch.set_num_threads(1)
faithbench.records.store.FLUSH_SECONDS = 0.0
folder, plan = Path(sys.argv[1]), faithbench.Plan(**json.loads(sys.argv[2]))
warm = dataclasses.replace(plan, explainers=("occlusion", "random"), limit=1)
faithbench.run(warm, folder / "warm", device="cpu")  # imports all, once; no gradients: a fork loses their threads


def start(out):
    child = os.fork()
    if child == 0:
        try:
            faithbench.run(plan, out, device="cpu")
            os._exit(0)
        finally:
            os._exit(1)
    return child


def finish(out):
    assert os.waitpid(start(out), 0)[1] == 0


def parts(out):
    return len(list(out.glob("records/*.parquet")))


def ended(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


finish(folder / "undisturbed")
moment, left = random.Random(int(sys.argv[3])), []
for kills in (4, 3, 3):
    out = folder / f"killed-{len(left)}"
    for _ in range(kills):
        more = parts(out) + moment.randint(0, 5)
        child = start(out)
        while parts(out) < more and not ended(child):
            time.sleep(0.001)
        time.sleep(moment.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        left.append((killed, parts(out)))
    finish(out)
print(json.dumps(left))
"""
OCCLUSION, ENTROPY, SUFFICIENCY = "occlusion", "entropy", "sufficiency"


@pytest.fixture(autouse=True)
def _trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """`conv-tiny` and `bcos-tiny`, trained on `DATA`."""
    use_cache(monkeypatch, trained_cache())


def plan(**changes) -> faithbench.Plan:
    """A small plan, but for the changes."""
    options = {"datasets": (DATA,), "models": ("conv-tiny",), "explainers": (OCCLUSION,), "metrics": (ENTROPY,)}
    return faithbench.Plan(**{**options, "limit": 6, "dtype": "float64", **changes})


def records(folder: Path) -> pd.DataFrame:
    """All records in a fixed order."""
    return Store(folder).read("records").sort_values(IDENTITY["records"], ignore_index=True)


def raw(folder: Path, kind: str = "records") -> pd.DataFrame:
    """The rows of all parts as they lie there, repetitions included."""
    return pd.concat([read_part(path, kind) for path in sorted((folder / kind).glob("*.parquet"))], ignore_index=True)


def assert_same(one: pd.DataFrame, two: pd.DataFrame) -> None:
    """The same identities and targets; values within 1e-6."""
    names = [*IDENTITY["records"], "target", "error"]
    pd.testing.assert_frame_equal(one[names], two[names])
    np.testing.assert_allclose(one["value"], two["value"], atol=1e-6)
    for a, b in zip(one["parts"], two["parts"], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def rows_asked(console: Console) -> int:
    """What a run said that it asked of the model; 0 if it said nothing."""
    lines = [line for line in console.file.getvalue().splitlines() if "rows asked" in line]
    return sum(int(line.split(": ")[-1].split(" ")[0].replace(",", "")) for line in lines)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_runs_killed_at_ten_moments_end_with_the_records_of_an_undisturbed_run(tmp_path):
    grid = {
        "datasets": [DATA],
        "models": ["bcos-tiny"],
        "explainers": ["bcos", OCCLUSION, "random"],
        "metrics": ["comprehensiveness", ENTROPY, "evidence"],
        "limit": 8,
        "dtype": "float64",
    }
    args = [sys.executable, "-c", KILLS, str(tmp_path), json.dumps(grid), "0"]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    assert len(left) == 10
    assert sum(killed and parts > 0 for killed, parts in left) >= 6  # most kills came in the midst of it
    expected = records(tmp_path / "undisturbed")
    assert len(expected) == 3 * 3 * 8
    for folder in tmp_path.glob("killed-*"):
        assert_same(records(folder), expected)
        assert not raw(folder).duplicated(IDENTITY["records"]).any()
        assert not raw(folder, "attributions").duplicated(IDENTITY["attributions"]).any()
        assert faithbench.render([folder], "csv") == faithbench.render([tmp_path / "undisturbed"], "csv")


def test_running_again_does_nothing(tmp_path):
    first = faithbench.run(plan(), tmp_path, device="cpu")
    before = files(tmp_path)
    console = Console(file=io.StringIO())
    second = faithbench.run(plan(), tmp_path, device="cpu", console=console)
    assert (first.done, first.before, first.failed) == (6, 0, 0)
    assert (second.done, second.before, second.failed) == (0, 6, 0)
    assert rows_asked(console) == 0
    assert files(tmp_path) == before


def test_a_metric_more_asks_only_for_its_rows_and_explains_nothing_again(tmp_path):
    faithbench.run(plan(explainers=(OCCLUSION, "bcos")), tmp_path, device="cpu")
    before, attributions = records(tmp_path), files(tmp_path / "attributions")
    console = Console(file=io.StringIO())
    more = plan(explainers=(OCCLUSION, "bcos"), metrics=(ENTROPY, SUFFICIENCY))
    result = faithbench.run(more, tmp_path, device="cpu", console=console)
    assert (result.done, result.before) == (12, 12)
    assert rows_asked(console) == 6 * (1 + 2 * 10)  # the prediction, and for each explainer the text and nine ratios
    assert files(tmp_path / "attributions") == attributions
    after = records(tmp_path)
    assert_same(after[after["metric"].str.startswith(ENTROPY)].reset_index(drop=True), before)


def test_an_explainer_more_leaves_the_others_alone(tmp_path):
    faithbench.run(plan(), tmp_path, device="cpu")
    before = records(tmp_path)
    result = faithbench.run(plan(explainers=(OCCLUSION, "random")), tmp_path, device="cpu")
    assert (result.done, result.before) == (6, 6)
    assert_same(records(tmp_path).query("explainer != 'random(seed=0)'").reset_index(drop=True), before)


def test_other_parameters_are_another_result(tmp_path):
    faithbench.run(plan(explainers=("random",)), tmp_path, device="cpu")
    result = faithbench.run(plan(explainers=("random(seed=1)",)), tmp_path, device="cpu")
    assert (result.done, result.before) == (6, 0)
    assert set(records(tmp_path)["explainer"]) == {"random(seed=0)", "random(seed=1)"}


@pytest.mark.slow
def test_a_larger_limit_contains_the_texts_of_a_smaller(tmp_path):
    faithbench.run(plan(limit=5), tmp_path / "run", device="cpu")
    before = records(tmp_path / "run")
    result = faithbench.run(plan(limit=12), tmp_path / "run", device="cpu")
    assert (result.done, result.before) == (7, 5)
    after = records(tmp_path / "run")
    assert set(before["unit"]) < set(after["unit"])
    assert_same(after[after["unit"].isin(before["unit"])].reset_index(drop=True), before)
    faithbench.run(plan(limit=12), tmp_path / "fresh", device="cpu")
    assert_same(after, records(tmp_path / "fresh"))
    everything = faithbench.run(plan(limit=None), tmp_path / "run", device="cpu")
    assert (everything.done, everything.before) == (28, 12)


def other_weights(folder: Path) -> None:
    """Changes the head of a checkpoint in place."""
    network = load(folder)
    with torch.no_grad():
        network.classifier.weight.mul_(1.5)
    network.save_pretrained(folder)


@pytest.mark.slow
def test_other_weights_in_the_same_folder_are_another_model(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(checkpoint(), model)
    faithbench.run(plan(models=(str(model),)), tmp_path / "run", device="cpu")
    before = records(tmp_path / "run")
    other_weights(model)
    result = faithbench.run(plan(models=(str(model),)), tmp_path / "run", device="cpu")
    assert (result.done, result.before) == (6, 0)
    after = records(tmp_path / "run")
    old = after["model_fingerprint"].isin(before["model_fingerprint"])
    assert (old.sum(), (~old).sum()) == (6, 6)
    assert_same(after[old].reset_index(drop=True), before)


@pytest.mark.slow
def test_the_table_of_a_run_with_two_states_of_a_model_shows_both(tmp_path):
    model = tmp_path / "model"
    shutil.copytree(checkpoint(), model)
    for _ in range(2):
        faithbench.run(plan(models=(str(model),)), tmp_path / "run", device="cpu")
        other_weights(model)
    assert faithbench.table([tmp_path / "run"])["n"].tolist() == [6, 6]
    assert faithbench.render([tmp_path / "run"]).count("| occlusion") == 2


def test_the_table_of_a_run_with_two_states_of_a_data_file_does_not_mix_them(tmp_path):
    data = tmp_path / "data.csv"
    for texts in (("the awful film", "a superb plot"), ("the grim film", "a lively plot", "a warm scene")):
        data.write_text("text,label\n" + "".join(f"{text},{i % 2}\n" for i, text in enumerate(texts)))
        faithbench.run(plan(datasets=(str(data),), models=(str(checkpoint()),)), tmp_path / "run", device="cpu")
    assert len(records(tmp_path / "run")) == 5
    assert sorted(faithbench.table([tmp_path / "run"])["n"]) == [2, 3]


VERSIONED = """
from dataclasses import dataclass

from faithbench.types import Measurement


@dataclass(frozen=True)
class Counted:
    version = 1

    def __call__(self, text, attribution):
        return Measurement(float(self.version))
"""


@pytest.fixture
def versioned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type:
    """The class of an installed metric whose value is its version."""
    entries = {"metrics": {"counted": "acme_counted:Counted"}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "acme", "acme", entries, {"acme_counted": VERSIONED}))
    monkeypatch.delitem(sys.modules, "acme_counted", raising=False)
    return importlib.import_module("acme_counted").Counted


def test_a_raised_version_is_measured_again(tmp_path, versioned):
    for versioned.version in (1, 2):
        result = faithbench.run(plan(metrics=("counted",)), tmp_path / "run", device="cpu")
        assert (result.done, result.before) == (6, 0)
    assert sorted(records(tmp_path / "run")["value"]) == [1.0] * 6 + [2.0] * 6


def test_the_table_does_not_mix_versions(tmp_path, versioned):
    for versioned.version in (1, 2):
        faithbench.run(plan(metrics=("counted",)), tmp_path / "run", device="cpu")
    assert 1.5 not in faithbench.table([tmp_path / "run"])["mean"].tolist()


def test_a_plan_file_is_not_changed_by_running_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "board" / "plan.toml"
    path.parent.mkdir()
    path.write_text(f'# kept\ndatasets = ["{DATA}"]\nmodels = ["conv-tiny"]\nexplainers = ["random"]\n')
    before = path.read_text()
    assert call(capsys, "run", "--plan", path, "--limit", "2").status == 0
    assert path.read_text() == before
    assert faithbench.read_plan(tmp_path / "runs" / "board" / "plan.toml").limit == 2


def test_a_metric_more_sees_the_standard_errors_of_stored_explanations(tmp_path):
    sampled = "shap_sampl(n_permutations=4)"
    faithbench.run(plan(explainers=(sampled, "random")), tmp_path, device="cpu")
    asked = plan(explainers=(sampled, "random"))
    grid = load_examples(build_dataset(DATA), select_components(asked), asked.split, asked.limit)
    setup = Setup(dtype="float64")
    block = Scoring(grid, prepare("conv-tiny", grid.dataset, setup), Store(tmp_path), setup)
    stored = {
        name: a.standard_errors
        for name in block.explainers
        for example in grid.examples
        for a in block.remaining.attributions(name, example.id).values()
    }
    assert {name.split("(")[0]: errors is None for name, errors in stored.items()} == {
        "shap_sampl": False,
        "random": True,
    }
    assert all(np.isfinite(errors).all() for errors in stored.values() if errors is not None)
