"""The command line: a list of commands, each of which calls one public function of the package, and their errors."""

import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from faithbench.command_line import given
from faithbench.commands import (
    boards,
    check,
    documents,
    explain,
    figure,
    importing,
    listing,
    neurons,
    report,
    run,
    study,
    tables,
    train,
)
from faithbench.commands.examples import EXAMPLES, FIRST, epilog
from faithbench.commands.output import err_console, out_console
from faithbench.console import prepare_streams, say, write
from faithbench.errors import UserError
from faithbench.files import why_not_written
from faithbench.schemas import reason
from faithbench.shown import shell_words
from faithbench.stopping import Stop, sentence, stoppable

HELP = "Can an explanation of a language model be believed? Faithfulness benchmarks, and B-cos language models."
INTERRUPTED = 130  # the status that typer makes of a KeyboardInterrupt
app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None, help=HELP, epilog=epilog(FIRST))
app.command("list")(listing.list_components)
app.command("train")(train.train)
app.command("run")(run.run)
app.command("explain")(explain.explain)
app.command("build")(documents.build_documents)
app.command("import")(importing.import_file)
app.command("table")(tables.table)
app.command("figure")(figure.figure)
app.command("report")(report.report)
app.command("neuron")(neurons.neuron)
app.command("export")(neurons.export)
app.command("compare")(tables.compare)
app.command("meta")(tables.meta)
app.command("check")(check.check)
board = typer.Typer(help="Leaderboards: publish a run, make the tables, check them.")
app.add_typer(board, name="board", epilog=epilog(EXAMPLES["board"]))
app.add_typer(study.app, name="study", epilog=epilog(EXAMPLES["study"]))
board.command("publish")(boards.board_publish)
board.command("build")(boards.board_build)
board.command("continue")(boards.board_continue)
board.command("check")(boards.board_check)
for line, prefix in ((app, ""), (board, "board "), (study.app, "study ")):
    for each in line.registered_commands:
        each.epilog = epilog(EXAMPLES.get(f"{prefix}{each.name}", ()))


def _say_version(wanted: bool) -> None:
    if wanted:
        say(out_console, f"faithbench {version('faithbench')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def begin(
    context: typer.Context,
    version: Annotated[  # `_say_version` is told
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Shows the help where no command is given."""
    _help(context)


@board.callback(invoke_without_command=True)
@study.app.callback(invoke_without_command=True)
def begin_group(context: typer.Context) -> None:
    """Likewise."""
    _help(context)


def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        write(out_console, f"{context.get_help()}\n")


def main() -> None:
    """The entry point: a user's mistake is one sentence and exit status 2; after a signal it is 128 and its number."""
    prepare_streams()
    stop = Stop()
    try:
        with stoppable(stop, _say_stopped), given(sys.argv[1:]):
            app(prog_name="faithbench")
    except BaseException as ended:
        if isinstance(ended, KeyboardInterrupt) or (isinstance(ended, SystemExit) and ended.code == INTERRUPTED):
            stop.number = stop.number or signal.SIGINT  # raised by a component, say
        if stop.number:
            _say_stopped(stop.number)
            raise SystemExit(128 + stop.number) from ended
        if isinstance(ended, (UserError, OSError)):
            _complain(str(ended) if isinstance(ended, UserError) else _of_system(ended))
            raise SystemExit(2) from ended
        raise


def _say_stopped(number: int) -> None:
    """What is kept, and the command to type, however long it is."""
    command = shell_words(["faithbench", *sys.argv[1:]])
    say(err_console, f"faithbench: {sentence(number, command)}", whole=True)


def _of_system(error: OSError) -> str:
    """What the system has refused: a full disk in the cache of a library, say, or a folder that may not be read."""
    cause = None if isinstance(error, PermissionError) else why_not_written(error)
    if cause is not None:
        return f"{error.filename or 'the output'} cannot be written: {cause}."
    return f"{error.filename or 'something that the system was asked for'} cannot be had: {reason(error)}."


def _complain(what: str) -> None:
    say(err_console, f"faithbench: {what}")
