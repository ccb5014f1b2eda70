"""Labels as people write them: classes, names, truth values, several a row, values, or none."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from faithbench.datasets.fingerprint import fingerprint
from faithbench.errors import UserError
from faithbench.interfaces import Dataset
from faithbench.plugins.naming import build_dataset


def dataset(folder: Path, labels: list, ending: str = "csv", name: str = "test") -> Dataset:
    """A data set of one text for each label."""
    path = folder / f"{name}.{ending}"
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
    if ending == "csv":
        pd.DataFrame(rows).astype({"label": object}).to_csv(path, index=False)
    elif ending == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return build_dataset(path if name == "test" else folder).object


ENDINGS = ["csv", "jsonl", "parquet"]
NAMES = {
    "whole numbers": ([0, 1, 2, 1], ["0", "1", "2"], [0, 1, 2, 1]),
    "as text": (["0", "1", "1"], ["0", "1"], [0, 1, 1]),
    "as floats": ([4.0, 0.0], ["0", "1", "2", "3", "4"], [4, 0]),
    "as floats in text": (["4.0", "1.0"], ["1", "2", "3", "4"], [3, 0]),
    "with missing classes": ([0, 3], ["0", "1", "2", "3"], [0, 3]),
    "minus one and one": ([-1, 1, -1], ["-1", "0", "1"], [0, 2, 0]),
    "stars": ([1, 5, 3], ["1", "2", "3", "4", "5"], [0, 4, 2]),
    "years": ([2019, 2021], ["2019", "2020", "2021"], [0, 2]),
    "one class": ([1, 1], ["1"], [0, 0]),
    "class 0 alone": ([0, 0], ["0"], [0, 0]),
    "one row": (["spam"], ["spam"], [0]),
    "truth": ([True, False], ["false", "true"], [1, 0]),
    "truth in capitals": (["TRUE", "FALSE"], ["false", "true"], [1, 0]),
    "one truth": ([True, True], ["false", "true"], [1, 1]),
    "names": (["b", "c", "a"], ["a", "b", "c"], [1, 2, 0]),
    "names with spaces around": (["b ", "b", " a"], ["a", "b"], [1, 1, 0]),
    "names beside truth": (["true", "half-true", "false"], ["false", "half-true", "true"], [2, 1, 0]),
    "names that begin with digits": (["3D", "2D"], ["2D", "3D"], [1, 0]),
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", NAMES)
def test_labels_that_are_classes(name, ending, tmp_path):
    labels, names, expected = NAMES[name]
    data = dataset(tmp_path, labels, ending)
    examples = data.load("test")
    assert [e.label for e in examples] == expected
    assert data.class_names == tuple(names)
    assert {(e.value, e.labels) for e in examples} == {(None, None)}


def test_fingerprints_of_files_are_those_of_before(tmp_path):
    assert fingerprint(dataset(tmp_path, [0, 2, 1]).load("test")) == "2df3434bd47eea6b"
    assert fingerprint(dataset(tmp_path, ["b", "a"]).load("test")) == "c26def35316f4f91"


@pytest.mark.parametrize("ending", ENDINGS)
def test_fractions_are_values_and_no_classes(ending, tmp_path):
    data = dataset(tmp_path, [4.0, 1.5, 0.25], ending)
    assert [(e.label, e.value) for e in data.load("test")] == [(None, 4.0), (None, 1.5), (None, 0.25)]
    with pytest.raises(UserError, match=r"test\.\w+: row 2 has label '?1\.5'? in column 'label'.*regression"):
        _ = data.class_names


def test_fractions_in_any_split_make_values_of_all(tmp_path):
    dataset(tmp_path, [0.5, 1.0], name="train")
    (tmp_path / "test.csv").write_text("text,label\na,1\nb,2\n")
    assert [e.value for e in build_dataset(tmp_path).object.load("test")] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("labels", "row", "words"),
    [
        ([1, 0, "good"], 3, "that is a name, and row 1 has .*1"),
        (["good", "1.5"], 2, "that is a number, and row 1 has 'good'"),
        ([0, True], 2, "true or false"),
        ([0, math.nan], 2, "finite"),
        ([0.5, math.inf], 2, "finite"),
        (["0", "-Infinity"], 2, "finite"),
        ([0, "1e999"], 2, "finite"),
        ([0, 1, 5000], 3, "label 5000 is out of range"),
        ([0, -5000], 2, "label -5000 is out of range"),
        ([[0], 1], 2, "that is a number, and row 1 has .*a list"),
        ([{"a": 1}, 1], 1, "a number, a name, or a list"),
        ([[0], [0.5]], 2, "in a list is a whole number or a name"),
        ([["a"], [1]], 2, "all numbers, all names"),
    ],
)
def test_labels_that_mean_nothing_are_named_with_row_and_column(labels, row, words, tmp_path):
    with pytest.raises(UserError, match=rf"test\.jsonl: row {row} has label .* in column 'label'; .*{words}"):
        dataset(tmp_path, labels, "jsonl").load("test")


@pytest.mark.parametrize("write", [None, json.dumps, repr])  # as it is; as people write lists; as pandas does
@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([[0, 2], [], [1]], ["0", "1", "2"], [(0, 2), (), (1,)]),
        ([["joy", "awe"], ["joy"], []], ["awe", "joy"], [(1, 0), (1,), ()]),
        ([[1, 0, 1], [0, 0, 1]], ["0", "1", "2"], [(0, 2), (2,)]),  # 0 or 1 of each class
        ([[0, 1], [1, 0]], ["0", "1"], [(0, 1), (1, 0)]),
    ],
)
def test_lists_are_several_labels(labels, names, expected, write, tmp_path):
    data = dataset(tmp_path, list(map(write, labels)) if write else labels, "csv" if write else "jsonl")
    assert [(e.label, e.labels) for e in data.load("test")] == [(None, each) for each in expected]
    assert data.class_names == tuple(names)


def test_without_a_column_of_labels_there_are_none_and_that_is_said(tmp_path):
    (tmp_path / "a.csv").write_text("text,source\none,web\ntwo,book\n")
    data = build_dataset(tmp_path / "a.csv").object
    assert [e.label for e in data.load("test")] == [None, None]
    assert data.class_names == ()
    assert "no labels" in data.notes("test")[0]


def test_a_column_of_empty_labels_is_none_and_some_empty_ones_are_left_out(tmp_path):
    assert [e.label for e in dataset(tmp_path, [None, None]).load("test")] == [None, None]
    some = dataset(tmp_path, ["a", None, " ", "b"])
    assert [(e.id, e.label) for e in some.load("test")] == [("0", 0), ("3", 1)]
    assert [(s.id, s.reason) for s in some.skipped("test")] == [
        ("1", "row 2: its label is empty"),
        ("2", "row 3: its label is empty"),
    ]


def test_a_split_may_have_labels_where_another_has_none(tmp_path):
    dataset(tmp_path, ["b", "a"], name="train")
    (tmp_path / "test.csv").write_text("text\none\n")
    data = build_dataset(tmp_path).object
    assert [e.label for e in data.load("train")] == [1, 0]
    assert [e.label for e in data.load("test")] == [None]
    assert data.class_names == ("a", "b")


def test_labels_can_be_left_out(tmp_path):
    dataset(tmp_path, [0.5, "x"])
    data = build_dataset(f"file(path='{tmp_path / 'test.csv'}', label='')").object
    assert [e.label for e in data.load("test")] == [None, None]
    assert data.notes("test") == ()
