"""`faithbench neuron` and `faithbench export`."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.output import err_console, out_console
from faithbench.console import paragraphs, say, words
from faithbench.shown import path_word, shell_words

Run = Annotated[Path, typer.Argument(help="Folder of a run about neurons.")]
Model = Annotated[
    str | None, typer.Option(help="Of the run, as tables show it [default: all].", autocompletion=names("model"))
]


def neuron(
    run: Run,
    units: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[UNIT]...",
            help="Names, or layer and number as 0:17 [default: a list of the best, median and worst of each layer].",
        ),
    ] = None,
    model: Model = None,
    out: Annotated[Path | None, typer.Option(help="A file .html, .svg, .png, .pdf or .json to write besides.")] = None,
) -> None:
    """Show what a neuron does, and what is said of it.

    Its top windows coloured by activation, its descriptions with their scores, and what each predicts. Where none is
    named, a list.
    """
    found = faithbench.neuron(run, units or (), model=model)
    if out is not None:
        found.save(out)
    if units:
        paragraphs(out_console, found.lines(out_console.encoding, out_console.width))
    else:
        paragraphs(out_console, (words(out_console, line) for line in found.overview(out_console.width)))
        command = ["faithbench", "neuron", path_word(run), f"{found[0].seen.layer}:{found[0].seen.number}"]
        say(out_console, f"To see what one does: {shell_words(command)}", whole=True)
    if out is not None:
        say(err_console, f"wrote {out}", whole=True)


def export(
    run: Run,
    out: Annotated[Path, typer.Option(help="The folder to write, which must be new or empty.")],
    format: Annotated[str, typer.Option(help="neuron-explainer: records of OpenAI's tool.")] = "neuron-explainer",
    model: Model = None,
) -> None:
    """Write a run's neurons in the shape that other tools read.

    Their activations in the windows that the run has kept, and their descriptions.
    """
    say(out_console, faithbench.export(run, out, format=format, model=model).said, whole=True)
