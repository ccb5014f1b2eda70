"""`faithbench build`."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.options import Device
from faithbench.commands.output import err_console, out_console
from faithbench.console import say
from faithbench.errors import unknown


def build_documents(
    kind: Annotated[str, typer.Argument(help="What to build: seqpg.")],
    dataset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Where the texts are from: name, file or folder.", autocompletion=names("dataset")
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name (its backbone's conventional model judges), folder, hub id.",
            autocompletion=names("model"),
        ),
    ],
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
    """Build the documents of the Sequence Pointing Game.

    They are texts of different classes, one behind the other.
    """
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
