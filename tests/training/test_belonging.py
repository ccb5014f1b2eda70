"""A classifier is not asked next-token questions, nor a language model about texts: before anything is trained."""

import json

import pytest
from builders import tiny_classifier
from next_token import QUESTIONS, language_model

import faithbench
from faithbench.datasets.planted import Planted
from faithbench.errors import UserError
from faithbench.plan import Plan
from faithbench.plugins.naming import ModelRef, refer
from faithbench.plugins.spec import Component
from faithbench.training.belonging import is_language_model
from faithbench.training.encoding import encode_examples
from faithbench.training.prepare import Prepared
from faithbench.types import Example

TEXTS = Component("planted", "planted", Planted())  # its classes have the names of questions' continuations
ASKED = "d asks which of two words follows, which m cannot say; a language model can, such as lm(path), of a folder or"
TOLD = "m is a language model, and d has no questions for it: texts with two continuations, good and bad."


def read(classifier, examples):
    dataset = Component("d", "d", TEXTS.object)
    return encode_examples(Prepared(classifier, "m", "m", {}), dataset, examples)


def test_who_is_asked_what_it_cannot_say_is_refused_in_a_sentence():
    texts = [Example("a", "the dog", 0), Example("b", "the dogs", 1)]
    assert len(read(language_model("gpt2"), QUESTIONS).texts) == len(QUESTIONS)
    with pytest.raises(UserError) as asked:
        read(tiny_classifier("bert"), QUESTIONS)
    assert str(asked.value).startswith(ASKED)
    with pytest.raises(UserError) as told:
        read(language_model("gpt2"), texts)
    assert str(told.value) == TOLD


def test_a_question_that_the_model_cannot_be_asked_is_left_out_with_the_reason():
    odd = [
        Example("none", "the dog", 0),
        Example("begins", "the dog", 0, good="walks", bad="walks a dog"),
        Example("half", "the dog", 0, good="\ud83d", bad="walks"),
        Example("far", "the dog " * 40, 0, good="walks", bad="sees"),
    ]
    found = read(language_model("gpt2"), [*QUESTIONS, *odd])
    assert [text.id for text in found.texts] == [example.id for example in QUESTIONS]
    reasons = {one.id: one.reason for one in found.skipped}
    assert list(reasons) == [example.id for example in odd]
    assert reasons["none"] == (
        "its text has no continuations, good and bad, that a language model could choose between; a file of questions "
        "has the columns prefix, good and bad"
    )
    assert reasons["begins"] == "its text has continuations of which one begins with the other"
    assert reasons["half"].startswith("it has half of a character")
    assert "tokens, and the model reads 48" in reasons["far"]


def test_what_a_model_is_asked_is_known_before_it_is_there():
    assert is_language_model(refer("lm(somewhere)")) is True
    assert is_language_model(refer("conv-tiny")) is False
    assert is_language_model(ModelRef("a/folder")) is None
    assert is_language_model(refer("classifier(somewhere)")) is None


@pytest.mark.parametrize(
    ("model", "rows", "reason"),
    [
        (
            "conv-tiny",
            [{"prefix": "the dog", "good": "walks", "bad": "walk"}],
            "asks which of two words follows, which conv",
        ),
        ("lm(somewhere)", [{"text": "the dog", "label": "a"}], "is a language model, and file"),
    ],
)
def test_a_run_is_refused_before_a_model_is_trained_or_loaded(model, rows, reason, tmp_path, monkeypatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = Plan((str(tmp_path / "rows.jsonl"),), (model,), ("random",), ("entropy",))
    with pytest.raises(UserError, match=reason) as caught:
        faithbench.run(plan, tmp_path / "run", "cpu")
    assert len(str(caught.value)) < 400
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cache").exists()
