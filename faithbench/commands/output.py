"""Where commands write: results to standard output, everything else to standard error."""

from faithbench.console import Printer, write

out_console, err_console = Printer(), Printer(stderr=True)


def format_of(wanted: str | None = None) -> str:
    """How tables are written: as was asked for, otherwise as what reads them can show."""
    return wanted or ("terminal" if out_console.is_terminal else "markdown")


def write_table(text: str, wanted: str | None) -> None:
    """A table in the format that was asked for."""
    write(out_console, text, codes=format_of(wanted) == "terminal")
