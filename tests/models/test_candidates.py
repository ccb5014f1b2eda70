"""Next-token questions as tokenizers of three families read them: against the tokenizer's own reading of the whole."""

import numpy as np
import pytest
from builders import tiny_tokenizer
from continuing_tokenizers import byte_level, metaspace, word_level
from hypothesis import given, settings
from hypothesis import strategies as st

from faithbench.errors import UserError
from faithbench.models.candidates import read_question
from faithbench.types import Example

WORDS = "the a dog dogs barks bark himself herself them themselves sees Mary John walk walks walked café".split()
TEXTS = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))]
TOKENIZERS = {
    "bytes": byte_level(TEXTS, 300),
    "pieces": metaspace(TEXTS, 80),
    "words": word_level(word.lower() for word in WORDS),
    "bert": tiny_tokenizer(),
}
ALL = pytest.mark.parametrize("name", TOKENIZERS)
THREE = pytest.mark.parametrize("name", ["bytes", "pieces", "words"])


def question(text, good, bad, **marks):
    return Example("q", text, 0, good=good, bad=bad, **marks)


def plain(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(["bytes", "pieces", "words"]),
    prefix=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5),
    both=st.lists(st.sampled_from(WORDS), min_size=2, max_size=2, unique=True),
)
def test_the_prefix_with_a_candidate_is_how_the_whole_begins(name, prefix, both):
    tokenizer, text = TOKENIZERS[name], " ".join(prefix)
    before = [tokenizer.bos_token_id] if name == "pieces" else []
    whole = [before + plain(tokenizer, f"{text} {word}") for word in both]
    try:
        read, candidates = read_question(tokenizer, question(text, *both), 100)
    except UserError:
        short, long = sorted(whole, key=len)
        assert long[: len(short)] == short
        return
    for ids, candidate in zip(whole, candidates, strict=True):
        assert [*read.ids, candidate] == ids[: len(read.ids) + 1]
    assert candidates[0] != candidates[1]
    scored = read.ids[~read.special].tolist()
    assert scored == plain(tokenizer, text)
    assert read.source == text
    assert all(text[start:end].strip() for start, end in read.offsets[~read.special])
    assert (read.words[read.special] == -1).all()
    assert (read.words[~read.special] >= 0).all()


@THREE
def test_what_both_begin_with_is_read_and_not_scored(name):
    tokenizer = TOKENIZERS[name]
    example = question("the dog", "sees Mary", "sees John", evidence=((4, 7),))
    read, candidates = read_question(tokenizer, example, 100)
    scored = np.flatnonzero(~read.special)
    assert read.ids[scored].tolist() == plain(tokenizer, "the dog")
    behind = read.ids[scored[-1] + 1 :].tolist()
    mary, john = (plain(tokenizer, f"the dog sees {word}") for word in ("Mary", "John"))
    assert behind
    assert behind == mary[len(scored) :][: len(behind)] == john[len(scored) :][: len(behind)]
    assert candidates == (mary[len(scored) + len(behind)], john[len(scored) + len(behind)])
    marked = read.marked(example.evidence)
    assert marked.any()
    assert not marked[read.special].any()
    assert "".join(example.text[slice(*read.offsets[i])] for i in np.flatnonzero(marked)).strip() == "dog"


def test_only_what_is_put_before_texts_is_there():
    read, _ = read_question(TOKENIZERS["pieces"], question("the dog", "walks", "sees"), 100)
    assert read.ids[0] == TOKENIZERS["pieces"].bos_token_id
    assert read.special[0]
    assert TOKENIZERS["pieces"].eos_token_id not in read.ids
    read, _ = read_question(TOKENIZERS["bert"], question("old lion", "said", "tale"), 100)
    assert read.tokens[0] == "[CLS]"
    assert "[SEP]" not in read.tokens
    read, _ = read_question(TOKENIZERS["bytes"], question("the dog", "walks", "sees"), 100)
    assert not read.special[0]


@ALL
def test_spaces_at_the_seam_change_nothing(name):
    words = ("the dog", "walks", "sees") if name != "bert" else ("old lion", "said", "tale")
    ids, candidates = read_question(TOKENIZERS[name], question(*words), 100)
    again, same = read_question(TOKENIZERS[name], question(f"{words[0]} ", f" {words[1]}", f" {words[2]}"), 100)
    assert again.ids.tolist() == ids.ids.tolist()
    assert candidates == same


def test_behind_the_end_of_a_line_there_is_no_space():
    tokenizer = TOKENIZERS["bytes"]
    _, candidates = read_question(tokenizer, question("the dog:\n", "walks", "sees"), 100)
    assert tokenizer.decode(candidates[0])[0] == "w"


REFUSED = {
    "empty prefix": ("", "walks", "sees", "has an empty prefix"),
    "blank prefix": (" \n", "walks", "sees", "has an empty prefix"),
    "empty continuation": ("the dog", " ", "sees", "has an empty continuation (good)"),
    "no continuation": ("the dog", "walks", None, "has no continuations"),
    "the same": ("the dog", "walks", " walks", "has the same continuation twice: 'walks'"),
    "one begins with the other": ("the dog", "sees", "sees Mary", "of which one begins with the other"),
    "too long": ("the dog " * 60, "walks", "sees", "and the model reads 100"),
}


@THREE
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_question_is_refused_in_a_sentence(case, name):
    *words, reason = REFUSED[case]
    with pytest.raises(UserError) as caught:
        read_question(TOKENIZERS[name], question(*words), 100)
    assert str(caught.value).startswith("text 'q' has ")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("both", [("zebra", "walks"), ("walks", "zebra"), ("zebra", "giraffe")])
def test_a_word_that_the_tokenizer_does_not_know_is_no_continuation(both):
    with pytest.raises(UserError, match=r"has a continuation '(zebra|giraffe)' that the tokenizer does not know"):
        read_question(TOKENIZERS["words"], question("the dog", *both), 100)


def test_words_that_the_tokenizer_takes_for_one_are_no_choice():
    with pytest.raises(UserError, match="has continuations that are the same tokens"):
        read_question(TOKENIZERS["words"], question("the dog", "Walks", "walks"), 100)


def test_a_prefix_of_which_the_tokenizer_leaves_nothing_is_empty():
    with pytest.raises(UserError, match="has an empty prefix"):
        read_question(TOKENIZERS["bert"], question("\u200b", "said", "tale"), 100)


def test_the_longest_prefix_that_fits_is_read():
    read, _ = read_question(TOKENIZERS["words"], question("the dog sees", "a", "the"), 3)
    assert len(read.ids) == 3
    with pytest.raises(UserError, match="has a prefix of 3 tokens, and the model reads 2"):
        read_question(TOKENIZERS["words"], question("the dog sees", "a", "the"), 2)


def joining():
    """Its tokens can hold several words: `in order`, `order to` are learnt whole."""
    return metaspace(["order to"] * 50 + ["the order of a dog to be in"], 60, split=False)


def test_a_token_over_the_seam_is_a_continuation_that_does_not_follow():
    tokenizer = joining()
    assert any("order▁to" in token for token in tokenizer.tokenize("the order to"))
    with pytest.raises(UserError, match="has a continuation 'to' that does not follow its prefix"):
        read_question(tokenizer, question("the order", "to", "of"), 100)
    with pytest.raises(UserError, match="has a continuation 'to' that does not follow its prefix"):
        read_question(tokenizer, question("the order", "of", "to"), 100)


def test_a_token_over_the_seam_that_both_share_is_of_the_prefix():
    tokenizer = joining()
    example = question("the order", "to be", "to a", evidence=((4, 9),))
    read, candidates = read_question(tokenizer, example, 100)
    whole = tokenizer("the order to be")["input_ids"]
    assert [*read.ids, candidates[0]] == whole[: len(read.ids) + 1]
    over = next(i for i, token in enumerate(read.tokens) if "order▁to" in token)
    assert not read.special[over]
    assert read.marked(example.evidence)[over]
