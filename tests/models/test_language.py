"""Causal language models behind the adapter, against what they say themselves of their whole vocabulary.

Independent paths: the model itself, one row at a time, and its logits of every token; its own argument
`attention_mask`; its attention under `eager`; autograd at its own `inputs_embeds`.
"""

import math
import pickle
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from builders import all_answers, answers
from continuing_tokenizers import metaspace, word_level
from language import (
    LANGUAGE_MODELS,
    QUESTION,
    language_model,
    language_network,
    next_logits,
    shared_language_model,
)
from networks import SENTENCES, tokenizer
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from transformers import BertConfig, BertLMHeadModel, LlamaConfig, LlamaForCausalLM

from faithbench.answering import rows as asked_rows
from faithbench.errors import UserError
from faithbench.models import language, probes
from faithbench.models.language import CandidateHead, HuggingFaceLanguageModel
from faithbench.questions import GONE, HIDDEN, Attentions, Gradients, Logits, LogitsAt, Point, Row
from faithbench.types import Target

QUICK = ("gpt2", "llama", "llama-tied", "gemma2", "opt-projected", "phi", "cohere", "granite")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # norms and rotations of some types are in float32 whatever the model is in
PAIR = (7, 11)
SMALL_GPT = {"n_embd": 8, "n_layer": 1, "n_head": 2}
SMALL = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
ids_of = np.random.default_rng(0).integers(1, 280, (4, 12))
ROWS = [ids_of[0, :5], ids_of[1, :2], ids_of[2, :9], ids_of[3, :1]]


def names(*some: str) -> Any:
    """A parameter of language models; the rarer ones are slow."""
    chosen = some or tuple(LANGUAGE_MODELS)
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in chosen]
    )


def asked(question: object) -> Any:
    return (yield question)


def contrast_of(logits: np.ndarray, pair: tuple[int, int] = PAIR) -> list[float]:
    difference = logits[pair[0]] - logits[pair[1]]
    return [difference / 2, -difference / 2]


def with_pair(row: np.ndarray, pair: tuple[int, int] = PAIR) -> Row:
    return Row(row, candidates=pair)


@names()
def test_logits_are_half_the_difference_of_the_models_own_two(name: str):
    model = shared_language_model(name)
    expected = [contrast_of(next_logits(model.model, row)) for row in ROWS]
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(model.logits([with_pair(row) for row in ROWS]), expected, **CLOSE)
    for row, alone in zip(ROWS, expected, strict=True):
        np.testing.assert_allclose(model.logits([with_pair(row)])[0], alone, **CLOSE)


@names()
def test_without_contrast_logits_are_the_models_own_two(name: str):
    model = shared_language_model(name, contrast=False)
    expected = [next_logits(model.model, row)[list(PAIR)] for row in ROWS]
    np.testing.assert_allclose(model.logits([with_pair(row) for row in ROWS]), expected, **CLOSE)


@names()
def test_without_candidates_logits_are_those_of_the_vocabulary(name: str):
    model = shared_language_model(name)
    expected = [next_logits(model.model, row) for row in ROWS]
    np.testing.assert_allclose(model.logits([Row(row) for row in ROWS]), expected, **CLOSE)
    ids = torch.from_numpy(ROWS[0])[None]
    np.testing.assert_allclose(model.forward(ids, whole=True).numpy()[0], expected[0], **CLOSE)


@names()
def test_each_row_has_its_own_candidates(name: str):
    model = shared_language_model(name)
    pairs = [(1, 2), (5, 3), (279, 0), (8, 9)]
    expected = [contrast_of(next_logits(model.model, row), pair) for row, pair in zip(ROWS, pairs, strict=True)]
    rows = [with_pair(row, pair) for row, pair in zip(ROWS, pairs, strict=True)]
    np.testing.assert_allclose(model.logits(rows), expected, **CLOSE)


@names()
def test_hidden_tokens_are_those_of_an_attention_mask(name: str):
    model = shared_language_model(name)
    row = ids_of[0, :6]
    float64s_mask_is_infinite_in_float32 = name in ("gemma2", "bloom")  # whose eager softmax has none but hidden tokens
    first = () if float64s_mask_is_infinite_in_float32 else ([0], [0, 1, 2, 3, 4])
    for hidden in ([3], [2, 4], *first):
        mask = torch.ones(1, len(row), dtype=torch.long)
        mask[:, hidden] = 0
        places = torch.arange(len(row))[None] + (model.first_position or 0)
        positions = {} if model.first_position is None else {"position_ids": places}
        expected = contrast_of(next_logits(model.model, row, attention_mask=mask, **positions))
        found = model.logits([with_pair(np.where(mask[0].numpy() == 1, row, HIDDEN)), with_pair(row)])
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[0], expected, **CLOSE)
        assert np.abs(found[0] - found[1]).max() > 1e-6


@names("gpt2", "llama", "bloom")
def test_the_last_token_is_filled_where_it_is_hidden_since_it_reads(name: str):
    model = shared_language_model(name)
    row, short = ids_of[0, :8].copy(), ids_of[1, :3].copy()
    filled = [each.copy() for each in (row, short)]
    for each in filled:
        each[-1] = model.blank.id
    row[[2, -1]] = short[-1] = HIDDEN
    filled[0][2] = HIDDEN
    found = model.logits([with_pair(row), with_pair(short)])
    np.testing.assert_allclose(found, model.logits([with_pair(each) for each in filled]), **CLOSE)
    np.testing.assert_allclose(found[1], contrast_of(next_logits(model.model, filled[1])), **CLOSE)


@names("gpt2", "llama", "opt-projected")
def test_questions_come_to_the_rows_that_they_describe(name: str):
    model = shared_language_model(name)
    text = model.encode(QUESTION)
    keep = np.ones((4, len(text)), dtype=bool)
    keep[1, 1] = keep[2, [0, 2]] = keep[3, -1] = False
    each = np.broadcast_to(np.arange(20, 20 + len(text)), keep.shape)
    rows = {
        None: [np.where(k, text.ids, text.mask_id) for k in keep],
        5: [np.where(k, text.ids, 5) for k in keep],
        GONE: [text.ids[k] for k in keep],
        "each": [np.where(k, text.ids, each[0]) for k in keep],
    }
    for fill, expected in rows.items():
        found = answers(model, asked(Logits(text, keep, each if fill == "each" else fill)))
        wanted = [contrast_of(next_logits(model.model, row), text.candidates) for row in expected]
        np.testing.assert_allclose(found, wanted, **CLOSE)


class TestCandidatesOfARow:
    """Two questions of the same tokens and other candidates share no answers."""

    def both(self, name: str = "llama") -> tuple[Any, list[Any]]:
        model = shared_language_model(name)
        one = model.encode(QUESTION)
        other = replace(one, candidates=one.candidates[::-1])
        keep = np.ones((3, len(one)), dtype=bool)
        keep[1, 1] = keep[2, 2] = False

        def asking(fill: object) -> Any:
            first = yield Logits(one, keep, fill)
            second = yield Logits(other, keep, fill)
            return first, second

        return model, [
            asking(fill) for fill in (None, GONE, 5, np.full(keep.shape, 9), np.arange(keep.size).reshape(keep.shape))
        ]

    def differ(self) -> bool:
        model, askings = self.both()
        found = all_answers(model, askings)
        return all(np.allclose(first, -second) and np.abs(first).min() > 1e-6 for first, second in found)

    def test_of_masks_deletions_and_written_out_rows(self):
        assert self.differ()

    def test_of_gradients(self):
        model = shared_language_model("llama")
        one = model.encode(QUESTION)

        def asking() -> Any:
            first = yield Gradients(one, Target(0))
            second = yield Gradients(replace(one, candidates=one.candidates[::-1]), Target(0))
            return first, second

        first, second = answers(model, asking())
        np.testing.assert_allclose(first.gradient, -second.gradient)

    def test_a_planted_fault_is_seen(self, monkeypatch: pytest.MonkeyPatch):
        whole = asked_rows._marks
        monkeypatch.setattr(asked_rows, "_marks", lambda row: whole(row._replace(candidates=None)))
        assert not self.differ()


@names()
def test_gradients_are_autograds_at_what_the_first_layer_reads(name: str):
    model = shared_language_model(name)
    found = model.gradients([Point(with_pair(row), Target(0)) for row in ROWS[:3]], "")
    for row, gradient in zip(ROWS, found, strict=False):
        ids = torch.from_numpy(row)[None]
        leaf = model.embedded(ids).detach().clone().requires_grad_()
        with model.reading(leaf):
            logits = model.model(input_ids=ids, use_cache=False).logits[0, -1]
        value = (logits[PAIR[0]] - logits[PAIR[1]]) / 2
        (expected,) = torch.autograd.grad(value, leaf)
        np.testing.assert_allclose(gradient.gradient, expected[0].numpy(), rtol=1e-4, atol=1e-6)
        assert gradient.logit == pytest.approx(float(value.detach()), abs=1e-5)


@names("gpt2", "llama", "qwen3", "gemma")
def test_gradients_are_those_at_the_models_own_inputs_embeds(name: str):
    model = shared_language_model(name, contrast=False)
    ids = torch.from_numpy(ROWS[0])[None]
    words = model.model.get_input_embeddings()(ids).detach().clone().requires_grad_()
    logits = model.model(inputs_embeds=words, use_cache=False).logits[0, -1]
    (expected,) = torch.autograd.grad(logits[PAIR[0]], words)
    (found,) = model.gradients([Point(with_pair(ROWS[0]), Target(0))], "")
    np.testing.assert_allclose(found.gradient, expected[0].numpy(), rtol=1e-4, atol=1e-6)


@names("gpt2", "llama", "gemma2", "bloom", "qwen3", "falcon")
def test_attentions_are_what_the_model_tells_under_eager(name: str):
    model = shared_language_model(name)
    told = language_network(name, attn_implementation="eager")
    text = model.encode(QUESTION)
    found = answers(model, asked(Attentions(text)))
    with torch.no_grad():
        expected = told(input_ids=torch.from_numpy(text.ids.copy())[None], output_attentions=True).attentions
    np.testing.assert_allclose(found, torch.cat(expected).numpy(), **CLOSE)
    assert np.abs(np.triu(found[0, 0], 1)).max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@names("gpt2", "llama-tied", "phi", "cohere", "gemma2")
def test_in_coarser_precisions_logits_are_near_the_models_own(name: str, dtype: torch.dtype):
    model = language_model(name, dtype=dtype)
    assert model.head is not None
    exact = shared_language_model(name).logits([with_pair(row) for row in ROWS])
    found = model.logits([with_pair(row) for row in ROWS])
    own = [contrast_of(next_logits(model.model, row)) for row in ROWS]
    near = 1e-5 if dtype == torch.float32 else 0.1
    np.testing.assert_allclose(found, own, atol=near * np.abs(own).max() + near)
    np.testing.assert_allclose(found, exact, atol=near * np.abs(exact).max() + near)


def test_the_head_computes_in_float32_at_least():
    torch.manual_seed(0)
    linear, states = nn.Linear(512, 9, bias=True).bfloat16(), torch.randn(3, 512).bfloat16()
    numbers = torch.tensor([[0, 8], [3, 4], [5, 5]])
    exact = (linear.weight.double()[numbers] * states.double()[:, None]).sum(-1) + linear.bias.double()[numbers]
    np.testing.assert_allclose(
        CandidateHead(linear)(states, numbers).detach().double(), exact.detach(), rtol=1e-5, atol=1e-5
    )


def test_the_fingerprint_tells_a_contrast_from_a_target_alone():
    marks = {shared_language_model("gpt2", contrast).fingerprint() for contrast in (True, False)}
    assert len(marks) == 2
    assert language_model("gpt2").fingerprint() in marks


@names("gpt2", "gemma2", "granite")
def test_chances_are_those_of_a_full_softmax(name: str, monkeypatch: pytest.MonkeyPatch):
    model = shared_language_model(name)
    monkeypatch.setattr(language, "WHOLE", 2 * model.tokens)  # several parts
    texts = [model.encode(replace(QUESTION, text=text)) for text in ("the soup was", "our", "a quiet garden")]
    logits = [torch.from_numpy(next_logits(model.model, text.ids.copy())) for text in texts]
    expected = [each.softmax(0)[list(text.candidates)].numpy() for each, text in zip(logits, texts, strict=True)]
    np.testing.assert_allclose(model.chances(texts), expected, rtol=1e-4)
    assert model.chances([]).shape == (0, 2)


class Shapes(TorchDispatchMode):
    """Within it, the shapes of all tensors that are made, in backward passes too."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        self.seen.update(tuple(each.shape) for each in tree_flatten(out)[0] if isinstance(each, torch.Tensor))
        return out


class TestLargeVocabularies:
    """Nothing as large as the vocabulary is made, however many rows are asked."""

    def shapes(
        self, name: str, contrast: bool = True, extra: int = 1000, **options: int
    ) -> tuple[int, set[tuple[int, ...]]]:
        model = language_model(name, contrast, extra=extra, **options)
        text = model.encode(QUESTION)
        keep = np.random.default_rng(0).random((9, len(text))) < 0.5
        keep[:, [0, -1]] = True
        with Shapes() as shapes:
            model.logits([with_pair(row) for row in ROWS])
            model.gradients([Point(with_pair(row), Target(0)) for row in ROWS], "")
            for fill in (None, GONE, HIDDEN):
                answers(model, asked(Logits(text, keep, fill)))
            answers(model, asked(Gradients(text, Target(0), interpolation=np.full(keep.shape, 0.5), fill=3)))
            answers(model, asked(LogitsAt(text, np.ones((2, len(text), model.model.config.hidden_size)))))
            answers(model, asked(Attentions(text)))
        return model.tokens, shapes.seen

    @pytest.mark.parametrize(("name", "sizes"), [("gpt2", SMALL_GPT), ("llama", SMALL)])
    def test_of_50_000_tokens_no_tensor_is_as_large_as_they_are(self, name: str, sizes: dict[str, int]):
        size, seen = self.shapes(name, extra=50_000, **sizes)
        assert size > 50_000
        assert max(math.prod(shape) for shape in seen) < size
        assert not [shape for shape in seen if size in shape]

    @names("gpt2", "llama-tied", "phi", "gemma2", "cohere", "opt-projected", "bloom")
    def test_no_tensor_has_a_dimension_of_its_size(self, name: str):
        for contrast in (True, False) if name == "gpt2" else (True,):
            size, seen = self.shapes(name, contrast)
            assert size > 1280
            assert not [shape for shape in seen if size in shape]

    def test_a_planted_fault_is_seen(self, monkeypatch: pytest.MonkeyPatch):
        part = CandidateHead.forward

        def whole(self: CandidateHead, states: torch.Tensor, candidates: Any = None) -> torch.Tensor:
            logits = part(self, states)
            return logits if candidates is None else logits.gather(1, candidates)

        monkeypatch.setattr(CandidateHead, "forward", whole)
        for extra in (1000, 50_000):
            size, seen = self.shapes("gpt2", extra=extra, **SMALL_GPT)
            assert (len(ROWS), size) in seen


class TestEncoding:
    """What a language model reads of a question, and what it cannot be asked."""

    def test_the_last_token_of_the_prefix_reads(self):
        text = shared_language_model("gpt2").encode(QUESTION)
        words = tokenizer("GPT2")
        assert text.read == len(text) - 1
        assert words.decode(text.ids) == "the soup was"
        assert words.convert_ids_to_tokens(text.candidates) == ["Ġwa", "Ġ"]
        assert (text.link, text.label) == ("softmax", 0)

    @pytest.mark.parametrize("text", ["", " ", "\n"])
    def test_an_empty_prefix(self, text: str):
        with pytest.raises(UserError, match=r"^text '0' has an empty prefix"):
            shared_language_model("gpt2").encode(replace(QUESTION, text=text))

    def test_a_prefix_of_more_tokens_than_there_are_positions(self):
        model = language_model("gpt2", max_position_embeddings=6)
        with pytest.raises(UserError, match=r"^text '0' has a prefix of \d+ tokens, and the model reads 6\.$"):
            model.encode(replace(QUESTION, text="the soup was warm and the bread was"))

    def test_a_prefix_of_as_many_tokens_as_the_model_reads(self):
        model = language_model("gpt2", max_position_embeddings=6)
        text = model.encode(replace(QUESTION, text="a a a a a a"))
        assert len(text) == model.max_length == 6
        assert np.isfinite(answers(model, asked(Logits(text, np.ones((1, 6), dtype=bool))))).all()


def llama(words: Any, **options: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": None}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **size, **ends, **options))


class TestTokenizers:
    """Tokenizers of several families, with and without special tokens."""

    def test_what_the_tokenizer_puts_before_a_text_is_read_and_never_scored(self):
        words = metaspace(SENTENCES)
        model = HuggingFaceLanguageModel(llama(words), words)
        text = model.encode(QUESTION)
        assert text.ids[0] == words.bos_token_id
        assert text.special[0]
        assert words.eos_token_id not in text.ids
        assert not text.special[1:].all()
        assert np.isfinite(answers(model, asked(Logits(text, np.ones((1, len(text)), dtype=bool))))).all()

    def test_none_of_its_tokens_is_special(self):
        words = word_level("the soup was warm late our train".split())
        words.unk_token = words.bos_token = words.eos_token = None
        network = llama(words)
        with pytest.raises(UserError, match="no mask token and no other special one; say with fill"):
            HuggingFaceLanguageModel(network, words)
        model = HuggingFaceLanguageModel(network, words, fill="our")
        text = model.encode(QUESTION)
        assert (text.mask_id, text.special.any()) == (words.convert_tokens_to_ids("our"), False)
        keep = np.ones((2, len(text)), dtype=bool)
        keep[1, 0] = False
        assert np.isfinite(answers(model, asked(Logits(text, keep)))).all()

    def test_a_model_of_more_tokens_than_its_tokenizer_has(self):
        model = language_model("gpt2", extra=14)
        row = ROWS[0]
        found = model.logits([with_pair(row), with_pair(row, (model.tokens - 1, 3))])
        logits = next_logits(model.model, row)
        expected = [contrast_of(logits), contrast_of(logits, (model.tokens - 1, 3))]
        np.testing.assert_allclose(found, expected, **CLOSE)
        assert model.chances([model.encode(QUESTION)]).shape == (1, 2)


class TestWhatIsNoLanguageModel:
    """Each is refused in one sentence, or asked for whole vocabularies where its head cannot be had apart."""

    def test_a_model_that_reads_what_comes_after_a_token(self):
        words = tokenizer("Bert")
        config = BertConfig(vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = BertLMHeadModel(config)
        with pytest.raises(UserError, match=r"^BertLMHeadModel is no causal language model: .*comes after.*\.$"):
            HuggingFaceLanguageModel(network, words)

    def test_a_decoder_of_bert_is_one_whose_head_is_its_own(self):
        words = tokenizer("Bert")
        config = BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, is_decoder=True
        )
        model = HuggingFaceLanguageModel(BertLMHeadModel(config), words, dtype=torch.float64)
        assert model.head is None
        rows = [row % len(words) for row in ROWS]
        expected = [contrast_of(next_logits(model.model, row)) for row in rows]
        np.testing.assert_allclose(model.logits([with_pair(row) for row in rows]), expected, **CLOSE)

    def test_an_output_layer_that_is_more_than_its_weights(self):
        network = language_network("gpt2")
        network.lm_head.register_forward_hook(lambda module, args, out: out + torch.arange(out.shape[-1]))
        model = HuggingFaceLanguageModel(network, tokenizer("GPT2"), dtype=torch.float64)
        expected = [contrast_of(next_logits(network, row)) for row in ROWS]
        np.testing.assert_allclose(model.logits([with_pair(row) for row in ROWS]), expected, **CLOSE)


class TestPlantedFaults:
    """Each is found when a model is loaded, so that what it says stays right."""

    @pytest.mark.parametrize("part", ["softcap", "scale"])
    def test_a_head_without_what_the_model_does_to_logits(self, part: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(CandidateHead, "after", lambda self, logits: logits)
        model = language_model("gemma2" if part == "softcap" else "granite")
        assert model.head is None
        expected = [contrast_of(next_logits(model.model, row)) for row in ROWS]
        np.testing.assert_allclose(model.logits([with_pair(row) for row in ROWS]), expected, **CLOSE)

    def test_padding_on_the_left(self, monkeypatch: pytest.MonkeyPatch):
        right = probes.Probe._batch

        def left(self: probes.Probe) -> Any:
            ids, _, visible = right(self)
            missing = int((~visible[0]).sum())
            turned = [torch.stack([row[0].roll(missing), row[1]]) for row in (ids, visible)]
            return turned[0], None, turned[1]

        monkeypatch.setattr(probes.Probe, "_batch", left)
        assert not language_model("gpt2").can.pads


def test_rows_can_be_pickled_with_their_candidates():
    row = pickle.loads(pickle.dumps(with_pair(ROWS[0])))
    assert row.candidates == PAIR


def test_nothing_is_left_on_a_model():
    model = shared_language_model("llama")
    model.gradients([Point(with_pair(ROWS[0]), Target(0))], "")
    model.attentions([Row(ROWS[0])])
    model.logits([with_pair(ROWS[0])])
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.model.modules())
    assert not any(p.requires_grad for p in model.model.parameters())
