"""Texts to train language models on: the paragraphs of books, and several data sets one after another."""

from pathlib import Path

import pandas as pd
import pytest

from faithbench.datasets.corpus import Corpus
from faithbench.datasets.standard_ebooks import StandardEbooks
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset

PARAGRAPHS = ["Call me Ishmael.", "Some years ago - never mind how long."]
REVIEWS = ["A good film.<br /><br />Really.", "Bad<br>film."]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data with two paragraphs and two reviews a split."""
    for name, columns in {
        "standard_ebooks": {"book": ["moby"] * 2, "text": PARAGRAPHS},
        "imdb": {"text": REVIEWS, "label": [1, 0]},
    }.items():
        (tmp_path / name).mkdir()
        for split in ("train", "validation", "test"):
            pd.DataFrame(columns).to_parquet(tmp_path / name / f"{split}.parquet")
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("split", ["train", "validation"])
def test_paragraphs_have_no_labels(split, folder):
    rows = StandardEbooks().load(split)
    assert [row.text for row in rows] == PARAGRAPHS
    assert [row.label for row in rows] == [None, None]
    assert len({row.id for row in rows}) == 2


@pytest.mark.parametrize("text", ["standard_ebooks", "corpus"])
def test_there_is_no_test_split(text, folder):
    with pytest.raises(UserError, match=f"data set '{text}' has no test split: it holds texts .* planted-grammar"):
        build_dataset(text).object.load("test")


def test_the_books_are_not_on_the_hub(monkeypatch):
    monkeypatch.delenv("FAITHBENCH_DATA", raising=False)
    with pytest.raises(UserError, match=r"set FAITHBENCH_DATA to a folder that holds standard_ebooks/train\.parquet"):
        StandardEbooks().load("train")


def test_texts_of_several_data_sets_follow_each_other_without_labels_and_line_breaks(folder):
    rows = Corpus("standard_ebooks + imdb").load("train")
    assert [row.text for row in rows] == [*PARAGRAPHS, "A good film. Really.", "Bad film."]
    assert {row.label for row in rows} == {None}
    assert len({row.id for row in rows}) == 4
    assert [row.text for row in Corpus("imdb+standard_ebooks").load("train")][2:] == PARAGRAPHS


def test_a_name_of_several_data_sets_needs_no_quotes_and_says_all_parameters():
    bare, quoted = (build_dataset(f"corpus(of={of})") for of in ("standard_ebooks + imdb", "'standard_ebooks+imdb'"))
    assert bare.identity == quoted.identity == "corpus(of='standard_ebooks + imdb')"
    assert build_dataset("corpus").identity == bare.identity
    inner = build_dataset("corpus(of='planted(train=7) + hatexplain(classes=3)')").object
    assert "planted(train=7, validation=200" in inner.of
    assert [part.label for part in inner.parts] == ["planted(train=7)", "hatexplain(classes=3)"]
    assert build_dataset(build_dataset(f"corpus(of={inner.of!r})").identity).object == inner


@pytest.mark.parametrize("of", ["", "imdb +", "+ imdb"])
def test_a_plus_needs_a_name_on_both_sides(of):
    with pytest.raises(UserError, match="name data sets with a plus between"):
        Corpus(of)


def test_a_corpus_of_files_is_another_when_a_file_changes(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\none\n")
    before = Corpus(f"file(path='{path}')").content
    path.write_text("text\ntwo\n")
    assert Corpus(f"file(path='{path}')").content != before
