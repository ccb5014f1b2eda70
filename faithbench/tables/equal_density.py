"""What density explains: scores of neurons of two models that fire as often, and means by decile of density."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from faithbench.errors import UserError
from faithbench.records.results import label
from faithbench.shown import counted
from faithbench.statistics.density import (
    CALIPER,
    DECILES,
    Gap,
    decile_edges,
    deciles,
    explained,
    is_shown,
    means_by_decile,
)
from faithbench.tables.comparing_neurons import NUMBERS, Neurons, leading_score, neurons_of
from faithbench.tables.parts import EMPTY, Cell, Column, Grid, Heading, Note, Number, Part, Title, Words
from faithbench.tables.wording import MINUS, places_of

USUAL = "token_topk"  # the describer that is shown by itself
UNKNOWN = (
    "Neurons matched by density: these runs do not say how often each neuron fires, so what density explains of a "
    "difference is not known; run the plan again to keep it."
)
NO_PAIRS = "Neurons matched by density: no two models here are a CRATE and a GPT of one size to be compared."
DECILES_SAID = (
    "Deciles are of all models' neurons together; in parentheses how many have a score. Neurons that never fire are in "
    "none."
)
MORE = "For all scores and describers add --by density."
Edges = Float[np.ndarray, "inner"]
Means = tuple[Float[np.ndarray, "deciles"], Int[np.ndarray, "deciles"]]


@dataclass(frozen=True)
class Compared:
    """A model less another by one score and describer: of all neurons, and of pairs of them that fire as often."""

    first: str
    second: str
    score: str
    describer: str
    every: Gap
    pairs: Gap


def at_equal_density(neurons: Neurons) -> Iterator[Part]:
    """Differences between models at equal density by the leading score, and its means by decile for one describer."""
    first = leading_score(neurons.scores)
    scores = neurons.scores[:0] if first is None else [first]
    usual = [name for name in neurons.describers if name.partition("(")[0] == USUAL] or neurons.describers
    more = len(neurons.scores) * len(neurons.describers) > 1
    yield from _parts(neurons, scores, usual[:1], f" {MORE}" * more)


def by_density(folders: Sequence[Path | str]) -> Iterator[Part]:
    """The same by all scores and describers, for each data set of neurons in runs.

    Raises:
        UserError: the runs hold no neurons.
    """
    for dataset, neurons in _checked(folders):
        yield Title("Density", f" on {label('dataset', dataset)}")
        yield from _parts(neurons, neurons.scores, neurons.describers)


def density_frame(folders: Sequence[Path | str]) -> pd.DataFrame:
    """Means by decile of density, a row for each score, describer, decile and model that is no control.

    Columns: `dataset`, `model` (without its seed), `metric`, `explainer`; `decile` from 1, and the shares of tokens
    `above` which, and `up_to` which, its neurons fire, 0 to 1; `mean`, and `n` neurons with a value.

    Raises:
        UserError: the runs hold no neurons.
    """
    rows = [row for dataset, neurons in _checked(folders) for row in _rows(dataset, neurons)]
    return pd.DataFrame(
        rows, columns=["dataset", "model", "metric", "explainer", "decile", "above", "up_to", "mean", "n"]
    )


def gap_cell(gap: Gap, remarks: tuple[str, ...], places: int) -> Cell:
    """A difference with its interval."""
    return Number(gap.mean, places, gap.low, gap.high, remarks=remarks)


def _checked(folders: Sequence[Path | str]) -> list[tuple[str, Neurons]]:
    every = list(neurons_of(folders))
    if not every:
        raise UserError("the runs hold no neurons, so there is no density to show; --by class tells classes apart.")
    return every


def _parts(neurons: Neurons, scores: Sequence[str], describers: Sequence[str], more: str = "") -> Iterator[Part]:
    """Differences by some scores, and deciles of some describers besides."""
    if not neurons.records["density"].notna().any():
        yield Note(UNKNOWN)
        return
    compared = [each for score in scores for each in _compared(neurons, score)]
    if compared:
        pairs, told = neurons.pairs(), f": {label('metric', scores[0])}" if len(scores) == 1 else ""
        who = _less(*pairs[0]) if len(pairs) == 1 else "a model less another"
        yield Heading(f"matched by density: {who}, of all neurons, and in pairs that fire as often{told}")
        yield _matched(compared)
        yield Note(_said(compared))
    elif len(neurons.bases) > 1:
        yield Note(NO_PAIRS)
    grids = [part for score in scores for describer in describers for part in _deciles(neurons, score, describer)]
    if grids:
        yield from grids
        yield Note(f"{DECILES_SAID}{more}")


def _compared(neurons: Neurons, score: str) -> Iterator[Compared]:
    for pair in neurons.pairs():
        for describer in neurons.describers:
            row = (*pair, score, describer)
            found = Compared(*row, neurons.gap(*row), neurons.matched_gap(*row))
            if found.every.n:
                yield found


def _matched(compared: Sequence[Compared]) -> Grid:
    """A row for each; models and scores only where there are several, what is explained where something is shown."""
    places = places_of(gap.high - gap.low for each in compared for gap in (each.every, each.pairs))
    models = len({(each.first, each.second) for each in compared}) > 1
    several = len({each.score for each in compared}) > 1
    keys = (*["models"] * models, *["score"] * several, "describer")
    shares = [explained(each.every, each.pairs) for each in compared]
    some, rows = any(map(np.isfinite, shares)), []
    for each, share in zip(compared, shares, strict=True):
        rows.append(
            (
                *[Words(_less(each.first, each.second))] * models,
                *[Words(label("metric", each.score))] * several,
                Words(label("explainer", each.describer)),
                gap_cell(each.every, (), places),
                gap_cell(each.pairs, (), places),
                Number(each.pairs.n),
                *[Number(share, 0) if np.isfinite(share) else EMPTY] * some,
            )
        )
    heads = tuple(map(Column, (*keys, "all neurons", "matched", "pairs", *["explained, %"] * some)))
    return Grid(heads, tuple(rows), keys=len(keys), minus=MINUS)


def _less(first: str, second: str) -> str:
    return f"{label('model', first)} − {label('model', second)}"


def _said(compared: Sequence[Compared]) -> str:
    shown = [each.pairs for each in compared if is_shown(each.every)]
    left = sum(map(is_shown, shown))
    said = (
        f"of {counted(len(shown), 'difference')} shown of all neurons, {left} shown in pairs, too. Explained: by how "
        "much a difference that is shown shrinks in pairs"
    )
    return (
        "Neurons matched by density: each neuron of one model with one of the other that fires nearly as often, of the "
        f"same decile of density and within {10**CALIPER:.2f} times (nearest logarithm, most pairs); intervals are "
        "over neurons, and over pairs. If density explained a difference, it would be 0 at equal density: "
        f"{said if shown else 'but none is shown of all neurons'}."
    )


def _deciles(neurons: Neurons, score: str, describer: str) -> Iterator[Part]:
    """The means of each decile of density, models across; nothing where there are none."""
    edges = _edges(neurons)
    columns = [_means(neurons, model, score, describer, edges) for model in neurons.bases if len(edges)]
    if not any(counts.any() for _, counts in columns):
        return
    yield Heading(f"by decile of density: {label('metric', score)}, {label('explainer', describer)}")
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            Words(f"{_percent(above)} to {_percent(up_to)} %"),
            *(Number(means[decile], 1, remarks=(Number(int(counts[decile])),)) for means, counts in columns),
        )
        for decile, (above, up_to) in enumerate(_bounds(edges))
    )
    heads = (Column("fires on tokens"), *(Column(label("model", model)) for model in neurons.bases))
    yield Grid(heads, rows, minus=MINUS)


def _rows(dataset: str, neurons: Neurons) -> Iterator[dict[str, object]]:
    edges = _edges(neurons)
    cells = [(m, s, d) for m in neurons.bases for s in neurons.scores for d in neurons.describers if len(edges)]
    for model, score, describer in cells:
        means, counts = _means(neurons, model, score, describer, edges)
        for decile, (above, up_to) in enumerate(_bounds(edges)):
            yield {
                "dataset": dataset,
                "model": model,
                "metric": score,
                "explainer": describer,
                "decile": decile + 1,
                "above": above,
                "up_to": up_to,
                "mean": means[decile],
                "n": int(counts[decile]),
            }


def _edges(neurons: Neurons) -> Edges:
    """Between deciles of all neurons of models that are no controls."""
    own = neurons.records[neurons.records["control"] == ""]
    one = own.drop_duplicates(["model", "model_fingerprint", "unit"])
    return decile_edges(one["density"].fillna(0.0).to_numpy(dtype=np.float64))


def _bounds(edges: Edges) -> list[tuple[float, float]]:
    ends = [0.0, *map(float, edges), 1.0]
    return [(ends[decile], ends[decile + 1]) for decile in range(DECILES)]


def _means(neurons: Neurons, model: str, score: str, describer: str, edges: Edges) -> Means:
    own = neurons.of(model, score, describer)
    density, values, weights = (own[name].to_numpy(dtype=np.float64) for name in NUMBERS)
    return means_by_decile(values, deciles(np.nan_to_num(density), edges), weights)


def _percent(share: float) -> str:
    """Two significant digits, without powers of ten."""
    places = max(0, 1 - math.floor(math.log10(100 * share))) if share else 0
    return f"{100 * share:.{places}f}"
