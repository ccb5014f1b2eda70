"""Attributions from elsewhere come into a run's folder: scored as the run that made them was, or refused whole."""

import json
import shlex
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import tiny_network, tiny_tokenizer
from fixtures_run import DATA, call, checkpoint, trained_cache, use_cache
from rich.console import Console

import faithbench
from faithbench.errors import UserError
from faithbench.importing.texts import Texts
from faithbench.plugins.spec import build
from faithbench.records.store import Store
from faithbench.running.runner import Run
from faithbench.training.prepare import load_model
from faithbench.training.setup import Setup
from faithbench.types import Example

METRICS = ("comprehensiveness", "entropy", "evidence")
LIMIT = 6


@pytest.fixture(autouse=True)
def _trained(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cache(monkeypatch, trained_cache())


# Round trips: what a run explained is written in a format, imported into another folder, and scored there.


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of input × gradient, whose special tokens have scores."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, trained_cache())
        run(folder, "input_x_gradient")
    return folder


def run(folder: Path, explainer: str, **changes: object) -> Run:
    options = {"metrics": METRICS, "limit": LIMIT} | changes
    return faithbench.run(faithbench.Plan((DATA,), ("conv-tiny",), (explainer,), **options), folder, "cpu")


def explained(folder: Path) -> list[dict]:
    """What a run says of each text: id, target, scores, tokens, token ids, text, position in the split."""
    classifier = load_model(str(checkpoint()), Setup(train=False)).classifier
    every = build("dataset", DATA).object.load("test")
    position = {example.id: i for i, example in enumerate(every)}
    rows = Store(folder).read("attributions").sort_values("text_id")
    found = []
    for row in rows.itertuples():
        text = classifier.encode(every[position[row.text_id]])
        about = {"id": row.text_id, "target": int(row.target), "scores": row.scores.tolist(), "text": text.source}
        found.append(about | {"tokens": text.tokens, "ids": text.ids.tolist(), "position": position[row.text_id]})
    return found


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def plain(folder: Path, rows: list[dict]) -> Path:
    return lines(folder / "a.jsonl", [{key: row[key] for key in ("id", "scores", "tokens", "text")} for row in rows])


def bare(folder: Path, rows: list[dict]) -> Path:
    return lines(folder / "a.jsonl", [{"id": row["id"], "scores": row["scores"]} for row in rows])


def content(folder: Path, rows: list[dict]) -> Path:
    return lines(folder / "a.jsonl", [{"id": row["id"], "scores": row["scores"][1:-1]} for row in rows])


def eraser(folder: Path, rows: list[dict]) -> Path:
    names = ("bad", "good")
    parts = [[{"docid": row["id"], "soft_rationale_predictions": row["scores"][1:-1]}] for row in rows]
    return lines(
        folder / "a.jsonl",
        [
            {"annotation_id": row["id"], "rationales": part, "classification": names[row["target"]]}
            for row, part in zip(rows, parts, strict=True)
        ],
    )


def padded(rows: list[dict]) -> list[dict]:
    return [
        {
            "dataset": {"name": "planted"},
            "idx": int(row["id"].removeprefix("test-")),
            "input_ids": row["ids"] + [0] * (40 - len(row["ids"])),
            "attributions": row["scores"] + [0.0] * (40 - len(row["ids"])),
            "label": 0,
            "predictions": [0.0, 1.0] if row["target"] else [1.0, 0.0],
        }
        for row in rows
    ]


def thermostat(folder: Path, rows: list[dict]) -> Path:
    return lines(folder / "a.jsonl", padded(rows))


def thermostat_parquet(folder: Path, rows: list[dict]) -> Path:
    pd.DataFrame(padded(rows)).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def bcos(folder: Path, rows: list[dict]) -> Path:
    """Two classes a text, of which the second is another's."""
    found = [
        [
            {
                "index": row["position"],
                "predicted_class": row["target"],
                "target_class": target,
                "attribution": [
                    [token, score if target == row["target"] else 9.0]
                    for token, score in zip(row["tokens"], row["scores"], strict=True)
                ],
            }
            for target in (0, 1)
        ]
        for row in rows
    ]
    (folder / "a.json").write_text(json.dumps({"ixg_mean": found}, indent=4))
    return folder / "a.json"


@pytest.mark.slow
@pytest.mark.parametrize(
    "write", [plain, bare, content, eraser, thermostat, thermostat_parquet, bcos], ids=lambda write: write.__name__
)
def test_what_is_exported_imported_and_scored_has_the_records_of_the_original(write, original, tmp_path):
    rows = explained(original)
    found = faithbench.import_attributions(
        write(tmp_path, rows), "conv-tiny", DATA, name="mine", out=tmp_path / "run", device="cpu"
    )
    assert (found.texts, found.without, found.left_out) == (LIMIT, 40 - LIMIT, 0)
    stored = Store(tmp_path / "run").read("attributions").sort_values("text_id")
    inner = slice(1, -1) if write in (content, eraser) else slice(None)  # these do not speak of special tokens
    for row, scores, target in zip(rows, stored["scores"], stored["target"], strict=True):
        assert scores[inner].tolist() == row["scores"][inner]
        assert len(scores) == len(row["scores"])
        assert target == row["target"]
    result = run(tmp_path / "run", found.explainer)
    assert (result.done, result.failed) == (LIMIT * len(METRICS), 0)
    columns = ["metric", "unit", "target", "value"]
    one, other = (Store(at).read("records").sort_values(columns[:2])[columns] for at in (original, tmp_path / "run"))
    assert one[columns[:3]].values.tolist() == other[columns[:3]].values.tolist()
    np.testing.assert_allclose(other["value"], one["value"], rtol=0, atol=1e-3)
    assert len(Store(tmp_path / "run").read("attributions")) == LIMIT


def test_the_command_imports_and_prints_the_command_that_scores(original, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = plain(tmp_path, explained(original))
    ended = call(capsys, "import", path, "--model", "conv-tiny", "--dataset", DATA, "--name", "it's mine")
    assert ended.status == 0, ended.err
    said, command = ended.out.splitlines()
    assert "6 attributions imported into runs/" in said
    assert "34 texts of the split have none and would fail" in said
    ran = call(capsys, *shlex.split(command)[1:], "--limit", "6", "--metric", "entropy")
    assert ran.status == 0, ran.err
    assert "6 results done, 0 were there before." in ran.out
    (folder,) = (tmp_path / "runs").iterdir()
    (source,) = json.loads((folder / "manifest.json").read_text())["imported"].values()
    assert (source["file"], source["format"], source["texts"]) == ("a.jsonl", "jsonl", 6)


def test_a_text_without_an_attribution_fails_its_own_cell_only(original, tmp_path):
    rows = explained(original)
    found = faithbench.import_attributions(bare(tmp_path, rows[1:]), "conv-tiny", DATA, name="m", out=tmp_path / "run")
    result = run(tmp_path / "run", found.explainer, metrics=("entropy",))
    assert (result.done, result.failed) == (LIMIT - 1, 1)
    records = Store(tmp_path / "run").read("records").set_index("unit")
    assert "no attribution of this text was imported" in records["error"][rows[0]["id"]]


def test_importing_twice_changes_nothing_and_other_scores_are_another_explainer(original, tmp_path):
    rows = explained(original)
    folder = tmp_path / "run"
    names = set()
    for _ in range(2):
        names.add(
            faithbench.import_attributions(bare(tmp_path, rows), "conv-tiny", DATA, name="m", out=folder).explainer
        )
        stored = Store(folder).read("attributions")
        assert len(list((folder / "attributions").iterdir())) == 1
        assert len(stored) == LIMIT
    assert len(names) == 1
    for change in ({"scores": rows[0]["scores"][::-1]}, {"target": 1 - rows[0]["target"]}):
        changed = [rows[0] | change, *rows[1:]]
        path = lines(tmp_path / "b.jsonl", [{k: row[k] for k in ("id", "scores", "target")} for row in changed])
        names.add(faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=folder).explainer)
    assert len(names) == 3
    assert len(Store(folder).read("attributions")) == 3 * LIMIT
    assert set(json.loads((folder / "manifest.json").read_text())["imported"]) == names


@pytest.mark.slow
def test_an_import_leaves_what_the_run_had(original, tmp_path):
    run(tmp_path / "run", "random", metrics=("entropy",))
    found = faithbench.import_attributions(
        bare(tmp_path, explained(original)), "conv-tiny", DATA, name="m", out=tmp_path / "run"
    )
    result = run(tmp_path / "run", found.explainer, metrics=("entropy",))
    assert (result.done, result.before) == (LIMIT, 0)
    assert run(tmp_path / "run", "random", metrics=("entropy",)).before == LIMIT
    assert len(Store(tmp_path / "run").manifest()["models"]) == 1


def test_records_are_of_the_class_that_was_explained(original, tmp_path):
    rows = explained(original)
    for target, expected in ((0, 0), ("good", 1)):
        path = lines(tmp_path / "a.jsonl", [{"id": r["id"], "scores": r["scores"], "target": target} for r in rows])
        found = faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "run")
        run(tmp_path / "run", found.explainer, metrics=("comprehensiveness",))
        records = Store(tmp_path / "run").read("records")
        assert set(records[records["explainer"] == found.explainer]["target"]) == {expected}


def test_hard_rationales_are_ones_and_zeros(original, tmp_path):
    row = explained(original)[0]
    spans = [{"start_token": 1, "end_token": 3}, {"start_token": 4, "end_token": 5}]
    rationale = {"docid": "d", "hard_rationale_predictions": spans, "soft_rationale_predictions": None}
    path = lines(tmp_path / "a.jsonl", [{"annotation_id": row["id"], "rationales": [rationale]}])
    faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "run")
    (scores,) = Store(tmp_path / "run").read("attributions")["scores"]
    assert np.flatnonzero(scores).tolist() == [2, 3, 5]


def test_entries_about_other_texts_are_left_out_if_asked(original, tmp_path):
    rows = explained(original)
    path = lines(tmp_path / "a.jsonl", [{"id": "other", "scores": [1]}, *json_rows(bare(tmp_path, rows))])
    found = faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "run", skip_unknown=True)
    assert (found.texts, found.left_out) == (LIMIT, 1)


def json_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_of_a_file_with_several_methods_one_is_chosen(original, tmp_path):
    rows = explained(original)
    path = bcos(tmp_path, rows)
    document = json.loads(path.read_text())
    other = [
        [{**text[0], "attribution": [[token, 5.0] for token, _ in text[0]["attribution"]]}]
        for text in document["ixg_mean"]
    ]
    path.write_text(json.dumps(document | {"flow": other}))
    faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "run", method="flow")
    stored = Store(tmp_path / "run").read("attributions")
    assert {score for scores in stored["scores"] for score in scores} == {5.0}
    assert set(stored["target"]) == {0}  # the only class explained, whatever was predicted
    with pytest.raises(UserError, match="holds several methods; choose one of flow, ixg_mean"):
        faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "other")
    with pytest.raises(UserError, match=r"'flo' is not a known method of .*; did you mean flow"):
        faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "other", method="flo")


def test_a_row_number_is_that_of_the_id_or_the_position_where_ids_have_none():
    numbered = Texts([Example(name, "a", 0) for name in ("test-7", "test-0", "3")], "it")
    assert [numbered.numbered("", number).id for number in (0, 3, 7)] == ["test-0", "3", "test-7"]
    assert numbered.at("", 0).id == "test-7"
    with pytest.raises(UserError, match="line 1: 1 is not the number of a text in it"):
        numbered.numbered("line 1", 1)
    for names in (("a", "test-0"), ("train-0", "test-0")):
        assert Texts([Example(name, "a", 0) for name in names], "it").numbered("", 1).id == "test-0"


def test_the_spec_of_an_import_is_bare_words():
    text = "imported(name=mymethod, content=h1a2b3c4d5e6f)"
    assert build("explainer", text).identity == text
    with pytest.raises(UserError, match="name='' is not allowed"):
        build("explainer", "imported(name='', content=h1)")


def test_a_folder_that_cannot_be_written_or_read_is_refused(original, tmp_path):
    path = bare(tmp_path, explained(original))
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UserError, match="taken/run cannot be written"):
        faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "taken" / "run")
    (tmp_path / "run" / "attributions").mkdir(parents=True)
    part = tmp_path / "run" / "attributions" / "9.parquet"
    part.write_bytes(b"PAR1 damaged")
    with pytest.raises(UserError, match=r"9\.parquet is corrupt"):
        faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "run")
    assert [p for p in (tmp_path / "run").rglob("*") if p.is_file()] == [part]


def test_a_disk_that_is_full_leaves_nothing_behind(original, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    path = bare(tmp_path, explained(original))
    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(UserError, match=r"cannot be written: .*No space left"):
        faithbench.import_attributions(path, "conv-tiny", DATA, name="m", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


NAMED = {"bad": 1, "BAD ": 1, "good": 0, "1": 1}


@pytest.mark.parametrize("name", NAMED)
def test_a_class_named_in_a_file_is_the_models_class_of_that_name(name, tmp_path):
    network = tiny_network("bert")
    network.config.id2label, network.config.label2id = {0: "good", 1: "bad"}, {"good": 0, "bad": 1}
    network.save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    (tmp_path / "d.csv").write_text("id,text,label\nx,a dull tale,bad\ny,an old lion,good\n")
    rows = [{"id": name_of, "scores": [1, 2, 3], "target": name} for name_of in "xy"]
    file, out = lines(tmp_path / "a.jsonl", rows), tmp_path / "run"
    faithbench.import_attributions(file, tmp_path / "m", tmp_path / "d.csv", name="mine", out=out, device="cpu")
    assert set(Store(out).read("attributions")["target"]) == {NAMED[name]}
    lines(file, [{"id": "x", "scores": [1, 2, 3], "target": "ugly"}])
    with pytest.raises(UserError, match=r"'ugly' is not a known class; .*bad"):
        faithbench.import_attributions(file, tmp_path / "m", tmp_path / "d.csv", name="mine", out=out, device="cpu")


def test_a_text_that_the_model_cannot_read_is_left_out_of_an_import(tmp_path):
    tiny_network("bert").save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    texts = ("a dull tale", "\u200b\u200d")
    data = lines(tmp_path / "d.jsonl", [{"id": "xy"[i], "text": text, "label": i} for i, text in enumerate(texts)])
    file = lines(tmp_path / "a.jsonl", [{"id": name, "scores": [1, 2, 3], "target": 0} for name in "xy"])
    console = Console(file=StringIO(), width=1000)
    found = faithbench.import_attributions(
        file, tmp_path / "m", data, name="mine", out=tmp_path / "run", device="cpu", console=console
    )
    assert found.texts == 1
    assert "1 of 2 rows was left out: row 'y': its text is empty" in console.file.getvalue()
