"""Texts kept in a run folder: what is read is what was kept; files from strangers are checked."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from faithbench.errors import UserError
from faithbench.records import kept_parts
from faithbench.records.columns import KEPT
from faithbench.records.kept_parts import add_kept
from faithbench.records.store import Store
from faithbench.records.text_parts import Gold, kept_ids, prediction_row, text_row
from faithbench.records.texts import read_texts
from faithbench.types import Text

DATA = {"dataset": "d", "dataset_fingerprint": "df"}
MODEL = {"model": "m", "model_fingerprint": "mf"}
READING = {"tokenizer": "t"}
KEY = DATA | MODEL


def a_text(name: str = "1", **changes: object) -> Text:
    about = {
        "id": name,
        "ids": np.array([2, 7, 9, 3]),
        "special": np.array([True, False, False, True]),
        "words": np.array([-1, 0, 0, -1]),
        "tokens": ("[CLS]", "pa", "##per", "[SEP]"),
        "mask_id": 4,
        "label": 1,
        "evidence": np.array([False, True, True, False]),
        "segments": np.array([-1, 0, 0, -1]),
        "segment_classes": (1,),
        "truncated": True,
        "source": "paper\nwhite",
        "pad_id": 5,
        "types": np.array([0, 0, 1, 1]),
        "read": 3,
        "link": "sigmoid",
        "outputs": (3, 8),
        "shapley": np.array([0.0, 0.5, -0.25, 0.0]),
        "offsets": np.array([[0, 0], [0, 2], [2, 5], [0, 0]]),
    }
    return Text(**(about | changes))  # type: ignore[arg-type]


def keep(
    folder: Path,
    text: Text,
    predicted: int | None = 1,
    told: list[float] | None = None,
    words: tuple[str | None, str | None] = (None, None),
    **own: str,
) -> Store:
    store = Store(folder).open()
    mine = DATA | READING | own
    add_kept(store, "texts", [text_row({name: mine[name] for name in (*DATA, *READING)}, text, "white", *words)])
    gold = Gold(text.label, (0, 1))
    add_kept(store, "predictions", [prediction_row(DATA | MODEL | mine, text, gold, predicted, told or [0.25, 0.75])])
    return store


def same(one: Text, other: Text) -> bool:
    pairs = ((getattr(one, each.name), getattr(other, each.name)) for each in fields(Text))
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


@pytest.mark.parametrize(
    "changes",
    [{}, {"evidence": None, "segments": None, "segment_classes": (), "types": None, "outputs": None, "offsets": None}],
    ids=["full", "bare"],
)
def test_a_text_is_read_as_it_was_kept(tmp_path: Path, changes: dict[str, object]):
    text = a_text(**changes)
    keep(tmp_path, text)
    (found,) = read_texts([tmp_path]).of(KEY).values()
    assert same(found, text)
    assert found.special.dtype == bool
    assert not found.ids.flags.writeable


def test_half_of_a_character_is_kept_as_its_number(tmp_path: Path):
    keep(tmp_path, a_text(source="half \ud83d", tokens=("[CLS]", "\ud83d", "5", "[SEP]")))
    (found,) = read_texts([tmp_path]).of(KEY).values()
    assert found.source == r"half \ud83d"
    assert found.tokens == ("[CLS]", r"\ud83d", "5", "[SEP]")


def test_what_was_said_and_what_the_data_say(tmp_path: Path):
    keep(tmp_path, a_text())
    kept = read_texts([tmp_path])
    (said,) = kept.said(KEY | {"target": "1"}).values()
    assert (said.predicted, said.probabilities.tolist()) == (1, [0.25, 0.75])
    assert kept.gold(KEY) == {"1": Gold(1, (0, 1))}


def test_runs_without_texts_have_none(tmp_path: Path):
    Store(tmp_path).open()
    kept = read_texts([tmp_path])
    assert (kept.of(KEY), kept.said(KEY), kept.class_names(KEY)) == ({}, {}, ())


def test_a_text_is_of_its_model_and_reading_alone(tmp_path: Path):
    keep(tmp_path, a_text())
    keep(tmp_path, a_text(truncated=False), tokenizer="other", model="n")
    kept = read_texts([tmp_path])
    assert kept.of(KEY)["1"].truncated
    assert not kept.of(KEY | {"model": "n"})["1"].truncated
    assert kept.of(KEY | {"model_fingerprint": "x"}) == {}


def test_a_model_that_failed_first_and_said_something_then(tmp_path: Path):
    store = keep(tmp_path, a_text(), None)
    own = DATA | MODEL | READING
    assert (kept_ids(store, "predictions", own), read_texts([tmp_path]).said(KEY)) == (set(), {})
    assert set(read_texts([tmp_path]).of(KEY)) == {"1"}
    keep(tmp_path, a_text())
    assert kept_ids(store, "predictions", own) == {"1"}
    assert set(read_texts([tmp_path]).said(KEY)) == {"1"}


def test_class_names_are_those_of_the_weights(tmp_path: Path):
    entry = {"label": "m", "fingerprint": "mf", "truncated_texts": 0, "class_names": ["bad", "good"]}
    Store(tmp_path).open().change_manifest(lambda manifest: manifest.update(models={"m on d": entry}))
    kept = read_texts([tmp_path])
    assert kept.class_names(KEY) == kept.class_names(KEY | {"model_fingerprint": "mf-bf16-mixed"}) == ("bad", "good")
    assert kept.class_names(KEY | {"model_fingerprint": "other"}) == ()


def part(folder: Path) -> Path:
    (found,) = (folder / "texts").glob("*.parquet")
    return found


BROKEN = {
    "ids are words": (lambda t: _set(t, "ids", pa.array([["x"] * 4])), "column 'ids' holds"),
    "tokens are numbers": (lambda t: _set(t, "tokens", pa.array([[1, 2, 3, 4]])), "column 'tokens' holds"),
    "special is a number": (lambda t: _set(t, "special", pa.array([1])), "column 'special' holds"),
    "fractions": (lambda t: _set(t, "words", pa.array([[0.5, 1, 2, 3]])), "column 'words' holds a number"),
    "short": (lambda t: _set(t, "words", pa.array([[1, 2]])), "words has other than one a token"),
    "offsets": (lambda t: _set(t, "offsets", pa.array([[1, 2, 3, 4]])), "offsets has other than two numbers a token"),
    "no tokens": (lambda t: t.drop(["tokens"]), "it has no column 'tokens'"),
    "null in a list": (lambda t: _set(t, "words", pa.array([[1, None, 2, 3]])), "words holds a list in which"),
    "null tokens": (lambda t: _set(t, "tokens", pa.array([None], pa.string())), "tokens is missing"),
    "no id": (lambda t: _set(t, "text_id", pa.array([None], pa.string())), "text_id is missing"),
    "null ids": (lambda t: _set(t, "ids", pa.nulls(1)), "ids is missing"),
}


def _set(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize("name", BROKEN)
def test_a_part_that_no_run_writes_is_refused_in_a_sentence(tmp_path: Path, name: str):
    keep(tmp_path, a_text())
    change, sentence = BROKEN[name]
    path = part(tmp_path)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(UserError) as refused:
        read_texts([tmp_path]).of(KEY)
    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("predicted", pa.array([2]), "predicted is a class of which probabilities says nothing"),
        ("predicted", pa.array([-1]), "predicted is less than 0"),
        ("probabilities", pa.array([[0.5, float("nan")]]), "probabilities holds a number that is not finite"),
        ("probabilities", pa.array(["high"]), "column 'probabilities' holds"),
        ("link", pa.array(["cubic"]), "link is none of softmax"),
        ("label", pa.array([2.5]), "column 'label' holds a number that is not whole"),
    ],
)
def test_predictions_that_no_run_writes_are_refused(tmp_path: Path, name: str, values: pa.Array, sentence: str):
    keep(tmp_path, a_text())
    (path,) = (tmp_path / "predictions").glob("*.parquet")
    pq.write_table(_set(pq.read_table(path), name, values), path)
    with pytest.raises(UserError, match=sentence):
        read_texts([tmp_path]).said(KEY)


@pytest.mark.parametrize("tokens", ['["a", "b"]', '["a", "b", "c", 4]', '["a"', "[" * 100_000, '{"a": 1}'])
def test_tokens_that_are_no_list_of_texts_are_refused_in_a_sentence(tmp_path: Path, tokens: str):
    keep(tmp_path, a_text())
    path = part(tmp_path)
    pq.write_table(_set(pq.read_table(path), "tokens", pa.array([tokens])), path)
    with pytest.raises(
        UserError, match="text '1' of d has tokens that are no JSON list of a text for each of its 4 ids"
    ):
        read_texts([tmp_path]).of(KEY)


def test_a_token_to_read_that_is_not_there_is_refused(tmp_path: Path):
    keep(tmp_path, a_text(read=9))
    with pytest.raises(UserError, match="is read at a token that it lacks"):
        read_texts([tmp_path]).of(KEY)


def test_a_next_token_question_keeps_its_candidates_and_words(tmp_path: Path):
    text = a_text(candidates=(7, 12), link="softmax", outputs=None)
    keep(tmp_path, text, words=("sleep\ud800", "sleeps"))
    kept = read_texts([tmp_path])
    (found,) = kept.of(KEY).values()
    assert same(found, text)
    assert kept.continuations(KEY) == {"1": ("sleep\\ud800", "sleeps")}


def test_parts_that_were_made_before_there_were_language_models_are_read(tmp_path: Path):
    keep(tmp_path, a_text())
    path = part(tmp_path)
    pq.write_table(pq.read_table(path).drop(["candidates", "good", "bad"]), path)
    kept = read_texts([tmp_path])
    assert kept.of(KEY)["1"].candidates is None
    assert kept.continuations(KEY) == {}


@pytest.mark.parametrize(
    ("candidates", "sentence"),
    [([7], "other than 2 tokens"), ([7, 8, 9], "other than 2 tokens"), ([7, -1], "below 0"), ([7, None], "is missing")],
)
def test_candidates_that_no_run_writes_are_refused(tmp_path: Path, candidates: list[int | None], sentence: str):
    keep(tmp_path, a_text(candidates=(7, 12)))
    path = part(tmp_path)
    pq.write_table(_set(pq.read_table(path), "candidates", pa.array([candidates], pa.list_(pa.int64()))), path)
    with pytest.raises(UserError, match=sentence):
        read_texts([tmp_path]).of(KEY)


def test_many_texts_are_read_in_several_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept_parts, "AT_ONCE", 3)
    store = Store(tmp_path).open()
    many = [a_text(str(i), tokens=tuple(f"{i}{k}" for k in "abcd")) for i in range(20)]
    add_kept(store, "texts", (text_row(DATA | READING, each, None) for each in many))
    own = DATA | MODEL | READING
    add_kept(store, "predictions", (prediction_row(own, each, Gold(1), 1, [0.25, 0.75]) for each in many))
    assert pq.ParquetFile(part(tmp_path)).num_row_groups == 7
    assert [same(found, each) for found, each in zip(read_texts([tmp_path]).of(KEY).values(), many, strict=True)] == [
        True
    ] * 20


@pytest.mark.parametrize("name", ["texts", "predictions"])
def test_a_small_part_that_unpacks_to_too_much_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    keep(tmp_path, a_text())
    (path,) = (tmp_path / name).glob("*.parquet")
    row = pq.read_table(path)
    row = _set(row, "tokenizer", pa.array(["x" * 100_000]))
    pq.write_table(pa.concat_tables([row] * 1_000).combine_chunks(), path)
    assert path.stat().st_size < 3_000_000
    monkeypatch.setenv("FAITHBENCH_MAX_BYTES", "50_000_000".replace("_", ""))
    with pytest.raises(UserError, match="MAX_BYTES"):
        read_texts([tmp_path]).said(KEY) if name == "predictions" else kept_ids(
            Store(tmp_path), "texts", DATA | READING
        )


def test_a_corrupt_part_is_named_with_the_cure(tmp_path: Path):
    keep(tmp_path, a_text())
    part(tmp_path).write_bytes(b"PAR1 nothing")
    with pytest.raises(UserError, match=r"is corrupt .* delete it and run again"):
        read_texts([tmp_path]).of(KEY)


def test_a_part_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keep(tmp_path, a_text(source="x" * 5_000))
    monkeypatch.setenv("FAITHBENCH_MAX_BYTES", "4000")
    with pytest.raises(UserError, match="MAX_BYTES"):
        read_texts([tmp_path]).of(KEY)


def test_a_part_may_lack_columns_that_are_not_needed(tmp_path: Path):
    keep(tmp_path, a_text())
    path = part(tmp_path)
    pq.write_table(pq.read_table(path).drop(["shapley", "offsets", "pair"]), path)
    found = read_texts([tmp_path]).of(KEY)["1"]
    assert (found.shapley, found.offsets) == (None, None)
    assert set(KEPT["texts"].names) > set(pq.read_schema(path).names)
