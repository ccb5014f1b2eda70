"""Precisions of forward rows alone: what has fewer digits, and that everything else is float32 to the bit."""

import copy

import numpy as np
import pytest
import torch
from builders import answers, points, random_texts, tiny_classifier, tiny_network, tiny_tokenizer
from networks import network, tokenizer
from torch import nn

from faithbench.bcos import convert
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.precision import candidates, layers_in_bfloat16, layers_of, name_of, tensor_float32
from faithbench.plugins.spec import build
from faithbench.questions import Inside, LogitsAt, Row
from faithbench.records.fingerprints import precision_of
from faithbench.types import Example, Target

CPU = torch.device("cpu")
MIXED = "bf16-mixed"
MODELS = [("bert", None), ("roberta", None), ("distilbert", None), ("bert", 1.5), ("bert", 2.0)]
IN_SINGLE = ["input_x_gradient", "saliency", "attention(variant=rollout)", "attn_lrp", "decompx", "sig(n_steps=3)"]


def pair_of(kind: str, b: float | None = None, classes: int = 3) -> tuple[HuggingFaceClassifier, HuggingFaceClassifier]:
    """The same network in float32 and in mixed precision."""
    made = tiny_network(kind, classes)
    made = made if b is None else convert(made, b)
    single = HuggingFaceClassifier(copy.deepcopy(made), tiny_tokenizer(), dtype=torch.float32)
    return single, HuggingFaceClassifier(made, tiny_tokenizer(), dtype=MIXED)


@pytest.mark.parametrize(("kind", "b"), MODELS)
def test_forward_rows_are_those_of_layers_in_bfloat16_by_hand(kind, b):
    single, mixed = pair_of(kind, b)
    rows = [Row(text.ids) for text in random_texts(single)]
    found, exact = mixed.logits(rows), single.logits(rows)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - exact).max() < 0.05 * np.ptp(exact)
    for row, logits in zip(rows, found, strict=True):
        by_hand = copy.deepcopy(single.model)
        for layer in layers_of(by_hand):
            layer.forward = in_bfloat16(layer)
        expected = by_hand(input_ids=torch.tensor(row.ids)[None]).logits[0].detach().numpy()
        np.testing.assert_allclose(logits, expected, rtol=0, atol=0.03 * np.ptp(exact))  # rounded in another batch


def in_bfloat16(layer: nn.Module) -> object:
    forward = layer.forward

    def within(*args: object, **kwargs: object) -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(*args, **kwargs)

    return within


def test_head_and_embeddings_are_not_touched():
    _, mixed = pair_of("bert")
    seen = {}
    for name in (
        "bert.embeddings.LayerNorm",
        "bert.encoder.layer.0.intermediate.dense",
        "bert.encoder.layer.0.output.LayerNorm",
        "bert.pooler.dense",
        "classifier",
    ):
        mixed.model.get_submodule(name).register_forward_hook(
            lambda module, args, out, name=name: seen.update({name.split(".")[-2:][0]: out.dtype})
        )
    mixed.logits([Row(text.ids) for text in random_texts(mixed)])
    assert seen == {
        "embeddings": torch.float32,
        "intermediate": torch.bfloat16,
        "pooler": torch.float32,
        "classifier": torch.float32,
        "output": torch.float32,
    }


@pytest.mark.parametrize(("kind", "b"), MODELS)
def test_all_but_forward_rows_is_float32_to_the_bit(kind, b):
    single, mixed = pair_of(kind, b)
    texts = random_texts(single)
    rows = [Row(text.ids) for text in texts]
    for one, other in zip(single.embed(rows), mixed.embed(rows), strict=True):
        np.testing.assert_array_equal(one, other)
    for rules in ("", "faithbench.models.frozen:FrozenWeights"):
        asked = points([text.ids for text in texts], [0, 1, 2, 0, 1])
        for one, other in zip(single.gradients(asked, rules), mixed.gradients(asked, rules), strict=True):
            np.testing.assert_array_equal(one.gradient, other.gradient)
            assert one.logit == other.logit
    for one, other in zip(single.attentions(rows), mixed.attentions(rows), strict=True):
        np.testing.assert_array_equal(one, other)
    at = [Row(text.ids, embeddings=state) for text, state in zip(texts, single.embed(rows), strict=True)]
    np.testing.assert_array_equal(single.logits(at), mixed.logits(at))


@pytest.mark.parametrize("explainer", IN_SINGLE)
def test_explanations_without_forward_rows_are_those_of_float32(explainer):
    single, mixed = pair_of("bert")
    for text in random_texts(single):
        one, other = (answers(each, build("explainer", explainer).object(text, Target(1))) for each in (single, mixed))
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_look_inside_and_embeddings_given_are_float32():
    single, mixed = pair_of("bert")
    (text,) = random_texts(single, [7])
    states = single.embed([Row(text.ids)])[0][None]
    np.testing.assert_array_equal(*(answers(each, ask(LogitsAt(text, states))) for each in (single, mixed)))
    np.testing.assert_array_equal(*(answers(each, ask(Inside(text, f"{__name__}:states"))) for each in (single, mixed)))


def ask(question):
    return (yield question)


def test_a_model_is_left_as_it_was_even_if_a_layer_fails():
    _, mixed = pair_of("bert")
    layers = layers_of(mixed.model)
    before = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    with pytest.raises(TypeError), layers_in_bfloat16(layers, "cpu"):
        layers[0]()
    assert (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")) == before
    assert not any(layer._forward_pre_hooks or layer._forward_hooks for layer in layers)
    with mixed.unchanged():
        mixed.logits([Row(text.ids) for text in random_texts(mixed)])


def test_precision_is_part_of_the_identity():
    single, mixed = pair_of("bert")
    assert mixed.fingerprint() == f"{single.fingerprint()}-{MIXED}"
    assert (precision_of(mixed.fingerprint()), precision_of(single.fingerprint())) == (MIXED, "")
    assert (single.precision, mixed.precision, mixed.dtype) == ("float32", MIXED, torch.float32)
    half = tiny_classifier("bert", dtype=torch.bfloat16)
    assert half.fingerprint() not in (single.fingerprint(), mixed.fingerprint())
    assert (half.precision, precision_of(half.fingerprint())) == ("bfloat16", "")


def test_weights_in_double_are_rounded_for_it_and_said_to_be():
    made = HuggingFaceClassifier(tiny_network("bert").double(), tiny_tokenizer(), dtype=MIXED)
    assert made.model.dtype == torch.float32
    assert any("rounded to float32" in note for note in made.notes)


@pytest.mark.parametrize(
    "kind", ["Albert", "Bart", "ConvBert", "FNet", "Funnel", "Gemma2", "GPT2", "Llama", "T5", "XLM", "XLNet"]
)
def test_other_types_of_models_have_it(kind):
    both = [HuggingFaceClassifier(network(kind), tokenizer(kind), dtype=each) for each in ("float32", MIXED)]
    texts = [both[0].encode(Example(str(n), words, None)) for n, words in enumerate(("the soup", "a warm train"))]
    exact, found = (each.logits([Row(text.ids) for text in texts]) for each in both)
    assert 0 < np.abs(found - exact).max() < 0.05


@pytest.mark.parametrize("kind", ["Deberta", "SqueezeBert"])
def test_models_that_fail_in_it_or_do_not_take_part_are_refused_by_name(kind):
    with pytest.raises(UserError, match=f"'bf16-mixed' is not to be had of a {kind}ForSequence.*; use float32"):
        HuggingFaceClassifier(network(kind), tokenizer(kind), dtype=MIXED)


def test_what_is_tried_depends_on_device_and_wish():
    assert candidates("auto", CPU) == candidates("float32", CPU) == candidates("float64", CPU) == ()
    assert (candidates(MIXED, CPU), candidates("bfloat16", CPU)) == ((MIXED,), ("bfloat16",))


def test_tensor_float32_is_for_cuda_and_put_back():
    with pytest.raises(UserError, match="dtype='tf32' is not to be had on device 'cpu'; use float32"):
        HuggingFaceClassifier(tiny_network("bert"), tiny_tokenizer(), dtype="tf32")
    before = torch.get_float32_matmul_precision()
    with tensor_float32():
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("wrong", ["bf17", "auto", "", "float", "mixed"])
def test_other_names_are_one_sentence(wrong):
    with pytest.raises(
        UserError, match=f"^dtype='{wrong}' is not allowed; use float32, float64, bfloat16, float16, bf16"
    ):
        name_of(wrong)


def states(classifier: HuggingFaceClassifier, text: object) -> np.ndarray:
    """What the head reads, for `Inside`."""
    return classifier.states(classifier.inputs_of(text)[0]).detach().numpy()
