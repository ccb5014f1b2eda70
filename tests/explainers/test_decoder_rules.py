"""Frozen weights and AttnLRP on decoders against decoders written out, whose way back is the definition of each."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import answers
from faithbench_explainers.attn_lrp import AttnLRP
from faithbench_explainers.bcos import Bcos
from faithbench_explainers.input_x_gradient import InputXGradient
from language_models import language_model, questions, shared_language_model
from slow_decoders import Frozen, Relevance, SlowDecoder

from faithbench.architectures.factors import activated, gate
from faithbench.errors import QuestionError
from faithbench.models import frozen, lrp
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.questions import Row
from faithbench.types import Text

WRITTEN_OUT = pytest.mark.parametrize("kind", ["GPT2", "Llama", "Qwen3", "Gemma2"])
NEAR = {"GPT2": 1e-7, "Llama": 1e-5, "Qwen3": 1e-5, "Gemma2": 1e-5}  # norms and rotations in float32


def scores(model: HuggingFaceLanguageModel, text: Text, explainer: Bcos | AttnLRP) -> np.ndarray:
    return np.asarray(answers(model, explainer(text, 0)).scores)


def slow(model: HuggingFaceLanguageModel, text: Text, way: Frozen) -> tuple[np.ndarray, float]:
    return SlowDecoder(model, way).scores(text, torch.from_numpy(model.embed([Row(text.ids)])[0]))


@WRITTEN_OUT
@pytest.mark.parametrize(("explainer", "way"), [(Bcos(), Frozen()), (AttnLRP(), Relevance())], ids=["frozen", "lrp"])
def test_scores_are_those_of_the_decoder_written_out(kind: str, explainer: Bcos | AttnLRP, way: Frozen):
    model = shared_language_model(kind)
    for text in questions(model):
        expected, value = slow(model, text, way)
        logits = model.logits([Row(text.ids, candidates=text.candidates)])[0]
        assert value == pytest.approx(logits[0], abs=1e-5)  # the same model
        assert np.abs(scores(model, text, explainer) - expected).max() <= NEAR[kind] * np.abs(expected).max()


@pytest.mark.parametrize(
    ("kind", "function", "fault"),
    [
        ("Llama", torch.Tensor.mul, torch.Tensor.mul),  # each factor of a gated product gets all
        ("Llama", F.rms_norm, F.rms_norm),  # the root mean square is derived too
        ("Qwen3", F.rms_norm, F.rms_norm),
        ("Llama", F.scaled_dot_product_attention, frozen.FROZEN[F.scaled_dot_product_attention]),
        ("Gemma2", torch.tanh, torch.tanh),  # the softcap of scores by its derivative
        ("Gemma2", torch.matmul, torch.matmul),
        ("GPT2", activated, lambda inputs, activation: activation(inputs)),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_rule_that_is_left_out_is_noticed(kind: str, function: object, fault: object, monkeypatch):
    monkeypatch.setitem(lrp.RULES, function, fault)
    model = shared_language_model(kind)
    text = questions(model)[0]
    expected, _ = slow(model, text, Relevance())
    assert np.abs(scores(model, text, AttnLRP()) - expected).max() > 100 * NEAR[kind] * np.abs(expected).max()


@pytest.mark.parametrize(
    ("kind", "function"),
    [("Llama", gate), ("Llama", F.rms_norm), ("GPT2", activated), ("GPT2", F.layer_norm), ("Gemma2", F.softmax)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_part_that_is_not_held_constant_is_noticed_when_the_rules_are_tried(kind: str, function, monkeypatch):
    rules = {**frozen.FROZEN}
    del rules[function]
    monkeypatch.setattr(frozen, "FROZEN", rules)
    model = language_model(kind)
    with pytest.raises(RuntimeError, match=r"ForCausalLM has a part that FrozenWeights cannot hold constant|LMHead"):
        scores(model, questions(model)[0], Bcos())


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Qwen3", "Gemma3Text"])
@pytest.mark.parametrize("explainer", [Bcos(), AttnLRP()])
def test_attention_written_out_in_python_has_the_same_relevances(kind: str, explainer: Bcos | AttnLRP):
    caught, told = shared_language_model(kind), language_model(kind, attention="eager")
    assert (caught.can.attention, told.can.attention) == ("caught", "told")
    for text in questions(caught):
        expected = scores(caught, text, explainer)
        assert np.abs(scores(told, text, explainer) - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("b", [None, 1.5])
def test_a_gate_whose_activation_is_written_out_in_python_hands_relevance_on_alike(b: float | None):
    told, hidden = (language_model("Llama", b, hidden_act=act) for act in ("gelu_pytorch_tanh", "gelu_new"))
    text = questions(told)[0]
    np.testing.assert_allclose(scores(hidden, text, AttnLRP()), scores(told, text, AttnLRP()), rtol=1e-6, atol=1e-9)


def test_what_is_made_of_two_signals_and_is_no_product_is_refused():
    signals = [torch.randn(2, 3).requires_grad_() for _ in range(3)]
    with lrp.AttnLRP():
        for function in (torch.add, torch.mul, torch.matmul):
            function(signals[0], signals[1].mT if function is torch.matmul else signals[1])
        for function in (torch.div, torch.maximum):
            with pytest.raises(QuestionError, match=f"AttnLRP has no rule for {function.__name__} of two signals"):
                function(*signals[:2])
        with pytest.raises(QuestionError, match="einsum of three signals"):
            torch.einsum("ij,kj,lj->ikl", *signals)


@pytest.mark.parametrize(
    "product",
    [
        torch.matmul,
        torch.bmm,
        lambda a, b: a @ b,
        lambda a, b: torch.einsum("bij,bjk->bik", a, b),
        lambda a, b: torch.einsum("bij,bjk->bik", [a, b]),
        lambda a, b: torch.zeros(2, 3, 3).double().baddbmm(batch1=a, batch2=b, beta=1.0, alpha=1.0),
    ],
)
def test_every_way_to_write_a_product_halves_it(product):
    one, other = (torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(i)).double() for i in range(2))
    slopes = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(2)).double()
    signals = [one.requires_grad_(), other.requires_grad_()]
    with lrp.AttnLRP():
        found = torch.autograd.grad(product(*signals), signals, slopes)
        (alone,) = torch.autograd.grad(product(one, other.detach()), one, slopes)
    torch.testing.assert_close(found, (slopes @ other.mT / 2, one.mT @ slopes / 2))
    torch.testing.assert_close(alone, slopes @ other.mT)  # a constant takes nothing


def test_a_model_is_opened_for_rules_alone_and_closed_behind_them():
    model = language_model("Llama")
    before = {name: type(module) for name, module in model.model.named_modules()}
    text = questions(model)[0]
    plain = scores(model, text, InputXGradient())
    opened = scores(model, text, Bcos())
    assert {name: type(module) for name, module in model.model.named_modules()} == before
    np.testing.assert_array_equal(scores(model, text, InputXGradient()), plain)
    assert np.abs(opened - plain).max() > 1e-3


def test_an_activation_that_is_not_0_at_0_is_refused_by_name():
    model = language_model("GPT2", activation_function="sigmoid")
    for explainer in (Bcos(), AttnLRP()):
        with pytest.raises(RuntimeError, match=r"the activation 'sigmoid' of GPT2LMHeadModel is 0.5 at 0, so that"):
            scores(model, questions(model)[0], explainer)


def test_a_gate_that_is_not_0_at_0_is_a_constant_and_hands_no_relevance_on():
    model = language_model("Llama", hidden_act="sigmoid")
    text = questions(model)[0]
    assert abs(answers(model, Bcos()(text, 0)).notes["completeness_gap"]) < 1e-9
    with pytest.raises(RuntimeError, match=r"the activation 'sigmoid' of LlamaForCausalLM is 0.5 at 0, so that"):
        scores(model, text, AttnLRP())


@pytest.mark.parametrize(("explainer", "way"), [(Bcos(), Frozen()), (AttnLRP(), Relevance())])
def test_a_piecewise_linear_activation_is_held_by_its_values_not_its_slopes(explainer, way):
    model = language_model("GPT2", activation_function="relu6")
    with torch.no_grad():
        for layer in model.model.transformer.h:
            layer.mlp.c_fc.bias.add_(8.0)  # where the slope is 0
    text = questions(model)[0]
    expected, _ = slow(model, text, way)
    assert np.abs(scores(model, text, explainer) - expected).max() <= 1e-7 * np.abs(expected).max()
