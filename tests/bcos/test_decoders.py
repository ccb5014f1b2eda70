"""B-cos conversion of decoders: Σ e·gradient is the logit, or the contrast of two, for every type; traps are seen."""

import copy
import functools
import sys
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from language_networks import (
    IDS,
    KINDS,
    WIDTH,
    WORDS,
    decoder_classifier,
    first_layer,
    language_network,
    logits_and_embeddings,
)
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BertConfig, Gemma3Config, PreTrainedModel
from transformers.activations import FastGELUActivation, NewGELUActivation
from transformers.models.bloom.modeling_bloom import BloomGelu
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.pytorch_utils import Conv1D

import faithbench.bcos.proof
from faithbench.architectures import forms
from faithbench.architectures.activations import Activation
from faithbench.architectures.finding import architecture_of
from faithbench.architectures.forms import Gate
from faithbench.architectures.norms import Norm
from faithbench.bcos import convert
from faithbench.bcos.modules import BcosLinear
from faithbench.bcos.proof import prove
from faithbench.errors import UserError
from faithbench.models import frozen
from faithbench.models.frozen import FrozenWeights
from faithbench.training.checkpoint import load

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
CLASSIFIERS = [
    kind for kind in KINDS if kind not in ("Granite", "Cohere", "Olmo", "Olmo2")
]  # transformers has no others
PAIRS = ((7, 31), (49, 0), (12, 5))  # of words, for contrasts
GATED = "Llama Mistral Qwen2 Qwen3 Gemma Gemma2 Gemma3Text Phi3 SmolLM3 Olmo Olmo2 StableLm Glm Granite Cohere".split()


def gaps(model: PreTrainedModel, pairs: tuple[tuple[int, int], ...] = PAIRS) -> list[float]:
    """|value − Σ e·gradient| beside the larger of value and largest score, for logits and their contrasts."""
    with FrozenWeights():
        logits, embeddings = logits_and_embeddings(model)
    found = []
    for good, bad in pairs:
        for value in (logits[good], logits[good] - logits[bad]):
            (gradient,) = torch.autograd.grad(value, embeddings, retain_graph=True)
            scores, total = (embeddings * gradient).detach().sum(-1), value.item()
            found.append(abs(total - scores.sum().item()) / max(abs(total), scores.abs().max().item()))
    return found


@functools.cache
def shared(kind: str) -> tuple[PreTrainedModel, PreTrainedModel]:
    """A model and its conversion, for tests that leave them as they found them."""
    model = language_network(kind)
    return model, convert(model, 1.1)


def fresh(kind: str) -> PreTrainedModel:
    """A copy of the conversion, for tests that change it."""
    return copy.deepcopy(shared(kind)[1])


def refusal(model: PreTrainedModel) -> str:
    """What the proof says of a converted model with a fault in it."""
    with pytest.raises(UserError) as caught:
        prove(model, architecture_of(model), language=True)
    return str(caught.value)


# What converts


@EVERY_KIND
def test_scores_sum_to_the_logit_and_to_the_contrast_for_every_exponent(kind):
    _, model = shared(kind)
    for b in (1.0, 1.5, 2.0, 1.1):
        for layer in (module for module in model.modules() if isinstance(module, BcosLinear)):
            layer.b = b
        assert max(gaps(model, PAIRS[: 1 if b != 1.1 else None])) < 1e-9


@pytest.mark.parametrize("b", [1.0, 1.5, 2.0])  # 1.1 is everywhere else
@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_conversion_is_proved_for_every_exponent(kind, b):
    assert max(gaps(convert(language_network(kind), b))) < 1e-9


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_scores_sum_to_the_logit_of_a_classifier(kind):
    assert max(gaps(convert(decoder_classifier(kind), 1.1), ((0, 1), (2, 0)))) < 1e-9


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Bloom", "Gemma2"])
def test_scores_sum_to_the_logit_in_float32(kind):
    assert max(gaps(fresh(kind).float())) < 1e-5


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Qwen3", "Gemma3Text"])
def test_scores_sum_to_the_logit_with_eager_attention(kind):
    assert max(gaps(convert(language_network(kind, attention="eager"), 1.1))) < 1e-9


@pytest.mark.parametrize("activation", ["gelu", "gelu_fast", "mish", "quick_gelu", "relu", "relu2", "silu", "tanh"])
@pytest.mark.parametrize(("kind", "field"), [("GPT2", "activation_function"), ("Llama", "hidden_act")])
def test_any_activation_that_is_nothing_at_nothing_converts(kind, field, activation):
    assert max(gaps(convert(language_network(kind, **{field: activation}), 1.1))) < 1e-9


def test_an_activation_that_is_something_at_nothing_converts_as_a_gate_and_is_refused_elsewhere():
    assert max(gaps(convert(language_network("Llama", hidden_act="sigmoid"), 1.1))) < 1e-9
    with pytest.raises(UserError, match=r"'transformer\.h\.0\.mlp\.act' \(Sigmoid\) has no B-cos form"):
        convert(language_network("GPT2", activation_function="sigmoid"))


@EVERY_KIND
def test_layers_are_converted_projections_and_head_stay_plain_and_no_bias_is_left(kind):
    _, converted = shared(kind)
    plain = {
        name.rpartition(".")[2]
        for name, module in converted.named_modules()
        if isinstance(module, nn.Linear) and not isinstance(module, BcosLinear)
    }
    projections = {"q_proj", "k_proj", "v_proj", "c_attn", "qkv_proj", "query_key_value"}
    assert plain <= projections | {"lm_head", "embed_out", "output_projection", "project_in"}
    assert {module.b for module in converted.modules() if isinstance(module, BcosLinear)} == {1.1}
    assert not any(isinstance(module, Conv1D) for module in converted.modules())
    assert not any(name.endswith("bias") for name, _ in converted.named_parameters())
    gated = [module for module in converted.modules() if isinstance(module, Gate)]
    assert len(gated) == (2 if kind in GATED else 0)


@EVERY_KIND
def test_embeddings_and_head_keep_their_weights_and_are_tied_if_they_were(kind):
    model, converted = shared(kind)
    assert torch.equal(model.get_input_embeddings().weight, converted.get_input_embeddings().weight)
    assert torch.equal(model.get_output_embeddings().weight, converted.get_output_embeddings().weight)
    tied = [each.get_output_embeddings().weight is each.get_input_embeddings().weight for each in (model, converted)]
    assert tied[0] == tied[1]
    assert type(converted.get_output_embeddings()) is nn.Linear


@pytest.mark.parametrize(("kind", "offset"), [("Llama", 0), ("Qwen3", 0), ("Gemma", 1), ("Gemma3Text", 1)])
def test_the_gain_of_an_rms_norm_is_the_weight_or_one_more(kind, offset):
    model = language_network(kind)
    norms = [module for module in convert(model).modules() if isinstance(module, Norm)]
    assert {norm.offset for norm in norms} == {offset}
    norm = norms[0]
    states = torch.randn(3, norm.weight.numel(), dtype=torch.float64)
    slow = [row / (sum(x * x for x in row.tolist()) / len(row) + norm.eps) ** 0.5 for row in states]
    torch.testing.assert_close(norm(states), torch.stack(slow) * (norm.weight + offset), rtol=1e-12, atol=0)


def test_a_norm_computes_in_float32_at_least():
    norm, states = Norm(nn.Parameter(torch.ones(4)), 0.0).half(), torch.full((4,), 300.0, dtype=torch.float16)
    assert torch.equal(norm(states), torch.ones(4, dtype=torch.float16))  # 300² is over float16's 65,504


def test_a_bound_on_the_logits_is_taken_off_in_the_copy():
    model = language_network("Gemma2", final_logit_softcapping=0.5, tie_word_embeddings=False)
    converted = convert(model)
    assert (model.config.final_logit_softcapping, converted.config.final_logit_softcapping) == (0.5, None)
    assert converted(IDS).logits.abs().max() > 0.5 > model(IDS).logits.abs().max()
    assert max(gaps(converted)) < 1e-9


def test_the_model_given_is_left_as_it_was():
    model = language_network("Qwen2")
    text, before = str(model), model(IDS).logits
    convert(model)
    assert str(model) == text
    assert torch.equal(model(IDS).logits, before)


def test_a_masked_language_model_with_a_causal_sibling_keeps_its_head():
    """Which of the two a model is, is tried: BERT's head with masks is B-cos, as a decoder's it is plain."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=30, **sizes)
    masked = convert(AutoModelForCausalLM.from_config(config))
    config.is_decoder = True
    causal = convert(AutoModelForCausalLM.from_config(config))
    assert isinstance(masked.get_output_embeddings(), BcosLinear)
    assert type(causal.get_output_embeddings()) is nn.Linear


def test_of_a_model_that_reads_images_too_the_part_for_texts_converts():
    images = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config={**KINDS["Gemma3Text"], "vocab_size": WORDS},
        vision_config={**images, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        image_token_index=49,
    )
    model = AutoModelForCausalLM.from_config(config).double().eval()
    converted = convert(model, 1.1)
    assert max(gaps(converted)) < 1e-9
    assert str(converted.model.vision_tower) == str(model.model.vision_tower)
    assert len([module for module in converted.modules() if isinstance(module, Gate)]) == 2


# What is explained


def test_embeddings_are_read_with_the_scale_of_gemma():
    model = convert(language_network("Gemma"))
    _, embeddings = logits_and_embeddings(model)
    looked_up = model.get_input_embeddings().weight[IDS[0]]
    torch.testing.assert_close(embeddings[0], looked_up * WIDTH**0.5, rtol=1e-6, atol=0)


def test_token_embeddings_alone_miss_the_part_of_positions():
    model = fresh("GPT2")
    with FrozenWeights():
        logits, embeddings = logits_and_embeddings(model)
    (gradient,) = torch.autograd.grad(logits[7] - logits[31], embeddings)
    token = (model.transformer.wte.weight[IDS[0]] * gradient[0]).sum().item()
    position = (model.transformer.wpe.weight[: IDS.shape[1]] * gradient[0]).sum().item()
    contrast = (logits[7] - logits[31]).item()
    assert abs(token - contrast) > 1e-2 * abs(contrast)
    assert token + position == pytest.approx(contrast, rel=1e-9)


def test_the_ratio_of_an_activation_is_frozen_and_is_nothing_at_nothing():
    activation, x = Activation(NewGELUActivation()), torch.tensor([-1.5, 0.0, 0.25, 2.0], dtype=torch.float64)
    x.requires_grad_()
    with FrozenWeights():
        out = activation(x)
    torch.testing.assert_close(out, NewGELUActivation()(x), rtol=1e-14, atol=0)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    expected = [value / at if at else 0.0 for value, at in zip(out.tolist(), x.tolist(), strict=True)]
    torch.testing.assert_close(gradient, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0)
    (derivative,) = torch.autograd.grad(activation(x).sum(), x)
    (expected_derivative,) = torch.autograd.grad(NewGELUActivation()(x).sum(), x)
    assert torch.equal(derivative, expected_derivative)


# Traps: each planted


@pytest.mark.parametrize("kind", ["Llama", "Gemma2", "Phi3"])
def test_a_gated_product_of_which_only_the_ratio_is_frozen_counts_twice(kind, monkeypatch):
    model = language_network(kind)
    converted = convert(model, 1.1)
    for module in list(converted.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Gate):
                setattr(module, name, child.activation)
    assert max(gaps(converted)) > 1e-2
    monkeypatch.setattr(faithbench.bcos.proof, "_gates", lambda *_: [])
    with pytest.raises(UserError, match=r"'model\.layers\.0\.mlp' \(\w+MLP\) has no B-cos form"):
        convert(model, 1.1)


FORMULAS = pytest.mark.parametrize(
    ("kind", "options", "name", "formula"),
    [
        ("GPT2", {"activation_function": "gelu_new"}, "mlp.act", NewGELUActivation),
        ("GPT2", {"activation_function": "gelu_fast"}, "mlp.act", FastGELUActivation),
        ("Bloom", {}, "mlp.gelu_impl", BloomGelu),
    ],
)


@FORMULAS
def test_an_activation_left_as_a_formula_is_seen(kind, options, name, formula):
    model = convert(language_network(kind, **options), 1.1)
    assert max(gaps(model)) < 1e-9
    model.transformer.h[1].set_submodule(name, formula())
    assert max(gaps(model)) > 1e-3
    assert f"'transformer.h.1.{name}' ({formula.__name__})" in refusal(model)


@FORMULAS
def test_a_conversion_that_leaves_formulas_is_refused(kind, options, name, formula, monkeypatch):
    converting = sys.modules[convert.__module__]
    monkeypatch.setattr(converting, "open_activation", lambda module: None)
    monkeypatch.setattr(converting, "TANH_GELUS", ())
    with pytest.raises(UserError, match=rf"'transformer\.h\.0\.{name}' \({formula.__name__}\) has no B-cos form"):
        convert(language_network(kind, **options), 1.1)


@pytest.fixture
def first_of_each_group(monkeypatch):
    """Plants that the gradient of values comes from the first head of each group alone, not from their sum."""
    repeated = frozen.repeated

    def alone(states: Tensor, query: Tensor, grouped: bool) -> Tensor:
        whole = repeated(states, query, grouped)
        heads = torch.arange(whole.shape[-3]) % (whole.shape[-3] // states.shape[-3]) == 0
        return torch.where(heads[:, None, None], whole, whole.detach())

    monkeypatch.setattr(frozen, "repeated", alone)


@pytest.fixture
def no_causal_mask(monkeypatch):
    """Plants that explicit attention looks ahead."""
    probabilities = frozen.attention_probabilities

    def ahead(*args: object, is_causal: bool = False, **kwargs: object) -> Tensor:
        return probabilities(*args, **kwargs)

    monkeypatch.setattr(frozen, "attention_probabilities", ahead)


def apart_from_torchs_own() -> tuple[float, float]:
    """By how much the output of explicit attention differs, and the gradient of the values, grouped and causal."""
    generator = torch.Generator().manual_seed(0)
    query, key, value, weights = (
        torch.randn(2, heads, 5, 8, generator=generator, dtype=torch.float64) for heads in (6, 2, 2, 6)
    )
    value.requires_grad_()
    given = {"is_causal": True, "enable_gqa": True}
    expected = F.scaled_dot_product_attention(query, key, value, **given)
    with FrozenWeights():
        found = F.scaled_dot_product_attention(query, key, value, **given)
    gradients = [torch.autograd.grad((weights * out).sum(), value)[0] for out in (expected, found)]
    return (found - expected).abs().max().item(), (gradients[1] - gradients[0]).abs().max().item()


def logits_apart(model: PreTrainedModel) -> float:
    """By how much logits change where weights are frozen, which must change gradients alone."""
    with torch.no_grad():
        plain = model(IDS).logits
        with FrozenWeights():
            return (model(IDS).logits - plain).abs().max().item()


def test_models_ask_for_grouped_and_causal_attention():
    asked, model = [], shared("Llama")[1]

    def attend(*args: Tensor, **kwargs: object) -> Tensor:
        asked.append((kwargs["enable_gqa"], kwargs["is_causal"], kwargs["attn_mask"]))
        return F.scaled_dot_product_attention(*args, **kwargs)

    with frozen.Intercept() as mode:
        mode.rules = {F.scaled_dot_product_attention: attend}
        model(IDS)
    assert asked == [(True, True, None)] * 2


def test_explicit_attention_is_torchs_own():
    assert max(apart_from_torchs_own()) < 1e-12


@EVERY_KIND
def test_frozen_weights_leave_logits_as_they_are(kind):
    assert logits_apart(shared(kind)[1]) < 1e-6  # of norms that some types compute in float32


@pytest.mark.usefixtures("first_of_each_group")
def test_a_gradient_without_the_sum_over_a_group_is_seen():
    output, gradient = apart_from_torchs_own()
    assert output < 1e-12
    assert gradient > 1e-1
    assert max(gaps(shared("Llama")[1])) > 1e-3
    with pytest.raises(UserError, match=r"'model\.layers\.0\.self_attn' \(LlamaAttention\) has no B-cos form"):
        convert(language_network("Llama"), 1.1)


@pytest.mark.usefixtures("no_causal_mask")
@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_attention_that_looks_ahead_is_seen(kind):
    """Not by completeness: it would be that of another function."""
    model = shared(kind)[1]
    assert apart_from_torchs_own()[0] > 1e-1
    assert max(gaps(model)) < 1e-9
    assert logits_apart(model) > 1e-3


def plant_offset(monkeypatch: pytest.MonkeyPatch, offset: float) -> None:
    """Plants that RMS norms have forms of one offset alone: a gain of the weight for 0, of 1 + weight for 1."""
    norms = forms.norm_forms

    def planted(module: nn.Module) -> Iterator[tuple[nn.Module, tuple[int, ...]]]:
        for form, shape in norms(module):
            if isinstance(form, Norm) and form.weight is not None and form.offset == offset and not form.centred:
                yield form, shape

    monkeypatch.setattr(forms, "norm_forms", planted)


OFFSETS = pytest.mark.parametrize(
    ("kind", "wrong"), [("Llama", 1.0), ("Qwen3", 1.0), ("Gemma", 0.0), ("Gemma3Text", 0.0)]
)


@OFFSETS
def test_a_norm_of_the_wrong_offset_is_not_taken(kind, wrong, monkeypatch):
    plant_offset(monkeypatch, wrong)
    with pytest.raises(UserError, match=r"'model\.layers\.0\.\S+norm' \(\w+RMSNorm\) has no B-cos form"):
        convert(language_network(kind), 1.1)


@OFFSETS
def test_a_norm_of_the_wrong_offset_is_seen_in_logits(kind, wrong, monkeypatch):
    """Not by completeness: it would be that of another function."""
    model, converted = shared(kind)
    before, expected = model(IDS).logits, converted(IDS).logits
    plant_offset(monkeypatch, wrong)
    monkeypatch.setattr(forms, "same", lambda *_: True)  # what compares outputs
    planted = convert(model, 1.1)
    assert {module.offset for module in planted.modules() if isinstance(module, Norm)} == {wrong}
    assert max(gaps(planted)) < 1e-9
    assert (planted(IDS).logits - expected).abs().max() > 1e-2
    again = language_network(kind)
    with forms.opened(again):
        assert (again(IDS).logits - before).abs().max() > 1e-2


def test_a_norm_that_is_not_intercepted_is_seen():
    model = fresh("Llama")
    norm = LlamaRMSNorm(WIDTH).double()
    norm.weight = model.model.layers[1].input_layernorm.weight
    model.model.layers[1].input_layernorm = norm
    assert max(gaps(model)) > 1e-3
    assert "'model.layers.1.input_layernorm' (LlamaRMSNorm)" in refusal(model)


def test_the_bias_of_a_conv1d_is_seen_even_if_it_is_zero():
    model = fresh("GPT2")
    attention = model.transformer.h[0].attn
    by_hand = Conv1D(3 * WIDTH, WIDTH).double()
    by_hand.weight = nn.Parameter(attention.c_attn.weight.T.clone())
    nn.init.zeros_(by_hand.bias)
    attention.c_attn = by_hand
    assert max(gaps(model)) < 1e-9  # so that it looks complete
    assert "'transformer.h.0.attn.c_attn' (Conv1D)" in refusal(model)
    train(model)
    assert max(gaps(model)) > 1e-4


@pytest.mark.parametrize(("kind", "head"), [("GPT2", "lm_head"), ("Phi", "lm_head"), ("GPTNeoX", "lm_head")])
def test_the_bias_of_a_head_is_seen_even_if_it_is_zero(kind, head):
    model = fresh(kind)
    model.get_submodule(head).bias = nn.Parameter(torch.zeros(WORDS, dtype=torch.float64))
    assert f"module {head!r} (Linear)" in refusal(model)


def test_a_bound_left_on_the_logits_is_seen():
    model = fresh("Gemma2")
    model.config.final_logit_softcapping = 2.0
    assert max(gaps(model)) > 1e-3
    assert "Gemma2ForCausalLM has no B-cos form: its logits" in refusal(model)


def test_a_fault_in_one_word_of_the_head_is_seen():
    model = fresh("Llama")

    def bent(module: nn.Module, args: object, logits: Tensor) -> Tensor:
        return torch.cat([logits[..., :1].square(), logits[..., 1:]], -1)

    model.lm_head.register_forward_hook(bent)
    assert "'lm_head'" in refusal(model)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("GPT2", "transformer.h.1.mlp"), ("Llama", "model.layers.0"), ("Qwen3", "model.layers.1.self_attn")],
)
@pytest.mark.parametrize("shape", [(), (3,), (WIDTH, 2)])
def test_unknown_parameters_are_named(kind, name, shape):
    model = language_network(kind)
    model.get_submodule(name).register_parameter("mixing", nn.Parameter(torch.ones(shape)))
    with pytest.raises(UserError, match=rf"module '{name}' .* weights of its own \('mixing'\)"):
        convert(model)


def test_a_module_that_nobody_knows_is_named():
    model = language_network("Llama")
    model.model.layers[1].mlp.extra = nn.Conv1d(2, 2, 1)
    with pytest.raises(UserError, match=r"'model\.layers\.1\.mlp\.extra' \(Conv1d\) has no B-cos form"):
        convert(model)


def test_a_layer_whose_weight_is_used_without_calling_it_is_named():
    model = language_network("Bloom", slow_but_exact=True, pretraining_tp=2)
    with pytest.raises(
        UserError, match=r"'transformer\.h\.0\.\S+' has no B-cos form: BloomForCausalLM does not call it"
    ):
        convert(model)


def test_layers_that_nobody_uses_are_let_be():
    model = language_network("Llama")
    model.model.layers[1].mlp.spare = nn.Linear(WIDTH, WIDTH).double()
    assert max(gaps(convert(model, 1.1))) < 1e-9


# Training


def train(model: PreTrainedModel) -> None:
    """A few steps of all that can be trained, on one row."""
    steps = torch.optim.AdamW(model.train().parameters(), lr=1e-2)
    for _ in range(3):
        logits = model(IDS).logits[0, :-1]
        F.cross_entropy(logits, IDS[0, 1:]).backward()
        steps.step()
        steps.zero_grad()
    model.eval()


@pytest.mark.parametrize("kind", ["GPT2", "GPTNeo", "OPT", "Bloom", "Phi", "Llama", "Gemma2", "Qwen2", "GPTNeoX"])
def test_a_model_stays_complete_when_it_is_trained(kind):
    model = fresh(kind)
    before = model(IDS).logits
    train(model)
    assert (model(IDS).logits - before).abs().max() > 1e-2
    assert max(gaps(model)) < 1e-9


# Checkpoints


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Gemma2", "OpenAIGPT", "Phi", "Bloom", "GPTNeoX", "OPT"])
def test_a_saved_model_comes_back_without_another_proof(kind, tmp_path, monkeypatch):
    model = convert(language_network(kind).float(), 1.1)
    train(model)
    model.save_pretrained(tmp_path)
    monkeypatch.setattr(sys.modules[convert.__module__], "prove", None)
    loaded = load(tmp_path, AutoModelForCausalLM)
    assert str(loaded) == str(model)
    assert loaded.config.bcos == model.config.bcos
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    tied = [each.get_output_embeddings().weight is each.get_input_embeddings().weight for each in (model, loaded)]
    assert tied[0] == tied[1]


@pytest.mark.parametrize("gates", [["model.layers.0.mlp"], ["nowhere"]])
def test_settings_that_name_no_activations_are_refused(gates):
    with pytest.raises(UserError, match="as a gate, which is no activation"):
        convert(language_network("Llama"), gates=gates)


def test_with_biases_kept_products_are_gated_all_the_same():
    converted = convert(language_network("Qwen2"), biases=True)
    assert converted.config.bcos["gates"] == ["model.layers.0.mlp.act_fn", "model.layers.1.mlp.act_fn"]
    assert any(name.endswith("q_proj.bias") for name, _ in converted.named_parameters())
    assert max(gaps(converted)) > 1e-3


def test_the_first_layer_of_the_tests_is_that_of_the_proof():
    for kind in KINDS:
        model, _ = shared(kind)
        assert faithbench.bcos.proof.layer_input(model, architecture_of(model)).layer is first_layer(model)
