"""Language models behind the adapter: memory of a large vocabulary, and rows a second against a bare loop.

    python benchmarks/decoders.py

Models are random, of 50,257 tokens; rows are those that occlusion, sampled Shapley values and four metrics ask of
prefixes of several lengths. The bare loop is given the engine's own batches, as tensors that are there already: it runs
the model's body and the rows of the output layer that belong to the candidates, or (`whole`) calls the model as its
manual says, which makes logits of the whole vocabulary at every token. Loop, adapter and engine run in turn in one
process, in CPU seconds. Memory is the peak of a process of its own, beyond that of
one that loads the model only, with this vocabulary and with one of 2,000. One forward pass a batch, no gradients.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, predict
from faithbench.conversations import Conversation, ask, together
from faithbench.models.language import HuggingFaceLanguageModel, halves
from faithbench.plugins.spec import build
from faithbench.questions import Row
from faithbench.types import Example, Target, Text

EXPLAINERS = ("occlusion", "shap_sampl(n_permutations=4)")
METRICS = ("comprehensiveness", "sufficiency", "deletion", "insertion")
TYPES = ("GPT2", "Llama")
WORDS, LENGTHS = 900, (7, 15, 31, 63)
SMALL = 2000  # a vocabulary
Batch = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor]  # ids, mask, last places, candidates


class Listening:
    """A language model that remembers the batches it was given."""

    def __init__(self, model: HuggingFaceLanguageModel) -> None:
        self.model, self.batch_tokens, self.batches = model, model.batch_tokens, []
        self.classes, self.tokens, self.task = model.classes, model.tokens, model.task

    def logits(self, rows: Sequence[Row]) -> np.ndarray:
        self.batches.append(list(rows))
        return self.model.logits(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1, help="of each length")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=50_257)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", choices=("load", "adapter", "whole"), help="only print peak memory (used internally)")
    parser.add_argument("--only", choices=TYPES, nargs="+", default=TYPES)
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.texts, arguments.layers, arguments.width, arguments.vocabulary, arguments.repeats = 1, 1, 32, 2000, 1
    if arguments.peak:
        print(peak_memory(arguments))
        return
    print(f"CPU, {torch.get_num_threads()} thread(s); {arguments.layers} layers, {arguments.width} wide", end=", ")
    print(f"{arguments.vocabulary:,} tokens of vocabulary; median (least to most) of {arguments.repeats} repeats")
    for kind in arguments.only:
        speed(kind, arguments)
        if not arguments.tiny:
            memory(kind, arguments)


def speed(kind: str, arguments: argparse.Namespace) -> None:
    """Prints the ratios of engine, adapter and whole logits to the bare loop."""
    model, texts = model_and_texts(kind, arguments)
    listening = Listening(model)
    engine = Engine(listening)
    list(engine.run(conversations(texts)))
    batches = [prepared(rows) for rows in listening.batches]
    runs: dict[str, Callable[[], object]] = {
        "bare": lambda: [candidates_alone(model, batch) for batch in batches],
        "whole": lambda: [whole_logits(model, batch) for batch in batches],
        "adapter": lambda: [model.logits(rows) for rows in listening.batches],
        "engine": lambda: list(Engine(model).run(conversations(texts))),
    }
    check(model, listening.batches)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(arguments.repeats):
        for name in list(runs)[:: 1 if repeat % 2 else -1]:
            start = time.process_time()
            runs[name]()
            times[name].append(time.process_time() - start)
    counts = [len(rows) for rows in listening.batches]
    lengths = [len(row.ids) for row in chain(*listening.batches)]
    print(
        f"{kind}: {len(texts)} texts, {sum(counts):,} rows of {min(lengths)} to {max(lengths)} tokens "
        f"in {len(counts):,} batches of {min(counts)} to {max(counts)}; "
        f"bare loop {sum(counts) / np.median(times['bare']):,.0f} rows a CPU second"
    )
    for name in ("engine", "adapter", "whole"):
        ratios = np.divide(times[name], times["bare"])
        print(f"  {name} / bare loop, time: {np.median(ratios):.3f} ({ratios.min():.3f} to {ratios.max():.3f})")


def check(model: HuggingFaceLanguageModel, batches: Sequence[Sequence[Row]]) -> None:
    """Both loops say what the adapter says, or nothing would be compared."""
    for rows in (batches[0], batches[-1]):
        found, batch = model.logits(rows), prepared(rows)
        for loop in (candidates_alone, whole_logits):
            np.testing.assert_allclose(loop(model, batch), found, rtol=1e-3, atol=1e-3)


def prepared(rows: Sequence[Row]) -> Batch:
    """A batch as tensors, padded on the right."""
    lengths = torch.tensor([len(row.ids) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for own, row in zip(ids, rows, strict=True):
        own[: len(row.ids)] = torch.tensor(row.ids)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return ids, None if mask.all() else mask, lengths - 1, torch.tensor([row.candidates for row in rows])


def candidates_alone(model: HuggingFaceLanguageModel, batch: Batch) -> np.ndarray:
    """The leanest loop: the body of the model, and two rows of its output layer."""
    ids, mask, last, candidates = batch
    with torch.inference_mode():
        states = model.body(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        read = states[torch.arange(len(ids)), last]
        weight = model.model.get_output_embeddings().weight[candidates]
        return halves((weight @ read[:, :, None])[:, :, 0]).numpy()


def whole_logits(model: HuggingFaceLanguageModel, batch: Batch) -> np.ndarray:
    """As the manual of transformers has it."""
    ids, mask, last, candidates = batch
    with torch.inference_mode():
        logits = model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        return halves(logits[torch.arange(len(ids)), last].gather(1, candidates)).numpy()


def memory(kind: str, arguments: argparse.Namespace) -> None:
    """Prints what answering the rows takes beyond the model that is loaded, each way in its own process."""

    def beyond(way: str, vocabulary: int) -> float:
        shape = [f"--{name}={getattr(arguments, name)}" for name in ("texts", "layers", "width")]
        command = [sys.executable, __file__, "--only", kind, *shape, f"--vocabulary={vocabulary}", "--peak"]
        loaded, peak = (
            float(subprocess.run([*command, each], check=True, capture_output=True, text=True).stdout)
            for each in ("load", way)
        )
        return peak - loaded

    ways = {(way, size): beyond(way, size) for way in ("adapter", "whole") for size in (SMALL, arguments.vocabulary)}
    told = ", ".join(f"{way} with {size:,} tokens {found:+.0f} MiB" for (way, size), found in ways.items())
    print(f"  peak memory beyond the loaded model: {told}")


def peak_memory(arguments: argparse.Namespace) -> float:
    """Peak resident memory in MiB of a loaded model, or of one that has answered all rows of prefixes besides."""
    model, texts = model_and_texts(arguments.only[0], arguments)
    rows = [Row(text.ids, candidates=text.candidates) for text in texts for _ in range(len(text))]
    size = max(1, model.batch_tokens // len(rows[-1].ids))
    for batch in (rows[start : start + size] for start in range(0, len(rows), size)):
        if arguments.peak == "adapter":
            model.logits(batch)
        elif arguments.peak == "whole":
            whole_logits(model, prepared(batch))
    status = Path("/proc/self/status").read_text()  # not getrusage, which begins at the parent's peak
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def model_and_texts(kind: str, arguments: argparse.Namespace) -> tuple[HuggingFaceLanguageModel, list[Text]]:
    """A random language model, and prefixes of random words, longest first as a run has them."""
    vocabulary = {word: i for i, word in enumerate(["<unk>", "<s>", *(f"word{i}" for i in range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="<s>")
    heads, width = max(1, arguments.width // 32), arguments.width
    shape = {"num_hidden_layers": arguments.layers, "num_attention_heads": heads, "hidden_size": width}
    grouped = {"intermediate_size": 4 * width, "num_key_value_heads": max(1, heads // 2), "pad_token_id": None}
    options = {"n_layer": arguments.layers, "n_head": heads, "n_embd": width} if kind == "GPT2" else shape | grouped
    ends = {"bos_token_id": 1, "eos_token_id": 1}
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(vocab_size=arguments.vocabulary, **options, **ends)
    model = HuggingFaceLanguageModel(AutoModelForCausalLM.from_config(config), words)
    drawn = np.random.default_rng(0)
    texts = []
    for length in sorted(LENGTHS * arguments.texts, reverse=True):
        *prefix, good, bad = (f"word{number}" for number in drawn.choice(WORDS, length + 2, replace=False))
        texts.append(model.encode(Example(str(len(texts)), " ".join(prefix), 0, good=good, bad=bad)))
    return model, texts


def conversations(texts: Sequence[Text]) -> list[Conversation[None]]:
    """What a run asks of each text."""
    explainers = [build("explainer", name) for name in EXPLAINERS]
    metrics = [build("metric", name) for name in METRICS]

    def converse(text: Text) -> Conversation[None]:
        target = Target((yield from together({text.id: predict(text)}))[text.id].value)
        found = yield from together({e.identity: explain(e, text, target, 2) for e in explainers})
        yield from together({(e, m.identity): ask(m.object, text, o.value) for e, o in found.items() for m in metrics})

    return [converse(text) for text in texts]


if __name__ == "__main__":
    main()
