"""Scores of other people's tokens land on the model's tokens that spell the same, or are refused."""

import itertools

import numpy as np
import pytest
from places import minilm
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer

from faithbench.importing.align import align, align_ids, check_same
from faithbench.importing.token_spelling import BYTES
from faithbench.tokens import spread
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Text


def reading(tokens: str | list[str], cut: bool = False, ends: tuple[str, str] = ("[CLS]", "[SEP]")) -> Text:
    """A text of these content tokens between two special ones; "+" stands before further pieces of a word."""
    content = tokens.split() if isinstance(tokens, str) else tokens
    words = np.cumsum([not token.startswith("+") for token in content]) - 1
    names = (ends[0], *(token.removeprefix("+") for token in content), ends[1])
    special = np.array([True, *[False] * len(content), True])
    return Text("t", np.arange(len(names)) + 10, special, np.array([-1, *words, -1]), names, 0, truncated=cut, pad_id=1)


BYTE_LEVEL = ("<s>", "</s>")
CASES = {
    "a word gives each piece its score": (
        reading("un +##believ +##able film"),
        "unbelievable film",
        [3, 5],
        [3, 3, 3, 5],
    ),
    "pieces of one token are added": (reading("wasn't dull"), "was n't dull", [1, 2, 4], [3, 4]),
    "contraction": (reading("don ' t"), "don't", [7], [7, 7, 7]),
    "punctuation": (reading("( well - acted ) !"), "(well-acted)!", [2], [2] * 6),
    "punctuation apart": (reading("good !"), "good !", [1, 2], [1, 2]),
    "case": (reading("a dull tale"), "A DULL tale", [1, 2, 3], [1, 2, 3]),
    "case of a cased model": (reading("A Dull tale"), "a dull tale", [1, 2, 3], [1, 2, 3]),
    "accents": (reading("cafe naive"), "Café naïve", [1, 2], [1, 2]),
    "accents of their own": (reading("cafe x"), "Cafe\u0301 x", [1, 2], [1, 2]),
    "an accent that is a token": (reading("caf +##é"), "café", [4], [4, 4]),
    "letters of Chinese": (reading("北 京 好"), "北京 好", [1, 2], [1, 1, 2]),
    "Chinese added": (reading("北京 好"), "北 京 好", [1, 2, 4], [3, 4]),
    "control characters of a byte-level model": (reading("co ÂŃ op", ends=BYTE_LEVEL), "co\u00adop", [1], [1, 1, 1]),
    "pieces inside a token": (reading("zerowidth"), ["zero", "\u200b", "width"], [1, 2, 4], [7]),
    "ligatures and width": (reading("fine 1⁄2"), "ﬁne ½", [1, 2], [1, 2]),
    "control characters": (reading("zerowidth"), "zero\u200bwidth", [1], [1]),
    "byte level": (reading("It Ġwas Ġna +Ã¯ve", ends=BYTE_LEVEL), "It was naïve", [1, 2, 3], [1, 2, 3, 3]),
    "bytes of one letter": (reading("Ġå +Į +Ĺ Ġb", ends=BYTE_LEVEL), "北 b", [1, 2], [1, 1, 1, 2]),
    "byte level in the file": (reading("naive film"), "Na Ã¯ve Ġfilm", [1, 2, 4], [3, 4]),
    "both byte level, other pieces": (
        reading("Ġun +believable", ends=BYTE_LEVEL),
        "Ġun beli evable",
        [1, 2, 4],
        [1, 6],
    ),
    "byte level from word pieces": (reading("Ġunbelievable", ends=BYTE_LEVEL), "un ##believ ##able", [1, 2, 4], [7]),
    "sentence pieces": (reading("unbelievable film"), "▁un believable ▁ film", [1, 2, 4, 8], [3, 12]),
    "a space is a piece of its word": (reading("Ġ +ðŁ +ĺĢ b", ends=BYTE_LEVEL), "😀 b", [1, 2], [1, 1, 1, 2]),
    "decoded tokens": (reading("a film"), ["a", " film"], [1, 2], [1, 2]),
    "marks that are text": (reading("# # x ▁ y"), "##x ▁ y", [1, 2, 4], [1, 1, 1, 2, 4]),
    "what the model drops": (reading("a b"), "a \ufffd b", [1, 2, 4], [1, 4]),
    "cut": (reading("a dull", cut=True), "a dull tale told", [1, 2, 3, 4], [1, 2]),
    "cut inside a word": (reading("a un +##believ", cut=True), "a unbelievable tale", [1, 2, 3], [1, 2, 2]),
    "cut inside a letter": (reading("a Ġå +Į", cut=True, ends=BYTE_LEVEL), "a 北 b", [1, 2, 3], [1, 2, 2]),
    "unknown to the model": (reading("a [UNK] b"), "a 😀 b", [1, 2, 3], [1, 2, 3]),
    "unknown beside what the model drops": (reading("[UNK] b"), "\ufffd 😀 b", [1, 2, 4], [2, 4]),
    "unknown letters of a word": (reading("[UNK] [UNK] b"), "𠀀𠀁 b", [1, 2], [1, 1, 2]),
    "unknown words": (reading("a [UNK] [UNK] b"), "a 😀 😀 b", [1, 2, 3, 4], [1, 2, 3, 4]),
    "pieces of the unknown": (reading("a [UNK] b"), "a 😀 ##😀 b", [1, 2, 4, 8], [1, 6, 8]),
    "unknown at the cut": (reading("a [UNK]", cut=True), "a 😀 b", [1, 2, 3], [1, 2]),
    "unknown in the file": (reading("a x +##y b"), "a [UNK] b", [1, 2, 3], [1, 2, 2, 3]),
    "unknown in both": (reading("a [UNK] b +##c"), "A [UNK] bc", [1, 2, 3], [1, 2, 3, 3]),
    "unknown, told by boundaries": (reading("[UNK] . [UNK]"), "a.d . 😀", [1, 2, 4], [1, 2, 4]),
    "special words": (reading("[SEP] a [CLS]"), "[SEP] a [CLS]", [1, 2, 3], [1, 2, 3]),
}


@pytest.mark.parametrize("name", CASES)
def test_scores_go_to_the_tokens_that_spell_the_same(name):
    text, tokens, scores, expected = CASES[name]
    found = align(text, tokens.split() if isinstance(tokens, str) else tokens, np.array(scores, dtype=float))
    assert found[1:-1].tolist() == expected
    assert (found[0], found[-1]) == (0, 0)


def test_special_tokens_keep_scores_of_the_same_special_token_and_padding_is_dropped():
    text = reading("a +##b")
    for before, after in itertools.product([[], ["[PAD]"] * 2], repeat=2):
        tokens = [*before, "[CLS]", "ab", "[SEP]", *after]
        scores = np.array([*[9.0] * len(before), 1, 2, 3, *[9.0] * len(after)])
        assert align(text, tokens, scores).tolist() == [1, 2, 2, 3]
    assert align(text, ["<s>", "ab", "</s>"], np.array([1.0, 2, 3])).tolist() == [0, 2, 2, 0]
    assert align(text, text.tokens, np.arange(4.0)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("text", "tokens", "sentence"),
    [
        (
            reading("a dull tale"),
            "a dul tale",
            "after 'a' the file has 'dul' 'tale', where the model has 'dull' 'tale'",
        ),
        (reading("a dull tale"), "b dull", "at the beginning the file has 'b' 'dull', where the model has 'a' 'dull'"),
        (reading("a dull tale"), "a dull", "after 'a' 'dull' the file has nothing, where the model has 'tale'"),
        (reading("a dull"), "a dull tale", "after 'a' 'dull' the file has 'tale', where the model has nothing"),
        (reading("a dull", cut=True), "a", "after 'a' the file has nothing, where the model has 'dull'"),
        (reading("ab +##cd"), "abc d", "divides 'abc' 'd' otherwise than the model, which has 'ab' '##cd'"),
        (reading("[UNK] [UNK] b"), "😀 é ü b", "the model has '[UNK]' '[UNK]' 'b'"),
        (reading("[UNK] [UNK]", cut=True), "😀 é ü b", "the model has '[UNK]' '[UNK]'"),
        (reading("a"), "[CLS] [SEP]", "at the beginning the file has nothing, where the model has 'a'"),
        (reading("a"), "[PAD] [PAD]", "no tokens but padding"),
        (reading("a"), "a b c", "1 scores for 3 tokens"),
    ],
)
def test_tokens_that_do_not_fit_are_refused_at_the_first_place(text, tokens, sentence):
    words = tokens.split()
    with pytest.raises(ValueError, match=sentence.replace("[", r"\[").replace("]", r"\]")):
        align(text, words, np.zeros(1 if tokens == "a b c" else len(words)))


VOCABULARY = (
    "the a lion's tale, told! étude Café (tears) 北京 u.s.a. naïve x\u00a0y 😀 Straße #the land—lost ½ İl".split(" ")
)


def byte_tokenizer() -> Tokenizer:
    """RoBERTa's kind: every byte is a token, but for a few that are merged."""
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "a"), ("Ã", "©"), ("Ġ", "Ã©"), ("å", "Į")]
    pieces = dict.fromkeys(["<s>", "</s>", *BYTES, *(a + b for a, b in merges)])
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "byte level":
        return byte_tokenizer()
    known = [" ".join(VOCABULARY).replace("😀", "")]
    source = word_tokenizer(known) if kind == "word pieces" else AutoTokenizer.from_pretrained(minilm())
    found = source.backend_tokenizer
    found.no_padding()
    return found


@pytest.mark.parametrize("kind", ["word pieces", "byte level", "uncased BERT"])
def test_every_piece_gets_the_score_of_the_word_that_its_offsets_lie_in(kind):
    tokenizer, generator = tokenizer_of(kind), np.random.default_rng(0)
    checked = 0
    for _ in range(60):
        words = [str(word) for word in generator.choice(VOCABULARY, generator.integers(1, 12))]
        tokenizer.no_truncation()
        limit = int(generator.integers(3, len(tokenizer.encode(" ".join(words)).ids) + 1))
        tokenizer.enable_truncation(limit)
        encoding = tokenizer.encode(" ".join(words))
        special = np.array(encoding.special_tokens_mask, dtype=bool)
        indices = np.array([-1 if word is None else word for word in encoding.word_ids])
        text = Text("t", np.array(encoding.ids), special, indices, tuple(encoding.tokens), 0)
        text = Text(**{**vars(text), "truncated": bool(encoding.overflowing)})
        scores = generator.normal(size=len(words))
        try:
            found = align(text, words, scores)
        except ValueError:
            assert text.tokens.count("[UNK]") > 1, (words, text.tokens)  # side by side nobody can tell them apart
            continue
        owner = np.repeat(np.arange(len(words)), [len(word) + 1 for word in words])
        for position in text.content:
            start, end = encoding.offsets[position]
            owners = {int(owner[i]) for i in range(start, end) if not " ".join(words)[i].isspace()}
            if len(owners) == 1:
                assert found[position] == scores[owners.pop()], (words, encoding.tokens, position)
                checked += 1
    assert checked > 300


def test_token_ids_are_aligned_without_padding():
    text = reading("a b")
    ids, scores = text.ids.tolist(), np.array([1.0, 2, 3, 4])
    assert align_ids(text, ids, scores).tolist() == [1, 2, 3, 4]
    assert align_ids(text, [1, 1, *ids, 1], np.array([9.0, 9, *scores, 9])).tolist() == [1, 2, 3, 4]
    assert align_ids(text, ids[1:-1], scores[1:-1]).tolist() == [0, 2, 3, 0]
    cut = reading("a b", cut=True)
    assert align_ids(cut, [*ids[:3], 77, 78, ids[3]], np.arange(6.0)).tolist() == [0, 1, 2, 5]
    with pytest.raises(ValueError, match="after 11 the file has 77, where the model has 12"):
        align_ids(text, [10, 11, 77, 13], scores)


def test_scores_without_tokens_are_counted():
    text = reading("un +##believ film")
    assert spread(text, np.arange(5.0)).tolist() == [0, 1, 2, 3, 4]
    assert spread(text, np.arange(3.0)).tolist() == [0, 0, 1, 2, 0]
    assert spread(text, np.array([7.0, 8.0])).tolist() == [0, 7, 7, 8, 0]
    with pytest.raises(ValueError, match="4 scores for 5 tokens, 3 of them not special, in 2 words"):
        spread(text, np.zeros(4))


def test_texts_are_compared_but_for_case_accents_and_white_space():
    assert check_same("a  Café\n", "A cafe") is None
    with pytest.raises(ValueError, match="its text is another: 'x' follows 'acafe', where the data set has 'y'"):
        check_same("a Café x", "a café y")
