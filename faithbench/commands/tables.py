"""`faithbench table`, `compare` and `meta`: what runs have found."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.completion import names
from faithbench.commands.options import Metrics, TableFormat
from faithbench.commands.output import err_console, format_of, out_console, write_table
from faithbench.console import say, write
from faithbench.errors import UserError, unknown
from faithbench.plan import CRATE

ALL = "all"  # every other explainer
APART = ("class", "layer", "density")


def table(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    format: TableFormat = None,
    by_class: Annotated[bool, typer.Option("--by-class", help="Apart for each class that was explained.")] = False,
    by: Annotated[
        str | None,
        typer.Option(help="Apart for each class, as --by-class; or of neurons for each layer, or decile of density."),
    ] = None,
    over_seeds: Annotated[
        bool, typer.Option("--over-seeds", help="Models that differ in their seed alone together; --like always does.")
    ] = False,
    like: Annotated[
        str | None,
        typer.Option(help="In the rows and columns of a table of the paper: table2 to table8; or decoders, or crate."),
    ] = None,
    beside_paper: Annotated[
        bool, typer.Option("--beside-paper", help="With --like: published numbers and differences too.")
    ] = False,
    backbone: Annotated[str | None, typer.Option(help="With --like: whose models [default: the only one's].")] = None,
    keep_last: Annotated[
        bool, typer.Option("--keep-last", help="With --like crate: the last of six or more layers counts, too.")
    ] = False,
) -> None:
    """Print the table of one or more runs.

    Means with intervals; the best, and those tied with it, in bold.
    """
    if by not in (None, *APART):
        raise unknown("way to tell apart", by, APART)
    by_class = by_class or by == "class"
    if by_class and by not in (None, "class"):
        raise UserError(f"--by-class and --by {by} do not go together; give one of them.")
    if like is None:
        if beside_paper or keep_last or backbone is not None:
            raise UserError(
                "--beside-paper, --keep-last and --backbone are for published tables; say which with --like, as table2."
            )
        apart = by_class, over_seeds, by == "layer", by == "density"
        write_table(faithbench.render(runs, format_of(format), *apart), format)
        return
    if by_class or by is not None:
        raise UserError("--by-class and --by do not go with --like: the published tables tell nothing apart.")
    if keep_last and like != CRATE:
        raise UserError(f"--keep-last goes with --like {CRATE} alone, whose means leave out a last layer.")
    found = faithbench.paper_table(runs, like, backbone, drop_last=not keep_last)
    write_table(found.render(format_of(format), beside_paper), format)
    for note in found.notes if format == "csv" else ():
        say(err_console, note)


def compare(
    a: Annotated[
        str,
        typer.Argument(
            help="An explainer as tables show it, or a model; a unique beginning will do.",
            autocompletion=names("explainer", "model"),
        ),
    ],
    rest: Annotated[
        list[str],
        typer.Argument(metavar="[B] RUN...", help="Another, or all; then folders of runs."),
    ],
    against: Annotated[
        str | None, typer.Option(help="Instead of B: another, or all for every other explainer.")
    ] = None,
    metric: Metrics = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only on this model.")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Only on this data set.")] = None,
    test: Annotated[str, typer.Option(help="permutation or wilcoxon.")] = "permutation",
    alpha: Annotated[float, typer.Option(help="How often a difference may be seen where there is none.")] = 0.05,
    over_seeds: Annotated[
        bool, typer.Option("--over-seeds", help="Put trainings that differ in their seed together; not against all.")
    ] = False,
    format: Annotated[
        str | None, typer.Option(help="text or csv; against all, as of table [default: text; against all: a table].")
    ] = None,
) -> None:
    """Say whether A is better than B, or than all others.

    With the evidence: difference, interval, p, effect size and n for each data set, model and metric.
    """
    b, runs = (against, rest) if against is not None else (rest[0], rest[1:])
    if not runs:
        raise UserError(
            "compare needs a run's folder behind the names, as in faithbench compare lime occlusion runs/mine."
        )
    chosen = metric or (), model, dataset, test, alpha
    if b == ALL and over_seeds:
        raise UserError("--over-seeds goes with two names, not with all; name the other.")
    if b == ALL:
        found = faithbench.against_all(a, runs, *chosen)
        write_table(found.render(format_of(None if format == "text" else format)), format)
    else:
        write(out_console, faithbench.comparison(a, b, runs, *chosen, over_seeds=over_seeds).render(format or "text"))


def meta(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    format: TableFormat = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw a heat map: a file .svg, .png or .pdf.")] = None,
) -> None:
    """Show whether the metrics agree.

    With each other, and with the ground truth; and which cheap one predicts it.
    """
    found = faithbench.meta_evaluation(runs)
    write_table(found.render(format_of(format)), format)
    if plot is not None:
        say(err_console, f"wrote {found.plot(plot)}", whole=True)
