"""Models of whose neurons the largest go on, or a reconstruction: against a model that is computed by hand."""

import numpy as np
import pytest
import torch
from language_models import language_model, network
from networks import generic
from torch import nn

from faithbench.errors import UserError
from faithbench.neurons.sites import find_sites, overwritten, recorded
from faithbench.neurons.sparse import (
    SparseAutoencoder,
    TopK,
    has_reconstruction,
    with_change,
    with_largest,
    with_reconstruction,
)
from faithbench.training.thinning import thinned

IDS = torch.tensor([[3, 9, 4, 11, 6], [7, 7, 5, 8, 10]])


def perfect(units: int) -> SparseAutoencoder:
    """One that gives every activation as it is: two latents for each, of both signs."""
    sae = SparseAutoencoder(units, 2 * units)
    with torch.no_grad():
        for matrix in (sae.encoder, sae.decoder):
            matrix.copy_(torch.cat([torch.eye(units), -torch.eye(units)]))
    return sae


def activations(model, sites=None):
    with torch.inference_mode(), recorded(model, sites or find_sites(model)) as found:
        logits = model(input_ids=IDS).logits
    return list(found.values()), logits


def test_the_largest_of_each_token_survive():
    rows = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
    told = TopK(3)(rows)
    for before, after in zip(rows.reshape(-1, 7), told.reshape(-1, 7), strict=True):
        kept = np.argsort(before.numpy())[-3:]
        assert set(np.flatnonzero(after.numpy())) == set(kept)
        assert torch.equal(after[kept], before[kept])


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "OPT", "Bloom"])
def test_all_of_them_are_the_model_and_one_of_them_is_one_at_each_token(kind):
    model = network(kind)
    plain, logits = activations(model)
    units = plain[0].shape[-1]
    assert torch.equal(activations(thinned(model, units, ""))[1], logits)
    one, changed = activations(thinned(model, 1, ""))
    assert len(one) == len(plain) == 2
    for found in one:
        assert found.shape == plain[0].shape
        assert ((found != 0).sum(-1) == 1).all()
    assert torch.equal(one[0].amax(-1), plain[0].amax(-1))  # nothing before it has changed
    assert not torch.allclose(changed, logits)
    again, same = activations(model)
    assert torch.equal(same, logits)  # what was given is as it was
    assert all(torch.equal(*pair) for pair in zip(again, plain, strict=True))


@pytest.mark.parametrize("kind", ["Bert", "Albert"])
def test_classifiers_can_be_thinned_too(kind):
    classifier = generic(kind)
    sites = find_sites(classifier.model)
    told = thinned(classifier.model, 1, "")
    with torch.inference_mode(), recorded(told, find_sites(told)) as found:
        told(input_ids=IDS)
    assert len(found) == len(sites)
    assert all(int((value != 0).sum(-1).max()) <= 1 for value in found.values())


def test_more_than_there_are_is_refused():
    with pytest.raises(UserError, match="k=10000 is not allowed; it must be at most"):
        thinned(network("GPT2"), 10_000, "")


def test_a_site_is_thinned_once():
    with pytest.raises(UserError, match="a model is changed by a control of a kind once"):
        thinned(thinned(network("GPT2"), 4, ""), 2, "")


def test_only_the_site_that_is_named_is_thinned():
    model = network("GPT2")
    sites = find_sites(model)
    told = thinned(model, 1, sites[1].module.replace(".", r"\."))
    assert [site.module for site in find_sites(told)] == [sites[1].module]
    first, second = activations(told, sites)[0]
    assert torch.equal(first, activations(model)[0][0])
    assert ((second != 0).sum(-1) == 1).all()


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
def test_a_perfect_reconstruction_is_the_model_and_its_latents_are_neurons(kind):
    model = network(kind)
    (site, _), (plain, logits) = find_sites(model), activations(model)
    told = with_reconstruction(model, site, perfect(site.units))
    (latents,) = find_sites(told)
    assert latents.units == 2 * site.units
    assert latents.layer == site.layer
    assert latents.module.endswith("sae.act")
    (found,), same = activations(told)
    assert torch.allclose(same, logits, atol=1e-9)
    assert torch.equal(found, torch.cat([plain[0], -plain[0]], -1).relu())
    assert has_reconstruction(told)
    assert not has_reconstruction(model)


def test_a_latent_that_is_overwritten_changes_what_the_model_says_by_its_direction():
    model = network("GPT2")
    site = find_sites(model)[1]
    told = with_reconstruction(model, site, perfect(site.units))
    (latents,) = find_sites(told)
    plain = activations(model)[0][1]
    with overwritten(told, latents, 5, torch.full(IDS.shape, 2.5, dtype=torch.float64)), torch.inference_mode():
        by_latent = told(input_ids=IDS).logits
    wanted = torch.where(plain[..., 5] < 0, plain[..., 5] + 2.5, 2.5)
    with overwritten(model, site, 5, wanted), torch.inference_mode():
        by_neuron = model(input_ids=IDS).logits
    assert torch.allclose(by_latent, by_neuron, atol=1e-9)


def test_of_latents_too_only_the_largest_may_go_on():
    model = network("GPT2")
    site = find_sites(model)[0]
    told = thinned(with_reconstruction(model, site, perfect(site.units)), 2, "")
    (found,), _ = activations(told)
    assert found.shape[-1] == 2 * site.units
    assert int((found != 0).sum(-1).max()) == 2


class Doubled(nn.Module):
    """Twice what it is given."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * inputs


def test_what_a_layer_gives_beside_its_states_stays():
    model = network("GPT2")
    (site, _) = find_sites(model, r"h\.\d+$")
    with torch.inference_mode(), recorded(model, [site]) as before:
        model(input_ids=IDS)
    told = with_change(model, [site], "twice", Doubled())
    with torch.inference_mode(), recorded(told, [site]) as after:
        told(input_ids=IDS)
    assert torch.equal(after[site.name], 2 * before[site.name])


def test_fingerprints_tell_k_and_autoencoders_apart():
    classifier = language_model("GPT2")
    site = find_sites(classifier.model)[0]
    other = perfect(site.units)
    with torch.no_grad():
        other.bias[3] += 0.5
    networks = [
        classifier.model,
        *(with_largest(classifier.model, [site], k) for k in (3, 4)),
        *(with_reconstruction(classifier.model, site, sae) for sae in (perfect(site.units), other)),
    ]
    found = [classifier.remade(each).fingerprint() for each in networks]
    assert len(set(found)) == len(found)
    assert classifier.remade(networks[1]).fingerprint() == found[1]
    assert found[0] == classifier.fingerprint()


def test_gradients_go_through_what_is_left():
    model = thinned(network("GPT2"), 2, "")
    embeddings = model.get_input_embeddings()(IDS).detach().requires_grad_()
    logit = model(inputs_embeds=embeddings).logits[0, -1, 4]
    (gradient,) = torch.autograd.grad(logit, embeddings)
    step = 1e-6 * torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        moved = model(inputs_embeds=embeddings + step).logits[0, -1, 4]
    assert float(moved - logit.detach()) == pytest.approx(float((gradient * step).sum()), rel=1e-3)
