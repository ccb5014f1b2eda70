"""Where neurons are, in models of many types: the hidden units of MLPs, whatever modules are called."""

import networks
import pytest
import torch
from documents import white_box
from language_networks import KINDS, language_network
from transformers import T5Config, T5EncoderModel

from faithbench.bcos import convert
from faithbench.errors import UserError
from faithbench.neurons.sites import changed, find_sites, overwritten, recorded

SHARED = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output.input#{}"
IN_LAYERS = {  # what stands behind the name of a layer
    "GPT2": "transformer.h.{}.mlp.act",
    "GPTNeoX": "gpt_neox.layers.{}.mlp.act",
    "Llama": "model.layers.{}.mlp.down_proj.input",
    "Mistral": "model.layers.{}.mlp.down_proj.input",
    "Qwen2": "model.layers.{}.mlp.down_proj.input",
    "Qwen3": "model.layers.{}.mlp.down_proj.input",
    "Gemma": "model.layers.{}.mlp.down_proj.input",
    "Gemma2": "model.layers.{}.mlp.down_proj.input",
    "Gemma3Text": "model.layers.{}.mlp.down_proj.input",
    "OPT": "model.decoder.layers.{}.activation_fn",
    "Phi": "model.layers.{}.mlp.activation_fn",
    "Phi3": "model.layers.{}.mlp.down_proj.input",
    "Bloom": "transformer.h.{}.mlp.gelu_impl",
    "Falcon": "transformer.h.{}.mlp.act",
    "OpenAIGPT": "transformer.h.{}.mlp.c_proj.input",
}
IN_ENCODERS = {
    "Bert": "bert.encoder.layer.{}.intermediate.intermediate_act_fn",
    "Roberta": "roberta.encoder.layer.{}.intermediate.intermediate_act_fn",
    "DistilBert": "distilbert.transformer.layer.{}.ffn.activation",
    "Electra": "electra.encoder.layer.{}.intermediate.intermediate_act_fn",
    "Deberta": "deberta.encoder.layer.{}.intermediate.intermediate_act_fn",
    "DebertaV2": "deberta.encoder.layer.{}.intermediate.intermediate_act_fn",
    "ModernBert": "model.layers.{}.mlp.Wo.input",
    "MPNet": "mpnet.encoder.layer.{}.intermediate.intermediate_act_fn",
    "Albert": SHARED,
}


def equal_but_for_activations(model, form):
    """Names of the sites, which transformers may call otherwise in other versions, and their sizes."""
    sites = find_sites(model)
    assert [site.layer for site in sites] == list(range(len(sites)))
    assert [site.name for site in sites] == [form.format(layer) for layer in range(len(sites))]
    return {site.units for site in sites}


@pytest.mark.parametrize("kind", IN_LAYERS)
def test_sites_of_decoders(kind):
    model = language_network(kind)
    width = 48 if KINDS[kind].get("intermediate_size") or KINDS[kind].get("ffn_dim") else 128
    assert equal_but_for_activations(model, IN_LAYERS[kind]) == {width}


@pytest.mark.parametrize("kind", IN_ENCODERS)
def test_sites_of_encoders(kind):
    assert equal_but_for_activations(networks.network(kind), IN_ENCODERS[kind]) == {64}


def test_sites_of_an_encoder_of_t5():
    model = T5EncoderModel(T5Config(vocab_size=50, d_model=16, d_kv=4, d_ff=24, num_layers=2, num_heads=2))
    assert equal_but_for_activations(model, "encoder.block.{}.layer.1.DenseReluDense.act") == {24}


@pytest.mark.parametrize("kind", ["crate", "gpt-relu"])
def test_sites_of_white_boxes(kind):
    assert equal_but_for_activations(white_box(kind).model, "model.layers.{}.mlp.act") == {48}


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "GPT2", "Llama"])
def test_a_model_converted_to_b_cos_has_them_where_the_conventional_has(kind):
    model = networks.network(kind)
    before = [(site.name, site.units) for site in find_sites(model)]
    assert [(site.name, site.units) for site in find_sites(convert(model, 1.5))] == before


def test_a_size_that_only_the_configuration_knows_is_no_hindrance():
    model = language_network("GPT2")
    model.config.intermediate_size = 77
    assert [site.units for site in find_sites(model)] == [128, 128]


def test_a_pattern_names_what_modules_give_or_with_input_what_they_read():
    model = language_network("Llama")
    given = find_sites(model, r"layers\.1\.mlp\.(up|down)_proj")
    assert [(site.name, site.layer, site.units) for site in given] == [
        ("model.layers.1.mlp.up_proj", 1, 48),
        ("model.layers.1.mlp.down_proj", 1, 32),
    ]
    read = find_sites(model, r"mlp\.down_proj\.input$")
    assert [(site.name, site.layer, site.reads) for site in read] == [
        (f"model.layers.{layer}.mlp.down_proj.input", layer, True) for layer in (0, 1)
    ]
    assert [site.name for site in find_sites(model, "n$")][:1] == ["model.layers.0.self_attn"]
    assert [site.layer for site in find_sites(model, "embed_tokens|lm_head")] == [0, 1]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("mlp.akt", "is in the name of no module of BertForSequenceClassification; there are, for instance, bert."),
        ("(", "is no regular expression"),
        ("pooler", "gives [1, 32] numbers for one text of 5 tokens, and not [texts, tokens, units]"),
        ("encoder$", "gives no tensor"),
        (r"^bert\.encoder\.layer$", "takes no part when BertForSequenceClassification reads a text"),
        ("word_embeddings.input", "reads [1, 5] numbers"),
        ("position_embeddings$", "gives [1, 5, 32] numbers for two texts of 5 tokens"),
    ],
)
def test_patterns_that_name_no_neurons_are_refused_with_the_cure(pattern, words):
    with pytest.raises(UserError) as refusal:
        find_sites(networks.network("Bert"), pattern)
    assert words in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("kind", ["XLNet", "Funnel"])
def test_models_that_have_none_that_can_be_told_are_refused(kind):
    with pytest.raises(UserError, match="name the modules whose outputs are neurons with site="):
        find_sites(networks.network(kind))


@pytest.mark.parametrize("kind", ["Llama", "OPT", "Albert"])
def test_what_is_recorded_and_written_again_changes_nothing(kind):
    model = networks.network(kind) if kind == "Albert" else language_network(kind)
    ids = torch.tensor([[5, 9, 31, 7, 2], [8, 3, 4, 4, 2]])
    sites = find_sites(model)
    with recorded(model, sites) as found:
        logits = model(input_ids=ids).logits
    for site in sites:
        own = found[site.name].reshape(2, 5, -1)
        with overwritten(model, site, 3, own[..., 3]):
            assert torch.equal(model(input_ids=ids).logits, logits)
        nothing = torch.full((2, 5), torch.nan)
        with overwritten(model, site, 3, nothing):
            assert torch.equal(model(input_ids=ids).logits, logits)
        with overwritten(model, site, 3, own[..., 3] + 1), recorded(model, sites) as other:
            assert not torch.allclose(model(input_ids=ids).logits, logits)
        before = [each for each in sites if each.layer < site.layer]
        assert all(torch.equal(other[each.name], found[each.name]) for each in before)
    assert torch.equal(model(input_ids=ids).logits, logits)


def test_a_module_that_is_called_several_times_is_changed_in_the_call_that_is_meant():
    model, ids = networks.network("Albert"), torch.tensor([[5, 9, 31, 7, 2]])
    first, second = find_sites(model)
    seen = []
    with recorded(model, [first, second]) as found:
        model(input_ids=ids)
    with changed(model, {second: seen.append}):
        model(input_ids=ids)
        model(input_ids=ids)
    assert [torch.equal(units, found[second.name]) for units in seen] == [True, True]
    assert not torch.equal(found[first.name], found[second.name])
