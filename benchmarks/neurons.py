"""Neurons: recording against a bare forward loop, describing and scoring, and memory at ten times the documents.

    python benchmarks/neurons.py
    python benchmarks/neurons.py --tiny

A CRATE of two layers with random weights reads documents of random words. `bare` runs the same batches
and keeps nothing; the median of several repeats in turn is told. Peaks (`VmHWM`) are of a process each that describes
in four ways, with imports, in MB of 10⁶ bytes.
"""

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from faithbench.models.crate import CrateForCausalLM
from faithbench.models.language import HuggingFaceLanguageModel
from faithbench.models.white_box_configs import CrateConfig
from faithbench.neurons.corpus import Corpus, read_corpus
from faithbench.neurons.reader import Reader
from faithbench.neurons.recording import Unit, choose_units, record
from faithbench.neurons.showing import shown_windows
from faithbench.plugins.spec import build
from faithbench.running.describing import Study
from faithbench.running.neurons import answering
from faithbench.types import Example

WORDS, WINDOW, LENGTH = 2_000, 64, 128
DESCRIBERS = ("token_topk", "token_table", "next_token_table", "ngram")


def language_model() -> HuggingFaceLanguageModel:
    """With random weights, d = 128."""
    vocabulary = {"</s>": 0, **{f"w{number}": number for number in range(1, WORDS)}}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", unk_token="</s>")
    torch.manual_seed(0)
    config = CrateConfig(vocab_size=WORDS, max_position_embeddings=LENGTH, eos_token_id=0)
    return HuggingFaceLanguageModel(CrateForCausalLM(config), tokenizer)


def read(model: HuggingFaceLanguageModel, documents: int) -> Corpus:
    generator = np.random.default_rng(0)
    texts = (" ".join(f"w{word}" for word in generator.integers(1, WORDS, LENGTH)) for _ in range(documents))
    examples = (Example(f"{number}", text, None) for number, text in enumerate(texts))
    return read_corpus(examples, model.tokenizer, model.max_length, WINDOW)


def bare(model: HuggingFaceLanguageModel, corpus: Corpus) -> float:
    """Seconds of the forward passes alone."""
    reader, start = Reader(model), time.perf_counter()

    def run(rows: slice) -> None:
        ids = corpus.ids[corpus.bounds[rows.start] : corpus.bounds[rows.stop]].reshape(rows.stop - rows.start, -1)
        reader.read(reader.ids(ids))

    for _ in reader.batches(corpus.lengths, run):
        pass
    return time.perf_counter() - start


def recorded(
    model: HuggingFaceLanguageModel, corpus: Corpus, units: tuple[Unit, ...], describers: Sequence[str]
) -> tuple[float, float]:
    """Seconds of recording, and of describing and scoring all neurons."""
    made = {name: build("describer", name) for name in describers}
    scores = {"random_only": build("score", "random_only")}
    start = time.perf_counter()
    with record(model, corpus, units) as activations:
        written = time.perf_counter()
        identity = dict.fromkeys(("dataset", "dataset_fingerprint", "model", "model_fingerprint"), "x")
        study = Study(identity, made, scores, answering(activations))
        for place in range(len(units)):
            neuron = activations.neuron(place)
            shown = neuron.evaluate.windows.take(shown_windows(neuron)[0])
            study.of(neuron, [(name, score) for name in made for score in scores], (), shown)
        return written - start, time.perf_counter() - written


def peak(documents: int, per_layer: int) -> float:
    """MB of a process of its own that records so many documents."""
    command = [sys.executable, __file__, "--peak", str(documents), "--per-layer", str(per_layer)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def high_water() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=150)
    parser.add_argument("--per-layer", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--peak", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tiny:
        options.documents, options.per_layer, options.repeats = 30, 4, 1
    torch.set_num_threads(1)
    model = language_model()
    units = choose_units(model.model, per_layer=options.per_layer)
    corpus = read(model, options.peak or options.documents)
    if options.peak:
        recorded(model, corpus, units, DESCRIBERS)
        print(high_water())
        return
    times = [(bare(model, corpus), *recorded(model, corpus, units, DESCRIBERS[:1])) for _ in range(options.repeats)]
    forward, recording, studied = (median(column) for column in zip(*times, strict=True))
    few, many = (peak(count, options.per_layer) for count in (options.documents, 10 * options.documents))
    tokens = len(corpus.ids)
    print(f"{len(units)} neurons, {options.documents} documents of {LENGTH} tokens, {options.repeats} repeats")
    print(f"bare forward passes: {tokens / forward:,.0f} tokens/s")
    print(f"recording, with numbers of all units and the loss: {tokens / recording:,.0f} tokens/s")
    print(f"recording / bare: {recording / forward:.2f} times the seconds")
    print(f"described (token_topk) and scored (random_only): {len(units) / studied:,.0f} neurons/s")
    print(f"peak memory: {few:,.0f} MB; at ten times the documents {many:,.0f} MB")
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{platform.machine()}, 1 thread, float32, {versions}")


if __name__ == "__main__":
    main()
