"""How time and memory grow with a run: finished runs, tables, many parts, and fresh runs of more and more texts.

    python benchmarks/growth.py
    python benchmarks/growth.py --before ../other-checkout
    python benchmarks/growth.py --tiny

Run folders are made through the store; each measurement is a process of its own. CPU seconds are of user and system.
`imports` is what another process takes to import every module that was there at the end, and `beyond` what is left
without it; the peak is that of the whole process (`VmHWM`), imports included, in MB of 10⁶ bytes. With `--before`,
the other checkout does the same in turn, and the ratios are of medians.

- finished: `run` again, of a run with nothing left, on a CSV file of n texts, 3 explainers, 4 metrics, in one part
- finished, parts: the same in many parts
- table: the tables of a run of so many records
- parts: reading records in many small parts; CPU of the reading alone
- fresh: a run from nothing, few rows a text
"""

import argparse
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import faithbench
from faithbench.datasets.planted import Planted
from faithbench.records.store import Store
from faithbench.types import Record, Target

EXPLAINERS = ("random", "saliency", "input_x_gradient")
METRICS = ("comprehensiveness", "sufficiency", "gini", "entropy")
FRESH = (("random", "input_x_gradient"), ("gini", "entropy"))
HERE = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--parts", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--cases", nargs="*", default=["finished", "finished-parts", "table", "parts", "fresh"])
    parser.add_argument("--at", type=Path, help="where folders are made, and found again [default: a temporary folder]")
    parser.add_argument("--tiny", action="store_true", help="in seconds, in one process: whether it works")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        task, at = arguments.child
        print(json.dumps(TASKS[task](at, arguments)))
        return
    if arguments.tiny:
        arguments.texts, arguments.records, arguments.parts, arguments.repeats = 40, 2_000, 10, 1
    if arguments.at is not None:
        arguments.at.mkdir(parents=True, exist_ok=True)
        whole(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments.at = Path(folder)
        whole(arguments)


def whole(arguments: argparse.Namespace) -> None:
    """Makes what is lacking, measures, and prints a line for each case."""
    trees = {"before": arguments.before.resolve(), "after": HERE} if arguments.before else {"now": HERE}
    for name in cases(arguments):
        child(HERE, "make", name, arguments)
        measured: dict[str, list[dict[str, float]]] = {tree: [] for tree in trees}
        for repeat in range(arguments.repeats):
            for tree in list(trees)[:: -1 if repeat % 2 else 1]:  # neither always comes first
                measured[tree].append(both(trees[tree], name, arguments))
        show(name, measured)


def cases(arguments: argparse.Namespace) -> Iterator[str]:
    """The cases asked for, those of runs at two sizes, if not tiny."""
    smaller = () if arguments.tiny else (arguments.texts // 10,)
    sizes = {"table": (arguments.records,), "parts": (arguments.parts,)}
    for name in arguments.cases:
        for count in sizes.get(name, (*smaller, arguments.texts)):
            yield f"{name} {count}"


def both(tree: Path, name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """What a case takes, and what of it imports do."""
    folder = folder_of(name, arguments)
    if (folder / "run").exists():  # which a run changes that joins its parts
        shutil.rmtree(folder / "again", ignore_errors=True)
        shutil.copytree(folder / "run", folder / "again")
    begin = cpu()
    found = child(tree, "measure", name, arguments)
    if arguments.tiny:
        return {"beyond": cpu() - begin, "peak": found["peak"]}
    listed = arguments.at / "modules.json"
    listed.write_text(json.dumps(found.pop("modules")))
    alone = child(tree, "imports", str(listed), arguments)
    return {"beyond": found["cpu"] - alone["cpu"], "imports": alone["cpu"], **found, "imports peak": alone["peak"]}


def show(name: str, measured: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    medians = {}
    for tree, found in measured.items():
        medians[tree] = {key: median(each[key] for each in found) for key in found[0]}
        spread = "–".join(f"{pick(each['beyond'] for each in found):.2f}" for pick in (min, max))
        line = ", ".join(f"{key} {value:,.2f}" for key, value in medians[tree].items())
        print(f"{name:22} {tree:7} {line} (beyond {spread}, n={len(found)})", flush=True)
    if len(medians) == 2:
        before, after = medians.values()
        ratios = ", ".join(f"{key} {before[key] / after[key]:.2f}" for key in before if after[key])
        print(f"{name:22} before/after: {ratios}", flush=True)


def child(tree: Path, task: str, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a process says that does the task with a checkout's package; a tiny one is done here."""
    if arguments.tiny:
        os.environ.setdefault("FAITHBENCH_CACHE", str(arguments.at / "cache"))
        return TASKS[task](name, arguments)
    paths = [str(tree), str(tree / "metrics"), str(tree / "explainers")]
    kept = {"FAITHBENCH_CACHE": str(arguments.at / "cache"), "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, __file__, "--child", task, name, "--at", str(arguments.at)]
    ended = subprocess.run(command, check=False, env=os.environ | kept, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak() -> float:
    """The most resident memory of this process, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins at the parent's there
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    case, count = name.split()
    folder = folder_of(name, arguments)
    if case == "table":
        faithbench.render([folder], "csv")
    elif case == "parts":
        begin = cpu()
        Store(folder).read("records")
        return {
            "ms a part": (cpu() - begin) * 1000 / int(count),
            "cpu": cpu(),
            "peak": peak(),
            "modules": [*sys.modules],
        }
    elif case == "fresh":
        with tempfile.TemporaryDirectory() as out:
            faithbench.run(plan_of(folder, *FRESH), out, device="cpu", console=None)
    else:
        done = faithbench.run(plan_of(folder, EXPLAINERS, METRICS), folder / "again", device="cpu")
        assert done.before == int(count) * len(EXPLAINERS) * len(METRICS), done
    return {"cpu": cpu(), "peak": peak(), "modules": [*sys.modules]}


def imports(listed: str, _: argparse.Namespace) -> dict[str, float]:
    for name in json.loads(Path(listed).read_text()):
        with suppress(Exception):  # such as can only be imported by others
            importlib.import_module(name)
    return {"cpu": cpu(), "peak": peak()}


def folder_of(name: str, arguments: argparse.Namespace) -> Path:
    return Path(arguments.at) / name.replace(" ", "-")


def plan_of(folder: Path, explainers: Sequence[str], metrics: Sequence[str]) -> faithbench.Plan:
    checkpoint = (folder / "model.txt").read_text()
    return faithbench.Plan((str(folder / "texts.csv"),), (checkpoint,), tuple(explainers), tuple(metrics))


def make(name: str, arguments: argparse.Namespace) -> dict[str, str]:
    """The folder of a case, unless it is there."""
    folder, (case, count) = folder_of(name, arguments), name.split()
    if not (folder / "made").exists():
        folder.mkdir(parents=True, exist_ok=True)
        {"table": make_records, "parts": make_parts}.get(case, make_run)(folder, case, int(count))
        (folder / "made").touch()
    return {}


def make_records(folder: Path, _: str, count: int, a_part: int = 100_000) -> None:
    """Records of 5 explainers and 10 metrics, joined into one part."""
    store, generator = Store(folder).open(), np.random.default_rng(0)
    cells = [(f"explainer{e}", f"metric{m}") for e in range(5) for m in range(10)]
    waiting = []
    for text in range(count // len(cells)):
        waiting += [record(e, m, f"test-{text}", generator.normal(50, 20)) for e, m in cells]
        if len(waiting) >= a_part:
            add(store, [], waiting)
            waiting = []
    add(store, [], waiting)
    store.compact()
    entry = {"label": "model", "fingerprint": "f", "truncated_texts": 0}
    data = {"label": "data", "fingerprint": "d"}
    store.write_text("manifest.json", json.dumps({"models": {"model on data": entry}, "datasets": {"data": data}}))


def make_parts(folder: Path, _: str, count: int) -> None:
    """Parts of 30 records."""
    store = Store(folder).open()
    for text in range(count):
        add(
            store,
            [],
            [record(f"explainer{e}", f"metric{m}", f"test-{text}", e + m) for e in range(5) for m in range(6)],
        )


def make_run(folder: Path, case: str, count: int) -> None:
    """A CSV file and, unless the run is to be fresh, a run of it with nothing left: what two texts gave, for all."""
    examples = Planted(train=100, validation=20, test=count).load("test")
    rows = [f"{example.id},{example.text},{('bad', 'good')[example.label or 0]}" for example in examples]
    (folder / "texts.csv").write_text("\n".join(["id,text,label", *rows]) + "\n")
    checkpoint, _ = faithbench.train("conv-tiny", "planted(train=100, validation=20, test=20)", device="cpu")
    (folder / "model.txt").write_text(str(checkpoint))
    if case == "fresh":
        return
    plan, out = plan_of(folder, EXPLAINERS, METRICS), folder / "run"
    faithbench.run(replace(plan, limit=2), out, device="cpu")
    store = Store(out)
    attributions, records = store.read("attributions"), store.read("records")
    first, measured = (
        list(map(stored, frame[frame[column] == frame[column][0]].to_dict("records")))
        for frame, column in ((attributions, "text_id"), (records, "unit"))
    )
    there = {*attributions["text_id"]}
    a_part = 20 if case == "finished-parts" else 1_000
    names = [example.id for example in examples if example.id not in there]
    for begin in range(0, len(names), a_part):
        chosen = names[begin : begin + a_part]
        explained = [{**row, "text_id": name} for name in chosen for row in first]
        add(store, explained, [as_record(row, name) for name in chosen for row in measured])
    if case != "finished-parts":
        store.compact()
        faithbench.run(plan, out, device="cpu")  # what the manifest says of all texts
        return
    shutil.copytree(out, folder / "parts")
    faithbench.run(plan, out, device="cpu")  # likewise, which joins the parts
    for kind in ("attributions", "records"):
        shutil.rmtree(out / kind)
        shutil.move(folder / "parts" / kind, out / kind)


def stored(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a frame, as the store takes it."""
    there = {str(name): None if np.ndim(value) == 0 and pd.isna(value) else value for name, value in row.items()}
    return there | {"against": None if there["against"] is None else int(there["against"])}


def as_record(row: Mapping[str, Any], text: str) -> Record:
    there = {name: value for name, value in row.items() if name not in ("target", "against")}
    return Record(**there | {"target": Target(row["target"], row["against"]), "unit": text})


def record(explainer: str, metric: str, text: str, value: float) -> Record:
    place = {"dataset": "data", "dataset_fingerprint": "d", "model": "model", "model_fingerprint": "f"}
    measured = {"value": value, "parts": (value,), "weight": 1.0, "seconds": 0.1, "rows": 3}
    return Record(**place, explainer=explainer, metric=metric, version="1.1", unit=text, target=Target(1), **measured)


def add(store: Store, attributions: Sequence[Mapping[str, object]], records: Sequence[Record]) -> None:
    """Makes a part of each kind."""
    store.add(attributions, records)
    store.flush()


TASKS = {"make": make, "measure": measure, "imports": imports}

if __name__ == "__main__":
    main()
