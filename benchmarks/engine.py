"""What the engine and the adapter cost over a bare loop, and whether memory grows with the data set.

    python benchmarks/engine.py
    python benchmarks/engine.py --adapter

The bare loop is given the engine's rows, duplicates already removed, sorted by length and packed into full batches of
the same token budget: it does nothing but run the model. Both run in turn, several times, in one process. With
`--adapter` a model of transformers is called as its manual says, for full batches of one length or of padded rows, and
against it the adapter with the same rows, which computes the last layer at the position that is read alone; `uncut` is
the adapter without that.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, predict
from faithbench.conversations import Conversation, ask, together
from faithbench.datasets.planted import Planted
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.models.probes import Abilities
from faithbench.plugins import finding
from faithbench.plugins.spec import build
from faithbench.questions import Row
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Target, Text

EXPLAINERS = ("occlusion", "random")
METRICS = ("comprehensiveness", "sufficiency")
CLASSES = 2
TYPES = ("Bert", "ModernBert", "GPT2", "Llama")
LENGTHS = (31, 128)
CALLS = 3  # of a batch, for each time that is taken


class Listening:
    """A classifier that remembers the rows it was given."""

    def __init__(self, classifier: HuggingFaceClassifier) -> None:
        self.classifier, self.batch_tokens, self.rows = classifier, classifier.batch_tokens, []
        self.classes = classifier.classes

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
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
    parser.add_argument("--adapter", action="store_true", help="only the adapter against transformers, type by type")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.texts, arguments.layers, arguments.width, arguments.repeats = 2, 1, 32, 1
        speed(arguments)
        return
    if arguments.adapter:
        for kind in TYPES:
            for length in LENGTHS:
                adapter(kind, length, arguments)
        return
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
    rows = sorted(listening.rows, key=lambda row: len(row.ids))
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


def adapter(kind: str, length: int, arguments: argparse.Namespace) -> None:
    """Prints the ratio adapter : transformers' own call, with and without the cut in the last layer."""
    classifier = typed(kind, arguments.layers, arguments.width, arguments.device)
    rows = np.random.default_rng(0).integers(10, 900, (max(1, classifier.batch_tokens // length), length))
    ids = torch.from_numpy(rows).to(classifier.device)
    asked = [Row(row) for row in rows]
    whole, uncut = classifier.can, replace(classifier.can, cut=None)

    def own() -> None:
        with torch.inference_mode():
            classifier.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.cpu()

    def read(can: Abilities) -> None:
        classifier.can = can
        classifier.logits(asked)

    runs = {"own": own, "adapter": lambda: read(whole), "uncut": lambda: read(uncut)}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(arguments.repeats + 1):  # the first warms up
        for name in list(runs)[:: 1 if repeat % 2 else -1]:
            start = clock(arguments.device)
            for _ in range(CALLS):
                runs[name]()
            times[name].append(clock(arguments.device) - start)
    ratios = {name: np.median(np.divide(found, times["own"])[1:]) for name, found in times.items()}
    print(
        f"{kind:10} {length:4} tokens, {len(rows):3} rows: own {np.median(times['own'][1:]) / CALLS * 1e3:7.1f} ms, "
        f"adapter {ratios['adapter']:.3f}, uncut {ratios['uncut']:.3f}"
    )


def typed(kind: str, layers: int, width: int, device: str) -> HuggingFaceClassifier:
    """A random model of a type, behind the adapter."""
    tokenizer = word_tokenizer([" ".join(f"word{number}" for number in range(900))])
    shape = {"num_hidden_layers": layers, "num_attention_heads": width // 32, "hidden_size": width}
    if kind == "GPT2":
        shape = {"n_layer": layers, "n_head": width // 32, "n_embd": width}
    inner = {} if kind == "GPT2" else {"intermediate_size": 4 * width}
    ends = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(tokenizer), **shape, **inner, **ends)
    return HuggingFaceClassifier(AutoModelForSequenceClassification.from_config(config), tokenizer, device)


def clock(device: str) -> float:
    """Seconds of this process, or of a GPU once it is done."""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


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
        target = (yield from together({text.id: predict(text)}))[text.id].value
        found = yield from together({e.identity: explain(e, text, Target(target), CLASSES) for e in explainers})
        yield from together({(e, m.identity): ask(m.object, text, o.value) for e, o in found.items() for m in metrics})

    return [converse(text) for text in texts]


def packed(rows: Sequence[Row], tokens: int) -> list[list[Row]]:
    """Rows sorted by length in batches as full as the budget allows."""
    batches: list[list[Row]] = [[]]
    for row in rows:
        if (len(batches[-1]) + 1) * len(row.ids) > tokens and batches[-1]:
            batches.append([])
        batches[-1].append(row)
    return batches


def bare(classifier: HuggingFaceClassifier, texts: Sequence[Text], batches: Sequence[list[Row]]) -> None:
    for batch in batches:
        classifier.logits(batch)


def engined(classifier: HuggingFaceClassifier, texts: Sequence[Text], batches: Sequence[list[Row]]) -> None:
    for _ in Engine(classifier).run(conversations(texts)):
        pass


def timed(run, classifier, texts, batches, device: str) -> float:
    start = clock(device)
    run(classifier, texts, batches)
    return clock(device) - start


if __name__ == "__main__":
    main()
