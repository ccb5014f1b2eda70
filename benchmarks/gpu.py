"""What a GPU gives, in one resumable script of a few minutes: numbers as on a CPU, rows a second, peers, costs.

    python benchmarks/gpu.py --out runs/gpu
    python benchmarks/gpu.py --out runs/gpu --device cpu --tiny     # all of it in a minute, to see that it runs

Parts, in this order; a cell that is in `gpu.jsonl` is not measured again, and none is begun after `--minutes`:

- `agree`: every explainer and metric on the device in float64, float32, mixed and bfloat16, against float64 on the CPU;
- `speed`: forward and gradient rows a second of 31-token MiniLM and 512-token BERT-base rows, of the network alone with
  its ids on the device, of the adapter, and of the engine under explainers and metrics; as a share of the largest
  bfloat16 matrix product that was measured;
- `cost`: one text of 512 tokens and BERT base, as in Table 4 of arXiv 2502.12992 (`cost.py`), estimated from `ROWS`
  rows.
- `peers`: captum, shap, lime and interpreto at their defaults and at their best batch, seconds a text;
- `table2`: Table 2 of arXiv 2502.12992 for MiniLM on HateXplain, on ever more texts until the time is over; a run that
  was stopped goes on where it was. It needs `$FAITHBENCH_DATA` and `$FAITHBENCH_BACKBONES`.

Weights are random but for the last part's. Texts are HateXplain's where `$FAITHBENCH_DATA` has them.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cost
import numpy as np
import pandas as pd
import torch
from engine import conversations
from jaxtyping import Float
from peers import PEERS, Work
from transformers import BertConfig, BertForSequenceClassification

import explainers as library
from faithbench.answering.engine import Engine
from faithbench.answering.explaining import explain, measure
from faithbench.bcos import convert
from faithbench.conversations import Asking, Conversation, Outcome, answering, on_variant, together
from faithbench.datasets.planted import Planted
from faithbench.errors import UserError
from faithbench.models.huggingface import HuggingFaceClassifier
from faithbench.plugins import finding
from faithbench.plugins.spec import Component, build
from faithbench.questions import Explain, Point, Row
from faithbench.training.backbones import word_tokenizer
from faithbench.types import Attribution, Example, Measurement, Target, Text

PRECISIONS = ("float64", "float32", "bf16-mixed", "bfloat16")
SHAPES = {"MiniLM": (6, 384, 12, 31), "BERT base": (12, 768, 12, 512)}  # layers, width, heads, tokens
TINY = {"MiniLM": (2, 32, 2, 9), "BERT base": (2, 64, 2, 32)}
MATRIX, SMALL_MATRIX = 8192, 256
SECONDS = 2.0  # for each rate, and for each peer
BATCHES = (64, 256)  # for peers to choose from
TEXTS = 64
ROWS = 512  # of each kind for a cost
HALVED = ("shap_sampl(n_permutations=25)", "sig", "decompx", "bcos")  # whose cost is measured in bfloat16 too
FEWER = {
    "lime": "lime(n_samples=300)",
    "lime_package": "lime_package(num_samples=300)",
    "kernel_shap": "kernel_shap(n_samples=300)",
}  # enough to see agreement
TABLE2 = Path(__file__).parents[1] / "leaderboards" / "paper" / "table2.toml"
Cells = Iterator[tuple[str, Callable[[], dict[str, Any]]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true", help="small shapes and few texts: to see that the script runs")
    parser.add_argument("--minutes", type=float, default=8.0, help="no cell is begun later")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--only", default="", help="cells whose name this regular expression finds")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    arguments.end, left = time.monotonic() + 60 * arguments.minutes, 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    kept = arguments.out / "gpu.jsonl"
    conditions = {"hardware": cost.hardware(arguments.device), "torch": torch.__version__, "tiny": arguments.tiny}
    known = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    rows = [row for row in known if all(row[name] == value for name, value in conditions.items())]
    for part in arguments.parts:
        done = {row["cell"] for row in rows if row["part"] == part}
        for name, run in PARTS[part](arguments):
            if name in done or not re.search(arguments.only, name):
                continue
            if time.monotonic() > arguments.end:
                left += 1
                continue
            try:
                row = {"part": part, "cell": name, **conditions, **measured(run)}
            except TimeoutError:
                left += 1
                continue
            rows.append(row)
            with kept.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{part}: {name}: {row.get('failed') or round(row['took'], 2)}", file=sys.stderr, flush=True)
    report = "\n\n".join(table(part, rows) for part in arguments.parts)
    (arguments.out / "gpu.md").write_text(f"{report}\n")
    print(report)
    print(f"\n{conditions['hardware']}, torch {conditions['torch']}; {left} cells left for lack of time")


def measured(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        found = run()
    except TimeoutError:
        raise
    except Exception as error:  # the next cell may do better
        found = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {**found, "took": time.perf_counter() - start}


def table(part: str, rows: Sequence[dict[str, Any]]) -> str:
    hidden = {"part", "hardware", "torch", "tiny", "scores"}
    shown = [{k: number(v) for k, v in row.items() if k not in hidden} for row in rows if row["part"] == part]
    return f"## {part}\n\n{pd.DataFrame(shown).fillna('').to_markdown(index=False, disable_numparse=True)}"


def number(value: object) -> object:
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


# agree


def agree(arguments: argparse.Namespace) -> Cells:
    """Largest differences over some texts, from the CPU's in float64; of scores as a share of the largest score."""
    for model in cost.MODELS:
        for spec in installed("explainer"):
            yield f"explainer {spec}, {model}", partial(explainer_agrees, spec, model, arguments.device)
    for spec in installed("metric"):
        yield f"metric {spec}, conv", partial(metric_agrees, spec, "conv", arguments.device)


def installed(kind: str) -> list[str]:
    """All that can be built without being told anything."""
    names = []
    for name in finding.find(kind):
        try:
            build(kind, name)
        except UserError:
            continue
        names.append(FEWER.get(name, name))
    return names


def explainer_agrees(spec: str, model: str, device: str) -> dict[str, Any]:
    component, right = build("explainer", spec), reference(spec, model)
    found: dict[str, Any] = {}
    for dtype in PRECISIONS:
        classifier, texts = small_model(model, device, dtype)
        try:
            own = attributions(classifier, texts, component)
        except RuntimeError as error:
            found[dtype] = str(error)[:120]
            continue
        found[dtype] = max(
            float(np.abs(a.scores - b.scores).max() / max(np.abs(b.scores).max(), 1e-12))
            for a, b in zip(own, right, strict=True)
        )
    return found


def metric_agrees(spec: str, model: str, device: str) -> dict[str, Any]:
    component, explainer = build("metric", spec), build("explainer", "occlusion")
    given, found = reference("occlusion", model), {}
    right = measurements(*small_model(model, "cpu", "float64"), component, explainer, given)
    for dtype in PRECISIONS:
        classifier, texts = small_model(model, device, dtype)
        own = measurements(classifier, texts, component, explainer, given)
        both = np.isfinite(own) & np.isfinite(right)
        found[dtype] = float(np.abs(own - right)[both].max()) if both.any() else "undefined"
        found["undefined alike"] = bool((np.isfinite(own) == np.isfinite(right)).all())
    return {"largest value": float(np.nanmax(np.abs(right), initial=0.0)), **found}


@cache
def reference(spec: str, model: str) -> list[Attribution]:
    return attributions(*small_model(model, "cpu", "float64"), build("explainer", spec))


@cache
def small_model(model: str, device: str, dtype: str) -> tuple[HuggingFaceClassifier, list[Text]]:
    """A decided model of two layers, and documents that have all that any metric needs."""
    examples = [documented(example) for example in Planted(test=4, distractors=12).load("test")]
    tokenizer = word_tokenizer(example.text for example in examples)
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    network = BertForSequenceClassification(
        BertConfig(vocab_size=len(tokenizer), num_labels=2, initializer_range=0.3, **shape)
    )
    network = convert(network, 1.5) if model == "bcos" else network
    classifier = HuggingFaceClassifier(network, tokenizer, device, dtype)
    return classifier, [classifier.encode(example) for example in examples]


def documented(example: Example) -> Example:
    """With marks of every kind, and two segments."""
    half = example.text.index(" ", len(example.text) // 2)
    segments = ((0, half, 0), (half + 1, len(example.text), 1))
    marks = example.evidence
    return replace(example, rationale=marks, rationale_majority=marks, segments=segments)


def attributions(classifier: HuggingFaceClassifier, texts: Sequence[Text], explainer: Component) -> list[Attribution]:
    def converse(text: Text) -> Conversation[tuple[str, Outcome[Attribution]]]:
        outcomes = yield from together({text.id: explain(explainer, text, Target(0), classifier.classes)})
        return text.id, outcomes[text.id]

    return in_order(Engine(classifier).run(map(converse, texts)), texts)


def measurements(
    classifier: HuggingFaceClassifier,
    texts: Sequence[Text],
    metric: Component,
    explainer: Component,
    given: Sequence[Attribution],
) -> Float[np.ndarray, "texts"]:
    def again(question: Explain) -> Asking[Attribution]:
        asked = explain(explainer, question.text, question.target, classifier.classes)
        return (yield from on_variant(question.variant, asked))

    def converse(text: Text, attribution: Attribution) -> Conversation[tuple[str, Outcome[Measurement]]]:
        own = text.own()
        outcomes = yield from together({text.id: answering(measure(metric, own, attribution), again)})
        return text.id, outcomes[text.id]

    found = in_order(Engine(classifier).run(map(converse, texts, given)), texts)
    return np.array([one.value for one in found])


def in_order(outcomes: Iterator[tuple[str, Outcome[Any]]], texts: Sequence[Text]) -> list[Any]:
    found = dict(outcomes)
    if failed := [outcome.error for outcome in found.values() if outcome.value is None]:
        raise RuntimeError(failed[0])
    return [found[text.id].value for text in texts]


# speed


def speed(arguments: argparse.Namespace) -> Cells:
    for dtype in ("float32", "tf32", "bfloat16"):
        yield f"matrix product, {dtype}", partial(matrix_product, dtype, arguments)
    for shape in SHAPES:
        for model in cost.MODELS:
            for dtype in ("float32", *(("tf32",) if arguments.device == "cuda" else ()), "bf16-mixed", "bfloat16"):
                for kind in ("forward", "gradient") if dtype in ("float32", "bfloat16") else ("forward",):
                    name = f"{shape}, {cost.MODELS[model]}, {dtype}, {kind}"
                    yield name, partial(rates, shape, model, dtype, kind, arguments)


def matrix_product(dtype: str, arguments: argparse.Namespace) -> dict[str, Any]:
    side = SMALL_MATRIX if arguments.tiny else MATRIX
    with TensorCores(dtype):
        a = torch.randn(side, side, device=arguments.device, dtype=torch_dtype(dtype))
        rate = per_second(lambda: a @ a, 1, arguments.device)
    return {"TFLOP/s": rate * 2 * side**3 / 1e12}


@cache
def peak(device: str, tiny: bool) -> float:
    return matrix_product("bfloat16", argparse.Namespace(device=device, tiny=tiny))["TFLOP/s"]


def rates(shape: str, model: str, dtype: str, kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rows a second of the network alone, of the adapter and, for forward rows, of the engine."""
    layers, width, heads, tokens = (TINY if arguments.tiny else SHAPES)[shape]
    classifier, texts = sized_model(layers, width, heads, tokens, model, dtype, arguments)
    gradient = kind == "gradient"
    count = max(1, classifier.batch_tokens // (classifier.gradient_cost if gradient else 1) // tokens)
    ids = np.random.default_rng(0).integers(10, 200, (count, tokens))
    placed = torch.from_numpy(ids).to(classifier.device)
    rows = [Row(row) for row in ids]
    points = [Point(row, Target(0)) for row in rows]

    def alone() -> None:
        if not gradient:
            with torch.inference_mode(), classifier._forward_rows():
                classifier.forward(placed)
            return
        with torch.enable_grad():
            leaf = classifier.embedded(placed).detach().requires_grad_()
            with classifier.reading(leaf):
                logits = classifier.forward(placed)
            torch.autograd.grad(logits[:, 0].sum(), leaf)

    def adapter() -> None:
        classifier.gradients(points, "") if gradient else classifier.logits(rows)

    flops = 2 * tokens * (12 * layers * width**2) + 4 * layers * tokens**2 * width
    found = {"rows a batch": count, "network alone": per_second(alone, count, arguments.device)}
    found["adapter"] = per_second(adapter, count, arguments.device)
    if not gradient:
        found["engine"] = engine_rate(classifier, texts, arguments.device)
    share = 2 * flops if gradient else flops  # backward to the embeddings alone costs as much again
    tera = {name: found[name] * share / 1e12 for name in ("network alone", "adapter", "engine") if name in found}
    most = peak(arguments.device, arguments.tiny)
    return found | {f"{name}, share of peak": value / most for name, value in tera.items()}


def engine_rate(classifier: HuggingFaceClassifier, texts: Sequence[Text], device: str) -> float:
    """Rows that the model ran a second, while occlusion and random are explained and measured."""
    seconds = rows = 0.0
    list(Engine(classifier).run(conversations(texts[:4])))
    while seconds < SECONDS:
        engine, start = Engine(classifier), clock(device)
        list(engine.run(conversations(texts)))
        seconds, rows = seconds + clock(device) - start, rows + engine.counts.run
    return rows / seconds


def sized_model(
    layers: int, width: int, heads: int, tokens: int, model: str, dtype: str, arguments: argparse.Namespace
) -> tuple[HuggingFaceClassifier, list[Text]]:
    words = [f"word{number}" for number in range(900)]
    tokenizer = word_tokenizer([" ".join(words)], limit=512)
    torch.manual_seed(0)
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=4 * width, num_labels=2, **shape)
    network = BertForSequenceClassification(config)
    network = convert(network, 1.5) if model == "bcos" else network
    classifier = HuggingFaceClassifier(network, tokenizer, arguments.device, dtype)
    generator = np.random.default_rng(0)
    count = 4 if arguments.tiny else max(8, TEXTS * 31 // tokens)
    drawn = [" ".join(generator.choice(words, tokens - 2)) for _ in range(count)]
    return classifier, [classifier.encode(Example(str(n), text, 0)) for n, text in enumerate(drawn)]


class TensorCores:
    """Within it float32 products may be tf32's, if that is what is asked for."""

    def __init__(self, dtype: str) -> None:
        self.precision, self.before = "high" if dtype == "tf32" else "highest", torch.get_float32_matmul_precision()

    def __enter__(self) -> None:
        torch.set_float32_matmul_precision(self.precision)

    def __exit__(self, *error: object) -> None:
        torch.set_float32_matmul_precision(self.before)


def torch_dtype(name: str) -> torch.dtype:
    found: torch.dtype = getattr(torch, "float32" if name == "tf32" else name)
    return found


def per_second(run: Callable[[], object], count: int, device: str) -> float:
    """How many a second, in as many runs as fit the time, after some to warm up."""
    start = clock(device)
    while clock(device) - start < SECONDS / 8:
        run()
    runs, start = 0, clock(device)
    while True:
        run()
        runs += 1
        if runs % 4 == 0 and (elapsed := clock(device) - start) > SECONDS / 4:
            return count * runs / elapsed


def clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


# peers


def peers(arguments: argparse.Namespace) -> Cells:
    """Seconds a text; a peer explains texts until its time is over, and faithbench all of them at once."""
    for method in library.OURS:
        for dtype in ("float32",):
            yield f"{method}: faithbench, {dtype}", partial(peer_rate, method, "faithbench", None, arguments)
        for tool in PEERS[method]:
            if find_spec(tool) is None:
                continue
            for batch in (None, *BATCHES):
                setting = "default" if batch is None else f"batch {batch}"
                yield f"{method}: {tool}, {setting}", partial(peer_rate, method, tool, batch, arguments)


def peer_rate(method: str, tool: str, batch: int | None, arguments: argparse.Namespace) -> dict[str, Any]:
    work = peer_work(arguments.device, arguments.tiny)
    if tool == "faithbench":
        spec = library.OURS[method].format(**settings(arguments.tiny), seed=0)
        run, size = partial(library.faithbench, spec=spec), len(work.texts)
    else:
        run, size = partial(PEERS[method][tool], batch=batch), 16 if tool == "interpreto" else 1
    run(part_of(work, 0, 1))  # warms up
    seconds, texts = 0.0, 0
    while texts < len(work.texts) and seconds < SECONDS:
        start = clock(arguments.device)
        run(part_of(work, texts, size))
        seconds, texts = seconds + clock(arguments.device) - start, texts + size
    texts = min(texts, len(work.texts))
    return {"seconds a text": seconds / texts, "texts": texts}


def part_of(work: Work, first: int, size: int) -> Work:
    return replace(work, texts=work.texts[first : first + size], targets=work.targets[first : first + size])


def settings(tiny: bool) -> dict[str, int]:
    samples = dict(zip(library.SAMPLES, (25, 500, 500, 50), strict=True))
    return {name: value // 20 if tiny else value for name, value in samples.items()}


@cache
def peer_work(device: str, tiny: bool) -> Work:
    arguments = argparse.Namespace(dataset=library.default_dataset(), model="", device=device)
    arguments.tokens, arguments.texts = 31, 4 if tiny else TEXTS
    classifier, texts, _ = library.model_and_texts(arguments)
    targets = [int(classifier.logits([text.ids])[0].argmax()) for text in texts]
    return Work(classifier, texts, targets, **settings(tiny))


# cost


def cost_arguments(dtype: str, arguments: argparse.Namespace) -> argparse.Namespace:
    layers, width, heads, tokens = (TINY if arguments.tiny else SHAPES)["BERT base"]
    rows = 32 if arguments.tiny else ROWS
    return argparse.Namespace(
        layers=layers, width=width, heads=heads, tokens=tokens, device=arguments.device, dtype=dtype, rows=rows
    )


def explained_once(spec: str, model: str, dtype: str, arguments: argparse.Namespace) -> dict[str, Any]:
    given = cost_arguments(dtype, arguments)
    given.cell = spec, model
    found = cost.cell(given)
    if found["how"].startswith("failed"):
        return {"failed": found["how"]}
    names = ("seconds", "peak_gib", "model_gib", "rows", "how")
    return {name: found[name] for name in names} | {"rows a second": found["rows"] / found["seconds"]}


def costs(arguments: argparse.Namespace) -> Cells:
    for dtype, specs in {"float32": cost.EXPLAINERS, "bfloat16": HALVED}.items():
        for spec in specs:
            for model in cost.MODELS:
                yield f"{spec}, {model}, {dtype}", partial(explained_once, spec, model, dtype, arguments)


# table2


def table2(arguments: argparse.Namespace) -> Cells:
    for texts in (4, 8) if arguments.tiny else (50, 200, 500, 1924):
        yield f"Table 2, {texts} texts", partial(scored, texts, arguments)


def scored(texts: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The published plan on so many texts, in a process that is told to stop when the time is over."""
    source, model = ("planted", "tiny") if arguments.tiny else ("hatexplain", "minilm")
    documents = f"seqpg(dataset={source}{', segment=8' if arguments.tiny else ''})"
    given = {
        "--plan": [str(TABLE2)],
        "--backbone": ["minilm"],
        "--dataset": [source, documents],
        "--model": [f"conv-{model}", f"bcos-{model}"],
        "--limit": [str(texts)],
        "--device": [arguments.device],
        "--out": [str(arguments.out / "table2")],
    }
    if arguments.tiny:
        given |= {"--explainer": ["input_x_gradient", "bcos", "random"], "--epochs": ["4"]}
    words = [word for option, values in given.items() for value in values for word in (option, value)]
    run = subprocess.Popen([sys.executable, "-m", "faithbench", "run", *words], stdout=subprocess.DEVNULL)
    try:
        status = run.wait(max(1.0, arguments.end - time.monotonic()))
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
        run.wait()
        raise TimeoutError from None
    if status:
        raise RuntimeError(f"faithbench run ends with status {status}")
    return {"texts": texts, "folder": str(arguments.out / "table2")}


PARTS = {"agree": agree, "speed": speed, "cost": costs, "peers": peers, "table2": table2}

if __name__ == "__main__":
    main()
