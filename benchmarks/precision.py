"""What precisions do to scores, and how much faster forward rows are, each against float32 in the same process.

    python benchmarks/precision.py --model FOLDER --dataset hatexplain --dtype bf16-mixed --dtype bfloat16
    python benchmarks/precision.py --tiny

Drift is what a run measures when it begins (docs/precision.md), on more texts if wanted. Speed is that of the first
texts with random masks, all precisions in turn, again and again: CPU seconds on a CPU, seconds on a GPU; the median of
the ratios to float32 of the same turn, with the smallest and the largest. `--tiny` makes a random model of its own.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from faithbench.datasets.build import build_dataset
from faithbench.interfaces import Classifier
from faithbench.models.precision import REDUCED
from faithbench.plan import MIXED, Plan
from faithbench.plugins.naming import refer
from faithbench.plugins.spec import Component
from faithbench.questions import Row
from faithbench.records.manifest import Moved
from faithbench.running.drift import SINGLE, TEXTS, drift
from faithbench.running.grid import DatasetPlan, load_examples, select_components
from faithbench.training.backbones import word_tokenizer
from faithbench.training.encoding import encode_examples
from faithbench.training.fine_tuning import hardware
from faithbench.training.prepare import Prepared, Workshop
from faithbench.training.settings import training_dataset
from faithbench.training.setup import Setup


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], help="name, folder or hub id; repeat for more")
    parser.add_argument("--dataset", default="planted")
    parser.add_argument("--split", default="test")
    parser.add_argument("--dtype", action="append", choices=REDUCED, help="repeat for more [default: bf16-mixed]")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--texts", type=int, default=TEXTS, help="for drift")
    parser.add_argument("--rows", type=int, default=256, help="for speed, in each turn; 0 for none")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--tiny", action="store_true", help="a random model on planted texts, in seconds")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.texts, arguments.rows, arguments.turns = 4, 32, 2
    print(f"{hardware(torch.device(arguments.device))}; torch {torch.__version__}, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        dataset = build_dataset(arguments.dataset)
        data = texts_of(dataset, arguments.split)
        for model in arguments.model or [tiny_model(Path(folder), data)]:
            report(model, dataset, data, arguments)


def texts_of(dataset: Component, split: str) -> DatasetPlan:
    plan = Plan((dataset.identity,), ("any",), ("random",), ("comprehensiveness",))
    return load_examples(dataset, select_components(plan), split, None)


def tiny_model(folder: Path, data: DatasetPlan) -> str:
    """A random BERT of two layers that knows the words of the texts."""
    tokenizer = word_tokenizer([each.text for each in data.sample], limit=64)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    torch.manual_seed(0)
    network = BertForSequenceClassification(config)
    with torch.no_grad():
        network.classifier.weight.mul_(100)  # so that it is not undecided of all texts
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def report(model: str, dataset: Component, data: DatasetPlan, arguments: argparse.Namespace) -> None:
    base, names = training_dataset(dataset), [SINGLE, *(arguments.dtype or [MIXED])]
    made = {name: Workshop(Setup(arguments.device, name)).prepare(refer(model), base) for name in names}
    exact = made[SINGLE]
    times = turns(exact, {name: each.classifier for name, each in made.items()}, data, arguments)
    print(f"\n{exact.label} on {dataset.label}")
    for name in names[1:]:
        texts, moved = drift(exact, made[name].classifier, data, arguments.texts)
        for measure, each in moved.items():
            print(f"  {name:10} {measure:18} {told(each)}  n={texts} texts")
        if arguments.rows:
            ratios = [single / own for single, own in zip(times[SINGLE], times[name], strict=True)]
            span = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"  {name:10} {'rows a second':18} {np.median(ratios):.2f} times float32 ({span}, n={len(ratios)})")


def told(moved: Moved) -> str:
    return f"mean {moved['mean']:+.4f}  absolute {moved['absolute']:.4f}  largest {moved['largest']:.4f}"


def turns(
    exact: Prepared, classifiers: dict[str, Classifier], data: DatasetPlan, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of each classifier for the same rows, in turn; the first turn, which warms up, does not count."""
    rows = masked_rows(exact, data, arguments.rows)
    clock = time.process_time if arguments.device == "cpu" else time.perf_counter
    found: dict[str, list[float]] = {name: [] for name in classifiers}
    for turn in range(arguments.turns + 1 if rows else 0):
        for name, classifier in classifiers.items():
            seconds = timed(classifier, rows, clock)
            found[name] += [seconds] * (turn > 0)
    return found


def masked_rows(exact: Prepared, data: DatasetPlan, count: int) -> list[Row]:
    """Rows of the first texts, longest first, each with half of its content replaced by the mask token."""
    read = encode_examples(exact, data.dataset, data.sample[: max(1, count // 8)]).texts
    generator, rows = np.random.default_rng(0), []
    for number in range(count):
        text = read[number % len(read)]
        gone = (generator.random(len(text)) < 0.5) & ~text.special
        rows.append(Row(np.where(gone, text.mask_id, text.ids), text.types))
    return sorted(rows, key=lambda row: len(row.ids), reverse=True)


def timed(classifier: Classifier, rows: Sequence[Row], clock: Callable[[], float]) -> float:
    start, place = clock(), 0
    while place < len(rows):
        many = max(1, classifier.batch_tokens // len(rows[place].ids))
        classifier.logits(rows[place : place + many])
        place += many
    return clock() - start


if __name__ == "__main__":
    main()
