"""Training of language models: what is predicted, how sure the model is of it, and that a kill costs nothing."""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import assert_equal_weights, report
from fixtures_run import use_cache
from rich.console import Console
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_outputs import CausalLMOutput

import faithbench
from faithbench.bcos.convert import is_bcos
from faithbench.errors import UserError
from faithbench.models.language_zoo import ConvGPT2, ConvGPT2Tiny, ConvLlamaTiny
from faithbench.plugins.naming import build_dataset, refer
from faithbench.training import language_models
from faithbench.training.blocks import Blocks, in_random_order, row_of, separator, written
from faithbench.training.language_backbones import BOS, make_network, make_tokenizer
from faithbench.training.language_modelling import next_token_loss, perplexity, warm_up
from faithbench.training.loading import load_classifier
from faithbench.training.named_models import checkpoint_folder, trained
from faithbench.training.settings import training_data
from faithbench.training.trainer import IGNORED, accumulate
from faithbench.types import Example

TEXTS = ["the cat sat on the mat .", "a dog", "", "the dog saw the cat , and the cat saw it ."] * 3
WORDS = ConvGPT2Tiny(context=8)
DATA = "planted-grammar(train=300, validation=20, test=5)"
QUICK = "(layers=1, width=16, heads=2{more})"
QUICK_GPT2, QUICK_LLAMA, QUICK_CRATE = (f"{kind}-tiny{QUICK}" for kind in ("conv-gpt2", "conv-llama", "crate"))
TRAIN = """
import sys

import faithbench

faithbench.train(sys.argv[1], sys.argv[2], faithbench.Training(epochs=8), device="cpu")
"""


def named(kind: str, more: str = "") -> str:
    return kind.replace("{more}", more)


def slow_blocks(texts, tokenizer, length):
    """Rows of (input, label) pairs, token by token."""
    row = []
    for text in texts:
        row += [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    row.append(tokenizer.bos_token_id)
    pairs = list(pairwise(row))
    rows = [pairs[start : start + length] for start in range(0, len(pairs), length)]
    rows[-1] += [(tokenizer.bos_token_id, IGNORED)] * (length - len(rows[-1]))
    return rows


@pytest.mark.parametrize("length", [2, 7, 8, 64, 1000])
@pytest.mark.parametrize("pieces", ["words", "bpe"])
def test_blocks_are_those_of_a_slow_version(pieces, length):
    tokenizer = make_tokenizer(ConvGPT2Tiny(pieces=pieces, vocabulary=300), TEXTS)
    blocks = Blocks(row_of(iter(TEXTS), tokenizer), length)
    found = [
        [*zip(*(block[name].tolist() for name in ("input_ids", "labels")), strict=True)]
        for block in map(blocks.__getitem__, range(len(blocks)))
    ]
    assert found == slow_blocks(TEXTS, tokenizer, length)
    assert blocks.ids.dtype == np.int32


def test_every_token_but_the_first_is_predicted_once_the_ends_of_texts_too():
    tokenizer = make_tokenizer(WORDS, TEXTS)
    blocks = Blocks(row_of(TEXTS, tokenizer), 5)
    labels = np.concatenate([blocks[i]["labels"].numpy() for i in range(len(blocks))])
    assert labels[labels != IGNORED].tolist() == blocks.ids[1:].tolist()
    assert (labels == tokenizer.bos_token_id).sum() == len(TEXTS)


@pytest.mark.parametrize("tokens", [1, 10, 2500])
def test_of_many_texts_only_so_many_tokens_are_read(tokens):
    tokenizer, asked = make_tokenizer(WORDS, TEXTS), []
    texts = (asked.append(i) or TEXTS[i % len(TEXTS)] for i in range(10_000))
    row = row_of(texts, tokenizer, tokens)
    assert len(row) == tokens
    assert len(asked) == 1000
    assert row.tolist() == row_of(TEXTS * 200, tokenizer)[:tokens].tolist()


def test_texts_are_in_random_order_which_is_that_of_the_seed():
    rows = [Example(str(i), f"text {i}", None, pair="more" if i == 3 else None) for i in range(50)]
    first, again, other = (list(in_random_order(rows, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(first) == sorted(map(written, rows))
    assert "text 3\nmore" in first


def test_a_tokenizer_without_bos_has_eos_between_texts_and_one_with_neither_is_refused():
    tokenizer = make_tokenizer(WORDS, TEXTS)
    tokenizer.bos_token, tokenizer.eos_token = None, "cat"
    assert separator(tokenizer) == tokenizer.get_vocab()["cat"]
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="no BOS and no EOS"):
        separator(tokenizer)


class Fixed(nn.Module):
    """A model that says the same logits at every place."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits, self.device = torch.tensor(logits), torch.device("cpu")

    def forward(self, input_ids: torch.Tensor, use_cache: bool = True) -> CausalLMOutput:
        return CausalLMOutput(logits=self.logits.expand(*input_ids.shape, -1))


def test_the_perplexity_of_one_who_knows_nothing_is_the_size_of_the_vocabulary():
    blocks = Blocks(np.arange(5, dtype=np.int32), 3)
    found = perplexity(Fixed([0.5] * 5), blocks)
    assert found["perplexity"] == pytest.approx(5)
    assert found["tokens"] == 4


def test_perplexity_is_the_exponential_of_the_mean_over_tokens_not_over_blocks():
    logits = [0.0, math.log(2.0), math.log(5.0)]  # probabilities 1/8, 2/8, 5/8
    ids = np.array([0, 2, 2, 2, 1], dtype=np.int32)  # blocks of 3 and of 1
    found = perplexity(Fixed(logits), Blocks(ids, 3))
    assert found["loss"] == pytest.approx(-(3 * math.log(5 / 8) + math.log(2 / 8)) / 4)
    assert found["perplexity"] == pytest.approx((8 / 5) ** 0.75 * 4**0.25)


@pytest.mark.parametrize("kind", [ConvGPT2Tiny, ConvLlamaTiny])
def test_the_loss_is_that_of_transformers_and_perplexity_that_of_a_slow_loop(kind):
    zoo = kind(context=8)
    tokenizer = make_tokenizer(zoo, TEXTS)
    network, blocks = make_network(zoo, tokenizer).eval(), Blocks(row_of(TEXTS, tokenizer), 8)
    whole = torch.stack([blocks[i]["input_ids"] for i in range(4)])
    labels = torch.cat([whole[:, 1:], torch.full((4, 1), IGNORED)], 1)
    own = next_token_loss(network(whole), labels)
    assert own.item() == pytest.approx(network(whole, labels=whole).loss.item(), rel=1e-6)
    slow = []
    for start in range(0, len(blocks.ids) - 1, 8):
        window = blocks.ids[start : start + 9]
        for end in range(1, len(window)):
            logits = network(torch.tensor(window[None, :end], dtype=torch.int64)).logits[0, -1]
            slow.append(-logits.log_softmax(-1)[window[end]].item())
    assert perplexity(network, blocks)["loss"] == pytest.approx(np.mean(slow), rel=1e-5)


def test_gradients_of_parts_of_a_batch_are_those_of_the_whole_where_the_last_block_is_filled():
    zoo = ConvLlamaTiny(context=8)
    tokenizer = make_tokenizer(zoo, TEXTS)
    network, blocks = make_network(zoo, tokenizer), Blocks(row_of(TEXTS, tokenizer), 8)
    rows = [blocks[i] for i in range(len(blocks) - 3, len(blocks))]
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    assert (batch["labels"] == IGNORED).any()

    def gradients(size):
        network.zero_grad()
        accumulate(lambda part: next_token_loss(network(part["input_ids"]), part["labels"]), batch, size)
        return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])

    assert torch.allclose(gradients(3), gradients(1), atol=1e-6)


@pytest.mark.parametrize(("steps", "wanted"), [(10, 1), (200, 20), (2000, 50), (20_000, 200)])
def test_the_rate_rises_for_one_percent_or_fifty_steps_but_at_most_a_tenth(steps, wanted):
    assert warm_up(steps) == wanted


def test_a_vocabulary_of_words_knows_all_or_has_an_unknown_one():
    closed = make_tokenizer(ConvGPT2Tiny(), TEXTS)
    assert closed.unk_token == closed.bos_token == closed.eos_token == BOS
    assert set(closed.get_vocab()) == {BOS, *" ".join(TEXTS).split()}
    small = make_tokenizer(ConvGPT2Tiny(vocabulary=4), TEXTS)
    assert small.unk_token == "<unk>"
    assert small.get_vocab() == {BOS: 0, "<unk>": 1, "the": 2, "cat": 3}
    assert small("the dog")["input_ids"] == [0, 2, 1]


def test_a_vocabulary_of_bytes_reads_anything_and_puts_bos_first():
    tokenizer = make_tokenizer(ConvGPT2(vocabulary=280), TEXTS)
    assert len(tokenizer) == 280
    ids = tokenizer("Ünknown 猫 cat")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == "Ünknown 猫 cat"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a conventional and a B-cos Llama were trained for a few steps."""
    place = tmp_path_factory.mktemp("language")
    with pytest.MonkeyPatch.context() as patch:
        use_cache(patch, place)
        faithbench.train(named(QUICK_LLAMA).replace("conv", "bcos"), DATA, device="cpu")
    return place


def folder_of(model: str, data: str = DATA) -> Path:
    ref = refer(model)
    return checkpoint_folder(ref.component, training_data(ref, build_dataset(data)))


def test_a_bcos_model_is_converted_from_the_conventional_one_and_both_perplexities_are_reported(cache, monkeypatch):
    use_cache(monkeypatch, cache)
    conventional, bcos = folder_of(named(QUICK_LLAMA)), folder_of(named(QUICK_LLAMA).replace("conv", "bcos"))
    told, before = report(bcos), report(conventional)
    assert told["start"]["validation"]["perplexity"] == pytest.approx(before["validation"]["perplexity"], rel=1e-6)
    assert told["start"]["validation"]["tokens"] == told["validation"]["tokens"]
    assert told["start"]["model"] == before["model"]
    assert str(cache) not in json.dumps(told)
    assert told["training"]["lr"] == 5e-4
    assert before["training"]["lr"] == 3e-3
    assert told["validation"]["perplexity"] < 83  # the words that there are
    assert told["texts"] == {"train": 300, "validation": 20}
    assert told["steps"] == math.ceil((told["tokens"]["train"] - 1) / (16 * 32))
    loaded = load_classifier(str(bcos), "cpu", "float32").classifier
    assert is_bcos(loaded.model)
    assert loaded.class_names == ("good", "bad")


def test_the_report_says_the_perplexity_of_the_model_in_the_folder(cache, monkeypatch):
    use_cache(monkeypatch, cache)
    folder = folder_of(named(QUICK_LLAMA))
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = build_dataset(DATA).object.load("validation")
    blocks = Blocks(row_of(in_random_order(rows, 42), tokenizer), 32)
    assert perplexity(network, blocks)["perplexity"] == pytest.approx(report(folder)["validation"]["perplexity"])
    assert network.config.use_cache


def test_what_is_there_is_not_trained_again_and_other_settings_are_refused(cache, monkeypatch):
    use_cache(monkeypatch, cache)
    model = named(QUICK_LLAMA)
    before = (folder_of(model) / "training.json").stat().st_mtime_ns
    faithbench.train(model, DATA, device="cpu")
    assert (folder_of(model) / "training.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"was trained with lr=0\.003, not 0\.1"):
        faithbench.train(model, DATA, faithbench.Training(lr=0.1), device="cpu")


def test_the_precision_is_said_first_and_reported_and_where_none_is_asked_for_any_will_do(
    cache, tmp_path, monkeypatch, capsys
):
    use_cache(monkeypatch, cache)
    model, few, console = named(QUICK_LLAMA), faithbench.Training(limit=40), Console(stderr=True)
    assert report(folder_of(model))["training"]["precision"] == "float32"
    use_cache(monkeypatch, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language_models, "has_bfloat16", lambda device: True)  # as of a GPU
        folder, told = faithbench.train(model, DATA, few, device="cpu", console=console)
    assert told["training"]["precision"] == "bf16"
    assert "learning rate 0.003, in bf16, on cpu; kept in" in " ".join(capsys.readouterr().err.split())
    assert faithbench.train(model, DATA, few, device="cpu")[0] == folder
    with pytest.raises(UserError, match="was trained with precision=bf16, not float32"):
        faithbench.train(model, DATA, replace(few, precision="float32"), device="cpu")


def test_whose_texts_are_meant_can_be_said_where_those_at_hand_have_none_to_learn_from(cache, tmp_path):
    (tmp_path / "own.txt").write_text("the dog walks\n", "utf-8")
    with pytest.raises(UserError, match=r"no train split; .*train\.txt .*; or say with data=… on whose texts"):
        faithbench.train("conv-gpt2-tiny", tmp_path / "own.txt", device="cpu")


def test_a_model_in_a_folder_is_converted_and_trained_on(cache, tmp_path, monkeypatch):
    use_cache(monkeypatch, cache)
    start = folder_of(named(QUICK_LLAMA))
    use_cache(monkeypatch, tmp_path)
    folder, told = faithbench.train(f"bcos-llama-tiny(start='{start}', b=2.0, epochs=1)", DATA, device="cpu")
    assert told["start"]["model"] == str(start)
    assert json.loads((folder / "config.json").read_text())["bcos"]["b"] == 2.0
    bcos = folder
    with pytest.raises(UserError, match="is B-cos already"):
        faithbench.train(f"bcos-llama-tiny(start='{bcos}')", DATA, device="cpu")


def test_other_weights_in_a_folder_are_another_start(cache, tmp_path, monkeypatch):
    use_cache(monkeypatch, cache)
    start = tmp_path / "start"
    shutil.copytree(folder_of(named(QUICK_LLAMA)), start)
    model = f"bcos-llama-tiny(start='{start}')"
    before = folder_of(model)
    content = bytearray((start / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (start / "model.safetensors").write_bytes(content)
    assert folder_of(model) != before


@pytest.mark.slow
@pytest.mark.parametrize("model", [named(QUICK_GPT2, ", schedule=cosine"), named(QUICK_CRATE)])
def test_a_killed_training_ends_with_the_same_weights_bit_for_bit(model, tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path / "undisturbed")
    long = faithbench.Training(epochs=8)
    undisturbed, told = faithbench.train(model, DATA, long, device="cpu")
    use_cache(monkeypatch, tmp_path / "killed")
    folder = folder_of(model)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # as here: sums of several threads have another order
    process = subprocess.Popen([sys.executable, "-c", TRAIN, model, DATA], stderr=subprocess.PIPE, env=one_thread)
    states = folder.with_name(folder.name + ".training")
    while process.poll() is None and not list(states.glob("trainer-*/checkpoint-*/trainer_state.json")):
        time.sleep(0.002)
    process.kill()
    assert process.wait() < 0, process.communicate()
    assert not folder.exists()
    again, told_again = faithbench.train(model, DATA, long, device="cpu")
    assert told_again["steps"] == told["steps"] > 10
    assert again == folder
    assert_equal_weights(again, undisturbed)
    assert told_again["validation"] == told["validation"]
    assert not states.exists()


def test_optimizers_and_schedules_make_different_models(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    losses = {
        (optimizer, schedule): faithbench.train(
            named(QUICK_GPT2, f", optimizer={optimizer}, schedule={schedule}, epochs=1"), DATA, device="cpu"
        )[1]["validation"]["loss"]
        for optimizer, schedule in (("adamw", "linear"), ("adamw", "cosine"), ("adafactor", "linear"))
    }
    assert len(set(losses.values())) == 3


def test_a_training_that_diverges_is_one_sentence(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    with pytest.raises(UserError, match=r"has diverged: its loss is no number at the end; use .* below 1e\+30"):
        faithbench.train(named(QUICK_GPT2), DATA, faithbench.Training(lr=1e30), device="cpu")


@pytest.mark.parametrize(
    ("spoilt", "sentence"),
    [("small", "the tokenizer has 1 tokens beyond the model's"), ("nan", "trained on: its loss is no number.")],
)
def test_a_start_that_cannot_be_trained_on_is_one_sentence(spoilt, sentence, cache, tmp_path, monkeypatch):
    use_cache(monkeypatch, cache)
    folder, own = folder_of(named(QUICK_LLAMA)), tmp_path / "own"
    model = AutoModelForCausalLM.from_pretrained(folder)
    if spoilt == "small":
        model.resize_token_embeddings(model.config.vocab_size - 1)
    else:
        nn.init.constant_(model.model.norm.weight, float("nan"))
    model.save_pretrained(own)
    AutoTokenizer.from_pretrained(folder).save_pretrained(own)
    use_cache(monkeypatch, tmp_path / "cache")
    with pytest.raises(UserError, match=sentence) as error:
        faithbench.train(f"bcos-llama-tiny(start={str(own)!r})", DATA, device="cpu")
    assert str(own) in str(error.value)


def test_data_of_the_name_come_before_those_at_hand(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    of_name = refer(named(QUICK_GPT2, f", data='{DATA}'"))
    at_hand = build_dataset("planted(train=20)")
    assert training_data(of_name, at_hand).identity == build_dataset(DATA.replace(", test=5", "")).identity
    assert training_data(refer("conv-gpt2"), at_hand).identity == at_hand.identity


@pytest.mark.parametrize("model", ["conv-gpt2", "bcos-llama", "conv-llama-tiny"])
@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("blimp", "ioi"),
        ("blimp", "standard_ebooks"),
        ("planted-grammar", "planted-grammar(template=anaphor, test=7, evidence=phrase)"),
    ],
)
def test_data_sets_of_the_same_texts_share_a_checkpoint(model, one, two, tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    assert folder_of(model, one) == folder_of(model, two)
    assert folder_of(model, "planted-grammar(train=7)") != folder_of(model, two)


def test_a_training_is_not_repeated_for_another_template(cache, monkeypatch):
    use_cache(monkeypatch, cache)
    other = build_dataset(DATA.replace("test=5", "test=9, template=anaphor"))
    ref = refer(named(QUICK_LLAMA))
    setup = faithbench.training.setup.Setup(train=False)
    assert trained(ref.component, training_data(ref, other), setup).folder == folder_of(named(QUICK_LLAMA))


@pytest.mark.parametrize(
    ("model", "data", "more", "sentence"),
    [
        (
            "conv-gpt2-tiny",
            DATA,
            {"task": "classification"},
            "whose task is lm; use conv-minilm",
        ),
        (
            "conv-tiny",
            DATA,
            {"task": "lm"},
            "whose task is classification; use conv-gpt2",
        ),
        ("conv-tiny", DATA, {"task": "mlm"}, "task='mlm' is not allowed; use lm or classification"),
        ("conv-gpt2-tiny", DATA, {"masking": "half"}, "language models are not masked"),
        (
            "bcos-llama-tiny(start=conv-minilm)",
            DATA,
            {},
            "start='conv-minilm' is not allowed; it must be",
        ),
        ("bcos-llama-tiny(start=bcos-llama)", DATA, {}, "start='bcos-llama' is not allowed; it must be"),
        ("bcos-llama-tiny(start='no/such')", DATA, {}, "model 'no/such' is neither a folder nor"),
        ("conv-gpt2-tiny(data=blimp)", DATA, {}, "standard_ebooks/train.parquet does not exist"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(model, data, more, sentence, tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    monkeypatch.setenv("FAITHBENCH_DATA", str(tmp_path))
    with pytest.raises(UserError) as error:
        faithbench.train(model, data, device="cpu", **more)
    assert sentence in str(error.value)
    assert len(str(error.value)) < 400
