"""What a run came to, as notebooks and terminals show it: its table."""

from html import escape
from pathlib import Path

from rich.text import Text

from faithbench.records.results import labels
from faithbench.shown import visible
from faithbench.tables.table import render, table

SHOWN = {
    "dataset": "data set",
    "model": "model",
    "explainer": "explainer",
    "metric": "metric",
    "mean": "mean",
    "low": "low",
    "high": "high",
    "n": "n",
    "failed": "failed",
}


def overview_html(folder: Path) -> str:
    """Means with 95 % intervals and numbers of texts, a row for each data set, model, explainer and metric."""
    frame = table([folder])
    shown = frame[list(SHOWN)].rename(columns=SHOWN)
    for kind, column in (("dataset", "data set"), ("model", "model"), ("explainer", "explainer"), ("metric", "metric")):
        names = labels(kind, shown[column])
        shown[column] = [visible(names[str(identity)]) for identity in shown[column]]
    title = f"<p>{escape(visible(str(folder)))}: means over n texts, with 95 % intervals from low to high.</p>"
    return title + str(shown.to_html(index=False, escape=True, float_format="{:.2f}".format, border=0))


def overview_text(folder: Path) -> Text:
    """The table as a terminal shows it."""
    return Text.from_ansi(render([folder], "terminal"))
