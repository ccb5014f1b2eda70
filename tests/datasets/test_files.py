"""Files as people have them: read as they were meant, or refused in one sentence that says what to do."""

import codecs
import csv
import gzip
import json
import pickle
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithbench.datasets.file import File
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset
from faithbench.types import Example

ROWS = [("a warm, long film", 1), ('grim, "dull"\nand long', 0), ("ein schöner Plot", 1)]
PLAIN = [("a warm film", 1), ("a dull one", 0)]


def table(
    folder: Path, name: str = "test.csv", rows=ROWS, header=("text", "label"), encoding="utf-8", **options
) -> Path:
    """A file as Python's csv writes it."""
    path = folder / name
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, **options)
        writer.writerows([header, *rows])
    return path


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def load(path: str | Path, split: str = "test") -> list[Example]:
    return list(build_dataset(path).object.load(split))


def content(path: str | Path) -> list[tuple[str, int | None]]:
    return [(example.text, example.label) for example in load(path)]


def refusal(path: str | Path, *words: str) -> str:
    """The sentence with which a file is refused; it has these words."""
    with pytest.raises(UserError) as error:
        load(path)
    said = str(error.value)
    assert [word for word in words if word not in said] == [], said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("ending", ["csv", "tsv", "CSV"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_told_by_the_header(delimiter, ending, tmp_path):
    path = table(tmp_path, f"test.{ending}", delimiter=delimiter)
    assert content(path) == ROWS
    usual = "\t" if ending == "tsv" else ","
    said = [note for note in build_dataset(path).object.notes("test") if "between its columns" in note]
    assert len(said) == (delimiter != usual)


def test_a_delimiter_can_be_said(tmp_path):
    path = table(tmp_path, delimiter="~")
    for spec in (f"file(path='{path}', delimiter='~')", f"file({path}, delimiter='~')"):
        assert content(spec) == ROWS
    assert content(f"file(path='{table(tmp_path, delimiter=';')}', delimiter=;)") == ROWS
    assert content(f"file(path='{table(tmp_path, delimiter=chr(9))}', delimiter=tab)") == ROWS
    with pytest.raises(UserError, match="delimiter='ab' is not allowed"):
        build_dataset(f"file(path='{path}', delimiter='ab')")


def test_excels_first_line_names_the_delimiter(tmp_path):
    path = written(tmp_path, "a.csv", "sep=;\r\ntext;label\r\none, two;0\r\nthree;1\r\n")
    assert content(path) == [("one, two", 0), ("three", 1)]


def test_a_single_column_may_hold_commas(tmp_path):
    path = written(tmp_path, "a.csv", "text\none, two\nthree, four, five\n")
    assert content(path) == [("one, two", None), ("three, four, five", None)]


@pytest.mark.parametrize(
    ("row", "words"),
    [("warm soup, fresh bread,1", ["row 2 has 3 fields", "2 columns", "comma", "quotes"]), ("late", ["row 2 has 1 f"])],
)
def test_a_row_of_another_width_than_the_header_is_named(row, words, tmp_path):
    refusal(written(tmp_path, "a.csv", f"text,label\nbroken lamp,1\n{row}\nlate,0\n"), "a.csv", *words)


def test_empty_fields_behind_the_last_column_do_no_harm(tmp_path):
    assert content(written(tmp_path, "a.csv", "text,label\none,0,,\ntwo,1,,\n")) == [("one", 0), ("two", 1)]


def test_a_quote_that_is_never_closed_is_named(tmp_path):
    refusal(written(tmp_path, "a.csv", 'text,label\none,0\n"two,1\nthree,0\n'), "row 2", "never closed")


def test_stray_quotes_inside_a_text_are_part_of_it(tmp_path):
    assert content(written(tmp_path, "a.csv", 'text,label\n5" nails,0\n"so" they said,1\n')) == [
        ('5" nails', 0),
        ("so they said", 1),  # as Python's csv, pandas and Excel read it
    ]


def test_tabs_of_programs_that_quote_nothing(tmp_path):
    path = written(tmp_path, "a.tsv", 'text\tlabel\n"so it goes\t1\nan "odd" film"\t0\n"dull\t0\n')
    assert content(path) == [('"so it goes', 1), ('an "odd" film"', 0), ('"dull', 0)]
    assert any("quotes" in note for note in build_dataset(path).object.notes("test"))


def test_windows_line_ends_blank_lines_and_spaces_in_the_header(tmp_path):
    assert content(written(tmp_path, "a.csv", " text , label \r\none,0\r\n\r\ntwo,1\r\n")) == [("one", 0), ("two", 1)]


def test_a_long_text_is_read_and_the_limit_of_csv_stays(tmp_path):
    usual, long = csv.field_size_limit(1234), "word " * 40_000
    assert content(table(tmp_path, rows=[*PLAIN, (long, 1)]))[-1] == (long, 1)
    assert csv.field_size_limit(usual) == 1234


def test_an_index_column_of_pandas_is_ignored(tmp_path):
    path = tmp_path / "a.csv"
    pd.DataFrame(PLAIN, columns=["text", "label"]).to_csv(path)
    assert content(path) == PLAIN


def test_a_column_that_occurs_twice_is_refused_if_it_is_read(tmp_path):
    refusal(table(tmp_path, rows=[("a", 1, 0)], header=("text", "label", "label")), "more than one column 'label'")
    assert content(table(tmp_path, rows=[("a", 0, 1, 2)], header=("text", "label", "x", "x"))) == [("a", 0)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(encoding, tmp_path):
    path = table(tmp_path, encoding=encoding)
    assert content(path) == ROWS
    said = [note for note in build_dataset(path).object.notes("test") if "byte order mark" in note]
    assert len(said) == (encoding != "utf-8-sig")


@pytest.mark.parametrize(("encoding", "likely"), [("latin-1", "latin-1"), ("cp1252", "cp1252")])
def test_other_encodings_are_refused_with_the_cure_which_works(encoding, likely, tmp_path):
    rows = [("ein schöner Plot", 1), ("„gut“" if encoding == "cp1252" else "très bien", 0)]
    path = table(tmp_path, rows=rows, encoding=encoding)
    said = refusal(path, "cannot be read as UTF-8", "line 2", f"encoding={likely}", "save it as UTF-8", "convert")
    cure = said[said.index("file(") : said.index(")", said.index("file(")) + 1]
    assert content(cure) == rows


def test_utf_16_without_a_mark_is_refused_with_the_cure(tmp_path):
    path = written(tmp_path, "a.csv", "text,label\nabc,1\nplot,0\n".encode("utf-16-le"))
    refusal(path, "encoding=utf-16-le")
    assert content(f"file(path='{path}', encoding=utf-16-le)") == [("abc", 1), ("plot", 0)]


def test_a_wrong_or_unknown_encoding_is_one_sentence(tmp_path):
    path = table(tmp_path, encoding="latin-1")
    refusal(f"file(path='{path}', encoding=ascii)", "as ASCII", "line 5")
    refusal(f"file(path='{path}', encoding=morse)", "'morse' is not known")


LIST = [{"text": text, "label": label} for text, label in ROWS]
COLUMNS = {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}


@pytest.mark.parametrize(
    "value",
    [LIST, {"data": LIST, "version": 2}, COLUMNS, {k: dict(enumerate(v)) for k, v in COLUMNS.items()}],
    ids=["list", "wrapped", "columns", "pandas"],
)
def test_json_is_a_list_or_columns(value, tmp_path):
    assert content(written(tmp_path, "a.json", json.dumps(value))) == ROWS


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.jsonl.gz", "a.json.xz", "a.jsonl.bz2"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_json_lines_whatever_they_are_called(name, mark, tmp_path):
    lines = mark + "\r\n".join(json.dumps(row) for row in LIST).encode()
    packed = __import__({"gz": "gzip", "xz": "lzma", "bz2": "bz2"}.get(name.rpartition(".")[2], "codecs"))
    assert content(written(tmp_path, name, getattr(packed, "compress", bytes)(lines))) == ROWS


def test_a_json_list_in_a_file_called_json_lines(tmp_path):
    assert content(written(tmp_path, "a.jsonl", json.dumps(LIST, indent=1))) == ROWS


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", ["is not JSON"]),
        ("a.json", "3", ["not a list of objects"]),
        ("a.json", "[3]", ["row 1", "no object"]),
        ("a.json", '{"text": ["a"], "label": []}', ["not of the same length"]),
        ("a.json", "[]", ["no rows"]),
        ("a.jsonl", '{"text": "a" "label": 0}\n', ["cannot be read", "row 1"]),
        ("a.csv", "", ["no rows", "empty"]),
        ("a.csv", "text,label\n", ["no rows"]),
        ("a.csv", b"PK\x03\x04 rest", ["Excel", "CSV"]),
        ("a.xlsx", b"PK\x03\x04 rest", ["spreadsheet", "CSV"]),
        ("a.pkl", "x", ["'.pkl' is not a known kind of file", ".csv"]),
        ("a", "x", ["no ending is not a known kind"]),
        ("a.csv.gz", b"no gzip", ["cannot be read"]),
        ("a.parquet", b"PAR1 no", ["cannot be read"]),
        ("a.csv", "0,a film\n1,another\n", ["'text'", "columns"]),
    ],
)
def test_what_cannot_be_read_is_one_sentence(name, text, words, tmp_path):
    words = [word.replace("no object", "not an object").replace("columns", "column") for word in words]
    refusal(f"file(path='{written(tmp_path, name, text)}')", name, *words)


def test_lines_of_text_are_texts_without_labels(tmp_path):
    path = written(tmp_path, "a.txt", "one, two\r\n\nthree\n")
    assert content(path) == [("one, two", None), ("three", None)]
    assert build_dataset(path).object.class_names == ()


def test_parquet_with_categories_and_a_pandas_index(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": pd.Categorical(["x", "y", "x"])}, index=[5, 6, 9])
    frame.to_parquet(tmp_path / "a.parquet")
    assert content(tmp_path / "a.parquet") == [("a", 0), ("b", 1), ("c", 0)]


def test_parquet_of_the_library_datasets_names_its_classes(tmp_path):
    info = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
    columns = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1]})
    pq.write_table(columns.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "a.parquet")
    dataset = build_dataset(tmp_path / "a.parquet").object
    assert dataset.class_names == ("neg", "pos")
    assert [(e.text, e.label) for e in dataset.load("test")] == [("a", 1), ("b", 0)]
    assert [row.reason for row in dataset.skipped("test")] == ["row 3: its label is empty"]


@pytest.mark.parametrize(
    "name", ["reviews (1).csv", "a b.csv", "run [3].csv", "it's.csv", "a, b=c.csv", "naïve #2.csv", 'say "x".csv']
)
def test_any_name_of_a_file_will_do(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = table(tmp_path, name)
    for text in (name, str(path), path):
        component = build_dataset(text)
        assert content(text) == ROWS
        assert build_dataset(component.identity).identity == component.identity
        assert content(component.label) == ROWS


@pytest.mark.parametrize("name", ["reviews (1).csv", "a b.csv", "run [3].csv"])
def test_in_a_spec_a_path_with_brackets_or_spaces_needs_no_quotes(name, tmp_path):
    path = table(tmp_path, name)
    assert content(f"file(path={path}, text=text)") == content(f"file({path})") == ROWS


def test_a_folder_with_brackets_is_a_folder(tmp_path, monkeypatch):
    (tmp_path / "data (2)").mkdir()
    table(tmp_path / "data (2)", "train.csv")
    monkeypatch.chdir(tmp_path)
    assert len(load("data (2)", "train")) == 3


def test_a_folder_named_as_a_data_set_is_not_taken_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("planted").mkdir()
    assert build_dataset("planted").identity.startswith("planted(train=")


def test_a_file_may_be_given_as_a_path(tmp_path):
    assert [e.text for e in File(table(tmp_path)).load("test")] == [text for text, _ in ROWS]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("dev.csv", "validation"),
        ("valid.tsv", "validation"),
        ("val.json", "validation"),
        ("training.jsonl.gz", "train"),
    ],
)
def test_splits_have_several_usual_names(name, split, tmp_path):
    rows = [json.dumps({"text": text, "label": label}) for text, label in PLAIN]
    if ".json" in name:
        text = "\n".join(rows).encode()
        written(tmp_path, name, gzip.compress(text) if name.endswith("gz") else text)
    else:
        table(tmp_path, name, PLAIN, delimiter="\t" if name.endswith("tsv") else ",")
    assert [(e.text, e.label) for e in load(tmp_path, split)] == PLAIN


def test_a_folder_without_splits_says_so(tmp_path):
    table(tmp_path, "mine.csv")
    refusal(tmp_path, "no file of it is named train, validation or test")


def test_a_file_is_read_once(tmp_path):
    dataset = build_dataset(table(tmp_path)).object
    before = dataset.load("test")
    Path(dataset.path).unlink()
    assert dataset.load("test") == before
    assert dataset.skipped("test") == ()
    assert dataset.class_names == ("0", "1")


def test_what_has_been_read_does_not_travel(tmp_path):
    dataset = build_dataset(table(tmp_path)).object
    examples = dataset.load("test")
    sent = pickle.dumps(dataset)
    assert "schöner".encode() not in sent
    assert pickle.loads(sent).load("test") == examples


def test_identities_are_those_of_before(tmp_path):
    path = table(tmp_path)
    assert build_dataset(path).identity == f"file(path='{path}', text=text, label=label)"
    more = build_dataset(f"file(path='{path}', delimiter=',', encoding=utf-8)").identity
    assert more == f"file(path='{path}', text=text, label=label, delimiter=',', encoding='utf-8')"
