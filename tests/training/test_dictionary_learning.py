"""Sparse autoencoders: a known dictionary is found again, Adam is torch's, and a kill costs nothing."""

import pytest
import torch
from torch.nn.functional import normalize

from faithbench.training import dictionary_learning
from faithbench.training.dictionary_learning import DictionaryRecipe, share_of_rate, train_dictionary

INPUTS, ATOMS, TOKENS = 16, 24, 256
ATOM = normalize(torch.randn(ATOMS, INPUTS, generator=torch.Generator().manual_seed(7)), dim=1)
QUICK = DictionaryRecipe(latents=32, steps=24, l1=0.1, lr=5e-3)


def batch(step: int) -> torch.Tensor:
    """Sums of two of the atoms, each half to one and a half times."""
    generator = torch.Generator().manual_seed(1000 + step)
    is_active = torch.rand(TOKENS, ATOMS, generator=generator).argsort(1) < 2
    return 3 * (is_active * (0.5 + torch.rand(TOKENS, ATOMS, generator=generator))) @ ATOM


def test_the_dictionary_that_activations_are_made_of_is_found():
    sae = train_dictionary(batch, DictionaryRecipe(latents=2 * ATOMS, steps=500, l1=0.3, lr=5e-3))
    cosines = (ATOM @ sae.decoder.T).max(1).values
    assert cosines.mean() > 0.95
    assert torch.allclose(sae.decoder.norm(dim=1), torch.ones(2 * ATOMS), atol=1e-5)
    activations = batch(-1)
    code = sae.code(activations / sae.scale)
    assert (code > 0).sum(1).float().mean() < 6
    assert (activations - sae(activations)).square().sum() < 0.15 * activations.square().sum()


def test_a_higher_price_makes_codes_sparser():
    counts = []
    for l1 in (0.0, 0.1, 0.4):
        sae = train_dictionary(batch, DictionaryRecipe(32, 100, l1, 5e-3))
        counts.append(float((sae.code(batch(-1) / sae.scale) > 0).sum(1).float().mean()))
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0] / 2


def test_how_large_activations_are_does_not_matter():
    one = train_dictionary(batch, QUICK)
    other = train_dictionary(lambda step: 64 * batch(step), QUICK)
    assert other.scale == pytest.approx(64 * one.scale.item())
    assert torch.equal(one.decoder, other.decoder)
    assert torch.allclose(other(64 * batch(3)), 64 * one(batch(3)), rtol=1e-4, atol=1e-3)


def test_a_killed_training_ends_with_the_same_bits(tmp_path):
    whole = train_dictionary(batch, QUICK)
    asked = list[int]()

    def killed(step):
        asked.append(step)
        if step == 17:  # behind the first latents that began anew
            raise KeyboardInterrupt
        return batch(step)

    def noted(step):
        asked.append(step)
        return batch(step)

    with pytest.raises(KeyboardInterrupt):
        train_dictionary(killed, QUICK, tmp_path)
    asked.clear()
    continued = train_dictionary(noted, QUICK, tmp_path)
    assert asked[1] > 10  # the first says scale and centre
    for name, value in whole.state_dict().items():
        assert torch.equal(continued.state_dict()[name], value), name


def test_another_recipe_does_not_continue_it_and_a_torn_state_begins_again(tmp_path):
    whole = train_dictionary(batch, QUICK, tmp_path)
    (state,) = tmp_path.glob("*/*.safetensors")
    state.write_bytes(state.read_bytes()[:100])
    assert torch.equal(train_dictionary(batch, QUICK, tmp_path).decoder, whole.decoder)
    train_dictionary(batch, DictionaryRecipe(latents=32, steps=24, l1=0.2, lr=5e-3), tmp_path)
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 2


def test_steps_are_those_of_torchs_adam_where_directions_are_free_to_have_any_length():
    recipe = DictionaryRecipe(latents=8, steps=3, l1=0.1, lr=1e-3)
    sae = train_dictionary(batch, recipe)
    begun = train_dictionary(batch, DictionaryRecipe(latents=8, steps=0, l1=0.1))
    begun.requires_grad_(True)
    optimizer = torch.optim.Adam(begun.parameters(), lr=1.0)
    for step in range(3):
        optimizer.param_groups[0]["lr"] = recipe.lr * share_of_rate(step + 1, 3)
        optimizer.zero_grad()
        scaled = batch(step) / begun.scale
        latents = torch.relu(scaled @ begun.encoder.T - begun.center @ begun.encoder.T + begun.bias)
        missing = scaled - latents @ begun.decoder - begun.center
        ((missing**2).sum(1) + 0.1 * latents.sum(1)).mean().backward()
        along = (begun.decoder.grad * begun.decoder.detach()).sum(1, keepdim=True)
        begun.decoder.grad -= along * begun.decoder.detach()
        optimizer.step()
        with torch.no_grad():
            begun.decoder.copy_(begun.decoder / begun.decoder.norm(dim=1, keepdim=True))
    for name in ("encoder", "bias", "decoder", "center"):
        assert torch.allclose(getattr(sae, name), getattr(begun, name), atol=1e-6), name


def test_latents_that_never_fire_begin_anew(monkeypatch):
    recipe = DictionaryRecipe(latents=32, steps=80, l1=0.8, lr=0.02)  # a price that silences many

    def dead():
        sae = train_dictionary(batch, recipe)
        return int((sae.code(batch(-1) / sae.scale) == 0).all(0).sum())

    with_them = dead()
    monkeypatch.setattr(dictionary_learning, "ANEW", ())
    assert with_them < dead()


@pytest.mark.parametrize(("step", "share"), [(1, 0.5), (2, 1.0), (80, 1.0), (81, 1.0), (91, 0.5), (100, 0.05)])
def test_the_rate_rises_stays_and_falls(step, share):
    assert share_of_rate(step, 100) == pytest.approx(share)
