"""Documents of several segments, as a model reads them: against the tokenizer's own pairs, and by hand."""

import numpy as np
import pytest
from builders import LENGTH, WORDS, tiny_classifier, tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from faithbench.models.reading import read_text
from faithbench.types import Example

TEXTS = ("an old lion", "said a tale", "lost at noon")
LONG = " ".join(WORDS)


def roberta_tokenizer() -> PreTrainedTokenizerBase:
    """Byte-level pieces; pairs are <s> a </s></s> b </s>."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=names, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS)], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    special = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"), names, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LENGTH, cls_token="<s>", sep_token="</s>", **special
    )


TOKENIZERS = pytest.mark.parametrize("make", [tiny_tokenizer, roberta_tokenizer], ids=["bert", "roberta"])


def document(*texts: str, gap: str = " ", **marks: object) -> Example:
    """Texts one behind the other; the segment of each is of its own class."""
    starts = np.cumsum([0, *(len(text) + len(gap) for text in texts)])
    segments = tuple((int(s), int(s) + len(text), i) for i, (s, text) in enumerate(zip(starts, texts, strict=False)))
    return Example("d", gap.join(texts), 0, segments=segments, **marks)


@TOKENIZERS
def test_two_segments_are_the_tokenizers_own_pair(make):
    tokenizer = make()
    for pair in (TEXTS[:2], ("lion", LONG[:40]), ("zzz ?!", "a")):
        found = read_text(tokenizer, document(*pair), LENGTH)
        expected = tokenizer(*pair, return_special_tokens_mask=True).encodings[0]
        assert found.ids.tolist() == expected.ids
        assert found.tokens == tuple(expected.tokens)
        assert found.special.tolist() == [bool(flag) for flag in expected.special_tokens_mask]
        segments = [-1 if s is None else s for s in expected.sequence_ids]
        assert found.segments.tolist() == segments
        assert not found.truncated


@TOKENIZERS
def test_three_segments_are_joined_likewise(make):
    tokenizer = make()
    alone = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    between = [end, end] if make is roberta_tokenizer else [end]
    found = read_text(tokenizer, document(*TEXTS), LENGTH)
    assert found.ids.tolist() == [start, *alone[0], *between, *alone[1], *between, *alone[2], end]
    for index, ids in enumerate(alone):
        assert found.ids[found.segments == index].tolist() == ids
    assert (found.segments == -1).tolist() == found.special.tolist()


@TOKENIZERS
def test_offsets_point_into_the_document(make):
    example = document(*TEXTS, gap=" -- ")
    found = read_text(make(), example, LENGTH)
    for index, text in enumerate(TEXTS):
        inside = np.flatnonzero(found.segments == index)
        assert "".join(example.text[slice(*found.offsets[i])] for i in inside) == text.replace(" ", "")
        words = found.words[inside]
        assert [len(set(words[: i + 1])) - 1 for i in range(len(words))] == (words - words[0]).tolist()
    content = found.words[~found.special]
    assert sorted(set(content.tolist())) == list(range(9))  # counted on from segment to segment
    assert (np.diff(content) >= 0).all()
    assert (found.words[found.special] == -1).all()


@TOKENIZERS
def test_marks_find_their_tokens_in_every_segment(make):
    text = " ".join(TEXTS)
    spans = tuple((text.index(word), text.index(word) + len(word)) for word in ("old", "tale", "noon"))
    example = document(*TEXTS, evidence=spans)
    found = read_text(make(), example, LENGTH)
    marked = found.marked(example.evidence)
    pieces = [text[slice(*found.offsets[i])] for i in np.flatnonzero(marked)]
    assert "".join(pieces) == "oldtalenoon"
    assert set(found.segments[marked]) == {0, 1, 2}
    assert found.marked(None) is None
    assert not found.marked(()).any()


def test_a_mark_over_all_marks_no_special_token():
    example = document(*TEXTS)
    found = read_text(tiny_tokenizer(), example, LENGTH)
    assert found.marked(((0, len(example.text)),)).tolist() == (~found.special).tolist()


@TOKENIZERS
@pytest.mark.parametrize("limit", [6, 8, 9, 11])
def test_a_document_that_is_too_long_loses_its_end_but_not_the_last_special_token(make, limit):
    tokenizer = make()
    example = document(*TEXTS[:2])
    whole, cut = read_text(tokenizer, example, LENGTH), read_text(tokenizer, example, limit)
    room = min(limit, len(whole.ids)) - 1
    assert cut.ids.tolist() == [*whole.ids[:room], tokenizer.sep_token_id]
    assert cut.offsets[:room].tolist() == whole.offsets[:room].tolist()
    assert cut.special[-1]
    assert cut.segments[-1] == -1
    assert cut.truncated == (len(whole.ids) > limit)


def test_one_segment_alone_that_is_too_long_is_cut_too():
    classifier = tiny_classifier("bert")
    found = classifier.encode(document(" ".join([LONG] * 2), "a tale"))
    assert len(found) == LENGTH
    assert found.truncated
    assert set(found.segments.tolist()) == {-1, 0}
    assert found.segment_classes == (0, 1)


def test_the_adapter_hands_on_segments_and_classes():
    classifier = tiny_classifier("bert")
    example = Example("d", "an old lion said", 1, segments=((0, 6, 2), (7, 16, 0)))
    found = classifier.encode(example)
    assert found.tokens == ("[CLS]", "an", "old", "[SEP]", "lion", "said", "[SEP]")
    assert found.segments.tolist() == [-1, 0, 0, -1, 1, 1, -1]
    assert found.words.tolist() == [-1, 0, 1, -1, 2, 3, -1]
    assert found.segment_classes == (2, 0)
    plain = classifier.encode(Example("p", "an old lion said", 1))
    assert plain.segments is None
    assert plain.segment_classes == ()
