"""The last line of a table: equal if, and only if, numbers of two tables can be compared."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from records import column, run_of

import faithbench
from faithbench.records.results import read
from faithbench.records.store import Store
from faithbench.tables.parts import Signature
from faithbench.tables.signature import signature, signature_of
from faithbench.tables.writers import WRITERS
from faithbench.types import Record

DOCUMENTS = "seqpg(dataset=planted, judge='conv-tiny(seed=42)', segment=25, seed=0)"
COMP = "comprehensiveness(protocol=strict, operator=mask)"
NORMALISED = "normalised(metric='comprehensiveness(protocol=strict, operator=delete)', randoms=16)"


def measured(**changes: object) -> list[Record]:
    return [
        *column(range(5), **{"metric": COMP, **changes}),
        *column(range(3), **{"dataset": DOCUMENTS, "dataset_fingerprint": "e", "metric": COMP, **changes}),
    ]


def line(folder: Path, records: Sequence[Record], version: str | None = "0.1.0", split: str | None = "test") -> str:
    """The signature of a run with these records and what its manifest says."""
    run = run_of(folder, records)
    manifest = Store(run).manifest()
    if version:
        manifest["versions"] = {"faithbench": version, "torch": "2.13.0"}
    for entry in manifest["datasets"].values():
        entry.update({"split": split} if split else {})
    (run / "manifest.json").write_text(json.dumps(manifest))
    return signature_of(read([run]), [run])


def ingredients(text: str) -> dict[str, str]:
    return dict(part.split(":", 1) for part in text.split("|"))


def test_the_line_says_what_was_held_fixed(tmp_path: Path):
    found = ingredients(line(tmp_path / "run", measured()))
    counts, _, digest = found.pop("texts").partition("@")
    metrics = found.pop("metrics")
    assert found == {
        "faithbench": "0.1.0",
        "versions": "1.1",
        "data": "d,e",
        "models": "m,m",
        "split": "test",
        "protocol": "strict",
        "seed": "0,42",  # of the documents; of the training and the judge
    }
    assert (counts, len(digest), metrics[:2]) == ("5,3", 8, "1@")


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {  # what of the records or the manifest, and where it is seen
    "version of faithbench": ({"version": "0.2.0"}, {"faithbench"}),
    "nobody says which version": ({"version": None}, {"faithbench"}),
    "split": ({"split": "validation"}, {"split"}),
    "nobody says which split": ({"split": None}, {"split"}),
    "version of an explainer": ({"records": measured(version="2.1")}, {"versions"}),
    "version of a metric": ({"records": measured(version="1.2")}, {"versions"}),
    "content of the data": ({"records": measured(dataset_fingerprint="f")}, {"data"}),
    "weights": ({"records": measured(model_fingerprint="n")}, {"models"}),
    "one model more": ({"records": measured() + measured(model="conv-tiny(seed=1)")}, {"models", "seed"}),
    "fewer texts": ({"records": [r for r in measured() if r.unit != "0"]}, {"texts"}),
    "as many texts, but others": (
        {"records": [replace(r, unit=f"other {r.unit}") for r in measured()]},
        {"texts"},
    ),
    "protocol of a metric": (
        {"records": measured(metric=COMP.replace("strict", "paper"))},
        {"metrics", "protocol"},
    ),
    "protocol inside of a metric": (
        {"records": measured(metric=NORMALISED.replace("strict", "paper"))},
        {"metrics", "protocol"},
    ),
    "another parameter of a metric": ({"records": measured(metric=COMP.replace("mask", "pad"))}, {"metrics"}),
    "seed of a metric": ({"records": measured(metric="infidelity(seed=7)")}, {"metrics", "protocol", "seed"}),
    "one metric more": ({"records": measured() + measured(metric="entropy")}, {"metrics"}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_makes_numbers_incomparable_changes_the_line_there_and_nowhere_else(tmp_path: Path, what: str):
    changes, places = CHANGES[what]
    usual = ingredients(line(tmp_path / "usual", measured()))
    other = ingredients(line(tmp_path / "other", **{"records": measured(), **changes}))
    assert {name for name in usual if usual[name] != other[name]} == places


ALIKE: dict[str, list[Record]] = {
    "values": [replace(r, value=r.value + 1, parts=(r.value + 1,)) for r in measured()],
    "another explainer": measured(explainer="random(seed=3)"),
    "one explainer more, on fewer texts": measured() + measured(explainer="lime(n_samples=300)")[:2],
    "costs": measured(seconds=9.0, rows=100),
    "order": measured()[::-1],
    "the class explained": measured(target=0),
    "a failure": [*measured(), replace(measured()[0], explainer="b", value=float("nan"), error="no")],
}


@pytest.mark.parametrize("what", ALIKE)
def test_what_does_not_matter_leaves_the_line_alone(tmp_path: Path, what: str):
    usual, other = line(tmp_path / "usual", measured()), line(tmp_path / "other", ALIKE[what])
    assert usual == other


def test_the_weights_of_two_models_are_not_taken_for_each_other(tmp_path: Path):
    def two(first: str, second: str) -> list[Record]:
        return column([1.0], model="a", model_fingerprint=first) + column([1.0], model="b", model_fingerprint=second)

    lines = [line(tmp_path / name, two(*name)) for name in ("xy", "yx")]
    assert [ingredients(each)["models"] for each in lines] == ["x,y", "y,x"]


def test_what_runs_are_joined_of_does_not_matter_but_what_they_say_does(tmp_path: Path):
    both = line(tmp_path / "both", measured())
    for name, records in (("a", measured()[:5]), ("b", measured()[5:])):
        line(tmp_path / name, records)
    folders = [tmp_path / "a", tmp_path / "b"]
    assert signature_of(read(folders), folders) == both
    old = tmp_path / "b" / "manifest.json"
    old.write_text(old.read_text().replace("0.1.0", "0.0.9"))
    assert signature_of(read(folders), folders).startswith("faithbench:0.0.9,0.1.0|")


def test_a_manifest_of_other_content_or_none_says_nothing(tmp_path: Path):
    entries = pd.DataFrame([record.__dict__ for record in measured()])
    usual = {"planted": {"fingerprint": "other", "split": "test"}, DOCUMENTS: {"fingerprint": "e", "split": "test"}}
    assert "|split:test,unknown|" in signature(entries, [{"datasets": usual}])
    for strange in ({}, {"datasets": 5, "versions": None}, {"datasets": {"planted": "no"}}):
        found = ingredients(signature(entries, [strange]))
        assert (found["faithbench"], found["split"]) == ("unknown", "unknown")


def test_many_are_counted_and_hashed_and_every_version_is_named(tmp_path: Path):
    records = [
        r
        for i in range(6)
        for r in column(range(2), dataset=f"d{i}", dataset_fingerprint=f"f{i}", model_fingerprint=f"w{i}")
    ]
    found = ingredients(line(tmp_path / "many", records))
    other = ingredients(line(tmp_path / "other", [*records[:-2], *column(range(2), dataset="d5")]))
    assert [found[name].split("@")[0] for name in ("data", "models", "texts")] == ["6", "6", "12"]
    assert {name for name in found if found[name] != other[name]} == {"data", "models"}
    mixed = measured(explainer="a(b=1)", version="3.1") + measured(explainer="c", version="1.1")
    assert ingredients(line(tmp_path / "mixed", mixed))["versions"] == "1.1,a=3"


def test_a_table_without_records_says_so():
    found = ingredients(signature(pd.DataFrame(), []))
    assert set(found.values()) == {"none"}


def test_accuracies_alone_tell_of_weights_and_not_of_content():
    trainings = pd.DataFrame({"dataset": ["imdb"], "model": ["conv-bert(seed=42)"], "model_fingerprint": ["abc"]})
    found = ingredients(signature(trainings, [{"versions": {"faithbench": "0.1.0"}}]))
    assert (found["data"], found["models"], found["texts"], found["metrics"]) == ("unknown", "abc", "none", "none")


@pytest.mark.parametrize("format", WRITERS)
def test_every_table_for_people_ends_with_its_line(tmp_path: Path, format: str):
    models = ("conv-minilm(seed=42)", "bcos-minilm(b=1.5, qkv=False, seed=42)")
    records = [
        r
        for model in models
        for metric in (COMP.replace("strict", "paper"), "sufficiency(protocol=paper, operator=mask)")
        for i, explainer in enumerate(("bcos(contrastive=False)", "occlusion", "random(seed=0)"))
        for r in column([i + 1.0, i + 2.0], model=model, dataset="imdb", metric=metric, explainer=explainer)
    ]
    run = run_of(tmp_path / "run", records)
    paper, meta = faithbench.paper_table([run], "table2"), faithbench.meta_evaluation([run])
    whole = signature_of(read([run]), [run])
    assert meta.signature == whole
    assert ingredients(paper.signature)["models"] == "m"  # Table 2 has no B-cos explanation of conventional models
    texts = {faithbench.render([run], format): whole, meta.render(format): whole, paper.render(format): paper.signature}
    for text, expected in texts.items():
        alone = WRITERS[format]([Signature(expected)])
        assert text.endswith(alone[alone.rindex("<p") :] if format == "html" else f"\n\n{alone}")


def test_a_table_of_the_paper_is_signed_for_what_it_shows(tmp_path: Path):
    shown = {"dataset": "hatexplain(classes=2)", "model": "bcos-minilm(b=1.5, qkv=False, seed=42)"}
    shown |= {"explainer": "bcos(contrastive=False)", "metric": "comprehensiveness(protocol=paper, operator=mask)"}
    records = column([1.0, 2.0, 4.0], **shown)
    beside = [  # what Table 8 has no place for
        column([1.0, 2.0], **{**shown, "explainer": "occlusion"}),
        column([1.0, 2.0], **{**shown, "metric": "gini"}),
        column(range(9), **{**shown, "dataset": "imdb", "dataset_fingerprint": "i"}),
    ]
    alone = faithbench.paper_table([run_of(tmp_path / "alone", records)], "table8").signature
    assert "|data:d|models:m|texts:3@" in alone
    for i, others in enumerate(beside):
        run = run_of(tmp_path / str(i), records + others)
        assert faithbench.paper_table([run], "table8").signature == alone
    more = records + column([1.0, 2.0], **{**shown, "metric": "entropy"})
    assert faithbench.paper_table([run_of(tmp_path / "more", more)], "table8").signature != alone
