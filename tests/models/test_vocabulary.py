"""Does a tokenizer belong to a model, and what stands in the place of tokens that are taken away; quantised weights."""

import numpy as np
import pytest
import torch
from builders import LENGTH, tiny_network, tiny_tokenizer
from networks import end_of_text_pairs, generic, network, tokenizer, word_pieces
from tokenizers import Tokenizer, models
from torch import nn
from transformers import BertTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from faithbench.errors import QuestionError, UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.vocabulary import blank_token, check_tokenizer, longest, padding_id
from faithbench.questions import Point, Row
from faithbench.types import Example, Target


def with_specials(**special: str) -> PreTrainedTokenizerFast:
    """Word pieces of BERT's vocabulary of which no other than these are special."""
    return PreTrainedTokenizerFast(tokenizer_object=word_pieces().backend_tokenizer, **special)


@pytest.fixture(scope="module")
def bert() -> PreTrainedModel:
    return network("Bert")


class TestBelonging:
    def test_a_tokenizer_of_the_model_is_accepted(self, bert: PreTrainedModel):
        check_tokenizer(bert, word_pieces())

    def test_one_whose_files_are_missing(self, bert: PreTrainedModel):
        with pytest.raises(UserError, match=r"its files are not beside the model; .*save_pretrained\(folder\)\.$"):
            check_tokenizer(bert, BertTokenizer())

    def test_one_without_words(self, bert: PreTrainedModel):
        empty = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")))
        empty.unk_token = "[UNK]"
        with pytest.raises(UserError, match="has no words"):
            check_tokenizer(bert, empty)

    def test_tokens_beyond_the_embeddings(self, bert: PreTrainedModel):
        larger = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(word_pieces().backend_tokenizer.to_str()))
        larger.add_tokens(["zebra", "yak"])
        rows = len(word_pieces())
        with pytest.raises(UserError, match=rf"has 2 tokens beyond the model's {rows} embeddings \('yak'\)"):
            HuggingFaceClassifier(bert, larger)

    def test_a_special_token_beyond_the_embeddings_that_no_text_has_is_none_of_them(self, bert: PreTrainedModel):
        larger = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(word_pieces().backend_tokenizer.to_str()), unk_token="[UNK]"
        )
        larger.add_special_tokens({"pad_token": "<added>"})
        check_tokenizer(bert, larger)
        blank = blank_token(bert, larger)
        assert (blank.token, padding_id(bert, larger, blank)) == ("[UNK]", blank.id)

    def test_a_slow_one(self, bert: PreTrainedModel):
        class Slow:
            is_fast = False

        with pytest.raises(UserError, match="tokenizer Slow is a slow one"):
            check_tokenizer(bert, Slow())


class TestBlank:
    def test_the_mask_token_where_there_is_one(self, bert: PreTrainedModel):
        blank = blank_token(bert, word_pieces())
        assert (blank.id, blank.token, blank.is_mask, blank.note) == (4, "[MASK]", True, "")

    @pytest.mark.parametrize(
        ("special", "token"),
        [
            ({"unk_token": "[UNK]", "pad_token": "[PAD]"}, "[UNK]"),
            ({"pad_token": "[PAD]", "eos_token": "[SEP]"}, "[PAD]"),
            ({"eos_token": "[SEP]", "bos_token": "[CLS]"}, "[SEP]"),
            ({"bos_token": "[CLS]"}, "[CLS]"),
        ],
    )
    def test_else_the_first_of_the_others(self, bert: PreTrainedModel, special: dict[str, str], token: str):
        blank = blank_token(bert, with_specials(**special))
        assert (blank.token, blank.is_mask) == (token, False)
        assert f"replaced by {token!r}" in blank.note

    def test_what_was_asked_for(self, bert: PreTrainedModel):
        assert blank_token(bert, word_pieces(), "pad").token == "[PAD]"
        word = blank_token(bert, word_pieces(), "the")
        assert (word.token, word.is_mask) == ("the", False)
        assert blank_token(bert, word_pieces(), "mask").is_mask

    @pytest.mark.parametrize("fill", ["eos", "hippopotamus", ""])
    def test_what_there_is_not(self, bert: PreTrainedModel, fill: str):
        with pytest.raises(UserError, match=rf"fill='{fill}' is not allowed; the tokenizer has mask, unk, pad and"):
            blank_token(bert, word_pieces(), fill)

    def test_where_nothing_is_special(self, bert: PreTrainedModel):
        with pytest.raises(UserError, match="no mask token and no other special one; say with fill="):
            blank_token(bert, with_specials())

    def test_it_is_in_texts_notes_and_the_fingerprint(self):
        classifiers = [
            HuggingFaceClassifier(tiny_network("bert"), tiny_tokenizer(), fill=fill)
            for fill in (None, "mask", "unk", "pad")
        ]
        texts = [classifier.encode(Example("0", "an old lion", None)) for classifier in classifiers]
        names = [
            classifier.tokenizer.convert_ids_to_tokens(text.mask_id)
            for classifier, text in zip(classifiers, texts, strict=True)
        ]
        assert names == ["[MASK]", "[MASK]", "[UNK]", "[PAD]"]
        assert [len(classifier.notes) for classifier in classifiers] == [0, 0, 1, 1]
        assert len({classifier.fingerprint() for classifier in classifiers}) == 3

    def test_how_long_texts_may_be_is_in_the_fingerprint(self):
        limits = (LENGTH, 10**6, LENGTH - 1, 4)  # the first two cut to the positions that there are
        found = []
        for limit in limits:
            tokenizer = tiny_tokenizer()
            tokenizer.model_max_length = limit
            found.append(HuggingFaceClassifier(tiny_network("bert"), tokenizer))
        assert [each.max_length for each in found] == [LENGTH, LENGTH, LENGTH - 1, 4]
        prints = [each.fingerprint() for each in found]
        assert prints[0] == prints[1]
        assert len(set(prints)) == 3

    def test_a_decoder_without_mask_and_padding(self):
        classifier = generic("GPT2")
        assert classifier.blank.token == "<|endoftext|>"
        assert classifier.pad_id == classifier.blank.id
        assert "'<|endoftext|>'" in classifier.notes[-1]

    def test_why_another_token_stands_in_is_said(self):
        reasons = [
            HuggingFaceClassifier(network("GPT2"), tokenizer("GPT2"), fill=fill).notes[-1] for fill in (None, "eos")
        ]
        assert ["for want of a mask token" in reason for reason in reasons] == [True, False]
        assert ["as was asked for" in reason for reason in reasons] == [False, True]


class TestLength:
    def test_the_smaller_of_model_and_tokenizer(self, bert: PreTrainedModel):
        assert longest(bert, word_pieces(), 0) == (64, ())
        assert longest(network("Bert", max_position_embeddings=40), word_pieces(), 0) == (40, ())
        assert longest(network("Roberta", max_position_embeddings=40), tokenizer("Roberta"), 2) == (38, ())

    def test_where_nobody_says(self):
        free = PreTrainedTokenizerFast(
            tokenizer_object=end_of_text_pairs().backend_tokenizer, unk_token="<|endoftext|>"
        )
        length, notes = longest(network("T5"), free, 0)
        assert length == 512
        assert "neither model nor tokenizer says how long a text may be; it is cut to 512 tokens" in notes[0]

    @pytest.mark.parametrize("kind", ["Bert", "Roberta", "MPNet", "Esm", "OPT", "GPT2", "XLNet", "Longformer"])
    def test_a_text_that_long_can_be_read(self, kind: str):
        classifier = generic(kind, **({} if kind in ("XLNet", "GPT2") else {"max_position_embeddings": 24}))
        text = classifier.encode(Example("0", "the soup was warm " * 40, None))
        assert text.truncated
        assert len(text) == classifier.max_length
        assert np.isfinite(classifier.logits([Row(text.ids, text.types)])).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
class TestQuantised:
    def quantised(self, seed: int = 0) -> HuggingFaceClassifier:
        model = torch.ao.quantization.quantize_dynamic(tiny_network("bert", seed=seed), {nn.Linear}, dtype=torch.qint8)
        return HuggingFaceClassifier(model, tiny_tokenizer())

    def test_it_gives_logits_close_to_those_of_its_original(self):
        rows = [Row(np.array([2, 7, 9, 8, 3])), Row(np.array([2, 6, 3]))]
        whole = HuggingFaceClassifier(tiny_network("bert"), tiny_tokenizer()).logits(rows)
        found = self.quantised().logits(rows)
        np.testing.assert_allclose(found, whole, atol=0.2)
        assert (found != whole).any()

    def test_its_fingerprint_is_of_its_weights(self):
        assert self.quantised().fingerprint() == self.quantised().fingerprint()
        other = self.quantised()
        with torch.no_grad():
            layer = other.model.bert.encoder.layer[1].intermediate.dense
            packed = layer._packed_params
            weight, bias = packed._weight_bias()
            values = weight.dequantize()
            values[0, 0] = -values[0, 0] - 0.1
            changed = torch.quantize_per_tensor(values, weight.q_scale(), weight.q_zero_point(), torch.qint8)
            packed.set_weight_bias(changed, bias)
        assert other.fingerprint() != self.quantised().fingerprint()

    def test_it_has_no_gradients(self):
        with pytest.raises(QuestionError, match="BertForSequenceClassification has quantised weights"):
            self.quantised().gradients([Point(Row(np.array([2, 7, 9, 3])), Target(0))], "")

    def test_nor_where_some_would_pass_by_the_quantised_weights(self):
        model = tiny_network("bert")
        torch.ao.quantization.quantize_dynamic(model.bert.encoder, {nn.Linear}, dtype=torch.qint8, inplace=True)
        with pytest.raises(QuestionError, match="has quantised weights"):
            HuggingFaceClassifier(model, tiny_tokenizer()).gradients([Point(Row(np.array([2, 7, 3])), Target(0))], "")
