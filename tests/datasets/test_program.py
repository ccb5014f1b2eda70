"""Texts whose label a program computes: the truth about each word against brute force, and as models read it."""

from collections import Counter
from dataclasses import replace
from itertools import chain, combinations, permutations

import numpy as np
import pytest
from builders import tiny_network

from faithbench.answering.returned import check_text
from faithbench.datasets.causes import responsibilities, shapley_values
from faithbench.datasets.fingerprint import fingerprint
from faithbench.datasets.planted import DISTRACTORS
from faithbench.datasets.program import BLANK, LETTERS, RULES, Program
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.naming import build_dataset
from faithbench.training.backbones import word_tokenizer

SMALL = {"train": 40, "validation": 10, "test": 30, "cues": 4, "distractors": 4}
NAMES = pytest.mark.parametrize("name", sorted(RULES))


def subsets(items):
    return chain.from_iterable(combinations(items, size) for size in range(len(items) + 1))


def responsibility_by_definition(words, says, place):
    """All sets of other words to take away, of any size, cues or not."""
    label, others = says(words), [i for i in range(len(words)) if i != place]

    def left(gone):
        return says([word for i, word in enumerate(words) if i not in gone])

    sizes = [len(gone) for gone in subsets(others) if left(gone) == label and left((*gone, place)) != label]
    return 1 / (1 + min(sizes)) if sizes else 0.0


def shapley_by_orders(cues, says, label):
    """The mean over all orders in which the cues can come; those that are there stay in the order of the text."""
    totals = np.zeros(len(cues))
    orders = list(permutations(range(len(cues))))
    for order in orders:
        values = [says([cues[i] for i in sorted(order[:count])]) == label for count in range(len(cues) + 1)]
        totals[list(order)] += np.diff(np.array(values, dtype=float))
    return totals / len(orders)


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("count", "amber the apple a amber", 1),
        ("count", "amber the apple bronze copper", 0),
        ("guard", "the basil", 1),
        ("guard", "amber basil cedar", 0),
        ("guard", "cedar the", 0),
        ("xor", "amber apple the", 1),
        ("xor", "amber basil", 0),
        ("xor", "the a", 0),
        ("order", "bronze amber the basil", 1),
        ("order", "bronze the amber", 0),
        ("order", "bronze bronze", 0),
        ("majority", "amber apple bronze", 1),
        ("majority", "amber bronze", 0),
    ],
)
def test_what_programs_say(name, words, says):
    assert Program(name).says(words.split()) == says
    assert Program(name).says(["[MASK]", *words.split(), "over"]) == says


@NAMES
def test_labels_are_the_programs_and_balanced(name):
    data = Program(name, **SMALL)
    for split in ("train", "validation", "test"):
        examples = data.load(split)
        assert [data.says(example.text.split()) for example in examples] == [i % 2 for i in range(len(examples))]
        assert [example.label for example in examples] == [i % 2 for i in range(len(examples))]


@NAMES
def test_responsibility_is_that_of_the_definition_over_all_words(name):
    data = Program(name, **SMALL)
    degrees = Counter()
    for example in data.load("test"):
        words = example.text.split()
        truth = {(start, end): degree for start, end, degree in example.responsibility}
        start = 0
        for place, word in enumerate(words):
            expected = responsibility_by_definition(words, data.says, place)
            assert truth.get((start, start + len(word)), 0.0) == expected
            assert expected == 0 or word in LETTERS  # fillers do nothing
            degrees[expected] += 1
            start += len(word) + 1
    assert degrees[1.0]
    assert degrees[0.5]


@NAMES
def test_shapley_values_are_means_over_orders_and_sum_to_what_the_words_decide(name):
    data = Program(name, **SMALL)
    for example in data.load("test"):
        cues = [word for word in example.text.split() if word in LETTERS]
        truth = {start: value for start, _, value in example.shapley}
        starts = [i for i in range(len(example.text)) if i == 0 or example.text[i - 1] == " "]
        found = [truth.get(i, 0.0) for i in starts if example.text[i:].split()[0] in LETTERS]
        np.testing.assert_allclose(found, shapley_by_orders(cues, data.says, example.label), atol=1e-12)
        assert sum(truth.values()) == pytest.approx(1 - (data.says([]) == example.label))


def test_known_responsibilities_and_values():
    def both(left):
        return {0, 1} <= set(left)

    def any_of_three(left):
        return len(set(left)) > 0

    assert responsibilities(3, both) == (1.0, 1.0, 0.0)
    assert shapley_values(3, both) == (0.5, 0.5, 0.0)
    assert responsibilities(3, any_of_three) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert shapley_values(3, any_of_three) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert responsibilities(0, lambda left: True) == ()


def test_a_word_that_works_against_the_label_is_not_responsible_and_has_a_value_below_0():
    (example,) = [e for e in Program("majority", test=2).load("test") if e.label == 1]
    against = [start for start, _, value in example.shapley if value < 0]
    assert all(example.text[start:].split()[0] in ("bronze", "basil") for start in against)
    assert against
    assert not {start for start, *_ in example.responsibility} & set(against)


def test_half_of_the_training_texts_have_words_that_are_masked_and_no_text_of_the_test_split():
    data = Program("xor")
    blanks = [BLANK in example.text for example in data.load("train")[:400]]
    assert 150 < sum(blanks) <= 200
    assert any(BLANK in example.text for example in data.load("validation"))
    assert not any(BLANK in example.text for example in data.load("test"))
    words = {word for example in data.load("train") for word in example.text.split()}
    assert words == {BLANK, *DISTRACTORS, "amber", "apple", "bronze", "basil"}


def test_a_masked_word_is_the_mask_token_to_tiny_models():
    tokenizer = word_tokenizer([example.text for example in Program("count", **SMALL).load("train")])
    assert tokenizer("the [MASK] amber").input_ids[2] == tokenizer.mask_token_id


def test_texts_are_drawn_by_seed_and_split():
    load = Program("guard", **SMALL).load
    assert load("test") == Program("guard", **{**SMALL, "train": 7}).load("test")
    assert load("test") != Program("guard", seed=1, **SMALL).load("test")
    assert [e.text for e in load("train")] != [e.text for e in load("validation")]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("program", "name"),
        ("program(parity)", "name='parity' is not allowed; use count or guard or xor or order or majority"),
        ("program(count, k=6)", "k=6 is not allowed; it must be a whole number from 2 to 5"),
        ("program(count, k=1)", "k=1 is not allowed; it must be a whole number from 2 to 5"),
        ("program(xor, k=2)", "k=2 is not allowed; only the program count asks for a number of cues"),
        ("program(count, cues=1)", "cues=1 is not allowed"),
        ("program(count, test=0)", "test=0 is not allowed"),
        ("program(count, seed=-1)", "seed=-1 is not allowed"),
    ],
)
def test_bad_parameters_are_refused(spec, words):
    with pytest.raises(UserError, match=words):
        build_dataset(spec)


def test_tokens_of_a_word_have_its_truth_and_the_hash_knows_it():
    data = Program("order", **SMALL)
    example = next(e for e in data.load("test") if len(e.responsibility) > 1)
    tokenizer = word_tokenizer(["the a", " ".join("abcdefghijklmnopqrstuvwxyz")])  # words are in pieces
    network = tiny_network("bert", vocab_size=len(tokenizer), max_position_embeddings=200)
    text = HuggingFaceClassifier(network, tokenizer).encode(example)
    for place, number in enumerate(text.words):
        word = "" if number < 0 else example.text.split()[number]
        start = sum(len(each) + 1 for each in example.text.split()[: max(number, 0)])
        for field in ("responsibility", "shapley"):
            expected = {begin: value for begin, _, value in getattr(example, field)}.get(start, 0.0)
            assert getattr(text, field)[place] == (expected if word in LETTERS else 0.0)
    assert fingerprint([example]) != fingerprint([replace(example, shapley=None)])
    assert fingerprint([example]) != fingerprint([replace(example, responsibility=())])
    bad = replace(text, shapley=np.full(len(text), np.nan))
    with pytest.raises(ValueError, match="shapley that is no array"):
        check_text(bad, example, 2)
