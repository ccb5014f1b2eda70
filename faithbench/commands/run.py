"""`faithbench run`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import faithbench
from faithbench.commands.options import (
    Datasets,
    Device,
    Drift,
    DryRun,
    Dtype,
    Epochs,
    Explainers,
    GpusPerWorker,
    LabelColumn,
    Limit,
    Lr,
    Metrics,
    Models,
    NoTrain,
    Out,
    PairColumn,
    PlanBackbone,
    PlanFile,
    Protocol,
    Split,
    Strict,
    TextColumn,
    Timeout,
    Until,
    Workers,
    with_columns,
)
from faithbench.commands.output import err_console, format_of, out_console
from faithbench.console import say, write
from faithbench.errors import UserError
from faithbench.files import files_below
from faithbench.plan import TABLES, Plan, changed, plan_files, read_plan, run_folder
from faithbench.shown import counted, path_word, shell_words

if TYPE_CHECKING:
    from faithbench.running.runner import Run

ALL = "all"  # in the place of an explainer's name
DEMO, DEMO_TEXTS = ("bcos-tiny", "conv-tiny"), 100


def run(
    model: Models = None,
    dataset: Datasets = None,
    text: TextColumn = None,
    pair: PairColumn = None,
    label: LabelColumn = None,
    explainer: Explainers = None,
    metric: Metrics = None,
    plan: PlanFile = None,
    backbone: PlanBackbone = None,
    limit: Limit = None,
    until: Until = None,
    protocol: Protocol = None,
    split: Split = None,
    device: Device = None,
    dtype: Dtype = None,
    drift: Drift = None,
    out: Out = None,
    epochs: Epochs = None,
    lr: Lr = None,
    no_train: NoTrain = False,
    strict: Strict = False,
    timeout: Timeout = None,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    dry_run: DryRun = False,
) -> None:
    """Score explainers on models; the same command again goes on.

    Without options: all explainers and metrics, with two small models on 100 generated sentences. Without --explainer
    and --plan, models that are not tiny are given those that cost little.
    """
    faithbench.check_options(timeout, workers, gpus_per_worker)
    values: dict[str, object] = {
        "models": model,
        "explainers": [] if explainer == [ALL] else explainer,
        "metrics": metric,
        "protocol": protocol,
        "split": split,
    }
    values |= {"limit": limit, "until": until, "dtype": dtype, "drift": drift}
    plans = [
        changed(
            base,
            values | {"datasets": with_columns(dataset or base.datasets, text, pair, label)},
            {"epochs": epochs, "lr": lr},
        )
        for base in _plans(plan, backbone, demo=not (model or dataset))
    ]
    if explainer == [ALL]:
        plans = [replace(each, explainers=()) for each in plans]
    elif plan is None:
        plans = [_cheap(each) for each in plans]
    faithbench.check_likes(plans)
    agenda = faithbench.check_plans(plans, device, train=not no_train)
    folder = out or (run_folder(plan, backbone) if plan else None)
    if dry_run:
        for each in plans:
            found = faithbench.cost(each, folder, device=device, agenda=agenda)
            write(out_console, f"{found.render(format_of())}\n", codes=format_of() == "terminal")
        return
    results = [
        faithbench.run(
            each,
            folder,
            device=device,
            train=not no_train,
            console=err_console,
            agenda=agenda,
            strict=strict,
            timeout=timeout,
            workers=workers,
            gpus_per_worker=gpus_per_worker,
        )
        for each in plans
    ]
    _say(results, dict.fromkeys(name for each in plans for name in each.like))


def _cheap(plan: Plan) -> Plan:
    """The plan with the explainers that are run where none is named; of what is left out it is said how to get it."""
    usual = faithbench.usual_explainers(plan)
    if usual.line:
        say(err_console, usual.line)
    return replace(plan, explainers=usual.explainers) if usual.explainers else plan


def _plans(path: Path | None, backbone: str | None, demo: bool) -> Sequence[Plan]:
    """What a run is made of before options change it."""
    if path is not None:
        return [read_plan(file, backbone) for file in plan_files(path)]
    if backbone:
        raise UserError(f"backbone={backbone!r} is for a plan that leaves it open; give --plan, or --model.")
    return [Plan(("planted",), DEMO, limit=DEMO_TEXTS if demo else None)]


def _say(results: Sequence["Run"], likes: Iterable[str]) -> None:
    """How a run has ended; status 1 where something has failed."""
    folder, failed = results[0].folder, any(each.failed for each in results)
    if failed:
        _say_failures(folder, results[0].unit)
    _show(folder, results[0].unit, sum(each.done for each in results), sum(each.before for each in results), likes)
    if failed:
        raise typer.Exit(1)


def _say_failures(folder: Path, unit: str) -> None:
    for explainer, metric, error, count in faithbench.failures([folder]).itertuples(index=False, name=None):
        say(err_console, f"FAILED {explainer}, {metric}: {error} ({counted(count, unit)})")


def _show(folder: Path, unit: str, done: int, before: int, likes: Iterable[str]) -> None:
    """What a run has found, as the published tables that its plans are like or as the usual one; and its files."""
    tables = [name for name in likes if name in TABLES]
    figures = [name for name in likes if name not in TABLES]
    texts = [faithbench.paper_table([folder], name).render(format_of(), beside_paper=True) for name in tables]
    for text in texts if tables or figures else [faithbench.render([folder], format_of())]:
        write(out_console, f"{text}\n", codes=format_of() == "terminal")
    for name in figures:
        words = ["faithbench", "figure", path_word(folder), "--like", name, "--out", f"{name}.svg"]
        say(out_console, f"To draw it: {shell_words(words)}", whole=True)
    say(out_console, f"{counted(done, 'result')} done, {before:,} were there before. Written to {folder}:", whole=True)
    for path in files_below(folder):
        say(out_console, f"  {path}", whole=True)
    read = ["faithbench", "report", path_word(folder), "--out", "report.html"]
    say(out_console, f"To see it in a browser, {unit} by {unit}: {shell_words(read)}", whole=True)
