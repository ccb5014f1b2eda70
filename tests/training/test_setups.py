"""Set-ups and ablations of training: what is fine-tuned is what its name says (arXiv 2502.12992, Tables 3 and 5)."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from builders import KINDS, answers, random_texts, tiny_network, tiny_tokenizer
from checkpoints import assert_equal_weights, report
from faithbench_explainers.bcos import Bcos as BcosExplainer
from faithbench_explainers.decompx import DecompX
from fixtures_run import checkpoint, use_cache
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    BertForMaskedLM,
    DistilBertForMaskedLM,
    PreTrainedModel,
    RobertaForMaskedLM,
)

import faithbench
from faithbench.bcos.convert import convert
from faithbench.bcos.modules import BcosLinear
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset, refer, resolve
from faithbench.questions import Row
from faithbench.training import initial_models, named_models, prepare
from faithbench.training.checkpoint import load
from faithbench.training.fine_tuning import drawn
from faithbench.training.initial_models import InitialModel, TrainingJob, initial_model
from faithbench.training.keeping import work_place
from faithbench.training.masked_modelling import IGNORED, cross_entropy, masked_loss, only_at
from faithbench.training.named_models import checkpoint_folder
from faithbench.training.setup import Setup
from faithbench.types import SPLITS

pytestmark = pytest.mark.slow
MASKED = {"bert": BertForMaskedLM, "distilbert": DistilBertForMaskedLM, "roberta": RobertaForMaskedLM}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
DATA = "planted(train=96, validation=20, test=20)"
SHORT = faithbench.Training(epochs=1, lr=1e-3)


def masked_network(kind: str) -> PreTrainedModel:
    """A small masked language model with random weights; biases too, so that it shows where they are lost."""
    torch.manual_seed(0)
    network = MASKED[kind](tiny_network(kind).config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    return network.eval()


@pytest.fixture(autouse=True)
def _backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and a BERT with random weights where the hub's MiniLM would be."""
    use_cache(monkeypatch, tmp_path / "cache")
    folder = tmp_path / "backbones" / "minilm"
    masked_network("bert").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    monkeypatch.setenv("FAITHBENCH_BACKBONES", str(tmp_path / "backbones"))


def begun(model: str, folder: Path) -> InitialModel:
    """A model of the zoo as fine-tuning on `DATA` would begin with it."""
    dataset = build_dataset(DATA)
    splits = {split: dataset.object.load(split) for split in SPLITS}
    zoo = spec.build("model", model).object
    return initial_model(zoo, TrainingJob(dataset, splits, folder, SHORT, "cpu", verbose=False))


def encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the encoder alone."""
    return {name: value for name, value in state.items() if name.startswith("bert.") and "pooler" not in name}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    """Whether the weights that both have are equal; they must be most of them."""
    shared = one.keys() & two.keys()
    assert len(shared) >= 20
    return all(torch.equal(one[name], two[name]) for name in shared)


# Masked language models


@EVERY_KIND
def test_a_converted_masked_language_model_has_no_bias_and_a_tied_bcos_decoder(kind):
    converted = convert(masked_network(kind), b=1.25)
    assert [name for name, _ in converted.named_parameters() if name.endswith("bias")] == []
    decoder = converted.get_output_embeddings()
    assert isinstance(decoder, BcosLinear)
    assert decoder.b == 1.25
    assert decoder.weight is converted.get_input_embeddings().weight


@EVERY_KIND
def test_a_converted_masked_language_model_computes_what_its_head_should(kind):
    converted, ids = convert(masked_network(kind), b=1.5).double(), torch.tensor([[2, 30, 31, 3]])
    state = converted.base_model(input_ids=ids).last_hidden_state[0, 1]
    linears = [m for n, m in converted.named_modules() if isinstance(m, BcosLinear) and not n.startswith(f"{kind}.")]
    (norm,) = (m for n, m in converted.named_modules() if isinstance(m, nn.LayerNorm) and not n.startswith(f"{kind}."))
    dense, decoder = linears

    def scaled(module: BcosLinear, x: Tensor) -> Tensor:
        out = (module.weight / module.weight.norm(dim=1, keepdim=True)).nan_to_num() @ x  # padding has a zero row
        return ((out / (x.square().sum() + 1e-6).sqrt()).abs() + 1e-6) ** 0.5 * out

    inner = scaled(dense, state)
    inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    inner = (inner - inner.mean()) / (inner.var(correction=0) + norm.eps).sqrt() * norm.weight
    torch.testing.assert_close(converted(input_ids=ids).logits[0, 1], scaled(decoder, inner), rtol=1e-9, atol=1e-12)


def test_the_masked_loss_equals_a_slow_version():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2, 3, 5))
    labels = np.array([[IGNORED, 4, IGNORED], [0, IGNORED, 2]])
    losses = []
    for row, label in zip(logits.reshape(-1, 5), labels.reshape(-1), strict=True):
        for c, z in enumerate(row if label != IGNORED else ()):
            p = 1 / (1 + math.exp(-z))
            losses.append(-math.log(p if c == label else 1 - p))
    found = masked_loss(SimpleNamespace(logits=torch.from_numpy(logits)), torch.from_numpy(labels))
    assert found.item() == pytest.approx(np.mean(losses), rel=1e-12)


@pytest.mark.parametrize("loss", [masked_loss, cross_entropy])
@EVERY_KIND
def test_the_head_is_asked_only_for_what_was_masked_with_the_gradients_of_all(kind, loss):
    network = convert(masked_network(kind), b=1.5).double()
    ids, labels = torch.tensor([[2, 30, 31, 3], [2, 4, 32, 3]]), torch.full((2, 4), IGNORED)
    labels[0, 2], labels[1, 1] = 31, 33
    loss(network(input_ids=ids), labels).backward()
    slow = {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }
    network.zero_grad()
    with only_at(network.base_model, labels != IGNORED):
        outputs = network(input_ids=ids)
    assert outputs.logits.shape[:2] == (1, 2)
    found = loss(outputs, labels[labels != IGNORED][None])
    found.backward()
    assert found.item() == pytest.approx(loss(network(input_ids=ids), labels).item(), rel=1e-12)
    assert len(slow) > 20
    for name, parameter in network.named_parameters():
        if name in slow:
            torch.testing.assert_close(parameter.grad, slow[name], rtol=1e-9, atol=1e-12)
    with only_at(network.base_model, torch.zeros(2, 4, dtype=torch.bool)):
        none = loss(network(input_ids=ids), torch.zeros(1, 0, dtype=torch.long))
    none.backward()
    assert none.item() == 0


def test_a_batch_in_which_nothing_is_masked_costs_nothing_and_can_be_differentiated():
    logits = torch.ones(1, 2, 3, requires_grad=True)
    loss = masked_loss(SimpleNamespace(logits=logits), torch.full((1, 2), IGNORED))
    loss.backward()
    assert (loss.item(), logits.grad.abs().sum().item()) == (0.0, 0.0)


# What fine-tuning begins with


def test_bcos_begins_with_the_backbone(tmp_path):
    found = begun("bcos-minilm", tmp_path)
    assert same(encoder(found.network.state_dict()), encoder(masked_network("bert").state_dict()))
    assert (found.loss, dict(found.about)) == ("bce", {})


def test_from_scratch_begins_with_random_weights_that_the_seed_draws(tmp_path):
    one, two, other = (
        begun(f"bcos-minilm(start=scratch, seed={seed})", tmp_path).network.state_dict() for seed in (1, 1, 2)
    )
    assert same(one, two)
    assert not same(encoder(one), encoder(other))
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(one[name], masked_network("bert").state_dict()[name])
    assert one[name].std().item() == pytest.approx(0.02, rel=0.2)  # transformers' initialisation


def test_task_then_bcos_converts_the_fine_tuned_conventional_model(tmp_path):
    found = begun("bcos-minilm(start=task, start_epochs=2, epochs=1)", tmp_path)
    first = load_file(tmp_path / initial_models.FOLDER / "model.safetensors")
    assert found.network.config.bcos == {"b": 1.5, "qkv": False, "embedding_bias": False}
    assert torch.equal(found.network.classifier.weight, first["classifier.weight"])
    assert same(found.network.state_dict(), first)
    assert not same(encoder(first), encoder(masked_network("bert").state_dict()))
    assert getattr(load(tmp_path / initial_models.FOLDER).config, "bcos", None) is None
    told = found.about["start"]
    assert (told["training"]["epochs"], told["steps"]) == (2, 2 * math.ceil(told["texts"]["train"] / 16))
    assert 0 < told["best_step"] <= told["steps"]


def test_bcos_then_task_takes_over_the_encoder_of_the_converted_masked_language_model(tmp_path):
    found = begun("bcos-minilm(start=mlm, start_epochs=2, epochs=1, b=2.0)", tmp_path)
    first = load_file(tmp_path / initial_models.FOLDER / "model.safetensors")
    assert same(encoder(found.network.state_dict()), encoder(first))
    assert not same(encoder(first), encoder(masked_network("bert").state_dict()))
    assert (found.network.config.bcos["b"], found.loss) == (2.0, "bce")
    told = found.about["start"]
    assert (told["training"]["epochs"], told["training"]["lr"], told["dataset"]) == (
        2,
        1e-4,
        build_dataset(DATA).identity,
    )


def test_masked_language_modelling_learns(tmp_path, monkeypatch):
    monkeypatch.setattr(initial_models, "MLM_LR", 3e-3)
    told = begun("bcos-minilm(start=mlm, start_epochs=8)", tmp_path).about["start"]
    assert told["losses"][-1] < 0.7 * told["losses"][0]


def test_masked_language_modelling_can_read_other_data(tmp_path):
    other = DATA.replace("train=", "seed=7, train=")
    assert other != DATA
    found = begun(f'bcos-minilm(start=mlm, start_epochs=1, mlm_data="{other}")', tmp_path)
    assert found.about["start"]["dataset"] == build_dataset(other).identity


@pytest.mark.parametrize("first", ["task", "mlm"])
def test_a_first_phase_that_is_finished_is_not_repeated(first, tmp_path, monkeypatch):
    model = f"bcos-minilm(start={first}, start_epochs=1)"
    one = begun(model, tmp_path)
    for name in ("fine_tune", "pretrain"):
        monkeypatch.setattr(initial_models, name, lambda *args, **kwargs: pytest.fail("trained again"))
    two = begun(model, tmp_path)
    assert same(one.network.state_dict(), two.network.state_dict())
    assert one.about == two.about


@pytest.mark.parametrize("first", ["task", "mlm"])
def test_a_first_phase_that_was_killed_continues(first, tmp_path, monkeypatch):
    model = f"bcos-minilm(start={first}, start_epochs=2)"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
        whole = begun(model, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    (tmp_path / "killed" / initial_models.FOLDER / "training.json").unlink()
    (tmp_path / "killed" / initial_models.FOLDER / "model.safetensors").unlink()
    saved = sorted(
        work_place(tmp_path / "killed" / initial_models.FOLDER).glob("trainer*/checkpoint-*"),
        key=lambda path: int(path.name[11:]),
    )
    assert len(saved) > 1
    shutil.rmtree(saved[-1])
    again = begun(model, tmp_path / "killed")
    one, two = (each.about["start"] for each in (whole, again))
    assert one["steps"] == two["steps"]
    if first == "task":
        assert same(whole.network.state_dict(), again.network.state_dict())
    else:  # which tokens are masked after the kill is drawn anew
        assert len(two["losses"]) == len(one["losses"]) > 1
        assert two["losses"][:-1] == one["losses"][:-1]


def test_a_finished_two_phase_training_tells_of_both_and_keeps_one_model():
    model = "bcos-minilm(start=task, start_epochs=1, epochs=2)"
    folder, told = faithbench.train(model, DATA, SHORT, device="cpu")
    assert folder == checkpoint(model, DATA)
    assert (told["training"]["epochs"], told["start"]["training"]["epochs"]) == (2, 1)
    assert {"test", "best_step"} <= told.keys() & told["start"].keys()
    assert not (folder / initial_models.FOLDER).exists()


def test_the_epochs_of_the_name_count_not_those_of_the_plan():
    model = "bcos-minilm(epochs=1)"
    _, told = faithbench.train(model, DATA, faithbench.Training(epochs=3, lr=1e-3), device="cpu")
    assert told["training"]["epochs"] == 1
    assert faithbench.train(model, DATA, faithbench.Training(epochs=7, lr=1e-3), device="cpu")[1] == told


# Ablations


@pytest.mark.parametrize(("loss", "wanted"), [("bce", "bcos_loss"), ("ce", "cross_entropy")])
def test_the_loss_of_the_name_is_trained(loss, wanted, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(named_models, "fine_tune", lambda *args: asked.append(args[8]))
    faithbench.train(f"bcos-minilm(loss={loss})", DATA, SHORT, device="cpu")
    assert asked == [loss]
    assert initial_models.fine_tune.__globals__["LOSSES"][loss].__name__ == wanted


def test_another_loss_gives_another_model():
    one, two = (faithbench.train(f"bcos-minilm(loss={loss})", DATA, SHORT, device="cpu")[0] for loss in ("bce", "ce"))
    with pytest.raises(AssertionError):
        assert_equal_weights(one, two)


@EVERY_KIND
def test_biases_and_head_activations_stay_where_they_are_to_be_kept(kind):
    network = tiny_network(kind)
    kept, plain = convert(network, biases=True), convert(network)
    names = {name for name, _ in network.named_parameters()}
    assert {name for name, _ in kept.named_parameters()} == names
    assert all(torch.equal(kept.get_parameter(name), network.get_parameter(name)) for name in names)
    assert kept.config.bcos == {"b": 1.5, "qkv": False, "biases": True}
    assert "biases" not in plain.config.bcos
    assert ("Tanh" in str(kept)) == ("Tanh" in str(network))
    assert sum(isinstance(m, BcosLinear) for m in kept.modules()) == sum(
        isinstance(m, BcosLinear) for m in plain.modules()
    )


def test_a_layer_with_a_bias_adds_it_behind_the_scale():
    plain = nn.Linear(5, 4, dtype=torch.float64)
    layer, x = BcosLinear.of(plain, 1.5, bias=True), torch.randn(3, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), BcosLinear.of(plain, 1.5)(x) + plain.bias, rtol=1e-15, atol=0)


@EVERY_KIND
def test_explanations_with_biases_are_not_complete_and_say_so(kind):
    network = convert(tiny_network(kind), biases=True)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    classifier = HuggingFaceClassifier(network, tiny_tokenizer(), dtype=torch.float64)
    one = random_texts(classifier)[0]
    assert abs(answers(classifier, BcosExplainer()(one, 1)).notes["completeness_gap"]) > 1e-3


@EVERY_KIND
def test_decompx_sums_to_the_logit_with_biases_too(kind):
    network = convert(tiny_network(kind), biases=True)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    classifier = HuggingFaceClassifier(network, tiny_tokenizer(), dtype=torch.float64)
    one = random_texts(classifier)[0]
    scores = answers(classifier, DecompX()(one, 1)).scores
    assert scores.sum() == pytest.approx(classifier.logits([Row(one.ids)])[0, 1], rel=1e-9)


@EVERY_KIND
def test_a_saved_model_with_biases_comes_back(kind, tmp_path):
    network = convert(tiny_network(kind), biases=True)
    network.save_pretrained(tmp_path)
    found, ids = load(tmp_path), torch.tensor([[2, 30, 31, 3]])
    assert found.config.bcos == network.config.bcos
    assert torch.equal(found(input_ids=ids).logits, network.eval()(input_ids=ids).logits)


# Names and settings


def test_parameters_that_came_later_change_no_identity_by_their_defaults():
    usual = "bcos-minilm(b=1.5, qkv=False, seed=42, embedding_bias=False)"
    assert spec.build("model", "bcos-minilm").identity == usual
    assert spec.build("model", "bcos-minilm(loss=bce, epochs=0)").identity == usual
    other = "bcos-minilm(b=1.5, qkv=False, seed=42, loss=ce, embedding_bias=False)"
    assert spec.build("model", "bcos-minilm(loss=ce)").identity == other


def test_a_model_that_keeps_the_bias_of_its_embeddings_is_the_older_one_by_identity_and_folder():
    old, older = spec.build("model", "bcos-minilm(embedding_bias=True)"), "bcos-minilm(b=1.5, qkv=False, seed=42)"
    assert (old.identity, old.label) == (older, "bcos-minilm(embedding_bias=True)")
    assert spec.label("model", older) == "bcos-minilm(embedding_bias=True)"
    assert spec.label("model", spec.build("model", "bcos-minilm").identity) == "bcos-minilm"
    assert old.spec == "bcos-minilm(b=1.5, qkv=False, seed=42, embedding_bias=True)"
    assert spec.build("model", old.spec).identity == older
    dataset = build_dataset(DATA)
    folders = {checkpoint_folder(spec.build("model", text), dataset) for text in ("bcos-minilm", old.spec)}
    assert len(folders) == 2


@pytest.mark.parametrize("text", ["bcos-minilm(biases=True)", "bcos-minilm(biases=True, embedding_bias=False)"])
def test_all_biases_are_kept_with_that_of_the_embeddings(text):
    found = spec.build("model", text)
    assert found.object.embedding_bias
    assert found.identity == "bcos-minilm(b=1.5, qkv=False, seed=42, biases=True)"


def test_documents_that_an_older_model_judges_name_it_so_that_it_is_found_again():
    judge = "bcos-minilm(embedding_bias=True)"
    resolved = resolve(build_dataset(f"seqpg(dataset=planted, segment=9, judge='{judge}')"), refer("conv-tiny"))
    assert refer(resolved.object.judge).identity == refer(judge).identity
    assert build_dataset(resolved.identity).identity == resolved.identity


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("loss=mse", "loss='mse' is not allowed; use bce or ce."),
        ("start=cold", "start='cold' is not allowed; use pretrained or scratch or task or mlm."),
        ("start=task", "start=task with start_epochs=0 is not allowed"),
        ("start_epochs=2", "start=pretrained with start_epochs=2 is not allowed"),
        ("epochs=-1", "epochs=-1 is not allowed; it must not be negative."),
        ("mlm_data=imdb", "mlm_data='imdb' is only used with start=mlm."),
    ],
)
def test_a_set_up_that_cannot_be_is_one_sentence(parameters, sentence):
    with pytest.raises(UserError) as error:
        spec.build("model", f"bcos-tiny({parameters})")
    assert sentence in str(error.value)


def test_a_model_reads_as_many_tokens_as_it_was_trained_on():
    training = faithbench.Training(epochs=1, max_length=7)
    faithbench.train("conv-minilm", DATA, training, device="cpu")
    dataset = build_dataset(DATA)
    model = prepare.prepare("conv-minilm", dataset, Setup(training=training))
    texts = [model.classifier.encode(example) for example in dataset.object.load("test")]
    assert {len(text) for text in texts} == {7}
    assert all(text.truncated for text in texts)


def test_accuracies_can_be_measured_on_fewer_texts():
    training = faithbench.Training(epochs=1, eval_limit=9)
    folder, told = faithbench.train("conv-minilm", DATA, training, device="cpu")
    assert (told["texts"]["validation"], told["texts"]["test"]) == (9, 9)
    assert told["texts"]["train"] == len(build_dataset(DATA).object.load("train"))
    assert report(folder) == told


def test_rows_are_drawn_in_their_order_and_the_same_for_a_seed():
    rows = list(range(50))
    assert drawn(rows, 10, seed=1) == sorted(drawn(rows, 10, seed=1)) == drawn(rows, 10, seed=1)
    assert drawn(rows, 10, seed=1) != drawn(rows, 10, seed=2)
    assert drawn(rows, None, seed=1) == drawn(rows, 50, seed=1) == rows


@pytest.mark.parametrize("first", ["task", "mlm"])
def test_a_first_phase_with_other_settings_is_made_anew(first, tmp_path, monkeypatch):
    model = f"bcos-minilm(start={first}, start_epochs=1)"
    begun(model, tmp_path)
    monkeypatch.setitem(globals(), "SHORT", faithbench.Training(epochs=1, lr=1e-3, limit=32))
    told = begun(model, tmp_path).about["start"]
    assert (told["training"]["limit"], told["texts"]["train"], told["steps"]) == (32, 32, 2)
    assert begun(model, tmp_path).about["start"] == told
