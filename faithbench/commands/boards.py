"""`faithbench board`: leaderboards."""

from pathlib import Path
from typing import Annotated

import typer

import faithbench
from faithbench.commands.options import Boards, Explainers
from faithbench.commands.output import err_console, out_console
from faithbench.console import say
from faithbench.shown import path_word, shell_words


def board_publish(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    folder: Annotated[Path, typer.Argument(help="The leaderboard's folder.")],
) -> None:
    """Copy a run, or several, into a leaderboard's folder.

    Compact records, plans, manifest and tables.
    """
    for path in faithbench.publish(runs, folder):
        say(out_console, f"wrote {path}", whole=True)


def board_continue(
    folder: Annotated[Path, typer.Argument(help="The leaderboard's folder.")],
    run: Annotated[Path, typer.Argument(help="Folder of the run that goes on; not there yet.")],
    explainer: Explainers = None,
) -> None:
    """Go on with a published board, with an explainer more.

    Makes a run's folder of its records, says how its models were trained, and which command goes on.
    """
    made = faithbench.continue_board(folder, run, explainer or ())
    for each in made.weights:
        say(out_console, f"{each.model} on {each.dataset}: weights {each.fingerprint}", whole=True)
        say(
            out_console, f"  {each.recipe}" if each.recipe else "  a folder or hub id, which is not trained", whole=True
        )
    say(out_console, "With other weights than these, all is measured anew.")
    for path in made.plans:
        say(out_console, f"wrote {path}", whole=True)
    say(out_console, f"wrote {made.run}; to go on:", whole=True)
    for command in (made.command, shell_words(["faithbench", "board", "publish", path_word(run), path_word(folder)])):
        say(out_console, f"  {command}", whole=True)


def board_build(folders: Boards = None) -> None:
    """Make leaderboards' tables and the overview from records."""
    written = faithbench.build_boards(folders or ())
    for path in written:
        say(out_console, f"wrote {path}", whole=True)
    if not written:
        say(out_console, "All tables are as their records say already.")


def board_check(folders: Boards = None) -> None:
    """Say where leaderboards disagree with themselves.

    Records, plans, tables and installed versions; then the exit status is 1.
    """
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
