"""Parts of attributions and records from outside: types that fit are read, and what no run writes is refused."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from records import record, run_of

from faithbench.errors import UserError
from faithbench.records.store import SCHEMAS, Store, read_part

ATTRIBUTION = {
    **dict.fromkeys(("dataset", "dataset_fingerprint", "model", "model_fingerprint", "explainer"), "a"),
    **{"version": "1", "text_id": "t", "target": 0, "against": None, "scores": [0.5, 1.0], "standard_errors": None},
    **{"notes": '{"gap": 0.1}', "seconds": 0.1, "rows": 3, "error": None},
}


def part(folder: Path, kind: str, changes: dict[str, pa.Array]) -> Path:
    """A part with two entries, of which some columns are others."""
    path = folder / f"{kind}.parquet"
    if kind == "attributions":
        table = pa.Table.from_pylist([ATTRIBUTION, ATTRIBUTION | {"text_id": "u"}], SCHEMAS[kind])
    else:
        run = run_of(folder / "run", [record(1.0, 0), record(2.0, 1)])
        (written,) = (run / "records").iterdir()
        table = pq.read_table(written)
    for name, column in changes.items():
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"value": pa.array([1.0, 2.0], pa.float32())},
        {"value": pa.array([1, 2])},
        {"value": pa.array([1.0, 2.0], pa.float16())},
        {"target": pa.array([1, 1], pa.int8())},
        {"against": pa.array([None, np.nan], pa.float64(), from_pandas=False)},
        {"metric": pa.array(["m", "m"], pa.large_string())},
        {"metric": pa.array(["m", "m"]).dictionary_encode()},
        {"parts": pa.array([[1], [2, 3]], pa.large_list(pa.int32()))},
        {"parts": pa.nulls(2)},
        {"weight": pa.array([None, np.nan], pa.float64(), from_pandas=False)},
        {"error": pa.array(["no", None])},
    ],
)
def test_types_that_lose_nothing_are_read(tmp_path: Path, changes: dict[str, pa.Array]):
    frame = read_part(part(tmp_path, "records", changes), "records")
    assert frame["value"].tolist() == [1.0, 2.0]
    assert frame["target"].dtype == np.int64
    assert frame["against"].isna().all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"value": pa.array(["1", "2"])}, "column 'value' holds string, not numbers."),
        ({"metric": pa.array([1, 2])}, "column 'metric' holds int64, not texts."),
        ({"metric": pa.array([b"m", b"m"])}, "column 'metric' holds binary, not texts."),
        ({"target": pa.array([0.5, 1.0])}, "column 'target' holds a number that is not whole or too large."),
        ({"target": pa.array([2**64 - 1, 1], pa.uint64())}, "holds a number that is not whole or too large."),
        ({"target": pa.array([True, False])}, "column 'target' holds bool, not whole numbers."),
        ({"parts": pa.array([1.0, 2.0])}, "column 'parts' holds double, not lists of numbers."),
        ({"parts": pa.array([["a"], []])}, "column 'parts' holds lists of others, not lists of numbers."),
        ({"metric": pa.array(["m", None])}, "metric in row 2 is missing."),
        ({"target": pa.array([None, 1])}, "target in row 1 is missing."),
        ({"target": pa.array([0, -2])}, "target in row 2 is -2, less than -1."),
        ({"weight": pa.array([1.0, -1.0])}, "weight in row 2 is -1.0, less than 0."),
        ({"rows": pa.array([-5, 1])}, "rows in row 1 is -5, less than 0."),
        ({"value": pa.array([1.0, np.inf])}, "value in row 2 is infinite."),
        ({"version": pa.array(["1.1", "1.1\n"])}, r"version is '1.1\n', not of the form 1.1."),
        ({"version": pa.array(["1.1", "1"])}, "version is '1', not of the form 1.1."),
        ({"version": pa.array(["1.1", "9" * 5000 + ".1"])}, ", not of the form 1.1."),
    ],
)
def test_what_no_run_writes_is_refused(tmp_path: Path, changes: dict[str, pa.Array], sentence: str):
    path = part(tmp_path, "records", changes)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: .*{re.escape(sentence)}$"):
        read_part(path, "records")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scores": pa.array([[1.0], None])}, "scores in row 2 is missing, and error does not say why."),
        ({"scores": pa.array([[1.0, None], [1.0]])}, "scores holds a number that is missing or not finite."),
        ({"scores": pa.array([[1.0, np.inf], [1.0]])}, "scores holds a number that is missing or not finite."),
        ({"scores": pa.array(["a", "b"])}, "column 'scores' holds string, not lists of numbers."),
        ({"standard_errors": pa.array([[1.0], [1.0, 2.0]])}, "standard_errors in row 1 is not as long as scores."),
        ({"notes": pa.array(["[", None])}, "notes is '[', not a JSON object of numbers."),
        ({"notes": pa.array(['{"a": "b"}', None])}, "not a JSON object of numbers."),
        ({"notes": pa.array(["[" * 100_000, None])}, "not a JSON object of numbers."),
    ],
)
def test_attributions_that_no_run_writes_are_refused(tmp_path: Path, changes: dict[str, pa.Array], sentence: str):
    path = part(tmp_path, "attributions", changes)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: .*{re.escape(sentence)}$"):
        read_part(path, "attributions")


def test_attributions_that_failed_and_notes_that_are_no_number_are_read(tmp_path: Path):
    changes = {
        "scores": pa.array([[1.0], None], pa.list_(pa.float32())),
        "error": pa.array([None, "no"]),
        "notes": pa.array(['{"gap": NaN}', None]),
    }
    assert read_part(part(tmp_path, "attributions", changes), "attributions")["error"].isna().tolist() == [True, False]


def test_parts_of_another_kind_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="is not a part of records: it has no column 'metric'"):
        read_part(part(tmp_path, "attributions", {}), "records")


def test_a_part_that_names_its_units_twice_is_refused(tmp_path: Path):
    path = part(tmp_path, "records", {})
    table = pq.read_table(path)
    pq.write_table(table.append_column("unit", table["text_id"]), path)
    with pytest.raises(UserError, match="has the columns 'unit' and 'text_id'"):
        read_part(path, "records")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, Path.touch, lambda path: path.symlink_to(path)])
def test_a_strange_file_among_the_parts_is_one_sentence(tmp_path: Path, make):
    run = run_of(tmp_path / "run", [record(1.0, 0)])
    make(run / "records" / "x.parquet")
    with pytest.raises(UserError, match=r"x\.parquet.*(cannot be read|is corrupt)"):
        Store(run).read("records")


ENTRY = {"label": "m", "fingerprint": "f", "truncated_texts": 0}


@pytest.mark.parametrize(
    ("manifest", "sentence"),
    [
        ([], "it is [], which is no table."),
        ({"models": []}, "models is [], which is no table."),
        ({"models": {"m on d": {"label": "m", "fingerprint": "f"}}}, "models.m on d.truncated_texts is missing."),
        ({"datasets": {"d": {"label": "d", "fingerprint": 5}}}, "datasets.d.fingerprint is 5, which is no text."),
        ({"models": {"m": ENTRY | {"training": {"test": {"accuracy": "x"}}}}}, "accuracy is 'x', which is no number."),
        (
            {"models": {"m": ENTRY | {"link": "tanh"}}},
            "link is 'tanh', which is not 'softmax', 'sigmoid' or 'identity'.",
        ),
        ({"models": {"m": ENTRY | {"said": [1]}}}, "models.m.said[0] is 1, which is no text."),
        ({"models": {"m": ENTRY | {"skipped": {"count": 1, "of": 2}}}}, "models.m.skipped.rows is missing."),
        ({"models": {"m": ENTRY | {"notes": {"e": {"gap": "x"}}}}}, "notes.e.gap is 'x', which is no number."),
        (
            {"models": {"m": ENTRY | {"performance": {"accuracy": 50.0, "labelled": 4}}}},
            "models.m.performance says None of chance, which is no number.",
        ),
        (
            {"models": {"m": ENTRY | {"performance": {"accuracy": np.nan, "labelled": 4, "chance": 5}}}},
            "models.m.performance says nan of accuracy, which is no number.",
        ),
        ({"versions": {"torch": 2}}, "versions.torch is 2, which is no text."),
    ],
)
def test_a_manifest_is_read_through_its_schema(tmp_path: Path, manifest: object, sentence: str):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError) as error:
        Store(tmp_path).manifest()
    assert str(error.value).startswith(f"{path}: ")
    assert str(error.value).endswith(sentence)


def test_an_accuracy_on_documents_of_two_classes_that_older_runs_took_is_not_read(tmp_path: Path):
    found = {"accuracy": 47.9, "chance": 54.7, "labelled": 236}
    data = {name: {"label": name, "fingerprint": "f"} for name in ("seqpg(dataset=imdb)", "hatexplain")}
    models = ("m", "a on b", "x on seqpg(y)")
    entries = {f"{model} on {name}": ENTRY | {"performance": found} for model in models for name in data}
    (tmp_path / "manifest.json").write_text(json.dumps({"models": entries, "datasets": data}))
    read = Store(tmp_path).manifest()["models"]
    for model in models:
        assert "performance" not in read[f"{model} on seqpg(dataset=imdb)"]
        assert read[f"{model} on hatexplain"]["performance"] == found


def test_a_manifest_keeps_what_its_schema_does_not_name(tmp_path: Path):
    known = {"models": {"m": ENTRY | {"more": [1], "performance": {}, "notes": {"e": {"gap": 1}}}}, "other": 5}
    (tmp_path / "manifest.json").write_text(json.dumps(known))
    Store(tmp_path).change_manifest(lambda manifest: manifest.update(versions={"a": "1"}))
    assert json.loads((tmp_path / "manifest.json").read_text()) == known | {"versions": {"a": "1"}}


def test_published_floats_keep_their_size(tmp_path: Path):
    frame = read_part(part(tmp_path, "records", {"value": pa.array([0.1, 0.2], pa.float32())}), "records")
    pd.testing.assert_series_equal(frame["value"], pd.Series([0.1, 0.2], dtype=np.float32, name="value"))
