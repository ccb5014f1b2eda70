"""B-cos conversion of any encoder: complete, which is proved when it is converted; the rest is refused by name."""

import networks
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from builders import all_answers, tiny_network
from faithbench_explainers.bcos import Bcos
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.deberta.modeling_deberta import DebertaLayerNorm
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

from faithbench.architectures.finding import architecture_of
from faithbench.architectures.forms import Gate, exact_form
from faithbench.architectures.heads import FirstToken, FirstTokenHead
from faithbench.architectures.norms import Norm
from faithbench.bcos import convert
from faithbench.bcos.modules import BcosLinear
from faithbench.bcos.proof import prove
from faithbench.errors import UserError
from faithbench.models import frozen
from faithbench.models.frozen import FrozenWeights
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.questions import Row
from faithbench.training.checkpoint import load
from faithbench.types import Example

CONVERTIBLE = (
    "Albert BigBird Camembert Deberta DebertaV2 Electra Ernie Esm EuroBert FNet Longformer MPNet MobileBert ModernBert "
    "RemBert RoFormer XLMRoberta"
).split()
OPTIONS = {"Longformer": {"attention_window": [16, 16]}, "BigBird": {"attention_type": "original_full"}}
EVERY_ENCODER = pytest.mark.parametrize("kind", CONVERTIBLE)


def network(kind: str, **options: object) -> PreTrainedModel:
    """A tiny random classifier of three classes in float32."""
    return networks.network(kind, num_labels=3, **OPTIONS.get(kind, {}), **options).float()


def gaps(kind: str, model: PreTrainedModel) -> list[float]:
    """|logit − Σ scores| beside the larger of logit and largest score, for a batch of unequal lengths."""
    classifier = HuggingFaceClassifier(model, networks.tokenizer(kind), dtype=torch.float64)
    texts = [classifier.encode(Example(str(n), sentence, None)) for n, sentence in enumerate(networks.SENTENCES)]
    assert len({len(text) for text in texts}) > 1
    found = all_answers(classifier, [Bcos()(text, target) for target, text in enumerate(texts)])
    logits = [classifier.logits([Row(text.ids)])[0, target] for target, text in enumerate(texts)]
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
    assert max(gaps(kind, convert(network(kind)))) < 1e-9


@pytest.mark.parametrize("b", [1.0, 2.5])
@pytest.mark.parametrize("kind", ["Electra", "ModernBert"])
def test_scores_sum_to_the_logit_for_other_exponents(kind, b):
    assert max(gaps(kind, convert(network(kind), b=b, qkv=True))) < 1e-9


@EVERY_ENCODER
def test_only_projections_and_what_comes_before_the_layers_stay_plain(kind):
    converted = convert(network(kind))
    plain = {name.rpartition(".")[2] for name in linears(converted)}
    projections = {"query", "key", "value", "q", "k", "v", "q_proj", "k_proj", "v_proj", "Wqkv"}
    relative = {
        "in_proj",
        "pos_proj",
        "pos_q_proj",
        "pos_query_proj",
        "pos_key_proj",
        "query_proj",
        "key_proj",
        "value_proj",
    }
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


@pytest.mark.parametrize("kind", ["Albert", "Deberta", "Electra", "Longformer", "MobileBert", "MPNet", "RemBert"])
def test_norms_before_the_first_layer_lose_their_bias_unless_told(kind):
    before = {"embeddings_project", "embedding_hidden_mapping_in", "embedding_transformation"}
    biased = [name for name, _ in convert(network(kind)).named_parameters() if name.endswith("bias")]
    assert {name.split(".")[-2] for name in biased} <= before
    kept = [name for name, _ in convert(network(kind), embedding_bias=True).named_parameters() if name.endswith("bias")]
    assert any("norm" in name.lower() for name in kept)


@pytest.mark.parametrize("kind", ["Camembert", "Esm", "Longformer", "MPNet", "XLMRoberta"])
def test_tanh_inside_a_head_is_gone(kind):
    converted, states = convert(network(kind)).double().eval(), torch.randn(2, 3, networks.WIDTH, dtype=torch.float64)
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
    assert max(gaps("Albert", converted)) < 1e-9


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
    states = torch.randn(networks.WIDTH, dtype=torch.float64, requires_grad=True)
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
    gained = exact_form(gemma)
    assert isinstance(gained, Norm)
    assert gained.weight is gemma.weight
    torch.testing.assert_close(gained(states), gemma(states))
    bent = GemmaRMSNorm(8)
    bent.register_forward_hook(lambda module, args, output: output.sin())
    assert exact_form(bent) is None
    assert exact_form(nn.LayerNorm(8)) is None


# What is refused


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("XLNet", r"'transformer\.layer\.0\.rel_attn' \(XLNetRelativeAttention\) .*: it has weights of its own"),
        ("ConvBert", r"'convbert\.encoder\.layer\.0\.\S*\.depthwise' \(Conv1d\)"),
        ("Nystromformer", r"'nystromformer\.encoder\.layer\.0\.attention\.self\.conv' \(Conv2d\)"),
        ("Funnel", r"'funnel\.encoder\.blocks\.0\.0\.attention' \(FunnelRelMultiheadAttention\)"),
        ("SqueezeBert", r"'transformer\.encoder\.layers\.0\.attention\.query' \(Conv1d\)"),
        ("Bart", r"'model\.decoder\.layers\.0' \(BartDecoderLayer\)"),
        ("T5", r"'transformer\.decoder\.\S*' \(T5LayerCrossAttention\)"),
        ("XLM", r"XLMForSequenceClassification .* of the first layer \(MultiHeadAttention\) alone"),
    ],
)
def test_what_has_no_bcos_form_is_named(kind, message):
    with pytest.raises(UserError, match=message):
        convert(network(kind))


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
    model.get_submodule(name).bias = nn.Parameter(torch.zeros(networks.WIDTH))
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
    attention.v_bias = nn.Parameter(torch.zeros(networks.WIDTH))
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
