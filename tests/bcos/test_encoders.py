"""B-cos conversion of any encoder: complete in float64, proved when converted; the rest refused by the module's name."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from builders import LENGTH, all_answers, random_texts, randomise, tiny_network, tiny_tokenizer
from faithbench_explainers.bcos import Bcos
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.deberta.modeling_deberta import DebertaLayerNorm
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

from faithbench.architectures.finding import architecture_of
from faithbench.architectures.forms import Gate, exact_form
from faithbench.architectures.heads import FirstToken, FirstTokenHead
from faithbench.bcos import convert
from faithbench.bcos.modules import BcosLinear
from faithbench.bcos.proof import prove
from faithbench.errors import UserError
from faithbench.models import frozen
from faithbench.models.frozen import FrozenWeights
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import Row
from faithbench.training.checkpoint import load

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": LENGTH + 2,
}
EDGES = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
ENCODERS = {
    "Albert": {"embedding_size": 8},
    "BigBird": {"attention_type": "original_full"},
    "Camembert": {},
    "Deberta": RELATIVE,
    "DebertaV2": {**RELATIVE, "position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
    "Electra": {"embedding_size": 8},
    "Ernie": {},
    "Esm": {"position_embedding_type": "rotary"},
    "EuroBert": EDGES,
    "FNet": {},
    "Longformer": {"attention_window": [16, 16]},
    "MPNet": {},
    "MobileBert": {"embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "ModernBert": EDGES,
    "RemBert": {"input_embedding_size": 8, "output_embedding_size": 8},
    "RoFormer": {"embedding_size": 8},
    "XLMRoberta": {},
}
EVERY_ENCODER = pytest.mark.parametrize("kind", ENCODERS)


def network(kind: str, classes: int = 3, **options: object) -> PreTrainedModel:
    """A tiny random classifier, all of whose weights are random."""
    own = options.pop("sizes", SIZES) | ENCODERS.get(kind, {}) | options
    ids = {"vocab_size": len(tiny_tokenizer()), "pad_token_id": 0, "num_labels": classes}
    config = getattr(transformers, f"{kind}Config")(**{**ids, **own})
    return randomise(AutoModelForSequenceClassification.from_config(config), 0)


def classifier(model: PreTrainedModel) -> HuggingFaceClassifier:
    return HuggingFaceClassifier(model, tiny_tokenizer(), dtype=torch.float64)


def gaps(model: HuggingFaceClassifier) -> list[float]:
    """|logit − Σ scores| beside the larger of logit and largest score, for two texts of unequal lengths."""
    texts = random_texts(model, (7, 3))
    found = all_answers(model, [Bcos()(text, target) for text, target in zip(texts, (0, 2), strict=True)])
    logits = [model.logits([Row(text.ids)])[0, target] for text, target in zip(texts, (0, 2), strict=True)]
    return [
        abs(logit - attribution.scores.sum()) / max(abs(logit), np.abs(attribution.scores).max())
        for logit, attribution in zip(logits, found, strict=True)
    ]


def linears(model: nn.Module) -> set[str]:
    """The names of linear layers that are not B-cos."""
    return {
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not isinstance(module, BcosLinear)
    }


# What converts


@EVERY_ENCODER
def test_scores_sum_to_the_logit(kind):
    assert max(gaps(classifier(convert(network(kind))))) < 1e-9


@pytest.mark.parametrize("b", [1.0, 2.5])
@pytest.mark.parametrize("kind", ["Electra", "ModernBert"])
def test_scores_sum_to_the_logit_for_other_exponents(kind, b):
    assert max(gaps(classifier(convert(network(kind), b=b, qkv=True)))) < 1e-9


@EVERY_ENCODER
def test_only_projections_and_what_comes_before_the_layers_stay_plain(kind):
    converted = convert(network(kind))
    plain = {name.rpartition(".")[2] for name in linears(converted)}
    projections = {"query", "key", "value", "q", "k", "v", "q_proj", "k_proj", "v_proj", "Wqkv"}
    relative = {"in_proj", "pos_proj", "pos_q_proj", "query_proj", "key_proj", "value_proj"}
    longer = {"query_global", "key_global", "value_global"}
    before = {"embeddings_project", "embedding_hidden_mapping_in", "embedding_transformation", "projection"}
    assert plain <= projections | relative | longer | before
    assert any(isinstance(module, BcosLinear) for module in converted.modules())


@pytest.mark.parametrize(
    ("kind", "name"),
    [("Electra", "electra.embeddings_project"), ("Albert", "albert.encoder.embedding_hidden_mapping_in")],
)
def test_the_projection_into_the_hidden_size_stays_as_it_is(kind, name):
    given = network(kind)
    old, new = given.get_submodule(name), convert(given).get_submodule(name)
    assert type(new) is nn.Linear
    assert torch.equal(new.weight, old.weight)
    assert torch.equal(new.bias, old.bias)


@pytest.mark.parametrize("kind", ["Camembert", "Esm", "Longformer", "MPNet", "XLMRoberta"])
def test_tanh_inside_a_head_is_gone(kind):
    converted, states = convert(network(kind)).double().eval(), torch.randn(2, 3, 16, dtype=torch.float64)
    head = converted.classifier
    assert isinstance(head, FirstTokenHead)
    assert torch.equal(head(states), head.out_proj(head.dense(states[:, 0])))


def test_tanh_of_a_pooler_is_gone_whether_a_module_or_inside():
    assert isinstance(convert(network("Ernie")).ernie.pooler.activation, nn.Identity)
    assert isinstance(convert(network("MobileBert")).mobilebert.pooler, FirstToken)


def test_tanh_inside_a_head_is_found_in_low_precision_too():
    converted = convert(network("XLMRoberta").to(torch.bfloat16))
    assert isinstance(converted.classifier, FirstTokenHead)
    assert converted.classifier.dense.weight.dtype == torch.bfloat16


def test_an_activation_written_out_by_hand_becomes_that_of_torch_in_the_copy():
    given = network("Albert", hidden_act="gelu_new")
    converted = convert(given)
    assert (given.config.hidden_act, converted.config.hidden_act) == ("gelu_new", "gelu_pytorch_tanh")
    assert max(gaps(classifier(converted))) < 1e-9


def test_a_bias_that_a_module_adds_itself_is_zero_and_neither_trained_nor_saved():
    attention = convert(network("Deberta")).deberta.encoder.layer[0].attention.self
    assert (attention.v_bias == 0).all()
    assert not {"q_bias", "v_bias"} & {*dict(attention.named_parameters()), *attention.state_dict()}


@pytest.mark.parametrize("kind", ["Albert", "Deberta", "Electra", "Esm", "EuroBert", "MobileBert", "ModernBert"])
def test_a_saved_model_comes_back_with_equal_logits(kind, tmp_path):
    converted = convert(network(kind), b=1.25)
    converted.save_pretrained(tmp_path)
    loaded, ids = load(tmp_path), torch.tensor([[2, 5, 6, 7, 3]])
    assert str(loaded) == str(converted)
    assert torch.equal(loaded(input_ids=ids).logits, converted.eval()(input_ids=ids).logits)


def test_a_masked_language_model_of_another_type_converts_too():
    config = network("Electra").config
    converted = convert(transformers.ElectraForMaskedLM(config))
    assert converted.get_output_embeddings().weight is converted.get_input_embeddings().weight
    assert converted(input_ids=torch.tensor([[2, 5, 3]])).logits.isfinite().all()


# Gates and norms


@pytest.mark.parametrize("kind", ["EuroBert", "ModernBert"])
def test_one_factor_of_a_gated_feed_forward_is_frozen(kind):
    mlp = convert(network(kind)).model.layers[1].mlp.double().requires_grad_(False)
    states = torch.randn(16, dtype=torch.float64, requires_grad=True)
    with FrozenWeights():
        out = mlp(states)
    torch.testing.assert_close(out, mlp(states), rtol=1e-12, atol=1e-14)
    (gradient,) = torch.autograd.grad(out.sum(), states)
    torch.testing.assert_close(gradient, _by_hand(mlp, states.detach()), rtol=1e-10, atol=1e-12)


def _by_hand(mlp: nn.Module, states: Tensor) -> Tensor:
    """Σ_j of the rows of W_out · diag(s_out) · diag(act) · W_up, with scales and activations as numbers."""
    if hasattr(mlp, "Wi"):
        inner, gate, out = *_maps(mlp.Wi, states).chunk(2), mlp.Wo
        activation = F.gelu(inner @ states)
    else:
        inner, gate, out = _maps(mlp.gate_proj, states), _maps(mlp.up_proj, states), mlp.down_proj
        activation = F.silu(inner @ states)
    middle = activation[:, None] * gate
    return (_maps(out, middle @ states) @ middle).sum(0)


def _maps(layer: nn.Module, inputs: Tensor) -> Tensor:
    """A B-cos layer's dynamic weights."""
    unit = F.normalize(layer.weight, dim=1)
    cosine = (unit @ inputs / (inputs @ inputs + 1e-6).sqrt()).abs() + 1e-6
    return cosine.sqrt()[:, None] * unit


def test_products_are_gated_only_where_there_are_some():
    def gates(model: nn.Module) -> list[str]:
        return [name for name, module in model.named_modules() if isinstance(module, Gate)]

    assert gates(convert(network("ModernBert"))) == ["model.layers.0.mlp.act", "model.layers.1.mlp.act"]
    assert gates(convert(network("Electra"))) == []


def test_the_scale_of_an_rms_norm_is_frozen():
    norm, x = nn.RMSNorm(4, eps=1e-3).double(), torch.randn(4, dtype=torch.float64, requires_grad=True)
    with FrozenWeights():
        out = norm(x)
    torch.testing.assert_close(out, norm(x))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient, (x.square().mean() + 1e-3).rsqrt().detach().expand(4))


def test_a_norm_written_out_by_hand_is_replaced_only_by_one_that_gives_the_same():
    by_hand = DebertaLayerNorm(8, 1e-7)
    nn.init.normal_(by_hand.weight)
    form, states = exact_form(by_hand), torch.randn(2, 8)
    assert isinstance(form, nn.LayerNorm)
    assert form.weight is by_hand.weight
    torch.testing.assert_close(form(states), by_hand(states))
    gemma = GemmaRMSNorm(8)
    nn.init.normal_(gemma.weight)
    assert exact_form(gemma) is None
    assert exact_form(nn.LayerNorm(8)) is None


# What is refused

GEMMA = {"head_dim": 8, "num_key_value_heads": 2}
XLNET = {"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24}
BART = {"d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "eos_token_id": 3, "bos_token_id": 2}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
XLM = {"emb_dim": 16, "n_layers": 2, "n_heads": 2}


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("XLNet", XLNET, r"'transformer\.layer\.0\.rel_attn' \(XLNetRelativeAttention\) .*: it has weights of its own"),
        ("ConvBert", {**SIZES, "embedding_size": 16}, r"'convbert\.encoder\.layer\.0\.\S*\.depthwise' \(Conv1d\)"),
        ("GPT2", {"n_embd": 16, "n_layer": 2, "n_head": 2}, r"'transformer\.h\.0\.attn\.c_attn' \(Conv1D\)"),
        ("Gemma", {**SIZES, **GEMMA}, r"'model\.layers\.0\.input_layernorm' \(GemmaRMSNorm\) .* no linear map"),
        ("Bart", {**BART, "decoder_start_token_id": 2}, r"'model\.decoder\.layers\.0' \(BartDecoderLayer\)"),
        ("T5", {**T5, "eos_token_id": 3}, r"'transformer\.decoder\.\S*' \(T5LayerCrossAttention\)"),
        ("XLM", XLM, r"XLMForSequenceClassification .* of the first layer \(MultiHeadAttention\) alone"),
    ],
)
def test_what_has_no_bcos_form_is_named(kind, sizes, message):
    with pytest.raises(UserError, match=message):
        convert(network(kind, sizes=sizes))


def test_an_activation_that_nobody_tells_is_refused_where_nothing_is_proved():
    with pytest.raises(UserError, match="activation 'None' has no B-cos form"):
        convert(network("Esm"), biases=True)


# Faults that the proof must see


def planted(kind: str) -> PreTrainedModel:
    """A converted model to plant a fault in."""
    model = convert(network(kind))
    del model.config.bcos
    return model


def refusal(model: PreTrainedModel) -> str:
    with pytest.raises(UserError) as caught:
        prove(model, architecture_of(model))
    return str(caught.value)


@pytest.mark.parametrize("kind", ["Electra", "Ernie", "Deberta"])
@pytest.mark.parametrize("place", ["attention.output.LayerNorm", "output.LayerNorm"])
def test_the_bias_of_a_norm_is_seen_even_if_it_is_zero(kind, place):
    model = planted(kind)
    name = f"{model.base_model_prefix}.encoder.layer.1.{place}"
    model.get_submodule(name).bias = nn.Parameter(torch.zeros(16))
    assert f"module {name!r} (LayerNorm) has no B-cos form" in refusal(model)


def test_the_bias_of_a_linear_layer_is_seen():
    model = planted("ModernBert")
    layer = model.model.layers[1].attn.Wqkv
    layer.bias = nn.Parameter(torch.zeros(len(layer.weight)))
    assert "module 'model.layers.1.attn.Wqkv' (Linear)" in refusal(model)


def test_a_bias_that_a_module_adds_itself_is_seen():
    model = planted("Deberta")
    attention = model.deberta.encoder.layer[0].attention.self
    del attention.v_bias
    attention.v_bias = nn.Parameter(torch.zeros(16))
    assert "module 'deberta.encoder.layer.0.attention.self' (DisentangledSelfAttention)" in refusal(model)


def test_an_activation_left_in_the_head_is_seen():
    model = planted("Ernie")
    model.ernie.pooler.activation = nn.Tanh()
    assert "module 'ernie.pooler.activation' (Tanh)" in refusal(model)


def test_an_activation_inside_the_head_is_seen():
    given, model = network("XLMRoberta"), planted("XLMRoberta")
    given.classifier.dense, given.classifier.out_proj = model.classifier.dense, model.classifier.out_proj
    model.classifier = given.classifier
    assert "module 'classifier' (RobertaClassificationHead)" in refusal(model).replace("XLMRobertaC", "RobertaC")


@pytest.mark.parametrize(
    ("rule", "kind", "name"),
    [
        (F.layer_norm, "bert", r"'bert\.encoder\.layer\.0\.attention\.output\.LayerNorm' \(LayerNorm\)"),
        (F.gelu, "bert", r"'bert\.encoder\.layer\.0\.intermediate\.intermediate_act_fn' \(GELUActivation\)"),
        (F.scaled_dot_product_attention, "roberta", r"'roberta\.encoder\.layer\.0\.attention\.self' "),
    ],
)
def test_what_is_not_frozen_is_seen(rule, kind, name, monkeypatch):
    left = {function: rewritten for function, rewritten in frozen.FROZEN.items() if function is not rule}
    monkeypatch.setattr(frozen, "FROZEN", left)
    with pytest.raises(UserError, match=f"module {name}"):
        convert(tiny_network(kind))


def test_the_proof_leaves_the_model_as_it_was():
    model = convert(network("Electra"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prove(model, architecture_of(model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.dtype == torch.float32
