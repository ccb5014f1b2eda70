"""How a language model goes on: against transformers' own greedy search, and the tokenizer's reading of the whole."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from next_token import language_model, next_logits

from faithbench.errors import UserError
from faithbench.models.continuing import (
    as_bytes,
    behind,
    continuation_of,
    named_candidates,
    next_step,
    steps,
    whole_words,
)
from faithbench.types import Example

BOTH = pytest.mark.parametrize("kind", ["gpt2", "llama"])


def start(text: str = "the dog sees", **more: str) -> Example:
    return Example("x", text, None, **more)


@BOTH
def test_the_tokens_are_those_of_transformers_greedy_search(kind: str):
    model = language_model(kind)
    run = list(steps(model, start(), 7))
    ids = torch.tensor(run[0].text.ids.tolist())[None]
    ends = {"eos_token_id": None, "pad_token_id": 0, "min_new_tokens": 7}
    with torch.no_grad():
        whole = model.model.generate(ids, max_new_tokens=7, do_sample=False, **ends)[0].tolist()
    own = [step.text.candidates[0] for step in run]
    assert own == whole[len(run[0].text.ids) :][: len(own)]
    assert len(own) == 7 or run[-1].ends


@BOTH
def test_each_step_has_all_before_it_and_the_two_likeliest_tokens(kind: str):
    model = language_model(kind)
    run = list(steps(model, start(), 5))
    for before, step in pairwise(run):
        assert step.text.ids.tolist() == [*before.text.ids.tolist(), before.text.candidates[0]]
    for step in run:
        logits = next_logits(model, step.text.ids)
        shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        assert step.text.candidates == tuple(np.argsort(-shares)[:2])
        np.testing.assert_allclose(step.chances, np.sort(shares)[::-1][:2], rtol=1e-9)
        assert step.text.read == len(step.text) - 1
    assert len({step.text.id for step in run}) == len(run)


@BOTH
def test_a_text_with_tokens_behind_it_is_read_as_the_tokenizer_reads_it_whole(kind: str):
    model, whole = language_model(kind), "the dog sees John and walks"
    if kind == "llama":
        whole = "the dog sees John walks"
    wanted = model.begin(start(whole))
    text = model.begin(start("the dog"))
    for token in wanted.ids[len(text.ids) :]:
        text = behind(model.tokenizer, text, int(token))
    assert text.ids.tolist() == wanted.ids.tolist()
    assert text.source == whole
    assert text.tokens == wanted.tokens
    spelled = [[whole[slice(*each)].strip() for each in found.offsets] for found in (text, wanted)]
    assert spelled[0] == spelled[1]
    np.testing.assert_array_equal(text.special, wanted.special)
    np.testing.assert_array_equal(text.words, wanted.words)


def test_bytes_of_a_character_add_nothing_until_it_is_whole():
    model = language_model("gpt2")
    text, whole = model.begin(start("the dog")), "the dog 🙂 é"
    for token in model.tokenizer(whole)["input_ids"][len(text.ids) :]:
        text = behind(model.tokenizer, text, token)
    assert text.source == whole
    assert "".join(whole[begin:end] for begin, end in text.offsets) == whole


def test_bytes_that_are_no_character_are_named_as_bytes():
    model = language_model("gpt2")
    text, tokenizer = model.begin(start("the dog")), model.tokenizer
    ids = [token for token in tokenizer(" 🙂")["input_ids"] if "\ufffd" in tokenizer.decode([token])]
    assert len(ids) > 1
    for pair, expected in (((ids[0], ids[1]), "🙂".encode()[:2]), ((ids[1], ids[0]), "🙂".encode()[1::-1])):
        names = named_candidates(tokenizer, replace(text, candidates=pair))
        assert "".join(names) == "".join(f"<0x{byte:02X}>" for byte in expected)
    for written in ("<0xE2>", "<s>", "Ġkeys", "▁"):  # of other vocabularies, or characters
        assert as_bytes(written) == written


def test_the_end_of_a_text_ends_it():
    model = language_model("gpt2")
    first = next_step(model, start()).text.candidates[0]
    before = model.model.generation_config.eos_token_id
    model.model.generation_config.eos_token_id = [first]
    try:
        run = list(steps(model, start(), 5))
    finally:
        model.model.generation_config.eos_token_id = before
    assert [step.ends for step in run] == [True]
    assert continuation_of(model.tokenizer, run) == ""


def test_what_has_no_room_is_refused_with_what_has():
    model = language_model("gpt2")
    begun = len(model.begin(start()))
    room = model.max_length + 1 - begun
    assert len(list(steps(model, start(), 2))) == 2
    with pytest.raises(UserError, match=f"generate {room} or fewer"):
        list(steps(model, start(), room + 1))
    with pytest.raises(UserError, match=f"the model reads {model.max_length}"):
        next_step(model, start("the dog " * 60))
    with pytest.raises(UserError, match="empty"):
        next_step(model, start("  "))


def test_candidates_have_names_that_differ():
    model = language_model("gpt2")
    text = model.encode(start("the dog", good="walks", bad="sees"))
    assert named_candidates(model.tokenizer, text) == ("walks", "sees")
    assert whole_words(model.tokenizer, text, ("walks", "sees"))
    assert not whole_words(model.tokenizer, text, ("walks away", "sees"))
    plain, spaced = (model.tokenizer(word)["input_ids"][0] for word in ("walks", " walks"))
    both = type(text)(**{**vars(text), "candidates": (plain, spaced)})
    assert len(set(named_candidates(model.tokenizer, both))) == 2
