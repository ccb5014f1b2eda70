"""Options that several commands have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from faithbench.commands.completion import names
from faithbench.plugins.naming import dataset_spec

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME", help="Name, folder or hub id; repeat for more.", autocompletion=names("model")
    ),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset", metavar="NAME", help="Name, file or hub id; repeat for more.", autocompletion=names("dataset")
    ),
]
TextColumn = Annotated[
    str | None, typer.Option("--text", help="The text's column of files or hub data [default: text or a usual name].")
]
PairColumn = Annotated[
    str | None, typer.Option("--pair", help="The second text's [default: hypothesis or another usual name, or none].")
]
LabelColumn = Annotated[str | None, typer.Option("--label", help="The label's [default: label or a usual name].")]
Boards = Annotated[list[Path] | None, typer.Argument(help="Leaderboards' folders [default: all below leaderboards].")]
TableFormat = Annotated[
    str | None,
    typer.Option(
        "--format", help="markdown, latex, html, terminal or csv [default: terminal on one, markdown elsewhere]."
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps [default: the best there is].")]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Passes over the training texts [default: 5; tiny: 4; language models: 1, tiny ones not of B-cos: 2]."
    ),
]
Lr = Annotated[
    float | None,
    typer.Option(
        help="Peak learning rate [default: 2e-5; AG News: 3e-5; tiny: 2e-3; language models: 3e-3, after B-cos "
        "conversion 5e-4]."
    ),
]
Explainers = Annotated[
    list[str] | None,
    typer.Option(
        "--explainer",
        metavar="NAME",
        help="Repeat for more, or all [default: all, or on larger models those that cost little].",
        autocompletion=names("explainer"),
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME", help="Repeat for more [default: all that fit].", autocompletion=names("metric")
    ),
]
PlanFile = Annotated[
    Path | None, typer.Option(help="A TOML plan, or a board's folder with several; options replace values.")
]
Limit = Annotated[int | None, typer.Option(help="Texts of each data set [default: all].")]
Until = Annotated[
    float | None,
    typer.Option(help="Add texts until the leaders' leads have intervals so narrow [default: all at once]."),
]
Protocol = Annotated[str | None, typer.Option(help="strict or paper [default: strict].")]
Split = Annotated[str | None, typer.Option(help="train, validation or test [default: test].")]
Dtype = Annotated[
    str | None,
    typer.Option(help="auto, float32, bf16-mixed, tf32, bfloat16, float16 or float64 [default: float32]."),
]
Drift = Annotated[
    float | None, typer.Option(help="Points by which dtype auto may move scores on average [default: 0.5].")
]
Out = Annotated[Path | None, typer.Option(help="The run's folder [default: a name under runs/].")]
NoTrain = Annotated[bool, typer.Option("--no-train", help="Fail where a model would have to be trained.")]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at a row that cannot be used [default: skip].")]
Timeout = Annotated[
    float | None, typer.Option(help="Seconds that an explainer or metric may take for a text [default: any time].")
]
Workers = Annotated[
    str | None, typer.Option(metavar="N|ray", help="Processes that share the work, or a Ray cluster [default: 1].")
]
GpusPerWorker = Annotated[
    float | None, typer.Option(help="With --workers ray; below 1, workers share one [default: 1 with a GPU].")
]
PlanBackbone = Annotated[str | None, typer.Option("--backbone", help="For a plan that leaves it open, such as minilm.")]


def with_columns(datasets: Sequence[str], text: str | None, pair: str | None, label: str | None) -> Sequence[str]:
    """The data sets, files and hub ids among them with these columns; what names neither may have none."""
    columns = {k: v for k, v in (("text", text), ("pair", pair), ("label", label)) if v is not None}
    return [dataset_spec(name, columns) for name in datasets] if columns else datasets


DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be run and what that takes; write and train nothing.")
]
