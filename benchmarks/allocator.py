"""How much glibc's way of giving memory back costs a CPU run: the same rows with and without it.

    python benchmarks/allocator.py

By default glibc returns each large block to the system, so every activation is paged in anew. A faithbench run asks it
to keep them (`faithbench.training.allocator`). Each measurement is a process of its own; the two alternate.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from engine import model_and_texts

from faithbench.bcos import convert
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.training.allocator import keep_freed_memory

ROWS, LENGTH, REPEATS = 100, 40, 3
KINDS = ("conventional", "B-cos")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)  # this one, in this process
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    arguments = parser.parse_args()
    rows, repeats, kinds = (4, 1, KINDS[:1]) if arguments.tiny else (ROWS, REPEATS, KINDS)
    if arguments.cell:
        print(seconds(arguments.cell[0], arguments.cell[1] == "kept", rows))
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    for kind in kinds:
        times: dict[str, list[float]] = {"default": [], "kept": []}
        for _ in range(repeats):
            for name, found in times.items():
                command = [sys.executable, __file__, *(["--tiny"] if arguments.tiny else []), "--cell", kind, name]
                done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                found.append(float(done.stdout))
        ratio = statistics.median(times["default"]) / statistics.median(times["kept"])
        print(f"{kind}: {ratio:.2f} times faster where memory is kept ({rows} rows of {LENGTH} tokens, {repeats} runs)")


def seconds(kind: str, keep: bool, rows: int) -> float:
    """CPU seconds for the rows."""
    if keep:
        assert keep_freed_memory(), "this machine's C library is not glibc"
    torch.set_num_threads(1)
    classifier, _ = model_and_texts(4, layers=6, width=384, device="cpu")
    if kind == "B-cos":
        classifier = HuggingFaceClassifier(convert(classifier.model, 1.5), classifier.tokenizer, "cpu")
    asked = list(np.random.default_rng(0).integers(5, 60, (rows, LENGTH)))
    batch = classifier.batch_tokens // LENGTH
    classifier.logits(asked[:batch])
    start = time.process_time()
    for i in range(0, rows, batch):
        classifier.logits(asked[i : i + batch])
    return time.process_time() - start


if __name__ == "__main__":
    main()
