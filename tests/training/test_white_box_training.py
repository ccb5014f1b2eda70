"""The recipe of CRATE and its baseline: what decays, how the rate falls, and what a report says of it."""

import math

import pytest
import torch
from checkpoints import report
from fixtures_run import use_cache

import faithbench
from faithbench.models.language_zoo import ConvGPT2Tiny
from faithbench.plan import Training
from faithbench.plugins.naming import build_dataset, refer
from faithbench.training.accumulation import Accumulation
from faithbench.training.blocks import Blocks, row_of
from faithbench.training.language_backbones import make_network, make_tokenizer
from faithbench.training.language_modelling import BlockTrainer, Recipe, _arguments, next_token_loss, warm_up
from faithbench.training.settings import complete_training

TEXTS = ["the cat sat on the mat .", "a dog", "the dog saw the cat , and the cat saw it ."] * 20
DATA = "planted-grammar(train=60, validation=20, test=5)"
BOTH = pytest.mark.parametrize("name", ["crate-tiny", "gpt-relu-tiny", "crate-tiny(decode=decoupled)"])


def trainer_of(name, folder, epochs=2):
    zoo = refer(name).component.object
    tokenizer = make_tokenizer(zoo, TEXTS)
    blocks = Blocks(row_of(TEXTS, tokenizer), 8)
    training = complete_training(refer(name).component, build_dataset(DATA), Training(epochs=epochs, batch_size=4))
    args = _arguments(folder, Recipe.of(zoo, training, "cpu", verbose=False), len(blocks))
    return BlockTrainer(
        Accumulation(4, 1, print),
        model=make_network(zoo, tokenizer),
        args=args,
        train_dataset=blocks,
        compute_loss_func=next_token_loss,
    )


@BOTH
def test_what_has_two_dimensions_decays_and_nothing_else(name, tmp_path):
    trainer = trainer_of(name, tmp_path)
    groups = trainer.create_optimizer().param_groups
    decayed = {id(weight): group["weight_decay"] for group in groups for weight in group["params"]}
    for own, weight in trainer.model.named_parameters():
        assert decayed[id(weight)] == (0.1 if weight.ndim == 2 else 0.0), own
    assert {group["betas"] for group in groups} == {(0.9, 0.95)}
    assert {group["lr"] for group in groups} == {3e-3}


def test_other_models_decay_as_little_as_before(tmp_path):
    groups = trainer_of("conv-gpt2-tiny", tmp_path).create_optimizer().param_groups
    assert {group["weight_decay"] for group in groups} == {0.0}
    assert {group["betas"] for group in groups} == {(0.9, 0.999)}


@BOTH
def test_the_rate_rises_and_falls_to_a_tenth_of_its_peak_as_half_a_cosine(name, tmp_path):
    trainer = trainer_of(name, tmp_path)
    steps, peak = 400, 3e-3
    trainer.args.warmup_steps = rise = warm_up(steps)
    trainer.create_optimizer_and_scheduler(steps)
    rates = []
    for _ in range(steps + 1):
        rates.append(trainer.lr_scheduler.get_last_lr()[0])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates[rise // 2] == pytest.approx(peak * (rise // 2) / rise)
    for step in (rise, 111, 200, steps):
        cosine = (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2
        assert rates[step] == pytest.approx(peak * (0.1 + 0.9 * cosine))
    assert trainer.args.max_grad_norm == 1.0


@pytest.mark.parametrize(("name", "peak"), [("crate-2l", 6e-4), ("gpt-relu-12l", 6e-4), ("gpt-relu-tiny", 3e-3)])
def test_the_peak_is_the_published_one_but_for_tiny_models(name, peak):
    assert complete_training(refer(name).component, build_dataset(DATA), Training()).lr == peak


def test_the_report_says_decay_and_betas(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    folder, told = faithbench.train("crate-tiny(layers=1, width=16, heads=2, epochs=1)", DATA, device="cpu")
    assert told == report(folder)
    assert (told["weight_decay"], told["betas"], told["schedule"]) == (0.1, [0.9, 0.95], "cosine_with_min_lr")
    assert told["warm_up_steps"] == warm_up(told["steps"])


def test_a_baseline_is_trained_on_the_same_blocks_in_the_same_order():
    for name in ("crate-tiny", "gpt-relu-tiny"):
        zoo = refer(name).component.object
        assert (zoo.seed, zoo.context, zoo.vocabulary, zoo.pieces, zoo.optimizer, zoo.schedule, zoo.usual_epochs) == (
            42, 32, 5000, "words", "adamw", "cosine_with_min_lr", 2,
        )  # fmt: skip
    assert torch.equal(*(torch.tensor(ids) for ids in blocks_of("crate-tiny", "gpt-relu-tiny")))


def blocks_of(*names):
    return [row_of(TEXTS, make_tokenizer(refer(name).component.object, TEXTS)) for name in names]


def test_models_of_before_keep_their_recipe():
    zoo = ConvGPT2Tiny()
    assert (zoo.weight_decay, zoo.adam_beta2, zoo.schedule) == (0.0, 0.999, "linear")
