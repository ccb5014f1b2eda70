"""Data sets: files as people write them, and the three real ones."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import places
import pytest
from fixtures_run import use_cache

from faithbench.datasets import ag_news, hatexplain, imdb
from faithbench.datasets.hatexplain import HateXplain
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset
from faithbench.types import Example

SHARED = places.SHARED / "data"
ROWS = [
    {"text": "a warm film", "label": 1, "evidence": [[2, 6]]},
    {"text": 'grim, "dull"\nand long', "label": 0, "evidence": [[0, 4], [7, 11]]},
    {"text": "ein schöner Plot", "label": 1, "evidence": []},
]


@pytest.fixture(autouse=True)
def _nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data or models of this machine."""
    use_cache(monkeypatch, tmp_path / "cache")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real data, where they are."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data sets are not here ({SHARED})")
    monkeypatch.setenv("FAITHBENCH_DATA", str(SHARED))
    return SHARED


def write(folder: Path, ending: str, rows: list[dict], name: str = "test") -> Path:
    """The rows as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{ending}"
    frame = pd.DataFrame(rows)
    if ending == "parquet":
        frame.to_parquet(path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        for column in {"evidence", "rationale", "rationale_majority", "segments"} & set(frame):
            frame[column] = frame[column].map(json.dumps)
        frame.to_csv(path, index=False)
    return path


def load(text: str | Path, split: str = "test") -> list[Example]:
    """The examples of a data set."""
    return list(build_dataset(str(text)).object.load(split))


def marked(example: Example, spans: tuple[tuple[int, int], ...] | None) -> list[str]:
    """The words under spans."""
    return [example.text[start:end] for start, end in spans or ()]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_gives_its_rows_in_order(tmp_path, ending):
    examples = load(write(tmp_path, ending, ROWS))
    assert [(e.text, e.label, e.evidence) for e in examples] == [
        (row["text"], row["label"], tuple(map(tuple, row["evidence"]))) for row in ROWS
    ]
    assert [e.id for e in examples] == ["0", "1", "2"]
    assert [e.rationale for e in examples] == [None] * 3


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_may_hold_rationales_and_documents(tmp_path, ending):
    rows = [
        {
            "text": "kind words\nvile words",
            "label": i,
            "rationale": [[0, 4]],
            "rationale_majority": [[11, 15]],
            "segments": [[0, 10, 1], [11, 21, i]],
        }
        for i in (0, 2)
    ]
    path = write(tmp_path, ending, rows)
    examples = load(path)
    assert [(e.rationale, e.rationale_majority) for e in examples] == [(((0, 4),), ((11, 15),))] * 2
    assert [e.segments for e in examples] == [((0, 10, 1), (11, 21, 0)), ((0, 10, 1), (11, 21, 2))]
    assert build_dataset(str(path)).object.class_names == ("0", "1", "2")


def test_segments_name_classes_as_labels_do_and_may_name_one_that_no_label_has(tmp_path):
    row = {"text": "one two", "label": "sport", "segments": [[0, 3, "sport"], [4, 7, "arts"]]}
    path = write(tmp_path, "jsonl", [row])
    assert build_dataset(str(path)).object.class_names == ("arts", "sport")
    assert load(path)[0].segments == ((0, 3, 1), (4, 7, 0))


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ([[0, 3], [4, 7]], "segments that are not"),
        ([[0, 3, 1], [4, 7, None]], "segments that are not"),
        ("here and there", "0 segments; a document has two"),
        ([[0, 3, 1]], "1 segments; a document has two or more"),
        ([[0, 3, 1], [4, 8, 0]], "not within the text's 7 characters"),
        ([[0, 4, 1], [3, 7, 0]], "begins before the last one's end"),
        ([[0, 3, 1], [4, 4, 0]], "is empty"),
        ([[-1, 3, 1], [4, 7, 0]], "not within"),
    ],
)
def test_segments_that_make_no_document_are_one_sentence(segments, words, tmp_path):
    rows = [{"text": "one two", "label": i, "segments": segments} for i in (0, 1)]
    with pytest.raises(UserError, match=words) as error:
        load(write(tmp_path, "jsonl", rows))
    assert "row 1" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_names_of_labels_are_numbered_alphabetically(tmp_path, ending):
    rows = [{"text": f"text {i}", "label": name} for i, name in enumerate(["sport", "arts", "world", "arts"])]
    path = write(tmp_path, ending, rows)
    assert build_dataset(str(path)).object.class_names == ("arts", "sport", "world")
    assert [e.label for e in load(path)] == [1, 0, 2, 0]


@pytest.mark.parametrize("labels", [[0, 1, 2, 1], [0.0, 1.0, 2.0, 1.0], ["0", "1", "2", "1"]])
def test_numbers_are_labels_as_they_are(tmp_path, labels):
    path = write(tmp_path, "jsonl", [{"text": "a", "label": label} for label in labels])
    assert build_dataset(str(path)).object.class_names == ("0", "1", "2")
    assert [e.label for e in load(path)] == [0, 1, 2, 1]


def test_ten_numbered_classes_keep_their_numbers(tmp_path):
    path = write(tmp_path, "csv", [{"text": "a", "label": i} for i in (10, 2, 0, 9)])
    assert [e.label for e in load(path)] == [10, 2, 0, 9]
    assert len(build_dataset(str(path)).object.class_names) == 11


def test_columns_and_ids_can_be_named(tmp_path):
    path = write(tmp_path, "csv", [{"body": "one", "kind": "x", "id": "a7"}, {"body": "two", "kind": "y", "id": "b8"}])
    examples = load(f"file(path='{path}', text=body, label=kind)")
    assert [(e.id, e.text, e.label) for e in examples] == [("a7", "one", 0), ("b8", "two", 1)]


def test_an_id_of_zero_is_an_id(tmp_path):
    path = write(tmp_path, "jsonl", [{"id": 1 - i, "text": "a", "label": i} for i in range(2)])
    assert [e.id for e in load(path)] == ["1", "0"]


def test_a_byte_order_mark_is_not_part_of_a_column(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_text("text,label\na,0\nb,1\n", encoding="utf-8-sig")
    assert [e.text for e in load(path)] == ["a", "b"]


def test_a_path_and_its_spec_are_the_same_data_set(tmp_path):
    path = write(tmp_path, "csv", ROWS)
    assert build_dataset(str(path)).identity == build_dataset(f"file(path='{path}')").identity


def test_a_folder_has_a_file_for_each_split(tmp_path):
    for split, ending, count in (("train", "csv", 4), ("validation", "jsonl", 2), ("test", "parquet", 3)):
        write(tmp_path, ending, [{"text": f"{split} {i}", "label": i % 2} for i in range(count)], split)
    for split, count in (("train", 4), ("validation", 2), ("test", 3)):
        assert [e.text for e in load(tmp_path, split)] == [f"{split} {i}" for i in range(count)]


def test_classes_of_a_folder_are_those_of_all_its_splits(tmp_path):
    write(tmp_path, "csv", [{"text": "a", "label": "b"}, {"text": "a", "label": "c"}], "train")
    write(tmp_path, "csv", [{"text": "a", "label": "d"}, {"text": "a", "label": "a"}], "test")
    assert build_dataset(str(tmp_path)).object.class_names == ("a", "b", "c", "d")
    assert [e.label for e in load(tmp_path, "train")] == [1, 2]


def test_a_missing_split_is_a_user_error(tmp_path):
    write(tmp_path, "csv", ROWS)
    with pytest.raises(UserError, match=r"no train split; a folder with train\.csv would have one"):
        load(tmp_path, "train")


def test_a_missing_split_is_to_be_a_file_of_the_same_kind(tmp_path):
    (tmp_path / "lines.txt").write_text("the dog walks\n")
    with pytest.raises(UserError, match=r"no train split; a folder with train\.txt would have one"):
        load(tmp_path / "lines.txt", "train")


POSTS = [
    ("a", ["you", "are", "so", "kind"], [1, 1, 0], []),
    ("b", ["such", "a", "vile", "word"], [0, 0, 2], [[0, 0, 1, 1], [0, 0, 1, 0], [1, 0, 1, 0]]),
    ("c", ["mean", "and", "mean"], [2, 2, 1], [[1, 0, 0], [1, 0, 1]]),
    ("d", ["who", "knows"], [0, 1, 2], [[1, 0], [0, 1]]),
]
ANNOTATED = {"label": [1, 0, 2, -1], "union": [[], ["such", "vile", "word"], ["mean", "mean"], []]}


def hub_rows(posts) -> list[dict]:
    """Posts in the layout of the hub: id, tokens, labels of the annotators, their marks."""
    return [
        {
            "id": name,
            "annotators": {"label": labels, "annotator_id": [1, 2, 3], "target": [["None"]] * 3},
            "rationales": marks,
            "post_tokens": tokens,
        }
        for name, tokens, labels, marks in posts
    ]


def local_rows() -> list[dict]:
    """The same posts in the layout of a local folder, worked out by hand; the undecided one is marked -1."""
    unions = [[0, 0, 0, 0], [1, 0, 1, 1], [1, 0, 1], [1, 1]]
    majorities = [[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 1], [1, 1]]  # at least half of those who marked the post
    return [
        {"id": name, "tokens": tokens, "label": label, "rationale_union": union, "rationale_majority": majority}
        for (name, tokens, _, _), label, union, majority in zip(
            POSTS, ANNOTATED["label"], unions, majorities, strict=True
        )
    ]


def hatexplain_of(folder: Path, rows: list[dict], monkeypatch: pytest.MonkeyPatch, **options) -> list[Example]:
    """The test split of HateXplain made of these rows."""
    write(folder / "hatexplain", "parquet", rows)
    monkeypatch.setenv("FAITHBENCH_DATA", str(folder))
    return HateXplain(**options).load("test")


@pytest.mark.parametrize("classes", [2, 3])
def test_hatexplain_from_the_hub_and_from_a_local_folder_agree(tmp_path, monkeypatch, classes):
    hub = hatexplain_of(tmp_path / "hub", hub_rows(POSTS), monkeypatch, classes=classes)
    local = hatexplain_of(tmp_path / "local", local_rows(), monkeypatch, classes=classes)
    assert hub == local
    assert [e.id for e in hub] == ["a", "b", "c"]
    assert [e.label for e in hub] == ([0, 1, 1] if classes == 2 else [1, 0, 2])
    assert [marked(e, e.rationale) for e in hub] == ANNOTATED["union"][:3]


def test_the_majority_of_two_is_the_same_from_the_hub_and_from_a_local_folder(tmp_path, monkeypatch):
    hub = hatexplain_of(tmp_path / "hub", hub_rows(POSTS), monkeypatch)
    local = hatexplain_of(tmp_path / "local", local_rows(), monkeypatch)
    assert hub == local
    assert [marked(e, e.rationale_majority) for e in hub] == [[], ["vile"], ["mean", "mean"]]


def test_marks_that_the_file_lacks_are_not_there_rather_than_empty(tmp_path, monkeypatch):
    rows = [row | {"rationale_majority": None} for row in local_rows()]
    without = [{k: v for k, v in row.items() if k != "rationale_majority"} for row in rows]
    for folder, given in (("null", rows), ("none", without)):
        examples = hatexplain_of(tmp_path / folder, given, monkeypatch)
        assert [e.rationale_majority for e in examples] == [None] * 3
        assert [marked(e, e.rationale) for e in examples] == ANNOTATED["union"][:3]


def test_whose_marks_count_is_no_longer_part_of_the_data_set():
    assert build_dataset("hatexplain").identity == "hatexplain(classes=2)"
    with pytest.raises(UserError, match="'rationale' is not a known parameter"):
        build_dataset("hatexplain(rationale=majority)")


def test_marks_of_unlike_length_do_not_stop_the_whole_data_set(tmp_path, monkeypatch):
    posts = [*POSTS, ("e", ["one", "two", "three"], [0, 0, 0], [[1, 0, 0], [0, 1], [0, 0, 0]])]
    examples = hatexplain_of(tmp_path, hub_rows(posts), monkeypatch)
    assert marked(examples[-1], examples[-1].rationale) == ["one", "two"]


def test_a_post_without_marks_on_record_has_no_rationale(tmp_path, monkeypatch):
    rows = [{**row, "rationale_union": None} if row["id"] == "b" else row for row in local_rows()]
    examples = {e.id: e for e in hatexplain_of(tmp_path, rows, monkeypatch)}
    assert examples["b"].rationale is None
    assert examples["a"].rationale == ()


@pytest.mark.parametrize("rows", [10, 11])
@pytest.mark.parametrize("module", [ag_news, imdb])
def test_halves_of_the_test_split_are_disjoint_and_cover_it(tmp_path, monkeypatch, module, rows):
    name = module.__name__.rpartition(".")[2]
    write(tmp_path / name, "parquet", [{"text": f"test {i}", "label": i % 2} for i in range(rows)])
    write(tmp_path / name, "parquet", [{"text": f"train {i}", "label": i % 2} for i in range(4)], "train")
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    validation, test, train = (load(name, split) for split in ("validation", "test", "train"))
    assert (len(validation), len(test)) == (rows // 2, rows - rows // 2)
    assert sorted(e.text for e in validation + test) == sorted(f"test {i}" for i in range(rows))
    assert len({e.id for e in validation + test + train}) == rows + 4
    assert [e.text for e in train] == [f"train {i}" for i in range(4)]
    assert [e.text for e in validation] != sorted(e.text for e in validation)
    assert load(name, "validation") == validation
    assert all(e.label == int(e.text.split()[1]) % 2 for e in validation + test + train)


@pytest.mark.parametrize("name", ["hatexplain", "ag_news", "imdb"])
def test_a_missing_local_file_is_named_with_the_variable(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    with pytest.raises(UserError, match=rf"{name}/test\.parquet does not exist .*FAITHBENCH_DATA"):
        load(name)


@pytest.mark.usefixtures("shared")
def test_hatexplain_has_its_official_splits_binary_labels_and_marks():
    for split, posts in (("validation", 1922), ("test", 1924)):
        binary, original = HateXplain().load(split), HateXplain(classes=3).load(split)
        assert len(binary) == len(original) == len({e.id for e in binary}) == posts
        assert all(b.label == (o.label != 1) for b, o in zip(binary, original, strict=True))
        assert Counter(e.label for e in original).keys() == {0, 1, 2}
        toxic = [e for e in binary if e.label == 1]
        assert 0.55 < len(toxic) / posts < 0.65
        assert sum(bool(e.rationale) for e in toxic) > 0.99 * len(toxic)
        assert not any(e.rationale for e in binary if e.label == 0)


def test_hatexplain_rationales_lie_on_the_marked_tokens(shared):
    for split in ("train", "validation", "test"):
        rows = {
            row["id"]: row for row in pd.read_parquet(shared / "hatexplain" / f"{split}.parquet").to_dict("records")
        }
        for example in HateXplain().load(split):
            row = rows[example.id]
            for which, spans in (("union", example.rationale), ("majority", example.rationale_majority)):
                marks = row[f"rationale_{which}"]
                expected = [] if marks is None else [t for t, m in zip(row["tokens"], marks, strict=True) if m]
                wrong = marked(example, spans) != expected or (spans is None) != (marks is None)
                assert not wrong, f"{split}: {which} marks of {example.id}"  # the post itself is not for printing


def test_hatexplain_from_the_hubs_columns_agrees_with_the_real_local_file(shared, tmp_path, monkeypatch):
    rows = pd.read_parquet(shared / "hatexplain" / "test.parquet").head(300).to_dict("records")
    posts = [
        (r["id"], list(r["tokens"]), list(r["annotator_labels"]), [list(m) for m in r["rationales"]]) for r in rows
    ]
    local = HateXplain(classes=3).load("test")[:300]
    hub = hatexplain_of(tmp_path, hub_rows(posts), monkeypatch, classes=3)
    unequal = [a.id for a, b in zip(hub, local, strict=True) if a != b]
    assert unequal == []
    assert hatexplain.HUB.paths.keys() == {"train", "validation", "test"}


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(("name", "half", "classes"), [("ag_news", 3800, 4), ("imdb", 12500, 2)])
def test_the_real_test_splits_are_halved_and_about_balanced(name, half, classes):
    validation, test = load(name, "validation"), load(name, "test")
    assert len(validation) == len(test) == half
    assert len({e.id for e in validation + test}) == 2 * half
    for examples in (validation, test):
        counts = Counter(e.label for e in examples)
        assert sorted(counts) == list(range(classes))
        assert max(counts.values()) < 1.1 * min(counts.values())
    assert len(build_dataset(name).object.class_names) == classes
