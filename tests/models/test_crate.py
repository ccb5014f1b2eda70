"""Causal CRATE and its baseline: the formulas of arXiv 2410.16443, their sizes, and that they are proper models."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, StaticCache
from white_box import IDS, SMALL, crate, descended, gpt_relu, modules_of, slow_logits

from faithbench.bcos import convert
from faithbench.errors import UserError
from faithbench.models.crate import CrateConfig, CrateForCausalLM, CrateModel, GPTReluConfig
from faithbench.models.frozen import FrozenWeights
from faithbench.models.white_box_layers import Closing, Ista
from faithbench.neurons.sites import find_sites, recorded
from faithbench.plugins.naming import refer
from faithbench.training.language_backbones import make_network

EVERY = pytest.mark.parametrize(
    "made",
    [crate, gpt_relu, lambda *given: crate(*given, decode="decoupled"), lambda *given: crate(*given, residual=True)],
    ids=["crate", "gpt-relu", "decoupled", "residual"],
)
BOTH = pytest.mark.parametrize("made", [crate, gpt_relu])
MILLIONS = {  # without positions, as published; of crate-6l the paper prints 55.9
    "crate-1l": 6.54,
    "crate-2l": 6.64,
    "crate-3l": 6.74,
    "crate-6l": 59.9,
    "crate-12l": 81.2,
    "gpt-relu-1l": 6.64,
    "gpt-relu-2l": 6.83,
    "gpt-relu-3l": 7.03,
    "gpt-relu-6l": 81.1,
    "gpt-relu-12l": 123.6,
}


class Published:
    """A tokenizer of the published size."""

    bos_token_id = 0

    def __len__(self) -> int:
        return 50304


def logits_of(network, ids=IDS, **more):
    with torch.no_grad():
        return network(input_ids=ids, **more).logits


# The formulas


@EVERY
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_logits_are_those_of_a_slow_version_of_the_paper(made, attention):
    network = made(attention)
    with torch.no_grad():
        slow = torch.stack([slow_logits(network, row) for row in IDS.tolist()])
    assert network.config._attn_implementation == attention
    torch.testing.assert_close(logits_of(network), slow, rtol=1e-9, atol=1e-9)


def test_neurons_are_two_steps_of_projected_gradient_descent_on_the_lasso():
    network = crate()
    block, inputs = network.model.layers[0].mlp, torch.randn(7, 16, dtype=torch.float64)
    codes = block.code(inputs).detach()
    for x, found in zip(inputs, codes, strict=True):
        a = torch.zeros(24, dtype=torch.float64)
        for _ in range(2):
            a = descended(block.dictionary, x, a, 0.1, 0.1)
        torch.testing.assert_close(found, a, rtol=1e-12, atol=1e-12)
    assert (codes == 0).any()
    assert (codes > 0).any()


def test_without_attention_a_block_is_codes_of_the_norm_alone():
    network = crate(num_hidden_layers=1)
    layer = network.model.layers[0]
    for parameter in layer.attention.parameters():
        nn.init.zeros_(parameter)
    z = torch.randn(2, 5, 16, dtype=torch.float64)
    out, _ = layer(z, None, None)
    torch.testing.assert_close(out, layer.mlp.code(layer.mlp_norm(z)) @ layer.mlp.dictionary.T)


def test_the_sites_of_neurons_are_the_codes():
    network = crate()
    sites = find_sites(network)
    assert [site.name for site in sites] == ["model.layers.0.mlp.act", "model.layers.1.mlp.act"]
    with recorded(network, sites) as found:
        states = network.model(input_ids=IDS, output_hidden_states=True).hidden_states
    told = found["model.layers.0.mlp.act"]
    assert told.shape == (2, 6, 24)
    assert (told >= 0).all()
    torch.testing.assert_close(told @ network.model.layers[0].mlp.dictionary.T.detach(), states[1])


def test_a_second_dictionary_decodes_and_the_residual_is_an_added_state():
    one, two = crate(), crate(decode="decoupled")
    two.load_state_dict(one.state_dict(), strict=False)
    for block in modules_of(two, Ista):
        block.decoder.data.copy_(block.dictionary)
    assert torch.equal(logits_of(one), logits_of(two))
    for block in modules_of(two, Ista):
        block.decoder.data.zero_()
    assert float(logits_of(two).std(1).max()) < 1e-12  # nothing is left of the text
    skipping = crate(residual=True)
    for block in modules_of(skipping, Ista):
        block.dictionary.data.zero_()
    assert float(logits_of(skipping).std(1).max()) > 0.1


@EVERY
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_what_comes_after_changes_nothing(made, attention):
    network = made(attention)
    before = logits_of(network)
    for place in range(1, 6):
        changed = IDS.clone()
        changed[:, place:] = (changed[:, place:] + 11) % 40
        after = logits_of(network, changed)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=1e-12)
        assert not torch.allclose(after[:, place], before[:, place], atol=1e-3)


# Sizes and initialisation


@pytest.mark.parametrize("name", MILLIONS)
def test_parameters_are_as_many_as_published(name):
    zoo = refer(name).component.object
    with torch.device("meta"):
        network = make_network(zoo, Published())
    positions = network.model.embed_positions.weight
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    count = sum(parameter.numel() for parameter in network.parameters()) - positions.numel()
    d, layers, vocabulary = zoo.width, zoo.layers, 50304
    if name.startswith("crate"):
        assert count == vocabulary * d + layers * (6 * d * d + 5 * d) + 2 * d
    else:
        assert count == vocabulary * d + layers * (12 * d * d + 2 * d) + d
    assert count / 1e6 == pytest.approx(MILLIONS[name], abs=0.06 if count > 1e7 else 0.006)
    assert positions.shape == (zoo.context, d)


def test_weights_begin_as_the_paper_says():
    torch.manual_seed(0)
    network = CrateForCausalLM(CrateConfig(vocab_size=2000, num_hidden_layers=4, decode="decoupled")).eval()
    for layer in network.model.layers:
        assert layer.attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert layer.attention.out.weight.std().item() == pytest.approx(0.02 / math.sqrt(8), rel=0.03)
        for dictionary in (layer.mlp.dictionary, layer.mlp.decoder):
            assert math.sqrt(6 / 128) * 0.999 < dictionary.abs().max().item() <= math.sqrt(6 / 128)
            assert dictionary.std().item() == pytest.approx(math.sqrt(2 / 128), rel=0.01)
        assert layer.attention.qkv.bias is None
        assert not layer.attention.out.bias.any()
    for embedding in (network.model.embed_tokens, network.model.embed_positions):
        assert embedding.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert all(bool((norm.weight == 1).all()) and not norm.bias.any() for norm in modules_of(network, nn.LayerNorm))


def test_ends_of_both_halves_of_the_baseline_begin_narrow():
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(GPTReluConfig(vocab_size=2000, num_hidden_layers=4))
    ends = modules_of(network, Closing)
    assert len(ends) == 8
    assert all(end.weight.std().item() == pytest.approx(0.02 / math.sqrt(8), rel=0.03) for end in ends)
    assert network.model.layers[0].mlp.expand.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert not any("bias" in name for name, _ in network.named_parameters())


def test_before_training_half_of_the_neurons_are_active_and_the_steps_are_shorter_than_they_may_be():
    torch.manual_seed(1)
    network = CrateForCausalLM(CrateConfig(vocab_size=2000)).eval()
    sites, ids = find_sites(network), torch.randint(2000, (4, 256))
    with torch.no_grad(), recorded(network, sites) as found:
        network(input_ids=ids)
    norms = [torch.linalg.matrix_norm(block.dictionary, 2).item() ** 2 for block in modules_of(network, Ista)]
    assert norms == pytest.approx([17.6, 17.6], abs=0.6)  # (√d + √4d)² · 2/d = 18 where d is large
    densities = [float((found[site.name] > 0).double().mean()) for site in sites]
    assert densities == pytest.approx([0.495, 0.495], abs=0.01)


def test_gradients_reach_every_parameter_and_the_dictionary_by_all_three_ways():
    network = crate(decode="decoupled", vocab_size=8)
    network(input_ids=IDS % 8).logits.log_softmax(-1)[..., 3].sum().backward()
    assert all(bool(parameter.grad.any()) for parameter in network.parameters())
    block = crate().model.layers[0].mlp
    x = torch.randn(3, 16, dtype=torch.float64)
    block.dictionary = nn.Parameter(block.dictionary.detach() / 4)  # away from the kinks
    assert torch.autograd.gradcheck(
        lambda dictionary: torch.func.functional_call(block, {"dictionary": dictionary}, (x,)),
        (block.dictionary.detach().clone().requires_grad_(),),
    )


# As models of transformers


@BOTH
@pytest.mark.parametrize("auto", [AutoModelForCausalLM, AutoModel])
def test_what_is_saved_is_loaded(made, auto, tmp_path):
    network = made().float()
    network.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    loaded = auto.from_pretrained(tmp_path).eval()
    found = loaded(input_ids=IDS).last_hidden_state if auto is AutoModel else loaded.model(input_ids=IDS)[0]
    assert torch.equal(found, network.model(input_ids=IDS).last_hidden_state)
    ours, theirs = AutoConfig.from_pretrained(tmp_path).to_dict(), network.config.to_dict()
    assert {name: ours[name] for name in SMALL} == {name: theirs[name] for name in SMALL}
    if auto is AutoModelForCausalLM:
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


def test_switches_are_saved(tmp_path):
    network = crate(decode="decoupled", residual=True, step_size=0.2, sparsity=0.05)
    network.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64).eval()
    assert (loaded.config.step_size, loaded.config.sparsity) == (0.2, 0.05)
    assert torch.equal(logits_of(loaded), logits_of(network))


@pytest.mark.slow
def test_a_fresh_process_that_reads_folders_knows_the_models(tmp_path):
    crate().float().save_pretrained(tmp_path)
    code = (
        "import sys, faithbench.training.declared, transformers; transformers.AutoConfig.from_pretrained(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)


@EVERY
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("more", [{}, {"num_beams": 3}, {"cache_implementation": "static"}])
def test_generation_with_and_without_a_cache_is_the_same(made, attention, more):
    network = made(attention)
    network.model.embed_positions.weight.data.mul_(4)  # so that not all tokens are the same
    asked = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "output_logits": True}
    asked |= {"return_dict_in_generate": True, "num_beams": more.get("num_beams", 1)}
    cached, plain = network.generate(IDS, **asked | more), network.generate(IDS, use_cache=False, **asked)
    assert torch.equal(cached.sequences, plain.sequences)
    assert len(set(cached.sequences[0, 6:].tolist())) > 1
    torch.testing.assert_close(torch.stack(cached.logits), torch.stack(plain.logits))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_cache_with_room_for_more_is_read_as_far_as_it_is_full(attention, masked):
    network = crate(attention)
    cache, parts = StaticCache(config=network.config, max_cache_len=12), []
    for start, end in ((0, 3), (3, 5), (5, 6)):
        mask = torch.ones(2, end, dtype=torch.long) if masked else None
        parts.append(logits_of(network, IDS[:, start:end], past_key_values=cache, attention_mask=mask))
    torch.testing.assert_close(torch.cat(parts, dim=1), logits_of(network))


@EVERY
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_padding_on_either_side_and_hidden_tokens_change_nothing(made, attention):
    network, whole = made(attention), logits_of(made(attention), IDS[:1, :4])
    right = torch.tensor([[1, 1, 1, 1, 0, 0]])
    torch.testing.assert_close(logits_of(network, IDS[:1], attention_mask=right)[:, :4], whole)
    left = torch.cat([torch.tensor([[7, 7]]), IDS[:1, :4]], dim=1)
    places = torch.tensor([[0, 0, 0, 1, 2, 3]])
    found = logits_of(network, left, attention_mask=right.flip(1), position_ids=places)
    torch.testing.assert_close(found[:, 2:], whole)
    assert torch.isfinite(found).all()
    holed = torch.tensor([[1, 1, 0, 1, 1, 1]])
    other = IDS[:1].clone()
    other[:, 2] = 20
    one, two = (logits_of(network, ids, attention_mask=holed)[:, 3:] for ids in (IDS[:1], other))
    assert torch.equal(one, two)
    assert not torch.allclose(one, logits_of(network)[:1, 3:])


@BOTH
def test_texts_of_a_batch_padded_on_the_left_go_on_as_alone(made):
    network = made()
    rows = torch.cat([torch.tensor([[0, 0]]), IDS[:1, :4]], dim=1)
    batch = torch.cat([rows, IDS[1:]])
    mask = torch.ones_like(batch)
    mask[0, :2] = 0
    asked = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    together = network.generate(batch, attention_mask=mask, **asked)[:, 6:]
    assert torch.equal(together[:1], network.generate(IDS[:1, :4], **asked)[:, 4:])
    assert torch.equal(together[1:], network.generate(IDS[1:], **asked)[:, 6:])


@EVERY
def test_embeddings_stand_for_ids_and_not_beside_them(made):
    network = made()
    embeddings = network.get_input_embeddings()(IDS)
    with torch.no_grad():
        assert torch.equal(network(inputs_embeds=embeddings).logits, logits_of(network))
    for wrong in ({}, {"input_ids": IDS, "inputs_embeds": embeddings}):
        with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
            network(**wrong)


@EVERY
def test_other_precisions_compute_the_same_coarsely(made):
    network = made()
    exact = logits_of(network)
    for kind, share in ((torch.float32, 1e-5), (torch.bfloat16, 0.1)):
        found = logits_of(network.to(kind))
        assert found.dtype == kind
        assert float((found.double() - exact).abs().max()) < share * float(exact.abs().max())


@EVERY
def test_attention_and_states_are_shown_where_they_are_asked_for(made):
    network = made("eager")
    shown = network(input_ids=IDS, output_attentions=True, output_hidden_states=True)
    assert [each.shape for each in shown.attentions] == [(2, 4, 6, 6)] * 2
    sums = torch.stack(shown.attentions).sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    assert not any(each.triu(1).any() for each in shown.attentions)
    assert len(shown.hidden_states) == 3
    assert torch.equal(network.lm_head(shown.hidden_states[-1]), shown.logits)
    assert network(input_ids=IDS).attentions is None


@BOTH
def test_the_loss_is_that_of_the_next_token_and_fewer_logits_may_be_kept(made):
    network = made()
    found, logits = network(input_ids=IDS, labels=IDS).loss, logits_of(network)
    wanted = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(logits_of(network, logits_to_keep=2), logits[:, -2:])


@BOTH
def test_gradient_checkpointing_is_not_claimed(made):
    assert not made().supports_gradient_checkpointing


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"decode": "both"}, "decode='both' is not allowed; use shared or decoupled."),
        ({"num_attention_heads": 3}, "num_attention_heads=3 is not allowed with hidden_size=16; it must divide it."),
        ({"num_attention_heads": 0}, "num_attention_heads=0 is not allowed"),
    ],
)
def test_what_cannot_be_is_one_sentence(options, sentence):
    with pytest.raises(ValueError, match="is not allowed") as error:
        CrateConfig(**{**SMALL, **options})
    assert sentence in str(error.value)


# Under frozen weights, as the `bcos` explainer has them


def frozen_gap(network):
    """The logit without Σ e·gradient."""
    embeddings = network.get_input_embeddings()(IDS[:1]).detach() + network.model.embed_positions.weight[:6].detach()
    network.model.embed_positions.weight.data.zero_()
    embeddings.requires_grad_()
    with FrozenWeights():
        logit = network(inputs_embeds=embeddings).logits[0, -1, 3]
    (gradient,) = torch.autograd.grad(logit, embeddings)
    return float((logit - (embeddings * gradient).sum()).detach())


def test_frozen_weights_are_complete_up_to_thresholds_and_biases():
    assert abs(frozen_gap(gpt_relu())) < 1e-9  # which has neither
    assert abs(frozen_gap(crate())) > 1e-3
    network = crate(sparsity=0.0)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    assert abs(frozen_gap(network)) < 1e-9


def test_the_baseline_has_a_bcos_form_and_crate_none():
    network = convert(gpt_relu(), 1.1)
    assert abs(frozen_gap(network)) < 1e-9
    with pytest.raises(UserError, match=r"'model\.layers\.0\.mlp' \(Ista\) has no B-cos form"):
        convert(crate(), 1.1)


def test_a_body_is_the_same_without_its_output_layer():
    network = crate()
    body = CrateModel(network.config).double().eval()
    body.load_state_dict(network.model.state_dict())
    assert torch.equal(body(input_ids=IDS).last_hidden_state, network.model(input_ids=IDS).last_hidden_state)
