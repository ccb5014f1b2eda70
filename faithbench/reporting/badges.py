"""What must hold for a verdict to be worth something, each in a few words with a sign."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from faithbench.records.manifest import ModelEntry, perplexities
from faithbench.records.results import FAITHFULNESS, TRUTH, Panel, kind
from faithbench.statistics.ground_truth import (
    AGREES,
    AGREES_CHANGED,
    WITH,
    WITHOUT,
    ground_truth_holds,
    program_holds,
    without,
)
from faithbench.statistics.performance import is_above_chance
from faithbench.tables.cautions import perplexity_said, repeats_said

HOLDS, DOUBT, UNKNOWN = "holds", "doubt", "unknown"


@dataclass(frozen=True)
class Badge:
    """A few words on one thing, and whether it `holds`, is in `doubt` or `unknown`."""

    name: str
    text: str
    state: str

    @property
    def sign(self) -> str:
        """What tells the states apart without colour."""
        return {HOLDS: "✓", DOUBT: "!", UNKNOWN: "?"}[self.state]


def badges(panel: Panel, entry: ModelEntry, agreements: pd.DataFrame) -> Iterator[Badge]:
    """All of a model on a data set.

    Args:
        panel: what was measured.
        entry: what the manifest says of the model on the data set; empty where it says nothing.
        agreements: of pairs of metrics, as `MetaEvaluation.pairs` has them; empty where there are none.
    """
    yield _accuracy(entry)
    yield _truth(entry.get("checks", {}), panel)
    yield _cut(panel, entry)
    if (told := repeats_said(entry)) is not None:
        yield Badge("texts repeat", told, DOUBT)
    yield _failures(panel)
    yield _agree(agreements)


def _accuracy(entry: ModelEntry) -> Badge:
    found, (own, before) = _performance(entry), perplexities(entry)
    return replace(found, text=f"{found.text}; {perplexity_said(own, before)}") if math.isfinite(own) else found


def _performance(entry: ModelEntry) -> Badge:
    here: Mapping[str, float] = entry.get("performance", {})
    measure = next((name for name in ("accuracy", "subset accuracy", "R²") if name in here), None)
    if measure is not None:
        value = f"{here[measure]:.2f}" if measure == "R²" else f"{here[measure]:.1f} %"
        chance = f"chance {here['chance']:.1f} %, " if "chance" in here else ""
        told = f"{value} on these texts ({chance}n = {int(here['labelled']):,})"
        return Badge(f"model's {measure}", told, HOLDS if is_above_chance(here) else DOUBT)
    test: Mapping[str, Any] = entry.get("training", {}).get("test", {})
    if test.get("accuracy") is not None:
        count = entry.get("training", {}).get("texts", {}).get("test")
        told = f"{test['accuracy']:.1f} % on its test split ({f'n = {count:,}, ' if count else ''}chance is not noted)"
        return Badge("model's accuracy", told, UNKNOWN)
    return Badge("model's accuracy", "not known: the texts have no labels, or none was noted", UNKNOWN)


def _truth(checks: Mapping[str, Any], panel: Panel) -> Badge:
    name = "ground truth"
    if WITH in checks and WITHOUT in checks:
        less = ", ".join(f"{_number(accuracy)} % without {gone}" for gone, accuracy in without(checks))
        told = f"accuracy {_number(checks[WITH])} % with what was planted, {less}"
        holds = ground_truth_holds(checks)
        return Badge(name, f"{'holds' if holds else 'does not hold'}: {told}", HOLDS if holds else DOUBT)
    if AGREES in checks and AGREES_CHANGED in checks:
        holds = program_holds(checks)
        told = f"the model agrees with the program on {_number(checks[AGREES])} % of texts"
        return Badge(name, f"{'holds' if holds else 'does not hold'}: {told}", HOLDS if holds else DOUBT)
    known = _marked(panel)
    if known:
        return Badge(name, f"what decides is marked in {known:,} of {len(panel.texts):,} texts", HOLDS)
    return Badge(name, "none is known in these texts", UNKNOWN)


def _marked(panel: Panel) -> int:
    """In how many texts a metric of what is known to decide has a value."""
    columns = [column for column, metric in enumerate(panel.metrics) if kind(metric) == TRUTH]
    return int(np.isfinite(panel.values[:, :, columns]).any(axis=(1, 2)).sum())


def _number(value: Any) -> str:
    return " / ".join(f"{each:.1f}" for each in value) if isinstance(value, (list, tuple)) else f"{value:.1f}"


def _cut(panel: Panel, entry: ModelEntry) -> Badge:
    cut = entry.get("truncated_texts")
    if cut is None:
        return Badge("texts cut", "not known", UNKNOWN)
    return Badge("texts cut", f"{cut:,} of {len(panel.texts):,}" if cut else "none", DOUBT if cut else HOLDS)


def _failures(panel: Panel) -> Badge:
    failed, whole = int(panel.failed.sum()), int(panel.present.sum())
    return Badge("failures", f"{failed:,} of {whole:,} results" if failed else "none", DOUBT if failed else HOLDS)


def _agree(pairs: pd.DataFrame) -> Badge:
    name = "metrics agree"
    if pairs.empty:
        return Badge(name, "not known: it takes two metrics and three explainers", UNKNOWN)
    chosen = pairs[(pairs["kind_a"] == FAITHFULNESS) & (pairs["kind_b"] == FAITHFULNESS) & pairs["tau"].notna()]
    if chosen.empty:
        return Badge(name, "not known: it takes two metrics of faithfulness", UNKNOWN)
    above = int((chosen["low"] > 0).sum())
    holds = 2 * above > len(chosen)
    median = float(np.median(chosen["tau"]))
    told = f"median τ {median:.2f}; {above} of {len(chosen)} pairs shown to agree, over the whole report"
    return Badge(name, f"{'most' if holds else 'not shown'}: {told}", HOLDS if holds else DOUBT)
