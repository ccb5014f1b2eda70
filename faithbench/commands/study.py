"""Studies with people: a questionnaire is made of a run, and its answers are read."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.options import TableFormat
from faithbench.commands.output import format_of, out_console, write_table
from faithbench.console import say
from faithbench.shown import path_word, shell_words

app = typer.Typer(help="Studies with people: make a questionnaire, read the answers.")


@app.command("make")
def make(
    run: Annotated[list[Path], typer.Argument(help="Folders of runs: of a B-cos and a conventional model, say.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the study [default: RUN-study].")] = None,
    items: Annotated[int, typer.Option(help="Texts that everybody rates.")] = 50,
    raters: Annotated[int, typer.Option(help="People; each has a number and an order of their own.")] = 5,
    seed: Annotated[int, typer.Option(help="Of texts, orders and names.")] = 0,
    dataset: Annotated[
        str | None, typer.Option(help="Which, if there are several.", autocompletion=names("dataset"))
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Repeat for more [default: all].", autocompletion=names("model"))
    ] = None,
    explainer: Annotated[
        list[str] | None, typer.Option(help="Repeat for more [default: all].", autocompletion=names("explainer"))
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="EXPLAINER of MODEL; repeat for more [default: as the paper has them].")
    ] = None,
    every_pair: Annotated[bool, typer.Option("--every-pair", help="Explain all models by all explainers.")] = False,
    correct: Annotated[bool, typer.Option("--correct", help="Only texts whose label is predicted.")] = False,
) -> None:
    """Make a questionnaire in which people rate explanations.

    Without knowing whose they are.
    """
    made = faithbench.make_study(run, out, items, raters, seed, dataset, model, explainer, method, every_pair, correct)
    for sentence in (
        f"{made.page} asks for {made.ratings:,} ratings a person: {made.texts:,} texts, {len(made.methods)} methods "
        f"({', '.join(made.methods)}), 2 questions.",
        *made.notes,
        f"Send that file alone, and a number from 1 to {made.raters} to each person; {made.key} stays with you.",
        f"Then: {shell_words(['faithbench', 'study', 'read', path_word(made.key.parent)])} answers*.json",
    ):
        say(out_console, sentence, whole=True)


@app.command("read")
def read(
    folder: Annotated[Path, typer.Argument(help="Of the study, with its key.json.")],
    answers: Annotated[
        list[Path] | None, typer.Argument(help="What raters have saved [default: answers*.json in the folder].")
    ] = None,
    unit: Annotated[str, typer.Option(help="Of the t-tests: text, rater or rating.")] = "text",
    format: TableFormat = None,
) -> None:
    """Show what people have said.

    Means, paired t-tests, agreement of raters.
    """
    results = faithbench.read_study(folder, answers or None, unit)
    write_table(results.render(format_of(format)), format)
