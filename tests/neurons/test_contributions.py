"""Contributions of neurons to logits sum to the logit, and a neuron that is overwritten is, and nothing else."""

import pytest
import torch
from next_token import language_model
from white_box import IDS, crate, gpt_relu

from faithbench.errors import UserError
from faithbench.neurons.contributions import contributions, effect, steered

OUTPUTS = (3, 0, 39)
LAST = "model.layers.1.mlp.act"
EVERY = pytest.mark.parametrize(
    "made",
    [crate, gpt_relu, lambda: crate(decode="decoupled"), lambda: crate(residual=True)],
    ids=["crate", "gpt-relu", "decoupled", "residual"],
)


def logits_of(network, ids=IDS):
    with torch.no_grad():
        return network(input_ids=ids).logits


@EVERY
@pytest.mark.parametrize(("kind", "near"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_contributions_sum_to_the_models_own_logits(made, kind, near):
    network = made().to(kind)
    found = contributions(network, IDS, OUTPUTS)
    total = found.neurons.sum(-1) + found.rest + found.constant
    torch.testing.assert_close(total, logits_of(network)[..., OUTPUTS], rtol=0, atol=near)
    assert float(found.gap.abs().max()) < near
    assert found.site == LAST
    assert found.neurons.shape == (2, 6, 3, 24)


@pytest.mark.parametrize("options", [{}, {"decode": "decoupled"}])
def test_in_crate_nothing_comes_past_the_neurons(options):
    found = contributions(crate(**options), IDS, OUTPUTS)
    assert float(found.rest.abs().max()) < 1e-12
    assert bool((found.neurons[found.activations[:, :, None].expand_as(found.neurons) == 0] == 0).all())


@pytest.mark.parametrize("made", [gpt_relu, lambda: crate(residual=True)])
def test_with_a_residual_connection_the_rest_is_said(made):
    network = made()
    found = contributions(network, IDS, OUTPUTS)
    assert float(found.rest.abs().min()) > 1e-6
    stream = {}
    layer = network.model.layers[-1]
    with layer.mlp_norm.register_forward_pre_hook(lambda module, inputs: stream.update(r=inputs[0])):
        logits_of(network)
    r, (z,) = stream["r"], [stream["r"] + layer.mlp(layer.mlp_norm(stream["r"]))]
    sigma = (z.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    normed = (r - r.mean(-1, keepdim=True)) / sigma * network.model.norm.weight
    torch.testing.assert_close(found.rest, (normed @ network.lm_head.weight[list(OUTPUTS)].T).detach())


def test_a_neurons_contribution_is_the_derivative_with_the_norm_held_times_its_activation():
    network = crate()
    found = contributions(network, IDS, OUTPUTS)
    weights = (network.model.layers[-1].mlp.dictionary, network.model.norm.weight, network.lm_head.weight)
    d, g, e = (weight.detach() for weight in weights)
    z = found.activations @ d.T
    sigma = (z.var(-1, unbiased=False) + 1e-5).sqrt()
    for j in (0, 7):
        one = (g * e[39]) @ (d[:, j] - d[:, j].mean()) * found.activations[1, 4, j] / sigma[1, 4]
        assert float(found.neurons[1, 4, 2, j]) == pytest.approx(float(one), abs=1e-12)
    assert float(found.constant[0]) == pytest.approx(float(e[3] @ network.model.norm.bias.detach()))


def test_padding_changes_no_contribution():
    network, mask = crate(), torch.tensor([[1, 1, 1, 1, 0, 0]])
    padded = contributions(network, IDS[:1], OUTPUTS, mask)
    alone = contributions(network, IDS[:1, :4], OUTPUTS)
    torch.testing.assert_close(padded.neurons[:, :4], alone.neurons)


@EVERY
@pytest.mark.parametrize("layer", [0, 1])
def test_a_neurons_own_activations_change_nothing_at_all(made, layer):
    network, unit = made(), f"model.layers.{layer}.mlp.act"
    kept = []
    with network.get_submodule(unit).register_forward_hook(lambda module, inputs, output: kept.append(output)):
        logits_of(network)
    assert bool((effect(network, IDS, f"{unit}:5", kept[0][..., 5]) == 0).all())


def test_a_neuron_of_the_last_block_moves_the_state_along_its_direction():
    network = crate()
    found, d = contributions(network, IDS, OUTPUTS), network.model.layers[-1].mlp.dictionary
    z = found.activations @ d.T
    moved = z + (2.5 - found.activations[..., 7:8]) * d[:, 7]
    wanted = network.lm_head(network.model.norm(moved)) - network.lm_head(network.model.norm(z))
    torch.testing.assert_close(effect(network, IDS, f"{LAST}:7", 2.5), wanted.detach(), rtol=1e-9, atol=1e-9)


def test_of_an_earlier_block_only_what_comes_after_a_changed_token_changes():
    network, unit = crate(), "model.layers.0.mlp.act:3"
    kept = []
    with network.model.layers[0].mlp.act.register_forward_hook(lambda module, inputs, output: kept.append(output)):
        logits_of(network)
    values = kept[0][..., 3].clone()
    values[:, 4] += 1.0
    found = effect(network, IDS, unit, values)
    assert not found[:, :4].any()
    assert bool((found[:, 4:].abs().amax(-1) > 1e-6).all())


def test_a_steered_model_generates_and_is_left_as_it_was():
    network = crate()
    before = logits_of(network)
    asked = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "output_logits": True}
    asked["return_dict_in_generate"] = True
    with steered(network, f"{LAST}:7", 3.0):
        said = network.generate(IDS, **asked)
        again = logits_of(network, said.sequences[:, :-1])
    torch.testing.assert_close(torch.stack(said.logits, dim=1), again[:, -5:].float())  # as generate keeps them
    assert not torch.allclose(again[:, :6], before)
    assert torch.equal(logits_of(network), before)


def test_other_models_are_steered_too():
    network = language_model("gpt2").model
    ids = torch.tensor([[5, 9, 3]])
    found = effect(network, ids, "transformer.h.1.mlp.act:2", 1.0)
    assert found.shape == (1, 3, network.config.vocab_size)
    assert found.any()
    assert torch.equal(effect(network, ids, "transformer.h.1.mlp.c_proj.input:2", 1.0), found)


def test_what_cannot_be_said_is_one_sentence():
    with pytest.raises(UserError, match="GPT2LMHeadModel is no white box"):
        contributions(language_model("gpt2").model, IDS, OUTPUTS)
    with pytest.raises(UserError, match="outputs has 40, and the model's tokens are 0 to 39"):
        contributions(crate(), IDS, (3, 40))


@pytest.mark.parametrize("unit", ["", "7", f"{LAST}", f"{LAST}:x", f"{LAST}:-1", f"{LAST}:24", "model.nothing:3"])
def test_what_is_no_neuron_is_one_sentence(unit):
    with pytest.raises(UserError) as error:
        effect(crate(), IDS, unit, 0.0)
    assert len(str(error.value)) < 400
