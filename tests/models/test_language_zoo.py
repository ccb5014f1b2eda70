"""Named language models: what their names say, and what cannot be."""

import pytest
import torch
from transformers import GPT2LMHeadModel, LlamaForCausalLM

from faithbench.errors import UserError
from faithbench.models.language_zoo import (
    BcosGPT2,
    BcosLlama,
    BcosLlamaTiny,
    ConvGPT2,
    ConvGPT2Tiny,
    ConvLlama,
    ConvLlamaTiny,
    LanguageModel,
)
from faithbench.models.zoo import conventional, is_tiny, zoo_model
from faithbench.plan import Plan, Training
from faithbench.plugins.naming import build_dataset, refer
from faithbench.running.usual import usual_explainers
from faithbench.training.language_backbones import make_network
from faithbench.training.settings import complete_training, start_of, with_precision

NAMES = [
    f"{kind}-{family}{size}" for kind in ("conv", "bcos") for family in ("gpt2", "llama") for size in ("", "-tiny")
]


class Tokens:
    """A tokenizer of 8,192 pieces."""

    bos_token_id = 0

    def __len__(self) -> int:
        return 8192


@pytest.mark.parametrize("name", NAMES)
def test_every_named_model_is_one_of_the_zoo(name):
    ref = refer(name)
    named = zoo_model(ref)
    assert isinstance(named.object, LanguageModel)
    assert is_tiny(ref) == name.endswith("tiny")
    assert conventional(ref) is ref  # a language model judges no documents
    assert refer(ref.spec).identity == ref.identity


@pytest.mark.parametrize(
    ("zoo", "kind", "millions"),
    [(ConvGPT2(), GPT2LMHeadModel, 6.9), (ConvLlama(), LlamaForCausalLM, 6.5)],
)
def test_sizes_are_those_that_are_said(zoo, kind, millions):
    network = make_network(zoo, Tokens())
    assert isinstance(network, kind)
    assert sum(each.numel() for each in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight


def test_every_field_of_size_counts():
    config = make_network(ConvLlamaTiny(3, 32, 8, 40, 16, kv_heads=2), Tokens()).config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 32, 8)
    assert (config.intermediate_size, config.max_position_embeddings, config.num_key_value_heads) == (40, 16, 2)
    config = make_network(ConvGPT2Tiny(3, 32, 8, 40, 16), Tokens()).config
    assert (config.n_layer, config.n_embd, config.n_head, config.n_inner, config.n_positions) == (3, 32, 8, 40, 16)


def test_the_seed_draws_the_weights():
    one, same, other = (make_network(ConvGPT2Tiny(seed=seed), Tokens()).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_bcos_model_starts_from_the_conventional_one_of_its_fields():
    started = start_of(refer("bcos-llama-tiny(layers=3, b=2.0, data='imdb', seed=1)").component)
    assert started.label == "conv-llama-tiny(layers=3, data=imdb, seed=1)"
    assert start_of(refer("bcos-gpt2(start=scratch)").component) is None
    assert start_of(refer("bcos-gpt2(start='conv-gpt2-tiny(seed=3)')").component).label == "conv-gpt2-tiny(seed=3)"
    assert start_of(refer("bcos-gpt2(start='owner/name')").component) == "owner/name"
    assert start_of(refer("bcos-gpt2(start=gpt2)").component) == "gpt2"
    assert start_of(refer("conv-gpt2").component) is None


@pytest.mark.parametrize(
    ("model", "asked", "wanted"),
    [
        ("conv-gpt2", Training(), (1, 3e-3)),
        ("conv-llama-tiny", Training(), (2, 3e-3)),
        ("bcos-llama-tiny", Training(), (1, 5e-4)),
        ("bcos-gpt2(start=scratch)", Training(), (1, 3e-3)),
        ("bcos-gpt2(start='owner/name')", Training(), (1, 5e-4)),
        ("conv-gpt2-tiny(epochs=7)", Training(epochs=3, lr=0.1), (7, 0.1)),
        ("conv-gpt2-tiny", Training(epochs=3), (3, 3e-3)),
    ],
)
def test_settings_that_nobody_says(model, asked, wanted):
    told = complete_training(refer(model).component, build_dataset("planted-grammar"), asked)
    assert (told.epochs, told.lr) == wanted


@pytest.mark.parametrize(
    ("model", "asked", "on_cpu", "on_gpu"),
    [
        ("conv-gpt2", {}, "float32", "bf16"),
        ("bcos-llama-tiny", {}, "float32", "bf16"),
        ("conv-gpt2", {"precision": "float32"}, "float32", "float32"),
        ("conv-gpt2", {"precision": "bf16"}, "bf16", "bf16"),
        ("conv-tiny", {}, "float32", "float32"),  # a classifier
        ("bcos-minilm", {"precision": "bf16"}, "bf16", "bf16"),
    ],
)
def test_a_gpu_with_bfloat16_trains_language_models_in_it_unless_another_precision_is_asked_for(
    model, asked, on_cpu, on_gpu
):
    settings = complete_training(refer(model).component, build_dataset("planted"), Training(**asked))
    assert [with_precision(settings, able).precision for able in (False, True)] == [on_cpu, on_gpu]


def test_tiny_language_models_are_explained_by_all_explainers():
    assert usual_explainers(Plan(("planted-grammar",), ("conv-gpt2-tiny",))).explainers == ()
    assert usual_explainers(Plan(("planted-grammar",), ("conv-gpt2",))).explainers


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (ConvGPT2, {"layers": 0}, "layers=0 is not allowed; it must be at least 1."),
        (ConvGPT2, {"tokens": -1}, "tokens=-1 is not allowed; it must be at least 0."),
        (ConvGPT2, {"tokens": 1}, "tokens=1 is not allowed; nothing follows one token"),
        (ConvGPT2, {"seed": -1}, "seed=-1 is not allowed; it must be a whole number from 0 to 4,294,967,295."),
        (ConvGPT2, {"seed": 2**64}, "it must be a whole number from 0 to 4,294,967,295."),
        (ConvGPT2, {"width": 10**7, "heads": 1}, "a model here has at most 10,000,000,000 numbers"),
        (ConvGPT2, {"context": 10**9}, "a model here has at most 10,000,000,000 numbers"),
        (ConvLlama, {"layers": 1001}, "in at most 1,000 layers."),
        (ConvGPT2, {"context": 1}, "context=1 is not allowed; it must be at least 2."),
        (ConvGPT2, {"heads": 7}, "heads=7 is not allowed with width=256; it must be a divisor of it."),
        (ConvLlama, {"kv_heads": 3}, "kv_heads=3 is not allowed with heads=8; it must be a divisor of it."),
        (ConvLlama, {"width": 24, "heads": 8}, "a head of Llama must be of even width"),
        (ConvGPT2, {"vocabulary": 256}, "vocabulary=256 is not allowed; with pieces=bpe it must be at least 257."),
        (ConvGPT2Tiny, {"vocabulary": 2}, "with pieces=words it must be at least 3."),
        (ConvGPT2, {"optimizer": "sgd"}, "optimizer='sgd' is not allowed; use adamw or adafactor."),
        (
            ConvGPT2,
            {"schedule": "constant"},
            "schedule='constant' is not allowed; use linear or cosine or cosine_with_min_lr.",
        ),
        (ConvGPT2, {"pieces": "letters"}, "pieces='letters' is not allowed; use bpe or words."),
        (BcosGPT2, {"b": 0.9}, "b=0.9 is not allowed; B-cos needs a number of at least 1."),
        (BcosGPT2, {"b": float("nan")}, "b=nan is not allowed"),
        (BcosGPT2, {"start": " "}, "start='' is not allowed; use conventional, scratch"),
        (BcosLlamaTiny, {"start": "owner/name", "layers": 3}, "layers=3 is not allowed with start='owner/name'"),
        (BcosLlama, {"start": "owner/name", "vocabulary": 500}, "leave it out"),
    ],
)
def test_what_cannot_be_is_one_sentence(kind, fields, sentence):
    with pytest.raises((UserError, ValueError)) as error:
        kind(**fields)
    assert sentence in str(error.value)
    assert len(str(error.value)) < 400
