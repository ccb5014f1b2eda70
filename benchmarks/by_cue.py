"""Scores of a board on texts of `program(xor)`, apart for what cues a text has: A alone, B alone, or both.

    python benchmarks/by_cue.py [leaderboards/known-truth] [--metric truth_tau]

Means over texts; in brackets how many have a value. A mean over all of them hides where an explainer is right and where
it is wrong, since a cue works for the label in some of these texts and against it in others.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from faithbench.datasets.program import LETTERS
from faithbench.plugins import spec
from faithbench.plugins.naming import build_dataset
from faithbench.records.results import labels, read

DATA = "program(xor)"
BOARD = Path(__file__).parent.parent / "leaderboards/known-truth"


def cues_of(text: str) -> str:
    """The kinds of cues that xor looks at, in a text: "A", "B", "A and B", or "none"."""
    there = {LETTERS.get(word) for word in text.split()}
    return " and ".join(letter for letter in "AB" if letter in there) or "none"


def by_cue(board: Path, metric: str) -> pd.DataFrame:
    """Means by model and explainer, a column for each kind of texts."""
    data = build_dataset(DATA)
    kinds = {example.id: cues_of(example.text) for example in data.object.load("test")}
    records = read([board])
    wanted = spec.build("metric", metric).identity
    records = records[(records["dataset"] == data.identity) & (records["metric"] == wanted)].dropna(subset="value")
    if records.empty:
        raise SystemExit(f"{board} has no records of {metric} on {DATA}.")
    names = {what: records[what].map(labels(what, records[what])) for what in ("model", "explainer")}
    named = records.assign(cues=records["unit"].map(kinds), **names)
    found = named.groupby(["model", "explainer", "cues"])["value"].agg(["mean", "size"])
    cells = found.apply(lambda row: f"{round(row['mean'])} ({row['size']:.0f})", axis=1)
    return cells.unstack(fill_value="").reset_index()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("board", nargs="?", type=Path, default=BOARD)
    parser.add_argument("--metric", default="truth_tau")
    parser.add_argument("--tiny", action="store_true", help="the same: it takes a second")
    chosen = parser.parse_args(arguments)
    print(by_cue(chosen.board, chosen.metric).to_markdown(index=False))


if __name__ == "__main__":
    main()
