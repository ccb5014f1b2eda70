"""Words from outside as names of files: usual ones as ever, others on every system a file of that folder."""

import os
from pathlib import Path

import pytest
from hostile_words import TEXTS, WORDS
from hypothesis import given
from records import column, run_of

from faithbench.boards.publishing import publish
from faithbench.file_names import LONGEST, cut, slug
from faithbench.files import cache_folder
from faithbench.plan import Plan, run_folder
from faithbench.running.runner import default_folder

USUAL = {
    "planted(train=400, test=40)": "planted_train=400_test=40",
    "bcos-tiny": "bcos-tiny",
    "owner/name@v1.0": "owner_name_v1.0",
    "/data/reviews.csv": "data_reviews.csv",
    "größe": "größe",
}


@pytest.mark.parametrize("text", USUAL)
def test_usual_names_are_what_they_were(text):
    assert slug(text) == USUAL[text]


@given(TEXTS)
def test_a_name_is_a_file_of_its_folder_on_every_system(text):
    for name in (slug(text), slug(text * 300)):
        assert name
        assert len(name.encode()) <= LONGEST
        assert not name.startswith((".", "-"))
        assert not name.endswith(".")
        assert ".." not in name
        assert os.path.basename(name) == name


def test_what_had_to_be_changed_is_told_apart():
    texts = ["", ".", "..", "-", "!", "con", "CON.txt", "-rf", ".rf", "../rf", "中" * 100, "中" * 101, *WORDS.values()]
    assert len({slug(text).casefold() for text in texts}) == len(texts)


@pytest.mark.parametrize("text", ["con", "CON.txt", "Aux", "nul.tar.gz", "com1", "LPT9.x"])
def test_no_name_is_a_device_of_windows(text: str):
    assert slug(text).partition(".")[0].upper() not in ("CON", "AUX", "NUL", "COM1", "LPT9")


def test_files_of_a_board_differ_in_more_than_case(tmp_path: Path):
    records = [each for name in ("planted", "Planted") for each in column([1.0, 2.0], dataset=name)]
    publish(run_of(tmp_path / "run", records), tmp_path / "board")
    assert len({path.name.casefold() for path in (tmp_path / "board" / "records").iterdir()}) == 2


def test_folders_of_any_words_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for text in [*WORDS.values(), "../../..", "中" * 500]:
        folders = [cache_folder("models", text, text, text), run_folder(Path("x/table2.toml"), text)]
        if not any("\ud800" <= sign <= "\udfff" for sign in text):
            folders.append(default_folder(Plan((text,), (text,))))
        for folder in folders:
            folder.mkdir(parents=True)
            assert tmp_path in folder.resolve().parents
    assert cut("ab中", 4) == "ab"
