"""The command line: a mistake is one sentence and status 2 and leaves nothing behind; the rest is counted and said."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from fixtures_run import DATA, Ended, add_distribution, call, checkpoint, trained_cache, use_cache

import faithbench
from faithbench.records.store import Store
from faithbench.training.checkpoint import load

EXPLAINERS = '''
from dataclasses import dataclass

import numpy as np

from faithbench.questions import Gradients, Logits
from faithbench.types import Attribution

BROKEN = True


@dataclass(frozen=True)
class Raising:
    """Raises on every other text."""

    def __call__(self, text, target):
        if BROKEN and int(text.id.split("-")[1]) % 2:
            raise RuntimeError("no oil\\nno light")
        return Attribution(text.id, target, np.linspace(0, 1, len(text)))


@dataclass(frozen=True)
class Short:
    """Gives a score too few."""

    def __call__(self, text, target):
        return Attribution(text.id, target, np.ones(len(text) - 1))


@dataclass(frozen=True)
class Late:
    """Raises when it has its answer."""

    def __call__(self, text, target):
        yield Gradients(text, target)
        raise MemoryError("full")


@dataclass(frozen=True)
class WrongMask:
    """Asks for a mask of another length."""

    def __call__(self, text, target):
        logits = yield Logits(text, np.ones((2, len(text) + 1), dtype=bool))
        return Attribution(text.id, target, np.full(len(text), logits[0, target]))


@dataclass(frozen=True)
class NoQuestion:
    """Asks what is no question."""

    def __call__(self, text, target):
        yield "how do you do?"


@dataclass(frozen=True)
class WrongClass:
    """Asks for a class that the model does not have."""

    def __call__(self, text, target):
        answer = yield Gradients(text, 7)
        return Attribution(text.id, target, answer.gradient.sum(axis=-1))


@dataclass(frozen=True)
class Sized:
    """Cannot be made without a size."""

    size: int
'''
IMPORTS = """
import sys

from faithbench import cli

sys.argv = ["faithbench", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as ended:
    status = ended.code
print(status or 0, [name for name in ("torch", "transformers", "pandas") if name in sys.modules])
"""


@pytest.fixture(autouse=True)
def _trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """`conv-tiny` and `bcos-tiny`, trained on `DATA`."""
    use_cache(monkeypatch, trained_cache())


@pytest.fixture
def _acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution of faulty explainers."""
    names = {"raising": "Raising", "short": "Short", "late": "Late"}
    add_explainers(tmp_path, monkeypatch, names)


def add_explainers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> None:
    """Installs classes of `EXPLAINERS` under these names."""
    entries = {"explainers": {name: f"acme_faults:{kind}" for name, kind in names.items()}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "acme", "acme", entries, {"acme_faults": EXPLAINERS}))
    monkeypatch.delitem(sys.modules, "acme_faults", raising=False)


def command(**changes: object) -> list[str]:
    """A small run that works, but for the changes. None leaves an option out, True makes it a flag."""
    options = {"model": "conv-tiny", "dataset": DATA, "explainer": "random", "metric": "entropy", "limit": 4} | changes
    args = ["run"]
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                args += [f"--{name.replace('_', '-')}", *([] if each is True else [str(each)])]
    return args


def file(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def damaged_checkpoint(folder: Path, value: float = float("nan")) -> Path:
    """A copy of conv-tiny whose head has this weight everywhere."""
    shutil.copytree(checkpoint(), folder)
    network = load(folder)
    with torch.no_grad():
        network.classifier.weight.fill_(value)
    network.save_pretrained(folder)
    return folder


def assert_refused(ended: Ended, *words: str) -> None:
    """One sentence, with these words, as the only thing said; status 2."""
    assert ended.status == 2
    assert "Traceback" not in ended.err
    assert ended.err.splitlines() == ended.complaints
    assert len(ended.complaints) == 1
    assert ended.out == ""
    assert [word for word in words if word not in ended.complaints[0]] == []


def on_file(content: str | bytes, name: str = "data.csv"):
    """Options of a run on a file with this content."""
    return lambda place: {"model": checkpoint(), "dataset": file(place, content, name)}


def with_plan(content: str):
    """Options of a run of a plan with this content."""
    nothing = dict.fromkeys(("model", "dataset", "explainer", "metric", "limit"))
    return lambda place: nothing | {"plan": file(place, content, "plan.toml")}


PLAN = f'datasets = ["{DATA}"]\nmodels = ["conv-tiny"]\n'
LABELLED = 'text,label\n"a film",0\n"the plot",1\n'
MISTAKES = {
    "unknown model": (lambda _: {"model": "conv-tinny"}, ["'conv-tinny'", "model", "did you mean conv-tiny"]),
    "unknown explainer": (lambda _: {"explainer": "ocluson"}, ["'ocluson'", "explainer", "did you mean occlusion"]),
    "unknown metric": (lambda _: {"metric": "sufficency"}, ["'sufficency'", "metric", "did you mean sufficiency"]),
    "unknown dataset": (lambda _: {"dataset": "plantd"}, ["'plantd'", "dataset", "did you mean planted"]),
    "nothing like it": (lambda _: {"metric": "xyzzy"}, ["'xyzzy'", "known: ", "comprehensiveness"]),
    "unknown parameter": (lambda _: {"dataset": "planted(sed=1)"}, ["'sed'", "'planted'", "did you mean seed"]),
    "refused dataset value": (lambda _: {"dataset": "planted(train=0)"}, ["train=0", "at least 1"]),
    "refused model value": (lambda _: {"model": "bcos-tiny(b=0.5)"}, ["b=0.5", "at least 1"]),
    "refused explainer value": (lambda _: {"explainer": "attention(variant=cooked)"}, ["'cooked'", "raw or rollout"]),
    "refused metric value": (lambda _: {"metric": "entropy(part=some)"}, ["'some'", "absolute or positive"]),
    "malformed spec": (lambda _: {"explainer": "random(seed="}, ["'random(seed='", "name(key=value"]),
    "unknown device": (lambda _: {"device": "gpu"}, ["'gpu'", "cpu, cuda or mps"]),
    "unknown dtype": (lambda _: {"dtype": "int8"}, ["'int8'", "float32"]),
    "unknown split": (lambda _: {"split": "dev"}, ["'dev'", "validation"]),
    "unknown protocol": (lambda _: {"metric": "sufficiency", "protocol": "lax"}, ["'lax'", "strict or paper"]),
    "no texts": (lambda _: {"limit": 0}, ["limit=0", "positive"]),
    "no epochs": (lambda _: {"epochs": 0}, ["epochs=0", "positive"]),
    "metric that does not fit": (
        lambda place: on_file(LABELLED)(place) | {"metric": "evidence"},
        ["'evidence'", "data.csv", "lacks"],
    ),
    "no file": (lambda place: {"dataset": place / "none.csv"}, ["none.csv", "does not exist"]),
    "no text column": (on_file("txt,label\na,0\nb,1\n"), ["'text'", "data.csv", "did you mean txt"]),
    "no rows": (on_file("text,label\n"), ["data.csv", "no rows"]),
    "empty texts alone": (on_file("text,label\n ,0\n   ,1\n"), ["data.csv", "no rows", "row 1: its text is empty"]),
    "a comma without quotes": (on_file("text,label\na, b,0\n"), ["data.csv", "row 1 has 3 fields", "quotes"]),
    "mixed labels": (on_file("text,label\na,0\nb,good\n"), ["data.csv", "row 2", "'good'", "column 'label'"]),
    "no token": (on_file("text,label\n\u200d,0\n\u200b,1\n"), ["2 of 2 rows", "empty", "no token"]),
    "huge label": (on_file("text,label\na,0\nb,5000\n"), ["data.csv", "label 5000", "out of range"]),
    "more classes than the model": (on_file("text,label\na,0\nb,1\nc,2\n"), ["data: 0, 1, 2", "0 to 1"]),
    "malformed JSON lines": (on_file('{"text": "a" "label": 0}\n', "data.jsonl"), ["data.jsonl", "cannot be read"]),
    "corrupt data": (on_file(b"PAR1 no", "data.parquet"), ["data.parquet", "cannot be read"]),
    "not UTF-8": (on_file(b"text,label\n\xff\xfe,0\n"), ["data.csv", "cannot be read"]),
    "no split": (lambda place: on_file(LABELLED)(place) | {"split": "train"}, ["data.csv", "no train split"]),
    "spreadsheet": (lambda place: {"dataset": file(place, "", "data.xlsx")}, ["data.xlsx", "CSV"]),
    "columns of a named data set": (lambda _: {"label": "stars"}, ["--label", DATA, "neither"]),
    "column that is not there": (lambda place: on_file(LABELLED)(place) | {"pair": "reply"}, ["'reply'", "data.csv"]),
    "unknown kind of file": (lambda place: {"dataset": file(place, "", "data.xyz")}, ["data.xyz", ".csv"]),
    "no checkpoint": (lambda place: {"model": place}, ["not a readable checkpoint"]),
    "never trained": (lambda _: {"dataset": "planted(seed=9)", "no_train": True}, ["conv-tiny", "planted", "seed=9"]),
    "trained otherwise": (lambda _: {"epochs": 3}, ["conv-tiny", "epochs=4", "delete"]),
    "plan that is not there": (
        lambda place: with_plan("")(place) | {"plan": "none.toml"},
        ["none.toml", "cannot be read"],
    ),
    "plan that is not TOML": (with_plan("datasets = planted"), ["plan.toml", "TOML"]),
    "unknown plan key": (with_plan(PLAN + "limits = 3\n"), ["'limits'", "plan.toml", "did you mean limit"]),
    "unknown training key": (with_plan(PLAN + "[training]\nepoch = 3\n"), ["'epoch'", "did you mean epochs"]),
    "plan without models": (with_plan('datasets = ["planted"]'), ["models"]),
    "plan with a name for a list": (with_plan('datasets = "planted"\nmodels = ["conv-tiny"]'), ["datasets", "list"]),
    "plan with a text for a number": (with_plan(PLAN + 'limit = "3"\n'), ["plan.toml"]),
    "JSON lines that are no objects": (on_file("5\n6\n", "data.jsonl"), ["data.jsonl", "row 1"]),
    "dataset value of a wrong type": (lambda _: {"dataset": "planted(train=2.5)"}, ["train=2.5"]),
    "dataset value that fails late": (lambda _: {"dataset": "planted(seed=-1)"}, ["seed=-1"]),
    "part of a text for a limit": (with_plan(PLAN + "limit = 2.5\n"), ["limit=2.5"]),
    "endless model name": (lambda _: {"model": "m" * 300}, ["mmm", "model"]),
    "endless file name": (lambda _: {"dataset": "m" * 300 + ".csv"}, ["mmm.csv"]),
    "protocol that nothing has": (lambda _: {"protocol": "lax"}, ["'lax'", "strict or paper"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options, words = MISTAKES[name]
    ended = call(capsys, *command(**{"out": tmp_path / "run"} | options(tmp_path)))
    assert_refused(ended, *words)
    assert list(tmp_path.rglob("records")) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_that_is_not_there_is_refused(device, tmp_path, capsys):
    assert_refused(call(capsys, *command(device=device, out=tmp_path / "run")), repr(device), "none; use cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_whose_logits_are_no_numbers_fails_its_texts(value, tmp_path, capsys):
    model = damaged_checkpoint(tmp_path / "model", value)
    ended = call(capsys, *command(model=model, explainer="occlusion", out=tmp_path / "run"))
    assert ended.status == 1
    assert "there is nothing to explain: QuestionError: the model gives logits that are not finite" in ended.err
    assert "(4 texts)" in ended.err
    assert "Traceback" not in ended.err
    assert Store(tmp_path / "run").read("records")["error"].notna().all()


def test_a_checkpoint_of_another_data_set_is_refused(tmp_path, capsys, monkeypatch):
    rows = [{"id": str(i), "tokens": ["a", "b"], "label": i % 3, "rationale_union": [0, 1]} for i in range(6)]
    (tmp_path / "hatexplain").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "hatexplain" / "test.parquet")
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    ended = call(capsys, *command(model=checkpoint(), dataset="hatexplain", out=tmp_path / "run"))
    assert_refused(ended, str(checkpoint()), "was trained on planted(", "not on hatexplain(")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_without_a_head_is_refused(tmp_path, capsys):
    shutil.copytree(checkpoint(), tmp_path / "model")
    network = load(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    network.bert.save_pretrained(tmp_path / "model")
    ended = call(capsys, *command(model=tmp_path / "model", out=tmp_path / "run"))
    assert_refused(ended, "classifier")


@pytest.mark.parametrize("kind", ["attributions", "records"])
def test_a_corrupt_part_in_the_run_folder_is_named_and_nothing_is_changed(kind, tmp_path, capsys):
    assert call(capsys, *command(out=tmp_path / "run")).status == 0
    part = file(tmp_path / "run" / kind, b"PAR1 damaged", "9.parquet")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    ended = call(capsys, *command(out=tmp_path / "run", limit=6))
    assert_refused(ended, str(part), "delete it")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before
    if kind == "records":
        assert_refused(call(capsys, "table", tmp_path / "run"), str(part), "delete it")
    part.unlink()
    assert call(capsys, *command(out=tmp_path / "run", limit=6)).status == 0


@pytest.mark.parametrize("below", ["", "run"])
def test_a_folder_that_cannot_be_written_is_refused(below, tmp_path, capsys):
    out = file(tmp_path, "mine", "taken") / below
    assert_refused(call(capsys, *command(out=out)), str(out), "cannot be written")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dataset": "imdb"}, ["'imdb'", "hub cannot be reached", "FAITHBENCH_DATA", "imdb/test.parquet"]),
        ({"model": "conv-bert"}, ["'bert'", "hub cannot be reached", "FAITHBENCH_BACKBONES", "bert/"]),
        ({"model": "nobody/nothing@main"}, ["'nobody/nothing@main'", "hub", "cannot be reached"]),
    ],
    ids=str,
)
def test_a_hub_that_cannot_be_reached_is_said_with_the_way_around_it(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    ended = call(capsys, *command(**options, out=tmp_path / "run"))
    assert ended.status == 2
    assert "Traceback" not in ended.err
    assert len(ended.complaints) == 1
    assert ended.err.splitlines()[-1:] == ended.complaints
    assert [word for word in words if word not in ended.complaints[0]] == []
    assert list(tmp_path.rglob("records")) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", ["script", "module"])
def test_the_installed_command_ends_with_status_2_and_one_sentence(way, tmp_path):
    """`faithbench`, and `python -m faithbench`."""
    script = [Path(sys.executable).with_name("faithbench")]
    started = script if way == "script" else [sys.executable, "-m", "faithbench"]
    done = subprocess.run([*started, "table", tmp_path / "none"], capture_output=True, text=True, check=False)
    assert_refused(Ended(done.returncode, done.stdout, done.stderr), "none is not a run")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run", "--modle", "conv-tiny"], ["No such option: --modle"]),
        (["run", "--limit", "many"], ["'--limit'", "valid integer"]),
        (["train", "--model", "conv-tiny"], ["Missing option '--dataset'"]),
        (["tabel"], ["No such command 'tabel'"]),
        (["table"], ["Missing argument"]),
    ],
)
def test_a_wrong_option_is_said_with_status_2(args, words, capsys):
    ended = call(capsys, *args)
    assert ended.status == 2
    assert "Traceback" not in ended.err
    assert [word for word in words if word not in ended.err] == []


def test_a_table_needs_a_run_with_records_and_a_known_format(tmp_path, capsys):
    assert_refused(call(capsys, "table", tmp_path), str(tmp_path), "not a run")
    (tmp_path / "records").mkdir()
    assert_refused(call(capsys, "table", tmp_path), str(tmp_path), "no records yet")
    assert call(capsys, *command(out=tmp_path)).status == 0
    assert_refused(call(capsys, "table", tmp_path, "--format", "latx"), "'latx'", "markdown", "csv")


def test_the_table_of_a_run_is_that_which_the_run_printed(tmp_path, capsys):
    ran = call(capsys, *command(out=tmp_path / "run", metric=["entropy", "evidence"]))
    shown = call(capsys, "table", tmp_path / "run")
    assert (ran.status, shown.status, shown.err) == (0, 0, "")
    assert shown.out.strip() in ran.out
    lines = call(capsys, "table", tmp_path / "run", "--format", "csv").out.splitlines()
    assert {"dataset", "model", "explainer", "metric", "mean", "low", "high", "n", "failed"} <= set(lines[0].split(","))
    assert len(lines) == 3


def test_a_run_lists_the_files_that_it_wrote(tmp_path, capsys):
    ended = call(capsys, *command(out=tmp_path / "run"))
    assert "4 results done, 0 were there before." in ended.out
    for path in (path for path in (tmp_path / "run").rglob("[!.]*") if path.is_file()):
        assert f"  {path}\n" in ended.out
    assert faithbench.read_plan(tmp_path / "run" / "plan.toml") == faithbench.Plan(
        (DATA,), ("conv-tiny",), ("random",), ("entropy",), limit=4
    )


def test_texts_longer_than_the_model_reads_are_cut_counted_and_reported(tmp_path, capsys):
    long = "awful " * 200
    data = file(tmp_path, f"text,label\n{long},0\na superb film,1\nthe {long},0\n")
    ended = call(capsys, *command(model=checkpoint(), dataset=data, out=tmp_path / "run"))
    assert ended.status == 0
    assert "2 of 3 texts" in ended.err
    assert "were cut to the model's limit" in ended.err
    (model,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["models"].values()
    assert model["truncated_texts"] == 2
    header, _, row = ended.out.splitlines()[:3]
    cells = dict(zip(header.split("|"), row.split("|"), strict=True))
    assert {name.strip(): value.strip() for name, value in cells.items()}["texts cut"] == "2"
    lengths = pq.read_table(tmp_path / "run" / "attributions")["scores"].to_pylist()
    assert max(map(len, lengths)) == 128


@pytest.mark.usefixtures("_acme")
def test_a_component_that_raises_fails_its_own_cells_only_until_it_is_mended(tmp_path, capsys):
    again = command(
        explainer=["raising", "random", "short", "late"], metric=["entropy", "evidence"], out=tmp_path / "run"
    )
    ended = call(capsys, *again)
    assert ended.status == 1
    frame = faithbench.table([tmp_path / "run"]).set_index(["explainer", "metric"])
    assert frame["n"]["random(seed=0)", "entropy(part=absolute, normalised=False)"] == 4
    assert frame["n"]["random(seed=0)", "evidence"] == 4
    broken = frame["failed"]["raising", "evidence"]
    assert 0 < broken < 4
    assert frame["n"]["raising", "evidence"] == 4 - broken
    assert frame["failed"]["short", "evidence"] == frame["failed"]["late", "evidence"] == 4
    assert f"({broken} failed)" in ended.out
    assert "(4 failed)" in ended.out
    assert "RuntimeError: no oil" in ended.err
    assert "MemoryError: full" in ended.err
    assert "scores of shape" in ended.err
    sys.modules["acme_faults"].BROKEN = False
    mended = call(capsys, *again[: again.index("short") - 1], *again[again.index("late") + 1 :])
    assert mended.status == 0
    assert f"{2 * broken} results done, {16 - 2 * broken} were there before." in mended.out
    frame = faithbench.table([tmp_path / "run"]).set_index(["explainer", "metric"])
    assert (frame["n"]["raising", "evidence"], frame["failed"]["raising", "evidence"]) == (4, 0)


@pytest.mark.parametrize("kind", ["WrongMask", "NoQuestion", "WrongClass"])
def test_a_component_that_asks_nonsense_fails_its_own_cells_only(kind, tmp_path, capsys, monkeypatch):
    add_explainers(tmp_path, monkeypatch, {"faulty": kind})
    ended = call(capsys, *command(explainer=["faulty", "random"], out=tmp_path / "run"))
    assert ended.status == 1
    frame = faithbench.table([tmp_path / "run"]).set_index("explainer")
    assert (frame["n"]["random(seed=0)"], frame["failed"]["faulty"]) == (4, 4)


@pytest.mark.slow
@pytest.mark.parametrize(("target", "said"), [("no_such_module:Lamp", True), ("acme_faults:Sized", False)])
def test_a_run_of_everything_leaves_out_what_cannot_run_unnamed(target, said, tmp_path, capsys, monkeypatch):
    """What is broken is named; what has to be told something first is not expected to run."""
    entries = {"explainers": {"faulty": target}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "acme", "acme", entries, {"acme_faults": EXPLAINERS}))
    ended = call(capsys, *command(explainer=None, out=tmp_path / "run", limit=1))
    assert ended.status == 0
    assert ("'faulty'" in ended.err) == said
    assert "faulty" not in ended.out
    assert "random" in set(faithbench.table([tmp_path / "run"])["explainer"].str.partition("(")[0])


def test_a_broken_plugin_that_is_asked_for_is_refused_by_name(tmp_path, capsys, monkeypatch):
    entries = {"explainers": {"faulty": "no_such_module:Lamp"}}
    monkeypatch.syspath_prepend(add_distribution(tmp_path / "acme", "acme", entries, {}))
    assert_refused(call(capsys, *command(explainer="faulty", out=tmp_path / "run")), "'faulty'", "acme 1.0")
    listed = call(capsys, "list", "explainer")
    assert listed.status == 0
    assert "BROKEN" in listed.out
    assert "random" in listed.out


def test_the_list_shows_whole_names(capsys):
    assert "comprehensiveness" in call(capsys, "list", "metric").out


@pytest.mark.slow
@pytest.mark.parametrize("args", [["--help"], ["list"], ["run", "--help"], ["run", "--plan", "none.toml"]])
def test_what_needs_no_model_imports_no_torch(args):
    done = subprocess.run([sys.executable, "-c", IMPORTS, *args], capture_output=True, text=True, check=False)
    status, _, modules = done.stdout.splitlines()[-1].partition(" ")
    assert status == ("2" if "none.toml" in args else "0")
    assert modules == "[]"


def test_training_says_its_accuracy_and_is_not_repeated(capsys):
    for _ in range(2):
        ended = call(capsys, "train", "--model", "conv-tiny", "--dataset", DATA, "--epochs", "4", "--lr", "5e-3")
        assert ended.status == 0
        assert ended.out.startswith("Test accuracy ")
        assert "on 40 texts. Checkpoint:" in ended.out


def test_training_prints_the_path_of_the_checkpoint_in_one_piece(capsys):
    assert str(checkpoint()) in call(capsys, "train", "--model", "conv-tiny", "--dataset", DATA).out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "conv-tinny"}, ["'conv-tinny'", "did you mean conv-tiny"]),
        ({"dataset": "plantd"}, ["'plantd'", "did you mean planted"]),
        ({"model": "some/folder"}, ["'some/folder'"]),
        ({"epochs": 3}, ["conv-tiny", "epochs=4", "not 3", "delete"]),
        ({"epochs": 0}, ["epochs=0", "positive"]),
        ({"lr": -1}, ["lr=-1.0", "positive"]),
        ({"batch_size": 0}, ["batch_size=0", "positive"]),
    ],
    ids=str,
)
def test_a_mistake_in_training_is_one_sentence(options, words, capsys):
    args = command(**{"explainer": None, "metric": None, "limit": None} | options)[1:]
    assert_refused(call(capsys, "train", *args), *words)
