"""`faithbench import`."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.options import Device
from faithbench.commands.output import err_console, out_console
from faithbench.console import say


def import_file(
    file: Annotated[Path, typer.Argument(help="JSON lines, JSON or Parquet.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="Name, folder or hub id.", autocompletion=names("model"))],
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="Name, file or hub id.", autocompletion=names("dataset"))
    ],
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
    """Bring attributions computed elsewhere into a run's folder.

    There metrics score them.
    """
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
