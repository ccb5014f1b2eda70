"""Rows that cannot be used are left out, named with the reason; a file of nothing else is refused."""

import json

import pytest

from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset

GOOD = [{"id": "a", "text": "one", "label": 0}, {"id": "b", "text": "two", "label": 1}]
SPAN = "spans that are not [[start, end], …]"
BAD = {
    "empty text": ({"id": "x", "text": " ", "label": 1}, "its text is empty"),
    "no text": ({"id": "x", "label": 1}, "it has no text"),
    "null for a text": ({"id": "x", "text": None, "label": 1}, "it has no text"),
    "number for a text": ({"id": "x", "text": 5, "label": 1}, "its text is no text but 5"),
    "list for a text": ({"id": "x", "text": ["a"], "label": 1}, "its text is no text but ['a']"),
    "half a surrogate pair": ({"id": "x", "text": "so \ud83d", "label": 1}, "its text has half a surrogate pair"),
    "spans": ({"id": "x", "text": "a", "label": 1, "evidence": 3}, f"its evidence has {SPAN}"),
    "torn spans": ({"id": "x", "text": "a", "label": 1, "rationale": "[[1,"}, f"its rationale has {SPAN}"),
    "segments": ({"id": "x", "text": "a", "label": 1, "segments": [[0, 1]]}, "it has segments that are not"),
    "no label": ({"id": "x", "text": "a"}, "its label is empty"),
    "empty label": ({"id": "x", "text": "a", "label": ""}, "its label is empty"),
    "repeated id": ({"id": "a", "text": "a", "label": 1}, "its id 'a' is that of row 1"),
}


def data_of(folder, lines):
    path = folder / "a.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return build_dataset(path).object


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_left_out_and_named(name, tmp_path):
    row, reason = BAD[name]
    data = data_of(tmp_path, [GOOD[0], row, GOOD[1]])
    assert [(e.id, e.label) for e in data.load("test")] == [("a", 0), ("b", 1)]
    ((which, why),) = [(skipped.id, skipped.reason) for skipped in data.skipped("test")]
    assert which == row["id"]
    assert why.startswith(f"row 2: {reason}")
    assert build_dataset(tmp_path / "a.jsonl").traits.skipped


@pytest.mark.parametrize(("line", "reason"), [('{"id": "x", "te', "it is not JSON"), ("5", "it is not an object")])
def test_a_line_that_is_torn_is_left_out(line, reason, tmp_path):
    data = data_of(tmp_path, [GOOD[0], line, GOOD[1]])
    assert [e.id for e in data.load("test")] == ["a", "b"]
    assert [s.id for s in data.skipped("test")] == ["1"]
    assert data.skipped("test")[0].reason.startswith(f"row 2: {reason}")


def test_a_pair_without_its_second_text_is_left_out(tmp_path):
    rows = [{"premise": "a", "hypothesis": "b", "label": 0}, {"premise": "a", "hypothesis": " ", "label": 0}]
    data = data_of(tmp_path, rows)
    assert [(e.text, e.pair) for e in data.load("test")] == [("a", "b")]
    assert [s.reason for s in data.skipped("test")] == ["row 2: its second text is empty"]


def test_ids_are_numbers_of_rows_whatever_is_left_out(tmp_path):
    data = data_of(tmp_path, [{"text": "", "label": 1}, {"text": "one", "label": 0}, "{", {"text": "two", "label": 1}])
    assert [e.id for e in data.load("test")] == ["1", "3"]
    assert [s.id for s in data.skipped("test")] == ["0", "2"]


def test_a_file_of_bad_rows_alone_is_refused_with_the_first_reason(tmp_path):
    data = data_of(tmp_path, [{"text": "", "label": 1}, {"text": 5, "label": 0}])
    with pytest.raises(UserError, match=r"a\.jsonl has no rows that can be used: row 1: its text is empty\."):
        data.load("test")


def test_a_column_id_that_names_no_rows_is_refused(tmp_path):
    data = data_of(tmp_path, [{"id": i % 2, "text": "a", "label": 1} for i in range(10)])
    with pytest.raises(UserError, match=r"only 2 values of 'id' in 10 rows"):
        data.load("test")
