"""What one explanation costs, in seconds and memory, beside the published numbers (arXiv 2502.12992, Table 4).

    python benchmarks/cost.py --out runs/cost.csv
    python benchmarks/cost.py --out runs/cost.csv --rows 64  # where whole cells would take hours

As in the paper: one text of 512 tokens, and a BERT base, conventional or B-cos (its weights are random). A cell, which
is an explainer on a model, runs through the engine as in any run, in a process of its own, after a warm-up on a short
text. Its seconds are those from the prediction to the finished scores, by the clock and, since machines are shared, of
CPU time, which all threads together use; below 5 s, the median of three. Cells that are in the file are not run again.

With `--rows N` the model answers N rows of each kind of question (forward, gradient), rounded up to whole batches, and
zeros at once from then on. The time of its answers is scaled up kind by kind, all other time is measured. Such a cell
is marked as estimated.

Peak memory is the model's own size plus what explaining adds to it at most: on a GPU, what torch allocates; on a CPU,
growth of resident memory (`VmHWM` on Linux, reset beforehand: the `ru_maxrss` of a child begins at its parent's).
"""

import argparse
import ctypes
import gc
import json
import platform
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from transformers import BertConfig, BertForSequenceClassification

from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, predict
from faithbench.bcos import convert
from faithbench.bcos.modules import BcosLinear
from faithbench.conversations import Conversation, together
from faithbench.datasets.planted import DISTRACTORS
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins.spec import Component, build
from faithbench.questions import Gradient, Point
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Example, Target, Text

PUBLISHED = Path(__file__).parent.parent / "leaderboards/paper/published/table4_cost.csv"
IN_PAPER = {"shap_sampl": "ShapSampl", "lime": "LIME", "sig(n_steps=50)": "SIG", "decompx": "DecompX", "bcos": "B-cos"}
EXPLAINERS = (
    *("shap_sampl(n_permutations=25)", "lime(n_samples=3000)", "sig(n_steps=50)", "sig", "decompx", "bcos"),
    *("integrated_gradients(n_steps=50)", "occlusion", "attn_lrp"),
)
SMALL = ("shap_sampl(n_permutations=2)", "sig", "decompx", "bcos", "occlusion")  # with --tiny
MODELS = {"conv": "conventional", "bcos": "B-cos"}
SHAPES = {"bert": (12, 768, 12), "minilm": (6, 384, 12)}  # layers, width, heads
SHORT = 8  # tokens of the text to warm up with
QUICK, REPEATS = 5.0, 3  # an explanation that takes fewer seconds is repeated
SETTING = ("layers", "width", "heads", "tokens", "device", "dtype")
IDENTITY = ("explainer", "version", "model", *SETTING, "hardware", "threads", "torch")
FOUND = "how seconds cpu_seconds peak_gib model_gib rows rows_run rows_asked limit spent".split()
HEADER = (
    *("explainer", "model", "seconds", "CPU seconds", "peak memory (GiB)", "of it the model", "rows"),
    *("measured or estimated", "paper: seconds", "paper: memory (GB)"),
)
say = partial(print, file=sys.stderr, flush=True)
Identity = tuple[str, ...]  # values of IDENTITY: all that must be the same for a cell's record to be used again
Record = dict[str, str]  # some of FOUND


def main() -> None:
    arguments = parsed()
    if arguments.cell:
        print(json.dumps(cell(arguments)))
        return
    components = installed(arguments.explainers)
    records = read(arguments.out)
    for text, model in product(components, arguments.models):
        identity = identity_of(components[text], model, arguments)
        old = records.get(identity, {})
        if old.get("how") == "measured" or (arguments.rows and int(old.get("limit") or 0) >= arguments.rows):
            continue
        say(f"{text} on {MODELS[model]} …")
        found = records[identity] = in_subprocess(text, model, arguments)
        say(f"  {found['how']}, {found.get('seconds', 'no')} s")
        write(arguments.out, records)
    report(arguments, components, records)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=SHAPES, default="bert", help="the model's shape; then, to change it:")
    for name in ("--layers", "--width", "--heads"):  # where a width is given, a head for every 64 dimensions
        parser.add_argument(name, type=int)
    parser.add_argument("--tokens", type=int, default=512, help="of the text, two special ones included")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16", "float64"), default="float32")
    parser.add_argument("--explainers", nargs="+", default=EXPLAINERS)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=tuple(MODELS))
    parser.add_argument("--rows", type=int, help="estimate a cell from so many rows where it asks for more")
    parser.add_argument("--out", type=Path, default=Path("runs/cost.csv"))
    parser.add_argument("--tiny", action="store_true", help="a matter of seconds: shows that it runs, and no more")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)  # this one, in this process
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.layers, arguments.width, arguments.tokens, arguments.explainers = 1, 64, 12, SMALL
    layers, width, heads = SHAPES[arguments.backbone]
    arguments.heads = arguments.heads or (heads if arguments.width is None else max(1, arguments.width // 64))
    arguments.layers, arguments.width = arguments.layers or layers, arguments.width or width
    return arguments


def installed(texts: Sequence[str]) -> dict[str, Component]:
    """The explainers that can be built; says which cannot, and why."""
    components = {}
    for text in texts:
        try:
            components[text] = build("explainer", text)
        except UserError as error:
            say(f"{text}: not installed ({error})")
    return components


def in_subprocess(text: str, model: str, arguments: argparse.Namespace) -> Record:
    if arguments.tiny:  # not worth a process
        found = cell(argparse.Namespace(**vars(arguments) | {"cell": (text, model)}))
        return {key: str(value) for key, value in found.items()}
    command = [sys.executable, __file__, "--cell", text, model]
    command += [f"--{name}={getattr(arguments, name)}" for name in SETTING]
    command += [f"--rows={arguments.rows}"] if arguments.rows else []
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return {"how": f"failed: the process ended with status {done.returncode}"}
    return {key: str(value) for key, value in json.loads(done.stdout.splitlines()[-1]).items()}


def cell(arguments: argparse.Namespace) -> dict[str, Any]:
    """Explains with one explainer on one model; what that cost, or why it failed."""
    explainer, model = build("explainer", arguments.cell[0]), arguments.cell[1]
    classifier, short, text = model_and_texts(model, arguments)
    try:
        explained(classifier, explainer, short, None)  # warms up
        memory = Memory(classifier)
        runs = [explained(classifier, explainer, text, arguments.rows)]
        if runs[0]["spent"] < QUICK:
            runs = [explained(classifier, explainer, text, arguments.rows) for _ in range(REPEATS)]
        growth = memory.growth()
    except (RuntimeError, UserError) as error:
        return {"how": f"failed: {error}".splitlines()[0]}
    found = sorted(runs, key=lambda run: run["spent"])[len(runs) // 2]
    whole = found["rows_run"] == found["rows"]
    return {
        **found,
        "how": "measured" if whole else f"estimated from {found['rows_run']:,} rows",
        "limit": "" if whole else arguments.rows,
        "peak_gib": (memory.model + growth) / 2**30,
        "model_gib": memory.model / 2**30,
    }


def model_and_texts(model: str, arguments: argparse.Namespace) -> tuple[HuggingFaceClassifier, Text, Text]:
    """A BERT with random weights, a short text, and the text of so many tokens."""
    tokenizer = word_tokenizer([" ".join(DISTRACTORS)], limit=arguments.tokens)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=arguments.width,
        num_hidden_layers=arguments.layers,
        num_attention_heads=arguments.heads,
        intermediate_size=4 * arguments.width,
        max_position_embeddings=max(512, arguments.tokens),
    )
    network = BertForSequenceClassification(config)
    network = convert(network, 1.5) if model == "bcos" else network
    classifier = HuggingFaceClassifier(network, tokenizer, arguments.device, getattr(torch, arguments.dtype))
    words = np.random.default_rng(0).choice(DISTRACTORS, arguments.tokens - 2)  # each is one token
    short, text = (
        classifier.encode(Example(str(tokens), " ".join(words[: tokens - 2]), label=0))
        for tokens in (SHORT, arguments.tokens)
    )
    assert len(text) == arguments.tokens
    return classifier, short, text


def explained(
    classifier: HuggingFaceClassifier, explainer: Component, text: Text, limit: int | None
) -> dict[str, float]:
    """What explaining a text through the engine costs: seconds for all `rows` that the model has to answer.

    It did answer `rows_run` of them, and `spent` seconds. Rows that are asked repeatedly count in `rows_asked` only.
    """
    metered = Metered(classifier, limit)
    engine = Engine(metered)

    def converse() -> Conversation[dict[str, float]]:
        target = (yield from together({text.id: predict(text)}))[text.id].value
        metered.meters.clear()
        before, start = engine.counts.run, clocks()
        outcomes = yield from together({text.id: explain(explainer, text, Target(target), classifier.classes)})
        spent = clocks() - start
        outcome, rows, meters = outcomes[text.id], engine.counts.run - before, metered.meters.values()
        if outcome.error is not None:
            raise RuntimeError(outcome.error)
        seconds, cpu_seconds = spent + sum(meter.spent * (meter.asked / meter.run - 1) for meter in meters)
        run = rows - sum(meter.asked - meter.run for meter in meters)
        costs = {"seconds": seconds, "cpu_seconds": cpu_seconds, "spent": spent[0]}
        return {**costs, "rows": rows, "rows_run": run, "rows_asked": outcome.rows}

    (found,) = engine.run([converse()])
    return found


def clocks() -> Float[np.ndarray, "2"]:
    return np.array([time.perf_counter(), time.process_time()])


@dataclass
class Meter:
    """Rows of one kind that were asked for, those of them that the model ran, and what these took by the clocks."""

    asked: int = 0
    run: int = 0
    spent: Float[np.ndarray, "2"] | float = 0.0


class Metered:
    """A classifier that answers so many rows of each kind, rounded up to whole batches, and then gives zeros at once.

    It does not stop the explainer, so that each kind gets a measure of its own: SIG's quadrature asks for forward rows
    first and then for gradients, which take several times as long each.
    """

    def __init__(self, classifier: HuggingFaceClassifier, limit: int | None) -> None:
        self.classifier, self.limit = classifier, limit
        self.meters: dict[str, Meter] = defaultdict(Meter)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.classifier, name)

    def logits(self, rows: Sequence[Int[np.ndarray, "_"]]) -> Float[np.ndarray, "rows classes"]:
        zeros = np.zeros((len(rows), self.classifier.classes))
        return self._answer("logits", len(rows), lambda: self.classifier.logits(rows), zeros)

    def gradients(self, points: Sequence[Point], rules: str) -> list[Gradient]:
        zero = np.broadcast_to(np.float32(0), (len(points[0].row.ids), self.classifier.model.config.hidden_size))
        zeros = [Gradient(zero, zero, 0.0)] * len(points)  # all points are of the one text
        return self._answer("gradients", len(points), lambda: self.classifier.gradients(points, rules), zeros)

    def _answer(self, kind: str, count: int, real: Callable[[], Any], answer: Any) -> Any:
        meter, start = self.meters[kind], clocks()
        if self.limit is None or meter.run < self.limit:
            answer = real()
            meter.run += count
            meter.spent += clocks() - start
        meter.asked += count
        return answer


class Memory:
    """The model's own size in bytes, and by how much memory has grown, at most, since this was made."""

    def __init__(self, classifier: HuggingFaceClassifier) -> None:
        self.cuda = classifier.device.type == "cuda"
        gc.collect()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.model = self.before = torch.cuda.memory_allocated()
            return
        units = (module.unit_weight() for module in classifier.model.modules() if isinstance(module, BcosLinear))
        self.model = sum(t.nbytes for t in chain(classifier.model.parameters(), classifier.model.buffers(), units))
        with suppress(OSError, AttributeError):  # glibc: gives back what it keeps of freed memory
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):  # Linux: high-water mark = now; where that is forbidden, loading counts too
            Path("/proc/self/clear_refs").write_text("5")
        self.before = resident("VmRSS")

    def growth(self) -> int:
        return (torch.cuda.max_memory_allocated() if self.cuda else resident("VmHWM")) - self.before


def resident(which: str) -> int:
    """Resident memory of this process in bytes: `VmRSS` now, `VmHWM` at most; without Linux, at most either way."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(which))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def identity_of(explainer: Component, model: str, arguments: argparse.Namespace) -> Identity:
    setting = [getattr(arguments, name) for name in SETTING]
    where = hardware(arguments.device), torch.get_num_threads(), torch.__version__
    return tuple(map(str, (explainer.identity, explainer.version, model, *setting, *where)))


def hardware(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def read(path: Path) -> dict[Identity, Record]:
    rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records") if path.exists() else []
    return {tuple(row[name] for name in IDENTITY): {name: row[name] for name in FOUND} for row in rows}


def write(path: Path, records: dict[Identity, Record]) -> None:
    rows = [{**dict(zip(IDENTITY, identity, strict=True)), **found} for identity, found in records.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    pd.DataFrame(rows, columns=[*IDENTITY, *FOUND]).to_csv(draft, index=False)
    draft.replace(path)


def report(arguments: argparse.Namespace, components: dict[str, Component], records: dict[Identity, Record]) -> None:
    """Prints the table, and the circumstances in which it was made."""
    published = pd.read_csv(PUBLISHED, dtype=str, keep_default_na=False).set_index("explainer")
    rows = []
    for text, model in product(arguments.explainers, arguments.models):
        record, name = {"how": "not installed"}, None
        if text in components:
            record = records[identity_of(components[text], model, arguments)]
            name = IN_PAPER.get(components[text].label)
        paper = [published.at[name, f"{model}_{column}"] if name else "" for column in ("seconds", "memory_gb")]
        rows.append([text, MODELS[model], *shown(record), *paper])
    print(pd.DataFrame(rows, columns=HEADER).to_markdown(index=False, disable_numparse=True))
    threads = f", {torch.get_num_threads()} thread(s)" if arguments.device == "cpu" else ""
    print(f"\n{hardware(arguments.device)}{threads}; {arguments.dtype}; torch {torch.__version__};", end=" ")
    print("BERT of {layers} layers, {width} wide, {heads} heads; {tokens} tokens.".format_map(vars(arguments)), end=" ")
    print("The paper's: BERT base, 512 tokens; its numbers name no hardware.")


def shown(record: Record) -> tuple[str, ...]:
    """What a cell's record says, from seconds to how they were found; ≈ before what was estimated."""
    if not record.get("seconds"):
        return "", "", "", "", "", record["how"]
    sign = "" if record["how"] == "measured" else "≈ "
    times = (sign + number(float(record[key])) for key in ("seconds", "cpu_seconds"))
    sizes = (number(float(record[key])) for key in ("peak_gib", "model_gib"))
    return *times, *sizes, f"{int(record['rows']):,}", record["how"]


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
