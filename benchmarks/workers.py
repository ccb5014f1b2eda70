"""What worker processes gain: one process of one thread against N of one thread each, on the same run.

    python benchmarks/workers.py [--workers 2] [--texts 32] [--repeats 3] [--tiny] [--ray]

Each command is a `faithbench run` of its own, so that imports and loading count, and they take turns. A BERT of 6
layers, 384 wide (random weights), on `planted`; `--tiny`: 1 layer, 32 wide. Printed for each: seconds of the wall clock
and of processors (children included), pieces, the share of their time that workers worked, and whether the records are
those of one process. On a machine that others use too, the wall clock says little: `on free cores` is what processor
times give if each process has a core to itself, with preparation and start-up counted as if nothing overlapped.
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from same_records import compare
from transformers import BertConfig, BertForSequenceClassification

from faithbench.datasets.planted import Planted
from faithbench.training.backbones import word_tokenizer

EXPLAINERS = ("shap_sampl(n_permutations=3)", "lime(n_samples=60)", "occlusion")
TOLERANCE = 1e-3  # of a text's largest score, which of random weights is small
METRICS = ("comprehensiveness", "sufficiency")
TOLD = re.compile(r"in ([\d,]+) pieces by (\d+) workers.*busy (\d+) % of ([\d.,]+) s with ([\d.,]+) s")


@dataclass(frozen=True)
class Timed:
    """A command: seconds of the wall clock and of processors; of workers, pieces, busy share and their seconds."""

    wall: float
    processor: float
    pieces: int = 1
    busy: float = 1.0
    scoring: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a small model, 8 texts, one repeat: does it run?")
    parser.add_argument("--ray", action="store_true", help="Ray too, on this machine")
    arguments = parser.parse_args()
    texts, repeats = (8, 1) if arguments.tiny else (arguments.texts, arguments.repeats)
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        data = f"planted(train=50, validation=50, test={texts})"
        save_model(home / "model", arguments.tiny)
        ways = {"1": 1, str(arguments.workers): arguments.workers}
        ways |= {"ray": os.cpu_count() or 1} if arguments.ray else {}
        found: dict[str, list[Timed]] = {way: [] for way in ways}
        again: list[Timed] = []
        for number in range(repeats):
            for way in ways:
                found[way].append(timed(home, data, way, home / f"{way}-{number}"))
            again.append(timed(home, data, "1", home / f"1-{number}"))
        prepared = statistics.median(one.processor for one in again)
        print(f"{texts} texts, {repeats} repeats; a run with nothing left takes {prepared:.1f} s of processor time")
        for way, times in found.items():
            report(way, ways[way], times, found["1"], prepared)
            same = all(
                compare(kind, home / "1-0", home / f"{way}-0", TOLERANCE) for kind in ("attributions", "records")
            )
            print(f"  records as those of one process: {same}")
            if not same:
                sys.exit(1)


def report(way: str, count: int, times: list[Timed], ones: list[Timed], prepared: float) -> None:
    """One way of running, as numbers."""
    ratios = sorted(one.wall / more.wall for one, more in zip(ones, times, strict=True))
    processor, alone = (statistics.median(each.processor for each in them) for them in (times, ones))
    print(
        f"{way} workers: wall {', '.join(f'{each.wall:.1f}' for each in times)} s; processor {processor:.1f} s "
        f"({processor / alone:.3f} of one process); pieces {times[0].pieces}"
    )
    if way != "1":
        scoring, busy = (statistics.median(getattr(each, name) for each in times) for name in ("scoring", "busy"))
        start = max(0.0, (processor - prepared - scoring) / count)
        free = prepared + start + scoring / count / busy
        print(
            f"  busy {100 * busy:.0f} %, start-up {start:.1f} s of processor time a worker; one process / workers: "
            f"wall {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), on free cores "
            f"{alone / free:.2f}, scoring alone {(alone - prepared) / (scoring / count / busy):.2f}"
        )


def timed(home: Path, data: str, way: str, out: Path) -> Timed:
    """One command; the processes that it starts count too."""
    words = [sys.executable, "-m", "faithbench", "run", "--dataset", data, "--model", str(home / "model")]
    words += [word for name in EXPLAINERS for word in ("--explainer", name)]
    words += [word for name in METRICS for word in ("--metric", name)]
    words += ["--workers", way, "--out", str(out), "--device", "cpu"]
    before, start = _processor(), time.perf_counter()
    ended = subprocess.run(
        words, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    wall, processor = time.perf_counter() - start, _processor() - before
    if ended.returncode:
        sys.exit(ended.stderr)
    told = TOLD.search(ended.stderr)
    if told is None:
        return Timed(wall, processor)
    pieces, _, busy, _, scoring = (float(each.replace(",", "")) for each in told.groups())
    return Timed(wall, processor, int(pieces), max(busy, 1) / 100, scoring)


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def save_model(folder: Path, tiny: bool) -> None:
    """A classifier with random weights for `planted`."""
    sentences = [example.text for example in Planted(train=50, validation=50, test=50).load("train")]
    tokenizer = word_tokenizer(sentences)
    torch.manual_seed(0)
    wide, layers = (32, 1) if tiny else (384, 6)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=wide,
        num_hidden_layers=layers,
        num_attention_heads=wide // 32,
        intermediate_size=4 * wide,
        id2label=dict(enumerate(Planted.class_names)),
        label2id={name: number for number, name in enumerate(Planted.class_names)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
