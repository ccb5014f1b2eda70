"""Next-token questions from files: prefix, good, bad and evidence; rows that are none are left out and counted."""

import json

import pandas as pd
import pytest

from faithbench.datasets.fingerprint import fingerprint
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset
from faithbench.types import Example

GOOD = [
    {"id": "a", "prefix": "The key to the cabinets", "good": "is", "bad": "are", "evidence": [[4, 7]]},
    {"id": "b", "prefix": "The keys to the cabinet", "good": "are", "bad": "is", "evidence": [[4, 8]]},
]


def written(folder, rows, name="items.jsonl"):
    path = folder / name
    if name.endswith(".jsonl"):
        path.write_text("\n".join(map(json.dumps, rows)))
    elif name.endswith(".csv"):
        pd.DataFrame(rows).map(lambda value: value if isinstance(value, str) else json.dumps(value)).to_csv(
            path, index=False
        )
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def data_of(folder, rows, name="items.jsonl"):
    return build_dataset(written(folder, rows, name)).object


@pytest.mark.parametrize("name", ["items.jsonl", "items.csv", "items.parquet"])
def test_a_file_with_prefix_good_and_bad_is_of_questions(name, tmp_path):
    data = data_of(tmp_path, GOOD, name)
    assert data.load("test") == [
        Example("a", "The key to the cabinets", 0, evidence=((4, 7),), good="is", bad="are"),
        Example("b", "The keys to the cabinet", 0, evidence=((4, 8),), good="are", bad="is"),
    ]
    assert data.class_names == ("good", "bad")
    assert (data.skipped("test"), data.notes("test")) == ((), ())


def test_ids_and_evidence_need_not_be_there_and_case_does_not_matter(tmp_path):
    data = data_of(tmp_path, [{"Prefix": "The key", "Good": "is", "Bad": "are"}])
    assert data.load("test") == [Example("0", "The key", 0, good="is", bad="are")]
    assert data.notes("test") == ()


BAD = {
    "no prefix": ({"prefix": None}, "it has no prefix"),
    "empty prefix": ({"prefix": " "}, "its prefix is empty"),
    "no good": ({"good": None}, "it has no good continuation"),
    "empty bad": ({"bad": ""}, "its bad continuation is empty"),
    "number": ({"good": 5}, "its good continuation is no text but 5"),
    "the same": ({"good": " are"}, "its two continuations are the same: ' are'"),
    "a word for evidence": ({"evidence": "key"}, "its evidence has spans that are not [[start, end], …]"),
    "one span": ({"evidence": [4, 7]}, "its evidence has spans that are not [[start, end], …]"),
    "too far": (
        {"evidence": [[4, 99]]},
        "its evidence has a span [4, 99] that is not within the prefix's 23",
    ),
    "negative": ({"evidence": [[-4, 2]]}, "its evidence has a span [-4, 2] that is not within the prefix's"),
    "backwards": ({"evidence": [[7, 4]]}, "its evidence has a span [7, 4] that is not within the prefix's"),
    "nothing": ({"evidence": [[4, 4]]}, "its evidence has a span [4, 4] that is not within the prefix's"),
    "space": ({"evidence": [[3, 4]]}, "its evidence has a span [3, 4] of nothing but space"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_is_no_question_is_left_out_and_named(name, tmp_path):
    changed, reason = BAD[name]
    data = data_of(tmp_path, [GOOD[0], {**GOOD[0], "id": "x", **changed}, GOOD[1]])
    assert [example.id for example in data.load("test")] == ["a", "b"]
    ((which, why),) = [(skipped.id, skipped.reason) for skipped in data.skipped("test")]
    assert which == "x"
    assert why.startswith(f"row 2: {reason}")


def test_a_file_of_nothing_else_is_refused_in_a_sentence(tmp_path):
    rows = [{**row, "evidence": [[90, 99]]} for row in GOOD]
    with pytest.raises(UserError, match=r"has no rows that can be used: row 1: its evidence has a span \[90, 99\]"):
        data_of(tmp_path, rows).load("test")


def test_questions_without_evidence_are_counted_where_others_have_some(tmp_path):
    data = data_of(tmp_path, [*GOOD, {**GOOD[0], "id": "c", "evidence": []}, {**GOOD[0], "id": "d", "evidence": None}])
    assert [example.evidence for example in data.load("test")[2:]] == [(), None]
    (note,) = data.notes("test")
    assert note.endswith("2 of 4 questions mark no evidence, and metrics of known evidence do not count them")


def test_questions_that_are_left_out_are_not_counted_among_those_without_evidence(tmp_path):
    unusable = [{**GOOD[0], "id": f"bad {n}", "evidence": None, "bad": GOOD[0]["good"]} for n in range(3)]
    data = data_of(tmp_path, [*GOOD, *unusable, {**GOOD[0], "id": "c", "evidence": []}])
    (note,) = data.notes("test")
    assert "1 of 3 questions mark no evidence" in note
    assert len(data.skipped("test")) == 3


def test_the_column_of_the_prefix_can_be_named(tmp_path):
    rows = [{"context": "The key", "good": "is", "bad": "are"}]
    path = written(tmp_path, rows)
    assert build_dataset(f"file({path}, text=context)").object.load("test")[0].good == "is"


@pytest.mark.parametrize(
    "row",
    [
        {"text": "a film", "label": "x", "good": "3", "bad": "1"},
        {"text": "a film", "label": "x", "prefix": "Re:", "good": "3", "bad": "1"},
        {"text": "a film", "label": "x", "prefix": "Re:"},
    ],
)
def test_a_file_with_texts_stays_one_of_texts(row, tmp_path):
    (found,) = data_of(tmp_path, [row]).load("test")
    assert (found.text, found.label, found.good) == ("a film", 0, None)


def test_the_hubs_test_split_of_questions_needs_no_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    folder = tmp_path / "owner" / "items"
    folder.mkdir(parents=True)
    written(folder, GOOD, "test.jsonl")
    written(folder, GOOD[:1], "validation.jsonl")
    data = build_dataset("owner/items").object
    assert [example.good for example in data.load("test")] == ["is", "are"]
    assert data.notes("test") == ()


def test_a_folder_can_have_texts_to_train_on_and_questions(tmp_path):
    written(tmp_path, [{"text": "The key is here.", "label": "x"}, {"text": "The keys are here."}], "train.jsonl")
    written(tmp_path, GOOD, "test.jsonl")
    data = build_dataset(tmp_path).object
    assert [(e.text, e.label, e.good) for e in data.load("train")] == [
        ("The key is here.", None, None),
        ("The keys are here.", None, None),
    ]
    assert [example.label for example in data.load("test")] == [0, 0]
    assert data.class_names == ("good", "bad")
    assert data.notes("train") == ()


def test_continuations_are_part_of_the_content_and_other_content_is_what_it_was():
    plain = [Example("a", "The key", 0)]
    assert fingerprint(plain) == "87ca2483e09b8818"
    asked = [
        [Example("a", "The key", 0, good=good, bad=bad)] for good, bad in (("is", "are"), ("is", "was"), ("was", "are"))
    ]
    assert len({fingerprint(each) for each in [plain, *asked]}) == 4
