"""What a board says: in a person's words, or by rule: who leads where, and in one sentence how often."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from faithbench.errors import UserError
from faithbench.figures.choosing import leading
from faithbench.records.results import kind_order, label, labels
from faithbench.records.units import is_of_neurons
from faithbench.schemas import read_text
from faithbench.shown import visible
from faithbench.tables.comparing_neurons import leading_score
from faithbench.tables.markdown import escape

LEADING = "comprehensiveness"
LONGEST = 110  # characters of the sentence
SOME = 3  # explainers that it names
PARAGRAPH = re.compile(r"# [^\n]+\n\s*\n(\w(?:[^<>|*\[\]\n]|\n(?!\s*\n))*\.)[ \t]*(?:\n\s*\n|\n?\Z)")  # below a title


def own_finding(page: Path) -> str:
    """The paragraph below the title of a board's page: plain words, a sentence of at most `LONGEST` signs.

    Empty where there is none such: no page or none that can be read, marked up, too long, or no sentence.
    """
    try:
        text = read_text(page) if page.is_file() and not page.is_symlink() else ""
    except UserError:
        return ""
    found = PARAGRAPH.match(text)
    sentence = " ".join(found.group(1).split()) if found else ""
    return sentence if len(escape(visible(sentence))) <= LONGEST else ""


def finding(frame: pd.DataFrame) -> str:
    """Who is of the first rank group on how many pairs of model and data set: a sentence of at most `LONGEST` signs.

    Args:
        frame: of `tables.table`.
    """
    names = labels("explainer", frame["explainer"])
    every = list(_places(frame))
    if not any(metric for _, _, metric, _, _ in every):
        return "Too few texts to rank explainers." if every else "No metric here has a better and worse."
    compared = [first for _, _, metric, first, column in every if metric and len(column) > 1]
    if not compared:
        return "One explainer alone: there is nothing to compare."
    total, counts = len(compared), Counter(names[name] for first in compared for name in first)
    if not counts:
        pairs = f"any of {total} pairs" if total > 1 else "the one pair"
        return f"No difference between explainers is shown on {pairs} of model and data set."
    return _counted(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])), total)


def _counted(told: Sequence[tuple[str, int]], total: int) -> str:
    """As many explainers as the sentence has room for."""
    for shown in range(min(SOME, len(told)), 0, -1):
        (name, count), *others = told[:shown]
        words = [f"{name} is first or tied on {count} of {total} pairs of model and data set"]
        words += [f"{name} on {count}" for name, count in others]
        more = f", and {len(told) - shown} more on some" * (len(told) > shown)
        sentence = f"{', '.join(words)}{more}."
        if len(escape(visible(sentence))) <= LONGEST:
            return sentence
    name, count = told[0]
    return f"{visible(name)[: LONGEST // 4]}… is first or tied on {count} of {total} pairs of model and data set."


def leaders(frame: pd.DataFrame) -> Iterator[str]:
    """A line for each data set and model: who leads by what."""
    kinds = ("dataset", "model", "explainer")
    names = {kind: labels(kind, sorted(map(str, frame[kind].unique()))) for kind in kinds}
    for dataset, model, metric, _, column in _places(frame):
        where = f"{names['model'][model]} on {names['dataset'][dataset]}"
        if metric is None:
            yield f"{where}: too few texts to rank"
        else:
            yield f"{where}, {label('metric', metric)}: {_leading(column, names['explainer'])}"


def first_place(frame: pd.DataFrame) -> tuple[str, str, str]:
    """Data set, model and metric of the first place where explainers are ranked; of any if they are ranked nowhere."""
    for dataset, model, metric, _, _ in _places(frame):
        if metric is not None:
            return dataset, model, metric
    first = frame.iloc[0]
    here = frame[(frame["dataset"] == first["dataset"]) & (frame["model"] == first["model"])]
    return str(first["dataset"]), str(first["model"]), min(map(str, here["metric"]), key=leading)


def _places(frame: pd.DataFrame) -> Iterator[tuple[str, str, str | None, list[str], pd.DataFrame]]:
    """Data set, model, the metric that counts, who leads by it (nobody where all are tied), and its rows.

    Without a metric where there are too few texts to rank.
    """
    for (dataset, model), block in frame.groupby(["dataset", "model"]):
        metric = _leading_metric(block)
        if metric is not None:
            column = block[(block["metric"] == metric) & block["rank_group"].notna()]
            groups = _first(column)
            yield str(dataset), str(model), metric, [name for group in groups for name in group], column
        elif block["ranked_on"].notna().any():
            yield str(dataset), str(model), None, [], block


def _first(column: pd.DataFrame) -> list[list[str]]:
    """The first rank group of what is ranked, equal ones as one; nothing where all are tied."""
    first = column[column["rank_group"] == 1]
    alike = {str(name): [str(name)] for name in first["explainer"]}
    for name, equal in zip(first["explainer"], first["equal_to"], strict=True):
        if equal in alike:
            alike[str(equal)] += alike.pop(str(name))
    return [] if len(first) == len(column) > 1 and len(alike) > 1 else list(alike.values())


def _leading(column: pd.DataFrame, names: dict[str, str]) -> str:
    groups = _first(column)
    if not groups:
        return f"no difference is shown between {len(column)} explainers"
    return _listed(" = ".join(names[name] for name in group) for group in groups)


def _leading_metric(block: pd.DataFrame) -> str | None:
    """Comprehensiveness as it is by default, or in another form, or the first metric that ranks.

    Of neurons' scores it is the one by which they are ordered everywhere.
    """
    ranked = block[block["rank_group"].notna()]
    if is_of_neurons(str(block["dataset"].iloc[0])):
        return leading_score(sorted(map(str, ranked["metric"].unique())))
    forms = {
        name: (label("metric", name) != LEADING, name.partition("(")[0] != LEADING, kind_order(kind), name)
        for name, kind in zip(ranked["metric"], ranked["kind"], strict=True)
    }
    return min(forms, key=lambda name: forms[name], default=None)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
