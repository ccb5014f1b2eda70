"""The paper's recipe of training (arXiv 2502.12992): AdamW without decay, 10 % warm-up, batches of 16, no clipping.

A training is run and then written a second time, slowly: loss, gradient, Adam and schedule by hand.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import WORDS, tiny_network, tiny_tokenizer
from fixtures_run import use_cache
from torch import Tensor, nn
from transformers import PreTrainedModel, TrainerCallback

import faithbench
from faithbench.bcos.convert import convert
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset
from faithbench.training.fine_tuning import LOSSES, _tokenised, arguments, classifier_trainer, run_trainer
from faithbench.training.settings import complete_training
from faithbench.training.tokenising import SPECIAL
from faithbench.types import Example

EPOCHS, BATCH, TEXTS, PEAK = 5, 16, 64, 1e-3
STEPS = EPOCHS * TEXTS // BATCH  # 20: 2 of warm-up
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
UNUSED = 1  # a token that no text holds


def network_of(kind: str) -> PreTrainedModel:
    """A small BERT, as it is or converted, without dropout; in double precision, which rounding leaves exact."""
    network = tiny_network("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return (convert(network) if kind == "bcos" else network).double()


def rows_of(texts: int) -> list[dict]:
    """Sentences of few words, by label at random."""
    generator = np.random.default_rng(0)
    examples = [
        Example(str(i), " ".join(generator.choice(WORDS, generator.integers(3, 9))), int(generator.integers(2)))
        for i in range(texts)
    ]
    return _tokenised(examples, tiny_tokenizer())


class Recorder(TrainerCallback):
    """Keeps weights and learning rate of every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.weights: list[dict[str, Tensor]] = []

    def on_step_begin(self, *args: object, optimizer: torch.optim.Optimizer, **more: object) -> None:
        assert {group["lr"] for group in optimizer.param_groups} == {optimizer.param_groups[0]["lr"]}
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_step_end(self, *args: object, model: nn.Module, **more: object) -> None:
        self.weights.append(copied(model))


def copied(model: nn.Module) -> dict[str, Tensor]:
    """The parameters as they are now."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


class Trained:
    """A real training: its batches in order, the learning rate before and the weights after every step."""

    def __init__(self, kind: str, work: Path) -> None:
        self.network, recorder, rows = network_of(kind), Recorder(), rows_of(TEXTS)
        self.before, self.batches = copied(self.network), []
        training, tokenizer = faithbench.Training(EPOCHS, lr=PEAK), tiny_tokenizer()
        data = {"train": rows, "validation": rows[:8]}
        loss = "bce" if kind == "bcos" else "ce"
        trainer = classifier_trainer(
            self.network, tokenizer, data, work, training, 0, "cpu", loss, verbose=False, masks=None
        )
        trainer.add_callback(recorder)
        self.network.register_forward_pre_hook(self._see, with_kwargs=True)
        self.labels: list[Tensor] = []
        compute = trainer.compute_loss_func
        trainer.compute_loss_func = lambda outputs, labels, **more: self._labelled(compute(outputs, labels), labels)
        run_trainer(trainer, work, verbose=False)
        self.rates, self.after = recorder.rates, recorder.weights

    def _see(self, module: nn.Module, args: tuple, inputs: Mapping[str, Tensor]) -> None:
        if module.training:
            self.batches.append({name: inputs[name].clone() for name in ("input_ids", "attention_mask")})

    def _labelled(self, loss: Tensor, labels: Tensor) -> Tensor:
        if self.network.training:
            self.labels.append(labels.clone())
        return loss


@pytest.fixture(scope="module", params=["conv", "bcos"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Trained]:
    """The kind, and a training of it."""
    return request.param, Trained(request.param, tmp_path_factory.mktemp("work"))


def scheduled(step: int) -> float:
    """Up to the peak over the first tenth of the steps, from there down to 0, both in a straight line."""
    warm = math.ceil(STEPS / 10)
    return PEAK * (step / warm if step < warm else (STEPS - step) / (STEPS - warm))


def slow_loss(kind: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy over batch × classes of B-cos models, cross-entropy over the batch of conventional ones."""
    right = torch.eye(logits.shape[1], dtype=logits.dtype)[labels]
    if kind == "bcos":
        chance = 1 / (1 + torch.exp(-logits))
        return -(right * torch.log(chance) + (1 - right) * torch.log(1 - chance)).sum() / logits.numel()
    return -(right * (logits - torch.log(torch.exp(logits).sum(1, keepdim=True)))).sum() / len(logits)


def slow_training(kind: str, run: Trained, steps: int) -> tuple[dict[str, Tensor], list[float]]:
    """The weights after so many steps, and the length of each step's gradient. Adam (Kingma & Ba 2015), no more."""
    network = network_of(kind).train()
    weights = dict(network.named_parameters())
    first, second = ({name: torch.zeros_like(w) for name, w in weights.items()} for _ in BETAS)
    lengths = []
    for step in range(steps):
        loss = slow_loss(kind, network(**run.batches[step]).logits, run.labels[step])
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        lengths.append(math.sqrt(sum(float(g.square().sum()) for g in found if g is not None)))
        for (name, weight), g in zip(weights.items(), found, strict=True):
            if g is None:
                continue
            first[name] = BETAS[0] * first[name] + (1 - BETAS[0]) * g
            second[name] = BETAS[1] * second[name] + (1 - BETAS[1]) * g**2
            mean, square = (m[name] / (1 - b ** (step + 1)) for m, b in zip((first, second), BETAS, strict=True))
            with torch.no_grad():
                weight.sub_(scheduled(step) * mean / (square.sqrt() + EPSILON))
    return copied(network), lengths


def test_the_learning_rate_of_every_step_is_that_of_a_linear_schedule_with_a_tenth_of_warm_up(trained):
    _, run = trained
    assert run.rates == pytest.approx([scheduled(step) for step in range(STEPS)], rel=1e-9, abs=0)
    assert (run.rates[0], max(run.rates)) == (0.0, PEAK)
    assert run.rates.index(PEAK) == 2


def test_the_first_steps_are_those_of_a_training_written_by_hand(trained):
    kind, run = trained
    steps = 6
    slow, lengths = slow_training(kind, run, steps)
    assert kind == "bcos" or max(lengths) > 2  # so long that clipping at 1 would change some, others less
    assert max(lengths) / min(lengths) > 1.3
    changes = {name: (run.after[steps - 1][name] - run.before[name]).abs().max().item() for name in slow}
    assert max(changes.values()) > 2 * PEAK
    worst = max((run.after[steps - 1][name] - weight).abs().max().item() for name, weight in slow.items())
    assert worst < 1e-6 * PEAK


def test_a_weight_without_gradient_does_not_decay(trained):
    _, run = trained
    name = next(name for name in run.before if name.endswith("word_embeddings.weight"))
    assert all(UNUSED not in batch["input_ids"] for batch in run.batches)
    assert torch.equal(run.after[-1][name][UNUSED], run.before[name][UNUSED])
    assert run.before[name][UNUSED].abs().min() > 1e-3
    used = int(run.batches[0]["input_ids"][0, 1])
    assert not torch.equal(run.after[-1][name][used], run.before[name][used])


def test_batches_hold_16_texts_and_every_text_is_read_five_times(trained):
    _, run = trained
    assert {len(batch["input_ids"]) for batch in run.batches} == {16}
    assert len(run.batches) == STEPS == 20


@pytest.mark.parametrize(
    ("model", "dataset", "lr"),
    [
        ("bcos-bert", "imdb", 2e-5),
        ("conv-bert", "hatexplain", 2e-5),
        ("bcos-bert", "hatexplain", 2e-5),
        ("bcos-roberta", "ag_news", 3e-5),
        ("conv-distilbert", "ag_news", 3e-5),
    ],
)
def test_what_nobody_asks_for_is_the_published_recipe(model, dataset, lr):
    told = complete_training(spec.build("model", model), build_dataset(dataset), faithbench.Training())
    assert (told.epochs, told.lr, told.batch_size, told.max_length, told.limit) == (5, lr, 16, 512, None)


@pytest.mark.parametrize(("model", "loss"), [("conv-bert", "ce"), ("bcos-bert", "bce")])
def test_losses_are_those_of_the_kind_of_model(model, loss):
    assert getattr(spec.build("model", model).object, "loss", "ce") == loss
    assert loss in LOSSES


@pytest.mark.parametrize(
    ("texts", "epochs", "every"),
    [(25_000, 5, 1000), (15_383, 5, 1000), (6_400, 5, 1000), (6_384, 5, 200), (2_000, 4, 63), (16, 1, 1)],
)
def test_accuracy_is_taken_every_1000_steps_and_twice_an_epoch_of_a_short_training(texts, epochs, every, tmp_path):
    found = arguments(tmp_path, faithbench.Training(epochs, lr=1e-3), 0, texts, "cpu")
    assert (found.eval_steps, found.save_steps) == (every, every)
    assert (found.bf16, found.fp16) == (False, False)


@pytest.mark.slow
def test_longer_texts_are_cut_to_512_tokens(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.model_max_length = min(faithbench.Training().max_length, 10_000)
    (row,) = _tokenised([Example("x", " ".join(WORDS * 100), 0)], tokenizer)
    assert len(row["input_ids"]) == len(row[SPECIAL]) == 512
