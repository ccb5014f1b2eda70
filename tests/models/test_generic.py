"""Models of many types, read as they are: what each can be asked, and its answers against transformers' own.

Independent paths: the model itself, one row at a time; its argument `inputs_embeds`; its argument `attention_mask`; its
attention under `eager`; differences of logits.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch
from builders import answers
from networks import DECODERS, ENCODERS, SENTENCES, generic, network, shared_generic, tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from faithbench.answering.engine import Engine
from faithbench.architectures import inspection
from faithbench.conversations import ask, together
from faithbench.errors import QuestionError
from faithbench.models import frozen, huggingface, points, probes
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.points import LayerInput, ModuleOutput
from faithbench.questions import GONE, HIDDEN, Logits, LogitsAt, Point, Row
from faithbench.types import Example, Target


@dataclass(frozen=True)
class Verdict:
    """What a type can be asked; `cut` is the end of a module's name."""

    cut: str = ""
    attention: str = "caught"
    point: type | None = LayerInput
    pads: bool = True
    hides: bool = True
    first_position: int | None = None
    read: str = "first"


BERT = Verdict("attention.output")
TOLD = Verdict("attention.output", "told")
MLP = Verdict("mlp", read="last")
UNCUT = Verdict(read="last")
ALONE = {"pads": False, "hides": False}
WORDS_ONLY = Verdict(point=ModuleOutput)
TWICE = Verdict(point=None, attention="", hides=False)

VERDICTS = {
    "Bert": BERT,
    "Roberta": replace(BERT, first_position=2),
    "XLMRoberta": replace(BERT, first_position=2),
    "Camembert": replace(BERT, first_position=2),
    "DistilBert": Verdict("sa_layer_norm"),
    "Electra": BERT,
    "Albert": Verdict(),
    "Deberta": TOLD,
    "DebertaV2": TOLD,
    "ModernBert": Verdict("mlp"),
    "EuroBert": Verdict(),
    "MPNet": Verdict("intermediate", "told", first_position=2),
    "RemBert": TOLD,
    "Ernie": BERT,
    "BigBird": TOLD,
    "Longformer": Verdict("intermediate", "", first_position=1),
    "RoFormer": TOLD,
    "Esm": replace(BERT, first_position=1),
    "XLNet": Verdict("", "told", read="last", **ALONE),
    "FNet": Verdict("intermediate", "", **ALONE),
    "ConvBert": Verdict("attention.output", "told", **ALONE),
    "MobileBert": Verdict("attention.output", **ALONE),
    "Nystromformer": Verdict("attention.output", "told", **ALONE),
    "Funnel": replace(WORDS_ONLY, attention=""),
    "SqueezeBert": replace(WORDS_ONLY, attention=""),
    "XLM": replace(WORDS_ONLY, attention="told"),
    "Flaubert": replace(WORDS_ONLY, attention="told"),
    "Bart": TWICE,
    "T5": TWICE,
    "GPT2": MLP,
    "Llama": MLP,
    "Mistral": MLP,
    "Qwen2": MLP,
    "Qwen3": MLP,
    "Gemma": MLP,
    "Gemma2": replace(MLP, attention="told"),
    "Gemma3Text": MLP,
    "Phi": MLP,
    "Phi3": MLP,
    "OPT": replace(UNCUT, first_position=0),
    "Bloom": replace(MLP, attention="told"),
    "Falcon": UNCUT,
    "GPTNeoX": MLP,
    "GPTNeo": replace(MLP, attention="told"),
    "GPTJ": replace(MLP, attention="told"),
    "OpenAIGPT": replace(MLP, attention="told"),
    "GPTBigCode": MLP,
    "SmolLM3": MLP,
    "StableLm": MLP,
    "Starcoder2": MLP,
    "Glm": MLP,
    "BioGpt": UNCUT,
}
QUICK = ("Bert", "ModernBert", "DebertaV2", "Albert", "GPT2", "Llama", "Gemma", "XLNet", "Bart", "FNet")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # norms and rotations of some types are in float32 whatever the model is in
LENGTHS = (5, 2, 9, 7)


def kinds(condition: Callable[[Verdict], bool] = lambda verdict: True) -> Any:
    """A parameter of the types whose verdict is such; the rarer ones are slow."""
    fitting = [kind for kind, verdict in VERDICTS.items() if condition(verdict)]
    marks = [[] if kind in QUICK else [pytest.mark.slow] for kind in fitting]
    return pytest.mark.parametrize("kind", [pytest.param(k, marks=m) for k, m in zip(fitting, marks, strict=True)])


def rows_of(classifier: HuggingFaceClassifier, lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> list[np.ndarray]:
    """Rows of random tokens, none of them special, within what the tokenizer puts around."""
    generator = np.random.default_rng(seed)
    usual = sorted(set(classifier.tokenizer.get_vocab().values()) - set(classifier.tokenizer.all_special_ids))
    before, after = ([2], [3]) if classifier.model.config.model_type in ENCODER_TYPES else ([], [])
    if classifier.tokenizer.cls_token_id == 0:
        before, after = [0], [2]
    return [np.array([*before, *generator.choice(usual, length), *after]) for length in lengths]


ENCODER_TYPES = {network(kind).config.model_type for kind in ENCODERS}


def own_logits(model: PreTrainedModel, ids: np.ndarray, **inputs: Any) -> np.ndarray:
    """What the model itself says of one row; a decoder with no padding token that the row could hold."""
    pad = model.config.get_text_config().pad_token_id
    if model.config.model_type not in ENCODER_TYPES:
        model.config.get_text_config().pad_token_id = model.config.pad_token_id = int(min(set(range(99)) - set(ids)))
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(ids)[None], **inputs).logits[0].numpy()
    model.config.get_text_config().pad_token_id = model.config.pad_token_id = pad
    return logits


def first_layer(model: PreTrainedModel) -> nn.Module:
    return next(iter(model.get_submodule(inspection.layers_name(model)).children()))


@contextmanager
def recorded(module: nn.Module) -> Iterator[list[Tensor]]:
    """The first input of each call of a module."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    try:
        yield seen
    finally:
        handle.remove()


def verdict(classifier: HuggingFaceClassifier) -> Verdict:
    can = classifier.can
    cut = next((name for name, module in classifier.model.named_modules() if module is can.cut), "")
    return Verdict(
        cut=".".join(cut.rsplit(".", 2)[-2:] if cut.endswith("attention.output") else cut.rsplit(".", 1)[-1:]),
        attention=can.attention,
        point=None if can.point is None else type(can.point),
        pads=can.pads,
        hides=can.hides,
        first_position=classifier.first_position,
        read=classifier.task.read,
    )


def test_every_type_of_the_table_is_tried():
    assert set(VERDICTS) == {*ENCODERS, *DECODERS}


@kinds()
def test_what_a_type_can_be_asked(kind: str):
    classifier = generic(kind)
    assert verdict(classifier) == VERDICTS[kind]
    assert (classifier.head is not None) == (kind in DECODERS)


@kinds()
def test_rows_of_unequal_lengths_have_the_logits_of_each_alone(kind: str):
    classifier = shared_generic(kind)
    rows = rows_of(classifier)
    expected = [own_logits(classifier.model, row) for row in rows]
    assert np.ptp(expected, axis=0).min() > 1e-3  # or nothing would be shown
    np.testing.assert_allclose(classifier.logits([Row(row) for row in rows]), expected, **CLOSE)


@kinds(lambda found: found.point is not None)
def test_a_rows_embeddings_are_all_that_a_row_is(kind: str):
    classifier = shared_generic(kind)
    one, other = rows_of(classifier, (6, 6))
    (embeddings,) = classifier.embed([Row(other)])
    found = classifier.logits([Row(one, embeddings=embeddings)])[0]
    np.testing.assert_allclose(found, own_logits(classifier.model, other), **CLOSE)


@kinds(lambda found: found.point is LayerInput)
def test_embeddings_are_what_the_first_layer_reads(kind: str):
    classifier = shared_generic(kind)
    rows = rows_of(classifier)
    for row, embeddings in zip(rows, classifier.embed([Row(row) for row in rows]), strict=True):
        with recorded(first_layer(classifier.model)) as seen:
            own_logits(classifier.model, row)
        states = seen[0].transpose(0, 1) if kind == "XLNet" else seen[0]
        np.testing.assert_allclose(embeddings, states[0, : len(row)].numpy(), **CLOSE)


@kinds(lambda found: found.point is LayerInput)
def test_embeddings_of_no_token_are_read_as_the_model_reads_inputs_embeds(kind: str):
    classifier = shared_generic(kind)
    if kind == "Longformer" or not inspection.takes(classifier.body, "inputs_embeds"):
        pytest.skip("the type cannot be run with inputs_embeds alone")
    (row,) = rows_of(classifier, (6,))
    words = classifier.model.get_input_embeddings().weight
    vectors = words[: len(row)].mean() + words.std() * torch.randn(1, len(row), words.shape[1], dtype=torch.float64)
    positions = {} if classifier.first_position != 2 else {"position_ids": torch.arange(2, 2 + len(row))[None]}
    classifier.model.config.pad_token_id, pad = None, classifier.model.config.pad_token_id
    with recorded(first_layer(classifier.model)) as seen, torch.no_grad():
        expected = classifier.model(inputs_embeds=vectors, **positions).logits[0].numpy()
    classifier.model.config.pad_token_id = pad
    states = seen[0].transpose(0, 1) if kind == "XLNet" else seen[0]
    found = classifier.logits([Row(row, embeddings=states[0, : len(row)].detach().numpy())])[0]
    np.testing.assert_allclose(found, expected, **CLOSE)


@kinds(lambda found: found.hides)
def test_hidden_tokens_are_those_of_an_attention_mask(kind: str):
    classifier = shared_generic(kind)
    (row,) = rows_of(classifier, (8,))
    for hidden in ([3], [2, 5], [1, 4, len(row) - 1]):
        mask = torch.ones(1, len(row), dtype=torch.long)
        mask[:, hidden] = 0
        places = torch.arange(len(row))[None] + (classifier.first_position or 0)
        positions = {} if classifier.first_position is None else {"position_ids": places}
        expected = own_logits(classifier.model, row, attention_mask=mask, **positions)
        if classifier.head is not None:
            inputs = {"input_ids": torch.from_numpy(row)[None], "attention_mask": mask, **positions}
            with torch.no_grad():
                states = classifier.model.base_model(**inputs).last_hidden_state
                expected = classifier.model.score(states[0, mask[0].nonzero().max()]).numpy()
        found = classifier.logits([Row(np.where(mask[0].numpy() == 1, row, HIDDEN)), Row(row)])
        np.testing.assert_allclose(found[0], expected, **CLOSE)
        assert np.abs(found[0] - found[1]).max() > 1e-4


@kinds(lambda found: not found.hides)
def test_what_cannot_be_hidden_is_refused_by_name(kind: str):
    classifier = shared_generic(kind)
    (row,) = rows_of(classifier, (5,))
    row[2] = HIDDEN
    with pytest.raises(QuestionError, match=rf"^{type(classifier.model).__name__} cannot hide a token"):
        classifier.logits([Row(row)])


@kinds(lambda found: found.attention != "")
def test_attention_is_what_the_model_tells_under_eager(kind: str):
    classifier, told = shared_generic(kind), network(kind, "eager")
    rows = rows_of(classifier, (5, 8))
    own_logits(told, rows[0])  # BigBird changes its way of attention at its first short row
    for row, layers in zip(rows, classifier.attentions([Row(row) for row in rows]), strict=True):
        with torch.no_grad():
            expected = told(input_ids=torch.from_numpy(row)[None], output_attentions=True).attentions
        np.testing.assert_allclose(layers, torch.cat(expected).numpy(), **CLOSE)
        np.testing.assert_allclose(layers.sum(-1), 1, rtol=1e-5)


@kinds(lambda found: found.attention == "")
def test_attention_that_nobody_can_tell_is_refused_by_name(kind: str):
    classifier = shared_generic(kind)
    with pytest.raises(QuestionError, match=rf"^{type(classifier.model).__name__} shows no attention"):
        classifier.attentions([Row(rows_of(classifier)[0])])


@kinds()
def test_pairs_are_read_with_the_token_types_that_the_tokenizer_gives(kind: str):
    classifier = shared_generic(kind)
    text = classifier.encode(Example("0", SENTENCES[0], None, pair=SENTENCES[1]))
    encoding = tokenizer(kind)(SENTENCES[0], SENTENCES[1], return_tensors="pt")
    inputs = {
        name: value
        for name, value in encoding.items()
        if name == "token_type_ids" and inspection.takes(classifier.body, name)
    }
    expected = own_logits(classifier.model, text.ids, **inputs)
    assert text.ids.tolist() == encoding.input_ids[0].tolist()
    assert (text.types is not None) == bool(inputs)
    for row in (Row(text.ids, text.types), text.ids):
        np.testing.assert_allclose(classifier.logits([row])[0], expected, **CLOSE)


def test_what_is_gone_from_a_pair_takes_its_token_types_along():
    classifier = shared_generic("Bert")
    text = classifier.encode(Example("0", SENTENCES[0], None, pair=SENTENCES[1]))
    keep = np.ones((2, len(text)), dtype=bool)
    keep[1, [1, 2, -2]] = False
    found = answers(classifier, asked(Logits(text, keep, GONE)))
    for row, logits in zip(keep, found, strict=True):
        types = torch.from_numpy(text.types[row])[None]
        np.testing.assert_allclose(logits, own_logits(classifier.model, text.ids[row], token_type_ids=types), rtol=1e-9)


def asked(question: object) -> Iterator[object]:
    return (yield question)


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k in QUICK else pytest.mark.slow) for k in DECODERS])
@pytest.mark.parametrize("count", [1, 2])
def test_a_decoders_last_token_is_read_though_it_is_the_padding_token(kind: str, count: int):
    classifier = shared_generic(kind)
    (row,) = rows_of(classifier, (6,))
    row[-count:] = classifier.pad_id
    expected = own_logits(classifier.model, row)
    (short,) = rows_of(classifier, (3,), seed=1)
    found = classifier.logits([Row(short), Row(row)])
    np.testing.assert_allclose(found[1], expected, **CLOSE)
    np.testing.assert_allclose(found[0], own_logits(classifier.model, short), **CLOSE)
    with torch.no_grad():
        misread = classifier.model(input_ids=torch.from_numpy(row)[None]).logits[0].numpy()
    assert np.abs(misread - expected).max() > 1e-3  # transformers' own rule, where the padding token is 0


@kinds(lambda found: found.point is not None)
def test_gradients_are_differences_of_logits(kind: str):
    classifier = shared_generic(kind)
    rows = rows_of(classifier, (5, 3))
    given = classifier.gradients([Point(Row(row), Target(1, 0)) for row in rows], "")
    for row, gradient in zip(rows, given, strict=True):
        logits = own_logits(classifier.model, row)
        assert gradient.logit == pytest.approx(logits[1] - logits[0], abs=1e-5)
        direction = np.random.default_rng(0).normal(size=gradient.embeddings.shape)
        step = 1e-3 * np.linalg.norm(gradient.embeddings) / np.linalg.norm(direction)
        ends = [Row(row, embeddings=gradient.embeddings + sign * step * direction) for sign in (1, -1)]
        above, below = classifier.logits(ends)
        slope = ((above[1] - above[0]) - (below[1] - below[0])) / (2 * step)
        assert (gradient.gradient * direction).sum() == pytest.approx(slope, rel=5e-3, abs=1e-3 * np.abs(slope) + 1e-5)


@kinds(lambda found: found.point is None)
def test_where_embeddings_cannot_be_replaced_nothing_is_asked_at_them(kind: str):
    classifier = shared_generic(kind)
    text = classifier.encode(Example("0", SENTENCES[0], None))
    with pytest.raises(QuestionError, match="no place where embeddings can be read and replaced"):
        classifier.gradients([Point(Row(text.ids), Target(0))], "")
    with pytest.raises(RuntimeError, match="cannot be given embeddings"):
        answers(classifier, asked(LogitsAt(text, np.zeros((1, len(text), 32)))))
    keep = np.ones((3, len(text)), dtype=bool)
    keep[1, 1:4] = keep[2, 2] = False
    for fill in (None, GONE):
        found = answers(classifier, asked(Logits(text, keep, fill)))
        rows = [text.ids[k] if fill == GONE else np.where(k, text.ids, text.mask_id) for k in keep]
        np.testing.assert_allclose(found, [own_logits(classifier.model, row) for row in rows], **CLOSE)


@kinds(lambda found: found.point is None)
def test_rows_with_other_counts_of_ends_are_asked_apart_and_those_without_are_refused_alone(kind: str):
    classifier = shared_generic(kind)
    one, two = (classifier.encode(Example("0", SENTENCES[0], None, pair=pair)) for pair in (None, SENTENCES[1]))
    found = classifier.logits([Row(one.ids), Row(two.ids, two.types), Row(one.ids)])
    for row, logits in zip((one, two, one), found, strict=True):
        np.testing.assert_allclose(logits, own_logits(classifier.model, row.ids), **CLOSE)
    with pytest.raises(QuestionError, match="reads the end of a text, and a row has none"):
        classifier.logits([Row(one.ids[:-1])])


def test_a_row_that_is_refused_does_not_spoil_the_others_of_its_batch():
    classifier = shared_generic("FNet")
    text = classifier.encode(Example("0", SENTENCES[0], None))
    keep = np.ones((2, len(text)), dtype=bool)
    keep[1, 2] = False
    hidden, masked = (ask(lambda fill=fill: asked(Logits(text, keep, fill))) for fill in (HIDDEN, None))
    (outcomes,) = Engine(classifier).run([together({"hidden": hidden, "masked": masked})])
    assert "cannot hide a token" in outcomes["hidden"].error
    expected = [own_logits(classifier.model, np.where(k, text.ids, text.mask_id)) for k in keep]
    np.testing.assert_allclose(outcomes["masked"].value, expected, **CLOSE)


def test_nothing_is_left_on_a_model():
    classifier = shared_generic("Llama")
    (row,) = rows_of(classifier, (6,))
    classifier.gradients([Point(Row(row), Target(0))], "")
    classifier.attentions([Row(row)])
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in classifier.model.modules())
    assert not any(p.requires_grad for p in classifier.model.parameters())


class TestPlantedFaults:
    """Each is found by a probe: what the fault spoils is refused, and the next best is taken where there is one."""

    def test_a_hook_that_acts_at_every_call_of_a_shared_layer(self, monkeypatch: pytest.MonkeyPatch):
        @contextmanager
        def at_every_call(self: LayerInput, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
            def enter(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
                return points._replaced(args, kwargs, change(args[0] if args else kwargs["hidden_states"]))

            handle = self.layer.register_forward_pre_hook(enter, with_kwargs=True)
            try:
                yield
            finally:
                handle.remove()

        assert type(generic("Albert").can.point) is LayerInput
        monkeypatch.setattr(LayerInput, "changing", at_every_call)
        assert type(generic("Albert").can.point) is ModuleOutput

    @pytest.mark.parametrize("kind", ["GPT2", "Bert"])
    def test_padding_on_the_left_without_positions(self, kind: str, monkeypatch: pytest.MonkeyPatch):
        right = probes.Probe._batch

        def left(self: probes.Probe) -> tuple[Tensor, None, Tensor]:
            ids, _, visible = right(self)
            missing = int((~visible[0]).sum())
            turned = [torch.stack([row[0].roll(missing), row[1]]) for row in (ids, visible)]
            return turned[0], None, turned[1]

        assert generic(kind).can.pads
        monkeypatch.setattr(probes.Probe, "_batch", left)
        assert not generic(kind).can.pads

    def test_the_models_own_rule_of_where_a_text_ends(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(huggingface, "token_head", lambda model: None)
        assert not generic("Llama").can.hides  # it reads the last token, though it is hidden

    @pytest.mark.parametrize("kind", ["Bert", "Llama"])
    def test_a_model_that_ignores_its_attention_mask(self, kind: str):
        model = network(kind)
        forward = model.base_model.forward
        model.base_model.forward = lambda input_ids, attention_mask=None, **inputs: forward(input_ids, **inputs)
        can = HuggingFaceClassifier(model, tokenizer(kind), dtype=torch.float64).can
        assert (can.pads, can.hides) == (kind in DECODERS, False)  # what is padded on the right is behind a decoder

    @pytest.mark.parametrize("kind", ["Bert", "ModernBert", "GPT2"])
    def test_a_cut_before_tokens_are_mixed(self, kind: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(
            huggingface,
            "architecture_of",
            lambda model: replace(inspection.inspected(model), mixed=("attention", "attn")),
        )
        assert generic(kind).can.cut is None

    def test_attention_whose_rows_are_not_shares(self, monkeypatch: pytest.MonkeyPatch):
        whole = frozen.attention_probabilities
        monkeypatch.setattr(frozen, "attention_probabilities", lambda *args, **more: whole(*args, **more) / 2)
        assert generic("Bert").can.attention == ""

    def test_a_head_that_reads_elsewhere(self):
        model = network("Llama")

        def pooled(self: PreTrainedModel, input_ids: Tensor, **inputs: Any) -> SequenceClassifierOutput:
            states = self.base_model(input_ids=input_ids, **inputs).last_hidden_state
            return SequenceClassifierOutput(logits=self.score(states.mean(1)))

        model.forward = MethodType(pooled, model)
        classifier = HuggingFaceClassifier(model, tokenizer("Llama"), dtype=torch.float64)
        assert classifier.head is None
        (row,) = rows_of(classifier, (6,))
        np.testing.assert_allclose(classifier.logits([Row(row)])[0], own_logits(model, row), rtol=1e-9)
