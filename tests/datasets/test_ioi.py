"""Indirect objects: balanced names and orders, and what a model whose names are several tokens leaves out."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from continuing_tokenizers import word_level

from faithbench.datasets.ioi import IOI, NAMES
from faithbench.errors import UserError
from faithbench.interfaces import Traits
from faithbench.models.candidates import read_question
from faithbench.plugins.spec import Component
from faithbench.training.encoding import fitting
from faithbench.types import Text

ROUND = 2 * len(NAMES)  # every name in every part


def questions(items=ROUND, seed=0):
    return IOI(items, seed, texts="imdb").load("test")


def named(example):
    return [word.strip(",") for word in example.text.split() if word.strip(",") in NAMES]


def test_the_one_who_gives_is_not_the_one_who_is_given_something():
    for example in questions(200):
        first, second, giver = named(example)
        assert first != second
        assert example.bad == giver
        assert {example.good, giver} == {first, second}
        assert example.label == 0
        ((start, end),) = example.evidence
        assert example.text[start:end] == example.good
        assert start == example.text.index(example.good)


@pytest.mark.parametrize("seed", [0, 3])
def test_names_and_orders_are_balanced(seed):
    found = questions(ROUND, seed)
    twice = Counter(dict.fromkeys(NAMES, 2))
    assert Counter(example.good for example in found) == Counter(example.bad for example in found) == twice
    assert Counter(named(example)[0] for example in found) == Counter(named(example)[1] for example in found) == twice


def test_the_first_name_is_the_one_that_occurs_once_in_half_of_the_questions():
    assert np.mean([named(example)[0] == example.good for example in questions(960)]) == 0.5


def test_questions_are_drawn_by_the_seed_and_more_of_them_begin_alike():
    assert questions(100)[:30] == questions(30)
    assert questions(seed=1) != questions()
    assert len({example.id for example in questions(100)}) == 100


def as_read(tokenizer, example) -> Text:
    read, candidates = read_question(tokenizer, example, 100)
    arrays = {name: getattr(read, name) for name in ("ids", "special", "words", "tokens", "offsets", "source")}
    return Text(example.id, mask_id=0, candidates=candidates, **arrays)


def test_questions_with_a_name_of_several_tokens_are_left_out_and_the_others_stay_balanced():
    data, found = IOI(480, texts="imdb"), questions(480)
    words = {word for example in found for word in example.text.lower().replace(",", " , ").split()}
    tokenizer = word_level(sorted(words))
    texts = [as_read(tokenizer, example) for example in found]
    examples = {example.id: example for example in found}
    component = Component("ioi()", "ioi", data, Traits(unfit=True))
    kept, skipped = fitting(component, examples, texts)
    assert (len(kept), skipped) == (480, [])

    def broken(text):
        """As if Mary were two tokens."""
        example = examples[text.id]
        if "Mary" not in named(example):
            return text
        start = example.text.index("Mary")
        (place,) = (i for i, (first, _) in enumerate(text.offsets) if first == start)
        offsets = text.offsets.copy()
        offsets[place], offsets[place + 1] = (start, start + 2), (start + 2, start + 4)
        return replace(text, offsets=offsets)

    kept, skipped = fitting(component, examples, [broken(text) for text in texts])
    assert {one.id for one in skipped} == {example.id for example in found if "Mary" in named(example)}
    assert skipped[0].reason == "its name Mary is not one token of the model's but 2 of them"
    left = [examples[text.id] for text in kept]
    assert np.mean([named(example)[0] == example.good for example in left]) == 0.5


def test_there_are_questions_alone_and_parameters_are_checked():
    with pytest.raises(UserError, match=r"^ioi has no train split, only questions \(test\)"):
        IOI(texts="imdb").load("train")
    assert IOI(texts="imdb").base == "imdb"
    for parameters in ({"items": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=f"^{next(iter(parameters))}="):
            IOI(**parameters, texts="imdb")
