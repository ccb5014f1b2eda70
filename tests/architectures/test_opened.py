"""Open forms in conventional models: the same values within, the same modules afterwards, and what modes then see."""

import time
from collections.abc import Iterator

import pytest
import torch
from language_networks import IDS, KINDS, language_network, logits_and_embeddings
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from faithbench.architectures.activations import Activation, at_zero, is_activation, is_seen
from faithbench.architectures.forms import Gate, opened, openings
from faithbench.architectures.norms import Norm
from faithbench.architectures.products import factors
from faithbench.models.frozen import FrozenWeights

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
UNGATED = ("GPT2", "GPTNeo", "GPTNeoX", "GPTJ", "OpenAIGPT", "OPT", "Phi", "Bloom", "Falcon", "Starcoder2", "BioGpt")
SEEN = ("gelu", "gelu_pytorch_tanh", "relu", "silu", "swish")


class FailedError(Exception):
    """Ours alone."""


def forms(model: nn.Module) -> Iterator[nn.Module]:
    """The open forms in a model."""
    return (module for module in model.modules() if isinstance(module, (Activation, Gate, Norm)))


@EVERY_KIND
def test_values_within_are_those_outside_and_the_modules_come_back(kind):
    model = language_network(kind)
    modules, before = dict(model.named_modules()), model(IDS).logits
    with opened(model):
        torch.testing.assert_close(model(IDS).logits, before, rtol=1e-6, atol=1e-6)
        assert len(list(forms(model))) == len({id(opening.form) for opening in openings(model)})
    assert dict(model.named_modules()) == modules
    assert torch.equal(model(IDS).logits, before)
    assert list(forms(model)) == []


@EVERY_KIND
def test_activated_factors_of_products_are_gates(kind):
    model = language_network(kind)
    with opened(model):
        gates = [module for module in model.modules() if isinstance(module, Gate)]
    assert len(gates) == (0 if kind in UNGATED else 2)


@pytest.mark.parametrize("kind", ["Llama", "Mistral", "Gemma3Text", "Cohere", "StableLm", "Olmo", "Glm"])
def test_without_biases_the_frozen_model_is_complete_only_if_it_is_open(kind):
    """A conventional model without biases is piecewise linear in what B-cos freezes: then its sum is exact too."""
    model = language_network(kind)
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.LayerNorm)) and module.bias is not None:
            nn.init.zeros_(module.bias)
    assert gap(model) > 1e-3
    with opened(model):
        assert gap(model) < 1e-9


def gap(model: PreTrainedModel) -> float:
    """|value − Σ e·gradient| of a contrast, beside it."""
    with FrozenWeights():
        logits, embeddings = logits_and_embeddings(model)
    contrast = logits[7] - logits[31]
    (gradient,) = torch.autograd.grad(contrast, embeddings)
    return (1 - (embeddings * gradient).sum() / contrast).abs().item()


def test_the_modules_come_back_after_an_error():
    model = language_network("Llama")
    modules = dict(model.named_modules())
    with pytest.raises(FailedError), opened(model):
        raise FailedError
    assert dict(model.named_modules()) == modules


def test_within_and_within_again():
    model = language_network("Llama")
    with opened(model):
        with opened(model):
            assert len(list(forms(model))) == len(openings(model)) == 7
        assert len(list(forms(model))) == 7
    assert list(forms(model)) == []


def test_forms_have_the_very_parameters_even_new_ones():
    model = language_network("Llama")
    norm = model.model.layers[0].input_layernorm
    for _ in range(2):
        with opened(model):
            form = model.model.layers[0].input_layernorm
            assert form is not norm
            assert form.weight is norm.weight
        norm.weight = nn.Parameter(2 * norm.weight.detach())


def test_a_module_put_in_later_stays():
    model = language_network("Llama")
    openings(model)
    model.model.norm = nn.Identity()
    with opened(model):
        assert isinstance(model.model.norm, nn.Identity)
        assert len(list(forms(model))) == 6


def test_finding_them_disturbs_no_hook_and_asks_the_model_nothing():
    model, calls = language_network("Llama"), []
    for module in (model, model.model.layers[0], model.model.embed_tokens):
        module.register_forward_hook(lambda *_: calls.append(1))
    assert len(openings(model)) == 7
    assert calls == []
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_within_another_mode_the_same_are_found():
    model = language_network("Gemma2")
    with FrozenWeights(), torch.inference_mode():
        found = [(opening.parent, opening.child) for opening in openings(model)]
    expected = [(opening.parent, opening.child) for opening in openings(language_network("Gemma2"))]
    assert found == expected


def test_opening_costs_microseconds_a_module():
    model = language_network("Llama")
    openings(model)
    began = time.perf_counter()
    for _ in range(100):
        with opened(model):
            pass
    assert (time.perf_counter() - began) / 700 < 1e-3  # about 1e-5; other work on the machine is let be


@pytest.mark.parametrize("name", sorted(set(ACT2FN) - {"linear", "prelu", "xielu"}))
def test_activations_are_found_whatever_their_name(name):
    activation = ACT2FN[name]
    assert is_activation(activation)
    assert is_seen(activation) == (name in SEEN)
    assert at_zero(activation) == activation(torch.zeros((), dtype=torch.float64)).item()


@pytest.mark.parametrize(
    "module", [nn.Identity(), nn.Dropout(), nn.Softmax(-1), nn.Flatten(), nn.Linear(5, 5), nn.LayerNorm(5), nn.PReLU()]
)
def test_what_is_linear_or_mixes_or_has_parameters_is_no_activation(module):
    assert not is_activation(module)


def test_an_activation_times_a_parameter_is_no_product_of_signals():
    model = language_network("Bloom")

    class Scaled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner, self.scale = inner, nn.Parameter(torch.ones(1))

        def forward(self, states: Tensor) -> Tensor:
            return self.inner(states) * self.scale

    model.transformer.h[0].mlp.gelu_impl = Scaled(model.transformer.h[0].mlp.gelu_impl)
    assert factors(model) == set()


def test_a_model_that_does_not_run_on_ids_has_no_products():
    model = language_network("Llama")
    model.forward = None
    assert factors(model) == set()
