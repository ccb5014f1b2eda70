"""Documents in windows: by part, within documents, of content alone."""

import numpy as np
import pytest
from continuing_tokenizers import metaspace
from documents import documents
from networks import SENTENCES, end_of_text_pairs, word_pieces

from faithbench.activations import NONE
from faithbench.errors import UserError
from faithbench.neurons.corpus import EVALUATE, PARTS, part_of, read_corpus
from faithbench.types import Example

TOKENIZERS = {"BERT": word_pieces, "Llama": lambda: metaspace(SENTENCES), "GPT-2": end_of_text_pairs}


def reading(tokenizer, text):
    """Tokens of a text alone, without special ones."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_windows_are_the_content_of_documents_in_pieces_of_the_context(kind):
    tokenizer, texts = TOKENIZERS[kind](), documents(30, 5, 40)
    corpus, context, window = read_corpus(texts, tokenizer, 17, 5), 17, 5
    special = len(tokenizer("a")["input_ids"]) - len(reading(tokenizer, "a"))
    expected = {}
    for number, example in enumerate(texts):
        whole = reading(tokenizer, example.text)
        for start in range(0, len(whole), context - special):
            part = whole[start : start + context - special]
            for first in range(0, len(part) - window + 1, window):
                place = start + first
                after = whole[place + window] if place + window < len(whole) else NONE
                expected[number, place] = (part[first : first + window], after)
    found = [
        (document, tuple(ids), after)
        for document, ids, after in zip(
            corpus.windows.documents, corpus.windows.ids.tolist(), corpus.windows.following, strict=True
        )
    ]
    assert sorted(found) == sorted((number, tuple(ids), after) for (number, _), (ids, after) in expected.items())


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_piece_is_read_as_the_tokenizer_reads_a_text_and_windows_say_where_they_are(kind):
    tokenizer, texts = TOKENIZERS[kind](), documents(60)
    corpus = read_corpus(texts, tokenizer, 200, 4)
    for (piece, start), ids, number in zip(corpus.places, corpus.windows.ids, corpus.windows.documents, strict=True):
        whole = corpus.piece(piece)
        assert whole.tolist() == tokenizer(texts[number].text)["input_ids"]
        assert whole[start : start + 4].tolist() == ids.tolist()
    shorter = corpus.windows.cut(np.array([3, 0]), np.array([1, 2]), 2)
    for (piece, start), ids in zip(shorter.places, shorter.ids, strict=True):
        assert corpus.piece(piece)[start : start + 2].tolist() == ids.tolist()


def test_special_tokens_within_a_text_are_in_no_window_and_follow_none():
    tokenizer = end_of_text_pairs()
    text = "the soup was warm<|endoftext|>the bread was fresh"
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    whole = reading(tokenizer, text)
    assert end in whole
    corpus = read_corpus([Example(f"{n}", f"{text} {n}", None) for n in range(30)], tokenizer, 100, 3)
    assert end not in corpus.windows.ids
    assert end not in corpus.windows.following
    left, right = whole.index(end) // 3, (len(whole) - whole.index(end) - 1) // 3
    assert (corpus.windows.documents == 0).sum() >= left + right


def test_no_document_is_in_two_parts_and_a_text_that_comes_twice_is_in_one():
    texts = documents(200)
    again = [Example(f"again-{each.id}", f" {each.text}\n", None) for each in texts]
    corpus = read_corpus([*texts, *again], word_pieces(), 64, 4)
    part = dict(zip(corpus.windows.documents.tolist(), corpus.part.tolist(), strict=True))
    assert all(set(corpus.part[corpus.windows.documents == number]) == {part[number]} for number in part)
    assert all(part[number] == part[number + 200] for number in range(200) if number in part)
    assert [part_of(each.text) for each in texts] == [part_of(each.text) for each in again]


def test_parts_have_sixty_ten_and_thirty_percent_of_documents():
    shares = np.bincount([part_of(f"text {number}") for number in range(20_000)]) / 20_000
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.01)
    assert PARTS[EVALUATE] == "evaluate"


def test_windows_stand_in_the_order_in_which_pieces_are_read():
    corpus = read_corpus(documents(60, 5, 40), word_pieces(), 40, 4)
    pieces = corpus.places[:, 0]
    assert (np.diff(pieces) >= 0).all()
    assert (np.diff(corpus.part) >= 0).all()
    for part in range(3):
        assert (np.diff(corpus.lengths[pieces[corpus.part == part]]) <= 0).all()
    assert (corpus.ids.itemsize, corpus.windows.ids.itemsize, corpus.windows.following.itemsize) == (4, 4, 4)


def test_a_pair_is_one_document_of_both_texts():
    pair = Example("pair", "the soup was warm", None, pair="our train came late")
    joined = Example("joined", "the soup was warm\nour train came late", None)
    corpus = read_corpus([pair, joined, *documents(40)], word_pieces(), 64, 4)
    ids = [corpus.windows.ids[corpus.windows.documents == number].tolist() for number in (0, 1)]
    assert ids[0] == ids[1] != []


@pytest.mark.parametrize(
    ("texts", "context", "window", "words"),
    [
        (documents(40), 64, 300, "reads 62 tokens of a document at once; use window=62"),
        (documents(1, 6, 6), 64, 60, "has a window of 60 tokens; the longest has {tokens}: use window={tokens}"),
        (documents(1), 64, 4, "none is left to"),
        ([], 64, 4, "0 documents"),
    ],
)
def test_too_few_windows_are_refused_in_one_sentence(texts, context, window, words):
    with pytest.raises(UserError) as refusal:
        read_corpus(texts, word_pieces(), context, window)
    tokens = max((len(word_pieces().tokenize(text.text)) for text in texts), default=0)  # ties in training fall anew
    assert words.replace("{tokens}", str(tokens)) in str(refusal.value)
    assert len(str(refusal.value)) < 400
