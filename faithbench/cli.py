"""The command line. Each command calls one public function of the package."""

import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.command_line import given
from faithbench.commands.options import (
    Boards,
    Datasets,
    Device,
    Epochs,
    LabelColumn,
    Lr,
    Models,
    PairColumn,
    TableFormat,
    TextColumn,
)
from faithbench.commands.output import err_console, format_of, out_console, write_table
from faithbench.console import prepare_streams, say, show, write
from faithbench.errors import UserError, unknown
from faithbench.files import files_below, why_not_written
from faithbench.plan import TABLES_OF_PAPER, Plan, Training, changed, plan_files, read_plan, run_folder
from faithbench.plugins.naming import dataset_spec
from faithbench.schemas import reason
from faithbench.shown import path_word, shell_words
from faithbench.stopping import Stop, sentence, stoppable

HELP = "Can an explanation of a language model be believed? Faithfulness benchmarks, and B-cos language models."
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=HELP
)
board = typer.Typer(no_args_is_help=True, help="Leaderboards: publish a run, make the tables, check them.")
app.add_typer(board, name="board")
INTERRUPTED = 130  # the status that typer makes of a KeyboardInterrupt
DEMO, DEMO_TEXTS = ("bcos-tiny", "conv-tiny"), 100


@app.command("list")
def list_components(
    kind: Annotated[
        str | None, typer.Argument(help="dataset, model, explainer, metric or architecture; all if left out.")
    ] = None,
) -> None:
    """Show what is installed, where it comes from, or why it is broken."""
    found = faithbench.components(kind)
    rows = [
        [
            (row.kind, ""),
            (row.name, ""),
            (row.signature, ""),
            (f"BROKEN: {row.problem}", "red") if row.problem else (row.summary, ""),
            (row.origin, ""),
        ]
        for row in found
    ]
    show(out_console, ("kind", "name", "parameters", "what it is", "from"), rows)


@app.command()
def train(
    model: Annotated[str, typer.Option(help="A named model, such as bcos-minilm or 'bcos-bert(b=2.0)'.")],
    dataset: Annotated[str, typer.Option(help="Name, folder with train, validation and test files, or hub id.")],
    text: TextColumn = None,
    pair: PairColumn = None,
    label: LabelColumn = None,
    epochs: Epochs = None,
    limit: Annotated[int | None, typer.Option(help="Training texts used, drawn at random [default: all].")] = None,
    lr: Lr = None,
    batch_size: Annotated[int, typer.Option(help="Texts a step.")] = 16,
    max_length: Annotated[int, typer.Option(help="Tokens a text is cut to, now and later.")] = 512,
    eval_limit: Annotated[int | None, typer.Option(help="Texts to measure accuracies on [default: all].")] = None,
    seed: Annotated[int | None, typer.Option(help="Part of the model's name [default: 42].")] = None,
    masking: Annotated[
        str | None, typer.Option(help="Likewise; half: half of each batch is masked [default: none; tiny: half].")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="float32, or bf16: autocast, faster on large models where the device has bfloat16.")
    ] = "float32",
    gradient_accumulation_steps: Annotated[
        int, typer.Option(help="Parts in which a batch is read, for less memory; a step is of --batch-size texts.")
    ] = 1,
    dataloader_num_workers: Annotated[int, typer.Option(help="Processes that put batches together.")] = 0,
    device: Device = None,
) -> None:
    """Fine-tune a named model on a data set; a killed training continues."""
    training = Training(
        epochs,
        limit,
        lr,
        batch_size,
        max_length,
        eval_limit,
        precision,
        gradient_accumulation_steps,
        dataloader_num_workers,
    )
    (dataset,) = _with_columns([dataset], text, pair, label)
    folder, report = faithbench.train(
        model, dataset, training, seed=seed, masking=masking, device=device, console=err_console
    )
    test = report["test"]
    say(
        out_console,
        f"Test accuracy {test['accuracy']:.2f} %, balanced {test['balanced_accuracy']:.2f} %, "
        f"on {report['texts']['test']:,} texts. Checkpoint: {folder}",
        whole=True,
    )


@app.command()
def run(
    model: Models = None,
    dataset: Datasets = None,
    text: TextColumn = None,
    pair: PairColumn = None,
    label: LabelColumn = None,
    explainer: Annotated[list[str] | None, typer.Option(help="Repeat for more [default: all].")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="Repeat for more [default: all that fit].")] = None,
    plan: Annotated[
        Path | None, typer.Option(help="A TOML plan, or a board's folder with several; options replace values.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="For a plan that leaves it open, such as minilm.")] = None,
    limit: Annotated[int | None, typer.Option(help="Texts of each data set [default: all].")] = None,
    until: Annotated[
        float | None,
        typer.Option(help="Add texts until the leaders' leads have intervals so narrow [default: all at once]."),
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="strict or paper [default: strict].")] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test [default: test].")] = None,
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="auto, float32, bf16-mixed, tf32, bfloat16, float16 or float64 [default: float32]."),
    ] = None,
    drift: Annotated[
        float | None, typer.Option(help="Points by which dtype auto may move scores on average [default: 0.5].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder [default: a name under runs/].")] = None,
    epochs: Epochs = None,
    lr: Lr = None,
    no_train: Annotated[bool, typer.Option("--no-train", help="Fail where a model would have to be trained.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a row that cannot be used [default: skip].")
    ] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that an explainer or metric may take for a text [default: any time].")
    ] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N|ray", help="Processes that share the work, or a Ray cluster [default: 1].")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="With --workers ray; below 1, workers share one [default: 1 with a GPU].")
    ] = None,
) -> None:
    """Score explainers on models; the same command again continues a run that was killed.

    Without options: all explainers and metrics, with two small models on 100 generated sentences.
    """
    faithbench.check_options(timeout, workers, gpus_per_worker)
    demo = not (model or dataset)
    if backbone and plan is None:
        raise UserError(f"backbone={backbone!r} is for a plan that leaves it open; give --plan, or --model.")
    usual = Plan(("planted",), DEMO, limit=DEMO_TEXTS if demo else None)
    bases = [read_plan(path, backbone) for path in plan_files(plan)] if plan else [usual]
    told: dict[str, object] = {
        "explainers": explainer,
        "metrics": metric,
        "protocol": protocol,
        "split": split,
        "limit": limit,
    }
    told |= {"models": model, "until": until, "dtype": dtype, "drift": drift}
    chosen = [
        changed(
            base,
            told | {"datasets": _with_columns(dataset or base.datasets, text, pair, label)},
            {"epochs": epochs, "lr": lr},
        )
        for base in bases
    ]
    folder = out or (run_folder(plan, backbone) if plan else None)
    faithbench.check_likes(chosen)
    agenda = faithbench.check_plans(chosen, device, train=not no_train)
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
        for each in chosen
    ]
    failed = any(each.failed for each in results)
    if failed:
        _say_failures(results[0].folder)
    likes = dict.fromkeys(name for each in chosen for name in each.like)
    _show(results[0].folder, sum(each.done for each in results), sum(each.before for each in results), likes)
    if failed:
        raise typer.Exit(1)


def _say_failures(folder: Path) -> None:
    for failure in faithbench.failures([folder]).itertuples():
        say(err_console, f"FAILED {failure.explainer}, {failure.metric}: {failure.error} ({failure.texts} texts)")


def _with_columns(datasets: Sequence[str], text: str | None, pair: str | None, label: str | None) -> Sequence[str]:
    """The data sets, files and hub ids among them with these columns; what names neither may have none."""
    columns = {k: v for k, v in (("text", text), ("pair", pair), ("label", label)) if v is not None}
    return [dataset_spec(name, columns) for name in datasets] if columns else datasets


def _show(folder: Path, done: int, before: int, likes: Iterable[str]) -> None:
    """What a run has found, as the published tables that its plans are like or as the usual one; and its files."""
    tables = [name for name in likes if name in TABLES_OF_PAPER]
    figures = [name for name in likes if name not in TABLES_OF_PAPER]
    texts = [faithbench.paper_table([folder], name).render(format_of(), beside_paper=True) for name in tables]
    for text in texts if tables or figures else [faithbench.render([folder], format_of())]:
        write(out_console, f"{text}\n", codes=format_of() == "terminal")
    for name in figures:
        words = ["faithbench", "figure", path_word(folder), "--like", name, "--out", f"{name}.svg"]
        say(out_console, f"To draw it: {shell_words(words)}", whole=True)
    say(out_console, f"{done:,} cells done, {before:,} were there before. Written to {folder}:", whole=True)
    for path in files_below(folder):
        say(out_console, f"  {path}", whole=True)


@app.command("build")
def build_documents(
    kind: Annotated[str, typer.Argument(help="What to build: seqpg.")],
    dataset: Annotated[str, typer.Option(help="Where the texts are from: name, file or folder.")],
    model: Annotated[str, typer.Option(help="Name (its backbone's conventional model judges), folder, hub id.")],
    segment: Annotated[int, typer.Option(help="Tokens of a segment, special ones included; 0: as published.")] = 0,
    documents: Annotated[int, typer.Option(help="How many at most.")] = 500,
    segments: Annotated[int, typer.Option(help="Of a document, each of another class.")] = 2,
    confidence: Annotated[float, typer.Option(help="That the judge must exceed.")] = 0.75,
    seed: Annotated[int, typer.Option(help="Draws the classes.")] = 0,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    out: Annotated[Path | None, typer.Option(help="JSON lines file to write [default: only the cache].")] = None,
    device: Device = None,
    no_train: Annotated[
        bool, typer.Option("--no-train", help="Fail where the judge would have to be trained.")
    ] = False,
) -> None:
    """Build the documents of the Sequence Pointing Game: texts of different classes, one behind the other."""
    if kind != "seqpg":
        raise unknown("kind of data set to build", kind, ["seqpg"])
    built = faithbench.build_documents(
        dataset,
        model,
        segment=segment,
        documents=documents,
        segments=segments,
        confidence=confidence,
        seed=seed,
        split=split,
        out=out,
        device=device,
        train=not no_train,
        console=err_console,
    )
    say(out_console, f"{built.documents:,} documents in {built.path}", whole=True)
    for line in built.counts:
        say(out_console, f"  {line}")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSON lines, JSON or Parquet.")],
    model: Annotated[str, typer.Option(help="Name, folder or hub id.")],
    dataset: Annotated[str, typer.Option(help="Name, file or hub id.")],
    name: Annotated[str, typer.Option(help="What to call the method that made them.")],
    format: Annotated[
        str | None, typer.Option(help="jsonl, eraser, thermostat or bcos [default: by its keys].")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Which, if a bcos file holds several.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder [default: a name under runs/].")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    device: Device = None,
    dtype: Annotated[str, typer.Option(help="As of the run that is to score them.")] = "float32",
    skip_unknown: Annotated[bool, typer.Option("--skip-unknown", help="Leave out texts that the split lacks.")] = False,
) -> None:
    """Bring attributions that were computed elsewhere into a run's folder, for metrics to score."""
    found = faithbench.import_attributions(
        file,
        model,
        dataset,
        name=name,
        format=format,
        method=method,
        out=out,
        split=split,
        device=device,
        dtype=dtype,
        skip_unknown=skip_unknown,
        console=err_console,
    )
    left_out = f", {found.left_out:,} left out" if found.left_out else ""
    without = f"; {found.without:,} texts of the split have none and would fail" if found.without else ""
    say(
        out_console,
        f"{found.texts:,} attributions imported into {found.folder}{left_out}{without}. To score them:",
        whole=True,
    )
    say(out_console, found.command, whole=True)


@app.command()
def table(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    format: TableFormat = None,
    by_class: Annotated[bool, typer.Option("--by-class", help="Apart for each class that was explained.")] = False,
    over_seeds: Annotated[
        bool, typer.Option("--over-seeds", help="Models that differ in their seed alone together; --like always does.")
    ] = False,
    like: Annotated[
        str | None, typer.Option(help="In the rows and columns of a table of arXiv 2502.12992: table2 to table8.")
    ] = None,
    beside_paper: Annotated[
        bool, typer.Option("--beside-paper", help="With --like: published numbers and differences too.")
    ] = False,
    backbone: Annotated[str | None, typer.Option(help="With --like: whose models [default: the only one's].")] = None,
) -> None:
    """Print the table of one or more runs: means with intervals, the best and those tied with it in bold."""
    if like is None:
        if beside_paper or backbone is not None:
            raise UserError("--beside-paper and --backbone are for published tables; say which with --like, as table2.")
        write_table(faithbench.render(runs, format_of(format), by_class, over_seeds), format)
        return
    if by_class:
        raise UserError("--by-class does not go with --like: the published tables do not tell classes apart.")
    found = faithbench.paper_table(runs, like, backbone)
    write_table(found.render(format_of(format), beside_paper), format)
    for note in found.notes if format == "csv" else ():
        say(err_console, note)


@app.command()
def figure(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    like: Annotated[str, typer.Option(help="A figure of arXiv 2502.12992: figure2, figure5, figure6 or figure13.")],
    out: Annotated[Path, typer.Option(help="A file .svg, .png or .pdf.")],
    backbone: Annotated[str | None, typer.Option(help="Whose models [default: the only one's; figure2: all].")] = None,
) -> None:
    """Draw a published figure from one or more runs."""
    found = faithbench.paper_figure(runs, like, backbone)
    say(err_console, f"wrote {found.plot(out)}", whole=True)
    for note in found.notes:
        say(err_console, note)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="An explainer as tables show it, or a model; a unique beginning will do.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    metric: Annotated[list[str] | None, typer.Option(help="Repeat for more [default: all].")] = None,
    model: Annotated[str | None, typer.Option(help="Only on this model.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only on this data set.")] = None,
    test: Annotated[str, typer.Option(help="permutation or wilcoxon.")] = "permutation",
    alpha: Annotated[float, typer.Option(help="How often a difference may be seen where there is none.")] = 0.05,
    format: Annotated[str, typer.Option(help="text or csv.")] = "text",
) -> None:
    """Is A better than B? A sentence with its evidence for each data set, model and metric."""
    found = faithbench.comparison(a, b, runs, metric or (), model, dataset, test, alpha)
    write(out_console, found.render(format))


@app.command()
def meta(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    format: TableFormat = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw a heat map: a file .svg, .png or .pdf.")] = None,
) -> None:
    """Do the metrics agree, with each other and with the ground truth? Which cheap one predicts it?"""
    found = faithbench.meta_evaluation(runs)
    write_table(found.render(format_of(format)), format)
    if plot is not None:
        say(err_console, f"wrote {found.plot(plot)}", whole=True)


@board.command("publish")
def board_publish(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    folder: Annotated[Path, typer.Argument(help="The leaderboard's folder.")],
) -> None:
    """Copy a run into a leaderboard folder: compact records, plan, manifest, tables."""
    for path in faithbench.publish(run, folder):
        say(out_console, f"wrote {path}", whole=True)


@board.command("build")
def board_build(folders: Boards = None) -> None:
    """Make leaderboards' tables, and the overview, from their records."""
    written = faithbench.build_boards(folders or ())
    for path in written:
        say(out_console, f"wrote {path}", whole=True)
    if not written:
        say(out_console, "All tables are as their records say already.")


@board.command("check")
def board_check(folders: Boards = None) -> None:
    """Say where records, plans, tables and installed versions of leaderboards disagree; then the exit status is 1."""
    checked = faithbench.check_boards(folders or ())
    for each in checked:
        for problem in each.problems:
            for line in f"{each.path}: {problem}".split("\n"):
                say(out_console, line, whole=True)
        if each.refused:
            say(err_console, f"faithbench: {each.summary}")
        elif not each.problems:
            say(out_console, f"{each.path}: {each.summary}")
        for remark in each.remarks:
            say(out_console, f"{each.path}: note: {remark}", whole=True)
    if any(each.refused for each in checked):
        raise typer.Exit(2)
    if any(each.problems for each in checked):
        raise typer.Exit(1)


def main() -> None:
    """The entry point: a user's mistake is one sentence and exit status 2; after a signal it is 128 and its number."""
    prepare_streams()
    stop = Stop()
    try:
        with stoppable(stop, _complain), given(sys.argv[1:]):
            app()
    except BaseException as ended:
        if isinstance(ended, KeyboardInterrupt) or (isinstance(ended, SystemExit) and ended.code == INTERRUPTED):
            stop.number = stop.number or signal.SIGINT  # raised by a component, say
        if stop.number:
            _complain(sentence(stop.number))
            raise SystemExit(128 + stop.number) from ended
        if isinstance(ended, (UserError, OSError)):
            _complain(str(ended) if isinstance(ended, UserError) else _of_system(ended))
            raise SystemExit(2) from ended
        raise


def _of_system(error: OSError) -> str:
    """What the system has refused: a full disk in the cache of a library, say, or a folder that may not be read."""
    cause = None if isinstance(error, PermissionError) else why_not_written(error)
    if cause is not None:
        return f"{error.filename or 'the output'} cannot be written: {cause}."
    return f"{error.filename or 'something that the system was asked for'} cannot be had: {reason(error)}."


def _complain(what: str) -> None:
    say(err_console, f"faithbench: {what}")
