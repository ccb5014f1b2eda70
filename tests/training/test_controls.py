"""Models that are made of another: named, trained first, cached, read by runs, and the same in every process."""

import json

import numpy as np
import pytest
import torch
from builders import tiny_classifier
from fixtures_run import use_cache
from language_models import language_model
from rich.console import Console

import faithbench
from faithbench.bcos.convert import is_bcos
from faithbench.errors import UserError
from faithbench.models.white_box_zoo import GPTReluTiny
from faithbench.models.zoo import is_tiny
from faithbench.neurons.sites import find_sites
from faithbench.neurons.sparse import SparseAutoencoder
from faithbench.plugins.naming import build_dataset, refer
from faithbench.training.belonging import is_language_model
from faithbench.training.blocks import Blocks
from faithbench.training.language_backbones import make_network, make_tokenizer
from faithbench.training.latents import measured, sae_folder
from faithbench.training.prepare import check_model, is_plugins, load_model, prepare
from faithbench.training.redrawn import redrawn
from faithbench.training.settings import training_data
from faithbench.training.setup import Setup

DATA = "planted-grammar(train=200, validation=40, test=5)"
INNER = "gpt-relu-tiny(width=16, heads=2, context=8)"
SAE = f"sae({INNER}, layer=1, width=2, tokens=2000)"
CONTROLS = (f"untrained({INNER})", f"topk({INNER}, k=3)", SAE)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache with the model that controls are made of."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, folder)
        faithbench.train(INNER, DATA, faithbench.Training(epochs=2), device="cpu")
        yield folder


def made(text, **options):
    return prepare(text, build_dataset(DATA), Setup(**options))


def test_what_is_drawn_anew_is_what_training_begins_with():
    zoo = GPTReluTiny(layers=2, width=16, heads=2, seed=7)
    tokenizer = make_tokenizer(zoo, ["the cat sat on the mat .", "a dog"])
    begun, other = (make_network(each, tokenizer).state_dict() for each in (zoo, GPTReluTiny(2, 16, 2, seed=8)))
    state = torch.random.get_rng_state()
    drawn = redrawn(make_network(GPTReluTiny(2, 16, 2, seed=9), tokenizer), 7)
    assert all(torch.equal(value, begun[name]) for name, value in drawn.state_dict().items())
    assert not torch.equal(drawn.state_dict()["lm_head.weight"], other["lm_head.weight"])
    torch.random.set_rng_state(state)
    redrawn(drawn, 7)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("b", [None, 1.5])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_classifiers_keep_their_outputs_and_their_conversion(kind, b):
    classifier = tiny_classifier(kind, b, classes=3)
    before = classifier.fingerprint()
    told = classifier.remade(redrawn(classifier.model, 0))
    assert told.classes == 3
    assert is_bcos(told.model) == (b is not None)
    assert told.model.config.to_dict().get("bcos") == classifier.model.config.to_dict().get("bcos")
    assert told.model.state_dict().keys() == classifier.model.state_dict().keys()
    assert told.fingerprint() != before == classifier.fingerprint()
    assert told.fingerprint() == classifier.remade(redrawn(classifier.model, 0)).fingerprint()
    assert told.fingerprint() != classifier.remade(redrawn(classifier.model, 1)).fingerprint()


def test_bcos_language_models_stay_gated():
    model = language_model("Llama", 1.1).model
    told = redrawn(model, 0)
    assert told.config.bcos == model.config.bcos
    assert told.config.bcos["gates"]
    assert {name: value.shape for name, value in told.state_dict().items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }


def test_a_control_is_read_as_what_it_is_made_of():
    classifier = language_model("GPT2", contrast=False)
    told = classifier.remade(redrawn(classifier.model, 0))
    assert (told.contrast, told.max_length, told.precision) == (False, classifier.max_length, "float64")
    assert told.fingerprint() != classifier.remade(redrawn(language_model("GPT2").model, 1)).fingerprint()


@pytest.mark.parametrize("text", CONTROLS)
def test_an_identity_says_all_of_what_it_is_made_of_and_a_label_no_more_than_was_said(text):
    ref = refer(text)
    assert ref.made_of.identity == ref.root.identity == refer(INNER).identity
    assert refer(ref.spec).identity == refer(ref.identity).identity == ref.identity
    assert "vocabulary=5000" in ref.identity
    assert ref.label == text
    assert is_tiny(ref)
    assert is_language_model(ref)
    assert not is_plugins(ref)


def test_controls_of_controls_say_what_is_at_the_bottom():
    ref = refer("topk(sae(untrained(crate-tiny), width=2), k=4)")
    assert ref.root.identity == refer("crate-tiny").identity
    assert ref.label == "topk(sae(untrained(crate-tiny), width=2), k=4)"
    assert refer("conv-tiny").root.identity == refer("conv-tiny").identity
    assert not is_language_model(refer("untrained(conv-tiny)"))
    data = build_dataset("planted")
    assert training_data(refer("untrained(crate-tiny(data=planted-grammar))"), data).identity.startswith("planted-")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("untrained(no-such-model)", "no-such-model"),
        ("untrained(topk(crate-tiny, k=3))", "change an untrained one instead"),
        ("topk(crate-tiny, k=0)", "k=0 is not allowed"),
        ("topk(crate-tiny)", "k"),
        ("sae(crate-tiny, width=0)", "width=0 is not allowed"),
        ("sae(crate-tiny, l1=-1.0)", "l1=-1.0 is not allowed"),
        ("sae(crate-tiny, layer=-1)", "layer=-1 is not allowed"),
        ("sae(crate-tiny, data=no-such-data)", "no-such-data"),
    ],
)
def test_what_no_control_can_be_is_said_when_it_is_named(text, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        refer(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"topk({INNER}, k=65)", "k=65 is not allowed; it must be at most 64"),
        (f"topk({INNER}, k=3, site=nowhere)", "nowhere"),
        (f"sae({INNER}, layer=2)", "layer=2 is not allowed; the model has 2 such sites"),
        (f"sae({SAE})", "is one of latents already"),
    ],
)
def test_what_does_not_fit_the_model_is_said_when_it_is_made(cache, text, words):
    with pytest.raises(UserError, match=words) as raised:
        made(text)
    assert str(raised.value).count(". ") == 0


@pytest.mark.parametrize("text", CONTROLS)
def test_nothing_is_trained_where_that_is_switched_off(tmp_path, monkeypatch, text):
    use_cache(monkeypatch, tmp_path)
    with pytest.raises(UserError, match=r"gpt-relu-tiny.* has not been trained on .* and training is switched off"):
        check_model(refer(text), build_dataset(DATA), Setup(train=False))


def test_an_autoencoder_too_is_trained_only_where_that_is_allowed_and_once(cache, capsys):
    text = SAE.replace("tokens=2000", "tokens=1000")
    setup, ref, data = Setup(train=False), refer(text), build_dataset(DATA)
    with pytest.raises(UserError, match=r"^sae\(.* has not been trained on .* and training is switched off"):
        check_model(ref, data, setup)
    with pytest.raises(UserError, match="training is switched off"):
        prepare(ref, data, setup)
    first = made(text, console=Console())
    assert "Training sae(" in capsys.readouterr().out
    check_model(ref, data, setup)
    again = made(text, console=Console(), train=False)
    assert capsys.readouterr().out == ""
    assert again.fingerprint == first.fingerprint
    assert again.report == first.report
    other = made(text.replace("tokens=1000", "tokens=1000, seed=1"))
    assert other.fingerprint != first.fingerprint


def test_an_autoencoder_belongs_to_weights(cache, tmp_path, monkeypatch):
    ref, data, setup = refer(SAE), build_dataset(DATA), Setup()
    first = sae_folder(ref, data, setup)
    assert sae_folder(ref, data, setup) == first
    use_cache(monkeypatch, tmp_path)
    faithbench.train(INNER, DATA, faithbench.Training(epochs=1, lr=1e-4), device="cpu")
    assert sae_folder(ref, data, setup).name != first.name


@pytest.mark.parametrize("text", CONTROLS)
def test_a_worker_makes_the_same(cache, text):
    prepared = made(text)
    there = prepared.origin.load("cpu", "float32")
    assert there.fingerprint() == prepared.fingerprint
    assert torch.equal(there.model(input_ids=torch.tensor([[3, 4, 5]])).logits, logits_of(prepared, [3, 4, 5]))


def logits_of(prepared, ids):
    with torch.inference_mode():
        return prepared.classifier.model(input_ids=torch.tensor([ids])).logits


def test_reports_say_what_is_lost_and_never_how_good_the_other_model_is(cache):
    inner, (drawn, few, latents) = made(INNER), map(made, CONTROLS)
    assert "validation" not in drawn.report
    for each in (drawn, few, latents):
        assert each.report["made_of"] == {"model": refer(INNER).identity, "fingerprint": inner.fingerprint}
        assert each.report["training"] == inner.report["training"]
        assert len({each.fingerprint, inner.fingerprint}) == 2
    assert few.report["validation"]["loss"] > few.report["start"]["validation"]["loss"]
    told = latents.report["validation"]
    recovered = (latents.report["zeros"] - told["loss"]) / (
        latents.report["zeros"] - latents.report["start"]["validation"]["loss"]
    )
    assert told["loss_recovered"] == pytest.approx(100 * recovered)
    assert 0 < told["l0"] <= told["latents"] - told["dead"] <= 128


def test_single_precision_is_what_an_autoencoder_is_trained_in(cache):
    text = SAE.replace("layer=1", "layer=0")
    half = made(text, dtype="bfloat16")
    single = made(text)
    assert half.report["validation"] == single.report["validation"]
    assert half.classifier.model.dtype == torch.bfloat16
    assert half.fingerprint != single.fingerprint


@pytest.mark.parametrize("perfect", [True, False])
def test_all_of_the_loss_is_recovered_by_a_perfect_reconstruction_and_none_by_zeros(perfect):
    model = language_model("GPT2").model
    site = find_sites(model)[1]
    sae = SparseAutoencoder(site.units, 2 * site.units).double().requires_grad_(False)
    if perfect:
        for matrix in (sae.encoder, sae.decoder):
            matrix.copy_(torch.cat([torch.eye(site.units), -torch.eye(site.units)]))
    ids = np.random.default_rng(0).integers(3, 200, 65)
    report = measured(model, site, sae, Blocks(ids, 16))
    told = report["validation"]
    assert told["loss_recovered"] == pytest.approx(100 if perfect else 0, abs=1e-9)
    assert told["loss"] == pytest.approx(report["start"]["validation"]["loss"] if perfect else report["zeros"])
    assert told["l0"] == pytest.approx(site.units if perfect else 0, abs=0.5)
    if perfect:
        assert told["unexplained"] == pytest.approx(0, abs=1e-9)
    else:
        assert told["dead"] == told["latents"]
        assert told["unexplained"] >= 100


def test_a_folder_is_changed_without_any_data_unless_something_is_learnt(cache, tmp_path):
    inner = made(INNER)
    folder = tmp_path / "model"
    inner.classifier.model.save_pretrained(folder)
    inner.classifier.tokenizer.save_pretrained(folder)
    few = load_model(f"topk({folder}, k=3)", Setup())
    assert few.fingerprint == made(f"topk({INNER}, k=3)").fingerprint
    assert load_model(f"untrained({folder})", Setup()).fingerprint == made(f"untrained({INNER})").fingerprint
    with pytest.raises(UserError, match="say with data=…"):
        load_model(f"sae({folder})", Setup())
    said = load_model(f"sae({folder}, layer=1, width=2, tokens=2000, data='{DATA}')", Setup())
    assert said.fingerprint == made(SAE).fingerprint


def test_only_language_models_have_a_loss_to_recover(tmp_path):
    classifier = tiny_classifier("bert")
    classifier.model.save_pretrained(tmp_path)
    classifier.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is no causal language model"):
        load_model(f"sae({tmp_path}, data='{DATA}')", Setup())


def test_train_trains_an_autoencoder_and_nothing_that_has_nothing_to_learn(cache):
    folder, report = faithbench.train(SAE, DATA, device="cpu")
    assert json.loads((folder / "training.json").read_text())["model"] == refer(SAE).identity
    assert report["validation"]["loss_recovered"] <= 100
    with pytest.raises(UserError, match="learns nothing; train what it is made of, gpt-relu-tiny"):
        faithbench.train(CONTROLS[1], DATA, device="cpu")
