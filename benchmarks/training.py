"""What a step of training costs beyond the network: faithbench's trainer and transformers' own against a bare loop.

    python benchmarks/training.py

All train the same small network on batches of 16 texts: `bare` has its batches padded beforehand and does forward,
backward, a step of AdamW and of the schedule, and nothing else. CPU time and wall time of a step, median over all steps
of all repeats, in turn. With as many layers as MiniLM and little width, so that Python is what is measured.
"""

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Sampler
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from faithbench.plan import Training
from faithbench.training.backbones import word_tokenizer
from faithbench.training.fine_tuning import classifier_trainer, run_trainer
from faithbench.training.masking import HalfMasking
from faithbench.training.tokenising import Tokenised

WORDS = 900
Steps = list[tuple[float, float]]  # CPU seconds and wall seconds of each


class Clock(TrainerCallback):
    """Notes the time at the end of each step."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def on_step_end(self, *arguments: object, **more: object) -> None:
        self.note()

    def note(self) -> None:
        """The end of a step is now."""
        self.times.append((time.process_time(), time.perf_counter()))

    def steps(self) -> Steps:
        """What each step took, but for the first."""
        ends = zip(self.times, self.times[1:], strict=False)
        return [(after[0] - before[0], after[1] - before[1]) for before, after in ends][1:]


class Grouped(Trainer):
    """With texts of like length in a batch, whatever the version calls that."""

    def _get_train_sampler(self, *arguments: object) -> Sampler[int]:
        return LengthGroupedSampler(self.args.train_batch_size, dataset=self.train_dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=31, help="of a text, on average")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.steps, arguments.repeats, arguments.layers = 6, 1, 1
    tokenizer = word_tokenizer([" ".join(f"word{number}" for number in range(WORDS))], limit=512)
    rows = texts(arguments.steps * 16, arguments.tokens)
    ways = {
        "bare loop": functools.partial(bare, rows=rows),
        "transformers' Trainer": functools.partial(plain, tokenizer=tokenizer, rows=rows),
        "faithbench": functools.partial(ours, tokenizer=tokenizer, rows=rows),
        "faithbench, masking=half": functools.partial(ours, tokenizer=tokenizer, rows=rows, masking=True),
    }
    taken = measured(ways, arguments)
    print(f"{'':32} {'CPU ms a step':>14} {'quartiles':>14} {'beyond bare':>12} {'wall ms':>8}")
    least = statistics.median(cpu for cpu, _ in taken["bare loop"])
    for name, steps in taken.items():
        low, middle, high = np.quantile([cpu for cpu, _ in steps], [0.25, 0.5, 0.75]) * 1000
        wall = statistics.median(wall for _, wall in steps) * 1000
        beyond = middle - 1000 * least
        print(f"{name:32} {middle:14.2f} {f'{low:.2f} – {high:.2f}':>14} {beyond:12.2f} {wall:8.2f}")
    print(
        f"{arguments.layers} layers, {arguments.width} wide, about {arguments.tokens} tokens, on {arguments.device}; ",
        end="",
    )
    print(f"{arguments.repeats} × {arguments.steps} steps of 16 texts, torch {torch.__version__}")


def measured(ways: dict[str, Callable[..., Steps]], arguments: argparse.Namespace) -> dict[str, Steps]:
    """The steps of all repeats of each way, in turn."""
    taken: dict[str, Steps] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            taken[name] += way(network(arguments), arguments=arguments)
    return taken


def network(arguments: argparse.Namespace) -> PreTrainedModel:
    torch.manual_seed(0)
    shape = {"hidden_size": arguments.width, "intermediate_size": 2 * arguments.width}
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS + 5, num_hidden_layers=arguments.layers, num_attention_heads=2, num_labels=3, **shape
        )
    )


def texts(count: int, tokens: int) -> list[Tokenised]:
    """Rows of different length."""
    draws = np.random.default_rng(0)
    lengths = np.clip(draws.poisson(tokens, count), 3, 512)
    return [
        {
            "input_ids": draws.integers(5, WORDS, n).astype(np.int32),
            "special_tokens_mask": np.isin(np.arange(n), [0, n - 1]),
            "label": int(draws.integers(3)),
        }
        for n in lengths
    ]


def bare(model: PreTrainedModel, rows: Sequence[Tokenised], arguments: argparse.Namespace) -> Steps:
    """Nothing but the work, with batches of texts of like length made beforehand."""
    ordered = sorted(rows, key=lambda row: len(row["input_ids"]))
    batches = []
    for start in range(0, len(ordered), 16):
        some = ordered[start : start + 16]
        ids = [torch.tensor(row["input_ids"]) for row in some]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(arguments.device)
        batches.append((padded, torch.tensor([row["label"] for row in some], device=arguments.device)))
    model.to(arguments.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    clock = Clock()
    for number in torch.randperm(len(batches)).tolist():
        ids, labels = batches[number]
        F.cross_entropy(model(input_ids=ids, attention_mask=(ids != 0).long()).logits, labels).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        clock.note()
    return clock.steps()


def plain(model: PreTrainedModel, tokenizer: object, rows: Sequence[Tokenised], arguments: argparse.Namespace) -> Steps:
    """Transformers' Trainer with what it does where nobody says otherwise."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=1,
            per_device_train_batch_size=16,
            max_grad_norm=0.0,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            use_cpu=arguments.device == "cpu",
            dataloader_pin_memory=arguments.device != "cpu",
        )
        padding = DataCollatorWithPadding(tokenizer)  # type: ignore[arg-type]
        loss = lambda outputs, labels, **more: F.cross_entropy(outputs.logits, labels)  # noqa: E731
        trainer = Grouped(model, settings, padding, list(rows), compute_loss_func=loss, callbacks=[clock])
        run_trainer(trainer, Path(folder), verbose=False)
    return clock.steps()


def ours(
    model: PreTrainedModel,
    tokenizer: object,
    rows: Sequence[Tokenised],
    arguments: argparse.Namespace,
    masking: bool = False,
    training: Training = Training(),
) -> Steps:
    """The trainer of `faithbench train`."""
    clock, told = Clock(), replace(training, epochs=1, lr=1e-4)
    masks = HalfMasking(3, 0) if masking else None
    with tempfile.TemporaryDirectory() as folder:
        data, work = {"train": rows, "validation": rows[:16]}, Path(folder)
        trainer = classifier_trainer(model, tokenizer, data, work, told, 0, arguments.device, "ce", False, masks)
        trainer.add_callback(clock)
        run_trainer(trainer, work, verbose=False)
    return clock.steps()


if __name__ == "__main__":
    main()
