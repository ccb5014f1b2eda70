"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Models = Annotated[list[str] | None, typer.Option("--model", help="Name, folder or hub id; repeat for more.")]
Datasets = Annotated[list[str] | None, typer.Option("--dataset", help="Name, file or hub id; repeat for more.")]
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
    typer.Option("--format", help="markdown, latex, terminal or csv [default: terminal on one, markdown elsewhere]."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps [default: the best there is].")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training texts [default: 5; tiny: 4].")]
Lr = Annotated[float | None, typer.Option(help="Peak learning rate [default: 2e-5; AG News: 3e-5; tiny: 2e-3].")]
