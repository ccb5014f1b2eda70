"""Settings of speed and memory: the same training in parts or by workers, another by name in bfloat16."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import WORDS, tiny_network, tiny_tokenizer
from fixtures_run import use_cache
from torch import Tensor, nn
from transformers import BatchEncoding, DataCollatorWithPadding, PreTrainedModel, TrainerCallback

import faithbench
from faithbench.bcos.convert import convert
from faithbench.errors import UserError
from faithbench.plan import Training
from faithbench.training import fine_tuning
from faithbench.training.accumulation import Accumulation
from faithbench.training.fine_tuning import (
    LOSSES,
    _tokenised,
    check_precision,
    classifier_trainer,
    in_full_precision,
    run_trainer,
    work_folder,
)
from faithbench.training.masked_modelling import masked_loss
from faithbench.training.masking import HalfMasking
from faithbench.training.padding import Padding
from faithbench.training.tokenising import SPECIAL
from faithbench.training.trainer import IGNORED, LengthGroupedTrainer, accumulate
from faithbench.types import Example

DATA = "planted(train=64, validation=32, test=32)"
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # dropout draws by the shape of a part
KINDS = ("conv", "bcos")


def network_of(kind: str, **options: float) -> PreTrainedModel:
    """A small BERT, as it is or converted."""
    network = tiny_network("bert", **options)
    return convert(network) if kind == "bcos" else network


def rows_of(texts: int) -> list[dict]:
    """Sentences of few words, by label at random."""
    draws = np.random.default_rng(0)
    examples = [
        Example(str(i), " ".join(draws.choice(WORDS, draws.integers(3, 9))), int(draws.integers(2)))
        for i in range(texts)
    ]
    return _tokenised(examples, tiny_tokenizer())


class Run:
    """A training of 2 epochs of 19 texts, 8 a batch: 6 steps, of which two are of 3 texts."""

    def __init__(
        self,
        work: Path,
        training: Training,
        kind: str = "conv",
        masked: bool = True,
        dtype: torch.dtype = torch.float32,
        **options: float,
    ) -> None:
        self.network, self.seen, self.cast = network_of(kind, **(options or STILL)).to(dtype), [], set()
        masks = HalfMasking(tiny_tokenizer().mask_token_id, 0) if masked else None
        rows, loss = rows_of(19), "bce" if kind == "bcos" else "ce"
        data = {"train": rows, "validation": rows[:9]}
        self.trainer = classifier_trainer(
            self.network, tiny_tokenizer(), data, work, training, 0, "cpu", loss, False, masks
        )
        self.network.register_forward_pre_hook(self._see, with_kwargs=True)
        self.network.base_model.encoder.register_forward_hook(self._cast)

    def _see(self, module: nn.Module, args: tuple, inputs: dict[str, Tensor]) -> None:
        if module.training:
            self.seen.append(inputs["input_ids"].clone())

    def _cast(self, *args: object) -> None:
        self.cast.add(torch.is_autocast_enabled("cpu"))

    def go(self) -> "Run":
        run_trainer(self.trainer, Path(self.trainer.args.output_dir), verbose=False)
        return self

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.network.named_parameters()}


def settings(**more: object) -> Training:
    return Training(2, lr=1e-3, batch_size=8, **more)


def apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def gradients(network: nn.Module, loss_of: Callable, batch: dict[str, Tensor], size: int) -> tuple[float, dict]:
    """The loss of a batch read so many rows at a time, and the gradients."""
    network.zero_grad()
    loss = accumulate(loss_of, batch, size)
    return loss.item(), {n: w.grad.clone() for n, w in network.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("size", [1, 3, 5, 12])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_parts_add_up_to_those_of_the_batch(kind, size):
    network = network_of(kind, **STILL).train()
    batch = Padding.of(tiny_tokenizer())([{**row} for row in rows_of(13)])
    del batch[SPECIAL]
    compute = LOSSES["bce" if kind == "bcos" else "ce"]

    def loss_of(part: dict[str, Tensor]) -> Tensor:
        inputs = {name: value for name, value in part.items() if name != "labels"}
        return compute(network(**inputs), part["labels"])

    whole, expected = gradients(network, loss_of, batch, 13)
    parts, found = gradients(network, loss_of, batch, size)
    assert parts == pytest.approx(whole, rel=1e-6)
    largest = max(gradient.abs().max().item() for gradient in expected.values())
    assert apart(found, expected) < 1e-6 * max(1.0, largest)
    assert largest > 1e-2


@pytest.mark.parametrize("size", [1, 2, 5])
def test_masked_positions_count_alike_in_whatever_part_they_are(size):
    generator = torch.Generator().manual_seed(0)
    weight = nn.Linear(6, 30)
    states = torch.randn(7, 9, 6, generator=generator)
    labels = torch.randint(30, (7, 9), generator=generator)
    hidden = torch.rand(7, 9, generator=generator) < torch.linspace(0, 0.9, 7)[:, None]  # none in the first row
    batch = {"states": states, "labels": labels.masked_fill(~hidden, IGNORED)}

    def loss_of(part: dict[str, Tensor]) -> Tensor:
        return masked_loss(BatchEncoding({"logits": weight(part["states"])}), part["labels"])

    whole, expected = gradients(weight, loss_of, batch, 7)
    parts, found = gradients(weight, loss_of, batch, size)
    assert parts == pytest.approx(whole, rel=1e-6)
    assert apart(found, expected) < 1e-6
    nothing = {**batch, "labels": torch.full_like(labels, IGNORED)}
    assert gradients(weight, loss_of, nothing, size)[0] == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_in_parts_is_the_same_training(kind, tmp_path):
    exact = {"kind": kind, "dtype": torch.float64}  # Adam makes steps of rounding where there is no gradient
    whole = Run(tmp_path / "whole", settings(), **exact).go()
    parts = Run(tmp_path / "parts", settings(gradient_accumulation_steps=3), **exact).go()
    assert [len(ids) for ids in whole.seen] == [8, 8, 3, 8, 8, 3]
    assert [len(ids) for ids in parts.seen] == 2 * [3, 3, 2, 3, 3, 2, 3]
    assert torch.equal(torch.cat([ids.flatten() for ids in parts.seen]), torch.cat([i.flatten() for i in whole.seen]))
    assert parts.trainer.state.global_step == whole.trainer.state.global_step == 6
    assert apart(parts.weights, whole.weights) < 1e-6
    assert apart(whole.weights, Run(tmp_path / "begun", settings(), **exact).weights) > 1e-3


def short_of_memory(run: Run, rows: int, spared: int = 0) -> list[str]:
    """Lets the model fail on more rows than that, after so many calls; what is said of it."""
    calls = iter(range(10**6))

    def fail(module: nn.Module, args: tuple, inputs: dict[str, Tensor]) -> None:
        if module.training and len(inputs["input_ids"]) > rows and next(calls) >= spared:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    run.network.register_forward_pre_hook(fail, with_kwargs=True)
    said: list[str] = []
    run.trainer.accumulation.say = said.append
    return said


@pytest.mark.parametrize("spared", [0, 1, 3, 4])
def test_where_memory_is_short_batches_are_read_in_more_parts_and_the_training_is_the_same(spared, tmp_path):
    whole = Run(tmp_path / "whole", settings(), dtype=torch.float64).go()
    run = Run(tmp_path / "short", settings(gradient_accumulation_steps=2 if spared else 1), dtype=torch.float64)
    said = short_of_memory(run, 2, spared)
    run.go()
    assert said[-1] == (
        "Memory does not suffice to train on 4 texts at once; batches of 8 are now read 2 at a time "
        "(gradient_accumulation_steps=4)."
    )
    assert len(said) == (1 if spared else 2)
    assert run.trainer.accumulation.steps == 4
    assert run.trainer.state.global_step == 6
    assert apart(run.weights, whole.weights) < 1e-6


def test_where_memory_does_not_suffice_for_one_text_the_training_ends_with_a_sentence(tmp_path):
    run = Run(tmp_path, settings())
    said = short_of_memory(run, 0)
    with pytest.raises(UserError, match="memory does not suffice to train on a single text"):
        run.go()
    assert [line.split()[7] for line in said] == ["8", "4", "2"]


def test_other_failures_are_not_taken_for_want_of_memory():
    accumulation = Accumulation(8, 1, pytest.fail)

    def step(size: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        accumulation.run(step, lambda: None)


@pytest.mark.parametrize(("batch", "sizes"), [(16, [16, 8, 4, 2, 1]), (12, [12, 6, 3, 2, 1]), (1, [1])])
def test_parts_are_halved_down_to_one_text(batch, sizes):
    accumulation, tried = Accumulation(batch, 1, lambda line: None), []

    def step(size: int) -> None:
        tried.append(size)
        raise MemoryError

    with pytest.raises(UserError):
        accumulation.run(step, lambda: None)
    assert tried == sizes


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_computes_in_bfloat16_and_keeps_weights_and_measures_in_float32(kind, tmp_path):
    plain = Run(tmp_path / "plain", settings(), kind).go()
    run = Run(tmp_path / "bf16", settings(precision="bf16"), kind).go()
    assert (run.cast, plain.cast) == ({True}, {False})
    assert {weight.dtype for weight in run.weights.values()} == {torch.float32}
    assert 0 < apart(run.weights, plain.weights) < 0.02
    run.cast.clear()
    in_full_precision(run.trainer)
    run.trainer.compute_metrics = None
    run.trainer.predict([{k: v for k, v in row.items() if k != SPECIAL} for row in rows_of(4)])
    assert run.cast == {False}
    after = Run(tmp_path / "after", settings(), kind).go()  # in a process that has trained in bf16
    assert apart(after.weights, plain.weights) == 0


def test_another_precision_is_another_training(tmp_path, monkeypatch):
    use_cache(monkeypatch, tmp_path)
    folder, report = faithbench.train("conv-tiny", DATA, Training(1, precision="bf16"), device="cpu")
    assert report["training"]["precision"] == "bf16"
    weights = (folder / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(UserError, match="was trained with precision=bf16, not float32"):
        faithbench.train("conv-tiny", DATA, Training(1), device="cpu")
    fast = Training(1, precision="bf16", gradient_accumulation_steps=4, dataloader_num_workers=2)
    assert faithbench.train("conv-tiny", DATA, fast, device="cpu")[0] == folder  # the same training
    assert faithbench.train("conv-tiny", DATA, Training(gradient_accumulation_steps=2), device="cpu")[0] == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == weights


def test_what_makes_no_other_model_is_no_part_of_its_identity(tmp_path):
    fast = settings(gradient_accumulation_steps=4, dataloader_num_workers=2)
    assert fast.differences(settings()) == settings().differences(fast) == []
    assert settings().differences({"epochs": 2, "lr": 1e-3, "batch_size": 8}) == []  # of a report from before
    assert settings(precision="bf16").differences({"epochs": 2, "lr": 1e-3, "batch_size": 8}) == [
        ("precision", "bf16", "float32")
    ]
    assert work_folder(tmp_path, fast, 0) == work_folder(tmp_path, settings(), 0)  # a killed one goes on
    assert work_folder(tmp_path, settings(precision="bf16"), 0) != work_folder(tmp_path, settings(), 0)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
def test_workers_make_the_same_batches_and_are_not_heard(masked, tmp_path, capfd):
    alone = Run(tmp_path / "alone", settings(), masked=masked, hidden_dropout_prob=0.1).go()
    run = Run(tmp_path / "two", settings(dataloader_num_workers=2), masked=masked, hidden_dropout_prob=0.1)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.go()
    assert capfd.readouterr() == ("", "")
    assert all(torch.equal(one, other) for one, other in zip(alone.seen, run.seen, strict=True))
    assert apart(run.weights, alone.weights) == 0


class Stop(TrainerCallback):
    """Ends a training as a kill would, once a state is there."""

    def on_save(self, *args: object, **more: object) -> None:
        raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"gradient_accumulation_steps": 3}, {"precision": "bf16"}])
def test_a_killed_training_goes_on_to_the_same_weights(how, tmp_path):
    whole = Run(tmp_path / "whole", settings(**how), hidden_dropout_prob=0.1).go()
    killed = Run(tmp_path / "killed", settings(**how), hidden_dropout_prob=0.1)
    killed.trainer.add_callback(Stop())
    with pytest.raises(KeyboardInterrupt):
        killed.go()
    rest = Run(tmp_path / "killed", settings(**how), hidden_dropout_prob=0.1).go()
    assert 0 < len(rest.seen) < len(whole.seen)
    assert apart(rest.weights, whole.weights) == 0


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("paired", [False, True])
def test_batches_are_those_of_the_collator_of_transformers(side, paired):
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = side
    rows = rows_of(16)
    if paired:
        rows = [{**row, "token_type_ids": [i % 2 for i in range(len(row["input_ids"]))]} for row in rows]
    expected = DataCollatorWithPadding(tokenizer)([dict(row) for row in rows])
    found = Padding.of(tokenizer)(rows)
    assert found.keys() == expected.keys()
    for name, column in found.items():
        assert column.dtype == expected[name].dtype
        assert torch.equal(column, expected[name])
    assert "labels" not in Padding.of(tokenizer)([{"input_ids": [1, 2]}])


def test_nothing_is_done_in_each_step_that_nobody_reads(tmp_path):
    run = Run(tmp_path, settings())
    assert isinstance(run.trainer, LengthGroupedTrainer)
    assert not run.trainer.args.logging_nan_inf_filter  # it waits for the device in each step
    run.go()
    assert run.trainer.state.total_flos == 0
    logs = [entry for entry in run.trainer.state.log_history if "loss" in entry]
    assert logs
    assert not any("grad_norm" in entry for entry in logs)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"precision": "fp16"}, "precision='fp16' is not allowed; use auto or float32 or bf16"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps=0 is not allowed; it must be positive"),
        ({"gradient_accumulation_steps": 9}, "has no more parts than texts"),
        ({"dataloader_num_workers": -1}, "dataloader_num_workers=-1 is not allowed; use 0 to 64"),
        ({"dataloader_num_workers": True}, "dataloader_num_workers=True is not allowed"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        settings(**wrong)


def test_a_device_without_bfloat16_is_named(monkeypatch):
    monkeypatch.setattr(fine_tuning, "is_torch_bf16_gpu_available", lambda: False)
    with pytest.raises(UserError, match="device 'cuda' has no bfloat16"):
        check_precision("bf16", "cuda")
    check_precision("bf16", "cpu")
    check_precision("float32", "cuda")
