"""Documents of the Sequence Pointing Game in runs: built once, kept, read by all models of a backbone, built anew."""

import io
import json
import shutil
from pathlib import Path

import pytest
from fixtures_run import DATA, TRAINING, add_distribution, call, checkpoint, trained_cache, use_cache
from rich.console import Console

import faithbench
from faithbench.datasets.file import File
from faithbench.datasets.planted import Planted
from faithbench.datasets.seqpg import SeqPG
from faithbench.documents.building import ensure
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset, refer, resolve
from faithbench.training.prepare import Workshop
from faithbench.training.setup import Setup

METRIC = """
from dataclasses import dataclass
from faithbench.types import Measurement

@dataclass(frozen=True)
class Widths:
    least: int = 0
    @property
    def needs(self):
        return ("segments",)
    def __call__(self, text, attribution):
        sizes = [int((text.segments == i).sum()) for i in range(len(text.segment_classes))]
        return Measurement(float(min(sizes)), tuple(float(s) for s in sizes))
"""
SPEC = f"seqpg(dataset='{DATA}', segment=12, documents=6, confidence=0.5)"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nothing else of this machine."""
    use_cache(monkeypatch, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def models(cache: Path) -> Path:
    """A copy of the cache with trained models, so that they can be spoilt."""
    shutil.copytree(trained_cache(), cache, ignore=shutil.ignore_patterns("derived"))
    return cache


@pytest.fixture
def widths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A metric that needs segments, installed."""
    monkeypatch.syspath_prepend(
        add_distribution(tmp_path / "lab", "lab", {"metrics": {"widths": "laboratory:Widths"}}, {"laboratory": METRIC})
    )
    return "widths"


def said() -> Console:
    """A console whose words can be read."""
    return Console(file=io.StringIO(), width=10_000)


def words_of(console: Console) -> str:
    """What was said to it."""
    return console.file.getvalue()  # type: ignore[attr-defined]


def run(out: Path, models=("conv-tiny",), datasets=(SPEC,), metrics=("widths",), **options) -> str:
    """Runs a plan and gives what was said."""
    console = said()
    plan = faithbench.Plan(datasets, models, ("random",), metrics, training=TRAINING, **options)
    faithbench.run(plan, out, device="cpu", console=console)
    return words_of(console)


def test_documents_are_built_once_and_the_bcos_model_of_the_backbone_reads_the_same(models, widths, tmp_path):
    first = run(tmp_path / "conv")
    assert "6 documents" in first
    (path,) = models.glob("derived/*/test.jsonl")
    written = path.stat().st_mtime_ns, path.read_text()
    rows = [json.loads(line) for line in written[1].splitlines()]
    assert len(rows) == 6
    sources = {example.id: example for example in build_dataset(DATA).object.load("test")}
    for row in rows:
        cut = [sources[name].text.split()[:10] for name in row["sources"]]
        assert [row["text"][start:end].split() for start, end, _ in row["segments"]] == cut
        labels = [sources[name].label for name in row["sources"]]
        assert [label for *_, label in row["segments"]] == labels == [("bad", "good").index(c) for c in row["classes"]]
        assert row["label"] == labels[0]
        assert min(row["confidence"]) > 0.5

    second = run(tmp_path / "bcos", models=("bcos-tiny", "conv-tiny"))
    assert "Building" in first
    assert "Building" not in second
    assert (path.stat().st_mtime_ns, path.read_text()) == written
    table = faithbench.table([tmp_path / "bcos"])
    assert table.groupby("model")[["mean", "n"]].first().values.tolist() == [[10, 6], [10, 6]]
    assert table["dataset"].nunique() == table["dataset_fingerprint"].nunique() == 1
    assert "judge='conv-tiny(seed=42, masking=half)', segment=12" in table["dataset"][0]
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["documents"] == 6
    assert about["lost"]["texts"] - sum(n for k, n in about["lost"].items() if k != "texts") == sum(
        about["usable"].values()
    )


@pytest.mark.slow
def test_documents_of_a_judge_that_was_trained_anew_are_built_anew(models, widths, tmp_path):
    run(tmp_path / "run")
    (path,) = models.glob("derived/*/test.json")
    before = json.loads(path.read_text())
    shutil.rmtree(checkpoint())
    faithbench.train("conv-tiny", DATA, faithbench.Training(epochs=3, lr=5e-3), device="cpu")
    console = said()
    faithbench.build_documents(DATA, "conv-tiny", segment=12, documents=6, confidence=0.5, console=console)
    assert "judge has changed" in words_of(console)
    after = json.loads(path.read_text())
    assert before["judge"]["fingerprint"] != after["judge"]["fingerprint"]
    assert before["data"] == after["data"]


@pytest.mark.usefixtures("models")
def test_documents_of_other_data_or_of_a_torn_file_are_built_anew(monkeypatch):
    setup = Setup(console=said())
    component = resolve(build_dataset(SPEC), refer("bcos-tiny"))
    built = ensure(component, "test", Workshop(setup))
    content = built.path.read_text()
    built.path.write_text(content[:-20])
    assert component.object.built("test") is None
    with pytest.raises(UserError, match="have not been built"):
        component.object.load("test")
    assert ensure(component, "test", Workshop(setup)).path.read_text() == content
    assert "changed since" not in words_of(setup.console)
    whole = Planted.load
    monkeypatch.setattr(Planted, "load", lambda self, split: whole(self, split)[:-4])
    ensure(component, "test", Workshop(setup))
    assert "data have changed since" in words_of(setup.console)
    assert ensure(component, "test", Workshop(setup)).provenance["lost"]["texts"] == 36


@pytest.mark.usefixtures("models")
def test_too_few_texts_are_said_with_the_counts_and_none_is_an_error():
    console = said()
    built = faithbench.build_documents(DATA, "conv-tiny", segment=14, documents=500, confidence=0.5, console=console)
    assert 2 <= built.documents < 20
    assert f"{built.documents} documents (not 500" in words_of(console)
    lengths = [len(example.text.split()) for example in build_dataset(DATA).object.load("test")]
    assert built.provenance["lost"]["short"] == sum(length < 12 for length in lengths) > 0
    with pytest.raises(
        UserError,
        match=r"makes only 0 documents of segments of 40 tokens; of 40 texts, 40 do not fill the segment, 0 do not",
    ):
        faithbench.build_documents(DATA, "conv-tiny", segment=40)


@pytest.mark.usefixtures("models")
def test_the_documents_file_can_be_read_as_a_data_set(tmp_path):
    out = tmp_path / "docs.jsonl"
    built = faithbench.build_documents(DATA, "bcos-tiny", segment=12, documents=5, confidence=0.5, out=out)
    assert built.path == out
    data = File(str(out))
    examples = data.load("test")
    assert [e.id for e in examples] == [f"document-{i}" for i in range(5)]
    assert all(e.segments and e.label == e.segments[0][2] for e in examples)
    assert data.class_names == ("0", "1")
    kept = resolve(
        build_dataset(f"seqpg(dataset='{DATA}', segment=12, documents=5, confidence=0.5)"), refer("conv-tiny")
    ).object
    assert kept.load("test") == examples
    assert kept.class_names == ("bad", "good")


@pytest.mark.usefixtures("models")
def test_metrics_go_where_their_needs_are_met(widths, tmp_path):
    words = run(tmp_path / "both", datasets=(DATA, SPEC), metrics=(widths, "evidence", "entropy"), limit=4)
    table = faithbench.table([tmp_path / "both"])
    metrics = {d.split("(")[0]: {m.split("(")[0] for m in g["metric"]} for d, g in table.groupby("dataset")}
    assert metrics == {"planted": {"evidence", "entropy"}, "seqpg": {"widths"}}
    assert "not run on planted" in words
    assert "they do not fit: evidence, entropy" in words


@pytest.mark.parametrize(
    ("datasets", "metrics", "words"),
    [
        ((SPEC,), ("entropy",), "'entropy' does not need segments"),
        ((SPEC,), ("evidence",), "'evidence' needs evidence, which seqpg"),
        ((DATA,), ("widths",), "'widths' needs segments, which planted"),
        ((DATA, "planted"), ("widths", "entropy"), "'widths' needs segments, which planted.*; metric 'widths' needs"),
        ((DATA, SPEC), ("entropy",), "no metric of the plan can be run on seqpg"),
    ],
)
@pytest.mark.usefixtures("widths")
def test_metrics_that_fit_nowhere_are_a_mistake_found_before_anything_is_done(
    datasets, metrics, words, tmp_path, cache
):
    with pytest.raises(UserError, match=words) as error:
        run(tmp_path / "run", datasets=datasets, metrics=metrics)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
    assert not cache.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"segments": 3}, "segments=3 is not allowed for planted.*2 classes"),
        ({"segment": 70}, "documents of 2 such segments have 139 tokens, and conv-tiny.* reads 128"),
        ({"model": "conv-minlm"}, "not a known model"),
        ({"model": "conv-bert", "train": False}, "conv-bert.* has not been trained on planted.*switched off"),
        ({"out": "/proc/nowhere/docs.jsonl"}, "/proc/nowhere/docs.jsonl cannot be written"),
    ],
)
@pytest.mark.usefixtures("models")
def test_what_cannot_be_built_is_said_in_one_sentence(options, words):
    given = {"model": "conv-tiny", "segment": 12, "confidence": 0.5} | options
    with pytest.raises(UserError, match=words) as error:
        faithbench.build_documents(DATA, given.pop("model"), **given)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("models")
def test_the_command_prints_counts_and_place(capsys, tmp_path):
    options = ("--dataset", DATA, "--model", "bcos-tiny", "--segment", "12", "--documents", "4", "--confidence", "0.5")
    ended = call(capsys, "build", "seqpg", *options, "--out", tmp_path / "docs.jsonl")
    assert ended.status == 0
    assert f"4 documents in {tmp_path / 'docs.jsonl'}" in ended.out
    assert "do not fill the segment" in ended.out
    assert len((tmp_path / "docs.jsonl").read_text().splitlines()) == 4
    again = call(capsys, "build", "seqpg", *options)
    assert again.status == 0
    assert str(SeqPG(DATA, "conv-tiny", 12, documents=4, confidence=0.5).path("test")) in again.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("build", "seqgp", "--dataset", "planted", "--model", "conv-tiny"), "'seqgp' is not a known kind of data set"),
        (("build", "seqpg", "--dataset", "planted", "--model", "conv-tiny"), "segment must be given for planted"),
        (("build", "seqpg", "--dataset", "plantd", "--model", "conv-tiny"), "did you mean planted"),
        (
            ("build", "seqpg", "--dataset", DATA, "--model", "conv-tiny", "--segment", "12", "--no-train"),
            "switched off",
        ),
    ],
)
def test_mistakes_at_the_command_line_are_one_sentence(args, words, capsys):
    ended = call(capsys, *args)
    assert ended.status == 2
    assert len(ended.complaints) == 1
    assert words in ended.complaints[0]
