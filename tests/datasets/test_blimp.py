"""BLiMP as next-token questions, from a small file of the same columns."""

from pathlib import Path

import pandas as pd
import pytest

from faithbench.datasets.blimp import MORE, PARADIGMS, BLiMP
from faithbench.errors import UserError

COLUMNS = ("prefix", "good", "bad", "start", "end", "phrase_start", "phrase_end")
NPI, DISTRACTOR, ANAPHOR = PARADIGMS[7], PARADIGMS[8], PARADIGMS[0]
ROWS = {
    NPI: [
        ("Even Suzanne has", "really", "ever", 0, 4, 0, 4),
        ("Even Mary has", "really", "ever", 0, 4, 0, 4),
        ("Even Suzanne has", "really", "ever", 0, 4, 0, 4),
    ],
    DISTRACTOR: [("A niece of most senators", "hasn't", "haven't", 2, 7, 0, 24)],
    ANAPHOR: [("Katherine can't help", "herself", "himself", 0, 9, 0, 9)],
    MORE[1]: [("Paula", "references", "reference", 0, 5, 0, 5)],
}


def write(folder, **changed):
    rows = [
        {"id": f"{paradigm}/{i}", "paradigm": paradigm, **dict(zip(COLUMNS, row, strict=True))}
        for paradigm, several in ROWS.items()
        for i, row in enumerate(several)
    ]
    (folder / "blimp").mkdir()
    pd.DataFrame(rows).drop(columns=list(changed.get("without", ()))).to_parquet(folder / "blimp" / "test.parquet")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    return tmp_path


def blimp(**parameters):
    return BLiMP(**{"texts": "imdb", **parameters})


def test_a_row_is_a_question_with_what_decides(folder):
    write(folder)
    (found,) = blimp(paradigm=DISTRACTOR).load("test")
    assert (found.id, found.text, found.good, found.bad, found.label) == (
        f"{DISTRACTOR}/0",
        "A niece of most senators",
        "hasn't",
        "haven't",
        0,
    )
    assert found.evidence == ((2, 7),)
    (whole,) = blimp(paradigm=DISTRACTOR, evidence="phrase").load("test")
    assert whole.evidence == ((0, 24),)


def test_the_first_of_questions_that_repeat_stays_and_the_others_are_counted(folder):
    write(folder)
    data = blimp(paradigm=NPI)
    assert [example.id for example in data.load("test")] == [f"{NPI}/0", f"{NPI}/1"]
    assert data.notes("test") == ("blimp: 1 of 3 rows repeat another and are left out",)
    assert blimp().notes("test") == ()


def test_prefixes_that_are_all_evidence_are_counted(folder):
    write(folder)
    assert blimp(paradigm=MORE[1]).notes("test") == ("blimp: 1 of 1 prefixes are all evidence: nothing to rank",)


def test_without_a_paradigm_there_are_those_of_the_paper(folder):
    write(folder)
    found = {example.id.partition("/")[0] for example in blimp(paradigm="").load("test")}
    assert found == set(ROWS) - set(MORE)
    every = [example.id.partition("/")[0] for example in blimp(paradigm="all").load("test")]
    assert set(every) == set(ROWS)
    assert len(every) == 5  # one of six repeats another
    assert len(PARADIGMS) == 9
    assert len({*PARADIGMS, *MORE}) == 11


def test_models_are_trained_on_other_texts():
    data = blimp(texts="imdb")
    assert data.base == "imdb"
    with pytest.raises(UserError, match=r"^blimp has no train split, only questions .* texts=imdb\.$"):
        data.load("train")
    with pytest.raises(ValueError, match="no model can be trained on it"):
        blimp(texts="seqpg(dataset=imdb)")


def test_what_is_not_there_is_named(folder, monkeypatch):
    with pytest.raises(UserError, match=r"blimp.test\.parquet does not exist"):
        blimp().load("test")
    write(folder, without=["start", "good"])
    with pytest.raises(UserError, match=r"has no column good, start"):
        blimp().load("test")
    monkeypatch.delenv("FAITHBENCH_DATA")
    with pytest.raises(UserError, match="set FAITHBENCH_DATA to a folder"):
        blimp().load("test")
    with pytest.raises(ValueError, match="paradigm='npi' is not allowed"):
        blimp(paradigm="npi")
