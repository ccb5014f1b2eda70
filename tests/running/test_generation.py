"""Language models in `faithbench.explain` and `attribute`: probabilities, trust and triangles against rows by hand."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
import transformers
from next_token import language_model, next_logits
from rich.console import Console

import faithbench
from faithbench.conformance.linear import LinearModel
from faithbench.errors import UserError, WrongTypeError
from faithbench.models.continuing import steps
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.running.generation import Generation, Generations
from faithbench.running.trust import ENOUGH
from faithbench.types import Example, Target

PREFIX, GOOD, BAD = "the dog sees these dogs", "walk", "walks"
FAST: dict[str, object] = {"explainers": "occlusion", "draws": 0}


def shown(what: object) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as text:
        console.print(what)
    return text.get()


def explained(*args: object, **options: object) -> faithbench.Explanation:
    found = faithbench.explain(*args, **options)
    assert isinstance(found, faithbench.Explanation)
    return found


def asked(model: object, prefix: str = PREFIX, **more: object) -> faithbench.Explanation:
    return explained(model, prefix, **{**FAST, "good": GOOD, "bad": BAD, **more})


def generated(count: int = 5, **more: object) -> Generation:
    found = faithbench.explain(language_model("gpt2"), PREFIX, **{**FAST, "generate": count, **more})
    assert isinstance(found, Generation)
    return found


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_probability_is_that_of_one_word_rather_than_the_other(kind: str):
    model = language_model(kind)
    found = asked(model)
    logits = next_logits(model, found.text.ids)
    d = logits[found.text.candidates[0]] - logits[found.text.candidates[1]]
    p = 1 / (1 + math.exp(-d))
    assert found.prediction.title == f"P(walk rather than walks) = {p:.2f}"
    assert found.target == Target(0)
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(found.prediction.chances, shares[list(found.text.candidates)])
    said = shown(found)
    assert ("The model prefers walks" in said) is bool(d < -0.21)
    assert "+ speaks for walk rather than walks" in said


def test_words_are_deleted_to_try_an_explanation():
    model = language_model("gpt2")
    found = asked(model, draws=100)
    trust, ids = found.explained[0].trust, found.text.ids
    assert " takes P(walk rather than walks) from " in shown(found)
    words = found.text.words.tolist()
    k, scores = len(trust.words), np.zeros(max(words) + 1)
    np.add.at(scores, words, found.explained[0].attribution.scores)
    first = np.argsort(-scores, kind="stable")[:k]

    def probability(gone: tuple[int, ...]) -> float:
        logits = next_logits(model, [token for token, word in zip(ids, words, strict=True) if word not in gone])
        return 1 / (1 + math.exp(logits[found.text.candidates[1]] - logits[found.text.candidates[0]]))

    others = [probability(s) for s in combinations(range(len(scores)), k) if set(s) != set(first)]
    np.testing.assert_allclose(trust.values, (probability(()), probability(tuple(first)), np.mean(others)), rtol=1e-6)
    assert next(trust.sentences()).startswith("Deleting the first")
    assert "these sets deleting takes away less" in shown(found)


def test_without_words_the_models_own_next_token_is_explained():
    model = language_model("gpt2")
    found = explained(model, PREFIX, **FAST)
    first, second = np.argsort(-next_logits(model, found.text.ids))[:2]
    assert found.text.candidates == (first, second)
    assert "is what the model itself says next" in shown(found)


def test_what_is_printed_is_what_a_terminal_shows():
    for found in (asked(language_model("gpt2")), generated(2)):
        assert str(found).splitlines()[0] == found.sheet.title
        assert "array(" not in str(found)


def test_a_single_word_has_nothing_to_be_deleted_for():
    found = asked(language_model("gpt2"), "the", draws=10)
    assert found.explained[0].trust is None


def test_first_tokens_that_stand_for_longer_words_are_said():
    found = asked(language_model("gpt2"), good="these walk", bad="these dogs walk")
    assert "Compared are the first tokens in which the two differ, behind 1 that both begin with" in shown(found)


@pytest.mark.parametrize("contrast", [True, False])
def test_what_scores_are_of_is_said(contrast: bool):
    found = asked(language_model("gpt2", contrast=contrast))
    attribution = faithbench.attribute(
        language_model("gpt2", contrast=contrast), [Example("a", PREFIX, 0, good=GOOD, bad=BAD)], "occlusion"
    )[0]
    assert attribution.name == ("walk rather than walks" if contrast else "walk")
    assert attribution.target == Target(0)
    assert found.explained[0].attribution.name == attribution.name
    assert ("the other token is not subtracted" in shown(found)) is not contrast
    np.testing.assert_allclose(attribution.scores, found.explained[0].attribution.scores)


def test_models_in_memory_and_pipelines_are_language_models():
    own = language_model("gpt2")
    plain = asked(own).explained[0].attribution.scores
    pipeline = transformers.pipeline("text-generation", model=own.model, tokenizer=own.tokenizer)
    for model, more in ((own.model, {"tokenizer": own.tokenizer}), (pipeline, {})):
        found = asked(model, **more)
        np.testing.assert_allclose(found.explained[0].attribution.scores, plain, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"good": "walk"}, "good and bad go together"),
        ({"good": "walk", "bad": 3}, "bad is of type int"),
        ({"good": "walk", "bad": "walk"}, "same continuation twice"),
        ({"good": "walk", "bad": "walk walk"}, "one begins with the other"),
        ({"good": "walk", "bad": "walks", "generate": 3}, "leave out good and bad"),
        ({"generate": 0}, "generate=0 is not allowed"),
        ({"generate": "3"}, "generate is of type str"),
        ({"generate": True}, "generate is of type bool"),
        ({"generate": 300}, "there is no room for 300 more"),
        ({"generate": 3, "target": 1}, "leave out target and against"),
        ({"generate": 3, "against": "bad"}, "leave out target and against"),
        ({"generate": 3, "pair": "x"}, "pair is for models that read two"),
        ({"pair": "x"}, "pair is for models that read two"),
        ({"good": "walk", "bad": "sees", "pair": "x"}, "pair is for models that read two"),
    ],
)
def test_bad_questions_are_one_sentence(options: dict[str, object], sentence: str):
    with pytest.raises(UserError, match=sentence) as caught:
        faithbench.explain(language_model("gpt2"), PREFIX, **FAST, **options)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_refusal_counts_tokens_as_what_is_shown_does(kind: str):
    model = language_model(kind)
    text = model.begin(Example("0", PREFIX, 0))
    special, content = int(text.special.sum()), len(text.content)
    assert special == (kind == "llama")
    told = f"has {content} tokens{' besides 1 special one' * special}, and the model reads 48"
    with pytest.raises(UserError) as caught:
        faithbench.explain(model, PREFIX, **FAST, generate=48)
    assert told in str(caught.value)
    room = 48 - content - special + 1
    assert str(caught.value).endswith(f"generate {room} or fewer.")
    with pytest.raises(UserError, match=rf"has {40 * content} tokens{' besides 1 special one' * special}, and"):
        model.begin(Example("0", " ".join([PREFIX] * 40), 0))


def test_texts_that_cannot_be_asked_are_named():
    model = language_model("gpt2")
    for texts, sentence in (([PREFIX, " "], r"texts\[1\].*empty"), ([PREFIX * 40], r"texts\[0\].*the model reads 48")):
        for options in ({}, {"generate": 2}, {"good": "walk", "bad": "sees"}):
            with pytest.raises(UserError, match=sentence):
                faithbench.explain(model, texts, **FAST, **options)
    with pytest.raises(
        UserError, match=r"has no continuations, good and bad.*; give Example\(id, text, 0, good=…, bad=…\)"
    ):
        faithbench.attribute(model, [PREFIX], "occlusion")


@pytest.mark.parametrize("options", [{"good": "a", "bad": "b"}, {"generate": 2}])
def test_a_classifier_says_that_it_is_none(options: dict[str, object]):
    with pytest.raises(UserError, match="LinearModel is a classifier: name a class as target"):
        faithbench.explain(LinearModel(), "2 3 8", **FAST, **options)


def test_each_row_is_the_explanation_of_its_token_rather_than_the_runner_up():
    model, found = language_model("gpt2"), generated(4)
    triangle = found.triangles()["occlusion"]
    run = list(steps(model, Example("0", PREFIX, None), 4))
    assert len(triangle.rows) == len(run)
    assert triangle.given == len(run[0].text)
    assert len(triangle.columns) == len(run[-1].text)
    for row, step, each in zip(triangle.rows, run, found.steps, strict=True):
        ids, (t, f) = step.text.ids, step.text.candidates
        masked = [np.where(np.arange(len(ids)) == place, step.text.mask_id, ids) for place in range(len(ids))]
        d, *less = (logits[t] - logits[f] for logits in (next_logits(model, each) for each in (ids, *masked)))
        np.testing.assert_allclose(row.scores, (d - np.array(less)) / 2, atol=1e-9)
        assert (row.token, row.rival) == each.prediction.names
    whole = [*run[-1].text.ids.tolist(), run[-1].text.candidates[0]]
    assert PREFIX + found.continuation == model.tokenizer.decode(whole).rstrip("\ufffd")


def test_columns_can_be_words():
    tokens, words = (generated(4, by=by).triangles()["occlusion"] for by in ("token", "word"))
    for a, b in zip(tokens.rows, words.rows, strict=True):
        assert a.scores.sum() == pytest.approx(b.scores.sum())
    assert len(words.columns) <= len(tokens.columns)


def test_a_generation_is_said_in_a_frame_in_json_and_in_words(tmp_path):
    found = generated(5, draws=20)
    frame = found.frame()
    triangle = found.triangles()["occlusion"]
    assert len(frame) == sum(len(row.scores) for row in triangle.rows)
    table = json.loads(found.save(tmp_path / "x.json").read_text("utf-8"))["generations"][0]
    assert [step["token"] for step in table["steps"]] == list(found.tokens)
    assert table["continuation"] == found.continuation
    for step, row in zip(table["steps"], triangle.rows, strict=True):
        assert step["scores"]["occlusion"] == row.scores.tolist()
    said = shown(found)
    assert f"“{PREFIX}” goes on: “" in said
    assert "No token has enough words" in shown(generated(1, draws=20))
    both = faithbench.explain(language_model("gpt2"), [PREFIX, "Mary sees"], **FAST, generate=2)
    assert isinstance(both, Generations)
    assert shown(both).count("Rows are the tokens") == 1
    assert set(both.frame()["beginning"]) == {PREFIX, "Mary sees"}
    assert both.html().count("<table") == 2


@pytest.mark.parametrize("prefix", ["the dog sees these dogs walk Mary", "dog sees these dogs walk Mary"])
def test_it_is_said_at_how_many_tokens_words_do_more_than_others(prefix: str):
    found = faithbench.explain(language_model("llama"), prefix, "occlusion", generate=4, draws=60)
    trusts = [step.explained[0].trust for step in found.steps]
    tried = [trust for trust in trusts if len(trust.others) >= ENOUGH]
    good, some = sum(trust.convinces for trust in tried), " that have enough words before them" * (len(tried) < 4)
    assert tried
    assert f"At {good} of {len(tried)} tokens{some}, deleting the words" in shown(found)


def test_the_cost_is_said_before_and_is_about_what_it_costs(monkeypatch):
    rows = 0
    submit = HuggingFaceLanguageModel.submit

    def counting(model, batch):
        nonlocal rows
        rows += len(batch)
        return submit(model, batch)

    monkeypatch.setattr(HuggingFaceLanguageModel, "submit", counting)
    generated(5, draws=20)
    asked_for = rows
    console = Console(width=200)
    with console.capture() as heard:
        generated(5, draws=20, console=console)
    told = heard.get()
    assert told.startswith("Explaining 5 tokens with occlusion: about ")
    about = int(told.partition("about ")[2].partition(" rows")[0].replace(",", ""))
    assert about == pytest.approx(asked_for, rel=0.3)
    trying = rows - 2 * asked_for
    assert trying < 2 * asked_for  # of a model that takes no time


def test_explanations_have_json_too():
    table = json.loads(asked(language_model("gpt2")).json())["explanations"][0]
    assert table["explained"] == "walk rather than walks"
    assert sum(table["probabilities"].values()) == pytest.approx(1)
    assert [each["text"].strip() for each in table["explainers"][0]["scores"]] == PREFIX.split()
    with pytest.raises(WrongTypeError):
        faithbench.explain(language_model("gpt2"), PREFIX, generate=2.5)
