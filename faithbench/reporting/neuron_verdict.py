"""What is shown of describers of neurons, in sentences made by rule; and what must hold for that to be worth something.

A describer is ahead where paired tests over neurons show it, as in tables. Scores of descriptions that were made from
other documents are compared with two controls, where these were measured: activations permuted across documents, which
nothing may predict, and the documents that a description was made from.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from faithbench.records.manifest import ModelEntry, perplexities
from faithbench.records.results import Panel
from faithbench.reporting.badges import DOUBT, HOLDS, UNKNOWN, Badge
from faithbench.reporting.contest import Contest, Entrant
from faithbench.reporting.neurons import control_of
from faithbench.reporting.verdict import is_behind
from faithbench.reporting.wording import figure, interval
from faithbench.shown import counted, listed

NOTHING = "No score was measured by which descriptions of neurons could be ranked."
CHANCE = 2.0  # percent of correlation that permuted activations stay below
FIRST, REST = "{} predict{} activations best", "{} predict activations best and are not shown to differ"


def headline(found: Contest | None) -> tuple[str, str]:
    """Whose descriptions predict best, and what stands smaller below it."""
    if found is None or not found.judged:
        return NOTHING, ""
    ranked = [each for each in found.judged if each.group]
    first = [each for each in ranked if each.group == 1]
    if not first:
        return f"No verdict: {counted(found.texts, 'neuron')} are too few to rank describers by {found.label}.", ""
    numbers = f"{found.label} {listed([_mean(each) for each in first])}, n = {counted(found.texts, 'neuron')}"
    if len(found.judged) == 1:
        return f"{first[0].label} predicts activations, and there is nothing to compare it with ({numbers}).", ""
    ahead = FIRST.format(first[0].label, "s") if len(first) == 1 else REST.format(listed([e.label for e in first]))
    return f"{ahead} ({numbers}).", _behind(found, ranked, first)


def _behind(found: Contest, ranked: Sequence[Entrant], first: Sequence[Entrant]) -> str:
    others = [each for each in ranked if each.group > 1]
    behind = [f"{each.label} ({_mean(each)})" for each in others if is_behind(found, each, first)]
    partly = [f"{each.label} ({_mean(each)})" for each in others if not is_behind(found, each, first)]
    told = [
        f"{listed(behind)} {'is' if len(behind) == 1 else 'are'} behind" if behind else "",
        f"{listed(partly)} {'is' if len(partly) == 1 else 'are'} behind some of the best" if partly else "",
    ]
    return f"{'; '.join(filter(None, told))}. " if any(told) else ""


def _mean(each: Entrant) -> str:
    return figure(each.mean, 3, most=1)


def badges(panel: Panel, rows: pd.DataFrame, entry: ModelEntry, metric: str | None) -> Iterator[Badge]:
    """All of a model's neurons.

    Args:
        panel: what was measured.
        rows: of the table, of this panel.
        entry: what the manifest says of the model on the data set; empty where it says nothing.
        metric: the leading score.
    """
    yield _loss(entry)
    yield _permuted(rows, metric)
    yield _fitted(rows, metric)
    yield _undefined(panel, metric)
    yield _dead(entry)
    yield _failures(panel)


def _loss(entry: ModelEntry) -> Badge:
    name, (own, _) = "model's loss", perplexities(entry)
    if "loss" in entry.get("units", {}):
        loss = figure(entry["units"]["loss"], 3)
        return Badge(name, f"{loss} nats per token in the documents that neurons are scored on", HOLDS)
    if math.isfinite(own):
        return Badge(name, f"not noted here; perplexity {figure(own, 3)} of validation texts", UNKNOWN)
    return Badge(name, "not known", UNKNOWN)


def _control(rows: pd.DataFrame, name: str, metric: str | None) -> pd.DataFrame:
    """Rows of a control, of the leading score if it was measured for it."""
    controls = rows["metric"].map(lambda each: control_of(str(each)))
    own = rows[(controls.str[0] == name) & (rows["n"] > 0)]
    same = own[controls[own.index].str[1] == metric]
    return same if len(same) else own


def _permuted(rows: pd.DataFrame, metric: str | None) -> Badge:
    name, own = "activations permuted", _control(rows, "permuted", metric)
    if own.empty:
        return Badge(name, 'not measured (--metric "permuted(…)")', UNKNOWN)
    mean, low, high = max(own[["mean", "low", "high"]].itertuples(index=False, name=None), key=lambda row: abs(row[0]))
    told = f"{interval(float(mean), float(low), float(high), 1)} at most, where nothing is to be predicted"
    return Badge(name, told, HOLDS if abs(mean) < CHANCE else DOUBT)


def _fitted(rows: pd.DataFrame, metric: str | None) -> Badge:
    name, own = "leak", _control(rows, "fitted", metric)
    plain = rows[rows["metric"] == metric].set_index("explainer")["mean"]
    gaps = (own.set_index("explainer")["mean"] - plain).dropna()
    if gaps.empty:
        return Badge(name, 'not measured (--metric "fitted(…)")', UNKNOWN)
    most = figure(float(gaps.max()), 3, most=1)
    return Badge(name, f"scores are up to {most} higher in the documents that descriptions were made from", HOLDS)


def _undefined(panel: Panel, metric: str | None) -> Badge:
    name = "undefined"
    if metric is None:
        return Badge(name, "no score", UNKNOWN)
    place = panel.metrics.index(metric)
    there = panel.present[:, :, place] & ~panel.failed[:, :, place]
    lacking = int((there & ~np.isfinite(panel.values[:, :, place])).sum())
    told = f"{lacking:,} of {int(there.sum()):,} scores: activations or predictions are constant" if lacking else "none"
    return Badge(name, told, DOUBT if lacking else HOLDS)


def _dead(entry: ModelEntry) -> Badge:
    sites = entry["units"]["sites"] if "units" in entry else []
    chosen, alive = sum(site["chosen"] for site in sites), sum(site["alive"] for site in sites)
    if not chosen:
        return Badge("never active", "not known", UNKNOWN)
    told = f"{chosen - alive:,} of {chosen:,} neurons" if alive < chosen else "none"
    return Badge("never active", told, DOUBT if alive < chosen else HOLDS)


def _failures(panel: Panel) -> Badge:
    failed, whole = int(panel.failed.sum()), int(panel.present.sum())
    return Badge("failures", f"{failed:,} of {whole:,} results" if failed else "none", DOUBT if failed else HOLDS)
