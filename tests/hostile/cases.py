"""Bad inputs of seven kinds, each drawn from its kind and number alone, and what is tried with them."""

import contextlib
import gzip
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nasty import NUMBERS, PLANTED, WORDS, mutated, spoiled, torn, value
from safetensors.numpy import load_file, save_file
from sound import DATA, PLAN, Home, Shared, pairs, rows, written
from trial import Attempt, command

import faithbench
from faithbench.datasets.fingerprint import fingerprint
from faithbench.importing.entries import read_entries
from faithbench.importing.run import aligned
from faithbench.plan import read_plan, write_plan
from faithbench.plugins import finding, naming, spec
from faithbench.records import results
from faithbench.records.store import Store
from faithbench.studies.key import digest
from faithbench.training.loading import load_classifier
from faithbench.types import Example

Made = list[Attempt]
SPECS: dict[str, tuple[str, ...]] = {
    "explainer": (
        *(
            "lime(n_samples=500, kernel_width=25.0, feature_selection=none, seed=0)",
            "words(lime(n_samples=5))",
            "random",
        ),
        *("words(explainer='sig(steps=3)')", "captum(IntegratedGradients(n_steps=2), over=ids)", "attention(kind=raw)"),
        *(f"callable({PLANTED}:f)", f"words(callable({PLANTED}:f))", f"words(explainer='callable({PLANTED}:f)')"),
        *("shap(Partition(max_evals=50))", "imported(mine, content='0a1b')", "lime_package(num_samples=50)", "decompx"),
    ),
    "metric": (
        *("normalised(comprehensiveness(operator=delete), beam=2)", "sufficiency(protocol=strict)", "entropy"),
        *("randomisation(layers=top)", "infidelity(samples=3)", "evidence_precision(k=2)", "seqpg"),
    ),
    "dataset": (
        *(DATA, "shortcut(planted(test=7), kind=pair)", "file(path=a b/reviews (1).csv, text=t, encoding=latin-1)"),
        *("hub(nyu-mll/glue, name=mrpc, split=test[:20])", "seqpg(dataset=ag_news, judge=conv-minilm, segment=50)"),
    ),
    "model": ("bcos-bert(b=2.0, start=mlm, start_epochs=1)", "conv-tiny(seed=3)", "classifier(path=x/y, fill=unk)"),
    "architecture": ("bert",),
}
PLANS: tuple[dict[str, Any], ...] = (
    {
        "datasets": [DATA],
        "models": ["conv-tiny"],
        "explainers": ["random", "occlusion"],
        "metrics": ["comprehensiveness", "entropy"],
        "limit": 6,
        "training": {"epochs": 1, "eval_limit": 10},
    },
    {
        "datasets": ["planted"],
        "models": ["bcos-{backbone}", "conv-{backbone}(seed=1)"],
        "backbone": "tiny",
        "protocol": "paper",
        "split": "validation",
        "dtype": "float64",
        "like": ["table2"],
        "training": {"lr": 1e-3, "batch_size": 4, "max_length": 64, "limit": 8},
    },
)
NAMES = tuple(word for word in WORDS if "\ud800" not in word and len(word) < 400)
ENDINGS = ("csv", "tsv", "json", "jsonl", "parquet", "csv.gz", "jsonl.gz", "txt", "xml", "csv.bz2", "csv.zst", "")


class Maker:
    """Makes cases, each in a folder of its own."""

    def __init__(self, home: Home) -> None:
        self.home, self.shared = home, Shared(home)

    def make(self, kind: str, number: int, folder: Path) -> Made:
        """What to try in the case of this kind and number, whose files are written into the folder."""
        with _roomy():
            return KINDS[kind](self, random.Random(f"{kind} {number}"), folder)

    def specs(self, rng: random.Random, folder: Path) -> Made:
        kind = rng.choice(list(SPECS))
        text = rng.choice((*SPECS[kind], *finding.find(kind)))
        text = spoiled(rng, text) if rng.random() < 0.5 else _with_parameter(rng, text)
        return [Attempt(f"build {kind} {text!r}", lambda: _rebuilt(kind, text)), *_named(rng, text)]

    def plans(self, rng: random.Random, folder: Path) -> Made:
        path = folder / rng.choice(("plan.toml", "plan [1].toml", "plan.toml.txt"))
        text = toml(mutated(rng, rng.choice(PLANS)))
        _put(rng, path, (spoiled(rng, text) if rng.random() < 0.4 else text).encode("utf-8", "surrogatepass"))
        backbone = rng.choice((None, None, "tiny", "", "../x"))
        made = [Attempt(f"plan {path}", lambda: _planned(path, backbone))]
        if rng.random() < 0.15:
            given = ("run", "--plan", path, "--no-train", "--device", "cpu", "--out", folder / "out")
            made.append(command(*given, "--limit", "1", *(("--backbone", backbone) if backbone else ())))
        return made

    def tables(self, rng: random.Random, folder: Path) -> Made:
        ending = rng.choice(ENDINGS)
        table = mutated(rng, rng.choice((rows(), rows(), pairs(), [row["text"] for row in rows()])))
        data = _bytes(table, ending)
        path = folder / rng.choice((f"data.{ending}", f"test.{ending}", f"a b (1).{ending}"))
        _put(rng, path, data)
        if rng.random() < 0.1:
            (folder / "train.csv").write_bytes(written(rows(), "csv"))
            path = folder
        columns = rng.choice(({}, {}, {"text": "text"}, {"label": ""}, {"pair": rng.choice(WORDS)}))
        extra = rng.choice(({}, {}, {"delimiter": rng.choice(",;|\t\x00\né")}, {"encoding": rng.choice(ENCODINGS)}))
        kind = "hub" if rng.random() < 0.05 else "file"
        text = spec.write(
            kind, {"repo" if kind == "hub" else "path": str(path), **columns, **(extra if kind == "file" else {})}
        )
        made = [Attempt(f"load {text}", lambda: _loaded(text))]
        if rng.random() < 0.02:
            given = ("--model", self.home.model, "--explainer", "random", "--metric", "entropy", "--device", "cpu")
            made.append(command("run", "--dataset", path, *given, "--limit", "2", "--out", folder / "out"))
        return made

    def imports(self, rng: random.Random, folder: Path) -> Made:
        name = rng.choice(list(self.shared.entries))
        document = mutated(rng, self.shared.entries[name])
        ending = (
            "json" if name == "document" else rng.choice((*("jsonl",) * 6, *("json",) * 3, "parquet", "csv", "txt"))
        )
        path = folder / f"scores.{ending}"
        _put(rng, path, _bytes(document, ending))
        named = rng.choice((*(None,) * 4, name, rng.choice(("jsonl", "eraser", "thermostat", "bcos", "odd"))))
        method = rng.choice((None,) * 8 + ("Bcos", "odd"))
        skip = rng.random() < 0.3

        def read() -> None:
            _, entries, _ = read_entries(path, named, method, self.shared.texts, skip)
            aligned(entries, self.shared.classifier, {"0": 0, "1": 1})

        made = [Attempt(f"import {path} {named} {method}", read)]
        if rng.random() < 0.03:
            given = ("--model", self.home.model, "--dataset", self.home.data, "--name", rng.choice(("mine", *WORDS)))
            made.append(command("import", path, *given, "--device", "cpu", "--out", folder / "out"))
        return made

    def runs(self, rng: random.Random, folder: Path) -> Made:
        run = folder / rng.choice(("run", "r [b] (1)"))
        shutil.copytree(self.home.run, run)
        _damage(rng, run)
        return _looked_at(rng, run, folder)

    def boards(self, rng: random.Random, folder: Path) -> Made:
        board = folder / "boards" / "board"
        shutil.copytree(self.home.board.parent, board.parent)
        _damage(rng, board if rng.random() < 0.8 else board.parent)
        shown = ("publish", self.home.run, board)
        return [command("board", *rng.choice((("check", board), ("check", board), ("build", board), shown)))]

    def studies(self, rng: random.Random, folder: Path) -> Made:
        study = folder / rng.choice(("study", "s [b] (1)"))
        shutil.copytree(self.home.study, study)
        path = rng.choice((study / "key.json", study / "answers-1.json", study / "answers-1.json"))
        document = mutated(rng, json.loads(path.read_text()))
        if path.name == "key.json" and isinstance(document, dict) and rng.random() < 0.8:
            with contextlib.suppress(Exception):  # what has no digest
                document["study"] = digest(document)  # type: ignore[arg-type]  # forged: anybody can make one
                for other in study.glob("answers-*.json"):
                    other.write_text(json.dumps(json.loads(other.read_text()) | {"study": document["study"]}))
        _put(rng, path, json.dumps(document).encode())
        return [
            command("study", "read", study, "--format", rng.choice(("markdown", "terminal", "latex", "csv", "html")))
        ]

    def checkpoints(self, rng: random.Random, folder: Path) -> Made:
        model = folder / "model"
        shutil.copytree(self.home.model, model)
        _damage_checkpoint(rng, model)
        if rng.random() < 0.05:
            given = ("--dataset", self.home.data, "--explainer", "random", "--metric", "entropy", "--device", "cpu")
            return [command("run", "--model", model, *given, "--limit", "2", "--out", folder / "out")]
        return [Attempt(f"classifier {model}", lambda: _answers(model))]

    def trainings(self, rng: random.Random, folder: Path) -> Made:
        cache = folder / "cache"
        shutil.copytree(self.home.folder / "cache", cache)
        path = rng.choice(sorted(cache.rglob("training.json")))
        _put(rng, path, json.dumps(mutated(rng, json.loads(path.read_text()))).encode())
        if rng.random() < 0.3:
            _damage_checkpoint(rng, path.parent)
        do = _run(folder, 2, folder / "out")
        return [Attempt(do.words, lambda: _with_cache(cache, do))]


KINDS: dict[str, Callable[[Maker, random.Random, Path], Made]] = {
    "specs": Maker.specs,
    "plans": Maker.plans,
    "tables": Maker.tables,
    "imports": Maker.imports,
    "runs": Maker.runs,
    "boards": Maker.boards,
    "studies": Maker.studies,
    "checkpoints": Maker.checkpoints,
    "trainings": Maker.trainings,
}
COUNTS = {
    "specs": 420,
    "plans": 180,
    "tables": 200,
    "imports": 120,
    "runs": 90,
    "boards": 60,
    "studies": 60,
    "checkpoints": 60,
    "trainings": 30,
}
ENCODINGS = (
    "latin-1",
    "utf-16",
    "utf-8-sig",
    "ascii",
    "base64",
    "rot13",
    "idna",
    "punycode",
    "undefined",
    "zlib",
    "\x00",
)


@contextlib.contextmanager
def _roomy() -> Iterator[None]:
    """Inside, Python writes numbers of any length and documents of any depth."""
    depth, digits = sys.getrecursionlimit(), sys.get_int_max_str_digits()
    sys.setrecursionlimit(20_000)
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.setrecursionlimit(depth)
        sys.set_int_max_str_digits(digits)


def toml(document: Any) -> str:
    """A document as TOML, or something like it."""
    if not isinstance(document, dict):
        return f"plan = {_toml(document)}"
    plain = [f"{_key(k)} = {_toml(v)}" for k, v in document.items() if not isinstance(v, dict)]
    inner = [(k, v) for k, v in document.items() if isinstance(v, dict)]
    return "\n".join([*plain, *(f"\n[{_key(k)}]\n{toml(v)}" for k, v in inner)]) + "\n"


def _key(key: Any) -> str:
    return key if str(key).isidentifier() and str(key).isascii() else json.dumps(str(key))


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_key(k)} = {_toml(v)}' for k, v in value.items())}}}"
    if value is None:
        return '"None"'
    return json.dumps(value) if isinstance(value, str) else _number(value)


def _number(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**300:
        return "9" * 5000
    return str(value).lower()


def _bytes(table: Any, ending: str) -> bytes:
    kind = ending if ending in ENDINGS[:7] else "csv"
    try:
        return written(table if isinstance(table, list) or kind == "json" else [table], kind)
    except (ValueError, TypeError, RecursionError, AttributeError, OverflowError):  # what this format cannot hold
        return repr(table)[:50_000].encode("utf-8", "surrogatepass")


def _put(rng: random.Random, path: Path, data: bytes) -> None:
    """Writes a file: mostly as it is, sometimes torn, rarely as something that is no file."""
    path.unlink(missing_ok=True)
    chance = rng.random()
    if chance < 0.02:
        os.mkfifo(path)
    elif chance < 0.04:
        path.mkdir()
    elif chance < 0.05:
        path.symlink_to(path.parent / "nothing")
    elif chance < 0.06:
        path.symlink_to(path)
    elif chance < 0.07:
        path.symlink_to("/dev/zero" if rng.random() < 0.5 else "/dev/full")
    elif chance < 0.3:
        inner = path.suffix == ".gz" and rng.random() < 0.5
        path.write_bytes(
            gzip.compress(torn(rng, gzip.decompress(data))) if inner and data[:2] == b"\x1f\x8b" else torn(rng, data)
        )
    else:
        path.write_bytes(data)


def _with_parameter(rng: random.Random, text: str) -> str:
    """A spec with a parameter that it may have, or may not, of an odd value."""
    name, bracket, rest = text.partition("(")
    odd = value(rng)
    raw = (
        *WORDS,
        "b'x'",
        "{1}",
        "1j",
        "...",
        "lambda: 1",
        "*x",
        "**x",
        "x.y",
        "f'{1}'",
        "x[0]",
        "a-b",
        "-1",
        "1,",
        "a=1",
    )
    words = rng.choice((repr(odd)[:3000] if not _huge(odd) else "10**400", rng.choice(raw)))
    keys = (
        "seed",
        "n_samples",
        "b",
        "test",
        "path",
        "protocol",
        "explainer",
        "metric",
        "dataset",
        "k",
        "odd",
        "ﬁn",
        "self",
    )
    key = rng.choice(keys)
    return f"{name}({key}={words}{', ' + rest if bracket else ')'}"


def _huge(odd: Any) -> bool:
    return (isinstance(odd, int) and abs(odd) > 10**300) or odd is NUMBERS[-1]


def _rebuilt(kind: str, text: str) -> None:
    built = spec.build(kind, text)
    assert spec.build(kind, built.identity).identity == built.identity, built.identity
    assert spec.label(kind, built.identity) == built.label, built.label
    assert built.identity.isprintable(), built.identity


def _named(rng: random.Random, text: str) -> Made:
    if rng.random() < 0.5:
        return []
    return [
        Attempt(f"data set {text!r}", lambda: naming.build_dataset(text)),
        Attempt(f"model {text!r}", lambda: naming.refer(text)),
        Attempt(f"columns of {text!r}", lambda: naming.dataset_spec(text, {"text": "a"})),
    ]


def _planned(path: Path, backbone: str | None) -> None:
    plan = read_plan(path, backbone)
    again = path.parent / "again.toml"
    again.write_text(write_plan(plan), encoding="utf-8")
    assert read_plan(again) == plan
    faithbench.check_likes([plan])
    faithbench.check_plans([plan], "cpu", train=False)


def _loaded(text: str) -> None:
    dataset = naming.build_dataset(text)
    examples = dataset.object.load("test")
    assert all(isinstance(each, Example) for each in examples)
    fingerprint(examples)
    assert dataset.content
    assert isinstance(dataset.object.class_names, tuple)
    dataset.object.skipped("test")
    dataset.object.notes("test")


def _damage(rng: random.Random, run: Path) -> None:
    """Spoils one or two of the files of a run or board."""
    for _ in range(rng.choice((1, 1, 2))):
        paths = sorted(path for path in run.rglob("*") if path.is_file() and not path.name.startswith("."))
        if not paths:
            return
        parts = [path for path in paths if path.suffix == ".parquet"]
        path = rng.choice((rng.choice(parts), run / "manifest.json", rng.choice(paths)) if parts else paths)
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            _damage_part(rng, path)
        elif path.suffix == ".json":
            with contextlib.suppress(ValueError):  # it was damaged before
                _put(rng, path, json.dumps(mutated(rng, json.loads(path.read_text()))).encode())
        elif path.suffix == ".jsonl":
            entries = mutated(rng, [json.loads(line) for line in path.read_text(errors="replace").splitlines()])
            _put(rng, path, _bytes(entries, "jsonl"))
        elif path.suffix == ".toml":
            _put(rng, path, toml(mutated(rng, PLANS[0])).encode("utf-8", "surrogatepass"))
        else:
            _put(rng, path, torn(rng, path.read_bytes()))


def _damage_part(rng: random.Random, path: Path) -> None:
    try:
        frame = pd.read_parquet(path)
    except Exception:  # it was damaged before
        return
    column = rng.choice(list(frame.columns))
    rows_of = len(frame)
    kinds: Sequence[Any] = (
        *([None] * rows_of, [1] * rows_of, [1.5] * rows_of, ["x"] * rows_of, [True] * rows_of, [b"\xff"] * rows_of),
        *([[]] * rows_of, [[1.0, None]] * rows_of, [["x"]] * rows_of, [{"a": 1}] * rows_of, [float("nan")] * rows_of),
        *(
            [-1] * rows_of,
            [2**62] * rows_of,
            [float("inf")] * rows_of,
            [pd.Timestamp(0)] * rows_of,
            [rng.choice(NAMES)] * rows_of,
        ),
        *(
            [[None, 1.0] * 3] * rows_of,
            [[float("nan")]] * rows_of,
            ["1.1.1"] * rows_of,
            ["1"] * rows_of,
            [1e300] * rows_of,
        ),
    )
    chance = rng.random()
    if chance < 0.12:
        frame = frame.drop(columns=column)
    elif chance < 0.2:
        frame = frame.rename(columns={column: rng.choice(("odd", column.upper(), *NAMES))})
    elif chance < 0.25:
        frame = frame.iloc[:0]
    elif chance < 0.3:
        frame = pd.concat([frame, frame], ignore_index=True)
    elif chance < 0.35:
        frame = pd.concat([frame, frame[[column]].add_suffix("_")], axis=1)
    elif chance < 0.5:
        old, new = frame[column].tolist(), rng.choice(kinds)
        frame[column] = pd.Series([new[i] if i == 0 else each for i, each in enumerate(old)], dtype=object)
    else:
        frame[column] = pd.Series(list(rng.choice(kinds)), dtype=object)
    try:
        frame.to_parquet(path, index=rng.random() < 0.1)
    except Exception:  # a mixture that Parquet does not hold
        frame.map(repr).to_parquet(path, index=False)
    if rng.random() < 0.15:
        _put(rng, path, torn(rng, path.read_bytes()))


def _looked_at(rng: random.Random, run: Path, folder: Path) -> Made:
    out = folder / "out"
    commands = (
        ("table", run),
        ("table", run, "--format", rng.choice(("csv", "latex", "terminal", "markdown"))),
        ("table", run, "--by-class"),
        ("table", run, "--over-seeds"),
        ("table", run, "--like", rng.choice(("table2", "table4", "table7"))),
        ("compare", "occlusion", "random", run),
        ("compare", "occlusion", "random", run, "--test", "wilcoxon", "--format", "csv"),
        ("meta", run),
        ("meta", run, "--format", "csv"),
        ("board", "publish", run, out),
        ("figure", run, "--like", "figure5", "--out", folder / "f.svg"),
        *[("report", run, "--out", folder / "report.html")] * 4,
        *[("figure", run, "--of", "text", "--text", "1", "--out", folder / "t.svg")] * 2,
        ("figure", run, "--of", rng.choice(("scores", "curves", "cost", "agreement")), "--out", folder / "f.svg"),
        *[("study", "make", run, "--items", "2", "--every-pair", "--out", folder / "study")] * 2,
        ("compare", "occlusion", run, "--against", "all"),
    )
    made = [
        Attempt(f"results of {run}", lambda: list(results.panels(results.read([run])))),
        Attempt(f"attributions of {run}", lambda: Store(run).read("attributions")),
        command(*rng.choice(commands)),
    ]
    if rng.random() < 0.08:
        made.append(_run(folder, 6, run))
    return made


def _run(folder: Path, limit: int, out: Path) -> Attempt:
    """A run of what was trained before."""
    plan = folder / "sound.toml"
    plan.write_text(write_plan(replace(PLAN, limit=limit)))
    return command("run", "--plan", plan, "--explainer", "random", "--no-train", "--device", "cpu", "--out", out)


def _damage_checkpoint(rng: random.Random, model: Path) -> None:
    path = rng.choice((model / "config.json", rng.choice(sorted(model.iterdir()))))
    if path.suffix == ".json":
        try:
            document = json.loads(path.read_text())
        except ValueError:  # it was damaged before
            return
        if rng.random() < 0.3:
            document |= rng.choice(CONFIGURATIONS)
        else:
            document = mutated(rng, document)
        _put(rng, path, json.dumps(document).encode())
    elif path.suffix == ".safetensors":
        if rng.random() < 0.5:
            _put(rng, path, torn(rng, path.read_bytes()))
        else:
            path_weights = {k: v.copy() for k, v in load_file(path).items()}
            name = rng.choice(sorted(path_weights))
            _change_weights(rng, path_weights, name)
            save_file(path_weights, path)
    else:
        _put(rng, path, torn(rng, path.read_bytes()))
    if rng.random() < 0.1:
        rng.choice(sorted(model.iterdir())).unlink()


CONFIGURATIONS: tuple[dict[str, Any], ...] = (
    {"auto_map": {"AutoConfig": "odd.Odd", "AutoModelForSequenceClassification": "odd.Model"}},
    {"model_type": "no_such_type", "auto_map": {"AutoConfig": "odd.Odd"}},
    {"tokenizer_class": "OddTokenizer", "auto_map": {"AutoTokenizer": ["odd.Odd", None]}},
    {"model_type": "bcos"},
    {"vocab_size": 10**12},
    {"vocab_size": 0},
    {"hidden_size": 10**9},
    {"hidden_size": 7},
    {"num_hidden_layers": 10**9},
    {"num_hidden_layers": 0},
    {"num_attention_heads": 0},
    {"max_position_embeddings": 0},
    {"num_labels": -1},
    {"id2label": {"0": "a"}},
    {"id2label": {"x": "a", "y": "b"}},
    {"id2label": {str(i): "x" for i in range(2)}, "label2id": {"x": 9}},
    {"problem_type": "odd"},
    {"problem_type": "regression"},
    {"bcos": {"b": 2.0}},
    {"bcos": {"b": "x"}},
    {"bcos": None},
    {"bcos": []},
    {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
    {"quantization_config": {"quant_method": "odd"}},
    {"torch_dtype": "odd"},
    {"dtype": "float8"},
    {"hidden_act": "odd"},
    {"_attn_implementation": "flash_attention_2"},
    {"attn_implementation": "odd/kernel"},
    {"model_max_length": -1},
    {"is_decoder": True, "add_cross_attention": True},
    {"pad_token_id": 10**6},
    {"architectures": "odd"},
)


def _change_weights(rng: random.Random, weights: dict[str, np.ndarray], name: str) -> None:
    chance = rng.random()
    if chance < 0.3:
        del weights[name]
    elif chance < 0.6:
        weights[name] = np.full_like(weights[name], rng.choice((np.nan, np.inf, 1e38)))
    elif chance < 0.8:
        weights[name] = weights[name][..., :1].copy()
    else:
        weights[name] = weights[name].astype(rng.choice((np.float16, np.int64, np.bool_)))


def _answers(model: Path) -> None:
    classifier = load_classifier(str(model), "cpu", "float32").classifier
    text = classifier.encode(Example("a", "a tale told in toil", 0))
    assert len(text)
    _ = classifier.class_names
    classifier.fingerprint()


def _with_cache(cache: Path, attempt: Attempt) -> object:
    before = os.environ["FAITHBENCH_CACHE"]
    os.environ["FAITHBENCH_CACHE"] = str(cache)
    try:
        return attempt.do()
    finally:
        os.environ["FAITHBENCH_CACHE"] = before
