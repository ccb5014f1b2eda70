"""Columns: those that are named, those that everybody knows, and no guesses."""

import json

import pytest

from faithbench.datasets.columns import Columns, find_columns
from faithbench.errors import UserError
from faithbench.plugins.naming import build_dataset, dataset_spec
from faithbench.types import Example


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        ("text label", {}, ("text", "", "label")),
        ("text label sentence review", {}, ("text", "", "label")),
        ("sentence label", {}, ("sentence", "", "label")),
        ("Review Stars", {}, ("Review", "", "Stars")),
        ("label title content", {}, ("content", "", "label")),
        ("text class", {}, ("text", "", "class")),
        ("text source", {}, ("text", "", "")),
        ("premise hypothesis label", {}, ("premise", "hypothesis", "label")),
        ("pairID gold_label Sentence1 Sentence2", {}, ("Sentence1", "Sentence2", "gold_label")),
        ("question sentence label idx", {}, ("question", "sentence", "label")),
        ("text text_pair label", {}, ("text", "text_pair", "label")),
        ("text premise hypothesis label", {}, ("text", "", "label")),
        ("premise hypothesis label", {"text": "premise"}, ("premise", "", "label")),
        ("premise hypothesis label", {"pair": "hypothesis"}, ("premise", "hypothesis", "label")),
        ("review reply stars", {"pair": "reply"}, ("review", "reply", "stars")),
        ("a b c", {"text": "b", "pair": "a", "label": "c"}, ("b", "a", "c")),
        ("text category sentiment", {"label": "category"}, ("text", "", "category")),
        ("text category sentiment", {"label": ""}, ("text", "", "")),
    ],
)
def test_which_columns_are_read(present, wanted, expected):
    found = find_columns("f.csv", present.split(), Columns(**wanted))
    assert (found.text, found.pair, found.label) == expected


@pytest.mark.parametrize(
    ("present", "wanted", "words"),
    [
        ("sentence review label", {}, ["no column 'text'", "sentence or review", "--text"]),
        ("text1 text2 premise hypothesis", {}, ["premise and hypothesis or text1 and text2"]),
        ("text category sentiment", {}, ["no column 'label'", "category or sentiment", "--label"]),
        ("txt label", {}, ["f.csv has no column 'text'", "--text", "did you mean txt"]),
        ("text label", {"label": "lable"}, ["'lable'", "did you mean label", "--label"]),
        ("HeadlineText Desk", {"text": "headline"}, ["did you mean HeadlineText?", "its columns: HeadlineText, Desk"]),
        ("text label", {"text": "body"}, ["'body'", "text, label"]),
        ("text label", {"pair": "reply"}, ["'reply'", "--pair"]),
        ("text text label", {}, ["more than one column 'text'"]),
    ],
)
def test_nothing_is_guessed_where_several_fit_or_none(present, wanted, words):
    with pytest.raises(UserError) as error:
        find_columns("f.csv", present.split(), Columns(**wanted))
    assert [word for word in words if word not in str(error.value)] == []


def test_columns_that_were_recognised_are_said(tmp_path):
    path = tmp_path / "nli.csv"
    path.write_text("premise,hypothesis,gold_label\na man,a person,yes\na dog,a cat,no\n")
    data = build_dataset(path).object
    assert [(e.text, e.pair, e.label) for e in data.load("test")] == [("a man", "a person", 1), ("a dog", "a cat", 0)]
    said = " ".join(data.notes("test"))
    assert [word for word in ("'premise'", "'hypothesis'", "'gold_label'") if word not in said] == []


def test_a_pair_is_part_of_the_identity_where_it_is_named(tmp_path):
    path = tmp_path / "nli.csv"
    path.write_text("premise,hypothesis,label\na man,a person,1\n")
    component = build_dataset(f"file(path='{path}', text=premise, pair=hypothesis)")
    assert component.identity == f"file(path='{path}', text=premise, label=label, pair=hypothesis)"
    assert component.object.load("test") == [Example("0", "a man", 0, pair="a person")]


def test_columns_of_the_command_line_are_those_of_a_path_or_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews (1).csv").write_text("review,reply,stars\nfine,thanks,5\n")
    chosen = {"text": "review", "pair": "reply", "label": "stars"}
    text = dataset_spec("reviews (1).csv", chosen)
    assert text == "file(path='reviews (1).csv', text=review, pair=reply, label=stars)"
    assert [(e.text, e.pair) for e in build_dataset(text).object.load("test")] == [("fine", "thanks")]
    assert dataset_spec("nyu-mll/glue@main", {"label": "x"}) == "hub(repo='nyu-mll/glue', revision=main, label=x)"
    for named in ("imdb", "planted(seed=1)", "file(path='reviews (1).csv')"):
        assert dataset_spec(named) == named
        with pytest.raises(UserError, match=r"--text and --pair and --label name columns .* is neither"):
            dataset_spec(named, chosen)


@pytest.mark.parametrize("as_text", [False, True])
def test_marks_of_a_pair_count_on_behind_the_text(as_text, tmp_path):
    row = {
        "premise": "A man sleeps.",
        "hypothesis": "A man runs.",
        "label": "contradiction",
        "rationale": [[6, 12]],
        "pair_rationale": [[6, 10]],
        "pair_evidence": [[2, 5]],
    }
    if as_text:
        row |= {name: json.dumps(row[name]) for name in row if "rationale" in name or "evidence" in name}
    (tmp_path / "esnli.jsonl").write_text(json.dumps(row))
    (example,) = build_dataset(tmp_path / "esnli.jsonl").object.load("test")
    both = f"{example.text}\n{example.pair}"
    assert [both[start:end] for start, end in example.rationale] == ["sleeps", "runs"]
    assert [both[start:end] for start, end in example.evidence] == ["man"]
    assert example.rationale_majority is None
