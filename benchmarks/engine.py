"""What the engine costs over a bare loop, and whether its memory grows with the data set.

    python benchmarks/engine.py

The bare loop is given the engine's rows, duplicates already removed, sorted by length and packed into full batches of
the same token budget: it does nothing but run the model. Both run in turn, several times, in one process.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, predict
from faithbench.conversations import Conversation, ask, together
from faithbench.datasets.planted import Planted
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import finding
from faithbench.plugins.spec import build
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Text

EXPLAINERS = ("occlusion", "random")
METRICS = ("comprehensiveness", "sufficiency")
CLASSES = 2


class Listening:
    """A classifier that remembers the rows it was given."""

    def __init__(self, classifier: HuggingFaceClassifier) -> None:
        self.classifier, self.batch_tokens, self.rows = classifier, classifier.batch_tokens, []

    def logits(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        self.rows.extend(rows)
        return self.classifier.logits(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=48)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--peak", action="store_true", help="only print this process's peak memory (used internally)")
    arguments = parser.parse_args()
    if arguments.peak:
        print(peak_memory(arguments.texts))
        return
    speed(arguments)
    memory()


def speed(arguments: argparse.Namespace) -> None:
    """Prints the ratio engine : bare loop, median over repeats in turn."""
    classifier, texts = model_and_texts(arguments.texts, arguments.layers, arguments.width, arguments.device)
    listening = Listening(classifier)
    engine = Engine(listening)
    list(engine.run(conversations(texts)))
    rows = sorted(listening.rows, key=len)
    batches = packed(rows, classifier.batch_tokens)
    ratios = []
    for repeat in range(arguments.repeats):
        order = (bare, engined) if repeat % 2 else (engined, bare)  # neither always comes first
        times = {run: timed(run, classifier, texts, batches, arguments.device) for run in order}
        ratios.append(times[engined] / times[bare])
        print(f"  bare loop {times[bare]:.2f} s, engine {times[engined]:.2f} s, ratio {ratios[-1]:.3f}")
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"{name}; BERT of {arguments.layers} layers, {arguments.width} wide; {len(texts)} texts")
    print(f"rows asked {engine.counts.asked:,}, rows run {engine.counts.run:,}, batches of the loop {len(batches):,}")
    print(f"engine / bare loop: median {np.median(ratios):.3f}, least {min(ratios):.3f}, most {max(ratios):.3f}")


def memory() -> None:
    """Prints the peak memory of a run over 200 and over 2,000 texts, each in its own process."""
    peaks = {}
    for texts in (200, 2000):
        command = [sys.executable, __file__, "--peak", "--texts", str(texts)]
        peaks[texts] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"peak memory over {texts:,} texts: {peaks[texts]:.0f} MiB")
    print(f"2,000 texts / 200 texts: {peaks[2000] / peaks[200]:.3f}")


def peak_memory(count: int) -> float:
    """Peak resident memory in MiB of scoring so many texts with a small model."""
    classifier, texts = model_and_texts(count, layers=2, width=64, device="cpu")
    for _ in Engine(classifier).run(conversations(texts)):
        pass
    status = Path("/proc/self/status").read_text()  # not getrusage, which begins at the parent's peak
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def model_and_texts(count: int, layers: int, width: int, device: str) -> tuple[HuggingFaceClassifier, list[Text]]:
    """A random model, and planted texts of many lengths, longest first as a run has them."""
    examples = Planted(test=count, distractors=48).load("test")
    tokenizer = word_tokenizer(example.text for example in examples)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
    )
    classifier = HuggingFaceClassifier(BertForSequenceClassification(config), tokenizer, device)
    return classifier, sorted((classifier.encode(example) for example in examples), key=len, reverse=True)


def conversations(texts: Sequence[Text]) -> list[Conversation[None]]:
    """What a run asks of each text."""
    assert set(EXPLAINERS) <= set(finding.find("explainer"))
    explainers = [build("explainer", name) for name in EXPLAINERS]
    metrics = [build("metric", name) for name in METRICS]

    def converse(text: Text) -> Conversation[None]:
        target = yield from predict(text)
        found = yield from together({e.identity: explain(e, text, target, CLASSES) for e in explainers})
        yield from together({(e, m.identity): ask(m.object, text, o.value) for e, o in found.items() for m in metrics})

    return [converse(text) for text in texts]


def packed(rows: Sequence[np.ndarray], tokens: int) -> list[list[np.ndarray]]:
    """Rows sorted by length in batches as full as the budget allows."""
    batches: list[list[np.ndarray]] = [[]]
    for row in rows:
        if (len(batches[-1]) + 1) * len(row) > tokens and batches[-1]:
            batches.append([])
        batches[-1].append(row)
    return batches


def bare(classifier: HuggingFaceClassifier, texts: Sequence[Text], batches: Sequence[list[np.ndarray]]) -> None:
    for batch in batches:
        classifier.logits(batch)


def engined(classifier: HuggingFaceClassifier, texts: Sequence[Text], batches: Sequence[list[np.ndarray]]) -> None:
    for _ in Engine(classifier).run(conversations(texts)):
        pass


def timed(run, classifier, texts, batches, device: str) -> float:
    start = time.process_time() if device == "cpu" else time.perf_counter()
    run(classifier, texts, batches)
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.process_time() if device == "cpu" else time.perf_counter()) - start


if __name__ == "__main__":
    main()
