"""faithbench's explainers against those of captum, lime, shap and interpreto: time, rows, memory, agreement.

    python benchmarks/explainers.py --model conv-minilm --dataset hatexplain --out runs/explainers.csv

The libraries that are installed run on the same model, texts and classes with the same numbers of samples: at their
defaults and tuned by hand, which means with the batch size that was fastest on two texts (how else they differ stands
in `peers.py`). Each measurement is a process of its own, made after a short text has been explained, and a row in the
csv file; what is there already is not measured again. Quick ones are repeated for 3 seconds, and the median counts.

CPU time is that of the process, on a GPU wall time is taken; rows are those of the model's forward calls, and of its
backward calls. Peak memory is what comes on top of the model, its libraries and what a short text needs. Agreement is
Spearman's rank correlation of the content tokens' scores with those of faithbench, its mean over texts (0 for a text
whose tokens all score the same); where definitions are equal, also the largest difference of a score.
"""

import argparse
import ctypes
import gc
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from peers import PEERS, Scores, Work, faithbench
from scipy.stats import spearmanr
from transformers import BertConfig, BertForSequenceClassification

from faithbench.datasets.sources import DATA_VARIABLE
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.naming import build_dataset
from faithbench.training.backbones import word_tokenizer
from faithbench.training.prepare import prepare
from faithbench.training.setup import Setup
from faithbench.types import Example, Text

OURS = {
    "shap_sampl": "shap_sampl(n_permutations={permutations}, seed={seed})",
    "lime": "lime(n_samples={lime_samples}, seed={seed})",
    "kernel_shap": "kernel_shap(n_samples={kernel_samples}, seed={seed})",
    "occlusion": "occlusion",
    "integrated_gradients": "integrated_gradients(n_steps={steps})",
    "sig": "sig",
    "saliency": "saliency",
    "input_x_gradient": "input_x_gradient",
}
TOOLS = ("captum", "lime", "shap", "interpreto")
SAME = {  # by definition
    *(("captum", m) for m in ("occlusion", "integrated_gradients", "sig", "saliency", "input_x_gradient")),
    ("interpreto", "occlusion"),
}
ONE_GRADIENT = ("saliency", "input_x_gradient")  # a text
FEW = 2  # texts to find the best batch size with, and for captum's sig
SMALL = "planted(train=400, validation=100, test=40)"  # with --tiny
SHORTEST = 3.0  # seconds of measuring
SAMPLES = "permutations lime_samples kernel_samples steps".split()
CONDITIONS = ["model", "dataset", "texts", "tokens", *SAMPLES, "batches", "repeats", "device", "threads"]


@dataclass(frozen=True)
class Cell:
    """One measurement: `setting` is default, tuned or another seed."""

    method: str
    tool: str = "faithbench"
    setting: str = "default"


def main() -> None:
    arguments = parsed()
    if arguments.cell:
        print(json.dumps(measured(Cell(**json.loads(arguments.cell)), arguments)))
        return
    missing = [tool for tool in arguments.tools if find_spec(tool) is None]
    tools = [tool for tool in arguments.tools if tool not in missing]
    conditions = json.dumps({name: getattr(arguments, name) for name in CONDITIONS} | {"machine": machine(arguments)})
    for method in arguments.methods:
        rows = [result(cell, arguments, conditions) for cell in cells(method, tools)]
        print(f"\n**{method}**\n\n{table(rows).to_markdown(index=False, disable_numparse=True)}")
    model = arguments.model or f"random BERT, {layers_of(arguments)} layers, 384 wide"
    data = f"{arguments.texts} texts of {arguments.dataset} of about {arguments.tokens} tokens"
    kind = "CPU" if arguments.device == "cpu" else "wall"
    print(f"\n{machine(arguments)}; {model}; {data}; {kind} seconds, rows, tokens and calls are those of a text")
    if missing:
        print(f"Not installed, so left out: {', '.join(missing)}.")


def cells(method: str, tools: list[str]) -> list[Cell]:
    """Those of faithbench first, then each tool that has the method."""
    ours = [Cell(method), Cell(method, setting="another seed")] if "{seed}" in OURS[method] else [Cell(method)]
    return ours + [Cell(method, tool, s) for tool in tools if tool in PEERS[method] for s in ("default", "tuned")]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="", help="folder, hub id or name; default: random, 6 layers, 384 wide")
    parser.add_argument("--dataset", default=default_dataset())
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=31, help="texts of about this length, special tokens included")
    parser.add_argument("--permutations", type=int, default=25)
    parser.add_argument("--lime-samples", type=int, default=500)
    parser.add_argument("--kernel-samples", type=int, default=500)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=1, help="of each measurement; the median counts")
    parser.add_argument("--methods", nargs="+", choices=OURS, default=list(OURS))
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 16, 32, 64], help="to choose from in tuning")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/explainers.csv"))
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    parser.add_argument("--cell", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.tiny:
        vars(arguments).update(dataset=SMALL, texts=2, tokens=8, permutations=2, lime_samples=20, kernel_samples=20)
        vars(arguments).update(steps=4, batches=[8])
    return arguments


def default_dataset() -> str:
    """HateXplain where `$FAITHBENCH_DATA` has it."""
    return "hatexplain" if (Path(os.environ.get(DATA_VARIABLE, "")) / "hatexplain").is_dir() else "planted"


def result(cell: Cell, arguments: argparse.Namespace, conditions: str) -> dict[str, Any]:
    """The row of a cell, from the file or measured now; without numbers if that fails."""
    known = {"conditions": conditions, **asdict(cell)}
    if arguments.out.is_file():
        found = pd.read_csv(arguments.out, dtype=str)
        found = found[(found[list(known)] == pd.Series(known)).all(axis=1)]
        if len(found):
            return {**asdict(cell), **json.loads(found["result"].iloc[-1])}
    if arguments.tiny:  # not worth a process
        return {**asdict(cell), **measured(cell, arguments)}
    command = [sys.executable, __file__, "--cell", json.dumps(asdict(cell))]
    for name in CONDITIONS:
        given = getattr(arguments, name)
        command += [f"--{name.replace('_', '-')}", *map(str, given if isinstance(given, list) else [given])]
    threads = {name: str(arguments.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    quiet = {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **threads, **quiet})
    name = f"{cell.method}: {cell.tool}, {cell.setting}"
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        print(f"{name} failed: {said[-1]}", file=sys.stderr)
        return asdict(cell)
    row = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {row['seconds']:.2f} s for {row['texts']} texts", file=sys.stderr)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    line = pd.DataFrame([{**known, "result": json.dumps(row)}])
    line.to_csv(arguments.out, mode="a", header=not arguments.out.is_file(), index=False)
    return {**asdict(cell), **row}


def measured(cell: Cell, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs in a process of its own."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(arguments.threads)
    work, short = works(cell, arguments)
    sizes: list[Any] = batches(cell, arguments) if cell.setting == "tuned" else [None]
    batch = best(cell, work, short, sizes, arguments) if len(sizes) > 1 else sizes[0]
    run = peer(cell, batch, arguments)
    timed(run, short, arguments.device)
    counts = dict.fromkeys(("calls", "rows", "gradient_rows", "tokens"), 0)
    with counting(work.classifier.model, counts):
        before = settled(arguments.device)
        seconds, scores = timed(run, work, arguments.device, arguments.repeats, 0 if arguments.tiny else SHORTEST)
        peak = peaked(arguments.device) - before
    content = [found[text.content] for text, found in zip(work.texts, scores, strict=True)]
    return {
        "batch": batch,
        "texts": len(work.texts),
        "seconds": float(np.median(seconds)),
        **{name: count / len(seconds) for name, count in counts.items()},
        "peak": peak / 2**20,
        "scores": [[float(f"{score:.9g}") for score in found] for found in content],
    }


def batches(cell: Cell, arguments: argparse.Namespace) -> list[int]:
    """The batch sizes to choose from; one gradient a text goes in one batch, or, as some do better, one by one."""
    if cell.method in ONE_GRADIENT:
        return [arguments.texts] if cell.tool == "captum" else [1, *arguments.batches]
    return list(arguments.batches)


def best(cell: Cell, work: Work, short: Work, sizes: list[int], arguments: argparse.Namespace) -> int:
    """The batch size that is fastest on the first texts; on all, where batches are filled with texts."""
    count, seconds = len(work.texts) if cell.method in ONE_GRADIENT else FEW, {}
    few = replace(work, texts=work.texts[:count], targets=work.targets[:count])
    for size in sizes:
        run = peer(cell, size, arguments)
        timed(run, short, arguments.device)
        seconds[size] = np.median(timed(run, few, arguments.device, least=SHORTEST / 3)[0])
    return min(seconds, key=seconds.__getitem__)


def timed(
    run: partial[Scores], work: Work, device: str, times: int = 1, least: float = 0
) -> tuple[list[float], Scores]:
    """The seconds of each of so many runs, or of more until they have taken long enough; the scores."""
    seconds: list[float] = []
    while len(seconds) < times or sum(seconds) < least:
        torch.manual_seed(0)
        np.random.seed(0)
        start = clock(device)
        scores = run(work)
        seconds.append(clock(device) - start)
    return seconds, scores


def peer(cell: Cell, batch: int | None, arguments: argparse.Namespace) -> partial[Scores]:
    if cell.tool != "faithbench":
        return partial(PEERS[cell.method][cell.tool], batch=batch)
    spec = OURS[cell.method].format(**vars(arguments), seed=int(cell.setting == "another seed"))
    return partial(faithbench, spec=spec)


def works(cell: Cell, arguments: argparse.Namespace) -> tuple[Work, Work]:
    """What is to be explained, and the short text to begin with."""
    classifier, texts, short = model_and_texts(arguments)
    assert classifier.model.config._attn_implementation == "sdpa"
    if (cell.tool, cell.method) == ("captum", "sig"):
        texts = texts[:FEW]
    targets = [int(classifier.logits([text.ids])[0].argmax()) for text in texts]
    work = Work(classifier, texts, targets, **{name: getattr(arguments, name) for name in SAMPLES})
    return work, replace(work, texts=[short], targets=targets[:1])


def model_and_texts(arguments: argparse.Namespace) -> tuple[HuggingFaceClassifier, list[Text], Text]:
    """The model; texts of about the wanted length, longest first as a run has them; a short one."""
    dataset = build_dataset(arguments.dataset)
    examples = dataset.object.load("test")
    if arguments.model:
        classifier: Any = prepare(arguments.model, dataset, Setup(arguments.device, train=False)).classifier
    else:
        classifier = random_classifier(
            examples, len(dataset.object.class_names), arguments.device, layers_of(arguments)
        )
    unknown = classifier.tokenizer.unk_token_id
    encoded = [classifier.encode(example) for example in examples[:2000]]
    plain = [text for text in encoded if unknown not in text.ids]  # a special token to interpreto
    chosen = sorted(plain, key=lambda text: abs(len(text) - arguments.tokens))[: arguments.texts]
    words = chosen[0].source.split()[:5]
    return classifier, sorted(chosen, key=len, reverse=True), classifier.encode(Example("short", " ".join(words), 0))


def layers_of(arguments: argparse.Namespace) -> int:
    """Of the random model; `gpu.py` has other arguments."""
    return 1 if vars(arguments).get("tiny") else 6


def random_classifier(examples: list[Example], classes: int, device: str, layers: int) -> HuggingFaceClassifier:
    tokenizer = word_tokenizer((example.text for example in examples), limit=512)
    torch.manual_seed(0)
    shape = {
        "hidden_size": 384,
        "num_hidden_layers": layers,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    }
    network = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=classes, **shape))
    return HuggingFaceClassifier(network, tokenizer, device)


@contextmanager
def counting(model: torch.nn.Module, counts: dict[str, int]) -> Iterator[None]:
    """Counts what passes through the model, padding included."""

    def backward(gradient: torch.Tensor) -> None:
        counts["gradient_rows"] += len(gradient)

    def forward(module: Any, positional: Any, named: dict[str, Any], output: Any) -> None:
        entered: Any = positional[0] if positional else named.get("input_ids", named.get("inputs_embeds"))
        counts["calls"] += 1
        counts["rows"] += len(entered)
        counts["tokens"] += len(entered) * entered.shape[1]
        if output.logits.requires_grad:
            output.logits.register_hook(backward)

    handle = model.register_forward_hook(forward, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def settled(device: str) -> int:
    """Bytes in use, from where the peak is taken anew: what the process once used and gave back does not count."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return peaked(device)


def peaked(device: str) -> int:
    """The most bytes in use so far."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    if sys.platform != "linux":
        return 1024 * resource.getrusage(0).ru_maxrss
    status = Path("/proc/self/status").read_text()  # not getrusage, which begins at the parent's peak
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Means over texts; ratios are to faithbench, the first row."""
    return pd.DataFrame([shown(row, rows[0]) for row in rows]).fillna("")


def shown(row: dict[str, Any], ours: dict[str, Any]) -> dict[str, str]:
    if "seconds" not in row or "seconds" not in ours:
        return {"tool": row["tool"], "setting": f"{row['setting']}: failed"}
    seconds, reference = row["seconds"] / row["texts"], ours["scores"][: row["texts"]]
    same = (row["tool"], row["method"]) in SAME
    return {
        "tool": row["tool"],
        "setting": row["setting"] + (f", batch {row['batch']}" if row["batch"] else ""),
        "seconds": f"{seconds:.3f}",
        "ratio": f"{seconds / (ours['seconds'] / ours['texts']):.2f}",
        **{name: f"{row[name] / row['texts']:,.0f}" for name in ("rows", "gradient_rows", "tokens")},
        "calls": f"{row['calls'] / row['texts']:,.2f}",
        "peak MiB": f"{row['peak']:,.0f}",
        "agreement": "" if row is ours else f"{agreement(row['scores'], reference):.3f}",
        "largest difference": f"{difference(row['scores'], reference):.1e}" if same else "",
    }


def agreement(found: list[list[float]], ours: list[list[float]]) -> float:
    pairs = zip(found, ours, strict=True)
    return float(np.mean([spearmanr(a, b).statistic if np.ptp(a) and np.ptp(b) else 0.0 for a, b in pairs]))


def difference(found: list[list[float]], ours: list[list[float]]) -> float:
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in zip(found, ours, strict=True))


def machine(arguments: argparse.Namespace) -> str:
    if arguments.device != "cpu":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{[*names, sys.platform][0]}, {arguments.threads} thread(s), torch {torch.__version__}"


if __name__ == "__main__":
    main()
