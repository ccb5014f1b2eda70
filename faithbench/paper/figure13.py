"""Figure 13 of the paper: how well are inputs and weights aligned, layer by layer?"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from faithbench.errors import UserError
from faithbench.paper.cell_records import Claim, holds, most_texts, only
from faithbench.paper.figure import PaperFigure
from faithbench.paper.matching import same, value_of
from faithbench.paper.run_data import RunData
from faithbench.records.results import label

ALIGNMENT = "alignment"


def alignments(run_data: RunData) -> PaperFigure:
    """Figure 13: `value`, a `percentile` of alignment in percent, by `layer` (from 1), `model` and `dataset`."""
    seen: dict[tuple[str, str, int], Claim] = {}
    for group in run_data.groups:
        for metric in group.seeds.panel.metrics:
            if same("metric", metric, ALIGNMENT, lambda key: key != "percentile"):
                percentile: int = value_of("metric", metric, "percentile")
                names = label("model", group.model), label("dataset", group.dataset), percentile
                panel = group.seeds.panel
                claims = [Claim(group, name, metric) for name in panel.explainers if holds(panel, name, metric)]
                found = [*([seen[names]] if names in seen else []), *most_texts(claims)]
                if claim := only(found):
                    seen[names] = claim
    rows = [
        (*names, layer, value)
        for names, claim in seen.items()
        for layer, value in enumerate(_by_layer(run_data.records, claim), start=1)
    ]
    data = pd.DataFrame(rows, columns=["model", "dataset", "percentile", "layer", "value"])
    return PaperFigure("figure13", data.sort_values(list(data.columns[:-1]), ignore_index=True))


def _by_layer(records: pd.DataFrame, claim: Claim) -> Sequence[float]:
    """The mean parts over texts, then over trainings; empty if none were kept."""
    mine = records[(records["explainer"] == claim.explainer) & (records["metric"] == claim.metric)]
    trained = [_parts(mine, panel.key) for panel in claim.group.panels]
    if len({len(parts) for each in trained for parts in each}) > 1:
        raise UserError(f"records of {claim.metric} on {claim.group.model} have different numbers of layers.")
    means = [np.nanmean(np.stack(each), axis=0) for each in trained if each]
    return [float(value) for value in np.mean(np.stack(means), axis=0)] if means else []


def _parts(records: pd.DataFrame, key: Mapping[str, str]) -> list[Float[np.ndarray, "layers"]]:
    """Those of a training's texts that have any; published boards may not have kept them."""
    mine = (records[list(key)] == pd.Series(key)).all(axis=1)
    found = [each for each in records.loc[mine, "parts"] if isinstance(each, (list, np.ndarray))]
    return [np.asarray(each, dtype=np.float64) for each in found if len(each)]
