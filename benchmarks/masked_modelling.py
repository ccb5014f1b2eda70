"""What it saves to ask a masked language model only for what was masked: time of a step, and memory.

    python benchmarks/masked_modelling.py

MiniLM's shape with random weights, conventional with cross-entropy and converted to B-cos with binary cross-entropy, a
batch of 16 texts of so many tokens, 15 % of them masked: forward, loss and backward. Each measurement is a process of
its own; the two ways alternate. Printed are the medians, and ratios.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext

import torch
from transformers import BertConfig, BertForMaskedLM

from faithbench.bcos import convert
from faithbench.training.allocator import keep_freed_memory
from faithbench.training.masked_modelling import IGNORED, MASKED, cross_entropy, masked_loss, only_at

MINILM = BertConfig(num_hidden_layers=6, hidden_size=384, num_attention_heads=12, intermediate_size=1536)
TINY = BertConfig(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=16, vocab_size=900)
ROWS, REPEATS, STEPS = 16, 3, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", nargs="+", type=int, default=[64, 256], help="tokens of a text")
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)  # model, way, tokens: measured in this process
    arguments = parser.parse_args()
    if arguments.cell:
        kind, way, length = arguments.cell
        print(*measured(kind == "B-cos", way == "masked", int(length), TINY if arguments.tiny else MINILM))
        return
    lengths, repeats = ([8], 1) if arguments.tiny else (arguments.lengths, REPEATS)
    heads = ("CPU s a step", "MB more")
    print(f"| model | tokens | {' | '.join(f'{head}: all tokens | masked alone | ratio' for head in heads)} |")
    print(f"|{' --- |' * (2 + 3 * len(heads))}")
    for kind in ("conventional", "B-cos"):
        for length in lengths:
            found: dict[str, list[tuple[float, float]]] = {"all": [], "masked": []}
            for _ in range(repeats):
                for way, every in found.items():
                    every.append(in_a_process(kind, way, length, arguments.tiny))
            (seconds, megabytes), (less_seconds, less_megabytes) = map(medians, found.values())
            times = f"{seconds:.2f} | {less_seconds:.2f} | {less_seconds / seconds:.2f}"
            sizes = f"{megabytes:,.0f} | {less_megabytes:,.0f} | {less_megabytes / max(megabytes, 1e-9):.2f}"
            print(f"| {kind} | {length} | {times} | {sizes} |", flush=True)


def medians(every: list[tuple[float, float]]) -> tuple[float, float]:
    """Those of seconds, and of megabytes."""
    seconds, megabytes = zip(*every, strict=True)
    return statistics.median(seconds), statistics.median(megabytes)


def in_a_process(kind: str, way: str, length: int, tiny: bool) -> tuple[float, float]:
    """CPU seconds of a step, and megabytes at the most beyond those at the start."""
    command = [sys.executable, __file__, "--cell", kind, way, str(length), *["--tiny"] * tiny]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def measured(is_bcos: bool, masked_alone: bool, length: int, config: BertConfig) -> tuple[float, float]:
    """The same in this process."""
    keep_freed_memory()
    torch.manual_seed(0)
    network = BertForMaskedLM(config)
    network, loss = (convert(network, 1.5), masked_loss) if is_bcos else (network, cross_entropy)
    ids = torch.randint(config.vocab_size, (ROWS, length))
    chosen = torch.rand(ROWS, length) < MASKED
    labels = ids.masked_fill(~chosen, IGNORED)
    begun, times = resident(), []
    for _ in range(STEPS):
        start = time.process_time()
        with only_at(network.base_model, chosen) if masked_alone else nullcontext():
            outputs = network(input_ids=ids)
        loss(outputs, labels[chosen][None] if masked_alone else labels).backward()
        times.append(time.process_time() - start)
    return min(times), resident() - begun


def resident() -> float:
    """Megabytes of this process at the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
