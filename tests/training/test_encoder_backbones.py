"""Encoders that are made here of texts alone: what is made, that it has learnt, and that it is made once."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, ModernBertForMaskedLM

import faithbench
from faithbench.errors import UserError
from faithbench.models.zoo import MODERN, Backbone, BcosModern, ConvModern, Pretraining
from faithbench.plugins.naming import build_dataset
from faithbench.plugins.spec import build
from faithbench.records.store import Store
from faithbench.training import encoder_backbones, hardware
from faithbench.training.backbones import load_backbone
from faithbench.training.encoder_backbones import encoder, make_tokenizer, pieces_of
from faithbench.training.masked_modelling import IGNORED, cross_entropy
from faithbench.training.named_models import checkpoint_folder
from faithbench.training.settings import BACKBONES_VARIABLE

SMALL = Pretraining(
    layers=2, width=32, heads=2, inner=48, vocabulary=400, context=64, data="planted(train=300)", epochs=4, lr=5e-3
)
BACKBONE = replace(MODERN, pretraining=SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAITHBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv(BACKBONES_VARIABLE, raising=False)
        return encoder(BACKBONE, "cpu", verbose=False)


def network(folder: Path) -> ModernBertForMaskedLM:
    found = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True)
    assert isinstance(found, ModernBertForMaskedLM)
    return found


def test_it_has_the_sizes_of_its_recipe_and_a_mask_token(made: Path):
    config = network(made).config
    sizes = config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size
    assert sizes == (SMALL.layers, SMALL.width, SMALL.heads, SMALL.inner)
    _, tokenizer = load_backbone(BACKBONE, 2, 0, [], made=made)
    assert tokenizer.tokenize("[MASK]") == ["[MASK]"]
    ids = tokenizer("Hello there")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Hello there"


def test_it_has_learnt_what_stands_behind_a_mask(made: Path):
    """Untrained, the loss is that of guessing among the vocabulary; and the mask has a meaning of its own."""
    report = json.loads((made / "training.json").read_text())
    guessing = math.log(network(made).config.vocab_size)
    assert report["losses"][0] < guessing + 0.5
    assert report["losses"][-1] < guessing - 1
    assert report["pretraining"]["masked"] == SMALL.masked
    with pytest.MonkeyPatch.context() as patch:
        seen = []
        patch.setattr(encoder_backbones, "pretrain", lambda model, *_: seen.append(model))
        encoder_backbones._make("modern", SMALL, build_dataset(SMALL.data).object.load("train"), made, "cpu", None)
    (begun,), mask = seen, 4
    rows = [each.model.embeddings.tok_embeddings.weight[mask] for each in (begun, network(made))]
    assert not torch.allclose(*rows, atol=1e-2)


def test_it_is_made_once_and_anew_where_it_is_broken(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = tmp_path / "cache"
    shutil.copytree(made.parents[1], cache)
    monkeypatch.setenv("FAITHBENCH_CACHE", str(cache))
    monkeypatch.setattr(encoder_backbones, "pretrain", lambda *_: pytest.fail("it is there already"))
    kept = encoder(BACKBONE, "cpu", verbose=False)
    assert kept == cache / made.relative_to(made.parents[1])
    (kept / "model.safetensors").write_bytes(b"torn")
    monkeypatch.setattr(encoder_backbones, "pretrain", lambda *arguments: arguments[3].mkdir())
    assert encoder(BACKBONE, "cpu", verbose=False) == kept
    assert not any(kept.iterdir())
    assert [*kept.parent.glob(f"{kept.name}.broken*")]  # set aside, not lost


def test_one_without_a_vocabulary_is_made_anew(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(made.parents[1], tmp_path / "cache")
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / made.relative_to(made.parents[1])
    (kept / "tokenizer.json").unlink()
    monkeypatch.setattr(encoder_backbones, "pretrain", lambda *arguments: arguments[3].mkdir())
    assert encoder(BACKBONE, "cpu", verbose=False) == kept
    assert not any(kept.iterdir())


def test_another_recipe_is_another_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(encoder_backbones, "pretrain", lambda *arguments: arguments[3].mkdir())
    recipes = SMALL, replace(SMALL, seed=1), replace(SMALL, data="planted(train=200)")
    assert len({encoder(replace(MODERN, pretraining=recipe), "cpu", verbose=False) for recipe in recipes}) == 3


def test_a_folder_of_the_users_own_comes_first(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(made, tmp_path / "modern")
    monkeypatch.setenv(BACKBONES_VARIABLE, str(tmp_path))
    assert encoder(BACKBONE, "cpu", verbose=False) == tmp_path / "modern"
    (tmp_path / "modern" / "config.json").write_text("{")
    with pytest.raises(UserError, match="backbone 'modern'"):
        load_backbone(BACKBONE, 2, 0, [])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [(ConvModern, "conv-modern"), (BcosModern, "bcos-modern")])
def test_models_on_it_are_trained_and_explained(
    kind: type, name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(kind, "backbone", BACKBONE)
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path / "cache"))
    begun = []
    monkeypatch.setattr("faithbench.training.initial_models.encoder", lambda *given: begun.append(given) or made)
    plan = faithbench.Plan(
        datasets=("planted(train=300, validation=50, test=20)",),
        models=(name,),
        explainers=("bcos",),
        metrics=("entropy",),
        limit=4,
        training=faithbench.Training(epochs=1),
    )
    faithbench.run(plan, tmp_path / "run")
    assert len(begun) == 1
    assert np.isfinite(Store(tmp_path / "run").read("records")["value"]).all()
    entry = Store(tmp_path / "run").manifest()["models"]
    assert [told["training"]["training"]["lr"] for told in entry.values()] == [MODERN.lr]


def test_long_texts_are_cut_into_pieces_of_words():
    text = " ".join(map(str, range(7)))
    assert [*pieces_of(text, 3)] == ["0 1 2", "3 4 5", "6"]
    assert [*pieces_of(text, 7)] == [text]
    assert [*pieces_of("  \n", 3)] == []
    assert [*pieces_of("two\nlines", 3)] == ["two\nlines"]


def test_no_text_is_no_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAITHBENCH_CACHE", str(tmp_path))
    nothing = SimpleNamespace(identity="none", content="", object=SimpleNamespace(load=lambda split: []))
    monkeypatch.setattr(encoder_backbones, "build_dataset", lambda text: nothing)
    with pytest.raises(UserError, match=r"backbone 'modern' cannot be made: .* has no texts"):
        encoder(BACKBONE, "cpu", verbose=False)
    assert not [path for path in (tmp_path / "backbones").iterdir() if path.is_dir()]


def test_a_tokenizer_spells_every_text():
    tokenizer = make_tokenizer(["plain words"], SMALL)
    for text in ("naïve", "日本語", "a\tb"):
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


def test_the_loss_is_transformers_own(made: Path):
    model = network(made).eval()
    ids = torch.tensor([[2, 9, 4, 11, 3]])
    labels = torch.tensor([[IGNORED, IGNORED, 10, IGNORED, IGNORED]])
    told = model(input_ids=ids, labels=labels)
    assert cross_entropy(told, labels).item() == pytest.approx(told.loss.item())
    assert cross_entropy(told, torch.full_like(labels, IGNORED)).item() == 0


def test_what_is_trained_on_another_backbone_is_kept_apart(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, data = build("model", "conv-modern"), build_dataset("planted")
    folders = {checkpoint_folder(model, data)}
    for recipe in (SMALL, replace(SMALL, seed=1)):
        monkeypatch.setattr(ConvModern, "backbone", replace(MODERN, pretraining=recipe))
        folders.add(checkpoint_folder(model, data))
    shutil.copytree(made, tmp_path / "modern")
    monkeypatch.setenv(BACKBONES_VARIABLE, str(tmp_path))
    folders.add(checkpoint_folder(model, data))
    assert len(folders) == 4


def test_a_folder_named_like_a_backbone_made_from_nothing_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tiny").mkdir()
    monkeypatch.setenv(BACKBONES_VARIABLE, str(tmp_path))
    network, _ = load_backbone(Backbone("tiny"), 2, 0, ["some words"])
    assert network.config.hidden_size == 64


def test_a_backbone_without_recipe_and_weights_is_the_tiny_one():
    network, _ = load_backbone(Backbone("tiny"), 2, 0, ["some words"])
    assert network.config.model_type == "bert"


@pytest.mark.parametrize(("bf16", "amx"), [(True, False), (False, True), (False, False)])
def test_what_a_cpu_computes_fast_is_what_torch_says(bf16: bool, amx: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert hardware.has_fast_bfloat16("cpu") == (bf16 or amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", None)
    assert hardware.has_fast_bfloat16("cpu") == amx
